"""The ranks of the matches of many queries, and what average precision makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reidlab.evaluation.protocols import BoolArray, IntArray, Special
from reidlab.evaluation.results import FloatArray


@dataclass(frozen=True)
class Matches:
    """The ranks of all matches of some queries, those of all in one row.

    Args:
        rows: (M,) the query, rising.
        ranks: (M,) from 1, rising within a query.
        queries: Q, how many there are.
    """

    rows: IntArray
    ranks: IntArray
    queries: int

    @classmethod
    def of(cls, before: IntArray, special: Special, queries: int) -> Matches:
        """The rank of a match is the number of images before it, less the excluded ones, plus 1."""
        images = int(before.max(initial=0)) + 1
        order = np.argsort(special.rows * images + before)  # no two positions of a query are equal
        rows, excluded = special.rows[order], special.excluded[order]
        hidden = np.cumsum(excluded)  # of all queries up to here
        first = np.searchsorted(rows, rows)
        hidden = hidden - (hidden[first] - excluded[first])
        return cls(rows[~excluded], (before[order] - hidden + 1)[~excluded], queries)

    def among(self, chosen: BoolArray) -> Matches:
        """Some of the matches."""
        return Matches(self.rows[chosen], self.ranks[chosen], self.queries)

    @property
    def count(self) -> IntArray:
        """(Q,) matches of each query."""
        return np.bincount(self.rows, minlength=self.queries)

    @property
    def so_far(self) -> IntArray:
        """(M,) 1 for the first match of a query, 2 for its second, ..."""
        return np.arange(len(self.rows)) - np.searchsorted(self.rows, self.rows) + 1

    def mean(self, values: FloatArray) -> FloatArray:
        """(M,) -> (Q,) mean over the matches of each query, NaN without one."""
        count = self.count
        total = np.bincount(self.rows, values, minlength=self.queries)
        return np.divide(total, count, out=np.full(self.queries, np.nan), where=count > 0)


def _mean_precision(matches: Matches) -> FloatArray:
    """Mean over the matches of (matches so far / rank)."""
    return matches.mean(matches.so_far / matches.ranks)


def _trapezoid(matches: Matches) -> FloatArray:
    """Area under the precision-recall polygon.

    The k-th of n matches, at rank r, adds (1/n) 1/2 [(k - 1)/(r - 1) + k/r], the first part being
    1 at r = 1.
    """
    k, ranks = matches.so_far, matches.ranks
    previous = np.where(ranks == 1, 1.0, (k - 1) / np.maximum(ranks - 1, 1))
    return matches.mean(0.5 * (previous + k / ranks))


def _top10(matches: Matches) -> FloatArray:
    """Mean precision over the matches among the first ten images; 0 if they all come later.

    What LA-Transformer's and LA-TF++'s code calls mAP: matches that are not found cost nothing.
    """
    found = matches.among(matches.ranks <= 10)
    return np.where((found.count == 0) & (matches.count > 0), 0.0, _mean_precision(found))


AVERAGE_PRECISIONS: dict[str, Callable[[Matches], FloatArray]] = {
    "mean_precision": _mean_precision,
    "trapezoid": _trapezoid,
    "top10": _top10,
}
