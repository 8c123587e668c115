"""Two runs, or two groups of runs, side by side: `python -m reidlab compare A B`.

A difference of two numbers says something of the methods only if both were measured on the same
images by the same rule. So this is looked at first, and what differs is said before any number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from reidlab.evaluation import over_seeds, seed_difference
from reidlab.experiments.runs import differing, distinct, joined, judgement
from reidlab.record import Record, flatten, is_share
from reidlab.training import Recipe

_PARTS = ("experiment", "data", "environment", "commit")
_COSTS = ("seconds", "images_per_second", "peak_memory_mb")


@dataclass(frozen=True)
class SideBySide:
    """Two sides of runs; prints as tables, what forbids the comparison first.

    Attributes:
        a: records of the first side.
        b: records of the second.
        obstacles: what of data or protocol differs; empty where the sides can be compared.
        cautions: what makes a side no group of seeds: settings that vary in it, seeds twice.
        settings: rows of (name, A, B), one for each setting, version or count that differs.
        results: rows of (name, A, spread A, B, spread B, B - A, low, high): metrics in percent,
            then seconds, images per second and MiB; low and high are the interval of the
            difference over the seeds, missing where a side has one run.
        level: of the interval.
    """

    a: tuple[Record, ...]
    b: tuple[Record, ...]
    obstacles: tuple[str, ...]
    cautions: tuple[str, ...]
    settings: pd.DataFrame
    results: pd.DataFrame
    level: float

    def __str__(self) -> str:
        lines = [_title("A", self.a), _title("B", self.b), ""]
        if self.obstacles:
            lines += ["NOT COMPARABLE: the two sides were not measured alike"]
            lines += [f"  {obstacle}" for obstacle in self.obstacles]
            lines += ["  The differences below are not those of the methods.", ""]
        else:
            judged = judgement(self.a[0])
            lines += [f"Measured alike: {', '.join(f'{k} {v}' for k, v in judged.items())}", ""]
        if self.cautions:
            lines += [*(f"CAUTION: {caution}" for caution in self.cautions), ""]
        lines += [_text(self.settings) if len(self.settings) else "No setting differs.", ""]
        lines += [
            _text(self.results),
            "metrics in percent; spread: standard deviation over the seeds; low, high: "
            f"{100 * self.level:g} %",
            "interval of B - A over the seeds, which takes two runs or more on each side",
        ]
        return "\n".join(lines)


def side_by_side(a: Iterable[Record], b: Iterable[Record], *, level: float = 0.95) -> SideBySide:
    """Compare two runs, or two groups that differ in their seeds alone.

    Args:
        a: records as `read_record` returns them; several are the seeds of one setting.
        b: likewise.
        level: of the interval of a difference over the seeds.

    Raises:
        ValueError: a side without records, or a level outside (0, 1).
    """
    left, right = tuple(a), tuple(b)
    if not left or not right:
        raise ValueError(f"side {'B' if left else 'A'} has no record; expected one or more")
    return SideBySide(
        a=left,
        b=right,
        obstacles=tuple(differing(map(judgement, [*left, *right]))),
        cautions=(*_cautions("A", left), *_cautions("B", right)),
        settings=_settings(left, right),
        results=_results(left, right, level),
        level=level,
    )


def _cautions(name: str, side: Sequence[Record]) -> list[str]:
    settings = [flatten(run["experiment"]) for run in side]
    decisive = [{k: v for k, v in each.items() if k not in Recipe.FREE} for each in settings]
    mixed = [f"side {name} mixes runs of different {text}" for text in differing(decisive)]
    seeds = [run["seed"] for run in side]
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    again = f"side {name} holds seed {joined(twice)} more than once, which narrows the interval "
    return mixed or ([again + "without a reason"] if twice else [])


def _settings(a: Sequence[Record], b: Sequence[Record]) -> pd.DataFrame:
    rows = []
    sides = [[flatten({part: run[part] for part in _PARTS}) for run in side] for side in (a, b)]
    for key in dict.fromkeys(key for side in sides for run in side for key in run):
        left, right = (distinct(run.get(key, "absent") for run in side) for side in sides)
        if left != right:
            rows.append({"name": key, "A": joined(left), "B": joined(right)})
    return pd.DataFrame(rows, columns=["name", "A", "B"])


def _results(a: Sequence[Record], b: Sequence[Record], level: float) -> pd.DataFrame:
    rows = []
    sides = [[_numbers(run) for run in side] for side in (a, b)]
    for key in sides[0][0]:
        left, right = ([run[key] for run in side if key in run] for side in sides)
        if not left or not right or (key.startswith("num_") and {*left} == {*right}):
            continue  # counts are no results; they are shown where they differ
        one, two = over_seeds(left, level=level), over_seeds(right, level=level)
        gap = seed_difference(left, right, level=level)
        numbers = {"A": one.value, "spread A": one.spread, "B": two.value, "spread B": two.spread}
        numbers |= {"B - A": gap.value, "low": gap.low, "high": gap.high}
        rows.append({"name": key, **numbers})
    return pd.DataFrame(
        rows, columns=["name", "A", "spread A", "B", "spread B", "B - A", "low", "high"]
    ).astype(dict.fromkeys(["spread A", "spread B", "low", "high"], float))


def _numbers(run: Record) -> dict[str, float]:
    """Metrics as percent, then what the run cost."""
    costs = flatten({name: run[name] for name in _COSTS})
    return {
        name: float(100 * value if name not in costs and is_share(name) else value)
        for name, value in (flatten(run["metrics"]) | costs).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _title(name: str, side: Sequence[Record]) -> str:
    run = side[0]
    experiment = run["experiment"]
    what = experiment.get("variant") or experiment.get("paper") or "unnamed"
    profile = experiment.get("profile") or "no profile"
    seeds = ", ".join(str(each["seed"]) for each in side)
    count = f"{len(side)} runs, seeds" if len(side) > 1 else "1 run, seed"
    return f"{name}: {what} ({profile}) on {run['data']['name']}, {count} {seeds}"


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, na_rep="-", float_format="{:.2f}".format)
