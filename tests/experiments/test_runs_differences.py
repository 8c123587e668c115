"""Several comparisons of one experiment in a table."""

import pytest
from scipy import stats

from reidlab.experiments import Runs


def run(heads, seed, mean_ap):
    return {
        "seed": seed, "levels": {"heads": heads}, "after": {}, "metrics": {"mAP": mean_ap},
        "data": {"name": "x", "fingerprint": "f", "protocol": "standard"}, "experiment": {},
        "seconds": {}, "history": [],
    }  # fmt: skip


def test_each_comparison_is_a_row_as_compare_finds_it():
    values = {"one": (0.50, 0.52, 0.54), "rows": (0.60, 0.61, 0.65)}
    records = [run(heads, seed, v) for heads, vs in values.items() for seed, v in enumerate(vs)]
    runs = Runs("test", tuple(records))
    one, rows = {"heads": "one"}, {"heads": "rows"}
    table = runs.differences({"rows over one": (one, rows), "one over rows": (rows, one)})
    assert list(table.index) == ["rows over one", "one over rows"]
    assert table.value.tolist() == pytest.approx([10.0, -10.0])
    found = runs.compare(one, rows)
    first = table.loc["rows over one"]
    assert (first.low, first.high, first.smallest) == (found.low, found.high, found.smallest)
    assert first.found == found.text()
    assert -table.loc["one over rows"].high == pytest.approx(found.low)


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
