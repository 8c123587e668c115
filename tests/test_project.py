"""The project's own promises: dependencies told once, light imports, layers, stripped notebooks."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OPTIONAL = ("faiss", "scipy", "pytorch_grad_cam", "papermill", "sklearn", "matplotlib", "snakemake")
OPTIONAL += ("pooch", "h5py", "tensorboard")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    """Core and all extras; `all`, which only names the others, is left out."""
    extras = project()["optional-dependencies"]
    listed = [*project()["dependencies"]]
    listed += [entry for name, group in extras.items() if name != "all" for entry in group]
    return [Requirement(entry) for entry in listed]


def lock() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def test_environment_yml_lists_what_pyproject_lists():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in environment if isinstance(entry, dict)]
    wanted = set(map(str, requirements()))  # a package of two extras stands there once
    assert sorted(map(str, map(Requirement, pip))) == sorted(wanted)
    assert f"python{project()['requires-python']}" in environment


def test_extra_all_names_every_other_extra():
    extras = project()["optional-dependencies"]
    (every,) = map(Requirement, extras["all"])
    assert every.name == project()["name"]
    assert every.extras == set(extras) - {"all"}


def test_lock_holds_names_and_versions_only():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|@ |--|\\$|sha256", text, re.M)
    for pin in lock():
        assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), pin


def test_lock_satisfies_pyproject():
    pins: dict[str, list[Version]] = {}
    for pin in lock():
        version = Version(str(pin.specifier).removeprefix("=="))
        pins.setdefault(canonicalize_name(pin.name), []).append(version)
    for wanted in requirements():
        versions = pins.get(canonicalize_name(wanted.name))
        assert versions, f"{wanted} is not in requirements.lock: make lock"
        for version in versions:
            assert wanted.specifier.contains(version), f"{wanted}, but {version} is locked"


def test_imports_without_the_optional_packages():
    """As on a bare GPU machine: None in sys.modules makes a package look not installed."""
    parts = ["training", "judging", "data", "models", "losses", "evaluation", "recipes", "synth"]
    parts += ["explain", "experiments"]
    imports = ["import reidlab", *(f"import reidlab.{part}" for part in [*parts, "cli"])]
    block = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL!r}))"
    code = "\n".join([block, *imports])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("models/vit.py", "import reidlab.data"),
        ("losses/__init__.py", "from reidlab import training"),
        ("evaluation/__init__.py", "import reidlab.synth"),
        ("synth/__init__.py", "from reidlab import evaluation"),
        ("data/__init__.py", "def f():\n    from reidlab import recipes"),
    ],
)
def test_the_layers_contract_catches_a_violation(tmp_path, file, line):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignore = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "reidlab", tmp_path / "reidlab", ignore=ignore)
    with (tmp_path / "reidlab" / file).open("a") as source:
        source.write(f"\n{line}\n")
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "BROKEN" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebookSources:
    def test_is_stripped(self, path):
        notebook = json.loads(path.read_text())
        assert not {"papermill", "widgets"} & set(notebook["metadata"])
        for cell in notebook["cells"]:
            assert "injected-parameters" not in cell["metadata"].get("tags", [])
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                assert cell["execution_count"] is None

    def test_has_one_parameters_cell_with_the_common_four_first(self, path):
        cells = json.loads(path.read_text())["cells"]
        tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
        assert len(tagged) == 1
        lines = "".join(tagged[0]["source"]).splitlines()
        assigned = [m for line in lines if (m := re.match(r"(\w+): (\w+) = (.+?)  # \S", line))]
        assert [m[1] for m in assigned[:4]] == ["profile", "dataset", "data_root", "seed"]
        code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        assert len(assigned) == len(code), "each parameter: name: type = value  # what it is"
        assert assigned[0][3] == '"laptop"'


def test_the_workflow_runs_the_notebooks_there_are():
    config = yaml.safe_load((ROOT / "workflow/config.yaml").read_text())
    assert [path.stem for path in NOTEBOOKS] == sorted(config["notebooks"])
    toc = (ROOT / "_toc.yml").read_text()
    assert re.findall(r"notebooks/(\w+)", toc) == list(config["notebooks"])
    courses = yaml.safe_load((ROOT / "reidlab/experiments/course.yaml").read_text())
    for entry in config["notebooks"].values():
        for name in entry["data"]:
            assert {"layout", "laptop", "smoke"} <= set(courses[name])
