"""Training people or images set aside to judge a training by, so that the test set decides nothing.

A setting or an epoch chosen by its result on the test set has been fitted to the test set. What is
chosen is therefore judged on people who are in neither: some of the training split, left out of the
training. Or, as LA-Transformer does, on left out images of people who stay: that asks whether the
classifier knows its people again, and says little of strangers.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from reidlab.data import ReIDDataset
from reidlab.data.dataset import labelled
from reidlab.errors import RecipeError
from reidlab.evaluation import queries_with_match


def check_people(ds: ReIDDataset) -> None:
    """Check that there is somebody to train on.

    Raises:
        RecipeError: If all images of the set are for the test.
    """
    if ds.num_classes == 0:
        raise RecipeError(
            f"{ds.name} has no training images, only {len(ds.query)} query and {len(ds.gallery)} "
            "gallery images. Train on another set, and judge the run on this one: "
            "evaluate_run(out, ds), or python -m reidlab evaluate OUT NAME ROOT."
        )


def held_out(ds: ReIDDataset, identities: float) -> int:
    """How many training people are left out for validation.

    Args:
        ds: The whole set.
        identities: That number, or a share of the training people, which is rounded.

    Raises:
        RecipeError: If it is no whole number of people from 2 (one alone is found by everybody), or
            nobody is trained on, or is left to train on.
    """
    check_people(ds)
    people = ds.num_classes
    count = round(identities * people) if identities < 1 else identities
    if count % 1 or not 2 <= count < people:
        raise RecipeError(
            f"validation_identities {identities} is {count} of the {people} training people of "
            f"{ds.name}; expected at least 2 people, whole ones, and fewer than all. Choose "
            "another number."
        )
    return int(count)


def split_validation(
    ds: ReIDDataset, identities: float, seed: int
) -> tuple[ReIDDataset, ReIDDataset]:
    """Set some training people aside as query and gallery of their own.

    People are drawn, not images: somebody who is in both parts would be recognised, not found. Only
    people whom the set's protocol can judge are drawn (by the standard one: those seen by two
    cameras). One image per person and camera is a query, the first by path, and the rest is the
    gallery, as in Market-1501. Where query and gallery of the set are of one modality each, so are
    these, and every image of the gallery's modality is in the gallery.
    A gallery of a few people is an easy one: compare its numbers with each other only.

    Args:
        ds: The whole set; its query and gallery are not looked at, but for their modalities.
        identities: How many people, or their share; see `held_out`.
        seed: Of the draw.

    Returns:
        The set without these people in `train`, labelled from 0 anew; and a set of these people
        alone, whose `train` is empty.

    Raises:
        RecipeError: If too few people can be judged.
    """
    count = held_out(ds, identities)
    query, gallery = _search(ds, ds.train.drop(columns="label"))
    who = (side[name].to_numpy() for name in ("pid", "camid") for side in (query, gallery))
    judged = np.unique(query["pid"][queries_with_match(*who, protocol=ds.protocol)])
    if len(judged) < count:
        raise RecipeError(
            f"validation_identities asks for {count} people and the protocol {ds.protocol!r} can "
            f"judge {len(judged)} of the {ds.num_classes} training people of {ds.name}: the others "
            "have no image that is a query and another that is its match, such as one by another "
            "camera. Ask for fewer people, or train without validate_every."
        )
    drawn = np.random.default_rng(seed).choice(judged, count, replace=False)
    kept = labelled(ds.train[~ds.train["pid"].isin(drawn)].reset_index(drop=True))
    query, gallery = (
        frame[frame["pid"].isin(drawn)].reset_index(drop=True) for frame in (query, gallery)
    )
    validation = dataclasses.replace(
        ds,
        name=f"{ds.name} validation",  # another name: the published draws are not of these people
        train=ds.train.iloc[:0],
        query=query,
        gallery=gallery,
        published=None,
    )
    return dataclasses.replace(ds, train=kept, published=None), validation


def split_images(ds: ReIDDataset) -> tuple[ReIDDataset, ReIDDataset]:
    """Set one image of every training person aside, the first by path.

    LA-Transformer takes the first that the file system names, which differs between machines.

    Args:
        ds: The whole set; its query and gallery are not looked at.

    Returns:
        The set without these images in `train`; and one whose `train` are these, with the same
        labels.

    Raises:
        RecipeError: If somebody has one image only.
    """
    check_people(ds)
    counts = ds.train["pid"].value_counts().sort_index()
    alone = counts.index[counts == 1].tolist()
    if alone:
        raise RecipeError(
            f"validate_on is 'images' and {len(alone)} of the {ds.num_classes} training people of "
            f"{ds.name} have a single image (person {alone[0]} is the first), of which nothing "
            "would be left to train on. Leave these people out, or train with "
            "validate_on='people' or validate_every=None."
        )
    aside = ~ds.train.sort_values("path").duplicated("pid").reindex(ds.train.index)
    parts = (ds.train[mask].reset_index(drop=True) for mask in (~aside, aside))
    learn, validation = (dataclasses.replace(ds, train=part, published=None) for part in parts)
    return learn, dataclasses.replace(validation, name=f"{ds.name} validation")


def _search(ds: ReIDDataset, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Query and gallery made of the images of a table, in its order."""
    asked, searched = (set(side["modality"]) for side in (ds.query, ds.gallery))
    across = len(asked) == len(searched) == 1 and asked != searched
    candidates = frame[frame["modality"].isin(asked)] if across else frame
    first = ~candidates.sort_values("path").duplicated(["pid", "camid"])
    query = candidates[first.reindex(candidates.index)]
    rest = frame[frame["modality"].isin(searched)] if across else frame.drop(query.index)
    return query, rest
