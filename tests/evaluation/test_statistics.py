"""Intervals and tests over people, against loops, full enumeration and scipy."""

import doctest
import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidlab.evaluation import bootstrap, paired_test, proportion_interval, rank, statistics


@dataclass
class Values:
    """Per-query values, as a RankResult has them; hits(k) tells k apart."""

    ap: np.ndarray
    inp: np.ndarray | None = None

    def hits(self, k):
        return np.where(np.isnan(self.ap), np.nan, self.ap > 1 / (k + 1))


def simulate(people, seed, shift=0.0):
    """(values, pids): 1 to 6 queries a person, correlated; the mean over queries is 0.7 + shift."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(rng.permutation(people) + 100, rng.integers(1, 7, people))
    own, fresh = rng.beta(3.5, 1.5, people)[pids - 100], rng.beta(3.5, 1.5, len(pids))
    return np.where(rng.random(len(pids)) < 0.7, own, fresh) + shift, pids


def bootstrap_by_loops(values, pids, draws, seed):
    """Means of the drawn people, one after the other; people in the order of their ids."""
    of_person = {}
    for value, pid in zip(values, pids, strict=True):
        if not math.isnan(value):
            of_person.setdefault(int(pid), []).append(float(value))
    people, rng, means = sorted(of_person), np.random.default_rng(seed), []
    for _ in range(draws):
        drawn = []
        for i in rng.integers(len(people), size=len(people)):
            drawn += of_person[people[i]]
        means.append(sum(drawn) / len(drawn))
    return means


def flips_by_enumeration(differences, pids):
    """p-value over all patterns of signs, of the mean over queries."""
    people = sorted(set(pids))
    observed = abs(sum(differences) / len(differences))
    patterns = list(itertools.product([1, -1], repeat=len(people)))
    extreme = 0
    for signs in patterns:
        sign = dict(zip(people, signs, strict=True))
        mean = sum(sign[p] * d for p, d in zip(pids, differences, strict=True)) / len(differences)
        extreme += abs(mean) >= observed - 1e-9
    return extreme / len(patterns)


@pytest.mark.parametrize("block", [1, 40, 2**20])
def test_bootstrap_equals_loops(block, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK_ELEMENTS", block)
    values, pids = simulate(13, seed=2)
    values[[3, 5]] = np.nan
    interval = bootstrap(Values(values), pids, level=0.9, draws=500, seed=4)
    means = bootstrap_by_loops(values, pids, 500, seed=4)
    assert (interval.low, interval.high) == pytest.approx(
        (np.percentile(means, 5), np.percentile(means, 95)), rel=1e-12
    )
    assert interval.value == pytest.approx(np.nanmean(values))
    assert (interval.people, interval.queries) == (13, len(values) - 2)
    assert (interval.metric, interval.level) == ("mAP", 0.9)


@pytest.mark.parametrize("block", [1, 40, 2**20])
def test_interval_of_a_comparison_equals_loops(block, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK_ELEMENTS", block)
    (a, pids), (b, _) = simulate(14, seed=2), simulate(14, seed=2)
    b = np.clip(b + np.random.default_rng(0).normal(0, 0.1, len(b)), 0, 1)
    a[4] = b[4] = np.nan
    found = paired_test(Values(a), Values(b), pids, draws=400, seed=4)
    means = bootstrap_by_loops(a - b, pids, 400, seed=4)
    assert (found.low, found.high) == pytest.approx(
        (np.percentile(means, 2.5), np.percentile(means, 97.5)), rel=1e-12
    )
    assert found.difference == pytest.approx(np.nanmean(a) - np.nanmean(b))


def test_metrics_are_those_of_the_result():
    ap, inp = np.array([0.9, 0.4, np.nan, 0.2]), np.array([0.5, 0.1, np.nan, 0.3])
    result, pids = Values(ap, inp), [1, 1, 2, 3]
    values = {m: bootstrap(result, pids, metric=m).value for m in ("mAP", "mINP", "rank1", "rank4")}
    assert values == pytest.approx({"mAP": 0.5, "mINP": 0.3, "rank1": 1 / 3, "rank4": 2 / 3})
    assert bootstrap(result, pids).people == 2  # person 2 has no counted query


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = queries_held = 0
    for seed in range(200):
        values, pids = simulate(40, seed)
        interval = bootstrap(Values(values), pids, draws=400, seed=seed)
        held += interval.low <= 0.7 <= interval.high
        interval = bootstrap(Values(values), np.arange(len(pids)), draws=400, seed=seed)
        queries_held += interval.low <= 0.7 <= interval.high
    assert 0.88 <= held / 200 <= 0.99
    assert queries_held / 200 < 0.85  # queries drawn as if they were people: too sure


def test_p_values_are_uniform_where_there_is_no_difference():
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        a, pids = simulate(8, seed)
        b = a + rng.normal(0, 0.1, 8)[pids - 100]
        p_values.append(paired_test(Values(a), Values(b), pids, draws=300).p_value)
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(p_values) <= 0.5) <= 0.6


def test_queries_of_one_person_count_together():
    # The same values: forty people of one query, or four people of ten.
    rng = np.random.default_rng(0)
    values = np.repeat([0.2, 0.4, 0.6, 0.8], 10) + rng.normal(0, 0.01, 40)
    many = bootstrap(Values(values), np.arange(40))
    few = bootstrap(Values(values), np.repeat(np.arange(4), 10))
    assert many.value == few.value
    assert few.high - few.low > 2 * (many.high - many.low)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 6), *[st.sampled_from([0, 0.1, 0.3, 0.7, 1])] * 2),
        min_size=2,
        max_size=20,
    ).filter(lambda rows: len({row[0] for row in rows}) > 1)
)
def test_the_exact_test_equals_the_enumeration(rows):
    pids, a, b = (np.array(column) for column in zip(*rows, strict=True))
    found = paired_test(Values(a), Values(b), pids, draws=100)
    assert found.p_value == flips_by_enumeration((a - b).tolist(), pids.tolist())
    by_person = [(a - b)[pids == p].sum() for p in np.unique(pids)]
    assert found.wins == sum(d > 1e-9 for d in by_person)
    assert found.losses == sum(d < -1e-9 for d in by_person)
    assert (found.people, found.queries) == (len(by_person), len(rows))
    other = paired_test(Values(b), Values(a), pids, draws=100)
    assert (other.difference, other.low) == pytest.approx((-found.difference, -found.high))
    assert (other.p_value, other.wins, other.ties) == (found.p_value, found.losses, found.ties)


def test_random_patterns_come_near_the_exact_test(monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK_ELEMENTS", 1000)
    rng = np.random.default_rng(3)
    a, b, pids = rng.random(30), rng.random(30) + 0.12, np.arange(30) % 12
    exact = paired_test(Values(a), Values(b), pids, draws=2**12).p_value
    assert exact == flips_by_enumeration((a - b).tolist(), pids.tolist())
    drawn = paired_test(Values(a), Values(b), pids, draws=2**12 - 1).p_value
    assert 0.02 < exact < 0.5
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 2**12))


def test_a_drawn_p_value_is_never_zero():
    a = np.linspace(0.6, 0.9, 30)
    found = paired_test(Values(a), Values(a - 0.5), np.arange(30), draws=99)
    assert found.p_value == 1 / 100
    assert (found.wins, found.ties, found.losses) == (30, 0, 0)
    one_differs = np.where(a == a[3], 0.1, a)
    assert paired_test(Values(a), Values(one_differs), np.arange(30), draws=1).p_value == 1


def test_agrees_with_scipys_paired_permutation_test():
    rng = np.random.default_rng(5)
    a, b = rng.random(10), rng.random(10) + 0.2
    expected = scipy.stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    found = paired_test(Values(a), Values(b), np.arange(10))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx(expected.statistic)


def test_rank_1_with_one_query_a_person_is_mcnemars_exact_test():
    rng = np.random.default_rng(5)
    a, b = np.where(rng.random((2, 60)) < [[0.9], [0.75]], 1.0, 0.2)
    found = paired_test(Values(a), Values(b), np.arange(60), metric="rank1", draws=2**20)
    assert found.wins > found.losses > 0
    expected = scipy.stats.binomtest(found.wins, found.wins + found.losses).pvalue
    assert found.p_value == pytest.approx(expected)
    assert found.ties == 60 - found.wins - found.losses


def test_two_results_alike():
    values, pids = simulate(20, seed=0)
    found = paired_test(Values(values), Values(values.copy()), pids)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert (found.wins, found.ties, found.losses) == (0, 20, 0)


def test_a_person_whose_queries_change_places_ties():
    a, b = np.array([0.1, 0.2, 0.0, 0.5]), np.array([0.0, 0.0, 0.3, 0.4])
    found = paired_test(Values(a), Values(b), [1, 1, 1, 2])
    assert (a - b)[:3].sum() != 0  # rounding
    assert (found.wins, found.ties, found.losses, found.p_value) == (1, 1, 0, 1)


def test_the_order_of_queries_and_the_kind_of_ids_do_not_matter():
    values, pids = simulate(15, seed=1)
    order = np.random.default_rng(0).permutation(len(pids))
    one, two = bootstrap(Values(values), pids), bootstrap(Values(values[order]), pids[order])
    assert (one.low, one.high) == pytest.approx((two.low, two.high), rel=1e-12)
    assert bootstrap(Values(values), torch.from_numpy(pids)) == one
    assert bootstrap(Values(values), pids.tolist()) == one
    assert bootstrap(Values(values), pids, seed=1) != one


def test_as_text():
    interval = statistics.Interval("mAP", 0.845, 0.8123, 0.874, 0.95, 12, 40)
    assert str(interval) == "mAP 84.5 % (95 % interval over 12 people: 81.2 to 87.4)"
    assert interval.caution == ""
    few = statistics.Interval("rank5", 1.0, 1.0, 1.0, 0.999, 9, 9)
    assert str(few) == (
        "Rank-5 100.0 % (99.9 % interval over 9 people: 100.0 to 100.0, too narrow, for the people "
        "are few; no width, for the people are alike, which is no certainty)"
    )
    found = statistics.Comparison("rank1", 0.021, -0.0001, 0.046, 0.95, 0.1234, 7, 1, 4, 40)
    assert str(found) == (
        "Rank-1 +2.1 points (95 % interval over 12 people: +0.0 to +4.6; p = 0.12; better for 7, "
        "equal for 1, worse for 4)"
    )
    assert (
        statistics.Comparison("mAP", 0.1, 0, 0.2, 0.95, 1, 5, 0, 4, 9).caution == few.caution[:34]
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_ends_are_as_many_standard_errors_of_their_own_away(count, data, level):
    """Wilson's interval: the shares p with |hits / count - p| = z sqrt(p (1 - p) / count)."""
    hits = data.draw(st.integers(0, count))
    low, high = proportion_interval(hits, count, level=level)
    for end in {low, high} - {0, 1}:
        error = math.sqrt(end * (1 - end) / count)
        z = NormalDist().inv_cdf((1 + level) / 2)
        assert abs(hits / count - end) == pytest.approx(z * error, abs=1e-9)
    assert 0 <= low <= hits / count <= high <= 1
    mirrored = proportion_interval(count - hits, count, level=level)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_ends_of_a_proportion():
    assert proportion_interval(0, 5)[0] == 0
    assert proportion_interval(28, 28) == (pytest.approx(0.879, abs=5e-4), 1.0)
    assert proportion_interval(np.int64(26), np.int32(28)) == proportion_interval(26, 28)


