"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUSY = ".busy"  # the lock of `alone`
PART = re.compile(r"\.(\d+)\.part\.\w+$")


@contextmanager
def atomic(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Write to the path given inside the block; it takes its real name when the block succeeds.

    The name inside has the suffix of the real one. If the block fails, nothing is left behind; a
    killed process leaves the file under the name inside, see `sweep`. The bytes are on the disk
    before the name is, so that a power cut cannot leave the name without them; sync=False saves
    that time for the 100,000 images of an archive, which can be unpacked again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        if sync:
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete what killed processes left half written in a folder by `atomic`."""
    for path in folder.glob(".*.part.*"):
        if (part := PART.search(path.name)) and not _running(int(part[1])):
            path.unlink(missing_ok=True)


def _running(pid: int) -> bool:
    """Whether another process of that number runs; where nobody can ask, none does."""
    if os.name != "posix" or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)  # sends nothing
    except OSError as error:
        return isinstance(error, PermissionError)  # it runs, and is somebody else's
    return True


def write_text(path: str | Path, text: str, *, sync: bool = True) -> Path:
    """Write UTF-8 text, whole or not at all; returns the path. See `atomic` for `sync`."""
    with atomic(Path(path), sync=sync) as beside:
        beside.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write a value as JSON, whole or not at all; NaN is an error. Returns the path."""
    return write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_place(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file or folder, by whatever links and spellings."""
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there yet
        return Path(one).resolve() == Path(other).resolve()


def project_root(start: Path | None = None) -> Path:
    """Return the nearest folder above `start` (the working directory) that holds `_toc.yml`.

    Outside a checkout it is `start` itself.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file():
            return folder
    return here


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside, no other process is in `folder` by this function; waits until the other one has left.

    The kernel holds the lock, so that a killed process leaves none. Where the file system has no
    locks nothing is held.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / BUSY).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: another process works here, waiting for its end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            print(f"{folder}: no locks here ({error}); do not start a run twice", flush=True)
        yield
