"""What lies behind the person: floor, wall, grain, and the shadow on the floor."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .draws import Array
from .scene import Scene
from .shading import fraction
from .vectors import unit

_NOISE = 1024  # side of the tileable noise picture
_FINE = 4  # entries of it per texel: so many that nobody sees where one ends


@lru_cache(maxsize=4)
def _noise_picture(device: torch.device) -> Tensor:
    """(_NOISE²,) smooth, tileable noise in -1..1: the grain of floors and walls."""
    generator, total = np.random.default_rng(7), np.zeros((_NOISE, _NOISE))
    for octave, weight in ((8, 1.0), (16, 0.8), (32, 0.7), (64, 0.6), (128, 0.5)):
        coarse = generator.random((octave, octave)) * 2.0 - 1.0
        position = np.arange(_NOISE) * octave / _NOISE
        low = position.astype(int)
        share = position - low
        share = share * share * (3.0 - 2.0 * share)
        rows = coarse[low] * (1 - share)[:, None] + coarse[(low + 1) % octave] * share[:, None]
        total += weight * (rows[:, low] * (1 - share) + rows[:, (low + 1) % octave] * share)
    flat = (total / np.abs(total).max()).astype(np.float32).reshape(-1)
    return torch.as_tensor(flat, device=device)


def _grain(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Noise at (x, y) metres, `scale` texels per metre."""
    column = torch.floor(x * (scale * _FINE)).to(torch.int32) & (_NOISE - 1)
    row = torch.floor(y * (scale * _FINE)).to(torch.int32) & (_NOISE - 1)
    place = (row * _NOISE + column).reshape(-1)
    return _noise_picture(x.device).index_select(0, place).reshape(x.shape)


def paint(scene: Scene) -> Tensor:
    """(B, height, width, 3) linear light of floor and backdrop at pixel centres."""
    c = scene.cameras
    dx, dy, dz = _pixel_rays(scene)
    tall, far = (scene.tensor(v)[:, None, None] for v in (c.height, c.backdrop))
    to_floor = torch.where(dy < -1e-6, tall / (-dy).clamp(min=1e-6), 1e6)
    to_wall = far / dz.clamp(min=1e-3)
    on_floor = to_floor < to_wall
    depth = torch.minimum(to_floor, to_wall)
    x, y, z = depth * dx, tall + depth * dy, depth * dz
    shiny = bool(c.gloss.any() or c.lit.any())
    # A floor that mirrors shows the wall where the mirrored ray, climbing from y = 0, meets it.
    across, level = (to_wall * dx, (tall + to_wall * dy).abs()) if shiny else (x, y)
    wall = _wall(scene, across, level)
    colour = _base(scene, on_floor, _floor(scene, x, z), wall) * _lit(scene, on_floor, x, z)
    if shiny:
        colour = _polish(scene, colour, on_floor, across, level, wall)
    grain = 1.0 + 0.16 * _grain(
        torch.where(on_floor, x, x * 0.7), torch.where(on_floor, z, y), 51.2
    )
    corner = torch.where(on_floor, 1.0, (0.7 + 0.5 * y).clamp(max=1.0))
    colour = colour * (grain * corner)[..., None]
    if c.lamp.any():
        colour = colour * _lamp(scene, depth)[..., None]
    haze = scene.tensor(c.haze)[:, None, None] * ((depth - 4.0) / 24.0).clamp(0.0, 1.0)
    return colour + haze[..., None] * (scene.tensor(c.haze_colour)[:, None, None] - colour)


def _lamp(scene: Scene, depth: Tensor) -> Tensor:
    """(B, height, width) light of a lamp at the lens; one where a camera has none."""
    reach = scene.tensor(scene.cameras.lamp)[:, None, None]
    light = (reach * reach / (depth * depth)).clamp(max=1.5)
    return torch.where(reach > 0, light, 1.0)


