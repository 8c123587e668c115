"""Every notebook runs to its end at profile smoke, on a world written for the test."""

import json
from pathlib import Path

import pytest
import yaml

from data_scripts import make_synthetic
from tests.notebooks.chapters import run_chapter
from workflow.check_book import check_notebook
from workflow.run_notebook import ROOT, run_notebook

CONFIG = yaml.safe_load((ROOT / "workflow/config.yaml").read_text())
COURSES = yaml.safe_load((ROOT / "reidlab/experiments/course.yaml").read_text())
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks in notebooks/")


@pytest.fixture(scope="session")
def data_roots(tmp_path_factory) -> dict[str, Path]:
    """Name of a data set -> folder with its small world."""
    folder = tmp_path_factory.mktemp("data")
    for name, entry in COURSES.items():
        knobs = [text for k, v in entry["smoke"].items() for text in ("--knob", f"{k}={v}")]
        command = ["--layout", entry["layout"], "--out", str(folder / name), *knobs]
        assert make_synthetic.main(command) == 0
    return {name: folder / name for name in COURSES}


def given(path, data_roots):
    sets = CONFIG["notebooks"][path.stem]["data"]
    return {"profile": "smoke", "data_root": str(data_roots[sets[0]]) if sets else ""}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_at_profile_smoke(path, data_roots, inside):
    """In this process; `make book` starts a kernel for each, and here one does."""
    run_chapter(path, **given(path, data_roots))
    page = json.loads((inside / "pages" / f"{path.stem}.json").read_text())
    assert page["profile"] == "smoke"
    assert page["seconds"] > 0


def test_runs_by_papermill(data_roots, tmp_path):
    path = NOTEBOOKS[0]
    run_notebook(path, tmp_path / path.name, given(path, data_roots), run_dir=tmp_path / "run")
    assert json.loads((tmp_path / "run" / f"{path.stem}.json").read_text())["profile"] == "smoke"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_keeps_the_house_rules(path):
    assert list(check_notebook(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_has_an_alt_text_and_a_caption(path):
    for number, cell in enumerate(json.loads(path.read_text())["cells"], start=1):
        mystnb = cell["metadata"].get("mystnb", {})
        if "figure" in mystnb or "image" in mystnb:
            assert mystnb.get("image", {}).get("alt", "").strip(), f"cell {number}: no alt text"
            assert mystnb.get("figure", {}).get("caption", "").strip(), f"cell {number}: no caption"
