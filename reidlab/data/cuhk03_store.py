"""cuhk-03.mat: the images of CUHK03 in one HDF5 file, read where they lie.

The variables `labeled` and `detected` are cells of five camera pairs, each a cell of people x 10 images,
some empty; `testsets` are the 20 classic test sets. HDF5 holds all of it transposed. The path of an
image leads through the file: `.../cuhk-03.mat/detected/1_001_1_01.png`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.data.errors import DatasetError
from reidlab.data.matlab import open_matlab73

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
        return [
            f"{pair}_{person:03d}_{1 if slot <= SLOTS // 2 else 2}_{slot:02d}.png"
            for pair, cells in enumerate(_pairs(file, boxes, mat), start=1)
            for person, references in enumerate(cells.T, start=1)
            for slot, reference in enumerate(references, start=1)
            if reference and len(file[reference].shape or ()) == 3
        ]


def pair_sizes(mat: Path) -> list[int]:
    """People in each pair of cameras."""
    with open_matlab73(mat, BOXES[0]) as file:
        return [cells.shape[1] for cells in _pairs(file, BOXES[0], mat)]


def stored_test_set(mat: Path, split: int) -> NDArray[np.float64]:
    """(people, 2): pair and person of one of the classic test sets, as they stand there."""
    with open_matlab73(mat, "testsets") as file:
        references = file["testsets"][()].ravel()
        if split >= len(references):
            raise DatasetError(
                f"{mat} holds {len(references)} test sets, so there is no split={split}: expected "
                "20 of them. Take the published file"
            )
        return np.asarray(file[references[split]][()], np.float64).T


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
        inside = person <= cells.shape[1]
        pixels = file[cells[slot - 1, person - 1]][()] if inside else np.empty(0)
    if pixels.ndim != 3:
        raise DatasetError(f"there is no image {place!r} in {mat}: its cell is empty")
    return np.ascontiguousarray(pixels.T, dtype=np.uint8)


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
