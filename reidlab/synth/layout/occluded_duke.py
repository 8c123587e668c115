"""Occluded-Duke: DukeMTMC-reID with other lists, in which every query is an occluded person.

The images are those of the folder DukeMTMC-reID/; `Occluded_Duke/{train,query,gallery}.list` name
them, one a line. The gallery is all of Duke's, queries come from Duke's queries and from its
gallery (and stay in it), and some training images are left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidlab.synth.layout import base, dukemtmc
from reidlab.synth.world import World

OPTIONS = dukemtmc.OPTIONS
SUGGESTED = {**dukemtmc.SUGGESTED, "occlusion": 0.3}
_LEFT_OUT = 18  # one training image of so many: 904 of 16,522
_KNEES = 0.4  # m above the floor


def check(world: World, *, train_fraction: float, distractors: float) -> None:
    """As DukeMTMC-reID, and somebody must be occluded."""
    dukemtmc.check(world, train_fraction=train_fraction, distractors=distractors)
    found = entries(world, train_fraction=train_fraction, distractors=distractors)
    if not any("query" in entry.split for entry in found):
        raise ValueError(
            f"World(occlusion={world.occlusion}): nothing stands before a test person, and every "
            "query of this layout is an occluded person; raise occlusion, identities or "
            "images_per_camera"
        )


def entries(world: World, *, train_fraction: float, distractors: float) -> list[base.Entry]:
    """Duke's files; the split is that of the lists, "unused" where no list has the file."""
    duke = dukemtmc.entries(world, train_fraction=train_fraction, distractors=distractors)
    hidden = occluded(world, [entry.key for entry in duke])
    found, trained = [], 0
    for entry, behind in zip(duke, hidden, strict=True):
        split = entry.split
        if split == "train":
            trained += 1
            split = "train" if trained % _LEFT_OUT else "unused"
        elif split == "query":
            split = "query" if behind else "unused"
        elif behind and entry.pid <= world.identities:  # a stranger has no other camera
            split = "query+gallery"
        found.append(replace(entry, file=f"DukeMTMC-reID/{entry.file}", split=split))
    return found


def occluded(world: World, keys: list[base.Key]) -> NDArray[np.bool_]:
    """(N,) whether something hides the middle line of the person, up to the knees or higher."""
    cameras = world.all_cameras.take(np.array([camid for _, camid, _ in keys]))
    shots = world.shots(keys, cameras)
    present, aside, half_width, half_height, ahead = np.moveaxis(shots.occluder, -1, 0)  # (N, 2)
    near, far = cameras.near.T
    away = np.hypot(near + shots.distance * (far - near), shots.aside * cameras.side)[:, None]
    eye = cameras.height[:, None]
    # Where the line of sight over its upper edge meets the person.
    height = eye - (eye - 2 * half_height) * away / (away - ahead)
    hides = (present > 0) & (np.abs(aside) < half_width) & (height > _KNEES)
    return hides.any(axis=1)


def finish(root: Path, world: World, table: pd.DataFrame, **options: float) -> pd.DataFrame:
    """The three lists. A query that the pictures do not bear out is none."""
    bare = table["occluder_share"] == 0.0
    table = table.copy()
    table.loc[bare & (table["split"] == "query"), "split"] = "unused"
    table.loc[bare & (table["split"] == "query+gallery"), "split"] = "gallery"
    for name in ("train", "query", "gallery"):
        chosen = table.loc[[name in split.split("+") for split in table["split"]], "file"]
        names = sorted(Path(file).name for file in chosen)
        base.write_lines(root / "Occluded_Duke" / f"{name}.list", names)
    return table
