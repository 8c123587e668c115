"""What a model looks at, and whether that is true."""

from reidlab.explain.gradcam import IdentityTarget, SimilarityTarget, Target, gradcam
from reidlab.explain.rows import RowVote, row_evidence, row_parts, row_similarity, row_vote
from reidlab.explain.scores import PERSON, HeatShare, heat_share

__all__ = [
    "PERSON",
    "HeatShare",
    "IdentityTarget",
    "RowVote",
    "SimilarityTarget",
    "Target",
    "gradcam",
    "heat_share",
    "row_evidence",
    "row_parts",
    "row_similarity",
    "row_vote",
]
