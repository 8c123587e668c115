"""cuhk-03.mat: the images of CUHK03 in one HDF5 file, read where they lie.

The variables `labeled` and `detected` are cells of five camera pairs, each a cell of people x 10
images, some empty; `testsets` are the 20 classic test sets. HDF5 holds all of it transposed. The
path of an image leads through the file: `.../cuhk-03.mat/detected/1_001_1_01.png`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.data.errors import DatasetError
from reidlab.data.matlab import open_matlab73, whole_numbers

BOXES = ("detected", "labeled")
SLOTS = 10  # 1 to 5 of the first view, 6 to 10 of the second
PEOPLE = (843, 440, 77, 58, 49)  # in each pair of cameras
NAME = re.compile(r"([1-5])_(?!000)(\d{3})_(?:(1)_0[1-5]|(2)_(?:0[6-9]|10))\.png", re.ASCII)
EXAMPLE = "1_001_1_01.png"

Person = tuple[int, int]  # pair and person in it, both from 1


def person_of(name: str) -> Person:
    """Who is on the image of that name."""
    pair, person = name.split("_")[:2]
    return int(pair), int(person)


def view_of(name: str) -> int:
    """1 or 2."""
    return int(name.split("_")[2])


def stored_names(mat: Path, boxes: str) -> list[str]:
    """Names of all images; empty cells are skipped. No pixel is read."""
    with open_matlab73(mat, boxes) as file:
        return [name for name, _ in _images(file, boxes, mat)]


def stored_images(mat: Path, boxes: str) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Name and (H, W, 3) pixels of all images, one after another."""
    with open_matlab73(mat, boxes) as file:
        for name, cell in _images(file, boxes, mat):
            yield name, _pixels(cell)


def pair_sizes(mat: Path) -> list[int]:
    """People in each pair of cameras."""
    with open_matlab73(mat, BOXES[0]) as file:
        return [cells.shape[1] for cells in _pairs(file, BOXES[0], mat)]


def stored_test_sets(mat: Path) -> list[NDArray[np.int64]]:
    """The classic test sets: (people, 2) each, pair and person as they stand there."""
    with open_matlab73(mat, "testsets") as file:
        sets = [file[reference][()] for reference in file["testsets"][()].ravel()]
    return [whole_numbers(mat, "testsets", rows).T for rows in sets]


def read_stored_image(mat: str, place: str) -> NDArray[np.uint8]:
    """(H, W, 3) pixels of an image.

    The file is opened and closed again, so that processes that read at once do not share it.

    Args:
        mat: the file.
        place: such as "detected/1_001_1_01.png".

    Raises:
        DatasetError: the file is damaged, or has no such image.
    """
    boxes, _, name = place.partition("/")
    if boxes not in BOXES or not NAME.fullmatch(name):
        raise DatasetError(
            f"{mat} has no image {place!r}: expected a place like 'detected/{EXAMPLE}'"
        )
    slot = int(name.removesuffix(".png").rsplit("_", 1)[1])
    pair, person = person_of(name)
    with open_matlab73(Path(mat), boxes) as file:
        cells = file[file[boxes][()].ravel()[pair - 1]]
        cell = _filled(file, cells[slot - 1, person - 1]) if person <= cells.shape[1] else None
        if cell is None:
            raise DatasetError(f"there is no image {place!r} in {mat}: its cell is empty")
        return _pixels(cell)


def _images(file: Any, boxes: str, mat: Path) -> Iterator[tuple[str, Any]]:
    """Name and h5py data set of each image, in the order of the names; empty cells are skipped."""
    for pair, cells in enumerate(_pairs(file, boxes, mat), start=1):
        for person, references in enumerate(cells.T, start=1):
            for slot, reference in enumerate(references, start=1):
                cell = _filled(file, reference)
                if cell is not None:
                    view = 1 if slot <= SLOTS // 2 else 2
                    yield f"{pair}_{person:03d}_{view}_{slot:02d}.png", cell


def _filled(file: Any, reference: Any) -> Any | None:
    """The cell, if there is an image in it: MATLAB stores the size of an empty one, a vector."""
    cell = file[reference] if reference else None
    return cell if cell is not None and len(cell.shape or ()) == 3 else None


def _pixels(cell: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cell[()].T, dtype=np.uint8)


def _pairs(file: Any, boxes: str, mat: Path) -> list[NDArray[Any]]:
    """The (10, people) references of each camera pair."""
    pairs = [file[reference][()] for reference in file[boxes][()].ravel()]
    shapes = [cells.shape for cells in pairs]
    if len(pairs) != len(PEOPLE) or any(len(s) != 2 or s[0] != SLOTS for s in shapes):
        raise DatasetError(
            f"{mat} has cells of the shapes {shapes} in {boxes!r}, expected {len(PEOPLE)} pairs of "
            f"cameras with people x {SLOTS} images (transposed). Take the published file"
        )
    return pairs
