"""What can be decided, before any method is compared: from the runs of one method alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from reidlab.evaluation.checks import whole_number
from reidlab.evaluation.differences import (
    POWER,
    Side,
    crossed,
    joint,
    person_counts,
    person_sums,
    split,
)


@dataclass(frozen=True)
class Components:
    """What varies in the results of one method; prints as a sentence.

    Attributes:
        mean: over all queries and seeds, in percent.
        low: lower end of its 95 % interval over seeds and people.
        high: upper end.
        seeds: variance over seeds of the mean over ever so many people, in points squared.
        people: variance over people of what the method reaches for each, over ever so many seeds.
        both: variance of person x seed: which people a network happens to be good with.
        runs: how many seeds these come from.
        persons: how many people.
        queries: how many counted queries.
    """

    mean: float
    low: float
    high: float
    seeds: float
    people: float
    both: float
    runs: int
    persons: int
    queries: int

    def __str__(self) -> str:
        seeds, people, both = (v**0.5 for v in (self.seeds, self.people, self.both))
        return (
            f"{self.mean:.1f} % ({self.low:.1f} to {self.high:.1f}) over {self.runs} seeds, "
            f"{self.persons} people and {self.queries} queries; standard deviation over seeds "
            f"{seeds:.2f}, over people {people:.1f}, person x seed {both:.1f} points"
        )


def components(sums: ArrayLike, queries: ArrayLike) -> Components:
    """Variance components of seeds, people and person x seed, by the method of moments.

    From the mean squares of the two-way table without repetition (Searle, Casella and McCulloch,
    "Variance Components", 1992, chapter 4), weighted by queries; what would fall below 0 is 0. A
    person's variance is that of a person with an average number of queries.

    Args:
        sums: (S, P) for each seed and person the sum of a share over the person's counted queries.
        queries: (P,) counted queries of each person; people without any are passed over.

    Raises:
        ValueError: One seed only, or as `people_and_seeds`.
    """
    from scipy.stats import t

    counts = person_counts(queries)
    table = 100 * person_sums("sums", sums, counts)[:, counts > 0]
    counts = counts[counts > 0]
    runs, people = table.shape
    if runs < 2:
        raise ValueError(
            "there is one seed, expected two at least, better five: how much seeds differ cannot "
            "be seen from one"
        )
    side = split(table, counts)
    of_people = people / (people - 1) * float((side.people**2).sum())
    variance, freedom = joint(of_people, people, [side])
    half = float(t.ppf(0.975, freedom) * variance**0.5) if variance else 0.0
    return Components(
        mean=float(side.mean),
        low=float(side.mean) - half,
        high=float(side.mean) + half,
        seeds=max(0.0, runs * float(side.seeds - side.both)),
        people=max(0.0, people * (of_people - float(side.both))),
        both=people * runs * float(side.both),
        runs=runs,
        persons=people,
        queries=int(counts.sum()),
    )


def smallest_difference(
    parts: Components, seeds: int, people: int | None = None, *, unlike: float = 0.0
) -> float:
    """The smallest true difference that so many seeds a side and people tell from none.

    That is, at the level 0.95 in 80 % of cases: (t of 0.975 + t of 0.8) * SE (Bloom, Evaluation
    Review 1995), with the SE and the degrees of freedom that `people_and_seeds` would find on
    average,

        SE^2 = 2 s / n + 2 b / (n P) + 2 unlike m / P

    where s, b, m are the variances over seeds, of person x seed and over people, n the seeds of a
    side, and P the people. One method cannot tell how unlike another one treats the people. That
    is assumed: `unlike` is 1 minus the correlation, over people, of what the two methods reach for
    each. 0, the best that can be hoped for, is a method that helps everybody alike; more people
    help against the rest, more seeds do not.

    The formula takes the SE as known. Simulated, a difference of this size is clear in 74 to 80 %
    of the cases with 5 seeds, in 68 to 79 % with 3, and in 45 to 73 % with 2: `simulate` counts.

    Args:
        parts: of the baseline, from `components`.
        seeds: of a side.
        people: as many as `parts` has, by default.
        unlike: from 0 to 1.

    Returns:
        Points; NaN for one seed, and where nothing varies.

    Raises:
        ValueError: No seeds, fewer than two people, or `unlike` outside its range.
    """
    from scipy.stats import t

    people = _checked(parts, seeds, people, unlike)
    if seeds == 1:
        return float("nan")
    both = parts.both / (seeds * people)
    side = Side(parts.mean, None, parts.seeds / seeds + both, both, seeds)
    variance, freedom = joint(2 * both + 2 * unlike * parts.people / people, people, (side, side))
    if not variance:
        return float("nan")
    quantiles = t.ppf(0.975, freedom) + t.ppf(POWER, freedom)
    return float(quantiles * variance**0.5)


def simulate(
    parts: Components,
    difference: float,
    seeds: int,
    people: int | None = None,
    *,
    unlike: float = 0.0,
    draws: int = 2000,
    rng: np.random.Generator,
) -> float:
    """Share of comparisons that end clear, if the true difference is so large.

    Seeds, people and person x seed are drawn from bell curves with the variances of `parts`, one
    query a person, for both sides, and tested as `people_and_seeds` does. At the smallest
    difference about 80 % are clear, at 0 about 5 %.

    Args:
        parts: of the baseline, from `components`.
        difference: the true one, in points.
        seeds: of a side, two at least.
        people: as many as `parts` has, by default.
        unlike: as in `smallest_difference`.
        draws: comparisons; 2,000 fix a share of 80 % to 2 points.
        rng: of the draws.

    Raises:
        ValueError: As in `smallest_difference`, or one seed.
    """
    from scipy.stats import t

    people = _checked(parts, seeds, people, unlike)
    whole_number("seeds", seeds, 2, ", for one has no interval")
    clear, left = 0, whole_number("draws", draws, 1)
    while left:  # in blocks of at most 16 MB
        block = min(left, max(1, 2**21 // (seeds * people)))
        hard = rng.normal(0, (parts.people * (1 - unlike)) ** 0.5, (block, 1, people))
        sides = [
            hard
            + mean
            + rng.normal(0, (parts.people * unlike) ** 0.5, (block, 1, people))
            + rng.normal(0, parts.seeds**0.5, (block, seeds, 1))
            + rng.normal(0, parts.both**0.5, (block, seeds, people))
            for mean in (0.0, difference)
        ]
        one_each = np.ones(people, np.int64)
        value, variance, freedom = crossed(*(split(side, one_each) for side in sides))
        clear += int((np.abs(value) > t.ppf(0.975, freedom) * variance**0.5).sum())
        left -= block
    return clear / draws


def decidable(
    parts: Components, seeds: int, *, unlike: float = 0.1, rng: np.random.Generator
) -> pd.DataFrame:
    """What 1, 2, ... seeds a side can decide; a row for each, by the number of seeds.

    Args:
        parts: of the baseline, from `components`.
        seeds: the most.
        unlike: as in `smallest_difference`, beside 0; between the arms of `vit_baseline.triplet_*`
            it was 0.00 to 0.08.
        rng: of `simulate`.

    Returns:
        For either `unlike`: "smallest", in points, and the share of simulated comparisons that are
        "clear" at this difference, and at "none"; NaN for one seed.
    """
    rows: dict[int, dict[tuple[str, str], float]] = {}
    for n in range(1, whole_number("seeds", seeds, 1) + 1):
        row = rows.setdefault(n, {})
        for u in dict.fromkeys((0.0, unlike)):
            smallest = smallest_difference(parts, n, unlike=u)
            shares = [
                float("nan") if np.isnan(smallest) else simulate(parts, d, n, unlike=u, rng=rng)
                for d in (smallest, 0.0)
            ]
            found = zip(("smallest", "clear", "none"), (smallest, *shares), strict=True)
            row |= {(f"unlike {u:g}", name): value for name, value in found}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("seeds")


def _checked(parts: Components, seeds: int, people: int | None, unlike: float) -> int:
    """How many people, after a look at all that is asked for."""
    whole_number("seeds", seeds, 1)
    if not 0 <= unlike <= 1:
        raise ValueError(f"unlike is {unlike}, expected 0 (people alike) to 1 (unrelated)")
    return whole_number("people", parts.persons if people is None else people, 2)
