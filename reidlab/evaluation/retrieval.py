"""From embeddings to a ranking, block by block: the whole distance matrix never exists.

Distances are accumulated in double precision and kept in single. So two copies of one image get
*the same* distance whichever block or BLAS kernel they fall into, the tie rule (gallery order)
holds, the result does not depend on the block size, and TF32 or half-precision embeddings cannot
move it. MSMT17 (11,659 x 82,161) would be 3.8 GB as one matrix; a block is 64 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.evaluation.checks import Labels, Matrix, embeddings, integer_labels
from reidlab.evaluation.protocols import Gallery, IntArray, get_protocol
from reidlab.evaluation.ranking import APVariant, Ranker, RankResult

Metric = Literal["cosine", "euclidean"]
BLOCK_ELEMENTS = 2**24  # distances held at once: 64 MB in float32
GALLERY_CHUNK = 4096  # gallery rows held in double precision at once


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
    queries, gallery = _checked(q_emb, g_emb, metric)
    return _distances(queries, gallery, metric)


def evaluate(
    q_emb: Matrix,
    g_emb: Matrix,
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels,
    g_camids: Labels,
    *,
    protocol: str = "standard",
    ap: APVariant = "mean_precision",
    metric: Metric = "cosine",
    max_rank: int = 50,
    block: int | None = None,
) -> RankResult:
    """Judge embeddings without ever holding the whole distance matrix.

    Args:
        q_emb: (Q, D) query embeddings of any floating precision; NumPy or torch, any device.
        g_emb: (G, D) gallery embeddings.
        q_pids, g_pids, q_camids, g_camids, protocol, ap, max_rank: as in `rank`.
        metric: "cosine" or "euclidean"; the order is the same for embeddings of unit length.
        block: queries per block; by default as many as give 64 MB of distances. It does not
            change the result.

    Raises:
        TypeError: labels that are not integers.
        ValueError: NaN or infinity in the embeddings, lengths or dimensions that do not fit,
            unknown names, or no query with a match.
    """
    queries, gallery = _checked(q_emb, g_emb, metric)
    ranker = Ranker(
        integer_labels("q_pids", q_pids, len(queries)),
        integer_labels("g_pids", g_pids, len(gallery)),
        integer_labels("q_camids", q_camids, len(queries)),
        integer_labels("g_camids", g_camids, len(gallery)),
        protocol=protocol,
        ap=ap,
        max_rank=max_rank,
    )
    if block is None:
        block = max(1, BLOCK_ELEMENTS // len(gallery))
    if block < 1:
        raise ValueError(f"block is {block}, expected at least 1 query per block")
    for start in range(0, len(queries), block):
        distances = _distances(queries[start : start + block], gallery, metric)
        ranker.add(distances.cpu().numpy(), start)
    return ranker.result()


def ranked_list(
    q_emb: Matrix,
    g_emb: Matrix,
    q_pids: Labels | int,
    g_pids: Labels,
    q_camids: Labels | int,
    g_camids: Labels,
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
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1")
    q_emb = torch.atleast_2d(torch.as_tensor(q_emb))
    distances = pairwise_distances(q_emb, g_emb, metric=metric)
    rows, images = distances.shape
    pids = integer_labels("q_pids", np.atleast_1d(q_pids), rows)
    camids = integer_labels("q_camids", np.atleast_1d(q_camids), rows)
    all_pids = integer_labels("g_pids", g_pids, images)
    gallery = Gallery(all_pids, integer_labels("g_camids", g_camids, images))
    rule = get_protocol(protocol)
    result = RankedList(
        np.full((rows, k), -1, np.int64),
        np.full((rows, k), np.nan, np.float32),
        np.zeros((rows, k), bool),
    )
    for i, row in enumerate(distances.cpu().numpy()):
        special = rule.special(int(pids[i]), int(camids[i]), gallery)
        shown = rule.takes_part(all_pids)
        shown[special.indices[special.excluded]] = False
        order = np.argsort(row, kind="stable")
        nearest = order[shown[order]][:k]
        result.indices[i, : len(nearest)] = nearest
        result.distances[i, : len(nearest)] = row[nearest]
        result.matches[i, : len(nearest)] = np.isin(nearest, special.indices[~special.excluded])
    return result


def _checked(q_emb: Matrix, g_emb: Matrix, metric: Metric) -> tuple[Tensor, Tensor]:
    """Both embeddings as tensors on the queries' device."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}")
    queries, gallery = embeddings("q_emb", q_emb), embeddings("g_emb", g_emb)
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"q_emb has {queries.shape[1]} dimensions and g_emb {gallery.shape[1]}: both must come "
            "from the same model"
        )
    return queries, gallery.to(queries.device)


def _distances(queries: Tensor, gallery: Tensor, metric: Metric) -> Tensor:
    """(q, D), (G, D) -> (q, G) float32."""
    rows = _double(queries)
    return torch.cat(
        [METRICS[metric](rows, _double(chunk)) for chunk in gallery.split(GALLERY_CHUNK)], dim=1
    )


def _double(embedding: Tensor) -> Tensor:
    """The same in double precision; on the CPU where the device has none (Apple's MPS)."""
    return embedding.cpu().double() if embedding.device.type == "mps" else embedding.double()


def _cosine(queries: Tensor, gallery: Tensor) -> Tensor:
    normalize = torch.nn.functional.normalize
    # Rounded before the subtraction: 1 - (1 - 1e-16) and 1 - 1 must be equal.
    return 1 - (normalize(queries) @ normalize(gallery).T).float()


def _euclidean(queries: Tensor, gallery: Tensor) -> Tensor:
    scale = queries.square().sum(1, keepdim=True) + gallery.square().sum(1)  # (q, G)
    squared = scale - 2 * queries @ gallery.T
    # What is left of the cancellation between two copies of one image is rounding: it is zero.
    squared = torch.where(squared < 1e-13 * scale, 0.0, squared)
    return squared.sqrt().float()


METRICS = {"cosine": _cosine, "euclidean": _euclidean}
