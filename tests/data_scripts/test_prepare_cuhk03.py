"""cuhk-03.mat to images: a file made as MATLAB makes them, and every image compared with it."""

import csv
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from data_scripts import prepare_cuhk03 as pc
from reidlab.data import DatasetError
from reidlab.data import prepare as p
from reidlab.data.cuhk03_store import stored_images

PEOPLE = (3, 2, 1, 1, 2)  # of each camera pair
EMPTY = {(1, 1, 2), (1, 3, 10), (4, 1, 6)}  # pair, person, slot
CONFIGS = [f"cuhk03_new_protocol_config_{boxes}.mat" for boxes in ("detected", "labeled")]


def size(pair, person):
    """(height, width): no two people alike, never square, so that a swapped axis is seen."""
    return 20 + 4 * pair + person, 8 + pair


def pixels(boxes, pair, person, slot):
    seed = [len(boxes), pair, person, slot]
    return np.random.default_rng(seed).integers(0, 256, (*size(pair, person), 3), np.uint8)


def expected(boxes):
    return {
        f"{pair}_{person:03d}_{view}_{slot:02d}.png": pixels(boxes, pair, person, slot)
        for pair in range(1, 6)
        for person in range(1, PEOPLE[pair - 1] + 1)
        for view, slots in ((1, (1, 2, 3, 4, 5)), (2, (6, 7, 8, 9, 10)))
        for slot in slots
        if (pair, person, slot) not in EMPTY
    }


class Matlab:
    """Writes values as MATLAB 7.3 does: axes reversed, cells as references into #refs#."""

    def __init__(self, file):
        self.file, self.count = file, 0

    def store(self, value, name=None):
        name = name or f"#refs#/{self.next()}"
        if isinstance(value, list):  # a cell of rows x columns
            rows, columns = len(value), len(value[0])
            data = np.empty((columns, rows), dtype=h5py.ref_dtype)
            for row, column in np.ndindex(rows, columns):
                data[column, row] = self.store(value[row][column]).ref
            stored = self.file.create_dataset(name, data=data, dtype=h5py.ref_dtype)
            stored.attrs["MATLAB_class"] = np.bytes_("cell")
        elif value is None:  # an empty matrix: its dimensions, and a mark
            stored = self.file.create_dataset(name, data=np.zeros(2, np.uint64))
            stored.attrs["MATLAB_class"] = np.bytes_("double")
            stored.attrs["MATLAB_empty"] = np.uint8(1)
        else:
            stored = self.file.create_dataset(name, data=value.transpose())
            kind = "uint8" if value.dtype == np.uint8 else "double"
            stored.attrs["MATLAB_class"] = np.bytes_(kind)
        return stored

    def next(self):
        self.count += 1
        return f"r{self.count}"


