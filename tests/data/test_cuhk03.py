"""CUHK03: two protocols, three forms, a file of MATLAB that is read where it lies."""

import json
import shutil
import sys

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from reidlab.data import DatasetError, DatasetWarning, make_loader, open_dataset, read_image
from tests.data.layouts import (
    CUHK03,
    CUHK03_SPLIT,
    cell,
    config,
    cuhk03,
    cuhk03_images,
    cuhk03_market,
    pixels_of,
    touch,
    write_config,
    write_cuhk03_mat,
    write_json,
)

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
NP, CLASSIC = "cuhk03-np", "cuhk03-classic"


def names(frame):
    return [path.rsplit("/", 1)[1] for path in frame["path"]]


class TestNewProtocol:
    @pytest.mark.parametrize("build", [cuhk03, cuhk03_images])
    def test_tables(self, build, tmp_path):
        ds = open_dataset(NP, build(tmp_path))
        assert ds.protocol == "standard"
        for split, wanted in CUHK03_SPLIT.items():
            frame = getattr(ds, split)
            assert names(frame) == sorted(wanted)
            assert frame["pid"].tolist() == [CUHK03[name] for name in names(frame)]
            assert frame["camid"].tolist() == [int(name[6]) - 1 for name in names(frame)]
        assert ds.options["boxes"] == "detected"
        assert ds.options["form"] == {cuhk03: "mat", cuhk03_images: "images"}[build]
        assert ds.published["train"].images == 7_365
        assert ds.foreign == ()
        assert not any("no list" in text for text in ds.warnings)

    def test_labeled(self, tmp_path):
        write_config(cuhk03(tmp_path), "labeled")
        ds = open_dataset(NP, tmp_path, boxes="labeled")
        assert "/cuhk-03.mat/labeled/" in ds.train["path"].iloc[0]
        assert ds.published["gallery"].images == 5_328

    def test_options(self, tmp_path):
        with pytest.raises(DatasetError, match="boxes is 'both' for cuhk03-np: choose one of 'det"):
            open_dataset(NP, cuhk03(tmp_path), boxes="both")
        with pytest.raises(DatasetError, match="source is 'csv'"):
            open_dataset(NP, tmp_path, source="csv")

    def test_without_a_split(self, tmp_path):
        write_cuhk03_mat(tmp_path / "cuhk-03.mat")
        with pytest.raises(
            DatasetError, match=r"has no cuhk03_new_protocol_config_detected\.mat or sp"
        ):
            open_dataset(NP, tmp_path)
        with pytest.raises(
            DatasetError, match=r"has no splits_new_detected\.json, .*or leave source out"
        ):
            open_dataset(NP, tmp_path, source="json")
        with pytest.raises(
            DatasetError, match=r"has no splits_classic_detected\.json \(.*or leave source out"
        ):
            open_dataset(CLASSIC, tmp_path, source="json")

    def test_the_market_copy(self, tmp_path):
        ds = open_dataset(NP, cuhk03_market(tmp_path))
        assert ds.options["form"] == "market"
        assert ds.train["pid"].tolist() == [3]
        assert ds.gallery["camid"].tolist() == [0]
        with pytest.raises(DatasetError, match=r"too deep\)"):
            open_dataset(NP, tmp_path / "detected")
        with pytest.raises(DatasetError, match="boxes='labeled'"):
            open_dataset(NP, tmp_path, boxes="labeled")

    def test_other_boxes_only(self, tmp_path):
        write_config(cuhk03_images(tmp_path), "labeled")
        with pytest.raises(DatasetError, match=r"neither images_labeled .* boxes='detected'"):
            open_dataset(NP, tmp_path, boxes="labeled")

    def test_converted_images_are_preferred_if_they_are_whole(self, tmp_path):
        touch(cuhk03(tmp_path) / "images_detected", CUHK03)
        assert open_dataset(NP, tmp_path).options["form"] == "images"
        (tmp_path / "images_detected" / "1_001_1_01.png").unlink()
        with pytest.warns(DatasetWarning, match="1 images are missing in images_detected.*all are"):
            ds = open_dataset(NP, tmp_path)
        assert ds.options["form"] == "mat"
        assert len(ds.train) == 7

    def test_missing_and_unlisted_images(self, tmp_path):
        cuhk03_images(tmp_path)
        (tmp_path / "images_detected" / "1_001_1_01.png").unlink()
        touch(tmp_path / "images_detected", ["4_001_1_01.png"])
        ds = open_dataset(NP, tmp_path)
        assert any("1 of the 7 images named by cuhk03_new_pro" in text for text in ds.warnings)
        assert any("stand in no list and are left out: 4_001_1_01" in text for text in ds.warnings)


