"""Evaluation: arrays in, numbers out. Of reidlab it imports only how files are written."""

from reidlab.evaluation.audit import audit
from reidlab.evaluation.differences import (
    Decision,
    Difference,
    decide,
    holm,
    people_and_seeds,
    seed_difference,
    verdict,
)
from reidlab.evaluation.draws import sysu_gallery
from reidlab.evaluation.embeddings_file import read_embeddings
from reidlab.evaluation.expansion import expand_queries
from reidlab.evaluation.power import (
    Components,
    components,
    decidable,
    simulate,
    smallest_difference,
)
from reidlab.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from reidlab.evaluation.ranking import queries_with_match, rank, rank_blocks
from reidlab.evaluation.reranking import rerank
from reidlab.evaluation.results import RankResult, TrialsResult, average
from reidlab.evaluation.retrieval import RankedList, evaluate, pairwise_distances, ranked_list
from reidlab.evaluation.search import SearchIndex, build_index, recall
from reidlab.evaluation.seeds import SeedInterval, over_seeds
from reidlab.evaluation.statistics import (
    Comparison,
    Interval,
    bootstrap,
    paired_test,
    proportion_interval,
)

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "Components",
    "Decision",
    "Difference",
    "Interval",
    "Protocol",
    "RankResult",
    "RankedList",
    "SearchIndex",
    "SeedInterval",
    "TrialsResult",
    "audit",
    "average",
    "bootstrap",
    "build_index",
    "components",
    "decidable",
    "decide",
    "evaluate",
    "expand_queries",
    "get_protocol",
    "holm",
    "over_seeds",
    "paired_test",
    "pairwise_distances",
    "people_and_seeds",
    "proportion_interval",
    "queries_with_match",
    "rank",
    "rank_blocks",
    "ranked_list",
    "read_embeddings",
    "recall",
    "rerank",
    "seed_difference",
    "simulate",
    "smallest_difference",
    "sysu_gallery",
    "verdict",
]
