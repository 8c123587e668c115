"""What can be decided: analysis of variance by hand, simulation through the interval itself."""

import math

import numpy as np
import pytest
from scipy import stats

from reidlab.evaluation import (
    Components,
    components,
    decidable,
    people_and_seeds,
    simulate,
    smallest_difference,
)

PARTS = Components(
    mean=60, low=55, high=65, seeds=0.5, people=400, both=49, runs=5, persons=74, queries=300
)


def test_the_components_are_those_of_the_analysis_of_variance():
    """The table of a textbook, by its mean squares."""
    rng = np.random.default_rng(0)
    table = np.clip(
        0.5 + rng.normal(0, 0.15, 40) + rng.normal(0, 0.05, (6, 1)) + rng.normal(0, 0.1, (6, 40)),
        0,
        1,
    )
    grand, seeds, people = table.mean(), table.mean(1), table.mean(0)
    squares = {
        "seeds": 40 * sum((m - grand) ** 2 for m in seeds) / 5,
        "people": 6 * sum((m - grand) ** 2 for m in people) / 39,
        "rest": sum(
            (table[s, p] - seeds[s] - people[p] + grand) ** 2 for s in range(6) for p in range(40)
        )
        / (5 * 39),
    }
    for each in (1, 3):  # as many queries of everybody change nothing
        found = components(each * table, [each] * 40)
        assert found.mean == pytest.approx(100 * grand)
        assert found.both == pytest.approx(1e4 * squares["rest"])
        assert found.seeds == pytest.approx(1e4 * (squares["seeds"] - squares["rest"]) / 40)
        assert found.people == pytest.approx(1e4 * (squares["people"] - squares["rest"]) / 6)
        assert (found.runs, found.persons, found.queries) == (6, 40, 40 * each)


def test_the_components_are_found_again():
    rng, found = np.random.default_rng(1), []
    for _ in range(300):
        queries = rng.integers(1, 4, 60)
        person = rng.normal(0.5, 0.08, 60) + rng.normal(0, 0.01, (4, 1))
        found.append(components((person + rng.normal(0, 0.05, (4, 60))) * queries, queries))
    weight = np.mean([1, 4, 9]) / 2**2  # of unlike numbers of queries
    assert np.mean([f.seeds for f in found]) == pytest.approx(1, rel=0.2)
    assert np.mean([f.both for f in found]) == pytest.approx(25 * weight, rel=0.1)
    assert np.mean([f.people for f in found]) == pytest.approx(64 * weight, rel=0.1)


def test_no_component_falls_below_0():
    found = components([[0.2, 0.4, 0.3], [0.4, 0.2, 0.3]], [1, 1, 1])
    assert (found.seeds, found.people) == (0, 0)
    assert found.both > 0


def test_people_without_a_counted_query_are_passed_over():
    sums = np.array([[0.2, 0.4, 0, 0.5], [0.4, 0.3, 0, 0.5]])
    assert components(sums, [1, 1, 0, 2]) == components(sums[:, [0, 1, 3]], [1, 1, 2])


def test_the_formula_by_hand():
    found = smallest_difference(PARTS, 5, unlike=0.1)
    both = 49 / (5 * 74)
    of_people, of_seeds = 2 * both + 2 * 0.1 * 400 / 74, 0.5 / 5 + both
    variance = 2 * 0.5 / 5 + 2 * 49 / (5 * 74) + 2 * 0.1 * 400 / 74
    below = of_people**2 / 73 + 2 * of_seeds**2 / 4 + 2 * both**2 / (73 * 4)
    freedom = variance**2 / below
    quantiles = stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)
    assert found == pytest.approx(quantiles * math.sqrt(variance))


