"""What `snakemake sweep` runs: one training for each seed and each choice of settings.

    snakemake sweep --config paper=vit_baseline seeds=5 profile=laptop
    snakemake sweep --config paper=vit_baseline seeds=3 set="lr=1e-4,3e-4 drop_path=0,0.1"

The records lie at runs/sweep/<paper>/<profile>/<dataset>/<settings>/seed<k>/record.json, where
<settings> is `recipe` for the recipe as it stands, else such as `lr=1e-4,drop_path=0.1`. The table
over the seeds is written beside them. For those that are there, while others still run:

    python -m workflow.sweep vit_baseline laptop market1501 --seeds 5
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = Path("runs/sweep")
AS_IT_STANDS = "recipe"
TABLE = "summary.csv"
_SAFE = re.compile(r"[A-Za-z0-9._+-]+")


class SweepError(ValueError):
    """A sweep that cannot be run as asked."""


@dataclass(frozen=True)
class Sweep:
    """Trainings of one paper's recipe on one data set.

    Attributes:
        paper: as in `reidlab.recipes.names()`.
        profile: smoke, laptop or paper.
        dataset: layout, a name of `open_dataset`.
        seeds: how many; they are 0, 1, ...
        grid: settings to vary, name -> values as text; every combination is run.
    """

    paper: str
    profile: str
    dataset: str
    seeds: int
    grid: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Sweep:
        """The sweep that Snakemake's configuration asks for.

        Raises:
            SweepError: no recipe for the paper, no number of seeds, settings that cannot be read or
                that the recipe does not take.
        """
        sweep = cls(
            paper=str(config["paper"]),
            profile=str(config["profile"]),
            dataset=str(config["dataset"]),
            seeds=_count(config["seeds"]),
            grid=_grid(str(config["set"] or "")),
        )
        sweep._check_recipe()
        return sweep

    @property
    def folder(self) -> Path:
        """Where the records of this paper, profile and data set lie."""
        return RUNS / self.paper / self.profile / self.dataset

    @property
    def variants(self) -> list[str]:
        """The settings of each choice, as the name of its folder."""
        names = list(self.grid)
        combinations = itertools.product(*self.grid.values())
        return [
            ",".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
            or AS_IT_STANDS
            for values in combinations
        ]

    def records(self) -> list[Path]:
        """The record of every run, those of one choice of settings together."""
        return [
            self.folder / variant / f"seed{seed}" / "record.json"
            for variant in self.variants
            for seed in range(self.seeds)
        ]

    def _check_recipe(self) -> None:
        from reidlab import recipes
        from reidlab.cli import parse_settings

        if self.paper not in recipes.names():
            raise SweepError(
                f"paper={self.paper}: there is no recipe of this name; those with one are "
                f"{', '.join(recipes.names())}"
            )
        recipe = recipes.get(self.paper, self.profile)
        for variant in self.variants:
            try:
                recipe.replace(**parse_settings(settings_of(variant)))
            except ValueError as error:
                raise SweepError(f"set={variant}: {error}") from error


def settings_of(variant: str) -> list[str]:
    """The settings in a folder's name, one "name=value" each."""
    return [] if variant == AS_IT_STANDS else variant.split(",")


def _count(seeds: object) -> int:
    if not re.fullmatch(r"[1-9][0-9]*", str(seeds)):
        raise SweepError(f"seeds={seeds}: expected how many, a whole number from 1, as seeds=5")
    return int(str(seeds))


def _grid(text: str) -> dict[str, tuple[str, ...]]:
    """ "lr=1e-4,3e-4 epochs=5" as {"lr": ("1e-4", "3e-4"), "epochs": ("5",)}."""
    grid: dict[str, tuple[str, ...]] = {}
    for part in text.split():
        name, mark, values = part.partition("=")
        choices = tuple(values.split(","))
        if not mark or name in grid or not all(map(_SAFE.fullmatch, (name, *choices))):
            raise SweepError(
                f'set="{text}": cannot read {part!r}; expected each setting once, with one or more '
                'values without brackets or slashes, as in set="lr=1e-4,3e-4 epochs=5"'
            )
        grid[name] = choices
    return grid


def write_table(sweep: Sweep) -> Path:
    """Write and print mean, spread and interval over the seeds, of all records that are there.

    Raises:
        SweepError: there is none yet.
    """
    from reidlab.files import atomic
    from reidlab.report.records import read_record
    from reidlab.report.seeds import seeds_table

    there = [path for path in sweep.records() if path.is_file()]
    missing = len(sweep.records()) - len(there)
    if not there:
        raise SweepError(f"{sweep.folder} holds none of the {missing} records yet")
    table = seeds_table(
        {
            variant: [read_record(path) for path in there if path.parts[-3] == variant]
            for variant in sweep.variants
        }
    )
    with atomic(sweep.folder / TABLE) as beside:
        table.to_csv(beside, index=False)
    print(f"{sweep.paper}, profile {sweep.profile}, {sweep.dataset}: {len(there)} runs")
    print(table.to_string(index=False, na_rep="-"))
    print(
        "percent; spread: standard deviation over the seeds; low, high: 95 % interval of the mean"
    )
    if missing:
        print(f"{missing} of {len(sweep.records())} runs have no record yet")
    return sweep.folder / TABLE


def main() -> None:
    """The table of a sweep, as far as it is."""
    parser = argparse.ArgumentParser(description="Table over the seeds of a sweep's records.")
    for name in ("paper", "profile", "dataset"):
        parser.add_argument(name)
    parser.add_argument("--seeds", default="3", help="as given to snakemake sweep")
    parser.add_argument("--set", default="", help="as given to snakemake sweep")
    try:
        print(write_table(Sweep.from_config(vars(parser.parse_args()))))
    except SweepError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
