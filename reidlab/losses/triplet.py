"""Triplet loss over a batch, of the hardest triplets or of all.

Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017
(arXiv 1703.07737), in the form of TransReID: Euclidean distance, not squared, of features that are
not normalised; the hardest positive of an anchor may be the anchor itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import torch
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

Mining = Literal["hardest", "all"]
SMALLEST_DISTANCE = 1e-6  # TransReID's: the root of 1e-12; below it the gradient is zero


class TripletLoss(nn.Module):
    """Pull each image's namesakes nearer than its strangers.

    The loss is the mean over triplets of max(0, gap + margin), or of log(1 + exp(gap)) without a
    margin, where gap = d_ap - d_an. "hardest" has one triplet for each anchor: d_ap is the largest
    distance to an image of its own person (the anchor itself included) and d_an the smallest to one
    of another. "all" has every triplet of an anchor, another image of its person and a stranger
    (both: Hermans et al., section 2).

    Where the mean gap is positive, no scaling of the features has a smaller loss than one point for
    all images (log 2, or the margin): the hardest triplets often start there, and few epochs may
    not leave it. Over all triplets the mean gap is negative wherever features are better than
    chance, and one point is a poor answer.

    Computed in float32, inside autocast too: in half precision the distances of near images, the
    difference of large numbers, would be noise.

    Args:
        margin: in units of distance (0.3 is customary); None for the soft margin.
        mining: "hardest" or "all", whose memory grows with the third power of the batch.

    Example:
        >>> import torch
        >>> loss = TripletLoss(margin=1.5)  # gaps of 1 - 3, 1 - 2 and 0 - 2
        >>> loss(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([7, 7, 8]))
        tensor(0.1667)
    """

    def __init__(self, margin: float | None = None, mining: Mining = "hardest") -> None:
        super().__init__()
        if margin is not None and not 0 <= margin < math.inf:
            raise ValueError(f"margin is {margin}, expected a number from 0, or None (soft margin)")
        if mining not in get_args(Mining):
            raise ValueError(f"mining is {mining!r}, expected 'hardest' or 'all'")
        self.margin, self.mining = margin, mining

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Loss of (B, D) features of the people (B,) labels: a scalar.

        Raises:
            ValueError: shapes that do not fit, or a batch of one person alone.
        """
        check_fit(features, labels)
        same = labels[:, None] == labels[None, :]  # (B, B)
        if bool(same.all()):
            raise ValueError(
                f"all {len(labels)} images of the batch show the same person, so there is no "
                "negative: draw batches with IdentitySampler(identities_per_batch=2 or more)"
            )
        gap = triplet_gaps(features, labels, self.mining)
        if not len(gap):  # no person with a second image
            return features.float().sum() * 0.0
        if self.margin is None:
            return nn.functional.softplus(gap).mean()
        return (gap + self.margin).clamp(min=0).mean()

    def extra_repr(self) -> str:
        """What print(loss) shows."""
        return f"margin={'soft' if self.margin is None else self.margin}, mining={self.mining}"


@dataclass(frozen=True)
class Triplet(Loss):
    """`TripletLoss` of every feature, in a recipe.

    A batch that shows one person alone, as the last of an epoch may, has no negative and adds 0.

    Attributes:
        margin: As in `TripletLoss`.
        mining: Likewise.
        on: What distances are measured of: the model's "features", or its "logits" (LA-TF++).
        over_heads: Of several features, see `reidlab.losses.over_heads`.
    """

    name = "triplet"
    younger = ("mining",)
    margin: Annotated[float, Range(0, 1e4)] | None = None
    mining: Mining = "hardest"
    on: Literal["features", "logits"] = "features"
    over_heads: OverHeads = "mean"

    @property
    def reads(self) -> Literal["features", "logits"]:
        """As in `Loss`."""
        return self.on

    @property
    def needs_pairs(self) -> bool:
        """As in `Loss`; the hardest positive may be the anchor itself."""
        return self.mining == "all"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.features` or `outputs.logits`, and `batch["label"]`."""
        loss = TripletLoss(self.margin, self.mining)

        def term(outputs: Any, batch: Batch) -> Tensor:
            compared, labels = getattr(outputs, self.on), whole(batch["label"])
            if bool((labels == labels[0]).all()):
                return over_heads("sum", [whole(each).float().sum() * 0.0 for each in compared])
            return over_heads(self.over_heads, [loss(whole(each), labels) for each in compared])

        return term


def triplet_gaps(features: Tensor, labels: Tensor, mining: Mining = "hardest") -> Tensor:
    """d_ap - d_an of the triplets of a batch: (B,), one for each anchor, or (T,) of all.

    Args:
        features: (B, D).
        labels: (B,), of two people at least.
        mining: As in `TripletLoss`.
    """
    distances = euclidean_distances(features)
    same = labels[:, None] == labels[None, :]  # (B, B)
    if mining == "hardest":
        hardest_positive = distances.masked_fill(~same, -torch.inf).amax(dim=1)  # (B,)
        return hardest_positive - distances.masked_fill(same, torch.inf).amin(dim=1)
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    chosen = positive[:, :, None] & ~same[:, None, :]  # (B, B, B): anchor, positive, negative
    return (distances[:, :, None] - distances[:, None, :])[chosen]


def common_share(features: Tensor) -> float:
    """How much of the features is the same for all: |mean f|^2 / mean |f|^2, from 0 to 1.

    1 is a collapse: one vector for everybody.

    Args:
        features: (N, D), not normalised.
    """
    f = features.detach().double()
    return float(f.mean(dim=0).square().sum() / f.square().sum(dim=1).mean())


def euclidean_distances(features: Tensor) -> Tensor:
    """All distances within a batch, in float32, or float64 as the features: (B, D) -> (B, B).

    From the differences themselves: the usual |a|^2 + |b|^2 - 2ab loses what is small against the
    norms (for 768 numbers of size 1 a copy comes out at 0.02 instead of 0), and is slower here.
    """
    with torch.autocast(features.device.type, enabled=False):
        x = precise(features)
        distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.clamp(min=SMALLEST_DISTANCE)
