"""Sweeps: what is asked for, in a dry run, and one that is killed and goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from reidlab import recipes
from reidlab.data import open_dataset
from reidlab.training import build_model, fit

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("Snakefile", "workflow", "reidlab", "book", "notebooks", "data_scripts", "profiles")
SOURCES += ("_config.yml", "_toc.yml")


@pytest.fixture
def project(tmp_path):
    """A folder in which Snakemake runs as in the project, with its data, runs and locks apart."""
    for name in SOURCES:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def command(*given, target="sweep"):
    return [sys.executable, "-m", "snakemake", target, "--nocolor", *given]


def snakemake(project, *given, target="sweep"):
    return subprocess.run(
        command(*given, target=target),
        cwd=project,
        capture_output=True,
        text=True,
        env=environment(),
    )


def environment():
    return {k: v for k, v in os.environ.items() if k != "REIDLAB_PROGRESS"} | {
        "OMP_NUM_THREADS": "1"
    }


def runs_asked_for(project, *given, profile="smoke", target="sweep"):
    """The runs of a dry run, as CELL/seedN."""
    done = snakemake(project, "-n", "--config", f"profile={profile}", *given, target=target)
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        "/".join(Path(path).with_suffix("").parts[-2:])
        for path in re.findall(r"(\S+/seed\d+\.json)", done.stdout)
    }


def test_one_job_for_each_seed_of_each_combination(project):
    found = runs_asked_for(project, "seeds=2", "set=lr=1e-4,3e-4 depth=1")
    assert found == {f"lr={lr}_depth=1/seed{seed}" for lr in ("1e-4", "3e-4") for seed in (0, 1)}


def test_one_job_for_each_run_of_an_experiment(project):
    corners = ("experiment=la_transformer.corners_pku-folds", "seeds=2")
    found = runs_asked_for(project, *corners, target="experiment")
    cells = ("one_global", "rows_both")
    assert found == {
        f"{cell}_{blocks}_{fold}/seed{seed}"
        for cell in cells for blocks in ("blockwise", "at-once")
        for fold in (1, 2, 3) for seed in (0, 1)
    }  # fmt: skip
    done = snakemake(project, "-n", "--config", "profile=laptop", corners[0], target="experiment")
    assert "needs data_root, the folder of your copy" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "given"),
    [("arenas.towns", True), ("gltrans.maps", False)],
)
def test_who_opens_the_callers_data_gets_the_folder(project, name, given):
    config = ("--config", "profile=smoke", f"experiment={name}", "seeds=1", "data_root=/my/copy")
    done = snakemake(project, "-n", "-p", *config, target="experiment")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "experiment run" in line]
    assert lines
    assert {"--data-root /my/copy" in line for line in lines} == {given}


def test_dry_run_of_a_paper_without_a_recipe(project):
    done = snakemake(project, "-n", "--config", "paper=la_nothing", "seeds=5", "profile=laptop")
    assert done.returncode != 0
    assert "paper=la_nothing: there is no recipe of this name" in done.stdout + done.stderr


def test_dry_run_with_the_profile_of_a_cluster(project):
    """The profile parses, and its resources reach the runs; only the executor is a local one."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert profile.pop("executor") == "slurm"
    (project / "cluster").mkdir()
    (project / "cluster" / "config.yaml").write_text(yaml.safe_dump(profile))
    done = snakemake(
        project, "-n", "--cores", "8", "--workflow-profile", "cluster",
        "--config", "seeds=2", "profile=paper", "data_root=/data/market",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    runs = re.findall(r"rule train:\n(?: .*\n)+", done.stdout + done.stderr)
    assert sorted(re.findall(r"log: \S+recipe/(seed\d)", "".join(runs))) == ["seed0", "seed1"]
    for wanted in ("threads: 8", "gpu=1", "runtime=1440", "mem_mb=32000", "slurm_partition=gpu"):
        assert all(wanted in run for run in runs), wanted
    assert "rule data:" not in done.stdout + done.stderr


@pytest.fixture
def people(tmp_path):
    """Market-1501's layout: eight people to learn and four to find, each a colour under noise."""
    rng = np.random.default_rng(0)
    root, colours = tmp_path / "people", rng.integers(0, 200, (13, 3))
    for folder, pids in (
        ("bounding_box_train", range(1, 9)),
        ("query", range(9, 13)),
        ("bounding_box_test", range(9, 13)),
    ):
        (root / folder).mkdir(parents=True)
        for pid in pids:
            for camera in (1,) if folder == "query" else (1, 2):
                pixels = colours[pid] + rng.integers(0, 56, (32, 16, 3))
                name = f"{pid:04d}_c{camera}s1_00000{folder == 'query':d}_01.jpg"
                Image.fromarray(pixels.astype(np.uint8)).save(root / folder / name)
    return root


def without_times(record):
    kept = {k: record[k] for k in ("experiment", "seed", "data", "metrics")}
    return kept | {"history": [{**row, "seconds": 0} for row in record["history"]]}


def test_a_killed_sweep_goes_on_with_the_same_command(project, people):
    """Killed with all its children after some epochs; the same command ends as if never stopped."""
    settings = {"epochs": 6, "depth": 1}
    text = " ".join(f"{k}={v}" for k, v in settings.items())
    given = (
        "--cores", "1",
        "--config", "seeds=2", "profile=smoke", f"data_root={people}", f"set={text}",
    )  # fmt: skip
    made = project / "runs/experiments/made"
    cell = project / "runs/experiments/vit_baseline.sweep/smoke-market1501/epochs=6_depth=1"
    with subprocess.Popen(
        command(*given), cwd=project, start_new_session=True, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        while not (reached := list(made.glob("*/checkpoints/epoch-*.pt"))):
            assert process.poll() is None, process.stdout.read().decode()
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not list(cell.glob("*.json"))
    (killed,) = {path.parents[1] for path in reached}
    assert list((project / ".snakemake/locks").iterdir())  # which would stop the next one

    done = snakemake(project, *given)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((killed / "result.json").read_text())
    seed = results["inputs"]["seed"]
    assert "epoch 1/6" not in (cell / f"seed{seed}.log").read_text()  # it went on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not the published set
        ds = open_dataset("market1501", people)
    recipe = recipes.get("vit_baseline", "smoke").replace(**settings)
    fit(build_model(recipe, ds, seed=seed), ds, recipe, seed=seed, out=project / "never_stopped")
    files = [cell / f"seed{seed}.json", project / "never_stopped" / "record.json"]
    resumed, whole = (without_times(json.loads(path.read_text())) for path in files)
    assert resumed == whole
    assert "2 of 2 results" in done.stdout
    table = pd.read_csv(cell.parent / "summary.csv").set_index("metric")
    assert table["runs"].tolist() == [2, 2, 2]
    shares = [json.loads(path.read_text())["metrics"]["mAP"] for path in cell.glob("*.json")]
    assert table.loc["mAP", "mean"] == pytest.approx(100 * sum(shares) / 2)
