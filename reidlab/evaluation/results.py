"""What a ranking is worth: the numbers of one ranking, and of several trials together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.evaluation.protocols import BoolArray, IntArray

FloatArray = NDArray[np.float64]
RANKS = (1, 5, 10, 20)  # those that a run record keeps


@dataclass(frozen=True, eq=False)
class RankResult:
    """What a ranking is worth. All values are shares between 0 and 1, not percent.

    Args:
        ap: (Q,) average precision of each query, NaN where the query is not counted.
        inp: (Q,) inverse negative penalty of each query, NaN likewise.
        first_match: (Q,) rank of the first match, from 1; 0 where there is none.
        valid: (Q,) True where the query counts: it has a match, or the protocol counts all.
        protocol: name of the protocol.
        ap_variant: which AP it is.
        over: "counted" or "all": the queries that means are over.
        max_rank: length of `cmc_curve`.
    """

    ap: FloatArray
    inp: FloatArray
    first_match: IntArray
    valid: BoolArray
    protocol: str
    ap_variant: str
    over: str
    max_rank: int

    @property
    def num_valid(self) -> int:
        """Number of counted queries."""
        return int(self.valid.sum())

    def hits(self, k: int) -> FloatArray:
        """(Q,) 1 where the first match has rank <= k, else 0; NaN where a query is not counted."""
        if k < 1:
            raise ValueError(f"k is {k}: ranks start at 1")
        within = (self.first_match > 0) & (self.first_match <= k)
        return np.where(self.valid, within, np.nan)

    def cmc(self, k: int) -> float:
        """Share of counted queries whose first match has rank <= k; any k from 1 on."""
        return float(np.nanmean(self.hits(k)))

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
        return float(np.nanmean(self.ap))

    @property
    def mINP(self) -> float:
        """Mean inverse negative penalty over the counted queries."""
        return float(np.nanmean(self.inp))

    def as_dict(self) -> dict[str, Any]:
        """The numbers a run record keeps: plain Python values, ready for JSON."""
        return {
            **{f"rank{k}": self.cmc(k) for k in RANKS},
            "mAP": self.mAP,
            "mINP": self.mINP,
            "num_queries": len(self.valid),
            "num_valid": self.num_valid,
            "protocol": self.protocol,
            "ap": self.ap_variant,
            "over": self.over,
        }

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(rank1={self.rank1:.4f}, rank5={self.cmc(5):.4f}, "
            f"mAP={self.mAP:.4f}, mINP={self.mINP:.4f}, {self.num_valid} of {len(self.valid)} "
            f"queries counted, protocol={self.protocol!r}, ap={self.ap_variant!r})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class TrialsResult(RankResult):
    """The mean over several trials: galleries drawn anew, or splits.

    `rank1`, `cmc(k)`, `mAP` and `mINP` are means over the trials, `std` is their spread. The values
    per query are means over the trials that count it; where the trials are splits with queries of
    their own, they stand one after the other.

    Args:
        trials: the results that were averaged.
        first_match: (T, Q) here; (1, all queries) for splits, a row for each draw where they draw.
    """

    trials: tuple[RankResult, ...] = ()
    same_queries: bool = True

    def hits(self, k: int) -> FloatArray:
        """(Q,) share of the trials in which the query's first match has rank <= k; NaN if none."""
        return _over_trials([trial.hits(k) for trial in self.trials], self.same_queries)

    def cmc(self, k: int) -> float:
        """Mean of CMC(k) over the trials."""
        return float(np.mean([trial.cmc(k) for trial in self.trials]))

    @property
    def mAP(self) -> float:
        """Mean of mAP over the trials."""
        return float(np.mean([trial.mAP for trial in self.trials]))

    @property
    def mINP(self) -> float:
        """Mean of mINP over the trials."""
        return float(np.mean([trial.mINP for trial in self.trials]))

    def std(self, metric: str) -> float:
        """Standard deviation over the trials (n - 1) of "mAP", "mINP" or "rank<k>".

        It says how much the draw of the gallery (or the split) matters, not how sure the mean is
        about other people: for that see `bootstrap`.

        Raises:
            ValueError: one trial has no spread, or an unknown metric.
        """
        if len(self.trials) < 2:
            raise ValueError("one trial has no spread: expected two or more")
        values = [np.nanmean(per_query(trial, metric)) for trial in self.trials]
        return float(np.std(values, ddof=1))

    def as_dict(self) -> dict[str, Any]:
        """As for one trial, with the number of trials and, of two or more, the spread."""
        values = super().as_dict() | {"num_trials": len(self.trials)}
        if len(self.trials) > 1:
            names = [*(f"rank{k}" for k in RANKS), "mAP", "mINP"]
            values |= {f"{name}_std": self.std(name) for name in names}
        return values

    def __repr__(self) -> str:
        return super().__repr__().removesuffix(")") + f", {len(self.trials)} trials)"


def average(results: Iterable[RankResult], *, same_queries: bool = False) -> TrialsResult:
    """Average trials: the ten splits of RegDB, the twenty of CUHK03, each with its own model.

    Args:
        results: one for each trial, all under one protocol with one AP.
        same_queries: the trials ask the same queries in the same order (galleries drawn anew), so
            that the values per query can be averaged; otherwise they are put one after the other.

    Raises:
        ValueError: nothing to average, or trials that were not counted alike.
    """
    results = list(results)
    if not results:
        raise ValueError("there is nothing to average: expected at least one result")
    first = results[0]
    kinds = sorted({(result.protocol, result.ap_variant, result.over) for result in results})
    if len(kinds) > 1:
        raise ValueError(f"the trials were not counted alike, they are by {kinds}: expected one")
    lengths = sorted({len(result.valid) for result in results})
    if same_queries and len(lengths) > 1:
        raise ValueError(f"the trials have {lengths} queries: expected the same ones in each")
    ranks = [np.atleast_2d(result.first_match) for result in results]
    draws = sorted({len(rank) for rank in ranks})
    if not same_queries and len(draws) > 1:
        raise ValueError(f"the splits were drawn {draws} times: expected the same number for each")
    return TrialsResult(
        ap=_over_trials([result.ap for result in results], same_queries),
        inp=_over_trials([result.inp for result in results], same_queries),
        first_match=np.concatenate(ranks, 0 if same_queries else 1),
        valid=~np.isnan(_over_trials([result.ap for result in results], same_queries)),
        protocol=first.protocol,
        ap_variant=first.ap_variant,
        over=first.over,
        max_rank=max(result.max_rank for result in results),
        trials=tuple(results),
        same_queries=same_queries,
    )


def per_query(result: RankResult, metric: str) -> FloatArray:
    """(Q,) values whose mean over the counted queries is the metric; NaN: not counted.

    Raises:
        ValueError: an unknown metric.
    """
    if metric == "mAP":
        values = result.ap
    elif metric == "mINP":
        values = result.inp
    elif k := re.fullmatch(r"rank([1-9][0-9]*)", metric):
        values = result.hits(int(k[1]))
    else:
        raise ValueError(
            f"unknown metric {metric!r}: choose mAP, mINP, or rank<k> such as rank1 or rank5"
        )
    return np.asarray(values, np.float64)


def _over_trials(values: list[FloatArray], same_queries: bool) -> FloatArray:
    """Per query: the mean over the trials that count it, NaN if none does; or all in a row."""
    if not same_queries:
        return np.concatenate(values)
    stacked = np.stack(values)  # (T, Q)
    counted = ~np.isnan(stacked)
    total = np.where(counted, stacked, 0.0).sum(0)
    return np.divide(total, counted.sum(0), out=np.full(len(total), np.nan), where=counted.any(0))
