"""Each script, on an archive in the form in which its set comes: what is kept, and where it goes.

These need no reader: they end where the folder is written. `test_prepare_whole.py` goes on.
"""

import importlib
import re
import zipfile
from pathlib import Path

import pytest

from reidlab.data.prepare import KINDS, PrepareError, prepare, run, unpack

SCRIPTS = sorted(Path(__file__).parents[2].joinpath("data_scripts").glob("prepare_*.py"))
MODULES = {p.stem.removeprefix("prepare_"): f"data_scripts.{p.stem}" for p in SCRIPTS}


def script(name):
    return importlib.import_module(MODULES[name])


# Script -> what an archive holds -> where it goes; None: passed over.
ARCHIVES = {
    "market1501": {
        "Market-1501-v15.09.15/bounding_box_train/0002_c1s1_000451_03.jpg": (
            "bounding_box_train/0002_c1s1_000451_03.jpg"
        ),
        "Market-1501-v15.09.15/bounding_box_test/-1_c1s1_000401_03.jpg": (
            "bounding_box_test/-1_c1s1_000401_03.jpg"
        ),
        "Market-1501-v15.09.15/query/0001_c1s1_001051_00.jpg": "query/0001_c1s1_001051_00.jpg",
        "Market-1501-v15.09.15/gt_bbox/0001_c1s1_001051_00.jpg": None,
        "Market-1501-v15.09.15/gt_query/0001_c1s1_001051_00_good.mat": None,
        "Market-1501-v15.09.15/readme.txt": None,
    },
    "dukemtmc": {
        "DukeMTMC-reID/bounding_box_train/0001_c2_f0046182.jpg": (
            "bounding_box_train/0001_c2_f0046182.jpg"
        ),
        "DukeMTMC-reID/bounding_box_test/0002_c1_f0044158.jpg": (
            "bounding_box_test/0002_c1_f0044158.jpg"
        ),
        "DukeMTMC-reID/query/0005_c2_f0046985.jpg": "query/0005_c2_f0046985.jpg",
        "DukeMTMC-reID/LICENSE_DukeMTMC.txt": "LICENSE_DukeMTMC.txt",
        "DukeMTMC-reID/CITATION_DukeMTMC.txt": "CITATION_DukeMTMC.txt",
    },
    "occluded_duke": {
        "lists-main/Occluded_Duke/train.list": "train.list",
        "lists-main/Occluded_Duke/query.list": "query.list",
        "lists-main/Occluded_Duke/gallery.list": "gallery.list",
        "lists-main/build.py": None,
        "DukeMTMC-reID/bounding_box_train/0001_c2_f0046182.jpg": (
            "DukeMTMC-reID/bounding_box_train/0001_c2_f0046182.jpg"
        ),
        "DukeMTMC-reID/bounding_box_test/0002_c1_f0044158.jpg": (
            "DukeMTMC-reID/bounding_box_test/0002_c1_f0044158.jpg"
        ),
        "DukeMTMC-reID/query/0005_c2_f0046985.jpg": "DukeMTMC-reID/query/0005_c2_f0046985.jpg",
    },
    "msmt17": {
        "MSMT17_V2/mask_train_v2/0000/0000_000_01_0303morning_0015_0.jpg": (
            "mask_train_v2/0000/0000_000_01_0303morning_0015_0.jpg"
        ),
        "MSMT17_V2/mask_test_v2/0000/0000_010_03_0114afternoon_1015_11_ex.jpg": (
            "mask_test_v2/0000/0000_010_03_0114afternoon_1015_11_ex.jpg"
        ),
        "__MACOSX/MSMT17_V2/mask_test_v2/0000/._0000_010_03_0114afternoon_1015_11_ex.jpg": None,
        "MSMT17_V2/list_train.txt": "list_train.txt",
        "MSMT17_V2/list_val.txt": "list_val.txt",
        "MSMT17_V2/list_query.txt": "list_query.txt",
        "MSMT17_V2/list_gallery.txt": "list_gallery.txt",
    },
    "veri776": {
        "VeRi/image_train/0001_c001_00016450_0.jpg": "image_train/0001_c001_00016450_0.jpg",
        "VeRi/image_query/0002_c002_00030600_0.jpg": "image_query/0002_c002_00030600_0.jpg",
        "VeRi/image_test/0002_c002_00030600_0.jpg": "image_test/0002_c002_00030600_0.jpg",
        **{
            f"VeRi/{name}": name
            for name in (
                "name_train.txt",
                "name_query.txt",
                "name_test.txt",
                "train_label.xml",
                "test_label.xml",
                "gt_index.txt",
                "jk_index.txt",
                "test_track.txt",
                "list_color.txt",
            )
        },
        "extra/keypoint_train.txt": "keypoint_train.txt",
        "VeRi/README.txt": None,
    },
    "randperson": {
        "randperson_subset/000000_s00_c00_f000264.jpg": (
            "randperson_subset/000000_s00_c00_f000264.jpg"
        ),
        "randperson_subset/000001_c01_s00_f000300.jpg": (
            "randperson_subset/000001_c01_s00_f000300.jpg"
        ),
        "randperson_subset/readme.md": None,
    },
    "sysu_mm01": {
        **{
            f"SYSU-MM01/cam{camera}/0006/0001.jpg": f"cam{camera}/0006/0001.jpg"
            for camera in range(1, 7)
        },
        "SYSU-MM01/exp/train_id.txt": "exp/train_id.txt",
        "SYSU-MM01/exp/val_id.txt": "exp/val_id.txt",
        "SYSU-MM01/exp/test_id.txt": "exp/test_id.txt",
        "SYSU-MM01/exp/rand_perm_cam.mat": "exp/rand_perm_cam.mat",
        "SYSU-MM01/readme.txt": None,
    },
    "regdb": {
        "RegDB/Visible/285/male_back_v_05528_285.bmp": "Visible/285/male_back_v_05528_285.bmp",
        "RegDB/Thermal/285/male_back_t_05529_285.bmp": "Thermal/285/male_back_t_05529_285.bmp",
        "RegDB/idx/train_visible_1.txt": "idx/train_visible_1.txt",
        "RegDB/idx/train_thermal_1.txt": "idx/train_thermal_1.txt",
        "RegDB/idx/test_visible_10.txt": "idx/test_visible_10.txt",
        "RegDB/idx/test_thermal_10.txt": "idx/test_thermal_10.txt",
    },
    "pku_reid": {
        "Person_Re-Identification-main/data/train/001/01_1.png": "train/001/01_1.png",
        "Person_Re-Identification-main/data/val/all_imgs/004/01_1.png": (
            "val/all_imgs/004/01_1.png"
        ),
        "Person_Re-Identification-main/data/val/query/004/01_1.png": "val/query/004/01_1.png",
        "Person_Re-Identification-main/data/val/gallery/004/02_8.png": "val/gallery/004/02_8.png",
        "Person_Re-Identification-main/figures/loss.png": None,
        "Person_Re-Identification-main/README.md": None,
    },
}
OPTIONAL = re.compile(r"LICENSE|CITATION|list_color|keypoint|rand_perm|_f\d{6}\.jpg")
RELEASE = ("train/1_1_1.png", "test/12_2_8.png")


