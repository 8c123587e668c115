"""VeRi-776: lists, labels in XML, viewpoints of a third party."""

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from tests.data.layouts import VERI, touch, veri776, veri_labels, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def test_tables(tmp_path):
    ds = open_dataset("veri776", veri776(tmp_path))
    assert ds.train["pid"].tolist() == [1, 1]
    assert ds.train["camid"].tolist() == [0, 19]
    assert ds.gallery["pid"].tolist() == [2, 2, 5]
    assert [path.rsplit("/", 1)[1] for path in ds.query["path"]] == VERI["query"]
    assert VERI["query"][0] in ds.gallery["path"].iloc[0]  # the query's own copy
    assert set(ds.train["view"]) == {-1}
    assert "color" not in ds.train
    assert ds.card.subject == "vehicles"


def test_lists_are_followed(tmp_path):
    veri776(tmp_path)
    write_list(tmp_path / "name_test.txt", VERI["test"][:2])
    with pytest.warns(DatasetWarning, match=r"1 images stand in no list .*0005_c019"):
        assert len(open_dataset("veri776", tmp_path).gallery) == 2
    write_list(tmp_path / "name_test.txt", [*VERI["test"], "0006_c001_00000000_0.jpg"])
    with pytest.warns(DatasetWarning, match=r"1 of the 4 images named by name_test.txt"):
        assert len(open_dataset("veri776", tmp_path).gallery) == 3


def test_without_lists_the_folders_count(tmp_path):
    veri776(tmp_path)
    (tmp_path / "name_query.txt").unlink()
    with pytest.warns(DatasetWarning, match=r"name_query.txt is missing: all images of image_que"):
        ds = open_dataset("veri776", tmp_path)
    assert len(ds.query) == 1
    assert [path.name for path in ds.lists] == ["name_train.txt", "name_test.txt"]


def test_labels(tmp_path):
    """The encoding the real files declare is one that Python's parser does not know."""
    veri_labels(veri776(tmp_path) / "train_label.xml", VERI["train"][::-1])
    veri_labels(tmp_path / "test_label.xml", VERI["test"])
    ds = open_dataset("veri776", tmp_path)
    assert ds.train["color"].tolist() == [2, 1]
    assert ds.train["type"].tolist() == [4, 4]
    assert ds.query["color"].tolist() == [1]
    assert ds.gallery["color"].tolist() == [1, 2, 3]


def test_labels_that_do_not_fit(tmp_path):
    veri_labels(veri776(tmp_path) / "train_label.xml", VERI["train"][:1], vehicle="0009")
    ds = open_dataset("veri776", tmp_path)
    assert ds.train["color"].tolist() == [1, -1]
    assert ds.train["pid"].tolist() == [1, 1]
    assert any("1 images of 2 are not in train_label.xml" in text for text in ds.warnings)
    assert any("1 images another vehicle than their name" in text for text in ds.warnings)


@pytest.mark.parametrize(
    "content", [b"<Items><Item", b"", b"\x00\x01", b"<T><Item color='1'/></T>"]
)
def test_labels_that_do_not_parse(content, tmp_path):
    (veri776(tmp_path) / "test_label.xml").write_bytes(content)
    with pytest.raises(DatasetError, match=r"cannot read the labels .*test_label.xml"):
        open_dataset("veri776", tmp_path)


def test_labels_that_are_no_numbers(tmp_path):
    veri_labels(veri776(tmp_path) / "train_label.xml", VERI["train"], vehicle="red")
    with pytest.raises(DatasetError, match=r"train_label.xml"):
        open_dataset("veri776", tmp_path)


def test_viewpoints(tmp_path):
    veri776(tmp_path)
    points = " ".join(["-1"] * 40)
    lines = [f"/data/VeRi/image_train/{VERI['train'][0]} {points} 7", "", f"x.jpg {points} -1"]
    write_list(tmp_path / "keypoint_train.txt", lines)
    write_list(tmp_path / "keypoint_test.txt", [f"image_test\\{VERI['test'][0]} {points} 0"])
    ds = open_dataset("veri776", tmp_path)
    assert ds.train["view"].tolist() == [7, -1]
    assert ds.query["view"].tolist() == [0]
    assert ds.gallery["view"].tolist() == [0, -1, -1]
    write_list(tmp_path / "keypoint_test.txt", [f"{VERI['test'][0]} {points} 8"])
    with pytest.raises(DatasetError, match="an orientation from 0 to 7"):
        open_dataset("veri776", tmp_path)


def test_camera_0_and_short_names_are_foreign(tmp_path):
    strange = ["image_train/0001_c000_00016450_0.jpg", "image_train/0001_c1_00016450_0.jpg"]
    touch(veri776(tmp_path), strange)
    assert set(open_dataset("veri776", tmp_path).foreign) == set(strange)
