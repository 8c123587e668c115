"""MSMT17: lists that are followed exactly."""

import shutil

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from tests.data.layouts import MSMT17, msmt17, touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
V2 = ("mask_train_v2", "mask_test_v2")


def test_tables(tmp_path):
    ds = open_dataset("msmt17", msmt17(tmp_path))
    assert ds.options == {"val": "in", "version": "V1"}
    assert ds.train["pid"].tolist() == [0, 0, 1, 1]
    assert ds.train["camid"].tolist() == [0, 0, 14, 6]
    assert (
        ds.train["path"].iloc[1] == f"{tmp_path}/train/0000/0000_001_01_0303morning_0015_0_ex.jpg"
    )
    assert ds.query["pid"].tolist() == [0]  # not the person 0 of training, and no distractor
    assert ds.gallery["pid"].tolist() == [0, 2]
    assert ds.describe()["people"].tolist() == [2, 1, 2]
    assert ds.describe()["published images"].tolist() == [32_621, 11_659, 82_161]


def test_val_out(tmp_path):
    ds = open_dataset("msmt17", msmt17(tmp_path), val="out")
    assert ds.options["val"] == "out"
    assert len(ds.train) == 3
    assert ds.describe()["published images"].tolist() == [30_248, 11_659, 82_161]
    assert not any("no list" in text for text in ds.warnings)  # val is listed, though not used
    with pytest.raises(DatasetError, match="val is 'maybe' for msmt17: choose one of 'in', 'out'"):
        open_dataset("msmt17", tmp_path, val="maybe")


def test_versions(tmp_path):
    ds = open_dataset("msmt17", msmt17(tmp_path, V2))
    assert ds.options["version"] == "V2"
    assert "/mask_test_v2/" in ds.query["path"].iloc[0]
    with pytest.raises(DatasetError, match="incomplete: train, test is missing"):
        open_dataset("msmt17", tmp_path, version="V1")
    msmt17(tmp_path)
    with pytest.raises(DatasetError, match="both versions of MSMT17: say which"):
        open_dataset("msmt17", tmp_path)
    ds = open_dataset("msmt17", tmp_path, version="V1")
    assert "/test/" in ds.query["path"].iloc[0]
    with pytest.raises(DatasetError, match="version is 'V3'"):
        open_dataset("msmt17", tmp_path, version="V3")


@pytest.mark.parametrize("name", ["MSMT17_V1", "MSMT17_V2"])
def test_the_parent_is_refused_by_name(name, tmp_path):
    msmt17(tmp_path / name, V2 if name.endswith("2") else ("train", "test"))
    with pytest.raises(DatasetError, match=f"Pass that folder: .*{name}'"):
        open_dataset("msmt17", tmp_path)


def test_a_list_is_missing(tmp_path):
    msmt17(tmp_path)
    (tmp_path / "list_val.txt").unlink()
    with pytest.raises(DatasetError, match=r"incomplete: list_val.txt is missing"):
        open_dataset("msmt17", tmp_path)


def test_what_editors_do_to_lists(tmp_path):
    clean = open_dataset("msmt17", msmt17(tmp_path))
    text = "\ufeff" + "\r\n\r\n".join(MSMT17["train"]) + "\r\n  \r\n"
    (tmp_path / "list_train.txt").write_bytes(text.encode())
    ds = open_dataset("msmt17", tmp_path)
    assert ds.train.equals(clean.train)
    assert ds.warnings == clean.warnings
    write_list(tmp_path / "list_train.txt", [line.replace("/", "\\") for line in MSMT17["train"]])
    with pytest.warns(DatasetWarning, match=r"list_train.txt has Windows' back-slashes"):
        ds = open_dataset("msmt17", tmp_path)
    assert ds.train.equals(clean.train)
    write_list(tmp_path / "list_train.txt", MSMT17["train"] + MSMT17["train"][:2])
    with pytest.warns(DatasetWarning, match=r"list_train.txt repeats 2 lines"):
        ds = open_dataset("msmt17", tmp_path)
    assert ds.train.equals(clean.train)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0000/0000_000_01_0303morning_0015_0.jpg", "label before the path.*Swap the columns"),
        ("0000/0000_000_01_0303morning_0015_0.jpg", "has the line .* expected '<path> <label>'"),
        ("0000/0000_000_01_0303morning_0015_0.jpg 0 1", "expected '<path> <label>'"),
        ("0000/0000_000_01_0303morning_0015_0.jpg one", "a whole number as label"),
        ("0000/0000_000_01_0303morning_0015_0.jpg 7", "label that is not the number of their fol"),
    ],
)
def test_lines_of_another_form(line, message, tmp_path):
    msmt17(tmp_path)
    write_list(tmp_path / "list_train.txt", [line])
    with pytest.raises(DatasetError, match=message) as error:
        open_dataset("msmt17", tmp_path)
    assert "list_train.txt" in str(error.value)


