"""How sure is a retrieval number, and is one model better than another?

The queries of one person stand or fall together, so people are drawn, not queries (a cluster
bootstrap: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8; the
paired test by flipped signs: Fisher, "The Design of Experiments", 1935). What varies here is *who
is asked for*. The gallery, the trained weights and the protocol's own draws stay as they are: two
seeds of one training differ for other reasons, which these numbers do not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reidlab.evaluation.checks import Labels, check_level, integer_labels, whole_number
from reidlab.evaluation.results import FloatArray, RankResult, per_query

FEW_PEOPLE = 10  # below it the percentile interval is far too narrow, see `bootstrap`
BLOCK_ELEMENTS = 2**20  # people drawn at once: 8 MB of indices
ROUNDING = 1e-12  # of a sum of shares; what differs by less is equal


@dataclass(frozen=True)
class Interval:
    """A number with its interval over people; prints as a sentence, in percent.

    Args:
        metric: "mAP", "mINP" or "rank<k>".
        value: the mean over the counted queries, a share of 1.
        low: lower end of the interval, a share.
        high: upper end.
        level: of the interval, such as 0.95.
        people: identities with a counted query; the interval is over them.
        queries: counted queries.
    """

    metric: str
    value: float
    low: float
    high: float
    level: float
    people: int
    queries: int

    @property
    def caution(self) -> str:
        """Why not to trust this interval; empty where nothing speaks against it."""
        return _caution(self.people, self.low, self.high)

    def __str__(self) -> str:
        return (
            f"{_label(self.metric)} {100 * self.value:.1f} % ({100 * self.level:g} % interval over "
            f"{self.people} people: {100 * self.low:.1f} to {100 * self.high:.1f}"
            f"{_appended(self.caution)})"
        )


@dataclass(frozen=True)
class Comparison:
    """Model a minus model b on the same queries; prints as a sentence, in points.

    Args:
        metric: "mAP", "mINP" or "rank<k>".
        difference: a - b, of means over the counted queries; a share, 0.01 is one point.
        low: lower end of the interval of the difference.
        high: upper end.
        level: of the interval, such as 0.95.
        p_value: how often a difference at least as large, of either sign, comes up when a coin
            swaps the two results of each person.
        wins: people for whom a is better (sum over their queries).
        ties: people for whom both are equal.
        losses: people for whom b is better.
        queries: counted queries.
    """

    metric: str
    difference: float
    low: float
    high: float
    level: float
    p_value: float
    wins: int
    ties: int
    losses: int
    queries: int

    @property
    def people(self) -> int:
        """Identities with a counted query."""
        return self.wins + self.ties + self.losses

    @property
    def caution(self) -> str:
        """Why not to trust the interval; empty where nothing speaks against it."""
        return _caution(self.people, self.low, self.high)

    def __str__(self) -> str:
        shares = self.difference, self.low, self.high
        difference, low, high = (f"{round(100 * x, 1) + 0.0:+.1f}" for x in shares)  # no "-0.0"
        return (
            f"{_label(self.metric)} {difference} points ({100 * self.level:g} % interval over "
            f"{self.people} people: {low} to {high}{_appended(self.caution)}; "
            f"p = {self.p_value:.2g}; better for {self.wins}, equal for {self.ties}, worse for "
            f"{self.losses})"
        )


def bootstrap(
    result: RankResult,
    q_pids: Labels,
    *,
    metric: str = "mAP",
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The interval of a metric over the people that are asked for.

    Draws as many people as there are, with replacement, takes all counted queries of each, and
    forms the mean over these queries: sum of values / number of queries. The interval holds the
    middle `level` of the draws (percentile interval).

    Of splits (`average`) all queries are taken together; their ids must tell the people of all
    splits apart. Where the splits differ in length, the value is not quite the mean over splits.

    With few people it is too narrow. In 4,000 simulated sets (1 to 6 queries a person, values
    Beta(3.5, 1.5), correlation 0.5 between the queries of a person) the 95 % interval held the
    truth in 82, 88, 92, 94 and 94 % of the sets of 5, 10, 20, 40 and 100 people; drawing queries
    instead of people in 70, 73, 76, 76 and 77 %. Where all people are alike, all found at rank 1
    for instance, it has no width, which is no certainty: see `proportion_interval`.

    Args:
        result: from `rank` or `evaluate`.
        q_pids: (Q,) integer person ids of the queries.
        metric: "mAP", "mINP" or "rank<k>" with any k from 1 on: "rank1", "rank5".
        level: share of the draws inside the interval.
        draws: number of draws; 10,000 fix the ends to about 1 % of the interval's width.
        seed: of the draws.

    Returns:
        Value and interval as shares; `print` shows them in percent.

    Raises:
        TypeError: ids that are not integers.
        ValueError: another number of ids than of queries, fewer than two people with a counted
            query, an unknown metric, a level outside (0, 1), or no draws.

    Example:
        >>> from reidlab.evaluation import bootstrap, rank
        >>> r = rank([[0.1, 0.2], [0.1, 0.2], [0.2, 0.1]], [1, 1, 2], [1, 2], [0, 0, 0], [1, 1])
        >>> bootstrap(r, [1, 1, 2]).people
        2
    """
    _check_draws(level, draws)
    values = per_query(result, metric)
    sums, counts = _by_person(values, q_pids)
    low, high = _percentiles(sums, counts, level, draws, np.random.default_rng(seed))
    # For one ranking this is to the last bit what the result says.
    value = float(values[~np.isnan(values)].mean())
    return Interval(metric, value, low, high, level, len(sums), int(counts.sum()))


