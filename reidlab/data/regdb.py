"""RegDB: a visible and a thermal camera side by side, ten published splits.

Nguyen, Hong, Kim, Park, "Person Recognition System Based on a Combination of Body Images from
Visible Light and Thermal Cameras", Sensors 2017; the splits are those of Ye et al. A line of a list
such as `Visible/285/male_back_v_05528_285.bmp 0` names a file and its label; labels start at 0 in
training and test alike and are the same in both modalities.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from reidlab.data.dataset import Findings, Image, ReIDDataset, finish, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import existing_root, images_of_people, leave_out
from reidlab.data.lists import Labelled, present, read_labelled, unlisted
from reidlab.data.options import choose

MODALITIES = {"Visible": ("visible", "v", 0), "Thermal": ("infrared", "t", 1)}
MODES = {  # mode -> folders of query and gallery
    "visible-thermal": ("Visible", "Thermal"),
    "thermal-visible": ("Thermal", "Visible"),
}
TRIALS = range(1, 11)
NAME = re.compile(
    r"(Visible|Thermal)/(\d+)/(?:male|female)_(?:front|back)_([vt])_(\d{5})_(\d+)\.bmp", re.ASCII
)
PERSON = re.compile(r"\d+", re.ASCII)
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
    on_disk = {part: _on_disk(folder, part, found) for part in MODALITIES}
    paths = {
        (split, part): folder / "idx" / f"{split}_{part.lower()}_{trial}.txt"
        for split in ("train", "test")
        for part in MODALITIES
    }
    lines = {key: read_labelled(path, found) for key, path in paths.items()}
    tables = {
        (split, part): _listed(paths[split, part], part, lines[split, part], on_disk[part], found)
        for split, part in paths
    }
    for split in ("train", "test"):
        both = [(split, part) for part in MODALITIES]
        _check_labels([paths[key] for key in both], [line for key in both for line in lines[key]])
    listed = {line.path for part_lines in lines.values() for line in part_lines}
    unlisted([name for names in on_disk.values() for name in names], listed, found)
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
        lists=list(paths.values()),
    )


def _on_disk(folder: Path, part: str, found: Findings) -> set[str]:
    """<part>/<person>/<file> of all images of the layout."""
    names: set[str] = set()
    for person, files in images_of_people(folder / part, PERSON, found):
        good = [file for file in files if _match(f"{part}/{person}/{file}")]
        names.update(f"{part}/{person}/{file}" for file in good)
        leave_out(found, folder / part / person, sorted(set(files) - set(good)))
    if not names:
        raise DatasetError(
            f"{folder / part} holds no images in folders of people, expected names like {EXAMPLE}. "
            "Was the unpacking interrupted? Do it again"
        )
    return names


def _match(path: str) -> re.Match[str] | None:
    """The name, if its folder, its modality and its person agree."""
    match = NAME.fullmatch(path)
    if match is None or match[3] != MODALITIES[match[1]][1] or int(match[2]) != int(match[5]):
        return None
    return match


def _listed(
    path: Path, part: str, lines: list[Labelled], on_disk: set[str], found: Findings
) -> pd.DataFrame:
    """The images that a list names, with their place among those of the person."""
    matches = {line.path: _match(line.path) for line in lines}
    named = {name: match for name, match in matches.items() if match and match[1] == part}
    foreign = [name for name in matches if name not in named]
    if not named:
        raise DatasetError(
            f"no line of {path} names an image of {part}: expected "
            f"'{EXAMPLE.replace('Visible', part).replace('_v_', f'_{part[0].lower()}_')} 0', found "
            f"{foreign[0]!r}. Take the published list"
        )
    leave_out(found, found.root, foreign)
    modality, _, camid = MODALITIES[part]
    kept = {name: str(found.root / name) for name in present(path.name, named, on_disk, found)}
    frame = table(
        Image(path=path, pid=int(named[name][2]), camid=camid, modality=modality)
        for name, path in kept.items()
    )
    pairs = _pairs(named)
    return frame.assign(pair=frame["path"].map({kept[name]: pairs[name] for name in kept}))


def _pairs(named: dict[str, re.Match[str]]) -> dict[str, int]:
    """Place of each image among those of its person, by frame number, from 0."""
    of_person: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, match in named.items():
        of_person[match[2]].append((int(match[4]), name))
    return {
        name: place
        for images in of_person.values()
        for place, (_, name) in enumerate(sorted(images))
    }


def _check_labels(paths: Sequence[Path], lines: Iterable[Labelled]) -> None:
    """A label is one person and a person one label, in both modalities of a split."""
    person_of: dict[int, int] = {}
    label_of: dict[int, int] = {}
    for path, label in lines:
        match = _match(path)
        if match is None:
            continue
        pid = int(match[2])
        if person_of.setdefault(label, pid) != pid or label_of.setdefault(pid, label) != label:
            raise DatasetError(
                f"{' and '.join(path.name for path in paths)} do not agree on who is who: {path} "
                f"has label {label}, which elsewhere is person {person_of[label]}, and person "
                f"{pid} has label {label_of.get(pid, label)}. Are they of the same trial? Take the "
                "published lists"
            )
