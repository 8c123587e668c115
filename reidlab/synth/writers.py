"""Write a `World` to disk in the layout of a real benchmark, with its truth beside it.

Writing is atomic file by file and resumes where it was interrupted; `world.json` comes last, so its
presence says that the set is whole.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from .world import World

_CHUNK = 48  # images per unit of work, and per step of a resumed write
_STRANGER = 10_000_000  # distractors are people from here on: nobody's identity
_JUNK_JITTER = 7.0


@dataclass(frozen=True)
class _Entry:
    """One file to write: where it goes and which image of the world it is."""

    file: str
    split: str
    key: tuple[int, int, int]
    pid: int  # the identity in the file name: 0 a distractor, -1 junk
    jitter: float = 1.0


def write_dataset(
    layout: str,
    root: str | Path,
    world: World,
    *,
    train_fraction: float = 0.6,
    junk: float = 0.1,
    distractors: float = 0.2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `world` under `root` in the layout of the benchmark `layout`.

    Beside the images lie `masks/` (part labels, see `reidlab.synth.PARTS`), `attributes.csv` (one row
    per image) and `world.json` (every knob). An interrupted write continues; a finished one returns at
    once.

    Args:
        layout: "market1501".
        root: folder to create.
        world: what to write; `images_per_camera` must be at least 2 (one query, one gallery image).
        train_fraction: share of the identities used for training.
        junk: junk boxes (id -1) as a share of the gallery.
        distractors: boxes of strangers (id 0) as a share of the gallery.
        progress: called with (images done, images in all).

    Returns:
        `root`.

    Raises:
        ValueError: an unknown layout, or a world that does not fit it.
        FileExistsError: `root` holds another world or other files.
    """
    if layout not in _LAYOUTS:
        raise ValueError(
            f"layout {layout!r} cannot be written yet: expected one of {', '.join(_LAYOUTS)}"
        )
    root = Path(root)
    split = {
        "layout": layout,
        "train_fraction": train_fraction,
        "junk": junk,
        "distractors": distractors,
    }
    config = {"world": world.config(), "fingerprint": world.fingerprint(), "split": split}
    if not _claim(root, config):
        return root
    entries = _LAYOUTS[layout](world, train_fraction, junk, distractors)
    parts = root / ".parts"
    parts.mkdir(exist_ok=True)
    chunks = [entries[i : i + _CHUNK] for i in range(0, len(entries), _CHUNK)]
    done = 0
    with ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        for number, chunk in enumerate(chunks):
            part = parts / f"{number:06d}.csv"
            if not part.exists():
                _write_chunk(root, world, chunk, part, pool)
            done += len(chunk)
            if progress:
                progress(done, len(entries))
    table = pd.concat([pd.read_csv(parts / f"{i:06d}.csv") for i in range(len(chunks))])
    _write_atomic(root / "attributes.csv", table.to_csv(index=False).encode())
    _write_atomic(root / "world.json", json.dumps(config, indent=1, sort_keys=True).encode())
    shutil.rmtree(parts)
    (root / "world.json.partial").unlink(missing_ok=True)
    return root


def _claim(root: Path, config: dict[str, object]) -> bool:
    """Make `root` ours. False: it already holds this world, whole."""
    whole, partial = root / "world.json", root / "world.json.partial"
    for path in (whole, partial):
        if path.exists() and json.loads(path.read_text()) != json.loads(json.dumps(config)):
            raise FileExistsError(
                f"{root} holds another world ({path.name} differs): choose another folder, or delete this one"
            )
    if whole.exists():
        return False
    if root.exists() and any(root.iterdir()) and not partial.exists():
        raise FileExistsError(
            f"{root} is not empty and holds no world: choose an empty or new folder"
        )
    root.mkdir(parents=True, exist_ok=True)
    _write_atomic(partial, json.dumps(config, indent=1, sort_keys=True).encode())
    return True


