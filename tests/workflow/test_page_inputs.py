"""What a page reads is an input of its rule: a change of any of it makes the page again."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.run_notebook import inputs_digest, page_inputs

ROOT = Path(__file__).resolve().parents[2]
READ = (
    "book/claims/la_transformer.yml",
    "book/results/la_transformer/table2.jsonl",
    "book/results/evaluation/speed.json",
    "book/quizzes/04.json",
    "workflow/run_notebook.py",
    "reidlab/report/claims.py",
    "reidlab/experiments/course.yaml",
    "reidlab/weights/vit_tiny_synth.json",
    "notebooks/04_la_transformer.ipynb",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the project in which Snakemake believes that page 04 is up to date."""
    project = tmp_path_factory.mktemp("project")
    for name in ("reidlab", "workflow", "book", "notebooks", "data_scripts", "profiles"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, project / name)
    data = project / "data/smoke/alike-market1501/world.json"
    data.parent.mkdir(parents=True)
    for path in (data, project / "_build/executed/smoke/04_la_transformer.ipynb",
                 project / "runs/book/smoke/04_la_transformer/04_la_transformer.json"):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert "Nothing to be done" in snakemake(project, "--touch") + snakemake(project, "-n")
    return project


def snakemake(project, *given, stem="04_la_transformer"):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--nocolor", "--cores", "1", *given,
         f"_build/executed/smoke/{stem}.ipynb", "--config", "profile=smoke"],
        cwd=project, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", READ)
def test_a_page_is_made_again_when_what_it_reads_changes(built, name):
    path = built / name
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        assert "rule notebook:" in snakemake(built, "-n")
    finally:
        path.write_bytes(before)


def test_a_page_comes_after_those_whose_networks_it_reads(built):
    planned = snakemake(built, "-n", "--forceall", stem="13_explorer")
    assert {"04_la_transformer", "08_transmatcher"} <= set(
        re.findall(r"wildcards: stem=(\w+)", planned)
    )


def test_the_inputs_are_complete_and_decide_the_run_folder():
    inputs = {path.relative_to(ROOT).as_posix() for path in page_inputs()}
    assert {name for name in READ if not name.startswith("notebooks")} <= inputs
    assert not [name for name in inputs if "__pycache__" in name]
    notebook = ROOT / "notebooks/04_la_transformer.ipynb"
    assert inputs_digest(notebook, {}) == inputs_digest(notebook, {})
    assert inputs_digest(notebook, {}) != inputs_digest(notebook, {"seed": 1})


def test_litter_is_no_input(tmp_path):
    for name in ("reidlab/a.py", "reidlab/._a.py", "reidlab/a.py~", "book/claims/.DS_Store",
                 "book/results/__MACOSX/a.jsonl", "book/results/unfinished/p/a.jsonl"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in page_inputs(tmp_path)]
    assert names == ["_toc.yml", "reidlab/a.py", "workflow/run_notebook.py"]


def test_a_changed_result_is_another_run(tmp_path, monkeypatch):
    from workflow import run_notebook

    notebook, result = tmp_path / "page.ipynb", tmp_path / "result.jsonl"
    notebook.write_text("{}")
    monkeypatch.setattr(run_notebook, "page_inputs", lambda: [result])
    digests = []
    for text in ("1", "2"):
        result.write_text(text)
        digests.append(inputs_digest(notebook, {}))
    assert digests[0] != digests[1]
