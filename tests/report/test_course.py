"""The data a chapter opens: written once, the reader's own folder, clear errors."""

import pytest

from reidlab.report import course
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
