"""Experiments from the command line: a paper's recipe with some of its settings varied."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any

from reidlab import recipes
from reidlab.experiments.design import Experiment
from reidlab.settings import parse_settings
from reidlab.training import Recipe
from reidlab.training.recipe import model_of_size

_SAFE = re.compile(r"[A-Za-z0-9._+-]+")


def sweep(paper: str, profile: str, data: str, seeds: object = 3, changes: str = "") -> Experiment:
    """Every combination of some settings of a recipe, with every seed.

    Args:
        paper: as in `recipes.names()`.
        profile: by whose recipe the settings are checked.
        data: a layout, or a synthetic set of the course.
        seeds: how many.
        changes: such as "lr=1e-4,3e-4 epochs=5", or of the data "data.fold=1,2,3 data.folds=3";
            empty: the recipe as it stands.

    Raises:
        ValueError: no recipe for the paper, no number of seeds, settings that cannot be read, or
            that recipe or network do not take together.
    """
    if paper not in recipes.names():
        raise ValueError(
            f"paper={paper}: there is no recipe of this name; those with one are "
            f"{', '.join(recipes.names())}"
        )
    if not re.fullmatch(r"[1-9][0-9]*", str(seeds)):
        raise ValueError(f"seeds={seeds}: expected how many, a whole number from 1, as seeds=5")
    factors: dict[str, dict[str, Any]] = {}
    for part in changes.split():
        name, mark, values = part.partition("=")
        choices = values.split(",")
        if not mark or name in factors or not all(map(_SAFE.fullmatch, (name, *choices))):
            raise ValueError(
                f'set="{changes}": cannot read {part!r}; expected each setting once, with one or '
                'more values without brackets or slashes, as in set="lr=1e-4,3e-4 epochs=5"'
            )
        factors[name] = {f"{name}={each}": parse_settings([f"{name}={each}"]) for each in choices}
    found = Experiment(
        name=f"{paper}.sweep",
        question=f"The recipe of {paper}{' with ' if changes else ''}{changes}.",
        data=data,
        start=partial(recipes.get, paper),
        factors=factors,
        seeds=int(str(seeds)),
    )
    try:
        for cell in found.cells(profile).values():
            settings = {name: getattr(cell.recipe, name) for name in _NETWORK}
            _build(Recipe(**settings, weights=None))
    except ValueError as error:
        raise ValueError(f"set={changes}: {error}" if changes else str(error)) from error
    return found


_NETWORK = ("model", "preset", "switches", "backbone", "image_size", "stride", "depth", "drop_path")


@cache
def _build(network: Recipe) -> None:
    """Build a network once, so that a name or a size that it does not know is said now."""
    model_of_size(network, 2, 0)
