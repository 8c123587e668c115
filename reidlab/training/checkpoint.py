"""Checkpoints: after each epoch all that is needed to go on as if nothing had happened.

A checkpoint is two files, `epoch-0003.safetensors` (the weights) and `epoch-0003.pt` (optimizer,
gradient scaler, history, configuration). The second is written last: a checkpoint exists when it
does. Both are loaded without running any code from the file.
There is no state of random generators in them: each epoch seeds its own (see `epoch_seed`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reidlab.models.pretrained import grid_metadata
from reidlab.models.vit import TokenBackbone
from reidlab.training.files import atomic

FREE = ("workers", "embed_batch_size")  # settings that change no trained weight
LATER = {
    "flip_test": False,
    "gather": True,
}  # settings that older runs do not name, and what they did


class CheckpointError(Exception):
    """A folder that holds another run, or a damaged one."""


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
    """

    epoch: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    history: list[dict[str, Any]]
    configuration: dict[str, Any]
    started: str


def save_checkpoint(folder: Path, checkpoint: Checkpoint, model: nn.Module) -> None:
    """Write a checkpoint and delete the ones before it."""
    stem = folder / f"epoch-{checkpoint.epoch:04d}"
    save_weights(stem.with_suffix(".safetensors"), model)
    state = checkpoint._asdict()
    state.pop("weights")
    with atomic(stem.with_suffix(".pt")) as beside:
        torch.save(state, beside)
    for path in _files(folder):
        if path.stem != stem.name:
            path.unlink()


def newest_checkpoint(folder: Path) -> Path | None:
    """The `.pt` file of the newest whole checkpoint, or None."""
    complete = [path for path in _files(folder) if path.suffix == ".pt"]
    return complete[-1] if complete else None


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint, or None.

    Raises:
        CheckpointError: If its files are damaged.
    """
    path = newest_checkpoint(folder)
    if path is None:
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        weights = load_file(path.with_suffix(".safetensors"))
        return Checkpoint(weights=weights, **state)
    except Exception as error:  # torch and safetensors raise many kinds for a damaged file
        raise CheckpointError(
            f"the checkpoint {path} cannot be read ({error}). Delete the folder {folder} to start "
            "from the beginning."
        ) from error


def delete_checkpoints(folder: Path) -> None:
    """Delete a folder of checkpoints; files of others in it stay."""
    for path in _files(folder):
        path.unlink(missing_ok=True)  # another process of this run may be faster
    with contextlib.suppress(OSError):  # not empty, or never there
        folder.rmdir()


def check_same(found: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Check that a folder holds this run and not another.

    Raises:
        CheckpointError: If recipe, seed, data or model differ; it names what does.
    """
    differences = [
        f"{name} is {before!r} there and {after!r} now"
        for name, before, after in values_that_differ(found, wanted)
    ]
    if differences:
        raise CheckpointError(
            f"{folder} holds another run: {'; '.join(differences)}. Pass another `out`, or delete "
            "that folder, or pass resume=False to replace it."
        )


def save_weights(path: Path, model: nn.Module) -> None:
    """Write the weights of a model as safetensors, with the grid its positions belong to."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    backbone = getattr(model, "backbone", None)
    metadata = grid_metadata(backbone) if isinstance(backbone, TokenBackbone) else {}
    with atomic(path) as beside:
        save_file(state, beside, metadata=metadata)


def load_into(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Fill a model with weights of a run.

    Raises:
        CheckpointError: If names or sizes differ; nothing is loaded then.
    """
    own = model.state_dict()
    missing, unknown = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    sizes = [k for k in own if k in weights and own[k].shape != weights[k].shape]
    if missing or unknown or sizes:
        raise CheckpointError(
            f"the weights in {source} are of another model: missing {missing[:5] or 'nothing'}, "
            f"unknown {unknown[:5] or 'nothing'}, of another size {sizes[:5] or 'nothing'}. "
            "Build the model with the settings of that run, or pass another `out`."
        )
    model.load_state_dict(dict(weights))


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("epoch-*.pt"), *folder.glob("epoch-*.safetensors")])


def values_that_differ(
    found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """(name, before, after) of every value that differs, at any depth; free settings may."""
    rows: list[tuple[str, Any, Any]] = []
    for name in sorted(set(found) | set(wanted)):
        if name in FREE:
            continue
        before, after = (side.get(name, LATER.get(name, "absent")) for side in (found, wanted))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            rows += values_that_differ(before, after, f"{prefix}{name}.")
        elif before != after:
            rows.append((prefix + name, before, after))
    return rows
