"""The file a search index is kept in: whole, ours and unchanged, or an error before it is read.

One file, so that renaming it is atomic and no sidecar can be lost:

    16 bytes   "reidlab-index 1" and a line feed; the number is the version of this layout
    32 bytes   SHA-256 of header, payload and the two lengths
     8 bytes   length of the header, little-endian, as the next
     8 bytes   length of the payload
     header    JSON: what the index is
     payload   what FAISS writes

FAISS checks little of what it reads and can be brought down by a damaged file, so the digest is
compared first. It finds damage, not malice: who can write the file can write its digest, too.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from reidlab.files import atomic

VERSION = 1
NAME = b"reidlab-index "
PREFIX = struct.Struct("<16s32s16s")
LENGTHS = struct.Struct("<QQ")
CHUNK = 2**20  # bytes read at once

Sink = Callable[[bytes], None]


def encode(header: dict[str, Any]) -> bytes:
    """The header as it stands in the file."""
    return json.dumps(header).encode("utf-8")


def write(path: Path, header: dict[str, Any], write_payload: Callable[[Sink], None]) -> None:
    """Write beside, then rename: who reads `path` never sees half of it.

    Args:
        path: the file; folders that are missing are made.
        header: plain values, ready for JSON.
        write_payload: called with a function that takes the payload piece by piece, so that no
            second copy of a large index is held.
    """
    text = encode(header)
    digest = hashlib.sha256(text)
    with atomic(path) as beside, beside.open("wb") as file:
        file.write(bytes(PREFIX.size) + text)

        def sink(piece: bytes) -> None:
            digest.update(piece)
            file.write(piece)

        write_payload(sink)
        lengths = LENGTHS.pack(len(text), file.tell() - PREFIX.size - len(text))
        digest.update(lengths)
        file.seek(0)
        file.write(PREFIX.pack(NAME + b"%d\n" % VERSION, digest.digest(), lengths))


@contextmanager
def opened(path: Path) -> Iterator[tuple[dict[str, Any], BinaryIO]]:
    """The header, and the file with the payload next to be read, once all has been checked.

    Raises:
        ValueError: a foreign file, one of another version, cut short, or changed.
    """
    with path.open("rb") as file:
        prefix = file.read(PREFIX.size)
        if len(prefix) < PREFIX.size or not prefix.startswith(NAME):
            raise ValueError(
                f"{path} is no index saved by reidlab (it begins with {prefix[:16]!r}); build one "
                "with build_index() and write it with .save(). A file of faiss.write_index() does "
                "not say which metric and options it was built with"
            )
        name, expected, lengths = PREFIX.unpack(prefix)
        version = name[len(NAME) :].rstrip(b"\n\0").decode("ascii", "replace")
        if version != str(VERSION):
            raise ValueError(
                f"{path} has version {version} of the index file, this reidlab reads version "
                f"{VERSION}; build the index anew and save it"
            )
        header_bytes, payload_bytes = LENGTHS.unpack(lengths)
        size, whole = path.stat().st_size, PREFIX.size + header_bytes + payload_bytes
        if size != whole:
            raise ValueError(
                f"{path} holds {size} bytes, expected {whole}: was a copy of it interrupted? "
                "Copy or build it again"
            )
        digest = hashlib.sha256()
        while piece := file.read(CHUNK):
            digest.update(piece)
        digest.update(lengths)
        if digest.digest() != expected:
            raise ValueError(
                f"{path} is not what was saved (its SHA-256 differs): damaged, or changed since. "
                "Copy or build it again"
            )
        file.seek(PREFIX.size)
        yield json.loads(file.read(header_bytes)), file