def _write_chunk(
    root: Path, world: World, chunk: list[_Entry], part: Path, pool: ThreadPoolExecutor
) -> None:
    tables = []
    for jitter in sorted({entry.jitter for entry in chunk}):
        group = [entry for entry in chunk if entry.jitter == jitter]
        pictures = world.render([entry.key for entry in group], jitter=jitter)
        quality = world.all_cameras.quality[[entry.key[1] for entry in group]]
        jobs: list[tuple[Path, np.ndarray, int | None]] = []
        for entry, image, mask, q in zip(
            group, pictures.images, pictures.masks, quality, strict=True
        ):
            jobs.append((root / entry.file, image, int(q)))
            jobs.append((root / "masks" / Path(entry.file).with_suffix(".png"), mask, None))
        list(pool.map(lambda job: _write_image(*job), jobs))
        table = pictures.truth.rename(columns={"pid": "person"})
        table.insert(0, "file", [entry.file for entry in group])
        table.insert(1, "split", [entry.split for entry in group])
        table.insert(2, "pid", [entry.pid for entry in group])
        tables.append(table)
    _write_atomic(part, pd.concat(tables).to_csv(index=False).encode())


def _write_image(path: Path, pixels: np.ndarray, quality: int | None) -> None:
    """JPEG at `quality`, or PNG where it is None."""
    buffer = io.BytesIO()
    if quality is None:
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_atomic(path, buffer.getvalue())


def _write_atomic(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    os.replace(beside, path)


def _market1501(
    world: World, train_fraction: float, junk: float, distractors: float
) -> list[_Entry]:
    """Market-1501: `0002_c1s1_000451_03.jpg` = person, camera (from 1), sequence, frame, box."""
    if world.images_per_camera < 2:
        raise ValueError(
            f"World(images_per_camera={world.images_per_camera}): this layout needs 2 or more, one image "
            "per person and camera for the query and one for the gallery"
        )
    if world.identities > 9999 or world.cameras + world.infrared_cameras > 9:
        raise ValueError("this layout has room for 9999 identities and 9 cameras in its file names")
    if not 0.0 < train_fraction < 1.0 or round(world.identities * train_fraction) in (
        0,
        world.identities,
    ):
        raise ValueError(
            f"train_fraction={train_fraction}: expected a share that leaves people on both sides"
        )
    order = np.random.default_rng([world.seed, 5]).permutation(np.arange(1, world.identities + 1))
    training = {int(pid) for pid in order[: round(world.identities * train_fraction)]}
    entries, gallery = [], []
    visits = world.visits(list(range(1, world.identities + 1)))
    for pid, camids in visits.items():
        for camid in camids:
            for index in range(world.images_per_camera):
                key = (pid, camid, index)
                if pid in training:
                    entries.append(
                        _Entry(_market_name("bounding_box_train", pid, key), "train", key, pid)
                    )
                elif index == 0:
                    entries.append(_Entry(_market_name("query", pid, key), "query", key, pid))
                else:
                    gallery.append(
                        _Entry(_market_name("bounding_box_test", pid, key), "gallery", key, pid)
                    )
    entries += gallery
    total = world.cameras + world.infrared_cameras
    for i in range(round(junk * len(gallery))):  # a bad box around somebody of the gallery
        pid, camid, _ = gallery[(i * 7919) % len(gallery)].key
        key = (pid, camid, 1000 + i)
        entries.append(
            _Entry(_market_name("bounding_box_test", -1, key), "gallery", key, -1, _JUNK_JITTER)
        )
    for i in range(round(distractors * len(gallery))):
        key = (_STRANGER + i, i % total, 0)
        entries.append(_Entry(_market_name("bounding_box_test", 0, key), "gallery", key, 0))
    return entries


def _market_name(folder: str, pid: int, key: tuple[int, int, int]) -> str:
    person, camid, index = key
    frame = (person % _STRANGER) * 25 + index * 7  # unique within an identity and a camera
    label = "-1" if pid < 0 else f"{pid:04d}"
    return f"{folder}/{label}_c{camid + 1}s1_{frame:06d}_{index % 99 + 1:02d}.jpg"


_LAYOUTS: dict[str, Callable[[World, float, float, float], list[_Entry]]] = {
    "market1501": _market1501
}


def layouts() -> Iterable[str]:
    """Names that `write_dataset` accepts."""
    return tuple(_LAYOUTS)
