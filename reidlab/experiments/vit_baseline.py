"""The ViT baseline on real people: three seeds, and a start from random weights as the control."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from reidlab import recipes
from reidlab.experiments.design import Experiment
from reidlab.experiments.runner import Workspace
from reidlab.judging import untrained_records

PKU_REID = Experiment(
    name="vit_baseline.pku_reid",
    question="What does the baseline learn of real people, and what of it is the shipped weights'?",
    data="pku-reid",
    start=partial(recipes.get, "vit_baseline"),
    factors={"start": {"shipped": {}, "random": {"weights": None}}},
    labels={"shipped": "shipped weights", "random": "random weights"},
)


def untrained_rows(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """The records of features that nobody trained."""
    found = untrained_records(workspace.open("pku-reid"), out=workspace.folder / "untrained")
    for name, record in found.items():
        yield {**record.to_dict(), "levels": {"feature": name}, "after": {}}


UNTRAINED = Experiment(
    name="vit_baseline.untrained",
    question="How far do features come that nobody trained?",
    rows=untrained_rows,
)
EXPERIMENTS = (PKU_REID, UNTRAINED)
