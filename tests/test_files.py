"""Files and folders by what they are, not by how they are written."""

import pytest

from reidlab.files import WriteError, same_place, write_text


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


@pytest.mark.parametrize(
    ("name", "message"),
    [("project", "it is a folder. Name a file in it"), ("a" * 300, "File name too long")],
)
def test_what_cannot_be_written_says_why(home, name, message):
    with pytest.raises(WriteError, match=message):
        write_text(home / "disk" / name, "x")


def test_other_places(home):
    (home / "copy").mkdir()
    for other in (home / "copy", home / "home", home / "nowhere"):
        assert not same_place(home / "disk" / "project", other)


def test_a_link_that_leads_nowhere_or_to_itself(home):
    (home / "dead").symlink_to("gone")
    assert same_place(home / "dead", home / "gone")


def test_lines_end_as_the_text_says(tmp_path):
    path = write_text(tmp_path / "a.txt", "one\ntwo\r\n")
    assert path.read_bytes() == b"one\ntwo\r\n"
