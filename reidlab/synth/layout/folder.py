"""A folder of one's own: `0007/2/0001.jpg` is person 7, camera 2 (from 0), and `images.csv`.

The table has the columns path, pid, camid, split, modality and view.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..atomic import write_atomic
from ..world import World
from .base import Entry, Layout, expect_fraction, expect_protocol, standard_split


def check(world: World, *, train_fraction: float) -> None:
    """A query and a gallery image of each person and camera."""
    expect_protocol(world)
    expect_fraction(world, train_fraction)


def entries(world: World, *, train_fraction: float) -> list[Entry]:
    """A folder for each person, one in it for each camera."""
    return [
        Entry(f"{key[0]:04d}/{key[1]}/{key[2] + 1:04d}.jpg", split, key, key[0], key[1])
        for split, key in standard_split(world, train_fraction)
    ]


def finish(root: Path, world: World, table: pd.DataFrame, *, train_fraction: float) -> pd.DataFrame:
    """The table."""
    told = table.assign(path=table["file"]).sort_values("path")
    told = told[["path", "pid", "camid", "split", "modality", "view"]]
    write_atomic(root / "images.csv", told.to_csv(index=False).encode())
    return table


LAYOUT = Layout(
    options={"train_fraction": 0.5},
    suggested={"cameras": 4, "images_per_camera": 2, "resolution": (128, 64)},
    check=check,
    entries=entries,
    finish=finish,
)
