"""Steps with a trained network that several papers take."""

from __future__ import annotations

import dataclasses
from typing import Any

from reidlab.data import ReIDDataset
from reidlab.experiments.design import Step
from reidlab.experiments.runner import Trained
from reidlab.judging import evaluate_on
from reidlab.judging.embedding import timed_evaluation
from reidlab.record import describe_data

RETRIEVALS = ("rows", "gelt", "mean")


def _by_retrieval(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    found = {}
    for retrieval in RETRIEVALS:
        result = evaluate_on(run.model, ds, run.recipe, retrieval=retrieval)
        found[retrieval] = {"rank1": result.rank1, "mAP": result.mAP}
    return found


def _official(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    judged = dataclasses.replace(ds, protocol="la-official")
    result, seconds = timed_evaluation(run.model, judged, run.recipe.replace(ap="top10"))
    return {
        "data": describe_data(judged),
        "metrics": result.as_dict(),
        "seconds": {**run.record["seconds"], **seconds},
    }


BY_RETRIEVAL = Step("by_retrieval", _by_retrieval)  # LA-Transformer by each retrieval feature
# PKU-Reid as the authors' program judges it: 28 queries, a gallery of 181, AP over the first ten
OFFICIAL = Step("official", _official, {"split": "la-tf-pp"})
