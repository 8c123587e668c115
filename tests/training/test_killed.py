"""Killed where it hurts most, again and again, and the same run in the end."""

import dataclasses
import json
import os
import subprocess
import sys

import torch
from safetensors.torch import load_file

from reidlab.training import build_model, fit

# The children are forked before torch has computed anything, so that it is imported once.
SCRIPT = """
import os, pathlib, signal, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from reidlab.data import open_dataset
from reidlab.training import Recipe, build_model, fit, fitting

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def half(path):
    data = pathlib.Path(path).read_bytes()
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])
    die()

def dies_in_batch(n):
    def rate(*arguments, calls=[]):
        calls.append(1)
        return die() if len(calls) == n else before(*arguments)
    before, fitting.set_rate_of_step = fitting.set_rate_of_step, rate

def dies_in_file(owner, name, position, part):
    def write(*arguments, **options):
        done = before(*arguments, **options)
        path = arguments[position]
        if hasattr(path, "flush"):  # an open file
            path.flush()
            path = path.name
        return half(path) if part in str(path) else done
    before = getattr(owner, name)
    setattr(owner, name, write)

SABOTAGE = {
    "first batches": lambda: dies_in_batch(3),
    "second epoch": lambda: dies_in_batch(7),
    "weights": lambda: dies_in_file(pathlib.Path, "write_bytes", 0, "epoch-0002"),
    "state": lambda: dies_in_file(torch, "save", 1, "epoch-0003"),
    "result": lambda: dies_in_file(pathlib.Path, "write_bytes", 0, ".model."),
    "record": lambda: dies_in_file(pathlib.Path, "write_text", 0, ".part.json"),
}
ds = open_dataset("market1501", sys.argv[1])
recipe = Recipe.from_record(eval(sys.argv[3]))
for place in sys.argv[4:]:
    child = os.fork()
    if child == 0:
        SABOTAGE[place]()
        fit(build_model(recipe, ds), ds, recipe, out=sys.argv[2])
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    files = sorted(p.name for p in pathlib.Path(sys.argv[2]).rglob("*.*") if p.is_file())
    print(place, os.WIFSIGNALED(status) and os.WTERMSIG(status), *files, sep="|")
"""


def comparable(record):
    """A record without what a clock or a gauge says, and without the state of the code."""
    values = dataclasses.asdict(record)
    for name in ("seconds", "images_per_second", "peak_memory_mb", "started", "finished"):
        del values[name]
    del values["commit"], values["dirty"]
    for row in values["history"]:
        del row["seconds"]
        row.pop("validation_seconds", None)
    return values


def test_killed_in_every_place_and_finished(ds, recipe, tmp_path):
    recipe = recipe.replace(
        image_size=(32, 16),
        depth=1,
        identities_per_batch=2,
        accumulation_steps=2,
        ema_decay=0.9,
        validate_every=1,
        validation_identities=2,
        keep="best",
    )
    straight = fit(build_model(recipe, ds), ds, recipe, out=tmp_path / "straight")
    places = ["first batches", "second epoch", "weights", "state", "result", "record"]
    out = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ds.root), str(out), repr(recipe.to_dict()), *places],
        capture_output=True,
        text=True,
        env=os.environ | {"REIDLAB_PROGRESS": "none"},
        check=True,
    )
    told = {line.split("|")[0]: line.split("|")[1:] for line in done.stdout.splitlines()}
    assert list(told) == places
    assert {files[0] for files in told.values()} == {"9"}, "each was killed where it should be"
    whole = {
        place: [f for f in files[1:] if ".part." not in f and f != ".busy"]
        for place, files in told.items()
    }
    for place, epoch in {"second epoch": 1, "weights": 1, "state": 2, "result": 3}.items():
        newest = [name for name in whole[place] if name.endswith(".pt")]
        assert newest == [f"epoch-000{epoch}.pt"], place
    assert whole["first batches"] == []
    assert "model.safetensors" not in whole["result"]
    assert "record.json" not in whole["record"]
    for place in ("weights", "state", "result", "record"):
        assert any(".part." in name for name in told[place]), "half a file was left"

    finished = fit(build_model(recipe, ds, seed=7), ds, recipe, out=out)
    assert comparable(finished) == comparable(straight)
    weights, expected = (
        load_file(folder / "model.safetensors") for folder in (out, tmp_path / "straight")
    )
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert sorted(path.name for path in out.rglob("*")) == ["model.safetensors", "record.json"]
    assert json.loads((out / "record.json").read_text())["history"][-1]["epoch"] == 3
