"""Files and folders by what they are, not by how they are written."""

import pytest

from reidlab.files import same_place


@pytest.fixture
def home(tmp_path):
    """A folder, and a link to what holds it."""
    (tmp_path / "disk" / "project").mkdir(parents=True)
    (tmp_path / "home").symlink_to("disk")
    return tmp_path


@pytest.mark.parametrize("below", ["", "file", "not/there/yet"])
def test_one_place_by_several_names(home, below, monkeypatch):
    (home / "disk" / "project" / "file").touch()
    monkeypatch.chdir(home / "disk")
    names = [
        home / "disk" / "project" / below,
        home / "home" / "project" / below,
        home / "home" / "project" / ".." / "project" / below,
        f"project/{below}",
    ]
    assert all(same_place(one, other) for one in names for other in names)


def test_other_places(home):
    (home / "copy").mkdir()
    for other in (home / "copy", home / "home", home / "nowhere"):
        assert not same_place(home / "disk" / "project", other)


def test_a_link_that_leads_nowhere_or_to_itself(home):
    (home / "dead").symlink_to("gone")
    assert same_place(home / "dead", home / "gone")
