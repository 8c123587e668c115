"""VeRi-776: vehicles, twenty cameras.

Liu, Liu, Mei, Ma, "A Deep Learning-Based Approach to Progressive Vehicle Re-identification for
Urban Surveillance", ECCV 2016. A name such as `0002_c002_00030600_0.jpg` reads: vehicle 2, camera
2, time 30600, box 0. Every query is a file of the test folder as well, where the standard rule
removes it with its camera; gt_index.txt and jk_index.txt say the same and are not needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pandas as pd

from reidlab.data.dataset import Findings, ReIDDataset, finish, some, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import existing_root, image_of, leave_out, matching_images
from reidlab.data.lists import image_name, present, read_lines, read_names, unlisted
from reidlab.data.options import choose

FOLDERS = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
LISTS = {"train": "name_train.txt", "query": "name_query.txt", "gallery": "name_test.txt"}
LABELS = {"train": "train_label.xml", "query": "test_label.xml", "gallery": "test_label.xml"}
VIEWS = {
    "train": "keypoint_train.txt",
    "query": "keypoint_test.txt",
    "gallery": "keypoint_test.txt",
}
NAME = re.compile(r"(?P<pid>\d{4})_c(?!000)(?P<camid>\d{3})_(\d{8})_(\d+)\.jpg", re.ASCII)
EXAMPLE = "0002_c002_00030600_0.jpg"
XML_DECLARATION = re.compile(rb"^\s*(?:\xef\xbb\xbf)?\s*<\?xml.*?\?>", re.DOTALL)


class Attributes(NamedTuple):
    """What the labels say of an image, in the set's numbers; -1 unknown."""

    pid: int
    color: int
    type: int


NOTHING = Attributes(-1, -1, -1)


def open_veri776(root: str | Path, views: str = "all") -> ReIDDataset:
    """Read the folder that holds image_train, image_query and image_test.

    name_train.txt, name_query.txt and name_test.txt are followed where they are there. From
    train_label.xml and test_label.xml come columns `color` and `type` (the set's numbers, -1
    unknown), from keypoint_train.txt and keypoint_test.txt, a third party's annotation, `view`, 0
    to 7. With views="known" images without one are left out, as in TransReID.
    """
    known = choose("veri776", "views", views, ("all", "known")) == "known"
    folder = existing_root("veri776", root, tuple(FOLDERS.values()))
    found = Findings(folder, EXAMPLE)
    files = dict.fromkeys(LABELS.values())
    attributes = {name: _attributes(folder / name, found) for name in files}
    seen = {name: _views(folder / name, found) for name in dict.fromkeys(VIEWS.values())}
    tables = {}
    for split in FOLDERS:
        frame = _images(folder, split, seen[VIEWS[split]], found)
        unseen = frame["view"] < 0
        if known and unseen.any():
            names = some(Path(path).name for path in frame.loc[unseen, "path"])
            found.notes.append(
                f"{int(unseen.sum())} images of {split} without a viewpoint are left out: {names}"
            )
            frame = frame[~unseen].reset_index(drop=True)
        tables[split] = _with_attributes(frame, attributes[LABELS[split]], LABELS[split], found)
    lists = [folder / name for name in LISTS.values() if (folder / name).is_file()]
    options = {"views": views} if known else {}  # younger than records of the set
    return finish("veri776", found, tables, lists=lists, options=options)


def _images(folder: Path, split: str, views: Mapping[str, int], found: Findings) -> pd.DataFrame:
    """The images of a split, those of its list where there is one."""
    files = {
        name[0]: (path, name)
        for path, name in matching_images(folder / FOLDERS[split], NAME, found)
    }
    names = list(files)
    if (folder / LISTS[split]).is_file():
        lines = read_names(folder / LISTS[split], found)
        listed = [line for line in lines if NAME.fullmatch(line)]
        leave_out(found, folder / FOLDERS[split], sorted(set(lines) - set(listed)))
        names = present(LISTS[split], listed or lines, files, found)
        unlisted(files, names, found)
    else:
        found.warnings.append(
            f"{LISTS[split]} is missing: all images of {FOLDERS[split]} are taken"
        )
    return table(image_of(*files[name])._replace(view=views.get(name, -1)) for name in names)


def _attributes(path: Path, found: Findings) -> dict[str, Attributes]:
    """Attributes of each image by file name; empty without the file.

    The file declares itself gb2312, which Python's parser does not know; its names are ASCII, so
    the declaration is dropped and the rest is read as UTF-8.
    """
    if not path.is_file():
        return {}
    text = XML_DECLARATION.sub(b"", path.read_bytes()).decode("utf-8", errors="replace")
    try:
        attributes = {
            image_name(item.attrib["imageName"], 1, found): Attributes(
                *(int(item.attrib.get(key, -1)) for key in ("vehicleID", "colorID", "typeID"))
            )
            for item in ElementTree.fromstring(text).iter("Item")
        }
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise DatasetError(
            f"cannot read the labels {path} ({error}): it is damaged or another file. Copy it "
            "again, or remove it to do without colours and types"
        ) from error
    if not attributes:
        raise DatasetError(
            f"the labels {path} name no image, expected an Item for each: it is another file. Copy "
            "it again, or remove it to do without colours and types"
        )
    return attributes


def _with_attributes(
    frame: pd.DataFrame, attributes: Mapping[str, Attributes], source: str, found: Findings
) -> pd.DataFrame:
    """The table with the colour and type of each vehicle, where the set knows them."""
    if not attributes:
        return frame
    names = [image_name(path, 1, found) for path in frame["path"]]
    unknown = [name for name in names if name not in attributes]
    if unknown:
        found.warnings.append(
            f"{len(unknown)} images of {len(names)} are not in {source}: {some(unknown)}"
        )
    known = [attributes.get(name, NOTHING) for name in names]
    pids = frame["pid"].tolist()
    wrong = [
        name for name, it, pid in zip(names, known, pids, strict=True) if it.pid not in (-1, pid)
    ]
    if wrong:
        found.warnings.append(
            f"{source} gives {len(wrong)} images another vehicle than their name; the name "
            f"counts: {some(wrong)}"
        )
    return frame.assign(color=[it.color for it in known], type=[it.type for it in known])


def _views(path: Path, found: Findings) -> dict[str, int]:
    """The orientation of each image by file name: the last number of its line."""
    if not path.is_file():
        return {}
    views = {}
    for line in read_lines(path, found):
        words = line.split()
        if len(words) < 2 or not re.fullmatch(r"-1|[0-7]", words[-1]):
            raise DatasetError(
                f"{path} has the line {line[:60]!r}: expected a file name, key points, and last an "
                "orientation from 0 to 7. Copy it again, or remove it to do without `view`"
            )
        views[image_name(words[0], 1, found)] = int(words[-1])
    return views
