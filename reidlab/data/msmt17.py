"""MSMT17: fifteen cameras, lists that decide the split.

Wei, Zhang, Gao, Tian, "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR
2018. Version 2 is version 1 with masked faces, in other folders. A line of a list such as
`0000/0000_000_01_0303morning_0015_0.jpg 0` names a file below train/ or test/ and its label, which
is the number of its folder; the third number of the name is the camera.

People are numbered from 0 in training and from 0 again in test, and these are **different people**:
person 0 of `train` is not person 0 of `query`. The check that nobody is in both is left out here,
the folders keep them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from reidlab.data.dataset import Findings, ReIDDataset, finish, some, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import existing_folder, has_all, image_of, images_of_people, wrong_root
from reidlab.data.lists import check_disjoint, of_layout, present, read_labelled, unlisted
from reidlab.data.options import choose

VERSIONS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
NAME = re.compile(
    r"(?P<pid>\d{4})/(?P<named>\d{4})_\d{3}_(?!00)(?P<camid>\d{2})_\d{4}(?:morning|noon|afternoon)_\d{4}_\d{1,2}(?:_ex)?"
    r"\.jpg",
    re.ASCII,
)
PERSON = re.compile(r"\d{4}", re.ASCII)
EXAMPLE = "0000/0000_000_01_0303morning_0015_0.jpg"


def open_msmt17(root: str | Path, *, val: str = "in", version: str | None = None) -> ReIDDataset:
    """Read the folder that holds the four lists and the two folders of images.

    Args:
        root: that folder, MSMT17_V1 or MSMT17_V2.
        val: "in" trains on list_val.txt as well, 32,621 images (as TransReID and QAConv do); "out"
            on list_train.txt alone, 30,248 (as torchreid and fast-reid do).
        version: "V1" or "V2", where a folder holds both; else it is detected.
    """
    val = choose("msmt17", "val", val, ("in", "out"))
    version = choose("msmt17", "version", version, (*VERSIONS, None))
    folder = existing_folder("msmt17", root)
    version = _version(folder, version)
    found = Findings(folder, EXAMPLE)
    tables = {}
    for part, lists in zip(VERSIONS[version], (LISTS[:2], LISTS[2:]), strict=True):
        matches = images_of_people(folder / part, PERSON, NAME, found)
        on_disk = {name[0]: path for path, name in matches}
        labels = {name: read_labelled(folder / name, found, parts=2) for name in lists}
        for name in lists:
            tables[name] = _listed(folder / part, folder / name, labels[name], on_disk, found)
        check_disjoint(folder, labels)
        listed = [f"{part}/{path}" for name in lists for path in labels[name]]
        unlisted([f"{part}/{path}" for path in on_disk], listed, found)
    train, held_out, query, gallery = (tables[name] for name in LISTS)
    if val == "in":
        train = pd.concat([train, held_out]).sort_values("path", ignore_index=True)
    return finish(
        "msmt17",
        found,
        {"train": train, "query": query, "gallery": gallery},
        options={"val": val, "version": version},
        lists=[folder / name for name in LISTS],
        same_ids=False,
    )


def _version(folder: Path, asked: str | None) -> str:
    """Which version lies there, once it is sure that its folders and the lists do."""
    complete = [version for version, parts in VERSIONS.items() if has_all(folder, (*parts, *LISTS))]
    if not complete or (asked is not None and asked not in complete):
        wanted = VERSIONS if asked is None else {asked: VERSIONS[asked]}
        raise wrong_root("msmt17", folder, *((*parts, *LISTS) for parts in wanted.values()))
    if asked is None and len(complete) > 1:
        raise DatasetError(
            f"{folder} holds both versions of MSMT17: say which, open_dataset('msmt17', "
            f"{str(folder)!r}, version='V2')"
        )
    return asked or complete[0]


def _listed(
    folder: Path, path: Path, labels: dict[str, int], on_disk: Mapping[str, str], found: Findings
) -> pd.DataFrame:
    """The images that a list names."""
    claim, example = "names an image of MSMT17", f"{EXAMPLE} 0"
    named = of_layout(path, labels, NAME, found, claim=claim, folder=folder, example=example)
    wrong = [f"{p} {labels[p]}" for p, match in named.items() if int(match["pid"]) != labels[p]]
    if wrong:
        raise DatasetError(
            f"{path} gives {len(wrong)} images a label that is not the number of their folder, "
            f"e.g. {wrong[0]!r}: the list was made for other folders, or relabelled. Take the "
            "published list"
        )
    moved = [p for p, match in named.items() if match["pid"] != match["named"]]
    if moved:
        found.warnings.append(
            f"{len(moved)} images of {path.name} lie in another person's folder than their name "
            f"says; the folder counts: {some(moved)}"
        )
    return table(
        image_of(on_disk[name], named[name]) for name in present(path.name, named, on_disk, found)
    )
