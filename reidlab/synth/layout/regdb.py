"""RegDB: `Visible/285/male_back_v_05528_285.bmp`, and `t` for `v` in the twin below Thermal/.

A visible and a thermal camera hang side by side and take their images at the same instant: the same
frame is the same pose. A person is seen from the front or from the back, never from both. Ten lists
split the people in halves. `male` and `female` stand in the names because they do in the real ones:
here hair and skirt decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import numpy as np
import pandas as pd

from reidlab.synth.layout import base
from reidlab.synth.styles import BOTTOMS, HAIR
from reidlab.synth.vectors import cos
from reidlab.synth.world import World

OPTIONS: dict[str, object] = {}
SUGGESTED = {"cameras": 1, "infrared_cameras": 1, "images_per_camera": 10, "resolution": (128, 64)}
TRIALS = 10
MODALITIES = ("Visible", "Thermal")
_STEP = 3  # frames between two images
_BATCH = 32  # shots looked at together


def check(world: World) -> None:
    """One visible camera and one infrared one."""
    base.expect_cameras(world, 1, 1, "the thermal one beside the visible one")
    base.expect_knob(world, "identities", 2, None, "half of them to train on")
    base.expect_knob(world, "images_per_camera", 1, 1000, "as frames have five digits")


def adapt(world: World) -> World:
    """Side by side; the second camera sees heat."""
    return replace(world, twins=((1, 0),), infrared="thermal")


def trial_people(world: World, trial: int) -> tuple[list[int], list[int]]:
    """People to train on and to test with, in the order of their labels; `trial` counts from 1."""
    order = base.generator(world, base.TRIAL, trial).permutation(world.identities) + 1
    half = world.identities // 2
    return [int(pid) for pid in order[:half]], [int(pid) for pid in order[half:]]


def entries(world: World) -> list[base.Entry]:
    """A folder for each modality and person; the split is that of the first trial."""
    training = set(trial_people(world, 1)[0])
    people = world.people(list(range(1, world.identities + 1)))
    skirt = np.isin(people.bottom, [BOTTOMS.index("skirt"), BOTTOMS.index("long skirt")])
    women = skirt | (people.hair == HAIR.index("long"))
    found = []
    for pid in range(1, world.identities + 1):
        gender = "female" if women[pid - 1] else "male"
        facing, indices = _one_side(world, pid)
        for camid, modality in enumerate(MODALITIES):
            split = "train" if pid in training else ("query", "gallery")[camid]
            for image, index in enumerate(indices):
                frame = (pid * 61) % 90_000 + _STEP * image
                name = f"{gender}_{facing}_{modality[0].lower()}_{frame:05d}_{pid}.bmp"
                file = f"{modality}/{pid}/{name}"
                found.append(base.Entry(file, split, (pid, camid, index), pid, camid))
    return found


def _one_side(world: World, pid: int) -> tuple[str, list[int]]:
    """Front or back, as the first image shows it, and the first images that show the same."""
    first = next(_fronts(world, pid))[1]
    same = (index for index, front in _fronts(world, pid) if front == first)
    return "front" if first else "back", list(islice(same, world.images_per_camera))


def _fronts(world: World, pid: int) -> Iterator[tuple[int, bool]]:
    """Image by image, whether the person faces the camera."""
    cameras = world.all_cameras.take(np.zeros(_BATCH, dtype=np.int64))
    for start in count(0, _BATCH):
        keys = [(pid, 0, index) for index in range(start, start + _BATCH)]
        turned = world.shots(keys, cameras).azimuth
        yield from ((key[2], bool(cos(a) < 0.0)) for key, a in zip(keys, turned, strict=True))


def finish(root: Path, world: World, table: pd.DataFrame) -> pd.DataFrame:
    """Ten times four lists: path and label, which counts from 0 in each list."""
    by_person = table.sort_values("file").groupby(["camid", "pid"])["file"].apply(list)
    for trial in range(1, TRIALS + 1):
        for part, people in zip(("train", "test"), trial_people(world, trial), strict=True):
            for camid, modality in enumerate(("visible", "thermal")):
                lines = [
                    f"{file} {label}"
                    for label, pid in enumerate(people)
                    for file in by_person[camid, pid]
                ]
                base.write_lines(root / "idx" / f"{part}_{modality}_{trial}.txt", lines)
    return table
