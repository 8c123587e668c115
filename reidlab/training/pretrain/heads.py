"""The questions that a pretraining asks of the tokens, and what wrong answers cost."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from reidlab.losses import ContrastiveLoss
from reidlab.models.vit import TokenBackbone, resize_pos_embed, token_views
from reidlab.synth import PARTS
from reidlab.synth.people import BOTTOM, SHOES, SLEEVE, TOP
from reidlab.synth.styles import BOTTOMS, COLOURS, HAIR, HATS, PATTERNS, TOPS
from reidlab.training.pretrain.config import PretrainConfig
from reidlab.training.pretrain.pictures import Batch

# The garment whose colour a patch on a body part should name; heads and bags are not asked.
_WORN_ON = {"torso": TOP, "arms": SLEEVE, "legs": BOTTOM, "feet": SHOES}


class Answers(NamedTuple):
    """What the model says about B images.

    Attributes:
        logits: (2 + R, B, C) who it is: by class token, by pooled patches, by each row.
        features: Three descriptions for the triplet loss, (B, D), (B, D), (B, R*D).
        worn: Three times (B, answers), see `attributes`.
        here: (B, h*w, parts + colours) of each patch.
        itself: (B, 64) for the self-supervised loss.
    """

    logits: Tensor
    features: list[Tensor]
    worn: list[Tensor]
    here: Tensor
    itself: Tensor


class Questions(nn.Module):
    """A backbone and a head for every question.

    Args:
        backbone: What is trained.
        num_classes: People of the world.
        rows: R, rows of the patch grid at full size; a smaller grid is resampled to as many.
        answers: All possible answers to all attribute questions, see `attributes`.
    """

    def __init__(self, backbone: TokenBackbone, num_classes: int, rows: int, answers: int) -> None:
        super().__init__()
        self.backbone, self.rows, dim = backbone, rows, backbone.embed_dim
        self.norms = nn.ModuleList(nn.BatchNorm1d(dim, affine=False) for _ in range(2 + rows))
        self.classifier = nn.Linear(dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.01)
        self.answers = nn.ModuleList(nn.Linear(size, answers) for size in (dim, dim, rows * dim))
        self.here = nn.Linear(dim, len(PARTS) + len(COLOURS))
        self.itself = nn.Sequential(nn.Linear(2 * dim, dim), nn.GELU(), nn.Linear(dim, 64))

    def forward(self, images: Tensor, grid: tuple[int, int]) -> Answers:
        """Answer all questions about images (B, 3, H, W) of *grid* patches."""
        cls, patches = _at_grid(self.backbone, images, grid)
        views = token_views((cls, patches), grid, self.rows)
        rows = views["rows"].unflatten(1, (self.rows, -1)).unbind(1)
        inputs = [views["class"], views["pooled"], *rows]
        z = torch.stack([norm(x.float()) for norm, x in zip(self.norms, inputs, strict=True)])
        features = [views["class"], views["pooled"], views["rows"] / self.rows**0.5]
        worn = (z[0], z[1], z[2:].transpose(0, 1).flatten(1))
        told = [head(x) for head, x in zip(self.answers, worn, strict=True)]
        itself = self.itself(torch.cat([z[0], z[1]], dim=1))
        return Answers(self.classifier(z), features, told, self.here(patches), itself)


class Attribute(NamedTuple):
    """One question about a person."""

    labels: Tensor  # (people,) the right answer
    choices: int
    needs_colour: bool  # an infrared picture can't tell


def attributes(config: PretrainConfig) -> list[Attribute]:
    """Every question the world can answer about its people."""
    people = config.world().people(list(range(1, config.identities + 1)))
    asked: list[tuple[NDArray[Any], int, bool]] = [
        (people.top, len(TOPS), False), (people.bottom, len(BOTTOMS), False),
        (people.hair, len(HAIR), False), (people.hat, len(HATS), False),
        (people.backpack, 2, False), (people.bag, 2, False), (people.scarf, 2, False),
        (people.pattern[:, TOP], len(PATTERNS), False),
        (people.pattern[:, BOTTOM], len(PATTERNS), False),
    ]  # fmt: skip
    asked += [
        (people.colour_name[:, material], len(COLOURS), True)
        for material in (TOP, BOTTOM, SHOES, SLEEVE)
    ]
    return [Attribute(torch.as_tensor(np.asarray(a), dtype=torch.int64), n, c) for a, n, c in asked]


def attribute_loss(
    questions: list[Attribute], answers: list[Tensor], people: Tensor, visible: Tensor
) -> Tensor:
    """Sum over the questions of the mean cross-entropy over views and pictures.

    Args:
        questions: see `attributes`.
        answers: logits (B, all choices) of each view.
        people: (B,) who it is, from 0.
        visible: (B,) False where the picture is infrared and colours can't be told.
    """
    total, first = torch.zeros((), device=people.device), 0
    for question in questions:
        right = question.labels.to(people.device)[people]
        counted = visible if question.needs_colour else torch.ones_like(visible)
        for logits in answers:
            chosen = logits[:, first : first + question.choices].float()
            each = F.cross_entropy(chosen, right, reduction="none") * counted
            total = total + each.sum() / counted.sum().clamp(min=1) / len(answers)
        first += question.choices
    return total


def garment_colours(config: PretrainConfig) -> Tensor:
    """(people, parts) name of the colour worn on a body part, -1 where nobody is asked."""
    people = config.world().people(list(range(1, config.identities + 1)))
    names = torch.full((config.identities, len(PARTS)), -1, dtype=torch.int64)
    for part, material in _WORN_ON.items():
        names[:, PARTS.index(part)] = torch.from_numpy(people.colour_name[:, material])
    return names


def patch_loss(answers: Tensor, parts: Tensor, colours: Tensor, batch: Batch) -> Tensor:
    """Which body parts lie on a patch, and what is the colour of the garment there?

    The parts are asked for as shares of the patch's pixels; the colour where one part covers more
    than half of it and the picture is not infrared. Mean over patches, and over those asked.

    Args:
        answers: logits (B, h*w, parts + colours).
        parts: (B, h*w, parts) share of each patch's pixels.
        colours: (people, parts), see `garment_colours`.
        batch: Gives people and modality.
    """
    kinds = parts.shape[2]
    said = answers.float()
    where = -(parts * F.log_softmax(said[..., :kinds], dim=2)).sum(dim=2).mean()
    share, most = parts.max(dim=2)
    name = colours[batch.people].gather(1, most)  # (B, h*w)
    asked = (share > 0.5) & (name >= 0) & batch.visible[:, None]
    each = F.cross_entropy(
        said[..., kinds:].flatten(0, 1), name.clamp(min=0).flatten(), reduction="none"
    )
    return where + (each * asked.flatten()).sum() / asked.sum().clamp(min=1)


def part_shares(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, H, W) uint8 body parts to (B, h*w, parts) shares of each patch's pixels."""
    planes = torch.stack([masks == part for part in range(len(PARTS))], dim=1).float()
    return F.adaptive_avg_pool2d(planes, grid).flatten(2).transpose(1, 2)


def self_supervised_loss(vectors: Tensor) -> Tensor:
    """Find the other half of each pair among all others: images i and i + B/2 are one image.

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (SimCLR),
    ICML 2020, equation 1, at temperature 0.1.

    Args:
        vectors: (B, D), B even.
    """
    pairs = torch.arange(len(vectors) // 2, device=vectors.device).repeat(2)
    return ContrastiveLoss()(vectors, pairs)


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
