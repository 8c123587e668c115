"""The data a chapter runs on: a reader's own folder, or a synthetic set written on first use."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from reidlab import recipes
from reidlab.data import ReIDDataset, open_dataset
from reidlab.files import project_root, same_place
from reidlab.models import WeightsError
from reidlab.models.pretrained import fetch_timm
from reidlab.settings import parse_settings
from reidlab.synth import World, write_dataset
from reidlab.training import Recipe

_SET = "plaza-market1501"


def course_world(profile: str, name: str = _SET) -> World:
    """The world of a synthetic set under `profile`; "paper" has no world of its own.

    Raises:
        ValueError: no such set or profile.
    """
    entry = _courses().get(name, {})
    if profile not in entry or profile == "layout":
        raise ValueError(
            f"there is no synthetic set {name!r} for the profile {profile!r}: expected "
            "'laptop' or 'smoke'; the profile 'paper' wants real data, pass data_root"
        )
    return World(**entry[profile])


def course_folder(profile: str, name: str = _SET) -> Path:
    """Where the synthetic set lies: data/<name>, and data/smoke/<name> for the small one."""
    data = (project_root() / "data").resolve()
    return data / "smoke" / name if profile == "smoke" else data / name


def course_layouts() -> dict[str, str]:
    """Name of each synthetic set of the course -> its layout."""
    return {name: entry["layout"] for name, entry in _courses().items()}


def open_course(
    profile: str,
    dataset: str = "market1501",
    data_root: str | Path = "",
    *,
    world: str = "",
    **options: Any,
) -> ReIDDataset:
    """Open what a chapter runs on: a folder of the reader's, or the synthetic set of that layout.

    Args:
        profile: smoke, laptop or paper.
        dataset: layout of the set, a name of `open_dataset`.
        data_root: a folder of your own, as seen from where you are or from the project's root;
            empty: the synthetic set of the profile, written if it is not there yet.
        world: which synthetic set, where the course has several of a layout; empty, or one of
            another layout: the first.
        options: for `open_dataset`.

    Raises:
        ValueError: no data_root for a set that has no synthetic stand-in here.
    """
    if str(data_root):
        folder = Path(data_root).expanduser()
        beside = project_root() / folder
        folder = beside if not folder.exists() and beside.exists() else folder
        for name, entry in _courses().items():
            if entry["layout"] == dataset and same_place(folder, course_folder(profile, name)):
                _write(profile, name)
        return open_dataset(dataset, folder, **options)
    sets = {entry["layout"]: name for name, entry in reversed(_courses().items())}
    if dataset not in sets:
        raise ValueError(
            f"dataset={dataset!r} needs data_root, the folder of your copy; without one the "
            f"chapters run on synthetic data in the layouts {', '.join(map(repr, sorted(sets)))}"
        )
    fits = _courses().get(world, {}).get("layout") == dataset
    return open_dataset(dataset, _write(profile, world if fits else sets[dataset]), **options)


def course_recipe(
    paper: str, profile: str, ds: ReIDDataset, settings: str = "", preset: str | None = None
) -> Recipe:
    """The recipe a chapter trains by.

    A recipe whose weights are on the hub can be rehearsed without a network: on data that is not
    the published set, where no number of the paper is at stake, it then starts from random weights
    and says so. On the published set nobody wants hours of training from there: an error.

    Args:
        paper: As in `recipes.get`.
        profile: smoke, laptop or paper.
        ds: What it will be trained on.
        settings: Changes, as "epochs=2 weights=None".
        preset: "code" or "paper" where the two differ; None: the paper's default.

    Raises:
        WeightsError: The weights can't be had, and the set is the published one.
        ValueError: Settings that make no sense.
    """
    recipe = recipes.get(paper, profile, preset).replace(**parse_settings(settings.split()))
    if recipe.weights != "timm":
        return recipe
    try:
        fetch_timm(recipe.backbone)
    except WeightsError as error:
        if ds.published is not None and not ds.warnings:
            raise
        print(f"REHEARSAL with random weights, not a reproduction: {error}", flush=True)
        return recipe.replace(weights=None)
    return recipe


def _write(profile: str, name: str) -> Path:
    folder = course_folder(profile, name)
    if not (folder / "world.json").exists():
        print(f"writing the synthetic set {name} of the profile {profile}, once", flush=True)
    return write_dataset(_courses()[name]["layout"], folder, course_world(profile, name))


def _courses() -> dict[str, Any]:
    return yaml.safe_load(
        (files("reidlab.experiments") / "course.yaml").read_text(encoding="utf-8")
    )
