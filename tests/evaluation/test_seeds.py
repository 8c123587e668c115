"""Intervals over seeds: numbers from a printed table of t, and how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from reidlab.evaluation import over_seeds, seed_difference


def test_three_runs_by_hand():
    found = over_seeds([60.0, 62.0, 64.0])
    half = 4.3027 * 2 / math.sqrt(3)  # t of 2 degrees at 97.5 %, from a table
    assert (found.value, found.spread) == (62.0, 2.0)
    assert (found.low, found.high) == pytest.approx((62 - half, 62 + half), abs=1e-3)


def test_one_run_has_no_interval():
    assert over_seeds([7.0]) == type(over_seeds([7.0]))(7.0, None, None, None)
    gap = seed_difference([1.0], [3.0, 5.0])
    assert (gap.value, gap.low, gap.high) == (3.0, None, None)


def test_equal_runs():
    """Runs that all gave one number are no proof that nothing varies: there is no interval."""
    same = over_seeds([1.0, 1.0])
    assert (same.value, same.spread, same.low, same.high) == (1.0, 0.0, None, None)
    assert over_seeds([0.7] * 3) == type(same)(0.7, 0.0, None, None), "no interval of rounding"
    gap = seed_difference([1.0, 1.0], [2.0, 2.0])
    assert (gap.value, gap.low, gap.high, gap.smallest, gap.clear) == (1.0, *[None] * 3, False)
    half = seed_difference([1.0, 1.0], [2.0, 2.5])  # one side varies
    assert half.low < half.value < half.high


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
    with pytest.raises(ValueError, match="the values are 1, nan, expected a finite one"):
        over_seeds([1.0, float("nan")])
    with pytest.raises(ValueError, match="level is 95, expected a share"):
        seed_difference([1.0], [2.0], level=95)


def test_the_smallest_difference_is_found_in_four_of_five_cases():
    """By simulation: a true difference of that size is told from none 80 % of the time."""
    rng, seen = np.random.default_rng(2), 0
    error = 2 * math.sqrt(2 / 5)  # of two means of five runs that spread by 2
    quantiles = stats.t.ppf(0.975, 8) + stats.t.ppf(0.8, 8)
    for _ in range(800):
        a, b = rng.normal(0, 2, 5), rng.normal(quantiles * error, 2, 5)
        seen += seed_difference(a.tolist(), b.tolist()).clear
    assert 0.74 <= seen / 800 <= 0.86
    a, b = [1.0, 2.0, 3.0], [1.5, 2.5, 3.5]
    found = seed_difference(a, b)
    t = stats.t.ppf(0.975, 4) + stats.t.ppf(0.8, 4)
    assert found.smallest == pytest.approx(t * math.sqrt(2 / 3))


def test_in_words():
    clear = seed_difference([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])
    assert clear.text() == "+10.0 points (+7.7 to +12.3)"
    open_ = seed_difference([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]).text("s")
    assert open_ == (
        "no clear difference: +0.5 s (-1.8 to +2.8); one below 3.0 s would often be missed"
    )
    for a, b in (([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0])):
        assert "without an interval" in seed_difference(a, b).text()
