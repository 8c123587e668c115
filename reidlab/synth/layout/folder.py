"""A folder of one's own: `0007/2/0001.jpg` is person 7, camera 2 (from 0), and `images.csv`.

The table has the columns path, pid, camid, split, modality and view.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reidlab.files import write_text
from reidlab.synth.layout import base
from reidlab.synth.world import World

OPTIONS = {"train_fraction": 0.5}
SUGGESTED = {"cameras": 4, "images_per_camera": 2, "resolution": (128, 64)}


def check(world: World, *, train_fraction: float) -> None:
    """A query and a gallery image of each person and camera."""
    base.expect_protocol(world)
    base.expect_fraction(world, train_fraction)


def entries(world: World, *, train_fraction: float) -> list[base.Entry]:
    """A folder for each person, one in it for each camera."""
    return [
        base.Entry(f"{key[0]:04d}/{key[1]}/{key[2] + 1:04d}.jpg", split, key, key[0], key[1])
        for split, key in base.standard_split(world, train_fraction)
    ]


def finish(root: Path, world: World, table: pd.DataFrame, *, train_fraction: float) -> pd.DataFrame:
    """The table."""
    columns = ["path", "pid", "camid", "split", "modality", "view"]
    listed = table.rename(columns={"file": "path"}).sort_values("path")[columns]
    write_text(root / "images.csv", listed.to_csv(index=False))
    return table
