"""DukeMTMC-reID and the lists that make Occluded-Duke of it."""

import shutil

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from reidlab.data.cards import CARDS, Counts
from tests.data.layouts import DUKE, dukemtmc, occluded_duke, touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def names(frame):
    return [path.rsplit("/", 1)[1] for path in frame["path"]]


class TestDuke:
    def test_tables(self, tmp_path):
        ds = open_dataset("dukemtmc", dukemtmc(tmp_path))
        assert ds.train["pid"].tolist() == [1, 1, 9]
        assert ds.train["camid"].tolist() == [0, 7, 1]
        assert ds.gallery["pid"].tolist() == [5, 6, 7139]
        assert ds.describe()["distractors"].tolist() == [0, 0, 0]
        assert ds.describe()["people"].tolist() == [2, 2, 3]  # whom one camera saw counts, too

    def test_names_of_market_are_foreign(self, tmp_path):
        touch(dukemtmc(tmp_path), ["query/0005_c2s1_046985_00.jpg"])
        ds = open_dataset("dukemtmc", tmp_path)
        assert ds.foreign == ("query/0005_c2s1_046985_00.jpg",)


class TestOccludedDuke:
    def test_the_lists_decide(self, tmp_path):
        ds = open_dataset("occluded-duke", occluded_duke(tmp_path))
        assert ds.options == {"split from": "lists"}
        assert names(ds.train) == ["0001_c1_f0046182.jpg", "0009_c2_f0000120.jpg"]
        assert ds.query["path"].str.contains("/query/").tolist() == [False, True]
        assert set(ds.query["path"]) & set(ds.gallery["path"])  # a query that is a gallery file
        assert len(ds.gallery) == 3

    def test_side_by_side(self, tmp_path):
        occluded_duke(tmp_path)
        for name in ("train.list", "query.list", "gallery.list"):
            shutil.move(tmp_path / "Occluded_Duke" / name, tmp_path / "DukeMTMC-reID" / name)
        ds = open_dataset("occluded-duke", tmp_path / "DukeMTMC-reID")
        assert [len(ds.train), len(ds.query), len(ds.gallery)] == [2, 2, 3]

    def test_the_folder_that_the_authors_script_builds(self, tmp_path):
        ds = open_dataset("occluded-duke", dukemtmc(tmp_path))
        assert ds.options == {"split from": "folders"}
        assert len(ds.train) == 3

    def test_a_built_folder_beside_duke(self, tmp_path):
        dukemtmc(tmp_path / "DukeMTMC-reID")
        with pytest.raises(
            DatasetError, match="and not Occluded-Duke: add Occluded_Duke with the lists"
        ):
            open_dataset("occluded-duke", tmp_path)
        with pytest.raises(DatasetError, match="and not Occluded-Duke: add"):
            open_dataset("occluded-duke", tmp_path / "DukeMTMC-reID")
        dukemtmc(tmp_path / "Occluded_Duke")
        ds = open_dataset("occluded-duke", tmp_path)
        assert all("/Occluded_Duke/" in path for path in ds.train["path"])

    def test_duke_itself_is_not_occluded_duke(self, tmp_path, monkeypatch):
        """The counts of the whole set, made small, are those of this folder."""
        small = dict(
            zip(
                ("train", "query", "gallery"),
                [Counts(3, 2, 3), Counts(2, 2, 2), Counts(3, 3, 3)],
                strict=True,
            )
        )
        monkeypatch.setitem(CARDS, "dukemtmc", CARDS["dukemtmc"].__class__(
            **{**CARDS["dukemtmc"].__dict__, "published": small}
        ))  # fmt: skip
        with pytest.raises(DatasetError, match="holds DukeMTMC-reID and not Occluded-Duke"):
            open_dataset("occluded-duke", dukemtmc(tmp_path))

    def test_images_are_missing(self, tmp_path):
        occluded_duke(tmp_path)
        (tmp_path / "DukeMTMC-reID" / "bounding_box_train" / "0009_c2_f0000120.jpg").unlink()
        with pytest.warns(
            DatasetWarning, match=r"1 of the 2 images named by train.list .*0009_c2_"
        ):
            ds = open_dataset("occluded-duke", tmp_path)
        assert len(ds.train) == 1

    def test_all_images_of_a_list_are_missing(self, tmp_path):
        occluded_duke(tmp_path)
        write_list(tmp_path / "Occluded_Duke" / "query.list", ["0099_c1_f0000000.jpg"])
        with pytest.raises(DatasetError, match=r"none of the 1 images named by query.list"):
            open_dataset("occluded-duke", tmp_path)

    def test_lists_without_images(self, tmp_path):
        occluded_duke(tmp_path / "set")
        shutil.rmtree(tmp_path / "set" / "DukeMTMC-reID")
        with pytest.raises(DatasetError, match="no DukeMTMC-reID with bounding_box_train"):
            open_dataset("occluded-duke", tmp_path / "set")

    def test_a_list_of_another_set(self, tmp_path):
        occluded_duke(tmp_path)
        write_list(tmp_path / "Occluded_Duke" / "train.list", ["0002_c1s1_000451_03.jpg"])
        with pytest.raises(DatasetError, match=r"no line of .*train.list is a file name"):
            open_dataset("occluded-duke", tmp_path)

    def test_a_foreign_line(self, tmp_path):
        occluded_duke(tmp_path)
        path = tmp_path / "Occluded_Duke" / "train.list"
        path.write_text(path.read_text() + "holiday.jpg\n")
        assert open_dataset("occluded-duke", tmp_path).foreign == ("Occluded_Duke/holiday.jpg",)

    def test_the_lists_are_in_the_fingerprint(self, tmp_path):
        occluded_duke(tmp_path)
        first = open_dataset("occluded-duke", tmp_path).fingerprint()
        write_list(tmp_path / "Occluded_Duke" / "query.list", ["0006_c3_f0046985.jpg"])
        write_list(
            tmp_path / "Occluded_Duke" / "gallery.list",
            [
                name.rsplit("/", 1)[1]
                for name in DUKE
                if name.startswith(("query", "bounding_box_te"))
            ],
        )
        second = open_dataset("occluded-duke", tmp_path).fingerprint()
        write_list(tmp_path / "Occluded_Duke" / "query.list", ["0005_c2_f0046985.jpg"])
        third = open_dataset("occluded-duke", tmp_path).fingerprint()  # of the same images
        assert len({first, second, third}) == 3
