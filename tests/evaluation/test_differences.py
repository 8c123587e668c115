"""Seeds and people in one interval: loops, scipy, a crossed bootstrap and simulation as oracles."""

import doctest
import math

import numpy as np
import pytest
from scipy import stats

from reidlab.evaluation import (
    Difference,
    decide,
    differences,
    holm,
    people_and_seeds,
    seed_difference,
)
from reidlab.evaluation import verdict as word
from reidlab.evaluation.differences import of_people

NAN = float("nan")


def side(rng, seeds, people, queries, *, mean=0.5, seed=0.01, both=0.02):
    """(S, P) sums of a side: each person's own mean, a shift per seed, and person x seed."""
    shift, own = rng.normal(0, seed, (seeds, 1)), rng.normal(0, both, (seeds, people))
    return np.clip(mean + shift + own, 0, 1) * queries


def by_loops(a, b, queries):
    """Value, variance and degrees of freedom by the formula, person by person and seed by seed."""
    total, people = sum(queries), len(queries)
    parts, means, own = [], [], []
    for sums in (a, b):
        of_seed = [sum(row) / total for row in sums]
        mean = sum(of_seed) / len(sums)
        spread = sum((m - mean) ** 2 for m in of_seed) / (len(sums) - 1) / len(sums)
        rest = [
            [(row[p] - m * queries[p]) / total for p in range(people)]
            for row, m in zip(sums, of_seed, strict=True)
        ]
        person = [sum(row[p] for row in rest) / len(sums) for p in range(people)]
        both = sum((row[p] - person[p]) ** 2 for row in rest for p in range(people))
        both *= people / (people - 1) / (len(sums) - 1) / len(sums)
        parts += [(spread, len(sums) - 1), (both, (len(sums) - 1) * (people - 1))]
        means.append(mean)
        own.append(person)
    gaps = [y - x for x, y in zip(*own, strict=True)]
    of_people = people / (people - 1) * sum(gap**2 for gap in gaps)
    seeds = parts[0][0] + parts[2][0]
    variance = max(of_people + seeds - parts[1][0] - parts[3][0], of_people, seeds)
    parts.append((of_people, people - 1))
    freedom = variance**2 / sum(v**2 / n for v, n in parts)
    return means[1] - means[0], variance, max(freedom, min(n for _, n in parts))


@pytest.mark.parametrize(("seeds", "people"), [((2, 3), 4), ((5, 5), 12), ((3, 6), 30)])
def test_the_formula_by_loops(seeds, people):
    rng = np.random.default_rng(people)
    queries = rng.integers(1, 6, people)
    hard = rng.uniform(0.2, 0.8, people)
    a, b = (
        side(rng, n, people, queries, mean=hard + m) for n, m in zip(seeds, (0, 0.05), strict=True)
    )
    found = people_and_seeds(a, b, queries, level=0.9)
    value, variance, freedom = by_loops(a.tolist(), b.tolist(), queries.tolist())
    half = stats.t.ppf(0.95, freedom) * 100 * math.sqrt(variance)
    assert found.value == pytest.approx(100 * value)
    assert found.error == pytest.approx(100 * math.sqrt(variance))
    assert (found.low, found.high) == pytest.approx((100 * value - half, 100 * value + half))
    assert (found.seeds, found.people, found.queries) == (seeds, people, queries.sum())
    assert (found.p_value < 0.1) == (not found.low <= 0 <= found.high)


def test_numbers_of_people_in_any_unit():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=(2, 3, 20))
    found = people_and_seeds(a, b, [1] * 20)
    wide = np.hstack((8 * a - 5, [[NAN], [1], [2]])), np.hstack((8 * b - 5, np.zeros((3, 1))))
    again = of_people(*wide)
    assert (again.value, again.error) == pytest.approx((8 * found.value, 8 * found.error))
    assert (again.people, again.p_value) == (20, pytest.approx(found.p_value))


def test_numbers_of_people_with_other_numbers_of_seeds():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(size=(3, 20)), rng.uniform(size=(2, 20))
    expected = people_and_seeds(a, b, [1] * 20)
    b = np.hstack((b, [[NAN], [1]]))
    found = of_people(np.hstack((a, np.ones((3, 1)))), b)
    assert (found.seeds, found.people) == ((3, 2), 20)
    assert (found.value, found.error) == pytest.approx((expected.value, expected.error))


