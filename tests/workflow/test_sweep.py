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
from workflow.sweep import Sweep, SweepError, settings_of, write_table

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "workflow/config.yaml").read_text())
SOURCES = ("Snakefile", "workflow", "reidlab", "book", "notebooks", "data_scripts", "profiles")
SOURCES += ("_config.yml", "_toc.yml")


def sweep(**config):
    return Sweep.from_config(CONFIG | {"profile": "smoke"} | config)


def test_one_record_for_each_seed_of_each_combination():
    plain = sweep(seeds=2)
    folder = Path("runs/sweep/vit_baseline/smoke/market1501")
    assert plain.records() == [folder / f"recipe/seed{k}/record.json" for k in (0, 1)]
    grid = sweep(seeds=1, set="lr=1e-4,3e-4 epochs=1,2 depth=1")
    assert grid.variants == [
        "lr=1e-4,epochs=1,depth=1", "lr=1e-4,epochs=2,depth=1",
        "lr=3e-4,epochs=1,depth=1", "lr=3e-4,epochs=2,depth=1",
    ]  # fmt: skip
    assert len(set(grid.records())) == 4
    assert settings_of(grid.variants[0]) == ["lr=1e-4", "epochs=1", "depth=1"]
    assert settings_of("recipe") == []


@pytest.mark.parametrize("paper", recipes.names())
def test_every_paper_with_a_recipe_can_be_swept(paper):
    assert sweep(paper=paper, seeds=5).records()[4].parts[2] == paper


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"paper": "nobody"}, "paper=nobody: there is no recipe of this name.*vit_baseline"),
        ({"seeds": 0}, "seeds=0: expected how many"),
        ({"seeds": "many"}, "seeds=many: expected how many, a whole number from 1"),
        ({"seeds": 2.5}, "seeds=2.5"),
        ({"seeds": -1}, "seeds=-1"),
        ({"set": "lr"}, "cannot read 'lr'"),
        ({"set": "lr=1 lr=2"}, "each setting once"),
        ({"set": "lr="}, "cannot read 'lr='"),
        ({"set": "weights=../x.pth"}, "without brackets or slashes"),
        ({"set": "image_size=[64,32]"}, "without brackets or slashes"),
        ({"set": "learning=1"}, "set=learning=1: a recipe has no setting 'learning'"),
        ({"set": "epochs=1,0.5"}, "set=epochs=0.5: recipe: epochs is 0.5; expected a whole number"),
    ],
)
def test_what_cannot_be_swept(config, message):
    with pytest.raises(SweepError, match=message):
        sweep(**config)


def fake_record(path, seed, share):
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "schema": 1, "experiment": {}, "seed": seed, "commit": None, "dirty": None,
        "data": {"name": "toy", "fingerprint": "0"}, "environment": {}, "metrics": {"mAP": share},
        "seconds": {"train": 2.0}, "images_per_second": 1.0, "peak_memory_mb": 1.0,
        "started": "2026-01-01", "finished": "2026-01-01", "history": [],
    }  # fmt: skip
    path.write_text(json.dumps(whole))


def test_the_table_is_of_the_runs_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = sweep(seeds=2, set="lr=1e-4,3e-4")
    with pytest.raises(SweepError, match="none of the 4 records yet"):
        write_table(asked)
    for seed, share in enumerate((0.5, 0.6, 0.9)):  # the third seed is of another sweep
        fake_record(asked.folder / f"lr=1e-4/seed{seed}/record.json", seed, share)
    table = write_table(asked).read_text().splitlines()
    assert table[0].startswith("settings,metric,runs,mean,spread,low,high")
    assert table[1:] == ["lr=1e-4,mAP (%),2,55.0,7.07,-8.53,118.53,2.0,"]
    assert "2 of 4 runs have no record yet" in capsys.readouterr().out


@pytest.fixture
def project(tmp_path):
    """A folder in which Snakemake runs as in the project, with its data, runs and locks apart."""
    for name in SOURCES:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def command(*given):
    return [sys.executable, "-m", "snakemake", "sweep", "--nocolor", *given]


def snakemake(project, *given):
    return subprocess.run(
        command(*given), cwd=project, capture_output=True, text=True, env=environment()
    )


def environment():
    return {k: v for k, v in os.environ.items() if k != "REIDLAB_PROGRESS"} | {
        "OMP_NUM_THREADS": "1"
    }


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
    assert len(runs) == 2
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
    folder = project / "runs/sweep/vit_baseline/smoke/market1501" / text.replace(" ", ",")
    with subprocess.Popen(
        command(*given), cwd=project, start_new_session=True, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        while not (reached := list(folder.glob("seed*/checkpoints/epoch-*.pt"))):
            assert process.poll() is None, process.stdout.read().decode()
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not list(folder.glob("seed*/record.json"))
    (killed,) = {path.parents[1] for path in reached}
    assert list((project / ".snakemake/locks").iterdir())  # which would stop the next one

    done = snakemake(project, *given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch 1/6" not in (killed / "train.log").read_text()  # it went on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not the published set
        ds = open_dataset("market1501", people)
    recipe = recipes.get("vit_baseline", "smoke").replace(**settings)
    seed = int(killed.name.removeprefix("seed"))
    fit(build_model(recipe, ds, seed=seed), ds, recipe, seed=seed, out=project / "never_stopped")
    files = [killed / "record.json", project / "never_stopped" / "record.json"]
    resumed, whole = (without_times(json.loads(path.read_text())) for path in files)
    assert resumed == whole
    assert "market1501: 2 runs" in done.stdout
    table = pd.read_csv(folder.parent / "summary.csv")
    assert table["runs"].tolist() == [2, 2, 2]
    shares = [json.loads(path.read_text())["metrics"]["mAP"] for path in folder.glob("*/*.json")]
    assert table.loc[1, "mean"] == pytest.approx(100 * sum(shares) / 2, abs=0.006)
