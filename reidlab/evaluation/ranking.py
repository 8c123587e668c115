"""From a distance matrix to CMC, mAP and mINP.

Definitions (Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015; mINP from
Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021):

* rank of a match: its position, from 1, among the gallery images this query is judged on;
* CMC(k): share of counted queries whose first match has rank <= k;
* AP of a query: mean over its matches of (matches so far / rank), or the trapezoid rule of the
  original MATLAB code; mAP is its mean over the counted queries;
* INP of a query: number of matches / rank of the last match; mINP its mean.

Ties: equal distances are ordered by gallery index, that is, as a stable sort would.

Speed: a query has 16,000 gallery images and some twenty matches, so nothing but the matches needs
a rank. Sorting the *values* of a row (SIMD in NumPy) and looking up the matches' distances in it is
some thirty times faster than sorting the images (argsort).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidlab.evaluation.checks import Labels, Matrix, distance_matrix, integer_labels
from reidlab.evaluation.protocols import Gallery, IntArray, Protocol, Special, get_protocol

FloatArray = NDArray[np.float64]
APVariant = Literal["mean_precision", "trapezoid"]


@dataclass(frozen=True, eq=False)
class RankResult:
    """What a ranking is worth. All values are shares between 0 and 1, not percent.

    Args:
        ap: (Q,) average precision of each query, NaN where the query has no match.
        inp: (Q,) inverse negative penalty of each query, NaN likewise.
        first_match: (Q,) rank of the first match, from 1; 0 where there is none.
        protocol: name of the protocol.
        ap_variant: which AP it is.
        max_rank: length of `cmc_curve`.
    """

    ap: FloatArray
    inp: FloatArray
    first_match: IntArray
    protocol: str
    ap_variant: str
    max_rank: int

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(Q,) True where the query has a match, so that it counts."""
        return self.first_match > 0

    @property
    def num_valid(self) -> int:
        """Number of counted queries."""
        return int(self.valid.sum())

    def cmc(self, k: int) -> float:
        """Share of counted queries whose first match has rank <= k; any k from 1 on."""
        if k < 1:
            raise ValueError(f"cmc({k}): ranks start at 1")
        return float((self.first_match[self.valid] <= k).mean())

    @property
    def cmc_curve(self) -> FloatArray:
        """(max_rank,) CMC(1), CMC(2), ...; it never falls."""
        return np.array([self.cmc(k) for k in range(1, self.max_rank + 1)])

    @property
    def rank1(self) -> float:
        """CMC(1)."""
        return self.cmc(1)

    @property
    def mAP(self) -> float:
        """Mean average precision over the counted queries."""
        return float(self.ap[self.valid].mean())

    @property
    def mINP(self) -> float:
        """Mean inverse negative penalty over the counted queries."""
        return float(self.inp[self.valid].mean())

    def as_dict(self) -> dict[str, Any]:
        """The numbers a run record keeps: plain Python values, ready for JSON."""
        return {
            "rank1": self.rank1,
            "rank5": self.cmc(5),
            "rank10": self.cmc(10),
            "mAP": self.mAP,
            "mINP": self.mINP,
            "num_queries": len(self.ap),
            "num_valid": self.num_valid,
            "protocol": self.protocol,
            "ap": self.ap_variant,
        }

    def __repr__(self) -> str:
        return (
            f"RankResult(rank1={self.rank1:.4f}, rank5={self.cmc(5):.4f}, mAP={self.mAP:.4f}, "
            f"mINP={self.mINP:.4f}, {self.num_valid} of {len(self.ap)} queries counted, "
            f"protocol={self.protocol!r}, ap={self.ap_variant!r})"
        )


class Ranker:
    """Scores queries one block of distances after the other.

    Holds the gallery, the protocol and the per-query results; `rank` feeds it one whole matrix,
    `evaluate` feeds it blocks. Arguments as in `rank`.
    """

    def __init__(
        self,
        q_pids: IntArray,
        g_pids: IntArray,
        q_camids: IntArray,
        g_camids: IntArray,
        *,
        protocol: str,
        ap: APVariant,
        max_rank: int,
    ) -> None:
        if ap not in AVERAGE_PRECISIONS:
            raise ValueError(f"unknown ap {ap!r}: choose one of {', '.join(AVERAGE_PRECISIONS)}")
        if max_rank < 1:
            raise ValueError(f"max_rank is {max_rank}, expected at least 1")
        self.protocol: Protocol = get_protocol(protocol)
        self.ap_variant, self.max_rank = ap, max_rank
        self.q_pids, self.q_camids = q_pids, q_camids
        self.kept = np.flatnonzero(self.protocol.takes_part(g_pids))
        self.drops_some = len(self.kept) < len(g_pids)
        self.gallery = Gallery(g_pids[self.kept], g_camids[self.kept])
        self.ap = np.full(len(q_pids), np.nan)
        self.inp = np.full(len(q_pids), np.nan)
        self.first_match = np.zeros(len(q_pids), np.int64)

    def add(self, distances: NDArray[np.floating], start: int) -> None:
        """Score the queries start, start + 1, ... whose distances these are: (rows, G)."""
        for query, row in enumerate(distances, start):
            special = self.protocol.special(
                int(self.q_pids[query]), int(self.q_camids[query]), self.gallery
            )
            ranks = _ranks_of_matches(row[self.kept] if self.drops_some else row, special, query)
            if len(ranks) > 0:
                self.first_match[query] = ranks[0]
                self.ap[query] = AVERAGE_PRECISIONS[self.ap_variant](ranks)
                self.inp[query] = len(ranks) / ranks[-1]

    def result(self) -> RankResult:
        """The result over all queries added.

        Raises:
            ValueError: not one query has a match, so no share of queries exists.
        """
        if not self.first_match.any():
            raise ValueError(
                f"none of the {len(self.ap)} queries has a match in the gallery of "
                f"{len(self.gallery.pids)} images under the protocol {self.protocol.name!r}. "
                f"{self.protocol.rule} Do query and gallery use the same ids, and are the people "
                "seen by more than one camera?"
            )
        return RankResult(
            self.ap, self.inp, self.first_match, self.protocol.name, self.ap_variant, self.max_rank
        )


