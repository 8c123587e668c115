"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside, then rename: who reads `path` never sees half of it."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    os.replace(beside, path)


def write_lines(path: Path, lines: list[str], encoding: str = "utf-8") -> None:
    """Write a text file, each line ended by a line feed on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode(encoding))
