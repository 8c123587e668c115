"""Arenas: grounds on which the claims of all papers are tried.

An arena names the data, the start weights, the budget and what is looked at after a training. Its
card (`arenas.NAME` among the experiments) is measured with the baseline alone, before any method is
compared there: what the start can do, what training adds, how far seeds spread, and the smallest
difference that can be told from none.

    ARENAS["alike"].on(TABLE2)  # the same cells there, as la_transformer.table2_alike
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pandas as pd

from reidlab import recipes
from reidlab.data import ReIDDataset
from reidlab.evaluation import over_seeds, smallest_difference
from reidlab.experiments.after import BY_ORIENTATION, PEOPLE, ask_everybody, crowd
from reidlab.experiments.design import Changes, Experiment, Step
from reidlab.experiments.runner import Trained
from reidlab.experiments.runs import Runs
from reidlab.judging import zero_shot
from reidlab.models import TokenBackbone, load_weights
from reidlab.training import Recipe

# the plain start has farther to go: the best rate of `arenas.budget_alike`
STARTS: dict[str, Changes] = {
    "plain": {"weights": "plain", "lr": 5e-4},
    "strong": {"weights": "synth"},
}
SMALL: Changes = {"weights": "plain", "image_size": (128, 64)}  # twice as fast as 192 x 96


@dataclass(frozen=True)
class Arena:
    """Grounds for a comparison.

    Attributes:
        name: as experiments are named that are held there.
        title: what it is, in words.
        data: a synthetic set of the course, or a layout whose folder the caller has.
        epochs: of every training there, what we could pay for: by `arenas.budget` twice as many
            bring the baseline 2 to 5 points more.
        changes: of every recipe, the same for all that are compared.
        folds: parts into which the people are split, each tested by a network of the others; 0: the
            set has a test part of its own.
        after: steps with a trained network.
        seeds: how many runs of a cell.
    """

    name: str
    title: str
    data: str
    epochs: int = 20
    changes: Changes = field(default_factory=lambda: SMALL, hash=False)
    folds: int = 0
    after: tuple[Step, ...] = (PEOPLE,)
    seeds: int = 5

    def on(self, experiment: Experiment, name: str = "") -> Experiment:
        """The same comparison on these grounds.

        Args:
            experiment: gives question, factors, cells and its own steps.
            name: "PAPER.EXPERIMENT"; empty: the experiment's own, and the arena's.
        """
        folds: Mapping[str, Changes] = {
            str(k): {"data.fold": k, "data.folds": self.folds} for k in range(1, self.folds + 1)
        }
        cells = experiment.crossed
        return replace(
            experiment,
            name=name or f"{experiment.name}_{self.name}",
            data=self.data,
            start=partial(self.recipe, experiment.start),
            factors={**experiment.factors, **({"fold": folds} if folds else {})},
            combinations=tuple((*cell, fold) for cell in cells for fold in folds) or cells,
            after=tuple(dict.fromkeys((*self.after, *experiment.after))),
            seeds=self.seeds,
        )

    def recipe(self, start: Any, profile: str, preset: str | None = None) -> Recipe:
        """A recipe with the arena's start and budget; those of tests and of papers stay."""
        recipe: Recipe = start(profile, preset)
        return recipe.replace(**self.changes, epochs=self.epochs) if profile == "laptop" else recipe


