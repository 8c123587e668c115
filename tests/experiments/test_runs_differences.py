"""Several comparisons of one experiment in a table."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reidlab.evaluation import people_and_seeds
from reidlab.experiments import Runs
from reidlab.experiments.design import Prediction
from reidlab.report import figures


def run(heads, seed, mean_ap):
    return {
        "seed": seed, "levels": {"heads": heads}, "after": {}, "metrics": {"mAP": mean_ap},
        "data": {"name": "x", "fingerprint": "f", "protocol": "standard"}, "experiment": {},
        "seconds": {}, "history": [],
    }  # fmt: skip


def test_means_are_those_of_students_interval_with_the_runs_behind_them():
    scores = (0.50, 0.52, 0.54)
    runs = Runs("test", tuple(run("one", seed, v) for seed, v in enumerate(scores)))
    row = runs.means({"one classifier": {"heads": "one"}}).loc["one classifier"]
    percents = [100 * score for score in scores]
    low, high = stats.t.interval(0.95, 2, loc=52.0, scale=stats.sem(percents))
    assert (row.value, row.low, row.high) == pytest.approx((52.0, low, high))
    assert row.runs == pytest.approx(percents)


def test_a_single_run_has_a_mean_and_no_interval():
    table = Runs("test", (run("one", 0, 0.5),)).means({"one": {"heads": "one"}})
    assert table.value.tolist() == [50.0]
    assert table[["low", "high"]].isna().all(axis=None)


# --- with people ----------------------------------------------------------------------------------

PIDS, QUERIES = [3, 7, 9, 12, 20], [2, 1, 4, 1, 2]


def people_run(heads, seed, shift, *, pids=PIDS, queries=QUERIES, fold=None):
    """A run whose people's APs are 0.3 to 0.5, higher by `shift`."""
    rng = np.random.default_rng(seed + 100 * (heads == "rows"))
    ap = (np.linspace(0.3, 0.5, len(pids)) + shift + rng.normal(0, 0.02, len(pids))) * queries
    found = run(heads, seed, float(ap.sum() / sum(queries)))
    found["after"] = {"people": {"pid": [*pids], "queries": [*queries], "ap": ap.tolist()}}
    found["levels"] |= {} if fold is None else {"fold": fold}
    return found


def sides(**shifts):
    return Runs(
        "test",
        tuple(people_run(heads, n, shift) for heads, shift in shifts.items() for n in range(3)),
    )


def test_the_words_of_several_claims():
    runs = sides(one=0, rows=0.2)
    one, rows = {"heads": "one"}, {"heads": "rows"}
    table = runs.decide(
        {"up": (one, rows, "higher", 2.0), "down": (one, rows, "lower", 2.0),
         "same": (one, one, "higher", 9.0)},
    )  # fmt: skip
    assert table.verdict.tolist() == ["holds", "contradicted", "smaller than 9 points"]
    people = [runs.people(heads=heads) for heads in ("one", "rows")]
    oracle = people_and_seeds(*(p.sums for p in people), QUERIES)
    first = table.loc["up"]
    assert (first.value, first.low, first.high) == (oracle.value, oracle.low, oracle.high)
    assert first.value == pytest.approx(runs.compare(one, rows).value)
    assert first.p == pytest.approx(3 * oracle.p_value)
    assert (first.smallest, first.seeds, first.people) == (oracle.smallest, (3, 3), 5)
    figures.forest(table, label="mAP, points", over="seeds and people")


def predicts(*predictions):
    return SimpleNamespace(
        predictions=predictions, rows=None, labels={}, data_factors=frozenset(), start=None
    )


