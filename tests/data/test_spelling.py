"""One thing that is written in two ways: it is one, or a warning names both."""

import os
import re
import unicodedata

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from reidlab.data.spelling import copies, plain_id
from tests.data.layouts import LAYOUTS, touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
NFD = unicodedata.normalize("NFD", "josé")
NFC = unicodedata.normalize("NFC", "josé")
SPELLINGS = [
    ("1", "1.0"), ("1", "01"), ("1", "+1"), ("1", " 1"), ("1", "1e0"), ("1", "1."), ("1", "１"),
    ("1", "1\u00a0"), ("1", "\u200b1"), ("100", "1E+02"), ("0", "-0"), ("7", "0" * 30 + "7"),
    (NFC, NFD), ("an na", "an  na"), ("an na", "an\u00a0na"), ("anna", "anna\u200b"),
]  # fmt: skip
DIFFERENT = [
    ("1", "10"), ("1", "1.5"), ("anna", "bob"), ("1", "l"), ("1", "1-0"),
    ("1" * 19, "1" * 20), ("0", "0e"),
]  # fmt: skip
CLOSE = [("Anna", "anna"), ("anna.", "anna"), ("A1", "a1"), ("STRASSE", "straße"),
         ("p1", "p01"), ("1a", "01a"), ("cam 1", "cam_01"), ("cam1", "Cam-1"), ("1", "1,0"),
         ("0001", "0001 (1)"), ("anna", "anna - Copy"), ("anna", "anna copy 2")]  # fmt: skip


def table(root, *lines, heading="path,pid,camid,split"):
    """Four images on disk and a table."""
    touch(root, ["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"])
    write_list(root / "images.csv", [heading, *lines])
    return root


def of_two(one, other, column):
    """A table that trains on a person and tests on another, who differ in one column."""
    values = {"pid": ("5", "6"), "camid": ("0", "1"), column: (one, other)}
    return [
        f'a/{i + 1}.jpg,"{values["pid"][i]}","{values["camid"][i]}",{("train", "test")[i]}'
        for i in (0, 1)
    ]


