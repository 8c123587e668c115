"""Runs of older versions: their folders go on, their records are read, as they stand on disk."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reidlab.losses import Identity, Triplet
from reidlab.training import CheckpointError, Recipe, RunRecord, build_model, fit, load_run

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDS = [
    pytest.param(found["experiment"], id=f"{path.parent.name}/{path.stem}-{line}")
    for path in sorted((REPOSITORY / "book" / "results").rglob("*.jsonl"))
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    if "experiment" in (found := json.loads(text))
]
FLAT = {
    "label_smoothing": 0.0, "over_heads": "mean", "triplet_margin": None,
    "triplet_on": "features", "triplet_weight": 1.0,
}  # fmt: skip
LATER = (
    "accumulation_steps", "decay_every", "ema_decay", "flip_test", "gather",
    "gradient_checkpointing", "interpolation", "keep", "layer_decay", "lr_decay", "sampler",
    "switches", "unfreezing", "validate_every", "validate_on", "validation_identities",
)  # fmt: skip


def flat(recipe):
    """A recipe as the version before wrote it: one field for each setting of the two losses."""
    return {k: v for k, v in recipe.items() if k not in ("losses", "weights_sha256")} | FLAT


def first(recipe):
    """As the first version wrote it, which had no heads and no later setting."""
    gone = (*LATER, "over_heads", "triplet_on")
    return {k: v for k, v in flat(recipe).items() if k not in gone}


AGES = pytest.mark.parametrize("written", [flat, first])


@pytest.fixture
def tiny(recipe):
    return recipe.replace(image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2)


# ------------------------------------------------------------------ records in the repository


def test_there_are_records():
    assert len(RECORDS) > 50


@pytest.mark.parametrize("said", RECORDS)
def test_every_record_of_the_book(said):
    recipe = Recipe.from_record(said)
    settings = recipe.to_dict()
    for name in settings.keys() & said.keys() - {"switches", "losses"}:
        assert settings[name] == said[name], name
    if "switches" in said:
        assert recipe.switches == said.get("changed_switches", said["switches"])
    if "losses" in said:
        expected = said["losses"]
    else:
        heads, weight = said.get("over_heads", "mean"), said.get("triplet_weight", 1.0)
        smoothing = said.get("label_smoothing", 0.0)
        expected = {"identity": {"label_smoothing": smoothing, "over_heads": heads, "weight": 1.0}}
        if weight != 0:
            expected["triplet"] = {
                "margin": said.get("triplet_margin"), "on": said.get("triplet_on", "features"),
                "over_heads": heads, "weight": weight,
            }  # fmt: skip
    assert settings["losses"] == expected
    assert Recipe.from_record(json.loads(json.dumps(settings))) == recipe


@pytest.mark.parametrize(
    ("said", "losses"),
    [
        ({}, (Identity(), Triplet())),
        ({"triplet_weight": 0.0, "over_heads": "sum"}, (Identity(over_heads="sum"),)),
        ({"triplet_weight": 0, "label_smoothing": 0.1}, (Identity(label_smoothing=0.1),)),
        (
            {"triplet_margin": 0.3, "triplet_on": "logits", "over_heads": "sum",
             "triplet_weight": 2.0, "label_smoothing": 0.2},
            (
                Identity(label_smoothing=0.2, over_heads="sum"),
                Triplet(margin=0.3, on="logits", over_heads="sum", weight=2.0),
            ),
        ),
    ],
)  # fmt: skip
def test_the_flat_fields_of_losses(said, losses):
    assert Recipe.from_record(said).losses == losses


def test_what_is_no_setting_is_passed_over_and_what_is_not_there_is_the_default():
    said = {"paper": "vit_baseline", "variant": "mean colour", "parameters": 3, "epochs": 7}
    assert Recipe.from_record(said) == Recipe(epochs=7)


# ------------------------------------------------------------------ folders


@AGES
def test_a_finished_run_is_read_back(ds, tiny, tmp_path, written):
    fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
    older = RunRecord.load(tmp_path / "record.json")
    older.experiment = written(older.experiment)
    older.save(tmp_path / "record.json")
    model = build_model(tiny, ds, seed=3)
    assert fit(model, ds, tiny, out=tmp_path) == older
    loaded, record = load_run(tmp_path, ds)
    assert record == older
    assert all(v.equal(loaded.state_dict()[k]) for k, v in model.state_dict().items())
    smooth = tiny.replace(**{"losses.identity.label_smoothing": 0.1})
    with pytest.raises(
        CheckpointError, match=r"recipe.losses.identity.label_smoothing is 0.0 there and 0.1 now"
    ):
        fit(build_model(smooth, ds), ds, smooth, out=tmp_path)
    flipped = tiny.replace(flip_test=True)
    with pytest.raises(CheckpointError, match=r"recipe.flip_test is False there and True now"):
        fit(build_model(flipped, ds), ds, flipped, out=tmp_path)


@AGES
def test_an_unfinished_run_goes_on(ds, tiny, tmp_path, stopped_in, written):
    whole = fit(build_model(tiny, ds), ds, tiny, out=tmp_path / "whole")
    out = tmp_path / "older"
    with stopped_in(2):
        fit(build_model(tiny, ds), ds, tiny, out=out)
    path = out / "checkpoints" / "epoch-0001.pt"
    state = torch.load(path, weights_only=True)
    configuration = state["configuration"]
    older = {
        "epoch": 1, "optimizer": state["optimizer"], "scaler": {}, "history": state["history"],
        "started": state["started"],
        "configuration": {
            "recipe": written(configuration["recipe"]), "seed": 0, "data": ds.fingerprint(),
            "classes": 8, "processes": 1,
        },
    }  # fmt: skip
    if written is flat:
        older |= {"average": {}, "best": {}, "peak_memory_mb": 1e6}
    else:
        for group in older["optimizer"]["param_groups"]:
            del group["scale"], group["depth"]
    torch.save(older, path)
    record = fit(build_model(tiny, ds, seed=5), ds, tiny, out=out)
    assert [row["loss"] for row in record.history] == [row["loss"] for row in whole.history]
    assert record.metrics == whole.metrics
    assert record.started == state["started"]
    assert record.commit is None, "which began it is not known"
    one, two = (load_file(f / "model.safetensors") for f in (out, tmp_path / "whole"))
    assert all(one[name].equal(two[name]) for name in one)


def test_an_unfinished_run_of_other_losses_does_not(ds, tiny, tmp_path, stopped_in):
    with stopped_in(2):
        fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
    path = tmp_path / "checkpoints" / "epoch-0001.pt"
    state = torch.load(path, weights_only=True)
    state["configuration"]["recipe"] = flat(state["configuration"]["recipe"])
    state["configuration"]["recipe"]["triplet_on"] = "logits"
    torch.save(state, path)
    with pytest.raises(
        CheckpointError, match=r"recipe.losses.triplet.on is 'logits' there and 'features' now"
    ):
        fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
