"""CUHK03: five pairs of cameras, two kinds of boxes, two protocols, three forms on disk.

Li, Zhao, Xiao, Wang, "DeepReID: Deep Filter Pairing Neural Network for Person Re-Identification",
CVPR 2014. The name `1_001_1_01.png` reads: camera pair 1, person 1 of that pair, view 1, slot 1. A
person is seen by one pair only, so the view is the camera. Boxes are drawn by hand ("labeled") or
by a detector ("detected").

- classic: 20 test sets of 100 people, all their images are query and gallery, evaluated with one
  gallery image per person.
- new protocol (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
  2017): 767 people to train on and 700 to test on, evaluated as Market-1501.

The images lie in cuhk-03.mat, where they are read directly (`cuhk03_store`), or converted in
images_labeled/ and images_detected/, or, for the new protocol, in a copy in Market-1501's format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from reidlab.data.cuhk03_splits import TRIALS, Split, classic_split, config_split, json_split
from reidlab.data.cuhk03_store import (
    BOXES,
    EXAMPLE,
    NAME,
    PEOPLE,
    pair_sizes,
    person_of,
    stored_names,
    view_of,
)
from reidlab.data.dataset import (
    SPLITS,
    Findings,
    Image,
    ReIDDataset,
    finish,
    some,
    table,
)
from reidlab.data.errors import DatasetError
from reidlab.data.folders import existing_folder, has_all, matching_images, wrong_root
from reidlab.data.lists import present, unlisted
from reidlab.data.market1501 import FOLDERS, read_folders
from reidlab.data.options import choose
from reidlab.data.synthetic import world_folder
from reidlab.files import find

SOURCES = ("auto", "mat", "json")
_OWN_FILE = "Put it there, or leave source out"
CONFIG = "cuhk03_new_protocol_config_{boxes}.mat"
MATS = ("cuhk03_release/cuhk-03.mat", "cuhk-03.mat")
MARKET_NAME = re.compile(r"(?P<pid>\d{4})_c(?P<camid>[12])_(\d+)\.(?:png|jpg)", re.ASCII)
MARKET_EXAMPLE = "0003_c1_21.png"
IMAGES = {"detected": 14_097, "labeled": 14_096}
LAYOUTS = (  # what makes a root, each by itself
    *((mat,) for mat in MATS),
    *((f"images_{boxes}",) for boxes in BOXES),
    *(tuple(f"{boxes}/{part}" for part in FOLDERS.values()) for boxes in BOXES),
)


def open_cuhk03_np(
    root: str | Path, *, boxes: str = "detected", source: str = "auto"
) -> ReIDDataset:
    """Read the new protocol, 767 people against 700.

    Args:
        root: the folder that holds the images (in any of the three forms) and, but for the copy in
            Market-1501's format, cuhk03_new_protocol_config_<boxes>.mat or
            splits_new_<boxes>.json.
        boxes: "detected" (as torchreid and QAConv) or "labeled" (as fast-reid).
        source: which of the two files decides, "mat" or "json"; "auto" takes the first that is
            there.
    """
    boxes, source = _chosen("cuhk03-np", boxes, source)
    folder = _root("cuhk03-np", root)
    config = folder / CONFIG.format(boxes=boxes)
    splits = folder / f"splits_new_{boxes}.json"
    found = Findings(folder, EXAMPLE)
    if source != "json" and config.is_file():
        return _open("cuhk03-np", found, boxes, config_split(config, found), {})
    if source != "mat" and splits.is_file():
        return _open("cuhk03-np", found, boxes, json_split(splits, 0, found), {})
    if source == "auto" and has_all(folder / boxes, tuple(FOLDERS.values())):
        return _open_market(folder, boxes)
    wanted = {"mat": [config.name], "json": [splits.name]}
    public = "The .mat file is public (github.com/zhunzhong07/person-re-ranking): put it there"
    raise DatasetError(
        f"{folder} has no {' or '.join(wanted.get(source, [config.name, splits.name]))}, which "
        f"decides the split of boxes={boxes!r}. "
        f"{_OWN_FILE if source == 'json' else public}. Or open 'cuhk03-classic'"
    )


def open_cuhk03_classic(
    root: str | Path, *, boxes: str = "detected", split: int = 0, source: str = "auto"
) -> ReIDDataset:
    """Read one of the 20 classic test sets: 100 people, everyone else is trained on.

    Args:
        root: the folder that holds cuhk-03.mat (or cuhk03_release), or the converted images with
            testsets.mat, testsets.csv (columns split from 0, pair, person) or
            splits_classic_<boxes>.json.
        boxes: "detected" or "labeled".
        split: 0 to 19.
        source: "mat" (the published test sets, also as testsets.mat or .csv), "json", or "auto",
            the first that is there.
    """
    boxes, source = _chosen("cuhk03-classic", boxes, source)
    split = choose("cuhk03-classic", "split", split, TRIALS)
    folder = _root("cuhk03-classic", root)
    found = Findings(folder, EXAMPLE)
    chosen = None if source == "json" else classic_split(folder, _mat(folder), split)
    splits = folder / f"splits_classic_{boxes}.json"
    if chosen is None and source != "mat" and splits.is_file():
        chosen = json_split(splits, split, found, query_in_gallery=True)
    if chosen is None:
        published = ("cuhk-03.mat", "testsets.mat", "testsets.csv")
        wanted = {"mat": published, "json": (splits.name,)}.get(source, (*published, splits.name))
        again = (
            "Convert cuhk-03.mat again by data_scripts/prepare_cuhk03.py, which writes testsets.csv"
        )
        raise DatasetError(
            f"{folder} has no {' or '.join(wanted)} (source={source!r}), which decides the split. "
            f"{_OWN_FILE if source == 'json' else again}"
        )
    return _open("cuhk03-classic", found, boxes, chosen, {"split": split})


def _chosen(name: str, boxes: str, source: str) -> tuple[str, str]:
    return choose(name, "boxes", boxes, BOXES), choose(name, "source", source, SOURCES)


def _root(name: str, root: str | Path) -> Path:
    folder = existing_folder(name, root)
    if not _is_root(folder):
        raise wrong_root(name, folder, *LAYOUTS, is_root=_is_root)
    return folder


def _is_root(folder: Path) -> bool:
    if folder.name == "cuhk03_release" and (folder / "cuhk-03.mat").is_file():
        # the lists are one level higher, unless they lie here
        return not _is_root(folder.parent) or bool(find(folder, CONFIG.format(boxes="*")))
    return any(has_all(folder, parts) for parts in LAYOUTS)


def _mat(folder: Path) -> Path | None:
    return next((folder / mat for mat in MATS if (folder / mat).is_file()), None)


def _open_market(folder: Path, boxes: str) -> ReIDDataset:
    """The copy in Market-1501's format."""
    found = Findings(folder, MARKET_EXAMPLE)
    return finish(
        "cuhk03-np",
        found,
        read_folders(folder / boxes, MARKET_NAME, found),
        options={"boxes": boxes, "form": "market", "split from": "folders"},
    )


