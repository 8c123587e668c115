"""Broken copies of data sets: nothing half-read passes for whole, no error of another kind."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from reidlab.data import DatasetError, DatasetWarning, open_dataset, read_image
from reidlab.synth import suggested_world, write_dataset
from tests.data import layouts
from tests.data.layouts import LAYOUTS, touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
WITH_IMAGES = sorted(name for name, (_, inside) in LAYOUTS.items() if inside)


def build(name, root):
    return LAYOUTS[name][0](root)


def refused(name, root, message, **options):
    with pytest.raises(DatasetError, match=message):
        open_dataset(name, root, **options)


def warned(name, root, message, **options):
    """The set, once it was opened with that warning."""
    with pytest.warns(DatasetWarning, match=message):
        ds = open_dataset(name, root, **options)
    assert any(re.search(message, text) for text in ds.warnings)
    return ds


class TestRoots:
    @pytest.mark.parametrize("name", sorted(LAYOUTS))
    @pytest.mark.parametrize("root", [None, 3, b"data", "", "~nobody-of-this-name/data"])
    def test_no_path(self, name, root):
        refused(name, root, "root is .*expected the path of a folder")

    @pytest.mark.parametrize("name", sorted(LAYOUTS))
    @pytest.mark.parametrize("root", ["a\0b", "a" * 5_000])
    def test_no_path_of_this_system(self, name, root, tmp_path):
        refused(name, tmp_path / root, "there is no folder")

    @pytest.mark.parametrize("name", [None, 3, ["market1501"], "Market1501", ""])
    def test_no_name(self, name, tmp_path):
        refused(name, tmp_path, "unknown data set .*: reidlab reads market1501, ")

    def test_a_list_that_is_a_folder(self, tmp_path):
        path = build("regdb", tmp_path) / "idx" / "test_thermal_1.txt"
        path.unlink()
        path.mkdir()
        refused("regdb", tmp_path, "cannot read the list .*test_thermal_1.txt .*directory")

    def test_any_other_error_of_the_system(self, tmp_path, monkeypatch):
        build("veri776", tmp_path)
        (tmp_path / "train_label.xml").touch()

        def denied(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("pathlib.Path.read_bytes", denied)
        refused("veri776", tmp_path, "cannot read veri776 at .*Permission denied.*train_label.xml")

    @pytest.mark.parametrize("below", [".", "detected", "detected/query"])
    def test_the_copy_like_market1501_is_named_as_it_is(self, below, tmp_path):
        root = layouts.cuhk03_market(tmp_path / "set")
        start = tmp_path if below == "." else root / below
        refused("cuhk03-np", start, "detected/bounding_box_train, .* are in .*Pass that folder")


class TestFiles:
    @pytest.mark.parametrize("name", WITH_IMAGES)
    @pytest.mark.parametrize("kind", ["link", "pipe"])
    def test_an_image_that_is_no_file(self, name, kind, tmp_path):
        image = next(p for p in sorted((build(name, tmp_path) / LAYOUTS[name][1]).iterdir()))
        image.unlink()
        image.symlink_to("nowhere.jpg") if kind == "link" else os.mkfifo(image)
        refused(name, tmp_path, f"{image.name} is no file but a broken link")

    @pytest.mark.parametrize("name", WITH_IMAGES)
    def test_a_link_that_leads_somewhere_is_an_image(self, name, tmp_path):
        root = build(name, tmp_path / "set")
        before = open_dataset(name, root)
        image = next(p for p in sorted((root / LAYOUTS[name][1]).iterdir()))
        image.rename(tmp_path / "real")
        image.symlink_to(tmp_path / "real")
        after = open_dataset(name, root)
        assert (after.warnings, after.fingerprint()) == (before.warnings, before.fingerprint())

    def test_a_file_that_goes_away(self, tmp_path):
        ds = open_dataset("market1501", build("market1501", tmp_path))
        shutil.rmtree(tmp_path / "query")
        with pytest.raises(
            DatasetError, match=r"has changed since .*query.*open the data set again"
        ):
            ds.fingerprint()

    def test_names_that_are_no_unicode(self, tmp_path):
        build("folder", tmp_path)
        (tmp_path / "3/a" / os.fsdecode(b"caf\xe9.jpg")).touch()
        ds = open_dataset("folder", tmp_path)
        assert len(ds.train) == 3
        assert re.fullmatch("[0-9a-f]{64}", ds.fingerprint())

    def test_a_header_that_claims_a_huge_image(self, tmp_path):
        Image.new("RGB", (4, 4)).save(tmp_path / "a.bmp")
        content = bytearray((tmp_path / "a.bmp").read_bytes())
        content[18:26] = np.array([50_000, 50_000], "<u4").tobytes()  # width and height
        (tmp_path / "a.bmp").write_bytes(content)
        with pytest.raises(DatasetError, match=r"cannot read the image .*a.bmp: .*exceeds limit"):
            read_image(tmp_path / "a.bmp")

    @pytest.mark.parametrize(
        ("name", "person"),
        [
            ("msmt17", "test/0003"), ("regdb", "Visible/13"), ("sysu-mm01", "cam1/0021"),
            ("pku-reid", "train/013"), ("folder", "99"), ("folder", "99/camera"),
        ],
    )  # fmt: skip
    def test_a_person_without_images(self, name, person, tmp_path):
        (build(name, tmp_path) / person).mkdir(parents=True)
        named = person.removesuffix("/camera")
        warned(name, tmp_path, f"1 folders of people hold no images: {named}. Was the copying")

    @pytest.mark.parametrize(
        ("name", "file", "cameras"),
        [
            ("market1501", "query/0001_c7s1_000451_03.jpg", 6),
            ("dukemtmc", "query/0005_c9_f0046985.jpg", 8),
        ],
    )
    def test_a_camera_too_many(self, name, file, cameras, tmp_path):
        touch(build(name, tmp_path), [file])
        warned(
            name, tmp_path, f"1 images are of camera {cameras + 1} or above.* has {cameras}: 000"
        )

    def test_gallery_or_query_alone(self, tmp_path):
        write_list(tmp_path / "images.csv", ["path,pid,camid,split", "1.jpg,1,1,query"])
        touch(tmp_path, ["1.jpg"])
        refused("folder", tmp_path, "no image for the gallery split and 1 for the query split")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    root = tmp_path_factory.mktemp("worlds")
    for name in ("market1501", "cuhk03-np"):
        world = suggested_world(name, identities=10, resolution=(16, 16), images_per_camera=2)
        write_dataset(name, root / name, world)
    return root


class TestSynthetic:
    def test_whole(self, worlds):
        assert open_dataset("market1501", worlds / "market1501").warnings == ()
        assert open_dataset("cuhk03-np", worlds / "cuhk03-np").warnings == ()

    def test_an_image_is_gone(self, worlds, tmp_path):
        root = shutil.copytree(worlds / "market1501", tmp_path / "m")
        gone = next((root / "bounding_box_train").iterdir())
        gone.unlink()
        warned("market1501", root, f"1 of the .* that attributes.csv names are gone: .*{gone.name}")

    def test_a_broken_table(self, worlds, tmp_path):
        root = shutil.copytree(worlds / "market1501", tmp_path / "m")
        (root / "attributes.csv").write_text("")
        refused("market1501", root, "cannot read .*attributes.csv .*write it again")


class TestLists:
    @pytest.mark.parametrize("name", ["train", "query", "gallery"])
    @pytest.mark.parametrize("beside", [False, True])
    def test_occluded_duke_without_one_list(self, name, beside, tmp_path):
        """With the lists beside Duke's folders the rest would pass for the built folder."""
        place = layouts.occluded_duke(tmp_path) / "Occluded_Duke"
        if beside:
            for path in [*place.iterdir(), *(tmp_path / "DukeMTMC-reID").iterdir()]:
                path.rename(tmp_path / path.name)
            place = tmp_path
        (place / f"{name}.list").unlink()
        refused("occluded-duke", tmp_path, rf"some of the lists and no {name}\.list: copy")

    @pytest.mark.parametrize(("one", "other"), [("train", "val"), ("query", "gallery")])
    def test_msmt17_lists_share_an_image(self, one, other, tmp_path):
        build("msmt17", tmp_path)
        lines = layouts.MSMT17[one][:1] + layouts.MSMT17[other]
        write_list(tmp_path / f"list_{other}.txt", lines)
        message = f"list_{one}.txt and list_{other}.txt in .* both name 1 images"
        refused("msmt17", tmp_path, message, val="out")

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("train_label.xml", "<T><Items/></T>", "train_label.xml name no image"),
            ("keypoint_test.txt", "\n", "keypoint_test.txt is empty"),
        ],
    )
    def test_veri776_labels_of_nothing(self, file, content, message, tmp_path):
        (build("veri776", tmp_path) / file).write_text(content)
        refused("veri776", tmp_path, message)


