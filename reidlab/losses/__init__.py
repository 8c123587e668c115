"""Losses: one family per file, each class usable alone in anybody's loop.

Each has a twin for recipes, such as `Triplet` for `TripletLoss`; a new family is its file and one
line here.
"""

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
    "Identity",
    "IdentityLoss",
    "Loss",
    "MatchTriplet",
    "MatchTripletLoss",
    "Pairwise",
    "PairwiseLoss",
    "Term",
    "Triplet",
    "TripletLoss",
    "change_losses",
    "common_share",
    "losses_from",
    "over_heads",
    "triplet_gaps",
]
