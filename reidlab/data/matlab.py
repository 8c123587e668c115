"""MATLAB files. Two formats share the suffix .mat, and no library reads both.

Version 5 (and 7) is read by scipy, version 7.3 is HDF5 and read by h5py. Both libraries are
optional: they are imported where a file has to be read.
"""

from __future__ import annotations

import importlib
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.data.errors import DatasetError

HDF5 = b"\x89HDF\r\n\x1a\n"
H5PY_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError)
"""What h5py raises for a damaged file, the last two where a variable is of another kind."""
USER_BLOCK = 512  # bytes that MATLAB writes before the HDF5 file proper


def split_virtual(path: str | Path) -> tuple[str, str] | None:
    """(the .mat file, the place in it) of a path that leads through one; None for any other path.

    Example:
        split_virtual("/data/cuhk-03.mat/detected/1_001_1_01.png")
        # ("/data/cuhk-03.mat", "detected/1_001_1_01.png")
    """
    head, mark, inside = os.fspath(path).partition(f".mat{os.sep}")
    if not mark or not os.path.isfile(f"{head}.mat"):  # a folder may be called so, too
        return None
    return f"{head}.mat", inside.replace(os.sep, "/")


def file_of(path: str | Path) -> str:
    """The file that holds an image: its own, or the .mat file that its path leads through."""
    inside = split_virtual(path)
    return os.fspath(path) if inside is None else inside[0]


def load_matlab5(path: Path, *names: str) -> tuple[np.ndarray[Any, Any], ...]:
    """Variables of a .mat file of version 5, cells as arrays of objects.

    Raises:
        DatasetError: missing, another version, damaged, or without one of the variables.
    """
    _expect_version(path, "5")
    scipy_io = _optional("scipy.io", "scipy", path)
    try:
        _check_sizes(path.read_bytes())
        variables = scipy_io.loadmat(path)
    except Exception as error:  # scipy raises a dozen kinds for damaged files
        raise _damaged(path, error) from error
    _expect_variables(path, names, variables)
    return tuple(variables[name] for name in names)


@contextmanager
def open_matlab73(path: Path, *names: str) -> Iterator[Any]:
    """The h5py file of a .mat of version 7.3; arrays in it lie transposed.

    Raises:
        DatasetError: missing, another version, without one of the variables, or damaged (also
            where that is noticed inside the block).
    """
    _expect_version(path, "7.3")
    h5py = _optional("h5py", "h5py", path)
    try:
        with h5py.File(path, "r") as file:
            _expect_variables(path, names, file)
            yield file
    except H5PY_ERRORS as error:
        raise _damaged(path, error) from error


def whole_numbers(path: Path, variable: str, values: Any) -> NDArray[np.int64]:
    """An array of a .mat file, doubles as a rule, as the whole numbers it holds.

    Raises:
        DatasetError: it is empty, or something in it is no whole number from 0.
    """
    array = np.asarray(values)
    numbers = array.dtype.kind in "uif" and array.size > 0
    with np.errstate(invalid="ignore"):  # nan and infinity are no whole numbers
        whole = array.astype(np.int64) if numbers else np.empty(0, np.int64)
    wrong = array[(whole != array) | (whole < 0)] if numbers else array.ravel()
    if not numbers or wrong.size:
        found = f"{wrong.ravel()[0]!s:.40}" if wrong.size else "nothing"
        raise DatasetError(
            f"{path}: {variable} holds {found}, expected whole numbers. Take the published file"
        )
    return whole


def _check_sizes(content: bytes) -> None:
    """Walk through a file of version 5 and compare the sizes that it states.

    SciPy trusts them: a file whose end is zeros, as an interrupted download leaves it, can make it
    read beyond its memory and end the process.

    Raises:
        ValueError: sizes that contradict each other.
    """
    order = ">" if content[126:128] == b"MI" else "<"
    for kind, data in _elements(memoryview(content)[128:], order):
        if kind == _COMPRESSED:
            ((kind, data),) = _elements(memoryview(zlib.decompress(data)), order)
        _check_matrix(kind, data, order)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and bytes of each element; a tag of 8 bytes stands before them, or holds up to four."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        start, after = place + 8, place + 8 + size
        if kind >> 16:
            kind, size, start, after = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        if start + size > min(after, len(data)):
            raise ValueError(f"an element of {size} bytes where {len(data) - start} are left")
        yield kind, data[start : start + size]
        place = after if kind == _COMPRESSED else after + -after % 8


def _check_matrix(kind: int, data: memoryview, order: str) -> None:
    """A variable, or a cell of one: as many values as its dimensions say."""
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind}, expected an array")
    if not data:  # an empty cell
        return
    (_, flags), (_, sizes), _, *parts = _elements(data, order)
    (word,) = struct.unpack_from(f"{order}I", flags)
    array_class, is_complex = word & 0xFF, word >> 11 & 1
    count = math.prod(struct.unpack(f"{order}{len(sizes) // 4}i", sizes))
    if array_class == _CELLS:
        if len(parts) != count:
            raise ValueError(f"{len(parts)} cells, expected {count}")
        for cell in parts:
            _check_matrix(*cell, order)
    elif array_class in _VALUES:
        if len(parts) != 1 + is_complex:
            raise ValueError(f"an array in {len(parts)} parts, expected {1 + is_complex}")
        for of_type, values in parts:
            text = array_class == _CHARACTERS and of_type == _UTF8
            held = len(str(values, "utf-8")) if text else len(values) / _WIDTHS[of_type]
            if held != count:
                raise ValueError(f"{held:g} values, expected {count}")


_MATRIX, _COMPRESSED, _UTF8 = 14, 15, 16  # types of elements
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_CELLS, _CHARACTERS = 1, 4  # classes of arrays
_VALUES = (_CHARACTERS, *range(6, 16))


def _optional(module: str, package: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DatasetError(
            f"{path} is read with {package}, which is not installed: pip install 'reidlab[data]' "
            f"(or pip install {package})"
        ) from error


def _expect_version(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as file:
            header = file.read(USER_BLOCK + len(HDF5))
    except OSError as error:
        raise DatasetError(f"cannot read {path} ({error}): copy it again") from error
    if header.startswith(b"MATLAB 5.0"):
        version = "5"
    elif header.startswith((b"MATLAB 7.3", HDF5)) or header.endswith(HDF5):
        version = "7.3"
    else:
        raise DatasetError(
            f"{path} is no MATLAB file (it begins with {header[:10]!r}): was the download cut off, "
            "or a web page saved instead? Get it again"
        )
    if version != expected:
        flag = {"5": "-v7", "7.3": "-v7.3"}[expected]
        raise DatasetError(
            f"{path} is a MATLAB file of version {version}, expected version {expected}: take the "
            f"file as it was published, or save it again in MATLAB with {flag!r}"
        )


def _expect_variables(path: Path, names: tuple[str, ...], variables: Any) -> None:
    missing = [name for name in names if name not in variables]
    if missing:
        found = ", ".join(sorted(name for name in variables if not name.startswith(("_", "#"))))
        raise DatasetError(
            f"{path} has no variable {', '.join(missing)}; it has {found or 'none'}. Is it another "
            "file under this name? Take the published one"
        )


def _damaged(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"cannot read {path} ({type(error).__name__}: {error}): it is damaged, perhaps an "
        "interrupted copy, or another file under this name. Copy or download it again"
    )
