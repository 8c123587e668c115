"""A user's own images, without a published layout.

Either folders, `<person>/<camera>/*.jpg`, perhaps below train/, query/ and gallery/ (or test/,
whose images are query and gallery), or a table: a CSV file with the columns path (relative to the
file), pid, camid and, if one likes, split (train, query, gallery or test), modality (visible or
infrared) and view. In every set of the book 0 is a person like any other; only Market-1501 has
distractors.

A person has one number or name, however it is spelt: 1, 01, 1.0, +1 and 1e0 are one, see
`reidlab.data.spelling`. A name in another case is another person, with a warning. Links to one file
are one image, and so are paths in several spellings.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from reidlab.data.cards import data_help
from reidlab.data.dataset import (
    MOST_CAMERAS,
    SPLITS,
    Findings,
    Image,
    ReIDDataset,
    finish,
    some,
    table,
)
from reidlab.data.errors import DatasetError
from reidlab.data.folders import absolute, existing_folder, leave_out, listing
from reidlab.data.lists import once, present, read_text, unlisted
from reidlab.data.spelling import alike, on_disk, plain_id, plain_path, same_files
from reidlab.data.synthetic import world_folder
from reidlab.files import find

TABLE = "images.csv"
REQUIRED = ("path", "pid", "camid")
OPTIONAL = ("split", "modality", "view")
PARTS = {"train": ("train",), "query": ("query",), "gallery": ("gallery",), "test": SPLITS[1:]}
COMBINATIONS = ({"train", "query", "gallery"}, {"train", "test"})
MODALITIES = ("visible", "infrared")
EXAMPLE = "0007/camera_1/0001.jpg"
NUMBER = re.compile(r"\d{1,18}", re.ASCII)  # what fits into the tables; longer ones are names
NEGATIVE = re.compile(r"-\d+", re.ASCII)
ROUNDED = re.compile(r"\d[.,]\d+E\+\d\d")  # 2.02E+07 may have been 20240001 and 20240002
CAMERA = re.compile(r"(?:cam|camera|kamera)[ _-]?(?:\d{1,3}|[a-z])", re.IGNORECASE)
VIEW = re.compile(r"-1|\d{1,9}", re.ASCII)
MISSING = {"nan", "none", "null", "#n/a"}  # as programs write a cell without a value
IGNORED = "expected 0 or more (leave out who is to be ignored)"

Row = dict[str, str]  # the columns of a CSV file, and "file": the absolute path


def open_folder(root: str | Path, *, train_fraction: float | None = None) -> ReIDDataset:
    """Read your own images.

    Args:
        root: the folder, or the CSV file (images.csv, or the only one, is found in a folder).
        train_fraction: where nothing says what to train on: this share of the people, in sorted
            order, is trained on, and all images of the others are query and gallery. 0.5 by default
            (ours).

    Returns:
        The set. People and cameras whose names are numbers keep their order, others are numbered
        in the order of their names; columns `person` and `camera` hold the names. `pid` of numbered
        people is the number; cameras of folders are counted from 0, whatever their names, and so
        are those of a table with a number from 1000.
    """
    path = absolute(root)
    is_table = os.path.isfile(path)
    if is_table and path.suffix.lower() != ".csv":
        raise DatasetError(
            f"{path} is a file, expected a folder or a .csv file: unpack it, or pass its folder"
        )
    folder = existing_folder("folder", path.parent if is_table else path)
    found = Findings(folder, EXAMPLE)
    source = path if is_table else _table_in(folder)
    rows = _from_csv(source, found) if source else _each_once(folder, _from_folders(found), found)
    if not rows:
        raise DatasetError(
            f"{folder} holds no images in folders <person>/<camera>/, expected paths like "
            f"{EXAMPLE}.\n\n{data_help('folder')}"
        )
    frame = _numbered(rows, found, keep_cameras=source is not None)
    if source is None:
        _report_swapped(frame, found)
    tables, fraction = _split(frame, rows, train_fraction, folder)
    return finish(
        "folder",
        found,
        tables,
        options={"from": "folders" if source is None else source.name, "train_fraction": fraction},
        lists=[] if source is None else [source],
    )


def _table_in(folder: Path) -> Path | None:
    """images.csv, or the only table; that of a synthetic set's attributes is none."""
    if (folder / TABLE).is_file():
        return folder / TABLE
    tables = [path for path in find(folder, "*") if path.suffix.lower() == ".csv"]
    tables = [path for path in tables if path.name != "attributes.csv"]
    if len(tables) > 1:
        raise DatasetError(
            f"{folder} holds {len(tables)} tables ({some(path.name for path in tables)}): pass the "
            f"one to read, or call it {TABLE}"
        )
    return tables[0] if tables else None


