"""What every model hands to the losses."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Outputs(NamedTuple):
    """Outputs of a forward pass in training; position i of both tuples belongs to head i.

    Attributes:
        logits: One (B, C) tensor per classifier, for the identity loss.
        features: One (B, D_i) tensor per metric-learning feature, for the triplet loss.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...]
