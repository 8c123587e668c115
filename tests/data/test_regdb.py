"""RegDB: ten splits, pairs of images, two directions."""

import shutil

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from tests.data.layouts import regdb, regdb_name, touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def test_tables(tmp_path):
    ds = open_dataset("regdb", regdb(tmp_path))
    assert ds.protocol == "regdb"
    assert ds.options == {"trial": 1, "mode": "visible-thermal"}
    assert ds.train["pid"].tolist() == [285] * 4
    assert ds.train["modality"].tolist() == ["infrared"] * 2 + ["visible"] * 2
    assert ds.train["camid"].tolist() == [1, 1, 0, 0]
    assert ds.query["pid"].tolist() == [412, 412, 7, 7]
    assert set(ds.query["camid"]) == {0}
    assert set(ds.gallery["camid"]) == {1}
    assert set(ds.query["modality"]) == {"visible"}
    assert ds.published["query"].images == 2_060


def test_pairs_are_in_the_order_of_frames(tmp_path):
    """Lists may be in any order: person 7's frames are listed as 11, 9."""
    regdb(tmp_path)
    reversed_lines = [f"{regdb_name('Thermal', 412, f)} 1" for f in (100, 90)]
    reversed_lines += [f"{regdb_name('Thermal', 7, f)} 0" for f in (9, 11)]
    write_list(tmp_path / "idx" / "test_thermal_1.txt", reversed_lines)
    ds = open_dataset("regdb", tmp_path)
    for frame, part in ((ds.query, "Visible"), (ds.gallery, "Thermal")):
        place = dict(zip(frame["path"], frame["pair"], strict=True))
        assert place == {
            f"{tmp_path}/{regdb_name(part, person, frame)}": k
            for person, frames in ((7, (9, 11)), (412, (90, 100)))
            for k, frame in enumerate(frames)
        }
    assert ds.train["pair"].tolist() == [0, 1, 0, 1]


def test_the_other_direction(tmp_path):
    ds = open_dataset("regdb", regdb(tmp_path), mode="thermal-visible")
    assert set(ds.query["modality"]) == {"infrared"}
    assert set(ds.gallery["modality"]) == {"visible"}
    assert set(ds.query["camid"]) == {1}


@pytest.mark.parametrize("option", [{"trial": 0}, {"trial": 11}, {"trial": "1"}, {"mode": "both"}])
def test_options(option, tmp_path):
    with pytest.raises(DatasetError, match="for regdb: choose"):
        open_dataset("regdb", regdb(tmp_path), **option)


def test_a_trial_without_lists(tmp_path):
    with pytest.raises(DatasetError, match=r"there is no .*train_visible_2.txt, the list"):
        open_dataset("regdb", regdb(tmp_path), trial=2)


def test_another_trial_is_another_fingerprint(tmp_path):
    regdb(tmp_path)
    for part in ("train_visible", "train_thermal", "test_visible", "test_thermal"):
        shutil.copy(tmp_path / "idx" / f"{part}_1.txt", tmp_path / "idx" / f"{part}_2.txt")
    lines = (tmp_path / "idx" / "test_visible_2.txt").read_text().splitlines()
    write_list(tmp_path / "idx" / "test_visible_2.txt", lines[::-1])
    one, two = (open_dataset("regdb", tmp_path, trial=trial) for trial in (1, 2))
    assert one.query["path"].tolist() == two.query["path"].tolist()
    assert one.fingerprint() != two.fingerprint()


def test_a_person_in_both_lists(tmp_path):
    regdb(tmp_path)
    for part in ("Visible", "Thermal"):
        path = tmp_path / "idx" / f"train_{part.lower()}_1.txt"
        path.write_text(path.read_text() + f"{regdb_name(part, 7, 9)} 1\n")
    with pytest.raises(DatasetError, match=r"1 people of .* both in the training.*e.g. 7"):
        open_dataset("regdb", tmp_path)


def test_lists_of_different_trials(tmp_path):
    regdb(tmp_path)
    lines = [f"{regdb_name('Thermal', 7, 9)} 1", f"{regdb_name('Thermal', 412, 90)} 0"]
    write_list(tmp_path / "idx" / "test_thermal_1.txt", lines)
    with pytest.raises(DatasetError, match=r"do not agree on who is who.*same trial"):
        open_dataset("regdb", tmp_path)


def test_the_lists_of_both_modalities_are_swapped(tmp_path):
    regdb(tmp_path)
    shutil.copy(tmp_path / "idx" / "test_thermal_1.txt", tmp_path / "idx" / "test_visible_1.txt")
    with pytest.raises(
        DatasetError, match=r"no line of .*test_visible_1.txt names an image of Vis"
    ):
        open_dataset("regdb", tmp_path)


def test_label_first(tmp_path):
    regdb(tmp_path)
    write_list(tmp_path / "idx" / "train_visible_1.txt", [f"0 {regdb_name('Visible', 285, 5528)}"])
    with pytest.raises(DatasetError, match=r"train_visible_1.txt has the label before the path"):
        open_dataset("regdb", tmp_path)


def test_windows_lists(tmp_path):
    clean = open_dataset("regdb", regdb(tmp_path))
    path = tmp_path / "idx" / "train_visible_1.txt"
    path.write_bytes(path.read_text().replace("/", "\\").replace("\n", "\r\n").encode())
    with pytest.warns(DatasetWarning, match="back-slashes"):
        assert open_dataset("regdb", tmp_path).train.equals(clean.train)


def test_missing_unlisted_and_foreign_images(tmp_path):
    regdb(tmp_path)
    (tmp_path / regdb_name("Thermal", 7, 9)).unlink()
    strange = [
        "Visible/7/male_back_t_00009_7.bmp",
        "Visible/7/male_back_v_00009_8.bmp",
        "Visible/x.bmp",
    ]
    touch(tmp_path, [*strange, regdb_name("Visible", 7, 77)])
    ds = open_dataset("regdb", tmp_path)
    assert set(ds.foreign) == set(strange)
    assert any(
        "1 of the 4 images named by test_thermal_1.txt are missing" in t for t in ds.warnings
    )
    assert any("1 images stand in no list" in text for text in ds.warnings)
    assert len(ds.gallery) == 3
