"""Parameters as their writer meant them: text, a folder or a whole number, whatever carried them.

`papermill -p data_root 2024` hands a page a number, `-y` a date or a truth value, Snakemake's
`--config` either, and `-r seed 3` a text. Everything that a page or the workflow is told passes
through here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import yaml

from reidlab.files import project_root

MOST = 2**32 - 1  # the largest seed that NumPy takes


def as_text(name: str, value: object) -> str:
    """A parameter that is text.

    Args:
        name: Of the parameter, for the message.
        value: What arrived; None is not given, which is the empty text.

    Raises:
        ValueError: A list or a mapping, of which nobody can say how it was written.
    """
    if value is None:
        return ""
    if isinstance(value, str | Path | bool | int | float | date):
        return str(value)
    raise ValueError(
        f"{name} is {value!r}, a {type(value).__name__}; expected text. Write -r {name} TEXT for "
        "papermill, which passes it on as it stands"
    )


def as_number(name: str, value: object) -> int:
    """A parameter that is a whole number, such as a seed; 3, 3.0, "3" and "1e5" are some.

    Raises:
        ValueError: Anything else, or a number below 0 or too large for a seed.
    """
    try:
        number = float(as_text(name, value)) if not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not (0 <= number <= MOST and number == int(number)):
        raise ValueError(f"{name} is {value!r}; expected a whole number from 0 to {MOST}")
    return int(number)


def as_folder(name: str, value: object) -> str:
    """A parameter that is a folder: its absolute path, or the empty text where none is given.

    A relative one is looked for from where the page runs, from where its caller stands (papermill's
    `--cwd` moves the page only), and from the project's root; one that is nowhere is meant from
    where the page runs. `~` is the home folder, unless there is no such user. A number, a date or a
    truth value is the folder whose name reads like it: `-p data_root 007` arrives as 7.

    Raises:
        ValueError: No text, or several names read like this number.
    """
    text = as_text(name, value)
    if not text:
        return ""
    here = Path.cwd()
    places = [here, Path(os.environ.get("PWD") or here), project_root()]
    if not isinstance(value, str | Path):
        text = _as_written(name, value, places)
    found = [place / os.path.expanduser(text) for place in places]
    return os.path.abspath(next((folder for folder in found if folder.exists()), found[0]))


def _as_written(name: str, value: object, places: Iterable[Path]) -> str:
    """The name that was taken for `value`, of those that are there; else as Python writes it."""
    there = {entry for place in places for entry in os.listdir(place)}
    alike = sorted(entry for entry in there if repr(value) in _readings(entry))
    if str(value) in alike or not alike:
        return str(value)
    if len(alike) > 1:
        raise ValueError(
            f"{name} arrived as {value!r}, and {', '.join(alike)} all read like it; expected the "
            f"name of one folder: write ./{alike[0]}, or -r {name} {alike[0]} for papermill"
        )
    return alike[0]


def _readings(text: str) -> set[str]:
    """What papermill's -p, its -y and Snakemake make of a text, as Python writes it."""
    found = set()
    for read in (int, float, {"True": True, "False": False}.__getitem__, yaml.safe_load):
        try:
            found.add(repr(read(text)))
        except (ValueError, KeyError, yaml.YAMLError):
            continue
    return found
