"""What a reader asks of a set that `reidlab.synth` wrote: world.json and attributes.csv.

Everything else about it is read by the same code as a real set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from reidlab.data.errors import DatasetError
from reidlab.data.matlab import file_of

WORLD, TRUTH = "world.json", "attributes.csv"


def world_folder(root: Path) -> Path | None:
    """Where world.json of a synthetic set lies: in its root, or above a part of it; else None.

    It is written last, so a set that has it was written whole.
    """
    return next((folder for folder in (root, root.parent) if (folder / WORLD).is_file()), None)


def with_modality(folder: Path, tables: Mapping[str, pd.DataFrame]) -> Mapping[str, pd.DataFrame]:
    """Tables in which the images of infrared cameras are called so.

    Names of a layout for visible cameras cannot tell that a synthetic one is infrared. world.json
    can: infrared cameras are numbered after the visible ones.

    Raises:
        DatasetError: world.json cannot be read.
    """
    try:
        world = json.loads((folder / WORLD).read_text(encoding="utf-8")).get("world", {})
        first = int(world["cameras"]) if world.get("infrared_cameras") else None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise _damaged(folder, WORLD, error) from error
    known = any((frame["modality"] == "infrared").any() for frame in tables.values())
    if known or first is None:
        return tables
    return {
        split: frame.assign(modality=frame["modality"].mask(frame["camid"] >= first, "infrared"))
        for split, frame in tables.items()
    }


def lost_files(folder: Path) -> tuple[list[str], int]:
    """Images that the table of truth names and the folder does not hold, and how many it names.

    Raises:
        DatasetError: attributes.csv cannot be read.
    """
    if not (folder / TRUTH).is_file():
        return [], 0
    try:
        files = pd.read_csv(folder / TRUTH, usecols=["file"])["file"].astype(str)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise _damaged(folder, TRUTH, error) from error
    places = {file: file_of(folder / file) for file in files}
    exists = {place: os.path.isfile(place) for place in set(places.values())}
    return sorted(file for file, place in places.items() if not exists[place]), len(places)


def _damaged(folder: Path, name: str, error: Exception) -> DatasetError:
    return DatasetError(
        f"cannot read {folder / name} ({error}): delete {folder}, and write it again"
    )
