"""Is method b better than method a? Seeds and people in one interval, and words for the answer.

Two things vary when two methods are compared: the trained networks (seeds) and the people who are
asked for. `seed_difference` holds the first alone, `paired_test` the second alone, and
`people_and_seeds` both. All is in percentage points, and a difference is b minus a.

Words for the answer are given by `verdict`, for several comparisons at once by `decide`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidlab.evaluation.checks import as_array, check_level, one_of
from reidlab.evaluation.results import FloatArray
from reidlab.evaluation.seeds import over_seeds

Direction = Literal["higher", "lower"]
DIRECTIONS: tuple[Direction, ...] = ("higher", "lower")
POWER = 0.8  # how often a difference of the size `smallest` would be told from none
HOLDS, CONTRADICTED, UNCLEAR = "holds", "contradicted", "no clear difference"
Key = TypeVar("Key")
ROUNDING = 1e-9  # points; a standard error below it is one of the arithmetic


@dataclass(frozen=True)
class Difference:
    """Side b minus side a, with what it takes to test it; prints as a sentence.

    Attributes:
        value: the difference, in points (or in the unit of the values, see `seed_difference`).
        error: its standard error; 0 where nothing varies, None where a side has one seed.
        freedom: degrees of freedom of Student's t; NaN where there is no error.
        level: of the interval, such as 0.95.
        seeds: how many of a and of b.
        people: how many; None where the difference is over seeds alone.
        queries: counted queries of all people; None likewise.
        most: the higher of both sides' means, in points; infinite where it is not known.
    """

    value: float
    error: float | None
    freedom: float
    level: float
    seeds: tuple[int, int]
    people: int | None = None
    queries: int | None = None
    most: float = float("inf")

    @property
    def low(self) -> float | None:
        """Lower end of the interval; None where nothing varies or a side has one seed."""
        return self.value - self._times((1 + self.level) / 2) if self.error else None

    @property
    def high(self) -> float | None:
        """Upper end, likewise."""
        return self.value + self._times((1 + self.level) / 2) if self.error else None

    @property
    def p_value(self) -> float:
        """Two-sided, of "there is no difference"; 1 for identical sides, NaN where unknown."""
        if not self.error:
            return 1.0 if self.error == self.value == 0 else float("nan")
        return 2 * self._above(abs(self.value) / self.error)

    @property
    def smallest(self) -> float | None:
        """The smallest true difference that so many seeds and people tell from none in 80 % of
        cases: (t of the level + t of the power) times the standard error (Bloom, 1995)."""
        both = (1 + self.level) / 2, POWER
        return sum(self._times(share) for share in both) if self.error else None

    @property
    def clear(self) -> bool:
        """Whether there is an interval and zero lies outside."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def caution(self) -> str:
        """Why there is no interval; empty where there is one."""
        if self.error is None:
            return "no interval, for a side has one seed: how much others differ is unknown"
        if self.error == 0:
            return "no interval, for nothing varies, which is no certainty"
        return ""

    def equivalent(self, bound: float) -> float:
        """p-value of "the difference is `bound` or more, in either direction": two one-sided tests.

        A difference that is not clear need not be small; a small p here shows that it is
        (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987). Where both sides are
        below the bound they cannot differ by it, which says nothing of the methods: no test.

        Args:
            bound: in the unit of the value, such as 2 points; chosen before the result is seen.

        Returns:
            The larger of the two p-values; NaN where there is no test.

        Raises:
            ValueError: A bound that is not above 0.
        """
        if not bound > 0:
            raise ValueError(f"bound is {bound}, expected points above 0, such as 2")
        if not self.error or self.most < bound:
            return float("nan")
        return self._above((bound - abs(self.value)) / self.error)

    def text(self, unit: str = "points") -> str:
        """In words, with its interval and with what could have been seen."""
        if self.low is None or self.high is None or self.smallest is None:
            return f"{self.value:+.1f} {unit}, without an interval (too few runs, or all alike)"
        found = f"{self.value:+.1f} {unit} ({self.low:+.1f} to {self.high:+.1f})"
        if self.clear:
            return found
        small = f"{self.smallest:.1f} {unit}"
        return f"no clear difference: {found}; one below {small} would often be missed"

    def _times(self, share: float) -> float:
        """The standard error times the t that has this share below it."""
        from scipy.stats import t

        return float(t.ppf(share, self.freedom)) * (self.error or 0.0)

    def _above(self, ratio: float) -> float:
        from scipy.stats import t

        return float(t.sf(ratio, self.freedom))

    def __str__(self) -> str:
        if self.low is None or self.high is None or self.smallest is None:
            return f"{self.value:+.1f} points ({self.caution})"
        people = "" if self.people is None else f" and {self.people} people"
        return (
            f"{self.value:+.1f} points ({100 * self.level:g} % interval over {self.seeds[0]} and "
            f"{self.seeds[1]} seeds{people}: {self.low:+.1f} to {self.high:+.1f}; "
            f"p = {self.p_value:.2g}; {self.smallest:.1f} would have been seen)"
        )


