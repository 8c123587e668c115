"""Checkpoints: after each epoch all that is needed to go on as if nothing had happened.

A checkpoint is two files, `epoch-0003.safetensors` (the weights) and `epoch-0003.pt` (all else: see
`Checkpoint`). The second is written last: a checkpoint exists when it does. Both are loaded without
running any code from the file.
There is no state of random generators in them: each epoch seeds its own (see `epoch_seed`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from reidlab.errors import ReidlabError
from reidlab.files import WriteError, atomic, sweep, write_bytes
from reidlab.models.pretrained import grid_metadata
from reidlab.models.vit import TokenBackbone
from reidlab.models.weights_file import WeightsError, compare_state
from reidlab.models.weights_file import read_weights as read_file
from reidlab.training.recipe import Recipe

CHECKPOINTS = "checkpoints"


class CheckpointError(ReidlabError):
    """A folder that holds another run or a damaged one, or cannot be written to."""


class Checkpoint(NamedTuple):
    """State after an epoch.

    Attributes:
        epoch: Finished epochs.
        weights: State dict of the model.
        optimizer: State dict of the optimizer.
        scaler: State dict of the fp16 gradient scaler, {} if there is none.
        history: One entry per finished epoch.
        configuration: What was run, see `check_same`.
        started: When the run began, ISO 8601.
        average: State dict of the moving average, {} if there is none.
        best: Epoch and weights of the best epoch so far, {} if the last is kept.
        peak_memory_mb: The largest so far.
        commit: Of the code that began, and whether tracked files differed from it.
        drawn: As in `State`.
    """

    epoch: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    history: list[dict[str, Any]]
    configuration: dict[str, Any]
    started: str
    average: dict[str, Any] = {}  # noqa: RUF012  never changed
    best: dict[str, Any] = {}  # noqa: RUF012
    peak_memory_mb: float = 0.0
    commit: tuple[str | None, bool | None] = (None, None)
    drawn: list[int] = []  # noqa: RUF012


def save_checkpoint(folder: Path, checkpoint: Checkpoint, model: nn.Module) -> None:
    """Write a checkpoint and delete the ones before it.

    Raises:
        CheckpointError: If the disk refuses it; the one before is kept.
    """
    stem = folder / f"epoch-{checkpoint.epoch:04d}"
    state = checkpoint._asdict()
    state.pop("weights")
    with writing(stem.with_suffix(".pt"), folder):
        save_weights(stem.with_suffix(".safetensors"), model)
        with atomic(stem.with_suffix(".pt")) as beside:
            torch.save(state, beside)
    for path in files_of(folder):
        if path.stem != stem.name:
            path.unlink()
    sweep(folder)


@contextlib.contextmanager
def writing(path: Path, checkpoints: Path) -> Iterator[None]:
    """Inside, what the disk refuses is a sentence with the path, and with what is kept.

    Args:
        path: What is written.
        checkpoints: The folder that holds the newest checkpoint.

    Raises:
        CheckpointError: In place of what the system says.
    """
    try:
        yield
    except OSError as error:
        said = error if isinstance(error, WriteError) else WriteError(path, error)
        newest = newest_checkpoint(checkpoints)
        kept = "Nothing was there to lose" if newest is None else f"{newest} is kept"
        raise CheckpointError(f"{said}. {kept}: the same call goes on from there.") from error


def newest_checkpoint(folder: Path) -> Path | None:
    """The `.pt` file of the newest whole checkpoint, or None."""
    complete = [path for path in files_of(folder) if path.suffix == ".pt"]
    return complete[-1] if complete else None


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint, or None.

    Raises:
        CheckpointError: If its files are damaged, or are no checkpoint of `fit`.
    """
    path = newest_checkpoint(folder)
    if path is None:
        return None
    again = f"Delete the folder {folder} to start from the beginning."
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # runs no code of the file
    except Exception as error:  # it raises many kinds
        raise CheckpointError(
            f"the checkpoint {path} cannot be read: it is damaged, or it holds objects whose code "
            f"would have to run and is no checkpoint of ours ({type(error).__name__}). {again}"
        ) from error
    fields, optional = set(Checkpoint._fields) - {"weights"}, set(Checkpoint._field_defaults)
    found = set(state) if isinstance(state, dict) else set()
    missing, unknown = fields - optional - found, found - fields
    if missing or unknown:
        lacks, more = (", ".join(sorted(x)[:5]) or "nothing" for x in (missing, unknown))
        raise CheckpointError(
            f"{path} is no checkpoint of this library: missing {lacks}, unknown {more}. {again}"
        )
    weights = read_weights(path.with_suffix(".safetensors"), f"the checkpoint {path}", again)
    return Checkpoint(weights=weights, **state)


