"""Mean, spread and interval over the seeds of a training.

What varies here is the training: the random weights, the batches, the augmentation. The people who
are asked for stay the same; `reidlab.evaluation.bootstrap` is for those. Neither interval holds
what the other one measures.

The intervals are Student's (Biometrika 1908) for one mean and Welch's (Biometrika 1947) for a
difference, whose sides may spread unlike each other. Both take the results of the seeds as drawn
from a bell curve, which three runs cannot show: with few runs they are wide, and rightly so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reidlab.report.records import Record, total_seconds

SHOWN = {"rank1": "rank-1 (%)", "mAP": "mAP (%)", "mINP": "mINP (%)"}


@dataclass(frozen=True)
class SeedInterval:
    """A number over several runs, in the unit of its values.

    Attributes:
        value: mean of the runs, or difference of two means.
        spread: standard deviation over the runs (n - 1); None for one run, and for a difference.
        low: lower end of the interval; None where a side has one run.
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
        ValueError: no values, or a level outside (0, 1).

    Example:
        >>> from reidlab.report import over_seeds
        >>> found = over_seeds([60.0, 62.0, 64.0])
        >>> f"{found.value:.1f}, spread {found.spread:.1f}, {found.low:.1f} to {found.high:.1f}"
        '62.0, spread 2.0, 57.0 to 67.0'
    """
    mean, variance = _moments(values, level)
    if variance is None:
        return SeedInterval(mean, None, None, None)
    half = _quantile(level, len(values) - 1) * (variance / len(values)) ** 0.5
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
    if variance_a is None or variance_b is None:
        return SeedInterval(difference, None, None, None)
    parts = variance_a / len(a), variance_b / len(b)
    squared = sum(parts)
    if squared == 0:
        return SeedInterval(difference, None, difference, difference)
    freedom = squared**2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = _quantile(level, freedom) * squared**0.5
    return SeedInterval(difference, None, difference - half, difference + half)


def seeds_table(groups: Mapping[str, Iterable[Record]], *, level: float = 0.95) -> pd.DataFrame:
    """Return one row for each group and metric.

    Args:
        groups: what is said of the settings -> the records of its seeds; a group without records
            has no row.
        level: of the intervals.

    Returns:
        Columns settings, metric, runs, mean, spread, low, high, seconds (of one run, the mean) and
        caution: that data or protocols differ between the runs of a group, else empty. Metrics are
        in percent.
    """
    rows = []
    for name, group in groups.items():
        runs = list(group)
        for metric, title in SHOWN.items():
            values = [100 * run["metrics"][metric] for run in runs if metric in run["metrics"]]
            if not values:
                continue
            found = over_seeds(values, level=level)
            rows.append(
                {
                    "settings": name,
                    "metric": title,
                    "runs": len(values),
                    "mean": _rounded(found.value),
                    "spread": _rounded(found.spread),
                    "low": _rounded(found.low),
                    "high": _rounded(found.high),
                    "seconds": round(sum(map(total_seconds, runs)) / len(runs), 1),
                    "caution": "; ".join(differing_judgements(runs)),
                }
            )
    columns = ["settings", "metric", "runs", "mean", "spread", "low", "high", "seconds", "caution"]
    return pd.DataFrame(rows, columns=columns)


def differing_judgements(runs: Iterable[Record]) -> list[str]:
    """What of data and protocol differs between runs, so that their numbers do not compare."""
    kinds: dict[str, list[Any]] = {}
    for run in runs:
        for name, value in judgement(run).items():
            if value not in kinds.setdefault(name, []):
                kinds[name].append(value)
    return [
        f"{name}: {' / '.join(map(str, values))}" for name, values in kinds.items() if values[1:]
    ]


def judgement(run: Record) -> dict[str, Any]:
    """Images and protocol of a run: what must agree before two numbers are compared."""
    data, metrics = run["data"], run["metrics"]
    return {
        "data set": data["name"],
        "fingerprint of the images": str(data["fingerprint"])[:12],
        "protocol": data.get("protocol", metrics.get("protocol", "not recorded")),
        "average precision": metrics.get("ap", "not recorded"),
    }


def _moments(values: Sequence[float], level: float) -> tuple[float, float | None]:
    """Mean, and variance (n - 1) where there are two runs or more."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1, such as 0.95")
    if not values:
        raise ValueError("there is no value, expected that of one run at least")
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _quantile(level: float, freedom: float) -> float:
    """The t that leaves (1 - level) / 2 above it."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
