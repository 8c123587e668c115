"""One set of embeddings under several protocols, side by side."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from reidlab.evaluation.checks import Labels, Matrix, Metric
from reidlab.evaluation.protocols import PROTOCOLS, APVariant
from reidlab.evaluation.retrieval import evaluate
from reidlab.evaluation.statistics import bootstrap

RANKS = (1, 5, 10)


def audit(  # takes what `rank` takes
    q_emb: Matrix,
    g_emb: Matrix,
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels | None = None,
    g_camids: Labels | None = None,
    *,
    protocols: Iterable[str] | str | None = None,
    ap: APVariant | None = None,
    metric: Metric = "cosine",
) -> pd.DataFrame:
    """What each protocol says of the same embeddings.

    Args:
        q_emb, g_emb, q_pids, g_pids, q_camids, g_camids, metric: as in `evaluate`.
        protocols: names, or one; by default (or of none) all there are, and one that cannot be
            applied (no cameras, or no match under its rule) is left out with its reason.
        ap: as in `evaluate`; by default each protocol's own.

    Returns:
        A row for each protocol, shares in 0..1: rank1, rank5, rank10, mAP, the 95 % interval of the
        mAP over people (low, high; NaN for one person), mINP, the queries counted, and which AP it
        is. `attrs["left out"]` maps the others to their reasons.

    Raises:
        TypeError, ValueError: as `evaluate`, for a protocol that was asked for by name, or if none
            of all can be applied.
    """
    given = [protocols] if isinstance(protocols, str) else [] if protocols is None else [*protocols]
    names = given or [*PROTOCOLS]
    rows, left_out = {}, {}
    labels = (q_pids, g_pids, q_camids, g_camids)
    for name in names:
        try:
            result = evaluate(q_emb, g_emb, *labels, protocol=name, ap=ap, metric=metric)
        except ValueError as error:
            if given:
                raise
            left_out[name] = str(error)
            continue
        try:
            interval = bootstrap(result, q_pids)
            low, high = interval.low, interval.high
        except ValueError:  # one person: no spread
            low = high = float("nan")
        rows[name] = {
            **{f"rank{k}": result.cmc(k) for k in RANKS},
            "mAP": result.mAP,
            "low": low,
            "high": high,
            "mINP": result.mINP,
            "counted": result.num_valid,
            "AP": result.ap_variant,
        }
    if not rows:
        reasons = list(left_out.values())
        if len(set(reasons)) == 1:  # it has nothing to do with protocols
            raise ValueError(reasons[0])
        each = "\n".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"no protocol can be applied\n{each}")
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("protocol")
    table.attrs["left out"] = left_out
    return table
