"""Evaluation: arrays in, numbers out. Imports nothing of the other parts of reidlab."""

from reidlab.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from reidlab.evaluation.ranking import RankResult, rank
from reidlab.evaluation.reranking import rerank
from reidlab.evaluation.retrieval import RankedList, evaluate, pairwise_distances, ranked_list

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "RankResult",
    "RankedList",
    "evaluate",
    "get_protocol",
    "pairwise_distances",
    "rank",
    "ranked_list",
    "rerank",
]
