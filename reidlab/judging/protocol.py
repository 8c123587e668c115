"""From the embeddings of a data set to the numbers of its protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.data.dataset import ReIDDataset
from reidlab.data.sysu_mm01 import galleries
from reidlab.evaluation import RankResult, evaluate, rank_blocks

Embeddings: TypeAlias = NDArray[np.floating] | Tensor
Match: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A matcher's `match(q_emb, g_emb)`: scores (q, g), the higher the more alike."""
QUERIES, IMAGES = 64, 512  # pairs that a matcher is asked for at once


def judge(
    ds: ReIDDataset,
    q_emb: Embeddings,
    g_emb: Embeddings,
    *,
    match: Match | None = None,
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
        options: for `reidlab.evaluation.evaluate`.

    Raises:
        ValueError: another number of embeddings than images, and whatever `evaluate` raises.
    """
    query = embedded("q_emb", ds.query, len(q_emb))
    gallery = embedded("g_emb", ds.gallery, len(g_emb))
    protocol = options.pop("protocol", ds.protocol)
    trials, shots = options.get("trials"), options.get("shots")
    as_opened = shots is None and isinstance(trials, int | np.integer | None)
    if protocol == "sysu" and ds.name == "sysu-mm01" and as_opened:
        options["trials"] = galleries(ds, trials)
    who = query["pid"], gallery["pid"], query["camid"], gallery["camid"]
    if match is None:
        return evaluate(q_emb, g_emb, *who, protocol=protocol, **options)
    options.pop("metric", None)
    pairs = (torch.as_tensor(q_emb), torch.as_tensor(g_emb))
    shape = (len(q_emb), len(g_emb))
    return rank_blocks(_distances(match, *pairs), shape, *who, protocol=protocol, **options)


def _distances(match: Match, q_emb: Tensor, g_emb: Tensor) -> Iterator[Tensor]:
    """Scores with the sign turned, (q, G) float32 on the CPU, some queries after the other."""
    with torch.inference_mode():
        for queries in q_emb.split(QUERIES):
            parts = [match(queries, images).float().cpu() for images in g_emb.split(IMAGES)]
            yield -torch.cat(parts, dim=1)


def embedded(name: str, frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The rows of a table that were embedded: all, or all but junk."""
    good = frame[~frame["junk"]]
    if rows not in (len(frame), len(good)):
        raise ValueError(
            f"{name} has {rows} rows, expected {len(frame)}, one for each image of the table in "
            f"its order, or {len(good)} without junk; embed that table, and no other split"
        )
    return frame if len(frame) == rows else good