class TestSYSU:
    @pytest.mark.parametrize("folder", ["cam0", "cam7", "camera1", "Cam3"])
    def test_what_is_no_camera(self, folder, tmp_path):
        touch(build("sysu-mm01", tmp_path), [f"{folder}/0006/0001.jpg"])
        if folder == "Cam3" and os.path.samefile(tmp_path / "Cam3", tmp_path / "cam3"):
            pytest.skip("upper and lower case are the same here")
        assert folder in warned("sysu-mm01", tmp_path, "1 foreign names are left out").foreign

    def test_nothing_to_search_indoors(self, tmp_path):
        build("sysu-mm01", tmp_path)
        for camera in (1, 2):
            shutil.rmtree(tmp_path / f"cam{camera}")
        refused("sysu-mm01", tmp_path, "no image for the gallery split", mode="indoor")
        warned("sysu-mm01", tmp_path, "the folders cam1, cam2 are missing")

    @pytest.mark.parametrize("ids", [[[1.5]], [[np.nan]], "1,2", np.zeros((0, 0))])
    def test_ids_that_are_no_numbers(self, ids, tmp_path):
        (build("sysu-mm01", tmp_path) / "exp" / "train_id.txt").unlink()
        savemat(tmp_path / "exp" / "train_id.mat", {"id": ids})
        refused("sysu-mm01", tmp_path, "train_id.mat: id holds .*expected whole numbers")

    def test_an_order_from_0(self, tmp_path):
        build("sysu-mm01", tmp_path)
        people = layouts.cell(*[np.tile(np.arange(12.0), (10, 1))] * 50)
        savemat(tmp_path / "exp/rand_perm_cam.mat", {"rand_perm_cam": layouts.cell(*[people] * 6)})
        message = "no order of the images 1 to 12 for person 6 .* numbers from 0 to 11"
        refused("sysu-mm01", tmp_path, message, draw="official")


