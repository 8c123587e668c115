"""Files as MATLAB writes them: version 5 by SciPy, version 7.3 (an HDF5 file) by h5py.

Both packages are needed by a few layouts alone and imported when one of these is written.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reidlab.files import atomic, write_bytes
from reidlab.synth.layout.base import STAGING

_USER_BLOCK = 512  # bytes before the HDF5 file proper
_CREATED = "Created on: Thu Jan  1 00:00:00 1970"  # the same world is the same bytes on any day
_EMPTY = np.zeros(2, np.uint64)  # an empty array is stored as its size, 0 by 0


def needed(package: str) -> Any:
    """Import a package that the core installation does not bring.

    Raises:
        ModuleNotFoundError: with the command that installs it.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        name = package.split(".")[0]
        raise ModuleNotFoundError(
            f"this layout has .mat files, which need {name}: pip install {name}", name=name
        ) from error


def columns(numbers: Iterable[int]) -> NDArray[np.float64]:
    """(N, 1): a column of doubles, as MATLAB keeps any number."""
    return np.array(list(numbers), dtype=np.float64).reshape(-1, 1)


def write_mat(path: Path, variables: Mapping[str, NDArray[Any]]) -> None:
    """Write a .mat file of version 5; arrays of objects become cells."""
    buffer = io.BytesIO()
    needed("scipy.io").savemat(buffer, dict(variables), oned_as="column")
    header = f"MATLAB 5.0 MAT-file, Platform: GLNXA64, {_CREATED}".encode().ljust(116)
    write_bytes(path, header + buffer.getvalue()[116:])  # SciPy's own header tells the time


def write_cuhk03(
    root: Path,
    archive: str,
    sizes: Sequence[int],
    slots: int,
    cells: Mapping[str, Mapping[tuple[int, int, int], str]],
    test_sets: Sequence[NDArray[np.int64]],
) -> None:
    """Put staged images and test sets into `root / archive`.

    HDF5 has rows where MATLAB has columns: a reader sees a 5 x 1 cell as (1, 5), and an image as
    (3, width, height).

    Args:
        root: folder of the set.
        archive: name of the file below it, and of the folder below the parts.
        sizes: people in each pair.
        slots: cells of a person.
        cells: by variable: the name of the image that is there, by (pair, person, slot) from 1.
        test_sets: (K, 2) each.
    """
    h5py, staged = needed("h5py"), root / STAGING / archive
    header = f"MATLAB 7.3 MAT-file, Platform: GLNXA64, {_CREATED} HDF5 schema 1.00 ."
    with atomic(root / archive) as beside:
        with h5py.File(beside, "w", userblock_size=_USER_BLOCK) as file:
            store = _Store(file, h5py)
            for variable, names in cells.items():
                images = {place: staged / variable / name for place, name in names.items()}
                pairs = []
                for pair, people in enumerate(sizes, start=1):
                    grid = [
                        [store.image(images.get((pair, p, s))) for p in range(1, people + 1)]
                        for s in range(1, slots + 1)
                    ]
                    pairs.append([store.cell(grid)])
                store.cell([[pair[0] for pair in pairs]], variable)
            store.cell([[store.numbers(people) for people in test_sets]], "testsets")
        with beside.open("r+b") as raw:
            raw.write(header.encode().ljust(116) + bytes(8) + b"\x00\x02IM")


class _Store:
    """What cells point to, in the group where MATLAB keeps it."""

    def __init__(self, file: Any, h5py: Any) -> None:
        self.file, self.h5py, self.group = file, h5py, file.create_group("#refs#")

    def _add(self, data: Any, kind: str, name: str = "", **options: Any) -> Any:
        group = self.file if name else self.group
        dataset = group.create_dataset(name or f"{len(self.group):08d}", data=data, **options)
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        return dataset

    def image(self, path: Path | None) -> Any:
        """A picture, or an empty cell."""
        if path is None:
            dataset = self._add(_EMPTY, "double")
            dataset.attrs["MATLAB_empty"] = np.uint8(1)
            return dataset.ref
        with Image.open(path) as picture:
            pixels = np.asarray(picture)  # (H, W, 3)
        return self._add(pixels.transpose(), "uint8", compression="gzip").ref

    def numbers(self, table: NDArray[np.int64]) -> Any:
        """A table of doubles."""
        return self._add(table.astype(np.float64).transpose(), "double").ref

    def cell(self, references: list[list[Any]], name: str = "") -> Any:
        """A cell array, given as it lies in HDF5; with a name it is a variable."""
        grid = np.array(references, dtype=self.h5py.ref_dtype)
        return self._add(grid, "cell", name, dtype=self.h5py.ref_dtype).ref
