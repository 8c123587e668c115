"""What a model looks at, and whether that is true."""

from reidlab.explain.gradcam import IdentityTarget, SimilarityTarget, Target, gradcam
from reidlab.explain.scores import PARTS, PERSON, HeatShare, heat_share

__all__ = [
    "PARTS",
    "PERSON",
    "HeatShare",
    "IdentityTarget",
    "SimilarityTarget",
    "Target",
    "gradcam",
    "heat_share",
]
