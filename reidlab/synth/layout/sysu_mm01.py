"""SYSU-MM01: `cam3/0006/0012.jpg` is image 12 of person 6 in camera 3.

Cameras 1, 2, 4 and 5 are visible, 3 and 6 infrared. Cameras 2 and 3 look at the same room, so that
here camera 3 hangs beside camera 2; they do not take their images at the same instants. Only some
people walk indoors, where cameras 1 and 2 are. Who is seen in one modality alone is in no split.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from reidlab.synth.layout import base
from reidlab.synth.layout.matlab import needed, write_mat
from reidlab.synth.world import World

OPTIONS = {"train_fraction": 0.805}
SUGGESTED = {"cameras": 4, "infrared_cameras": 2, "images_per_camera": 10, "resolution": (128, 64)}
NUMBERS = (1, 2, 4, 5, 3, 6)  # of the world's cameras: four visible ones, two infrared ones
_TWINS = ((4, 1),)  # camera 3 beside camera 2, as the world counts
_VISIBLE, _INDOOR, _OUTDOOR, _INFRARED = range(4), (0, 1), (2, 3), (4, 5)
_INDOORS = 56 / 96  # share of the people
_VALIDATION = 99 / 395  # share of the people to train on
_TRIALS = 10


def check(world: World, *, train_fraction: float) -> None:
    """Four visible cameras and two infrared ones."""
    needed("scipy.io")
    base.expect_cameras(world, len(_VISIBLE), len(_INFRARED), "cameras 1, 2, 4, 5 and 3, 6")
    base.expect_room(world, people=9999, cameras=len(NUMBERS))
    base.expect_knob(world, "images_per_camera", 1, 9999, "as names have four digits")
    base.expect_fraction(world, train_fraction)
    people = splits(world, train_fraction)
    empty = [name for name in ("train", "val", "test") if name not in people.values()]
    if empty:
        raise ValueError(
            f"World(identities={world.identities}): nobody is left for {', '.join(empty)}; this "
            "layout needs a few people more"
        )


def adapt(world: World) -> World:
    """Camera 3 in the room of camera 2."""
    return replace(world, twins=_TWINS)


def splits(world: World, train_fraction: float) -> dict[int, str]:
    """ "train", "val", "test" or "" of every person."""
    seen = world.visits(list(range(1, world.identities + 1)))
    usable = [p for p, c in seen.items() if {*c} & {*_OUTDOOR} and {*c} & {*_INFRARED}]
    order = [usable[i] for i in base.generator(world, base.SPLIT).permutation(len(usable))]
    trained = round(len(order) * train_fraction)
    validated = max(1, round(trained * _VALIDATION))
    split = dict.fromkeys(seen, "")
    split |= dict.fromkeys(order[trained:], "test")
    split |= dict.fromkeys(order[:validated], "val")
    return split | dict.fromkeys(order[validated:trained], "train")


def entries(world: World, *, train_fraction: float) -> list[base.Entry]:
    """A folder for each camera and person."""
    people, seen = splits(world, train_fraction), world.visits(list(range(1, world.identities + 1)))
    indoors: set[int] = set()
    for name in ("train", "val", "test"):
        group = [pid for pid, split in people.items() if split == name]
        order = base.generator(world, base.SLOT).permutation(len(group))
        indoors |= {group[i] for i in order[: max(1, round(len(group) * _INDOORS))]}
    found = []
    for pid, split in people.items():
        cameras = [c for c in seen[pid] if c not in _INDOOR]
        for camid in [*(_INDOOR if pid in indoors else ()), *cameras]:
            part = {"": "unused", "test": "query" if camid in _INFRARED else "gallery"}
            # What its twin takes at the same instants belongs to no file.
            later = world.images_per_camera if camid in dict(_TWINS) else 0
            for image in range(world.images_per_camera):
                file = f"cam{NUMBERS[camid]}/{pid:04d}/{image + 1:04d}.jpg"
                key = (pid, camid, image + later)
                found.append(base.Entry(file, part.get(split, split), key, pid, NUMBERS[camid] - 1))
    return found


def finish(root: Path, world: World, table: pd.DataFrame, *, train_fraction: float) -> pd.DataFrame:
    """Who belongs where, and the permutations by which the official gallery is drawn."""
    people = splits(world, train_fraction)
    lists = {name: [p for p, split in people.items() if split == name] for name in people.values()}
    lists["available"] = [pid for pid, split in people.items() if split]
    for name in ("train", "val", "test", "available"):
        base.write_lines(root / "exp" / f"{name}_id.txt", [",".join(map(str, sorted(lists[name])))])
    counts = table.groupby(["camid", "pid"]).size()
    cells = np.empty((len(NUMBERS), 1), dtype=object)
    for camid in range(len(NUMBERS)):
        cells[camid, 0] = of_camera = np.empty((world.identities, 1), dtype=object)
        for pid in range(1, world.identities + 1):
            images = int(counts.get((camid, pid), 0))
            draw = base.generator(world, base.PERMUTATION, camid, pid)
            rows = [draw.permutation(images) + 1.0 for _ in range(_TRIALS if images else 0)]
            of_camera[pid - 1, 0] = np.array(rows).reshape(len(rows), images)
    write_mat(root / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": cells})
    return table
