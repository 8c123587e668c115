"""Results of an experiment: the lines of its file, chosen, compared and put into tables."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidlab.evaluation import (
    Components,
    Decision,
    Difference,
    SeedInterval,
    components,
    decide,
    over_seeds,
    people_and_seeds,
    seed_difference,
)
from reidlab.experiments.design import Experiment
from reidlab.record import Record, RecordError, check_schema, flatten, is_share
from reidlab.training import Recipe

Choice = str | Sequence[str]  # a level of a factor, or several


class NotComparableError(ValueError):
    """Two sides of which a difference would be one of other things, too; `reasons` names them."""

    def __init__(self, name: str, reasons: Sequence[str]) -> None:
        self.reasons = "; ".join(reasons)
        super().__init__(f"{name}: not comparable: {self.reasons}")


class PeopleValues(NamedTuple):
    """A result by seed and person. The metric of a seed is the sum over its sums by that over the
    queries, a share of 1.

    Attributes:
        seeds: S of them, rising.
        pids: (P,) int64, everybody with a counted query, rising.
        queries: (P,) int64, how many of each count.
        sums: (S, P) float64, over these queries.
    """

    seeds: list[int]
    pids: NDArray[np.int64]
    queries: NDArray[np.int64]
    sums: NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """Runs of one experiment, or the rows of its table.

    Attributes:
        name: of the experiment.
        records: run records, each with its `levels` (factor -> level) and with what was found
            `after` the training (step -> result).
        header: of an experiment with a table: settings, data, environment, commit.
        lines: the rows of that table.
        design: what the experiment compares; None for runs without one.
    """

    name: str
    records: tuple[Record, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Mapping[str, Any], ...] = ()
    design: Experiment | None = None

    @classmethod
    def read(cls, path: str | Path, design: Experiment | None = None) -> Runs:
        """The runs or rows in a JSON Lines file; without the file there are none.

        Raises:
            RecordError: A line is no JSON, or no run record though it looks like one.
        """
        path, records, header, lines = Path(path), [], {}, []
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                values = json.loads(line)
            except json.JSONDecodeError as error:
                raise RecordError(f"{path}, line {number}, is no JSON ({error})") from None
            if "header" in values:
                header = values["header"]
            elif "metrics" in values:
                check_schema(values, f"{path}, line {number}")
                records.append(values)
            else:
                lines.append(values)
        name = design.name if design else path.stem
        return cls(name, tuple(records), header, tuple(lines), design)

    def __len__(self) -> int:
        return len(self.records) or len(self.lines)

    def where(self, **levels: Choice) -> Runs:
        """The runs with a level, or one of several levels, of each factor named.

        Raises:
            ValueError: No run has such a factor, or such a level.
        """
        kept = self.records
        for factor, choice in levels.items():
            wanted = {choice} if isinstance(choice, str) else {*choice}
            there = {run["levels"].get(factor) for run in self.records}
            if there == {None}:
                factors = ", ".join(dict.fromkeys(k for r in self.records for k in r["levels"]))
                raise ValueError(f"{self.name} has no factor {factor!r}; it has {factors}")
            if self.records and not wanted <= there:
                known = ", ".join(sorted(map(str, there)))
                raise ValueError(f"{self.name}: {factor} is {choice!r}; expected one of {known}")
            kept = tuple(run for run in kept if run["levels"].get(factor) in wanted)
        return replace(self, records=kept)

    def judged(self, step: str) -> Runs:
        """The same runs under another evaluation, which a step after the training made.

        Args:
            step: its name; empty: the runs as they are.

        Raises:
            ValueError: A run has no such evaluation.
        """
        if not step:
            return self
        records = []
        for run in self.records:
            found = run["after"].get(step, {})
            if "metrics" not in found:
                has = ", ".join(run["after"]) or "nothing"
                raise ValueError(f"{self.name}: no evaluation {step!r}; the runs have {has}")
            people = found.get("people", {})  # not those of the evaluation before
            after = {**run["after"], "people": people}
            records.append({**run, **found, "after": after})
        return replace(self, records=tuple(records))

    def rows(self, **at: Any) -> pd.DataFrame:
        """The rows of the experiment's table that have these values, without empty columns."""
        kept = [row for row in self.lines if all(row.get(k) == v for k, v in at.items())]
        return pd.DataFrame(kept).dropna(axis=1, how="all")

    def values(self, metric: str = "mAP", **levels: Choice) -> list[float]:
        """A number of each run, in percent if it is a share; see `measured` for its name."""
        return [measured(run, metric) for run in self.where(**levels).records]

    def frame(self, *metrics: str) -> pd.DataFrame:
        """One row a run: its levels, its seed, and the numbers (in percent), for figures."""
        rows = [
            {**run["levels"], "seed": run["seed"]}
            | {m: measured(run, m) for m in metrics or ["mAP"]}
            for run in self.records
        ]
        return pd.DataFrame(rows)

    def summary(self, *metrics: str) -> pd.DataFrame:
        """One row a cell and metric: levels, runs, mean, spread, and the mean's interval."""
        rows = []
        for levels in {tuple(run["levels"].items()): None for run in self.records}:
            cell = self.where(**dict(levels))
            for name in metrics or ("mAP",):
                found = over_seeds(cell.values(name))
                numbers = {"mean": found.value, "spread": found.spread}
                numbers |= {"low": found.low, "high": found.high}
                rows.append({**dict(levels), "metric": name, "runs": len(cell), **numbers})
        return pd.DataFrame(rows)

    def table(
        self,
        rows: str | Sequence[str],
        columns: str | None = None,
        metric: str | Sequence[str] = "mAP",
        digits: int = 1,
    ) -> pd.DataFrame:
        """Means over the seeds, with the spread (standard deviation) where there are several.

        Args:
            rows: factor or factors whose levels are the rows.
            columns: factor whose levels are the columns; None: the metrics alone.
            metric: one or several, see `measured`.
            digits: after the point.

        Returns:
            Text such as "61.2 ± 0.4", in percent; empty where there is no run; and the number of
            "runs" of a cell. Factors that are neither row nor column are averaged over, seed by
            seed.
        """
        factors = [rows] if isinstance(rows, str) else list(rows)
        metrics = [metric] if isinstance(metric, str) else list(metric)
        found: dict[Any, dict[str, str]] = {}
        counts: dict[Any, set[int]] = {}
        for run in self.records:
            key = tuple(self.label(run["levels"][factor]) for factor in factors)
            row = found.setdefault(key, {})
            at = {f: run["levels"][f] for f in (*factors, *([columns] if columns else []))}
            cell = self.where(**at)
            for name in metrics:
                title = [*([self.label(at[columns])] if columns else []), METRICS.get(name, name)]
                shown = title if len(metrics) > 1 or not columns else title[:1]
                row.setdefault(" ".join(shown), _text(cell.by_seed(name), digits))
            counts.setdefault(key, set()).add(len(cell))
        table = pd.DataFrame.from_dict(found, orient="index").fillna("")
        if len(table):
            table.index = pd.MultiIndex.from_tuples(found, names=[self.label(f) for f in factors])
            table["runs"] = [joined(sorted(counts[key])) for key in found]
        return table

    def compare(
        self, a: Levels, b: Levels, metric: str = "mAP", *, level: float = 0.95
    ) -> Difference:
        """Mean of side b minus mean of side a, over seeds and people where the runs have people.

        Other runs, and numbers that are not of people (seconds), have Welch's interval over the
        seeds alone.

        A seed's value is its mean over the cells of the side, so that factors that neither side
        names are averaged over, and in the same levels on both sides. Where such a factor changes
        the data, as folds do, both sides have to be judged alike on each of its levels.

        Args:
            a: levels of the first side.
            b: levels of the second.
            metric: see `measured`; in percentage points if it is a share.
            level: of the interval.

        Raises:
            ValueError: A side has no runs, or the sides were not judged alike, or differ in what
                they are averaged over, or judged other people.
        """
        left, right = self.where(**a), self.where(**b)
        if reasons := self.obstacles(a, b, metric):
            raise NotComparableError(self.name, reasons)
        both = (*left.records, *right.records)
        if not all(PERSONAL.get(metric) in run["after"].get("people", {}) for run in both):
            return seed_difference(left.by_seed(metric), right.by_seed(metric), level=level)
        one, other = left.people(metric), right.people(metric)
        if [*zip(*one[1:3], strict=True)] != [*zip(*other[1:3], strict=True)]:
            raise NotComparableError(self.name, ["the sides judged other people"])
        return people_and_seeds(one.sums, other.sums, one.queries, level=level)

    def difference(self, factor: str, a: str, b: str, metric: str = "mAP", **at: str) -> Difference:
        """Level b of a factor minus level a, all else alike, averaged over what `at` leaves open.

        Args:
            factor: such as "heads".
            a: level, such as "one".
            b: level, such as "rows".
            metric: see `measured`.
            at: levels of other factors.

        Raises:
            ValueError: As in `compare`.
        """
        return self.compare({**at, factor: a}, {**at, factor: b}, metric)

    def leads(self, a: Levels, b: Levels) -> NDArray[np.float64]:
        """Mean AP of side b minus that of side a, (S, P): a row a seed, a column a person, shares
        of 1; `reidlab.evaluation.differences.of_people` compares two of them.

        Raises:
            ValueError: As in `compare` and in `people`.
        """
        if reasons := self.obstacles(a, b):
            raise NotComparableError(self.name, reasons)
        one, other = (self.people("mAP", "people", **side) for side in (a, b))
        if one.seeds != other.seeds:
            found = f"seeds: {joined(one.seeds)} and {joined(other.seeds)}"
            raise NotComparableError(self.name, [found])
        leads: NDArray[np.float64] = (other.sums - one.sums) / one.queries
        return leads

    def components(self, metric: str = "mAP", **levels: Choice) -> Components:
        """What varies in the results of a cell: seeds, people, and person x seed.

        Raises:
            ValueError: As in `people`, or one seed only.
        """
        found = self.people(metric, "people", **levels)
        try:
            return components(found.sums, found.queries)
        except ValueError as error:
            raise ValueError(
                f"{self.name}, {' '.join(map(str, levels.values()))}: {error}"
            ) from None

    def decide(
        self,
        claims: Mapping[str, tuple[Levels, Levels, str, float | None]] | None = None,
        metric: str = "mAP",
    ) -> pd.DataFrame:
        """Words for claimed differences, ready for `reidlab.report.figures.forest`.

        Args:
            claims: what is claimed, in words -> levels of sides a and b, "higher" or "lower" (b
                against a), and what is too small to matter, in points; see
                `reidlab.evaluation.verdict`. All that are reported together: they count as several,
                but for those of mAP that the design predicts, see `predicted`. None: its
                predictions.
            metric: see `measured`.

        Returns:
            One row for each, its name in the index: `value` (b minus a), `low`, `high`, `p`
            (adjusted), `smallest`, NaN where there is none; `verdict`, `seeds` (of a and of b),
            `people`; `learned_a`, `learned_b`, see `learned`.

        Raises:
            ValueError: As in `compare`, or in `reidlab.evaluation.verdict`; or there are no runs to
                compare, but rows, which say themselves what became of the predictions.
        """
        if claims is None and self.design and self.design.rows is not None:
            raise ValueError(
                f"{self.name} is a table, expected runs to compare: its rows hold what was decided "
                f"of its predictions, see experiment({self.name!r}).rows()"
            )
        earlier = self.predicted() if claims is not None and metric == "mAP" else {}
        if claims is None:
            claims = {p.text: p[1:] for p in self.design.predictions} if self.design else {}
        told = {name: earlier.get(question(a, b, x)) for name, (a, b, _, x) in claims.items()}
        table = decision_table(
            {
                name: (self.compare(a, b, metric), way, bound)
                for name, (a, b, way, bound) in claims.items()
            },
            {name: each for name, each in told.items() if each},
        )
        learned = [self.learned(a, b) for a, b, *_ in claims.values()]
        return table.assign(learned_a=[a for a, _ in learned], learned_b=[b for _, b in learned])

    def predicted(self) -> dict[str, Decision]:
        """What is decided of the design's predictions of mAP, which count as several together.

        A question has one word wherever it is asked: what else is asked counts apart from them.

        Returns:
            `question` of a prediction -> its word and p-values; nothing while runs of one lack.
        """
        asked = self.design.predictions if self.design and self.design.rows is None else ()
        try:
            found = {
                question(p.a, p.b, p.bound): (self.compare(p.a, p.b), p.direction, p.bound)
                for p in asked
            }
        except ValueError:
            return {}
        return decide(found)

    def learned(self, a: Levels, b: Levels) -> tuple[float, float]:
        """How many of their training pictures two sides named rightly in the last epoch, in
        percent; NaN where a run does not tell."""
        sides = ([number(r, "learned") for r in self.where(**each).records] for each in (a, b))
        one, other = (100 * float(np.mean(np.array(side, float))) for side in sides)
        return one, other

    def means(
        self,
        cells: Mapping[str, Levels],
        metric: str = "mAP",
        *,
        people: bool = False,
    ) -> pd.DataFrame:
        """Means over the seeds with Student's interval, ready for `reidlab.report.figures.forest`.

        Args:
            cells: what is shown, in words -> its levels.
            metric: see `measured`.
            people: whether they are over seeds and people, as in `compare`.

        Returns:
            One row for each, its name in the index: `value`, `low`, `high`, NaN where there is
            none, and `runs`, the values of the seeds.

        Raises:
            ValueError: A cell has no runs.
        """
        runs = [self.where(**cell).by_seed(metric) for cell in cells.values()]
        found: list[SeedInterval | Difference] = [*map(over_seeds, runs)]
        if people:
            known = [self.people(metric, "people", **cell) for cell in cells.values()]
            found = [people_and_seeds(0 * k.sums, k.sums, k.queries) for k in known]
        rows = [(f.value, f.low, f.high, values) for f, values in zip(found, runs, strict=True)]
        table = pd.DataFrame(rows, index=[*cells], columns=["value", "low", "high", "runs"])
        return table.astype({"low": float, "high": float})

    def obstacles(self, a: Levels, b: Levels, metric: str = "mAP") -> list[str]:
        """Why b minus a would not be the difference of these levels; empty if nothing does.

        Sides and metric are as in `compare`; seconds, images a second and memory depend on the
        machine, too.
        """
        sides = [self.where(**each).records for each in (a, b)]
        both = (*sides[0], *sides[1])
        found = self.judged_unlike(both, {*a, *b}) + differing(map(self._rest, both))
        if metric.startswith(("seconds", "images_per_second", "peak_memory")):
            machine = ("device", "cores", "processes")
            found += differing({k: run["environment"].get(k) for k in machine} for run in both)
            found += differing({k: run["experiment"].get(k) for k in Recipe.FREE} for run in both)

        def left_open(run: Record) -> tuple[str, ...]:
            return tuple(v for k, v in run["levels"].items() if k not in {*a, *b})

        cells = set(map(left_open, both))
        for name, side in zip("ab", sides, strict=True):
            if not side:
                found.append(f"no runs of side {name}")
            for seed in sorted({run["seed"] for run in side}):
                there = [left_open(run) for run in side if run["seed"] == seed]
                if len(there) > len(set(there)):
                    found.append(f"side {name} holds seed {seed} more than once")
                elif len(there) < len(cells):
                    found.append(f"side {name}, seed {seed}: {len(there)} of {len(cells)} cells")
        return found

    def judged_unlike(self, records: Iterable[Record], named: Collection[str] = ()) -> list[str]:
        """In what the judgement of runs differs, in words.

        Runs on other data by the design, as on other folds, are not compared with each other but
        for a factor that is `named`: like is told from like.
        """
        apart = self.design.data_factors.difference(named) if self.design else set()
        alike: dict[tuple[str, ...], list[Record]] = {}
        for run in records:
            level = tuple(f"{k} {v}" for k, v in run["levels"].items() if k in apart)
            alike.setdefault(level, []).append(run)
        return [
            f"{', '.join(level)}: {text}" if level else text
            for level, runs in alike.items()
            for text in differing(map(judgement, runs))
        ]

    def _rest(self, run: Record) -> dict[str, Any]:
        """The settings of a run that no factor of the experiment turns."""
        if self.design is None or self.design.start is None:
            return {}
        levels = [level for factor in self.design.factors.values() for level in factor.values()]
        names = (*Recipe.FREE, *(name for changes in levels for name in changes))
        turned = tuple(f"{name}." for name in names)
        settings = _settings(json.dumps(run["experiment"]))
        return {k: v for k, v in settings.items() if not f"{k}.".startswith(turned)}

    def by_seed(self, metric: str = "mAP") -> list[float]:
        """A number for each seed: the mean over its runs."""
        seeds: dict[int, list[float]] = {}
        for run in self.records:
            seeds.setdefault(run["seed"], []).append(measured(run, metric))
        return [sum(values) / len(values) for _, values in sorted(seeds.items())]

    def people(self, metric: str = "mAP", step: str = "people", **levels: Choice) -> PeopleValues:
        """The sums of each person in each seed, all runs of a seed together.

        The people of several folds stand beside each other; who is in several cells of a seed has
        the mean over them.

        Args:
            metric: "mAP" (their sums are of average precision), "rank1" or "rank5".
            step: that kept sums by person, see `reidlab.experiments.after.people_sums`.
            levels: which runs, as in `where`.

        Raises:
            ValueError: no runs, or without these sums; runs that were not judged alike; seeds that
                do not hold the same cells, people and numbers of queries.
        """
        if metric not in PERSONAL:
            known = " or ".join(map(repr, PERSONAL))
            raise ValueError(f"there are no sums of {metric!r} by person: choose {known}")
        chosen = self.where(**levels).records
        if not chosen:
            raise ValueError(f"{self.name} has no runs to take people of: run it first")
        if reasons := self.judged_unlike(chosen):
            raise ValueError(f"{self.name}: runs that were not judged alike: {'; '.join(reasons)}")
        parts = [(run["seed"], _cell(run), _sums(run, step)) for run in chosen]
        return pooled(parts, PERSONAL[metric], self.name)

    @property
    def histories(self) -> list[list[dict[str, Any]]]:
        """The epochs of each run, as curves are drawn of them."""
        return [run["history"] for run in self.records]

    def label(self, level: str) -> str:
        """A level of a factor in words, as tables and figures have it."""
        return (self.design.labels if self.design else {}).get(level, level)


