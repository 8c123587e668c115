"""Write a `World` to disk in the layout of a real benchmark, with its truth beside it.

Writing is atomic file by file and resumes where it was interrupted; `world.json` comes last, so its
presence says that the set is whole. What goes where is said in `layout`. Of the many files only the
last waits for the disk (`sync`): waiting at each would take as long as rendering.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from reidlab.files import alone, atomic, find, sweep, write_text
from reidlab.synth.layout import LAYOUTS
from reidlab.synth.layout.base import STAGING, Entry, Layout
from reidlab.synth.threads import in_threads
from reidlab.synth.world import World

_CHUNK = 48  # images per unit of work, and per step of a resumed write


def write_dataset(
    layout: str,
    root: str | Path,
    world: World,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Path:
    """Write `world` under `root` in the layout of the benchmark `layout`.

    Beside the images lie `masks/` (part labels, see `reidlab.synth.PARTS`; the mask of `a/b.jpg` is
    `masks/a/b.png`), `attributes.csv` (one row per image) and `world.json` (every knob). An
    interrupted write continues; a finished one returns at once. Of several processes that write the
    same set one does, and the others wait. The work is done in as many threads as torch would use.

    A row of `attributes.csv` begins with file, split, pid and camid (from 0) as the layout tells
    them, then person, camera and index: the image of the world that it is. A file that two lists
    name has the split "query+gallery", one that no list names "unused".

    `suggested_world(layout)` is a world that fits. Options, with defaults:

    - market1501: `train_fraction=0.6` of the people to train on; `junk=0.1` (id -1) and
      `distractors=0.2` (id 0), each as a share of the gallery.
    - dukemtmc, occluded-duke: `train_fraction=0.5`; `distractors=0.2`, images of people seen by one
      camera, as a share of the gallery.
    - msmt17: `train_fraction=0.25`; `val=0.07` of the training images; `version="V1"` or "V2".
    - cuhk03-np, cuhk03-classic (the same folder): `train_fraction=0.523` of the new protocol;
      `form="mat"` (one archive), "images" (converted) or "market" (the copy like Market-1501).
    - veri776: `train_fraction=0.742`; the world is turned into vehicles.
    - randperson: `order="scene-camera"` or "camera-scene" in the names.
    - sysu-mm01: `train_fraction=0.805`, validation people included; camera 3 hangs beside camera 2.
    - regdb: none; the infrared camera hangs beside the visible one.
    - pku-reid: `form="la-tf-pp"` or "57-57" (the release); `train_fraction=None`: 62 of 74, or
      half. Image 1 to 8 of a person shows them turned by as many eighths.
    - folder: `train_fraction=0.5`.

    Args:
        layout: one of `layouts()`.
        root: folder to create.
        world: what to write.
        progress: called with (images done, images in all).
        options: of the layout.

    Returns:
        `root`.

    Raises:
        ValueError: an unknown layout or option, or a world that does not fit.
        FileExistsError: `root` holds another world or other files.
        WriteError: the disk is full, or `root` cannot be written.
        ModuleNotFoundError: the layout needs SciPy or h5py, which are not installed.
    """
    chosen, options = resolve(layout, world, options)
    world, root = chosen.adapt(world), Path(root)
    split = {"layout": layout, **options}
    config = {"world": world.config(), "fingerprint": world.fingerprint(), "split": split}
    if _is_free(root, config):  # looked at without a lock: what is not ours is not written to
        with alone(root):
            if _is_free(root, config):  # still, after who was here has left
                _begin(root, config)
                _write(root, world, chosen, options, progress)
    shutil.rmtree(root / STAGING, ignore_errors=True)
    return root


def layouts() -> tuple[str, ...]:
    """Names that `write_dataset` accepts."""
    return tuple(LAYOUTS)


def suggested_world(layout: str, **knobs: Any) -> World:
    """A world with the cameras, images and resolution that suit a layout.

    Args:
        layout: one of `layouts()`.
        knobs: of `World`; they override what is suggested.

    Raises:
        ValueError: an unknown layout or knob, or a knob outside its range.
    """
    chosen = _layout(layout)
    if unknown := sorted(set(knobs) - {field.name for field in fields(World)}):
        raise ValueError(f"a World has no knob {', '.join(unknown)}; see reidlab.synth.World")
    return World(**{**chosen.suggested, **knobs})


def resolve(layout: str, world: World, options: Mapping[str, Any]) -> tuple[Layout, dict[str, Any]]:
    """The layout of that name and all its options, once it is sure that the world fits.

    Raises:
        ValueError: as `write_dataset` does before it touches anything.
    """
    chosen = _layout(layout)
    unknown = sorted(set(options) - set(chosen.options))
    if unknown:
        raise ValueError(
            f"layout {layout!r} has no option {', '.join(unknown)}: it has "
            f"{', '.join(f'{k}={v!r}' for k, v in chosen.options.items()) or 'none'}"
        )
    complete = {**chosen.options, **options}
    chosen.check(world, **complete)
    return chosen, complete


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        raise ValueError(f"layout {name!r} cannot be written: expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


_WHOLE, _PARTIAL = "world.json", "world.json.partial"


def _is_free(root: Path, config: dict[str, Any]) -> bool:
    """Whether the world is to be written. False: `root` holds it, whole.

    Raises:
        FileExistsError: it holds something else.
    """
    for path in (root / _WHOLE, root / _PARTIAL):
        if path.exists() and not _holds(path, config):
            raise FileExistsError(
                f"{root} holds another world ({path.name} differs): choose another folder, or "
                "delete this one"
            )
    if (root / _WHOLE).exists():
        return False
    if find(root, "*") and not any((root / name).exists() for name in (_PARTIAL, _WHOLE)):
        raise FileExistsError(
            f"{root} is not empty and holds no world: choose an empty or new folder"
        )
    return True


def _begin(root: Path, config: dict[str, Any]) -> None:
    """Make `root` ours."""
    if not (root / _PARTIAL).exists():
        shutil.rmtree(root / STAGING, ignore_errors=True)  # of a set that was deleted since
        write_text(root / _PARTIAL, json.dumps(config, indent=1, sort_keys=True), sync=False)


def _holds(path: Path, config: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(path.read_text()) == json.loads(json.dumps(config)))
    except FileNotFoundError:  # whole by now, and called so
        return True
    except ValueError:  # no JSON: not ours
        return False


def _write(
    root: Path,
    world: World,
    layout: Layout,
    options: dict[str, Any],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Every chunk not there yet, then lists and the table, then the name that says: whole."""
    entries = layout.entries(world, **options)
    for folder in {root, *(path.parent for entry in entries for path in _places(root, entry))}:
        sweep(folder)
    chunks = [entries[i : i + _CHUNK] for i in range(0, len(entries), _CHUNK)]
    tables = [root / STAGING / f"{number:06d}.csv" for number in range(len(chunks))]
    todo = [i for i, table in enumerate(tables) if not table.exists()]
    done = len(entries) - sum(len(chunks[i]) for i in todo)
    work = partial(_write_chunk, root, world, layout.encoding, chunks, tables)
    for number in in_threads(work, todo):
        done += len(chunks[number])
        if progress:
            progress(done, len(entries))
    table = pd.concat([pd.read_csv(table) for table in tables], ignore_index=True)
    table = layout.finish(root, world, table, **options)
    write_text(root / "attributes.csv", table.to_csv(index=False))
    os.replace(root / _PARTIAL, root / _WHOLE)