def test_more_of_everything_shows_smaller_differences():
    by_seeds = [smallest_difference(PARTS, n) for n in (2, 3, 5, 10)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    by_people = [smallest_difference(PARTS, 5, p, unlike=0.1) for p in (12, 74, 150)]
    assert by_people == sorted(by_people, reverse=True)
    unlike = [smallest_difference(PARTS, 5, unlike=u) for u in (0, 0.05, 0.2, 1)]
    assert unlike == sorted(unlike)


@pytest.mark.parametrize("unlike", [0.0, 0.05])
@pytest.mark.parametrize("people", [12, 74, 150])
def test_the_smallest_difference_is_clear_in_four_of_five_cases(people, unlike):
    rng, ask = np.random.default_rng(2), {"seeds": 5, "people": people, "unlike": unlike}
    smallest = smallest_difference(PARTS, **ask)
    assert 0.74 <= simulate(PARTS, smallest, **ask, rng=rng) <= 0.84
    assert simulate(PARTS, 0, **ask, rng=rng) <= 0.065
    assert simulate(PARTS, 3 * smallest, **ask, draws=100, rng=rng) == 1
    with pytest.raises(ValueError, match="draws is 0"):
        simulate(PARTS, smallest, **ask, draws=0, rng=rng)


def test_the_simulation_is_that_of_the_interval():
    """The same share through `people_and_seeds`, comparison by comparison."""
    rng, clear, smallest = np.random.default_rng(3), 0, smallest_difference(PARTS, 4, 30)
    for _ in range(500):
        hard = 50 + rng.normal(0, 8, 30)  # a smaller spread of people: nothing leaves 0 to 100
        sides = [
            hard + d + rng.normal(0, 0.5**0.5, (4, 1)) + rng.normal(0, 7, (4, 30))
            for d in (0, smallest)
        ]
        clear += people_and_seeds(*(np.clip(s / 100, 0, 1) for s in sides), [1] * 30).p_value < 0.05
    assert clear / 500 == pytest.approx(simulate(PARTS, smallest, 4, 30, rng=rng), abs=0.07)


def test_the_mean_has_an_interval_over_seeds_and_people():
    rng = np.random.default_rng(4)
    person = rng.uniform(size=25)
    alike = components([person] * 3, [1] * 25)
    interval = stats.ttest_1samp(100 * person, 0).confidence_interval(0.95)
    assert (alike.low, alike.high) == pytest.approx((interval.low, interval.high))
    shifts = rng.normal(0, 0.05, (4, 1))
    shifted = components(0.5 + np.zeros(25) + shifts, [1] * 25)
    interval = stats.ttest_1samp(100 * (0.5 + shifts[:, 0]), 0).confidence_interval(0.95)
    assert (shifted.low, shifted.high) == pytest.approx((interval.low, interval.high))


def test_a_table_of_what_is_decidable():
    table = decidable(PARTS, 3, unlike=0.05, rng=np.random.default_rng(5))
    assert [*table.index] == [1, 2, 3]
    assert table.loc[1].isna().all()
    for unlike in (0, 0.05):
        column = table[f"unlike {unlike}"]
        assert column.loc[3, "smallest"] == smallest_difference(PARTS, 3, unlike=unlike)
        assert 0.68 <= column.loc[3, "clear"] <= 0.82
        assert column.loc[3, "none"] <= 0.065
    assert len(decidable(PARTS, 2, unlike=0, rng=np.random.default_rng(5)).columns) == 3


def test_one_seed_or_no_spread_decides_nothing():
    assert math.isnan(smallest_difference(PARTS, 1))
    alike = components([[0.2, 0.4], [0.2, 0.4]], [1, 1])
    assert (alike.seeds, alike.both) == (0, 0)
    assert math.isnan(smallest_difference(alike, 5))
    assert smallest_difference(alike, 5, unlike=0.1) > 0, "people vary, and help one side"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: components([[0.1, 0.2]], [1, 1]), "there is one seed, expected two at least"),
        (lambda: components([[0.1], [0.2]], [1]), "people with a counted query: 1"),
        (lambda: components([[10, 20], [1, 1]], [1, 1]), r"sums\[0, 0\] is 10, expected 0 to 1"),
        (lambda: smallest_difference(PARTS, 0), "seeds is 0, expected at least 1"),
        (lambda: smallest_difference(PARTS, 5, 1), "people is 1, expected at least 2"),
        (lambda: smallest_difference(PARTS, 5, unlike=2), "unlike is 2, expected 0"),
        (lambda: simulate(PARTS, 1, 1, rng=np.random.default_rng()), "seeds is 1, expected at lea"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_it_prints_as_a_sentence():
    assert str(PARTS) == (
        "60.0 % (55.0 to 65.0) over 5 seeds, 74 people and 300 queries; standard deviation over "
        "seeds 0.71, over people 20.0, person x seed 7.0 points"
    )
