"""The data a chapter opens: written once, the reader's own folder, clear errors."""

from types import SimpleNamespace

import pytest

from reidlab import recipes
from reidlab.experiments import course
from reidlab.models import WeightsError
from reidlab.synth import PRETRAINING_SEEDS, World


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
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
    opened = course.open_course("smoke", "pku-reid", world="alike-market1501")
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


def data(published=None, warnings=()):
    return SimpleNamespace(published=published, warnings=tuple(warnings))


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


def test_settings_that_make_no_sense(no_hub):
    with pytest.raises(ValueError, match=r"'epochs': expected key=value, as in epochs=5"):
        course.course_recipe("la_tf_pp", "laptop", data(), "epochs")
