"""What is unpacked, what is refused, and what a second or an interrupted run does."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reidlab.data import prepare as p

RECIPE = p.Recipe(
    name="market1501",
    keep=(r"(train|query)/[^/]+\.jpg", r"names\.txt"),
    forms=(("train/*.jpg", "query/*.jpg"),),
    leave="^other_",
)


def jpg(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 16), (seed, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


MEMBERS = {
    "Market/train/0002_c1s1_000451_03.jpg": jpg(1),
    "Market/train/0007_c2s1_000451_03.jpg": jpg(2),
    "Market/query/0003_c1s1_000451_03.jpg": jpg(3),
    "Market/names.txt": b"two\n",
    "Market/readme.txt": b"not wanted",
    "Market/query/Thumbs.db": b"x",
    "Market/query/._0003_c1s1_000451_03.jpg": b"x",
    "__MACOSX/Market/query/0009_c1s1_000451_03.jpg": b"x",
}
UNPACKED = {
    "train/0002_c1s1_000451_03.jpg": jpg(1),
    "train/0007_c2s1_000451_03.jpg": jpg(2),
    "query/0003_c1s1_000451_03.jpg": jpg(3),
    "names.txt": b"two\n",
}
KINDS = ("m.zip", "m.tar", "m.tar.gz", "m.tar.xz")


def pack(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path
    mode = {".tar": "w", ".gz": "w:gz", ".xz": "w:xz"}[path.suffix]
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def files(root: Path) -> dict[str, bytes]:
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(f): (f.stat().st_mtime_ns, f.stat().st_size) for f in [root, *root.rglob("*")]}


class TestUnpack:
    @pytest.mark.parametrize("kind", KINDS)
    def test_what_belongs_and_no_more_once(self, tmp_path, kind):
        source, out = pack(tmp_path / kind, MEMBERS), tmp_path / "out"
        assert p.unpack(RECIPE, [source], out) == 4
        assert files(out) == UNPACKED
        before = state(out)
        assert p.unpack(RECIPE, [source], out) == 0
        assert state(out) == before

    def test_windows_names(self, tmp_path):
        turned = {name.replace("/", "\\"): content for name, content in MEMBERS.items()}
        p.unpack(RECIPE, [pack(tmp_path / "m.tar", turned)], tmp_path / "out")
        assert files(tmp_path / "out") == UNPACKED

    def test_several_archives_and_a_lone_file(self, tmp_path):
        parts = [{k: v for k, v in MEMBERS.items() if part in k} for part in ("train", "query")]
        sources = [pack(tmp_path / f"{i}.zip", members) for i, members in enumerate(parts)]
        (tmp_path / "names.txt").write_bytes(b"two\n")
        assert p.unpack(RECIPE, [*sources, tmp_path / "names.txt"], tmp_path / "out") == 4
        assert files(tmp_path / "out") == UNPACKED

    def test_parts_may_be_there_already(self, tmp_path):
        parts = [{k: v for k, v in MEMBERS.items() if part in k} for part in ("train", "query")]
        for part, content in UNPACKED.items():
            if part.startswith("query"):
                (tmp_path / "out" / "query").mkdir(parents=True)
                (tmp_path / "out" / part).write_bytes(content)
        assert p.unpack(RECIPE, [pack(tmp_path / "a.zip", parts[0])], tmp_path / "out") == 2

    @pytest.mark.parametrize("kind", ["m.zip", "m.tar.gz"])
    def test_an_interrupted_run_goes_on(self, tmp_path, kind, monkeypatch):
        source, out = pack(tmp_path / kind, MEMBERS), tmp_path / "out"
        whole, calls = p.shutil.copyfileobj, []

        def half(stream, file, length):
            calls.append(1)
            if len(calls) == 3:
                file.write(stream.read(5))
                raise KeyboardInterrupt
            whole(stream, file, length)

        monkeypatch.setattr(p.shutil, "copyfileobj", half)
        with pytest.raises(KeyboardInterrupt):
            p.unpack(RECIPE, [source], out)
        assert len(files(out)) == 2
        assert files(out).items() < UNPACKED.items()
        assert p.unpack(RECIPE, [source], out) == 2
        assert files(out) == UNPACKED

    def test_the_disk_is_not_waited_for(self, tmp_path, monkeypatch):
        """For 100,000 images that takes minutes, and they can be unpacked again."""
        monkeypatch.setattr(os, "fsync", None)
        assert p.unpack(RECIPE, [pack(tmp_path / "m.zip", MEMBERS)], tmp_path / "out") == 4

    def test_what_a_killed_run_left_is_replaced(self, tmp_path):
        (tmp_path / "out" / "query").mkdir(parents=True)
        (tmp_path / "out" / "query" / ".0003_c1s1_000451_03.1000000000.part.jpg").write_bytes(b"ha")
        p.unpack(RECIPE, [pack(tmp_path / "m.zip", MEMBERS)], tmp_path / "out")
        assert files(tmp_path / "out") == UNPACKED

    @pytest.mark.parametrize("content", [b"mine", jpg(3)[:-1] + b"?"], ids=["size", "one byte"])
    def test_a_file_that_differs_is_not_overwritten(self, tmp_path, content):
        mine = tmp_path / "out" / "query" / "0003_c1s1_000451_03.jpg"
        mine.parent.mkdir(parents=True)
        mine.write_bytes(content)
        with pytest.raises(p.PrepareError, match=r"differs from the one in .*m.zip.*--out"):
            p.unpack(RECIPE, [pack(tmp_path / "m.zip", MEMBERS)], tmp_path / "out")
        assert mine.read_bytes() == content

    def test_two_members_for_one_place(self, tmp_path):
        again = MEMBERS | {"copy/names.txt": b"two\n"}
        assert p.unpack(RECIPE, [pack(tmp_path / "a.zip", again)], tmp_path / "a") == 4
        other = MEMBERS | {"copy/names.txt": b"six\n"}
        with pytest.raises(p.PrepareError, match=r"names.txt is there and differs"):
            p.unpack(RECIPE, [pack(tmp_path / "b.zip", other)], tmp_path / "b")


class TestUnsafe:
    @pytest.mark.parametrize("kind", ["m.zip", "m.tar"])
    @pytest.mark.parametrize(
        "name",
        [
            "../query/a.jpg",
            "query/../../a.jpg",
            "/query/a.jpg",
            "C:\\query\\a.jpg",
            "C:query/a.jpg",
            "..\\query\\a.jpg",
            "\\\\server\\query\\a.jpg",
            "query/a.jpg:hidden",
        ],
    )
    def test_a_path_that_escapes_stops_everything(self, tmp_path, kind, name):
        source = pack(tmp_path / kind, MEMBERS | {name: jpg()})
        with pytest.raises(p.PrepareError, match="points out of the folder"):
            p.unpack(RECIPE, [source], tmp_path / "out")
        assert list(tmp_path.iterdir()) == [source]

    @pytest.mark.parametrize(
        "type_",
        [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
    )
    def test_links_and_devices_of_a_tar(self, tmp_path, type_):
        source = pack(tmp_path / "m.tar", MEMBERS)
        with tarfile.open(source, "a") as archive:
            info = tarfile.TarInfo("query/0005_c1s1_000451_03.jpg")
            info.type, info.linkname = type_, "/etc/passwd"
            archive.addfile(info)
        with pytest.raises(p.PrepareError, match="is a link or a device"):
            p.unpack(RECIPE, [source], tmp_path / "out")
        assert list(tmp_path.iterdir()) == [source]

    def test_a_link_of_a_zip(self, tmp_path):
        info = zipfile.ZipInfo("query/0005_c1s1_000451_03.jpg")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(p.PrepareError, match="is a link or a device"):
            p.unpack(RECIPE, [tmp_path / "m.zip"], tmp_path / "out")

    @given(
        st.lists(st.sampled_from(["..", ".", "", "query", "C:", "~", "a.jpg", "\\"]), min_size=1)
    )
    def test_no_name_leads_out_of_the_folder(self, tmp_path_factory, parts):
        root = tmp_path_factory.mktemp("name")
        members = MEMBERS | {"/".join(parts) or "x": jpg()}
        try:
            p.unpack(RECIPE, [pack(root / "m.tar", members)], root / "out")
        except p.PrepareError:
            assert [f.name for f in root.iterdir()] == ["m.tar"]
        else:
            assert {f.name for f in root.iterdir()} == {"m.tar", "out"}
            assert {*files(root / "out")} - {*UNPACKED} <= {"query/a.jpg"}


class TestDamage:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
    def test_half_a_download_writes_nothing(self, tmp_path, kind, part):
        source = pack(tmp_path / kind, MEMBERS)
        content = source.read_bytes()
        source.write_bytes(content[: int(len(content.rstrip(bytes(1))) * part)])
        with pytest.raises(
            p.PrepareError, match=r"not a whole (zip|tar) arch|damaged or cut short"
        ):
            p.unpack(RECIPE, [source], tmp_path / "out")
        assert list(tmp_path.iterdir()) == [source]

    @pytest.mark.parametrize("blocks", range(12))
    def test_a_tar_cut_between_two_blocks(self, tmp_path, blocks):
        members = {name: content[:500] for name, content in MEMBERS.items() if "Market/" in name}
        source = pack(tmp_path / "m.tar", members)  # a block of header, a block of content each
        source.write_bytes(source.read_bytes()[: 512 * blocks])
        with pytest.raises(p.PrepareError, match=r"not a whole tar archive|cut short"):
            p.unpack(RECIPE, [source], tmp_path / "out")

    def test_a_tar_with_a_broken_header(self, tmp_path):
        source = pack(tmp_path / "m.tar", MEMBERS)
        source.write_bytes(source.read_bytes().replace(b"Market/names.txt", b"Market/games.txt"))
        with pytest.raises(p.PrepareError, match="damaged or cut short"):
            p.unpack(RECIPE, [source], tmp_path / "out")

    def test_a_flipped_bit(self, tmp_path):
        source = pack(tmp_path / "m.zip", MEMBERS)
        content = source.read_bytes()
        at = content.index(jpg(3)) + 100
        source.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(p.PrepareError, match=r"damaged.* at Market/query/0003.*get it again"):
            p.unpack(RECIPE, [source], tmp_path / "out")
        assert files(tmp_path / "out").items() < UNPACKED.items()
        assert "query/0003_c1s1_000451_03.jpg" not in files(tmp_path / "out")

    def test_another_size_than_announced(self, tmp_path):
        target = tmp_path / "out" / "a.jpg"
        with pytest.raises(p.PrepareError, match=r"a.jpg has 3 bytes, the archive announces 4"):
            p.put(io.BytesIO(b"abc"), 4, target, tmp_path / "m.zip")
        assert files(tmp_path) == {}

    def test_an_encrypted_zip(self, tmp_path):
        source = pack(tmp_path / "m.zip", MEMBERS)
        content = bytearray(source.read_bytes())
        content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first entry
        source.write_bytes(bytes(content))
        with pytest.raises(p.PrepareError, match=r"is encrypted.*pass the folder"):
            p.unpack(RECIPE, [source], tmp_path / "out")

    def test_another_packer(self, tmp_path):
        (tmp_path / "m.rar").write_bytes(b"Rar!")
        with pytest.raises(p.PrepareError, match=r"only zip and tar.*pass the folder"):
            p.unpack(RECIPE, [tmp_path / "m.rar"], tmp_path / "out")


class TestAnotherSet:
    @pytest.mark.parametrize(
        ("name", "title", "script"),
        [
            ("0005_c2_f0046985.jpg", "DukeMTMC-reID", "prepare_dukemtmc.py"),
            ("0000_000_01_0303morning_0015_0.jpg", "MSMT17", "prepare_msmt17.py"),
            ("0000_010_03_0114afternoon_1015_11_ex.jpg", "MSMT17", "prepare_msmt17.py"),
            ("1_001_1_01.png", "CUHK03", "prepare_cuhk03.py"),
            ("cuhk-03.mat", "CUHK03", "prepare_cuhk03.py"),
            ("0002_c002_00030600_0.jpg", "VeRi-776", "prepare_veri776.py"),
            ("000000_s00_c00_f000264.jpg", "RandPerson", "prepare_randperson.py"),
            ("cam1/0001/0003.jpg", "SYSU-MM01", "prepare_sysu_mm01.py"),
            ("male_back_v_05528_285.bmp", "RegDB", "prepare_regdb.py"),
            ("009/02_7.png", "PKU-Reid", "prepare_pku_reid.py"),
            ("train.list", "Occluded-Duke", "prepare_occluded_duke.py"),
        ],
    )
    def test_is_named(self, tmp_path, name, title, script):
        source = pack(tmp_path / "m.zip", {f"train/{name}": b"x", f"query/{name}": b"x"})
        with pytest.raises(p.PrepareError, match=f"looks like {title}, not like Market.*{script}"):
            p.unpack(RECIPE, [source], tmp_path / "out")
        assert (Path(__file__).parents[2] / "data_scripts" / script).is_file()

    def test_as_a_folder(self, tmp_path):
        (tmp_path / "query").mkdir()
        (tmp_path / "query" / "0005_c2_f0046985.jpg").write_bytes(b"x")
        with pytest.raises(p.PrepareError, match="looks like DukeMTMC-reID"):
            p.prepare(RECIPE, [tmp_path], tmp_path / "out")

    def test_none_that_is_known(self, tmp_path):
        source = pack(tmp_path / "m.zip", {"photos/me.jpg": b"x", "photos/you.jpg": b"x"})
        with pytest.raises(
            p.PrepareError, match=r"no images in train, images in query.*holds photos/me.jpg"
        ):
            p.unpack(RECIPE, [source], tmp_path / "out")

    def test_archives_in_an_archive(self, tmp_path):
        source = pack(tmp_path / "m.zip", {"a/train.zip": b"x"})
        with pytest.raises(p.PrepareError, match=r"other archives, e.g. a/train.zip: unpack it"):
            p.unpack(RECIPE, [source], tmp_path / "out")

    def test_the_form_that_is_nearest_is_the_one_missed(self, tmp_path):
        recipe = p.Recipe(
            name="market1501",
            keep=(r"(a|b|c)/\w\.jpg",),
            forms=(("a/*.jpg", "b/*.jpg", "c/*.jpg"), ("*.jpg",), ("a/*/*.jpg",)),
        )
        source = pack(tmp_path / "m.zip", {"a/x.jpg": b"x", "b/x.jpg": b"x"})
        with pytest.raises(p.PrepareError, match=r"^no images in c: "):
            p.unpack(recipe, [source], tmp_path / "out")


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        root = tmp_path / "unpacked"
        for name, content in UNPACKED.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        for path in [*root.rglob("*"), root]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield root
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)

    def test_is_checked_where_it_lies(self, tmp_path, folder):
        before = state(folder)
        assert p.prepare(RECIPE, [folder], tmp_path / "out") == (folder, 0)
        assert state(folder) == before
        assert not (tmp_path / "out").exists()

    def test_litter_beside_the_parts(self, tmp_path):
        root = tmp_path / "unpacked"
        litter = {"._m.zip": b"\x00\x05", "__MACOSX/query/._1.jpg": b"\x00\x05", "a.zip~": b"x"}
        for name, content in (UNPACKED | litter).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        assert p.prepare(RECIPE, [root], tmp_path / "out") == (root, 0)

    @pytest.mark.parametrize("litter", ["query/._0003_c1s1_000451_03.jpg", "query/.a.jpg"])
    def test_litter_is_no_part(self, tmp_path, litter):
        (tmp_path / "out" / litter).parent.mkdir(parents=True)
        (tmp_path / "out" / litter).write_bytes(b"\x00\x05")
        parts = {name: data for name, data in MEMBERS.items() if "query" not in name}
        with pytest.raises(p.PrepareError, match="no images in query"):
            p.unpack(RECIPE, [pack(tmp_path / "m.zip", parts)], tmp_path / "out")

    def test_archives_are_read_only_too(self, tmp_path):
        (tmp_path / "mine").mkdir()
        pack(tmp_path / "mine" / "m.tar.gz", MEMBERS).chmod(0o444)
        before = state(tmp_path / "mine")
        p.prepare(RECIPE, [tmp_path / "mine" / "m.tar.gz"], tmp_path / "out")
        assert state(tmp_path / "mine") == before

    def test_nothing_is_added_to_it_unasked(self, tmp_path, folder):
        more = pack(tmp_path / "more.zip", {"names.txt": b"two\n"})
        before = state(folder)
        with pytest.raises(p.PrepareError, match=rf"more.zip.*pass that alone, and --out {folder}"):
            p.prepare(RECIPE, [folder, more], tmp_path / "out")
        assert state(folder) == before

    def test_an_archive_into_a_folder_on_request(self, tmp_path, folder):
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)
        (folder / "names.txt").unlink()
        more = pack(tmp_path / "more.zip", {"names.txt": b"two\n"})
        assert p.prepare(RECIPE, [more], folder) == (folder, 1)
        assert files(folder) == UNPACKED

    def test_of_archives(self, tmp_path):
        pack(tmp_path / "m.zip", MEMBERS)
        with pytest.raises(p.PrepareError, match=r"holds archives.*m.zip: pass the archives"):
            p.prepare(RECIPE, [tmp_path], tmp_path / "out")

    def test_two(self, tmp_path, folder):
        with pytest.raises(p.PrepareError, match="pass one folder, not 2"):
            p.prepare(RECIPE, [folder, tmp_path], tmp_path / "out")

    def test_none(self, tmp_path):
        with pytest.raises(p.PrepareError, match=r"there is no file or folder .*m\.zip"):
            p.prepare(RECIPE, [tmp_path / "m.zip"], tmp_path / "out")


class TestRun:
    """With Market-1501's real recipe: these need its reader."""

    recipe = p.Recipe(
        name="market1501",
        keep=(r"(bounding_box_train|bounding_box_test|query)/[^/]+\.jpg",),
        forms=(("bounding_box_train/*.jpg", "bounding_box_test/*.jpg", "query/*.jpg"),),
        leave="^other_",
        remarks=lambda root: [f"a remark on {root.name}"],
    )
    members = {  # noqa: RUF012
        "bounding_box_train/0002_c1s1_000451_03.jpg": jpg(),
        "query/0003_c1s1_000451_03.jpg": jpg(),
        "bounding_box_test/0003_c2s1_000451_03.jpg": jpg(),
    }

    def test_says_what_it_did_and_did_not(self, tmp_path, capsys):
        source, out = pack(tmp_path / "m.zip", self.members), tmp_path / "out"
        other = tmp_path / "other_things.zip"
        other.write_bytes(b"no archive")
        call = [str(source), str(other), "--out", str(out)]
        assert p.run(self.recipe, "What it is.", call) == 0
        said = capsys.readouterr()
        assert f"3 files written to {out}" in said.out
        assert "other_things.zip is not part of what is read; it is left alone" in said.out
        assert "note: a remark on out" in said.out
        assert said.err.count("train has 1 images of 1 people in 1 cameras; published") == 1
        assert p.run(self.recipe, "What it is.", call) == 0
        assert f"nothing to do: all files are in {out}" in capsys.readouterr().out

    def test_the_default_folder(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        pack(tmp_path / "m.zip", self.members)
        assert p.run(self.recipe, "What it is.", ["m.zip"]) == 0
        assert sorted(os.listdir("data/market1501")) == [
            "bounding_box_test",
            "bounding_box_train",
            "query",
        ]

    def test_errors_and_interruptions_have_a_status(self, tmp_path, monkeypatch, capsys):
        assert p.run(self.recipe, "What it is.", [str(tmp_path / "m.zip")]) == 1
        assert "error: there is no file or folder" in capsys.readouterr().err

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(p, "prepare", stop)
        assert p.run(self.recipe, "What it is.", ["m.zip"]) == 130
        assert "the same command goes on where it stopped" in capsys.readouterr().err