class TestIds:
    @pytest.mark.parametrize(("one", "other"), SPELLINGS)
    def test_one_person_does_not_pass_from_training_to_test(self, one, other, tmp_path):
        table(tmp_path / "csv", *of_two(one, other, "pid"))
        touch(tmp_path / "dirs", [f"train/{one}/a/1.jpg", f"test/{other}/b/1.jpg"])
        for root in ("csv", "dirs"):
            with pytest.raises(DatasetError, match="both in the training and in the test split"):
                open_dataset("folder", tmp_path / root)

    @pytest.mark.parametrize(("one", "other"), SPELLINGS)
    def test_one_person_is_counted_once(self, one, other, tmp_path):
        table(tmp_path / "csv", f'a/1.jpg,"{one}",0', f'a/2.jpg,"{other}",1', "b/3.jpg,9,0",
              heading="path,pid,camid")  # fmt: skip
        touch(tmp_path / "dirs", [f"{one}/a/1.jpg", f"{other}/b/1.jpg", "9/a/1.jpg"])
        for root in ("csv", "dirs") if one.strip() != other.strip() else ("dirs",):
            with pytest.warns(DatasetWarning, match="are read as the same person"):
                ds = open_dataset("folder", tmp_path / root, train_fraction=1)
            assert ds.num_classes == 2
            assert ds.train["person"].nunique() == 2

    @pytest.mark.parametrize(("one", "other"), SPELLINGS)
    def test_one_camera(self, one, other, tmp_path):
        table(tmp_path, f'a/1.jpg,5,"{one}"', f'a/2.jpg,5,"{other}"', heading="path,pid,camid")
        ds = open_dataset("folder", tmp_path, train_fraction=0)
        told = any("are read as the same camera" in text for text in ds.warnings)
        assert told == (one.strip() != other.strip())  # nobody needs to hear of a stray blank
        assert ds.query["camid"].nunique() == ds.query["camera"].nunique() == 1

    @pytest.mark.parametrize(("one", "other"), DIFFERENT)
    def test_two_people_stay_two(self, one, other, tmp_path):
        ds = open_dataset("folder", table(tmp_path, *of_two(one, other, "pid")))
        assert ds.train["pid"].tolist() != ds.query["pid"].tolist()
        assert not any("read as" in text for text in ds.warnings)

    @pytest.mark.parametrize(("one", "other"), CLOSE)
    @pytest.mark.parametrize("column", ["pid", "camid"])
    def test_names_that_may_be_one_are_named(self, one, other, column, tmp_path):
        table(tmp_path, *of_two(one, other, column))
        kind = {"pid": "people", "camid": "cameras"}[column]
        with pytest.warns(DatasetWarning, match=f"differ only in case .* different {kind}"):
            ds = open_dataset("folder", tmp_path)
        assert repr(one) in str(ds.warnings)
        assert repr(other) in str(ds.warnings)

    @pytest.mark.parametrize("parts", [("Train", "TEST"), ("TRAIN", "Query ", "Gallery")])
    def test_parts_in_capitals(self, parts, tmp_path):
        for person, part in enumerate(parts):
            touch(tmp_path / part, [f"{min(person, 1)}/a/1.jpg", f"{min(person, 1)}/b/1.jpg"])
        ds = open_dataset("folder", tmp_path)
        assert (ds.train["pid"].tolist(), ds.query["pid"].tolist()) == ([0, 0], [1, 1])
        assert ds.warnings == ds.notes == ()

    def test_people_called_like_parts(self, tmp_path):
        touch(tmp_path, ["Train/a/1.jpg", "Query/a/1.jpg"])
        assert open_dataset("folder", tmp_path).train["person"].tolist() == ["Query"]

    @pytest.mark.parametrize("number", ["-1", "-1.0", "\N{MINUS SIGN}1", " -2", "-1e0"])
    def test_negative_numbers(self, number, tmp_path):
        for column in ("pid", "camid"):
            root = table(tmp_path / column, *of_two(number, "7", column))
            with pytest.raises(DatasetError, match="a negative pid or camid, expected 0 or more"):
                open_dataset("folder", root)
        touch(tmp_path / "dirs", [f"{number}/a/1.jpg", "2/a/1.jpg"])
        with pytest.raises(DatasetError, match=r"person '.*1|2', expected 0 or more"):
            open_dataset("folder", tmp_path / "dirs")

    def test_a_spelling_is_its_own(self):
        for name in ("1", "anna", "Anna B.", "20240001", "1.5", "1e99", "0x10", "1_000", NFC):
            assert plain_id(plain_id(name)) == plain_id(name) == name


