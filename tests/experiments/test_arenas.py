"""Arenas: the same comparison on other grounds, and their cards, at the size of a test."""

import itertools
import json
from dataclasses import replace

import pytest
import torch

from reidlab import recipes
from reidlab.evaluation import components, smallest_difference
from reidlab.experiments import design
from reidlab.experiments.arenas import ARENAS, Arena, budget_curve, cards
from reidlab.experiments.design import Experiment
from reidlab.experiments.runner import Workspace
from reidlab.experiments.vit_baseline import TRIPLET
from reidlab.judging import evaluate_on
from reidlab.training import build_model, training_batches

TOY = Experiment(
    name="toy.losses",
    question="?",
    start=lambda profile, preset=None: recipes.get("vit_baseline", profile, preset),
    factors={"loss": {"both": {}, "identity": {"losses.triplet": None}}},
)


def test_a_comparison_on_other_grounds_has_their_data_start_and_budget():
    arena = Arena("ground", "a ground", "alike", epochs=7, changes={"weights": "plain"}, seeds=4)
    there = arena.on(TOY)
    assert (there.name, there.data, there.seeds) == ("toy.losses_ground", "alike", 4)
    assert list(there.cells()) == ["both", "identity"]
    for recipe in (cell.recipe for cell in there.cells().values()):
        assert (recipe.epochs, recipe.weights) == (7, "plain")
    assert not [loss for loss in there.cells()["identity"].recipe.losses if loss.name == "triplet"]
    small = there.cells("smoke")["both"].recipe
    assert (small.epochs, small.weights) == (1, None), "a test keeps its own budget"


def test_folds_are_a_factor_of_the_data():
    cells = replace(ARENAS["pku-folds"], folds=2).on(TOY).cells()
    assert list(cells) == ["both_1", "both_2", "identity_1", "identity_2"]
    assert cells["both_2"].options == {"fold": 2, "folds": 2}


def test_an_arena_without_its_data_says_where_to_get_them():
    with pytest.raises(ValueError, match="this experiment is about pku-reid: --data-root FOLDER"):
        list(Workspace("laptop").run(design("arenas.pku-folds"), ["plain_1/seed0"]))


def test_an_arena_that_is_judged_elsewhere_asks_for_those_data_before_it_trains(tmp_path):
    workspace = Workspace("laptop", folder=tmp_path)
    with pytest.raises(ValueError, match="this experiment is about pku-reid: --data-root FOLDER"):
        list(workspace.run(design("arenas.towns"), ["plain/seed0"]))
    assert not (tmp_path / "made").exists()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace("smoke", folder=tmp_path_factory.mktemp("arenas"))


@pytest.mark.parametrize("name", ARENAS)
def test_the_baseline_runs_on_every_arena(workspace, name):
    found = design(f"arenas.{name}")
    fold = "_1" if ARENAS[name].folds else ""
    (path,) = workspace.run(found, [f"plain{fold}/seed0"])
    (run,) = workspace.runs(found).records
    assert path.is_file()
    assert {"people", "before"} <= set(run["after"])
    assert set(run["after"]["before"]) == {"class", "pooled", "rows"}
    if name in ("alike", "plaza"):
        crowd = workspace.runs(found).judged("crowd")
        assert crowd.records[0]["data"]["fingerprint"] != run["data"]["fingerprint"]
        shares = crowd.records[0]["after"]["people"]
        mean = sum(shares["ap"]) / sum(shares["queries"])
        assert mean == pytest.approx(crowd.records[0]["metrics"]["mAP"], abs=1e-4)
        assert len(shares["pid"]) > len(run["after"]["people"]["pid"])
        made = [json.loads(each.read_text()) for each in workspace.folder.rglob("result.json")]
        asked = {f"{name}-crowd": workspace.open(f"{name}-crowd").fingerprint()}
        assert asked in [each["inputs"].get("sets") for each in made], "others are judged anew"
    if name == "towns":
        places = run["after"]["elsewhere"]
        assert list(places) == ["town-mall", "town-night", "town-random", "pku-reid"]
        for found in places.values():
            mean = sum(found["people"]["ap"]) / sum(found["people"]["queries"])
            assert mean == pytest.approx(found["metrics"]["mAP"], abs=1e-4)
    people = run["after"]["people"]
    assert sum(people["ap"]) / sum(people["queries"]) == pytest.approx(
        run["metrics"]["mAP"], abs=1e-4
    )


