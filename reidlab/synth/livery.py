"""How a vehicle looks: stripes and rims, gaps between doors, reflections, and its shadow.

Like all shading these are element-wise operations that IEEE 754 rounds exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .vectors import unit
from .vehicles import (
    BONNET,
    LETTERS,
    LOGO,
    REFLECTOR,
    RIM,
    SLATS,
    STRIPE,
    TWO_TONE,
)

if TYPE_CHECKING:
    from .scene import Scene

_SPOKES = ((1.0, 0.0), (0.5, 0.866), (-0.5, 0.866))  # directions of three bars across a wheel


def fraction(x: Tensor) -> Tensor:
    """x minus the integer below it, elementwise."""
    return x - torch.floor(x)


def draw_livery(
    kind: Tensor, x: Tensor, y: Tensor, z: Tensor, marks: Tensor, radius: Tensor
) -> Tensor:
    """Share of a material's second colour, 0 where its pattern is none of a vehicle's.

    Args:
        kind: pattern, a constant of `vehicles`; all arguments are elementwise.
        x, y, z: on paint in the vehicle's frame in metres, elsewhere in the primitive's.
        marks: scale, and two numbers that say where; what follows is not used.
        radius: of the primitive.
    """
    scale, across, up = marks[0], marks[1], marks[2]
    stripe = (y - up).abs() < 0.5 * scale
    bonnet = (x.abs() - across).abs() < 0.5 * scale
    logo = ((z - across) / 1.6) ** 2 + (y - up) ** 2 < scale**2
    letters = (fraction(x * 3.3 + across) < 0.6) & (y.abs() < 0.55) & (x.abs() < 0.85)
    slats = fraction(y * 2.0) < 0.35
    rim = _rim(across, x / radius, z / radius, up)
    mix = torch.zeros_like(x)
    for name, value in (
        (STRIPE, stripe),
        (TWO_TONE, y < up),
        (BONNET, bonnet),
        (LOGO, logo),
        (LETTERS, letters),
        (SLATS, slats),
        (RIM, rim),
        (REFLECTOR, y < 0.0),
    ):
        mix = torch.where(kind == name, value.to(mix.dtype), mix)
    return mix


def _rim(style: Tensor, x: Tensor, z: Tensor, size: Tensor) -> Tensor:
    """(F,) bool: metal of a wheel? x and z as shares of its radius."""
    out = x * x + z * z
    inside = out < size * size
    cross = torch.minimum(x.abs(), z.abs()) < 0.10
    diagonal = torch.minimum((x - z).abs(), (x + z).abs()) < 0.12
    star = torch.zeros_like(inside)
    for a, b in _SPOKES:
        star = star | ((a * z - b * x).abs() < 0.08)
    edge = out > (0.80 * size) ** 2
    hub = out < 0.03
    metal = torch.ones_like(inside)
    for index, bars in ((1, cross), (2, cross | diagonal), (3, star), (4, out > 0.30 * size**2)):
        metal = torch.where(style == index, bars | edge | (hub & (style < 4)), metal)
    return inside & metal & ~(hub & (style == 0))


def draw_panels(panels: Tensor, point: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What is drawn on the body: wheel arches, gaps between doors, black bumpers, window posts.

    Args:
        panels: (14, …) the columns of `fittings.Panels`, half the width, a pixel's size in m.
        point: three coordinates in the vehicle's frame, elementwise like all of this.

    Returns:
        Share of the reflectance that remains, and where windows have posts.
    """
    front, rear, axle, arch, *gaps, belt, trim, first, last, step, half, pixel = panels
    x, y, z = point
    on_side = x.abs() > half - 0.05
    reach = torch.minimum((z - front).abs(), (z - rear).abs())
    in_arch = (reach * reach + (y - axle) ** 2 < arch * arch) & on_side
    line = torch.zeros_like(x)
    for gap in gaps:  # about two centimetres wide, and never much thinner than a pixel
        line = torch.maximum(line, 1.0 - (z - gap).abs() / (0.4 * pixel).clamp(min=0.012))
    line = torch.where(on_side & (y < belt), line * (0.024 / pixel).clamp(max=0.6), 0.0)
    keep = torch.where(y < trim, 0.10, 1.0 - line)
    post = (fraction((first - z) / step + 0.04) < 0.08) & (z < first + 0.05) & (z > last - 0.05)
    return torch.where(in_arch, 0.04, keep), post


