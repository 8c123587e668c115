"""From light to pixels: exposure, white balance, tone curve, lens blur, sensor noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.synth.cameras import TONES
from reidlab.synth.scene import Scene
from reidlab.synth.shots import NOISE_PLACES


@lru_cache(maxsize=4)
def _noise_bank(device: torch.device) -> Tensor:
    """Two million normal numbers that images read at a place of their own: sensor noise."""
    bank = np.random.default_rng(11).standard_normal(2 * NOISE_PLACES, dtype=np.float32)
    return torch.as_tensor(bank, device=device)


def to_pixels(scene: Scene, picture: Tensor) -> Tensor:
    """(3, B, H·W) linear light to (B, H, W, 3) uint8."""
    c, shape = scene.cameras, (3, -1, scene.height, scene.width)
    display = _blur(_tone(scene, picture).view(shape), scene.tensor(c.blur * scene.height / 192.0))
    infrared = np.flatnonzero(c.infrared)
    if len(infrared):
        grey = _infrared_lens(scene, display[0], infrared)
        display.index_copy_(1, scene.tensor(infrared), grey.expand(3, -1, -1, -1))
    display = display.view(picture.shape)
    noise = _noise(scene).view(-1, 3, picture.shape[2]).transpose(0, 1)
    strength = 0.7 * 255.0 * c.noise
    grey, colour = scene.columns(strength, strength * ~c.infrared)
    display.add_(noise * colour).add_(noise[0] * grey)
    pixels = display.clamp_(0.0, 255.5).to(torch.uint8)  # the tone curve holds the half to round up
    return torch.stack([*pixels.view(shape)], dim=-1)


def _infrared_lens(scene: Scene, display: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """(R, H, W) of the grey pictures `rows`: softer, and what is bright spreads around it."""
    c, x = scene.cameras, display.index_select(0, scene.tensor(rows))
    x = _blur(x, scene.tensor(c.soft[rows] * scene.height / 192.0))
    halo = (x - (0.55 * 255.0 + 0.5)).clamp_(min=0.0)
    for step in (1, 3):
        halo = _spread(halo, step * max(1, scene.height // 96))
    return x.add_(halo.mul_(scene.tensor(c.bloom[rows])[:, None, None]))


def _spread(x: Tensor, step: int) -> Tensor:
    """(B, H, W) with a quarter from `step` pixels before and behind, along both axes."""
    for axis in (1, 2):
        index = torch.arange(x.shape[axis], device=x.device)
        before = x.index_select(axis, (index - step).clamp(min=0))
        after = x.index_select(axis, (index + step).clamp(max=x.shape[axis] - 1))
        x = (x * 0.5).add_(before.add_(after).mul_(0.25))
    return x


def _tone(scene: Scene, picture: Tensor) -> Tensor:
    """Linear light to display values from 0.5 to 255.5, through each camera's curve."""
    c, (_, images, pixels) = scene.cameras, picture.shape
    saturation, vignette = scene.columns(c.saturation, c.vignette)
    gain = scene.planes(c.gain * scene.shots.exposure[:, None])
    x = torch.linspace(-1.0, 1.0, scene.width, device=scene.device)
    y = torch.linspace(-1.0, 1.0, scene.height, device=scene.device)
    radius = (x * x + (y * y)[:, None]).view(pixels)
    corner = (vignette * radius).mul_(-0.5).add_(1.0)
    grey = (picture[0] * 0.25).add_(picture[1] * 0.5).add_(picture[2] * 0.25)
    linear = (picture - grey).mul_(saturation).add_(grey).mul_(gain).mul_(corner)
    step = linear.clamp_(0.0, 1.0).sqrt_().mul_(TONES - 1).add_(0.5).to(torch.int32)
    step += torch.arange(images, device=scene.device, dtype=torch.int32)[:, None] * TONES
    curve = scene.tensor(c.tone * 255.0 + 0.5).reshape(-1)
    return curve.index_select(0, step.view(-1)).view(picture.shape)


def _noise(scene: Scene) -> Tensor:
    """(B, 3·H·W) of the noise bank, from each image's own place on."""
    windows = _noise_windows(scene.device, 3 * scene.height * scene.width)
    return windows.index_select(0, torch.as_tensor(scene.shots.noise, device=scene.device))


@lru_cache(maxsize=4)
def _noise_windows(device: torch.device, length: int) -> Tensor:
    """(places, length) view of the bank; a large picture runs round it."""
    bank = _noise_bank(device)
    return bank.repeat(2 + length // len(bank))[: len(bank) + length - 1].unfold(0, length, 1)


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """(…, B, H, W) smoothed by two passes of three taps per axis; sigma (B,) pixels, up to 1.1.

    `x` is overwritten.
    """
    w = (sigma * sigma * 0.25).clamp(max=0.32)[:, None, None]
    rest, near = 1.0 - 2.0 * w, torch.empty_like(x)
    for _ in range(2):
        for axis in (-2, -1):
            n = x.shape[axis]
            # Sum of both neighbours; a pixel at an edge is its own neighbour.
            for at, size, before in ((1, n - 2, 0), (0, 1, 0), (n - 1, 1, n - 2)):
                pair = x.narrow(axis, before, size), x.narrow(axis, min(at + 1, n - 1), size)
                torch.add(*pair, out=near.narrow(axis, at, size))
            x.mul_(rest).add_(near.mul_(w))
    return x
