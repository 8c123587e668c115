"""LA-TF++: its losses on real people, and what flip test and re-ranking do to these networks.

Mittal, Khandelwal, "Locally Aware Transformer++", 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from reidlab import recipes
from reidlab.evaluation import RankResult, average, evaluate, pairwise_distances, rank, rerank
from reidlab.experiments.after import BY_RETRIEVAL, orientations, people_sums
from reidlab.experiments.arenas import ARENAS
from reidlab.experiments.design import Experiment, Prediction
from reidlab.experiments.runner import Trained, Workspace
from reidlab.judging import embed
from reidlab.record import describe_data
from reidlab.training import Recipe


def start(profile: str, preset: str | None = None, **changes: Any) -> Recipe:
    """The paper's recipe, for LA-TF as well, so that both train alike."""
    return recipes.get("la_tf_pp", profile, preset).replace(**changes)


SMOOTHED, PLAIN = ({"losses.identity.label_smoothing": share} for share in (0.1, 0.0))
LOGITS, FEATURES = ({"losses.triplet.on": where} for where in ("logits", "features"))
NO_TRIPLET = {"losses.triplet": None}
CE = {"model": "la-tf", "loss": "ce", "batches": "shuffled"}
PLUS = {"model": "la-tf-pp", "loss": "cels-tl", "batches": "shuffled"}
PEOPLE_BATCHES = PLUS | {"batches": "people"}
WRITTEN = PEOPLE_BATCHES | {"loss": "cels-tl-features"}
# What is compared and what was expected were fixed before the first run on these grounds; of the
# first and the last three, runs on twelve people from the strong start had shown a direction.
_LOSSES = Experiment(
    name="la_tf_pp.losses",
    question="What do label smoothing, triplet loss and the single classifier do? Tables 1 and 2, "
    "and the triplet loss in the two ways that paper and program differ.",
    start=start,
    factors={
        "model": {"la-tf": {"model": "la_transformer"}, "la-tf-pp": {"model": "la_tf_pp"}},
        "loss": {
            "ce": {**PLAIN, **NO_TRIPLET},
            "cels": {**SMOOTHED, **NO_TRIPLET},
            "ce-tl": {**PLAIN, **LOGITS},
            "cels-tl": {**SMOOTHED, **LOGITS},
            "cels-tl-features": {**SMOOTHED, **FEATURES},
        },
        "batches": {"shuffled": {"sampler": "shuffle"}, "people": {"sampler": "identity"}},
    },
    combinations=(
        *(("la-tf", loss, "shuffled") for loss in ("ce", "ce-tl", "cels", "cels-tl")),
        ("la-tf-pp", "cels-tl", "shuffled"),
        ("la-tf-pp", "cels-tl", "people"),
        ("la-tf-pp", "cels-tl-features", "people"),
    ),
    after=(BY_RETRIEVAL,),
    labels={
        "la-tf": "LA-TF", "la-tf-pp": "LA-TF++", "ce": "CE", "cels": "CE + LS", "ce-tl": "CE + TL",
        "cels-tl": "CE + LS + TL", "cels-tl-features": "CE + LS + TL on features",
        "shuffled": "in any order", "people": "P x K",
    },
    predictions=(
        Prediction("LA-TF++ over LA-TF", CE, PLUS, "lower"),
        Prediction("label smoothing", CE, CE | {"loss": "cels"}, "higher"),
        Prediction("a triplet loss of logits", CE, CE | {"loss": "ce-tl"}, "lower"),
        Prediction("P x K batches", PLUS, PEOPLE_BATCHES, "higher"),
        Prediction("features, not logits", PEOPLE_BATCHES, WRITTEN, "higher"),
    ),
)  # fmt: skip
# On alike three seeds were decided on before its first run.
LOSSES, LOSSES_ALIKE = (
    replace(ARENAS[name], seeds=3).on(_LOSSES) for name in ("pku-folds", "alike")
)

# Block by block, as both programs train, costs some 15 points on real people (see
# `la_transformer.CORNERS`), more than anything that is compared here. So the three networks that
# the paper and its program speak of are compared once more where all blocks learn from the start.
# Fixed when `LOSSES` was half run: LA-TF++ as coded was behind there by about 4 points.
_AT_ONCE = replace(
    _LOSSES,
    name="la_tf_pp.at_once",
    question="LA-TF, LA-TF++ as coded and as written, with all blocks open from the start.",
    start=partial(start, unfreezing=None),
    combinations=tuple(tuple(each.values()) for each in (CE, PLUS, WRITTEN)),
    predictions=(
        Prediction("LA-TF++ as coded over LA-TF", CE, PLUS, "lower"),
        Prediction("LA-TF++ as written over LA-TF", CE, WRITTEN, "higher"),
        Prediction("as written over as coded", PLUS, WRITTEN, "higher"),
    ),
)
AT_ONCE = ARENAS["pku-folds"].on(_AT_ONCE)

