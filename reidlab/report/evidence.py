"""Which rows of the picture made a match: three queries, chosen by rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reidlab.data import ReIDDataset
from reidlab.evaluation import ranked_list
from reidlab.explain import row_evidence
from reidlab.judging import judge
from reidlab.report.examples import typical_queries

STRANGERS = 5  # the nearest ones, whose mean a match is told from


@dataclass(frozen=True)
class Evidence:
    """What speaks for the match of one query.

    Attributes:
        ap: average precision of the query, a share of 1.
        query: path of its picture.
        match: path of the nearest right picture.
        stranger: path of the nearest picture of somebody else.
        rows: what each row adds to the margin between match and strangers, (R,).
    """

    ap: float
    query: str
    match: str
    stranger: str
    rows: Tensor


def typical_evidence(
    ds: ReIDDataset, q_emb: Tensor, g_emb: Tensor, rows: int
) -> dict[str, Evidence]:
    """Find the evidence for the query with the best AP, the median one, and the worst.

    Judged by the protocol of the data set, without junk; strangers are the five nearest pictures of
    other people.

    Args:
        ds: the data set.
        q_emb: (Q, R * D) of `ds.query`, row after row.
        g_emb: (G, R * D) of `ds.gallery`.
        rows: R, the rows of the patch grid.

    Returns:
        "best", "median", "worst" -> its evidence.
    """
    kept = torch.tensor((~ds.gallery.junk).tolist())
    good, vectors = ds.gallery[~ds.gallery.junk].reset_index(drop=True), g_emb[kept]
    result = judge(ds, q_emb, vectors)
    found = {}
    for name, i in typical_queries(result).items():
        asked = ds.query.iloc[i]
        ids = int(asked.pid), good.pid, int(asked.camid), good.camid
        ranked = ranked_list(q_emb[i], vectors, *ids, k=len(good), protocol=ds.protocol)
        places, right = ranked.indices[0], ranked.matches[0]
        match, others = places[right][0], places[~right & (places >= 0)][:STRANGERS]
        strange = vectors[torch.from_numpy(np.asarray(others))]
        found[name] = Evidence(
            ap=float(result.ap[i]),
            query=asked.path,
            match=good.path[match],
            stranger=good.path[others[0]],
            rows=row_evidence(q_emb[i], vectors[match], strange, rows),
        )
    return found
