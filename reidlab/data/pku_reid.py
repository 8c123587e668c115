"""PKU-Reid: 114 people, two cameras, eight orientations.

Ma, Liu, Hu, Wang, Sun, "Orientation driven bag of appearances for person re-identification",
arXiv 1605.02464. Two layouts are in use:

- LA-TF++ published 74 people, 62 to train on and 12 to test on: `train/009/02_7.png` reads person
  9, camera 2, orientation 7. The files are JPEG data under a .png name. 17 of its 28 queries are
  byte for byte in its gallery, so the default here is another split: all 192 test images as query
  and as gallery, where the standard rule removes an image's own copy together with its camera.
- The release names them `9_2_7.png`, half of the people for training: in train/ and test/, or all
  in one folder beside train_ids.txt, a list of the training people. All test images are query and
  gallery.

Twelve test people decide little, so everybody can be tested instead, by cross-validation: the
people of either layout are divided into folds, each of which is searched by what was trained on
the others.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pandas as pd

from reidlab.data.dataset import Findings, ReIDDataset, finish, labelled, some, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import (
    existing_folder,
    has_all,
    image_of,
    images_of_people,
    matching_images,
    wrong_root,
)
from reidlab.data.lists import read_numbers, report_absent
from reidlab.data.options import choose
from reidlab.evaluation import queries_with_match
from reidlab.files import find

PERSON = re.compile(r"\d{3}", re.ASCII)
NAME = re.compile(r"(?P<pid>\d{3})/(?P<camid>0[12])_(?P<view>[1-8])\.png", re.ASCII)
RELEASE_NAME = re.compile(r"(?P<pid>\d{1,3})_0?(?P<camid>[12])_(?P<view>[1-8])\.png", re.ASCII)
EXAMPLE, RELEASE_EXAMPLE = "009/01_5.png", "9_1_5.png"

TRAIN = "train"
TEST_PARTS = {  # split -> folders of query and gallery, in the layout of LA-TF++
    "all_imgs": ("val/all_imgs", "val/all_imgs"),
    "la-tf-pp": ("val/query", "val/gallery"),
}
RELEASE = "57-57"
TRAIN_IDS = "train_ids.txt"
FOLDS = "folds"  # the split of a cross-validation


def open_pku_reid(
    root: str | Path,
    *,
    split: str | None = None,
    fold: int | None = None,
    folds: int | None = None,
) -> ReIDDataset:
    """Read the folder that holds train and val, or train and test, or all images.

    Args:
        root: that folder.
        split: "all_imgs" (192 images as query and gallery; the default where there is val),
            "la-tf-pp" (28 against 181), "57-57" (the release's, its default), or "official": the
            one of the last two that came with the folder.
        fold: which of the `folds` is tested, from 1: all its images are query and gallery. The
            people of the others are trained on.
        folds: into how many all people of the folder are divided, instead of by a split: 74 in the
            layout of LA-TF++, 114 in the release. Who is in which fold follows from the numbers of
            the people alone; the sizes differ by one at most.

    Returns:
        The set; column `view` is the orientation, 0 to 7 for the names' 1 to 8. `options` names the
        split it came to, "folds" with fold and folds.

    Raises:
        DatasetError: no such split or fold, or a fold that cannot be tested: none of its images has
            a match; and whatever is wrong with the folder.
    """
    if fold is not None or folds is not None:
        _check_together(split, fold, folds)
        return _fold(open_pku_reid(root), fold, folds)
    choices = (*TEST_PARTS, RELEASE, "official")
    split = choose("pku-reid", "split", split, (*choices, None))
    folder = existing_folder("pku-reid", root)
    released = has_all(folder, ("train", "test")) or (folder / TRAIN_IDS).is_file()
    if split is None or split == "official":
        split = RELEASE if released else "la-tf-pp" if split else "all_imgs"
    if released != (split == RELEASE):
        raise DatasetError(
            f"{folder} is laid out as {'the release' if released else 'by LA-TF++'} and has no "
            f"split {split!r}: choose {RELEASE if released else ' or '.join(TEST_PARTS)}"
        )
    return _open_release(folder) if released else _open_la_tf_pp(folder, split)


def _check_together(split: object, fold: object, folds: object) -> None:
    """The options of a cross-validation are given together, and without a split of another kind."""
    for name, value, lacking in (("fold", fold, folds), ("folds", folds, fold)):
        if lacking is None:
            raise DatasetError(
                f"{name} is {value!r} for pku-reid: choose fold and folds together, such as "
                "fold=1, folds=3"
            )
    if split is not None and not (isinstance(split, str) and split == FOLDS):
        raise DatasetError(
            f"split is {split!r} for pku-reid: choose a split, or fold and folds, which divide the "
            "people anew"
        )


def _fold(whole: ReIDDataset, fold: object, folds: object) -> ReIDDataset:
    """The people of a set divided into folds, one of them to be tested."""
    everybody = pd.concat([whole.train.drop(columns="label"), whole.query])
    everybody = everybody.sort_values("path", ignore_index=True)
    # An order that no run of neighbouring numbers survives, the same on every machine.
    people = sorted(
        everybody["pid"].unique().tolist(), key=lambda pid: sha256(str(pid).encode()).digest()
    )
    if len(people) < 2:
        raise DatasetError(
            f"{whole.root} has images of one person, expected of 2 or more people, to divide them "
            "into folds: copy the set again"
        )
    folds = choose("pku-reid", "folds", folds, range(2, len(people) + 1))
    fold = choose("pku-reid", "fold", fold, range(1, folds + 1))
    tested = everybody["pid"].isin(people[fold - 1 :: folds])
    train, test = (everybody[rows].reset_index(drop=True) for rows in (~tested, tested))
    if not queries_with_match(test["pid"], test["pid"], test["camid"], test["camid"]).any():
        raise DatasetError(
            f"fold {fold} of {folds} of {whole.root} has no query with a match: both cameras see "
            f"none of its people (numbers {some(sorted(test['pid'].unique()))}). Choose fewer "
            "folds, or copy the set again"
        )
    return replace(
        whole,
        train=labelled(train),
        query=test,
        gallery=test.copy(),
        options={"split": FOLDS, "fold": fold, "folds": folds},
        published=None,
        lists=(),
    )


def _open_la_tf_pp(folder: Path, split: str) -> ReIDDataset:
    query, gallery = TEST_PARTS[split]
    layout = tuple(dict.fromkeys((TRAIN, query, gallery)))
    if not has_all(folder, layout):
        raise wrong_root(
            "pku-reid", folder, layout, ("train", "test"), ("images", TRAIN_IDS), (TRAIN_IDS,)
        )
    found = Findings(folder, EXAMPLE)
    parts = {"train": TRAIN, "query": query, "gallery": gallery}
    unused = {part for pair in TEST_PARTS.values() for part in pair if find(folder, f"{part}/*/*")}
    by_part = {
        part: table(
            image_of(*match) for match in images_of_people(folder / part, PERSON, NAME, found)
        )
        for part in sorted({*parts.values(), *unused})
    }
    return finish(
        "pku-reid",
        found,
        {name: by_part[part].copy() for name, part in parts.items()},
        options={"split": split},
    )


def _open_release(folder: Path) -> ReIDDataset:
    found = Findings(folder, RELEASE_EXAMPLE)
    lists = []
    if has_all(folder, ("train", "test")):
        train, test = (_flat(folder / part, found) for part in ("train", "test"))
    else:
        lists = [folder / TRAIN_IDS]
        chosen = read_numbers(lists[0], found)
        everybody = _flat(folder / "images" if (folder / "images").is_dir() else folder, found)
        in_train = everybody["pid"].isin(chosen)
        report_absent(TRAIN_IDS, chosen, everybody["pid"], found)
        train, test = (everybody[rows].reset_index(drop=True) for rows in (in_train, ~in_train))
    return finish(
        "pku-reid",
        found,
        {"train": train, "query": test, "gallery": test.copy()},
        options={"split": RELEASE},
        lists=lists,
    )


def _flat(folder: Path, found: Findings) -> pd.DataFrame:
    return table(image_of(*match) for match in matching_images(folder, RELEASE_NAME, found))