def _from_folders(found: Findings) -> list[Row]:
    """A row for each image."""
    top = listing(found.root)
    parts = {name: name for name in top.folders if name in PARTS}
    if not parts:  # in capitals only where they make a whole: somebody may be called so
        spelt = {plain_id(name).casefold(): name for name in top.folders}
        whole = next((combination for combination in COMBINATIONS if combination <= set(spelt)), ())
        parts = {part: spelt[part] for part in PARTS if part in whole}
    if not parts:
        return _people(found.root, "", found)
    if set(parts) - {"train"} not in (set(), {"test"}, {"query", "gallery"}):
        raise DatasetError(
            f"{found.root} has {some(parts, 4)}, expected train with query and gallery, or train "
            "with test, or one of the two sides alone, or none of them and folders of people"
        )
    others = [name for name in top.folders if name not in parts.values()]
    leave_out(found, found.root, others + top.images, top.other)
    rows = {part: _people(found.root / name, part, found) for part, name in parts.items()}
    for part, name in parts.items():
        if not rows[part]:
            raise DatasetError(
                f"{found.root / name} holds no images, expected paths like {EXAMPLE} below it. Was "
                "the copying interrupted? Do it again"
            )
    return [row for part in parts for row in rows[part]]


def _people(folder: Path, split: str, found: Findings) -> list[Row]:
    """The images below <person>/<camera>/ in a folder."""
    rows = []
    top = listing(folder)
    leave_out(found, folder, top.images, (n for n in top.other if n != "world.json"))
    people = top.folders
    if world_folder(folder) is not None:  # elsewhere somebody may be called so
        people = [name for name in people if name != "masks"]
    for person in people:
        below = listing(folder / person)
        if below.images and not below.folders:
            raise DatasetError(
                f"{folder / person} holds images and no folders of cameras, expected paths like "
                f"{EXAMPLE}. The camera has to be known: images of one camera are no match for "
                "each other. Make a folder for each camera, or write a CSV file"
            )
        leave_out(found, folder / person, below.images, below.other)
        of_person = [
            row for camera in below.folders for row in _camera(folder, person, camera, split, found)
        ]
        if not of_person:
            found.empty.append((folder / person).relative_to(found.root).as_posix())
        rows += of_person
    return rows


def _camera(folder: Path, person: str, camera: str, split: str, found: Findings) -> list[Row]:
    at = folder / person / camera
    inside = listing(at)
    if inside.folders and not inside.images:
        raise DatasetError(
            f"{at} holds folders, expected images: paths below the root look like {EXAMPLE}. Is "
            f"{folder} one level too high? Then pass {folder / person}. If {person} is a part of "
            f"the set, call it one of {', '.join(PARTS)}"
        )
    leave_out(found, at, inside.folders, inside.other)
    return [
        {"file": os.path.join(at, name), "pid": person, "camid": camera, "split": split}
        for name in inside.images
    ]


def _from_csv(source: Path, found: Findings) -> list[Row]:
    """A row for each line whose image is there."""
    rows = []
    for number, line in _lines(source):
        row = {key: (line.get(key) or "").strip() for key in (*REQUIRED, *OPTIONAL)}
        row |= {key: row[key].casefold() for key in ("split", "modality")}
        if any(row.values()):
            if any(map(str.strip, line.get(None) or ())):
                raise DatasetError(
                    f"{source} has more values than columns in line {number}: put what holds a "
                    "comma in quotes"
                )
            _check_row(source, number, row)
            file = os.path.normpath(source.parent / plain_path(row["path"]))
            rows.append(row | {"file": file})
    if not rows:
        raise DatasetError(f"{source} has a heading and no lines: write one for each image")
    return _existing(source, rows, found)


def _lines(source: Path) -> Iterator[tuple[int, dict[str | None, Any]]]:
    """The lines below the heading, by column, with their numbers."""
    reader = csv.DictReader(read_text(source).splitlines())
    try:
        columns = [plain_id(str(name)).casefold() for name in reader.fieldnames or ()]
        known = [columns.count(name) for name in (*REQUIRED, *OPTIONAL)]
        if 0 in known[: len(REQUIRED)] or max(known) > 1:
            raise DatasetError(
                f"{source} has the columns {', '.join(columns) or 'nothing'}: expected each of "
                f"{', '.join(REQUIRED)} once, and perhaps {', '.join(OPTIONAL)}, separated by "
                "commas"
            )
        reader.fieldnames = columns
        yield from ((reader.line_num, line) for line in reader)
    except csv.Error as error:
        raise DatasetError(
            f"{source} is no table ({error} in line {reader.line_num}): correct that line"
        ) from error