def test_equal_seeds_leave_the_paired_interval_of_the_people():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 20))
    found = people_and_seeds([a] * 3, [b] * 5, [1] * 20)
    oracle = stats.ttest_rel(b, a)
    interval = oracle.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert found.p_value == pytest.approx(oracle.pvalue)


def test_a_shift_of_all_people_leaves_welchs_interval_over_the_seeds():
    rng = np.random.default_rng(1)
    person, queries = rng.uniform(0.3, 0.6, 50), rng.integers(1, 5, 50)
    a, b = rng.normal(0, 0.01, 3), rng.normal(0.05, 0.03, 5)
    sums = [(person + shift[:, None]) * queries for shift in (a, b)]
    oracle = stats.ttest_ind(100 * b, 100 * a, equal_var=False)
    interval = oracle.confidence_interval(0.95)
    for found in (people_and_seeds(*sums, queries), seed_difference(100 * a, 100 * b)):
        assert found.value == pytest.approx(100 * (b.mean() - a.mean()))
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.p_value == pytest.approx(oracle.pvalue)


def crossed_bootstrap(rng, a, b, queries, draws=2000):
    """Ends of the middle 95 %, of seeds of both sides and people drawn with replacement."""
    people = rng.multinomial(len(queries), [1 / len(queries)] * len(queries), draws)
    mean = [
        np.take_along_axis(people @ s.T, rng.integers(len(s), size=(draws, len(s))), 1).mean(1)
        for s in (a, b)
    ]
    return np.quantile(100 * (mean[1] - mean[0]) / (people @ queries), [0.025, 0.975])


def test_with_many_seeds_it_is_the_crossed_bootstrap():
    rng = np.random.default_rng(2)
    queries, hard = rng.integers(1, 6, 150), rng.uniform(0.2, 0.8, 150)
    likes = rng.normal(0, 0.04, 150)  # who gains by the other method, in all of its seeds
    a = side(rng, 40, 150, queries, mean=hard, seed=0.02, both=0.03)
    b = side(rng, 40, 150, queries, mean=hard + likes, seed=0.02, both=0.03)
    found = people_and_seeds(a, b, queries)
    low, high = crossed_bootstrap(rng, a, b, queries)
    assert found.high - found.low == pytest.approx(high - low, rel=0.08)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.08 * (high - low))


@pytest.mark.parametrize(("seeds", "people"), [(2, 4), (5, 12)])
def test_the_same_networks_on_both_sides_are_one_table_of_differences(seeds, people):
    rng = np.random.default_rng(people)
    queries = rng.integers(1, 6, people)
    a = side(rng, seeds, people, queries, seed=0.1)
    b = np.clip(a + rng.normal(0.02, 0.02, a.shape), 0, queries)
    found = people_and_seeds(a, b, queries, same_networks=True)
    value, variance, freedom = by_loops([[0] * people] * seeds, (b - a).tolist(), queries.tolist())
    assert found.value == pytest.approx(100 * value)
    assert found.error == pytest.approx(100 * math.sqrt(variance))
    assert found.freedom == pytest.approx(freedom)
    assert found.error < people_and_seeds(a, b, queries).error / 2, "networks differ far more"
    assert found.seeds == (seeds, seeds)


def test_one_person_a_query_and_equal_networks_leave_the_paired_test():
    rng = np.random.default_rng(1)
    (a, b), shift = rng.uniform(0.3, 0.6, (2, 20)), rng.uniform(-0.3, 0.3, (4, 1))
    oracle = stats.ttest_rel(b, a)
    found = people_and_seeds(a + shift, b + shift, [1] * 20, same_networks=True)
    assert found.p_value == pytest.approx(oracle.pvalue)


def held(rng, seeds, people, repeats, interval, **spread):
    """How often an interval holds the truth, which is no difference."""
    queries, count = rng.integers(1, 6, people), 0
    for _ in range(repeats):
        hard, likes = rng.uniform(0.4, 0.6, people), rng.normal(0, 0.03, people)
        a = side(rng, seeds, people, queries, mean=hard, **spread)
        b = side(rng, seeds, people, queries, mean=hard + likes, **spread)
        low, high = interval(a, b, queries)
        count += low <= 0 <= high
    return count / repeats


