"""Finding the images of a layout on disk, and saying precisely what is wrong where they are not.

A file name of the layout matches a pattern as a whole and on its *base name*: directories of the
user may look like anything. Its ending may be that of any image, since copies write .JPG or encode
anew; what the match holds is the published name. Whatever else lies in an image folder is left out
and reported: images and folders with a foreign name as a warning, files that are no images
(Thumbs.db, __MACOSX, ._names) as a note. A folder is listed once and no file is opened or asked for
its size.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from reidlab.data.cards import data_help
from reidlab.data.dataset import Findings, Image, some
from reidlab.data.errors import DatasetError
from reidlab.data.spelling import IMAGE_SUFFIXES, plain_id, published_name
from reidlab.data.synthetic import world_folder
from reidlab.files import find, is_litter

Layout = tuple[str, ...]  # folders and files that make a root; what has a suffix is a file


class Listing(NamedTuple):
    """What lies directly in a folder, by kind, in name order."""

    images: list[str]
    folders: list[str]
    other: list[str]


def listing(folder: str | Path) -> Listing:
    """One look into a folder. No file is opened or, but for links, asked for anything.

    Raises:
        DatasetError: it cannot be read, or holds a link to an image that is not there.
    """
    found = Listing([], [], [])
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_litter(entry.name):
                    found.other.append(entry.name)
                elif entry.is_dir():
                    found.folders.append(entry.name)
                elif not entry.name.lower().endswith(IMAGE_SUFFIXES):
                    found.other.append(entry.name)
                elif entry.is_file():
                    found.images.append(entry.name)
                else:
                    raise DatasetError(
                        f"{entry.path} is no file but a broken link or a device: restore what it "
                        "leads to, or remove it"
                    )
    except OSError as error:
        raise DatasetError(
            f"cannot list {folder} ({error}): allow yourself to read it, or copy it again"
        ) from error
    for names in found:
        names.sort()
    return found


def existing_folder(name: str, root: str | Path) -> Path:
    """The absolute root, once it is sure that it is a folder and not half-written.

    Raises:
        DatasetError: missing, a file, or begun by `write_dataset` and not finished.
    """
    path = absolute(root)
    if not os.path.exists(path):
        raise DatasetError(f"there is no folder {path}.\n\n{data_help(name)}")
    if not path.is_dir():
        raise DatasetError(f"{path} is a file, expected the folder it unpacks to: unpack it first")
    if not os.access(path, os.X_OK):
        raise DatasetError(f"{path} may not be entered: allow yourself to read it, or copy it")
    begun = [each for each in (path, path.parent) if (each / "world.json.partial").exists()]
    truth = (path / "masks").is_dir() and (path / "attributes.csv").is_file()
    if name != "folder" and truth and not begun and world_folder(path) is None:
        raise DatasetError(
            f"{path} is a synthetic set without its world.json: copy that file too, or delete the "
            "folder and write the set again"
        )
    for each in begun:
        if world_folder(each) is None:
            raise DatasetError(
                f"{each} is a synthetic set whose writing was interrupted: it has no world.json, "
                "which is written last. Run write_dataset (or data_scripts/make_synthetic.py) with "
                "the same settings again; it resumes where it stopped"
            )
    return path


def absolute(root: str | Path) -> Path:
    """What a user passed as an absolute path.

    Raises:
        DatasetError: it is no path, or an empty one.
    """
    try:
        path = Path(root).expanduser().absolute()
    except (TypeError, RuntimeError) as error:  # no path; a home of nobody
        raise DatasetError(
            f"root is {root!r} ({error}): expected the path of a folder, a string or a Path"
        ) from error
    if root == "":
        raise DatasetError("root is empty: expected the path of a folder ('.' is the current one)")
    return path


def existing_root(name: str, root: str | Path, *layouts: Layout) -> Path:
    """The absolute root, once it is sure that all parts of one of the layouts are there.

    Raises:
        DatasetError: see `existing_folder`; or the wrong level, or incomplete.
    """
    path = existing_folder(name, root)
    if any(has_all(path, parts) for parts in layouts):
        return path
    raise wrong_root(name, path, *layouts)


def has_all(folder: Path, parts: Layout) -> bool:
    """Whether every part is there, as a folder or (if its name has a suffix) as a file."""
    return all(_there(folder, part) for part in parts)


def wrong_root(
    name: str,
    path: Path,
    *layouts: Layout,
    is_root: Callable[[Path], bool] | None = None,
) -> DatasetError:
    """What is wrong with a folder that has none of the layouts, and which to pass instead.

    Args:
        name: of the data set.
        path: what the user passed.
        layouts: what a root holds; the first is the usual one.
        is_root: another test for the folder to pass, where the layouts do not say all.
    """
    wanted = is_root or (lambda folder: any(has_all(folder, parts) for parts in layouts))
    nearby = find(path, "*") + find(path, "*/*")
    below = sorted(folder for folder in nearby if os.path.isdir(folder))
    better = next(filter(wanted, [*path.parents[:2], *below]), None)
    if better is not None:
        level = "deep" if better in path.parents else "high"
        parts = next((parts for parts in layouts if has_all(better, parts)), ("the images",))
        return DatasetError(
            f"{path} is at the wrong level (too {level}): {', '.join(parts)} are in {better}. Pass "
            f"that folder: open_dataset({name!r}, {str(better)!r})"
        )
    fullest = max(layouts, key=lambda parts: sum(_there(path, part) for part in parts))
    missing = [part for part in fullest if not _there(path, part)]
    if len(missing) < len(fullest):
        return DatasetError(
            f"{path} is incomplete: {', '.join(missing)} is missing, expected all of "
            f"{', '.join(fullest)}. Unpack or copy the set again"
        )
    names = [name for kind in listing(path) for name in kind]
    found = some(sorted(names), 5) or "nothing: the folder is empty"
    return DatasetError(
        f"{path} does not look like {name}: it has none of {', '.join(layouts[0])}; found {found}."
        f"\n\n{data_help(name)}"
    )


def matching_images(
    folder: Path, pattern: re.Pattern[str], found: Findings
) -> list[tuple[str, re.Match[str]]]:
    """(path, match) of the images directly in a folder, in name order. The rest is in `found`.

    The text of a match is the published name; the path may end otherwise.

    Raises:
        DatasetError: no images, or none with a name of the layout.
    """
    inside = listing(folder)
    if not inside.images:
        raise DatasetError(
            f"{folder} holds no images, expected names like {found.example}. Was the unpacking or "
            "copying interrupted? Do it again"
        )
    matches, foreign = matched(folder, inside.images, pattern, found)
    if not matches:
        raise DatasetError(
            f"none of the {len(inside.images)} images in {folder} has a name of this layout: "
            f"expected names like {found.example}, found {some(foreign)}. Is it another data "
            "set?"
        )
    leave_out(found, folder, foreign + inside.folders, inside.other)
    return matches


def images_of_people(
    folder: Path,
    person: re.Pattern[str],
    pattern: re.Pattern[str],
    found: Findings,
    wanted: Collection[str] | None = None,
) -> list[tuple[str, re.Match[str]]]:
    """(path, match) of the images in the folders of people. What else lies there is in `found`.

    Args:
        folder: that holds the folders.
        person: what these are called.
        pattern: of "<person>/<file>".
        found: where the rest is reported, folders of people without images included.
        wanted: look into the folders of these people alone, as `plain_id` writes them.

    Raises:
        DatasetError: no image at all, unless only some people are wanted.
    """
    inside = listing(folder)
    people = [name for name in inside.folders if person.fullmatch(name)]
    others = sorted(set(inside.folders) - set(people))
    leave_out(found, folder, others + inside.images, inside.other)
    twice = [name for name, number in Counter(map(plain_id, people)).items() if number > 1]
    if twice:
        found.warnings.append(
            f"{len(twice)} people have two folders in {folder}, spelt with and without zeros: "
            f"{some(twice)}; the images of both are taken"
        )
    matches = []
    for name in people:
        if wanted is not None and plain_id(name) not in wanted:
            continue
        below = listing(folder / name)
        if not below.images:
            found.empty.append(_below(found.root, folder, name))
        files = [f"{name}/{file}" for file in below.images]
        good, foreign = matched(folder, files, pattern, found)
        matches += good
        leave_out(found, folder, foreign)
        leave_out(found, folder / name, below.folders, below.other)
    if not matches and wanted is None:
        raise DatasetError(
            f"{folder} holds no images in folders of people, expected names like {found.example}. "
            "Was the unpacking or copying interrupted? Do it again"
        )
    return matches


def image_of(path: str, name: re.Match[str]) -> Image:
    """The row of a file whose name has the groups pid, camid and perhaps view, both from 1."""
    groups = name.groupdict()
    return Image(
        path,
        pid=int(groups["pid"]),
        camid=int(groups["camid"]) - 1,
        view=int(groups.get("view", 0)) - 1,
    )


def matched(
    folder: str | Path, names: Sequence[str], pattern: re.Pattern[str], found: Findings
) -> tuple[list[tuple[str, re.Match[str]]], list[str]]:
    """(path, match) of the names that match as a whole, and the other names.

    An image that lies there in two encodings is taken once, by its published name if it has that.
    """
    prefix, suffix = os.path.join(folder, ""), Path(found.example).suffix
    matches: dict[str, tuple[str, re.Match[str]]] = {}
    for name in sorted(names, key=lambda name: not name.endswith(suffix)):
        match = pattern.fullmatch(published_name(name, suffix))
        if match:
            matches.setdefault(match[0], (name, match))
    taken = {name for name, _ in matches.values()}
    foreign = [name for name in names if name not in taken]
    good = sorted((prefix + name, match) for name, match in matches.values())
    found.images += [path for path, _ in good]
    return good, foreign


def leave_out(
    found: Findings, folder: str | Path, foreign: Iterable[str], litter: Iterable[str] = ()
) -> None:
    """Report names in a folder that are not of the layout, and files that are no images."""
    found.foreign += [_below(found.root, folder, name) for name in foreign]
    found.litter += [_below(found.root, folder, name) for name in litter]


def _below(root: Path, folder: str | Path, name: str) -> str:
    return os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def _there(folder: Path, part: str) -> bool:
    path = folder / part  # os.path, because it takes what may not be looked at for missing
    return os.path.isfile(path) if path.suffix else os.path.isdir(path)
