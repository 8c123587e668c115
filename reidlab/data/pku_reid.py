"""PKU-Reid, in the split that LA-TF++ published: 62 people to train on, 12 to test on.

Ma, Liu, Hu, Wang, Sun, "Orientation driven bag of appearances for person re-identification",
arXiv 1605.02464. `train/009/02_7.png` reads: person 9, camera 2, orientation 7. The files are JPEG
data under a .png name. 17 of the 28 official queries are byte for byte in the official gallery, so
the default here is another one: all 192 test images as query and as gallery, where the standard
rule removes an image's own copy together with its camera.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from reidlab.data.dataset import Counts, DatasetError, Image, ReIDDataset, finish, table
from reidlab.data.folders import existing_root, matching_images

PERSON = re.compile(r"^\d{3}$")
NAME = re.compile(r"^(0[12])_([1-8])\.png$")
EXAMPLE = "01_5.png"

TRAIN = "train"
TEST_PARTS = {  # split -> folders of query and gallery
    "all_imgs": ("val/all_imgs", "val/all_imgs"),
    "official": ("val/query", "val/gallery"),
}
PUBLISHED = {
    "all_imgs": {
        "train": Counts(992, 62, 2),
        "query": Counts(192, 12, 2),
        "gallery": Counts(192, 12, 2),
    },
    "official": {
        "train": Counts(992, 62, 2),
        "query": Counts(28, 12, 2),
        "gallery": Counts(181, 12, 2),
    },
}


def open_pku_reid(root: str | Path, *, split: str = "all_imgs") -> ReIDDataset:
    """Read the folder that holds train/ and val/.

    Args:
        root: that folder.
        split: "all_imgs" (192 images as query and gallery) or "official" (28 against 181).

    Returns:
        The set; column `view` is the orientation, 0 to 7 for the names' 1 to 8.
    """
    if split not in TEST_PARTS:
        raise DatasetError(
            f"unknown split {split!r} of pku-reid: choose one of {', '.join(TEST_PARTS)}"
        )
    query, gallery = TEST_PARTS[split]
    folder = existing_root("pku-reid", root, tuple(dict.fromkeys((TRAIN, query, gallery))))
    warnings: list[str] = []
    parts = {"train": TRAIN, "query": query, "gallery": gallery}
    by_part = {part: _people(folder / part, warnings) for part in dict.fromkeys(parts.values())}
    return finish(
        "pku-reid",
        folder,
        {name: by_part[part].copy() for name, part in parts.items()},
        published=PUBLISHED[split],
        warnings=warnings,
        options={"split": split},
    )


def _people(folder: Path, warnings: list[str]) -> pd.DataFrame:
    """All images below folder/<person>/."""
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    people = [path for path in below if PERSON.match(path.name)]
    if not people:
        raise DatasetError(
            f"{folder} holds no folders of people, expected names of three digits like 009, each "
            f"with images like {EXAMPLE}. Was the copying interrupted? Do it again"
        )
    foreign = [path.name for path in below if path not in people and path.name != "__MACOSX"]
    if foreign:
        warnings.append(
            f"{len(foreign)} folders in {folder.name} have a foreign name and are left out: "
            f"{', '.join(foreign[:3])} (expected three digits like 009)"
        )
    return table(
        Image(
            path=str(path),
            pid=int(person.name),
            camid=int(name[1]) - 1,
            view=int(name[2]) - 1,
        )
        for person in people
        for path, name in matching_images(person, NAME, EXAMPLE, warnings)
    )
