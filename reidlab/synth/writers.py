"""Write a `World` to disk in the layout of a real benchmark, with its truth beside it.

Writing is atomic file by file and resumes where it was interrupted; `world.json` comes last, so its
presence says that the set is whole.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from .threads import in_threads
from .world import World

_CHUNK = 48  # images per unit of work, and per step of a resumed write
_STRANGER = 10_000_000  # distractors are people from here on: nobody's identity
_JUNK_JITTER = 7.0
_TRAIN, _QUERY, _TEST = "bounding_box_train", "query", "bounding_box_test"


@dataclass(frozen=True)
class _Entry:
    """One file to write: where it goes and which image of the world it is."""

    file: str
    split: str
    key: tuple[int, int, int]
    pid: int  # the identity in the file name: 0 a distractor, -1 junk
    jitter: float = 1.0


def write_dataset(
    layout: str,
    root: str | Path,
    world: World,
    *,
    train_fraction: float = 0.6,
    junk: float = 0.1,
    distractors: float = 0.2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `world` under `root` in the layout of the benchmark `layout`.

    Beside the images lie `masks/` (part labels, see `reidlab.synth.PARTS`), `attributes.csv` (one
    row per image) and `world.json` (every knob). An interrupted write continues; a finished one
    returns at once. The work is done in as many threads as torch would use.

    Args:
        layout: "market1501".
        root: folder to create.
        world: what to write, with two cameras and `images_per_camera=2` or more (one image of a
            person and a camera is a query, the others are gallery).
        train_fraction: share of the identities used for training.
        junk: junk boxes (id -1) as a share of the gallery.
        distractors: boxes of strangers (id 0) as a share of the gallery.
        progress: called with (images done, images in all).

    Returns:
        `root`.

    Raises:
        ValueError: an unknown layout, or a world that does not fit it.
        FileExistsError: `root` holds another world or other files.
    """
    if layout not in _LAYOUTS:
        raise ValueError(
            f"layout {layout!r} cannot be written yet: expected one of {', '.join(_LAYOUTS)}"
        )
    check, entries_of = _LAYOUTS[layout]
    shares = {"train_fraction": train_fraction, "junk": junk, "distractors": distractors}
    check(world, **shares)
    root = Path(root)
    split = {"layout": layout, **shares}
    config = {"world": world.config(), "fingerprint": world.fingerprint(), "split": split}
    if _claim(root, config):
        _write(root, world, entries_of(world, **shares), progress)
    shutil.rmtree(root / _PARTS, ignore_errors=True)
    return root


_WHOLE, _PARTIAL, _PARTS = "world.json", "world.json.partial", ".parts"


def _claim(root: Path, config: dict[str, Any]) -> bool:
    """Make `root` ours. False: it already holds this world, whole."""
    for path in (root / _WHOLE, root / _PARTIAL):
        if path.exists() and not _holds(path, config):
            raise FileExistsError(
                f"{root} holds another world ({path.name} differs): choose another folder, or "
                "delete this one"
            )
    if (root / _WHOLE).exists():
        return False
    if root.exists() and any(root.iterdir()) and not (root / _PARTIAL).exists():
        raise FileExistsError(
            f"{root} is not empty and holds no world: choose an empty or new folder"
        )
    root.mkdir(parents=True, exist_ok=True)
    _write_atomic(root / _PARTIAL, json.dumps(config, indent=1, sort_keys=True).encode())
    return True


def _holds(path: Path, config: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(path.read_text()) == json.loads(json.dumps(config)))
    except ValueError:  # no JSON: not ours
        return False