class TestPaths:
    @pytest.mark.parametrize(
        "other", ["./a/1.jpg", "a//1.jpg", "b/../a/1.jpg", "a\\1.jpg", "a/./1.jpg", " a/1.jpg ",
                  "{root}/a/1.jpg", "/{root}/a/1.jpg", "../{name}/a/1.jpg", "A/1.JPG"],
    )  # fmt: skip
    def test_one_image_in_training_and_test(self, other, tmp_path):
        other = other.format(root=tmp_path, name=tmp_path.name)
        table(tmp_path, "a/1.jpg,5,0,train", f'"{other}",5,1,test')
        with pytest.raises(DatasetError, match="two values of camid, '0' and '1'"):
            open_dataset("folder", tmp_path)
        table(tmp_path, "a/1.jpg,5,0,train", f'"{other}",5,0,test')
        with pytest.raises(DatasetError, match="both in the training and in the test split"):
            open_dataset("folder", tmp_path)
        table(tmp_path, "a/1.jpg,5,0,train", f'"{other}",5,0,train', "a/2.jpg,6,0,test")
        with pytest.warns(DatasetWarning, match=r"images.csv repeats 1 images"):
            assert len(open_dataset("folder", tmp_path).train) == 1

    @pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
    def test_links(self, link, tmp_path):
        def same(old, new):
            new.parent.mkdir(parents=True, exist_ok=True)
            os.link(old, new) if link == "hard" else new.symlink_to(old)

        root = table(tmp_path / "csv", "a/1.jpg,5,0,train", "c/1.jpg,6,0,test")
        if link == "folder":
            (root / "c").symlink_to(root / "a")
        else:
            same(root / "a/1.jpg", root / "c/1.jpg")
        with pytest.raises(DatasetError, match=r"which is a/1.jpg, two values of pid"):
            open_dataset("folder", root)
        dirs = tmp_path / "dirs"
        touch(dirs, ["anna/a/1.jpg", "anna/b/1.jpg"])
        if link == "folder":
            (dirs / "bob").symlink_to(dirs / "anna")
        else:
            same(dirs / "anna/a/1.jpg", dirs / "bob/a/1.jpg")
        with pytest.raises(DatasetError, match="two values of pid, 'anna' and 'bob'"):
            open_dataset("folder", dirs)

    def test_linked_queries_keep_their_paths(self, tmp_path):
        touch(tmp_path, ["train/1/a/1.jpg", "query/2/a/1.jpg", "gallery/2/b/1.jpg"])
        (tmp_path / "gallery/2/a").mkdir()
        os.link(tmp_path / "query/2/a/1.jpg", tmp_path / "gallery/2/a/1.jpg")
        ds = open_dataset("folder", tmp_path)
        assert ds.warnings == ()
        assert ds.query["path"].tolist() == [str(tmp_path / "query/2/a/1.jpg")]
        assert str(tmp_path / "gallery/2/a/1.jpg") in ds.gallery["path"].tolist()

    @pytest.mark.parametrize(("listed", "there"), [(NFC, NFD), (NFD, NFC), ("JOSÉ", NFC)])
    def test_names_in_the_other_form_are_found(self, listed, there, tmp_path):
        touch(tmp_path, [f"{there}/{there}.jpg", "b/1.jpg"])
        write_list(tmp_path / "images.csv",
                   ["path,pid,camid", f"{listed}/{listed}.jpg,1,0", "b/1.jpg,2,0"])  # fmt: skip
        with pytest.warns(DatasetWarning, match="spells 1 paths in another case or form"):
            ds = open_dataset("folder", tmp_path)
        assert ds.train["path"].tolist() == [str(tmp_path / there / f"{there}.jpg")]

    def test_case_that_tells_two_files_apart(self, tmp_path):
        touch(tmp_path, ["a/1.jpg", "a/1.JPG"])
        if len(os.listdir(tmp_path / "a")) == 1:
            pytest.skip("upper and lower case are the same here")
        write_list(tmp_path / "images.csv", ["path,pid,camid", "a/1.jpg,1,0", "a/1.JPG,2,0"])
        assert len(open_dataset("folder", tmp_path, train_fraction=0).query) == 2

    def test_copies_by_content(self, tmp_path):
        for name, content in {"a": b"xy", "b": b"xy", "c": b"yx", "d": b"", "e": b""}.items():
            (tmp_path / name).write_bytes(content)
        found = copies(str(path) for path in sorted(tmp_path.iterdir()))
        assert found == [[str(tmp_path / "a"), str(tmp_path / "b")]]


class TestTables:
    def test_a_table_in_capitals_and_litter(self, tmp_path):
        table(tmp_path, *of_two("1", "2", "pid"))
        (tmp_path / "images.csv").rename(tmp_path / "LIST.CSV")
        (tmp_path / "._LIST.CSV").write_bytes(b"\0")
        assert open_dataset("folder", tmp_path).options["from"] == "LIST.CSV"

    @pytest.mark.parametrize(
        "heading", ["PATH,PID,CAMID,SPLIT", " Path , pid,\tCamId, Split",
                    '"path ","Pid",camid,split', "\u200bpath,PID,camid,split"],
    )  # fmt: skip
    def test_headings(self, heading, tmp_path):
        table(tmp_path, "a/1.jpg,1,0,Train", "a/2.jpg,2,0, TEST ", heading=heading)
        ds = open_dataset("folder", tmp_path)
        assert (len(ds.train), len(ds.query)) == (1, 1)

    def test_words_and_defaults(self, tmp_path):
        heading = "path,pid,camid,split,modality,view"
        table(tmp_path, "a/1.jpg,1,0,train,Infrared,5.0", "a/1.jpg,1,0,train,infrared,05",
              "a/2.jpg,2,0,test,,", "a/2.jpg,2,0,test,visible,-1", heading=heading)  # fmt: skip
        ds = open_dataset("folder", tmp_path)
        assert ds.train[["modality", "view"]].to_numpy().tolist() == [["infrared", 5]]
        assert ds.query[["modality", "view"]].to_numpy().tolist() == [["visible", -1]]
        table(tmp_path, f"a/1.jpg,1,0,train,,{10**25}", heading=heading)
        with pytest.raises(DatasetError, match=r"view '1000.* expected a whole number"):
            open_dataset("folder", tmp_path)


