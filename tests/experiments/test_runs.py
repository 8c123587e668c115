"""Runs: chosen, put into tables, compared; with numbers by hand and scipy as the oracle."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reidlab.experiments import Experiment, Runs, experiment
from reidlab.experiments.runs import PeopleValues, differing, judgement
from reidlab.record import RecordError
from reidlab.training import Recipe

SHARES = {
    ("one", "x"): (0.50, 0.52, 0.54), ("rows", "x"): (0.60, 0.61, 0.65),
    ("one", "y"): (0.30, 0.34, 0.32), ("rows", "y"): (0.50, 0.50, 0.53),
}  # fmt: skip
DESIGN = Experiment(
    name="toy.grid",
    question="?",
    start=lambda profile, preset: Recipe(),
    factors={
        "heads": {"one": {"epochs": 1}, "rows": {"epochs": 2}},
        "people": {"x": {}, "y": {"lr": 0.1}},
    },
    labels={"one": "one head", "heads": "classifiers"},
)


def record(heads, people, seed, share):
    levels = {"heads": heads, "people": people}
    return {
        "schema": 1, "experiment": DESIGN.cell(levels).recipe.to_dict() | {"parameters": 7},
        "seed": seed, "commit": None, "dirty": None, "data": {"name": "toy", "fingerprint": "0"},
        "environment": {"device": "CPU"}, "metrics": {"mAP": share, "num_queries": 4},
        "seconds": {"train": 2.0 + seed}, "images_per_second": 1.0, "peak_memory_mb": 1.0,
        "started": "2026-01-01", "finished": "2026-01-01",
        "history": [{"epoch": 1, "accuracy": 0.1}, {"epoch": 2, "accuracy": 0.75}],
        "levels": levels,
        "after": {
            "views": {"first": {"mAP": share / 2}},
            "other": {"metrics": {"mAP": 1 - share}, "data": {"name": "toy", "fingerprint": "1"}},
        },
    }  # fmt: skip


@pytest.fixture
def runs():
    found = [
        record(*cell, seed, share)
        for cell, shares in SHARES.items()
        for seed, share in enumerate(shares)
    ]
    return Runs("toy.grid", tuple(found), design=DESIGN)


def test_the_cells_of_a_design_are_the_product_of_its_factors_or_those_listed():
    assert list(DESIGN.cells()) == ["one_x", "one_y", "rows_x", "rows_y"]
    assert DESIGN.cells()["rows_y"].recipe == Recipe(epochs=2, lr=0.1)


def test_runs_are_chosen_by_level(runs):
    assert len(runs.where(heads="rows")) == 6
    assert len(runs.where(heads="rows", people=["x", "y"])) == 6
    assert runs.values(heads="one", people="x") == pytest.approx([50, 52, 54])
    with pytest.raises(ValueError, match="heads is 'two'; expected one of one, rows"):
        runs.where(heads="two")
    with pytest.raises(ValueError, match="has no factor 'head'; it has heads, people"):
        runs.where(head="two")
    assert runs.frame("mAP").iloc[0].to_dict() == {
        "heads": "one", "people": "x", "seed": 0, "mAP": pytest.approx(50)
    }  # fmt: skip
    epochs = [[row["epoch"] for row in history] for history in runs.where(heads="one").histories]
    assert epochs == [[1, 2]] * 6


@pytest.mark.parametrize(
    ("metric", "value"),
    [("mAP", 50), ("views.first.mAP", 25), ("seconds.train", 2), ("parameters", 7),
     ("num_queries", 4), ("experiment.parameters", 7), ("learned", 75)],
)  # fmt: skip
def test_a_number_by_its_dotted_name(runs, metric, value):
    assert runs.values(metric)[0] == pytest.approx(value)


def test_a_number_that_is_not_there(runs):
    with pytest.raises(ValueError, match="no number 'joy'; its metrics: mAP, num_queries"):
        runs.values("joy")


def test_a_table_has_no_predictions_to_decide():
    for name in ("la_transformer.knobs", "gltrans.maps"):
        with pytest.raises(ValueError, match=rf"{name} is a table, expected runs to compare"):
            experiment(name).decide()


def test_the_same_runs_under_another_evaluation(runs):
    other = runs.judged("other")
    assert other.values()[0] == pytest.approx(50)
    assert other.values()[1] == pytest.approx(48)
    assert other.records[0]["data"]["fingerprint"] == "1"
    with pytest.raises(ValueError, match="no evaluation 'official'; the runs have views, other"):
        runs.judged("official")


def test_a_table_by_hand(runs):
    table = runs.table(rows="heads", columns="people")
    assert table.index.names == ["classifiers"]
    assert [row[0] for row in table.index] == ["one head", "rows"]
    assert table["x"].tolist() == ["52.0 ± 2.0", "62.0 ± 2.6"]
    assert table["y"].tolist() == ["32.0 ± 2.0", "51.0 ± 1.7"]
    assert table["runs"].tolist() == ["3", "3"]
    averaged = runs.table(rows="heads", metric=["mAP", "parameters"], digits=0)
    assert averaged["mAP"].tolist() == ["42 ± 2", "56 ± 2"]  # of the seeds' means over people
    one = Runs("toy", runs.records[:1], design=DESIGN).table(rows=["heads", "people"])
    assert one["mAP"].tolist() == ["50.0"]
    assert len(Runs("toy").table(rows="heads")) == 0


def test_an_empty_cell_of_a_table(runs):
    kept = [run for run in runs.records if {*run["levels"].values()} != {"rows", "y"}]
    some = Runs("toy", tuple(kept), design=DESIGN)
    table = some.table(rows="heads", columns="people")
    assert table["y"].tolist() == ["32.0 ± 2.0", ""]


def test_the_summary_has_students_interval(runs):
    row = runs.summary().iloc[0]
    half = 4.3027 * 2 / math.sqrt(3)  # t of 2 degrees at 97.5 %, from a table
    assert row[["heads", "people", "metric", "runs"]].tolist() == ["one", "x", "mAP", 3]
    assert row["mean"] == pytest.approx(52)
    assert (row["low"], row["high"]) == pytest.approx((52 - half, 52 + half), abs=1e-3)


def test_a_difference_is_welchs(runs):
    found = runs.difference("heads", "one", "rows", people="x")
    a, b = ([100 * x for x in SHARES[heads, "x"]] for heads in ("one", "rows"))
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert found.value == pytest.approx(10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.clear


def test_means_have_students_interval_and_the_runs_behind_them(runs):
    row = runs.means({"one head": {"heads": "one", "people": "x"}}).loc["one head"]
    values = [50.0, 52.0, 54.0]
    low, high = stats.t.interval(0.95, 2, loc=52.0, scale=stats.sem(values))
    assert (row.value, row.low, row.high) == pytest.approx((52.0, low, high))
    assert row.runs == pytest.approx(values)
    single = Runs("toy.grid", tuple(r for r in runs.records if r["seed"] == 0), design=DESIGN)
    lone = single.means({"one head": {"heads": "one", "people": "x"}}).iloc[0]
    assert lone.value == pytest.approx(50)
    assert math.isnan(lone.low)


def test_what_is_left_open_is_averaged_over_seed_by_seed(runs):
    found = runs.difference("heads", "one", "rows")
    means = [
        [50 * (p + q) for p, q in zip(SHARES[heads, "x"], SHARES[heads, "y"], strict=True)]
        for heads in ("one", "rows")
    ]
    interval = stats.ttest_ind(means[1], means[0], equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    sides = {"heads": "one", "people": "x"}, {"heads": "rows", "people": "y"}
    assert runs.compare(*sides).value == pytest.approx(-1)


def test_what_speaks_against_a_comparison(runs):
    records = list(runs.records)
    records[3] = records[3] | {"data": {"name": "toy", "fingerprint": "9"}}
    mixed = Runs("toy", tuple(records), design=DESIGN)
    with pytest.raises(ValueError, match="not comparable: fingerprint of the images: 0 / 9"):
        mixed.difference("heads", "one", "rows", people="x")
    records = [*runs.records[:-1]]
    with pytest.raises(ValueError, match="side b, seed 2: 1 of 2 cells"):
        Runs("toy", tuple(records), design=DESIGN).difference("heads", "one", "rows")
    records[0] = records[0] | {"experiment": records[0]["experiment"] | {"momentum": 0.5}}
    with pytest.raises(ValueError, match=r"momentum: 0\.5 / 0\.9"):
        Runs("toy", tuple(records), design=DESIGN).difference("heads", "one", "rows", people="x")


FOLDS = Experiment(
    name="toy.folds",
    question="?",
    start=lambda profile, preset: Recipe(),
    factors={
        "heads": DESIGN.factors["heads"],
        "fold": {k: {"data.fold": int(k), "data.folds": 2} for k in "12"},
    },
)


def in_fold(heads, fold, seed, share):
    run = record(heads, "x", seed, share)
    data = {"name": "toy", "fingerprint": f"of fold {fold}"}
    return run | {"levels": {"heads": heads, "fold": fold}, "data": data}


@pytest.fixture
def in_folds():
    """Two seeds in two folds: "one" has 0.50 and 0.52 on the mean, "rows" 0.60 and 0.66."""
    shares = {("one", "1"): (0.4, 0.4), ("one", "2"): (0.6, 0.64),
              ("rows", "1"): (0.5, 0.6), ("rows", "2"): (0.7, 0.72)}  # fmt: skip
    found = [in_fold(*cell, k, v) for cell, values in shares.items() for k, v in enumerate(values)]
    return Runs("toy.folds", tuple(found), design=FOLDS)


def test_folds_left_open_are_averaged_over_and_like_is_compared_with_like(in_folds):
    assert in_folds.where(heads="one").by_seed() == pytest.approx([50, 52])
    found = in_folds.difference("heads", "one", "rows")
    interval = stats.ttest_ind([60, 66], [50, 52], equal_var=False).confidence_interval()
    assert found.value == pytest.approx(12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert in_folds.difference("heads", "one", "rows", fold="2").value == pytest.approx(9)
    assert in_folds.table(rows="heads", columns="fold").shape == (2, 3)


def changed(runs, number, **change):
    records = list(runs.records)
    records[number] = records[number] | change
    return Runs(runs.name, tuple(records), design=runs.design)


def test_what_speaks_against_a_comparison_over_folds(in_folds):
    sides = {"heads": "one"}, {"heads": "rows"}
    other = changed(in_folds, 2, data={"name": "toy", "fingerprint": "another copy"})
    with pytest.raises(ValueError, match="comparable: fold 2: fingerprint of the images: another"):
        other.compare(*sides)
    assert other.compare(*({**side, "fold": "1"} for side in sides)).value == pytest.approx(15)
    fewer = Runs("toy.folds", in_folds.records[:-1], design=FOLDS)
    with pytest.raises(ValueError, match="side b, seed 1: 1 of 2 cells"):
        fewer.compare(*sides)
    with pytest.raises(ValueError, match="not comparable: fingerprint of the images: of fold 1 / "):
        in_folds.compare({"heads": "one", "fold": "1"}, {"heads": "rows", "fold": "2"})
    with pytest.raises(ValueError, match="not comparable: fingerprint of the images: of fold 1 / "):
        in_folds.compare({"heads": "one", "fold": "1"}, {"heads": "rows"})
    unknown = Runs("toy.folds", in_folds.records)  # without a design nobody knows what folds are
    with pytest.raises(ValueError, match="not comparable: fingerprint of the images: of fold 1 / "):
        unknown.compare(*sides)


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("data", {"name": "msmt17"}, "data set: msmt17 / toy"),
        ("data", {"fingerprint": "5"}, "fingerprint of the images: 0 / 5"),
        ("data", {"protocol": "sysu"}, "protocol: not recorded / sysu"),
        ("metrics", {"ap": "trapezoid"}, "average precision: not recorded / trapezoid"),
    ],
)
def test_what_makes_runs_not_comparable(runs, part, change, said):
    one = runs.records[0]
    assert differing(map(judgement, [one, one | {"seed": 5, "environment": {}}])) == []
    assert differing(map(judgement, [one, one | {part: one[part] | change}])) == [said]


def test_lines_are_records_a_header_or_rows(tmp_path, runs):
    path = tmp_path / "grid.jsonl"
    lines = [{"header": {"k1": 4}}, {"k": 1, "v": None}, {"k": 2, "v": 3}, runs.records[0]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = Runs.read(path)
    assert (found.name, found.header, len(found.records)) == ("grid", {"k1": 4}, 1)
    pd.testing.assert_frame_equal(found.rows(k=2), pd.DataFrame([{"k": 2, "v": 3}]))
    assert list(found.rows(k=1)) == ["k"]
    assert len(Runs.read(tmp_path / "none.jsonl")) == 0
    path.write_text('{"metrics": {}}\n')
    with pytest.raises(RecordError, match="line 1 is not a run record: `schema` is missing"):
        Runs.read(path)
    path.write_text("{\n")
    with pytest.raises(RecordError, match="line 1, is no JSON"):
        Runs.read(path)


# --- people ---------------------------------------------------------------------------------------


def kept(run, pids, ap, queries=None, step="people"):
    sums = {"pid": pids, "queries": queries or [4] * len(pids), "ap": ap,
            "rank1": [x // 1 for x in ap]}  # fmt: skip
    return run | {"after": {step: sums if step == "people" else {"people": sums}}}


@pytest.fixture
def people():
    """Two folds, of the people 3 and 9 and of 5; the sums say heads, seed and person."""
    found = []
    for bonus, heads in enumerate(("one", "rows")):
        for seed in (1, 0):
            found += [
                kept(in_fold(heads, "1", seed, 0.5), [3, 9], [bonus + seed + 0.3, bonus + 0.9]),
                kept(in_fold(heads, "2", seed, 0.5), [5], [bonus + 0.5], [2]),
            ]
    return Runs("toy.folds", tuple(found), design=FOLDS)


def test_people_of_all_folds_by_seed(people):
    found = people.people("mAP", heads="one")
    assert isinstance(found, PeopleValues)
    assert (found.seeds, found.pids.tolist(), found.queries.tolist()) == (
        [0, 1], [3, 5, 9], [4, 2, 4]
    )  # fmt: skip
    assert found.sums == pytest.approx(np.array([[0.3, 0.5, 0.9], [1.3, 0.5, 0.9]]))
    assert (found.pids.dtype, found.queries.dtype, found.sums.dtype) == (int, int, float)
    assert people.people("rank1", heads="one").sums.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert people.people(heads="one", fold="2").sums.tolist() == [[0.5], [0.5]]


def test_who_is_in_several_cells_has_their_mean(people):
    assert people.people().sums == pytest.approx(np.array([[0.8, 1.0, 1.4], [1.8, 1.0, 1.4]]))


def test_people_of_a_step_that_is_an_evaluation_as_well(people):
    runs = [kept(run, **_sums(run), step="authors") for run in people.records]
    authors = Runs("toy.folds", tuple(runs), design=FOLDS)
    assert authors.people(step="authors").sums.tolist() == people.people().sums.tolist()
    with pytest.raises(ValueError, match="no people of a step 'people'; of these it does: authors"):
        authors.people()


def _sums(run):
    found = run["after"]["people"]
    return {"pids": found["pid"], "ap": found["ap"], "queries": found["queries"]}


@pytest.mark.parametrize(
    ("number", "sums", "said"),
    [
        (0, {"pids": [3], "ap": [0.1]}, "seed 1 has no person 9 in heads=one fold=1, which seed 0"),
        (0, {"pids": [3, 9, 10], "ap": [0, 0, 0]}, "seed 0 has no person 10 in .*, which seed 1"),
        (3, {"pids": [5], "ap": [0], "queries": [3]}, "person 5 has 2 queries in one run and 3 in"),
    ],
)
def test_seeds_of_other_people_are_not_pooled(people, number, sums, said):
    records = list(people.records)
    records[number] = kept(records[number], **sums)
    with pytest.raises(
        ValueError, match=f"^toy.folds: not comparable: people cannot be pooled: {said}"
    ):
        Runs("toy.folds", tuple(records), design=FOLDS).people(heads="one")


def test_what_else_forbids_to_pool_people(people):
    fewer = Runs("toy.folds", people.records[:-1], design=FOLDS)
    with pytest.raises(ValueError, match="seed 0 has no run of heads=rows fold=2, which seed 1"):
        fewer.people()
    twice = Runs("toy.folds", (*people.records, people.records[0]), design=FOLDS)
    with pytest.raises(ValueError, match="seed 1 of heads=one fold=1 is there more than once"):
        twice.people()
    other = changed(people, 0, data={"name": "toy", "fingerprint": "another copy"})
    with pytest.raises(ValueError, match="not judged alike: fold 1: fingerprint of the images: an"):
        other.people()
    with pytest.raises(
        ValueError, match="no sums of 'ap' by person: choose 'mAP' or 'rank1' or 'rank5'"
    ):
        people.people("ap")
    with pytest.raises(ValueError, match="has no runs to take people of"):
        Runs("toy.folds", design=FOLDS).people()
    with pytest.raises(ValueError, match="heads is 'two'; expected one of one, rows"):
        people.people(heads="two")
