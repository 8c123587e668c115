"""Query expansion: a query becomes the mean of itself and of what it finds.

Average expansion: Chum et al., "Total Recall: Automatic Query Expansion with a Generative Feature
Model for Object Retrieval", ICCV 2007.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from reidlab.evaluation.checks import Matrix, embedding_pair, whole_number
from reidlab.evaluation.protocols import IntArray
from reidlab.evaluation.retrieval import BLOCK_ELEMENTS, pairwise_distances


def expand_queries(q_emb: Matrix, g_emb: Matrix, *, k: int = 5) -> Tensor:
    """New queries: the mean direction of each query and its k nearest gallery images.

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
        k: gallery images in the mean, by cosine similarity; equal ones are ordered by gallery
            index. Vectors of unit length are averaged, and the result has unit length.

    Returns:
        (Q, D) float32 on the device of `q_emb`, to be passed on as `q_emb`.

    Raises:
        ValueError: NaN or infinity, dimensions that do not fit, k below 1 or above the gallery.

    Example:
        >>> from reidlab.evaluation import expand_queries
        >>> expand_queries([[1.0, 0.0]], [[0.0, 1.0], [-1.0, 0.0]], k=1)
        tensor([[0.7071, 0.7071]])
    """
    queries, gallery = embedding_pair(q_emb, g_emb, "cosine")
    if not 1 <= whole_number("k", k) <= len(gallery):
        raise ValueError(
            f"k is {k}, expected 1 to {len(gallery)} (the gallery), and no more than the images a "
            "person has in it"
        )
    # Whichever is larger: the distances of a query or the images it is averaged with.
    block = max(1, BLOCK_ELEMENTS // max(len(gallery), k * gallery.shape[1]))
    expanded = []
    for rows in queries.split(block):
        distances = pairwise_distances(rows, gallery).cpu().numpy()
        nearest = np.stack([_nearest(row, k) for row in distances])
        images = gallery[torch.from_numpy(nearest).to(gallery.device)].cpu().double()  # (b, k, D)
        total = normalize(rows.cpu().double()) + normalize(images, dim=2).sum(1)
        expanded.append(normalize(total).float())
    return torch.cat(expanded).to(queries.device)


def _nearest(row: NDArray[np.float32], k: int) -> IntArray:
    """Indices of the k smallest distances, equal ones by index, without sorting all: (k,)."""
    last = np.partition(row, k - 1)[k - 1]
    candidates = np.flatnonzero(row <= last)
    return candidates[np.argsort(row[candidates], kind="stable")[:k]]
