"""What the papers' tables and figures compare, as data; and the runs that were made of it.

One paper, one file; a line here registers its experiments::

    runs = experiment("la_transformer.table2")  # the published runs
    runs.table(rows=["heads", "tokens"], columns="blocks")
    runs.difference("heads", "one", "rows", tokens="both", blocks="blockwise")

`python -m reidlab experiment list | show | run | publish` makes them, `power` says what they can
decide.
"""

from __future__ import annotations

from pathlib import Path

from reidlab.experiments import (
    arenas,
    gltrans,
    la_tf_pp,
    la_transformer,
    maps,
    pretraining,
    transmatcher,
    tvtr,
    vit_baseline,
)
from reidlab.experiments.design import Cell, Experiment
from reidlab.experiments.runs import Runs
from reidlab.experiments.sweep import sweep
from reidlab.files import project_root

__all__ = ["Cell", "Experiment", "Runs", "design", "experiment", "names", "published", "sweep"]

_ALL: dict[str, Experiment] = {
    each.name: each
    for file in (
        la_transformer, gltrans, transmatcher, maps, tvtr, la_tf_pp, vit_baseline, pretraining,
        arenas,
    )
    for each in file.EXPERIMENTS
}  # fmt: skip


def names() -> list[str]:
    """The experiments, "PAPER.EXPERIMENT"."""
    return list(_ALL)


def design(name: str) -> Experiment:
    """What an experiment compares.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in _ALL:
        raise ValueError(f"there is no experiment {name!r}; there are: {', '.join(_ALL)}")
    return _ALL[name]


def experiment(name: str) -> Runs:
    """The published runs of an experiment; none where the project's book is not at hand.

    Args:
        name: "PAPER.EXPERIMENT", or "PAPER.EXPERIMENT:STEP", as judged by that step.

    Raises:
        ValueError: There is no experiment of this name, or a run has no such evaluation.
    """
    name, _, step = name.partition(":")
    return Runs.read(published(name), design(name)).judged(step)


def published(name: str, *, whole: bool = True) -> Path:
    """The file of an experiment's results, in the book of the project.

    Args:
        name: "PAPER.EXPERIMENT".
        whole: False: of the runs so far of one that is not finished; no page reads it.
    """
    paper, _, own = name.partition(".")
    folder = project_root() / "book" / "results"
    return (folder if whole else folder / "unfinished") / paper / f"{own}.jsonl"
