"""Supervised contrastive loss.

Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020 (arXiv 2004.11362), equation 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.losses.terms import (
    Batch,
    Loss,
    OverHeads,
    Term,
    Whole,
    check_fit,
    over_heads,
    precise,
    same_rows,
)
from reidlab.settings import Range


class ContrastiveLoss(nn.Module):
    """Each image finds the others of its person among the batch, by cosine.

    Unlike the batch-hard triplet loss with soft margin it is not content when all features fall on
    one point, where that loss is log 2. Computed in float32, inside autocast too.

    Args:
        temperature: Divides the cosines; 0.1 is the paper's.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}, expected more than 0")
        self.temperature = temperature

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Loss of (B, D) features of the people (B,) labels: a scalar.

        A person with a single image is a negative only; without any pair the loss is 0.

        Raises:
            ValueError: Shapes that do not fit.
        """
        check_fit(features, labels)
        if len(features) < 2:  # a share of one image: nothing to divide by
            return features.float().sum() * 0.0
        with torch.autocast(features.device.type, enabled=False):
            z = F.normalize(precise(features), dim=1)
            alike = z @ z.T / self.temperature
        diagonal = torch.eye(len(z), dtype=torch.bool, device=z.device)
        others = alike.masked_fill(diagonal, float("-inf"))
        log_share = alike - others.logsumexp(dim=1, keepdim=True)
        same = (labels[:, None] == labels[None, :]) & ~diagonal
        counts = same.sum(dim=1)
        each = -(log_share * same).sum(dim=1) / counts.clamp(min=1)
        return each.sum() / (counts > 0).sum().clamp(min=1)


@dataclass(frozen=True)
class Contrastive(Loss):
    """`ContrastiveLoss` of every feature, in a recipe.

    Attributes:
        temperature: As in `ContrastiveLoss`.
        over_heads: Of several features, see `reidlab.losses.over_heads`.
    """

    name, needs_pairs = "contrastive", True
    temperature: Annotated[float, Range(1e-4, 1e4)] = 0.1
    over_heads: OverHeads = "mean"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.features` and `batch["label"]`."""
        loss = ContrastiveLoss(self.temperature)

        def term(outputs: Any, batch: Batch) -> Tensor:
            labels = whole(batch["label"])
            each = [loss(whole(found), labels) for found in outputs.features]
            return over_heads(self.over_heads, each)

        return term