class TestCUHK03:
    @pytest.mark.parametrize(
        "value", [["["] * 99_999, '[{"train": [["1_001_1_01.png", 1, 1e999]]}]']
    )
    def test_json_that_python_chokes_on(self, value, tmp_path):
        touch(tmp_path / "images_detected", layouts.CUHK03)
        (tmp_path / "splits_new_detected.json").write_text("".join(value))
        refused("cuhk03-np", tmp_path, "splits_new_detected.json (is no JSON|has no train)")

    def test_json_with_a_query_in_the_gallery(self, tmp_path):
        touch(tmp_path / "images_detected", layouts.CUHK03)
        (split,) = [layouts.json_split()]
        split["gallery"].append(split["query"][0])
        (tmp_path / "splits_new_detected.json").write_text(json.dumps([split]))
        refused("cuhk03-np", tmp_path, "query and gallery in .* both name 1 images")

    def test_json_with_repetitions(self, tmp_path):
        touch(tmp_path / "images_detected", layouts.CUHK03)
        split = layouts.json_split()
        split["train"] += split["train"][:2]
        (tmp_path / "splits_new_detected.json").write_text(json.dumps([split]))
        warned("cuhk03-np", tmp_path, "train repeats 2 images; each is taken once")

    @pytest.mark.parametrize(
        ("people", "message"),
        [(["0,1,500"], "for query and gallery: .* none of those there"),
         (["0,1,1", "0,1,2", "0,2,1", "0,3,1", "0,5,1"], "for train: .* all there are")],
    )  # fmt: skip
    def test_a_test_set_that_leaves_nobody(self, people, message, tmp_path):
        touch(tmp_path / "images_detected", layouts.CUHK03)
        write_list(tmp_path / "testsets.csv", ["split,pair,person", *people])
        refused("cuhk03-classic", tmp_path, message)

    @pytest.mark.parametrize("value", [np.nan, 1.5])
    def test_a_test_set_of_no_whole_numbers(self, value, tmp_path):
        mat = tmp_path / "cuhk-03.mat"
        layouts.write_cuhk03_mat(mat, test_sets=((value, 1),))
        refused("cuhk03-classic", tmp_path, "testsets holds .*expected whole numbers", split=19)

    @pytest.mark.parametrize("variable", ["detected", "testsets"])
    @pytest.mark.parametrize("value", [np.zeros((1, 5)), "text", 3, None])
    def test_a_variable_of_another_kind(self, variable, value, tmp_path):
        import h5py

        with h5py.File(layouts.write_cuhk03_mat(tmp_path / "cuhk-03.mat"), "r+") as file:
            del file[variable]
            if value is None:
                file.create_group(variable)
            else:
                file[variable] = value
        refused("cuhk03-classic", tmp_path, "cuhk-03.mat")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"labels": layouts.config()["labels"] - 1}, "labels from 0, expected .* from 1"),
            ({"labels": layouts.config()["labels"] * np.nan}, "labels holds nan"),
            ({"train_idx": layouts.config()["train_idx"] + 0.5}, "train_idx holds 1.5"),
            ({"query_idx": "abc"}, "query_idx holds abc"),
            ({"camId": layouts.config()["camId"] * np.nan}, "camId holds nan"),
        ],
    )
    def test_a_configuration_of_no_whole_numbers(self, changes, message, tmp_path):
        layouts.write_config(layouts.cuhk03_images(tmp_path), **changes)
        refused("cuhk03-np", tmp_path, message)


