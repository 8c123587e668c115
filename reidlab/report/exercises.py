"""The checks behind the exercises: a reader learns at once whether an answer holds, and why not.

In a lesson `check` shows a sentence and goes on. With `REIDLAB_STRICT=1`, which the tests set
when they run the solutions, a wrong or missing answer raises, so that no solution can rot.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
STRICT = "REIDLAB_STRICT"

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
    expected: Any | Callable[[Any], bool],
    *,
    tolerance: float = 1e-6,
    look: str = "",
    strict: bool | None = None,
) -> Feedback:
    """Compare an answer with what is expected and say so in one sentence.

    Args:
        name: what the answer is, as the reader knows it ("mAP of the toy").
        value: the answer; `...` or None, also inside a tuple, list or dict, counts as not answered
            yet.
        expected: a number (a whole one is a count or a name, and no direction is told), an array
            or tensor (shape and values count), a set (the answer may be any collection of its
            members, in any order), a list or dict (what is right is counted), any other object
            (equality), or a predicate that tells whether the answer is right.
        tolerance: of numbers and arrays, absolute. Unless `strict` is True, an answer rounded to
            three digits or more, as a page prints it, is right as well.
        look: where to look if it is wrong ("is the query's own camera excluded?").
        strict: raise unless right; by default as the environment variable REIDLAB_STRICT says.

    Returns:
        Feedback that shows itself as the last expression of a cell.

    Raises:
        ExerciseError: in strict mode, if the answer is wrong or missing.
    """
    reason = ""
    verdict: Verdict = "right"
    if _unanswered(value):
        verdict, reason = "open", "Replace ... by your answer and run the cell again."
    elif reason := _objection(value, expected, tolerance, rounded=strict is not True):
        verdict, reason = "wrong", " ".join(filter(None, [reason, look and f"Look again: {look}"]))
    feedback = Feedback(name, verdict, reason)
    if (os.environ.get(STRICT) == "1" if strict is None else strict) and not feedback:
        raise ExerciseError(f"{feedback!r} Value: {value!r}.")
    return feedback


def _unanswered(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value
    parts = inside if isinstance(value, dict | list | tuple) else [value]
    return any(part is ... or part is None for part in parts)


def _objection(value: Any, expected: Any, tolerance: float, *, rounded: bool) -> str:
    """Return what is wrong without giving the answer away, or "" where nothing is."""
    if callable(expected):
        try:
            return "" if expected(value) else "It lacks the property that is asked for."
        except (TypeError, ValueError, LookupError, AttributeError):
            return f"{type(value).__name__} is another kind of answer than is asked for."
    if isinstance(expected, set):
        return _objection_to_members(value, expected)
    if isinstance(expected, Mapping):
        if not isinstance(value, Mapping) or set(value) != set(expected):
            return f"A dict with the keys {', '.join(map(repr, expected))} is expected."
        value, expected = [value[key] for key in expected], [*expected.values()]
    want, have = _numeric(expected), _numeric(value)
    if want is None:
        return _objection_to_words(value, expected)
    if have is None:
        return f"A number or an array is expected, not {type(value).__name__}."
    if have.shape != want.shape:
        if have.ndim < want.ndim == 1:
            return f"{want.size} numbers are expected, in brackets, and one is given."
        return f"Its shape is {have.shape}, expected is {want.shape}."
    if not np.isfinite(have).all() and np.isfinite(want).all():
        return "It holds nan or inf: is something divided by zero?"
    wrong = ~np.isclose(have, want, rtol=1e-6, atol=tolerance, equal_nan=True)
    if rounded:
        wrong &= ~_is_rounded(have, want)
    if not wrong.any():
        return ""
    if want.ndim == 0 and isinstance(expected, int | np.integer):
        return f"{float(have):.6g} is not it."
    if want.ndim == 0:
        return f"{float(have):.6g} is too {'large' if have > want else 'small'}."
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} entries differ, the first at index {first}."


def _is_rounded(have: Floats, want: Floats) -> Any:
    """Where `have` is what `want` reads with three to six digits."""
    near = np.zeros(want.shape, bool)
    for digits in range(3, 7):
        near |= have == np.vectorize(lambda x, n=digits: float(f"{x:.{n}g}"), [float])(want)
    return near


def _objection_to_words(value: Any, expected: Any) -> str:
    """Return what is wrong with words, or with a list of them, or ""."""
    if not isinstance(expected, list | tuple):
        return "" if np.all(value == expected) else f"{value!r} is not it."
    if not isinstance(value, list | tuple) or len(value) != len(expected):
        return f"{len(expected)} answers are expected, in the order of the questions."
    right = sum(bool(np.all(a == b)) for a, b in zip(value, expected, strict=True))
    return "" if right == len(expected) else f"{right} of {len(expected)} are right."


def _objection_to_members(value: Any, expected: set[Any]) -> str:
    """Return what is wrong with a collection whose order does not matter, or ""."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        return f"Several are expected, such as {{1, 2}}, not {type(value).__name__}."
    members = list(value.tolist() if hasattr(value, "tolist") else value)
    if len(members) == len(expected) and all(member in members for member in expected):
        return ""
    found = sum(member in members for member in expected)
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
