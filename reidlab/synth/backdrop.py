"""What lies behind the person: floor, wall, grain, lights, and the shadow on the floor."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.synth.cameras import Cameras
from reidlab.synth.draws import Array
from reidlab.synth.elementwise import fraction, less
from reidlab.synth.livery import footprint_shadow
from reidlab.synth.scene import Scene
from reidlab.synth.shading import lamplight
from reidlab.synth.vectors import power, unit

_NOISE = 1024  # side of the tileable noise picture


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


def _grain(x: Tensor, y: Tensor) -> Tensor:
    """Noise at column x and row y of the noise picture, whose ends meet."""
    column = torch.floor(x).to(torch.int32).bitwise_and_(_NOISE - 1)
    row = torch.floor(y).to(torch.int32).bitwise_and_(_NOISE - 1)
    place = row.mul_(_NOISE).add_(column)
    return _noise_picture(x.device).index_select(0, place.view(-1)).view(x.shape)


def paint(scene: Scene) -> Tensor:
    """(3, B, height·width) linear light of floor and backdrop at pixel centres."""
    c = scene.cameras
    dx, dy, dz = _pixel_rays(scene)
    tall, far, haze = scene.columns(c.height, c.backdrop, c.haze)
    to_floor = tall / (-dy).clamp_(min=1e-6)
    to_wall = far / dz.clamp(min=1e-3)
    floor = less(to_floor, to_wall)  # 1 or 0
    depth = to_floor.minimum(to_wall)
    shiny = np.flatnonzero((c.gloss > 0) | (c.lit > 0))
    rows = scene.tensor(shiny)
    # A floor that mirrors shows the wall where the mirrored ray, climbing from y = 0, meets it.
    across, level, reach, rise = (v.index_select(0, rows) for v in (dx, dy, to_wall, tall))
    across, level = across.mul_(reach), level.mul_(reach).add_(rise).abs_()
    x, y, z = dx.mul_(depth), dy.mul_(depth).add_(tall), dz.mul_(depth)
    along = (z - y).mul_(floor).add_(y)  # away from the camera on the floor, up on a wall
    colour = _base(scene, floor, x, y, z, along)
    grain = _grain((floor * 0.3).add_(0.7).mul_(x).mul_(204.8), along.mul_(204.8))
    corner = y.mul_(0.5).add_(0.7).clamp_(max=1.0).maximum(floor)
    rough = grain.mul_(0.16).add_(1.0).mul_(corner)
    colour.mul_(_lit(scene, floor, x, z))
    if len(shiny):
        part = _polish(scene, shiny, colour.index_select(1, rows), floor, across, level)
        colour.index_copy_(1, rows, part)
    if c.lamp.any():
        rough.mul_(lamplight(scene.columns(c.lamp)[0], depth))
    colour.mul_(rough)
    veil = depth.sub_(4.0).div_(24.0).clamp_(0.0, 1.0).mul_(haze)
    return colour.add_((scene.planes(c.haze_colour) - colour).mul_(veil))


def _pixel_rays(scene: Scene) -> list[Tensor]:
    """Three (B, height·width) components of the rays through pixel centres."""
    r, device = scene.rays, scene.device
    column = torch.arange(scene.width, device=device, dtype=torch.float32) * 2.0 + 0.5
    row = torch.arange(scene.height, device=device, dtype=torch.float32) * 2.0 + 0.5
    out = []
    for axis in range(3):
        start, right, down = (v[:, axis, None] for v in (r.start, r.right, r.down))
        rays = (start + row * down)[:, :, None] + (column * right)[:, None, :]
        out.append(rays.flatten(1))
    return out


def _base(scene: Scene, floor: Tensor, x: Tensor, y: Tensor, z: Tensor, along: Tensor) -> Tensor:
    """(3, B, height·width) reflectance."""
    c = scene.cameras
    mix = _soft(scene, floor, x, along)
    _draw(scene, mix, c.floor_kind, _FLOORS, c.floor_scale, x, z, floor)
    _draw(scene, mix, c.backdrop_kind, _WALLS, c.backdrop_scale, x, y, 1.0 - floor)
    behind, extra = c.backdrop_colour, c.floor_colour - c.backdrop_colour
    first = (floor * scene.planes(extra[:, 0])).add_(scene.planes(behind[:, 0]))
    second = (floor * scene.planes(extra[:, 1])).add_(scene.planes(behind[:, 1]))
    return second.sub_(first).mul_(mix).add_(first)


def _draw(
    scene: Scene, mix: Tensor, kinds: NDArray[np.int64], patterns: dict[int, _Pattern],
    scales: Array, x: Tensor, up: Tensor, mask: Tensor,
) -> None:  # fmt: skip
    """Put the patterns of those rows whose kind has one into `mix` (R, pixels), where `mask` is 1.

    `mix` are shares of the second colour, changed in place; `kinds` and `scales` (R,) are those of
    the floor or wall, `x` and `up` (R, pixels) metres across, and along the floor or up the wall.
    """
    for kind, pattern in patterns.items():
        chosen = np.flatnonzero(kinds == kind)
        if not len(chosen):
            continue
        rows, scale = scene.tensor(chosen), scene.tensor(scales[chosen])[:, None]
        share = pattern(x.index_select(0, rows), up.index_select(0, rows), scale)
        old = mix.index_select(0, rows)
        mix.index_copy_(0, rows, share.sub_(old).mul_(mask.index_select(0, rows)).add_(old))


# Per kind of floor and of wall: noise of how many texels a metre, and the share of the second
# colour in the middle and how far noise shifts it. Zeros: a pattern of `_FLOORS` or `_WALLS`.
_SOFT_FLOORS = np.array([(51.2, 0.25, 0.25), (0, 0, 0), (0, 0, 0), (51.2, 0.5, 2.2)])
_SOFT_WALLS = np.array([(25.6, 0.3, 0.3), (0, 0, 0), (0, 0, 0), (102.4, 0.5, 1.9), (0, 0, 0)])


def _soft(scene: Scene, floor: Tensor, x: Tensor, along: Tensor) -> Tensor:
    """Share of the second colour where noise alone decides: plain, patches, wall, foliage."""
    c = scene.cameras
    on_floor, on_wall = _SOFT_FLOORS[c.floor_kind], _SOFT_WALLS[c.backdrop_kind]
    pairs = zip(scene.columns(*on_wall.T), scene.columns(*(on_floor - on_wall).T), strict=True)
    scale, middle, swing = ((floor * extra).add_(base) for base, extra in pairs)
    grain = _grain(x * scale, scale.mul_(along))
    return grain.mul_(swing).add_(middle).clamp_(0.0, 1.0)


def _tiles(x: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    across, along = x / scale, z / scale
    joint = less(fraction(across).minimum(fraction(along)), 0.05)
    # Every tile has a grain of its own.
    tone = _grain(across.floor_().mul_(87.04), along.floor_().mul_(117.76)).mul_(0.3).add_(0.15)
    return (1.0 - tone).mul_(joint).add_(tone)


def _lanes(x: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    return less(fraction((z * 0.35).add_(x).div_(3.0 * scale)), 0.12)


def _bricks(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    layer = y / 0.18
    joint = fraction(torch.floor(layer) * 0.5).add_(x / 0.5)
    return less(fraction(layer), 0.14).maximum(less(fraction(joint), 0.06))


def _windows(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    lit = less(fraction(x / (1.6 * scale)), 0.55)
    return lit.mul_(less(fraction((y / 2.2).add_(0.7)), 0.6))


def _shopfront(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    panel = x / (1.3 * scale)
    goods = _grain(torch.floor(panel).mul_(28.0), torch.floor(y / 1.9).mul_(20.0))
    return goods.mul_(0.9).add_(0.5).clamp_(0.0, 1.0).maximum(less(fraction(panel), 0.04))


_Pattern = Callable[[Tensor, Tensor, Tensor], Tensor]
# Share of the second colour at (metres across, metres along or up, scale), by kind.
_FLOORS: dict[int, _Pattern] = {1: _tiles, 2: _lanes}
_WALLS: dict[int, _Pattern] = {1: _bricks, 2: _windows, 4: _shopfront}


def _lit(scene: Scene, floor: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """(3, B, height·width) arriving light: sun and sky outside the shadow, less on a wall.

    What is on the floor at (x, z) is overwritten.
    """
    c = scene.cameras
    pool = _pool(scene, x, z) if c.pool[:, 3].any() else None
    for_sun, for_sky = (footprint_shadow if scene.vehicle else _shadow)(scene, x, z)
    for share in (for_sun, for_sky):
        share.mul_(floor)
        if pool is not None:
            share.mul_(pool)
    light = (1.0 - floor).mul(scene.planes(_on_wall(c)))
    light.add_(for_sun * scene.planes(c.sun_colour * c.sun[:, 1:2]))
    return light.add_(for_sky * scene.planes(c.sky_colour))


def _on_wall(c: Cameras) -> Array:
    """(B, 3) light that arrives at a wall."""
    return 0.6 * c.sun_colour + 0.5 * c.sky_colour + 0.5 * c.ground_colour


def _pool(scene: Scene, x: Tensor, z: Tensor) -> Tensor:
    """(B, height·width) share of a street lamp's light that reaches the floor."""
    at_x, at_z, reach, lost = scene.columns(*scene.cameras.pool.T)
    away = (x - at_x).square_().add_((z - at_z).square_())
    return (away / (away + reach * reach)).mul_(-lost).add_(1.0)