class TestOwnImages:
    def table(self, root, *lines, heading="path,pid,camid"):
        touch(root, ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"])
        write_list(root / "images.csv", [heading, *lines])
        return root

    @pytest.mark.parametrize("key", ["pid", "camid"])
    def test_an_image_that_is_two_people(self, key, tmp_path):
        other = {"pid": "2,1", "camid": "1,2"}[key]
        self.table(tmp_path, "a/1.jpg,1,1", f"a/1.jpg,{other}")
        refused("folder", tmp_path, rf"a/1.jpg two values of {key}, '1' and '2': correct one")

    def test_a_column_that_stands_twice(self, tmp_path):
        self.table(tmp_path, "a/1.jpg,1,2,1", heading="path,pid,pid,camid")
        refused("folder", tmp_path, "the columns path, pid, pid, camid: expected each of")

    def test_a_field_without_end(self, tmp_path):
        self.table(tmp_path, "x" * 200_000 + ",1,1")
        refused("folder", tmp_path, "is no table .field larger")

    def test_images_that_stand_in_no_line(self, tmp_path):
        self.table(tmp_path, "a/1.jpg,1,1", "b/3.jpg,2,1")
        warned(
            "folder", tmp_path, "2 images stand in no list and are left out: .*a/2.jpg, .*b/4.jpg"
        )

    def test_a_number_too_long_for_a_table_is_a_name(self, tmp_path):
        touch(tmp_path, [f"{'9' * 20}/1/a.jpg", "2/1/a.jpg"])
        ds = open_dataset("folder", tmp_path, train_fraction=0)
        assert dict(zip(ds.query["person"], ds.query["pid"], strict=True)) == {"2": 0, "9" * 20: 1}

    def test_names_of_one_number(self, tmp_path):
        touch(tmp_path, ["007/a/1.jpg", "7/b/1.jpg", "8/a/1.jpg"])
        ds = warned("folder", tmp_path, "007.* read as the same person")
        assert sorted(ds.train["pid"]) == [7, 7]

    def test_one_person_is_too_few(self, tmp_path):
        touch(tmp_path, ["1/a/1.jpg", "1/b/1.jpg"])
        refused("folder", tmp_path, "1 people, of whom train_fraction=0.5 leaves 0 to train on")
        assert len(open_dataset("folder", tmp_path, train_fraction=0).gallery) == 2

    def test_a_part_without_images(self, tmp_path):
        touch(tmp_path, ["train/1/a/1.jpg"])
        (tmp_path / "test" / "2" / "a").mkdir(parents=True)
        refused("folder", tmp_path, "test holds no images, expected paths like")
