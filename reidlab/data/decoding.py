"""Whether every image of a data set can be decoded: found out once, and remembered.

A good answer is a small file in the user's cache folder (XDG_CACHE_HOME, or the system's own). Its
name is a digest of the names, sizes and times of all images: one that is damaged later is looked at
again. Where that folder cannot be written, the images are decoded each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import PIL

from reidlab.data.errors import DatasetError
from reidlab.data.images import is_turned, read_image, strict
from reidlab.data.matlab import file_of
from reidlab.files import sweep, write_json

if TYPE_CHECKING:
    from reidlab.data.dataset import ReIDDataset

READER = 1  # count up when `read_image` begins to refuse what it took
QUICKLY = 10_000  # images whose heads are read in a second
_CHUNK, _KEPT, _SHOWN = 32, 200, 3  # images a thread at a time; answers kept; problems in an error


def check_images(ds: ReIDDataset, *, progress: bool = True) -> None:
    """Decode every image of a set, junk left out, unless that was done and none has changed since.

    Args:
        ds: the set.
        progress: show a bar where it takes longer than a second.

    Raises:
        DatasetError: some cannot be read: how many, and what is wrong with the first ones.
    """
    digest = _digest(ds)  # of before: what changes meanwhile must not pass for looked at
    if _recall(digest) is not None:
        return
    used = [frame.loc[~frame["junk"], "path"] for frame in _tables(ds)]
    paths = set().union(*used)
    problems = list(unreadable(paths, progress=progress).values())
    if problems:
        first = "\n".join(problems[:_SHOWN])
        raise DatasetError(
            f"{len(problems):,} of the {len(paths):,} images of {ds.name} in {ds.root} cannot be "
            f"read:\n{first}\nMend or remove them; `python -m reidlab data check` lists them all"
        )
    _remember(digest, _turned(ds))


def unreadable(paths: Iterable[str], *, progress: bool = True) -> dict[str, str]:
    """Decode images; path -> what is wrong with it, for those that cannot be read, in path order.

    Args:
        paths: of the images, as in the tables of a set.
        progress: show a bar where it takes longer than a second.
    """
    from reidlab.synth.threads import in_threads  # here: with it comes the whole renderer

    ordered = sorted(set(paths))
    chunks = [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]
    looked: Iterable[tuple[str, str]] = chain.from_iterable(in_threads(_problems, chunks))
    if progress:
        from tqdm.auto import tqdm  # here: it warns where a notebook has no ipywidgets

        looked = tqdm(looked, "decoding", len(ordered), unit=" images", delay=1, leave=False)
    with strict():
        return {path: problem for path, problem in looked if problem}


def turned_images(ds: ReIDDataset) -> Sequence[int | None]:
    """Images of train, query and gallery whose orientation tag says that they are stored turned.

    Of up to `QUICKLY` images the heads are read. Of more, it is known once they were decoded, and
    None before: on a slow disk the heads alone would take minutes.
    """
    known = _recall(_digest(ds))
    if known is not None:
        return known
    if sum(map(len, _tables(ds))) > QUICKLY:
        return [None] * len(_tables(ds))
    return _turned(ds)


def _turned(ds: ReIDDataset) -> list[int]:
    return [sum(map(is_turned, frame["path"])) for frame in _tables(ds)]


def _tables(ds: ReIDDataset) -> tuple[pd.DataFrame, ...]:
    return ds.train, ds.query, ds.gallery


def _problems(paths: list[str]) -> list[tuple[str, str]]:
    """Each path with what is wrong with it, or nothing."""
    found = dict.fromkeys(paths, "")
    for path in paths:
        try:
            read_image(path)
        except DatasetError as error:
            found[path] = str(error)
    return list(found.items())


def _digest(ds: ReIDDataset) -> str | None:
    """Of all that decides whether the images can be read; None if one of them is gone."""
    digest = hashlib.sha256(f"{READER} {PIL.__version__}\n".encode())
    try:
        for split, frame in enumerate(_tables(ds)):
            for path in frame["path"]:
                state = os.stat(file_of(path))
                digest.update(f"{split} {state.st_size} {state.st_mtime_ns} ".encode())
                digest.update(os.fsencode(path) + b"\n")
    except (OSError, ValueError):  # ValueError: a path with a zero byte
        return None
    return digest.hexdigest()


def _recall(digest: str | None) -> list[int] | None:
    """The numbers of turned images, if the images were found good."""
    folder = _folder()
    if digest is None or folder is None:
        return None
    try:
        known = json.loads((folder / f"{digest}.json").read_text(encoding="utf-8"))
        return [int(number) for number in known["turned"]]
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not written by us
        return None


def _remember(digest: str | None, turned: list[int]) -> None:
    folder = _folder()
    if digest is None or folder is None:
        return
    with contextlib.suppress(OSError):  # no room, or not ours to write: looked at again next time
        write_json(folder / f"{digest}.json", {"turned": turned})
        sweep(folder)
        answers = sorted(folder.glob("[!.]*.json"), key=lambda path: path.stat().st_mtime)
        for old in answers[:-_KEPT]:
            old.unlink(missing_ok=True)


def _folder() -> Path | None:
    """Where answers lie; None for a user without a home."""
    wished = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(wished):  # what is not absolute is to be ignored, says its specification
        return Path(wished) / "reidlab" / "decoded"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    else:
        cache = home / ".cache"
    return cache / "reidlab" / "decoded"