def _polish(
    scene: Scene, shiny: NDArray[np.int64], colour: Tensor, floor: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """Windows and shop fronts give light, and a polished or wet floor mirrors them.

    Args:
        scene: B images.
        shiny: (R,) in which of them that is so.
        colour: (3, R, pixels) without, changed in place.
        floor: (B, pixels) 1 on the floor, else 0.
        x, y: (R, pixels) metres across and up of the point on the wall that is seen or mirrored.
    """
    c = scene.cameras.take(shiny)
    scale, middle, swing = scene.columns(*_SOFT_WALLS[c.backdrop_kind].T)
    mix = _grain(x * scale, y * scale).mul_(swing).add_(middle).clamp_(0.0, 1.0)
    _draw(scene, mix, c.backdrop_kind, _WALLS, c.backdrop_scale, x, y, torch.ones_like(mix))
    gloss, lit, wide = scene.columns(c.gloss, c.lit, 1.6 * c.backdrop_scale)
    pane = torch.floor(x / wide).mul_(0.618).add_(torch.floor((y / 2.2).add_(0.7)).mul_(0.382))
    glow = fraction(pane).add_(0.25).mul_(mix).mul_(lit)
    share = (y * -0.12).add_(1.0).clamp_(min=0.2).mul_(gloss).sub_(1.0)
    share.mul_(floor.index_select(0, scene.tensor(shiny))).add_(1.0)  # all of it on the wall
    first, second = c.backdrop_colour[:, 0], c.backdrop_colour[:, 1]
    arriving = _on_wall(c)
    wall = (mix * scene.planes((second - first) * arriving)).add_(scene.planes(first * arriving))
    wall.add_(glow * scene.planes(second))
    return colour.add_(wall.sub_(colour).mul_(share))


def _shadow(scene: Scene, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of sun and sky (0..1) that reach the floor: a long soft shadow, two contacts."""
    c = scene.cameras
    flatness = np.sqrt(np.maximum(1 - c.sun[:, 1] ** 2, 1e-9))
    reach = np.minimum(1.7 * flatness / np.maximum(c.sun[:, 1], 0.2), 2.6)
    flat = unit(c.sun * np.array([1.0, 0.0, 1.0]))
    direct, diffuse = c.sun_colour.mean(axis=1), c.sky_colour.mean(axis=1)
    visible = np.where(c.thermal, 0.0, 1.0)  # warmth casts no shadow
    strength = 0.75 * np.clip(direct / (direct + diffuse), 0.0, 1.0) * visible
    ax, az, fx, fz, ahead, long, dark, visible_ = scene.columns(
        scene.root[:, 0], scene.root[:, 2], flat[:, 0], flat[:, 2], 0.5 * reach,
        power(0.5 * reach + 0.22, -2), strength, visible,
    )  # fmt: skip
    x, z = x.sub_(ax), z.sub_(az)
    along, across = (x * fx).add_(z * fz), (z * fx).sub_(x * fz)
    across.mul_(across)
    round_ = (along * along).add_(across)  # squared distance from the feet
    cast = along.add_(ahead).square_().mul_(long).add_(across.mul_(0.26**-2))
    # Each is 0 in its middle and 1 from its rim on; what it takes of the light falls off smoothly.
    light = cast.clamp_(max=1.0).square_().mul_(dark).add_(1.0 - dark)
    contacts = [(round_, 0.42, 0.45), (round_, 0.24, 0.45)]
    if scene.passer_root is not None:
        away = scene.passer_root - scene.root
        px, pz = scene.columns(away[:, 0], away[:, 2])
        contacts.append((x.sub_(px).square_().add_(z.sub_(pz).square_()), 0.40, 0.6))
    for distance, radius, share in contacts:
        rim = (distance * float(power(radius, -2))).clamp_(max=1.0).square_()
        light.mul_(rim.mul_(share * visible_).add_(1.0 - share * visible_))
    return light, (light * 0.45).add_(0.55)