def people_and_seeds(
    a_sums: ArrayLike,
    b_sums: ArrayLike,
    queries: ArrayLike,
    *,
    same_networks: bool = False,
    level: float = 0.95,
) -> Difference:
    """Mean over all queries, averaged over seeds, of side b minus side a; one interval for both.

    SE^2 = v_people + v_a + v_b - v_both, with

    - v_people: over people, of the seed-averaged difference. The queries of a person stand or fall
      together, so the person is the unit (linearised ratio estimator of cluster sampling: Cochran,
      "Sampling Techniques", 1977, section 6.4);
    - v_a, v_b: variance of a side's mean over its seeds, divided by their number. The seeds of
      different sides have nothing in common and are not paired; the people are. Where the same
      networks stand on both sides, as with an addition to each of them, seeds are paired as well:
      then v_a is 0, and v_b and v_both are those of the differences;
    - v_both: that a network is good with some people and bad with others (person x seed) is part
      of v_people and of v_a + v_b. It is estimated from what person and seed leave over (two-way
      table) and counted once. SE^2 never falls below v_people, nor below v_a + v_b.

    The interval is Student's, with degrees of freedom by Satterthwaite (Biometrics Bulletin 1946).

    How often the 95 % interval holds the truth, in 6,000 simulated cases each with 3 or 5 seeds,
    normal and skewed, where seeds, people, person x seed or all of them matter: with 12 people 93.4
    to 99.4 %, 74 people 94.3 to 98.5 %, 150 people 94.6 to 98.6 %; above 97 % only where people are
    12 or nearly all spread is person x seed. Hits at rank 1 (50 and 86 %): 96 to 99 %. With v_both
    left in it is up to 99.4 % at 150 people, too, and up to 27 % wider. The seeds alone hold the
    truth in 35 to 67 % of the cases where people matter most, the people alone in 17 to 56 % where
    seeds do. With the same networks on both sides (3,000 cases each, 12 to 200 people): 91.6 to
    99.0 % with 3 seeds, 92.6 to 98.6 % with 5; the least where the seeds spread most of all.

    It is no bootstrap over seeds: three of them, drawn with replacement, spread too little by a
    factor of sqrt(2/3), and the percentiles have no t. Drawing seeds and people crosswise held the
    truth in 81 to 88 % (3 seeds) and 87 to 92 % (5 seeds) of the cases in which seeds are the
    larger part, and in 99 % where person x seed is, which it counts twice.

    Sides that nothing tells apart (no difference, no spread) have p = 1, and a spread of 0 gives no
    interval, see `caution`: that so few are alike is no certainty. Seeds that are all alike leave
    the interval over people. With one seed on a side there is no interval.

    Args:
        a_sums: (Sa, P) for each seed and person the sum of a share over the person's counted
            queries: of average precisions, or of hits at rank 1.
        b_sums: (Sb, P) likewise for the other side, the same people in the same order.
        queries: (P,) counted queries of each person; people without any are passed over.
        same_networks: whether row s of both tables is of one network.
        level: of the interval.

    Returns:
        The difference, in percentage points.

    Raises:
        ValueError: Shapes that do not fit, sums that are not between 0 and the number of queries,
            fewer than two people with a counted query, or a level outside (0, 1).

    Example:
        >>> from reidlab.evaluation import people_and_seeds
        >>> a = [[0.5, 1.0, 0.7, 0.9], [0.6, 1.1, 0.6, 0.8], [0.5, 1.2, 0.7, 0.7]]
        >>> b = [[0.8, 1.5, 0.9, 0.9], [0.7, 1.4, 0.9, 1.0], [0.7, 1.3, 0.8, 1.0]]
        >>> found = people_and_seeds(a, b, [1, 2, 1, 1])
        >>> f"{found.value:.1f} ({found.low:.1f} to {found.high:.1f})"
        '17.3 (9.7 to 24.9)'
    """
    check_level(level)
    counts = person_counts(queries)
    a, b = (person_sums(name, s, counts) for name, s in (("a_sums", a_sums), ("b_sums", b_sums)))
    seeds = (len(a), len(b))
    if same_networks and len(a) != len(b):
        raise ValueError(
            f"a_sums has {len(a)} networks and b_sums {len(b)}, expected the same ones: give the "
            "sums of the same seeds in the same order"
        )
    counted = counts > 0
    sizes: dict[str, Any] = {"people": int(counted.sum()), "queries": int(counts.sum())}
    a, b, counts = 100 * a[:, counted], 100 * b[:, counted], counts[counted]
    sizes["most"] = float(max(side.mean(0).sum() for side in (a, b)) / counts.sum())
    if same_networks:
        a, b = np.zeros_like(a), b - a
    if min(seeds) < 2:
        value = (b.mean(0).sum() - a.mean(0).sum()) / counts.sum()
        error, freedom = None, float("nan")
    else:
        value, variance, freedom = crossed(split(a, counts), split(b, counts))
        error = _rounded(float(variance) ** 0.5)
    return Difference(_rounded(float(value)), error, float(freedom), level, seeds, **sizes)


