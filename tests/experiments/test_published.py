"""The published runs are those of the designs, and some of their numbers, typed here."""

import itertools

import pytest

from reidlab.experiments import design, experiment, names, published
from reidlab.experiments.runner import of_cell
from reidlab.record import different_run
from reidlab.training import Recipe

COUNTS = {
    "la_transformer.table2": 36, "la_transformer.corners_pku-folds": 36,
    "la_transformer.corners_plaza": 8, "la_transformer.longer": 8,
    "la_transformer.corners_strong": 12,
    "la_transformer.knobs": 46, "gltrans.networks_alike": 21, "gltrans.maps": 198,
    "la_tf_pp.losses_pku-folds": 63, "la_tf_pp.losses_alike": 21,
    "la_tf_pp.at_once_pku-folds": 27,
    "la_tf_pp.ranking": 360, "vit_baseline.pku_reid": 4,
    "vit_baseline.untrained": 1, "vit_baseline.triplet_pilot": 9,
    "vit_baseline.triplet_pku-folds": 27, "arenas.pku-folds": 18,
    "arenas.alike": 6, "arenas.plaza": 6, "arenas.fleet": 6, "arenas.day-night": 6,
    "arenas.day-night-twins": 6, "arenas.towns": 6, "tvtr.table2_day-night": 15,
    "transmatcher.networks_alike": 15, "transmatcher.parts_alike": 15,
    "transmatcher.places_towns": 21, "arenas.budget_alike": 9,
    "arenas.budget_pku-folds": 9,
    "transmatcher.budget_alike": 5, "transmatcher.later_alike": 9,
    "pretraining.ablation": 108, "pretraining.zero_shot": 5, "pretraining.cameras": 3,
}  # fmt: skip


def test_what_is_published_is_published_whole():
    found = {name: len(experiment(name)) for name in names()}
    assert {name: n for name, n in found.items() if n} == COUNTS
    folder = published("x.y").parents[1]
    files = {
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.jsonl")
    }
    own = {name for name in files if not name.startswith("pages/")}  # see workflow/page_seeds.py
    assert own - {name.replace(".", "/") for name in COUNTS} == {"protocol_audit/pku_reid"}


@pytest.mark.parametrize("name", [name for name in COUNTS if design(name).start is not None])
def test_a_published_run_is_of_its_cell(name):
    asked, runs = design(name), experiment(name)
    for run in runs.records:
        cell = asked.cell(run["levels"])
        assert of_cell(run, asked, cell), (run["levels"], run["seed"])
    assert runs.judged_unlike(runs.records) == []
    wanted = {(cell, seed) for cell in asked.cells() for seed in range(min(3, asked.seeds))}
    found = [("_".join(run["levels"].values()), run["seed"]) for run in runs.records]
    assert len(found) == len(set(found))
    missing = {("random", 1), ("random", 2)} if name == "vit_baseline.pku_reid" else set()
    assert wanted - set(found) == missing


@pytest.mark.parametrize("name", [name for name in COUNTS if design(name).start is not None])
def test_published_runs_of_two_designs_are_told_apart(name):
    cells = {str(run["levels"]): {**run, "seed": 0} for run in experiment(name).records}
    for one, other in itertools.combinations(cells.values(), 2):
        recipes = [Recipe.from_record(run["experiment"]) for run in (one, other)]
        alike = recipes[0] == recipes[1] and one["data"] == other["data"]
        assert bool(different_run(one, other)) != alike, (one["levels"], other["levels"])


def test_numbers_that_pages_quote():
    table2, losses = experiment("la_transformer.table2"), experiment("la_tf_pp.losses_pku-folds")
    both = {"heads": "one", "tokens": "both", "blocks": "at-once"}
    (run,) = (run for run in table2.where(**both).records if run["seed"] == 0)
    assert run["metrics"]["mAP"] == pytest.approx(0.369, abs=5e-4)
    crowd = run["after"]["crowd"]["people"]
    assert (len(crowd["pid"]), sum(crowd["queries"])) == (400, 2796)
    plus = {"model": "la-tf-pp", "loss": "cels-tl", "batches": "shuffled", "fold": "1"}
    (run,) = (run for run in losses.where(**plus).records if run["seed"] == 0)
    assert run["metrics"]["mAP"] == 0.22183989431964868
    (run,) = (r for r in losses.judged("authors").where(**plus).records if r["seed"] == 0)
    assert run["metrics"]["mAP"] == 0.8022340647833208
    assert run["data"]["protocol"] == "la-official"
    assert run["seconds"]["embed"] == 3.111983485010569
    ranked = experiment("la_tf_pp.ranking").rows(model="la-tf", seed=0, rule="standard", fold="1")
    people = ranked.set_index("addition").loc["plain", "people"]
    assert sum(people["ap"]) / sum(people["queries"]) == pytest.approx(0.249836, abs=1e-6)
    arm = experiment("pretraining.ablation").rows(arm="start", set="real", view="class")
    assert arm["mAP"].tolist() == [0.10894824103014354]
    against = experiment("la_transformer.knobs").rows(table="predictions", verdict="contradicted")
    assert against["contrast"].tolist() == [pytest.approx(-3.804, abs=1e-3)]
    assert experiment("vit_baseline.untrained").values("mAP") == [8.525325106925502]
