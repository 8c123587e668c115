"""What every model hands to the losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Outputs(NamedTuple):
    """Outputs of a forward pass in training; position i of both tuples belongs to head i.

    Attributes:
        logits: One (B, C) tensor per classifier, for the identity loss; cosines, for the circle
            loss, if the model has an attribute `cosines` that is True.
        features: One (B, D_i) tensor per metric-learning feature, for the triplet loss.
        scores: Of a matcher: (B, B) logits of all ordered pairs of the batch; else None.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...]
    scores: Tensor | None = None

    def vote(self) -> Tensor:
        """Sum over the classifiers of their softmax scores, (B, C): the largest is the prediction.

        PCB's way to ask an ensemble, and equations 8 and 9 of LA-Transformer.
        """
        return torch.stack([logits.float().softmax(1) for logits in self.logits]).sum(0)
