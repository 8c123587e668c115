"""The network of the pretraining, and the losses that `reidlab.losses` does not have.

A batch brings the truth with it (see `pictures.Pictures.batch`), so each loss is a function of
outputs and batch like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.losses import Batch, ContrastiveLoss, Identity, IdentityLoss, Loss, Term, over_heads
from reidlab.losses.terms import OverHeads, Whole, same_rows
from reidlab.models.vit import TokenBackbone, patch_grid, resize_pos_embed, token_views
from reidlab.settings import Range
from reidlab.synth import PARTS
from reidlab.synth.styles import COLOURS
from reidlab.training.pretrain.truth import CHOICES


class PretrainingOutputs(NamedTuple):
    """Outputs for B images on a grid of h x w patches, R rows.

    Attributes:
        logits: 2 + R times (B, C), the identity: by class token, pooled patches, and each row; none
            where nobody is named.
        features: Of the three views, (B, D), (B, D), (B, R*D).
        attributes: For each attribute (3, B, choices), by each view.
        patches: (B, h, w, parts + colours).
        projections: (B, 64) for the self-supervised loss.
    """

    logits: tuple[Tensor, ...]
    features: tuple[Tensor, ...]
    attributes: tuple[Tensor, ...]
    patches: Tensor
    projections: Tensor

    def vote(self) -> Tensor:
        """Logits of the class token, (B, C)."""
        return self.logits[0]


class PretrainingModel(nn.Module):
    """A backbone and a head for every loss.

    Args:
        backbone: What is trained; a smaller grid than its own is resampled to as many rows.
        num_classes: People of the world; 0 if no loss asks who it is.
    """

    def __init__(self, backbone: TokenBackbone, num_classes: int) -> None:
        super().__init__()
        self.backbone, self.rows, dim = backbone, backbone.grid[0], backbone.embed_dim
        self.norms = nn.ModuleList(nn.BatchNorm1d(dim, affine=False) for _ in range(2 + self.rows))
        self.classifier = nn.Linear(dim, num_classes, bias=False) if num_classes else None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.01)
        self.attributes = nn.ModuleList(
            nn.Linear(size, sum(CHOICES)) for size in (dim, dim, self.rows * dim)
        )
        self.patches = nn.Linear(dim, len(PARTS) + len(COLOURS))
        self.projector = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU(), nn.Linear(dim, 64))

    def forward(self, images: Tensor, camids: Tensor | None = None) -> PretrainingOutputs:
        """Outputs for images (B, 3, H, W) in -1..1, of any size that has whole patches."""
        height, width = images.shape[2:]
        grid = patch_grid((height, width), self.backbone.patch_size, self.backbone.stride)
        cls, patches = _at_grid(self.backbone, images, grid)
        views = token_views((cls, patches), grid, self.rows)
        rows = views["rows"].unflatten(1, (self.rows, -1)).unbind(1)  # R x (B, D)
        inputs = [views["class"], views["pooled"], *rows]
        z = torch.stack([norm(x.float()) for norm, x in zip(self.norms, inputs, strict=True)])
        normed = (z[0], z[1], z[2:].transpose(0, 1).flatten(1))  # (B, D), (B, D), (B, R*D)
        attributes = [head(x) for head, x in zip(self.attributes, normed, strict=True)]
        return PretrainingOutputs(
            logits=() if self.classifier is None else self.classifier(z).unbind(),
            features=(views["class"], views["pooled"], views["rows"] / self.rows**0.5),
            attributes=torch.stack(attributes).split(CHOICES, dim=2),
            patches=self.patches(patches).unflatten(1, grid),
            projections=self.projector(torch.cat([z[0], z[1]], dim=1)),
        )


@dataclass(frozen=True)
class ViewIdentity(Identity):
    """`Identity` over three views, in its place and under its name.

    The rows of the patch grid, each with logits of its own, are one view: the mean of their losses.
    """

    over_heads: OverHeads = "sum"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.logits` and `batch["label"]`."""
        loss = IdentityLoss(self.label_smoothing)

        def term(outputs: Any, batch: Batch) -> Tensor:
            cls, pooled, *rows = (loss(logits, batch["label"]) for logits in outputs.logits)
            return over_heads(self.over_heads, [cls, pooled, over_heads("mean", rows)])

        return term


@dataclass(frozen=True)
class Attributes(Loss):
    """Classify what a person wears: the sum over attributes of the mean over views and images.

    Attributes:
        views: How many of the descriptions are asked: 1 is the class token alone, 3 are all.
    """

    name = "attributes"
    younger = ("views",)
    views: Annotated[int, Range(1, 3)] = 3

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.attributes` and `batch["attributes"]`."""

        def term(outputs: Any, batch: Batch) -> Tensor:
            columns = batch["attributes"].unbind(1)
            asked = [logits[: self.views] for logits in outputs.attributes]
            each = [
                _known_cross_entropy(logits.flatten(0, 1), right.repeat(len(logits)))
                for logits, right in zip(asked, columns, strict=True)
            ]
            return over_heads("sum", each)

        return term


@dataclass(frozen=True)
class Patches(Loss):
    """Classify the body parts on a patch, and the colour of the garment there.

    The target of the parts is their shares of the patch's pixels; the colour counts where one part
    covers more than half of the patch. The mean over patches plus the mean over those that count.
    """

    name = "patches"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.patches`, `batch["masks"]` and `batch["garments"]`."""

        def term(outputs: Any, batch: Batch) -> Tensor:
            logits = outputs.patches.float()  # (B, h, w, parts + colours)
            planes = F.one_hot(batch["masks"].long(), len(PARTS)).movedim(3, 1).float()
            shares = F.adaptive_avg_pool2d(planes, logits.shape[1:3]).flatten(2).transpose(1, 2)
            share, largest = shares.max(dim=2)  # (B, h*w)
            colour = batch["garments"].gather(1, largest).masked_fill(share <= 0.5, -1)
            parts, colours = logits.flatten(0, 2).split((len(PARTS), len(COLOURS)), dim=1)
            return F.cross_entropy(parts, shares.flatten(0, 1)) + _known_cross_entropy(
                colours, colour.flatten()
            )

        return term


@dataclass(frozen=True)
class SelfSupervised(Loss):
    """Find the other half of each pair among all others: images i and i + B/2 are one image.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (SimCLR),
    ICML 2020, equation 1, at temperature 0.1.
    """

    name = "self_supervised"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.projections`."""
        loss = ContrastiveLoss()

        def term(outputs: Any, batch: Batch) -> Tensor:
            vectors = outputs.projections
            return loss(vectors, torch.arange(len(vectors) // 2, device=vectors.device).repeat(2))

        return term


def _known_cross_entropy(logits: Tensor, right: Tensor) -> Tensor:
    """Mean over the rows whose target is not -1; 0 if there is none."""
    total = F.cross_entropy(logits.float(), right, ignore_index=-1, reduction="sum")
    return total / (right >= 0).sum().clamp(min=1)


def _at_grid(
    backbone: TokenBackbone, images: Tensor, grid: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Run the backbone on images of another size, with its positions resized on the fly."""
    if grid == backbone.grid:
        tokens = backbone(images)
        return tokens.cls, tokens.patches
    x = backbone.patch_embed.proj(images).flatten(2).transpose(1, 2)
    x = torch.cat([backbone.cls_token.expand(len(x), -1, -1), x], dim=1)
    x = x + resize_pos_embed(backbone.pos_embed, backbone.grid, grid)
    x = backbone.norm(backbone.blocks(x))
    return x[:, 0], x[:, 1:]
