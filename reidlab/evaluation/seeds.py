"""Mean, spread and interval of one method over the seeds of a training.

What varies here is the training: the random weights, the batches, the augmentation. The people who
are asked for stay the same; `reidlab.evaluation.bootstrap` is for those. Neither interval holds
what the other one measures; of a difference `reidlab.evaluation.people_and_seeds` holds both.

The interval is Student's (Biometrika 1908). It takes the results of the seeds as drawn from a bell
curve, which three runs cannot show: with few runs it is wide, and rightly so. Runs that all gave
the same number have no interval: what so few show is not that nothing varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from reidlab.evaluation.checks import check_level


@dataclass(frozen=True)
class SeedInterval:
    """A number over several runs, in the unit of its values.

    Attributes:
        value: mean of the runs.
        spread: standard deviation over the runs (n - 1); None for one run.
        low: lower end of the interval; None for one run, or where nothing varies.
        high: upper end.
    """

    value: float
    spread: float | None
    low: float | None
    high: float | None


def over_seeds(values: Sequence[float], *, level: float = 0.95) -> SeedInterval:
    """Mean, spread, and Student's interval of the mean.

    Args:
        values: one for each run.
        level: share of such intervals that hold the true mean.

    Raises:
        ValueError: no values, one that is no finite number, or a level outside (0, 1).

    Example:
        >>> from reidlab.evaluation import over_seeds
        >>> found = over_seeds([60.0, 62.0, 64.0])
        >>> f"{found.value:.1f}, spread {found.spread:.1f}, {found.low:.1f} to {found.high:.1f}"
        '62.0, spread 2.0, 57.0 to 67.0'
    """
    check_level(level)
    if not len(values):
        raise ValueError("there is no value, expected that of one run at least")
    if not all(map(isfinite, values)):
        raise ValueError(
            f"the values are {', '.join(f'{value:g}' for value in values)}, expected a finite one "
            "for each run: leave out the run that failed"
        )
    if min(values) == max(values):  # compared: the mean of equal numbers is rounded
        return SeedInterval(float(values[0]), 0.0 if len(values) > 1 else None, None, None)
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * (variance / len(values)) ** 0.5
    return SeedInterval(mean, variance**0.5, mean - half, mean + half)
