"""The designs of TransMatcher: what is alike between networks that are compared, what is not."""

import numpy as np
import pandas as pd
import pytest

from reidlab.experiments import design, experiment
from reidlab.experiments.runner import Workspace
from reidlab.experiments.transmatcher import (
    PILOTS,
    PLACES,
    by_place,
    larger_leads,
    levels_by_place,
    losses_by_way,
    pilot,
)

SIZE = {"dim": 64, "hidden": 256, "layers": 2}
MODELS = {
    "vit": "vit_matcher", "transformer": "transformer", "cat": "transmatcher_cat",
    "cross": "transmatcher_cross", "transmatcher": "transmatcher",
}  # fmt: skip
CHANGED = {
    "all": {}, "no-prior": {"gate": "none"}, "softmax": {"gate": "softmax"},
    "mean": {"pooling": "mean"}, "positions": {"positions": True},
}  # fmt: skip


def test_networks_differ_in_the_model_alone_and_parts_in_a_switch():
    rest = set()
    for name, cell in design("transmatcher.networks_alike").cells().items():
        settings = cell.recipe.to_dict()
        assert settings.pop("model") == MODELS[name]
        assert settings.pop("switches") == SIZE
        settings.pop("preset")
        rest.add(str(settings))
    for name, cell in design("transmatcher.parts_alike").cells().items():
        settings = cell.recipe.to_dict()
        assert settings.pop("model") == "transmatcher"
        assert settings.pop("switches") == SIZE | CHANGED[name]
        settings.pop("preset")
        rest.add(str(settings))
    assert len(rest) == 1


def test_the_longer_training_differs_in_epochs_and_the_vits_rate_alone():
    short = design("transmatcher.networks_alike").cells()
    for name, cell in design("transmatcher.longer_alike").cells().items():
        network, rate = cell.levels["network"], float(cell.levels["rate"])
        assert cell.recipe == short[network].recipe.replace(epochs=9, lr=rate), name