def of_people(a: FloatArray, b: FloatArray, *, same_networks: bool = False) -> Difference:
    """`people_and_seeds` of a number for each seed and person, (S, P), in any unit.

    100 times b minus a, each person counting alike; a NaN leaves its person out.
    """
    known = ~(np.isnan(a).any(0) | np.isnan(b).any(0))
    person_counts(known.astype(int))  # refuses less than two
    a, b = a[:, known], b[:, known]
    low = min(a.min(), b.min())
    span = max(a.max(), b.max()) - low or 1.0
    found = people_and_seeds(
        (a - low) / span, (b - low) / span, np.ones(a.shape[1], int), same_networks=same_networks
    )
    error = None if found.error is None else float(found.error * span)
    return replace(found, value=float(found.value * span), error=error, most=np.inf)


def seed_difference(a: Sequence[float], b: Sequence[float], *, level: float = 0.95) -> Difference:
    """The same over seeds alone, where the people of the runs are not known.

    Welch's interval (Biometrika 1947), whose sides may spread unlike each other; seed k of one side
    has nothing in common with seed k of the other, so that nothing is paired. It says nothing of
    other people than those that were asked for.

    Args:
        a: one value for each run of the first side, in points or in another unit.
        b: likewise for the second.
        level: of the interval.

    Raises:
        ValueError: A side without values, or a level outside (0, 1).
    """
    sides = [over_seeds(values, level=level) for values in (a, b)]
    value, seeds = sides[1].value - sides[0].value, (len(a), len(b))
    if min(seeds) < 2:
        return Difference(value, None, float("nan"), level, seeds)
    parts = [(side.spread or 0.0) ** 2 / n for side, n in zip(sides, seeds, strict=True)]
    freedom = satterthwaite(sum(parts), [(v, n - 1) for v, n in zip(parts, seeds, strict=True)])
    return Difference(_rounded(value), _rounded(sum(parts) ** 0.5), float(freedom), level, seeds)


# --- words ---------------------------------------------------------------------------------------