def write_mat(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        matlab = Matlab(file)
        for boxes in ("labeled", "detected"):
            cells = []
            for pair in range(1, 6):
                people = [
                    [
                        None if (pair, person, slot) in EMPTY else pixels(boxes, pair, person, slot)
                        for slot in range(1, 11)
                    ]
                    for person in range(1, PEOPLE[pair - 1] + 1)
                ]
                cells.append([people])
            matlab.store(cells, boxes)
        splits = [[np.array([[1.0, 1 + t % 3], [5.0, 2.0]])] for t in range(20)]
        matlab.store(splits, "testsets")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    return path


@pytest.fixture(scope="module")
def mat(tmp_path_factory):
    return write_mat(tmp_path_factory.mktemp("mat") / "cuhk03_release" / "cuhk-03.mat")


@pytest.fixture
def release(tmp_path, mat):
    """The archive of the authors, and the two files of the new protocol."""
    with zipfile.ZipFile(tmp_path / "cuhk03_release.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(mat, "cuhk03_release/cuhk-03.mat")
        archive.writestr("cuhk03_release/README.md", "read me")
    for name in CONFIGS:
        (tmp_path / name).write_bytes(f"content of {name}".encode())
    return [tmp_path / "cuhk03_release.zip", *(tmp_path / name for name in CONFIGS)]


def check_images(out):
    for boxes in ("labeled", "detected"):
        whole = expected(boxes)
        assert {path.name for path in (out / f"images_{boxes}").iterdir()} == set(whole)
        for name, image in whole.items():
            assert np.array_equal(Image.open(out / f"images_{boxes}" / name), image), name


def test_every_image_and_split(tmp_path, release):
    out = tmp_path / "out"
    number = 2 * len(expected("labeled"))
    assert p.prepare(pc.RECIPE, release, out) == (out, 3 + number + 1)
    check_images(out)
    rows = list(csv.DictReader((out / "testsets.csv").open()))
    assert len(rows) == 40
    assert rows[0] == {"split": "0", "pair": "1", "person": "1"}
    assert rows[1] == {"split": "0", "pair": "5", "person": "2"}
    assert rows[38] == {"split": "19", "pair": "1", "person": "2"}
    assert [(out / name).read_text() for name in CONFIGS] == [f"content of {n}" for n in CONFIGS]
    assert {path.name for path in out.iterdir()} == {
        *CONFIGS,
        "cuhk-03.mat",
        "images_detected",
        "images_labeled",
        "testsets.csv",
    }


def test_a_second_run_does_nothing(tmp_path, release):
    p.prepare(pc.RECIPE, release, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert p.prepare(pc.RECIPE, release, tmp_path) == (tmp_path, 0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_interrupted_run_goes_on(tmp_path, mat, monkeypatch):
    whole, calls = Image.Image.save, []

    def half(image, path, *rest):
        calls.append(1)
        if len(calls) == 40:
            path.write_bytes(b"\x89PNG")
            raise KeyboardInterrupt
        whole(image, path, *rest)

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(KeyboardInterrupt):
        pc.convert(mat.parent, tmp_path)
    assert len(list(tmp_path.rglob("*.png"))) == 39
    assert not (tmp_path / "testsets.csv").exists()
    written = len(expected("labeled")) + len(expected("detected")) - 39 + 1
    assert pc.convert(mat.parent, tmp_path) == (tmp_path, written)
    check_images(tmp_path)
    assert not list(tmp_path.rglob("*.part*"))


def test_a_folder_is_read_where_it_lies(tmp_path, mat):
    mine = tmp_path / "mine"
    write_mat(mine / "cuhk03_release" / "cuhk-03.mat")
    (mine / "protocol").mkdir()
    for name in CONFIGS:
        (mine / "protocol" / name).write_bytes(b"x")
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*")}
    out = tmp_path / "out"
    root, written = p.prepare(pc.RECIPE, [mine], out)
    assert (root, written) == (out, 2 * len(expected("labeled")) + 3)
    check_images(out)
    assert not list(out.rglob("cuhk-03.mat"))
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*")} == before
    # What was converted once is not converted again.
    assert p.prepare(pc.RECIPE, [out], tmp_path / "again") == (out, 0)
    assert not (tmp_path / "again").exists()


def test_a_folder_and_the_new_protocol_from_elsewhere(tmp_path, mat, release):
    out = tmp_path / "out"
    root, _ = p.prepare(pc.RECIPE, [mat.parent, *release[1:]], out)
    assert root == out
    assert all((out / name).is_file() for name in CONFIGS)


def test_an_image_that_differs_is_not_overwritten(tmp_path, mat):
    mine = tmp_path / "images_labeled" / "1_001_1_01.png"
    mine.parent.mkdir()
    Image.new("RGB", (9, 25)).save(mine)
    before = mine.read_bytes()
    with pytest.raises(p.PrepareError, match=r"1_001_1_01.png is there and differs from cuhk-03"):
        pc.convert(mat.parent, tmp_path)
    assert mine.read_bytes() == before


def test_half_a_mat(tmp_path, mat):
    (tmp_path / "cuhk-03.mat").write_bytes(mat.read_bytes()[:-5000])
    with pytest.raises(DatasetError, match=r"cannot read .*cuhk-03.mat .*truncated"):
        pc.convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_mat(tmp_path):
    with h5py.File(tmp_path / "cuhk-03.mat", "w") as file:
        file["detected"] = 1
    with pytest.raises(DatasetError, match=r"no variable labeled, testsets; it has detected"):
        pc.convert(tmp_path, tmp_path / "out")


def test_images_are_read_one_at_a_time(mat, monkeypatch):
    """The file has 1.9 GB in reality."""
    read, reads = h5py.Dataset.__getitem__, []

    def counted(dataset, key, **options):
        reads.extend([dataset.name] * (dataset.ndim == 3))
        return read(dataset, key, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    for number, _ in enumerate(stored_images(mat, "detected"), start=1):
        assert len(reads) == number
    assert len(set(reads)) == len(expected("detected"))


def test_which_protocols_can_be_opened(tmp_path):
    (tmp_path / "testsets.csv").write_text("split,pair,person\n")
    classic = [("cuhk03-classic", {"boxes": boxes}) for boxes in ("detected", "labeled")]
    assert pc.opens(tmp_path) == classic
    assert "run this again with them" in pc.remarks(tmp_path)[0]
    for name in CONFIGS:
        (tmp_path / name).write_bytes(b"x")
    new = [("cuhk03-np", {"boxes": boxes}) for boxes in ("detected", "labeled")]
    assert pc.opens(tmp_path) == new + classic
    assert pc.remarks(tmp_path) == []
    (tmp_path / "testsets.csv").unlink()
    assert pc.opens(tmp_path) == new


def test_images_sorted_by_the_new_protocol(tmp_path):
    parts = [f"{b}/{part}" for b in ("labeled", "detected") for part in pc.MARKET]
    with zipfile.ZipFile(tmp_path / "np.zip", "w") as archive:
        for part in parts:
            archive.writestr(f"cuhk03-np/{part}/0003_c1_21.png", part)
    out = tmp_path / "out"
    assert p.prepare(pc.RECIPE, [tmp_path / "np.zip"], out) == (out, 6)
    assert pc.opens(out) == [("cuhk03-np", {"boxes": boxes}) for boxes in ("detected", "labeled")]
    assert pc.remarks(out) == []
