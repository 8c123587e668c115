"""Seeds of what chapters train live: how they are gathered, and that those published are whole."""

import json
from collections import Counter

import pytest

from reidlab.experiments import Runs
from reidlab.files import find
from reidlab.record import read_record
from reidlab.report import reproduction
from reidlab.report.page import SCHEMA
from reidlab.training import build_model, fit
from workflow import page_seeds

SHARED = ("data", "seed", "commit", "environment")
FILES = find(page_seeds.ROOT / "book" / "results" / "pages", "*.jsonl")


def test_every_seed_of_a_chapter_is_one_line(ds, recipe, tmp_path, monkeypatch):
    def run_notebook(notebook, output, given, *, run_dir):
        seed = int(given["seed"])
        once = recipe.replace(epochs=1)
        fit(build_model(once, ds, seed=seed), ds, once, seed=seed, out=run_dir / "network")
        record = read_record(run_dir / "network" / "record.json")
        page = {
            "notebook": notebook.stem,
            "profile": "smoke",
            "records": [record],
            "schema": SCHEMA,
        }
        page |= {name: record[name] for name in SHARED}
        (run_dir / f"{notebook.stem}.json").write_text(json.dumps(page))

    monkeypatch.setattr(page_seeds, "run_notebook", run_notebook)
    path = page_seeds.publish("03_baseline", (4, 7), tmp_path)
    assert path == tmp_path / "book/results/pages/03_baseline.jsonl"
    assert [run["seed"] for run in Runs.read(path).records] == [4, 7]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_published_seed_is_inside_what_the_others_expect(path):
    runs = Runs.read(path).records
    kinds = Counter(json.dumps(run["experiment"], sort_keys=True) for run in runs)
    assert set(kinds.values()) == {3}
    for run in runs:
        page = {"notebook": path.stem, "profile": "laptop", "records": [run]}
        page |= {name: run[name] for name in SHARED}
        told = str(reproduction(page, None, runs))
        words = "the same to the last digit" if run["seed"] == 0 else " inside "
        assert words in told
        assert "OUTSIDE" not in told
        assert "NOT COMPARABLE" not in told


def test_chapters_that_train_have_seeds():
    assert {path.stem for path in FILES} == {*page_seeds.CHAPTERS}
