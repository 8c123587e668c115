"""The data a chapter opens: written once, the reader's own folder, clear errors."""

import dataclasses
from types import SimpleNamespace

import pytest
from PIL import Image

from reidlab import recipes
from reidlab.experiments import course
from reidlab.models import WeightsError
from reidlab.synth import PRETRAINING_SEEDS, World


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("PWD", str(tmp_path / "notebooks"))  # the caller stands here, too
    tiny = {"seed": 1, "identities": 6, "cameras": 2, "resolution": [32, 16]}
    entry = {"layout": "market1501", "laptop": tiny, "smoke": tiny}
    monkeypatch.setattr(course, "_courses", lambda: {"plaza-market1501": entry})
    return tmp_path


def test_written_on_first_use_and_read_afterwards(project, capsys):
    first = course.open_course("smoke")
    assert first.root == project / "data/smoke/plaza-market1501"
    assert "once" in capsys.readouterr().out
    stamp = (first.root / "world.json").stat().st_mtime_ns
    assert course.open_course("smoke").fingerprint() == first.fingerprint()
    assert (first.root / "world.json").stat().st_mtime_ns == stamp
    assert capsys.readouterr().out == ""


def test_a_folder_is_seen_from_here_or_from_the_project(project):
    written = course.open_course("smoke")
    for root in ("../data/smoke/plaza-market1501", "data/smoke/plaza-market1501"):
        assert course.open_course("laptop", data_root=root).fingerprint() == written.fingerprint()


@pytest.mark.parametrize("linked", ["data", "data/smoke", "data/smoke/plaza-market1501"])
def test_a_set_whose_folder_is_a_link_is_written_on_first_use(project, tmp_path_factory, linked):
    disk = tmp_path_factory.mktemp("disk")
    (project / linked).parent.mkdir(parents=True, exist_ok=True)
    (project / linked).symlink_to(disk)
    home = tmp_path_factory.mktemp("home") / "link"
    home.symlink_to(project)
    found = course.open_course("smoke", data_root=home / "data/smoke/plaza-market1501")
    assert list(disk.rglob("world.json"))
    assert found.fingerprint() == course.open_course("smoke").fingerprint()


def test_a_real_set_without_a_folder_is_refused(project):
    with pytest.raises(ValueError, match=r"'msmt17' needs data_root.*layouts 'market1501'"):
        course.open_course("laptop", "msmt17")


def test_another_layout_has_a_set_of_its_own(project, monkeypatch):
    tiny = {
        "seed": 2,
        "identities": 12,
        "cameras": 2,
        "images_per_camera": 8,
        "resolution": [32, 16],
    }
    courses = course._courses() | {"plaza-pku-reid": {"layout": "pku-reid", "smoke": tiny}}
    monkeypatch.setattr(course, "_courses", lambda: courses)
    ds = course.open_course("smoke", "pku-reid", split="la-tf-pp")
    assert ds.root == project / "data/smoke/plaza-pku-reid"
    assert ds.options == {"split": "la-tf-pp"}
    fold = course.course_data("smoke", "pku-reid", fold=1, folds=3)
    assert fold.options == {"split": "folds", "fold": 1, "folds": 3}
    assert (fold.num_classes, fold.query["pid"].nunique(), fold.published) == (8, 4, None)
    assert course.open_course("smoke").root == project / "data/smoke/plaza-market1501"


@pytest.mark.parametrize("profile", ["paper", "layout", "huge"])
def test_a_profile_without_a_world(profile):
    with pytest.raises(ValueError, match=f"for the profile '{profile}'"):
        course.course_world(profile)


def test_no_chapter_meets_the_people_of_the_pretraining():
    for name in course._courses():
        for profile in ("laptop", "smoke"):
            world = course.course_world(profile, name)
            assert isinstance(world, World)
            assert world.seed < PRETRAINING_SEEDS


