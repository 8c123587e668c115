"""Finding the images of a layout on disk, and saying precisely what is wrong where they are not.

A file name of the layout matches an anchored pattern on its *base name*: directories of the user
may look like anything. Files that are no images (Thumbs.db, readme.txt, __MACOSX/, ._names) are
passed over in silence; images with a foreign name are left out and reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from reidlab.data.dataset import DatasetError
from reidlab.data.help import data_help

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


def existing_root(name: str, root: str | Path, parts: tuple[str, ...]) -> Path:
    """The absolute root, once it is sure that all parts (folders below it) are there.

    Raises:
        DatasetError: missing, a file, half-written, the wrong level, or incomplete.
    """
    path = Path(root).expanduser().absolute()
    if not path.exists():
        raise DatasetError(f"there is no folder {path}.\n\n{data_help(name)}")
    if not path.is_dir():
        raise DatasetError(f"{path} is a file, expected the folder it unpacks to: unpack it first")
    _check_finished(path, parts)
    missing = [part for part in parts if not (path / part).is_dir()]
    if not missing:
        return path
    better = _right_level(path, parts)
    if better is not None:
        level = "deep" if better in path.parents else "high"
        raise DatasetError(
            f"{path} is at the wrong level (too {level}): the folders {', '.join(parts)} are in "
            f"{better}. Pass that folder: open_dataset({name!r}, {str(better)!r})"
        )
    if len(missing) < len(parts):
        raise DatasetError(
            f"{path} is incomplete: {', '.join(missing)} is missing, expected all of "
            f"{', '.join(parts)}. Unpack or copy the set again"
        )
    found = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
    raise DatasetError(
        f"{path} does not look like {name}: it has none of {', '.join(parts)}; found {found}."
        f"\n\n{data_help(name)}"
    )


def matching_images(
    folder: Path, pattern: re.Pattern[str], example: str, warnings: list[str]
) -> Iterator[tuple[Path, re.Match[str]]]:
    """Images directly in a folder whose base name matches, in name order.

    Images with another name are left out and reported in `warnings`.

    Raises:
        DatasetError: no images, or none with a name of the layout.
    """
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not images:
        raise DatasetError(
            f"{folder} holds no images, expected names like {example}. Was the unpacking or "
            "copying interrupted? Do it again"
        )
    foreign = []
    for path in images:
        match = pattern.match(path.name)
        if match:
            yield path, match
        else:
            foreign.append(path.name)
    if len(foreign) == len(images):
        raise DatasetError(
            f"none of the {len(images)} images in {folder} has a name of this layout: expected "
            f"names like {example}, found {', '.join(foreign[:3])}. Is it another data set?"
        )
    if foreign:
        warnings.append(
            f"{len(foreign)} of {len(images)} images in {folder.name} have a foreign name and are "
            f"left out: {', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''} (expected "
            f"names like {example})"
        )


def is_synthetic(root: Path) -> bool:
    """Whether `reidlab.synth` wrote it (and finished: world.json is written last)."""
    return (root / "world.json").is_file()


def _check_finished(root: Path, parts: tuple[str, ...]) -> None:
    if is_synthetic(root):
        return
    begun = (root / "world.json.partial").exists() or (
        (root / "masks").is_dir() and any((root / part).is_dir() for part in parts)
    )
    if begun:
        raise DatasetError(
            f"{root} is a synthetic set whose writing was interrupted: it has no world.json, which "
            "is written last. Run write_dataset (or data_scripts/make_synthetic.py) with the same "
            "settings again; it resumes where it stopped"
        )


def _right_level(root: Path, parts: tuple[str, ...]) -> Path | None:
    """The folder nearby, up to two levels above or below, that holds all parts."""
    above = list(root.parents)[:2]
    below = sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern))
    for candidate in above + below:
        if candidate.name != "__MACOSX" and all((candidate / part).is_dir() for part in parts):
            return candidate
    return None