def _places(root: Path, entry: Entry) -> tuple[Path, Path]:
    """Where an image and its mask go."""
    return entry.path(root), (root / "masks" / entry.file).with_suffix(".png")


def _write_chunk(
    root: Path,
    world: World,
    encoding: str,
    chunks: list[list[Entry]],
    tables: list[Path],
    number: int,
) -> int:
    rows = []
    for jitter in sorted({entry.jitter for entry in chunks[number]}):
        group = [entry for entry in chunks[number] if entry.jitter == jitter]
        keys = list(dict.fromkeys(entry.key for entry in group))  # copies are rendered once
        place = {key: i for i, key in enumerate(keys)}
        images, masks, truth = world.render(keys, jitter=jitter)
        shown = [place[entry.key] for entry in group]
        for entry, i in zip(group, shown, strict=True):
            quality = int(world.all_cameras.quality[entry.key[1]])  # of JPEG alone
            picture, mask = _places(root, entry)
            with atomic(picture, sync=False) as beside:
                Image.fromarray(images[i]).save(beside, encoding or None, quality=quality)
            with atomic(mask, sync=False) as beside:
                Image.fromarray(masks[i]).save(beside, compress_level=1)
        table = truth.iloc[shown].rename(columns={"pid": "person", "camid": "camera"})
        for column_at, column in enumerate(("file", "split", "pid", "camid")):
            table.insert(column_at, column, [getattr(entry, column) for entry in group])
        rows.append(table)
    write_text(tables[number], pd.concat(rows).to_csv(index=False), sync=False)
    return number
