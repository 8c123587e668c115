"""From a table of images to embeddings, and from embeddings to the numbers of a protocol."""

from __future__ import annotations

import math
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import Transform

from reidlab.data import ReIDDataset, build_transform, make_loader, watched_workers
from reidlab.evaluation import RankResult
from reidlab.files import check_room
from reidlab.judging.matching import QUERIES, check_kept
from reidlab.judging.protocol import check_judged, judge
from reidlab.judging.settings import Judging
from reidlab.judging.side_information import with_rows
from reidlab.processes import (
    barrier,
    broadcast,
    collect,
    own_batches,
    process_count,
    process_index,
)

IN_MEMORY = 2**31  # bytes


def embed(
    model: nn.Module,
    frame: pd.DataFrame,
    recipe: Judging,
    *,
    flip_test: bool | None = None,
    shared: bool = False,
    **description: Any,
) -> Tensor:
    """Embed every image of a table, in its order, on the device of the model.

    Test-time transform (resize and normalise, nothing random). With precision "bf16" the model runs
    under bf16 autocast where the device has bf16; else, and with "fp16", in float32, as in
    TransReID's test.

    Flip test: the mean of the embeddings of the image and of its mirror image, so that both embed
    alike. It is the mean of the raw embeddings, as in fast-reid's code (layumi's adds them, which a
    cosine cannot tell apart), not of their directions: the longer of the two weighs more. Images
    are read once, the network runs twice.

    Args:
        model: Anything with `embed(images, camids)`; it is returned in the mode it came in.
        frame: Rows with `path`, `pid`, `camid`, and `view` if the model asks for viewpoints.
        recipe: Gives image size, normalisation, batch size, precision, workers, flip test.
        flip_test: Whether to do the flip test; None: as the recipe says.
        shared: Under several processes, whether each embeds a share of the table. All must call it
            then. The main process returns all rows, the others none, (0, D).
        description: Which description of an image, as `model.embed` takes it: retrieval="gelt".

    Returns:
        (N, D) float32 on the CPU, not normalised; without `shared` never (0, D). Of a matcher
        (N, h, w, D). More than 2 GiB, as the maps of a large gallery, lie in a file of the system's
        temporary folder (the environment variable TMPDIR), which goes when the tensor does.

    Raises:
        ValueError: If the table is empty, or a flip test is asked of a model that embeds an image
            as a map.
        RecipeError: If the model has no vector of a camera or viewpoint, see `with_rows`.
        DatasetError: If an image cannot be read.
        WriteError: If the temporary folder has no room for the maps.
        ProcessError: With `shared`, if another process fails.
    """
    if len(frame) == 0:
        raise ValueError("the table has no rows; expected at least one image to embed.")
    if shared and process_count() > 1:
        own = frame.iloc[own_batches(len(frame), recipe.embed_batch_size)]
        part = torch.empty(0)
        with barrier():  # a process without rows waits for the others here
            if len(own) > 0:
                part = embed(model, own, recipe, flip_test=flip_test, **description)
        return collect(part)
    loader = make_loader(
        with_rows(model, frame),
        test_transform(recipe),
        batch_size=recipe.embed_batch_size,
        workers=recipe.workers,
    )
    flip_test = recipe.flip_test if flip_test is None else flip_test
    with evaluating(model, recipe.precision) as device, torch.inference_mode(), watched_workers():
        done, found = 0, torch.empty(0)
        for batch in loader:
            part = _embed_batch(model, batch, device, flip_test, description)
            if done == 0:
                with torch.inference_mode(False):  # the caller's, to change and to learn from
                    found = _allocated((len(frame), *part.shape[1:]))
            found[done : done + len(part)] = part
            done += len(part)
    return found


def _allocated(shape: tuple[int, ...]) -> Tensor:
    """Room for float32 numbers: in memory, and for many in a file that goes with the tensor."""
    count = math.prod(shape)
    if 4 * count <= IN_MEMORY:
        return torch.empty(shape)
    with tempfile.NamedTemporaryFile(prefix="reidlab-maps-") as file:
        check_room(Path(file.name), 4 * count)
        return torch.from_file(file.name, shared=True, size=count).view(shape)


def alike(model: Any, emb: Tensor) -> Tensor:
    """How alike some images are, each to each: a matcher's scores, else cosines, (N, N) on the CPU.

    Args:
        model: That embedded them; in evaluation mode meanwhile.
        emb: From `embed`.
    """
    if not hasattr(model, "match"):
        directions = nn.functional.normalize(emb.flatten(1))
        return directions @ directions.T
    with _matching(model, "no") as match:  # some queries at a time, for memory
        return torch.cat([match(part, emb).cpu() for part in emb.split(QUERIES)])


