"""MATLAB files. Two formats share the suffix .mat, and no library reads both.

Version 5 (and 7) is read by scipy, version 7.3 is HDF5 and read by h5py. Both libraries are optional:
they are imported where a file has to be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from reidlab.data.errors import DatasetError

HDF5 = b"\x89HDF\r\n\x1a\n"
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


def load_matlab5(path: Path, *names: str) -> tuple[np.ndarray[Any, Any], ...]:
    """Variables of a .mat file of version 5, cells as arrays of objects.

    Raises:
        DatasetError: missing, another version, damaged, or without one of the variables.
    """
    _expect_version(path, "5")
    scipy_io = _optional("scipy.io", "scipy", path)
    try:
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
    except (OSError, KeyError, RuntimeError, ValueError) as error:  # what h5py raises
        raise _damaged(path, error) from error


def _optional(module: str, package: str, path: Path) -> ModuleType:
    import importlib

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
        "interrupted copy. Copy or download it again"
    )