def _before(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    """mAP by each view of the tokens before any training."""
    recipe = run.recipe
    backbone = TokenBackbone(recipe.backbone, recipe.image_size, depth=recipe.depth)
    load_weights(backbone, recipe.weights)
    return {view: found.mAP for view, found in zero_shot(backbone, ds, recipe).items()}


def _elsewhere(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    """Everybody in places that the network was not trained on."""
    return {name: ask_everybody(name, run, ds) for name in TOWNS}


TOWNS = ("town-mall", "town-night", "town-random", "pku-reid")
BEFORE, ELSEWHERE = Step("before", _before), Step("elsewhere", _elsewhere, sets=TOWNS)
ARENAS = {
    arena.name: arena
    for arena in (
        Arena("alike", "synthetic people of few colours", "alike",
              after=(PEOPLE, crowd("alike-crowd"))),
        Arena("plaza", "synthetic people of many colours", "plaza",
              after=(PEOPLE, crowd("plaza-crowd"))),
        Arena("pku-folds", "real people, PKU-Reid in folds", "pku-reid", folds=3, seeds=3,
              after=(PEOPLE, BY_ORIENTATION)),
        Arena("day-night", "infrared asks, visible answers", "day-night"),
        Arena("day-night-twins", "thermal asks, visible answers", "day-night-twins"),
        Arena("towns", "trained in one place, tested in others", "plaza",
              after=(PEOPLE, ELSEWHERE)),
        Arena("fleet", "vehicles", "fleet", changes={**SMALL, "image_size": (96, 96)}),
    )
}  # fmt: skip
BASELINE = Experiment(
    name="arenas.baseline",
    question="What is there to learn, how far do seeds spread, and what can be told apart?",
    start=partial(recipes.get, "vit_baseline"),
    factors={"start": STARTS},
    after=(BEFORE,),
    labels={"plain": "plain start", "strong": "strong start"},
)

# How long, and at which rate? On people of whom nothing else is asked: another seed of the world;
# of the real ones, twelve people of the first fold's training part.
BUDGET = Experiment(
    name="arenas.budget",
    question="How many epochs, and which rate, does the baseline need from the plain start?",
    start=partial(recipes.get, "vit_baseline"),
    factors={
        "rate": {"1.5e-4": {"lr": 1.5e-4}, "5e-4": {"lr": 5e-4}, "1e-3": {"lr": 1e-3}},
        "epochs": {str(n): {"epochs": n} for n in (10, 20, 40)},
    },
)
_LEFT_OUT = {"validate_every": 100, "validation_identities": 12, "data.fold": 1, "data.folds": 3}
BUDGETS = (
    replace(ARENAS["alike"], data="alike-budget", seeds=1, after=()).on(
        BUDGET, "arenas.budget_alike"
    ),
    replace(ARENAS["pku-folds"], folds=0, seeds=1, after=()).on(
        replace(BUDGET, factors={**BUDGET.factors, "people": {"validation": _LEFT_OUT}}),
        "arenas.budget_pku-folds",
    ),
)


def cards(runs: Iterable[Runs]) -> pd.DataFrame:
    """One row for each arena and start, from the baseline's runs there.

    Args:
        runs: of `arenas.NAME`, several; one without runs has no row.

    Returns:
        In percent: mAP "before" (class token) and "patches before" (row means); "after", its mean
        over the seeds, with their "spread"; "smallest", the difference of two methods in points
        that as many seeds and these people tell from none in 80 % of cases (see
        `reidlab.evaluation.smallest_difference`), NaN for one seed; "accuracy" on training images
        in the last epoch; seeds, people, and "seconds" of a run.
    """
    rows = {}
    for each in runs:
        for level in dict.fromkeys(run["levels"]["start"] for run in each.records):
            here = each.where(start=level)
            found, seconds = here.people(), here.by_seed("seconds.train")
            n, several = len(found.seeds), len(found.seeds) > 1
            rows[each.name.partition(".")[2], BASELINE.labels[level]] = {
                "before": 100 * over_seeds(here.by_seed("before.class")).value,
                "patches before": 100 * over_seeds(here.by_seed("before.rows")).value,
                "after": over_seeds(here.by_seed()).value,
                "spread": over_seeds(here.by_seed()).spread,
                "smallest": smallest_difference(here.components(), n) if several else float("nan"),
                "accuracy": over_seeds(here.by_seed("learned")).value,
                "seeds": n,
                "people": len(found.pids),
                "seconds": sum(seconds) / len(seconds),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["arena", "start"])


def budget_curve(runs: Runs) -> pd.DataFrame:
    """How far the baseline comes in so many epochs, ready for `reidlab.report.figures.line_chart`.

    Args:
        runs: of `arenas.budget_*`.

    Returns:
        One row a run: name (its rate), epochs, value: mAP in percent, of the people left out of
        the training where some were, else of the test people.
    """
    rows = []
    for run in runs.records:
        found = run["history"][-1].get("validation") or run["metrics"]
        line = {"name": f"rate {run['levels']['rate']}", "epochs": int(run["levels"]["epochs"])}
        rows.append(line | {"value": 100 * found["mAP"]})
    return pd.DataFrame(rows)


EXPERIMENTS = (
    *(arena.on(BASELINE, f"arenas.{arena.name}") for arena in ARENAS.values()),
    *BUDGETS,
)