def test_two_labels_for_one_image(tmp_path):
    msmt17(tmp_path)
    write_list(tmp_path / "list_train.txt", [*MSMT17["train"], MSMT17["train"][0][:-1] + "1"])
    with pytest.raises(DatasetError, match="two labels, 0 and 1"):
        open_dataset("msmt17", tmp_path)


def test_an_empty_list_and_a_binary_one(tmp_path):
    msmt17(tmp_path)
    (tmp_path / "list_train.txt").write_bytes(b"\r\n\r\n")
    with pytest.raises(DatasetError, match=r"list_train.txt is empty"):
        open_dataset("msmt17", tmp_path)
    (tmp_path / "list_train.txt").write_bytes(b"\xff\xfe0\x000\x00")  # UTF-16, as Notepad can do
    with pytest.raises(DatasetError, match=r"list_train.txt is no UTF-8 text"):
        open_dataset("msmt17", tmp_path)


def test_missing_images_are_counted(tmp_path):
    msmt17(tmp_path)
    (tmp_path / "test" / MSMT17["gallery"][0].split()[0]).unlink()
    with pytest.warns(
        DatasetWarning, match=r"1 of the 2 images named by list_gallery.txt.*_ex.jpg"
    ):
        ds = open_dataset("msmt17", tmp_path)
    assert len(ds.gallery) == 1
    (tmp_path / "test" / MSMT17["gallery"][1].split()[0]).unlink()
    with pytest.raises(DatasetError, match=r"none of the 2 images named by list_gallery.txt"):
        open_dataset("msmt17", tmp_path)


def test_images_in_no_list(tmp_path):
    touch(msmt17(tmp_path), ["train/0001/0001_077_01_0303morning_0015_0.jpg"])
    with pytest.warns(DatasetWarning, match=r"1 images stand in no list .*train/0001/0001_077_"):
        assert len(open_dataset("msmt17", tmp_path).train) == 4


def test_foreign_names(tmp_path):
    strange = [
        "train/0000/cat.jpg",
        "train/0000/0000_000_00_0303morning_0015_0.jpg",
        "train/a/b.jpg",
    ]
    touch(msmt17(tmp_path), strange)
    write_list(tmp_path / "list_train.txt", [*MSMT17["train"], "0000/dog.jpg 0"])
    ds = open_dataset("msmt17", tmp_path)
    assert set(ds.foreign) == {*strange[:2], "train/a", "train/0000/dog.jpg"}


def test_an_image_in_another_persons_folder(tmp_path):
    msmt17(tmp_path)
    moved = "0001/0000_001_01_0303morning_0015_0_ex.jpg"
    shutil.move(
        tmp_path / "train/0000/0000_001_01_0303morning_0015_0_ex.jpg", tmp_path / "train" / moved
    )
    write_list(tmp_path / "list_train.txt", [f"{moved} 1", MSMT17["train"][0], MSMT17["train"][2]])
    with pytest.warns(DatasetWarning, match="lie in another person's folder"):
        ds = open_dataset("msmt17", tmp_path)
    assert ds.train["pid"].tolist() == [0, 1, 1, 1]


def test_the_split_is_in_the_fingerprint(tmp_path):
    first = open_dataset("msmt17", msmt17(tmp_path)).fingerprint()
    write_list(tmp_path / "list_val.txt", MSMT17["val"] + MSMT17["train"][2:])
    write_list(tmp_path / "list_train.txt", MSMT17["train"][:2])
    ds = open_dataset("msmt17", tmp_path)
    assert len(ds.train) == 4  # the same images
    assert ds.fingerprint() != first


def test_hundreds_of_images_are_counted(tmp_path):
    """Every valid name of 600, in the proportions of the real lists, ends up in its table."""
    days = [f"{day}{slot}" for day in ("0113", "0302") for slot in ("morning", "noon", "afternoon")]
    lines = {name: [] for name in MSMT17}
    for i in range(600):
        split = ("train", "val", "query", "gallery", "gallery", "gallery")[i % 6]
        pid, camera = (i // 6) % 20, i % 15 + 1
        extra = "_ex" if i % 5 < 2 else ""
        name = f"{pid:04d}_{i // 12:03d}_{camera:02d}_{days[i % 6]}_{i:04d}_{i % 12}{extra}.jpg"
        lines[split].append(f"{pid:04d}/{name} {pid}")
    for split, listed in lines.items():
        folder = tmp_path / ("test" if split in ("query", "gallery") else "train")
        touch(folder, [line.split()[0] for line in listed])
        write_list(tmp_path / f"list_{split}.txt", listed)
    ds = open_dataset("msmt17", tmp_path)
    assert ds.describe()["images"].tolist() == [200, 100, 300]
    assert ds.describe()["people"].tolist() == [20, 20, 20]
    assert ds.foreign == ()
