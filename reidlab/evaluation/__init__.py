"""Evaluation: arrays in, numbers out. Imports nothing of the other parts of reidlab."""

from reidlab.evaluation.expansion import expand_queries
from reidlab.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from reidlab.evaluation.ranking import RankResult, rank
from reidlab.evaluation.retrieval import RankedList, evaluate, pairwise_distances, ranked_list
from reidlab.evaluation.search import SearchIndex, build_index, recall

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "RankResult",
    "RankedList",
    "SearchIndex",
    "build_index",
    "evaluate",
    "expand_queries",
    "get_protocol",
    "pairwise_distances",
    "rank",
    "ranked_list",
    "recall",
]
