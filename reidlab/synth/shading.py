"""What colour has a point on a person or a box? Normal, pattern, light."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .people import (
    CHECK,
    FACE_PATTERN,
    H_STRIPES,
    LOGO,
    OPEN,
    PRINT,
    SIDE,
    STRANDS,
    TWO_TONE,
    V_STRIPES,
)
from .raycast import NOTHING, SLOTS, TILE
from .scene import Scene


def fraction(x: Tensor) -> Tensor:
    """x minus the integer below it, elementwise."""
    return x - torch.floor(x)


def _triangle(x: Tensor) -> Tensor:
    """A wave of period 1 between -1 and 1 without a transcendental function."""
    return (fraction(x) - 0.5).abs() * 4.0 - 1.0


def shade_pixels(scene: Scene, quads: Tensor) -> tuple[Tensor, Tensor]:
    """Colour and coverage per pixel.

    A pixel is shaded once per primitive that its four samples see, weighted by how many see it.

    Args:
        scene: B images.
        quads: (pixels, 4) keys of `raycast.visible`, the four samples of a pixel side by side.

    Returns:
        (pixels, 3) colour times coverage, and (pixels,) coverage in 0..1.
    """
    seen = (quads != NOTHING).any(dim=1).nonzero().squeeze(1)  # pixels with something in front
    first, share = _distinct(quads[seen])
    chosen = first.reshape(-1).nonzero().squeeze(1)
    sample = seen[chosen // 4] * 4 + chosen % 4
    shaded = _shade(scene, quads.reshape(-1)[sample], sample)
    quarters = torch.zeros(4 * len(seen), 3, device=quads.device)
    quarters.index_copy_(0, chosen, shaded * share.reshape(-1)[chosen, None])
    q = quarters.reshape(-1, 4, 3)
    colour = torch.zeros(len(quads), 3, device=quads.device)
    colour.index_copy_(0, seen, q[:, 0] + q[:, 1] + q[:, 2] + q[:, 3])
    cover = torch.zeros(len(quads), device=quads.device)
    return colour, cover.index_copy_(0, seen, (first * share).sum(dim=1))


def _distinct(quads: Tensor) -> tuple[Tensor, Tensor]:
    """Which of a pixel's four samples are the first to see their primitive, and its share.

    Args:
        quads: (P, 4) keys.

    Returns:
        (P, 4) bool, and (P, 4) the share of the pixel's samples that see the same.
    """
    hit = quads != NOTHING
    a, b, c, d = torch.where(hit, quads & (SLOTS - 1), -1).unbind(1)
    ab, ac, ad, bc, bd, cd = a == b, a == c, a == d, b == c, b == d, c == d
    first = torch.stack([ab | True, ~ab, ~(ac | bc), ~(ad | bd | cd)], dim=1) & hit
    ab, ac, ad, bc, bd, cd = (pair.float() for pair in (ab, ac, ad, bc, bd, cd))
    others = torch.stack([ab + ac + ad, ab + bc + bd, ac + bc + cd, ad + bd + cd], dim=1)
    return first, (1.0 + others) * 0.25


def _place(scene: Scene, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image, sample column and sample row of (F,) places in the (pixels, 4) order."""
    half, across = TILE // 2, scene.width * 2 // TILE
    pixel, corner = sample // 4, sample % 4
    per_image = scene.width * scene.height
    image, within = pixel // per_image, pixel % per_image
    tile, inner = within // half**2, within % half**2
    column = (tile % across) * TILE + (inner % half) * 2 + corner % 2
    row = (tile // across) * TILE + (inner // half) * 2 + corner // 2
    return image, column, row


def _shade(scene: Scene, keys: Tensor, sample: Tensor) -> Tensor:
    """(F, 3) linear colour of F samples; `sample` is their place in the (pixels, 4) order."""
    image, column, row = _place(scene, sample)
    flat = image * scene.slots + (keys & (SLOTS - 1)).to(torch.int64)
    depth = (keys & -SLOTS).view(torch.float32)
    u, v = column.to(torch.float32), row.to(torch.float32)

    def points(bundles: Tensor) -> list[Tensor]:  # (12, F): origin, start, right, down
        m = bundles
        return [m[k] + depth * (m[3 + k] + u * m[6 + k] + v * m[9 + k]) for k in range(3)]

    local = points(scene.frames.reshape(-1, 12).index_select(0, flat).T)
    normal = _normal(scene, flat, local)
    on_body = points(scene.torso.index_select(0, image).T)
    albedo = _albedo(scene, flat, local, on_body)
    return _light(scene, image, flat, normal, on_body[1], depth, albedo)


def _normal(scene: Scene, flat: Tensor, local: list[Tensor]) -> Tensor:
    """(F, 3) unit scene normals."""
    s = scene.shapes
    length, ra, rb = (x.reshape(-1)[flat] for x in (s.length, s.ra, s.rb))
    x, y, z = local
    across = torch.sqrt(x * x + z * z)
    sine = ((ra - rb) / length).clamp(-0.97, 0.97)
    foot = torch.minimum((y - across * sine / torch.sqrt(1.0 - sine * sine)).clamp(min=0.0), length)
    box = s.is_box.reshape(-1)[flat]
    outer = torch.maximum(torch.maximum(x.abs(), y.abs()), z.abs()) * 0.999
    faces = [torch.where(v.abs() >= outer, v, 0.0) for v in (x, y, z)]
    n = [torch.where(box, f, c) for f, c in zip(faces, (x, y - foot, z), strict=True)]
    m = s.matrix.reshape(-1, 9).index_select(0, flat).T
    world = [n[0] * m[i] + n[1] * m[3 + i] + n[2] * m[6 + i] for i in range(3)]
    size = torch.sqrt(world[0] * world[0] + world[1] * world[1] + world[2] * world[2])
    return torch.stack([w / size.clamp(min=1e-9) for w in world], dim=1)


def _albedo(scene: Scene, flat: Tensor, local: list[Tensor], body_point: list[Tensor]) -> Tensor:
    """(F, 3) reflectance with pattern and creases."""
    colours = scene.colours.index_select(0, flat)
    pattern = scene.pattern[flat]
    on_body = scene.body_frame[flat]
    x, y, z = (torch.where(on_body, b, c) for b, c in zip(body_point, local, strict=True))
    mix = torch.zeros_like(x)
    busy = (pattern > 0).nonzero().squeeze(1)
    if len(busy):
        marks = scene.marks.index_select(0, flat[busy]).T
        radius = scene.shapes.ra.reshape(-1)[flat[busy]]
        mix[busy] = _pattern(pattern[busy], x[busy], y[busy], z[busy], marks, on_body[busy], radius)
    albedo = colours[:, :3] + mix[:, None] * (colours[:, 3:] - colours[:, :3])
    crease = _triangle(y * 5.1 + x * 3.7 + z * 2.9) * _triangle(y * 8.3 - x * 6.1 + z * 4.7)
    return albedo * (1.0 + scene.marks[:, 5][flat] * crease)[:, None]


def _edge(distance: Tensor, pixel: Tensor) -> Tensor:
    """Share 0..1 of a pixel on the near side of an edge that is `distance` away, in metres."""
    return (0.5 + distance / pixel).clamp(0.0, 1.0)


def _blob(x: Tensor, y: Tensor) -> Tensor:
    """A soft disc (0..1) of radius one."""
    return (1.25 - x * x - y * y).clamp(0.0, 1.0)


def _pattern(
    kind: Tensor, x: Tensor, y: Tensor, z: Tensor, marks: Tensor, on_body: Tensor, radius: Tensor
) -> Tensor:
    """Share (F,) of the second colour. Coordinates in metres; y from the floor on a torso."""
    scale, dx, dy, height, _, _, pixel = marks
    front, wide = (z > 0).float(), x.abs()
    rows = _edge(-0.25 * scale * _triangle(y / scale + 0.25), pixel)
    columns = _edge(-0.25 * scale * _triangle(x / scale + 0.5), pixel)
    reach, right, up = 0.45 * scale, x - dx, y - dy * height
    logo = _edge(0.5 * (reach - (right * right + up * up) / reach), pixel)
    high = 0.6 * scale - (y - 0.70 * height).abs()
    back = _edge(torch.minimum(0.8 * scale - wide, high), pixel)
    split = _edge(torch.where(on_body, y - 0.67 * height, y), pixel)
    stripe = _edge(torch.minimum(0.30 * radius - z.abs(), wide - 0.5 * radius), pixel)
    opening = 0.020 + 0.10 * (y - 0.45 * height).clamp(min=0.0)
    across, level = wide / radius, y / radius
    eyes = _blob((across - 0.42) * 4.6, (level - 0.95) * 4.8)
    mouth = _blob(across * 2.8, (level + 0.05) * 9.0)
    mix = torch.zeros_like(x)
    for name, value in (
        (H_STRIPES, rows),
        (V_STRIPES, columns),
        (CHECK, 0.5 * (rows + columns)),
        (LOGO, logo * front * on_body),
        (PRINT, back * (1.0 - front) * on_body),
        (TWO_TONE, split),
        (SIDE, stripe),
        (OPEN, _edge(opening - wide, pixel) * front * on_body),
        (STRANDS, 0.35 * (_triangle(x * 38.0) * _triangle(z * 29.0 + 0.3)).abs()),
        (FACE_PATTERN, (eyes * 0.95 + mouth * 0.5) * front),
    ):
        mix = torch.where(kind == name, value, mix)
    return mix


def _light(
    scene: Scene, image: Tensor, flat: Tensor, normal: Tensor, above_floor: Tensor, depth: Tensor,
    albedo: Tensor,
) -> Tensor:  # fmt: skip
    """(F, 3) light: sun with a soft edge, sky above, ground below, darker towards the feet."""
    c = scene.cameras
    columns = (c.sun, c.sun_colour, c.sky_colour, c.ground_colour, c.lamp[:, None])
    row = scene.tensor(np.concatenate(columns, axis=1)).index_select(0, image)
    sun = normal[:, 0] * row[:, 0] + normal[:, 1] * row[:, 1] + normal[:, 2] * row[:, 2]
    sun = ((sun + 0.18) / 1.18).clamp(min=0.0)
    up = (0.5 + 0.5 * normal[:, 1])[:, None]
    contact = (0.62 + 0.9 * above_floor).clamp(max=1.0)
    light = row[:, 3:6] * sun[:, None] + row[:, 6:9] * up + row[:, 9:12] * (1.0 - up)
    shine = sun * sun
    shine = shine * shine * shine * 0.10 * scene.marks[:, 4][flat]
    reach = row[:, 12]
    falloff = (reach * reach / (depth * depth)).clamp(max=1.5)
    falloff = torch.where(reach > 0, falloff, 1.0)
    return (albedo * light * contact[:, None] + row[:, 3:6] * shine[:, None]) * falloff[:, None]
