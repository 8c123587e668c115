"""Random changes of a batch of images: place, size, sharpness, background, colour, gaps."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Uniform = Callable[..., Tensor]


def augment(
    images: Tensor,
    masks: Tensor,
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    colour: float = 1.0,
    swap_background: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Change images, and masks with them where something moves.

    Args:
        images: (B, 3, H, W) in 0..1.
        masks: (B, H, W) body parts, 0 is background.
        size: Height and width wanted.
        generator: Of all draws.
        colour: Strength of the changes of colour, 0: none.
        swap_background: Share of images that get another background.

    Returns:
        Images (B, 3, *size) in 0..1 and masks (B, *size).
    """
    n = len(images)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    x = replace_background(images, masks, swap_background, uniform, generator)
    x = _coarse(x, uniform)
    flip = torch.where(uniform(n) < 0.5, -1.0, 1.0)
    zoom = uniform(n, low=0.85, high=1.12)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = flip * zoom * uniform(n, low=0.68, high=1.08), zoom
    matrix[:, :, 2] = uniform(n, 2, low=-0.08, high=0.08)
    grid = F.affine_grid(matrix, [n, 3, *size], align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    parts = F.grid_sample(
        masks[:, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return erase(recolour(x, colour, uniform), generator), parts[:, 0].to(torch.uint8)


def recolour(x: Tensor, strength: float, uniform: Uniform) -> Tensor:
    """Another sensor: channels mixed and amplified, saturation, gamma, raised blacks, or grey.

    Args:
        x: (B, 3, H, W) in 0..1.
        strength: Multiplies how far each of them goes.
        uniform: Draws uniform numbers.
    """
    n, s = len(x), strength
    spread = (n, 3, 1, 1)
    mixing = torch.eye(3) + 0.06 * s * uniform(n, 3, 3, low=-1.0)
    mixing = mixing / mixing.sum(dim=2, keepdim=True)  # grey stays grey; the gains tint it
    x = torch.einsum("nij,njhw->nihw", mixing, x).clamp(0.0, 1.0)
    gamma = torch.exp(0.2 * s * uniform(n, 1, 1, 1, low=-1.0))
    x = (x + 1e-4) ** gamma
    gain = torch.exp(
        0.14 * s * uniform(*spread, low=-1.0) + 0.2 * s * uniform(n, 1, 1, 1, low=-1.0)
    )
    lift = (0.05 * s * uniform(*spread, low=-0.4)).clamp(max=0.25)
    x = lift + (1.0 - lift.clamp(min=0.0)) * x * gain
    mean = x.mean(dim=1, keepdim=True)
    x = mean + (x - mean) * (1.0 + 0.3 * s * uniform(n, 1, 1, 1, low=-1.0)).clamp(min=0.1)
    grey = (uniform(n) < 0.1)[:, None, None, None]
    return torch.where(grey, x.mean(dim=1, keepdim=True), x).clamp(0.0, 1.0)


def replace_background(
    x: Tensor, masks: Tensor, share: float, uniform: Uniform, generator: torch.Generator
) -> Tensor:
    """Cut some people out and put them before a strip from the side of another image.

    Args:
        x: (B, 3, H, W).
        masks: (B, H, W) body parts, 0 is background.
        share: Of the images that get another background.
        uniform: Draws uniform numbers.
        generator: Draws whose strip it is.
    """
    if share <= 0:
        return x
    n = len(x)
    other, side = torch.randperm(n, generator=generator), torch.where(uniform(n) < 0.5, -1.0, 1.0)
    matrix = torch.zeros(n, 2, 3)
    width = uniform(n, low=0.15, high=0.3)  # of the image: people stand in the middle
    matrix[:, 0, 0], matrix[:, 1, 1] = width, uniform(n, low=0.6, high=1.0)
    matrix[:, 0, 2] = side * (1.0 - width)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    strip = F.grid_sample(x[other], grid, padding_mode="reflection", align_corners=False)
    swapped = (uniform(n) < share)[:, None, None] & (masks == 0)
    return torch.where(swapped[:, None], strip, x)


def _coarse(x: Tensor, uniform: Uniform) -> Tensor:
    """Far people are a few pixels: blur away what a sensor would not see."""
    chosen = uniform(len(x)) < 0.35
    scale = float(uniform(1, low=0.25, high=0.6))
    small = F.interpolate(x[chosen], scale_factor=scale, mode="area")
    x = x.clone()
    x[chosen] = F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)
    return x


def erase(x: Tensor, generator: torch.Generator) -> Tensor:
    """Noise over one rectangle of 4 to 25 % of the area, in half of the images."""
    n, _, height, width = x.shape
    draws = torch.rand(n, 5, generator=generator)
    area = (0.04 + 0.21 * draws[:, 0]) * height * width
    ratio = 0.4 + 1.8 * draws[:, 1]
    h = (area * ratio).sqrt().clamp(max=height * 0.8)
    w = (area / ratio).sqrt().clamp(max=width * 0.8)
    top, left = draws[:, 2] * (height - h), draws[:, 3] * (width - w)
    row, column = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    t, b, first, last = (v[:, None, None] for v in (top, top + h, left, left + w))
    covered = (row >= t) & (row < b) & (column >= first) & (column < last)
    inside = covered & (draws[:, 4] < 0.5)[:, None, None]
    noise = torch.rand(x.shape, generator=generator)
    return torch.where(inside[:, None], noise, x)
