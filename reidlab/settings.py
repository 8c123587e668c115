"""Settings: dataclasses whose annotations say what may stand in a field, and settings as text."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np

_AS_JSON = {"None": "null", "none": "null", "True": "true", "False": "false"}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"[(\[]?\s*({_NUMBER}(?:\s*[,x×]\s*{_NUMBER})+)\s*,?\s*[)\]]?", re.ASCII)


class Range(NamedTuple):
    """In `Annotated[float, Range(0, 1)]`: the ends belong to it."""

    low: float
    high: float


class OneOf(NamedTuple):
    """In `Annotated[str, OneOf(TABLE)]`: a name in a table that may grow."""

    names: Collection[str]


class Words(NamedTuple):
    """In `Annotated[..., Words("height and width")]`: how a message says what is expected."""

    text: str


def check_fields(settings: Any, what: str, error: type[Exception] = ValueError) -> None:
    """Check the fields of a dataclass against their annotations, and name the first that is wrong.

    NumPy's numbers become Python's first, in tuples and mappings, too: a record is JSON, and a
    checkpoint is loaded without running code.

    `Literal`, `bool`, `int`, `float` (a whole number will do), `str`, `X | None`, `tuple[...]`,
    `Mapping`, classes, and `Annotated` with `Range`, `OneOf` or `Words` are known.

    Args:
        settings: An instance.
        what: The word for it in the message, such as "recipe".
        error: What to raise.
    """
    kind: Any = type(settings)
    for name, hint in _hints(kind).items():
        value = _plain(getattr(settings, name))
        object.__setattr__(settings, name, value)  # it may be frozen
        if not _fits(value, hint):
            raise error(f"{what}: {name} is {value!r}; expected {_in_words(hint)}.")


class Checked:
    """Switches of a model: a frozen dataclass that inherits this checks its fields."""

    def __post_init__(self) -> None:
        check_fields(self, "switches")


def check_names(
    names: Iterable[str], known: Iterable[str], what: str, error: type[Exception] = ValueError
) -> None:
    """Refuse a name that is not among the known ones; the message proposes a close one."""
    known = list(known)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise error(f"{what} has no setting {name!r}.{hint} It has: {', '.join(known)}.")


def parse_settings(options: Iterable[str], example: str = "epochs=5") -> dict[str, Any]:
    """ "key=value" as keywords; what reads as JSON (numbers, [256,128]) or as Python's None, True
    or False is that value, several numbers (256,128 or 256x128, in brackets or not) are a list, and
    everything else is text.

    Args:
        options: One "key=value" each.
        example: For the message.

    Raises:
        ValueError: If a text is no key=value.
    """
    parsed: dict[str, Any] = {}
    for text in options:
        key, mark, value = text.partition("=")
        if not mark or not key:
            flag = f"{example.split()[0]} " if " " in example else ""
            raise ValueError(f"{flag}{text!r}: expected key=value, as in {example}")
        if several := _NUMBERS.fullmatch(value.strip()):
            value = f"[{re.sub('[x×]', ',', several[1])}]"
        try:
            parsed[key] = json.loads(_AS_JSON.get(value, value))
        except json.JSONDecodeError:
            parsed[key] = value
    return parsed


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if type(value) is tuple:
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


@lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, arguments[0]) and all(_allows(extra, value) for extra in arguments[1:])
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return isinstance(value, tuple) and all(_fits(each, arguments[0]) for each in value)
        whole = isinstance(value, tuple) and len(value) == len(arguments)
        return whole and all(map(_fits, value, arguments))
    if hint in (int, float):
        number = int if hint is int else int | float
        return isinstance(value, number) and not isinstance(value, bool)
    if hint is Any:
        return True
    return isinstance(value, NoneType if hint is None else origin or hint)


def _allows(extra: Any, value: Any) -> bool:
    if isinstance(extra, Range):
        return extra.low <= value <= extra.high
    return value in extra.names if isinstance(extra, OneOf) else True


def _in_words(hint: Any) -> str:
    """What a field takes, as the end of "expected ..."."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        text = _in_words(arguments[0])
        for extra in arguments[1:]:
            if isinstance(extra, Range):
                text += f" from {extra.low:g} to {extra.high:g}"
            elif isinstance(extra, OneOf):
                text = "one of " + ", ".join(map(repr, extra.names))
            elif isinstance(extra, Words):
                text = extra.text
        return text
    if origin in (Union, UnionType):
        return " or ".join("None" if each is NoneType else _in_words(each) for each in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    plain = {int: "a whole number", float: "a number", str: "text", bool: "one of True, False"}
    return plain.get(hint, getattr(hint, "__name__", str(hint)))