@pytest.mark.parametrize(("seeds", "people"), [(3, 12), (5, 74)])
def test_the_interval_holds_the_truth(seeds, people):
    def ends(*sides):
        found = people_and_seeds(*sides)
        return found.low, found.high

    rng = np.random.default_rng(3)
    for spread in ({"seed": 0.02, "both": 0.02}, {"seed": 0.003, "both": 0.05}):
        assert held(rng, seeds, people, 500, ends, **spread) >= 0.93


@pytest.mark.parametrize(("seeds", "people"), [(3, 12), (3, 74)])
@pytest.mark.parametrize("spread", [(0.02, 0.02), (0.003, 0.05), (0, 0.02)])
def test_the_interval_of_the_same_networks_holds_the_truth(seeds, people, spread):
    rng, count = np.random.default_rng(3), 0
    of_seed, of_both = spread
    for _ in range(500):
        queries = rng.integers(1, 6, people)
        a = rng.uniform(0.3, 0.6, (seeds, people)) * queries
        gain = rng.normal(0, of_seed, (seeds, 1)) + rng.normal(0, 0.03, people)
        gain = gain + rng.normal(0, of_both, (seeds, people))
        found = people_and_seeds(a, a + gain * queries, queries, same_networks=True)
        count += found.low <= 0 <= found.high
    assert count >= 0.9 * 500


def test_a_bootstrap_over_three_seeds_is_too_narrow():
    rng = np.random.default_rng(4)
    share = held(
        rng, 3, 74, 300, lambda *sides: crossed_bootstrap(rng, *sides, draws=400), seed=0.03
    )
    assert share < 0.9


def test_person_by_seed_is_counted_once():
    rng, queries = np.random.default_rng(5), np.ones(60, np.int64)
    hard = rng.uniform(0.4, 0.6, 60)
    values, errors = [], []
    for _ in range(600):
        a, b = (side(rng, 4, 60, queries, mean=hard, seed=0.01, both=0.1) for _ in "ab")
        found = people_and_seeds(a, b, queries)
        values.append(found.value)
        errors.append(found.error**2)
    truth = 2 * 100**2 * (0.01**2 + 0.1**2 / 60) / 4
    assert np.var(values) == pytest.approx(truth, rel=0.15)
    assert np.mean(errors) == pytest.approx(truth, rel=0.15)  # counted twice: 1.6 times as much


# --- where there is no interval -------------------------------------------------------------------


def test_identical_sides_have_no_interval_and_p_is_1():
    found = people_and_seeds([[0.1, 0.7], [0.1, 0.7]], [[0.1, 0.7], [0.1, 0.7]], [1, 1])
    assert (found.value, found.low, found.high, found.smallest) == (0, None, None, None)
    assert found.p_value == 1
    assert found.caution == "no interval, for nothing varies, which is no certainty"
    assert word(found, "higher", 2) == "no clear difference"
    assert math.isnan(found.equivalent(2))
    assert str(found) == f"+0.0 points ({found.caution})"


def test_rounding_is_no_spread():
    a = np.array([[0.1, 0.3, 0.2], [0.3, 0.2, 0.1]])
    found = people_and_seeds([a.sum(0), a[::-1].sum(0)], [[0.4, 0.5, 0.3]] * 2, [1, 1, 1])
    assert (found.value, found.error, found.p_value) == (0, 0, 1)


def test_all_people_and_seeds_differing_alike_is_no_certainty():
    found = people_and_seeds([[0.1, 0.7]] * 2, [[0.2, 0.8]] * 2, [1, 1])
    assert found.value == pytest.approx(10)
    assert (found.low, found.error) == (None, 0)
    assert math.isnan(found.p_value)
    assert word(found, "higher", 2) == "no clear difference"


@pytest.mark.parametrize("seeds", [(1, 3), (3, 1), (1, 1)])
def test_one_seed_has_no_interval(seeds):
    rng = np.random.default_rng(6)
    a, b = (rng.uniform(size=(n, 9)) for n in seeds)
    for found in (
        people_and_seeds(a, b, [1] * 9), seed_difference(100 * a.mean(1), 100 * b.mean(1))
    ):  # fmt: skip
        assert found.value == pytest.approx(100 * (b.mean() - a.mean()))
        assert (found.error, found.low, found.high, found.smallest) == (None,) * 4
        assert math.isnan(found.p_value)
        assert "a side has one seed" in found.caution
        assert word(found, "higher", 2) == "no clear difference"


