"""VeRi-776: `image_train/0002_c002_00030600_0.jpg` is vehicle 2, camera 2, frame 30600, box 0.

Beside three folders: lists of names, the queries' matches and junk as positions in the list of test
names (from 1), tracks, and vehicle, camera, colour and kind of every image in XML. Every query is a
file of image_test, too. `keypoint_train.txt` and `keypoint_test.txt` are of third parties: twenty
points (here: none, -1) and last the view, 0 to 7; ours are eighths of a turn, 0 facing the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from reidlab.synth.layout import base
from reidlab.synth.world import World

OPTIONS = {"train_fraction": 0.742}
SUGGESTED = {"cameras": 6, "images_per_camera": 4, "resolution": (96, 128)}
FOLDERS = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
# Numbers of the set's own lists, counted from 1.
COLOURS = (
    "yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black",
)  # fmt: skip
KINDS = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")
# Where this world has another word.
_KINDS = {"saloon": "sedan", "lorry": "truck"}
_COLOURS = {
    "silver": "gray", "grey": "gray", "graphite": "gray", "beige": "golden", "navy": "blue",
    "light blue": "blue", "burgundy": "red", "cream": "white", "teal": "green", "gold": "golden",
    "violet": "blue", "dark green": "green",
}  # fmt: skip
_POINTS = " ".join(["-1"] * 40)
_STEP = 5  # frames between two images of a track


def check(world: World, *, train_fraction: float) -> None:
    """Names tell 9999 vehicles and 999 cameras."""
    base.expect_protocol(world, images=1)
    base.expect_room(world, people=9999, cameras=999)
    base.expect_fraction(world, train_fraction)
    adapt(world)  # an error where a knob is for people only


def adapt(world: World) -> World:
    """The same knobs, with vehicles."""
    return replace(world, subject="vehicle")


def entries(world: World, *, train_fraction: float) -> list[base.Entry]:
    """Three folders; a query comes with its copy in image_test."""
    found = []
    for split, key in base.standard_split(world, train_fraction):
        for part in ("query", "gallery") if split == "query" else (split,):
            file = f"{FOLDERS[part]}/{_name(key)}"
            found.append(base.Entry(file, part, key, key[0], key[1]))
    return found


def _name(key: base.Key) -> str:
    vehicle, camid, index = key
    frame = (vehicle * 1543 + camid * 211) % 90_000_000 + _STEP * index
    return f"{vehicle:04d}_c{camid + 1:03d}_{frame:08d}_0.jpg"


def finish(root: Path, world: World, table: pd.DataFrame, *, train_fraction: float) -> pd.DataFrame:
    """Lists, XML and views."""
    named = table.assign(name=[Path(file).name for file in table["file"]])
    named["paint"], named["type"] = _numbers(named, "colour"), _numbers(named, "kind")
    named = named.sort_values("name")
    lists = {"train": "train", "query": "query", "test": "gallery"}
    parts = {name: named[named["split"] == split] for name, split in lists.items()}
    for name, part in parts.items():
        base.write_lines(root / f"name_{name}.txt", list(part["name"]))
    for name, part, tag in (("train", parts["train"], "Training"), ("test", parts["test"], "Test")):
        base.write_lines(root / f"{name}_label.xml", _xml(part, f"{tag}Images"))
        lines = [
            f"image_{name}/{image} {_POINTS} {view}"
            for image, view in zip(part["name"], part["view"], strict=True)
        ]
        base.write_lines(root / f"keypoint_{name}.txt", lines)
    _write_matches(root, parts["query"], parts["test"])
    tracks = parts["test"].groupby(["pid", "camid"])["name"].apply(" ".join)
    base.write_lines(root / "test_track.txt", list(tracks))
    base.write_lines(root / "list_color.txt", _numbered(COLOURS))
    base.write_lines(root / "list_type.txt", _numbered(KINDS))
    cameras = [f"c{number:03d}" for number in range(1, world.total_cameras + 1)]
    base.write_lines(root / "camera_ID.txt", cameras)
    return table


def _numbers(table: pd.DataFrame, column: str) -> list[int]:
    """The set's numbers, from 1, of what the truth names."""
    listed, words = (KINDS, _KINDS) if column == "kind" else (COLOURS, _COLOURS)
    return [listed.index(words.get(word, word)) + 1 for word in table[column]]


def _xml(part: pd.DataFrame, tag: str) -> list[str]:
    """The labels of a folder, in ASCII; the declared encoding is the real set's."""
    items = [
        f'  <Item imageName="{row["name"]}" vehicleID="{row["pid"]:04d}" '
        f'cameraID="c{row["camid"] + 1:03d}" colorID="{row["paint"]}" typeID="{row["type"]}"/>'
        for row in part.to_dict("records")
    ]
    return [
        '<?xml version="1.0" encoding="gb2312"?>',
        f'<{tag} Version="1.0">',
        f' <Items number="{len(items)}">',
        *items,
        " </Items>",
        f"</{tag}>",
    ]


def _write_matches(root: Path, query: pd.DataFrame, test: pd.DataFrame) -> None:
    """Line by line for each query: where the same vehicle is, in other cameras and in this one."""
    places: dict[int, list[tuple[int, int]]] = {}
    for place, (pid, camid) in enumerate(zip(test["pid"], test["camid"], strict=True), start=1):
        places.setdefault(pid, []).append((place, camid))
    lines: dict[str, list[str]] = {"gt_index": [], "jk_index": []}
    for pid, camid in zip(query["pid"], query["camid"], strict=True):
        for name, same in (("gt_index", False), ("jk_index", True)):
            found = [place for place, other in places[pid] if (other == camid) is same]
            lines[name].append("".join(f"{place} " for place in found))
    for name, text in lines.items():
        base.write_lines(root / f"{name}.txt", text)


def _numbered(names: Sequence[str]) -> list[str]:
    return [f"{number} {name}" for number, name in enumerate(names, start=1)]
