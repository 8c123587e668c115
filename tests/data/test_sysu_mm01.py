"""SYSU-MM01: two ways to draw a gallery, each against an oracle of its own."""

import os
import random
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from reidlab.data import DatasetError, DatasetWarning, draw_gallery, open_dataset
from tests.data.layouts import SYSU_VISITS, cell, sysu_mm01, touch, write_list

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return sysu_mm01(tmp_path_factory.mktemp("sysu"))


@pytest.fixture
def copy(tmp_path):
    return sysu_mm01(tmp_path / "sysu", images=3)


def relative(ds, frame):
    return [os.path.relpath(path, ds.root) for path in frame["path"]]


def agw(root, cameras, trial):
    """The draw as it is described: seed, walk over sorted ids and cameras, one choice each."""
    random.seed(trial)
    drawn = []
    for person in sorted(f"{pid:04d}" for pid in (21, 10, 6)):
        for camera in cameras:
            folder = root / f"cam{camera}" / person
            if folder.is_dir():
                files = sorted(os.listdir(folder))
                drawn.append(f"cam{camera}/{person}/{random.choice(files)}")
    return drawn


class TestTables:
    def test_who_is_where(self, root):
        ds = open_dataset("sysu-mm01", root)
        assert ds.protocol == "sysu"
        assert ds.options == {"mode": "all", "shots": 1, "trial": 0, "draw": "agw"}
        assert sorted(ds.train["pid"].unique()) == [1, 2, 3]  # train_id and val_id
        assert len(ds.train) == 12 * 7
        assert sorted(ds.query["pid"].unique()) == [6, 10, 21]
        assert set(ds.query["camid"]) == {2, 5}
        assert len(ds.query) == 12 * 5
        infrared = ds.train["camid"].isin([2, 5])
        assert (ds.train["modality"] == np.where(infrared, "infrared", "visible")).all()
        assert set(ds.query["modality"]) == {"infrared"}
        assert set(ds.gallery["modality"]) == {"visible"}
        assert 50 not in set(ds.train["pid"])  # in no list

    def test_published_counts_follow_the_options(self, root):
        def published(**options):
            return open_dataset("sysu-mm01", root, **options).published["gallery"][:2]

        assert published() == (301, 96)
        assert published(mode="indoor") == (112, 56)
        assert published(shots=10) == (3_010, 96)
        assert published(mode="indoor", shots=10) == (1_120, 56)
        assert published(trial=None) == (6_775, 96)
        assert published(mode="indoor", trial=None) == (2_939, 56)

    def test_queries_are_the_same_indoors_and_some_find_nobody(self, root):
        ds = open_dataset("sysu-mm01", root, mode="indoor")
        assert len(ds.query) == 12 * 5
        assert set(ds.gallery["camid"]) == {0, 1}
        assert 21 not in set(ds.gallery["pid"])
        assert not any("have no image" in text for text in ds.warnings)


