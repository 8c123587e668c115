"""A user's own images, in folders or in a table."""

import pytest

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from tests.data.layouts import folder, touch

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def write_csv(root, text, name="images.csv"):
    root.mkdir(parents=True, exist_ok=True)
    path = root / name
    path.write_text(text)
    return path


class TestFolders:
    def test_half_of_the_people_are_trained_on(self, tmp_path):
        ds = open_dataset("folder", folder(tmp_path))
        assert ds.options == {"from": "folders", "train_fraction": 0.5}
        assert ds.train["pid"].tolist() == [3, 3]  # 3 comes before 12
        assert ds.train["camid"].tolist() == [0, 1]
        assert ds.query["pid"].tolist() == [12, 12]
        assert ds.query["path"].tolist() == ds.gallery["path"].tolist()
        assert ds.query["camera"].tolist() == ["a", "b"]
        assert ds.query["person"].tolist() == ["12", "12"]
        assert ds.warnings == ()

    @pytest.mark.parametrize(("share", "trained"), [(0, 0), (0.5, 2), (1, 4)])
    def test_train_fraction(self, share, trained, tmp_path):
        ds = open_dataset("folder", folder(tmp_path), train_fraction=share)
        assert len(ds.train) == trained
        assert len(ds.query) == 4 - trained

    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_train_fraction_out_of_range(self, share, tmp_path):
        with pytest.raises(DatasetError, match="choose a share from 0 to 1"):
            open_dataset("folder", folder(tmp_path), train_fraction=share)

    def test_names_are_numbered_in_order(self, tmp_path):
        touch(tmp_path, ["zoe/out/1.jpg", "7/in/1.jpg", "anna/in/1.jpg", "bob/in/1.jpg"])
        ds = open_dataset("folder", tmp_path)
        assert dict(zip(ds.train["person"], ds.train["pid"], strict=True)) == {"7": 0, "anna": 1}
        assert dict(zip(ds.query["person"], ds.query["pid"], strict=True)) == {"bob": 2, "zoe": 3}
        assert ds.query["camid"].tolist() == [0, 1]

    def test_person_0_is_a_person(self, tmp_path):
        touch(tmp_path, [f"{pid}/{camera}/1.jpg" for pid in (0, 1) for camera in (1, 10, 2)])
        ds = open_dataset("folder", tmp_path)
        assert ds.train["pid"].tolist() == [0, 0, 0]
        assert ds.train["distractor"].tolist() == [False] * 3
        assert dict(zip(ds.train["camera"], ds.train["camid"], strict=True)) == {
            "1": 0, "2": 1, "10": 2,
        }  # fmt: skip

    @pytest.mark.parametrize("parts", [("train", "query", "gallery"), ("train", "test")])
    def test_splits(self, parts, tmp_path):
        for person, part in enumerate(parts):
            pid = min(person, 1)
            touch(tmp_path / part, [f"{pid}/a/{person}.jpg", f"{pid}/b/{person}.jpg"])
        ds = open_dataset("folder", tmp_path)
        assert ds.train["pid"].tolist() == [0, 0]
        assert ds.query["pid"].tolist() == ds.gallery["pid"].tolist() == [1, 1]
        same = ds.query["path"].tolist() == ds.gallery["path"].tolist()
        assert same == ("test" in parts)
        with pytest.raises(DatasetError, match="leave train_fraction out"):
            open_dataset("folder", tmp_path, train_fraction=0.5)

    def test_a_person_in_two_splits(self, tmp_path):
        touch(tmp_path, ["train/1/a/1.jpg", "test/1/b/1.jpg"])
        with pytest.raises(DatasetError, match="both in the training and in the test split"):
            open_dataset("folder", tmp_path)

    def test_some_splits_only(self, tmp_path):
        touch(tmp_path, ["train/1/a/1.jpg", "query/2/b/1.jpg"])
        with pytest.raises(
            DatasetError, match="has query, train, expected train with query and ga"
        ):
            open_dataset("folder", tmp_path)

    @pytest.mark.parametrize("parts", [["train"], ["test"], ["query", "gallery"]])
    def test_one_side_alone(self, tmp_path, parts):
        for part in parts:
            touch(tmp_path / part, ["1/a/1.jpg", "1/b/1.jpg"])
        ds = open_dataset("folder", tmp_path)
        sides = [len(frame) for frame in (ds.train, ds.query, ds.gallery)]
        assert sides == ([2, 0, 0] if parts == ["train"] else [0, 2, 2])

    def test_no_folders_of_cameras(self, tmp_path):
        touch(tmp_path, ["anna/1.jpg"])
        with pytest.raises(DatasetError, match="holds images and no folders of cameras"):
            open_dataset("folder", tmp_path)

    def test_one_level_too_high(self, tmp_path):
        folder(tmp_path / "images")
        with pytest.raises(
            DatasetError, match=rf"one level too high\? Then pass {tmp_path}/images"
        ):
            open_dataset("folder", tmp_path)

    def test_what_is_left_out(self, tmp_path):
        touch(folder(tmp_path), ["stray.jpg", "3/stray.jpg", "3/a/notes.txt", "Thumbs.db"])
        ds = open_dataset("folder", tmp_path)
        assert set(ds.foreign) == {"stray.jpg", "3/stray.jpg", "3/a/notes.txt", "Thumbs.db"}

    def test_a_person_called_masks(self, tmp_path):
        touch(folder(tmp_path), ["masks/a/1.jpg"])
        assert len(open_dataset("folder", tmp_path, train_fraction=0).query) == 5
        (tmp_path / "world.json").write_text("{}")  # here it is the masks of a synthetic set
        assert len(open_dataset("folder", tmp_path, train_fraction=0).query) == 4


