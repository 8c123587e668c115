"""RandPerson: cameras of eleven scenes in one numbering, and two orders of a name."""

import dataclasses
import json

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from reidlab.record import describe_data
from tests.data.layouts import RANDPERSON, randperson, touch

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def test_tables(tmp_path):
    ds = open_dataset("randperson", randperson(tmp_path))
    assert ds.train["pid"].tolist() == [0, 0, 7, 7999]
    assert ds.train["camid"].tolist() == [0, 7, 9, 18]
    assert ds.train["scene"].tolist() == [0, 3, 5, 10]
    assert ds.train["frame"].tolist() == [264, 264, 100_264, 1]
    assert ds.train["label"].tolist() == [0, 0, 1, 2]  # person 0 is one to train on
    assert (len(ds.query), len(ds.gallery), ds.num_cameras) == (0, 0, 19)
    assert ds.query["pid"].dtype == "int64"
    assert ds.describe()["images"].tolist() == [4, 0, 0]
    assert not any(text.startswith(("query", "gallery")) for text in ds.warnings)


def test_a_set_without_a_test_describes_itself(tmp_path):
    ds = open_dataset("randperson", randperson(tmp_path))
    for empty in (ds.query, ds.gallery):
        assert list(empty) == [name for name in ds.train if name != "label"]
        assert empty.dtypes.equals(ds.train[list(empty)].dtypes)
    assert (ds.num_classes, ds.num_cameras) == (3, 19)
    rows = ds.describe().loc[["query", "gallery"]]
    assert (rows.filter(regex="^(images|people|cameras|junk|distractors|diff)") == 0).all(axis=None)
    assert len(ds.fingerprint()) == 64
    assert "train 4, query 0, gallery 0 images" in repr(ds)
    described = describe_data(ds)
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    nobody = dataclasses.replace(ds, train=ds.train.iloc[:0])
    assert (nobody.num_classes, nobody.num_cameras) == (0, 0)
    assert nobody.describe()["images"].tolist() == [0, 0, 0]


def test_the_global_camera_of_every_scene(tmp_path):
    """QAConv's offsets, written out: scene -> its first camera."""
    first = [0, 2, 4, 6, 8, 9, 10, 12, 13, 14, 15]
    touch(tmp_path, [f"000001_s{scene:02d}_c00_f000000.jpg" for scene in range(11)])
    assert open_dataset("randperson", tmp_path).train["camid"].tolist() == first


def test_the_flat_folder_itself(tmp_path):
    randperson(tmp_path)
    whole = open_dataset("randperson", tmp_path)
    flat = open_dataset("randperson", tmp_path / "randperson_subset")
    assert flat.train.equals(whole.train)


def test_the_flat_folder_of_a_synthetic_set(tmp_path):
    randperson(tmp_path)
    (tmp_path / "world.json").write_text("{}")
    assert open_dataset("randperson", tmp_path / "randperson_subset").warnings == ()
    (tmp_path / "world.json").rename(tmp_path / "world.json.partial")
    with pytest.raises(DatasetError, match="interrupted"):
        open_dataset("randperson", tmp_path / "randperson_subset")


def test_camera_before_scene(tmp_path):
    touch(randperson(tmp_path), ["randperson_subset/000009_c01_s06_f000007.jpg"])
    with pytest.warns(DatasetWarning, match=r"1 names have the camera before the scene.*c01_s06"):
        ds = open_dataset("randperson", tmp_path)
    row = ds.train[ds.train["pid"] == 9].iloc[0]
    assert (row["camid"], row["scene"]) == (11, 6)
    assert ds.foreign == ()


def test_cameras_that_no_scene_has(tmp_path):
    beyond = ["000009_s04_c01_f000007.jpg", "000009_s11_c00_f000007.jpg"]
    touch(randperson(tmp_path), [f"randperson_subset/{name}" for name in beyond])
    ds = open_dataset("randperson", tmp_path)
    assert set(ds.foreign) == {f"randperson_subset/{name}" for name in beyond}
    assert len(ds.train) == len(RANDPERSON)
    for name in RANDPERSON:
        (tmp_path / "randperson_subset" / name).unlink()
    with pytest.raises(DatasetError, match=r"no image .* has a scene and a camera of RandPerson"):
        open_dataset("randperson", tmp_path)