def holm(p_values: Iterable[float]) -> list[float]:
    """p-values of several tests, adjusted so that all together keep the level of one.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below one before
    it, and none exceeds 1 (Holm, Scandinavian Journal of Statistics 1979). It holds for tests that
    depend on each other, as those of one set of people do.

    Args:
        p_values: of all tests; NaN for one that could not be made, which stays NaN and does not
            count.

    Raises:
        ValueError: A number outside 0 to 1.

    Example:
        >>> from reidlab.evaluation import holm
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.array([*p_values], np.float64)
    if (wrong := p[(p < 0) | (p > 1)]).size:
        raise ValueError(f"a p-value is {wrong[0]:g}, expected 0 to 1, or NaN for no test")
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    p[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return p.tolist()


def verdict(
    difference: Difference,
    direction: str,
    bound: float | None,
    p: float | None = None,
    p_equivalent: float | None = None,
) -> str:
    """The word for a claimed difference; this is the one place where the words are defined.

    With alpha = 1 - level of the difference, and in this order:

    - "holds": p <= alpha, and the difference has the claimed sign;
    - "contradicted": p <= alpha, and it has the other sign;
    - "smaller than X points": p_equivalent <= alpha; X is the bound. That it is not clear is not
      enough: the two one-sided tests must show it, and a side must reach X points at all;
    - "no clear difference": all else, also where there is no interval.

    "holds" says which side is ahead, and nothing of the size that a paper prints.

    Args:
        difference: b minus a.
        direction: "higher" or "lower": what b is said to be, against a.
        bound: what would be too small to matter, in points; fixed before the result is seen. None:
            there is no such size, as for seconds, and no test of equivalence.
        p: the p-value of the difference; by default its own. Of several comparisons the one that
            `holm` adjusted.
        p_equivalent: that of the equivalence, likewise.

    Raises:
        ValueError: Another direction, or a bound that is not above 0.
    """
    one_of("direction", direction, DIRECTIONS)
    if p is None:
        p = difference.p_value
    if p_equivalent is None:
        p_equivalent = float("nan") if bound is None else difference.equivalent(bound)
    alpha = 1 - difference.level
    if p <= alpha:
        return HOLDS if (difference.value > 0) == (direction == "higher") else CONTRADICTED
    if bound is not None and p_equivalent <= alpha:
        return f"smaller than {bound:g} point{'' if bound == 1 else 's'}"
    return UNCLEAR


class Decision(NamedTuple):
    """What `decide` says of a comparison: the word, and the two p-values, adjusted."""

    verdict: str
    p: float
    p_equivalent: float


def decide(
    differences: Mapping[Key, tuple[Difference, str, float | None]],
    earlier: Mapping[Key, Decision] | None = None,
) -> dict[Key, Decision]:
    """Words for a family of comparisons: several of them count as several.

    Holm's adjustment is made over all differences, and over all tests of equivalence. With alpha =
    1 - level, the chance that a family holds any "holds" or "contradicted" where there is truly no
    difference is at most alpha, and so is the chance of any "smaller than" where the true
    difference reaches its bound. The two are not put into one family, for of one comparison at most
    one of these two errors can be made; that a family is free of both kinds has a chance of at
    least 1 - 2 * alpha.

    Args:
        differences: any key -> (difference, direction, bound), the last two as in `verdict`; all
            comparisons that are reported together, also those without a result worth telling.
        earlier: key -> what was decided of it in another family, such as that of an experiment's
            predictions: it keeps these p-values, and does not count among the others here.

    Raises:
        ValueError: As in `verdict`.
    """
    adjusted = {key: each[1:] for key, each in (earlier or {}).items()}
    new = {key: row for key, row in differences.items() if key not in adjusted}
    p = holm(found.p_value for found, _, _ in new.values())
    same = holm(
        float("nan") if bound is None else found.equivalent(bound)
        for found, _, bound in new.values()
    )
    adjusted |= zip(new, zip(p, same, strict=True), strict=True)
    return {
        key: Decision(verdict(*row, *adjusted[key]), *adjusted[key])
        for key, row in differences.items()
    }


# --- the two-way table of seeds and people --------------------------------------------------------


class Side(NamedTuple):
    """One side, split into what varies; `...` are tables of one shape beside each other.

    `mean` (...,) of all queries, over the seeds; `people` (..., P) what each person adds to it,
    beyond an average person with so many queries; `seeds` (...,) variance of the mean over the
    seeds; `both` (...,) the part of this variance that is person x seed; `runs`, how many seeds.
    """

    mean: Any
    people: Any
    seeds: Any
    both: Any
    runs: int


def split(sums: FloatArray, queries: NDArray[Any]) -> Side:
    """Mean, people, seeds and person x seed of tables of (..., S, P) sums, with S and P above 1."""
    total, (runs, people) = queries.sum(), sums.shape[-2:]
    means = sums.sum(-1) / total
    shares = (sums - means[..., None] * queries) / total  # sums to 0 over the people of each seed
    by_person = shares.mean(-2)
    rest = shares - by_person[..., None, :]
    mean = means.mean(-1)
    seeds = ((means - mean[..., None]) ** 2).sum(-1) / ((runs - 1) * runs)
    both = people / (people - 1) * (rest**2).sum((-2, -1)) / ((runs - 1) * runs)
    return Side(mean, by_person, seeds, both, runs)


def crossed(a: Side, b: Side) -> tuple[Any, Any, Any]:
    """Difference b - a, its variance, and degrees of freedom; the formula of `people_and_seeds`."""
    people = a.people.shape[-1]
    of_people = people / (people - 1) * ((b.people - a.people) ** 2).sum(-1)
    return (b.mean - a.mean, *joint(of_people, people, (a, b)))


def joint(of_people: Any, people: int, sides: Sequence[Side]) -> tuple[Any, Any]:
    """Variance of a difference, or of one side's mean, and its degrees of freedom."""
    of_seeds, of_both = sum(side.seeds for side in sides), sum(side.both for side in sides)
    variance = np.maximum(of_people + of_seeds - of_both, np.maximum(of_people, of_seeds))
    parts = [(of_people, people - 1)]
    for side in sides:
        parts += [(side.seeds, side.runs - 1), (side.both, (people - 1) * (side.runs - 1))]
    return variance, satterthwaite(variance, parts)