SOME = Values(np.array([0.5, 0.2, 0.9]))
FIRST_UNCOUNTED = Values(np.array([np.nan, 0.2, 0.9]))


@pytest.mark.parametrize(
    ("pids", "options", "error", "message"),
    [
        ([1, 2], {}, ValueError, r"q_pids has shape \(2,\), expected \(3,\)"),
        (["ann", "bob", "bob"], {}, TypeError, "q_pids holds.*'ann'.*expected integers"),
        ([1.0, 2.0, 2.0], {}, TypeError, "q_pids holds float64"),
        ([7, 7, 7], {}, ValueError, "people with a counted query: 1, expected at least two"),
        ([1, 2, 3], {"metric": "map"}, ValueError, "'map': choose mAP, mINP, or rank<k> such as"),
        ([1, 2, 3], {"metric": "rank0"}, ValueError, "unknown metric 'rank0'"),
        ([1, 2, 3], {"metric": "rank"}, ValueError, "unknown metric 'rank'"),
        ([1, 2, 3], {"level": 95}, ValueError, "level is 95, expected a share between 0 and 1"),
        ([1, 2, 3], {"level": 1.0}, ValueError, "level is 1.0"),
        ([1, 2, 3], {"level": 0.0}, ValueError, "level is 0.0"),
        ([1, 2, 3], {"level": math.nan}, ValueError, "level is nan"),
        ([1, 2, 3], {"draws": 0}, ValueError, "draws is 0, expected at least 1"),
        ([1, 2, 3], {"draws": 1e4}, TypeError, "draws is 10000.0, expected a whole number"),
    ],
)
def test_bad_input(pids, options, error, message):
    with pytest.raises(error, match=message):
        bootstrap(SOME, pids, **options)
    with pytest.raises(error, match=message):
        paired_test(SOME, SOME, pids, **options)


