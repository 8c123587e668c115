"""Losses: one family per file, each class usable alone in anybody's loop.

Each has a twin for recipes, such as `Triplet` for `TripletLoss`; a new family is its file and one
line here.
"""

from reidlab.losses.circle import (
    GlobalCircle,
    PairwiseCircle,
    WeightedTriplet,
    circle_logits,
    classifier_circle,
    pairwise_circle,
    weighted_triplet,
)
from reidlab.losses.contrastive import Contrastive, ContrastiveLoss
from reidlab.losses.identity import Identity, IdentityLoss
from reidlab.losses.pairwise import MatchTriplet, MatchTripletLoss, Pairwise, PairwiseLoss
from reidlab.losses.terms import (
    LOSSES,
    Batch,
    Loss,
    Term,
    change_losses,
    losses_from,
    over_heads,
)
from reidlab.losses.triplet import Triplet, TripletLoss, common_share, triplet_gaps

__all__ = [
    "LOSSES",
    "Batch",
    "Contrastive",
    "ContrastiveLoss",
    "GlobalCircle",
    "Identity",
    "IdentityLoss",
    "Loss",
    "MatchTriplet",
    "MatchTripletLoss",
    "Pairwise",
    "PairwiseCircle",
    "PairwiseLoss",
    "Term",
    "Triplet",
    "TripletLoss",
    "WeightedTriplet",
    "change_losses",
    "circle_logits",
    "classifier_circle",
    "common_share",
    "losses_from",
    "over_heads",
    "pairwise_circle",
    "triplet_gaps",
    "weighted_triplet",
]
