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
from pathlib import Path
from typing import Any

from reidlab import synth
from reidlab.synth import World, write_dataset

MARK = "generator.json"
"""What this script was asked for: written first. `world.json` is written last."""
COMPLETE = "world.json"
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
    mark = out / MARK
    if out.is_dir() and any(out.iterdir()):
        ours = mark.is_file() or (out / COMPLETE).is_file()
        if not ours:
            raise OptionError(
                f"{out} holds files that are not of a synthetic data set; nothing was touched. "
                "Name a new folder with --out."
            )
        written = json.loads(mark.read_text()) if mark.is_file() else None
        if written == asked:
            return not (out / COMPLETE).is_file()
        print(f"{out}: made with other options or older code; written anew")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
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
        write_dataset(arguments.layout, arguments.out, world)
    except (OptionError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
