"""A user's own images, without a published layout.

Either folders, `<person>/<camera>/*.jpg`, perhaps below train/, query/ and gallery/ (or test/,
whose images are query and gallery), or a table: a CSV file with the columns path (relative to the
file), pid, camid and, if one likes, split (train, query, gallery or test), modality (visible or
infrared) and view. In every set of the book 0 is a person like any other; only Market-1501 has
distractors.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path

import pandas as pd

from reidlab.data.dataset import SPLITS, Findings, Image, ReIDDataset, finish, some, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import absolute, existing_folder, leave_out, listing
from reidlab.data.help import data_help
from reidlab.data.lists import once, present, read_text, unlisted
from reidlab.data.synthetic import world_folder
from reidlab.files import find

TABLE = "images.csv"
REQUIRED = ("path", "pid", "camid")
OPTIONAL = ("split", "modality", "view")
PARTS = {"train": ("train",), "query": ("query",), "gallery": ("gallery",), "test": SPLITS[1:]}
MODALITIES = ("visible", "infrared")
EXAMPLE = "0007/camera_1/0001.jpg"
NUMBER = re.compile(r"\d{1,18}", re.ASCII)  # what fits into the tables; longer ones are names

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
        in the order of their names; columns `person` and `camera` hold the names. Cameras of
        folders are counted from 0, whatever their names; `pid` of numbered people is the number.
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
    rows = _from_folders(found) if source is None else _from_csv(source, found)
    if not rows:
        raise DatasetError(
            f"{folder} holds no images in folders <person>/<camera>/, expected paths like "
            f"{EXAMPLE}.\n\n{data_help('folder')}"
        )
    frame = _numbered(rows, found, keep_cameras=source is not None)
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
    tables = [path for path in find(folder, "*.csv") if path.name != "attributes.csv"]
    if len(tables) > 1:
        raise DatasetError(
            f"{folder} holds {len(tables)} tables ({some(path.name for path in tables)}): pass the "
            f"one to read, or call it {TABLE}"
        )
    return tables[0] if tables else None


def _from_folders(found: Findings) -> list[Row]:
    """A row for each image."""
    top = listing(found.root)
    parts = [name for name in top.folders if name in PARTS]
    if not parts:
        return _people(found.root, "", found)
    if set(parts) not in ({"train", "test"}, {"train", "query", "gallery"}):
        raise DatasetError(
            f"{found.root} has {some(parts, 4)}, expected train with query and gallery, or train "
            "with test, or none of them and folders of people"
        )
    others = [name for name in top.folders if name not in parts]
    leave_out(found, found.root, others + top.images, top.other)
    rows = {part: _people(found.root / part, part, found) for part in parts}
    for part in parts:
        if not rows[part]:
            raise DatasetError(
                f"{found.root / part} holds no images, expected paths like {EXAMPLE} below it. Was "
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
            f"{folder} one level too high? Then pass {folder / person}"
        )
    leave_out(found, at, inside.folders, inside.other)
    return [
        {"file": os.path.join(at, name), "pid": person, "camid": camera, "split": split}
        for name in inside.images
    ]


def _from_csv(source: Path, found: Findings) -> list[Row]:
    """A row for each line whose image is tinside."""
    rows = []
    for number, line in _lines(source):
        row = {key: (line.get(key) or "").strip() for key in (*REQUIRED, *OPTIONAL)}
        if any(row.values()):
            _check_row(source, number, row)
            path = row["path"].replace("\\", "/")
            rows.append(row | {"file": os.path.normpath(source.parent / path)})
    if not rows:
        raise DatasetError(f"{source} has a heading and no lines: write one for each image")
    return _existing(source, rows, found)


def _lines(source: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """The lines below the heading, by column, with their numbers."""
    reader = csv.DictReader(read_text(source).splitlines())
    try:
        columns = [str(name).strip() for name in reader.fieldnames or ()]
        known = [columns.count(name) for name in (*REQUIRED, *OPTIONAL)]
        if 0 in known[: len(REQUIRED)] or max(known) > 1:
            raise DatasetError(
                f"{source} has the columns {', '.join(columns) or 'nothing'}: expected each of "
                f"{', '.join(REQUIRED)} once, and perhaps {', '.join(OPTIONAL)}, separated by "
                "commas"
            )
        reader.fieldnames = columns
        yield from enumerate(reader, start=2)
    except csv.Error as error:
        raise DatasetError(
            f"{source} is no table ({error} in line {reader.line_num}): correct that line"
        ) from error


def _check_row(source: Path, number: int, row: Row) -> None:
    """Every value is one that it may be."""
    wrong = None
    if not all(row[name] for name in REQUIRED):
        wrong = f"an empty {next(name for name in REQUIRED if not row[name])}"
    elif row["split"] and row["split"] not in PARTS:
        wrong = f"split {row['split']!r}, expected one of {', '.join(PARTS)}"
    elif row["modality"] and row["modality"] not in MODALITIES:
        wrong = f"modality {row['modality']!r}, expected visible or infrared"
    elif row["view"] and not re.fullmatch(r"-1|\d+", row["view"]):
        wrong = f"view {row['view']!r}, expected a whole number, or -1 for unknown"
    elif re.fullmatch(r"-\d+", row["pid"]) or re.fullmatch(r"-\d+", row["camid"]):
        wrong = "a negative pid or camid, expected 0 or more (leave out who is to be ignored)"
    if wrong:
        raise DatasetError(f"{source} has {wrong} in line {number}: correct it")


def _existing(source: Path, rows: list[Row], found: Findings) -> list[Row]:
    """Rows whose image is on disk, each image once in a split. Each folder is listed once."""
    folders = {os.path.dirname(row["file"]) for row in rows}
    on_disk = {
        os.path.join(folder, name)
        for folder in folders
        if os.path.isdir(folder)
        for name in listing(folder).images
    }
    _check_agreement(source, rows)
    kept = set(present(source.name, [row["file"] for row in rows], on_disk, found))
    unlisted(on_disk, [row["file"] for row in rows], found)
    by_use = {(row["file"], row["split"]): row for row in rows}
    uses = ((row["file"], row["split"]) for row in rows if row["file"] in kept)
    return [by_use[use] for use in once(source.name, "images", uses, found)]


def _check_agreement(source: Path, rows: list[Row]) -> None:
    """An image that stands in several lines is the same person in the same camera in all."""
    first: dict[str, Row] = {}
    for row in rows:
        for key in ("pid", "camid", "modality", "view"):
            said = first.setdefault(row["file"], row)[key]
            if row[key] != said:
                raise DatasetError(
                    f"{source} gives the image {row['path']} two values of {key}, {said!r} and "
                    f"{row[key]!r}: correct one of the lines"
                )


def _numbered(rows: Sequence[Row], found: Findings, *, keep_cameras: bool) -> pd.DataFrame:
    """The rows as a table, people and cameras with numbers."""
    people = _numbers((row["pid"] for row in rows), keep=True)
    cameras = _numbers((row["camid"] for row in rows), keep=keep_cameras)
    for kind, numbers in (("person", people), ("camera", cameras)):
        once = {number: name for name, number in numbers.items()}
        same = [f"{name} and {once[n]}" for name, n in numbers.items() if once[n] != name]
        if same:
            found.warnings.append(
                f"{some(same)} are read as the same {kind}, the number is the same"
            )
    frame = table(
        Image(
            path=row["file"],
            pid=people[row["pid"]],
            camid=cameras[row["camid"]],
            modality=row.get("modality") or "visible",
            view=int(row.get("view") or -1),
        )
        for row in {row["file"]: row for row in rows}.values()
    )
    return frame.assign(
        person=frame["path"].map({row["file"]: row["pid"] for row in rows}),
        camera=frame["path"].map({row["file"]: row["camid"] for row in rows}),
    )


def _numbers(names: Iterable[str], *, keep: bool) -> Mapping[str, int]:
    """A number for each name: the name itself where all are numbers and `keep`, else its rank."""
    once = set(names)
    if all(NUMBER.fullmatch(name) for name in once):
        values = {name: int(name) for name in once}
        if keep:
            return values
        rank = {value: place for place, value in enumerate(sorted(set(values.values())))}
        return {name: rank[value] for name, value in values.items()}
    return {name: place for place, name in enumerate(sorted(once))}


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
        files: dict[str, set[str]] = {split: set() for split in SPLITS}
        for row in rows:
            for split in PARTS[row["split"]]:
                files[split].add(row["file"])
        return {s: frame[frame["path"].isin(files[s])].reset_index(drop=True) for s in SPLITS}, None
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