class TestConfig:
    """Files that contradict themselves."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"train_idx": config()["train_idx"] - 1}, "train_idx goes from 0 to .*counted from 0"),
            (
                {"query_idx": np.array([[5.0], [12.0]])},
                "query_idx goes from 5 to 12, expected .* 11",
            ),
            ({"query_idx": np.zeros((0, 1))}, "query_idx holds nothing, expected whole numbers"),
            ({"gallery_idx": config()["query_idx"]}, "query and gallery in .* both name 2 images"),
            ({"labels": config()["labels"][:5]}, "lists 11 files, 5 labels and 11 cameras"),
            ({"labels": np.ones((11, 1))}, "labels and names do not agree on who is who"),
            ({"camId": config()["camId"] - 1}, "camId of 11 images is not the view"),
            (
                {"filelist": cell(*["cat.png"] * 11)},
                "lists 11 names that are not CUHK03's: cat.png",
            ),
        ],
    )
    def test_variables(self, changes, message, tmp_path):
        write_config(cuhk03_images(tmp_path), **changes)
        with pytest.raises(DatasetError, match=message) as error:
            open_dataset(NP, tmp_path)
        assert "cuhk03_new_protocol_config_detected.mat" in str(error.value)

    def test_a_person_in_train_and_test(self, tmp_path):
        """Numbers that start at 0 and never reach it shift everybody by one image."""
        shifted = {key: config()[key] + 1 for key in ("query_idx", "gallery_idx")}
        train = np.array([[1.0], [2.0], [3.0], [4.0]])
        write_config(cuhk03_images(tmp_path), train_idx=train, **shifted)
        with pytest.raises(DatasetError, match="both in the training and in the test split"):
            open_dataset(NP, tmp_path)

    def test_repeated_places(self, tmp_path):
        places = config()["query_idx"]
        write_config(cuhk03_images(tmp_path), query_idx=np.vstack([places, places[:1]]))
        with pytest.warns(DatasetWarning, match="query_idx repeats 1 images"):
            assert len(open_dataset(NP, tmp_path).query) == 2

    def test_a_variable_is_missing(self, tmp_path):
        path = cuhk03_images(tmp_path) / "cuhk03_new_protocol_config_detected.mat"
        savemat(path, {key: value for key, value in config().items() if key != "camId"})
        with pytest.raises(
            DatasetError, match="no variable camId; it has filelist, gallery_idx, l"
        ):
            open_dataset(NP, tmp_path)

    def test_another_version(self, tmp_path):
        path = cuhk03_images(tmp_path) / "cuhk03_new_protocol_config_detected.mat"
        write_cuhk03_mat(path)
        with pytest.raises(DatasetError, match=r"version 7.3, expected version 5.*'-v7'"):
            open_dataset(NP, tmp_path)

    @pytest.mark.parametrize("size", [0, 50, 200, 1000])
    def test_truncated(self, size, tmp_path):
        path = cuhk03_images(tmp_path) / "cuhk03_new_protocol_config_detected.mat"
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(
            DatasetError, match=r"Get it again|Copy or download it again|no variable"
        ):
            open_dataset(NP, tmp_path)

    def test_a_web_page(self, tmp_path):
        path = cuhk03_images(tmp_path) / "cuhk03_new_protocol_config_detected.mat"
        path.write_text("<!DOCTYPE html>")
        with pytest.raises(DatasetError, match=r"is no MATLAB file .*<!DOCTYPE.*a web page"):
            open_dataset(NP, tmp_path)


class TestJson:
    def test_the_same_split(self, tmp_path):
        ds = open_dataset(NP, cuhk03(tmp_path / "mat"))
        shutil.copytree(tmp_path / "mat", tmp_path / "json")
        (tmp_path / "json" / "cuhk03_new_protocol_config_detected.mat").unlink()
        write_json(tmp_path / "json")
        other = open_dataset(NP, tmp_path / "json")
        assert other.options["split from"] == "splits_new_detected.json"
        for split in CUHK03_SPLIT:
            assert names(getattr(other, split)) == names(getattr(ds, split))
            assert getattr(other, split)["pid"].tolist() == getattr(ds, split)["pid"].tolist()
        assert other.lists == (tmp_path / "json" / "splits_new_detected.json",)

    def test_the_mat_comes_first(self, tmp_path):
        write_json(cuhk03_images(tmp_path))
        assert open_dataset(NP, tmp_path).options["split from"].endswith(".mat")
        assert open_dataset(NP, tmp_path, source="json").options["split from"].endswith(".json")

    @pytest.mark.parametrize("protocol", [NP, CLASSIC])
    def test_cameras_from_0_or_from_1(self, protocol, tmp_path):
        """Older versions of torchreid count the views from 1, newer ones from 0."""
        touch(tmp_path / "images_detected", CUHK03)
        kind = "new" if protocol == NP else "classic"
        write_json(tmp_path, kind)
        newer = open_dataset(protocol, tmp_path)
        assert not any("counts cameras" in text for text in newer.notes)
        write_json(tmp_path, kind, cam_shift=1)
        with pytest.warns(
            DatasetWarning, match=rf"splits_{kind}_detected.json counts cameras from 1"
        ):
            older = open_dataset(protocol, tmp_path)
        assert older.warnings == newer.warnings
        for split in CUHK03_SPLIT:
            assert getattr(older, split).equals(getattr(newer, split))

    @pytest.mark.parametrize("shift", [-1, 2])
    def test_cameras_from_elsewhere(self, shift, tmp_path):
        write_json(cuhk03_images(tmp_path), cam_shift=shift)
        with pytest.raises(DatasetError, match=rf"count cameras from {shift}, e.g. 1_001_1_01.png"):
            open_dataset(NP, tmp_path, source="json")

    @pytest.mark.parametrize("part", ["train", "query", "gallery"])
    def test_cameras_that_contradict_each_other(self, part, tmp_path):
        path = write_json(cuhk03_images(tmp_path))
        splits = json.loads(path.read_text())
        splits[0][part][0][2] += 1
        path.write_text(json.dumps(splits))
        message = r"10 images count cameras from 0, e.g. .*; 1 images count cameras from 1, e.g. "
        with pytest.raises(DatasetError, match=message + splits[0][part][0][0].split("/")[-1]):
            open_dataset(NP, tmp_path, source="json")

    def test_windows_paths(self, tmp_path):
        path = write_json(cuhk03_images(tmp_path))
        path.write_text(path.read_text().replace("/", "\\\\"))
        assert len(open_dataset(NP, tmp_path, source="json").train) == 7

    def test_published_numbers_without_the_mat(self, tmp_path):
        """Person 1 of pair 2 is number 844 of the 1,467."""
        touch(tmp_path / "images_detected", CUHK03)
        write_json(tmp_path)
        train = open_dataset(NP, tmp_path).train
        numbers = dict(zip(names(train), train["pid"], strict=True))
        assert numbers["1_001_1_01.png"] == 1
        assert numbers["2_001_2_06.png"] == 844
        assert numbers["3_001_2_06.png"] == 1_284
        assert numbers["5_001_1_01.png"] == 1_419

    def test_classic(self, tmp_path):
        touch(tmp_path / "images_labeled", CUHK03)
        write_json(tmp_path, "classic", "labeled", count=20)
        ds = open_dataset(CLASSIC, tmp_path, boxes="labeled", split=19)
        assert ds.options["split from"] == "splits_classic_labeled.json"
        assert len(ds.train) == 7
        write_json(tmp_path, "classic", "labeled", count=3)
        with pytest.raises(DatasetError, match="holds 3 splits, so there is no split 19"):
            open_dataset(CLASSIC, tmp_path, boxes="labeled", split=19)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('[{"train": [["', "is no JSON"),
            ('{"train": []}', "no list of splits"),
            ('[{"train": []}]', "names no image in a part|no query"),
            ('[{"train": [["a/1_001_1_01.png", 0]]}]', "no train of the form"),
            ('[{"train": [["a/cat.png", 0, 0]]}]', "1 names that are not CUHK03's: cat.png"),
        ],
    )
    def test_other_forms(self, text, message, tmp_path):
        (cuhk03_images(tmp_path) / "splits_new_detected.json").write_text(text)
        with pytest.raises(DatasetError, match=message):
            open_dataset(NP, tmp_path, source="json")


class TestClassic:
    def test_a_test_set(self, tmp_path):
        ds = open_dataset(CLASSIC, cuhk03(tmp_path), split=19)
        assert ds.protocol == "cuhk03-single-shot"
        assert ds.options == {
            "boxes": "detected", "split": 19, "form": "mat", "split from": "cuhk-03.mat",
        }  # fmt: skip
        tested = [name for name, pid in CUHK03.items() if pid in (2, 3)]
        assert names(ds.query) == names(ds.gallery) == sorted(tested)
        assert len(ds.train) == len(CUHK03) - len(tested)
        assert any("published are 1,367 people in 2 cameras" in text for text in ds.warnings)
        assert any("there are 11 detected images; published are 14,097" in t for t in ds.warnings)
        first = open_dataset(CLASSIC, tmp_path)
        assert first.options["split"] == 0
        assert set(first.query["pid"]) == {1}
        assert first.fingerprint() == open_dataset(CLASSIC, tmp_path).fingerprint()

    @pytest.mark.parametrize("split", [20, -1, "1", True])
    def test_split(self, split, tmp_path):
        with pytest.raises(DatasetError, match="for cuhk03-classic: choose 0 to 19"):
            open_dataset(CLASSIC, cuhk03(tmp_path), split=split)

    def test_converted_with_test_sets(self, tmp_path):
        touch(tmp_path / "images_detected", CUHK03)
        with pytest.raises(
            DatasetError, match=r"has no cuhk-03\.mat or testsets\.mat or testsets\.csv or"
        ):
            open_dataset(CLASSIC, tmp_path)
        (tmp_path / "testsets.csv").write_text("Split, PAIR ,person\n0,1,1\n7,1.0,2\n7, 3,1\n")
        ds = open_dataset(CLASSIC, tmp_path, split=7)
        assert set(ds.query["pid"]) == {2, 1_284}
        savemat(tmp_path / "testsets.mat", {"testsets": cell(*[np.array([[2.0, 1.0]])] * 20)})
        ds = open_dataset(CLASSIC, tmp_path, split=7)
        assert names(ds.query) == ["2_001_1_03.png", "2_001_2_06.png"]
        assert ds.lists == (tmp_path / "testsets.mat",)

    def test_people_are_numbered_by_the_list_beside(self, tmp_path):
        cuhk03_images(tmp_path)
        (tmp_path / "testsets.csv").write_text("split,pair,person\n0,3,1\n")
        assert open_dataset(CLASSIC, tmp_path).query["pid"].tolist() == [4]

    def test_people_without_images(self, tmp_path):
        touch(tmp_path / "images_detected", CUHK03)
        (tmp_path / "testsets.csv").write_text("split,pair,person\n0,1,1\n0,4,9\n")
        with pytest.warns(DatasetWarning, match="1 of the 2 people .*person 9 of pair 4"):
            open_dataset(CLASSIC, tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("pair,person\n1,1\n", "no table with the columns split, pair and person"),
            ("split,pair,person\n0,one,1\n", "no table with the columns"),
            ("split,pair,person\n0,0,1\n", "pairs 0 to 0 .*count from 0"),
            ("split,pair,person\n0,6,1\n", "pairs 6 to 6"),
            ("split,pair,person\n0,1,0\n", "people from 0"),
            ("split,pair,person\n3,1,1\n", "has no row with split=0"),
        ],
    )
    def test_tables_of_another_form(self, text, message, tmp_path):
        touch(tmp_path / "images_detected", CUHK03)
        (tmp_path / "testsets.csv").write_text(text)
        with pytest.raises(DatasetError, match=message):
            open_dataset(CLASSIC, tmp_path)


class TestStore:
    """Images that are read out of cuhk-03.mat."""

    def test_pixels(self, tmp_path):
        ds = open_dataset(CLASSIC, cuhk03(tmp_path))
        for path in ds.train["path"]:
            image = read_image(path)
            assert image.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(image), pixels_of(path.rsplit("/", 1)[1]))

    def test_batches_by_two_processes(self, tmp_path):
        ds = open_dataset(CLASSIC, cuhk03(tmp_path))
        loader = make_loader(ds.train, lambda image: np.asarray(image), batch_size=2, workers=2)
        seen = np.concatenate([batch["image"].numpy() for batch in loader])
        wanted = [pixels_of(name) for name in names(ds.train)]
        np.testing.assert_array_equal(seen, wanted)

    def test_an_empty_cell_and_a_place_that_cannot_be(self, tmp_path):
        mat = write_cuhk03_mat(tmp_path / "cuhk-03.mat")
        for place in ("detected/1_001_1_05.png", "detected/1_009_1_01.png"):
            with pytest.raises(DatasetError, match=f"there is no image '{place}'"):
                read_image(mat / place)
        for place in ("boxes/1_001_1_01.png", "detected/cat.png"):
            with pytest.raises(DatasetError, match="expected a place like"):
                read_image(mat / place)

    def test_a_folder_called_mat(self, tmp_path):
        with pytest.raises(DatasetError, match="is gone since"):
            read_image(tmp_path / "old.mat" / "detected" / "1_001_1_01.png")

    @pytest.mark.parametrize("keep", [0, 300, 600, 0.5, 0.9])
    def test_truncated(self, keep, tmp_path):
        mat = write_cuhk03_mat(tmp_path / "cuhk-03.mat")
        whole = mat.read_bytes()
        mat.write_bytes(whole[: keep if keep > 1 else int(keep * len(whole))])
        with pytest.raises(DatasetError, match=r"Get it again|Copy or download it again"):
            open_dataset(CLASSIC, tmp_path)

    def test_version_5(self, tmp_path):
        savemat(tmp_path / "cuhk-03.mat", {"detected": cell(), "testsets": cell()})
        with pytest.raises(DatasetError, match=r"version 5, expected version 7.3.*'-v7.3'"):
            open_dataset(CLASSIC, tmp_path)

    def test_a_variable_is_missing(self, tmp_path):
        mat = write_cuhk03_mat(tmp_path / "cuhk-03.mat")
        with h5py.File(mat, "a") as file:
            del file["detected"]
        with pytest.raises(DatasetError, match="no variable detected; it has labeled, testsets"):
            open_dataset(CLASSIC, tmp_path)
        open_dataset(CLASSIC, cuhk03(tmp_path / "other"))

    def test_cells_of_another_shape(self, tmp_path):
        mat = write_cuhk03_mat(tmp_path / "cuhk-03.mat")
        with h5py.File(mat, "a") as file:
            references = file["detected"][()]
            del file["detected"]
            file["detected"] = references[:, :3]
        with pytest.raises(DatasetError, match=r"cells of the shapes .* expected 5 pairs"):
            open_dataset(CLASSIC, tmp_path)

    @pytest.mark.parametrize(("module", "name"), [("h5py", CLASSIC), ("scipy.io", NP)])
    def test_a_package_is_not_installed(self, module, name, tmp_path, monkeypatch):
        cuhk03(tmp_path)
        monkeypatch.setitem(sys.modules, module, None)
        package = module.split(".")[0]
        with pytest.raises(DatasetError, match=rf"read with {package}, .*'reidlab\[data\]'"):
            open_dataset(name, tmp_path)

    def test_the_fingerprint_sees_the_archive_and_the_list(self, tmp_path):
        first = open_dataset(NP, cuhk03(tmp_path)).fingerprint()
        with (tmp_path / "cuhk03_release" / "cuhk-03.mat").open("ab") as file:
            file.write(b"x")
        second = open_dataset(NP, tmp_path).fingerprint()
        write_config(tmp_path, query_idx=config()["gallery_idx"], gallery_idx=config()["query_idx"])
        third = open_dataset(NP, tmp_path).fingerprint()
        assert len({first, second, third}) == 3
