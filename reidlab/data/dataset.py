"""The tables of a data set, what they promise, and what is said when a folder breaks it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from reidlab.data.cards import CARDS, Counts, DatasetCard, Published, synthetic_card
from reidlab.data.decoding import turned_images
from reidlab.data.errors import DatasetError
from reidlab.data.matlab import file_of
from reidlab.data.synthetic import lost_files, with_modality, world_folder
from reidlab.files import sha256

T = TypeVar("T")
SPLITS = ("train", "query", "gallery")
DIVIDING = ("fold", "folds")  # options by which the same files are divided into other splits
MOST_CAMERAS = 1000  # a camera's number is its row in a table of a network: no serial number
JUNK, DISTRACTOR = -1, 0  # Market-1501: no whole person; nobody who is searched for


class Image(NamedTuple):
    """One row of a table, as a reader makes it."""

    path: str
    pid: int
    camid: int
    modality: str = "visible"
    view: int = -1


@dataclass
class Findings:
    """What a reader noticed on its way.

    Args:
        root: names are relative to it.
        example: a name of the layout.
        warnings: what makes the set differ from the published one, a sentence each.
        foreign: names that are not of the layout and were left out.
        litter: files that are no images and were passed over.
        empty: folders of people that hold no image.
        images: paths of all images of the layout that were seen, used or not.
        notes: what a user may want to know and does no harm, a sentence each.
    """

    root: Path
    example: str
    warnings: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def sentences(self) -> tuple[list[str], list[str]]:
        """(warnings, notes): also of the names that were left out."""
        warnings, notes = list(self.warnings), list(self.notes)
        foreign, litter = sorted(set(self.foreign)), sorted(set(self.litter))
        if foreign:
            warnings.append(
                f"{len(foreign)} foreign names are left out: {some(foreign)} (expected names like "
                f"{self.example})"
            )
        empty = sorted(set(self.empty))
        if empty:
            warnings.append(
                f"{len(empty)} folders of people hold no images: {some(empty)}. Was the copying "
                "interrupted?"
            )
        if litter:
            notes.append(f"{len(litter)} files that are no images are passed over: {some(litter)}")
        return warnings, notes


@dataclass(frozen=True, eq=False)
class ReIDDataset:
    """A re-identification data set as three tables.

    Args:
        name: the name it was opened by.
        root: the folder.
        train: one row per image: path (absolute; one that leads through a .mat file is read by
            `read_image` all the same), pid (the set's own number), camid (from 0), modality
            ("visible" or "infrared"), view (-1 unknown), junk and distractor (bool, Market-1501
            only), and label (from 0: the rank of the pid among the sorted training pids). Some
            sets have columns of their own after these.
        query: the same without label.
        gallery: likewise. Junk is in the table, flagged: the standard protocol ignores it, so
            embed `gallery[~gallery.junk]` to save the time.
        protocol: the evaluation rule of the set.
        options: how it was opened, defaults and what was detected included.
        published: what the publication counts, by split; None for a synthetic set.
        warnings: where the folder differs from the published set; each was also issued.
        notes: what is in the folder beside the set and does no harm; issued likewise.
        foreign: all names that were left out, relative to root: images whose name is not of the
            layout, and files that are no images.
        lists: files that decide the split; their contents are in the fingerprint.
        card: what is known of the set; see `DatasetCard`.
        spare: paths of the images of the layout that stand in no table, as what a trial does not
            draw; `data check` decodes them, too.
    """

    name: str
    root: Path
    train: pd.DataFrame
    query: pd.DataFrame
    gallery: pd.DataFrame
    protocol: str = "standard"
    options: Mapping[str, Any] = field(default_factory=dict)
    published: Published | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    lists: tuple[Path, ...] = ()
    card: DatasetCard | None = None
    spare: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """People in the training split."""
        return int(self.train["label"].nunique())

    @property
    def num_cameras(self) -> int:
        """Size of a table indexed by camid, over all splits that hold an image.

        Raises:
            DatasetError: a camid that is no row of a table: negative, or a serial number.
        """
        return self._rows_of("camid", 0)

    @property
    def num_views(self) -> int:
        """Size of a table indexed by view, over all splits; 0 where no image has a viewpoint.

        Raises:
            DatasetError: likewise.
        """
        return self._rows_of("view", -1)  # -1: unknown

    def _rows_of(self, column: str, least: int) -> int:
        """Size of a table indexed by the numbers of a column, over all splits."""
        numbers = pd.concat([getattr(self, split)[column] for split in SPLITS])
        most = max(MOST_CAMERAS, numbers.nunique())
        if len(numbers) and not least <= numbers.min() <= numbers.max() < most:
            raise DatasetError(
                f"{column}s of {self.name} go from {numbers.min()} to {numbers.max()}, expected "
                f"{least} to {most - 1}: number them from 0, as pandas.factorize does"
            )
        return int(numbers.max()) + 1 if len(numbers) else 0

    def describe(self) -> pd.DataFrame:
        """Images, people and cameras of each split, the published counts, and the difference.

        `images` is without junk, `difference` is images minus published images; both are missing
        (NA) where nothing was published, as for a synthetic set. `turned` counts the images, junk
        included, that are stored turned and have a tag that says so (EXIF), as phones write them;
        `read_image` turns them back. Of a set of more than 10,000 images it is NA until
        `check_images` has looked at all of them, as it does before a training. The last columns are
        of the card: licence, status, and the camera rule.
        """
        rows = {}
        for split, turned in zip(SPLITS, turned_images(self), strict=True):
            frame = getattr(self, split)
            counts = count(frame)
            published = None if self.published is None else self.published[split]
            rows[split] = {
                "images": counts.images,
                "people": counts.people,
                "cameras": counts.cameras,
                "junk": int(frame["junk"].sum()),
                "distractors": int(frame["distractor"].sum()),
                "turned": turned,
                "published images": published and published.images,
                "published people": published and published.people,
                "published cameras": published and published.cameras,
                "difference": _difference(counts, published),
            }
        table = pd.DataFrame.from_dict(rows, orient="index").astype("Int64").rename_axis("split")
        for column in ("licence", "status", "camera rule"):
            table[column] = getattr(self.card, column.replace(" ", "_"), None)
        return table

    def fingerprint(self) -> str:
        """sha256 over the sorted relative names and sizes in bytes of all its images.

        Files that decide the split (`lists`) enter with their contents, a fold of the same images
        with its number, a .mat file that holds the images with its size. It tells two copies apart
        that differ in what files they hold, in a second for Market-1501; it does not read the
        pixels. Nor does it depend on where the set lies, or, where frames of another set were put
        in, on where that lies.

        Raises:
            DatasetError: a file is gone since the set was opened.
        """
        return _digest(sorted(self._from_disk(self._sizes)))

    def rows_fingerprint(self, *tables: pd.DataFrame, cameras: bool = False) -> str:
        """sha256 over what a training reads of some rows: name and size in bytes of each image, who
        is on it, modality and view, in the order of the rows.

        People count by their rank among these rows, names from the folder that holds all of them,
        and no list that names other images enters: it stays the same whatever becomes of the rest
        of the set.

        Args:
            tables: rows of this set.
            cameras: whether the numbers of the cameras enter.

        Raises:
            DatasetError: as `fingerprint`.
        """
        if not any(map(len, tables)):
            raise DatasetError(f"no rows of {self.name} were given, expected one at least")
        rows = pd.concat(tables, keys=range(len(tables)))
        folder = os.path.commonpath([os.path.dirname(path) for path in rows["path"]])
        names = [Path(os.path.relpath(path, folder)).as_posix() for path in rows["path"]]
        people = pd.factorize(rows["pid"], sort=True)[0]
        read = zip(
            rows.index.get_level_values(0),
            names,
            self._from_disk(lambda: [os.stat(file_of(path)).st_size for path in rows["path"]]),
            people,
            rows["camid"] if cameras else people,
            rows["modality"],
            rows["view"],
            strict=True,
        )
        return _digest(" ".join(map(str, row)) + "\n" for row in read)

    def train_only(self) -> ReIDDataset:
        """The same set without its test part: to train on what cannot be judged."""
        return replace(
            self, query=self.query.iloc[:0], gallery=self.gallery.iloc[:0], published=None
        )

    def _from_disk(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except OSError as error:
            raise DatasetError(
                f"{self.root} has changed since it was opened ({error}): restore the file, or open "
                "the data set again"
            ) from error

    def _sizes(self) -> list[str]:
        """A line for each file: name and size, or what is in it."""
        images = {os.fspath(path) for split in SPLITS for path in getattr(self, split)["path"]}
        lists = [os.fspath(path) for path in self.lists]
        files = set(map(file_of, images))
        names = self._names({*images, *lists, *files})
        return [
            *(f"{names[path]} sha256 {sha256(path)}\n" for path in lists),
            *(f"{names[path]} {os.stat(path).st_size}\n" for path in files),
            *(f"{names[path]}\n" for path in images - files),
            *(f"{name}={self.options[name]}\n" for name in DIVIDING if name in self.options),
        ]

    def _names(self, paths: Iterable[str]) -> dict[str, str]:
        """Names relative to the root; of files elsewhere, as when a model is trained on this set
        and tested on another, relative to the folder that holds all of these."""
        prefix = f"{self.root}{os.sep}"
        names = {
            path: path[len(prefix) :]
            if path.startswith(prefix)
            else os.path.relpath(path, self.root)
            for path in paths
        }
        elsewhere = [p for p, name in names.items() if name.split(os.sep, 1)[0] == os.pardir]
        if elsewhere:
            common = os.path.commonpath([os.path.dirname(path) for path in elsewhere])
            for path in elsewhere:
                names[path] = os.path.join(os.pardir, os.path.relpath(path, common))
        return {path: Path(name).as_posix() for path, name in names.items()}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {len(getattr(self, split)):,}" for split in SPLITS)
        return f"ReIDDataset({self.name!r} in {self.root.name!r}: {sizes} images)"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _difference(held: Counts, published: Counts | None) -> int | None:
    """Images of a table minus the published ones; None where no number is published."""
    if published is None or published.images is None or held.images is None:
        return None
    return held.images - published.images


def table(images: Iterable[Image], *, flags: bool = False) -> pd.DataFrame:
    """Rows of a reader as a table, in path order.

    Args:
        images: the rows.
        flags: pid -1 is junk and 0 a distractor, which is Market-1501's own convention: elsewhere
            0 is a person like any other.
    """
    frame = pd.DataFrame(sorted(images), columns=list(Image._fields))
    frame = frame.astype({"pid": "int64", "camid": "int64", "view": "int64"})  # if it is empty
    frame["junk"] = (frame["pid"] == JUNK) & flags
    frame["distractor"] = (frame["pid"] == DISTRACTOR) & flags
    return frame


def count(frame: pd.DataFrame) -> Counts:
    """Images (without junk), people and cameras of a table."""
    seen = frame[~frame["junk"]]
    people = seen.loc[~seen["distractor"], "pid"]
    return Counts(len(seen), people.nunique(), seen["camid"].nunique())


def some(names: Iterable[object], limit: int = 3) -> str:
    """The first few names, for a sentence; a single one is an example, without dots."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:limit]) + (", ..." if 1 < limit < len(listed) else "")


def finish(
    name: str,
    found: Findings,
    tables: Mapping[str, pd.DataFrame],
    *,
    options: Mapping[str, Any] | None = None,
    protocol: str = "standard",
    lists: Iterable[Path] = (),
    same_ids: bool = True,
) -> ReIDDataset:
    """Check what holds for every set, compare the counts, label the training people.

    Args:
        name: of the set.
        found: what the reader noticed; the sentences on counts are added.
        tables: by split.
        options: see `ReIDDataset`.
        protocol: see `ReIDDataset`.
        lists: see `ReIDDataset`.
        same_ids: one number is one person in training and test alike, so nobody may be in both.
    """
    card, world = CARDS[name], world_folder(found.root)
    if world is not None:
        tables = with_modality(world, tables)
    train, query, gallery = (tables[split] for split in SPLITS)
    _check_people(found.root, tables, same_ids)
    if query.empty != gallery.empty:
        lacking, other = ("query", "gallery") if query.empty else ("gallery", "query")
        raise DatasetError(
            f"{found.root} has no image for the {lacking} split and "
            f"{len(gallery) + len(query)} for the {other} split, expected some for both: nothing "
            "can be searched. Unpack or copy the set again"
        )
    train = labelled(train)
    if world is not None:
        card = synthetic_card(card)
        lost, total = lost_files(world)
        if lost:
            found.warnings.append(
                f"{len(lost)} of the {total} images that attributes.csv names are gone: "
                f"{some(lost)}. Delete {world}, and write it again"
            )
    options = dict(options or {})
    published = card.counts(**options)
    warnings, notes = found.sentences()
    if published is not None:
        warnings += _differences(tables, published) + _beyond(tables, card)
    return ReIDDataset(
        name=name,
        root=found.root,
        train=train,
        query=query,
        gallery=gallery,
        protocol=protocol,
        options=options,
        published=published,
        warnings=tuple(warnings),
        notes=tuple(notes),
        foreign=tuple(sorted({*found.foreign, *found.litter})),
        lists=tuple(lists),
        card=card,
        spare=tuple(sorted(set(found.images).difference(*(t["path"] for t in tables.values())))),
    )


def labelled(train: pd.DataFrame) -> pd.DataFrame:
    """The training table with column label: the rank of the pid among its own."""
    return train.assign(label=pd.factorize(train["pid"], sort=True)[0])


def _check_people(root: Path, tables: Mapping[str, pd.DataFrame], same_ids: bool) -> None:
    train, query, gallery = (tables[split] for split in SPLITS)
    for split, frame in (("train", train), ("query", query)):
        nobody = frame[frame["junk"] | frame["distractor"]]
        if len(nobody):
            raise DatasetError(
                f"{len(nobody)} images of the {split} split in {root} have the id of junk (-1) or "
                f"of a distractor (0), e.g. {Path(nobody['path'].iloc[0]).name}: these belong to "
                "the gallery alone. Were the folders mixed up when unpacking? Unpack them again"
            )
    tested = pd.concat([query["pid"], gallery.loc[~gallery["junk"], "pid"]])
    both = sorted(set(train["pid"]) & set(tested)) if same_ids else []
    if both:
        step, names = "Unpack the set again into an empty folder", both
        if "person" in train:  # a user's own images
            names = sorted(set(train.loc[train["pid"].isin(both), "person"]))
            step = "Put all images of each into one of the two"
        raise DatasetError(
            f"{len(both)} people of {root} are both in the training and in the test split, e.g. "
            f"{', '.join(map(str, names[:5]))}: results would mean nothing. {step}"
        )


def _differences(tables: Mapping[str, pd.DataFrame], published: Published) -> list[str]:
    """One sentence for each split that is not as published."""
    texts = []
    for split in SPLITS:
        held, expected = count(tables[split]), published[split]
        more = _difference(held, expected)
        if more is None:
            held = held._replace(images=None)
        change = "" if more is None else f" ({more:+,} images)"
        if held != expected:
            texts.append(
                f"{split} has {_in_words(held)}; published are {_in_words(expected)}{change}. "
                "Is the copy complete?"
            )
    return texts


def _beyond(tables: Mapping[str, pd.DataFrame], card: DatasetCard) -> list[str]:
    """A sentence on images of cameras that the published set does not have."""
    images = pd.concat([tables[split][["path", "camid"]] for split in SPLITS])
    beyond = images[images["camid"] >= (card.cameras or 0)]
    if beyond.empty:
        return []
    names = sorted({os.path.basename(path) for path in beyond["path"]})
    return [
        f"{len(names)} images are of camera {int(beyond['camid'].min()) + 1} or above, but "
        f"{card.title} has {card.cameras}: {some(names)}"
    ]


def _in_words(counts: Counts) -> str:
    images = "" if counts.images is None else f"{counts.images:,} images of "
    return f"{images}{counts.people:,} people in {counts.cameras} cameras"