def reflect(
    light: Tensor, ahead: list[Tensor], normal: list[Tensor], mirror: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The mirror image of sky, ground and sun in lacquer and glass.

    Args:
        light: (12, …) way to the sun, colours of sun, sky and ground.
        ahead: three components of the direction of sight, of any length, elementwise.
        normal: three components of the unit normal.
        mirror: share of light that the material mirrors straight on, 0: it is matt.

    Returns:
        The share that is mirrored here, and the three colours of what is.
    """
    to_sun, sun, sky, ground = light[:3], light[3:6], light[6:9], light[9:12]
    size = torch.sqrt(_dot(ahead, ahead))
    facing = (-_dot(ahead, normal) / size).clamp(0.0, 1.0)
    mirrored = [a / size + 2.0 * facing * n for a, n in zip(ahead, normal, strict=True)]
    # Schlick's approximation of Fresnel's law, whose fifth power keeps to multiplications.
    grazing = (1.0 - facing) * (1.0 - facing)
    rise = 0.4 * grazing * grazing * (1.0 - facing)
    share = torch.where(mirror > 0, mirror + (1.0 - mirror) * rise, 0.0)
    glint = _dot(mirrored, list(to_sun)).clamp(min=0.0)
    for _ in range(6):  # to the 64th power
        glint = glint * glint
    above = (0.5 + 6.0 * mirrored[1]).clamp(0.0, 1.0)
    around = []
    for k in range(3):
        high = sky[k] * (1.9 - 0.9 * mirrored[1].clamp(min=0.0)) + 0.25 * sun[k]
        low = 0.35 * (ground[k] + 0.5 * sun[k])
        around.append(low + above * (high - low) + 2.5 * glint * sun[k])
    return share, around


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def footprint_shadow(scene: Scene, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of sun and sky (0..1) that reach the floor around a vehicle.

    The sun's shadow of a box: a point lies in it if the way to the sun passes over the footprint
    before it has risen above the roof. Its edge is soft, as the way over the footprint is short
    there. Underneath and close by the sky is hidden, too.
    """
    c, coach = scene.cameras, scene.coach
    assert coach is not None
    flatness = np.sqrt(np.maximum(1 - c.sun[:, 1] ** 2, 1e-9))
    height = 0.86 * scene.people.height  # the cabin is smaller than the body
    reach = np.minimum(height * flatness / np.maximum(c.sun[:, 1], 0.2), 1.6 * height)
    flat = unit(c.sun * np.array([1.0, 0.0, 1.0]))
    to_sun = [
        (coach.cos * flat[:, 0] - coach.sin * flat[:, 2]) * reach,
        (coach.sin * flat[:, 0] + coach.cos * flat[:, 2]) * reach,
    ]
    columns = (scene.root[:, 0], scene.root[:, 2], coach.cos, coach.sin, *coach.footprint.T,
               *to_sun, reach)  # fmt: skip
    rx, rz, cos, sin, wide, long, sx, sz, way = (scene.tensor(v)[:, None, None] for v in columns)
    px, pz = cos * (x - rx) - sin * (z - rz), sin * (x - rx) + cos * (z - rz)
    enter, leave = torch.zeros_like(px), torch.ones_like(px)
    for place, step, half in ((px, sx, wide), (pz, sz, long)):
        step = torch.where(step.abs() < 1e-3, 1e-3, step)
        one, two = (-half - place) / step, (half - place) / step
        enter = torch.maximum(enter, torch.minimum(one, two))
        leave = torch.minimum(leave, torch.maximum(one, two))
    cast = ((leave - enter) * way / 0.5).clamp(0.0, 1.0)
    ox, oz = ((p.abs() - 0.94 * half).clamp(min=0.0) for p, half in ((px, wide), (pz, long)))
    near = (1.0 - (ox * ox + oz * oz) / 0.42).clamp(min=0.0)
    hidden = near * near
    return (1.0 - 0.9 * cast) * (1.0 - 0.7 * hidden), (1.0 - 0.2 * cast) * (1.0 - 0.8 * hidden)
