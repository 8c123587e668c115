"""MSMT17: `train/0000/0000_000_01_0303morning_0015_0.jpg 0` in a list, and two versions.

The name tells person, number of the image, camera (from 1), day and time of day, two more numbers,
and `_ex` in two names of five. People to train on and to test with are numbered from 0 alike and
are not the same. Times of day are told by the names alone here: the light is the camera's.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pandas as pd

from reidlab.synth.layout import base
from reidlab.synth.world import World

OPTIONS = {"train_fraction": 0.25, "val": 0.07, "version": "V1"}
SUGGESTED = {"cameras": 15, "images_per_camera": 2, "resolution": (128, 64)}
FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
_DAYS, _TIMES = ("0113", "0114", "0302", "0303"), ("morning", "noon", "afternoon")
_EXTRA = 0.42  # share of names that end in _ex


def check(world: World, *, train_fraction: float, val: float, version: str) -> None:
    """Names tell 10,000 people, 99 cameras and 1000 images of a person."""
    base.expect_choice("version", version, FOLDERS)
    base.expect_protocol(world)
    base.expect_room(world, people=10_000, cameras=99)
    base.expect_fraction(world, train_fraction)
    base.expect_share("val", val, 0.5)
    if val < 0.001:
        raise ValueError(f"val={val}: expected a share of the training images, 0.001 to 0.5")
    most = 1000 // world.total_cameras
    why = "as names number the images of a person from 0 to 999"
    base.expect_knob(world, "images_per_camera", 1, most, why)


def entries(world: World, *, train_fraction: float, val: float, version: str) -> list[base.Entry]:
    """Two folders of folders of people."""
    training = base.training_people(world, train_fraction)
    people = range(1, world.identities + 1)
    known = {pid: i for i, pid in enumerate(p for p in people if p in training)}
    number = known | {pid: i for i, pid in enumerate(p for p in people if p not in training)}
    seen: dict[int, int] = defaultdict(int)
    every, found = round(1 / val), []
    for split, key in base.standard_split(world, train_fraction):
        person, camid, index = key
        folder = FOLDERS[version][person not in training]
        pid, running = number[person], seen[person]
        seen[person] += 1
        if split == "train" and running % every == 1:  # one of a person at least
            split = "val"
        name = f"{pid:04d}_{running:03d}_{camid + 1:02d}_{_moment(world, person, camid, index)}.jpg"
        found.append(base.Entry(f"{folder}/{pid:04d}/{name}", split, key, pid, camid))
    return found


def _moment(world: World, person: int, camid: int, index: int) -> str:
    """Day, time and numbers: one visit of a person to a camera is one moment."""
    visit = base.generator(world, base.SLOT, person, camid)
    day, time = _DAYS[visit.integers(len(_DAYS))], _TIMES[visit.integers(len(_TIMES))]
    frame = (int(visit.integers(9000)) + 8 * index) % 10_000
    image = base.generator(world, base.SLOT, person, camid, index)
    small, extra = image.integers(12), "_ex" if image.random() < _EXTRA else ""
    return f"{day}{time}_{frame:04d}_{small}{extra}"


def finish(root: Path, world: World, table: pd.DataFrame, **options: object) -> pd.DataFrame:
    """The four lists: path below the folder, and label, which is the number of the person."""
    for name in ("train", "val", "query", "gallery"):
        chosen = table[table["split"] == name].sort_values("file")
        below = [file.split("/", 1)[1] for file in chosen["file"]]
        lines = [f"{file} {pid}" for file, pid in zip(below, chosen["pid"], strict=True)]
        base.write_lines(root / f"list_{name}.txt", lines)
    return table
