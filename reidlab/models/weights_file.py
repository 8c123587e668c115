"""Reading a file of weights: tensors by name, and nothing that could run code; whether it fits.

Training programs save weights in many wrappings: below "state_dict", "model" or "teacher", beside
an optimizer, with "module." before each name. `pick_weights` finds the network by its own names,
wherever it lies in the file, so there is no list of wrappings.

Whatever is wrong with the file, a damaged copy, a web page saved under its name, a pickle with
Python objects in it, is a `WeightsError` that says so.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reidlab.errors import ReidlabError
from reidlab.files import find
from reidlab.processes import is_main_process

Knows = Callable[[str], bool]  # whether a network has a weight of that name

WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_\w+_wrapped_module)\.")  # torch.compile's, FSDP's
PREFERRED = (  # of several networks in one file
    # the moving average, as timm takes it and as `fit` saves it; DINO's teacher is one
    re.compile(r"(^|[._])(ema|swa|average|averaged|teacher)([._]|$)"),
    # of two that a contrast compares the one that was trained, as MoCo and BYOL are judged
    re.compile(r"(^|[._])(encoder_q|base_encoder|online\w*)([._]|$)"),
)
_ARCHIVE = "an archive: unpack it, and pass the file of weights that is in it"
_PAGE = "a web page, not weights: download the file itself"
NO_WEIGHTS = {  # first bytes of files that are often saved in place of weights -> what they are
    b"version https://git-lfs": "a pointer of git LFS, not the file itself: run `git lfs pull`",
    b"/annex/objects": "a pointer of git-annex, not the file itself: run `git annex get`",
    b"<": _PAGE,
    b"{": "JSON text and cannot be read as weights, such as the index of several files or a "
    "server's answer: get the file of weights itself",
    b"\x89hdf": "an HDF5 file, as Keras writes it; weights of PyTorch are expected",
    b"\x1f\x8b": _ARCHIVE,
    b"bzh": _ARCHIVE,
    b"\xfd7zxz": _ARCHIVE,
    b"7z\xbc\xaf": _ARCHIVE,
    b"rar!": _ARCHIVE,
}
MARKS_AND_SPACE = b"\xef\xbb\xbf \t\r\n"  # that a text may begin with
TAR = slice(257, 262), b"ustar"  # where a tar says so
PICKLE, ZIP = b"\x80", b"PK"  # first bytes of a bare pickle, and of what torch.save writes
DEEPEST = 16  # mappings within each other; a file can hold one that holds itself
LONGEST_HEADER = 100_000_000  # bytes, of safetensors


def _harmless() -> list[Any]:
    """Classes that often stand beside weights and run nothing when they are read.

    Arguments of a command line, numbers and arrays of NumPy, which has two names for where they
    are, and paths, of either system.
    """
    numpy: Any = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    names = ("_reconstruct", "scalar")
    return [
        *(argparse.Namespace, collections.defaultdict, np.dtype, np.ndarray),
        *(getattr(np.dtypes, name) for name in np.dtypes.__all__),
        *(
            (function, f"numpy.{core}.multiarray.{name}")
            for core in ("core", "_core")
            for function, name in zip(numpy, names, strict=True)
        ),
        *(
            (getattr(pathlib, f"Pure{system}Path"), f"{module}.{pure}{system}Path")
            for module in ("pathlib", "pathlib._local")
            for pure in ("", "Pure")
            for system in ("Posix", "Windows")
        ),
    ]


class WeightsError(ReidlabError):
    """The weights cannot be found or do not fit."""


class WeightsFile(NamedTuple):
    """What a file holds.

    Attributes:
        state: Name -> tensor.
        metadata: What a safetensors file says about itself; empty for others.
        name: Of the file, for messages.
        place: Where in it the weights were, such as "state_dict.module."; see `pick_weights`.
    """

    state: dict[str, Tensor]
    metadata: dict[str, str]
    name: str
    place: str = ""

    @property
    def source(self) -> str:
        """Name and place: "net.pth (state_dict.module.*)"."""
        return f"{self.name} ({self.place}*)" if self.place else self.name


class StateDifference(NamedTuple):
    """How two state dicts differ; false if they do not.

    Attributes:
        unknown: Names of the one found that the model does not have.
        missing: Names of the model that it lacks.
        sizes: "NAME (3, 4) instead of (5, 4)" for each tensor of another size, and "NAME int8
            instead of float32" for whole numbers in place of weights.
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
    sizes = []
    for key in (key for key in own if key in found):
        wanted, there = own[key], found[key]
        if there.shape != wanted.shape:
            sizes.append(f"{key} {tuple(there.shape)} instead of {tuple(wanted.shape)}")
        elif wanted.is_floating_point() and not there.is_floating_point():
            sizes.append(f"{key} {there.dtype} instead of {wanted.dtype}")
    return StateDifference(
        sorted(found.keys() - own.keys()), sorted(own.keys() - found.keys()), sizes
    )


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "none") + rest


