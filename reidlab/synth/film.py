"""From light to pixels: exposure, white balance, tone curve, lens blur, sensor noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .cameras import TONES
from .scene import Scene
from .shots import NOISE_PLACES


@lru_cache(maxsize=4)
def _noise_bank(device: torch.device) -> Tensor:
    """Two million normal numbers that images read at a place of their own: sensor noise."""
    bank = np.random.default_rng(11).standard_normal(2 * NOISE_PLACES, dtype=np.float32)
    return torch.as_tensor(bank, device=device)


def develop(scene: Scene, picture: Tensor) -> Tensor:
    """(B, H, W, 3) linear light to (B, H, W, 3) uint8."""
    display = _tone(scene, picture)
    display = _blur(display, scene.tensor(scene.cameras.blur * scene.height / 192.0))
    infrared = np.flatnonzero(scene.cameras.infrared)
    if len(infrared):
        display[scene.tensor(infrared)] = _infrared_lens(scene, display, infrared)
    noise = _noise(scene).reshape(picture.shape)
    dark = scene.tensor(scene.cameras.infrared)[:, None, None, None]
    noise = 0.7 * noise[..., :1] + torch.where(dark, 0.0, 0.7 * noise)
    display = display + scene.tensor(scene.cameras.noise)[:, None, None, None] * noise
    return torch.floor(display.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _infrared_lens(scene: Scene, display: Tensor, rows: NDArray[np.int64]) -> Tensor:
    """(R, H, W, 1) of the grey pictures `rows`: softer, and what is bright spreads around it."""
    c, x = scene.cameras, display[scene.tensor(rows)][..., :1]
    x = _blur(x, scene.tensor(c.soft[rows] * scene.height / 192.0))
    halo = (x - 0.55).clamp(min=0.0)
    for step in (1, 3):
        halo = _spread(halo, step * max(1, scene.height // 96))
    return x + scene.tensor(c.bloom[rows])[:, None, None, None] * halo


def _spread(x: Tensor, step: int) -> Tensor:
    """(B, H, W, C) with a quarter from `step` pixels before and behind, along both axes."""
    for axis in (1, 2):
        index = torch.arange(x.shape[axis], device=x.device)
        before = x.index_select(axis, (index - step).clamp(min=0))
        after = x.index_select(axis, (index + step).clamp(max=x.shape[axis] - 1))
        x = 0.5 * x + 0.25 * before + 0.25 * after
    return x


def _tone(scene: Scene, picture: Tensor) -> Tensor:
    """Linear light to display values in 0..1, through each camera's curve."""
    c, (images, height, width, _) = scene.cameras, picture.shape
    grey = picture[..., :1] * 0.25 + picture[..., 1:2] * 0.5 + picture[..., 2:] * 0.25
    saturation = scene.tensor(c.saturation)[:, None, None, None]
    gain = scene.tensor(c.gain * scene.shots.exposure[:, None])[:, None, None]
    x = torch.linspace(-1.0, 1.0, width, device=scene.device)
    y = torch.linspace(-1.0, 1.0, height, device=scene.device)
    corner = 1.0 - scene.tensor(c.vignette)[:, None, None] * 0.5 * (x * x + (y * y)[:, None])
    linear = (grey + saturation * (picture - grey)) * gain * corner[..., None]
    entry = torch.floor(torch.sqrt(linear.clamp(0.0, 1.0)) * (TONES - 1) + 0.5).to(torch.int64)
    row = torch.arange(images, device=scene.device)[:, None, None, None] * TONES
    return scene.tensor(c.tone).reshape(-1)[entry + row]


def _noise(scene: Scene) -> Tensor:
    """(B, H·W·3) of the noise bank, from each image's own place on."""
    bank = _noise_bank(scene.device)
    start = torch.as_tensor(scene.shots.noise, device=scene.device)[:, None]
    places = start + torch.arange(scene.height * scene.width * 3, device=scene.device)
    return bank[places & (len(bank) - 1)]  # a large picture runs round the bank


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """(B, H, W, C) smoothed by two passes of three taps per axis; sigma (B,) pixels, up to 1.1."""
    w = (sigma * sigma * 0.25).clamp(max=0.32)[:, None, None, None]
    for _ in range(2):
        for axis in (1, 2):
            n = x.shape[axis]
            index = torch.arange(n, device=x.device)
            before = x.index_select(axis, (index - 1).clamp(min=0))
            after = x.index_select(axis, (index + 1).clamp(max=n - 1))
            x = x + w * (before - x) + w * (after - x)
    return x
