"""Market-1501, and the synthetic sets written in its layout.

Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. A name such as
`0002_c1s1_000451_03.jpg` reads: person 2, camera 1, sequence 1, frame 451, box 3. Person -1 is
junk (no whole person), person 0 a distractor. Both are in the gallery folder alone. 24 official
names end in .jpg.jpg, most of them of person 1488; they count like any other.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from reidlab.data.dataset import Findings, ReIDDataset, finish, table
from reidlab.data.folders import existing_root, image_of, matching_images

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"(?P<pid>-1|\d{4})_c(?P<camid>[1-9])s(\d)_(\d+)_(\d+)(?:\.jpg)?\.jpg", re.ASCII)
EXAMPLE = "0002_c1s1_000451_03.jpg"


def open_market1501(root: str | Path) -> ReIDDataset:
    """Read the folder that holds bounding_box_train, query and bounding_box_test."""
    folder = existing_root("market1501", root, tuple(FOLDERS.values()))
    found = Findings(folder, EXAMPLE)
    return finish("market1501", found, read_folders(folder, NAME, found, flags=True))


def read_folders(
    folder: Path, pattern: re.Pattern[str], found: Findings, *, flags: bool = False
) -> dict[str, pd.DataFrame]:
    """The tables of the three folders, which other sets have, too; flags as in `table`."""
    return {
        split: table(
            (image_of(*match) for match in matching_images(folder / part, pattern, found)),
            flags=flags,
        )
        for split, part in FOLDERS.items()
    }
