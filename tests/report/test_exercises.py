"""Feedback is right, kind, and does not give the answer away."""

import math
import re

import numpy as np
import pytest
import torch

from reidlab.report import ExerciseError, check


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5 + 1e-9),
        ([1, 2], np.array([1.0, 2.0])),
        (torch.tensor([1.0, 2.0], requires_grad=True), [1, 2]),
        (np.array([np.nan, 1]), [np.nan, 1]),
        ("cosine", "cosine"),
        ({1, 2}, {2, 1}),
        ([2, 1], {1, 2}),
        ((1, 2.0), {1, 2}),
        (np.array([2, 1]), {1, 2}),
        (range(1, 3), {1, 2}),
        (True, True),
        (7, lambda answer: answer % 2 == 1),
        (2.58e-5, 3e-4 * 0.8**11),
        ("2.58e-05", "2.58e-05"),
        (1.386, math.log(4)),
        ((21, 1.39), [21, math.log(4)]),
        (83.1, 83.0834),
        ({"b": 2, "a": 1}, {"a": 1, "b": 2}),
        (("sysu", "standard"), ["sysu", "standard"]),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    ],
)
def test_right(value, expected):
    feedback = check("the answer", value, expected)
    assert feedback
    assert repr(feedback) == "✓ Right: the answer."


@pytest.mark.parametrize(
    ("value", "expected", "says"),
    [
        (0.7345, 0.6123, "too large"),
        (-1, 2.5, "too small"),
        (-1, 2, "-1 is not it"),
        (97, np.int64(42), "97 is not it"),
        (2.59e-5, 3e-4 * 0.8**11 + 1, "too small"),
        (1.38, math.log(4), "too small"),
        (5, (1.5, 2.5), "2 numbers are expected, in brackets, and one is given"),
        ((1, 2, 3), (1.5, 2.5), r"shape is \(3,\), expected is \(2,\)"),
        ((1, 2), 1.5, r"shape is \(2,\), expected is \(\)"),
        (["sysu", "regdb"], ["sysu", "standard"], "1 of 2 are right"),
        ("sysu", ["sysu", "standard"], "2 answers are expected"),
        ({"a": 1}, {"a": 1, "b": 2}, "A dict with the keys 'a', 'b'"),
        (3, {"a": 1}, "A dict with the keys 'a'"),
        ({"a": 1, "b": 3}, {"a": 1, "b": 2}, r"1 of 2 entries differ"),
        ("seven", lambda answer: answer % 2 == 1, "str is another kind of answer"),
        (7, lambda pair: pair[0] < pair[1], "int is another kind of answer"),
        (np.zeros(3), np.zeros((3, 1)), r"shape is \(3,\), expected is \(3, 1\)"),
        ([1.0, 5.0], [1.0, 2.0], r"1 of 2 entries differ, the first at index \(1,\)"),
        (float("nan"), 1.0, "divided by zero"),
        ("euclid", "cosine", "'euclid' is not it"),
        ("three", 3, "A number or an array is expected, not str"),
        ([[1], [1, 2]], [1, 2], "not list"),
        ({1, 3}, {1, 2}, "1 of the 2 belong; 2 are expected"),
        ([1, 2, 3], {1, 2}, "2 of the 3 belong; 2 are expected"),
        ([1, 1], {1, 2}, "1 of the 2 belong; 2 are expected"),
        (12, {1, 2}, "Several are expected.*not int"),
        ("1, 2", {1, 2}, "Several are expected.*not str"),
        (4, lambda answer: answer % 2 == 1, "lacks the property"),
    ],
)
def test_wrong(value, expected, says):
    feedback = check("it", value, expected, look="at the camera rule.")
    assert not feedback
    assert re.search(says, repr(feedback))
    assert "at the camera rule" in repr(feedback)
    assert "0.6123" not in repr(feedback)


def test_a_rounded_number_is_not_equal_where_equality_is_demanded():
    assert check("it", 0.333, 1 / 3)
    assert check("it", 0.333, 1 / 3, tolerance=1e-3, strict=True)
    with pytest.raises(ExerciseError, match="too small"):
        check("it", 0.333, 1 / 3, strict=True)


@pytest.mark.parametrize("value", [..., None, (..., ...), [1, ...], {1: "a", 2: ...}])
def test_unanswered_is_neither_right_nor_wrong(value):
    feedback = check("it", value, 1)
    assert feedback.verdict == "open"
    assert not feedback
    assert 'class="exercise-open"' in feedback._repr_html_()


def test_solutions_raise(monkeypatch):
    monkeypatch.setenv("REIDLAB_STRICT", "1")
    assert check("it", 1, 1)
    for value in (2, ...):
        with pytest.raises(ExerciseError, match="it"):
            check("it", value, 1)
    assert not check("it", 2, 1, strict=False)


def test_html_is_escaped():
    assert "<b>" not in check("<b>", 1, 1)._repr_html_()
