"""Feedback is right, kind, and does not give the answer away."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import torch

from reidlab.report import ExerciseError, answers, check
from reidlab.report.answers import KEYS, Key

# --- how an answer is compared -------------------------------------------------------------------


@pytest.fixture
def ask(monkeypatch):
    """`ask(value, expected)`: what an exercise with this key says."""

    def ask(value, expected, **rest):
        monkeypatch.setitem(KEYS, "99-1", Key("it", expected, "at the camera rule", **rest))
        return check("99-1", value)

    return ask


RIGHT = [
    (0.5, 0.5),
    ([1, 2], np.array([1.0, 2.0])),
    (torch.tensor([1.0, 2.0], requires_grad=True), [1, 2]),
    (np.array([3]), 3),
    (np.array([np.nan, 1]), [np.nan, 1]),
    ("cosine", "cosine"),
    ({1, 2}, {2, 1}),
    ([2, 1], {1, 2}),
    ((1, 2.0), {1, 2}),
    (np.array([2, 1]), {1, 2}),
    (range(1, 3), {1, 2}),
    ("push", {"push"}),
    (True, True),
    ("2.58e-05", "2.58e-05"),
    ({"b": 2, "a": 1}, {"a": 1, "b": 2}),
    (("sysu", "standard"), ["sysu", "standard"]),
    (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
]


@pytest.mark.parametrize(("value", "expected"), RIGHT)
def test_right(value, expected, ask):
    assert repr(ask(value, expected)) == "✓ Right: 99-1, it."
    assert repr(check("the two", value, expected)) == "✓ Right: the two."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2.58e-5, 3e-4 * 0.8**11),
        (1.386, math.log(4)),
        (1.3863, math.log(4)),
        ((21, 1.39), [21, math.log(4)]),
        (83.1, 83.0834),
        (-0.0667, -2 / 30),
        (0.0, 0.0),
        (torch.tensor(0.333), 1 / 3),
        (" Standard", "standard"),
        ({1: "SYSU"}, {1: "sysu"}),
        ({"Push"}, {"push"}),
    ],
)
def test_right_as_a_page_prints_it(value, expected, ask):
    assert ask(value, expected)


@pytest.mark.parametrize(
    ("value", "expected", "says"),
    [
        (0.7345, 0.6123, "too large"),
        (-1, 2.5, "too small"),
        (-1, 2, "-1 is not it"),
        (97, np.int64(42), "97 is not it"),
        (1501.1, 1501, "1501.1 is not it"),
        ((1500, 5), (1501, 5), r"1 of 2 entries differ, the first at index \(0,\)"),
        (2.5e-5, 3e-4 * 0.8**11 + 1, "too small"),
        (1.38, math.log(4), "1.38 is near; give three digits"),
        (1.4, math.log(4), "1.4 is near; give three digits"),
        (5, (1.5, 2.5), "2 numbers are expected, in brackets, and one is given"),
        ((1, 2, 3), (1.5, 2.5), r"shape is \(3,\), expected is \(2,\)"),
        ((1, 2), 1.5, r"shape is \(2,\), expected is \(\)"),
        (["sysu", "regdb"], ["sysu", "standard"], "1 of 2 are right"),
        ("sysu", ["sysu", "standard"], "2 answers are expected"),
        ({"a": 1}, {"a": 1, "b": 2}, "A dict with the keys 'a', 'b'"),
        (3, {"a": 1}, "A dict with the keys 'a'"),
        ({"a": 1, "b": 3}, {"a": 1, "b": 2}, r"1 of 2 entries differ"),
        (np.zeros(3), np.zeros((3, 1)), r"shape is \(3,\), expected is \(3, 1\)"),
        ([1.0, 5.0], [1.0, 2.0], r"1 of 2 entries differ, the first at index \(1,\)"),
        (float("nan"), 1.0, "divided by zero"),
        (10_000_001, 10_000_000, ""),
        ("euclid", "cosine", "'euclid' is not it"),
        ("asdf asdf", "cosine", "'asdf asdf' is not it"),
        ("three", 3, "A number or an array is expected, not str"),
        ([[1], [1, 2]], [1, 2], "not list"),
        ([np.zeros(2), 1], {1, 2}, "of the 2 belong"),
        ([np.zeros(2), np.zeros(3)], {"a"}, "0 of the 2 belong"),
        ({1, 3}, {1, 2}, "1 of the 2 belong; 2 are expected"),
        ([1, 2, 3], {1, 2}, "2 of the 3 belong; 2 are expected"),
        ([1, 1], {1, 2}, "1 of the 2 belong; 2 are expected"),
        (12, {1, 2}, "Several are expected.*not int"),
        ("1, 2", {1, 2}, "0 of the 1 belong; 2 are expected"),
    ],
)
def test_wrong(value, expected, says, ask):
    feedback = ask(value, expected)
    assert feedback.verdict == "wrong"
    assert re.search(says, repr(feedback))
    assert repr(feedback).endswith("Look again: at the camera rule")
    assert "0.6123" not in repr(feedback)


def test_a_foreseen_answer_has_its_own_sentence(ask):
    hints = ((0.25, "That is the probability."), (0.602, "Not log10."))
    assert ask(0.25, math.log(4), hints=hints).reason == "That is the probability."
    assert ask(0.602, math.log(4), hints=hints).reason == "Not log10."
    assert "Look again" in ask(0.3, math.log(4), hints=hints).reason


def test_a_key_that_the_page_decides(ask):
    def count(rows):
        return len(rows), ((0, "Nothing?"),)

    ask(..., count)
    assert check("99-1", 3, rows=[1, 2, 3])
    assert check("99-1", 0, rows=[1, 2, 3]).reason == "Nothing?"
    with pytest.raises(TypeError, match="rows"):
        check("99-1", 3)


def test_two_results_are_compared_exactly():
    assert not check("it", 1.386, math.log(4))
    assert check("it", 1.386, math.log(4), tolerance=1e-3, strict=True)
    with pytest.raises(ExerciseError, match=r"it. 1.386 is too small. Value: 1.386"):
        check("it", 1.386, math.log(4), strict=True)


def test_a_solution_is_held_to_all_digits():
    assert check("03-2", math.log(4), strict=True)
    assert check("03-2", 1.386)
    for value in (1.386, ...):
        with pytest.raises(ExerciseError, match="03-2, the loss of equal logits"):
            check("03-2", value, strict=True)


@pytest.mark.parametrize("value", [..., None, (..., ...), [1, ...], {1: "a", 2: ...}, {...}])
def test_unanswered_is_neither_right_nor_wrong(value):
    feedback = check("02-1", value)
    assert feedback.verdict == "open"
    assert not feedback
    assert 'class="exercise-open"' in feedback._repr_html_()


@pytest.mark.parametrize("value", [..., 1])
def test_an_unknown_exercise_names_those_that_there_are(value):
    with pytest.raises(ValueError, match=r"'02-9' is unknown; there are 00-1, .*02-1, .*12-2"):
        check("02-9", value)


def test_html_is_escaped():
    assert "<b>" not in check("<b>", 1, 1)._repr_html_()


# --- the keys ------------------------------------------------------------------------------------


GALLERY = pd.DataFrame({"pid": [7, 7, 7, 7, 3, 3], "camid": [0, 1, 1, 2, 1, 1]})
GIVEN = {  # what a page hands over -> the answer, counted by eye
    "00-1": ({"query": GALLERY.iloc[0], "gallery": GALLERY}, 3),
    "00-2": ({"ap": np.array([np.nan, 0.5, 0.9, 0.1, 0.2])}, 3),
    "01-3": ({"gallery": pd.DataFrame({"camid": [0, 0, 0, 0, 1, 1, 1]})}, 4),
    "01-4": ({"truth": pd.DataFrame({"pid": [1, 4, 6], "top_infrared": [0.3, 0.8, 0.1]})}, 4),
    "03-4": (dict(model=None, sample=pd.DataFrame({"path": list("abc"), "label": [0, 1, 1]}),
                  transform=None, layers=(1, 2)), {2}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def heat(monkeypatch):
    """Of three pictures: layer 1 has its heat beside the person, layer 2 on it."""
    masks = torch.zeros(3, 4, 4, dtype=torch.int64)
    masks[:, :, 0] = masks[0, 0, 1] = 1
    maps = torch.stack([(masks == 0).float(), (masks == 1).float()], dim=1)
    monkeypatch.setattr(answers, "gradcam", lambda *_, **__: maps)
    monkeypatch.setattr(answers, "image_batch", lambda *_: None)
    monkeypatch.setattr(answers, "true_masks", lambda *_: masks)


def key_of(exercise):
    return KEYS[exercise].of(**GIVEN.get(exercise, ({}, 0))[0])


def asked(exercise, value):
    return check(exercise, value, **GIVEN.get(exercise, ({}, 0))[0])


def planted(right):
    """Wrong answers by rule: scaled, off by one, swapped, too many, too few, another type."""
    if isinstance(right, dict):
        first = next(iter(right))
        return [right | {first: "asdf"}, {k: v for k, v in right.items() if k != first}, [*right]]
    if isinstance(right, set):
        return [right | {"asdf"}, right - {min(right)} | {99}, len(right) + 100]
    if isinstance(right, tuple):
        off = [(*right[:i], 1.5 * x + 1, *right[i + 1 :]) for i, x in enumerate(right)]
        swapped = [right[::-1]] if right[::-1] != right else []
        return [*off, *swapped, (*right, 1), right[0], ["asdf"] * len(right)]
    by_one = [right + 1, right - 1] if isinstance(right, int) else [1.1 * right, right / 10]
    return [*by_one, 1.5 * right + 1, (right, right), "asdf asdf", {right: right}]


@pytest.mark.parametrize("exercise", KEYS)
def test_the_answer_is_right_and_planted_ones_are_wrong(exercise):
    right = key_of(exercise).expected
    assert right == GIVEN.get(exercise, ({}, right))[1]
    assert asked(exercise, right)
    assert check(exercise, right, strict=True, **GIVEN.get(exercise, ({}, 0))[0])
    wrong = planted(right)
    assert len(wrong) >= 2
    for value in wrong:
        assert asked(exercise, value).verdict == "wrong", value


@pytest.mark.parametrize("exercise", KEYS)
def test_three_digits_will_do(exercise):
    right = key_of(exercise).expected
    for form in ("{:.3g}", "{:.4g}"):
        if isinstance(right, float):
            assert asked(exercise, float(form.format(right)))
        elif isinstance(right, tuple):
            assert asked(exercise, [float(form.format(x)) if x % 1 else x for x in right])


@pytest.mark.parametrize("exercise", KEYS)
def test_every_hint_is_reached_and_gives_nothing_away(exercise):
    key = key_of(exercise)
    assert len(key.hints) >= 1
    assert key.look
    for wrong, sentence in key.hints:
        assert asked(exercise, wrong).reason == sentence
        assert sentence.endswith((".", "?"))
        if isinstance(key.expected, int | float):
            assert not re.search(rf"(?<![\d.]){key.expected:.6g}(?![\d.])", sentence)


class Odd:
    def __eq__(self, other):
        raise ValueError("neither equal nor not")

    __hash__ = None


ODD = (
    "asdf asdf", "", b"x", [], {}, (), object(), max, 1j, math.nan, np.zeros((2, 3)), Odd(),
    [Odd()], torch.zeros(0), pd.DataFrame({"a": [1]}), [[1], [1, 2]], [np.zeros(2), np.zeros(3)],
    list("abc"),
)  # fmt: skip


@pytest.mark.parametrize("exercise", KEYS)
def test_whatever_is_answered_a_sentence_comes_back(exercise):
    for value in ODD:
        assert asked(exercise, value).verdict == "wrong"
