"""Circle losses of TVTR, and the weighted triplet loss of its baseline.

Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020 (arXiv
2002.10857): a similarity within a person is to exceed 1 - m, one between people to stay below m,
and each is pulled the harder the further it is from its goal,

    within   logit_p = gamma [1 + m - s_p]+ (s_p - (1 - m))
    between  logit_n = gamma [s_n + m]+ (s_n - m)

with the brackets as constants of the gradient. TVTR ("global-local circle loss") asks this of the
classifier (`classifier_circle`: global) and of the pairs of a batch (`pairwise_circle`: local),
within the visible images, within the infrared ones and across. Its formulas are garbled in the text
that we had; this is what they must mean.

Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021 (arXiv
2001.04193), equation 10: the weighted triplet loss (`weighted_triplet`).

All are computed in float32, inside autocast too, and in float64 where the features are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reidlab.losses.terms import (
    Batch,
    Loss,
    OverHeads,
    Term,
    Whole,
    check_fit,
    class_labels,
    over_heads,
    precise,
    same_rows,
)
from reidlab.losses.triplet import euclidean_distances
from reidlab.settings import Range

Gamma = Annotated[float, Range(1e-3, 1e4)]
Margin = Annotated[float, Range(0, 1)]


def pairwise_circle(
    features: Tensor,
    labels: Tensor,
    others: Tensor | None = None,
    other_labels: Tensor | None = None,
    *,
    gamma: float,
    margin: float,
) -> Tensor:
    """Circle loss of each anchor's pairs, by cosine; mean over the anchors: a scalar.

    Of one anchor it is softplus(logsumexp(logit_n) + logsumexp(-logit_p)), a sum over all its
    pairs, so it grows with the logarithm of their numbers. An anchor without a namesake or without
    a stranger among the others is left out; without any anchor the loss is 0.

    Args:
        features: Of the anchors, (B, D).
        labels: Their people, (B,).
        others: What they are compared with, (M, D), such as the images of the other modality. None:
            with each other, no anchor with itself.
        other_labels: Their people, (M,).
        gamma: Scale of the logits; TVTR has 20.
        margin: m, from 0 to 1; TVTR has 0.25.

    Raises:
        ValueError: Shapes that do not fit, or a gamma or margin that cannot be.

    Example:
        >>> anchor, others = torch.eye(2)[:1], torch.tensor([[1.0, 3**0.5], [1.0, -(3**0.5)]])
        >>> people = torch.tensor([7]), torch.tensor([7, 8])  # both at 60 degrees
        >>> pairwise_circle(anchor, people[0], others, people[1], gamma=20, margin=0.25)
        tensor(7.5006)
    """
    _check_circle(gamma, margin)
    check_fit(features, labels)
    if (others is None) != (other_labels is None):
        raise ValueError("others and other_labels go together: expected both or neither")
    if alone := others is None or other_labels is None:
        others, other_labels = features, labels
    check_fit(others, other_labels)
    if others.shape[1] != features.shape[1]:
        raise ValueError(
            f"features have {features.shape[1]} numbers and others {others.shape[1]}; expected "
            "features of one model"
        )
    same = labels[:, None] == other_labels[None, :]  # (B, M)
    itself = torch.eye(*same.shape, dtype=torch.bool, device=same.device)
    positive = same & ~itself if alone else same
    counted = positive.any(1) & ~same.all(1)
    if not bool(counted.any()):
        return 0.0 * (precise(features).sum() + precise(others).sum())
    cosine = _cosine(features[counted], others)
    within, between = _logits(cosine, gamma, margin)
    positive, same = positive[counted], same[counted]
    pull = (-within).masked_fill(~positive, -torch.inf).logsumexp(1)
    push = between.masked_fill(same, -torch.inf).logsumexp(1)
    return F.softplus(pull + push).mean()


def classifier_circle(
    features: Tensor, weight: Tensor, labels: Tensor, *, gamma: float, margin: float
) -> Tensor:
    """Circle loss of a classifier: cross-entropy of `circle_logits`, mean over a batch.

    Args:
        features: (B, D).
        weight: A vector of each training person, (C, D).
        labels: (B,), from 0 to C - 1.
        gamma: Scale of the logits; TVTR has 30.
        margin: m, from 0 to 1; TVTR has 0.5.

    Raises:
        ValueError: As `pairwise_circle`, or a person who has no vector.
    """
    check_fit(features, labels)
    if weight.ndim != 2 or weight.shape[1] != features.shape[1]:
        raise ValueError(
            f"weight {tuple(weight.shape)} does not fit features {tuple(features.shape)}: expected "
            "(C, D) and (B, D)"
        )
    labels = class_labels(labels)
    logits = circle_logits(_cosine(features, weight), labels, gamma=gamma, margin=margin)
    return F.cross_entropy(logits, labels)


def circle_logits(cosines: Tensor, labels: Tensor, *, gamma: float, margin: float) -> Tensor:
    """What cosines (B, C) of images and people are to a softmax: logit_p of the image's person, and
    logit_n of everybody else.

    Raises:
        ValueError: As `classifier_circle`.
    """
    _check_circle(gamma, margin)
    check_fit(cosines, labels)
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if low < 0 or high >= cosines.shape[1]:
        raise ValueError(
            f"labels are from {low} to {high} and there are {cosines.shape[1]} people: expected "
            f"0 to {cosines.shape[1] - 1}"
        )
    within, between = _logits(precise(cosines), gamma, margin)
    own = F.one_hot(class_labels(labels), cosines.shape[1]).bool()
    return within.where(own, between)


def weighted_triplet(features: Tensor, labels: Tensor) -> Tensor:
    """Every anchor's far namesakes against its near strangers, no margin: a scalar.

    The mean over anchors of softplus(sum_p w_p d_p - sum_n w_n d_n): d are Euclidean distances of
    features that are not normalised, w_p a softmax of d over the person's images, the anchor among
    them, and w_n a softmax of -d over everybody else's. A batch of one person alone has loss 0.

    AGW's program, which this follows, adds 1e-6 to the sum below each w and shifts the exponents of
    namesakes only: beyond distances of 12 its w_n no longer sum to 1. Ours do.

    Args:
        features: (B, D).
        labels: (B,); modalities are not told apart.

    Raises:
        ValueError: Shapes that do not fit.
    """
    check_fit(features, labels)
    same = labels[:, None] == labels[None, :]  # (B, B)
    if bool(same.all()):
        return 0.0 * precise(features).sum()
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    distances = euclidean_distances(features).masked_fill(itself, 0.0)
    far = distances.masked_fill(~same, -torch.inf).softmax(1)
    near = (-distances).masked_fill(same, -torch.inf).softmax(1)
    return F.softplus(((far - near) * distances).sum(1)).mean()


@dataclass(frozen=True)
class GlobalCircle(Loss):
    """`classifier_circle` of every classifier, in a recipe.

    Attributes:
        gamma: As there; 30 by TVTR, and TransReID's default for the same loss.
        margin: As there; 0.5 by both.
        over_heads: Of several classifiers, see `reidlab.losses.over_heads`.
    """

    name, reads, of_cosines = "global_circle", "logits", True
    gamma: Gamma = 30.0
    margin: Margin = 0.5
    over_heads: OverHeads = "mean"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.logits`, which must be cosines, and `batch["label"]`."""

        def term(outputs: Any, batch: Batch) -> Tensor:
            labels, setting = batch["label"], {"gamma": self.gamma, "margin": self.margin}
            logits = [circle_logits(cosines, labels, **setting) for cosines in outputs.logits]
            return over_heads(self.over_heads, [F.cross_entropy(x, labels) for x in logits])

        return term