class TestDraw:
    @pytest.mark.parametrize("trial", range(10))
    def test_agw(self, root, trial):
        ds = open_dataset("sysu-mm01", root, trial=trial)
        assert relative(ds, ds.gallery) == sorted(agw(root, (1, 2, 4, 5), trial))
        ds = open_dataset("sysu-mm01", root, trial=trial, mode="indoor")
        assert relative(ds, ds.gallery) == sorted(agw(root, (1, 2), trial))

    def test_trials_differ(self, root):
        drawn = {tuple(agw(root, (1, 2, 4, 5), trial)) for trial in range(10)}
        assert len(drawn) == 10

    def test_ten_shots(self, root):
        ds = open_dataset("sysu-mm01", root, shots=10, trial=3)
        visits = [(p, c) for p in (6, 10, 21) for c in SYSU_VISITS[p] if c in (1, 2, 4, 5)]
        assert ds.gallery.groupby(["pid", "camid"]).size().tolist() == [10] * len(visits)
        assert ds.gallery["path"].is_unique
        again = open_dataset("sysu-mm01", root, shots=10, trial=3)
        assert again.gallery.equals(ds.gallery)

    def test_fewer_images_than_shots(self, copy):
        with pytest.warns(DatasetWarning, match="8 of 8 folders .* fewer than 10"):
            ds = open_dataset("sysu-mm01", copy, shots=10)
        assert len(ds.gallery) == 3 * 8

    @pytest.mark.parametrize("shots", [1, 10])
    def test_the_pool_holds_every_trial(self, root, shots):
        pool = open_dataset("sysu-mm01", root, trial=None, shots=shots)
        assert len(pool.gallery) == 12 * 8
        for trial in range(10):
            rows = draw_gallery(pool, trial)
            one = open_dataset("sysu-mm01", root, trial=trial, shots=shots)
            assert pool.gallery.iloc[rows]["path"].tolist() == one.gallery["path"].tolist()

    def test_no_pool(self, root):
        with pytest.raises(DatasetError, match="is no pool to draw from"):
            draw_gallery(open_dataset("sysu-mm01", root), 0)
        pool = open_dataset("sysu-mm01", root, trial=None)
        with pytest.raises(DatasetError, match="trial is 10"):
            draw_gallery(pool, 10)


def permutations(images, **wrong):
    """rand_perm_cam: for each camera and person, ten rows that begin with 1 + trial, and so on."""
    cameras = []
    for camera in range(1, 7):
        people = []
        for person in range(1, 51):
            n = wrong.get("n", images) if camera in SYSU_VISITS.get(person, ()) else 0
            rows = [np.roll(np.arange(1, n + 1), -trial) for trial in range(10)]
            people.append(np.array(rows, float).reshape(10, n))
        cameras.append(cell(*people))
    return {"rand_perm_cam": cell(*cameras)}


class TestOfficialDraw:
    def test_rows_of_the_file(self, copy):
        savemat(copy / "exp" / "rand_perm_cam.mat", permutations(3))
        for trial in range(3):
            ds = open_dataset("sysu-mm01", copy, draw="official", trial=trial)
            assert {path.rsplit("/", 1)[1] for path in ds.gallery["path"]} == {
                f"000{trial + 1}.jpg"
            }
            assert len(ds.gallery) == 8
        assert ds.options["draw"] == "official"
        assert ds.lists[-1].name == "rand_perm_cam.mat"

    def test_in_the_root_and_ten_shots(self, root, tmp_path):
        shutil.copytree(root, tmp_path / "set")
        savemat(tmp_path / "set" / "rand_perm_cam.mat", permutations(12))
        ds = open_dataset("sysu-mm01", tmp_path / "set", draw="official", trial=1, shots=10)
        names = sorted({path.rsplit("/", 1)[1] for path in ds.gallery["path"]})
        assert names == [f"{i:04d}.jpg" for i in range(2, 12)]
        pool = open_dataset("sysu-mm01", tmp_path / "set", draw="official", trial=None, shots=10)
        rows = draw_gallery(pool, 1)
        assert pool.gallery.iloc[rows]["path"].tolist() == ds.gallery["path"].tolist()

    def test_without_the_file(self, copy):
        with pytest.raises(DatasetError, match=r"needs rand_perm_cam.mat .*or pass draw='agw'"):
            open_dataset("sysu-mm01", copy, draw="official")

    def test_other_numbers_of_images(self, copy):
        savemat(copy / "exp" / "rand_perm_cam.mat", permutations(4))
        with pytest.raises(DatasetError, match=r"orders 4 images of person 6 in camera 1.*holds 3"):
            open_dataset("sysu-mm01", copy, draw="official")

    def test_a_cell_is_missing(self, copy):
        whole = permutations(3)["rand_perm_cam"]
        savemat(copy / "exp" / "rand_perm_cam.mat", {"rand_perm_cam": whole[:3]})
        with pytest.raises(
            DatasetError, match="no permutation of trial 0 for person 6 in camera 4"
        ):
            open_dataset("sysu-mm01", copy, draw="official")

    def test_another_variable(self, copy):
        savemat(copy / "exp" / "rand_perm_cam.mat", {"perm": np.eye(2)})
        with pytest.raises(DatasetError, match="no variable rand_perm_cam; it has perm"):
            open_dataset("sysu-mm01", copy, draw="official")


