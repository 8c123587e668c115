"""Options of a reader, checked before a file is touched."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TypeVar

from reidlab.data.errors import DatasetError

Choice = TypeVar("Choice", bound=str | int | None)


def choose(name: str, option: str, value: object, choices: Iterable[Choice]) -> Choice:
    """The choice that `value` is, as plain text or number.

    A whole number of NumPy is the same number; True is no 1, 1.0 is none and neither is "1".

    Args:
        name: of the data set, for the sentence.
        option: likewise.
        value: what the user passed.
        choices: what may be passed.

    Raises:
        DatasetError: it is none of them.
    """
    plain = value
    if isinstance(value, str):
        plain = str(value)
    elif isinstance(value, Integral) and not isinstance(value, bool):
        plain = int(value)
    for choice in choices:
        if type(plain) is type(choice) and plain == choice:
            return choice
    expected = (
        f"{choices[0]} to {choices[-1]}, a whole number"
        if isinstance(choices, range)
        else f"one of {', '.join(map(repr, choices))}"
    )
    raise DatasetError(f"{option} is {value!r} for {name}: choose {expected}")