def paired_test(
    a: RankResult,
    b: RankResult,
    q_pids: Labels,
    *,
    metric: str = "mAP",
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Whether model a is better than model b, on the same queries and gallery.

    Interval and test speak of one quantity, the mean over the queries of (value of a - value of b).
    Both are paired: a hard person is hard for both models and cancels.

    The interval draws people, as `bootstrap` does. The test asks how large the difference would
    be if the two results of each person had been swapped by a coin: the sign of the person's
    summed difference is flipped. All patterns of signs are counted where they are no more than
    `draws`; else `draws` random ones, and p is (count + 1) / (draws + 1). With n people who differ
    no p-value is below 2 / 2^n: five people cannot reach 0.05. With one query a person and "rank1"
    it is McNemar's exact test.

    With few people trust the test: it keeps its level, the interval is too narrow (see
    `bootstrap`) and may leave out 0 where p is above 1 - level. One run of each model says nothing
    about another seed of its training.

    Args:
        a: from `rank` or `evaluate`.
        b: the other model's, with the same protocol.
        q_pids: (Q,) integer person ids of the queries.
        metric: "mAP", "mINP" or "rank<k>".
        level: of the interval.
        draws: of the bootstrap, and patterns of signs at most.
        seed: of both.

    Raises:
        TypeError: ids that are not integers.
        ValueError: as `bootstrap`, or results of other queries or another protocol.
    """
    _check_draws(level, draws)
    for name in ("protocol", "ap_variant", "over"):
        kinds = [getattr(result, name, None) for result in (a, b)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"a and b were not counted alike: {name} is {kinds[0]} and {kinds[1]}")
    values = _paired(per_query(a, metric), per_query(b, metric))
    sums, counts = _by_person(values, q_pids)
    sums[np.abs(sums) <= ROUNDING * counts] = 0.0  # two queries that change places are a tie
    rng = np.random.default_rng(seed)
    low, high = _percentiles(sums, counts, level, draws, rng)
    return Comparison(
        metric=metric,
        difference=float(sums.sum() / counts.sum()),
        low=low,
        high=high,
        level=level,
        p_value=_sign_flip_test(sums, draws, rng),
        wins=int((sums > 0).sum()),
        ties=int((sums == 0).sum()),
        losses=int((sums < 0).sum()),
        queries=int(counts.sum()),
    )


def proportion_interval(hits: int, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval of "hits of count", such as 26 of 28 queries found at rank 1 (Wilson 1927).

    26 of 28 is 92.9 %, but a single query is worth 3.6 points, and the true share may well be 80 %:
    write "26 of 28" and its interval, not three digits. It is right at the ends too, where a
    bootstrap has no width: 28 of 28 could come from 88 %.

    It takes the queries as independent, as they are with one query a person; with more of them use
    `bootstrap`.

    Args:
        hits: how many succeeded.
        count: how many there were.
        level: share of cases in which such an interval holds the truth, about.

    Returns:
        Lower and upper end, shares of 1.

    Raises:
        TypeError: numbers that are not whole.
        ValueError: hits outside 0..count, nothing counted, or a level outside (0, 1).

    Example:
        >>> from reidlab.evaluation import proportion_interval
        >>> low, high = proportion_interval(26, 28)
        >>> f"26 of 28: {100 * low:.0f} to {100 * high:.0f} %"
        '26 of 28: 77 to 98 %'
    """
    check_level(level)
    hits, count = whole_number("hits", hits), whole_number("count", count, 1, " query")
    if not 0 <= hits <= count:
        raise ValueError(f"hits is {hits}, expected 0 to {count}, the count")
    from scipy.stats import binomtest

    low, high = binomtest(hits, count).proportion_ci(level, method="wilson")
    return float(low), float(high)


def _by_person(values: FloatArray, q_pids: Labels) -> tuple[FloatArray, FloatArray]:
    """Sum of the values and number of counted queries of each person, (P,) each, by rising id."""
    pids = integer_labels("q_pids", q_pids, len(values))
    counted = ~np.isnan(values)
    people, person = np.unique(pids[counted], return_inverse=True)
    if len(people) < 2:
        raise ValueError(
            f"people with a counted query: {len(people)}, expected at least two, for the interval "
            "comes from how much people differ. Take more of them, or report the number without one"
        )
    sums, counts = np.bincount(person, values[counted]), np.bincount(person)
    return sums.astype(np.float64), counts.astype(np.float64)


def _paired(a: FloatArray, b: FloatArray) -> FloatArray:
    """(Q,) a - b, after checking that both speak of the same queries."""
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} queries and b has {len(b)}: compare results of the same")
    single = np.isnan(a) != np.isnan(b)
    if single.any():
        raise ValueError(
            f"{int(single.sum())} of {len(a)} queries are counted by one result only, the first is "
            f"query {int(single.argmax())}: their protocols or galleries differ. Judge both models "
            "by one protocol on one gallery"
        )
    return a - b


