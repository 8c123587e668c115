"""Evaluation: arrays in, numbers out. Imports nothing of the other parts of reidlab."""

from reidlab.evaluation.draws import sysu_gallery
from reidlab.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from reidlab.evaluation.ranking import rank
from reidlab.evaluation.results import RankResult, TrialsResult, average
from reidlab.evaluation.retrieval import RankedList, evaluate, pairwise_distances, ranked_list

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "RankResult",
    "RankedList",
    "TrialsResult",
    "average",
    "evaluate",
    "get_protocol",
    "pairwise_distances",
    "rank",
    "ranked_list",
    "sysu_gallery",
]
