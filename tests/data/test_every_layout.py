"""What holds for the reader of every data set, on tiny folders of empty files."""

import re
import shutil
import warnings
from pathlib import Path

import pytest

from reidlab.data import (
    CARDS,
    DatasetError,
    DatasetWarning,
    data_catalogue,
    data_help,
    list_datasets,
    open_dataset,
)
from tests.data.layouts import LAYOUTS

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")
NAMES = sorted(LAYOUTS)
WITH_FOLDERS = sorted(name for name, (_, inside) in LAYOUTS.items() if inside)
COLUMNS = ["path", "pid", "camid", "modality", "view", "junk", "distractor"]


def build(name, root):
    return LAYOUTS[name][0](root)


def test_all_are_here():
    assert sorted(list_datasets()) == sorted(CARDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestEverySet:
    def test_tables(self, name, tmp_path):
        ds = open_dataset(name, build(name, tmp_path / "here_c1"))
        for split in ("train", "query", "gallery"):
            frame = getattr(ds, split)
            assert list(frame)[:7] == COLUMNS
            assert ("label" in frame) == (split == "train")
            assert frame["path"].is_unique
            assert frame["path"].is_monotonic_increasing
            assert all(Path(path).is_absolute() for path in frame["path"])
            assert frame["camid"].between(0, ds.num_cameras - 1).all()
            assert {"pid": "int64", "camid": "int64"}.items() <= dict(frame.dtypes).items()
            assert set(frame["modality"]) <= {"visible", "infrared"}
        assert len(ds.train)
        labels = sorted(ds.train["pid"].unique())
        assert ds.train["label"].tolist() == [labels.index(pid) for pid in ds.train["pid"]]
        assert ds.num_classes == len(labels)
        assert ds.card == CARDS[name]

    def test_links_change_nothing(self, name, tmp_path):
        """A home that is a link, a root, a folder in it, and images as git-annex keeps them."""
        root = build(name, tmp_path / "disk" / "set")
        plain = open_dataset(name, root)
        (tmp_path / "home").symlink_to("disk")
        (tmp_path / "set").symlink_to(root)
        linked = [tmp_path / "home" / root.relative_to(tmp_path / "disk"), tmp_path / "set"]
        shutil.copytree(root, tmp_path / "kept")
        for part in sorted(path for path in (tmp_path / "kept").iterdir() if path.is_dir())[:1]:
            part.rename(tmp_path / "moved")
            part.symlink_to(tmp_path / "moved")
            linked.append(tmp_path / "kept")
        shutil.copytree(root, tmp_path / "annex")
        for number, path in enumerate(sorted((tmp_path / "annex").rglob("*.[jp][pn]g"))):
            path.rename(tmp_path / str(number))
            path.symlink_to(tmp_path / str(number))
        for other in (*linked, tmp_path / "annex"):
            ds = open_dataset(name, other)
            assert ds.fingerprint() == plain.fingerprint()
            for split in ("train", "query", "gallery"):
                columns = ["pid", "camid", "modality", "view"]
                assert getattr(ds, split)[columns].equals(getattr(plain, split)[columns])

    def test_only_market_has_distractors(self, name, tmp_path):
        ds = open_dataset(name, build(name, tmp_path))
        flags = [frame[["junk", "distractor"]] for frame in (ds.train, ds.query, ds.gallery)]
        assert any(flag.to_numpy().any() for flag in flags) == (name == "market1501")

    def test_a_clean_folder_leaves_nothing_out(self, name, tmp_path):
        ds = open_dataset(name, build(name, tmp_path))
        assert ds.foreign == ()
        assert ds.notes == ()

    def test_counts_are_compared_with_the_published(self, name, tmp_path):
        ds = open_dataset(name, build(name, tmp_path))
        table = ds.describe()
        if CARDS[name].published is None:
            assert ds.warnings == ()
            assert table["published people"].isna().all()
            return
        assert any(text.startswith("train has ") for text in ds.warnings)
        assert table.loc["train", "published people"] == ds.published["train"].people
        published = ds.published["train"].images
        if published is not None:
            assert table.loc["train", "difference"] == len(ds.train) - published

    def test_describe_says_licence_and_rule(self, name, tmp_path):
        table = open_dataset(name, build(name, tmp_path)).describe()
        assert set(table["licence"]) == {CARDS[name].licence}
        assert set(table["status"]) == {CARDS[name].status}
        assert set(table["camera rule"]) == {CARDS[name].camera_rule}

    def test_a_synthetic_set_is_compared_with_nothing(self, name, tmp_path):
        build(name, tmp_path)
        (tmp_path / "world.json").write_text("{}")
        ds = open_dataset(name, tmp_path)
        assert ds.published is None
        assert not any("published" in text for text in ds.warnings)
        assert set(ds.describe()["licence"]) == {"none needed"}
        assert set(ds.describe()["status"]) == {"synthetic"}
        assert ds.describe()["difference"].isna().all()

    def test_half_written_is_refused(self, name, tmp_path):
        build(name, tmp_path)
        (tmp_path / "world.json.partial").write_text("{}")
        with pytest.raises(DatasetError, match=r"interrupted.*it resumes"):
            open_dataset(name, tmp_path)
        (tmp_path / "world.json").write_text("{}")  # the last thing that is written
        open_dataset(name, tmp_path)

    def test_an_empty_folder(self, name, tmp_path):
        (tmp_path / "root" / "root").mkdir(parents=True)
        with pytest.raises(DatasetError) as error:
            open_dataset(name, tmp_path / "root" / "root")
        assert str(tmp_path / "root" / "root") in str(error.value)
        assert data_help(name) in str(error.value)

    def test_no_such_folder(self, name, tmp_path):
        with pytest.raises(DatasetError, match="there is no folder"):
            open_dataset(name, tmp_path / "nowhere")

    def test_an_unknown_option(self, name, tmp_path):
        with pytest.raises(DatasetError, match=f"{name} has no option colour: expected"):
            open_dataset(name, build(name, tmp_path), colour="red")

    def test_a_relative_root_gives_absolute_paths(self, name, tmp_path, monkeypatch):
        build(name, tmp_path / "set")
        monkeypatch.chdir(tmp_path)
        ds = open_dataset(name, "set")
        assert ds.train["path"].iloc[0].startswith(f"{tmp_path}/set/")

    def test_the_fingerprint_moves_with_the_folder(self, name, tmp_path):
        build(name, tmp_path / "one")
        first = open_dataset(name, tmp_path / "one").fingerprint()
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        assert re.fullmatch("[0-9a-f]{64}", first)
        assert open_dataset(name, tmp_path / "two").fingerprint() == first

    def test_help(self, name):
        text = data_help(name)
        assert "ship" in text
        assert "root to pass" in text
        assert f"make_synthetic.py --layout {name} --out data/synthetic-{name}" in text
        if CARDS[name].script:
            assert f"python data_scripts/{CARDS[name].script} --help" in text


@pytest.mark.parametrize("name", [name for name in NAMES if name != "folder"])
def test_one_level_too_high(name, tmp_path):
    inner = build(name, tmp_path / "downloads" / "the set")
    with pytest.raises(DatasetError, match=r"too high\)") as error:
        open_dataset(name, tmp_path / "downloads")
    assert f"open_dataset({name!r}, {str(inner)!r})" in str(error.value)


TOO_DEEP = {
    "market1501": "query", "dukemtmc": "query", "occluded-duke": "Occluded_Duke",
    "msmt17": "train", "cuhk03-np": "images_detected", "cuhk03-classic": "cuhk03_release",
    "veri776": "image_test", "sysu-mm01": "exp", "regdb": "idx", "pku-reid": "val",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(TOO_DEEP))
def test_one_level_too_deep(name, tmp_path):
    root = build(name, tmp_path / "set")
    with pytest.raises(DatasetError, match=r"Pass (that|the) folder") as error:
        open_dataset(name, root / TOO_DEEP[name])
    assert f"open_dataset({name!r}, {str(root)!r})" in str(error.value)


@pytest.mark.parametrize("name", WITH_FOLDERS)
class TestStrangers:
    def test_litter_is_a_note(self, name, tmp_path):
        root, inside = build(name, tmp_path), LAYOUTS[name][1]
        before = open_dataset(name, root)
        litter = ["Thumbs.db", "._0001.jpg", ".DS_Store", "readme.txt"]
        for file in litter:
            (root / inside / file).write_bytes(b"x")
        (root / inside / "__MACOSX").mkdir()
        with pytest.warns(DatasetWarning, match="5 files that are no images are passed over"):
            ds = open_dataset(name, root)
        assert set(ds.foreign) == {f"{inside}/{file}" for file in [*litter, "__MACOSX"]}
        assert ds.warnings == before.warnings
        assert ds.fingerprint() == before.fingerprint()

    def test_a_foreign_image_is_a_warning(self, name, tmp_path):
        if name == "folder":
            pytest.skip("any image is one's own")
        root, inside = build(name, tmp_path), LAYOUTS[name][1]
        before = open_dataset(name, root)
        (root / inside / "holiday.jpg").touch()
        (root / inside / "backup").mkdir()
        with pytest.warns(DatasetWarning, match="2 foreign names are left out.*expected names"):
            ds = open_dataset(name, root)
        assert set(ds.foreign) == {f"{inside}/holiday.jpg", f"{inside}/backup"}
        assert ds.fingerprint() == before.fingerprint()


def test_warnings_point_at_the_caller(tmp_path):
    build("market1501", tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ds = open_dataset("market1501", tmp_path)
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name] * 3
    assert [str(w.message).split(": ", 1)[1] for w in caught] == list(ds.warnings)


def test_an_unknown_name(tmp_path):
    with pytest.raises(DatasetError, match="'market': reidlab reads market1501, dukemtmc, "):
        open_dataset("market", tmp_path)
    with pytest.raises(DatasetError, match="'market': reidlab knows market1501, "):
        data_help("market")


class TestCards:
    def test_the_catalogue_has_a_row_each(self):
        table = data_catalogue()
        assert list(table.index) == list_datasets()
        assert list(table) == [
            "title", "images", "people", "cameras", "modality", "licence", "status", "script",
        ]  # fmt: skip
        assert table.loc["msmt17", "images"] == 126_441
        assert table["images"].isna().tolist() == [name == "folder" for name in table.index]

    def test_splits_add_up(self):
        """Numbers that were published apart from each other and have to agree."""
        images = {
            name: [card.published[split].images for split in ("train", "query", "gallery")]
            for name, card in CARDS.items()
            if card.published
        }
        assert sum(images["market1501"]) == 32_668 - 3_819 + 3_368  # boxes, junk, queries
        assert sum(images["dukemtmc"]) == CARDS["dukemtmc"].images
        assert sum(images["msmt17"]) == CARDS["msmt17"].images
        assert sum(images["cuhk03-np"]) == 14_097
        assert images["veri776"][0] + images["veri776"][2] == CARDS["veri776"].images
        assert images["sysu-mm01"][0] == 20_284 + 9_929 + 1_974 + 1_980
        assert 2 * images["regdb"][0] == CARDS["regdb"].images
        assert images["occluded-duke"][0] + 904 == images["dukemtmc"][0]

    def test_variants(self):
        assert CARDS["msmt17"].counts()["train"].images == 32_621
        assert CARDS["msmt17"].counts(val="in")["train"].images == 32_621
        assert CARDS["msmt17"].counts(val="out")["train"].images == 32_621 - 2_373
        labeled = CARDS["cuhk03-np"].counts(boxes="labeled")
        assert sum(counts.images for counts in labeled.values()) == 14_096
        pool = CARDS["sysu-mm01"].counts(mode="all", trial=None)["gallery"]
        assert pool.images == 1_374 + 1_565 + 1_918 + 1_918  # cameras 1, 2, 4, 5
        assert CARDS["sysu-mm01"].counts(mode="indoor", trial=None)["gallery"].images == 2_939
        for shots, factor in ((1, 1), (10, 10)):
            for mode, images in (("all", 301), ("indoor", 112)):
                counts = CARDS["sysu-mm01"].counts(mode=mode, shots=shots)
                assert counts["gallery"].images == factor * images

    def test_duke_is_withdrawn_and_linked_nowhere(self):
        for name in ("dukemtmc", "occluded-duke"):
            card = CARDS[name]
            assert "withdrawn" in card.status
            assert "withdrawn" in card.privacy
            assert card.ask == ""
            assert not re.search(r"http|www|\w\.(com|org|edu|net)", data_help(name))
