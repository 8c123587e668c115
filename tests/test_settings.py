"""Settings by annotation, and as text."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch

from reidlab.losses import Triplet
from reidlab.settings import OneOf, Range, Words, check_fields, check_names, parse_settings
from reidlab.training import Recipe
from reidlab.training.pretrain import PretrainConfig


def test_values_of_every_kind():
    given = [
        "depth=2",
        "lr=1e-4",
        "image_size=[64,32]",
        "weights=None",
        "flip_test=True",
        "keep=best",
    ]
    assert parse_settings(given) == {
        "depth": 2, "lr": 1e-4, "image_size": [64, 32], "weights": None, "flip_test": True,
        "keep": "best",
    }  # fmt: skip
    assert parse_settings([]) == {}
    assert parse_settings(["name=a=b", "empty="]) == {"name": "a=b", "empty": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("192,96", [192, 96]), ("192x96", [192, 96]), ("192 x 96", [192, 96]), ("(1,)", "(1,)"),
        ("(192,96)", [192, 96]), ("[192, 96]", [192, 96]), ("(192, 96,)", [192, 96]),
        ("0.5,-1e-3,2", [0.5, -1e-3, 2]), ("192×96", [192, 96]), ("192,", "192,"), ("x10", "x10"),
        ("a,b", "a,b"), ("1,b", "1,b"), ("192x96.safetensors", "192x96.safetensors"),
    ],
)  # fmt: skip
def test_several_numbers(text, value):
    assert parse_settings([f"image_size={text}"]) == {"image_size": value}


def test_one_switch_of_a_recipe():
    settings = parse_settings(["switches.local_weight=0.5", "switches.heads=one"])
    assert Recipe().replace(**settings).switches == {"local_weight": 0.5, "heads": "one"}


def test_one_setting_of_a_loss():
    settings = parse_settings(["losses.triplet.on=logits", "losses.identity=None"])
    assert Recipe().replace(**settings).losses == (Triplet(on="logits"),)


@pytest.mark.parametrize("text", ["epochs", "=5", ""])
def test_what_is_no_setting(text):
    with pytest.raises(ValueError, match=rf"^'{text}': expected key=value, as in epochs=5$"):
        parse_settings([text])
    with pytest.raises(ValueError, match=rf"^--option '{text}': expected .* in --option trial=3$"):
        parse_settings([text], "--option trial=3")


# ------------------------------------------------------------------ by annotation


@dataclass
class Sample:
    count: Annotated[int, Range(1, 5)] = 1
    share: Annotated[float, Range(0, 0.5)] | None = None
    kind: Literal["a", "b", None, 1] = "a"
    on: bool = False
    name: Annotated[str, OneOf({"x": 1, "y": 2})] = "x"
    text: str | None = ""
    pair: Annotated[tuple[int, int], Words("two whole numbers")] = (1, 2)
    many: tuple[float, ...] = ()
    table: Annotated[Mapping, Words("numbers by name")] = field(default_factory=dict)
    number: float = 0.0
    anything: Any = None

    def __post_init__(self):
        check_fields(self, "sample")


GOOD = [
    ("count", (1, 5)), ("share", (None, 0, 0.5)), ("kind", ("a", "b", None, 1)),
    ("on", (True, False)), ("name", ("x", "y")), ("text", ("", "z", None)), ("pair", ((-1, 9),)),
    ("many", ((), (1,), (1, 2.5, 3))), ("table", ({}, {"a": 1})), ("number", (1, -2.5, math.inf)),
    ("anything", (None, 1, "x", [])),
]  # fmt: skip
BAD = [
    ("count", (0, 6, 2.0, True, "1", None, [1]), "a whole number from 1 to 5"),
    ("share", (-0.1, 0.6, math.nan, False, "0"), "a number from 0 to 0.5 or None"),
    ("kind", ("c", True, 1.0, 0, [], {}), "one of 'a', 'b', None, 1"),
    ("on", (0, 1, None, "True"), "one of True, False"),
    ("name", ("z", None, 1, [], {}), "one of 'x', 'y'"),
    ("text", (1, b"x", []), "text or None"),
    ("pair", ((1,), (1, 2, 3), (1.0, 2), [1, 2], 1, None, (True, 2)), "two whole numbers"),
    ("many", ((1, "2"), [1], (None,), 1), "tuple"),
    ("table", ([], "a=1", None), "numbers by name"),
    ("number", ("1", None, True, 1j), "a number"),
]


@pytest.mark.parametrize(("name", "values"), GOOD)
def test_values_that_fit(name, values):
    for value in values:
        assert getattr(replace(Sample(), **{name: value}), name) == value


@pytest.mark.parametrize(("name", "values", "words"), BAD)
def test_values_that_do_not(name, values, words):
    for value in values:
        with pytest.raises(ValueError, match="sample: ") as caught:
            Sample(**{name: value})
        assert str(caught.value) == f"sample: {name} is {value!r}; expected {words}."


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.float32, np.float64])
def test_numbers_of_numpy_become_pythons(number, tmp_path):
    """As a checkpoint keeps them, which is read without running code."""
    wanted = dict(lr=1.0, switches={"local_weight": 1.0}, losses=(Triplet(margin=number(2)),))
    recipe = Recipe(**wanted | {"lr": number(1), "switches": {"local_weight": number(1)}})
    torch.save(recipe.to_dict(), tmp_path / "kept.pt")
    kept = torch.load(tmp_path / "kept.pt", weights_only=True)
    assert Recipe.from_record(json.loads(json.dumps(kept))) == recipe == Recipe(**wanted)
    config = PretrainConfig(lr=number(1), image_size=(np.int64(64), np.int16(32)))
    assert json.loads(json.dumps(config.to_dict()))["image_size"] == [64, 32]
    assert type(replace(Sample(), anything=number(1)).anything) in (int, float)
    with pytest.raises(ValueError, match=r"count is (9|9\.0); expected a whole number from 1 to 5"):
        Sample(count=number(9))


def test_the_first_that_is_wrong_and_the_callers_error():
    wrong = Sample()
    wrong.number, wrong.count = "x", 9
    with pytest.raises(KeyError, match="a box: count is 9"):
        check_fields(wrong, "a box", KeyError)


def test_names_and_a_close_one():
    check_names(["epochs"], ("epochs", "lr"), "a recipe")
    with pytest.raises(
        ValueError, match=r"^a recipe has no setting 'epoch'. Did you mean 'epochs'"
    ):
        check_names(["lr", "epoch"], ("epochs", "lr"), "a recipe")
    with pytest.raises(KeyError, match=r"a recipe has no setting 'q'. It has: epochs, lr\."):
        check_names(["q"], (name for name in ("epochs", "lr")), "a recipe", KeyError)