# --- flip test and re-ranking of these networks ---------------------------------------------------
# The sizes of k1 were fixed before anything was measured; k2 = min(6, k1) and lambda 0.3 are as in
# Zhong et al., CVPR 2017, for k1 >= 6. Re-ranking asks for the neighbours of an image among queries
# and gallery together. Where each image is query and gallery, as under the standard rule, its
# nearest neighbour would be itself and all others come twice. So one orientation asks and the other
# seven answer, eight times: then each image is there once, 16 of a person.
NETWORKS = (("la-tf", "ce", "shuffled"), ("la-tf-pp", "cels-tl", "shuffled"))
K1 = (4, 6, 8, 12, 16, 20, 30)
LAMBDA = 0.3
SAME = 0.002  # mAP: what bf16 on another processor may change
RULES = {  # for whom one orientation asks -> the protocol
    "standard, by orientation": "standard",
    "authors": "la-official",
}
People = dict[str, list[Any]]


def ranking_rows(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """The trained networks on the test people of their folds, by rule and addition."""
    cells = [
        (seed, cell)
        for seed in range(LOSSES.seeds)
        for cell in LOSSES.cells(workspace.profile).values()
        if tuple(cell.levels.values())[:3] in NETWORKS
    ]
    settings = {"k1": K1, "lambda": LAMBDA, "k2": [k2_of(k1) for k1 in K1]}
    data = {
        cell.levels["fold"]: describe_data(workspace.open(LOSSES.data, **cell.options))
        for _, cell in cells
    }
    yield workspace.header(settings=settings, data=data)
    for seed, cell in cells:
        run, fold = workspace.trained(LOSSES, cell, seed), cell.levels["fold"]
        inputs = {"ranking": settings, "network": run.weights, "data": data[fold]}
        for rule, additions in workspace.once(inputs, partial(judge_network, run)).items():
            for addition, people in additions.items():
                yield {
                    "model": cell.levels["model"], "fold": fold, "seed": seed, "rule": rule,
                    "addition": addition, "people": people, "weights": run.weights,
                }  # fmt: skip


def k2_of(k1: int) -> int:
    """The published 6, and no more than k1."""
    return min(6, k1)


def judge_network(run: Trained) -> dict[str, dict[str, People]]:
    """One trained network by rule and addition: sums by person, see `people_sums`.

    Raises:
        ValueError: The weights do not give what the record of their training says.
    """
    frame = run.ds.query
    looks = {
        name: embed(run.model, frame, run.recipe, flip_test=flip)
        for name, flip in (("plain", False), ("flip test", True))
    }
    who = (frame.pid, frame.pid, frame.camid, frame.camid)
    whole = {name: evaluate(emb, emb, *who) for name, emb in looks.items()}
    if abs(whole["plain"].mAP - run.record["metrics"]["mAP"]) > SAME:
        raise ValueError(
            f"{run.folder}: the weights give mAP {whole['plain'].mAP:.4f} and the record says "
            f"{run.record['metrics']['mAP']:.4f}; delete the folder and train again"
        )
    sums = {name: people_sums(result, frame.pid) for name, result in whole.items()}
    return {"standard": sums, **by_orientation(looks, frame)}


def by_orientation(
    looks: Mapping[str, Tensor], frame: pd.DataFrame
) -> dict[str, dict[str, People]]:
    """One orientation asks and the others answer, for each orientation; then all together.

    Args:
        looks: "plain" and other embeddings, (N, D) each; the plain ones are re-ranked as well.
        frame: N rows with pid, camid and view.
    """
    parts: dict[str, dict[str, list[RankResult]]] = {rule: {} for rule in RULES}
    pids = []
    for asks in orientations(frame):
        query, gallery = frame[asks], frame[~asks]
        distances = {name: pairwise_distances(emb[asks], emb[~asks]) for name, emb in looks.items()}
        q, g = looks["plain"][asks], looks["plain"][~asks]
        for k1 in K1:
            distances[f"k1 = {k1}"] = rerank(
                q, g, k1=k1, k2=k2_of(k1), lambda_value=LAMBDA, metric="cosine"
            )
        who = (query.pid, gallery.pid, query.camid, gallery.camid)
        for rule, protocol in RULES.items():
            for name, d in distances.items():
                parts[rule].setdefault(name, []).append(rank(d, *who, protocol=protocol))
        pids.append(query.pid.to_numpy())
    asked = np.concatenate(pids)
    return {
        rule: {name: people_sums(average(found), asked) for name, found in results.items()}
        for rule, results in parts.items()
    }


RANKING = Experiment(
    name="la_tf_pp.ranking",
    question="Do flip test and re-ranking help, and does k1 beyond the images of a person hurt?",
    rows=ranking_rows,
    asks=("data_root",),
)
EXPERIMENTS = (LOSSES, LOSSES_ALIKE, AT_ONCE, RANKING)