class TestCameras:
    @pytest.mark.parametrize("first", [1000, 20_240_001, 10**12, 10**17])
    def test_serial_numbers_are_no_sizes(self, first, tmp_path):
        table(tmp_path, f"a/1.jpg,1,{first + 9}", f"a/2.jpg,1,{first}", heading="path,pid,camid")
        with pytest.warns(DatasetWarning, match=f"numbered from 0, column `camera`.* {first} is 0"):
            ds = open_dataset("folder", tmp_path, train_fraction=0)
        assert ds.query["camid"].tolist() == [1, 0]
        assert ds.query["camera"].tolist() == [str(first + 9), str(first)]
        assert ds.num_cameras == 2

    def test_a_thousand_and_more_cameras(self, tmp_path):
        touch(tmp_path, [f"1/{camera}/1.jpg" for camera in range(1, 1101)])
        ds = open_dataset("folder", tmp_path, train_fraction=0)
        assert ds.num_cameras == 1100

    @pytest.mark.parametrize("cameras", [("door", "yard"), ("1" * 30, "2" * 30), ("1.5", "2")])
    def test_names(self, cameras, tmp_path):
        lines = [f"a/{i + 1}.jpg,1,{camera}" for i, camera in enumerate(cameras)]
        ds = open_dataset("folder", table(tmp_path, *lines, heading="path,pid,camid"),
                          train_fraction=0)  # fmt: skip
        assert ds.query["camid"].tolist() == [0, 1]
        assert ds.num_cameras == 2

    def test_a_view_that_is_no_number_of_a_table(self, tmp_path):
        lines = ["a/1.jpg,1,0,999999999", "a/2.jpg,1,1,0"]
        ds = open_dataset("folder", table(tmp_path, *lines, heading="path,pid,camid,view"),
                          train_fraction=0)  # fmt: skip
        with pytest.raises(DatasetError, match=r"views of .* go from 0 to 999999999, expected -1"):
            _ = ds.num_views

    @pytest.mark.parametrize("camid", [-1, 1000, 20_240_001, 2**62])
    def test_of_a_table_made_by_hand(self, camid, tmp_path):
        ds = open_dataset("folder", LAYOUTS["folder"][0](tmp_path))
        ds.query.loc[0, "camid"] = camid
        with pytest.raises(DatasetError, match=rf"camids of folder go from .*{camid}.* expected 0"):
            _ = ds.num_cameras


LISTED = {  # layout -> a list, and a spelling of its first line that means the same
    "msmt17": ("list_train.txt", "0000/0000_000_01_0303morning_0015_0.jpg"),
    "regdb": ("idx/train_visible_1.txt", "Visible/285/male_back_v_05528_285.bmp"),
    "veri776": ("name_train.txt", "0001_c001_00016450_0.jpg"),
    "occluded-duke": ("Occluded_Duke/train.list", "0001_c1_f0046182.jpg"),
}


