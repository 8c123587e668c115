"""Heat maps against the truth: how much of the heat lies on the person, and on which part."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from reidlab.synth import PARTS

PERSON = (1, 2, 3, 4, 5, 6)  # what the person wears or carries is part of the person


class HeatShare(NamedTuple):
    """Shares of the heat, which sum to 1 over the parts.

    Attributes:
        person: On the person, (B, L); NaN where a map is 0 everywhere.
        parts: On each of `PARTS`, (B, L, 8).
        area: Share of the *pixels* that show the person, (B,): what a uniform map would score.
    """

    person: Tensor
    parts: Tensor
    area: Tensor


def heat_share(heat: Tensor, masks: Tensor) -> HeatShare:
    """Share of the heat on the person and on each part.

    Args:
        heat: Maps, not negative, (B, L, H, W).
        masks: Part labels 0..7, (B, h, w); brought to H x W by the nearest pixel.

    Raises:
        ValueError: If shapes do not fit, a label is none of the parts, or heat is negative or no
            number.
    """
    if (
        heat.ndim != 4
        or masks.ndim != 3
        or len(heat) != len(masks)
        or 0 in (*heat.shape[-2:], *masks.shape[-2:])
    ):
        raise ValueError(
            f"heat has shape {tuple(heat.shape)} and masks {tuple(masks.shape)}; expected "
            "(B, L, H, W) and (B, h, w), of one pixel at least."
        )
    if not heat.isfinite().all():
        raise ValueError("heat has values that are no numbers; expected maps from 0 to 1.")
    if heat.numel() and float(heat.min()) < 0:
        raise ValueError(f"heat has the value {float(heat.min()):g}; expected none below 0.")
    known = part_labels(masks)[:, None].to(heat.device, torch.float32)
    labels = F.interpolate(known, heat.shape[-2:], mode="nearest-exact")[:, 0]
    onehot = F.one_hot(labels.long(), len(PARTS)).double()  # (B, H, W, 8)
    parts = torch.einsum("blhw,bhwp->blp", heat.double(), onehot)
    parts = parts / parts.sum(-1, keepdim=True)  # 0 / 0 is NaN: a blank map has no share
    person = list(PERSON)
    area = onehot[..., person].sum(-1).mean((1, 2))
    return HeatShare(parts[..., person].sum(-1).float(), parts.float(), area.float())


def part_labels(masks: Tensor) -> Tensor:
    """Masks as int64, whatever type they were read as.

    Raises:
        ValueError: If a label is none of `PARTS`.
    """
    labels = masks.long()
    if masks.is_floating_point() and not labels.to(masks.dtype).equal(masks):
        raise ValueError(
            "masks have values that are no whole numbers; expected labels of parts. Were they "
            "resized by blending? Take the nearest pixel."
        )
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < len(PARTS):
        raise ValueError(
            f"masks have labels {int(labels.min())} to {int(labels.max())}; expected 0 to "
            f"{len(PARTS) - 1}. Is it an image and not a mask?"
        )
    return labels
