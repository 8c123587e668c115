"""The checks behind the exercises: a reader learns at once whether an answer holds, and why not.

In a lesson `check` shows a sentence and goes on. With `strict`, as in every solution, a wrong or
missing answer raises, so that no solution can rot.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reidlab.report.answers import Key, key_of

Floats = np.ndarray[Any, np.dtype[np.float64]]

Verdict = Literal["right", "wrong", "open"]
_SIGNS = {"right": "✓ Right", "wrong": "✗ Not yet", "open": "○ Open"}


class ExerciseError(AssertionError):
    """A solution does not pass its own exercise."""


@dataclass(frozen=True)
class Feedback:
    """What the reader sees; true where the answer is right."""

    name: str
    verdict: Verdict
    reason: str = ""

    def __bool__(self) -> bool:
        return self.verdict == "right"

    def __repr__(self) -> str:
        return f"{_SIGNS[self.verdict]}: {self.name}." + (f" {self.reason}" if self.reason else "")

    def _repr_html_(self) -> str:
        return f'<p class="exercise-{self.verdict}" role="status">{html.escape(repr(self))}</p>'


def check(
    name: str,
    value: Any,
    expected: Any = None,
    *,
    tolerance: float = 1e-6,
    strict: bool = False,
    **given: Any,
) -> Feedback:
    """Compare an answer with its key, or two results with each other, and say so in one sentence.

    `check("02-1", answer)` is an exercise: a number with a decimal point is right where three
    digits of it are, a word in upper or lower case, a set in any order.

    Args:
        name: of the exercise, chapter and number; with `expected`, what is compared, in words.
        value: the answer; `...` or None, also inside a collection, counts as not answered yet.
        expected: of what is no exercise: a number, array or tensor (shape and values count), a
            list or dict (what is right is counted), a set, or any other object (equality).
        tolerance: of that, absolute.
        strict: raise unless right; of a solution all digits count.
        given: what the answer of an exercise depends on, see `reidlab.report.answers`.

    Returns:
        Feedback that shows itself as the last expression of a cell.

    Raises:
        ValueError: there is no such exercise.
        ExerciseError: in strict mode, if the answer is wrong or missing.
    """
    exercise = expected is None
    key = key_of(name) if exercise else Key(name, expected, "", tolerance=tolerance)
    verdict: Verdict = "open"
    if _unanswered(value):
        reason = "Replace ... by your answer and run the cell again."
    else:
        key = key.of(**given)
        reason = _reason(value, key, digits=exercise and not strict)
        verdict = "wrong" if reason else "right"
    feedback = Feedback(f"{name}, {key.name}" if exercise else name, verdict, reason)
    if strict and not feedback:
        raise ExerciseError(f"{feedback!r} Value: {value!r}.")
    return feedback


def _unanswered(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value
    parts = inside if isinstance(value, dict | list | tuple | set) else [value]
    return any(part is ... or part is None for part in parts)


def _reason(value: Any, key: Key, digits: bool) -> str:
    """Return why an answer is wrong, by a hint where one fits, or ""."""
    reason = _objection(value, key.expected, key.tolerance or 1e-9, digits)
    if not reason:
        return ""
    hints = (text for wrong, text in key.hints if not _objection(value, wrong, 1e-9, digits))
    return next(hints, f"{reason} Look again: {key.look}" if key.look else reason)


def _objection(value: Any, expected: Any, tolerance: float, digits: bool) -> str:
    """Return what is wrong without giving the answer away, or "" where nothing is."""
    try:
        if isinstance(expected, set):
            return _objection_to_members(value, expected)
        if isinstance(expected, Mapping):
            if not isinstance(value, Mapping) or set(value) != set(expected):
                return f"A dict with the keys {', '.join(map(repr, expected))} is expected."
            value, expected = [value[key] for key in expected], [*expected.values()]
        want = _numeric(expected)
        if want is None:
            return _objection_to_words(value, expected)
        parts = expected if isinstance(expected, list | tuple) else [expected]
        exact = all(isinstance(part, int | np.integer) for part in parts)
        return _objection_to_numbers(value, want, tolerance, digits and not exact, exact)
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError):
        return f"{type(value).__name__} is another kind of answer than is asked for."


def _objection_to_numbers(
    value: Any, want: Floats, tolerance: float, digits: bool, exact: bool
) -> str:
    """Return what is wrong with a number or an array, or ""."""
    have = _numeric(value)
    if have is None:
        return f"A number or an array is expected, not {type(value).__name__}."
    if have.size == want.size == 1:
        have = have.reshape(want.shape)
    if have.shape != want.shape:
        if have.ndim < want.ndim == 1:
            return f"{want.size} numbers are expected, in brackets, and one is given."
        return f"Its shape is {have.shape}, expected is {want.shape}."
    if not np.isfinite(have).all() and np.isfinite(want).all():
        return "It holds nan or inf: is something divided by zero?"
    close = np.isclose(have, want, rtol=0 if exact else 1e-6, atol=tolerance, equal_nan=True)
    if digits:
        close |= abs(have - want) <= _third_digit(want) / 2
    if close.all():
        return ""
    if want.ndim:
        first = tuple(int(i) for i in np.argwhere(~close)[0])
        return f"{int((~close).sum())} of {close.size} entries differ, the first at index {first}."
    if exact:
        return f"{float(have):.6g} is not it."
    if digits and abs(have - want) < abs(want) / 20:
        return f"{float(have):.6g} is near; give three digits."
    return f"{float(have):.6g} is too {'large' if have > want else 'small'}."


def _third_digit(want: Floats) -> Floats:
    """One unit of the third digit of each number: 0.001 of 0.722; of 0 it is 0."""
    size = np.floor(np.log10(np.where(want, abs(want), 1)))
    return np.where(want, 10.0 ** (size - 2), 0)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.strip().lower() == other.lower()
    return bool(np.all(one == other))


def _objection_to_words(value: Any, expected: Any) -> str:
    """Return what is wrong with words, or with a list of them, or ""."""
    if not isinstance(expected, list | tuple):
        return "" if _same(value, expected) else f"{value!r} is not it."
    if not isinstance(value, list | tuple) or len(value) != len(expected):
        return f"{len(expected)} answers are expected, in the order of the questions."
    right = sum(map(_same, value, expected))
    return "" if right == len(expected) else f"{right} of {len(expected)} are right."


def _objection_to_members(value: Any, expected: set[Any]) -> str:
    """Return what is wrong with a collection whose order does not matter, or ""."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Iterable):
        return f"Several are expected, such as {{1, 2}}, not {type(value).__name__}."
    members = list(value.tolist() if hasattr(value, "tolist") else value)
    found = sum(any(_same(member, one) for member in members) for one in expected)
    if len(members) == len(expected) == found:
        return ""
    return f"{found} of the {len(members)} belong; {len(expected)} are expected."


def _numeric(value: Any) -> Floats | None:
    """Return a float array for numbers, arrays, tensors and lists of numbers, else None."""
    if isinstance(value, str | bytes | set | dict):
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu().double()  # NumPy has no bfloat16
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