def read_weights(path: Path, hint: str = "", knows: Knows | None = None) -> WeightsFile:
    """Read a file of safetensors, or one that torch.save wrote, whatever its suffix.

    Args:
        path: The file.
        hint: What it is part of and what to do without it, one or two sentences: the end of every
            message. "": it was passed as `weights`.
        knows: See `pick_weights`.

    Raises:
        WeightsError: If it is missing, may not be read, is damaged, or holds something else than
            tensors by name.
    """
    what = f"{path}" if hint else f"weights={str(path)!r}"
    try:
        held, metadata = _held(path)
        return pick_weights(held, path.name, knows)._replace(metadata=metadata)
    except WeightsError as error:
        raise WeightsError(f"{error} {hint}".rstrip()) from error.__cause__
    except (FileNotFoundError, NotADirectoryError):
        usual = "Expected 'synth', 'plain', 'timm', None, or a .safetensors or .pth file."
        raise WeightsError(f"{what}: there is no such file. {hint or usual}") from None
    except IsADirectoryError:
        files = [each.name for each in find(path, "*") if each.is_file()]
        raise WeightsError(
            f"{what}: there is no such file, but a folder. Pass the file of weights: it holds "
            f"{_some(files)}. {hint}".rstrip()
        ) from None
    except OSError as error:
        raise WeightsError(
            f"{what} cannot be opened ({error.strerror}): allow yourself to read it, or copy it. "
            f"{hint}".rstrip()
        ) from error


def pick_weights(held: Mapping[str, Any], name: str, knows: Knows | None = None) -> WeightsFile:
    """The weights of one network out of all that a training program saved.

    Where a network is known by its names, it is found below whatever stands before them, in
    mappings ("state_dict", "ema") and in names ("module.", "backbone."); and what was found is
    printed. Of several, such as a moving average beside the weights it is of, `PREFERRED` is taken.

    Args:
        held: Tensors by name, or mappings that hold such, at any depth, beside anything else.
        name: Of the file, for messages.
        knows: Whether the network to be filled has a weight of that name. None: it may have any;
            the mapping with the most tensors is taken, with names as they are.

    Returns:
        Tensors by the network's own names, or, if the file has none of them, by the file's.

    Raises:
        WeightsError: If there are no tensors by name, or two networks to choose from, or a value
            is no number.
    """
    places = dict(_mappings(held))
    if not places:
        kinds = [f"{key} ({type(value).__name__})" for key, value in held.items()]
        raise WeightsError(
            f"{name} holds no state dict; expected names with one tensor each, alone or below a "
            f"name such as 'state_dict'. It holds {_some(kinds)}."
        )
    scores = {place: len(state) for place, state in places.items()}
    if knows is not None:
        below = _below(places)
        known = {place: sum(map(knows, state)) for place, state in below.items()}
        if any(known.values()):
            places, scores = below, known
    best = max(scores.values())
    rivals = left = [place for place, score in scores.items() if score == best]
    for preferred in PREFERRED:
        left = [place for place in left if preferred.search(place)] or left
    if len(left) > 1 and not _alike([places[place] for place in left]):
        raise WeightsError(
            f"{name} holds {len(left)} networks: {_some([f'{place}*' for place in left])}. Save "
            "the one you mean alone, as names with one tensor each, and pass that file."
        )
    place = min(left, key=len)
    if place and is_main_process():
        others = _some([f"{each}*" for each in rivals if each != place])
        told = f", not {others}" if len(rivals) > 1 else ""
        print(f"{name}: the weights are taken from {place}*{told}", flush=True)
    _check_values(places[place], f"{name}: {place}")
    return WeightsFile(places[place], {}, name, place)