class TestWrong:
    @pytest.mark.parametrize(
        "option", [{"mode": "outdoor"}, {"shots": 5}, {"trial": 10}, {"draw": "mine"}]
    )
    def test_options(self, option, root):
        (key,) = option
        with pytest.raises(DatasetError, match=f"{key} is .* for sysu-mm01: choose one of"):
            open_dataset("sysu-mm01", root, **option)

    def test_a_camera_is_missing(self, copy):
        shutil.rmtree(copy / "cam4")
        with pytest.warns(DatasetWarning, match="folders cam4 are missing"):
            ds = open_dataset("sysu-mm01", copy)
        assert 3 not in set(ds.gallery["camid"])

    def test_all_infrared_cameras_are_missing(self, copy):
        shutil.rmtree(copy / "cam3")
        shutil.rmtree(copy / "cam6")
        with pytest.raises(DatasetError, match="incomplete: cam3, cam6 is missing"):
            open_dataset("sysu-mm01", copy)

    def test_a_person_in_both_lists(self, copy):
        write_list(copy / "exp" / "val_id.txt", ["3,10"])
        with pytest.raises(DatasetError, match=r"1 people are both in the training.*e.g. 10"):
            open_dataset("sysu-mm01", copy)

    def test_people_without_images(self, copy):
        write_list(copy / "exp" / "val_id.txt", ["3,333"])
        with pytest.warns(
            DatasetWarning, match="1 of the 4 people of the train list have no .*333"
        ):
            open_dataset("sysu-mm01", copy)
        write_list(copy / "exp" / "test_id.txt", ["444"])
        with pytest.raises(DatasetError, match="none of the 1 people of the test list"):
            open_dataset("sysu-mm01", copy)

    def test_lists(self, copy):
        (copy / "exp" / "train_id.txt").write_bytes("\ufeff1, 2,\r\n2\r\n".encode())
        with pytest.warns(DatasetWarning, match=r"train_id.txt repeats 1 numbers"):
            ds = open_dataset("sysu-mm01", copy)
        assert sorted(ds.train["pid"].unique()) == [1, 2, 3]
        write_list(copy / "exp" / "train_id.txt", ["1,two"])
        with pytest.raises(DatasetError, match=r"train_id.txt holds 'two' where a person's number"):
            open_dataset("sysu-mm01", copy)
        (copy / "exp" / "train_id.txt").unlink()
        with pytest.raises(DatasetError, match=r"there is no .*train_id.txt"):
            open_dataset("sysu-mm01", copy)
        savemat(copy / "exp" / "train_id.mat", {"id": np.array([[1, 2]])})
        assert sorted(open_dataset("sysu-mm01", copy).train["pid"].unique()) == [1, 2, 3]

    def test_foreign_names(self, copy):
        touch(copy, ["cam1/0006/1.jpg", "cam1/6/0001.jpg", "cam3/0006/0001.png", "cam1/stray.jpg"])
        ds = open_dataset("sysu-mm01", copy)
        assert set(ds.foreign) == {
            "cam1/0006/1.jpg", "cam1/6", "cam3/0006/0001.png", "cam1/stray.jpg",
        }  # fmt: skip

    def test_the_lists_are_in_the_fingerprint(self, copy):
        first = open_dataset("sysu-mm01", copy).fingerprint()
        write_list(copy / "exp" / "val_id.txt", ["3 "])
        write_list(copy / "exp" / "train_id.txt", ["2,1"])
        assert open_dataset("sysu-mm01", copy).fingerprint() != first
