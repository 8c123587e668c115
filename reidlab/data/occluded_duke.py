"""Occluded-Duke: three lists of files of DukeMTMC-reID, whose images were withdrawn.

Miao, Wu, Liu, Ding, Yang, "Pose-Guided Feature Alignment for Occluded Person Re-identification",
ICCV 2019. A query is a file of Duke's query folder or of its gallery folder; 1,870 of the 2,210
queries are gallery files as well, where the standard rule removes them with their camera.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from reidlab.data.cards import CARDS
from reidlab.data.dataset import Findings, ReIDDataset, count, finish, table
from reidlab.data.dukemtmc import EXAMPLE, NAME
from reidlab.data.errors import DatasetError
from reidlab.data.folders import existing_folder, has_all, image_of, matching_images, wrong_root
from reidlab.data.lists import of_layout, present, read_names
from reidlab.data.market1501 import FOLDERS

LISTS = {"train": "train.list", "query": "query.list", "gallery": "gallery.list"}
IN = "Occluded_Duke"
DUKE = "DukeMTMC-reID"
SOURCES = {  # split -> folders of Duke where a listed file may lie, the first that has it counts
    "train": ("train",),
    "query": ("query", "gallery"),
    "gallery": ("gallery", "query"),
}

Files = Mapping[str, tuple[str, re.Match[str]]]  # published name -> (path, match)


def open_occluded_duke(root: str | Path) -> ReIDDataset:
    """Read the lists and the images they name.

    Args:
        root: the folder that holds Occluded_Duke (with train.list, query.list and gallery.list) and
            DukeMTMC-reID; or the lists together with Duke's three folders or with DukeMTMC-reID;
            or, without lists, the three folders that the authors' script makes of them.
    """
    folder = existing_folder("occluded-duke", root)
    found = Findings(folder, EXAMPLE)
    lists = _lists(folder)
    built = (folder, folder / IN)  # what the authors' script makes needs no list
    places = built if lists is None else (folder, folder / DUKE, folder / IN)
    images = next((path for path in places if has_all(path, tuple(FOLDERS.values()))), None)
    if images is None:
        raise _no_images(folder, lists)
    files = {
        split: {name[0]: (path, name) for path, name in matching_images(images / part, NAME, found)}
        for split, part in FOLDERS.items()
    }
    if lists is None:
        tables = {
            split: table(image_of(*file) for file in files[split].values()) for split in files
        }
        duke = CARDS["dukemtmc"].counts()
        assert duke is not None
        # Without lists only its name and its counts tell Duke from what is made of it.
        if folder.name == DUKE or all(count(tables[split]) == duke[split] for split in duke):
            raise _no_lists(folder)
    else:
        tables = {split: _listed(lists / LISTS[split], split, files, found) for split in LISTS}
    return finish(
        "occluded-duke",
        found,
        tables,
        options={"split from": "folders" if lists is None else "lists"},
        lists=[] if lists is None else [lists / file for file in LISTS.values()],
    )


def _lists(folder: Path) -> Path | None:
    """The folder that holds the three lists; None if there is not a single one."""
    for place in (folder, folder / IN):
        missing = [name for name in LISTS.values() if not has_all(place, (name,))]
        if not missing:
            return place
        if len(missing) < len(LISTS):
            raise DatasetError(
                f"{place} holds some of the lists and no {', '.join(missing)}: copy "
                f"{', '.join(LISTS.values())} from the archive, or remove them all to read the "
                "folders"
            )
    return None


def _no_images(folder: Path, lists: Path | None) -> DatasetError:
    if lists is None and has_all(folder, (DUKE,)):
        return _no_lists(folder)
    if lists is None:
        return wrong_root(
            "occluded-duke",
            folder,
            (f"{IN}/train.list", f"{IN}/query.list", f"{IN}/gallery.list", DUKE),
            tuple(LISTS.values()),
            tuple(FOLDERS.values()),
        )
    if has_all(folder.parent, (DUKE,)):
        return DatasetError(
            f"{folder} holds the lists only; {DUKE} is beside it. Pass the folder that holds both: "
            f"open_dataset('occluded-duke', {str(folder.parent)!r})"
        )
    return DatasetError(
        f"the lists are in {lists}, but there is no {DUKE} with {', '.join(FOLDERS.values())} in "
        f"{folder}: Occluded-Duke is a list of DukeMTMC-reID's images. Put a lawful copy there"
    )


def _no_lists(folder: Path) -> DatasetError:
    return DatasetError(
        f"{folder} holds DukeMTMC-reID and not Occluded-Duke: add {IN} with the lists "
        f"{', '.join(LISTS.values())}, or open it as 'dukemtmc'"
    )


def _listed(path: Path, split: str, files: Mapping[str, Files], found: Findings) -> pd.DataFrame:
    """The images that a list names."""
    names = read_names(path, found)
    claim = "is a file name of DukeMTMC-reID"
    named = of_layout(path, names, NAME, found, claim=claim, folder=path.parent)
    where = {
        name: file for source in reversed(SOURCES[split]) for name, file in files[source].items()
    }
    return table(image_of(*where[name]) for name in present(path.name, named, where, found))