def test_people_without_a_counted_query_are_passed_over():
    rng = np.random.default_rng(7)
    a, b = rng.uniform(size=(2, 3, 5))
    a[:, 2] = b[:, 2] = 0
    kept = [0, 1, 3, 4]
    assert people_and_seeds(a, b, [1, 1, 0, 1, 1]) == people_and_seeds(
        a[:, kept], b[:, kept], [1, 1, 1, 1]
    )


@pytest.mark.parametrize(
    ("a", "queries", "message"),
    [
        ([[0.5, 0.5]], [1, 1, 1], r"a_sums has shape \(1, 2\), expected \(seeds, 3\)"),
        ([0.5, 0.5], [1, 1], r"a_sums has shape \(2,\), expected \(seeds, 2\)"),
        (np.zeros((0, 2)), [1, 1], r"a_sums has shape \(0, 2\)"),
        ([[0.5], [0.5, 0.5]], [1, 1], "a_sums makes no array"),
        ([[0.5, 50.0]], [1, 1], r"a_sums\[0, 1\] is 50, expected 0 to 1, a sum of shares"),
        ([[0.5, -0.1]], [1, 1], r"a_sums\[0, 1\] is -0.1, expected 0 to 1"),
        ([[0.5, NAN]], [1, 1], r"a_sums\[0, 1\] is nan, expected 0 to 1"),
        ([[0.5, 0.5]], [1.0, 1.0], "queries is float64 of shape"),
        ([[0.5, 0.5]], [1, -1], r"expected \(people,\) whole numbers from 0 on"),
        ([[0.5, 0.0]], [1, 0], "people with a counted query: 1, expected at least two"),
    ],
)
def test_wrong_tables_are_refused(a, queries, message):
    with pytest.raises(ValueError, match=message):
        people_and_seeds(a, np.zeros((2, len(queries))), queries)


def test_other_refusals():
    with pytest.raises(ValueError, match="3 networks and b_sums 2, expected the same ones"):
        people_and_seeds(np.zeros((3, 4)), np.zeros((2, 4)), [1] * 4, same_networks=True)
    with pytest.raises(ValueError, match="level is 95, expected a share"):
        people_and_seeds([[0, 0]], [[0, 0]], [1, 1], level=95)
    with pytest.raises(ValueError, match="there is no value"):
        seed_difference([], [1.0])
    with pytest.raises(ValueError, match="bound is 0, expected points above 0"):
        seed_difference([1.0, 2.0], [1.0, 3.0]).equivalent(0)
    with pytest.raises(ValueError, match="unknown direction 'up': choose one of higher, lower"):
        word(seed_difference([1.0, 2.0], [1.0, 3.0]), "up", 2)
    with pytest.raises(ValueError, match=r"a p-value is 1\.5, expected 0 to 1"):
        holm([0.5, 1.5])


# --- how small, and how many ----------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.4])
def test_equivalence_is_two_one_sided_tests(shift):
    rng = np.random.default_rng(8)
    a, b = rng.normal(50, 1, 6), rng.normal(50 + shift, 2, 7)
    found = seed_difference(a, b)
    one_sided = [
        stats.ttest_ind(b, a + edge, equal_var=False, alternative=other).pvalue
        for edge, other in ((3, "less"), (-3, "greater"))
    ]
    assert found.equivalent(3) == pytest.approx(max(one_sided))
    narrow = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
    farther = max(abs(narrow.low), abs(narrow.high))
    assert found.equivalent(farther) == pytest.approx(0.05)
    quantiles = stats.t.ppf(0.975, found.freedom) + stats.t.ppf(0.8, found.freedom)
    assert found.smallest == pytest.approx(quantiles * found.error)


def test_numbers_of_nobody_are_refused():
    nobody = np.full((2, 3), np.nan)
    with pytest.raises(ValueError, match="people with a counted query: 0, expected at least two"):
        of_people(nobody, nobody)


def test_sides_below_the_bound_are_not_called_alike():
    rng = np.random.default_rng(9)
    a, b = rng.uniform(0.012, 0.016, (2, 5, 40))  # 1.4 points, as of networks that know nobody
    queries = np.ones(40, int)
    low, higher = people_and_seeds(a, b, queries), people_and_seeds(a, b + 0.03, queries)
    assert math.isnan(low.equivalent(2))
    assert low.equivalent(1) < 0.05
    assert higher.equivalent(4) < 0.05  # one side of 4.4 points could lie 4 above the other
    assert word(low, "higher", 2) == "no clear difference"


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.01, NAN, 0.5, 0.7], [0.03, NAN, 1.0, 1.0]),
        ([0.05, 0.05], [0.1, 0.1]),
        ([NAN], [NAN]),
    ],
)
def test_holm_by_hand(p, adjusted):
    assert holm(p) == pytest.approx(adjusted, nan_ok=True)