def _write(
    root: Path,
    world: World,
    entries: list[_Entry],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Every chunk that is not there yet, then the table, then the name that says: whole."""
    for folder in {Path(entry.file).parent for entry in entries}:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "masks" / folder).mkdir(parents=True, exist_ok=True)
    parts = root / _PARTS
    parts.mkdir(exist_ok=True)
    chunks = [entries[i : i + _CHUNK] for i in range(0, len(entries), _CHUNK)]
    tables = [parts / f"{number:06d}.csv" for number in range(len(chunks))]
    todo = [i for i, table in enumerate(tables) if not table.exists()]
    done = len(entries) - sum(len(chunks[i]) for i in todo)
    for number in in_threads(partial(_write_chunk, root, world, chunks, tables), todo):
        done += len(chunks[number])
        if progress:
            progress(done, len(entries))
    table = pd.concat([pd.read_csv(table) for table in tables])
    _write_atomic(root / "attributes.csv", table.to_csv(index=False).encode())
    os.replace(root / _PARTIAL, root / _WHOLE)


def _write_chunk(
    root: Path, world: World, chunks: list[list[_Entry]], tables: list[Path], number: int
) -> int:
    rows = []
    for jitter in sorted({entry.jitter for entry in chunks[number]}):
        group = [entry for entry in chunks[number] if entry.jitter == jitter]
        pictures = world.render([entry.key for entry in group], jitter=jitter)
        quality = world.all_cameras.quality[[entry.key[1] for entry in group]]
        pixels = zip(pictures.images, pictures.masks, strict=True)
        for entry, (image, mask), q in zip(group, pixels, quality, strict=True):
            beside = (root / "masks" / entry.file).with_suffix(".png")
            _write_image(beside, mask, "PNG", compress_level=1)
            _write_image(root / entry.file, image, "JPEG", quality=int(q))
        truth = pictures.truth.rename(columns={"pid": "person"})
        truth.insert(0, "file", [entry.file for entry in group])
        truth.insert(1, "split", [entry.split for entry in group])
        truth.insert(2, "pid", [entry.pid for entry in group])
        rows.append(truth)
    _write_atomic(tables[number], pd.concat(rows).to_csv(index=False).encode())
    return number


def _write_image(path: Path, pixels: NDArray[np.uint8], kind: str, **options: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    _write_atomic(path, buffer.getvalue())


def _write_atomic(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    os.replace(beside, path)


def _market1501(
    world: World, train_fraction: float, junk: float, distractors: float
) -> list[_Entry]:
    """Market-1501: `0002_c1s1_000451_03.jpg` = person, camera (from 1), sequence, frame, box."""
    people, total = list(range(1, world.identities + 1)), world.cameras + world.infrared_cameras
    order = np.random.default_rng([world.seed, 5]).permutation(np.array(people))
    training = {int(pid) for pid in order[: round(world.identities * train_fraction)]}
    entries, gallery = [], []
    for pid, camids in world.visits(people).items():
        for key in ((pid, camid, i) for camid in camids for i in range(world.images_per_camera)):
            if pid in training:
                entries.append(_Entry(_market_name(_TRAIN, pid, key), "train", key, pid))
            elif key[2] == 0:
                entries.append(_Entry(_market_name(_QUERY, pid, key), "query", key, pid))
            else:
                gallery.append(_Entry(_market_name(_TEST, pid, key), "gallery", key, pid))
    entries += gallery
    for i in range(round(junk * len(gallery))):  # a bad box around somebody of the gallery
        pid, camid, _ = gallery[(i * 7919) % len(gallery)].key
        key = (pid, camid, 1000 + i)
        entries.append(_Entry(_market_name(_TEST, -1, key), "gallery", key, -1, _JUNK_JITTER))
    for i in range(round(distractors * len(gallery))):
        key = (_STRANGER + i, i % total, 0)
        entries.append(_Entry(_market_name(_TEST, 0, key), "gallery", key, 0))
    return entries


def _check_market1501(world: World, train_fraction: float, junk: float, distractors: float) -> None:
    total = world.cameras + world.infrared_cameras
    if world.images_per_camera < 2:
        raise ValueError(
            f"World(images_per_camera={world.images_per_camera}): this layout needs 2 or more, one "
            "image per person and camera for the query and one for the gallery"
        )
    if total < 2:
        raise ValueError(
            f"World(cameras={total}): this layout needs 2 or more, as the protocol looks for a "
            "person in the other cameras"
        )
    if world.identities > 9999 or total > 9:
        raise ValueError(
            f"{world.identities} identities and {total} cameras: file names of this layout have "
            "room for 9999 and 9"
        )
    if not 0 < round(world.identities * train_fraction) < world.identities:
        raise ValueError(
            f"train_fraction={train_fraction}: expected a share that leaves some of the "
            f"{world.identities} people on both sides"
        )
    for name, share in (("junk", junk), ("distractors", distractors)):
        if not 0.0 <= share <= 10.0:
            raise ValueError(f"{name}={share}: expected a share of the gallery, from 0 to 10")


def _market_name(folder: str, pid: int, key: tuple[int, int, int]) -> str:
    person, camid, index = key
    # Unique within a label and a camera: junk and distractors are told apart by their number alone.
    frame = index * 7 if pid < 0 else (person % _STRANGER) * 25 + index * 7
    label = "-1" if pid < 0 else f"{pid:04d}"
    return f"{folder}/{label}_c{camid + 1}s1_{frame:06d}_{index % 99 + 1:02d}.jpg"


class _Layout(NamedTuple):
    check: Callable[..., None]  # ValueError where world and shares do not fit
    entries: Callable[..., list[_Entry]]


_LAYOUTS = {"market1501": _Layout(_check_market1501, _market1501)}


def layouts() -> tuple[str, ...]:
    """Names that `write_dataset` accepts."""
    return tuple(_LAYOUTS)