def test_what_the_design_predicts_has_one_word_wherever_it_is_asked():
    one, rows = {"heads": "one"}, {"heads": "rows"}
    alone = sides(one=0, rows=0.2)
    twice = (Prediction("up", one, rows, "higher"), Prediction("down", rows, one, "lower"))
    runs = replace(alone, design=predicts(*twice))
    claimed = {
        "again": (one, rows, "lower", 2.0), "later": (one, one, "higher", 9.0),
        "other size": (one, rows, "higher", 1.0),
    }  # fmt: skip
    table, p = runs.decide(claimed), people_and_seeds(
        *(alone.people(heads=heads).sums for heads in ("one", "rows")), QUERIES
    ).p_value  # fmt: skip
    assert runs.decide().loc[["up", "down"], "p"].tolist() == pytest.approx([2 * p, 2 * p])
    assert table.loc["again"].p == pytest.approx(2 * p)  # of two predictions, not of three claims
    assert table.loc["other size"].p == pytest.approx(2 * p)  # one of the two others
    assert table.verdict.tolist() == ["contradicted", "smaller than 9 points", "holds"]
    assert alone.decide(claimed).loc["again"].p == pytest.approx(3 * p)


def test_without_all_its_runs_a_design_has_decided_nothing():
    one, rows = {"heads": "one"}, {"heads": "rows"}
    runs = replace(sides(one=0), design=predicts(Prediction("up", one, rows, "higher")))
    assert runs.predicted() == {}
    assert runs.decide({"same": (one, one, "higher", 9.0)}).verdict.item() != "holds"


def test_a_table_says_how_much_each_side_had_learned():
    runs = sides(one=0, rows=0.2)
    for n, found in enumerate(runs.records):
        found["history"] = [{"accuracy": 0.1}, {"accuracy": 0.9 + n / 100}]
    claim = {"up": ({"heads": "one"}, {"heads": "rows"}, "higher", 2.0)}
    row = runs.decide(claim).loc["up"]
    assert (row.learned_a, row.learned_b) == pytest.approx((91, 94))
    runs.records[0]["history"] = []
    assert np.isnan(runs.decide(claim).learned_a.item())


def test_leads_of_each_seed_and_person():
    runs, one, rows = sides(one=0, rows=0.2), {"heads": "one"}, {"heads": "rows"}
    found = runs.leads(one, rows)
    for seed in range(3):
        ap = {
            run["levels"]["heads"]: run["after"]["people"]["ap"]
            for run in runs.records
            if run["seed"] == seed
        }
        by_hand = [(b - a) / n for a, b, n in zip(ap["one"], ap["rows"], QUERIES, strict=True)]
        assert found[seed] == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="not comparable"):
        Runs("test", (*sides(one=0).records, people_run("rows", 0, 0))).leads(one, rows)


def test_a_count_is_a_whole_number():
    runs = sides(one=0)
    for found in runs.records:
        found["data"]["query_identities"] = 12
    assert [*map(str, runs.values("data.query_identities"))] == ["12"] * 3
    assert all(isinstance(value, float) for value in runs.values())


def test_runs_without_people_are_decided_over_seeds():
    values = {"one": (0.50, 0.52, 0.54), "rows": (0.60, 0.61, 0.65)}
    records = [run(heads, seed, v) for heads, vs in values.items() for seed, v in enumerate(vs)]
    runs, (one, rows) = Runs("test", tuple(records)), ({"heads": "one"}, {"heads": "rows"})
    row = runs.decide({"rows": (one, rows, "higher", 2.0)}).loc["rows"]
    found = runs.compare(one, rows)
    assert (row.low, row.high) == pytest.approx((found.low, found.high))
    assert row.verdict == "holds"
    assert pd.isna(row.people)


def test_what_cannot_be_compared_is_refused():
    one, rows = {"heads": "one"}, {"heads": "rows"}
    other = [people_run("rows", n, 0, pids=[3, 7, 9, 12, 21]) for n in range(3)]
    with pytest.raises(ValueError, match="test: not comparable: the sides judged other people"):
        Runs("test", (*sides(one=0).records, *other)).compare(one, rows)


def test_a_mean_over_people_has_the_interval_of_both():
    runs = Runs("test", tuple(people_run("one", seed, 0.0) for seed in range(3)))
    row = runs.means({"one": {"heads": "one"}}, people=True).loc["one"]
    known = runs.people()
    nothing = np.zeros_like(known.sums)
    oracle = people_and_seeds(nothing, known.sums, known.queries)
    assert row.value == pytest.approx(100 * known.sums.sum() / 3 / sum(QUERIES))
    assert (row.low, row.high) == pytest.approx((oracle.low, oracle.high))
    assert row.high - row.low > np.ptp(row.runs)  # people vary more than these seeds
