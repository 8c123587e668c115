"""What a layout is: which image of the world goes into which file, and the lists beside them.

A layout is a module of constants and functions, see `Layout`. `write_dataset` asks it to look at
the world (`check`), to change it where the real set is of another kind (`adapt`), to name every
file (`entries`), and, once all images are there, to write what can only be written then (`finish`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import pandas as pd

from reidlab.files import write_text
from reidlab.synth.draws import Key
from reidlab.synth.world import World

STAGING = ".parts"  # folder of what is needed until the set is whole

# What random numbers of a layout are for: the second word of their seed (see also `draws`).
SPLIT = 5
SLOT, EMPTY, QUERY, TRIAL, PERMUTATION, COPY = range(101, 107)


@dataclass(frozen=True)
class Entry:
    """One file to write: where it goes and which image of the world it shows."""

    file: str  # below the root; inside an archive the path leads through its name
    split: str  # "train", "query", "gallery", …; "query+gallery" where lists name it twice
    key: Key
    pid: int  # the identity that the file name tells
    camid: int  # the camera that the file name tells, from 0
    jitter: float = 1.0
    staged: bool = False  # kept in `STAGING` until `finish` puts it into an archive

    def path(self, root: Path) -> Path:
        """Where the image is written."""
        return (root / STAGING if self.staged else root) / self.file


@dataclass(frozen=True)
class Layout:
    """How one benchmark lies on disk.

    Args:
        options: what can be chosen beyond the world, with defaults; `check`, `entries` and
            `finish` take them by keyword.
        suggested: knobs of a world that looks like the benchmark.
        check: `check(world, **options)` raises ValueError where they do not fit.
        entries: `entries(world, **options)`, in any order; equal keys side by side are rendered
            once.
        adapt: the world to write instead, for sets of another kind than walking people.
        finish: `finish(root, world, table, **options)` writes lists and archives, each atomically,
            and returns the table of all images, its column `split` corrected if need be.
        encoding: of all images, whatever their suffix says; empty: by the suffix.
    """

    options: Mapping[str, Any]
    suggested: Mapping[str, Any]
    check: Callable[..., None]
    entries: Callable[..., list[Entry]]
    adapt: Callable[[World], World] = lambda world: world
    finish: Callable[..., pd.DataFrame] = lambda root, world, table, **options: table
    encoding: str = ""

    @classmethod
    def of(cls, module: ModuleType) -> Self:
        """The layout that a module describes: its functions and, in capitals, its constants."""
        found = {name.lower(): value for name, value in vars(module).items()}
        return cls(**{f.name: found[f.name] for f in fields(cls) if f.name in found})


def generator(world: World, *words: int) -> np.random.Generator:
    """Random numbers that belong to the world and `words`, not to an order of calls."""
    return np.random.default_rng([world.seed, *words])


def training_people(world: World, train_fraction: float) -> set[int]:
    """The identities to train on."""
    order = generator(world, SPLIT).permutation(np.arange(1, world.identities + 1))
    return {int(pid) for pid in order[: round(world.identities * train_fraction)]}


def standard_split(world: World, train_fraction: float) -> Iterator[tuple[str, Key]]:
    """(split, key) of every image: of a test person and a camera, the first image is the query."""
    training = training_people(world, train_fraction)
    for pid, camids in world.visits(list(range(1, world.identities + 1))).items():
        for camid in camids:
            for index in range(world.images_per_camera):
                test = "gallery" if index else "query"
                yield "train" if pid in training else test, (pid, camid, index)


def expect_protocol(world: World, images: int = 2) -> None:
    """A person must be found again in another camera.

    Raises:
        ValueError: fewer than two cameras, or than `images` images per person and camera.
    """
    why = "one image per person and camera for the query and one for the gallery"
    expect_knob(world, "images_per_camera", images, None, why)
    if world.total_cameras < 2:
        raise ValueError(
            f"World(cameras={world.total_cameras}): this layout needs 2 or more, as the protocol "
            "looks for a person in the other cameras"
        )


def expect_knob(world: World, knob: str, least: int, most: int | None, why: str) -> None:
    """A knob of the world from `least` to `most`.

    Raises:
        ValueError: it has another value.
    """
    value = getattr(world, knob)
    if value < least or (most is not None and value > most):
        span = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"World({knob}={value}): this layout needs {span}, {why}")


def expect_room(world: World, people: int, cameras: int, strangers: int = 0) -> None:
    """File names have so many digits.

    Raises:
        ValueError: more identities (with `strangers` beyond them) or cameras than names can tell.
    """
    identities, total = world.identities + strangers, world.total_cameras
    if identities > people or total > cameras:
        raise ValueError(
            f"{identities} identities and {total} cameras: file names of this layout have room "
            f"for {people} and {cameras}"
        )


def expect_cameras(world: World, cameras: int, infrared_cameras: int, why: str) -> None:
    """Some sets have just so many cameras.

    Raises:
        ValueError: the world has others.
    """
    if (world.cameras, world.infrared_cameras) != (cameras, infrared_cameras):
        raise ValueError(
            f"World(cameras={world.cameras}, infrared_cameras={world.infrared_cameras}): this "
            f"layout needs cameras={cameras} and infrared_cameras={infrared_cameras}, {why}"
        )


def expect_fraction(world: World, train_fraction: float) -> None:
    """Somebody to train on and somebody to test with.

    Raises:
        ValueError: `train_fraction` leaves one side empty.
    """
    expect_share("train_fraction", train_fraction, 1.0)
    if not 0 < round(world.identities * train_fraction) < world.identities:
        raise ValueError(
            f"train_fraction={train_fraction}: expected a share that leaves some of the "
            f"{world.identities} people on both sides"
        )


def expect_share(name: str, share: float, most: float = 10.0) -> None:
    """A number from 0 to `most`.

    Raises:
        ValueError: something else.
    """
    number = isinstance(share, (int, float)) and not isinstance(share, bool)
    if not number or not 0.0 <= share <= most:
        raise ValueError(f"{name}={share!r}: expected a share from 0 to {most:g}")


def expect_choice(name: str, value: object, choices: Collection[str]) -> None:
    """One of a few words.

    Raises:
        ValueError: another one.
    """
    if value not in [*choices]:  # what cannot be hashed, too
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file, each line ended by a line feed on every system."""
    write_text(path, "".join(f"{line}\n" for line in lines), sync=False)
