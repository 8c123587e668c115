"""Batch-hard triplet loss.

Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017
(arXiv 1703.07737), in the form of TransReID: Euclidean distance, not squared, of features that are
not normalised; the hardest positive of an anchor may be the anchor itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from reidlab.losses.terms import Batch, Loss, OverHeads, Term, Whole, over_heads, same_rows
from reidlab.settings import Range

SMALLEST_DISTANCE = 1e-6  # TransReID's: the root of 1e-12; below it the gradient is zero


class TripletLoss(nn.Module):
    """Pull each image's farthest namesake nearer than its nearest stranger.

    For each anchor, d_ap is the largest distance to an image of its own person (the anchor itself
    included) and d_an the smallest to one of another. The loss is the mean over anchors of
    max(0, d_ap - d_an + margin), or of log(1 + exp(d_ap - d_an)) without a margin.

    Computed in float32, inside autocast too: in half precision the distances of near images, the
    difference of large numbers, would be noise.

    Args:
        margin: in units of distance (0.3 is customary); None for the soft margin.

    Example:
        >>> import torch
        >>> loss = TripletLoss(margin=1.5)  # gaps of 1 - 3, 1 - 2 and 0 - 2
        >>> loss(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([7, 7, 8]))
        tensor(0.1667)
    """

    def __init__(self, margin: float | None = None) -> None:
        super().__init__()
        if margin is not None and margin < 0:
            raise ValueError(f"margin is {margin}, expected 0 or more, or None (soft margin)")
        self.margin = margin

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Loss of (B, D) features of the people (B,) labels: a scalar.

        Raises:
            ValueError: shapes that do not fit, or a batch of one person alone.
        """
        if features.ndim != 2 or labels.shape != features.shape[:1]:
            raise ValueError(
                f"features {tuple(features.shape)} and labels {tuple(labels.shape)} do not fit: "
                "expected (B, D) and (B,)"
            )
        same = labels[:, None] == labels[None, :]  # (B, B)
        if bool(same.all()):
            raise ValueError(
                f"all {len(labels)} images of the batch show the same person, so there is no "
                "negative: draw batches with IdentitySampler(identities_per_batch=2 or more)"
            )
        distances = euclidean_distances(features)
        hardest_positive = distances.masked_fill(~same, -torch.inf).amax(dim=1)  # (B,)
        hardest_negative = distances.masked_fill(same, torch.inf).amin(dim=1)
        gap = hardest_positive - hardest_negative
        if self.margin is None:
            return nn.functional.softplus(gap).mean()
        return (gap + self.margin).clamp(min=0).mean()

    def extra_repr(self) -> str:
        """What print(loss) shows."""
        return f"margin={'soft' if self.margin is None else self.margin}"


@dataclass(frozen=True)
class Triplet(Loss):
    """`TripletLoss` of every feature, in a recipe.

    A batch that shows one person alone, as the last of an epoch may, has no negative and adds 0.

    Attributes:
        margin: As in `TripletLoss`.
        on: What distances are measured of: the model's "features", or its "logits" (LA-TF++).
        over_heads: What becomes of the losses of several features: their "mean" or their "sum".
    """

    name = "triplet"
    margin: Annotated[float, Range(0, 1e4)] | None = None
    on: Literal["features", "logits"] = "features"
    over_heads: OverHeads = "mean"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.features` or `outputs.logits`, and `batch["label"]`."""
        loss = TripletLoss(self.margin)

        def term(outputs: Any, batch: Batch) -> Tensor:
            compared, labels = getattr(outputs, self.on), whole(batch["label"])
            if bool((labels == labels[0]).all()):
                return over_heads("sum", [whole(each).float().sum() * 0.0 for each in compared])
            return over_heads(self.over_heads, [loss(whole(each), labels) for each in compared])

        return term


def euclidean_distances(features: Tensor) -> Tensor:
    """All distances within a batch, in float32: (B, D) -> (B, B).

    From the differences themselves: the usual |a|^2 + |b|^2 - 2ab loses what is small against the
    norms (for 768 numbers of size 1 a copy comes out at 0.02 instead of 0), and is slower here.
    """
    with torch.autocast(features.device.type, enabled=False):
        x = features.float()
        distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.clamp(min=SMALLEST_DISTANCE)
