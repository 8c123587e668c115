"""One thing that is written in two ways: ids, paths, endings, links.

Everything that a reader compares (with a list, a folder, or the training people) is compared in the
spelling that these functions give it.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache

from reidlab.files import sha256

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".heic", ".heif", ".avif",
)  # fmt: skip
NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
DIGITS = 18  # of numbers that fit into the tables; longer ones are names
COPY = re.compile(  # what Windows, macOS and Google Drive add to the name of a copy
    r"(?: - (?:copy|kopie))?(?: ?\(\d+\)| copy(?: \d+)?)?\Z"
)
GAP = re.compile(r"(?<=[^\W\d_])[ _.-]+(?=\d)")
ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


@lru_cache(maxsize=65_536)
def plain_id(text: str) -> str:
    """A person's or camera's name in one spelling.

    Whole numbers are written in digits alone: "1", "01", "+1", "1.0" and "1e0" are one person, and
    so they are in full-width digits. Of other names the Unicode form (NFKC), blanks that differ and
    invisible characters do not count; upper and lower case do.
    """
    text = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-")
    text = " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())
    if NUMBER.fullmatch(text):
        value = Decimal(text)
        if value.adjusted() < DIGITS and value == value.to_integral_value():
            return str(int(value))
    return text


def alike(text: str) -> str:
    """What two names share that are easily taken for each other.

    That is all but case, quotes and final dots, zeros before a number, what stands between it and
    letters ("cam 1", "cam_01"), the comma of a decimal, and what a system adds to a copy's name.
    """
    text = COPY.sub("", plain_id(text).casefold().strip("='\". "))
    return plain_id(ZEROS.sub("", GAP.sub("", text)).replace(",", "."))


def plain_path(text: str) -> str:
    """A path of a list in one spelling: forward slashes, and no ./, // or a/../ in it."""
    path = posixpath.normpath(text.strip().replace("\\", "/"))
    return path[1:] if path.startswith("//") else path


def tail(path: str, parts: int) -> str:
    """The last parts of a path in one spelling: what stands before them is of another machine."""
    return "/".join(plain_path(path).split("/")[-parts:])


def published_name(name: str, suffix: str) -> str:
    """The name of an image with the ending its layout has, whatever the copy's: .JPG, .jpeg, .png.

    Other names are left as they are.
    """
    stem, dot, end = name.rpartition(".")
    return stem + suffix if dot + end.lower() in IMAGE_SUFFIXES else name


def on_disk(paths: Iterable[str]) -> dict[str, str]:
    """Path -> the path of what is there under that name, in another case or form of Unicode.

    Where nothing is there, or several things, it is the path itself. Each folder is listed once.
    """
    inside: dict[str, dict[str, list[str]]] = {}

    def spelt(path: str) -> str:
        folder, name = os.path.split(path)
        if not name:
            return path
        folder = folder if folder in inside or os.path.isdir(folder) else spelt(folder)
        if folder not in inside:
            inside[folder] = defaultdict(list)
            for each in os.listdir(folder) if os.path.isdir(folder) else ():
                inside[folder][_key(each)].append(each)
        there = inside[folder].get(_key(name), [])
        return os.path.join(folder, there[0]) if len(there) == 1 else path

    return {path: spelt(path) for path in paths}


def same_files(paths: Iterable[str]) -> dict[str, str]:
    """Path -> the first of the paths that is the same file, by a link or a name of the system's."""
    first: dict[tuple[int, int], str] = {}
    same = {}
    for path in dict.fromkeys(paths):
        if os.path.exists(path):
            found = os.stat(path)
            same[path] = first.setdefault((found.st_dev, found.st_ino), path)
    return same


def copies(paths: Iterable[str]) -> list[list[str]]:
    """Groups of files that are byte for byte the same, empty ones left out. Equal sizes are read.

    Raises:
        OSError: a file cannot be read.
    """
    sizes: dict[int, list[str]] = defaultdict(list)
    for path in paths:
        sizes[os.path.getsize(path)].append(path)
    contents: dict[str, list[str]] = defaultdict(list)
    for size, some in sizes.items():
        for path in some if size and len(some) > 1 else ():
            contents[sha256(path)].append(path)
    return [some for some in contents.values() if len(some) > 1]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
