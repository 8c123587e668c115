"""Query expansion: a query becomes the mean of itself and of what it finds.

Average expansion: Chum et al., "Total Recall: Automatic Query Expansion with a Generative Feature
Model for Object Retrieval", ICCV 2007. Weights (similarity ** alpha): Radenović, Tolias, Chum,
"Fine-Tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019 (arXiv 1711.02512, 2018).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.evaluation.checks import Matrix, Metric, embeddings, whole_number
from reidlab.evaluation.protocols import IntArray
from reidlab.evaluation.retrieval import BLOCK_ELEMENTS, pairwise_distances


def expand_queries(
    q_emb: Matrix,
    g_emb: Matrix,
    *,
    k: int = 5,
    alpha: float = 0.0,
    metric: Metric = "cosine",
    block: int | None = None,
) -> Tensor:
    """New queries: the weighted mean of each query and its k nearest gallery images.

    What it costs: one more search of the gallery, about as much as `evaluate` itself.

    What it assumes:

    * The gallery may be searched twice. A result with expansion is one more setting: say so beside
      the number.
    * The k nearest are right. Where a person has fewer than k images in the gallery, others are
      mixed into the query, and it hurts.
    * Neither ids nor cameras are used. So the images that a protocol drops for a query, those of
      the same person in the same camera, enter its mean, and being the most similar they may
      fill it; junk enters, too.

    Args:
        q_emb: (Q, D) query embeddings of any floating precision; NumPy or torch, any device.
        g_emb: (G, D) gallery embeddings.
        k: gallery images in the mean. Equal distances are ordered by gallery index.
        alpha: 0 for the plain mean; above, each image weighs (cosine similarity) ** alpha, one of
            negative similarity nothing. The query itself weighs 1.
        metric: "cosine" (vectors of unit length are averaged, and so is the result) or "euclidean"
            (vectors as they are, plain mean only).
        block: queries per block; by default as many as give 64 MB. It does not change the result.

    Returns:
        (Q, D) float32 on the device of `q_emb`, to be passed on as `q_emb`.

    Raises:
        ValueError: NaN or infinity, dimensions that do not fit, an unknown metric, k below 1 or
            above the gallery, alpha below 0, or above 0 with Euclidean distances.

    Example:
        >>> from reidlab.evaluation import expand_queries
        >>> expand_queries([[1.0, 0.0]], [[0.0, 1.0], [-1.0, 0.0]], k=1)
        tensor([[0.7071, 0.7071]])
    """
    queries, gallery = embeddings("q_emb", q_emb), embeddings("g_emb", g_emb)
    _check_settings(k, len(gallery), alpha, metric)
    if block is None:
        # Whichever is larger: the distances of a query or the images it is averaged with.
        block = max(1, BLOCK_ELEMENTS // max(len(gallery), k * gallery.shape[1]))
    block = whole_number("block", block, 1, " query per block")
    expanded = []
    for rows in queries.split(block):
        distances = pairwise_distances(rows, gallery, metric=metric).cpu().numpy()
        nearest = np.stack([_nearest(row, k) for row in distances])
        images = gallery[torch.from_numpy(nearest).to(gallery.device)].cpu().double()  # (b, k, D)
        similarity = 1 - np.take_along_axis(distances, nearest, 1).astype(np.float64)
        weights = np.maximum(similarity, 0) ** alpha if alpha > 0 else np.ones(nearest.shape)
        expanded.append(_mean(rows.cpu().double(), images, torch.from_numpy(weights), metric))
    return torch.cat(expanded).to(queries.device)


def _mean(queries: Tensor, images: Tensor, weights: Tensor, metric: Metric) -> Tensor:
    """(b, D), (b, k, D), (b, k) -> (b, D) float32; a query weighs 1."""
    normalize = torch.nn.functional.normalize
    if metric == "cosine":
        queries, images = normalize(queries), normalize(images, dim=2)
    total = queries + (weights[:, :, None] * images).sum(1)
    if metric == "cosine":
        return normalize(total).float()
    return (total / (1 + weights.sum(1, keepdim=True))).float()


def _nearest(row: NDArray[np.float32], k: int) -> IntArray:
    """Indices of the k smallest distances, equal ones by index, without sorting all: (k,)."""
    last = np.partition(row, k - 1)[k - 1]
    candidates = np.flatnonzero(row <= last)
    return candidates[np.argsort(row[candidates], kind="stable")[:k]]


def _check_settings(k: int, images: int, alpha: float, metric: Metric) -> None:
    if not 1 <= whole_number("k", k) <= images:
        raise ValueError(
            f"k is {k}, expected 1 to {images} (the gallery), and no more than the images a person "
            "has in it"
        )
    if not alpha >= 0 or alpha == float("inf"):
        raise ValueError(
            f"alpha is {alpha}, expected 0 (plain mean) or a positive number such as 3"
        )
    if alpha > 0 and metric == "euclidean":
        raise ValueError(
            f"alpha is {alpha} with metric 'euclidean': it weighs by cosine similarity; use "
            "metric='cosine', or alpha=0"
        )