def test_before_is_what_the_start_does_by_its_class_token(workspace):
    found, name = design("arenas.alike"), "strong/seed0"
    list(workspace.run(found, [name]))
    (run,) = workspace.runs(found).where(start="strong").records[:1]
    ds, recipe = workspace.open("alike"), found.cells("smoke")["strong"].recipe
    untrained = evaluate_on(build_model(recipe, ds).eval(), ds, recipe)
    assert run["after"]["before"]["class"] == pytest.approx(untrained.mAP, abs=1e-6)


def test_the_geometry_of_a_training_is_that_of_its_batches(workspace):
    found = replace(ARENAS["alike"], changes={}).on(TRIPLET, "toy.triplet")
    list(workspace.run(found, ["all/seed0"]))
    (run,) = workspace.runs(found).records
    shape = run["after"]["geometry"]
    ds, recipe = workspace.open("alike"), found.cells("smoke")["all"].recipe
    model, parts = build_model(recipe, ds, seed=0).eval(), []
    with torch.inference_mode():
        for batch in itertools.islice(training_batches(ds, recipe), 8):
            parts.append((model.embed(batch["image"]), batch["label"].tolist()))
    gaps = []
    for features, labels in parts:
        far = torch.cdist(features, features).tolist()
        for anchor, row in enumerate(far):
            own = [d for d, label in zip(row, labels, strict=True) if label == labels[anchor]]
            other = [d for d, label in zip(row, labels, strict=True) if label != labels[anchor]]
            gaps.append(max(own) - min(other))
    assert shape["hardest_before"] == pytest.approx(sum(gaps) / len(gaps), rel=0.01)
    f = torch.cat([features for features, _ in parts])
    assert shape["common_before"] == pytest.approx(
        float(f.mean(0).norm() ** 2 / (f.norm(dim=1) ** 2).mean()), rel=1e-3
    )
    assert shape["hardest_before"] >= shape["all_before"]
    assert {name.split("_")[1] for name in shape} == {"before", "after"}


def test_a_card_is_made_of_the_baselines_runs(workspace):
    found = design("arenas.alike")
    list(workspace.run(found, ["plain/seed0", "plain/seed1", "strong/seed0", "strong/seed1"]))
    runs = workspace.runs(found)
    table = cards([runs, workspace.runs(design("arenas.fleet"))])
    assert [name for name in table.index if name[0] == "alike"] == [
        ("alike", "plain start"), ("alike", "strong start")
    ]  # fmt: skip
    row, plain = table.loc[("alike", "plain start")], runs.where(start="plain")
    values = [100 * run["metrics"]["mAP"] for run in plain.records]
    people = plain.people()
    parts = components(people.sums, people.queries)
    assert row.after == pytest.approx(sum(values) / 2)
    before = [run["after"]["before"]["class"] for run in plain.records]
    assert row.before == pytest.approx(100 * sum(before) / 2)
    assert row.smallest == pytest.approx(smallest_difference(parts, 2), nan_ok=True)
    assert (row.seeds, row.people) == (2, len(people.pids))


@pytest.mark.parametrize("name", ["arenas.budget_alike", "arenas.budget_pku-folds"])
def test_a_budget_is_read_off_people_of_whom_nothing_else_is_asked(workspace, name):
    found = design(name)
    chosen = next(cell for cell in found.cells("smoke") if cell.startswith("5e-4_10"))
    list(workspace.run(found, [chosen]))
    runs = workspace.runs(found)
    (run,) = runs.records
    (row,) = budget_curve(runs).to_dict("records")
    assert (row["name"], row["epochs"]) == ("rate 5e-4", 10)
    left_out = run["history"][-1].get("validation")
    assert (left_out is not None) == name.endswith("folds")
    assert row["value"] == pytest.approx(100 * (left_out or run["metrics"])["mAP"])
