"""Evaluation: arrays in, numbers out. Imports nothing of the other parts of reidlab."""

from reidlab.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from reidlab.evaluation.ranking import RankResult, rank
from reidlab.evaluation.retrieval import RankedList, evaluate, pairwise_distances, ranked_list
from reidlab.evaluation.statistics import (
    Comparison,
    Interval,
    bootstrap,
    compare,
    proportion_interval,
)

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "Interval",
    "Protocol",
    "RankResult",
    "RankedList",
    "bootstrap",
    "compare",
    "evaluate",
    "get_protocol",
    "pairwise_distances",
    "proportion_interval",
    "rank",
    "ranked_list",
]
