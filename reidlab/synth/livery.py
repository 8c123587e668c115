"""How a vehicle looks: stripes and rims, gaps between doors, reflections, and its shadow.

Like all shading these are element-wise operations that IEEE 754 rounds exactly; a condition is a
float, 1 or 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reidlab.synth import vehicles
from reidlab.synth.elementwise import fraction, less, more
from reidlab.synth.patterns import Pattern, Spots, edge, round_edge
from reidlab.synth.vectors import unit

if TYPE_CHECKING:
    from reidlab.synth.scene import Scene

_SPOKES = ((1.0, 0.0), (0.5, 0.866), (-0.5, 0.866))  # directions of three bars across a wheel


def _stripe(s: Spots) -> Tensor:
    return edge((s.y - s.up).abs_().neg_().add_(0.5 * s.scale), s)


def _two_tone(s: Spots) -> Tensor:
    return edge(s.up - s.y, s)


def _bonnet(s: Spots) -> Tensor:
    return edge(s.x.abs().sub_(s.across).abs_().neg_().add_(0.5 * s.scale), s)


def _logo(s: Spots) -> Tensor:
    return round_edge((s.z - s.across).div_(1.6), s.y - s.up, s.scale, s)


def _letters(s: Spots) -> Tensor:
    inked = less(fraction((s.x * 3.3).add_(s.across)), 0.6)
    return inked.mul_(less(s.y.abs(), 0.55)).mul_(less(s.x.abs(), 0.85))


def _slats(s: Spots) -> Tensor:
    return less(fraction(s.y * 2.0), 0.35)


def _engine(s: Spots) -> Tensor:
    """Warmth that grows towards an end of the vehicle: `up` 1 the front, -1 the rear."""
    return (s.z * s.up).sub_(s.across).div_(0.5).add_(0.5).clamp_(0.0, 1.0)


def _reflector(s: Spots) -> Tensor:
    return less(s.y, 0.0)


def _rim(s: Spots) -> Tensor:
    """Metal of a wheel: `across` is the style, `up` its radius as a share of the tyre's."""
    x, z, size, style = s.x / s.radius, s.z / s.radius, s.up, s.across
    steel, four, eight, six, ring = ((style == i).to(x.dtype) for i in range(5))
    out = (x * x).add_(z * z)
    cross = less(torch.minimum(x.abs(), z.abs()), 0.10)
    diagonal = less(torch.minimum((x - z).abs_(), (x + z).abs_()), 0.12)
    star = torch.zeros_like(x)
    for a, b in _SPOKES:
        star = star.maximum(less((z * a).sub_(x * b).abs_(), 0.08))
    hub = less(out, 0.03)
    bars = cross.mul_(four + eight).maximum(diagonal.mul_(eight)).maximum(star.mul_(six))
    bars = bars.maximum(more(out, 0.30 * size.square()).mul_(ring))
    bars = bars.maximum(hub * (1.0 - ring)).maximum(more(out, (0.80 * size).square()))
    disc = (1.0 - hub).mul_(steel)  # pressed steel is closed but for its middle
    return bars.mul_(1.0 - steel).add_(disc).mul_(less(out, size.square()))


# Share of a material's second colour. `across` and `up` are two numbers that say where; on paint
# coordinates are those of the vehicle in metres, elsewhere the primitive's.
LIVERY: dict[int, Pattern] = {
    vehicles.STRIPE: _stripe, vehicles.TWO_TONE: _two_tone, vehicles.BONNET: _bonnet,
    vehicles.LOGO: _logo, vehicles.RIM: _rim, vehicles.LETTERS: _letters, vehicles.SLATS: _slats,
    vehicles.REFLECTOR: _reflector, vehicles.ENGINE: _engine,
}  # fmt: skip