@contextmanager
def _matching(model: Any, precision: str) -> Iterator[Any]:
    """A matcher's `match` in evaluation mode and in a precision, None of other models."""
    if not hasattr(model, "match"):
        yield None
        return
    with evaluating(model, precision):
        yield model.match


def test_transform(recipe: Judging) -> Transform:
    """Resize and normalise as a recipe says; nothing random."""
    return build_transform(
        recipe.image_size,
        train=False,
        normalization=recipe.normalization,
        interpolation=recipe.interpolation,
    )


def evaluate_on(
    model: nn.Module,
    ds: ReIDDataset,
    recipe: Judging,
    *,
    shared: bool = False,
    scores: Path | None = None,
    **description: Any,
) -> RankResult:
    """Embed query and gallery of a data set and judge them by its protocol; junk is left out.

    A matcher, a model with `match(q_emb, g_emb) -> scores`, is asked for the scores block by block.

    Args:
        model: Anything with `embed(images, camids)`.
        ds: Any set with a test part, that of the training or another.
        recipe: As in `embed`; it also gives distance and average precision.
        shared: Under several processes, which all must call it then, each embeds a share; the main
            process judges and sends the result to the others.
        scores: Of a matcher: a file for its scores, see `judge`; an interrupted evaluation goes on
            there.
        description: As in `embed`.

    Raises:
        RecipeError: If the set has no test part, or no query of it has a match, or the model no
            vector of a camera: before anything is embedded.
        ValueError: If `scores` names another file than one of scores, or the model embeds.
        DatasetError: If an image cannot be read.
    """
    return timed_evaluation(model, ds, recipe, shared=shared, scores=scores, **description)[0]


def timed_evaluation(
    model: nn.Module,
    ds: ReIDDataset,
    recipe: Judging,
    *,
    shared: bool = False,
    scores: Path | None = None,
    **description: Any,
) -> tuple[RankResult, dict[str, float]]:
    """As `evaluate_on`, with the seconds of its two parts, "embed" and "rank"."""
    query, gallery = (frame[~frame["junk"]] for frame in (ds.query, ds.gallery))
    check_judged(ds)  # before minutes of embedding
    check_kept(scores, hasattr(model, "match"))
    for frame in (query, gallery):
        with_rows(model, frame, ds.name)
    clock = time.perf_counter()
    q_emb, g_emb = (
        embed(model, frame, recipe, shared=shared, **description) for frame in (query, gallery)
    )
    embedded = time.perf_counter()
    result: Any = None
    with barrier() if shared else nullcontext():
        if not shared or process_index() == 0:
            with _matching(model, recipe.precision) as match:
                options: Any = {"match": match, "scores": scores}
                result = judge(ds, q_emb, g_emb, ap=recipe.ap, metric=recipe.metric, **options)
    result = broadcast(result) if shared else result
    return result, {"embed": embedded - clock, "rank": time.perf_counter() - embedded}


def _embed_batch(
    model: Any,
    batch: dict[str, Tensor],
    device: torch.device,
    flip_test: bool,
    description: dict[str, Any],
) -> Tensor:
    images, camids = batch["image"].to(device), batch["camid"].to(device)
    embedding = model.embed(images, camids, **description).float()  # (B, D)
    if flip_test:
        if embedding.ndim != 2:
            raise ValueError(
                f"flip_test needs one vector per image and {type(model).__name__} embeds an image "
                f"as a map of shape {tuple(embedding.shape[1:])}: the mean with the map of the "
                "mirror image would mix left and right. Pass flip_test=False"
            )
        mirrored = model.embed(images.flip(-1), camids, **description).float()
        embedding = (embedding + mirrored) / 2
    return embedding.cpu()


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies in bf16 by instructions of its own.

    A CPU without them imitates them, and takes longer than in float32: on x86 twice as long with
    AVX-512 alone, 40 times as long without it.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        if platform.machine() in ("x86_64", "AMD64"):
            return torch.cpu._is_avx512_bf16_supported()
        available = torch.backends.mkldnn.is_available()
        return available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return True


def precision_on(device: torch.device, precision: str) -> str:
    """Where a device lacks bf16, a recipe that asks for it runs in float32, "no"."""
    return "no" if precision == "bf16" and not has_bf16(device) else precision


@contextmanager
def evaluating(model: nn.Module, precision: str = "no") -> Iterator[torch.device]:
    """Inside, a model evaluates, under bf16 autocast if that is the precision and its device, which
    is yielded, has bf16; afterwards it is in the mode it came in."""
    was_training, device = model.training, next(model.parameters()).device
    bf16 = precision_on(device, precision) == "bf16"
    model.eval()
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16) if bf16 else nullcontext():
            yield device
    finally:
        model.train(was_training)