def made(value, error, freedom=20.0):
    return Difference(value, error, freedom, 0.95, (5, 5), 74, 300)


@pytest.mark.parametrize(
    ("value", "error", "direction", "expected"),
    [
        (3, 1, "higher", "holds"),
        (-3, 1, "lower", "holds"),
        (3, 1, "lower", "contradicted"),
        (-3, 1, "higher", "contradicted"),
        (0.2, 0.5, "higher", "smaller than 2 points"),
        (-0.2, 0.5, "higher", "smaller than 2 points"),
        (1.0, 0.25, "higher", "holds"),  # clear, and smaller than the bound, too
        (1, 1, "higher", "no clear difference"),
        (0, 3, "lower", "no clear difference"),
        (3, None, "higher", "no clear difference"),
        (3, 0, "higher", "no clear difference"),
    ],
)
def test_the_words(value, error, direction, expected):
    assert word(made(value, error), direction, 2) == expected


def test_the_words_follow_the_p_values_that_are_given():
    clear, small = made(3, 1), made(0.2, 0.5)
    assert word(clear, "higher", 2, p=0.06) == "no clear difference"
    assert word(small, "higher", 2, p_equivalent=0.06) == "no clear difference"
    assert word(small, "higher", None) == "no clear difference"  # no size that is too small
    assert word(small, "higher", 1.5) == "smaller than 1.5 points"
    assert word(made(0, 0.1), "higher", 1) == "smaller than 1 point"


def test_a_family_is_adjusted():
    family = {
        "clear": (made(5, 1), "higher", 2.0),
        "alone": (made(2.2, 1), "higher", 2.0),  # p = 0.04
        "small": (made(0.1, 0.2), "higher", 2.0),
        "cost": (made(0.1, 0.2), "lower", None),
        "one seed": (made(9, None), "lower", 2.0),
    }
    found = decide(family)
    words = [each.verdict for each in found.values()]
    assert words == ["holds", UNCLEAR, "smaller than 2 points", UNCLEAR, UNCLEAR]
    assert word(*family["alone"]) == "holds"
    p = [family[name][0].p_value for name in family]
    assert [each.p for each in found.values()] == pytest.approx(holm(p), nan_ok=True)
    assert math.isnan(found["one seed"].p)
    assert math.isnan(found["cost"].p_equivalent)
    assert decide({}) == {}


def test_what_was_decided_earlier_keeps_its_family():
    first = {name: (made(2.6, 1), "higher", 2.0) for name in ("one", "two", "three")}
    earlier = decide(first)
    now = decide(
        {"one": (made(2.6, 1), "lower", 2.0), "new": (made(2.2, 1), "lower", 2.0)}, earlier
    )
    assert now["one"].p == earlier["one"].p > first["one"][0].p_value
    assert now["new"].p == made(2.2, 1).p_value  # alone in its family
    assert [now["one"].verdict, now["new"].verdict] == ["no clear difference", "contradicted"]
    assert [*now] == ["one", "new"]


UNCLEAR = "no clear difference"


def test_a_family_without_differences_is_rarely_clear():
    rng, wrong = np.random.default_rng(9), 0
    for _ in range(300):
        sides = rng.normal(50, 1, (9, 5))  # eight methods against one baseline
        family = {
            str(k): (seed_difference(sides[0], s), "higher", 9.0) for k, s in enumerate(sides[1:])
        }
        wrong += any(d.verdict in ("holds", "contradicted") for d in decide(family).values())
    assert wrong / 300 <= 0.07


def test_it_prints_as_a_sentence():
    found = people_and_seeds(
        [[0.2, 0.4, 0.6], [0.3, 0.4, 0.5], [0.2, 0.5, 0.6]],
        [[0.4, 0.7, 0.7], [0.5, 0.6, 0.8], [0.4, 0.7, 0.8]], [1, 1, 1],
    )  # fmt: skip
    assert str(found).startswith("+21.1 points (95 % interval over 3 and 3 seeds and 3 people: +")
    assert "over 2 and 2 seeds: -" in str(seed_difference([1.0, 2.0], [1.5, 2.5]))


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(differences) == (0, 7)