@pytest.mark.parametrize("name", sorted(LISTED))
@pytest.mark.parametrize(
    "form", ["./{}", "/home/somebody/set/{}", "x//{}", "x\\{}", "..//y/../{}", "{}G", "{}e"]
)
def test_lists(name, form, tmp_path):
    """However a line is spelt it names the same image; in two spellings it does so once."""
    root = LAYOUTS[name][0](tmp_path)
    clean = open_dataset(name, root)
    file, image = LISTED[name]
    end = {"{}G": (image[-3:], "JPG"), "{}e": (image[-3:], "png")}.get(form)
    other = image.replace(*end) if end else form.format(image)
    text = (root / file).read_text()
    assert image in text
    (root / file).write_text(text.replace(image, other))
    assert open_dataset(name, root).train.equals(clean.train)
    line = next(line for line in text.splitlines() if image in line)
    (root / file).write_text(text + line.replace(image, other) + "\n")
    with pytest.warns(DatasetWarning, match=f"{re.escape(file.split('/')[-1])} repeats 1 "):
        assert open_dataset(name, root).train.equals(clean.train)


WITH_IMAGES = sorted(name for name, (_, inside) in LAYOUTS.items() if inside and name != "folder")


@pytest.mark.parametrize("name", WITH_IMAGES)
@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".jfif", ".JPE", ".png", ".bmp", ".tif"])
def test_another_ending(name, ending, tmp_path):
    """Copies write endings in capitals, or encode the images anew: the names stay the published."""
    clean = open_dataset(name, LAYOUTS[name][0](tmp_path / "clean"))
    root = LAYOUTS[name][0](tmp_path / "set")
    folders = {(root / path).parent for path in _images(clean)}
    for path in sorted(p for folder in folders for p in folder.iterdir() if p.is_file()):
        path.rename(path.with_suffix(ending))
    ds = open_dataset(name, root)
    assert ds.foreign == ()
    assert ds.warnings == clean.warnings
    for split in ("train", "query", "gallery"):
        one, other = getattr(ds, split), getattr(clean, split)
        assert one.drop(columns="path").equals(other.drop(columns="path"))
        assert all(os.path.isfile(path) and path.endswith(ending) for path in one["path"])


def _images(ds):
    return [
        os.path.relpath(path, ds.root)
        for split in ("train", "query", "gallery")
        for path in getattr(ds, split)["path"]
    ]


def test_three_digits_of_sysu_mm01(tmp_path):
    clean = open_dataset("sysu-mm01", LAYOUTS["sysu-mm01"][0](tmp_path / "clean"))
    root = LAYOUTS["sysu-mm01"][0](tmp_path / "set")
    for folder in sorted(root.glob("cam*/0*")):
        folder.rename(folder.with_name(folder.name[1:]))
    ds = open_dataset("sysu-mm01", root)
    for split in ("train", "query", "gallery"):
        one, other = getattr(ds, split), getattr(clean, split)
        assert one.drop(columns="path").equals(other.drop(columns="path"))
    touch(root, ["cam1/0006/0001.jpg"])
    with pytest.warns(DatasetWarning, match=r"1 people have two folders in .*cam1.*: 6"):
        open_dataset("sysu-mm01", root)


def test_zeros_of_regdb(tmp_path):
    clean = open_dataset("regdb", LAYOUTS["regdb"][0](tmp_path / "clean"))
    root = LAYOUTS["regdb"][0](tmp_path / "set")
    (root / "Visible/7").rename(root / "Visible/0007")
    for image in sorted((root / "Thermal/7").iterdir()):
        image.rename(image.with_name(image.name.replace("_7.", "_007.")))
    ds = open_dataset("regdb", root)
    assert ds.warnings == clean.warnings
    for one, other in ((ds.query, clean.query), (ds.gallery, clean.gallery)):
        assert sorted(zip(one.pid, one.pair, strict=True)) == sorted(
            zip(other.pid, other.pair, strict=True)
        )
    touch(root, [f"Visible/{10**30}/male_back_v_00001_{10**30}.bmp"])
    assert f"Visible/{10**30}" in open_dataset("regdb", root).foreign


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_an_image_in_two_encodings_is_one(name, tmp_path):
    root = LAYOUTS[name][0](tmp_path)
    clean = open_dataset(name, root)
    image = next(iter(sorted((root / LAYOUTS[name][1]).iterdir())))
    other = image.with_suffix(".GIF")
    other.touch()
    ds = open_dataset(name, root)
    assert ds.foreign == (other.relative_to(root).as_posix(),)
    assert ds.fingerprint() == clean.fingerprint()
