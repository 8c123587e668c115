"""Steps with a trained network that several papers take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidlab.data import ReIDDataset, open_dataset
from reidlab.evaluation import RankResult, average
from reidlab.evaluation.checks import Labels, integer_labels
from reidlab.experiments.design import Step
from reidlab.experiments.runner import Trained, Workspace
from reidlab.judging import embed, evaluate_on, judge
from reidlab.record import describe_data
from reidlab.synth import World, write_dataset

RETRIEVALS = ("rows", "gelt", "mean")
DIGITS = 6  # of the sums of people, which are many


def _by_retrieval(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    found = {name: evaluate_on(run.model, ds, run.recipe, retrieval=name) for name in RETRIEVALS}
    return {name: {"rank1": each.rank1, "mAP": each.mAP} for name, each in found.items()}


def people_sums(result: RankResult, pids: Labels) -> dict[str, list[Any]]:
    """What a result is made of, by person, as plain values: so that people can be resampled.

    Args:
        result: of the queries in the order of `pids`.
        pids: (Q,) who is asked for.

    Returns:
        "pid": everybody with a counted query, rising; "queries": how many count; "ap", "rank1",
        "rank5": the sums over them of average precision and of hits at these ranks, rounded to six
        digits. Sum over sum is the metric of any of these people.

    Raises:
        ValueError: another number of ids than of queries.
    """
    who, counted = integer_labels("pids", pids, len(result.ap)), ~np.isnan(result.ap)
    people, rows = np.unique(who[counted], return_inverse=True)
    found = {"ap": result.ap, "rank1": result.hits(1), "rank5": result.hits(5)}
    sums = {
        name: np.bincount(rows, values[counted], minlength=len(people)).round(DIGITS).tolist()
        for name, values in found.items()
    }
    return {"pid": people.tolist(), "queries": np.bincount(rows).tolist(), **sums}


def _people(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    result = evaluate_on(run.model, ds, run.recipe)
    return people_sums(result, ds.query.loc[~ds.query["junk"], "pid"])


def everybody(ds: ReIDDataset) -> ReIDDataset:
    """A set that nothing was trained on: all its people ask, and all their images answer.

    Where one modality asks for the other, it does here.
    """
    frame = pd.concat([ds.train.drop(columns="label"), ds.query, ds.gallery])
    frame = frame[(frame["pid"] > 0) & ~frame["junk"]].drop_duplicates("path")
    query, gallery = (
        frame[frame["modality"].isin(part["modality"].unique())].reset_index(drop=True)
        for part in (ds.query, ds.gallery)
    )
    return dataclasses.replace(ds, query=query, gallery=gallery)


def world_people(workspace: Workspace, layout: str, world: World) -> ReIDDataset:
    """`everybody` of a world, which is written once among the results."""
    folder = workspace.folder / "worlds" / world.fingerprint()[:12]
    return everybody(open_dataset(layout, write_dataset(layout, folder, world)))


def ask_everybody(name: str, run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    """The network judged on everybody of another set."""
    there = everybody(run.workspace.open(name))
    result = evaluate_on(run.model, there, run.recipe)
    people = people_sums(result, there.query["pid"])
    return {"data": describe_data(there), "metrics": result.as_dict(), "people": people}


def crowd(name: str) -> Step:
    """Everybody of another set of the same world is asked for: people cost no training."""
    return Step("crowd", partial(ask_everybody, name), sets=(name,))


def orientations(frame: pd.DataFrame) -> Iterator[NDArray[np.bool_]]:
    """For each orientation, by its number: which images of a table show it, (N,)."""
    views = frame["view"].to_numpy(copy=True)
    return (views == view for view in np.unique(views))


def _by_orientation(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    everybody = pd.concat([ds.query, ds.gallery]).drop_duplicates("path")
    everybody = everybody[~everybody["junk"]].reset_index(drop=True)
    if everybody["view"].nunique() < 2:
        raise ValueError(
            f"{ds.name} shows a single orientation (column view), expected two or more: one asks "
            "and the others answer. Take this step of PKU-Reid"
        )
    emb = embed(run.model, everybody, run.recipe)
    options: dict[str, Any] = {"metric": run.recipe.metric, "ap": "top10"}
    options["match"] = getattr(run.model, "match", None)
    judged = dataclasses.replace(ds, query=everybody, gallery=everybody, protocol="la-official")
    results, pids = [], []
    for asks in orientations(everybody):
        query, gallery = everybody[asks], everybody[~asks]
        part = dataclasses.replace(judged, query=query, gallery=gallery)
        results.append(judge(part, emb[asks], emb[~asks], **options))
        pids.append(query["pid"].to_numpy())
    pooled = average(results)
    return {
        "data": describe_data(judged),
        "metrics": {
            **{f"rank{k}": float(np.nanmean(pooled.hits(k))) for k in (1, 5)},
            "mAP": float(np.nanmean(pooled.ap)),
            "num_queries": len(pooled.valid),
            "num_valid": pooled.num_valid,
            "protocol": pooled.protocol,
            "ap": pooled.ap_variant,
            "over": pooled.over,
        },
        "people": people_sums(pooled, np.concatenate(pids)),
    }


BY_RETRIEVAL = Step("by_retrieval", _by_retrieval)  # LA-Transformer by each retrieval feature
PEOPLE = Step("people", _people)  # by the set's own protocol
# PKU-Reid's folds by the counting of the authors' program, each image once: those of one
# orientation ask and the others answer, for all eight, pooled
BY_ORIENTATION = Step("authors", _by_orientation)
