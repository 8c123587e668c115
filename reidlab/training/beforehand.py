"""What would otherwise come out after hours, asked before the first step.

Whether what is left out and what is tested can be judged, whether every image can be read, and
whether the folder of the run takes what a training writes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from torch import nn

from reidlab.data import ReIDDataset
from reidlab.data.decoding import check_images
from reidlab.errors import RecipeError
from reidlab.judging import check_judged, classify, embed, embedding, has_test_part
from reidlab.judging.matching import check_kept
from reidlab.processes import progress_style
from reidlab.training.checkpoint import CHECKPOINTS, CheckpointError, files_of
from reidlab.training.recipe import Recipe

MIB = 2**20
SCORES = "scores.npy"  # of a matcher, in the folder of the run


def check_beforehand(
    model: nn.Module,
    ds: ReIDDataset,
    recipe: Recipe,
    validation: ReIDDataset | None,
    out: Path,
) -> None:
    """Find out, the quickest first, what would stop a run after its training.

    Args:
        model: Embeds one image.
        ds: The whole set.
        recipe: How it is trained and judged.
        validation: What was left out of the training, if anything was.
        out: Folder of the run.

    Raises:
        RecipeError: If the test part cannot be judged, or not by this model on this machine, for
            want of memory or of room in its temporary folder.
        CheckpointError: If `out` cannot be written to or has no room.
        DatasetError: If an image cannot be read.
        ValueError: Of an unknown protocol and what else `reidlab.evaluation.evaluate` refuses, or
            if a matcher's scores would take the place of another file.
    """
    tested = has_test_part(ds)
    if tested:
        _check_test_part(ds)
    if validation is not None and recipe.validate_on == "people":
        check_judged(validation)
    scores = 0 if (out / SCORES).exists() else _score_bytes(model, ds)
    check_folder(out, room_of_run(model, recipe, out) + scores)
    if hasattr(model, "match"):
        check_kept(out / SCORES, matcher=True)
    check_images(ds, progress=progress_style() == "bar")
    if validation is not None and recipe.validate_on == "images":
        classify(model, validation.train.iloc[:1], recipe)  # refuses a model without classifiers
    elif validation is not None:
        _check_embedding(model, validation, recipe)
    if tested:
        _check_embedding(model, ds, recipe)


def _check_test_part(ds: ReIDDataset) -> None:
    try:
        check_judged(ds)
    except RecipeError as error:
        raise RecipeError(
            f"{error} Or train without the test part, fit(model, ds.train_only(), ...) or "
            "train --train-only, and judge the run on another set: evaluate_run(out, other), or "
            "python -m reidlab evaluate OUT NAME ROOT."
        ) from None


def _check_embedding(model: nn.Module, ds: ReIDDataset, recipe: Recipe) -> None:
    """Embed one query; what all images make must fit into the memory, and what `embed` puts into
    the temporary folder on its disk. A matcher reads it from there, piece by piece."""
    if not callable(getattr(model, "embed", None)):
        raise RecipeError(
            f"{type(model).__name__} has no embed(images, camids), by which {ds.name} is judged; "
            "give it one that returns (B, D), or train without the test part: "
            "fit(model, ds.train_only(), ...)."
        )
    query, gallery = (frame[~frame["junk"]] for frame in (ds.query, ds.gallery))
    one = embed(model, query.iloc[:1], recipe.replace(workers=0))
    sizes = [len(frame) * one.nbytes for frame in (query, gallery)]
    on_disk = sum(size for size in sizes if size > embedding.IN_MEMORY)
    needed, held = sum(sizes) - (on_disk if hasattr(model, "match") else 0), _memory()
    what = (
        f"the embeddings of the {len(query) + len(gallery)} images of {ds.name}, "
        f"{tuple(one.shape[1:])} numbers each, take"
    )
    if held is not None and needed > held:
        raise RecipeError(
            f"{what} {needed // MIB:,} MiB and this machine has {held // MIB:,} MiB; use a "
            "model with a smaller embedding, or judge on fewer images."
        )
    free = shutil.disk_usage(folder := tempfile.gettempdir()).free
    if on_disk > free:
        raise RecipeError(
            f"{what} {on_disk // MIB:,} MiB of {folder} and its disk has {free // MIB:,} MiB free; "
            "make room, or set the environment variable TMPDIR to a folder on another disk."
        )


def _score_bytes(model: nn.Module, ds: ReIDDataset) -> int:
    """Of the scores of all pairs of the test part, which a matcher keeps while it judges."""
    queries, images = (int((~frame["junk"]).sum()) for frame in (ds.query, ds.gallery))
    return 4 * queries * images if hasattr(model, "match") else 0


def _memory() -> int | None:
    """Bytes of memory of this machine, where the system says so."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def check_folder(folder: Path, needed: int) -> None:
    """Find out whether a folder can be written to and has room; it is made if it is not there.

    Args:
        folder: Where a run writes.
        needed: Bytes.

    Raises:
        CheckpointError: If it cannot, or has not; it names what is needed and what is free.
    """
    inside = folder / CHECKPOINTS
    for each in (folder, inside) if inside.exists() else (folder,):
        try:
            each.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=each) as file:  # permissions say one thing, and a
                file.write(b"?")  # disk that is mounted read-only another
        except OSError as error:
            found = next(path for path in (each, *each.parents) if path.exists())
            what = f": {found} is a file" if found.is_file() else ""
            raise CheckpointError(
                f"{each} cannot be written to ({error.strerror or error}{what}); expected a folder "
                "that is there or can be made. Pass another one, or mend this one."
            ) from error
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"{folder} needs {needed / MIB:,.0f} MiB for what is written there and its disk has "
            f"{free / MIB:,.0f} MiB free. Make room, or pass a folder on another disk."
        )


def room_of_run(model: nn.Module, recipe: Recipe, out: Path) -> int:
    """Bytes that a run takes at most, beyond what it has there: while a checkpoint replaces the one
    before it, and for the weights at the end."""
    weights = sum(value.nbytes for value in model.state_dict().values())
    moments = 1 if recipe.optimizer in ("sgd", "nesterov") else 2
    copies = (recipe.ema_decay is not None) + (recipe.keep == "best")
    learned = sum(parameter.nbytes for parameter in model.parameters())
    checkpoint = weights * (1 + copies) + moments * learned
    there = sum(path.stat().st_size for path in files_of(out / CHECKPOINTS))
    return max(0, 2 * checkpoint - there) + weights
