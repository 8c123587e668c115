"""PKU-Reid divided by person into folds, in both layouts."""

import os
import random

import pandas as pd
import pytest

from reidlab.data import DatasetError, open_dataset
from reidlab.data.errors import DatasetWarning
from tests.data.layouts import touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
NUMBERS = (3, 4, 5, 17, 18, 40, 41, 77)  # of people
TESTED = (4, 41)  # in the layout of LA-TF++ those of val
IMAGES = [(camera, view) for camera in (1, 2) for view in (1, 5)]


def la_tf_pp(root):
    for pid in NUMBERS:
        own = [f"{pid:03d}/{camera:02d}_{view}.png" for camera, view in IMAGES]
        for part in ("val/all_imgs", "val/gallery") if pid in TESTED else ("train",):
            touch(root / part, own)
        if pid in TESTED:
            touch(root / "val" / "query", own[:1])
    return root


def released(root):
    for pid in NUMBERS:
        own = [f"{pid}_{camera}_{view}.png" for camera, view in IMAGES]
        touch(root / ("test" if pid % 2 else "train"), own)
    return root


def one_folder(root):
    touch(root, [f"{pid}_{camera}_{view}.png" for pid in NUMBERS for camera, view in IMAGES])
    write_list(root / "train_ids.txt", ["3", "4"])
    return root


LAYOUTS = pytest.mark.parametrize("layout", [la_tf_pp, released, one_folder])


@LAYOUTS
@pytest.mark.parametrize("folds", [2, 3, 8])
def test_everybody_is_tested_once_by_what_was_trained_on_the_others(layout, folds, tmp_path):
    sets = [
        open_dataset("pku-reid", layout(tmp_path), fold=k, folds=folds) for k in range(1, folds + 1)
    ]
    tested = [set(ds.query["pid"]) for ds in sets]
    assert sorted(pid for people in tested for pid in people) == list(NUMBERS)
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    for number, (ds, people) in enumerate(zip(sets, tested, strict=True), start=1):
        assert set(ds.train["pid"]) == set(NUMBERS) - people
        assert len(ds.train) + len(ds.query) == len(NUMBERS) * len(IMAGES)
        pd.testing.assert_frame_equal(ds.query, ds.gallery)
        assert "label" not in ds.query
        assert sorted(ds.train["label"].unique()) == list(range(ds.num_classes))
        assert ds.train.groupby("pid")["label"].first().is_monotonic_increasing
        assert ds.options == {"split": "folds", "fold": number, "folds": folds}
        assert (ds.published, ds.protocol) == (None, "standard")
        assert not set(ds.spare) & {*ds.train["path"], *ds.query["path"]}
    assert len({ds.fingerprint() for ds in sets}) == folds


@LAYOUTS
def test_who_is_in_a_fold_follows_from_the_numbers_alone(layout, tmp_path):
    root = layout(tmp_path)
    for fold, people in {1: {3, 40, 41}, 2: {5, 17, 18}, 3: {4, 77}}.items():  # on every machine
        assert set(open_dataset("pku-reid", root, fold=fold, folds=3).query["pid"]) == people


def test_a_fold_opens_again_by_its_own_options(tmp_path):
    ds = open_dataset("pku-reid", la_tf_pp(tmp_path), fold=2, folds=3)
    again = open_dataset("pku-reid", tmp_path, **ds.options)
    assert again.query["path"].tolist() == ds.query["path"].tolist()
    assert again.fingerprint() == ds.fingerprint()


def test_the_default_split_keeps_its_fingerprint(tmp_path):
    whole = open_dataset("pku-reid", la_tf_pp(tmp_path))
    assert "fold" not in whole.options
    assert whole.fingerprint() != open_dataset("pku-reid", tmp_path, fold=1, folds=2).fingerprint()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fold": 1}, "fold is 1 for pku-reid: choose fold and folds together, such as fold=1, fo"),
        ({"folds": 3}, "folds is 3 for pku-reid: choose fold and folds together"),
        ({"fold": 0, "folds": 3}, "fold is 0 for pku-reid: choose 1 to 3, a whole number"),
        ({"fold": 4, "folds": 3}, "fold is 4 for pku-reid: choose 1 to 3"),
        ({"fold": "one", "folds": 3}, "fold is 'one' for pku-reid: choose 1 to 3"),
        ({"fold": 1, "folds": 1}, "folds is 1 for pku-reid: choose 2 to 8, a whole number"),
        ({"fold": 1, "folds": 9}, "folds is 9 for pku-reid: choose 2 to 8"),
        ({"fold": 1, "folds": -2}, "folds is -2 for pku-reid: choose 2 to 8"),
        ({"fold": 1, "folds": 2.0}, r"folds is 2\.0 for pku-reid: choose 2 to 8"),
        ({"fold": 1, "folds": True}, "folds is True for pku-reid: choose 2 to 8"),
        (
            {"split": "all_imgs", "fold": 1, "folds": 3},
            "split is 'all_imgs' for pku-reid: choose a split, or fold and folds",
        ),
        ({"split": "folds"}, "split is 'folds' for pku-reid: choose one of"),
    ],
)
@LAYOUTS
def test_folds_that_make_no_sense(layout, options, said, tmp_path):
    with pytest.raises(DatasetError, match=f"^{said}"):
        open_dataset("pku-reid", layout(tmp_path), **options)


def test_a_fold_without_a_query_that_counts(tmp_path):
    touch(tmp_path / "train", ["1_1_1.png", "1_1_2.png", "2_1_1.png"])
    touch(tmp_path / "test", ["3_1_1.png", "3_2_1.png"])
    said = []
    for fold in (1, 2, 3):
        try:
            open_dataset("pku-reid", tmp_path, fold=fold, folds=3)
        except DatasetError as error:
            said.append(str(error))
    assert len(said) == 2
    assert all("of 3 of" in text and "has no query with a match" in text for text in said)


def test_a_single_person_makes_no_folds(tmp_path):
    touch(tmp_path, ["1_1_1.png", "1_2_1.png"])
    write_list(tmp_path / "train_ids.txt", ["1"])
    with pytest.raises(DatasetError, match="has images of one person, expected of 2 or more"):
        open_dataset("pku-reid", tmp_path, fold=1, folds=2)


def test_the_order_of_the_files_is_nothing(tmp_path, monkeypatch):
    root = released(tmp_path)
    before = open_dataset("pku-reid", root, fold=1, folds=3)
    real = os.scandir

    class Shuffled:
        def __init__(self, folder):
            self.entries = list(real(folder))
            random.Random(1).shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Shuffled)
    after = open_dataset("pku-reid", root, fold=1, folds=3)
    pd.testing.assert_frame_equal(before.train, after.train)
    pd.testing.assert_frame_equal(before.query, after.query)


def test_a_copy_that_is_not_whole_says_so(tmp_path):
    with pytest.warns(DatasetWarning, match="train has 24 images of 6 people"):
        open_dataset("pku-reid", la_tf_pp(tmp_path), fold=1, folds=3)
