"""Reading a file of weights: tensors by name, and nothing that could run code; whether it fits.

Whatever is wrong with the file, a damaged copy, a web page saved under its name, a pickle with
Python objects in it, is a `WeightsError` that says so.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reidlab.errors import ReidlabError

WRAPPERS = ("state_dict", "model")  # where training programs put the weights
NO_WEIGHTS = {  # first bytes of files that are often saved in place of weights -> what they are
    b"version https://git-lfs": "a pointer of git LFS, not the file itself: run `git lfs pull`",
    b"<!doctype": "a web page, not weights: download the file itself",
    b"<html": "a web page, not weights: download the file itself",
}

PICKLE = b"\x80"  # first byte of a bare pickle


class WeightsError(ReidlabError):
    """The weights cannot be found or do not fit."""


class WeightsFile(NamedTuple):
    """What a file holds.

    Attributes:
        state: Name -> tensor.
        metadata: What a safetensors file says about itself; empty for others.
        name: Of the file, for messages.
    """

    state: dict[str, Tensor]
    metadata: dict[str, str]
    name: str


class StateDifference(NamedTuple):
    """How two state dicts differ; false if they do not.

    Attributes:
        unknown: Names of the one found that the model does not have.
        missing: Names of the model that it lacks.
        sizes: "NAME (3, 4) instead of (5, 4)" for each tensor of another size.
    """

    unknown: list[str]
    missing: list[str]
    sizes: list[str]

    def __bool__(self) -> bool:
        return any(self)

    def __str__(self) -> str:
        return (
            f"unknown keys {_some(self.unknown)}; missing keys {_some(self.missing)}; "
            f"other sizes {_some(self.sizes)}"
        )


def compare_state(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> StateDifference:
    """Compare the names and sizes of a model's state dict with those of another, strictly.

    Args:
        own: The model's.
        found: What is to be loaded into it, after renaming.
    """
    sizes = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in found and found[key].shape != own[key].shape
    ]
    return StateDifference(
        sorted(found.keys() - own.keys()), sorted(own.keys() - found.keys()), sizes
    )


def _some(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + rest


def read_weights(path: Path, hint: str = "") -> WeightsFile:
    """Read a `.safetensors` file, or one that torch.save wrote (`.pth`, `.pt`, `.bin`).

    Args:
        path: The file.
        hint: What it is part of and what to do without it, one or two sentences: the end of every
            message. "": it was passed as `weights`.

    Raises:
        WeightsError: If it is missing, damaged, or holds something else than tensors by name.
    """
    if not path.is_file():
        what = f"{path}" if hint else f"weights={str(path)!r}"
        usual = "Expected 'synth', 'timm', None, or the path of a .safetensors, .pth or .npz file."
        raise WeightsError(f"{what}: there is no such file. {hint or usual}")
    try:
        return _read(path)
    except WeightsError as error:
        raise WeightsError(f"{error} {hint}".rstrip()) from error.__cause__


def _read(path: Path) -> WeightsFile:
    with path.open("rb") as file:
        start = file.read(64)
    for beginning, what in NO_WEIGHTS.items():
        if start.lstrip().lower().startswith(beginning):
            raise WeightsError(f"{path.name} is {what}.")
    read = _safetensors if path.suffix == ".safetensors" else _pickled
    state, metadata = read(path)
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise WeightsError(
                f"{path.name}: {key} has values that are no numbers. The file is damaged, or of a "
                "run that diverged."
            )
    return WeightsFile(state, metadata, path.name)


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error


def _pickled(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)  # runs no code of the file
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error) and not path.read_bytes()[:1] == PICKLE:
            raise _damaged(path, "it is no file of tensors") from error
        raise WeightsError(
            f"{path.name} holds Python objects beside its tensors, and reading them would run code "
            "of the file; it was refused. If you trust where it comes from, save its weights "
            "alone: torch.save(torch.load('old.pth', weights_only=False)['state_dict'], 'new.pth') "
            "or whatever its entry is called, and pass the new file."
        ) from error
    except Exception as error:  # torch lets through what a damaged zip or pickle makes it raise
        raise _damaged(path, str(error)) from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError(f"{path.name} holds no state dict; expected names with one tensor each.")
    return loaded, {}


def _damaged(path: Path, reason: str) -> WeightsError:
    first_line = (reason.strip().splitlines() or ["nothing in it"])[0]
    return WeightsError(
        f"{path.name} cannot be read ({path.stat().st_size} bytes; {first_line}). Expected a whole "
        ".safetensors file, or one that torch.save wrote; compare its size with the original's and "
        "copy it again."
    )
