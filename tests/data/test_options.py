"""One rule for the options of all readers."""

import numpy as np
import pytest

from reidlab.data import DatasetError, draw_gallery, open_dataset
from reidlab.data.options import choose
from tests.data.layouts import LAYOUTS

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


@pytest.mark.parametrize(("value", "same"), [(3, 3), (np.int64(3), 3), (None, None)])
def test_a_choice_comes_back_plain(value, same):
    found = choose("regdb", "trial", value, (*range(1, 11), None))
    assert found == same
    assert type(found) is type(same)
    assert type(choose("msmt17", "val", np.str_("in"), ("in", "out"))) is str


@pytest.mark.parametrize(
    "value", ["3", 3.0, True, np.bool_(True), 0, 11, None, [3], {"a": 3}, np.array([3, 4]), b"3"]
)
def test_what_only_looks_like_a_choice(value):
    with pytest.raises(
        DatasetError, match=r"trial is .* for regdb: choose 1 to 10, a whole number"
    ):
        choose("regdb", "trial", value, range(1, 11))


OPTIONS = [
    ("msmt17", "val"), ("msmt17", "version"), ("regdb", "trial"), ("regdb", "mode"),
    ("sysu-mm01", "mode"), ("sysu-mm01", "shots"), ("sysu-mm01", "trial"), ("sysu-mm01", "draw"),
    ("cuhk03-np", "boxes"), ("cuhk03-np", "source"), ("cuhk03-classic", "split"),
    ("pku-reid", "split"), ("pku-reid", "fold"), ("pku-reid", "folds"),
    ("folder", "train_fraction"), ("veri776", "views"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "option"), OPTIONS)
@pytest.mark.parametrize("value", ["maybe", True, [1], 2.5, np.array([1, 2])])
def test_every_reader_says_what_to_choose(name, option, value, tmp_path):
    with pytest.raises(DatasetError, match=rf"^{option} is .* for {name}: choose "):
        open_dataset(name, LAYOUTS[name][0](tmp_path), **{option: value})


def test_numbers_of_numpy_are_numbers(tmp_path):
    """np.arange is how one walks over ten trials."""
    root = LAYOUTS["sysu-mm01"][0](tmp_path)
    pool = open_dataset("sysu-mm01", root, trial=None)
    for trial in np.arange(2):
        one = open_dataset("sysu-mm01", root, trial=trial, shots=np.int32(1))
        assert type(one.options["trial"]) is int
        assert one.gallery["path"].tolist() == [
            pool.gallery["path"].iloc[row] for row in draw_gallery(pool, trial)
        ]