def test_ways_start_alike_and_take_as_many_steps():
    cells = {
        name: cell.recipe for name, cell in design("transmatcher.places_towns").cells().items()
    }
    assert cells.pop("qaconv-start").epochs == 1  # it learns nothing, and has no time to
    same = ("weights", "image_size", "depth", "identities_per_batch", "images_per_identity")
    assert len({tuple(getattr(recipe, k) for k in same) for recipe in cells.values()}) == 1
    rates = {(recipe.sampler, recipe.lr) for recipe in cells.values()}
    assert {rate for rate in rates if rate[0] != "graph"} == {("identity", 5e-4)}
    own = {"pairs-vit": 1.5e-4, "qaconv": 5e-5, "qaconv-gs": 5e-4, "transmatcher": 1.5e-4}
    assert {name: cells[name].lr for name in own} == own, "each the best of its pilot"
    people, images = 144, 994  # of the plaza
    steps = {
        name: recipe.epochs * (people if recipe.sampler == "graph" else images // 32)
        for name, recipe in cells.items()
    }
    assert {name for name in steps if cells[name].sampler != "graph"} == {"embedding", "la"}
    assert max(steps.values()) - min(steps.values()) <= 3
    losses = {name: [loss.name for loss in recipe.losses] for name, recipe in cells.items()}
    assert losses == {
        "embedding": ["identity", "triplet"], "la": ["identity"], "pairs-vit": ["pairwise"],
        "qaconv": ["match_triplet"], "qaconv-gs": ["pairwise"], "transmatcher": ["pairwise"],
    }  # fmt: skip
    assert cells["la"].model == "la_transformer"
    assert cells["la"].unfreezing is None, "all blocks are open from the start"


@pytest.mark.parametrize(
    ("name", "level", "steps"),
    [("networks_alike", "cross", ["people"]), ("parts_alike", "softmax", ["people", "crowd"])],
)
def test_a_run_is_judged_person_by_person(tmp_path, name, level, steps):
    asked = design(f"transmatcher.{name}")
    line = Workspace("smoke", folder=tmp_path).line(asked, asked.cells("smoke")[level], 0)
    assert list(line["after"]) == steps
    people = line["after"]["people"]
    assert sum(people["ap"]) / sum(people["queries"]) == pytest.approx(line["metrics"]["mAP"])


def test_tight_and_loose_boxes_are_of_the_same_people(tmp_path):
    workspace = Workspace("smoke", folder=tmp_path)
    tight, loose = (workspace.open(name) for name in ("town-tight", "town-loose"))
    assert tight.query.pid.tolist() == loose.query.pid.tolist()
    assert tight.fingerprint() != loose.fingerprint()


def test_people_from_the_front_and_from_four_sides_are_the_same(tmp_path):
    """By the truth of the synthetic sets: which side of a person an image shows, in eighths."""
    workspace = Workspace("smoke", folder=tmp_path)
    front, turned = (workspace.open(name) for name in ("town-front", "town-turned"))
    assert front.query.pid.tolist() == turned.query.pid.tolist()
    truths = [pd.read_csv(ds.root / "attributes.csv") for ds in (front, turned)]
    assert [sorted(truth["view"].unique()) for truth in truths] == [[0], [0, 2, 4, 6]]


def test_every_place_is_a_family_of_its_own():
    runs = experiment("transmatcher.places_towns")
    leads = by_place(runs).set_index(["name", "group"])
    assert len(leads) == len(PLACES) * len(runs.design.predictions) == 63
    night = runs.judged("town-night").decide()
    found = leads.loc["street at night"]
    pd.testing.assert_frame_equal(found, night, check_names=False)
    assert leads.loc["plaza, trained there"].verdict.to_list() == runs.decide().verdict.to_list()
    means = levels_by_place(runs)
    real = [run for run in runs.where(way="la").records]
    by_hand = sum(run["after"]["pku-reid"]["metrics"]["mAP"] for run in real) / len(real)
    assert means.loc["real people", "LA-Transformer"] == pytest.approx(100 * by_hand)
    assert means.loc["plaza, trained there", "TransMatcher"] == pytest.approx(60.3, abs=0.05)
    assert means.loc["plaza, trained there", "QAConv 2.1, untrained"] < 20  # so it had learned
    ends = losses_by_way(runs)
    own = [run["history"] for run in runs.where(way="qaconv").records]
    assert ends.loc["QAConv 2.1", "last"] == pytest.approx(sum(h[-1]["loss"] for h in own) / 3)
    assert ends.loc["QAConv 2.1", "first"] == pytest.approx(sum(h[0]["loss"] for h in own) / 3)


def test_a_lead_that_should_grow_is_one_number():
    runs = experiment("transmatcher.places_towns")
    found = larger_leads(runs)
    assert len(found) == 4

    def points(way, place):  # of each seed and person
        people = [run["after"][place]["people"] for run in runs.where(way=way).records]
        return np.array([100 * np.divide(each["ap"], each["queries"]) for each in people])

    tight, loose = (
        points("transmatcher", place) - points("embedding", place)
        for place in ("town-tight", "town-loose")
    )
    row = found.loc["lead over the ViT baseline, poor boxes against perfect ones"]
    assert row.value == pytest.approx((loose - tight).mean())
    assert row.low < row.value < row.high < 0
    assert row.verdict == "contradicted"


def test_the_pilot_is_told_run_by_run():
    runs, later = (experiment(name) for name in PILOTS)
    found = pilot(runs, later)
    assert len(found) == len(runs) + len(later)
    assert found.text[0] == "TransMatcher, rate 5e-4, 3 epochs: loss 10.90, mAP 22.5 %"
    (matched,) = runs.where(network="vit", epochs="3").records
    vit = found.query("network == 'vit' and epochs == '3'")
    assert vit.loss.item() == matched["history"][-1]["loss"]
