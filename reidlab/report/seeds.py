"""The table of a group of seeds; the intervals are those of `reidlab.evaluation.seeds`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from reidlab.evaluation import over_seeds
from reidlab.experiments.runs import differing, judgement
from reidlab.record import Record, total_seconds

SHOWN = {"rank1": "rank-1 (%)", "mAP": "mAP (%)", "mINP": "mINP (%)"}


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
                    "caution": "; ".join(differing(map(judgement, runs))),
                }
            )
    columns = ["settings", "metric", "runs", "mean", "spread", "low", "high", "seconds", "caution"]
    return pd.DataFrame(rows, columns=columns)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
