"""Every image is decoded once, the answer is remembered, and forgotten when a file changes."""

import dataclasses
import os
import shutil
import threading
import warnings

import pytest
from PIL import Image, ImageFile

from reidlab.data import (
    DatasetError,
    DatasetWarning,
    check_images,
    decoding,
    open_dataset,
    unreadable,
)
from tests.data.conftest import write_image
from tests.data.layouts import cuhk03

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reidlab" / "decoded"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the images that were decoded, in order."""
    names, read = [], decoding.read_image

    def counting(path):
        names.append(os.path.basename(path))
        return read(path)

    monkeypatch.setattr(decoding, "read_image", counting)
    return names


@pytest.fixture
def ds(market_root):
    return open_dataset("market1501", market_root)


def truncate(path, size=700):
    """Cut a file off, at the same time as a copy that keeps times would."""
    with open(path, "r+b") as file:
        file.truncate(size)


class TestCheck:
    def test_a_whole_set_is_decoded_once(self, ds, decoded):
        check_images(ds)
        assert len(set(decoded)) == len(decoded) == 11  # of 12, one is junk
        decoded.clear()
        check_images(ds)
        assert decoded == []

    def test_another_opening_of_the_set_remembers(self, ds, market_root, decoded):
        check_images(ds)
        decoded.clear()
        check_images(open_dataset("market1501", market_root))
        assert decoded == []

    def test_what_is_wrong_is_told_and_not_remembered(self, ds, market_root, decoded):
        for name in ds.train["path"]:
            truncate(name)
        (market_root / "query" / "0001_c1s1_001051_00.jpg").write_bytes(b"<html>")
        for _ in range(2):
            decoded.clear()
            with pytest.raises(DatasetError) as caught:
                check_images(ds)
            assert len(decoded) == 11
        lines = str(caught.value).splitlines()
        assert lines[0] == f"6 of the 11 images of market1501 in {market_root} cannot be read:"
        assert [line[:22] for line in lines[1:4]] == ["cannot read the image "] * 3
        assert "data check" in lines[4]
        assert len(lines) == 5

    def test_junk_is_left_out(self, ds):
        (junk,) = ds.gallery.loc[ds.gallery["junk"], "path"]
        truncate(junk)
        check_images(ds)

    def test_a_file_damaged_later_under_the_same_size(self, ds):
        check_images(ds)
        path = ds.train["path"].iloc[0]
        with open(path, "r+b") as file:
            file.write(bytes(os.path.getsize(path)))
        with pytest.raises(DatasetError, match=r"1 of the 11 images .*\n.*zeros only"):
            check_images(ds)

    def test_a_file_that_went_away_later(self, ds):
        check_images(ds)
        os.remove(ds.train["path"].iloc[0])
        with pytest.raises(DatasetError, match=r"1 of the 11 images .*\n.*is gone"):
            check_images(ds)

    def test_one_that_was_repaired(self, ds, decoded):
        path = ds.train["path"].iloc[0]
        shutil.copy(path, f"{path}.before")
        truncate(path)
        with pytest.raises(DatasetError, match="1 of the 11"):
            check_images(ds)
        os.replace(f"{path}.before", path)
        check_images(ds)

    def test_another_copy_is_looked_at(self, ds, market_root, tmp_path, decoded):
        check_images(ds)
        decoded.clear()
        check_images(open_dataset("market1501", shutil.copytree(market_root, tmp_path / "other")))
        assert len(decoded) == 11

    def test_inside_an_archive(self, tmp_path, decoded):
        check_images(open_dataset("cuhk03-np", cuhk03(tmp_path / "set")))
        assert len(decoded) == 11
        decoded.clear()
        check_images(open_dataset("cuhk03-np", tmp_path / "set"))
        assert decoded == []

    def test_no_test_part(self, ds, decoded):
        check_images(dataclasses.replace(ds, query=ds.query[:0], gallery=ds.gallery[:0]))
        assert len(decoded) == 5

    def test_another_pillow_looks_again(self, ds, decoded, monkeypatch):
        check_images(ds)
        decoded.clear()
        monkeypatch.setattr("PIL.__version__", "0.0")
        check_images(ds)
        assert len(decoded) == 11

    def test_gray_in_place_of_what_is_cut_off(self, ds, monkeypatch):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        truncate(ds.train["path"].iloc[0])
        with pytest.raises(DatasetError, match="1 of the 11"):
            check_images(ds)
        assert ImageFile.LOAD_TRUNCATED_IMAGES


