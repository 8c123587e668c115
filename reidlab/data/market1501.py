"""Market-1501, and the synthetic sets written in its layout.

Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. A name such as
`0002_c1s1_000451_03.jpg` reads: person 2, camera 1, sequence 1, frame 451, box 3. Person -1 is
junk (no whole person), person 0 a distractor. Both are in the gallery folder alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from reidlab.data.dataset import Counts, Image, ReIDDataset, finish, table
from reidlab.data.folders import existing_root, is_synthetic, matching_images

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"^(-?\d+)_c(\d)s(\d)_(\d+)_(\d+)\.jpg$")
EXAMPLE = "0002_c1s1_000451_03.jpg"

# Counted in the official id lists. The gallery is 19,732 files less 3,819 junk; the official page
# says 2,793 distractors, the lists hold 2,798.
PUBLISHED = {
    "train": Counts(12_936, 751, 6),
    "query": Counts(3_368, 750, 6),
    "gallery": Counts(15_913, 750, 6),
}


def open_market1501(root: str | Path) -> ReIDDataset:
    """Read the folder that holds bounding_box_train, query and bounding_box_test."""
    folder = existing_root("market1501", root, tuple(FOLDERS.values()))
    warnings: list[str] = []
    tables = {
        split: table(
            Image(path=str(path), pid=int(name[1]), camid=int(name[2]) - 1)
            for path, name in matching_images(folder / part, NAME, EXAMPLE, warnings)
        )
        for split, part in FOLDERS.items()
    }
    published = None if is_synthetic(folder) else PUBLISHED
    return finish("market1501", folder, tables, published=published, warnings=warnings)
