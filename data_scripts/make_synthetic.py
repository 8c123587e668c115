"""Write a synthetic data set of people who do not exist, in the layout of a real benchmark.

    python data_scripts/make_synthetic.py --layout market1501 --out data/plaza-market1501
    python data_scripts/make_synthetic.py --layout market1501 --out data/crowded \
        --identities 200 --knob occlusion=0.5 --knob style=station

Running it again with the same options does nothing; an interrupted run goes on where it stopped;
other options in the same folder replace the synthetic set there. A folder with anything else in it
is never touched.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import hashlib
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reidlab import synth
from reidlab.synth import World, write_dataset

COMPLETE = "world.json"
UNFINISHED = "world.json.partial"
SIGNS = (COMPLETE, UNFINISHED, "attributes.csv")
"""Files that no real data set has: each says that a folder was written by `write_dataset`."""
SHORTCUTS = ("seed", "identities", "cameras", "images_per_camera", "style")


class OptionError(Exception):
    """An option that no world has, or a folder that is not ours to write to."""


def knob(text: str) -> tuple[str, Any]:
    """Split `name=value`; the value is a Python literal, or else text.

    Raises:
        OptionError: without "=", an unknown name, or a value of another type than the default's.
    """
    name, equals, value = text.partition("=")
    fields = {field.name: field for field in dataclasses.fields(World)}
    if not equals or name not in fields:
        known = ", ".join(f"{f.name}={f.default!r}" for f in fields.values())
        raise OptionError(
            f"{text!r} is no knob of a World (written name=value). There are: {known}."
        )
    default = fields[name].default
    if isinstance(default, str):
        return name, value
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        parsed = value
    if isinstance(default, tuple) and isinstance(parsed, list):
        parsed = tuple(parsed)
    if isinstance(default, float) and type(parsed) is int:
        parsed = float(parsed)
    if type(parsed) is not type(default):
        raise OptionError(
            f"knob {name}: {value!r} is not of type {type(default).__name__} (default {default!r})"
        )
    return name, parsed


def request(layout: str, world: World) -> dict[str, Any]:
    """What decides the files: layout, knobs, and the code that draws them."""
    code = hashlib.sha256()
    for path in sorted(Path(str(synth.__file__)).parent.rglob("*.py")):
        code.update(path.name.encode() + b"\0" + path.read_bytes())
    knobs = json.loads(json.dumps(dataclasses.asdict(world)))
    return {"layout": layout, "world": knobs, "code": code.hexdigest()}


def prepare(out: Path, asked: dict[str, Any]) -> bool:
    """Make `out` ready for writing.

    Returns:
        False if what is asked for is there already, complete.

    Raises:
        OptionError: the folder holds files that were not written by `write_dataset`.
    """
    mark = out.parent / f".{out.name}.generator.json"
    if out.is_dir() and any(out.iterdir()):
        if not any((out / name).exists() for name in SIGNS):
            raise OptionError(
                f"{out} holds files that are not of a synthetic data set; nothing was touched. "
                "Name a new folder with --out."
            )
        same = mark.is_file() and json.loads(mark.read_text()) == asked
        if same and (out / COMPLETE).is_file():
            return False
        if not (same and (out / UNFINISHED).is_file()):
            print(f"{out}: other options or older code; written anew")
            shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = mark.with_suffix(".tmp")
    beside.write_text(json.dumps(asked, indent=1) + "\n")
    beside.replace(mark)
    return True


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layout", default="market1501", help="whose files it looks like")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    for name in SHORTCUTS:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE")
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args(argv)
    short = [f"{n}={v}" for n in SHORTCUTS if (v := getattr(arguments, n)) is not None]
    try:
        world = World(**dict(knob(text) for text in [*short, *arguments.knob]))
        if not prepare(arguments.out, request(arguments.layout, world)):
            print(f"{arguments.out}: already complete")
            return 0
        with tqdm(unit=" images", desc=arguments.out.name, disable=None) as bar:
            write_dataset(arguments.layout, arguments.out, world, progress=partial(_show, bar))
    except (OptionError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: written")
    return 0


def _show(bar: Any, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


if __name__ == "__main__":
    sys.exit(main())
