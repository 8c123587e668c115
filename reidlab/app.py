"""A page in the browser that searches a folder of crops: `python -m reidlab app FOLDER`.

It listens on 127.0.0.1 alone, and the page asks nobody else for anything: no script, no font, no
picture from elsewhere, which its Content-Security-Policy forbids as well. Needs no labels. What is
kept are the embeddings, in the folder itself; an uploaded picture is deleted when it was read.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from reidlab import recipes
from reidlab.data import DatasetError, read_image, unreadable
from reidlab.data.spelling import IMAGE_SUFFIXES
from reidlab.explain import SimilarityTarget, image_batch, occlusion
from reidlab.files import WriteError, atomic, find
from reidlab.judging import embed, test_transform
from reidlab.models import create_model

if TYPE_CHECKING:
    from tornado.web import Application

KEPT = ".reidlab-embeddings.npz"  # hidden, so that it is no picture of the folder
FOUND, SHOWN = 12, 48  # answers of a search; pictures to choose from on one page
HEAT, CELL = (230, 90, 0), 24  # the colour of what counts; pixels that are covered at once
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class Answer(NamedTuple):
    """A picture of the folder, and its cosine similarity to the query."""

    name: str
    score: float


class PictureFolder:
    """The pictures below a folder, with their embeddings.

    Args:
        root: the folder; names and depth of what is in it do not matter.
        weights: as in `create_model`: "synth", "plain" or a file.

    Attributes:
        names: of the pictures, relative to the folder, sorted.
        left_out: name -> why it cannot be read.

    Raises:
        DatasetError: no such folder, or no picture in it can be read.
        WeightsError: the weights are missing or do not fit.
    """

    def __init__(self, root: str | Path, weights: str | Path = "synth") -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise DatasetError(f"{self.root} is no folder; expected one that holds pictures")
        self.recipe = recipes.get("vit_baseline", "laptop").replace(workers=0)
        size = self.recipe.image_size
        self.model = create_model("vit_baseline", num_classes=1, weights=weights, image_size=size)
        self.model.eval()
        backbone = self.model.get_submodule("backbone").state_dict().values()
        tensors = b"".join(value.numpy().tobytes() for value in backbone)
        self._weights = hashlib.sha256(tensors).hexdigest()
        self._stamps: dict[str, str] = {}
        self.names: list[str] = []
        self.left_out: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> None:
        """Embed the pictures that are new or have changed; what is gone is forgotten.

        Raises:
            DatasetError: no picture can be read.
        """
        stamps = {}
        for path in find(self.root, "**/*"):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                name, status = path.relative_to(self.root).as_posix(), path.stat()
                stamps[name] = f"{status.st_size} {status.st_mtime_ns}"
        strange = [name for name in stamps if name != name.encode(errors="replace").decode()]
        stamps = {name: stamp for name, stamp in stamps.items() if name not in strange}
        if stamps == self._stamps and self.names:
            return
        kept = self._kept()
        new = [name for name, stamp in stamps.items() if kept.get(name, ("",))[0] != stamp]
        self.left_out = {
            os.path.relpath(path, self.root): why
            for path, why in unreadable([str(self.root / name) for name in new]).items()
        } | {name.encode(errors="replace").decode(): "its name is not UTF-8" for name in strange}
        good = [name for name in new if name not in self.left_out]
        if good:
            print(f"embedding {len(good)} pictures of {self.root}", flush=True)
            vectors = self._embed([self.root / name for name in good]).numpy()
            kept |= {name: (stamps[name], row) for name, row in zip(good, vectors, strict=True)}
        self.names = [name for name in stamps if name in kept and name not in self.left_out]
        if not self.names:
            example = next(iter(self.left_out.values()), f"none ends in {IMAGE_SUFFIXES[0]} or so")
            raise DatasetError(
                f"{self.root} holds no picture that can be read ({example}); expected crops of "
                "people, a picture each, in any folders below it"
            )
        self._stamps = stamps
        self._vectors = torch.from_numpy(np.stack([kept[name][1] for name in self.names]))
        if good or len(kept) > len(self.names):
            self._keep()

    def search(self, vector: Tensor, k: int = FOUND, *, without: str = "") -> list[Answer]:
        """The k pictures most like a vector (D,), the nearest first, one name left out."""
        scores, order = (self._vectors @ normalize(vector, dim=0)).sort(
            descending=True, stable=True
        )
        found = (Answer(self.names[i], float(s)) for s, i in zip(scores, order, strict=True))
        return [answer for answer in found if answer.name != without][:k]

    def vector(self, picture: str | Path) -> Tensor:
        """The direction (D,) of a picture of the folder by its name, or of a file by its path.

        Raises:
            DatasetError: the file cannot be read.
        """
        if isinstance(picture, str):
            return self._vectors[self.names.index(picture)]
        return self._embed([picture])[0]

    def heat(self, pair: Sequence[Path]) -> list[Image.Image]:
        """Two pictures in grey, coloured where covering one takes most of their similarity."""
        pixels = image_batch(pair, test_transform(self.recipe))
        with torch.no_grad():
            other = SimilarityTarget(self.model.embed(pixels.flip(0)))  # type: ignore[operator]
        falls = 0.8 * occlusion(self.model, pixels, other, window=CELL)[:, 0, :, :, None].numpy()
        size = self.recipe.image_size[::-1]
        greys = [np.asarray(read_image(path).resize(size).convert("L")) for path in pair]
        mixed = np.stack(greys)[..., None] * (1 - falls) + np.array(HEAT) * falls
        return [Image.fromarray(each) for each in mixed.round().astype(np.uint8)]

    def _embed(self, paths: list[Path]) -> Tensor:
        frame = pd.DataFrame({"path": [str(path) for path in paths], "pid": 0, "camid": 0})
        return normalize(embed(self.model, frame, self.recipe))

    def _kept(self) -> dict[str, tuple[str, Any]]:
        """Name -> stamp and vector, as an earlier run of these weights left them."""
        # there is none, or it is damaged in one of many ways: they are computed again
        with suppress(Exception), np.load(self.root / KEPT, allow_pickle=False) as file:
            if str(file["weights"]) == self._weights:
                rows = zip(file["stamps"].tolist(), file["vectors"], strict=True)
                return dict(zip(file["names"].tolist(), rows, strict=True))
        return {}

    def _keep(self) -> None:
        stamps = [self._stamps[name] for name in self.names]
        try:
            with atomic(self.root / KEPT) as beside:
                np.savez(beside, weights=self._weights, names=self.names, stamps=stamps,
                         vectors=self._vectors.numpy())  # fmt: skip
        except WriteError as error:
            print(f"the embeddings are not kept: {error}", flush=True)


def application(folder: PictureFolder) -> Application:
    """The page of a folder, for 127.0.0.1 and localhost alone."""
    from tornado.web import Application, HTTPError, RequestHandler

    class Base(RequestHandler):
        def set_default_headers(self) -> None:
            self.set_header("Content-Security-Policy", POLICY)
            self.set_header("Referrer-Policy", "no-referrer")
            self.set_header("Cache-Control", "no-store")

        def known(self, name: str) -> str:
            if name not in folder.names:
                raise HTTPError(404, reason="The folder has no such picture")
            return name

    class Page(Base):
        def prepare(self) -> None:
            try:
                folder.refresh()
            except DatasetError as error:
                self.set_status(404)
                self.show(None, problem=str(error))

        def get(self) -> None:
            name = self.get_argument("name", "")
            self.show(folder.root / self.known(name) if name else None, name)

        def post(self) -> None:
            sent = self.request.files.get("crop")
            with tempfile.TemporaryDirectory() as place:
                path = Path(place) / "crop"
                path.write_bytes(sent[0].body if sent else b"")
                try:
                    self.show(path)
                except DatasetError:
                    self.set_status(400)
                    self.show(None, problem="This file is no picture that can be read.")

        def show(self, query: Path | None, name: str = "", problem: str = "") -> None:
            wanted = self.get_argument("find", "")
            names = [each for each in folder.names if wanted.lower() in each.lower()]
            answers, pictures = [], []
            if query is not None:
                vector = folder.vector(name or query)
                answers = folder.search(vector, without=name)
            if query is not None and answers:
                heats = folder.heat([query, folder.root / answers[0].name])
                pictures = [_data(image) for image in (read_image(query), *heats)]
            said = {"query": name or "your picture", "wanted": wanted, "problem": problem}
            shown = {"names": names[:SHOWN], "total": len(names)}
            self.render(
                "app.html", folder=folder, answers=answers, pictures=pictures, **said, **shown
            )

    class Picture(Base):
        def get(self) -> None:
            name = self.known(self.get_argument("name"))
            try:
                image = read_image(folder.root / name)
            except DatasetError:  # it was there when the folder was read
                raise HTTPError(404, reason="this picture cannot be read any more") from None
            self.set_header("Content-Type", "image/jpeg")
            self.finish(_jpeg(image))

    server = Application(template_path=str(Path(__file__).parent), autoescape="xhtml_escape")
    server.add_handlers(r"(?:127\.0\.0\.1|localhost)$", [("/", Page), ("/picture", Picture)])
    return server


def serve(root: str | Path, port: int = 8765, weights: str | Path = "synth") -> None:
    """Search a folder in the browser of this machine, until Ctrl-C.

    Raises:
        ModuleNotFoundError: the extra `app` is not installed.
        OSError: the port is in use.
        DatasetError, WeightsError: see `PictureFolder`.
    """
    try:
        from tornado.httpserver import HTTPServer
        from tornado.netutil import bind_sockets
    except ModuleNotFoundError:
        raise ModuleNotFoundError("the page needs tornado: pip install 'reidlab[app]'") from None
    try:
        sockets = bind_sockets(port, "127.0.0.1", family=socket.AF_INET)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(f"port {port} is in use; choose another one: --port {port + 1}") from None
    folder = PictureFolder(root, weights)

    async def run() -> None:
        HTTPServer(application(folder), max_buffer_size=2**25).add_sockets(sockets)
        print(f"{len(folder.names)} pictures, {len(folder.left_out)} left out. Open")
        print(f"  http://127.0.0.1:{sockets[0].getsockname()[1]}/", flush=True)
        print(
            "on this machine; no other can, and nothing is sent anywhere. Ctrl-C ends.", flush=True
        )
        await asyncio.Event().wait()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        print("ended")


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def _data(image: Image.Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(image)).decode()