Levels = Mapping[str, Choice]
# metric -> its name among the sums of people
PERSONAL = {"mAP": "ap", "rank1": "rank1", "rank5": "rank5"}
METRICS = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10"}


def question(a: Levels, b: Levels, bound: float | None) -> str:
    """Two sides and what is too small to matter between them, whatever is expected of them."""
    return repr((sorted(a.items()), sorted(b.items()), bound))


def decision_table(
    compared: Mapping[Any, tuple[Difference, str, float | None]],
    earlier: Mapping[Any, Decision] | None = None,
) -> pd.DataFrame:
    """Differences and their words as a table, see `Runs.decide`, of what `decide` reads."""
    words = decide(compared, earlier)
    rows = [
        (d.value, d.low, d.high, words[key].p, d.smallest, words[key].verdict, d.seeds, d.people)
        for key, (d, *_) in compared.items()
    ]
    columns = ["value", "low", "high", "p", "smallest", "verdict", "seeds", "people"]
    table = pd.DataFrame(rows, index=pd.Index([*compared]), columns=columns)
    return table.astype(dict.fromkeys(columns[:5], float) | {"people": "Int64"})


def measured(run: Record, metric: str) -> float:
    """A number of a run, in percent if it is a share; a count stays a whole number.

    Args:
        run: a record.
        metric: dotted name of a metric (mAP, rank1), of what a step after the training found
            (by_retrieval.mean.mAP), or of another number of the record (seconds.train); "learned":
            how many training pictures were named rightly in the last epoch, as augmented there.

    Raises:
        ValueError: The run has no such number.
    """
    value = number(run, metric)
    if value is None:
        raise ValueError(
            f"a run has no number {metric!r}; its metrics: {', '.join(run['metrics'])}"
        )
    return 100 * value if is_share(metric) and not metric.startswith("seconds") else value