def test_one_of_several_sets_of_a_layout(project, monkeypatch):
    tiny = {"seed": 3, "identities": 6, "cameras": 2, "resolution": [32, 16]}
    courses = course._courses() | {"alike-market1501": {"layout": "market1501", "smoke": tiny}}
    monkeypatch.setattr(course, "_courses", lambda: courses)
    folder = project / "data/smoke"
    assert course.open_course("smoke").root == folder / "plaza-market1501", "the first"
    other = course.open_course("smoke", world="alike-market1501")
    assert other.root == folder / "alike-market1501"
    with pytest.raises(ValueError, match="'pku-reid' needs data_root"):
        course.open_course("smoke", "pku-reid", world="alike-market1501")
    monkeypatch.setitem(courses, "plaza-pku-reid", {"layout": "pku-reid", "smoke": tiny})
    monkeypatch.setattr(course, "_write", lambda profile, name: name)
    monkeypatch.setattr(course, "open_dataset", lambda dataset, folder: folder)
    opened = course.course_data("smoke", "pku-reid", world="alike-market1501")
    assert opened == "plaza-pku-reid", "a world of another layout is none for this one"


@pytest.fixture
def no_hub(monkeypatch):
    """A hub that cannot be reached, and how often it was asked."""
    asked = []

    def unreachable(name):
        asked.append(name)
        raise WeightsError("the hub cannot be reached")

    monkeypatch.setattr(course, "fetch_timm", unreachable)
    return asked


PAPERS = ("gltrans", "la_tf_pp")


def data(published=None, warnings=(), name="market1501"):
    given = {"published": published, "warnings": tuple(warnings)}
    return SimpleNamespace(name=name, num_classes=751, **given)


@pytest.mark.parametrize("ds", [data(), data({"train": 1}, ["12 images instead of 12,936"])])
def test_without_the_hub_a_recipe_is_rehearsed(no_hub, capsys, ds):
    recipe = course.course_recipe("la_transformer", "paper", ds, "epochs=2 keep=last", "code")
    assert no_hub == ["vit_base_patch16_224.orig_in21k_ft_in1k"]
    expected = recipes.get("la_transformer", "paper", "code").replace(
        epochs=2, keep="last", weights=None
    )
    assert recipe == expected
    told = capsys.readouterr().out
    assert told == (
        "REHEARSAL with random weights, not a reproduction: the hub cannot be reached\n"
    )


def test_the_published_set_is_never_trained_from_random_weights(no_hub, capsys):
    with pytest.raises(WeightsError, match="the hub cannot be reached"):
        course.course_recipe("la_transformer", "paper", data({"train": 1}))
    assert capsys.readouterr().out == ""
    recipe = course.course_recipe("la_transformer", "paper", data({"train": 1}), "weights=None")
    assert recipe.weights is None, "unless somebody says so"


def test_weights_that_can_be_had(monkeypatch, capsys):
    monkeypatch.setattr(course, "fetch_timm", lambda name: None)
    recipe = course.course_recipe("la_tf_pp", "paper", data(), preset="paper")
    assert recipe == recipes.get("la_tf_pp", "paper", "paper")
    assert recipe != course.course_recipe("la_tf_pp", "paper", data(), preset="code")
    assert capsys.readouterr().out == ""


def test_shipped_weights_need_no_hub(no_hub):
    recipe = course.course_recipe("la_tf_pp", "laptop", data(), "switches.heads=rows")
    assert (recipe.weights, recipe.switches) == ("synth", {"heads": "rows"})
    assert no_hub == []


def test_vehicles_have_the_recipe_of_vehicles_where_the_paper_has_one(no_hub):
    of = {paper: course.course_recipe(paper, "paper", data(name="veri776")) for paper in PAPERS}
    assert of["gltrans"].image_size == (256, 256), "a person's is 256 x 128"
    assert of["gltrans"].lr == recipes.get("gltrans", "paper", of="vehicles").lr == 0.01
    assert of["la_tf_pp"] == course.course_recipe("la_tf_pp", "paper", data())