def _pixel_rays(scene: Scene) -> list[Tensor]:
    """Three (B, height, width) components of the rays through pixel centres."""
    r, device = scene.rays, scene.device
    column = torch.arange(scene.width, device=device, dtype=torch.float32) * 2.0 + 0.5
    row = torch.arange(scene.height, device=device, dtype=torch.float32) * 2.0 + 0.5
    out = []
    for axis in range(3):
        start, right, down = (v[:, axis, None, None] for v in (r.start, r.right, r.down))
        out.append(start + row[None, :, None] * down + column[None, None, :] * right)
    return out


def _base(scene: Scene, on_floor: Tensor, floor: Tensor, wall: Tensor) -> Tensor:
    """(B, height, width, 3) reflectance from the shares of the second colours."""
    c = scene.cameras
    mix = torch.where(on_floor, floor, wall)[..., None]
    both = (scene.tensor(v)[:, None, None] for v in (c.floor_colour, c.backdrop_colour))
    ground, back = (v[..., 0, :] + mix * (v[..., 1, :] - v[..., 0, :]) for v in both)
    return torch.where(on_floor[..., None], ground, back)


def _lit(scene: Scene, on_floor: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """(B, height, width, 3) light that arrives: sun and sky outside the shadow, less on a wall."""
    c, shade = scene.cameras, _shadow(scene, x, z)[..., None]
    if not np.isnan(scene.passer_root).all():
        shade = shade * _passer_shadow(scene, x, z)[..., None]
    if c.thermal.any():
        shade = torch.where(scene.tensor(c.thermal)[:, None, None, None], 1.0, shade)
    sun_up = scene.tensor(c.sun[:, 1])[:, None, None, None]
    lights = (c.sun_colour, c.sky_colour, c.ground_colour)
    sun, sky, bounce = (scene.tensor(v)[:, None, None] for v in lights)
    floor = sun * sun_up * shade + sky * (0.55 + 0.45 * shade)
    if c.pool[:, 3].any():
        floor = floor * _pool(scene, x, z)[..., None]
    return torch.where(on_floor[..., None], floor, 0.6 * sun + 0.5 * sky + 0.5 * bounce)


def _passer_shadow(scene: Scene, x: Tensor, z: Tensor) -> Tensor:
    """Light (0..1) that reaches the floor around the feet of a passer-by; one where nobody is."""
    at_x, _, at_z = scene.tensor(scene.passer_root)[:, None, None].unbind(-1)
    away = (x - at_x) * (x - at_x) + (z - at_z) * (z - at_z)
    inside = (1.0 - away / (0.40 * 0.40)).clamp(min=0.0)
    return torch.where(at_x == at_x, 1.0 - 0.6 * inside * (2.0 - inside), 1.0)


def _pool(scene: Scene, x: Tensor, z: Tensor) -> Tensor:
    """(B, height, width) share of a street lamp's light that reaches the floor."""
    at_x, at_z, reach, lost = scene.tensor(scene.cameras.pool)[:, None, None].unbind(-1)
    away = (x - at_x) * (x - at_x) + (z - at_z) * (z - at_z)
    return 1.0 - lost * (away / (away + reach * reach))


def _polish(
    scene: Scene, colour: Tensor, on_floor: Tensor, x: Tensor, y: Tensor, mix: Tensor
) -> Tensor:
    """Windows and shop fronts give light, and a polished or wet floor mirrors them."""
    c = scene.cameras
    gloss, lit, scale = (scene.tensor(v)[:, None, None] for v in (c.gloss, c.lit, c.backdrop_scale))
    pane = torch.floor(x / (1.6 * scale)) * 0.618 + torch.floor(y / 2.2 + 0.7) * 0.382
    light = lit * mix * (0.25 + fraction(pane))
    tones = scene.tensor(c.backdrop_colour)[:, None, None]
    base = tones[..., 0, :] + mix[..., None] * (tones[..., 1, :] - tones[..., 0, :])
    lights = (c.sun_colour, c.sky_colour, c.ground_colour)
    sun, sky, bounce = (scene.tensor(v)[:, None, None] for v in lights)
    wall = base * (0.6 * sun + 0.5 * sky + 0.5 * bounce) + light[..., None] * tones[..., 1, :]
    share = torch.where(on_floor, gloss * (1.0 - 0.12 * y).clamp(min=0.2), 1.0)
    return colour + share[..., None] * (wall - colour)


def _floor(scene: Scene, x: Tensor, z: Tensor) -> Tensor:
    """Share of the floor's second colour: plain, tiles, lanes or patches."""
    c = scene.cameras
    kind, scale = (scene.tensor(v)[:, None, None] for v in (c.floor_kind, c.floor_scale))
    across, along, tiled = x / scale, z / scale, kind == 1
    tile = torch.floor(across) * 1.7, torch.floor(along) * 2.3  # every tile has a grain of its own
    grain = _grain(torch.where(tiled, tile[0], x), torch.where(tiled, tile[1], z), 12.8)
    joint = (fraction(across) < 0.05) | (fraction(along) < 0.05)
    tiles = torch.where(joint, 1.0, 0.15 + 0.3 * grain)
    lanes = (fraction((x + 0.35 * z) / (3.0 * scale)) < 0.12).float()
    patches = (0.5 + 2.2 * grain).clamp(0.0, 1.0)
    mix = torch.where(tiled, tiles, 0.25 + 0.25 * grain)
    return torch.where(kind == 2, lanes, torch.where(kind == 3, patches, mix))


def _wall(scene: Scene, x: Tensor, y: Tensor) -> Tensor:
    """Share of the backdrop's second colour: wall, bricks, windows, foliage or a shopfront."""
    c = scene.cameras
    kind, scale = (scene.tensor(v)[:, None, None] for v in (c.backdrop_kind, c.backdrop_scale))
    joint = x / 0.5 + 0.5 * fraction(torch.floor(y / 0.18) * 0.5) * 2.0
    bricks = ((fraction(y / 0.18) < 0.14) | (fraction(joint) < 0.06)).float()
    windows = ((fraction(x / (1.6 * scale)) < 0.55) & (fraction(y / 2.2 + 0.7) < 0.6)).float()
    foliage = (0.5 + 1.9 * _grain(x, y, 25.6)).clamp(0.0, 1.0)
    panel = x / (1.3 * scale)
    goods = _grain(torch.floor(panel) * 7.0, torch.floor(y / 1.9) * 5.0, 1.0)
    panels = torch.where(fraction(panel) < 0.04, 1.0, (0.5 + 0.9 * goods).clamp(0.0, 1.0))
    mix = torch.where(kind == 1, bricks, 0.3 + 0.3 * _grain(x, y, 6.4))
    mix = torch.where(kind == 2, windows, mix)
    return torch.where(kind == 3, foliage, torch.where(kind == 4, panels, mix))


def _shadow(scene: Scene, x: Tensor, z: Tensor) -> Tensor:
    """Light (0..1) that reaches the floor around the person: a long soft shadow, two contacts."""
    c = scene.cameras
    flatness = np.sqrt(np.maximum(1 - c.sun[:, 1] ** 2, 1e-9))
    reach = np.minimum(1.7 * flatness / np.maximum(c.sun[:, 1], 0.2), 2.6)
    flat = unit(c.sun * np.array([1.0, 0.0, 1.0]))
    direct, diffuse = c.sun_colour.mean(axis=1), c.sky_colour.mean(axis=1)
    strength = np.clip(direct / (direct + diffuse), 0.0, 1.0)
    centre = scene.root - flat * (0.5 * reach)[:, None]

    def same(value: float) -> Array:
        return np.full_like(reach, value)

    light = torch.ones_like(x)
    for at, half_long, half_wide, dark in (
        (centre, 0.5 * reach + 0.22, same(0.26), 0.75 * strength),
        (scene.root, same(0.42), same(0.42), same(0.45)),
        (scene.root, same(0.24), same(0.24), same(0.45)),
    ):
        columns = (at[:, 0], at[:, 2], flat[:, 0], flat[:, 2], half_long, half_wide, dark)
        ax, az, fx, fz, a, b, k = (scene.tensor(v)[:, None, None] for v in columns)
        along, across = (x - ax) * fx + (z - az) * fz, (z - az) * fx - (x - ax) * fz
        inside = (1.0 - (along * along) / (a * a) - (across * across) / (b * b)).clamp(min=0.0)
        light = light * (1.0 - k * inside * (2.0 - inside))
    return light