TABLE = """path,pid,camid,split,modality,view
3/a/x.jpg,3,0,train,visible,
3/b/y.png,3,1,train,infrared,5
12/a/x.jpg,0,0,test,,
12/b/z.JPEG,0,4,gallery,,-1
"""


class TestTable:
    def test_columns(self, tmp_path):
        ds = open_dataset("folder", write_csv(folder(tmp_path), TABLE).parent)
        assert ds.options == {"from": "images.csv", "train_fraction": None}
        assert ds.train["pid"].tolist() == [3, 3]
        assert ds.train["modality"].tolist() == ["visible", "infrared"]
        assert ds.train["view"].tolist() == [-1, 5]
        assert ds.query["pid"].tolist() == [0]  # a person like any other
        assert ds.gallery["pid"].tolist() == [0, 0]
        assert ds.gallery["camid"].tolist() == [0, 4]  # a table's numbers are kept
        assert ds.num_cameras == 5

    def test_the_file_itself_and_paths_beside_it(self, tmp_path):
        folder(tmp_path / "photos")
        path = write_csv(
            tmp_path / "lists", "path,pid,camid\n../photos/3/a/x.jpg,anna,door\n", "t.csv"
        )
        ds = open_dataset("folder", path, train_fraction=1)
        assert ds.train["path"].tolist() == [str(tmp_path / "photos/3/a/x.jpg")]
        assert (ds.train["person"].tolist(), ds.train["camera"].tolist()) == (["anna"], ["door"])
        assert len(ds.fingerprint()) == 64
        assert (
            open_dataset("folder", tmp_path / "lists", train_fraction=1).options["from"] == "t.csv"
        )

    def test_several_tables(self, tmp_path):
        for name in ("a.csv", "b.csv", "attributes.csv"):
            write_csv(folder(tmp_path), TABLE, name)
        with pytest.raises(DatasetError, match=r"holds 2 tables \(a.csv, b.csv\)"):
            open_dataset("folder", tmp_path)

    @pytest.mark.parametrize("litter", ["._t.csv", ".~lock.t.csv", "~$t.csv", "t.csv~"])
    def test_litter_is_no_table(self, tmp_path, litter):
        write_csv(folder(tmp_path), TABLE, "t.csv")
        (tmp_path / litter).write_bytes(b"\x00\x05\x16\x07")
        assert open_dataset("folder", tmp_path).options["from"] == "t.csv"

    def test_excel(self, tmp_path):
        text = (
            "\ufeff" + TABLE.replace("\n", "\r\n").replace("3/a/x.jpg", "3\\a\\x.jpg") + ",,,,,\r\n"
        )
        assert len(open_dataset("folder", write_csv(folder(tmp_path), text)).train) == 2

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the columns nothing: expected each of path, pid, camid once"),
            ("path;pid;camid\n", "the columns path;pid;camid: expected .* separated by commas"),
            ("path,pid,camid\n", "a heading and no lines"),
            ("path,pid,camid\n3/a/x.jpg,,0\n", "no pid \\(''\\) in line 2"),
            ("path,pid,camid\n\n3/a/x.jpg,,0\n", "no pid \\(''\\) in line 3"),
            ("path,pid,camid\n3/a/x.jpg,nan,0\n", "no pid \\('nan'\\) in line 2"),
            ("path,pid,camid\n3/a/x.jpg,3,None\n", "no camid \\('None'\\) in line 2"),
            ("path,pid,camid\n3/a/x.jpg,3,2.02E+07\n", "'2.02E\\+07', a number .* all its digits"),
            ("path,pid,camid\n3/a/x.jpg,-1,0\n", "a negative pid or camid"),
            ("path,pid,camid,split\n3/a/x.jpg,1,0,val\n", "split 'val', expected one of train"),
            ("path,pid,camid,modality\n3/a/x.jpg,1,0,ir\n", "modality 'ir'"),
            ("path,pid,camid,view\n3/a/x.jpg,1,0,front\n", "view 'front'"),
            ("path,pid,camid\ngone.jpg,1,0\n", "none of the 1 images named by images.csv"),
        ],
    )
    def test_wrong(self, text, message, tmp_path):
        with pytest.raises(DatasetError, match=message):
            open_dataset("folder", write_csv(folder(tmp_path), text))

    def test_a_split_for_some_images_only(self, tmp_path):
        text = TABLE.replace("test,,", ",,")
        with pytest.raises(DatasetError, match="some images only: give each a split, or none"):
            open_dataset("folder", write_csv(folder(tmp_path), text))

    def test_missing_and_repeated_images(self, tmp_path):
        text = f"{TABLE}3/a/x.jpg,3,0,train,visible,\ngone/x.jpg,3,0,train,,\n"
        with pytest.warns(DatasetWarning, match=r"images.csv repeats 1 images"):
            ds = open_dataset("folder", write_csv(folder(tmp_path), text))
        assert any("1 of the 6 images named by images.csv are missing" in t for t in ds.warnings)
        assert len(ds.train) == 2

    def test_a_picture_is_no_table(self, tmp_path):
        with pytest.raises(DatasetError, match=r"x.jpg is a file, expected a folder or a .csv"):
            open_dataset("folder", folder(tmp_path) / "3" / "a" / "x.jpg")


def test_people_below_cameras_are_told(tmp_path):
    touch(tmp_path, [f"cam_{camera}/{i:04d}/1.jpg" for camera in "ab" for i in range(4)])
    with pytest.warns(DatasetWarning, match="Are the two levels swapped"):
        open_dataset("folder", tmp_path)


def test_a_leak_is_told_by_names(tmp_path):
    touch(tmp_path, [f"{part}/anna/{c}/1.jpg" for part in ("train", "test") for c in "ab"])
    with pytest.raises(DatasetError, match=r"e.g. anna: .* Put all images of each into one"):
        open_dataset("folder", tmp_path)


def test_a_comma_without_quotes_is_a_value_too_many(tmp_path):
    touch(tmp_path, ["1.jpg", "2.jpg"])
    write_csv(tmp_path, "path,pid,camid\n1.jpg,1,001,2\n2.jpg,1,002,2\n")
    with pytest.raises(DatasetError, match="more values than columns in line 2"):
        open_dataset("folder", tmp_path)
