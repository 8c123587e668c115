"""Write a synthetic data set, people or vehicles that do not exist, in the layout of a benchmark.

    python data_scripts/make_synthetic.py --layout market1501 --out data/plaza-market1501
    python data_scripts/make_synthetic.py --layout msmt17 --out data/crowded \
        --identities 200 --knob occlusion=0.5 --knob style=mall --option version=V2

Knobs begin at what suits the layout. Running it again with the same options does nothing; an
interrupted run goes on where it stopped; other options replace everything in the folder of a
synthetic set. A folder without one is never touched.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reidlab import synth
from reidlab.files import BUSY, alone, check_writable, find, write_json, write_text
from reidlab.synth import World, suggested_world, write_dataset
from reidlab.synth.layout import LAYOUTS
from reidlab.synth.writers import resolve

COMPLETE = "world.json"
UNFINISHED = "world.json.partial"
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
    parsed = literal(value)
    if isinstance(default, tuple) and isinstance(parsed, list):
        parsed = tuple(parsed)
    if isinstance(default, float) and type(parsed) is int:
        parsed = float(parsed)
    if type(parsed) is not type(default):
        raise OptionError(
            f"knob {name}: {value!r} is not of type {type(default).__name__} (default {default!r})"
        )
    return name, parsed


def option(text: str) -> tuple[str, Any]:
    """Split `name=value` of a layout's option; `resolve` judges it.

    Raises:
        OptionError: without "=".
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise OptionError(f"{text!r} is no option of a layout: write name=value")
    return name, literal(value)


def literal(text: str) -> Any:
    """A Python literal, or else text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def request(layout: str, world: World, options: dict[str, Any]) -> dict[str, Any]:
    """What decides the files: layout and its options, knobs, and the code that draws them.

    Raises:
        ValueError: the layout cannot be written from this world with these options.
    """
    _, options = resolve(layout, world, options)
    code, folder = hashlib.sha256(), Path(str(synth.__file__)).parent
    for path in find(folder, "**/*.py"):
        code.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    asked = {"layout": layout, "options": options, "world": dataclasses.asdict(world)}
    return {**json.loads(json.dumps(asked)), "code": code.hexdigest()}


def choices() -> str:
    """Layouts with what is suggested and what can be chosen, and the knobs: the end of --help."""

    def listed(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in values.items()) or "none"

    lines = ["layouts, the knobs that they begin with, and their options:"]
    for name, layout in LAYOUTS.items():
        lines += [f"  {name}", f"    knobs: {listed(layout.suggested)}"]
        lines += [f"    options: {listed(layout.options)}"]
    knobs = {field.name: field.default for field in dataclasses.fields(World)}
    return "\n".join([*lines, "knobs of every world:", *(f"  {k}={v!r}" for k, v in knobs.items())])


def is_complete(out: Path, asked: dict[str, Any]) -> bool:
    """Whether what is asked for is there already.

    Raises:
        OptionError: the folder holds files that were not written by `write_dataset`.
    """
    signs = (out / COMPLETE, out / UNFINISHED, _mark(out))
    if find(out, "*") and not any(sign.exists() for sign in signs):
        raise OptionError(
            f"{out} holds files that are not of a synthetic data set; nothing was touched. "
            "Name a new folder with --out."
        )
    return (out / COMPLETE).is_file() and _was_asked(out, asked)


def prepare(out: Path, asked: dict[str, Any]) -> None:
    """Empty `out`, unless what is asked for was begun there; to be called alone."""
    mark = _mark(out)
    check_writable(mark)
    if find(out, "*") and not (_was_asked(out, asked) and (out / UNFINISHED).is_file()):
        print(f"{out}: other options or older code; written anew")
        write_json(mark, {})  # whoever is killed below is to do all of it again
        write_text(out / UNFINISHED, "{}")  # a sign to the end
        for path in out.iterdir():
            if path.name not in (BUSY, UNFINISHED):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (out / UNFINISHED).unlink()
    write_json(mark, asked)


def _mark(out: Path) -> Path:
    """The file beside a set that says what it was made of."""
    return out.parent / f".{out.name}.generator.json"


def _was_asked(out: Path, asked: dict[str, Any]) -> bool:
    return _mark(out).is_file() and bool(json.loads(_mark(out).read_text()) == asked)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog=choices(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--layout", default="market1501", help="whose files it looks like")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set")
    for name in SHORTCUTS:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE")
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args(argv)
    short = [f"{n}={v}" for n in SHORTCUTS if (v := getattr(arguments, n)) is not None]
    try:
        knobs = dict(knob(text) for text in [*short, *arguments.knob])
        options = dict(option(text) for text in arguments.option)
        world = suggested_world(arguments.layout, **knobs)
        out, asked = arguments.out, request(arguments.layout, world, options)
        with nullcontext() if is_complete(out, asked) else alone(out):
            if is_complete(out, asked):  # perhaps by now
                print(f"{out}: already complete")
                return 0
            prepare(out, asked)
            with tqdm(unit=" images", desc=out.name, disable=None) as bar:
                show = partial(_show, bar)
                write_dataset(arguments.layout, out, world, progress=show, **options)
    except (OptionError, ValueError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: written")
    return 0


def _show(bar: Any, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


if __name__ == "__main__":
    sys.exit(main())
