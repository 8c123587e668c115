"""Market-1501 and PKU-Reid on real images, and every way a folder can be wrong."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from tests.data.conftest import write_image

# Twelve images are not the published sets; the tests that are about it ask for the warning.
pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def real(root):
    """The same folder as if it were a copy of the real set."""
    (root / "world.json").unlink()
    return root


class TestMarket1501:
    def test_tables(self, market_root):
        ds = open_dataset("market1501", market_root)
        assert ds.warnings == ()
        assert ds.protocol == "standard"
        columns = ["path", "pid", "camid", "modality", "view", "junk", "distractor"]
        assert list(ds.query) == list(ds.gallery) == columns
        assert list(ds.train) == [*columns, "label"]
        assert ds.train["pid"].tolist() == [2, 2, 7, 11, 11]
        assert ds.train["label"].tolist() == [0, 0, 1, 2, 2]
        assert ds.train["camid"].tolist() == [0, 1, 0, 2, 2]
        assert ds.gallery["pid"].tolist() == [-1, 0, 1, 1, 3]
        assert ds.gallery["camid"].tolist() == [0, 2, 0, 1, 5]
        assert ds.gallery["junk"].tolist() == [True] + [False] * 4
        assert ds.gallery["distractor"].tolist() == [False, True, False, False, False]
        assert (ds.num_classes, ds.num_cameras) == (3, 6)
        assert set(ds.train["modality"]) == {"visible"}
        assert set(ds.train["view"]) == {-1}
        assert all(Path(p).is_absolute() and Path(p).is_file() for p in ds.train["path"])
        assert ds.train["label"].dtype == ds.train["pid"].dtype == "int64"
        assert "train 5, query 2, gallery 5 images" in repr(ds)

    def test_a_relative_root_gives_absolute_paths(self, market_root, monkeypatch):
        monkeypatch.chdir(market_root.parent)
        ds = open_dataset("market1501", market_root.name)
        assert ds.train["path"].iloc[0].startswith(str(market_root))

    def test_describe_a_synthetic_set(self, market_root):
        table = open_dataset("market1501", market_root).describe()
        assert list(table.index) == ["train", "query", "gallery"]
        assert table["images"].tolist() == [5, 2, 4]  # junk is not counted
        assert table["people"].tolist() == [3, 2, 2]
        assert table["cameras"].tolist() == [3, 2, 4]
        assert table["junk"].tolist() == [0, 0, 1]
        assert table["distractors"].tolist() == [0, 0, 1]
        assert table["difference"].isna().all()

    def test_counts_that_differ_are_reported_not_refused(self, market_root):
        with pytest.warns(DatasetWarning, match=r"train has 5 images of 3 people.*12,936 images"):
            ds = open_dataset("market1501", real(market_root))
        table = ds.describe()
        assert table["published images"].tolist() == [12_936, 3_368, 15_913]
        assert table["difference"].tolist() == [5 - 12_936, 2 - 3_368, 4 - 15_913]
        assert [text.split()[0] for text in ds.warnings] == ["train", "query", "gallery"]
        assert "750 people in 6 cameras (-15,909 images)" in ds.warnings[2]

    def test_files_that_are_no_images_are_ignored(self, market_root):
        (market_root / "query" / "Thumbs.db").write_bytes(b"x")
        (market_root / "query" / "readme.txt").write_text("x")
        (market_root / "query" / "._0001_c1s1_001051_00.jpg").write_bytes(b"x")
        (market_root / "query" / "__MACOSX").mkdir()
        (market_root / "__MACOSX" / "query").mkdir(parents=True)
        assert len(open_dataset("market1501", market_root).query) == 2

    def test_foreign_names_are_left_out_and_reported(self, market_root):
        folder = market_root / "bounding_box_test"
        shutil.copy(folder / "0001_c2s1_000301_00.jpg", folder / "cat.png")
        shutil.copy(folder / "0001_c2s1_000301_00.jpg", folder / "0001_c2s1_000301_00.jpg.bak.jpg")
        with pytest.warns(DatasetWarning, match="2 foreign names are left out.*cat.png"):
            ds = open_dataset("market1501", market_root)
        assert len(ds.gallery) == 5
        assert "expected names like 0002_c1s1_000451_03.jpg" in ds.warnings[0]

    def test_names_with_two_endings_count(self, market_root):
        """24 official names are so: 6 queries, 13 gallery images of person 1488, 3 and 2 of nobody.

        No second image of the name with one ending is needed, nor does it lead to one image less.
        """
        before = open_dataset("market1501", market_root)
        added = {
            "query": ["1488_c1s6_023021_00.jpg.jpg"],
            "bounding_box_test": [
                "1488_c1s6_023021_01.jpg.jpg", "1488_c1s6_023021_01.jpg",
                "0000_c1s6_023021_01.jpg.jpg", "-1_c1s6_023021_02.jpg.jpg",
            ],
        }  # fmt: skip
        for folder, names in added.items():
            for name in names:
                write_image(market_root / folder / name)
        ds = open_dataset("market1501", market_root)
        assert (ds.warnings, ds.foreign) == ((), ())
        assert len(ds.query) == len(before.query) + 1
        assert len(ds.gallery) == len(before.gallery) + 4
        seen = ds.gallery[ds.gallery["path"].str.contains("s6_023021")]
        assert sorted(seen["pid"]) == [-1, 0, 1488, 1488]
        assert set(seen["camid"]) == {0}

    def test_the_fingerprint_of_two_sets_does_not_depend_on_where_they_lie(
        self, market_root, pku_root, tmp_path
    ):
        """Trained on Market-1501, tested on PKU-Reid, with a list of the latter."""

        def fingerprint(a, b):
            a, b = open_dataset("market1501", a), open_dataset("pku-reid", b)
            lists = (b.root / "train" / "001" / "01_1.png",)
            both = dataclasses.replace(a, query=b.query, gallery=b.gallery, lists=lists)
            return both.fingerprint()

        first = fingerprint(market_root, pku_root)
        moved = shutil.copytree(pku_root, tmp_path / "elsewhere" / "deep" / "copy")
        assert fingerprint(market_root, moved) == first
        other = shutil.copytree(market_root, tmp_path / "deep" / "in" / "a" / "folder")
        assert fingerprint(other, moved) == first
        below = shutil.copytree(market_root, pku_root.parent / "pku2" / "market")
        assert fingerprint(below, pku_root) == first
        write_image(moved / "val" / "all_imgs" / "004" / "02_4.png")
        assert fingerprint(market_root, moved) != first

    def test_the_fingerprint_is_of_names_and_sizes(self, market_root, tmp_path):
        first = open_dataset("market1501", market_root).fingerprint()
        assert re.fullmatch(r"[0-9a-f]{64}", first)
        copy = shutil.copytree(market_root, tmp_path / "elsewhere")
        assert open_dataset("market1501", copy).fingerprint() == first
        with (copy / "query" / "0001_c1s1_001051_00.jpg").open("ab") as file:
            file.write(b"x")
        grown = open_dataset("market1501", copy).fingerprint()
        (copy / "query" / "0001_c1s1_001051_00.jpg").unlink()
        fewer = open_dataset("market1501", copy).fingerprint()
        assert len({first, grown, fewer}) == 3


class TestPKUReid:
    def test_all_images(self, pku_root):
        ds = open_dataset("pku-reid", pku_root)
        assert ds.options == {"split": "all_imgs"}
        assert ds.train["pid"].tolist() == [1, 1, 10, 10]
        assert ds.train["label"].tolist() == [0, 0, 1, 1]
        assert ds.train["camid"].tolist() == [0, 1, 0, 1]
        assert ds.train["view"].tolist() == [0, 7, 0, 7]
        assert ds.query["path"].tolist() == ds.gallery["path"].tolist()
        assert "all_imgs" in ds.query["path"].iloc[0]
        assert "label" not in ds.query

    def test_official(self, pku_root):
        ds = open_dataset("pku-reid", pku_root, split="official")
        assert "/val/query/004/01_1.png" in ds.query["path"].iloc[0]
        assert "/val/gallery/004/01_1.png" in ds.gallery["path"].iloc[0]
        assert ds.fingerprint() != open_dataset("pku-reid", pku_root).fingerprint()

    def test_counts(self, pku_root):
        with pytest.warns(DatasetWarning, match=r"query has 2 images of 1 people.*\(-190 images\)"):
            open_dataset("pku-reid", pku_root)

    def test_unknown_split(self, pku_root):
        with pytest.raises(
            DatasetError, match="'val' for pku-reid: choose one of 'all_imgs', 'la-"
        ):
            open_dataset("pku-reid", pku_root, split="val")

    def test_foreign_folders_are_reported(self, pku_root):
        (pku_root / "train" / "backup").mkdir()
        (pku_root / "train" / "__MACOSX").mkdir()
        with pytest.warns(DatasetWarning, match="1 foreign names are left out: train/backup"):
            open_dataset("pku-reid", pku_root)

    def test_no_people(self, pku_root):
        shutil.rmtree(pku_root / "train")
        (pku_root / "train").mkdir()
        with pytest.raises(DatasetError, match="train holds no images in folders of people"):
            open_dataset("pku-reid", pku_root)

    def test_wrong_level(self, pku_root):
        with pytest.raises(DatasetError, match="too deep") as error:
            open_dataset("pku-reid", pku_root / "val")
        assert f"open_dataset('pku-reid', '{pku_root}')" in str(error.value)


class TestWrongFolders:
    def test_root_is_a_file(self, tmp_path):
        (tmp_path / "Market.zip").write_bytes(b"PK")
        with pytest.raises(DatasetError, match=r"Market.zip is a file.*unpack it first"):
            open_dataset("market1501", tmp_path / "Market.zip")

    def test_another_folder(self, tmp_path):
        (tmp_path / "holiday").mkdir()
        with pytest.raises(DatasetError, match=r"does not look like market1501.*found holiday"):
            open_dataset("market1501", tmp_path)

    @pytest.mark.parametrize("below", ["query", "bounding_box_train"])
    def test_one_level_too_deep(self, market_root, below):
        with pytest.raises(DatasetError, match=r"too deep\).*Pass that folder") as error:
            open_dataset("market1501", market_root / below)
        assert f"open_dataset('market1501', '{market_root}')" in str(error.value)

    @pytest.mark.parametrize("between", ["Market-1501-v15.09.15", "a/Market-1501-v15.09.15"])
    def test_too_high(self, market_root, tmp_path, between):
        inner = tmp_path / "downloads" / between
        inner.parent.mkdir(parents=True)
        shutil.move(market_root, inner)
        with pytest.raises(DatasetError, match=r"too high\)") as error:
            open_dataset("market1501", tmp_path / "downloads")
        assert f"open_dataset('market1501', '{inner}')" in str(error.value)

    def test_a_folder_is_missing(self, market_root):
        shutil.rmtree(market_root / "query")
        with pytest.raises(DatasetError, match="incomplete: query is missing"):
            open_dataset("market1501", market_root)

    def test_an_empty_folder(self, market_root):
        shutil.rmtree(market_root / "query")
        (market_root / "query").mkdir()
        with pytest.raises(DatasetError, match="query holds no images, expected names like 0002"):
            open_dataset("market1501", market_root)

    def test_another_data_set_in_the_same_layout(self, market_root):
        for path in (market_root / "query").iterdir():
            path.rename(path.with_name(f"0005_c2_f004698{path.stem[3]}.jpg"))  # DukeMTMC's names
        with pytest.raises(DatasetError, match=r"none of the 2 images in .*query has a name of"):
            open_dataset("market1501", market_root)

    def test_a_synthetic_set_that_lost_its_world(self, market_root):
        real(market_root)
        (market_root / "masks").mkdir()  # so far they may be the user's own
        assert len(open_dataset("market1501", market_root).query)
        (market_root / "attributes.csv").write_text("file\n")
        with pytest.raises(DatasetError, match=r"without its world\.json: copy that file too"):
            open_dataset("market1501", market_root)

    def test_half_written(self, market_root):
        real(market_root)
        shutil.rmtree(market_root / "query")  # the writer had not come that far
        (market_root / "world.json.partial").write_text("{}")
        with pytest.raises(DatasetError, match=r"interrupted.*write_dataset.*it resumes"):
            open_dataset("market1501", market_root)

    def test_a_person_in_train_and_test(self, market_root):
        folder = market_root / "bounding_box_train"
        shutil.copy(folder / "0002_c1s1_000451_03.jpg", folder / "0003_c1s1_000451_03.jpg")
        with pytest.raises(DatasetError, match=r"1 people of .* both in the training.*e.g. 3:"):
            open_dataset("market1501", market_root)

    @pytest.mark.parametrize(("folder", "pid"), [("bounding_box_train", "0000"), ("query", "-1")])
    def test_junk_or_distractors_outside_the_gallery(self, market_root, folder, pid):
        source = next((market_root / folder).iterdir())
        shutil.copy(source, source.with_name(f"{pid}_c1s1_000451_03.jpg"))
        with pytest.raises(DatasetError, match=f"1 images of the .* {pid}_c1s1_000451_03.jpg"):
            open_dataset("market1501", market_root)
