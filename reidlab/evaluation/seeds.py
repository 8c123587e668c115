"""Mean, spread and interval over the seeds of a training.

What varies here is the training: the random weights, the batches, the augmentation. The people who
are asked for stay the same; `reidlab.evaluation.bootstrap` is for those. Neither interval holds
what the other one measures; `reidlab.evaluation.people_and_seeds` holds both.

The intervals are Student's (Biometrika 1908) for one mean and Welch's (Biometrika 1947) for a
difference, whose sides may spread unlike each other. Both take the results of the seeds as drawn
from a bell curve, which three runs cannot show: with few runs they are wide, and rightly so. Runs
that all gave the same number have no interval: what so few show is not that nothing varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reidlab.evaluation.checks import check_level

POWER = 0.8  # how often a difference of the size `smallest` would be told from none


@dataclass(frozen=True)
class SeedInterval:
    """A number over several runs, in the unit of its values.

    Attributes:
        value: mean of the runs, or difference of two means.
        spread: standard deviation over the runs (n - 1); None for one run, and for a difference.
        low: lower end of the interval; None where a side has one run, or nothing varies.
        high: upper end.
        smallest: of a difference the smallest that such runs tell from none in 80 % of cases,
            (t of the level + t of the power) times the standard error (Bloom, 1995); else None.
    """

    value: float
    spread: float | None
    low: float | None
    high: float | None
    smallest: float | None = None

    @property
    def clear(self) -> bool:
        """Whether there is an interval and zero lies outside."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def text(self, unit: str = "points") -> str:
        """A difference in words, with its interval and with what could have been seen."""
        if self.low is None or self.high is None or self.smallest is None:
            return f"{self.value:+.1f} {unit}, without an interval (too few runs, or all alike)"
        found = f"{self.value:+.1f} {unit} ({self.low:+.1f} to {self.high:+.1f})"
        if self.clear:
            return found
        small = f"{self.smallest:.1f} {unit}"
        return f"no clear difference: {found}; smaller than {small} would not have been seen"


def over_seeds(values: Sequence[float], *, level: float = 0.95) -> SeedInterval:
    """Mean, spread, and Student's interval of the mean.

    Args:
        values: one for each run.
        level: share of such intervals that hold the true mean.

    Raises:
        ValueError: no values, or a level outside (0, 1).

    Example:
        >>> from reidlab.evaluation import over_seeds
        >>> found = over_seeds([60.0, 62.0, 64.0])
        >>> f"{found.value:.1f}, spread {found.spread:.1f}, {found.low:.1f} to {found.high:.1f}"
        '62.0, spread 2.0, 57.0 to 67.0'
    """
    mean, variance = _moments(values, level)
    if not variance:
        return SeedInterval(mean, None if variance is None else 0.0, None, None)
    half = _quantile((1 + level) / 2, len(values) - 1) * (variance / len(values)) ** 0.5
    return SeedInterval(mean, variance**0.5, mean - half, mean + half)


def seed_difference(a: Sequence[float], b: Sequence[float], *, level: float = 0.95) -> SeedInterval:
    """Mean of `b` minus mean of `a`, with Welch's interval.

    Seed k of one side has nothing in common with seed k of the other, so that nothing is paired.

    Args:
        a: one value for each run of the first side.
        b: likewise for the second; the numbers of runs may differ.
        level: share of such intervals that hold the true difference.

    Raises:
        ValueError: a side without values, or a level outside (0, 1).
    """
    (mean_a, variance_a), (mean_b, variance_b) = _moments(a, level), _moments(b, level)
    difference = mean_b - mean_a
    if variance_a is None or variance_b is None or variance_a + variance_b == 0:
        return SeedInterval(difference, None, None, None)
    parts = variance_a / len(a), variance_b / len(b)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    error, t = sum(parts) ** 0.5, _quantile((1 + level) / 2, freedom)
    smallest = (t + _quantile(POWER, freedom)) * error
    return SeedInterval(difference, None, difference - t * error, difference + t * error, smallest)


def _moments(values: Sequence[float], level: float) -> tuple[float, float | None]:
    """Mean, and variance (n - 1) where there are two runs or more."""
    check_level(level)
    if not len(values):
        raise ValueError("there is no value, expected that of one run at least")
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _quantile(share: float, freedom: float) -> float:
    """The t that has this share below it."""
    from scipy.stats import t

    return float(t.ppf(share, freedom))