def _percentiles(
    sums: FloatArray, counts: FloatArray, level: float, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Ends of the middle `level` of the drawn means."""
    people, means = len(sums), np.empty(draws)
    for start, stop in _blocks(draws, people):
        drawn = rng.integers(people, size=(stop - start, people))
        means[start:stop] = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _sign_flip_test(sums: FloatArray, draws: int, rng: np.random.Generator) -> float:
    """Two-sided p-value of |sum| under flipped signs.

    sums: (P,) summed differences. The number of queries does not change with the signs, so the sum
    orders the patterns as the mean over queries does.
    """
    sums = sums[sums != 0]  # to flip nothing changes nothing
    people, total = len(sums), sums.sum()
    reached = abs(total) - 100 * ROUNDING * np.abs(sums).sum()  # a pattern's own sum is rounded
    exact = 2**people <= draws
    patterns, extreme = 2**people if exact else draws, 0
    for start, stop in _blocks(patterns, people):
        if exact:  # the bits of 0, 1, 2, ... are all the patterns
            flipped = ((np.arange(start, stop)[:, None] >> np.arange(people)) & 1).astype(bool)
        else:
            flipped = rng.random((stop - start, people)) < 0.5
        extreme += int((np.abs(total - 2 * (flipped @ sums)) >= reached).sum())
    return extreme / patterns if exact else (extreme + 1) / (draws + 1)


def _blocks(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of blocks of rows that hold about BLOCK_ELEMENTS each."""
    step = max(1, BLOCK_ELEMENTS // max(1, width))
    return ((start, min(start + step, rows)) for start in range(0, rows, step))


def _check_draws(level: float, draws: int) -> None:
    check_level(level)
    whole_number("draws", draws, 1, ", better 10,000")


def _caution(people: int, low: float, high: float) -> str:
    reasons = []
    if people < FEW_PEOPLE:
        reasons.append("too narrow, for the people are few")
    if low == high:
        reasons.append("no width, for the people are alike, which is no certainty")
    return "; ".join(reasons)


def _appended(caution: str) -> str:
    return f", {caution}" if caution else ""


def _label(metric: str) -> str:
    return metric.replace("rank", "Rank-")
