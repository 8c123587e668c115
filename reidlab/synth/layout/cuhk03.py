"""CUHK03: five pairs of cameras, two ways to cut out a person, two protocols, three forms on disk.

A person is seen by one pair of cameras, up to five times in each of its two views. `labeled` holds
boxes drawn by hand (here: perfect ones), `detected` those of a detector; either may miss an image.
The 20 test sets of the classic protocol lie in `cuhk-03.mat`, the new protocol in two small files.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidlab.synth.layout import base
from reidlab.synth.layout.market1501 import FOLDERS
from reidlab.synth.layout.matlab import columns, needed, write_cuhk03, write_mat
from reidlab.synth.world import World

OPTIONS = {"train_fraction": 0.523, "form": "mat"}
SUGGESTED = {"cameras": 10, "images_per_camera": 5, "resolution": (160, 60)}
BOXES = {"labeled": 0.0, "detected": 1.0}  # and how much of the world's jitter they have
PAIRS = (843, 440, 77, 58, 49)  # people in each
SLOTS = 5  # images in each view
TRIALS = 20
ARCHIVE = "cuhk03_release/cuhk-03.mat"
_MISSING = 0.04  # share of slots that are empty: 14,097 of 14,670 are not
_FORMS = ("mat", "images", "market")


class Cell(NamedTuple):
    """An image that is there; it sorts in the order of the lists."""

    pair: int  # from 1
    person: int  # in the pair, from 1
    view: int  # 1 or 2
    slot: int  # 1 to 10; the second view has 6 to 10
    pid: int  # over all pairs, from 1

    @property
    def name(self) -> str:
        """As the official lists write it."""
        return f"{self.pair}_{self.person:03d}_{self.view}_{self.slot:02d}.png"


def check(world: World, *, train_fraction: float, form: str) -> None:
    """Five pairs of visible cameras."""
    base.expect_choice("form", form, _FORMS)
    for package in {"mat": ("scipy.io", "h5py"), "images": ("scipy.io",)}.get(form, ()):
        needed(package)
    base.expect_cameras(world, 2 * len(PAIRS), 0, "five pairs")
    why = "the images of a person in a view"
    base.expect_knob(world, "images_per_camera", 2, SLOTS, why)
    base.expect_knob(world, "identities", 2 * len(PAIRS), None, "for five pairs of cameras")
    if max(pair_sizes(world.identities)) > 999:
        raise ValueError(
            f"World(identities={world.identities}): up to {max(pair_sizes(world.identities))} in "
            "a pair of cameras, and names tell 999"
        )
    base.expect_fraction(world, train_fraction)
    for boxes in BOXES:
        new_protocol(world, boxes, train_fraction)


def pair_sizes(identities: int) -> list[int]:
    """People in each pair, in the proportion of the real set, nowhere none."""
    shares = np.cumsum(np.array(PAIRS) - 1) / (sum(PAIRS) - len(PAIRS))
    spare = identities - len(PAIRS)
    ends = [0, *(round(spare * share) + i for i, share in enumerate(shares, start=1))]
    return [int(high - low) for low, high in pairwise(ends)]


def _pairs_of_people(world: World) -> list[tuple[int, int]]:
    """Pair of cameras and number in it, both from 1, of person 1, 2, …"""
    sizes = enumerate(pair_sizes(world.identities), start=1)
    return [(pair, person) for pair, size in sizes for person in range(1, size + 1)]


def filled(world: World, boxes: str) -> list[Cell]:
    """The slots that hold an image, in the order of their names."""
    cells = []
    for pid, (pair, person) in enumerate(_pairs_of_people(world), start=1):
        draw = base.generator(world, base.EMPTY, list(BOXES).index(boxes), pid)
        lost = draw.random((2, SLOTS))
        for view in (1, 2):
            held = lost[view - 1, : world.images_per_camera] >= _MISSING
            held[0] |= not held.any()  # nobody lacks a view
            slots = np.flatnonzero(held) + 1 + SLOTS * (view - 1)
            cells += [Cell(pair, person, view, int(slot), pid) for slot in slots]
    return cells


def new_protocol(world: World, boxes: str, train_fraction: float) -> dict[Cell, str]:
    """The split of every image, in the order of `filled`.

    Of the people in random order the first that have two images in each view are tested; in each
    view one image at random is the query.

    Raises:
        ValueError: too few people have two images in each view.
    """
    cells = filled(world, boxes)
    images_of: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        images_of.setdefault((cell.pid, cell.view), []).append(cell)
    order = base.generator(world, base.SPLIT).permutation(np.arange(1, world.identities + 1))
    enough = [int(p) for p in order if all(len(images_of[int(p), view]) >= 2 for view in (1, 2))]
    tested = world.identities - round(world.identities * train_fraction)
    if len(enough) < tested:
        raise ValueError(
            f"train_fraction={train_fraction}: leaves {tested} people to test with, and "
            f"{len(enough)} have two {boxes} images in each view; raise train_fraction or "
            "World.images_per_camera"
        )
    splits = dict.fromkeys(cells, "train")
    for pid in enough[:tested]:
        for view in (1, 2):
            images = images_of[pid, view]
            chosen = base.generator(world, base.QUERY, pid, view).integers(len(images))
            splits |= dict.fromkeys(images, "gallery") | {images[chosen]: "query"}
    return splits


def test_sets(world: World) -> list[NDArray[np.int64]]:
    """20 times (K, 2): pair and person in it, both from 1, of those to test with."""
    places, people = np.array(_pairs_of_people(world)), min(100, max(2, world.identities // 5))
    draws = (base.generator(world, base.TRIAL, trial) for trial in range(TRIALS))
    return [places[np.sort(d.choice(len(places), people, replace=False))] for d in draws]


def entries(world: World, *, train_fraction: float, form: str) -> list[base.Entry]:
    """Both kinds of boxes; in the form "mat" they are staged."""
    found = []
    for boxes, jitter in BOXES.items():
        for cell, split in new_protocol(world, boxes, train_fraction).items():
            camid, index = 2 * (cell.pair - 1) + cell.view - 1, (cell.slot - 1) % SLOTS
            file = {
                "mat": f"{ARCHIVE}/{boxes}/{cell.name}",
                "images": f"images_{boxes}/{cell.name}",
                "market": f"{boxes}/{FOLDERS[split]}/{cell.pid:04d}_c{cell.view}_{cell.slot}.png",
            }[form]
            key = (cell.pid, camid, index)
            found.append(
                base.Entry(file, split, key, cell.pid, cell.view - 1, jitter, form == "mat")
            )
    return found


def finish(
    root: Path, world: World, table: pd.DataFrame, *, train_fraction: float, form: str
) -> pd.DataFrame:
    """The archive of images and test sets, and the lists of the new protocol."""
    if form == "market":
        return table
    for boxes in BOXES:
        splits = new_protocol(world, boxes, train_fraction)
        write_config(root / f"cuhk03_new_protocol_config_{boxes}.mat", splits)
    if form == "images":
        sets = np.empty((TRIALS, 1), dtype=object)
        for trial, people in enumerate(test_sets(world)):
            sets[trial, 0] = people.astype(np.float64)
        write_mat(root / "testsets.mat", {"testsets": sets})
        return table
    cells = {
        boxes: {(cell.pair, cell.person, cell.slot): cell.name for cell in filled(world, boxes)}
        for boxes in BOXES
    }
    sizes = pair_sizes(world.identities)
    write_cuhk03(root, ARCHIVE, sizes, 2 * SLOTS, cells, test_sets(world))
    return table


def write_config(path: Path, splits: dict[Cell, str]) -> None:
    """One list of the new protocol; positions count from 1."""
    names = np.empty((len(splits), 1), dtype=object)
    names[:, 0] = [cell.name for cell in splits]
    numbered = {
        f"{name}_idx": columns(i for i, s in enumerate(splits.values(), start=1) if s == name)
        for name in ("train", "query", "gallery")
    }
    labels = {
        "labels": columns(cell.pid for cell in splits),
        "camId": columns(cell.view for cell in splits),
    }
    write_mat(path, {"filelist": names, **labels, **numbered})