def _mappings(held: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping that holds tensors by name: the names that lead there, and its tensors."""
    own = {k: v for k, v in held.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if own:
        yield place, own
    for key, value in held.items():
        if isinstance(value, Mapping) and place.count(".") < DEEPEST:
            yield from _mappings(value, f"{place}{key}.")


def _alike(states: list[dict[str, Tensor]]) -> bool:
    """Whether all are one network, saved several times."""
    first, *others = states
    return all(
        other.keys() == first.keys() and all(torch.equal(other[key], first[key]) for key in first)
        for other in others
    )


def _check_values(state: Mapping[str, Tensor], where: str) -> None:
    for key, value in state.items():
        if value.is_meta or value.is_quantized or value.layout != torch.strided:
            raise WeightsError(
                f"{where}{key} is no plain tensor ({value.dtype}, {value.layout}, on "
                f"{value.device}). Save the weights as they are in memory, dense and not quantized."
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise WeightsError(
                f"{where}{key} has values that are no numbers. The file is damaged, or of a run "
                "that diverged."
            )


def _below(places: Mapping[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """The same, and of each mapping what lies below each beginning of a name in it."""
    found: dict[str, dict[str, Tensor]] = {}
    for place, state in places.items():
        for wrapped, value in state.items():
            key = WRAPPED.sub("", wrapped)
            for cut in (0, *(dot.end() for dot in re.finditer(r"\.", key))):
                found.setdefault(place + key[:cut], {})[key[cut:]] = value
    return found


def _held(path: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    """What a file holds, and what it says about itself; by its content, suffixes may be wrong."""
    with path.open("rb") as file:
        start = file.read(512)
    # a file of safetensors begins with the length of a JSON text, and with the text
    safe = start[8:9] == b"{" and int.from_bytes(start[:8], "little") < LONGEST_HEADER
    text = start.lstrip(MARKS_AND_SPACE).lower()
    kind = next(
        (kind for beginning, kind in NO_WEIGHTS.items() if text.startswith(beginning)),
        _ARCHIVE if start[TAR[0]] == TAR[1] else None,
    )
    if kind is not None and not safe:
        raise WeightsError(f"{path.name} is {kind}.")
    if safe or (path.suffix == ".safetensors" and not start.startswith((PICKLE, ZIP))):
        return _safetensors(path)
    return _pickled(path), {}


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error


def _pickled(path: Path) -> Mapping[str, Any]:
    _check_zip(path)
    try:
        # weights_only: runs no code of the file; which is opened here, as torch looks at suffixes
        with torch.serialization.safe_globals(_harmless()), path.open("rb") as file:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error) and not path.read_bytes()[:1] == PICKLE:
            raise _damaged(path, "it is no file of tensors") from error
        first = re.search(r"GLOBAL (\S+)", str(error))
        objects = f" ({first[1]})" if first else ""
        raise WeightsError(
            f"{path.name} holds Python objects{objects} beside its tensors, and reading them would "
            "run code of the file; it was refused. If you trust where it comes from, save its "
            "weights alone: torch.save(torch.load('old.pth', weights_only=False)['state_dict'], "
            "'new.pth') or whatever its entry is called, of a whole network .state_dict(), and "
            "pass the new file."
        ) from error
    except Exception as error:  # torch lets through what a damaged zip or pickle makes it raise
        raise _damaged(path, str(error)) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"{path.name} holds no state dict; expected names with one tensor each, and it is a "
            f"{type(loaded).__name__}."
        )
    return loaded


def _check_zip(path: Path) -> None:
    """Of zip archives only those of torch.save are read; others say what they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return  # no zip, or a damaged one: torch says so
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            f"{path.name} is a TorchScript program, and running it would be needed to read it; it "
            "was refused. If you trust where it comes from, save its weights alone: "
            "torch.save(torch.jit.load('old.pt').state_dict(), 'new.pth'), and pass the new file."
        )
    if names and all(name.endswith(".npy") for name in names):
        raise WeightsError(
            f"{path.name} is an archive of NumPy; weights of PyTorch are expected. timm has "
            "Google's ViTs: weights='timm', and their tag in the backbone's name."
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise WeightsError(f"{path.name} is {_ARCHIVE}: {_some(names)}.")


def _damaged(path: Path, reason: str) -> WeightsError:
    first_line = (reason.strip().splitlines() or ["nothing in it"])[0].split(". ")[0]
    return WeightsError(
        f"{path.name} cannot be read ({path.stat().st_size} bytes; {first_line}). Expected a whole "
        ".safetensors file, or one that torch.save wrote; compare its size with the original's and "
        "copy it again."
    )
