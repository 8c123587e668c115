"""RegDB: a visible and a thermal camera side by side, ten published splits.

Nguyen, Hong, Kim, Park, "Person Recognition System Based on a Combination of Body Images from
Visible Light and Thermal Cameras", Sensors 2017; the splits are those of Ye et al. A line of a list
such as `Visible/285/male_back_v_05528_285.bmp 0` names a file and its label; labels start at 0 in
training and test alike and are the same in both modalities.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from reidlab.data.dataset import Findings, Image, ReIDDataset, finish, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import existing_root, images_of_people
from reidlab.data.lists import of_layout, present, read_labelled, unlisted
from reidlab.data.options import choose

MODALITIES = {"Visible": ("visible", "v", 0), "Thermal": ("infrared", "t", 1)}
MODES = {  # mode -> folders of query and gallery
    "visible-thermal": ("Visible", "Thermal"),
    "thermal-visible": ("Thermal", "Visible"),
}
TRIALS = range(1, 11)
NAMES = {  # the number of the folder is that of the file, the letter says the modality
    part: re.compile(
        r"0*(?P<pid>\d{1,6})/(?:male|female)_(?:front|back)"
        rf"_{letter}_(?P<frame>\d{{5}})_0*(?P=pid)\.bmp",
        re.ASCII,
    )
    for part, (_, letter, _) in MODALITIES.items()
}
LISTED = {part: re.compile(f"{part}/{name.pattern}", re.ASCII) for part, name in NAMES.items()}
PERSON = re.compile(r"0*\d{1,6}", re.ASCII)
ZEROS = re.compile(r"(?<=/)0+(?=\d+/)|(?<=_)0+(?=\d+\.)")  # before a person's number
EXAMPLE = "Visible/285/male_back_v_05528_285.bmp"


def open_regdb(root: str | Path, *, trial: int = 1, mode: str = "visible-thermal") -> ReIDDataset:
    """Read one of the ten splits.

    Args:
        root: the folder that holds Visible, Thermal and idx.
        trial: 1 to 10, the number of the published split.
        mode: "visible-thermal" (visible queries) or "thermal-visible".

    Returns:
        The set; camid 0 is the visible camera, 1 the thermal one, whose `modality` is "infrared".
        Column `pair` numbers the images of a person in each modality in the order of their frames:
        the k-th visible and the k-th thermal image belong together (ours: no list says so).
    """
    trial = choose("regdb", "trial", trial, TRIALS)
    mode = choose("regdb", "mode", mode, tuple(MODES))
    folder = existing_root("regdb", root, (*MODALITIES, "idx"))
    found = Findings(folder, EXAMPLE)
    on_disk = {
        part: {
            ZEROS.sub("", f"{part}/{name[0]}"): path
            for path, name in images_of_people(folder / part, PERSON, NAMES[part], found)
        }
        for part in MODALITIES
    }
    tables: dict[tuple[str, str], pd.DataFrame] = {}
    lists: list[Path] = []
    listed: set[str] = set()
    for split in ("train", "test"):
        people: list[tuple[str, int, int]] = []
        for part in MODALITIES:
            path = folder / "idx" / f"{split}_{part.lower()}_{trial}.txt"
            listed_here = read_labelled(path, found, parts=3)
            labels = {ZEROS.sub("", name): label for name, label in listed_here.items()}
            tables[split, part], names = _listed(path, part, labels, on_disk[part], found)
            people += [(name, labels[name], int(match["pid"])) for name, match in names.items()]
            listed.update(labels)
            lists.append(path)
        _check_labels(lists[-len(MODALITIES) :], people)
    unlisted([name for of_part in on_disk.values() for name in of_part], listed, found)
    query, gallery = MODES[mode]
    train = pd.concat([tables["train", part] for part in MODALITIES])
    return finish(
        "regdb",
        found,
        {
            "train": train.sort_values("path", ignore_index=True),
            "query": tables["test", query],
            "gallery": tables["test", gallery],
        },
        options={"trial": trial, "mode": mode},
        protocol="regdb",
        lists=lists,
    )


def _listed(
    path: Path, part: str, labels: Iterable[str], on_disk: Mapping[str, str], found: Findings
) -> tuple[pd.DataFrame, dict[str, re.Match[str]]]:
    """The images that a list names, with their place among those of the person; and the names."""
    modality, letter, camid = MODALITIES[part]
    claim = f"names an image of {part}"
    example = EXAMPLE.replace("Visible", part).replace("_v_", f"_{letter}_") + " 0"
    named = of_layout(
        path, labels, LISTED[part], found, claim=claim, folder=found.root, example=example
    )
    kept = {on_disk[name]: name for name in present(path.name, named, on_disk, found)}
    frame = table(
        Image(path=path, pid=int(named[name]["pid"]), camid=camid, modality=modality)
        for path, name in kept.items()
    )
    in_order = sorted(named, key=lambda name: (int(named[name]["frame"]), name))
    people = pd.Series({name: named[name]["pid"] for name in in_order})
    pairs = people.groupby(people).cumcount()
    return frame.assign(pair=[pairs[kept[path]] for path in frame["path"]]), named


def _check_labels(paths: Sequence[Path], people: Iterable[tuple[str, int, int]]) -> None:
    """A label is one person and a person one label, in both modalities of a split."""
    person_of: dict[int, int] = {}
    label_of: dict[int, int] = {}
    for path, label, pid in people:
        if person_of.setdefault(label, pid) != pid or label_of.setdefault(pid, label) != label:
            raise DatasetError(
                f"{' and '.join(path.name for path in paths)} do not agree on who is who: {path} "
                f"has label {label}, which elsewhere is person {person_of[label]}, and person "
                f"{pid} has label {label_of.get(pid, label)}. Are they of the same trial? Take the "
                "published lists"
            )