def test_settings_that_make_no_sense(no_hub):
    with pytest.raises(ValueError, match=r"'epochs': expected key=value, as in epochs=5"):
        course.course_recipe("la_tf_pp", "laptop", data(), "epochs")


class TestWhatASetLacks:
    """A chapter runs all the same, and says in a sentence what it took instead."""

    @pytest.fixture(autouse=True)
    def course_set(self, project):
        self.synthetic = course.open_course("smoke")

    @pytest.fixture
    def mine(self, tmp_path):
        """`mine(rows)`: a folder with a table of (person, camera, split), a picture each."""

        def write(rows):
            root = tmp_path / "mine"
            root.mkdir()
            lines = ["path,pid,camid,split"]
            for number, (pid, camid, split) in enumerate(rows):
                Image.new("RGB", (8, 16), (number, 0, 0)).save(root / f"{number}.png")
                lines.append(f"{number}.png,{pid},{camid},{split}")
            (root / "images.csv").write_text("\n".join(lines))
            return root

        return write

    def opened(self, capsys, root, profile="smoke"):
        capsys.readouterr()
        ds = course.open_course(profile, "folder", root)
        raw = course.course_data(profile, "folder", root)
        return ds, raw, capsys.readouterr().out.splitlines()

    TRAIN = ((1, 0, "train"), (1, 1, "train"), (2, 0, "train"))
    TEST = tuple(
        (pid, camid, split) for pid in (3, 4) for camid, split in enumerate(("query", "gallery"))
    )

    def test_nothing(self, mine, capsys):
        ds, raw, said = self.opened(capsys, mine(self.TRAIN + self.TEST))
        assert said == []
        assert ds.fingerprint() == raw.fingerprint()
        assert ds.options == raw.options

    @pytest.mark.parametrize(("train", "who"), [((), "nobody"), (TRAIN[:2], "one person")])
    def test_somebody_to_learn_from(self, mine, capsys, train, who):
        ds, raw, said = self.opened(capsys, mine(train + self.TEST))
        assert len(said) == 1
        assert f"folder has {who} to train on, so nothing can be trained on it" in said[0]
        assert ds.train.equals(self.synthetic.train)
        assert ds.query.equals(raw.query)
        assert ds.options["train"] == "plaza-market1501"

    @pytest.mark.parametrize(
        "test",
        [(), TEST[:2], ((3, 0, "query"), (4, 0, "gallery"))],
        ids=["none", "one person", "nobody of the queries"],
    )
    @pytest.mark.parametrize("profile", ["smoke", "paper"])
    def test_somebody_to_find(self, mine, capsys, test, profile):
        ds, raw, said = self.opened(capsys, mine(self.TRAIN + test), profile)
        said = [line for line in said if "writing the synthetic set" not in line]
        assert len(said) == 1
        assert "folder has no test part in which two people can be found again" in said[0]
        assert ds.train.equals(raw.train)
        assert set(ds.query.pid) == set(self.synthetic.query.pid)
        assert len(ds.gallery) == len(self.synthetic.gallery)
        assert ds.published is None

    def test_a_second_camera(self, mine, capsys):
        rows = [(pid, 5, "test") for pid in (3, 3, 3, 4, 4)]
        ds, _, said = self.opened(capsys, mine(self.TRAIN + tuple(rows)))
        assert len(said) == 1
        assert "does not show two people of its test in two cameras each" in said[0]
        assert ds.query.pid.tolist() == [3, 4]
        assert ds.gallery.pid.tolist() == [3, 3, 4]
        assert (set(ds.query.camid), set(ds.gallery.camid)) == ({0}, {1})
        assert not set(ds.query.path) & set(ds.gallery.path)
        assert ds.options["test"] == "one camera taken for two"

    def test_people_enough_for_two_parts(self, tmp_path, capsys):
        for person in "ab":
            for camera in "01":
                (tmp_path / "few" / person / camera).mkdir(parents=True)
                Image.new("RGB", (8, 16)).save(tmp_path / "few" / person / camera / "1.png")
        ds, _, said = self.opened(capsys, tmp_path / "few")
        assert ds.query["pid"].nunique() == 2, "both are found, as nobody could be told from one"
        assert [line.split(",")[0] for line in said] == ["folder has nobody to train on"]

    def test_a_second_picture_to_hold_out(self, mine, capsys):
        rows = ((1, 0, "train"), (5, 0, "train"), (5, 1, "train"), (7, 0, "train"), (7, 1, "train"))
        root = mine(rows + self.TEST)
        ds = course.in_pairs(course.open_course("smoke", "folder", root), "smoke")
        assert "1 of 3 training people of folder have a single image" in capsys.readouterr().out
        assert list(zip(ds.train.pid, ds.train.label, strict=True)) == [(5, 0)] * 2 + [(7, 1)] * 2
        assert course.in_pairs(ds, "smoke") is ds
        alone = dataclasses.replace(ds, train=ds.train.iloc[::2])
        alone = course.in_pairs(alone, "smoke")
        assert alone.train.equals(self.synthetic.train)

    def test_people_for_a_batch(self, mine, capsys):
        ds, _, _ = self.opened(capsys, mine(self.TRAIN + self.TEST))
        recipe = course.course_recipe("vit_baseline", "laptop", ds)
        assert recipe.identities_per_batch == 2
        assert "2 people to train on, fewer than the 8 of a batch" in capsys.readouterr().out

    def test_a_chapter_about_two_modalities(self, mine, capsys, monkeypatch):
        knobs = {"seed": 1, "cameras": 4, "infrared_cameras": 2, "resolution": [32, 16]}
        lights = {"layout": "sysu-mm01", "smoke": {**knobs, "identities": 12}}
        one = {"cameras": 1, "infrared_cameras": 1, "identities": 8, "infrared": "thermal"}
        thermal = {"layout": "regdb", "smoke": {**knobs, **one}}
        courses = course._courses() | {"day-night": lights, "twins": thermal}
        monkeypatch.setattr(course, "_courses", lambda: courses)
        root = mine(self.TRAIN + self.TEST)
        ds = course.open_modalities("smoke", "folder", root, world="day-night")
        assert "folder does not show its people both by daylight and in infrared" in (
            capsys.readouterr().out
        )
        own = course.open_modalities("smoke", "sysu-mm01", ds.root, world="day-night")
        for dataset in ("market1501", "sysu-mm01"):
            other = course.open_modalities("smoke", dataset, world="day-night")
            assert other.fingerprint() == own.fingerprint() == ds.fingerprint()
        assert set(ds.query.modality) == {"infrared"}
        thermal = course.open_modalities("smoke", "regdb", world="day-night")
        assert thermal.name == "regdb"

    def test_a_section_about_one_layout(self, mine, capsys):
        ds, _, _ = self.opened(capsys, mine(self.TRAIN + self.TEST))
        assert course.open_like("market1501", ds, "smoke").root == self.synthetic.root
        assert "shows the synthetic set plaza-market1501" in capsys.readouterr().out
        gallery = self.synthetic.gallery
        marks = {kind: gallery.index == place for place, kind in enumerate(("junk", "distractor"))}
        whole = dataclasses.replace(self.synthetic, gallery=gallery.assign(**marks))
        assert course.open_like("market1501", whole, "smoke") is whole
        half = dataclasses.replace(whole, gallery=whole.gallery.query("not junk"))
        assert course.open_like("market1501", half, "smoke") is not half
        assert capsys.readouterr().out == "", "the book's own set needs no excuse"
        course.open_like("market1501", dataclasses.replace(half, root=ds.root), "smoke")
        assert "market1501 does not have what this section is about" in capsys.readouterr().out