def _check_row(source: Path, number: int, row: Row) -> None:
    """Every value is one that it may be."""
    wrong = None
    empty = [name for name in REQUIRED if plain_id(row[name]).casefold() in {"", *MISSING}]
    if empty:
        wrong = f"no {empty[0]} ({row[empty[0]]!r})"
    elif row["split"] and row["split"] not in PARTS:
        wrong = f"split {row['split']!r}, expected one of {', '.join(PARTS)}"
    elif row["modality"] and row["modality"] not in MODALITIES:
        wrong = f"modality {row['modality']!r}, expected visible or infrared"
    elif row["view"] and not VIEW.fullmatch(plain_id(row["view"])):
        wrong = f"view {row['view']!r}, expected a whole number, or -1 for unknown"
    elif any(NEGATIVE.fullmatch(plain_id(row[key])) for key in ("pid", "camid")):
        wrong = f"a negative pid or camid, {IGNORED}"
    elif rounded := [row[key] for key in ("pid", "camid") if ROUNDED.fullmatch(row[key])]:
        wrong = f"{rounded[0]!r}, a number that a spreadsheet has rounded, expected all its digits,"
    if wrong:
        raise DatasetError(f"{source} has {wrong} in line {number}: correct it")


def _existing(source: Path, rows: list[Row], found: Findings) -> list[Row]:
    """Rows whose image is on disk, each image once in a split. Each folder is listed once."""
    spelt = on_disk(row["file"] for row in rows)
    other = [f"{path} is {there}" for path, there in spelt.items() if path != there]
    if other:
        found.warnings.append(
            f"{source.name} spells {len(other)} paths in another case or form of Unicode than the "
            f"disk: {some(other, 1)}"
        )
    rows = [row | {"file": spelt[row["file"]]} for row in rows]
    folders = {os.path.dirname(row["file"]) for row in rows}
    images = {
        os.path.join(folder, name)
        for folder in folders
        if os.path.isdir(folder)
        for name in listing(folder).images
    }
    kept = set(present(source.name, [row["file"] for row in rows], images, found))
    unlisted(images, [row["file"] for row in rows], found)
    return _each_once(source, [row for row in rows if row["file"] in kept], found)


def _each_once(source: Path, rows: list[Row], found: Findings) -> list[Row]:
    """Rows of each image, once in a split. Links to one file are one image.

    Raises:
        DatasetError: an image is said to be two people, or in two cameras.
    """
    same = same_files(row["file"] for row in rows)
    by_use: dict[tuple[str, str], Row] = {}
    first: dict[str, Row] = {}
    uses = []
    for row in rows:
        file = same.get(row["file"], row["file"])
        _check_agreement(source, first.setdefault(file, row), row)
        uses.append((file, row["split"]))
        by_use.setdefault(uses[-1], row)
    return [by_use[use] for use in once(source.name, "images", uses, found)]


def _check_agreement(source: Path, one: Row, other: Row) -> None:
    """An image that stands in two places is the same person in the same camera in both."""
    absent = {"modality": MODALITIES[0], "view": "-1"}
    for key in ("pid", "camid", *absent):
        said, again = (row.get(key) or absent.get(key, "") for row in (one, other))
        if plain_id(said) != plain_id(again):
            files = [row.get("path", row["file"]) for row in (one, other)]
            also = "" if files[0] == files[1] else f", which is {files[0]},"
            raise DatasetError(
                f"{source} gives the image {files[1]}{also} two values of {key}, {said!r} and "
                f"{again!r}: correct one of them"
            )


def _numbered(rows: Sequence[Row], found: Findings, *, keep_cameras: bool) -> pd.DataFrame:
    """The rows as a table, people and cameras with numbers."""
    names = {key: sorted({row[key] for row in rows}) for key in ("pid", "camid")}
    people = _numbers(names["pid"], most=10**18)
    cameras = _numbers(names["camid"], most=MOST_CAMERAS if keep_cameras else 0)
    _report_spellings("person", "people", names["pid"], found)
    _report_spellings("camera", "cameras", names["camid"], found)
    numbered = all(NUMBER.fullmatch(plain_id(name)) for name in names["camid"])
    if keep_cameras and numbered and any(int(plain_id(n)) != cameras[n] for n in names["camid"]):
        told = some(f"{name} is {cameras[name]}" for name in names["camid"])
        found.notes.append(
            f"cameras are numbered from 0, column `camera` holds their names: {told}"
        )
    frame = table(
        Image(
            path=row["file"],
            pid=people[row["pid"]],
            camid=cameras[row["camid"]],
            modality=row.get("modality") or MODALITIES[0],
            view=int(plain_id(row.get("view") or "-1")),
        )
        for row in {row["file"]: row for row in rows}.values()
    )
    for column, key in (("person", "pid"), ("camera", "camid")):
        spelt = {plain_id(name): name for name in reversed(names[key])}
        frame[column] = frame["path"].map({row["file"]: spelt[plain_id(row[key])] for row in rows})
    return frame


