"""The data a chapter runs on: a reader's own folder, or a synthetic set written on first use.

A chapter wants people to learn from and people to find. Of what a reader's set does not have, the
synthetic set of the course takes the place, and one sentence says so (`open_course`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from reidlab import recipes
from reidlab.data import DatasetError, ReIDDataset, open_dataset
from reidlab.data.cards import CARDS
from reidlab.data.dataset import labelled
from reidlab.files import project_root, same_place
from reidlab.models import WeightsError
from reidlab.models.pretrained import fetch_timm
from reidlab.parameters import as_folder
from reidlab.settings import parse_settings
from reidlab.synth import World, write_dataset
from reidlab.training import Recipe

_SET = "plaza-market1501"
PEOPLE_BATCHES = ("identity", "cross-modal")  # samplers of so many people a batch


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
    """Open what a chapter runs on: as `course_data`, with somebody to learn from, and to find.

    A set lacks people to train on (fewer than two), or a test part, or a second camera in which the
    people of the test are seen. Of a folder of two or three people nobody is trained on, so that
    they can be told apart. One printed sentence says what is missing and what the chapter
    takes instead: the synthetic people of the course, or, of a single camera, one picture of each
    person as a query and the others as the gallery of a second camera.
    """
    ds = course_data(profile, dataset, data_root, world=world, **options)
    if ds.options.get("train_fraction") and min(ds.num_classes, ds.query["pid"].nunique()) < 2:
        options["train_fraction"] = 0
        ds = course_data(profile, dataset, data_root, world=world, **options)
    if ds.num_classes < 2:
        print(
            f"{ds.name} has {'one person' if ds.num_classes else 'nobody'} to train on, so nothing "
            "can be trained on it; where this page trains, it takes the synthetic people of "
            f"{_SET}."
        )
        ds = _with(ds, {"train": _stand_in(profile).train}, train=_SET)
    found = ds.query.merge(ds.gallery[~ds.gallery["junk"]], on="pid", suffixes=("", "_2"))
    if _two_people(found[found["path"] != found["path_2"]]):
        if _two_people(found[found["camid"] != found["camid_2"]]):
            return ds
        print(
            f"{ds.name} does not show two people of its test in two cameras each, and the camera "
            "rule would leave no right answers; here one picture of each person asks and the "
            "others answer as if of a second camera, which is easier than any benchmark."
        )
        return _as_two_cameras(ds)
    print(
        f"{ds.name} has no test part in which two people can be found again, so nothing can be "
        f"judged on it; this page searches for the synthetic people of {_SET}."
    )
    other = _stand_in(profile)
    test = {"query": other.query, "gallery": other.gallery, "protocol": other.protocol}
    return _with(ds, test, test=_SET)


def open_modalities(
    profile: str, dataset: str, data_root: str | Path = "", *, world: str
) -> ReIDDataset:
    """As `open_course`, for a chapter that looks for people across modalities.

    A folder that does not show its people by daylight and in infrared gives way to the synthetic
    set, and one printed sentence says so.

    Args:
        profile: smoke, laptop or paper.
        dataset: as in `course_data`; without a folder one of a single modality means `world`.
        data_root: as in `course_data`.
        world: a synthetic set of both modalities.
    """
    if as_folder("data_root", data_root):
        ds = open_course(profile, dataset, data_root)
        asks, answers = (frame["modality"].unique() for frame in (ds.query, ds.gallery))
        kinds = ds.train.groupby("label")["modality"].nunique()
        if (kinds > 1).sum() > 1 and len(asks) == len(answers) == 1 and asks[0] != answers[0]:
            return ds
        print(
            f"{ds.name} does not show its people both by daylight and in infrared, which this page "
            f"is about; it runs on the synthetic set {world}."
        )
        profile = _small(profile)
    elif dataset in ("sysu-mm01", "regdb"):
        return course_data(profile, dataset, world=world)
    return course_data(profile, course_layouts()[world], world=world)


def in_pairs(ds: ReIDDataset, profile: str) -> ReIDDataset:
    """The set without training people of a single image: of these nothing can be held out.

    Where fewer than two people are left, the synthetic people of the course are trained on. One
    printed sentence says what changed.
    """
    several = ds.train.groupby("label")["path"].transform("size") > 1
    if several.all():
        return ds
    left = ds.train[several]
    people = left["label"].nunique()
    told = f"{ds.num_classes - people} of {ds.num_classes} training people of {ds.name} have "
    told += "a single image, of which nothing can be held out to validate on; "
    if people < 2:
        print(f"{told}this page trains on the synthetic people of {_SET}.")
        return _with(ds, {"train": _stand_in(profile).train}, train=_SET)
    print(f"{told}this page trains without them.")
    train = labelled(left).reset_index(drop=True)
    return _with(ds, {"train": train}, train="people of several images")


def course_data(
    profile: str,
    dataset: str = "market1501",
    data_root: str | Path = "",
    *,
    world: str = "",
    **options: Any,
) -> ReIDDataset:
    """Open a folder of the reader's as it is, or the synthetic set of that layout.

    Args:
        profile: smoke, laptop or paper.
        dataset: layout of the set, a name of `open_dataset`.
        data_root: a folder of your own, see `reidlab.parameters.as_folder`; empty: the synthetic
            set of the profile, written if it is not there yet.
        world: which synthetic set, where the course has several of a layout; empty, or one of
            another layout: the first.
        options: for `open_dataset`.

    Raises:
        ValueError: no data_root for a set that has no synthetic stand-in here.
    """
    if given := as_folder("data_root", data_root):
        folder = Path(given)
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


def open_like(layout: str, ds: ReIDDataset, profile: str, **options: Any) -> ReIDDataset:
    """The set for a section that is about one layout: the reader's where it is of it, or synthetic.

    Args:
        layout: that the section is about; of market1501 it wants junk and distractors as well.
        ds: what the chapter runs on.
        profile: smoke, laptop or paper.
        options: for `open_dataset`; a set that cannot be opened so is of another layout.

    Returns:
        The set. One sentence is printed where the synthetic set of the course takes the place of
        what a reader brought.
    """
    if ds.name == layout:
        with suppress(DatasetError):
            same = open_dataset(layout, ds.root, **options) if options else ds
            if layout != "market1501" or same.gallery[["junk", "distractor"]].any().all():
                return same
    other = course_data(_small(profile), layout, **options)
    if ds.root.resolve() not in {course_folder(profile, name) for name in _courses()}:
        print(
            f"{ds.name} does not have what this section is about, so the section shows the "
            f"synthetic set {other.root.name}, which is laid out like {layout}."
        )
    return other


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
        ds: What it will be trained on; vehicles have recipes of their own, see `recipes.subjects`.
        settings: Changes, as "epochs=2 weights=None".
        preset: "code" or "paper" where the two differ; None: the paper's default.

    Raises:
        WeightsError: The weights can't be had, and the set is the published one.
        ValueError: Settings that make no sense.
    """
    vehicles = CARDS[ds.name].subject == "vehicles" and "vehicles" in recipes.subjects(paper)
    recipe = recipes.get(paper, profile, preset, of="vehicles" if vehicles else "people")
    recipe = recipe.replace(**parse_settings(settings.split()))
    if recipe.sampler in PEOPLE_BATCHES and recipe.identities_per_batch > ds.num_classes:
        print(
            f"{ds.name} has {ds.num_classes} people to train on, fewer than the "
            f"{recipe.identities_per_batch} of a batch: a batch has {ds.num_classes} here."
        )
        recipe = recipe.replace(identities_per_batch=ds.num_classes)
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