def test_nobody_is_counted():
    with pytest.raises(ValueError, match="people with a counted query: 0"):
        bootstrap(Values(np.full(3, np.nan)), [1, 2, 3])


def test_results_that_do_not_belong_together():
    with pytest.raises(
        ValueError, match="a has 3 queries and b has 2: compare results of the same"
    ):
        paired_test(SOME, Values(np.array([0.5, 0.2])), [1, 2, 3])
    with pytest.raises(
        ValueError, match="1 of 3 queries are counted by one result only, the first is query 0: th"
    ):
        paired_test(SOME, FIRST_UNCOUNTED, [1, 2, 3])
    assert paired_test(FIRST_UNCOUNTED, FIRST_UNCOUNTED, [1, 2, 3]).queries == 2


@pytest.mark.parametrize(
    ("hits", "count", "options", "error", "message"),
    [
        (29, 28, {}, ValueError, "hits is 29, expected 0 to 28"),
        (-1, 28, {}, ValueError, "hits is -1"),
        (0, 0, {}, ValueError, "count is 0, expected at least 1 query"),
        (0.929, 28, {}, TypeError, "hits is 0.929, expected a whole number"),
        (26, 28.0, {}, TypeError, "count is 28.0"),
        (26, 28, {"level": 95}, ValueError, "level is 95"),
    ],
)
def test_bad_proportions(hits, count, options, error, message):
    with pytest.raises(error, match=message):
        proportion_interval(hits, count, **options)


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(statistics).failed == 0
    assert doctest.testmod(statistics).attempted == 6


def test_results_that_were_counted_in_two_ways_are_not_compared():
    args = [[0.1, 0.2], [0.2, 0.1]], [1, 2], [1, 2], [0, 0], [1, 1]
    plain, area = rank(*args), rank(*args, ap="trapezoid")
    assert paired_test(plain, plain, [1, 2], metric="rank1").ties == 2
    with pytest.raises(ValueError, match="ap_variant is mean_precision and trapezoid"):
        paired_test(plain, area, [1, 2])
    with pytest.raises(ValueError, match="protocol is standard and regdb"):
        paired_test(plain, rank(*args, protocol="regdb"), [1, 2])