def draw_panels(panels: Tensor, point: list[Tensor]) -> tuple[Tensor, Tensor]:
    """What is drawn on the body: wheel arches, gaps between doors, black bumpers, window posts.

    Args:
        panels: (14, …) the columns of `fittings.Panels`, half the width, a pixel's size in m.
        point: three coordinates in the vehicle's frame, elementwise like all of this.

    Returns:
        Share of the reflectance that remains, and 1 where windows have posts, else 0.
    """
    front, rear, axle, arch, *gaps, belt, trim, first, last, step, half, pixel = panels
    x, y, z = point
    on_side = more(x.abs(), half - 0.05)
    reach = torch.minimum((z - front).abs_(), (z - rear).abs_()).square_()
    in_arch = less(reach.add_((y - axle).square_()), arch.square()).mul_(on_side)
    line = torch.zeros_like(x)
    for gap in gaps:  # about two centimetres wide, and never much thinner than a pixel
        off = (z - gap).abs_().div_((0.4 * pixel).clamp(min=0.012))
        line = line.maximum(1.0 - off)
    line.mul_(on_side).mul_(less(y, belt)).mul_((0.024 / pixel).clamp(max=0.6))
    keep = 1.0 - line
    keep.add_((0.10 - keep).mul_(less(y, trim)))
    keep.add_((0.04 - keep).mul_(in_arch))
    post = less(fraction((first - z).div_(step).add_(0.04)), 0.08)
    return keep, post.mul_(less(z, first + 0.05)).mul_(more(z, last - 0.05))


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
    near = _dot(ahead, ahead).sqrt_().reciprocal_()
    facing = _dot(ahead, normal).mul_(near).neg_().clamp_(0.0, 1.0)
    twice = facing * 2.0
    mirrored = [(a * near).add_(twice * n) for a, n in zip(ahead, normal, strict=True)]
    # Schlick's approximation of Fresnel's law, whose fifth power keeps to multiplications.
    grazing = 1.0 - facing
    fifth = (grazing * grazing).square_().mul_(grazing)
    share = fifth.mul_(0.4 * (1.0 - mirror)).add_(mirror).mul_(more(mirror, 0.0))
    glint = _dot(mirrored, list(to_sun)).clamp_(min=0.0)
    for _ in range(6):  # to the 64th power
        glint.mul_(glint)
    above = (mirrored[1] * 6.0).add_(0.5).clamp_(0.0, 1.0)
    climb = mirrored[1].clamp(min=0.0).mul_(-0.9).add_(1.9)  # the sky is brightest at its edge
    around = []
    for k in range(3):
        low = 0.35 * (ground[k] + 0.5 * sun[k])
        high = (climb * sky[k]).add_(0.25 * sun[k] - low).mul_(above)
        around.append(high.add_(low).add_(glint * (2.5 * sun[k])))
    return share, around


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return (a[0] * b[0]).add_(a[1] * b[1]).add_(a[2] * b[2])


def footprint_shadow(scene: Scene, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of sun and sky (0..1) that reach the floor around a vehicle.

    The sun's shadow of a box: a point lies in it if the way to the sun passes over the footprint
    before it has risen above the roof. Its edge is soft, as the way over the footprint is short
    there. Underneath and close by the sky is hidden, too.
    """
    c, vehicle = scene.cameras, scene.vehicle
    assert vehicle is not None
    flatness = np.sqrt(np.maximum(1 - c.sun[:, 1] ** 2, 1e-9))
    height = 0.86 * vehicle.height  # the cabin is smaller than the body
    reach = np.minimum(height * flatness / np.maximum(c.sun[:, 1], 0.2), 1.6 * height)
    flat = unit(c.sun * np.array([1.0, 0.0, 1.0]))
    to_sun = [
        (vehicle.cos * flat[:, 0] - vehicle.sin * flat[:, 2]) * reach,
        (vehicle.sin * flat[:, 0] + vehicle.cos * flat[:, 2]) * reach,
    ]
    a_step = [1.0 / np.where(np.abs(way) < 1e-3, 1e-3, way) for way in to_sun]
    rx, rz, cos, sin, wide, long, sx, sz, way = scene.columns(
        scene.root[:, 0], scene.root[:, 2], vehicle.cos, vehicle.sin, *vehicle.footprint.T,
        *a_step, 2.0 * reach,
    )  # fmt: skip
    x, z = x.sub_(rx), z.sub_(rz)
    px, pz = (x * cos).sub_(z * sin), (x * sin).add_(z * cos)
    enter, leave = torch.zeros_like(px), torch.ones_like(px)
    for place, step, half in ((px, sx, wide), (pz, sz, long)):
        one, two = (-half - place).mul_(step), (half - place).mul_(step)
        enter = enter.maximum(one.minimum(two))
        leave = leave.minimum(one.maximum(two))
    cast = leave.sub_(enter).mul_(way).clamp_(0.0, 1.0)
    ox = px.abs_().sub_(0.94 * wide).clamp_(min=0.0).square_()
    oz = pz.abs_().sub_(0.94 * long).clamp_(min=0.0).square_()
    hidden = ox.add_(oz).mul_(-1.0 / 0.42).add_(1.0).clamp_(min=0.0).square_()
    dark = scene.columns(np.where(c.thermal, 0.0, -1.0))[0]  # warmth casts no shadow
    cast, hidden = cast.mul_(dark), hidden.mul_(dark)
    sun = (cast * 0.9).add_(1.0).mul_((hidden * 0.7).add_(1.0))
    return sun, cast.mul_(0.2).add_(1.0).mul_(hidden.mul_(0.8).add_(1.0))
