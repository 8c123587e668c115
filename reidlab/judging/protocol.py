"""From the embeddings of a data set to the numbers of its protocol."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from reidlab.data.dataset import ReIDDataset
from reidlab.data.sysu_mm01 import galleries
from reidlab.evaluation import RankResult, evaluate

Embeddings: TypeAlias = NDArray[np.floating] | Tensor


def judge(ds: ReIDDataset, q_emb: Embeddings, g_emb: Embeddings, **options: Any) -> RankResult:
    """Judge embeddings by the protocol of their data set.

    Args:
        ds: gives ids, cameras and, unless `protocol` is among the options, the protocol. The
            pool of SYSU-MM01 (`trial=None`) is judged on the ten galleries, or the first `trials`
            of them, that `draw_gallery` draws.
        q_emb: (Q, D) of `ds.query`, in its order; of all images, or of all that are not junk.
        g_emb: (G, D) of `ds.gallery`, likewise.
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
    return evaluate(
        q_emb, g_emb, query["pid"], gallery["pid"], query["camid"], gallery["camid"],
        protocol=protocol, **options,
    )  # fmt: skip


def embedded(name: str, frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The rows of a table that were embedded: all, or all but junk."""
    good = frame[~frame["junk"]]
    if rows not in (len(frame), len(good)):
        raise ValueError(
            f"{name} has {rows} rows, expected {len(frame)}, one for each image of the table in "
            f"its order, or {len(good)} without junk; embed that table, and no other split"
        )
    return frame if len(frame) == rows else good
