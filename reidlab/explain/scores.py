"""Heat maps against the truth: how much of the heat lies on the person, and on which part."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    check_heat(heat)
    known = part_labels(masks)[:, None].to(heat.device, torch.float32)
    if len(heat) != len(masks):
        raise ValueError(f"there are maps of {len(heat)} images and {len(masks)} masks")
    labels = F.interpolate(known, heat.shape[-2:], mode="nearest-exact")[:, 0]
    onehot = F.one_hot(labels.long(), len(PARTS)).double()  # (B, H, W, 8)
    parts = torch.einsum("blhw,bhwp->blp", heat.double(), onehot)
    parts = parts / parts.sum(-1, keepdim=True)  # 0 / 0 is NaN: a blank map has no share
    person = list(PERSON)
    area = onehot[..., person].sum(-1).mean((1, 2))
    return HeatShare(parts[..., person].sum(-1).float(), parts.float(), area.float())


def patch_share(masks: Tensor, backbone: Any) -> Tensor:
    """How much of each patch shows the person.

    Args:
        masks: Part labels 0..7, (B, h, w); brought to the backbone's image size by the nearest
            pixel.
        backbone: A `TokenBackbone`, which knows its patches, overlapping ones too.

    Returns:
        Shares of 1, (B, N), by row; their mean over N is what patches drawn at random show.

    Raises:
        ValueError: If a label is none of the parts, or masks have another shape.
    """
    known = part_labels(masks)[:, None].float()
    labels = F.interpolate(known, backbone.image_size, mode="nearest-exact").long()
    person = torch.isin(labels, torch.tensor(PERSON, device=labels.device)).float()
    return F.avg_pool2d(person, backbone.patch_size, backbone.stride).flatten(1)


def pointing_game(heat: Tensor, masks: Tensor) -> HeatShare:
    """Whether the hottest pixel lies on the person, and on which part.

    Zhang et al., "Top-Down Neural Attention by Excitation Backprop", IJCV 2018 (arXiv 1608.00507),
    section 4.1, without its tolerance of 15 pixels around an object.

    Args:
        heat: Maps, not negative, (B, L, H, W).
        masks: Part labels 0..7, (B, h, w); brought to H x W by the nearest pixel.

    Returns:
        1 for a hit and 0 for a miss; where several pixels are hottest, the share of them that hits.
        NaN where a map is 0 everywhere. `area` is what a pixel drawn at random would score.

    Raises:
        ValueError: As `heat_share`.
    """
    check_heat(heat)
    hottest = heat == heat.amax((-2, -1), keepdim=True)
    return heat_share((hottest & (heat > 0)).float(), masks)


def number_of_parts(share: HeatShare) -> Tensor:
    """Over how many parts of the person the heat spreads: exp of the entropy of their shares.

    As many equal shares have the same entropy (Hill, "Diversity and Evenness", Ecology 1973).

    Args:
        share: of maps, `heat_share`.

    Returns:
        1 (all in one part) to 6 (the same in each), (B, L); NaN where nothing is on the person.
    """
    parts = share.parts[..., list(PERSON)]
    parts = parts / parts.sum(-1, keepdim=True)
    return torch.special.entr(parts).sum(-1).exp()


def check_heat(heat: Tensor) -> None:
    """Check that maps are maps.

    Raises:
        ValueError: If they are not (B, L, H, W), or have values below 0 or that are no numbers.
    """
    if heat.ndim != 4 or 0 in heat.shape[-2:]:
        raise ValueError(
            f"heat has shape {tuple(heat.shape)}; expected (B, L, H, W), of one pixel at least."
        )
    if not heat.isfinite().all():
        raise ValueError("heat has values that are no numbers; expected maps from 0 to 1.")
    if heat.numel() and float(heat.min()) < 0:
        raise ValueError(f"heat has the value {float(heat.min()):g}; expected none below 0.")


def check_some_heat(heat: Tensor) -> None:
    """Check that there is a map to be tested, as `check_heat`, and with some heat.

    Raises:
        ValueError: If all of them are 0 everywhere.
    """
    check_heat(heat)
    if not heat.any():
        raise ValueError(
            f"all {heat.shape[0] * heat.shape[1]} maps are 0 everywhere; expected heat in one at "
            "least. Nothing speaks for this target in these layers: take other layers, or another "
            "target."
        )


def part_labels(masks: Tensor) -> Tensor:
    """Masks (B, h, w) as int64, whatever type they were read as.

    Raises:
        ValueError: If they have another shape or no pixel, or a label is none of `PARTS`.
    """
    if masks.ndim != 3 or 0 in masks.shape[1:]:
        raise ValueError(
            f"masks have shape {tuple(masks.shape)}; expected (B, h, w), as true_masks gives"
        )
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