def rank(
    distances: Matrix,
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels,
    g_camids: Labels,
    *,
    protocol: str = "standard",
    ap: APVariant = "mean_precision",
    max_rank: int = 50,
) -> RankResult:
    """Judge a distance matrix.

    Args:
        distances: (Q, G) float32 or float64, smaller is nearer. Equal distances are ordered by
            gallery index.
        q_pids: (Q,) integer person ids of the queries.
        g_pids: (G,) those of the gallery; -1 is junk (dropped). 0 is an id like any other: as no
            query of Market-1501 carries it, its distractors are negatives.
        q_camids: (Q,) integer cameras of the queries.
        g_camids: (G,) those of the gallery.
        protocol: name of the rule, see `protocols.PROTOCOLS`.
        ap: "mean_precision" (torchreid, fast-reid, TransReID) or "trapezoid" (the original MATLAB
            code of Market-1501), which is never larger.
        max_rank: length of the result's `cmc_curve`; may exceed the gallery.

    Returns:
        The shares and the values per query.

    Raises:
        TypeError: labels that are not integers, or half-precision distances.
        ValueError: shapes that do not fit, NaN distances, unknown names, or no query with a match.

    Example:
        >>> from reidlab.evaluation import rank
        >>> r = rank([[0.1, 0.2, 0.3]], [7], [7, 5, 7], [0], [0, 1, 1])
        >>> r.rank1, r.mAP  # the first image is the query's own camera: dropped
        (0.0, 0.5)
    """
    matrix = distance_matrix(distances)
    queries, images = matrix.shape
    ranker = Ranker(
        integer_labels("q_pids", q_pids, queries),
        integer_labels("g_pids", g_pids, images),
        integer_labels("q_camids", q_camids, queries),
        integer_labels("g_camids", g_camids, images),
        protocol=protocol,
        ap=ap,
        max_rank=max_rank,
    )
    ranker.add(matrix, start=0)
    return ranker.result()


def _ranks_of_matches(row: NDArray[np.floating], special: Special, query: int) -> IntArray:
    """Ranks of one query's matches, rising, from 1: (M,).

    row: (G,) distances; the rank of a match is the number of images before it, less the excluded
    ones before it, plus 1.
    """
    values = np.sort(row)
    if len(values) and np.isnan(values[-1]):  # NaN sorts last
        raise ValueError(
            f"distances of query {query} hold NaN ({int(np.isnan(row).sum())} of {len(row)}); "
            "a ranking of them would mean nothing: look for it in the embeddings"
        )
    # The special images in the order of the ranking; stable, and their indices rise.
    order = np.argsort(row[special.indices], kind="stable")
    indices, excluded = special.indices[order], special.excluded[order]
    distances = row[indices]
    before = np.searchsorted(values, distances, side="left")
    tied = np.searchsorted(values, distances, side="right") - before > 1
    for i in np.flatnonzero(tied):  # among equal distances those of lower index come first
        before[i] += np.count_nonzero(row[: indices[i]] == distances[i])
    return (before - np.cumsum(excluded) + 1)[~excluded]


def _mean_precision(ranks: IntArray) -> float:
    """Mean over the matches of (matches so far / rank)."""
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def _trapezoid(ranks: IntArray) -> float:
    """Area under the precision-recall polygon.

    The k-th of n matches, at rank r, adds (1/n) 1/2 [(k - 1)/(r - 1) + k/r], the first part being
    1 at r = 1.
    """
    k = np.arange(1, len(ranks) + 1)
    previous = np.where(ranks == 1, 1.0, (k - 1) / np.maximum(ranks - 1, 1))
    return float((0.5 * (previous + k / ranks)).mean())


AVERAGE_PRECISIONS = {"mean_precision": _mean_precision, "trapezoid": _trapezoid}
