"""Losses of a matcher, which scores pairs of images: each pair for itself, or the hardest two.

Liao, Shao, "TransMatcher", NeurIPS 2021 (arXiv 2105.14432): binary cross-entropy of all ordered
pairs of a batch. Liao, Shao, "Graph Sampling Based Deep Metric Learning", CVPR 2022
(arXiv 2104.01546), code of QAConv 2.1: a triplet loss of scores. An anchor whose loss is no number,
as after an overflow in half precision, is left out and counted.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.errors import RecipeError
from reidlab.losses.terms import Batch, Loss, Term, Whole, precise, same_rows
from reidlab.settings import Range


class _PairLoss(nn.Module):
    """The mean over the anchors whose loss is a number; 0, and a gradient of 0, without any."""

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Loss of the scores (B, B) of all ordered pairs of the people (B,) labels: a scalar.

        Raises:
            ValueError: Shapes that do not fit.
        """
        if labels.ndim != 1 or scores.shape != (len(labels), len(labels)):
            raise ValueError(
                f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)} do not fit: "
                "expected (B, B), each image of the batch against each, and (B,)"
            )
        good = self.anchors(scores.detach(), labels).isfinite()
        # zeros first: the gradient of a row that is left out would be 0 times what is no number
        rows = self.anchors(scores.where(good[:, None], 0.0), labels)
        return rows[good].sum() / good.sum().clamp(min=1)

    @abstractmethod
    def anchors(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss of each anchor, a row of scores: (B,)."""

    def skipped(self, scores: Tensor, labels: Tensor) -> Tensor:
        """How many anchors have a loss that is no number."""
        return (~self.anchors(scores.detach(), labels).isfinite()).sum()


class PairwiseLoss(_PairLoss):
    """Is it the same person? Binary cross-entropy, summed over the images of a batch.

    An anchor's pair with itself is a positive (the code's). In float32, inside autocast too.

    Example:
        >>> import torch
        >>> PairwiseLoss()(torch.zeros(2, 2), torch.tensor([3, 4]))  # twice log 2
        tensor(1.3863)
    """

    def anchors(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Sum over its B pairs, (B,)."""
        scores = precise(scores)
        same = (labels[:, None] == labels[None, :]).to(scores.dtype)
        return F.binary_cross_entropy_with_logits(scores, same, reduction="none").sum(1)


class MatchTripletLoss(_PairLoss):
    """max(0, margin - (lowest score of a positive - highest of a negative)) of each anchor.

    An anchor is no positive of its own; without another, or without a negative, its loss is 0.

    Args:
        margin: In units of the score; QAConv 2.1 has 16.
    """

    def __init__(self, margin: float = 16.0) -> None:
        super().__init__()
        if not 0 <= margin < math.inf:
            raise ValueError(f"margin is {margin}, expected a number from 0")
        self.margin = margin

    def anchors(self, scores: Tensor, labels: Tensor) -> Tensor:
        """(B,)."""
        lowest, highest = extremes(scores, labels)
        return (self.margin - (lowest - highest)).clamp(min=0)

    def extra_repr(self) -> str:
        """What print(loss) shows."""
        return f"margin={self.margin}"


def extremes(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each anchor the lowest score of a positive but itself, and the highest of a negative.

    inf where it has no other positive, -inf where there is no negative.

    Args:
        scores: (B, B), a row for each anchor.
        labels: (B,) people.
    """
    scores = precise(scores)
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    lowest = scores.masked_fill(~same | itself, torch.inf).min(1).values
    return lowest, scores.masked_fill(same, -torch.inf).max(1).values


@dataclass(frozen=True)
class _OfPairs(Loss):
    """What the losses of pairs have in common.

    Under several processes each compares the images of its own share, as their scores are.
    """

    reads = "scores"

    @abstractmethod
    def module(self) -> _PairLoss:
        """The loss itself."""

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.scores` and `batch["label"]`."""
        loss = self.module()

        def term(outputs: Any, batch: Batch) -> Tensor:
            return loss(_scores(outputs, self.name), batch["label"])

        return term

    def watch(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Share of anchors whose every positive beats every negative, and anchors left out."""
        scores, labels = _scores(outputs, self.name).detach(), batch["label"]
        lowest, highest = extremes(scores, labels)
        right = (lowest > highest).float().mean()
        return {"accuracy": right, "skipped": self.module().skipped(scores, labels).float()}


@dataclass(frozen=True)
class Pairwise(_OfPairs):
    """`PairwiseLoss` of a matcher's scores, in a recipe."""

    name = "pairwise"

    def module(self) -> PairwiseLoss:
        """The loss itself."""
        return PairwiseLoss()


@dataclass(frozen=True)
class MatchTriplet(_OfPairs):
    """`MatchTripletLoss` of a matcher's scores, in a recipe.

    Attributes:
        margin: As in `MatchTripletLoss`.
    """

    name, needs_pairs = "match_triplet", True
    margin: Annotated[float, Range(0, 1e4)] = 16.0

    def module(self) -> MatchTripletLoss:
        """The loss itself."""
        return MatchTripletLoss(self.margin)


def _scores(outputs: Any, name: str) -> Tensor:
    found: Tensor | None = getattr(outputs, "scores", None)
    if found is None:
        raise RecipeError(
            f"the loss {name} compares the scores of a matcher, and the model returned none; train "
            "a matcher such as transmatcher with it, or this model with Identity() or Triplet()."
        )
    return found
