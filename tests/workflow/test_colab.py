"""The cell for Colab does nothing elsewhere; on a bare machine it fetches, installs, moves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflow import colab

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/reidlab/reidlab"
AFTERWARDS = "\nimport reidlab\nprint('now', os.getcwd(), reidlab.__file__)"
BARE = """\
import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
sys.executable = "echo"  # pip is told, and installs nothing
"""


def machine(folder: Path, code: str) -> str:
    """What Python prints in a folder of its own, with `git` able to clone the project."""
    git = {"COUNT": "1", "KEY_0": f"url.{folder / 'origin'}.insteadOf", "VALUE_0": ADDRESS}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {f"GIT_CONFIG_{name}": value for name, value in git.items()}
    place = folder / "content"
    place.mkdir()
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=place, env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def origin(tmp_path):
    """A repository with as much of the project as the cell needs."""
    made = tmp_path / "origin"
    (made / "reidlab").mkdir(parents=True)
    library = ("reidlab/__init__.py", "reidlab/files.py", "reidlab/errors.py")
    for name in (*library, "workflow/colab.py", "notebooks/00_start_here.ipynb"):
        (made / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, made / name)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "x")):
        subprocess.run(["git", *command], cwd=made, check=True)


@pytest.mark.usefixtures("origin")
def test_a_bare_machine_gets_the_project(tmp_path):
    told, now = machine(tmp_path, BARE + (colab.CELL + "\n") * 2 + AFTERWARDS).splitlines()
    project = tmp_path / "content" / "reidlab"
    assert told == f"-m pip install -q -e {project}[explain,search,data,export]"
    assert now == f"now {project}/notebooks {project}/reidlab/__init__.py"


def test_elsewhere_it_does_nothing(tmp_path):
    place = tmp_path / "content"
    assert machine(tmp_path, colab.CELL + "\nprint(os.getcwd())") == f"{place}\n"
    assert not list(place.iterdir())


def test_it_is_written_once_before_the_first_code_and_mended(tmp_path):
    source = json.loads((ROOT / "notebooks/03_baseline.ipynb").read_text())["cells"]
    plain = [cell for cell in source if not colab.is_ours(cell)]
    once = colab.with_cell(plain)
    assert colab.with_cell(once) == once
    assert [cell["id"] for cell in once] == [str(i) for i in range(len(plain) + 1)]
    (place,) = [i for i, cell in enumerate(once) if colab.is_ours(cell)]
    assert {cell["cell_type"] for cell in once[:place]} == {"markdown"}
    assert [c | {"id": ""} for c in once[:place] + once[place + 1 :]] == [
        c | {"id": ""} for c in plain
    ]
    old = [dict(cell) for cell in once]
    old[place]["source"] = ["# google.colab, as it was"]
    assert colab.with_cell(old) == once
