import pytest

from reidlab.settings import parse_settings
from reidlab.training import Recipe


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


def test_one_switch_of_a_recipe():
    settings = parse_settings(["switches.local_weight=0.5", "switches.heads=one"])
    assert Recipe().replace(**settings).switches == {"local_weight": 0.5, "heads": "one"}


@pytest.mark.parametrize("text", ["epochs", "=5", ""])
def test_what_is_no_setting(text):
    with pytest.raises(ValueError, match=rf"^'{text}': expected key=value, as in epochs=5$"):
        parse_settings([text])
    with pytest.raises(ValueError, match=rf"^--option '{text}': expected .* in --option trial=3$"):
        parse_settings([text], "--option trial=3")
