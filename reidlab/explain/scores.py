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
        ValueError: If shapes do not fit, a label is none of the parts, or heat is negative.
    """
    if heat.ndim != 4 or masks.ndim != 3 or len(heat) != len(masks):
        raise ValueError(
            f"heat has shape {tuple(heat.shape)} and masks {tuple(masks.shape)}; expected "
            "(B, L, H, W) and (B, h, w)."
        )
    if heat.numel() and float(heat.min()) < 0:
        raise ValueError(f"heat has the value {float(heat.min()):g}; expected none below 0.")
    check_parts(masks)
    labels = F.interpolate(masks[:, None].float(), heat.shape[-2:], mode="nearest-exact")[:, 0]
    onehot = F.one_hot(labels.long(), len(PARTS)).double()  # (B, H, W, 8)
    parts = torch.einsum("blhw,bhwp->blp", heat.double(), onehot)
    parts = parts / parts.sum(-1, keepdim=True)  # 0 / 0 is NaN: a blank map has no share
    person = list(PERSON)
    area = onehot[..., person].sum(-1).mean((1, 2))
    return HeatShare(parts[..., person].sum(-1).float(), parts.float(), area.float())


def check_parts(masks: Tensor) -> None:
    """Raise a ValueError if a label is none of `PARTS`."""
    if masks.numel() and not 0 <= int(masks.min()) <= int(masks.max()) < len(PARTS):
        raise ValueError(
            f"masks have labels {int(masks.min())} to {int(masks.max())}; expected 0 to "
            f"{len(PARTS) - 1}. Is it an image and not a mask?"
        )
