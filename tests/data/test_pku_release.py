"""PKU-Reid as its authors released it; the layout of LA-TF++ is in test_catalogue.py."""

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from tests.data.layouts import pku_reid, pku_release, touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
FLAT = ["1_1_1.png", "1_2_8.png", "013_01_5.png", "2_1_1.png", "2_2_4.png"]


def test_two_folders(tmp_path):
    ds = open_dataset("pku-reid", pku_release(tmp_path))
    assert ds.options == {"split": "57-57"}
    assert ds.train["pid"].tolist() == [13, 1, 1]
    assert ds.train["camid"].tolist() == [0, 0, 1]
    assert ds.train["view"].tolist() == [4, 0, 7]
    assert ds.query["path"].tolist() == ds.gallery["path"].tolist()
    assert ds.query["pid"].tolist() == [2, 2]
    assert ds.published["train"] == ds.published["query"] == (912, 57, 2)


@pytest.mark.parametrize("below", ["", "images"])
def test_one_folder_and_a_list(below, tmp_path):
    touch(tmp_path / below, FLAT)
    write_list(tmp_path / "train_ids.txt", ["1", "13"])
    ds = open_dataset("pku-reid", tmp_path)
    assert sorted(ds.train["pid"]) == [1, 1, 13]
    assert ds.gallery["pid"].tolist() == [2, 2]
    first = ds.fingerprint()
    write_list(tmp_path / "train_ids.txt", ["13, 2"])
    other = open_dataset("pku-reid", tmp_path)
    assert sorted(other.train["pid"]) == [2, 2, 13]
    assert other.fingerprint() != first


def test_a_list_with_a_stranger(tmp_path):
    touch(tmp_path, FLAT)
    write_list(tmp_path / "train_ids.txt", ["1", "99"])
    with pytest.warns(DatasetWarning, match="1 of the 2 people of train_ids.txt have no image: 99"):
        open_dataset("pku-reid", tmp_path)


def test_official_is_what_came_with_the_folder(tmp_path):
    released, other = pku_release(tmp_path / "one"), pku_reid(tmp_path / "two")
    assert open_dataset("pku-reid", released, split="official").options == {"split": "57-57"}
    assert open_dataset("pku-reid", other, split="official").options == {"split": "la-tf-pp"}


def test_a_split_of_the_other_layout(tmp_path):
    released, other = pku_release(tmp_path / "one"), pku_reid(tmp_path / "two")
    with pytest.raises(DatasetError, match="laid out as the release and has no split 'all_imgs'"):
        open_dataset("pku-reid", released, split="all_imgs")
    with pytest.raises(DatasetError, match=r"by LA-TF\+\+ and has no split '57-57'"):
        open_dataset("pku-reid", other, split="57-57")


def test_orientation_9_and_camera_3_are_foreign(tmp_path):
    touch(pku_release(tmp_path), ["train/1_1_9.png", "train/1_3_1.png"])
    assert set(open_dataset("pku-reid", tmp_path).foreign) == {"train/1_1_9.png", "train/1_3_1.png"}