@dataclass(frozen=True)
class PairwiseCircle(Loss):
    """`pairwise_circle` among visible images, among infrared ones, and across, as a sum.

    A person without images of one modality is no anchor across, and one with a single image of a
    modality none within it: what they have no pair for is an average over the others. Where nobody
    has a pair, as with one image of each modality, that part is 0.

    Attributes:
        gamma: As in `pairwise_circle`; 20 by TVTR.
        margin: As there; 0.25 by TVTR.
        across: Whose anchors are compared with the other modality: TVTR writes one term and does
            not say. "both", the mean of both, favours neither; or "visible" or "infrared" alone.
        over_heads: Of several features, see `reidlab.losses.over_heads`.
    """

    name, across_modalities = "pairwise_circle", True
    gamma: Gamma = 20.0
    margin: Margin = 0.25
    across: Literal["both", "visible", "infrared"] = "both"
    over_heads: OverHeads = "mean"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.features`, `batch["label"]` and `batch["modality"]`.

        The term raises ValueError for a batch of one modality alone.
        """

        def circle(*sides: Tensor) -> Tensor:
            return pairwise_circle(*sides, gamma=self.gamma, margin=self.margin)

        def term(outputs: Any, batch: Batch) -> Tensor:
            labels, infrared = whole(batch["label"]), whole(batch["modality"]) == 1
            _check_both(infrared, self.name)
            each = []
            for found in outputs.features:
                features = whole(found)
                v, i = ((features[rows], labels[rows]) for rows in (~infrared, infrared))
                across = {"visible": (v, i), "infrared": (i, v)}
                sides = across.values() if self.across == "both" else [across[self.across]]
                crossed = torch.stack([circle(*ours, *theirs) for ours, theirs in sides]).mean()
                each.append(circle(*v) + circle(*i) + crossed)
            return over_heads(self.over_heads, each)

        return term


@dataclass(frozen=True)
class WeightedTriplet(Loss):
    """`weighted_triplet` of every feature, in a recipe.

    Attributes:
        over_heads: Of several features, see `reidlab.losses.over_heads`.
    """

    name = "weighted_triplet"
    over_heads: OverHeads = "mean"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.features` and `batch["label"]`."""

        def term(outputs: Any, batch: Batch) -> Tensor:
            labels = whole(batch["label"])
            each = [weighted_triplet(whole(found), labels) for found in outputs.features]
            return over_heads(self.over_heads, each)

        return term


def _logits(cosine: Tensor, gamma: float, margin: float) -> tuple[Tensor, Tensor]:
    """logit_p and logit_n of each cosine."""
    constant = cosine.detach()
    within = gamma * (1 + margin - constant).clamp(min=0) * (cosine - (1 - margin))
    between = gamma * (constant + margin).clamp(min=0) * (cosine - margin)
    return within, between


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    """(B, D), (M, D) -> (B, M)."""
    with torch.autocast(one.device.type, enabled=False):
        a, b = (F.normalize(precise(each), dim=1) for each in (one, other))
        kind = torch.promote_types(a.dtype, b.dtype)
        return a.to(kind) @ b.to(kind).T


def _check_circle(gamma: float, margin: float) -> None:
    if not gamma > 0 or not 0 <= margin <= 1:
        raise ValueError(
            f"gamma is {gamma} and margin {margin}; expected a gamma above 0 and a margin from 0 "
            "to 1"
        )


def _check_both(infrared: Tensor, name: str) -> None:
    count = int(infrared.sum())
    if count in (0, len(infrared)):
        there, absent = ("infrared", "visible") if count else ("visible", "infrared")
        raise ValueError(
            f"the loss {name} compares visible with infrared images, and the {len(infrared)} "
            f"images of the batch are all {there}: draw batches with CrossModalSampler "
            f"(sampler='cross-modal' in a recipe), from a set with {absent} images"
        )