class TestMemory:
    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"turned": 3}', '{"turned": ["x"]}'])
    def test_a_broken_answer_is_none(self, content, ds, cache, decoded):
        check_images(ds)
        (answer,) = cache.iterdir()
        answer.write_text(content)
        decoded.clear()
        check_images(ds)
        assert len(decoded) == 11

    def test_a_place_that_cannot_be_written(self, ds, cache, decoded):
        cache.parent.parent.write_text("a file where the folder would be")
        check_images(ds)
        check_images(ds)
        assert len(decoded) == 22

    def test_a_user_without_a_home(self, ds, decoded, monkeypatch):
        monkeypatch.delenv("XDG_CACHE_HOME")

        def nobody():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr("pathlib.Path.home", nobody)
        check_images(ds)
        check_images(ds)
        assert len(decoded) == 22

    @pytest.mark.parametrize("wish", ["", "relative/cache"])
    def test_the_cache_of_the_system(self, wish, ds, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", wish)
        monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "home/local"))
        monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path / "home")
        check_images(ds)
        assert len(list((tmp_path / "home").rglob("decoded/*.json"))) == 1

    def test_it_does_not_grow_without_bound(self, ds, cache):
        cache.mkdir(parents=True)
        for number in range(500):
            (cache / f"{number}.json").write_text("{}")
            os.utime(cache / f"{number}.json", (number, number))
        check_images(ds)
        left = [path.name for path in cache.iterdir()]
        assert len(left) <= 200
        assert "499.json" in left
        assert "0.json" not in left

    def test_two_at_once(self, ds, cache):
        threads = [threading.Thread(target=check_images, args=(ds,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [path.suffix for path in cache.iterdir()] == [".json"]


class TestUnreadable:
    def test_each_problem_by_its_path(self, ds):
        bad = sorted(ds.train["path"].iloc[:2])
        for path in bad:
            truncate(path)
        found = unreadable(ds.train["path"])
        assert list(found) == bad
        assert all(path in text and "truncated" in text for path, text in found.items())

    def test_a_path_that_stands_twice_is_read_once(self, ds, decoded):
        assert unreadable([*ds.query["path"], *ds.query["path"]]) == {}
        assert len(decoded) == 2

    def test_no_images(self):
        assert unreadable([]) == {}


class TestTurned:
    """`describe` counts what is stored turned."""

    @pytest.fixture
    def phone(self, tmp_path):
        """Three photographs a person; of person 1 all are turned, of 2 one."""
        root = tmp_path / "phone"
        for person in range(1, 5):
            for number in range(3):
                path = write_image(root / str(person) / "a" / f"{number}.jpg", person)
                if person == 1 or (person, number) == (2, 0):
                    exif = Image.Exif()
                    exif[0x0112] = 6
                    Image.open(path).save(path, exif=exif)
        return root

    def test_counted_by_split(self, phone):
        ds = open_dataset("folder", phone)
        expected = [
            4 if len(frame) == 12 else sum(
                "/1/a/" in path or path.endswith("/2/a/0.jpg") for path in frame["path"]
            )
            for frame in (ds.train, ds.query, ds.gallery)
        ]  # fmt: skip
        assert sum(expected) > 0
        assert ds.describe()["turned"].tolist() == expected
        check_images(ds)
        assert ds.describe()["turned"].tolist() == expected

    def test_none_in_the_sets_of_the_field(self, ds):
        assert ds.describe()["turned"].tolist() == [0, 0, 0]

    def test_of_a_large_set_it_is_known_when_all_were_decoded(self, phone, monkeypatch):
        monkeypatch.setattr(decoding, "QUICKLY", 3)
        ds = open_dataset("folder", phone)
        assert ds.describe()["turned"].isna().all()
        check_images(ds)
        assert ds.describe()["turned"].sum() > 0

    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
    def test_every_kind_of_file_and_a_tag_of_1_is_upright(self, suffix, tmp_path):
        for person, tag in enumerate([1, 2, 3, 8]):
            for camera in "ab":
                path = tmp_path / "set" / str(person) / camera / f"0.{suffix}"
                path.parent.mkdir(parents=True)
                exif = Image.Exif()
                exif[0x0112] = tag
                Image.new("RGB", (8, 16), (person, 0, 0)).save(path, exif=exif)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", DatasetWarning)
            ds = open_dataset("folder", tmp_path / "set")
            train, gallery = ds.train, ds.gallery
            expected = [sum("/0/" not in path for path in f["path"]) for f in (train, gallery)]
            assert ds.describe().loc[["train", "gallery"], "turned"].tolist() == expected
