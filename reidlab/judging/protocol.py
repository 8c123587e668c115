"""From the embeddings of a data set to the numbers of its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.data.dataset import ReIDDataset
from reidlab.data.sysu_mm01 import galleries
from reidlab.errors import RecipeError
from reidlab.evaluation import (
    RankResult,
    evaluate,
    get_protocol,
    queries_with_match,
    rank_blocks,
)
from reidlab.evaluation.checks import METRICS, one_of
from reidlab.judging.matching import Match, check_kept, score_rows

Embeddings: TypeAlias = NDArray[np.floating] | Tensor


def judge(
    ds: ReIDDataset,
    q_emb: Embeddings,
    g_emb: Embeddings,
    *,
    match: Match | None = None,
    scores: Path | None = None,
    **options: Any,
) -> RankResult:
    """Judge embeddings by the protocol of their data set.

    Args:
        ds: gives ids, cameras and, unless `protocol` is among the options, the protocol. The
            pool of SYSU-MM01 (`trial=None`) is judged on the ten galleries, or the first `trials`
            of them, that `draw_gallery` draws.
        q_emb: (Q, D) of `ds.query`, in its order; of all images, or of all that are not junk.
        g_emb: (G, D) of `ds.gallery`, likewise.
        match: of a matcher, whose embeddings are maps and no vectors: it is asked for the scores in
            blocks, and no distance is computed.
        scores: of a matcher: a file that keeps its scores, so that a judgement that was interrupted
            goes on where it was, see `reidlab.judging.matching`.
        options: for `reidlab.evaluation.evaluate`. A matcher has no use for `metric` and `block`,
            which say how distances are computed.

    Raises:
        ValueError: another number of embeddings than images, `scores` without `match`, and whatever
            `evaluate` or `score_rows` raises.
    """
    query = embedded("q_emb", ds.query, len(q_emb))
    gallery = embedded("g_emb", ds.gallery, len(g_emb))
    options = _rule(ds, options)
    who = query["pid"], gallery["pid"], query["camid"], gallery["camid"]
    if match is None:
        check_kept(scores, matcher=False)
        return evaluate(q_emb, g_emb, *who, **options)
    one_of("metric", options.pop("metric", METRICS[0]), METRICS)
    options.pop("block", None)
    pairs = (torch.as_tensor(q_emb), torch.as_tensor(g_emb))
    shape = (len(q_emb), len(g_emb))
    blocks = (-block for block in score_rows(match, *pairs, scores))
    return rank_blocks(blocks, shape, *who, **options)


def has_test_part(ds: ReIDDataset) -> bool:
    """Whether a set has a query and a gallery; some, such as RandPerson, are for training alone."""
    return not (ds.query["junk"].all() or ds.gallery["junk"].all())


def check_judged(ds: ReIDDataset, **options: Any) -> None:
    """Find out from ids and cameras alone whether a set can be judged: before any embedding.

    Args:
        ds: as in `judge`; junk is left out.
        options: `protocol`, `trials` and `shots`, as in `judge`.

    Raises:
        RecipeError: it has no test part, or none of its queries has a match.
        ValueError: an unknown protocol, cameras it does not know, and so on, as in `evaluate`.
    """
    query, gallery = (frame[~frame["junk"]] for frame in (ds.query, ds.gallery))
    if not has_test_part(ds):
        raise RecipeError(
            f"{ds.name} has {len(query)} query and {len(gallery)} gallery images; expected some of "
            "both. A model trained on such a set is judged on another one: "
            "evaluate_on(model, other, recipe); weights can be judged on its training people: "
            "zero_shot(backbone, of_training_people(ds), recipe)."
        )
    options = _rule(ds, options)
    who = query["pid"], gallery["pid"], query["camid"], gallery["camid"]
    if queries_with_match(*who, **options).any():
        return
    rule = get_protocol(options["protocol"])
    cameras = query["camid"].nunique()
    raise RecipeError(
        f"none of the {len(query)} queries of {ds.name} has a match among its {len(gallery)} "
        f"gallery images, so there is nothing to measure; the queries are of {cameras} "
        f"camera{'s' if cameras > 1 else ''} and the protocol is {rule.name!r}: {rule.rule} "
        "Do query and gallery use the same ids? If one camera saw everybody, open the images by a "
        "CSV file that gives each a camid of its own: every other image of the person is right "
        "then, which is easier, so say it beside the result."
    )


def _rule(ds: ReIDDataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the protocol of the set, and the draws of SYSU-MM01's pool."""
    rule = {"protocol": ds.protocol, **options}
    trials, shots = rule.get("trials"), rule.get("shots")
    as_opened = shots is None and isinstance(trials, int | np.integer | None)
    if rule["protocol"] == "sysu" and ds.name == "sysu-mm01" and as_opened:
        rule["trials"] = galleries(ds, trials)
    return rule


def embedded(name: str, frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The rows of a table that were embedded: all, or all but junk."""
    good = frame[~frame["junk"]]
    if rows not in (len(frame), len(good)):
        raise ValueError(
            f"{name} has {rows} rows, expected {len(frame)}, one for each image of the table in "
            f"its order, or {len(good)} without junk; embed that table, and no other split"
        )
    return frame if len(frame) == rows else good