def _open(
    name: str, found: Findings, boxes: str, split: Split, options: Mapping[str, Any]
) -> ReIDDataset:
    """The images a split names, wherever they lie."""
    form, paths = _images(found, boxes, split)
    listed = split.listed(paths)
    unlisted(paths, [image for names in listed.values() for image in names], found)
    number = _numbering(found, boxes, split)
    empty = [part for part in SPLITS if not listed[part]]
    if empty:
        raise DatasetError(
            f"{split.file} leaves no image of {found.root} for {' and '.join(empty)}: its "
            f"{len(split.tested)} people, tested on, are "
            f"{'all there are' if empty == ['train'] else 'none of those there'}. Take the "
            "published file"
        )
    tables = {}
    for part in SPLITS:
        kept = present(f"{split.file.name} ({part})", listed[part], paths, found)
        tables[part] = table(Image(paths[n], number(n), view_of(n) - 1) for n in kept)
    if split.names is None:
        _report_tested(split, tables["query"]["path"], found)
    real = world_folder(found.root) is None
    if name == "cuhk03-classic" and real and len(paths) != IMAGES[boxes]:
        found.warnings.append(
            f"there are {len(paths):,} {boxes} images; published are {IMAGES[boxes]:,}"
        )
    return finish(
        name,
        found,
        tables,
        options={"boxes": boxes, **options, "form": form, "split from": split.file.name},
        protocol="standard" if name == "cuhk03-np" else "cuhk03-single-shot",
        lists=[split.file] if split.file != _mat(found.root) else [],  # its size says enough
    )


def _images(found: Findings, boxes: str, split: Split) -> tuple[str, dict[str, str]]:
    """("images", or "mat" if they have to be read from there) and the path of each name."""
    converted, mat = found.root / f"images_{boxes}", _mat(found.root)
    if not converted.is_dir() and mat is None:
        raise DatasetError(
            f"{found.root} has neither images_{boxes} nor cuhk-03.mat. Convert the {boxes} boxes, "
            f"too, or choose the other: boxes='{BOXES[boxes == BOXES[0]]}'"
        )
    if converted.is_dir():
        paths = {name[0]: path for path, name in matching_images(converted, NAME, found)}
        if split.names is not None:
            wanted = [name for names in split.names.values() for name in names]
        else:
            wanted = [] if mat is None else stored_names(mat, boxes)
        missing = sorted(set(wanted) - set(paths))
        if not missing or mat is None:
            return "images", paths
        found.warnings.append(
            f"{len(missing)} images are missing in images_{boxes}, e.g. {some(missing, 1)}: all "
            "are read from cuhk-03.mat instead. Convert it to the end"
        )
    assert mat is not None
    prefix = os.path.join(mat, boxes, "")
    return "mat", {name: prefix + name for name in stored_names(mat, boxes)}


def _numbering(found: Findings, boxes: str, split: Split) -> Callable[[str], int]:
    """How people are numbered through all pairs: as the published lists do, from 1.

    By the split's own numbers; else by the sizes of the pairs in cuhk-03.mat; else by the new
    protocol's list, if it lies there; else by the published sizes. On the real set all agree.
    """
    mat = _mat(found.root)
    config = found.root / CONFIG.format(boxes=boxes)
    pids = split.pids
    if not pids and mat is None and config.is_file():
        pids = config_split(config, found).pids
    offsets = [0, *accumulate(PEOPLE if mat is None or pids else pair_sizes(mat))]
    return lambda name: pids.get(name, offsets[person_of(name)[0] - 1] + person_of(name)[1])


def _report_tested(split: Split, paths: Any, found: Findings) -> None:
    seen = {person_of(os.path.basename(path)) for path in paths}
    absent = sorted(set(split.tested) - seen)
    if absent:
        found.warnings.append(
            f"{len(absent)} of the {len(split.tested)} people of {split.file.name} have no image, "
            f"e.g. person {absent[0][1]} of pair {absent[0][0]}"
        )