def _small(profile: str) -> str:
    """The size of synthetic people beside a reader's own; "paper" has none of its own."""
    return "laptop" if profile == "paper" else profile


def _stand_in(profile: str) -> ReIDDataset:
    return course_data(_small(profile), _courses()[_SET]["layout"], world=_SET)


def _with(ds: ReIDDataset, parts: Mapping[str, Any], **told: str) -> ReIDDataset:
    """The set with other parts; its options, which every record keeps, tell which."""
    return replace(ds, **parts, published=None, options={**ds.options, **told})


def _two_people(pairs: pd.DataFrame) -> bool:
    """Whether they are of two people or more: an interval over people wants as many."""
    return bool(pairs["pid"].nunique() > 1)


def _as_two_cameras(ds: ReIDDataset) -> ReIDDataset:
    """One picture of each person asks from camera 0, the others are the gallery of camera 1."""
    query = ds.query.drop_duplicates("pid").assign(camid=0).reset_index(drop=True)
    rest = ds.gallery[~ds.gallery["path"].isin(query["path"])]
    gallery = rest.assign(camid=1).reset_index(drop=True)
    test = {"query": query, "gallery": gallery, "protocol": "standard"}
    return _with(ds, test, test="one camera taken for two")


def _write(profile: str, name: str) -> Path:
    folder = course_folder(profile, name)
    if not (folder / "world.json").exists():
        print(f"writing the synthetic set {name} of the profile {profile}, once", flush=True)
    return write_dataset(_courses()[name]["layout"], folder, course_world(profile, name))


@cache
def _courses() -> dict[str, Any]:
    return yaml.safe_load(
        (files("reidlab.experiments") / "course.yaml").read_text(encoding="utf-8")
    )
