"""The checks behind the exercises: a reader learns at once whether an answer holds, and why not.

In a lesson `check` shows a sentence and goes on. With `REIDLAB_STRICT=1`, which the tests set
when they run the solutions, a wrong or missing answer raises, so that no solution can rot.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

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
        value: the answer; `...` or None counts as not answered yet.
        expected: a number, an array or tensor (shape and values count), a set (the answer may be
            any collection of its members, in any order), any other object (equality), or a
            predicate that tells whether the answer is right.
        tolerance: absolute, for numbers and arrays.
        look: where to look if it is wrong ("is the query's own camera excluded?").
        strict: raise unless right; by default as the environment variable REIDLAB_STRICT says.

    Returns:
        Feedback that shows itself as the last expression of a cell.

    Raises:
        ExerciseError: in strict mode, if the answer is wrong or missing.
    """
    reason = ""
    verdict: Verdict = "right"
    if value is ... or value is None:
        verdict, reason = "open", "Replace ... by your answer and run the cell again."
    elif reason := _objection(value, expected, tolerance):
        verdict, reason = "wrong", " ".join(filter(None, [reason, look and f"Look again: {look}"]))
    feedback = Feedback(name, verdict, reason)
    if (os.environ.get(STRICT) == "1" if strict is None else strict) and not feedback:
        raise ExerciseError(f"{feedback!r} Value: {value!r}.")
    return feedback


def _objection(value: Any, expected: Any, tolerance: float) -> str:
    """Return what is wrong without giving the answer away, or "" where nothing is."""
    if callable(expected):
        return "" if expected(value) else "It lacks the property that is asked for."
    if isinstance(expected, set):
        return _objection_to_members(value, expected)
    want, have = _numeric(expected), _numeric(value)
    if want is None:
        return "" if value == expected else f"{value!r} is not it."
    if have is None:
        return f"A number or an array is expected, not {type(value).__name__}."
    if have.shape != want.shape:
        return f"Its shape is {have.shape}, expected is {want.shape}."
    if not np.isfinite(have).all() and np.isfinite(want).all():
        return "It holds nan or inf: is something divided by zero?"
    wrong = ~np.isclose(have, want, rtol=0.0, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return ""
    if want.ndim == 0:
        return f"{float(have):.6g} is too {'large' if have > want else 'small'}."
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} entries differ, the first at index {first}."


def _objection_to_members(value: Any, expected: set[Any]) -> str:
    """Return what is wrong with a collection whose order does not matter, or ""."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        return f"Several are expected, such as {{1, 2}}, not {type(value).__name__}."
    members = list(value.tolist() if hasattr(value, "tolist") else value)
    if len(members) == len(expected) and all(member in members for member in expected):
        return ""
    found = sum(member in members for member in expected)
    return f"{found} of the {len(members)} belong; {len(expected)} are expected."


def _numeric(value: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return a float array for numbers, arrays, tensors and lists of numbers, else None."""
    if isinstance(value, str | bytes | set | dict):
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