def pack(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, f"content of {name}")
    return path


def files(root):
    return {f.relative_to(root).as_posix(): f.read_text() for f in root.rglob("*") if f.is_file()}


@pytest.mark.parametrize("name", ARCHIVES)
class TestRecipes:
    def test_what_is_kept_goes_where_the_reader_looks(self, tmp_path, name):
        source = pack(tmp_path / "set.zip", ARCHIVES[name])
        expected = {to: f"content of {at}" for at, to in ARCHIVES[name].items() if to}
        recipe = script(name).RECIPE
        assert unpack(recipe, [source], tmp_path / "out") == len(expected)
        assert files(tmp_path / "out") == expected
        assert unpack(recipe, [source], tmp_path / "out") == 0

    def test_every_part_is_missed(self, tmp_path, name):
        """The archives above hold one file for each part, so each that is left out is a part."""
        kept = {at for at, to in ARCHIVES[name].items() if to and not OPTIONAL.search(at)}
        for part in kept:
            source = pack(tmp_path / "set.zip", ARCHIVES[name].keys() - {part})
            with pytest.raises(PrepareError, match=r"^no .* is made of .*, and what was given"):
                unpack(script(name).RECIPE, [source], tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_another_sets_archive_is_refused(self, tmp_path, name):
        other = "regdb" if name != "regdb" else "veri776"
        source = pack(tmp_path / "set.zip", ARCHIVES[other])
        with pytest.raises(PrepareError, match=f"prepare_{other}.py on it"):
            unpack(script(name).RECIPE, [source], tmp_path / "out")


class TestSpecial:
    def test_msmt17_version_1_shows_faces(self, tmp_path, capsys):
        recipe = script("msmt17").RECIPE
        names = [
            "train/0000/0000_000_01_0303morning_0015_0.jpg",
            "test/0000/0000_000_01_0303noon_0015_0.jpg",
            *(f"list_{part}.txt" for part in ("train", "val", "query", "gallery")),
        ]
        unpack(recipe, [pack(tmp_path / "v1.zip", names)], tmp_path / "v1")
        assert "shows faces" in recipe.remarks(tmp_path / "v1")[0]
        unpack(recipe, [pack(tmp_path / "v2.zip", ARCHIVES["msmt17"])], tmp_path / "v2")
        assert recipe.remarks(tmp_path / "v2") == []

    def test_randperson_by_camera(self, tmp_path, capsys):
        recipe, out = script("randperson").RECIPE, tmp_path / "out"
        names = ["camera0_1/000000_s03_c00_f000264.jpg", "camera0_1/000001_s03_c00_f000265.jpg"]
        sources = [pack(tmp_path / f"{i}.zip", [name]) for i, name in enumerate(names)]
        (tmp_path / "delete_0.tar.gz").write_bytes(b"never opened")
        sources.append(tmp_path / "delete_0.tar.gz")
        assert prepare(recipe, sources, out) == (out, 2)
        assert set(files(out)) == {Path(name).name for name in names}
        assert "delete_0.tar.gz is not part of what is read" in capsys.readouterr().out

    def test_randperson_camera_first_names_are_kept_and_counted(self, tmp_path):
        recipe, out = script("randperson").RECIPE, tmp_path / "out"
        unpack(recipe, [pack(tmp_path / "r.zip", ARCHIVES["randperson"])], out)
        assert recipe.remarks(out)[0].startswith("1 images have the names of the first release")
        (out / "randperson_subset" / "000001_c01_s00_f000300.jpg").unlink()
        assert recipe.remarks(out) == []

    def test_sysu_permutations_by_themselves_and_the_video_left_alone(self, tmp_path):
        recipe, out = script("sysu_mm01").RECIPE, tmp_path / "out"
        names = [name for name in ARCHIVES["sysu_mm01"] if "rand_perm" not in name]
        (tmp_path / "cam1_2_video.zip").write_bytes(b"never opened")
        sources = [pack(tmp_path / "s.zip", names), tmp_path / "cam1_2_video.zip"]
        prepare(recipe, sources, out)
        assert 'draw="official" needs that file' in recipe.remarks(out)[0]
        (tmp_path / "rand_perm_cam.mat").write_text("permutations")
        assert prepare(recipe, [tmp_path / "rand_perm_cam.mat"], out) == (out, 1)
        assert files(out)["rand_perm_cam.mat"] == "permutations"
        assert recipe.remarks(out) == []

    def test_regdb_splits_beside_an_unpacked_folder(self, tmp_path):
        recipe, folder = script("regdb").RECIPE, tmp_path / "mine"
        for name in ("Visible/1/male_back_v_05528_1.bmp", "Thermal/1/male_back_t_05529_1.bmp"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text("an image")
        idx = pack(tmp_path / "idx.zip", [n for n in ARCHIVES["regdb"] if "/idx/" in n])
        assert prepare(recipe, [idx], folder) == (folder, 4)

    def test_occluded_duke_lists_beside_an_unpacked_folder(self, tmp_path):
        recipe, folder = script("occluded_duke").RECIPE, tmp_path / "mine"
        for part in ("bounding_box_train", "bounding_box_test", "query"):
            (folder / "DukeMTMC-reID" / part).mkdir(parents=True)
            (folder / "DukeMTMC-reID" / part / "0005_c2_f0046985.jpg").write_text("an image")
        lists = [tmp_path / f"{part}.list" for part in ("train", "query", "gallery")]
        for path in lists:
            path.write_text("0005_c2_f0046985.jpg\n")
        assert prepare(recipe, lists, folder) == (folder, 3)
        with pytest.raises(PrepareError, match="no images in DukeMTMC-reID/bounding_box_train"):
            prepare(recipe, lists, tmp_path / "elsewhere")

    def test_pku_release(self, tmp_path):
        recipe = script("pku_reid").RECIPE
        assert unpack(recipe, [pack(tmp_path / "a.zip", RELEASE)], tmp_path / "a") == 2
        assert set(files(tmp_path / "a")) == {*RELEASE}
        flat = pack(tmp_path / "b.zip", ["PKU/1_1_1.png", "PKU/12_2_8.png"])
        with pytest.raises(PrepareError, match=r"no train_ids.txt"):
            unpack(recipe, [flat], tmp_path / "b")
        (tmp_path / "train_ids.txt").write_text("1\n")
        assert unpack(recipe, [flat, tmp_path / "train_ids.txt"], tmp_path / "b") == 3
        assert set(files(tmp_path / "b")) == {"1_1_1.png", "12_2_8.png", "train_ids.txt"}


@pytest.mark.parametrize("name", MODULES)
class TestDocstrings:
    def test_say_what_a_user_must_know(self, name):
        doc = script(name).__doc__
        heads = ["What it is", "Whom to ask", "Licence", "Privacy"]
        assert [line for line in doc.splitlines() if line in heads] == heads
        assert f"    python data_scripts/prepare_{name}.py " in doc
        assert re.search(r"    python data_scripts/make_synthetic.py --layout [\w-]+ --out ", doc)

    def test_are_the_help(self, name, capsys):
        with pytest.raises(SystemExit) as stop:
            run(script(name).RECIPE, script(name).__doc__, ["--help"])
        assert stop.value.code == 0
        assert script(name).__doc__.strip() in capsys.readouterr().out

    def test_and_the_recipe_has_the_name(self, name):
        assert script(name).RECIPE.name == name.replace("_", "-")
        assert script(name).RECIPE.name in KINDS

    def test_point_to_no_copy_of_a_withdrawn_set(self, name):
        doc = script(name).__doc__
        if "duke" in name:
            assert "WITHDRAWN" in doc
            assert not re.search(r"www|://|\.(com|edu|org|net)\b", doc)
        assert not re.search(r"drive\.google|baidu|kaggle|mirror\b", doc, re.IGNORECASE)


def test_there_is_a_script_for_each_kind():
    assert sorted(MODULES) == sorted(kind.replace("-", "_") for kind in KINDS)
    assert sorted([*ARCHIVES, "cuhk03"]) == sorted(MODULES)
