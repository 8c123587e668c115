"""From embeddings to a ranking, block by block: the whole distance matrix never exists.

Distances are accumulated in double precision and kept in single (Euclidean ones around the mean of
the gallery, so that embeddings far from zero lose no digits). So two copies of one image get
*the same* distance whichever block or BLAS kernel they fall into, the tie rule (gallery order)
holds, the result does not depend on the block size, and TF32 or half-precision embeddings cannot
move it. MSMT17 (11,659 x 82,161) would be 3.8 GB as one matrix; a block is 64 MB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.evaluation.checks import (
    Labels,
    Matrix,
    Metric,
    embedding_pair,
    few_queries,
    whole_number,
)
from reidlab.evaluation.evaluators import Labelled, Trials, make_evaluator
from reidlab.evaluation.protocols import APVariant, IntArray, Over, get_protocol
from reidlab.evaluation.ranking import BLOCK_ELEMENTS
from reidlab.evaluation.results import RankResult

GALLERY_CHUNK = 4096  # gallery rows compared at once
PREPARED_BYTES = 2**30  # a gallery that fits is turned to double precision once, not for each block


@dataclass(frozen=True, eq=False)
class RankedList:
    """The nearest gallery images of some queries, for figures.

    Args:
        indices: (Q, k) gallery indices, nearest first; -1 where fewer than k images remain.
        distances: (Q, k) float32, NaN there.
        matches: (Q, k) True where the image shows the query's person.
    """

    indices: IntArray
    distances: NDArray[np.float32]
    matches: NDArray[np.bool_]

    @classmethod
    def empty(cls, queries: int, k: int) -> RankedList:
        """Room for k images of each query."""
        shape = queries, whole_number("k", k, 1)
        return cls(
            np.full(shape, -1, np.int64), np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
        )

    def put(
        self, query: int, nearest: IntArray, distances: NDArray[np.float32], matches: IntArray
    ) -> None:
        """Fill the row of a query: at most k images, nearest first, and which images are right."""
        self.indices[query, : len(nearest)] = nearest
        self.distances[query, : len(nearest)] = distances
        self.matches[query, : len(nearest)] = np.isin(nearest, matches)


def pairwise_distances(q_emb: Matrix, g_emb: Matrix, *, metric: Metric = "cosine") -> Tensor:
    """Distances between two sets of embeddings, accumulated in double precision.

    Args:
        q_emb: (Q, D) of any floating precision, on any device.
        g_emb: (G, D).
        metric: "cosine" (1 - cosine similarity; a vector of zeros is at distance 1 from all) or
            "euclidean" (not squared).

    Returns:
        (Q, G) float32 on the device of `q_emb`.
    """
    queries, gallery = embedding_pair(q_emb, g_emb, metric)
    return Compared(gallery, metric).distances(queries)


def evaluate(  # takes what `rank` takes
    q_emb: Matrix,
    g_emb: Matrix,
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels | None = None,
    g_camids: Labels | None = None,
    *,
    protocol: str = "standard",
    ap: APVariant | None = None,
    over: Over | None = None,
    metric: Metric = "cosine",
    max_rank: int = 50,
    trials: Trials | None = None,
    shots: int | None = None,
    block: int | None = None,
) -> RankResult:
    """Evaluate embeddings without ever holding the whole distance matrix.

    Args:
        q_emb: (Q, D) query embeddings of any floating precision; NumPy or torch, any device. On a
            GPU the distances are computed and ranked there.
        g_emb: (G, D) gallery embeddings.
        q_pids, g_pids, q_camids, g_camids, protocol, ap, over, max_rank, trials, shots: as in
            `rank`.
        metric: "cosine" or "euclidean"; the order is the same for embeddings of unit length.
        block: queries per block; by default as many as give 64 MB of distances. It does not
            change the result.

    Returns:
        The shares and the values per query; a `TrialsResult` for protocols that draw.

    Raises:
        TypeError: labels that are not integers.
        ValueError: NaN or infinity in the embeddings, lengths or dimensions that do not fit,
            cameras missing or unknown to the protocol, unknown names, or no query with a match.
    """
    queries, gallery = embedding_pair(q_emb, g_emb, metric)
    labels = Labelled.checked(
        q_pids, g_pids, q_camids, g_camids, (len(queries), len(gallery)), get_protocol(protocol)
    )
    evaluator = make_evaluator(
        labels, ap=ap, over=over, max_rank=max_rank, trials=trials, shots=shots
    )
    if block is None:
        block = max(1, BLOCK_ELEMENTS // len(gallery))
    block = whole_number("block", block, 1, " query per block")
    if not labels.complete:
        gallery = gallery[torch.from_numpy(labels.kept).to(gallery.device)]
    compared = Compared(gallery, metric)
    for start in range(0, len(queries), block):
        distances = compared.distances(queries[start : start + block])
        on_gpu = distances.device.type == "cuda"
        evaluator.add(distances if on_gpu else distances.cpu().numpy(), start)
    return evaluator.result()


def ranked_list(  # takes what `rank` takes
    q_emb: Matrix,
    g_emb: Matrix,
    q_pids: Labels | int,
    g_pids: Labels,
    q_camids: Labels | int | None = None,
    g_camids: Labels | None = None,
    *,
    k: int = 10,
    protocol: str = "standard",
    metric: Metric = "cosine",
) -> RankedList:
    """The k nearest gallery images of each query, after the protocol has dropped its own.

    Args:
        q_emb: (Q, D) embeddings of the queries to show, or (D,) of one.
        g_emb: (G, D) gallery embeddings.
        q_pids, q_camids: (Q,) integers, or one integer for one query.
        g_pids, g_camids: (G,) integers.
        k: images per query.
        protocol: name of the rule, see `protocols.PROTOCOLS`.
        metric: "cosine" or "euclidean".

    Returns:
        Indices, distances and match flags, each (Q, k), padded where fewer than k images remain.
    """
    k = whole_number("k", k, 1)
    distances = pairwise_distances(few_queries(q_emb), g_emb, metric=metric)
    rows, images = distances.shape
    labels = labelled_queries(q_pids, g_pids, q_camids, g_camids, (rows, images), protocol)
    result = RankedList.empty(rows, k)
    for query, row in enumerate(distances.cpu().numpy()):
        seen, matches = labels.seen_by(query)
        order = np.argsort(row, kind="stable")
        nearest = order[seen[order]][:k]
        result.put(query, nearest, row[nearest], matches)
    return result


def labelled_queries(
    q_pids: Labels | int,
    g_pids: Labels,
    q_camids: Labels | int | None,
    g_camids: Labels | None,
    shape: tuple[int, int],
    protocol: str,
) -> Labelled:
    """`Labelled` for a few queries, or for one whose labels are plain integers."""
    pids, camids = (
        x if x is None else torch.atleast_1d(x) if isinstance(x, Tensor) else np.atleast_1d(x)
        for x in (q_pids, q_camids)
    )
    if pids is None:
        raise ValueError("q_pids is None; expected the id of each query, which says what matches")
    return Labelled.checked(pids, g_pids, camids, g_camids, shape, get_protocol(protocol))


class Compared:
    """A gallery that blocks of queries are compared with.

    Args:
        gallery: (G, D).
        metric: "cosine" or "euclidean".
    """

    def __init__(self, gallery: Tensor, metric: Metric) -> None:
        self.gallery, self.metric = gallery, metric
        self._origin = _mean(gallery) if metric == "euclidean" else None
        self._chunks: list[Tensor] | None = None
        if gallery.numel() * 8 <= PREPARED_BYTES:
            self._chunks = [self._prepared(chunk) for chunk in gallery.split(GALLERY_CHUNK)]

    def distances(self, queries: Tensor) -> Tensor:
        """(q, D) -> (q, G) float32."""
        rows = self._prepared(queries)
        result = torch.empty(len(rows), len(self.gallery), device=rows.device)
        chunks = self._chunks or map(self._prepared, self.gallery.split(GALLERY_CHUNK))
        distances = _euclidean if self.metric == "euclidean" else _cosine
        start = 0
        for chunk in chunks:
            result[:, start : start + len(chunk)] = distances(rows, chunk)
            start += len(chunk)
        return result

    def _prepared(self, embedding: Tensor) -> Tensor:
        """In double precision, of unit length or around the gallery's mean."""
        double = _double(embedding)
        if self._origin is None:
            return torch.nn.functional.normalize(double)
        return double - self._origin


def _mean(gallery: Tensor) -> Tensor:
    """(D,) the mean image, in double precision."""
    parts = [_double(chunk).sum(0) for chunk in gallery.split(GALLERY_CHUNK)]
    return torch.stack(parts).sum(0) / max(1, len(gallery))


def _double(embedding: Tensor) -> Tensor:
    """In double precision, on the CPU where the device has none (Apple's MPS)."""
    return embedding.cpu().double() if embedding.device.type == "mps" else embedding.double()


def _cosine(queries: Tensor, gallery: Tensor) -> Tensor:
    # Rounded before the subtraction: 1 - (1 - 1e-16) and 1 - 1 must be equal.
    return 1 - (queries @ gallery.T).float()


def _euclidean(queries: Tensor, gallery: Tensor) -> Tensor:
    # Both around the gallery's mean: far from it all digits would go into what cancels.
    scale = queries.square().sum(1, keepdim=True) + gallery.square().sum(1)  # (q, G)
    squared = scale - 2 * queries @ gallery.T
    # What is left of the cancellation between two copies of one image is rounding: it is zero.
    squared = torch.where(squared < 1e-13 * scale, 0.0, squared)
    return squared.sqrt().float()
