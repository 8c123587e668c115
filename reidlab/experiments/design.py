"""What an experiment is: cells, recipes that differ from a start in the levels of factors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from reidlab.training import Recipe

if TYPE_CHECKING:
    from reidlab.data import ReIDDataset
    from reidlab.experiments.runner import Trained, Workspace

# Of a recipe, as `Recipe.replace` takes them; and of the data, "data.NAME" for an option of the set
Changes = Mapping[str, Any]
Levels = Mapping[str, str]  # name of a factor -> its level
DATA = "data."
BOUND = 2.0  # points that are too few to matter, and that a ground of ours should tell apart
Rows = Callable[["Workspace"], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Step:
    """Something found with a trained network, which is added to the line of its run.

    Attributes:
        name: under which it stands there.
        find: from the run, and the set it is judged on, to plain values.
        sets: others that it opens; they have to be there before anything is trained.
    """

    name: str
    find: Callable[[Trained, ReIDDataset], Mapping[str, Any]]
    sets: tuple[str, ...] = ()


class Prediction(NamedTuple):
    """What was expected of a comparison before its first run, in the form that `Runs.decide` reads.

    Attributes:
        text: in words.
        a: levels of one side.
        b: levels of the other.
        direction: "higher" or "lower", how b lies to a.
        bound: what would be too small to matter, in points.
    """

    text: str
    a: Levels
    b: Levels
    direction: str
    bound: float | None = BOUND


def over(text: str, a: str, b: str, factor: str = "network") -> Prediction:
    """That level b of a factor is expected to be ahead of level a."""
    return Prediction(text, {factor: a}, {factor: b}, "higher")


def switches(**values: Any) -> Changes:
    """Changes of a model's switches."""
    return {f"switches.{name}": value for name, value in values.items()}


@dataclass(frozen=True)
class Cell:
    """One recipe of an experiment, which is trained once for each seed.

    Attributes:
        levels: factor -> level.
        recipe: with the changes of these levels.
        options: of the set, as `open_dataset` takes them, where a level changes the data.
    """

    levels: Levels
    recipe: Recipe
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The levels, joined: in names of files, and to choose cells on the command line."""
        return "_".join(self.levels.values()) or "recipe"


@dataclass(frozen=True)
class Experiment:
    """What the tables and figures of a paper compare; nothing is computed by making one.

    Attributes:
        name: "PAPER.EXPERIMENT"; the results lie at book/results/PAPER/EXPERIMENT.jsonl.
        question: what it asks, in a sentence.
        data: a synthetic set of the course, or a layout whose folder the caller has.
        start: from profile (and preset) to the recipe that the levels change.
        factors: name -> level -> changes of the recipe, or of the data: {"data.fold": 1,
            "data.folds": 3} trains and judges on another fold.
        combinations: the cells, each with its levels in the order of `factors`; empty: all of them.
        seeds: how many runs of a cell; they are 0, 1, ...
        after: steps with the trained network that add to the line of its run.
        rows: for an experiment whose result is a table and not runs of its own: yields a header
            {"header": {...}}, then one mapping a row.
        asks: what these take of the caller: "data_root", or the name of an option.
        labels: levels and factors in words, for tables.
        predictions: what was expected before the first run: `Prediction`s, which `Runs.decide`
            reads; where `rows` decide on their own, (sentence, more, less): the two sides, or
            (sentence, knob, more, less), where several knobs are turned.
    """

    name: str
    question: str
    data: str = ""
    start: Callable[..., Recipe] | None = None
    factors: Mapping[str, Mapping[str, Changes]] = field(default_factory=dict, hash=False)
    combinations: tuple[tuple[str, ...], ...] = ()
    seeds: int = 3
    after: tuple[Step, ...] = ()
    rows: Rows | None = None
    asks: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    predictions: tuple[Any, ...] = ()

    @property
    def crossed(self) -> tuple[tuple[str, ...], ...]:
        """The levels of each cell, in the order of `factors`."""
        return self.combinations or tuple(itertools.product(*self.factors.values()))

    def cells(self, profile: str = "laptop", preset: str | None = None) -> dict[str, Cell]:
        """The cells by name, with the recipes of a size."""
        if self.start is None:
            return {}
        every = [dict(zip(self.factors, levels, strict=True)) for levels in self.crossed]
        found = [self.cell(levels, profile, preset) for levels in every]
        return {cell.name: cell for cell in found}

    def cell(self, levels: Levels, profile: str = "laptop", preset: str | None = None) -> Cell:
        """One cell by its levels."""
        assert self.start is not None, f"{self.name} trains nothing"
        changes = [self.factors[factor][level] for factor, level in levels.items()]
        merged = {name: value for change in changes for name, value in change.items()}
        options = {k.removeprefix(DATA): v for k, v in merged.items() if k.startswith(DATA)}
        settings = {k: v for k, v in merged.items() if not k.startswith(DATA)}
        return Cell(levels, self.start(profile, preset).replace(**settings), options)

    @property
    def data_factors(self) -> set[str]:
        """The factors that change the data."""
        return {
            factor
            for factor, levels in self.factors.items()
            if any(name.startswith(DATA) for changes in levels.values() for name in changes)
        }