def _numbers(names: Sequence[str], *, most: int) -> Mapping[str, int]:
    """A number for each of the sorted names, the same for all spellings of one.

    It is the name itself where all are whole numbers below `most`, else its rank.
    """
    first = {plain_id(name): name for name in reversed(names)}
    numbered = all(map(NUMBER.fullmatch, first))
    order = sorted(first, key=int) if numbered else sorted(first, key=first.__getitem__)
    if numbered and int(order[-1]) < most:
        return {name: int(plain_id(name)) for name in names}
    ranks = {plain: rank for rank, plain in enumerate(order)}
    return {name: ranks[plain_id(name)] for name in names}


def _report_spellings(kind: str, several: str, names: Sequence[str], found: Findings) -> None:
    """Names that are one, and names that could be meant to be.

    Raises:
        DatasetError: a negative number.
    """
    plain: dict[str, list[str]] = {}
    similar: dict[str, list[str]] = {}
    for name in names:
        if NEGATIVE.fullmatch(plain_id(name)):
            raise DatasetError(f"{found.root} has the {kind} {name!r}, {IGNORED}")
        plain.setdefault(plain_id(name), []).append(name)
    for spellings in plain.values():
        similar.setdefault(alike(spellings[0]), []).append(spellings[0])
    same = [" and ".join(map(repr, spelt)) for spelt in plain.values() if len(spelt) > 1]
    if same:
        found.warnings.append(f"{some(same)} are read as the same {kind}, spelt in two ways")
    close = [" and ".join(map(repr, spelt)) for spelt in similar.values() if len(spelt) > 1]
    if close:
        found.warnings.append(
            f"{some(close)} differ only in case or dots, zeros, gaps, the end of a copy, and "
            f"are read as different {several}: where they are one, spell them alike"
        )


def _report_swapped(frame: pd.DataFrame, found: Findings) -> None:
    """Folders <camera>/<person>/, as several published sets have them."""
    people, cameras = (sorted(frame[name].unique()) for name in ("person", "camera"))
    if all(map(CAMERA.fullmatch, people)) or len(cameras) > max(8, 2 * len(people)):
        found.warnings.append(
            f"{len(people)} people ({some(people)}) in {len(cameras)} cameras ({some(cameras)}): "
            f"expected paths like {EXAMPLE}, the person outside. Are the two levels swapped?"
        )


def _split(
    frame: pd.DataFrame, rows: Sequence[Row], fraction: float | None, folder: Path
) -> tuple[dict[str, pd.DataFrame], float | None]:
    """The tables by split, and the share of people trained on where nothing said whom."""
    said = {row.get("split") or "" for row in rows}
    if said != {""}:
        if "" in said or fraction is not None:
            raise DatasetError(
                f"{folder} says what to train on for "
                f"{'some images only' if '' in said else 'every image'}: "
                f"{'give each a split, or none' if '' in said else 'leave train_fraction out'}"
            )
        tables = {}
        for split in SPLITS:
            files = {row["file"] for row in rows if split in PARTS[row["split"]]}
            tables[split] = frame[frame["path"].isin(files)].reset_index(drop=True)
        return tables, None
    share = 0.5 if fraction is None else fraction
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share <= 1:
        raise DatasetError(
            f"train_fraction is {share!r} for folder: choose a share from 0 to 1, such as 0.5"
        )
    share = float(share)
    people = sorted(frame["pid"].unique())
    training = round(share * len(people))
    if 0 < share < 1 and training in (0, len(people)):
        raise DatasetError(
            f"{folder} holds {len(people)} people, of whom train_fraction={share:g} leaves "
            f"{training} to train on and {len(people) - training} to test on: expected some for "
            "both. Choose another share, or 0 or 1 if you mean it"
        )
    trained = frame["pid"].isin(people[:training])
    test = frame[~trained].reset_index(drop=True)
    train = frame[trained].reset_index(drop=True)
    return {"train": train, "query": test, "gallery": test.copy()}, share
