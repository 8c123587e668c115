"""Unpacking a user's archive: only its images, only inside the folder, never over a file."""

import io
import zipfile

import pytest
from PIL import Image

from data_scripts import prepare_market1501 as pm
from reidlab.data.prepare import PrepareError, run, unpack


def jpg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 128)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def members() -> dict[str, bytes]:
    top = "Market-1501-v15.09.15"
    return {
        f"{top}/bounding_box_train/0002_c1s1_000451_03.jpg": jpg(),
        f"{top}/query/0003_c1s1_000451_03.jpg": jpg(),
        f"{top}/bounding_box_test/0003_c2s1_000451_03.jpg": jpg(),
        f"{top}/bounding_box_test/Thumbs.db": b"x",
        f"{top}/gt_query/0003_c1s1_000451_03_good.mat": b"x",
        f"__MACOSX/{top}/query/._0003_c1s1_000451_03.jpg": b"x",
        f"{top}/readme.txt": b"x",
    }


def archive(path, members) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def listing(root) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_unpacks_the_images_once(tmp_path, members):
    archive(tmp_path / "m.zip", members)
    assert unpack(pm.RECIPE, [tmp_path / "m.zip"], tmp_path / "out") == 3
    assert listing(tmp_path / "out") == [
        "bounding_box_test/0003_c2s1_000451_03.jpg",
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "query/0003_c1s1_000451_03.jpg",
    ]
    assert unpack(pm.RECIPE, [tmp_path / "m.zip"], tmp_path / "out") == 0


@pytest.mark.parametrize(
    "name", ["../query/0001_c1s1_000151_01.jpg", "/query/a.jpg", "C:\\query\\a.jpg"]
)
def test_a_path_that_escapes_stops_everything(tmp_path, members, name):
    archive(tmp_path / "m.zip", {name: jpg()} | members)
    with pytest.raises(PrepareError, match="points out of the folder"):
        unpack(pm.RECIPE, [tmp_path / "m.zip"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_differs_is_not_overwritten(tmp_path, members):
    archive(tmp_path / "m.zip", members)
    mine = tmp_path / "out" / "query" / "0003_c1s1_000451_03.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(PrepareError, match="was not overwritten"):
        unpack(pm.RECIPE, [tmp_path / "m.zip"], tmp_path / "out")
    assert mine.read_bytes() == b"mine"


def test_an_incomplete_archive_names_what_is_missing(tmp_path, members):
    archive(tmp_path / "m.zip", {k: v for k, v in members.items() if "/query/" not in k})
    with pytest.raises(PrepareError, match="no images in query"):
        unpack(pm.RECIPE, [tmp_path / "m.zip"], tmp_path / "out")


def test_half_a_download(tmp_path, members, capsys):
    archive(tmp_path / "m.zip", members)
    (tmp_path / "m.zip").write_bytes((tmp_path / "m.zip").read_bytes()[:300])
    assert run(pm.RECIPE, None, [str(tmp_path / "m.zip"), "--out", str(tmp_path / "out")]) == 1
    assert "not a whole zip archive" in capsys.readouterr().err


def test_the_counts_are_compared_with_the_published_ones(tmp_path, members, capsys):
    archive(tmp_path / "m.zip", members)
    assert run(pm.RECIPE, None, [str(tmp_path / "m.zip"), "--out", str(tmp_path / "out")]) == 0
    output = capsys.readouterr()
    assert "3 files written" in output.out