def delete_checkpoints(folder: Path) -> None:
    """Delete a folder of checkpoints; files of others in it stay."""
    for path in files_of(folder):
        path.unlink(missing_ok=True)  # another process of this run may be faster
    sweep(folder)
    with contextlib.suppress(OSError):  # not empty, or never there
        folder.rmdir()


def check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Check that a folder holds this run and not another.

    A recipe is compared as `Recipe.from_record` reads it, so that runs of older versions go on.
    What was trained on decides, "trained_on", and the rest of the data set, "data", does not; older
    runs say the whole alone.

    Raises:
        CheckpointError: If recipe, seed, data or model differ; it names what does.
    """
    there, here = dict(found), dict(wanted)
    for side in (there, here):
        if "recipe" in side:
            side["recipe"] = Recipe.from_record(side["recipe"]).to_dict()
    if there.get("weights_sha256") is None and "weights_sha256" in here:
        there["weights_sha256"] = here["weights_sha256"]  # older runs do not say, or not of "synth"
    known = "trained_on" in there and "trained_on" in here
    for side in (there, here):
        side.pop("data" if known else "trained_on", None)
    differences = [
        f"{name} is {before!r} there and {after!r} now"
        for name, before, after in values_that_differ(there, here)
    ]
    if differences:
        raise CheckpointError(
            f"{folder} holds another run: {'; '.join(differences)}. Pass another `out`, or delete "
            "that folder, or pass resume=False to replace it."
        )


def save_weights(path: Path, model: nn.Module) -> None:
    """Write the weights of a model as safetensors, with the grid its positions belong to."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    backbone = model if isinstance(model, TokenBackbone) else getattr(model, "backbone", None)
    metadata = grid_metadata(backbone) if isinstance(backbone, TokenBackbone) else {}
    write_bytes(path, save(state, metadata=metadata))


def read_weights(path: Path, whole: str, again: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Args:
        path: The file.
        whole: What it is a part of, for the message.
        again: What to do if it cannot be read, a sentence.

    Raises:
        CheckpointError: If the file is gone or damaged.
    """
    try:
        return read_file(path, f"They are the weights of {whole}. {again}").state
    except WeightsError as error:
        raise CheckpointError(str(error)) from error


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], source: Path) -> None:
    """Fill an optimizer with the state of a run.

    Raises:
        CheckpointError: If its groups are of other parameters.
    """
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            f"the optimizer in {source} is of another model ({error}). Build the model with the "
            "settings of that run, or pass another `out`."
        ) from error


def load_into(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Fill a model with weights of a run.

    Raises:
        CheckpointError: If names or sizes differ; nothing is loaded then.
    """
    if difference := compare_state(model.state_dict(), weights):
        raise CheckpointError(
            f"the weights in {source} are of another model: {difference}. Build the model with "
            "the settings of that run, or pass another `out`."
        )
    model.load_state_dict(dict(weights))


def files_of(folder: Path) -> list[Path]:
    """The files of all checkpoints in a folder."""
    return sorted([*folder.glob("epoch-*.pt"), *folder.glob("epoch-*.safetensors")])


def values_that_differ(
    found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """(name, before, after) of every value that differs, at any depth; free settings may."""
    rows: list[tuple[str, Any, Any]] = []
    for name in sorted(set(found) | set(wanted)):
        if name in Recipe.FREE:
            continue
        before, after = (side.get(name, "absent") for side in (found, wanted))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            rows += values_that_differ(before, after, f"{prefix}{name}.")
        elif before != after:
            rows.append((prefix + name, before, after))
    return rows
