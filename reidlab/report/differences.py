"""Differences that a paper claims, tried on our own runs.

A number of a paper is tested by its own recipe on its own images alone (`verdicts`). A difference,
such as 14 classifiers over one, can be tried at any scale: not how large it is, but which of the
two is ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from reidlab.evaluation import Difference, decide, verdict
from reidlab.evaluation.differences import CONTRADICTED, HOLDS
from reidlab.experiments import Runs
from reidlab.experiments.design import BOUND
from reidlab.experiments.runs import NotComparableError, number, question
from reidlab.report.claims import COSTS, Claim, other_scale
from reidlab.report.findings import in_points, unlike

COLUMNS = (
    "id", "claim", "metric", "paper", "ours", "low", "high", "p", "smallest", "runs a", "runs b",
    "people", "verdict", "scale", "found", "learned",
)  # fmt: skip
LEVEL = 0.95
SIZES = ("parameters", "embedding_bytes")  # no chance in them: one run shows all there is


def trials(
    claims: Iterable[Claim], runs: Runs, *, level: float = LEVEL, bound: float = BOUND
) -> pd.DataFrame:
    """Try the differences among some claims: does b lie on the paper's side of a here?

    A trial tests the direction that a paper claims, on our data and at our scale, and never the
    paper's number: "holds" says nothing about the size of the difference on the paper's own images.
    The column `scale` says what keeps the runs from those.

    Args:
        claims: those of a paper; the ones without sides are passed over.
        runs: of the experiment whose levels the claims name, judged by one rule.
        level: of the intervals, each for itself, and of the verdicts, for all claims together.
        bound: what is too small to matter, in points; seconds and sizes have none.

    Returns:
        Rows of (id, claim, metric, paper, ours, low, high, p, smallest, runs a, runs b, people,
        verdict, scale, found, learned), one for each difference. `paper`, `ours` and the interval
        are b minus a, in percentage points or in the unit of the cost; `paper` is a word where the
        paper prints no number; `p` is adjusted for several, that of a prediction of the runs'
        design for all its predictions (`Runs.predicted`); `smallest` is what such runs could have
        told from none, asked alone. Interval and p are over seeds and `people`, or where the runs
        have none over seeds alone: they then speak of the people who were asked for, and of no
        others. The verdict is one of the words of `reidlab.evaluation.verdict`, of two sizes by
        their exact difference, where equal ones contradict; or "no runs", or "not comparable: "
        with the reasons. `scale` is "the paper's", or "another: " with the first reason; empty
        without runs. `found` is the difference with its interval; `learned` says where the sides
        had not learned alike, see `unlike`.
    """
    tried = [(c, *_trial(c, runs, level)) for c in claims if c.kind == "difference"]
    compared = {
        _question(claim): (found, _direction(claim), None if claim.metric in COSTS else bound)
        for claim, _, found in tried
        if found is not None and claim.metric not in SIZES
    }
    predicted = runs.predicted() if level == LEVEL else {}
    earlier = {
        _question(claim): predicted[same]
        for claim, _, _ in tried
        if claim.metric == "mAP"
        and (same := question(claim.sides["a"], claim.sides["b"], bound)) in predicted
    }
    decisions = decide(compared, earlier)
    for claim, row, _ in tried:
        if (key := _question(claim)) in compared:
            found, _, small = compared[key]
            _, p, equal = decisions[key]
            row |= {"p": p, "verdict": verdict(found, _direction(claim), small, p, equal)}
    return pd.DataFrame([row for _, row, _ in tried], columns=list(COLUMNS))


def _question(claim: Claim) -> str:
    """What is compared; a paper that claims it twice asks it once."""
    return repr((claim.metric, claim.sides))


def _trial(claim: Claim, runs: Runs, level: float) -> tuple[dict[str, Any], Difference | None]:
    """The row of a claim, and what decides it; None where nothing was compared."""
    metric = COSTS.get(claim.metric, claim.metric)
    runs = replace(runs, records=tuple(r for r in runs.records if number(r, metric) is not None))
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
        return row | {"verdict": "no runs"}, None
    both = [run for side in sides.values() for run in side.records]
    elsewhere = [reason for run in both if (reason := other_scale(claim, run))]
    row["scale"] = f"another: {elsewhere[0]}" if elsewhere else "the paper's"
    try:
        found = runs.compare(claim.sides["a"], claim.sides["b"], metric, level=level)
    except NotComparableError as error:
        return row | {"verdict": f"not comparable: {error.reasons}"}, None
    numbers = {"ours": found.value, "low": found.low, "high": found.high}
    numbers |= {"smallest": found.smallest, "people": found.people}
    row["found"] = in_points(found.value, found.low, found.high)
    if claim.metric not in COSTS:
        row["learned"] = unlike(*runs.learned(claim.sides["a"], claim.sides["b"]))
    if claim.metric in SIZES:
        numbers |= {"low": found.value, "high": found.value}
        row["found"] = f"{found.value:+,.0f}"
        sign = 1 if _direction(claim) == "higher" else -1
        row["verdict"] = HOLDS if sign * found.value > 0 else CONTRADICTED
    rounded = {name: None if x is None else round(x, 2) for name, x in numbers.items()}
    return row | rounded, found


def _side(runs: Runs, levels: Any) -> Runs:
    try:
        return runs.where(**levels)
    except ValueError:  # no run is of that level
        return Runs(runs.name)


def _direction(claim: Claim) -> str:
    if claim.value is None:
        return claim.direction
    return "higher" if claim.value > 0 else "lower"
