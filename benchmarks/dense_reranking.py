"""k-reciprocal re-ranking as the field runs it, to measure `reidlab.evaluation.rerank` against.

The same definition (see `reidlab/evaluation/reranking.py`) in the usual form: several matrices over
all pairs of images, a full sort of each row, a Python loop over images. At Market-1501's size
(19,281 images) each such matrix is 1.5 GB in float32, so it needs about 9 GB; at MSMT17's 35 GB
each. Ties fall as the rounding of the matrix product decides, so copies of an image may stand in
any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def dense_rerank(
    q_emb: NDArray[np.floating],
    g_emb: NDArray[np.floating],
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> NDArray[np.floating]:
    """(Q, D), (G, D) -> (Q, G) re-ranked distances in the precision of the embeddings."""
    queries = len(q_emb)
    points = np.concatenate([q_emb, g_emb])
    distances = _scaled_squares(points)
    order = np.argsort(distances, axis=1, kind="stable")
    weights = np.zeros_like(distances)
    for i in range(len(points)):
        members = _expanded(order, i, k1)
        gaussian = np.exp(-distances[i, members])
        weights[i, members] = gaussian / gaussian.sum()
    original = distances[:queries, queries:].copy()
    del distances
    if k2 > 1:
        weights = np.stack([weights[nearest].mean(axis=0) for nearest in order[:, :k2]])
    del order
    return lambda_value * original + (1 - lambda_value) * _jaccard(weights, queries)


def _scaled_squares(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Squared Euclidean distances, each row divided by its largest: (N, N)."""
    norms = np.square(points).sum(axis=1)
    distances = points @ points.T
    distances *= -2
    distances += norms
    distances += norms[:, None]
    distances /= distances.max(axis=1, keepdims=True)
    return distances


def _reciprocal(order: NDArray[np.int64], i: int, k: int) -> NDArray[np.int64]:
    forward = order[i, : k + 1]
    backward = order[forward, : k + 1]
    return forward[(backward == i).any(axis=1)]


def _expanded(order: NDArray[np.int64], i: int, k1: int) -> NDArray[np.int64]:
    members = _reciprocal(order, i, k1)
    parts = [members]
    for j in members:
        candidates = _reciprocal(order, j, int(np.around(k1 / 2)))
        if len(np.intersect1d(candidates, members)) > 2 / 3 * len(candidates):
            parts.append(candidates)
    return np.unique(np.concatenate(parts))


def _jaccard(weights: NDArray[np.floating], queries: int) -> NDArray[np.floating]:
    """Jaccard distances of queries and gallery, each query through lists of who has weight."""
    holders = [np.flatnonzero(column) for column in weights.T]
    result = np.empty((queries, len(weights) - queries), weights.dtype)
    for i in range(queries):
        shared = np.zeros(len(weights), weights.dtype)
        for c in np.flatnonzero(weights[i]):
            shared[holders[c]] += np.minimum(weights[i, c], weights[holders[c], c])
        result[i] = (1 - shared / (2 - shared))[queries:]
    return result
