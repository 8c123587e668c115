"""Losses: one family per file, each class usable alone in anybody's loop."""

from reidlab.losses.contrastive import ContrastiveLoss
from reidlab.losses.identity import IdentityLoss
from reidlab.losses.triplet import TripletLoss

__all__ = ["ContrastiveLoss", "IdentityLoss", "TripletLoss"]
