"""Supervised contrastive loss.

Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020 (arXiv 2004.11362), equation 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ContrastiveLoss(nn.Module):
    """Each image finds the others of its person among the batch, by cosine.

    Unlike the batch-hard triplet loss with soft margin it is not content when all features fall on
    one point, where that loss is log 2. Computed in float32, inside autocast too.

    Args:
        temperature: Divides the cosines; 0.1 is the paper's.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Loss of (B, D) features of the people (B,) labels: a scalar.

        Somebody with a single image is only there to be told apart.
        """
        z = F.normalize(features.float(), dim=1)
        alike = z @ z.T / self.temperature
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        log_share = alike - alike.masked_fill(itself, float("-inf")).logsumexp(dim=1, keepdim=True)
        same = (labels[:, None] == labels[None, :]) & ~itself
        counts = same.sum(dim=1)
        each = -(log_share * same).sum(dim=1) / counts.clamp(min=1)
        return each[counts > 0].mean()
