"""Intervals over seeds: numbers from a printed table of t, and how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from reidlab.report.seeds import differing_judgements, over_seeds, seed_difference, seeds_table


def test_three_runs_by_hand():
    found = over_seeds([60.0, 62.0, 64.0])
    half = 4.3027 * 2 / math.sqrt(3)  # t of 2 degrees at 97.5 %, from a table
    assert (found.value, found.spread) == (62.0, 2.0)
    assert (found.low, found.high) == pytest.approx((62 - half, 62 + half), abs=1e-3)


def test_one_run_has_no_interval():
    assert over_seeds([7.0]) == type(over_seeds([7.0]))(7.0, None, None, None)
    gap = seed_difference([1.0], [3.0, 5.0])
    assert (gap.value, gap.spread, gap.low, gap.high) == (3.0, None, None, None)


def test_equal_runs():
    assert (over_seeds([1.0, 1.0]).low, over_seeds([1.0, 1.0]).high) == (1.0, 1.0)
    gap = seed_difference([1.0, 1.0], [2.0, 2.0])
    assert (gap.value, gap.low, gap.high) == (1.0, 1.0, 1.0)


def test_the_difference_is_welchs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(size=rng.integers(2, 7)), rng.normal(1, 3, size=rng.integers(2, 7))
        gap = seed_difference(a.tolist(), b.tolist(), level=0.9)
        oracle = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
        assert (gap.low, gap.high) == pytest.approx((oracle.low, oracle.high))
        assert gap.value == pytest.approx(b.mean() - a.mean())


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(1), 0
    for _ in range(500):
        found = over_seeds(rng.normal(3, 2, size=3).tolist(), level=0.8)
        held += found.low <= 3 <= found.high
    assert 0.75 <= held / 500 <= 0.85


def test_refusals():
    with pytest.raises(ValueError, match="there is no value"):
        over_seeds([])
    with pytest.raises(ValueError, match="level is 95, expected a share"):
        seed_difference([1.0], [2.0], level=95)


def test_table(record):
    other = record | {"seed": 1, "metrics": {"rank1": 0.7, "mAP": 0.35}}
    table = seeds_table({"recipe": [record, other], "lr=1": [other], "none": []})
    assert table["settings"].tolist() == ["recipe", "recipe", "lr=1", "lr=1"]
    first = table.iloc[0]
    assert first[["metric", "runs", "mean"]].tolist() == ["rank-1 (%)", 2, 60.0]
    assert first["spread"] == pytest.approx(20 / math.sqrt(2), abs=0.005)
    assert first["low"] == pytest.approx(60 - 12.706 * 10, abs=0.01)
    assert first["seconds"] == 62.5
    assert table["caution"].tolist() == [""] * 4
    other["data"] = record["data"] | {"fingerprint": "cd" * 32}
    assert "abababababab / cdcdcdcdcdcd" in seeds_table({"x": [record, other]})["caution"][0]


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("data", {"name": "msmt17"}, "data set: market1501 / msmt17"),
        ("data", {"fingerprint": "00"}, "fingerprint of the images: abababababab / 00"),
        ("data", {"protocol": "sysu"}, "protocol: not recorded / sysu"),
        ("metrics", {"ap": "trapezoid"}, "average precision: not recorded / trapezoid"),
    ],
)
def test_what_makes_runs_not_comparable(record, part, change, said):
    assert differing_judgements([record, record | {"seed": 5, "environment": {}}]) == []
    assert differing_judgements([record, record | {part: record[part] | change}]) == [said]
