"""The tables of a data set, what they promise, and what is said when a folder breaks it."""

from __future__ import annotations

import hashlib
import warnings as python_warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

SPLITS = ("train", "query", "gallery")
JUNK, DISTRACTOR = -1, 0  # Market-1501: no whole person; nobody who is searched for


class DatasetError(Exception):
    """Something is wrong with a data folder; the message says what, where and what to do."""


class DatasetWarning(UserWarning):
    """A data folder can be used, but it is not quite the published set."""


class Counts(NamedTuple):
    """What a split holds, junk and distractors not counted as people, junk not as images."""

    images: int
    people: int
    cameras: int


class Image(NamedTuple):
    """One row of a table, as a reader makes it."""

    path: str
    pid: int
    camid: int
    modality: str = "visible"
    view: int = -1


@dataclass(frozen=True, eq=False)
class ReIDDataset:
    """A re-identification data set as three tables.

    Args:
        name: the name it was opened by.
        root: the folder.
        train: one row per image: path (absolute), pid (the set's own number), camid (from 0),
            modality ("visible" or "infrared"), view (-1 unknown), junk and distractor (bool), and
            label (from 0: the rank of the pid among the sorted training pids).
        query: the same without label.
        gallery: likewise. Junk is in the table, flagged: the standard protocol ignores it, so
            embed `gallery[~gallery.junk]` to save the time.
        protocol: the evaluation rule the set is judged by.
        options: what `open_dataset` was asked for beyond the name.
        published: what the publication counts, by split; None for a synthetic set.
        warnings: where the folder differs from the published set; each was also issued.
    """

    name: str
    root: Path
    train: pd.DataFrame
    query: pd.DataFrame
    gallery: pd.DataFrame
    protocol: str = "standard"
    options: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Counts] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """People in the training split."""
        return int(self.train["label"].nunique())

    @property
    def num_cameras(self) -> int:
        """Size of a table indexed by camid, over all splits."""
        return max(int(getattr(self, split)["camid"].max()) for split in SPLITS) + 1

    def describe(self) -> pd.DataFrame:
        """Images, people and cameras of each split, the published counts, and the difference.

        `images` is without junk, `difference` is images minus published images; both are missing
        (NA) where nothing was published, as for a synthetic set.
        """
        rows = {}
        for split in SPLITS:
            frame = getattr(self, split)
            counts = count(frame)
            published = None if self.published is None else self.published[split]
            rows[split] = {
                "images": counts.images,
                "people": counts.people,
                "cameras": counts.cameras,
                "junk": int(frame["junk"].sum()),
                "distractors": int(frame["distractor"].sum()),
                "published images": published and published.images,
                "published people": published and published.people,
                "published cameras": published and published.cameras,
                "difference": published and counts.images - published.images,
            }
        return pd.DataFrame.from_dict(rows, orient="index").astype("Int64").rename_axis("split")

    def fingerprint(self) -> str:
        """sha256 over the sorted relative names and sizes in bytes of all its images.

        It tells two copies apart that differ in what files they hold, in a second for Market-1501;
        it does not read the pixels.
        """
        paths = {path for split in SPLITS for path in getattr(self, split)["path"]}
        lines = sorted(
            f"{Path(path).relative_to(self.root).as_posix()} {Path(path).stat().st_size}\n"
            for path in paths
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {len(getattr(self, split)):,}" for split in SPLITS)
        return f"ReIDDataset({self.name!r} in {self.root.name!r}: {sizes} images)"


def table(images: Iterable[Image]) -> pd.DataFrame:
    """Rows of a reader as a table, with the junk and distractor flags; in path order."""
    frame = pd.DataFrame(sorted(images), columns=list(Image._fields))
    frame["junk"] = frame["pid"] == JUNK
    frame["distractor"] = frame["pid"] == DISTRACTOR
    return frame


def count(frame: pd.DataFrame) -> Counts:
    """Images (without junk), people and cameras of a table."""
    seen = frame[~frame["junk"]]
    people = seen.loc[~seen["distractor"], "pid"]
    return Counts(len(seen), people.nunique(), seen["camid"].nunique())


def finish(
    name: str,
    root: Path,
    tables: Mapping[str, pd.DataFrame],
    *,
    published: Mapping[str, Counts] | None,
    warnings: list[str],
    options: Mapping[str, str] | None = None,
) -> ReIDDataset:
    """Check what holds for every set, label the training people, issue the warnings."""
    train, query, gallery = (tables[split] for split in SPLITS)
    _check_people(root, train, query, gallery)
    labels = {pid: label for label, pid in enumerate(sorted(train["pid"].unique()))}
    train = train.assign(label=train["pid"].map(labels).astype("int64"))
    if published is not None:
        warnings = warnings + _differences(tables, published)
    for text in warnings:
        python_warnings.warn(f"{name} at {root}: {text}", DatasetWarning, stacklevel=4)
    return ReIDDataset(
        name=name,
        root=root,
        train=train,
        query=query,
        gallery=gallery,
        options=dict(options or {}),
        published=published,
        warnings=tuple(warnings),
    )


def _check_people(
    root: Path, train: pd.DataFrame, query: pd.DataFrame, gallery: pd.DataFrame
) -> None:
    for split, frame in (("train", train), ("query", query)):
        nobody = frame[frame["junk"] | frame["distractor"]]
        if len(nobody):
            raise DatasetError(
                f"{len(nobody)} images of the {split} split in {root} have the id of junk (-1) or "
                f"of a distractor (0), e.g. {Path(nobody['path'].iloc[0]).name}: these belong to "
                "the gallery alone. Were the folders mixed up when unpacking? Unpack them again"
            )
    tested = pd.concat([query["pid"], gallery.loc[~gallery["junk"], "pid"]])
    both = sorted(set(train["pid"]) & set(tested))
    if both:
        raise DatasetError(
            f"{len(both)} people of {root} are both in the training and in the test split, e.g. "
            f"{', '.join(map(str, both[:5]))}: results would mean nothing. Unpack the set again "
            "into an empty folder"
        )


def _differences(tables: Mapping[str, pd.DataFrame], published: Mapping[str, Counts]) -> list[str]:
    """One sentence for each split that is not as published."""
    texts = []
    for split in SPLITS:
        here, there = count(tables[split]), published[split]
        if here != there:
            texts.append(
                f"{split} has {_in_words(here)}; published are {_in_words(there)} "
                f"({here.images - there.images:+,} images). Is the copy complete?"
            )
    return texts


def _in_words(counts: Counts) -> str:
    return f"{counts.images:,} images of {counts.people:,} people in {counts.cameras} cameras"
