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

PART = re.compile(r"\.\d+\.part\.\w+$")


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
        if PART.search(path.name):
            path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text, whole or not at all; returns the path."""
    with atomic(Path(path)) as beside:
        beside.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write a value as JSON, whole or not at all; NaN is an error. Returns the path."""
    return write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