def satterthwaite(variance: Any, parts: Sequence[tuple[Any, int]]) -> Any:
    """Degrees of freedom of a variance put together of (part, its degrees of freedom); where parts
    are taken away, too, no fewer than those of the part that has fewest."""
    below = sum(np.asarray(part) ** 2 / freedom for part, freedom in parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.asarray(variance) ** 2 / below
    return np.maximum(found, min(freedom for _, freedom in parts))


def person_counts(queries: ArrayLike) -> NDArray[np.int64]:
    """(P,) counted queries of each person.

    Raises:
        ValueError: No whole numbers from 0 on, or fewer than two people with a counted query.
    """
    counts = as_array("queries", queries)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ValueError(
            f"queries is {counts.dtype} of shape {counts.shape}, expected (people,) whole numbers "
            "from 0 on: how many queries of each person count"
        )
    if (counts > 0).sum() < 2:
        raise ValueError(
            f"people with a counted query: {(counts > 0).sum()}, expected at least two, for the "
            "interval comes from how much people differ"
        )
    return counts.astype(np.int64)


def person_sums(name: str, sums: ArrayLike, queries: NDArray[np.int64]) -> FloatArray:
    """(S, P) sums of shares.

    Raises:
        ValueError: Another shape, or a sum that is not between 0 and the number of queries.
    """
    array = as_array(name, sums).astype(np.float64)
    if array.ndim != 2 or array.shape[1] != len(queries) or not len(array):
        raise ValueError(
            f"{name} has shape {array.shape}, expected (seeds, {len(queries)}): a row for each "
            "seed, a column for each person"
        )
    wrong = ~((array >= -ROUNDING) & (array <= queries * (1 + ROUNDING)))
    if wrong.any():
        seed, person = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name}[{seed}, {person}] is {array[seed, person]:g}, expected 0 to "
            f"{queries[person]}, a sum of shares over so many queries; are they percentages, or "
            "means over the queries?"
        )
    return array


def _rounded(value: float) -> float:
    return 0.0 if abs(value) < ROUNDING else value
