"""Differences that a paper claims, tried on our own runs.

A number of a paper is tested by its own recipe on its own images alone (`verdicts`). A difference,
such as 14 classifiers over one, can be tried at any scale: not how large it is, but which of the
two is ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from reidlab.evaluation import SeedInterval, seed_difference
from reidlab.experiments.runs import differing, judgement
from reidlab.record import Record, flatten
from reidlab.report.claims import COSTS, Claim, Settings, other_scale, unlike
from reidlab.training import Recipe

COLUMNS = (
    "id", "claim", "metric", "paper", "ours", "low", "high", "runs a", "runs b", "verdict", "scale",
    "smallest", "found",
)  # fmt: skip
SIZES = ("parameters", "embedding_bytes")  # no chance in them: one run shows all there is
MACHINE = ("device", "cores", "processes")  # what seconds depend on
# Settings that follow from others, so that a difference in them alone is none.
FOLLOWS = ("paper", "variant", "parameters", "embedding_bytes", "kept_epoch", "changed_switches")


def trials(
    claims: Iterable[Claim], records: Iterable[Record], *, level: float = 0.95
) -> pd.DataFrame:
    """Try the differences among some claims: does b lie on the paper's side of a here?

    A trial tests the direction that a paper claims, on our data and at our scale, and never the
    paper's number: "same direction" says nothing about the size of the difference on the paper's
    own images. The column `scale` says what keeps the runs from those.

    Args:
        claims: those of a paper; the ones without sides are passed over.
        records: of runs that were judged alike, by one protocol on one set; each side takes those
            that have its settings.
        level: of Welch's interval over the seeds.

    Returns:
        Rows of (id, claim, metric, paper, ours, low, high, runs a, runs b, verdict, scale,
        smallest, found), one for each difference. `paper`, `ours` and the interval are b minus a,
        in percentage points or in the unit of the cost; `paper` is a word where the paper prints
        no number. The verdict is
        "same direction" or "opposite direction" where the interval leaves out zero, "no clear
        difference" where it holds it or there is none, "no difference" where two sizes are equal,
        "no runs", or "not comparable: " with the reasons. `scale` is "the paper's", or "another: "
        with the first reason; empty without runs. `smallest` is the difference that such runs tell
        from none in 80 % of cases, and `found` the difference with its interval, as text.
    """
    runs = list(records)
    rows = [_trial(claim, runs, level) for claim in claims if claim.kind == "difference"]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _trial(claim: Claim, runs: Sequence[Record], level: float) -> dict[str, Any]:
    a, b = (_side(claim, claim.sides[name], runs) for name in "ab")
    row = {
        "id": claim.id,
        "claim": claim.text,
        "metric": claim.metric,
        "paper": claim.direction if claim.value is None else claim.value,
        "ours": None,
        "low": None,
        "high": None,
        "runs a": len(a),
        "runs b": len(b),
        "scale": "",
    }
    if not a or not b:
        return row | {"verdict": "no runs"}
    elsewhere = [reason for run in (*a, *b) if (reason := other_scale(claim, run))]
    row["scale"] = f"another: {elsewhere[0]}" if elsewhere else "the paper's"
    if reasons := list(_obstacles(claim, a, b)):
        return row | {"verdict": f"not comparable: {'; '.join(reasons)}"}
    found = _difference(claim, a, b, level)
    numbers = {"ours": found.value, "low": found.low, "high": found.high}
    numbers["smallest"] = found.smallest
    rounded = {name: None if x is None else round(x, 2) for name, x in numbers.items()}
    return row | rounded | {"verdict": _verdict(claim, found), "found": _found(claim, found)}


def _side(claim: Claim, settings: Settings, runs: Iterable[Record]) -> list[Record]:
    return [
        run
        for run in runs
        if not unlike(run, settings)
        and _row(claim, run) is not None
        and _measured(claim.metric, run) is not None
    ]


def _measured(metric: str, run: Record) -> float | None:
    """In percent, or the unit of the cost; None where the run does not say."""
    if metric not in COSTS:
        share = run["metrics"].get(metric)
        return None if share is None else 100 * share
    cost = flatten({part: run[part] for part in ("experiment", "seconds")}).get(COSTS[metric])
    return None if cost is None else float(cost)


def _rows(claim: Claim) -> Sequence[Settings]:
    """The rows of the table that are averaged over; one without conditions where none are."""
    return claim.over or ({},)


def _row(claim: Claim, run: Record) -> int | None:
    """Number of the row that a run belongs to; None if to none."""
    return next((i for i, row in enumerate(_rows(claim)) if not unlike(run, row)), None)


def _obstacles(claim: Claim, a: Sequence[Record], b: Sequence[Record]) -> Iterator[str]:
    """Why the difference of the two sides would not be the one that the claim is about."""
    yield from differing(map(judgement, [*a, *b]))
    if claim.metric.endswith("_seconds"):
        for name in MACHINE:
            values = _distinct(run["environment"].get(name) for run in (*a, *b))
            if len(values) > 1:
                yield f"{name}: {_joined(values)}"
    yield from _mixed_settings(claim, a, b)
    for name, side in (("a", a), ("b", b)):
        yield from _uneven_seeds(claim, name, side)


def _mixed_settings(claim: Claim, a: Sequence[Record], b: Sequence[Record]) -> Iterator[str]:
    """Settings that vary though the claim does not name them."""
    free = () if claim.metric.endswith("_seconds") else Recipe.FREE
    own = {*claim.sides["a"], *claim.sides["b"]}
    averaged = {name for row in claim.over for name in row}
    settings = [[flatten(run["experiment"]) for run in side] for side in (a, b)]
    for key in dict.fromkeys(key for side in settings for run in side for key in run):
        field = f"experiment.{key}"
        if key in free or key.partition(".")[0] in FOLLOWS or field in averaged:
            continue
        in_a, in_b = (_distinct(run.get(key, "absent") for run in side)
                      for side in settings)  # fmt: skip
        if field in own:  # the sides may differ in it, but each is one thing
            yield from (
                f"side {name} mixes {key}: {_joined(values)}"
                for name, values in (("a", in_a), ("b", in_b))
                if len(values) > 1
            )
        elif len(values := _distinct([*in_a, *in_b])) > 1:
            yield f"{key}: {_joined(values)}"


def _uneven_seeds(claim: Claim, name: str, side: Sequence[Record]) -> Iterator[str]:
    """Seeds that would count twice, or with some rows of the table only."""
    rows = _rows(claim)
    for seed, runs in _by_seed(side).items():
        found = [_row(claim, run) for run in runs]
        missing = [dict(row) for i, row in enumerate(rows) if i not in found]
        if len(set(found)) < len(found):
            yield f"side {name} holds seed {seed} more than once"
        elif missing:
            yield (
                f"side {name}, seed {seed}: {len(found)} of {len(rows)} rows of the table, "
                f"without {missing[0]}"
            )


def _difference(
    claim: Claim, a: Sequence[Record], b: Sequence[Record], level: float
) -> SeedInterval:
    """Of the means over seeds; a seed's value is its mean over the rows of the table."""
    left, right = (
        [_mean(_measured(claim.metric, run) for run in runs) for runs in _by_seed(side).values()]
        for side in (a, b)
    )
    found = seed_difference(left, right, level=level)
    if claim.metric in SIZES and found.low is None:
        return SeedInterval(found.value, None, found.value, found.value)
    return found


def _verdict(claim: Claim, found: SeedInterval) -> str:
    low, high = found.low, found.high
    if claim.metric in SIZES and low == high == 0:
        return "no difference"
    if low is None or high is None or low <= 0 <= high:
        return "no clear difference"
    upward = claim.direction == "higher" if claim.value is None else claim.value > 0
    return "same direction" if (low > 0) == upward else "opposite direction"


def _found(claim: Claim, found: SeedInterval) -> str:
    if claim.metric in SIZES:
        return f"{found.value:+,.0f}"
    if found.low is None:
        return f"{found.value:+.1f} (no interval)"
    value = round(found.value, 1) + 0.0  # no minus before a zero
    return f"{value:+.1f} ({found.low:+.1f} to {found.high:+.1f})"


def _by_seed(side: Iterable[Record]) -> Mapping[int, list[Record]]:
    seeds: dict[int, list[Record]] = {}
    for run in side:
        seeds.setdefault(run["seed"], []).append(run)
    return seeds


def _mean(values: Iterable[float | None]) -> float:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers)


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _joined(values: Iterable[Any]) -> str:
    return " / ".join(str(value)[:60] for value in values)
