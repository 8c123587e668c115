"""Unpack your own copy of CUHK03, convert its MATLAB file to images, check it. No download.

What it is
    14,097 detected and 14,096 hand-labelled boxes of 1,467 people, each seen by one of five pairs
    of cameras at the Chinese University of Hong Kong (CVPR 2014). One file, cuhk-03.mat, holds both
    kinds of boxes and the 20 classic splits.
Whom to ask
    Its authors, by the form at ee.cuhk.edu.hk/~xgwang/CUHK_identification.html (an old page; it may
    be gone). The new protocol (NP) is two small public files of
    github.com/zhunzhong07/person-re-ranking: cuhk03_new_protocol_config_labeled.mat and
    cuhk03_new_protocol_config_detected.mat.
Licence
    Research only, as far as known; not to be passed on.
Privacy
    Whether the people in it agreed to a data set is not stated in anything that we could check. Do
    not show faces, do not look for the people.

    python data_scripts/prepare_cuhk03.py cuhk03_release.zip \
        cuhk03_new_protocol_config_labeled.mat cuhk03_new_protocol_config_detected.mat \
        --out data/cuhk03

Written are images_labeled/ and images_detected/ with names such as 1_001_1_01.png (camera pair 1,
person 1, view 1, slot 1 of 10), testsets.csv with the columns split (from 0), pair and person,
and the two files of the new protocol. A folder with cuhk-03.mat in it is read where it lies and the
images are written to --out. Without the two files there is the classic protocol alone. Once all
images are there, a cuhk-03.mat that was unpacked to --out is not needed any more.

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout cuhk03-np --out data/plaza-cuhk03
"""

from __future__ import annotations

import io
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from reidlab.data import read_image
from reidlab.data.cuhk03 import MATS
from reidlab.data.cuhk03_store import BOXES, stored_images, stored_test_sets
from reidlab.data.matlab import open_matlab73
from reidlab.data.prepare import PrepareError, Recipe, put, run
from reidlab.files import alone, atomic, find, same_place

CONFIG = r"cuhk03_new_protocol_config_(labeled|detected)\.mat"
MARKET = ("bounding_box_train", "query", "bounding_box_test")


def convert(source: Path, out: Path) -> tuple[Path, int]:
    """Write the images and splits of cuhk-03.mat that are not in `out` yet.

    One image after another: the file is never held in memory. testsets.csv is written last.

    Args:
        source: holds cuhk-03.mat; read only. Without that file, or where it was converted before,
            nothing is done.
        out: where the images go.

    Returns:
        The folder to open, and how many files were written.

    Raises:
        DatasetError: a broken file.
        PrepareError: an image in `out` that differs.
    """
    mat = next((source / place for place in MATS if (source / place).is_file()), None)
    elsewhere = not same_place(source, out)
    if mat is None or (elsewhere and (source / "testsets.csv").is_file()):
        return source, 0
    with open_matlab73(mat, *BOXES, "testsets"):
        written = 0  # all of it is there, so the first image may be written
    with nullcontext() if (out / "testsets.csv").exists() else alone(out):
        for boxes in BOXES:
            images = tqdm(stored_images(mat, boxes), desc=boxes, unit=" images", disable=None)
            written += sum(_save(pixels, out / f"images_{boxes}" / name) for name, pixels in images)
        for config in find(source, "**/*.mat") if elsewhere else []:
            if re.fullmatch(CONFIG, config.name):
                with config.open("rb") as stream:
                    written += put(stream, config.stat().st_size, out / config.name, config)
        rows = [
            (split, *person)
            for split, people in enumerate(stored_test_sets(mat))
            for person in people.tolist()
        ]
        table = pd.DataFrame(rows, columns=["split", "pair", "person"])
        text = table.to_csv(index=False, lineterminator="\n").encode()
        return out, written + put(io.BytesIO(text), len(text), out / "testsets.csv", mat)


def opens(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each protocol that the folder has the files for, with both kinds of boxes."""
    classic = [
        place for place in ("testsets.csv", "testsets.mat", *MATS) if (root / place).exists()
    ]
    protocols = ["cuhk03-np"] * has_new_protocol(root) + ["cuhk03-classic"] * bool(classic)
    return [(name, {"boxes": boxes}) for name in protocols or ["cuhk03-np"] for boxes in BOXES]


def has_new_protocol(root: Path) -> bool:
    """Whether the two files are there, or the images sorted by them."""
    configs = (root / f"cuhk03_new_protocol_config_{boxes}.mat" for boxes in BOXES)
    return all(config.is_file() for config in configs) or (root / "detected" / "query").is_dir()


def remarks(root: Path) -> list[str]:
    """Whether the protocol that most papers use can be read."""
    if has_new_protocol(root):
        return []
    return [
        "the two files of the new protocol (NP), on which most results since 2018 are, are not "
        "there: run this again with them after the archive"
    ]


def _save(pixels: NDArray[np.uint8], target: Path) -> bool:
    """Write a PNG unless it is there; whether it was written."""
    if target.exists():
        if np.array_equal(np.asarray(read_image(target)), pixels):
            return False
        raise PrepareError(
            f"{target} is there and differs from cuhk-03.mat; it was not overwritten. Move it "
            "away, or choose another folder with --out"
        )
    with atomic(target, sync=False) as beside:
        Image.fromarray(pixels).save(beside, "PNG")
    return True


RECIPE = Recipe(
    name="cuhk03",
    keep=(
        r"cuhk-03\.mat",
        CONFIG,
        r"images_(labeled|detected)/[^/]+\.png",
        rf"(labeled|detected)/({'|'.join(MARKET)})/[^/]+\.(png|jpg)",
        r"testsets\.(csv|mat)",
    ),
    forms=(
        ("cuhk-03.mat",),
        ("cuhk03_release/cuhk-03.mat",),
        ("images_labeled/*.png", "images_detected/*.png"),
        tuple(f"{boxes}/{part}/*.png" for boxes in BOXES for part in MARKET),
    ),
    convert=convert,
    opens=opens,
    remarks=remarks,
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
