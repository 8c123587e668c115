"""Who is trained on and who tested in CUHK03: the published .mat files, or torchreid's .json.

Paths in the .json files are absolute and of another machine, so they are matched by base name;
their ids are relabelled, so people are numbered by their names.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.data.cuhk03_store import (
    EXAMPLE,
    NAME,
    PEOPLE,
    Person,
    person_of,
    stored_test_sets,
    view_of,
)
from reidlab.data.dataset import SPLITS, Findings, some
from reidlab.data.errors import DatasetError
from reidlab.data.lists import check_disjoint, image_name, once, read_text
from reidlab.data.matlab import load_matlab5, whole_numbers
from reidlab.data.spelling import plain_id

CONFIG_VARIABLES = ("filelist", "labels", "camId", "train_idx", "query_idx", "gallery_idx")
TRIALS = range(20)


@dataclass(frozen=True)
class Split:
    """What a file says about the split: the images of each part, or the people to test on.

    Args:
        file: that says so.
        names: base names of the images by split, or None.
        tested: the people to test on, where there are no names: all their images are query and
            gallery.
        pids: the person of each image, where the file numbers people.
    """

    file: Path
    names: Mapping[str, list[str]] | None = None
    tested: Collection[Person] = ()
    pids: Mapping[str, int] = field(default_factory=dict)

    def listed(self, all_names: Collection[str]) -> Mapping[str, list[str]]:
        """Base names by split; `all_names` are those of all images."""
        if self.names is not None:
            return self.names
        test = [name for name in all_names if person_of(name) in self.tested]
        chosen = set(test)
        train = [name for name in all_names if name not in chosen]
        return {"train": train, "query": test, "gallery": test}


def config_split(path: Path, found: Findings) -> Split:
    """The new protocol as published: cuhk03_new_protocol_config_<boxes>.mat.

    Raises:
        DatasetError: it cannot be read, or contradicts itself.
    """
    filelist, labels, views, *indices = load_matlab5(path, *CONFIG_VARIABLES)
    cells = [str(np.asarray(cell).ravel()[0]) for cell in filelist.ravel() if np.size(cell)]
    files = [image_name(cell, 1, found) for cell in cells]
    _check_names(path, files)
    if not len(files) == labels.size == views.size:
        raise DatasetError(
            f"{path} lists {len(files)} files, {labels.size} labels and {views.size} cameras, "
            "expected as many of each. Take the published file"
        )
    pids = dict(zip(files, whole_numbers(path, "labels", labels).ravel().tolist(), strict=True))
    _check_config(path, files, pids, whole_numbers(path, "camId", views).ravel())
    places = zip(SPLITS, indices, strict=True)
    names = {part: _chosen(path, f"{part}_idx", files, rows, found) for part, rows in places}
    check_disjoint(path, names)
    return Split(path, names, pids=pids)


def json_split(path: Path, split: int, found: Findings, *, query_in_gallery: bool = False) -> Split:
    """A split as torchreid and fast-reid write it, {train, query, gallery: [[path, id, cam], ...]}.

    Args:
        path: of the file.
        split: which of those in it.
        found: where repeated images are reported.
        query_in_gallery: the same images may be both, as in the classic protocol.

    Raises:
        DatasetError: no JSON, or of another form, or it contradicts itself.
    """
    try:
        splits = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(
            f"{path} is no JSON ({error}): it is damaged, perhaps an interrupted copy. Copy it "
            "again, or delete it and use the published .mat"
        ) from error
    if not isinstance(splits, list) or split >= len(splits):
        count = len(splits) if isinstance(splits, list) else "no list of"
        raise DatasetError(
            f"{path} holds {count} splits, so there is no split {split}. Take a file that "
            "torchreid wrote"
        )
    rows = {part: _json_rows(path, part, splits[split], found) for part in SPLITS}
    _check_cameras(path, [row for of_part in rows.values() for row in of_part], found)
    names = {
        part: once(f"{path.name}: {part}", "images", (name for name, _ in of_part), found)
        for part, of_part in rows.items()
    }
    apart = names
    if query_in_gallery:
        apart = {"train": names["train"], "query or gallery": names["query"] + names["gallery"]}
    check_disjoint(path, apart)
    return Split(path, names)


def classic_split(root: Path, mat: Path | None, split: int) -> Split | None:
    """One of the classic test sets, from wherever it stands; None if it stands nowhere.

    Raises:
        DatasetError: the file cannot be read, or its people are none of CUHK03's.
    """
    if (path := root / "testsets.mat").is_file():
        (cells,) = load_matlab5(path, "testsets")
        people = _of_twenty(path, list(cells.ravel()), split)
    elif (path := root / "testsets.csv").is_file():
        people = _csv_test_set(path, split)
    elif mat is not None:
        path, people = mat, _of_twenty(mat, stored_test_sets(mat), split)
    else:
        return None
    return Split(path, tested=_tested(path, people))


def _of_twenty(path: Path, sets: Sequence[Any], split: int) -> Any:
    if split >= len(sets):
        raise DatasetError(
            f"{path} holds {len(sets)} test sets, so there is no split={split}: expected "
            f"{len(TRIALS)} of them. Take the published file"
        )
    return sets[split]


def _check_names(path: Path, names: list[str]) -> None:
    if not names:
        raise DatasetError(f"{path} names no image in a part of the split. Take the published file")
    foreign = [name for name in names if not NAME.fullmatch(name)]
    if foreign:
        raise DatasetError(
            f"{path} lists {len(foreign)} names that are not CUHK03's: {some(foreign)} "
            f"(expected names like {EXAMPLE}). Take the published file"
        )


def _check_config(
    path: Path, files: list[str], pids: Mapping[str, int], views: NDArray[np.int64]
) -> None:
    """Labels and cameras of a configuration against the names, which say the same."""
    wrong = [name for name, view in zip(files, views, strict=True) if view_of(name) != view]
    if wrong:
        raise DatasetError(
            f"{path}: camId of {len(wrong)} images is not the view of their name, e.g. {wrong[0]}. "
            "Views count from 1. Take the published file"
        )
    if len(pids) < len(files) or min(pids.values()) < 1:
        raise DatasetError(
            f"{path}: {len(files)} files have {len(pids)} names and labels from "
            f"{min(pids.values())}, expected each name once and labels from 1. Take the published "
            "file"
        )
    pairs = {(person_of(name), pid) for name, pid in pids.items()}
    if not len(pairs) == len({person for person, _ in pairs}) == len({pid for _, pid in pairs}):
        raise DatasetError(
            f"{path}: labels and names do not agree on who is who. Take the published file"
        )


def _chosen(
    path: Path, variable: str, files: list[str], places: NDArray[Any], found: Findings
) -> list[str]:
    """The files at places that count from 1."""
    rows = whole_numbers(path, variable, places).ravel()
    if rows.min() < 1 or rows.max() > len(files):
        hint = " It looks as if it counted from 0, as Python does." if rows.min() == 0 else ""
        raise DatasetError(
            f"{path}: {variable} goes from {rows.min()} to {rows.max()}, expected places from 1 to "
            f"{len(files)} in filelist.{hint} Take the published file"
        )
    chosen = (files[row - 1] for row in rows.tolist())
    return once(f"{path.name}: {variable}", "images", chosen, found)


def _json_rows(path: Path, part: str, split: Any, found: Findings) -> list[tuple[str, int]]:
    """Name and camera of each image."""
    try:
        rows = [(str(file), int(cam)) for file, _, cam in split[part]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DatasetError(
            f"{path} has no {part} of the form [[path, id, camera], ...] "
            f"({type(error).__name__}: {error}). Take a file that torchreid wrote"
        ) from error
    named = [(image_name(file, 1, found), cam) for file, cam in rows]
    _check_names(path, [name for name, _ in named])
    return named


def _check_cameras(path: Path, rows: list[tuple[str, int]], found: Findings) -> None:
    """Cameras agree with the views of the names, which decide, when counted from 0 or from 1."""
    by_first: dict[int, list[str]] = {}
    for name, camera in rows:
        by_first.setdefault(camera + 1 - view_of(name), []).append(name)
    if by_first.keys() not in ({0}, {1}):
        counts = "; ".join(
            f"{len(names)} images count cameras from {first}, e.g. {names[0]}"
            for first, names in sorted(by_first.items())
        )
        raise DatasetError(
            f"{path} does not agree with the names of its images, which say the view: {counts}. "
            "Expected cameras that count from 0 in all images, or from 1 in all. Take a file that "
            "torchreid wrote"
        )
    if 1 in by_first:
        found.notes.append(
            f"{path.name} counts cameras from 1, as older versions of torchreid do; the names say "
            "the same views"
        )


def _csv_test_set(path: Path, split: int) -> list[Person]:
    """Pair and person of the rows of one split; columns split (from 0), pair, person (from 1)."""
    heading, *lines = list(csv.reader(read_text(path).splitlines())) or [[]]
    columns = [plain_id(column).casefold() for column in heading]
    try:
        rows = [dict(zip(columns, map(plain_id, line), strict=True)) for line in lines if line]
        people = [(int(r["pair"]), int(r["person"])) for r in rows if int(r["split"]) == split]
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} is no table with the columns split, pair and person of whole numbers "
            f"({type(error).__name__}: {error}). Convert cuhk-03.mat again"
        ) from error
    if not people:
        raise DatasetError(
            f"{path} has no row with split={split}, expected 100 rows for each of 0 to "
            f"{TRIALS[-1]}. Convert cuhk-03.mat again"
        )
    return people


def _tested(path: Path, rows: Any) -> set[Person]:
    """The rows as people, once it is sure that they can be."""
    people = whole_numbers(path, "a test set", rows)
    if people.ndim != 2 or people.shape[1] != 2 or not len(people):
        raise DatasetError(
            f"{path} has a test set of the shape {people.shape}, expected (100, 2): camera pair "
            "and person. Take the published file"
        )
    pairs, persons = people.T
    if pairs.min() < 1 or pairs.max() > len(PEOPLE) or persons.min() < 1:
        raise DatasetError(
            f"{path} has a test set with pairs {pairs.min()} to {pairs.max()} and people from "
            f"{persons.min()}, expected pairs 1 to {len(PEOPLE)} and people from 1. Was it made to "
            "count from 0? Take the published file"
        )
    return {(int(pair), int(person)) for pair, person in people}