def number(run: Record, metric: str) -> float | None:
    """As `measured`, a share of 1; None where the run has no such number."""
    learned = {"learned": (run.get("history") or [{}])[-1].get("accuracy")}
    trees = (run["metrics"], run.get("after", {}), run, run["experiment"], learned)
    found = (value for tree in trees if (value := flatten(tree).get(metric)) is not None)
    value = next(found, None)
    return value if isinstance(value, int | float) else None


def pooled(
    parts: Iterable[tuple[int, str, Mapping[str, Any]]], metric: str, name: str
) -> PeopleValues:
    """Sums by person of several runs as one table; see `Runs.people`.

    Args:
        parts: of each run its seed, its cell, and the sums as
            `reidlab.experiments.after.people_sums` gives them.
        metric: name of the sums.
        name: of the experiment, for messages.

    Raises:
        NotComparableError: Seeds that do not hold the same cells, people and numbers of queries.
    """
    parts = list(parts)
    if reason := _uneven(parts):
        raise NotComparableError(name, [f"people cannot be pooled: {reason}"])
    rows = pd.DataFrame(
        {
            "seed": np.repeat([seed for seed, _, _ in parts], [len(x["pid"]) for *_, x in parts]),
            "pid": np.concatenate([found["pid"] for *_, found in parts]),
            "queries": np.concatenate([found["queries"] for *_, found in parts]),
            "sum": np.concatenate([found[metric] for *_, found in parts]),
        }
    )
    sums = rows.groupby(["seed", "pid"])["sum"].mean().unstack()
    return PeopleValues(
        seeds=sums.index.tolist(),
        pids=sums.columns.to_numpy(np.int64),
        queries=rows.groupby("pid")["queries"].first().to_numpy(np.int64),
        sums=sums.to_numpy(np.float64),
    )


