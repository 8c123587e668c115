"""RandPerson, the subset that papers train on: synthetic people, nineteen cameras, no test split.

Wang, Liao, Shao, "Surpassing Real-World Source Training Data: Random 3D Characters for
Generalizable Person Re-Identification", ACM MM 2020. A name such as `000000_s00_c00_f000264.jpg`
reads: person 0, scene 0, camera 0 of that scene, frame 264. The first release wrote the camera
before the scene; the letters say which is which, so both are read, and the old order is reported.
"""

from __future__ import annotations

import re
from pathlib import Path

from reidlab.data.dataset import Findings, Image, ReIDDataset, finish, some, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import (
    existing_folder,
    leave_out,
    listing,
    matched,
    matching_images,
    wrong_root,
)

FOLDER = "randperson_subset"
NAME = re.compile(r"(\d{6})_(?:s(\d{2})_c(\d{2})|c(\d{2})_s(\d{2}))_f(\d{6})\.jpg", re.ASCII)
EXAMPLE = "000000_s00_c00_f000264.jpg"
CAMERAS = (2, 2, 2, 2, 1, 1, 2, 1, 1, 1, 4)  # of the scenes 0 to 10: their numbers restart in each


def open_randperson(root: str | Path) -> ReIDDataset:
    """Read the folder that holds randperson_subset, or that folder itself.

    Returns:
        The set; `camid` counts the cameras of all scenes, scene by scene, and columns `scene` and
        `frame` are the name's. `query` and `gallery` are empty.
    """
    root = existing_folder("randperson", root)
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    if folder == root and not _holds_images(root):
        raise wrong_root("randperson", root, (FOLDER,), is_root=_is_root)
    found = Findings(root, EXAMPLE)
    images, scenes, frames, old, beyond = [], {}, {}, [], []
    for path, name in matching_images(folder, NAME, found):
        scene, camera = int(name[2] or name[5]), int(name[3] or name[4])
        if scene >= len(CAMERAS) or camera >= CAMERAS[scene]:
            beyond.append(Path(path).name)
            continue
        if name[4]:
            old.append(Path(path).name)
        images.append(Image(path=path, pid=int(name[1]), camid=sum(CAMERAS[:scene]) + camera))
        scenes[path], frames[path] = scene, int(name[6])
    _report(folder, images, old, beyond, found)
    train = table(images)
    train = train.assign(scene=train["path"].map(scenes), frame=train["path"].map(frames))
    empty = train.iloc[:0]
    return finish("randperson", found, {"train": train, "query": empty, "gallery": empty.copy()})


def _report(
    folder: Path, images: list[Image], old: list[str], beyond: list[str], found: Findings
) -> None:
    if not images:
        raise DatasetError(
            f"no image in {folder} has a scene and a camera of RandPerson (scenes 0 to 10, with "
            f"{', '.join(map(str, CAMERAS))} cameras), e.g. {some(beyond, 1)}. Is it another set?"
        )
    leave_out(found, folder, beyond)
    if old:
        found.warnings.append(
            f"{len(old)} names have the camera before the scene, as in the first release; they are "
            f"read as their letters say: {some(old)}"
        )


def _holds_images(folder: Path) -> bool:
    return bool(matched(folder, listing(folder).images, NAME, Findings(folder, EXAMPLE))[0])


def _is_root(folder: Path) -> bool:
    return (folder / FOLDER).is_dir() or _holds_images(folder)
