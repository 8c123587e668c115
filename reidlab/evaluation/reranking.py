"""k-reciprocal re-ranking: two images are near if they have the same neighbours.

Zhong, Zheng, Cao, Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
With N = Q + G images, the queries first, and k+1 neighbours always including the image itself:

1. d[i, j]: squared Euclidean distance, divided by the largest of its row (over all N images);
2. R(i, k): those j among the k+1 nearest of i that have i among their own k+1 nearest;
3. R*(i): R(i, k1), and the whole R(j, k1/2) of each j in R(i, k1) that shares more than two thirds
   of its members with R(i, k1);
4. V[i, j] = exp(-d[i, j]) on R*(i), 0 elsewhere, scaled to sum 1; then each V[i] is replaced by the
   mean of V over the k2 nearest of i (local query expansion; skipped for k2 = 1);
5. Jaccard distance 1 - s / (2 - s) with s = sum over c of min(V[i, c], V[j, c]);
6. lambda * d + (1 - lambda) * Jaccard distance.

k1/2 is rounded half to even, as `numpy.around` does. Equal distances are ordered by index.

Squared *once*: some published code squares the squares again, some takes k1 neighbours instead of
k1+1 or scales d otherwise. All of these run and look right, but on the same features their mAP
reaches from 0.764 to 0.788, so a number without the definition cannot be compared with another.

Speed and memory. The textbook form holds several N x N matrices (MSMT17: 35 GB each) and sorts each
row. Here the distances of each pair are computed once, in square tiles, each for its rows *and* its
columns: little more than half the multiplications, one tile in memory. Kept are the k1+1 nearest
of each image (with a few to spare), the largest distance of each, and the (Q, G) part, which
becomes the result. Everything after that is sparse: tens of entries per image. With D = 768
Market-1501 (3,368 x 15,913) takes 1.5 GB; of MSMT17 (11,659 x 82,161) the result alone is 3.8 GB.

Precision. The tiles are float32, which cannot tell near-ties apart, and a neighbour more or less
moves whole sets. So each row is certified: if the rounding bound of a dot product leaves open who
belongs to the nearest, the candidates are measured anew in double precision by their differences
(copies of an image then tie exactly), and if even the candidates may not suffice, the whole row is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.evaluation.checks import Matrix, Metric, embedding_pair, whole_number

Sparse: TypeAlias = Any  # scipy.sparse.csr_array; scipy is optional and untyped
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

TILE = 4096  # side of a tile of distances: 64 MB in float32
UNDERFLOW = 1e-30  # what numbers too small for float32 may add to a squared distance
SPARE = 8  # candidates beyond the neighbours needed, to certify most rows without a second look
PAIR_ELEMENTS = 2**18  # numbers of one chunk of pairs: small enough to stay in the cache
LIST_ENTRIES = 2**17  # entries of the inverted lists that are merged at once, for the same reason


def rerank(
    q_emb: Matrix,
    g_emb: Matrix,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: Metric = "euclidean",
    block: int | None = None,
) -> Tensor:
    """Distances after k-reciprocal re-ranking (definition: top of this module).

    Needs scipy. Time grows with (Q + G)^2 D. Memory is the result, two tiles and a few copies of
    the embeddings; nothing else of size Q x G, and nothing of (Q + G)^2, is held. On a CUDA device
    the distances are computed there (in double precision), the sets on the CPU.

    Args:
        q_emb: (Q, D) query embeddings of any floating precision; NumPy or torch, any device.
        g_emb: (G, D) gallery embeddings.
        k1: neighbours of which reciprocity is asked, besides the image itself.
        k2: images over which the weights are averaged, the image itself among them; 1: no average.
            Where fewer than k1 + 1 or k2 images exist, all of them are neighbours.
        lambda_value: share of the original distance, 0 to 1.
        metric: "euclidean" takes the embeddings as they are; "cosine" scales them to unit length
            first (the squared distance is then 2 - 2 cos; a vector of zeros stays one).
        block: side of the tiles of distances, 4096 by default. It bounds the memory and does not
            change the neighbours; the last digits of a distance may move (by less than 1e-6).

    Returns:
        (Q, G) float32 on the CPU, smaller is nearer. Where all embeddings are equal, all original
        distances are 0; an image without reciprocal neighbours (possible among more than k1 + 1
        copies of one image) gets zero weights, so its Jaccard distance is 1 unless k2 averages it.

    Raises:
        ImportError: scipy is missing.
        TypeError: embeddings that are not floating.
        ValueError: NaN or infinity, dimensions that do not fit, k1, k2 or block below 1, a
            lambda_value outside 0..1, or an unknown metric.
    """
    sparse = _scipy_sparse()
    _check_settings(k1, k2, lambda_value, block)
    points, queries = _points(q_emb, g_emb, metric)
    images = len(points)
    half = round(k1 / 2)
    # Lengths of the neighbour lists that the definition asks for; none exceeds all images.
    full, short, averaged = (min(k, images) for k in (k1 + 1, half + 1, k2))

    centred, scale = _centred(points)
    result = torch.empty((queries, images - queries), dtype=torch.float32)
    count = min(max(full, averaged) + SPARE, images)
    found = _candidates(centred, count, block or TILE, result)
    nearest = _certified(found, points.cpu().numpy(), scale, (short, averaged, full))

    reciprocal = _reciprocal(sparse, nearest[:, :full])
    members = _expanded(reciprocal, _reciprocal(sparse, nearest[:, :short]))
    weights = _weights(members, centred.cpu().numpy(), found.largest)
    if k2 > 1:
        average = _membership(sparse, nearest[:, :averaged]).astype(np.float32) / averaged
        weights = average @ weights
    _mix_with_jaccard(result.numpy(), found.largest[:queries], weights, lambda_value)
    return result


def _scipy_sparse() -> ModuleType:
    try:
        from scipy import sparse
    except ImportError as error:
        raise ImportError(
            "rerank() needs scipy, which is not installed: pip install 'reidlab[search]'"
        ) from error
    return sparse


def _check_settings(k1: int, k2: int, lambda_value: float, block: int | None) -> None:
    for name, value in (("k1", k1), ("k2", k2)):
        whole_number(name, value, 1, "; the paper: k1=20, k2=6")
    if not 0 <= lambda_value <= 1:
        raise ValueError(
            f"lambda_value is {lambda_value}, expected 0 (Jaccard distance alone) to 1 (original "
            "distance alone); the paper takes 0.3"
        )
    if block is not None:
        whole_number("block", block, 1, " image per side of a tile")


def _points(q_emb: Matrix, g_emb: Matrix, metric: Metric) -> tuple[Tensor, int]:
    """All images, queries first, (N, D) on the device of the queries; how many are queries."""
    queries, gallery = embedding_pair(q_emb, g_emb, metric)
    points = torch.cat([queries, gallery])
    if points.dtype in (torch.float16, torch.bfloat16):
        points = points.float()
    if points.device.type == "mps":  # has no double precision
        points = points.cpu()
    if metric == "cosine":
        points = torch.nn.functional.normalize(points.double())
    return points, len(queries)


def _centred(points: Tensor) -> tuple[Tensor, float]:
    """The same points around their mean, the longest of length 1, and the scale: (N, D), s.

    Neither shift nor scale changes d. After the shift |a|^2 + mean |b|^2 is the mean of a row of
    squared distances, so the largest one is never smaller: what rounding does to |a| |b| stays
    small beside the number that d is divided by, however far from zero the embeddings lie.

    Single precision, except where "single" may mean less: TF32 on CUDA, bfloat16 on some CPUs.
    """
    exact = points.to(torch.float64, copy=True)
    exact -= exact[0].clone()  # equal embeddings become zeros, not the rounding of their mean
    exact -= exact.mean(0)
    scale = float(exact.square().sum(1).max().sqrt()) or 1.0
    exact /= scale
    single = points.device.type == "cpu" and _full_single_precision()
    return (exact.float() if single else exact), scale


def _full_single_precision() -> bool:
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # the newer settings, per backend, are in use and say something else
        return False


@dataclass(frozen=True, eq=False)
class _Candidates:
    """What one pass over all distances leaves, in units of the centred points.

    Args:
        indices: (N, K) the images that look nearest, nearest first.
        squared: (N, K) their squared distances, with the rounding of the pass.
        largest: (N,) largest squared distance of each row; 1 where all are 0.
        lengths: (N,) lengths of the points.
        rounding: half the spacing of numbers at 1 in the precision of the pass, times the terms of
            a dot product and a few for what is added to it.
    """

    indices: IntArray
    squared: FloatArray
    largest: FloatArray
    lengths: FloatArray
    rounding: float


def _candidates(centred: Tensor, count: int, side: int, result: Tensor) -> _Candidates:
    """One pass over all tiles; the (query, gallery) part is left in `result`: (Q, G)."""
    images, queries = len(centred), len(result)
    squared = torch.full((images, count), torch.inf, dtype=centred.dtype, device=centred.device)
    indices = torch.zeros((images, count), dtype=torch.int64, device=centred.device)
    largest = torch.zeros(images, dtype=centred.dtype, device=centred.device)

    def take(rows: slice, tile: Tensor, start: int) -> None:
        """The nearest so far, and those of a tile whose columns are the images from start on."""
        values, columns = tile.topk(min(count, tile.shape[1]), largest=False, sorted=False)
        values = torch.cat([squared[rows], values], dim=1)
        columns = torch.cat([indices[rows], columns + start], dim=1)
        squared[rows], order = values.topk(count, largest=False)
        indices[rows] = columns.gather(1, order)
        largest[rows] = torch.maximum(largest[rows], tile.amax(1))

    for rows, columns, tile, flipped in _tiles(centred, min(side, images)):
        take(rows, tile, columns.start)
        if columns != rows:
            take(columns, flipped.copy_(tile.T), rows.start)
        if rows.start < queries < columns.stop:
            seen = max(columns.start, queries)
            part = tile[: queries - rows.start, seen - columns.start :]
            result[rows, seen - queries : columns.stop - queries] = part.cpu()
    return _Candidates(
        indices.cpu().numpy(),
        squared.double().cpu().numpy(),
        torch.where(largest > 0, largest, 1.0).double().cpu().numpy(),
        centred.double().square().sum(1).sqrt().cpu().numpy(),
        (centred.shape[1] + 8) * torch.finfo(centred.dtype).eps / 2,
    )


def _tiles(centred: Tensor, side: int) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Squared distances above the diagonal: rows, columns, (r, c) tile, room for its transpose.

    The two tensors are overwritten by the next tile: fresh memory for each costs more time than
    what is done with it.
    """
    images = len(centred)
    norms = centred.double().square().sum(1).to(centred.dtype)
    room = centred.new_empty((2, side * side))
    slices = [slice(i, min(i + side, images)) for i in range(0, images, side)]
    for i, rows in enumerate(slices):
        for columns in slices[i:]:
            height, width = rows.stop - rows.start, columns.stop - columns.start
            tile = room[0, : height * width].view(height, width)
            torch.add(norms[rows, None], norms[None, columns], out=tile)
            tile.addmm_(centred[rows], centred[columns].T, alpha=-2)
            yield rows, columns, tile, room[1, : height * width].view(width, height)