@cache
def _settings(recipe: str) -> dict[str, Any]:
    return flatten(Recipe.from_record(json.loads(recipe)).to_dict())


def _cell(run: Record) -> str:
    return " ".join(f"{k}={v}" for k, v in run["levels"].items()) or "recipe"


def _sums(run: Record, step: str) -> Mapping[str, Any]:
    """What a step of a run kept by person."""
    found: Mapping[str, Any] = run["after"].get(step, {})
    found = found.get("people", found)
    if "pid" not in found:
        has = ", ".join(name for name, kept in run["after"].items() if "people" in (name, *kept))
        raise ValueError(
            f"a run keeps no people of a step {step!r}; of these it does: {has or '-'}"
        )
    return found


def _uneven(parts: Sequence[tuple[int, str, Mapping[str, Any]]]) -> str:
    """What the seeds do not have in common, in words; empty if each has all."""
    cells: dict[str, dict[int, dict[int, int]]] = {}  # cell -> seed -> person -> queries
    for seed, cell, found in parts:
        people = dict(zip(found["pid"], found["queries"], strict=True))
        if seed in cells.setdefault(cell, {}) or len(people) < len(found["pid"]):
            return f"seed {seed} of {cell} is there more than once"
        cells[cell][seed] = people
    seeds = sorted({seed for seed, *_ in parts})
    for cell, held in cells.items():
        if lacking := [seed for seed in seeds if seed not in held]:
            return f"seed {lacking[0]} has no run of {cell}, which seed {min(held)} has"
    for cell, held in cells.items():
        for person in sorted(set().union(*held.values())):
            if lacking := [seed for seed in seeds if person not in held[seed]]:
                has = next(seed for seed in seeds if person in held[seed])
                return f"seed {lacking[0]} has no person {person} in {cell}, which seed {has} has"
    asked: dict[int, set[int]] = {}
    for people in (people for held in cells.values() for people in held.values()):
        for person, count in people.items():
            asked.setdefault(person, set()).add(count)
    for person, counts in sorted(asked.items()):
        if len(counts) > 1:
            low, *_, high = sorted(counts)
            return f"person {person} has {low} queries in one run and {high} in another"
    return ""


def judgement(run: Record) -> dict[str, Any]:
    """Images and protocol of a run: what must agree before two numbers are compared."""
    data, metrics = run["data"], run["metrics"]
    return {
        "data set": data["name"],
        "fingerprint of the images": str(data["fingerprint"])[:12],
        "protocol": data.get("protocol", metrics.get("protocol", "not recorded")),
        "average precision": metrics.get("ap", "not recorded"),
    }


def distinct(values: Iterable[Any]) -> list[Any]:
    """Different values, which need not be hashable, in the order of their text."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return sorted(found, key=str)


def differing(kinds: Iterable[Mapping[str, Any]]) -> list[str]:
    """What differs between mappings, in words: "name: one / other"."""
    rows = list(kinds)
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: distinct(row.get(name, "absent") for row in rows) for name in names}
    return [f"{name}: {joined(found)}" for name, found in values.items() if found[1:]]


def joined(values: Iterable[Any]) -> str:
    """Values beside each other, none longer than 60 characters."""
    return " / ".join(str(value)[:60] for value in values)


def _text(values: Sequence[float], digits: int) -> str:
    found = over_seeds(values)
    spread = "" if found.spread is None else f" ± {found.spread:.{digits}f}"
    return f"{found.value:.{digits}f}{spread}"
