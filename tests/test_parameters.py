"""Parameters come back as they were written, whatever papermill, YAML or Snakemake made of them."""

import datetime
from pathlib import Path

import pytest
import yaml
from papermill.cli import _resolve_type as by_papermill

from reidlab.parameters import as_folder, as_number, as_text

NAMES = [
    "2024", "007", "0", "1e5", "1_000", "0x10", "True", "true", "nan", "inf", "-1", "2024-01-01",
    "null", "[a]", "a b", "1.50", "on", "ü", "~x",
]  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory of a page, beside the caller's and below the project's root."""
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "caller").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("PWD", str(tmp_path / "caller"))
    return tmp_path / "notebooks"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["notebooks", "caller", "."])
def test_a_folder_of_any_name_is_found_as_papermill_passes_it(here, name, place):
    folder = here.parent / place / name
    folder.mkdir()
    for value in (by_papermill(name), name, folder, str(folder)):
        assert as_folder("data_root", value) == str(folder)


@pytest.mark.parametrize(
    "name", ["2024", "010", "0x10", "1_000", "yes", "2024-01-01", "1.50", "12:30"]
)
def test_a_folder_of_any_name_is_found_as_yaml_reads_it(here, name):
    (here / name).mkdir()
    assert as_folder("data_root", yaml.safe_load(name)) == str(here / name)


def test_a_number_that_several_names_read_like(here):
    for name in ("007", "07"):
        (here / name).mkdir()
    with pytest.raises(
        ValueError, match=r"data_root arrived as 7, and 007, 07 all read.*-r data_r"
    ):
        as_folder("data_root", 7)
    assert as_folder("data_root", "./07") == str(here / "07")
    (here / "7").mkdir()
    assert as_folder("data_root", 7) == str(here / "7"), "the plain spelling is meant"


def test_where_a_relative_folder_is(here, monkeypatch, tmp_path):
    assert as_folder("data_root", "x/y") == str(here / "x/y"), "what is nowhere is meant from here"
    for place in (tmp_path, tmp_path / "caller", here):  # each before the one above it
        (place / "x/y").mkdir(parents=True)
        assert as_folder("data_root", "x/y") == str(place / "x/y")
    assert as_folder("data_root", "../caller/x") == str(tmp_path / "caller/x")
    monkeypatch.setenv("HOME", str(tmp_path / "caller"))
    assert as_folder("data_root", "~/x") == str(tmp_path / "caller/x")
    monkeypatch.delenv("PWD")
    assert as_folder("data_root", "x") == str(here / "x")


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_given(nothing):
    assert as_folder("data_root", nothing) == ""
    assert as_text("settings", nothing) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a=1", "a=1"),
        (2024, "2024"),
        (1.5, "1.5"),
        (True, "True"),
        (Path("a"), "a"),
        (datetime.date(2024, 1, 1), "2024-01-01"),
    ],
)
def test_text(value, text):
    assert as_text("settings", value) == text


@pytest.mark.parametrize("value", [["a"], {"a": 1}, object])
def test_what_cannot_be_text(value):
    with pytest.raises(
        ValueError, match=r"preset is .*, a .*; expected text\. Write -r preset TEXT"
    ):
        as_text("preset", value)


@pytest.mark.parametrize("value", [3, 3.0, "3", "3.0", " 3 ", "0_3", 0, 2**32 - 1, "1e3", 1e3])
def test_whole_numbers(value):
    assert as_number("seed", value) == float(str(value))


@pytest.mark.parametrize(
    "value", [True, False, "True", None, "", "three", "0x10", 1.5, -1, 2**32, "nan", "inf", [3]]
)
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match=r"^seed is .*expected"):
        as_number("seed", value)
