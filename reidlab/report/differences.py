"""Differences that a paper claims, tried on our own runs.

A number of a paper is tested by its own recipe on its own images alone (`verdicts`). A difference,
such as 14 classifiers over one, can be tried at any scale: not how large it is, but which of the
two is ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from reidlab.evaluation import SeedInterval
from reidlab.experiments import Runs
from reidlab.report.claims import COSTS, Claim, other_scale

COLUMNS = (
    "id", "claim", "metric", "paper", "ours", "low", "high", "smallest", "runs a", "runs b",
    "verdict", "scale", "found",
)  # fmt: skip
SIZES = ("parameters", "embedding_bytes")  # no chance in them: one run shows all there is


def trials(claims: Iterable[Claim], runs: Runs, *, level: float = 0.95) -> pd.DataFrame:
    """Try the differences among some claims: does b lie on the paper's side of a here?

    A trial tests the direction that a paper claims, on our data and at our scale, and never the
    paper's number: "same direction" says nothing about the size of the difference on the paper's
    own images. The column `scale` says what keeps the runs from those.

    Args:
        claims: those of a paper; the ones without sides are passed over.
        runs: of the experiment whose levels the claims name, judged by one rule.
        level: of Welch's interval over the seeds.

    Returns:
        Rows of (id, claim, metric, paper, ours, low, high, smallest, runs a, runs b, verdict,
        scale, found), one for each difference. `paper`, `ours` and the interval are b minus a, in
        percentage points or in the unit of the cost; `paper` is a word where the paper prints no
        number; `smallest` is what such runs could have told from none. The verdict is
        "same direction" or "opposite direction" where the interval leaves out zero, "no clear
        difference" where it holds it or there is none, "no difference" where two sizes are equal,
        "no runs", or "not comparable: " with the reasons. `scale` is "the paper's", or "another: "
        with the first reason; empty without runs. `found` is the difference with its interval.
    """
    rows = [_trial(claim, runs, level) for claim in claims if claim.kind == "difference"]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _trial(claim: Claim, runs: Runs, level: float) -> dict[str, Any]:
    metric = COSTS.get(claim.metric, claim.metric)
    runs = runs.having(metric)
    sides = {name: _side(runs, levels) for name, levels in claim.sides.items()}
    row = dict.fromkeys(COLUMNS) | {
        "id": claim.id,
        "claim": claim.text,
        "metric": claim.metric,
        "paper": claim.direction if claim.value is None else claim.value,
        **{f"runs {name}": len(side) for name, side in sides.items()},
        "scale": "",
    }
    if not all(map(len, sides.values())):
        return row | {"verdict": "no runs"}
    both = [run for side in sides.values() for run in side.records]
    elsewhere = [reason for run in both if (reason := other_scale(claim, run))]
    row["scale"] = f"another: {elsewhere[0]}" if elsewhere else "the paper's"
    if reasons := runs.obstacles(claim.sides["a"], claim.sides["b"], metric):
        return row | {"verdict": f"not comparable: {'; '.join(reasons)}"}
    found = runs.compare(claim.sides["a"], claim.sides["b"], metric, level=level)
    if claim.metric in SIZES:
        found = SeedInterval(found.value, None, found.value, found.value)
    numbers = {"ours": found.value, "low": found.low, "high": found.high}
    numbers["smallest"] = found.smallest
    rounded = {name: None if x is None else round(x, 2) for name, x in numbers.items()}
    return row | rounded | {"verdict": _verdict(claim, found), "found": _found(claim, found)}


def _side(runs: Runs, levels: Any) -> Runs:
    try:
        return runs.where(**levels)
    except ValueError:  # no run is of that level
        return Runs(runs.name)


def _verdict(claim: Claim, found: SeedInterval) -> str:
    if claim.metric in SIZES and found.value == 0:
        return "no difference"
    if not found.clear:
        return "no clear difference"
    upward = claim.direction == "higher" if claim.value is None else claim.value > 0
    return "same direction" if (found.value > 0) == upward else "opposite direction"


def _found(claim: Claim, found: SeedInterval) -> str:
    if claim.metric in SIZES:
        return f"{found.value:+,.0f}"
    if found.low is None:
        return f"{found.value:+.1f} (no interval)"
    value = round(found.value, 1) + 0.0  # no minus before a zero
    return f"{value:+.1f} ({found.low:+.1f} to {found.high:+.1f})"