def _certified(
    found: _Candidates, points: NDArray[np.floating], scale: float, lengths: tuple[int, ...]
) -> IntArray:
    """The nearest images of each; for each b in lengths the first b are exactly the right set.

    Order within such a set is of no use to the definition, and not kept.
    """
    longest = max(lengths)
    lower, upper, outside = _bounds(found)
    settled = np.ones(len(points), bool)
    for length in lengths:
        others = np.minimum(lower[:, length:].min(axis=1, initial=np.inf), outside)
        settled &= upper[:, :length].max(axis=1) < others

    nearest = found.indices[:, :longest].copy()
    rows = np.flatnonzero(~settled)
    candidates = found.indices[rows]
    pairs = np.repeat(rows, candidates.shape[1]), candidates.ravel()
    squared = _squared_distances(points, *pairs).reshape(candidates.shape)
    order = np.lexsort((candidates, squared))[:, :longest]  # by distance, then by index
    nearest[rows] = np.take_along_axis(candidates, order, axis=1)
    last = np.take_along_axis(squared, order[:, -1:], axis=1)[:, 0] / scale**2
    rows = rows[last >= outside[rows]]
    nearest[rows] = _nearest_of_all(points, rows, longest)
    return nearest


def _bounds(found: _Candidates) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Between which numbers the true squared distances lie: (N, K), (N, K), and (N,) for the rest.

    A dot product of D terms, added in any order, is off by at most D u |a| |b|, u half the spacing
    of numbers at 1. With the norms, and the rounding of the points themselves, a squared distance
    is off by at most e (|a| + |b|)^2, e = (D + 8) u.
    """
    e, lengths = found.rounding, found.lengths
    error = e * (lengths[:, None] + lengths[found.indices]) ** 2 + UNDERFLOW
    # Who is no candidate looks no nearer than the last one. Its length is at most |a| + its
    # distance, so its error is at most e (2 |a| + distance)^2 <= e (8 |a|^2 + 2 distance^2).
    outside = (found.squared[:, -1] - 8 * e * lengths**2 - UNDERFLOW) / (1 + 2 * e)
    if found.indices.shape[1] == len(found.indices):
        outside[:] = np.inf  # all images are candidates
    return found.squared - error, found.squared + error, outside


def _nearest_of_all(points: NDArray[np.floating], rows: IntArray, count: int) -> IntArray:
    """The nearest among all N images in double precision, for few rows: (rows, count).

    Rows that are copies of one image are computed once: a network that has collapsed, or a gallery
    with hundreds of black images, would cost minutes otherwise.
    """
    known: dict[bytes, IntArray] = {}
    nearest = np.empty((len(rows), count), np.int64)
    everyone = np.arange(len(points))
    for place, row in enumerate(rows):
        image = points[row].tobytes()
        if image not in known:
            squared = _squared_distances(points, np.full(len(points), row), everyone)
            known[image] = np.argsort(squared, kind="stable")[:count]
        nearest[place] = known[image]
    return nearest


def _squared_distances(points: NDArray[np.floating], i: IntArray, j: IntArray) -> FloatArray:
    """Squared distances of the pairs (i, j) by differences, so that copies of an image tie."""
    chunk = max(1, PAIR_ELEMENTS // points.shape[1])
    distances = np.empty(len(i))
    for start in range(0, len(i), chunk):
        part = slice(start, start + chunk)
        difference = points[i[part]].astype(np.float64)
        difference -= points[j[part]]
        distances[part] = np.einsum("nd,nd->n", difference, difference)
    return distances


def _membership(sparse: ModuleType, nearest: IntArray) -> Sparse:
    """(N, k) indices as a sparse (N, N) matrix of ones."""
    images, count = nearest.shape
    ends = np.arange(0, images * count + 1, count)
    ones = np.ones(nearest.size, np.int32)
    return sparse.csr_array((ones, nearest.ravel(), ends), shape=(images, images))


def _reciprocal(sparse: ModuleType, nearest: IntArray) -> Sparse:
    """R(i, k) as the ones of row i, from the k+1 nearest of each image: (N, N)."""
    member = _membership(sparse, nearest)
    return member.multiply(member.T).tocsr()


def _expanded(reciprocal: Sparse, half: Sparse) -> Sparse:
    """R*(i) as the non-zero entries of row i: (N, N)."""
    shared = (reciprocal @ half.T).multiply(reciprocal).tocsr()  # |R(i, k1) & R(j, k1/2)|, j in R
    sizes = np.diff(half.indptr)  # |R(j, k1/2)|
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.int32)
    shared.eliminate_zeros()
    return reciprocal + shared @ half


def _weights(members: Sparse, centred: NDArray[np.floating], largest: FloatArray) -> Sparse:
    """V before the local query expansion: rows that sum to 1, or to 0 where R* is empty."""
    rows = np.repeat(np.arange(len(centred)), np.diff(members.indptr))
    columns = members.indices.astype(np.int64)
    squared = _squared_distances(centred, rows, columns)
    weights = np.exp(-squared / largest[rows])
    sums = np.bincount(rows, weights, minlength=len(centred))
    members.data = (weights / sums[rows]).astype(np.float32)
    return members


def _mix_with_jaccard(
    result: NDArray[np.float32], largest: FloatArray, weights: Sparse, lambda_value: float
) -> None:
    """From squared distances to lambda * d + (1 - lambda) * Jaccard distance: (Q, G), in place.

    Images that share no neighbour are at Jaccard distance 1. The others are found as a search
    engine finds pages: for each image that a query has weight on, the list of gallery images that
    have weight there, too.
    """
    queries, images = result.shape
    wanted, lists = weights[:queries], weights[queries:].tocsc()
    lengths = np.diff(lists.indptr)[wanted.indices]
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[wanted.indptr]
    factor = (lambda_value / largest[:, None]).astype(np.float32)
    start = 0
    while start < queries:
        # As many queries as have LIST_ENTRIES entries and distances, but at least one.
        stop = max(start + 1, int(np.searchsorted(ends, ends[start] + LIST_ENTRIES)) - 1)
        stop = min(stop, queries, start + max(1, LIST_ENTRIES // images))
        used = slice(wanted.indptr[start], wanted.indptr[stop])
        length = lengths[used]
        # Positions of all lists, one after the other: each counts on from its own first entry.
        offset = lists.indptr[wanted.indices[used]] - (np.cumsum(length) - length)
        entries = np.repeat(offset, length) + np.arange(length.sum())
        smaller = np.minimum(np.repeat(wanted.data[used], length), lists.data[entries])
        place = np.repeat(np.arange(stop - start) * images, np.diff(ends[start : stop + 1]))
        place += lists.indices[entries]
        shared = np.bincount(place, smaller, minlength=(stop - start) * images).astype(np.float64)
        jaccard = 1 - shared / (2 - shared)
        part = result[start:stop]
        part *= factor[start:stop]
        part += (1 - lambda_value) * jaccard.reshape(-1, images)
        np.maximum(part, 0, out=part)  # rounding leaves tiny negative distances between copies
        start = stop
