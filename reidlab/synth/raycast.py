"""Which primitive does each sample of an image see? Closed-form ray casting on tiles.

Everything here is an element-wise tensor operation that IEEE 754 rounds exactly (+, −, ×, ÷, √,
min, max, comparisons), so the bytes of an image do not depend on the batch, the tile or the number
of threads. A ray is `origin + t · direction`; the direction is not normalised but has length 1
along the line of sight, so `t` is depth in metres, and it is linear in a sample's column and row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TILE = 8  # samples along the side of a tile
SLOTS = 128  # primitives per image at most: a slot number fits into the low bits of a depth
_FAR = 1e9  # no hit
NOTHING = torch.iinfo(torch.int32).max
# Tiles × primitives per pass: on a CPU temporaries of half a megabyte, which stay in its cache.
_ITEMS = {"cpu": 2048}
_MANY_ITEMS = 1 << 18


@dataclass
class Rays:
    """Rays of B images: `direction(column, row) = start + column · right + row · down`."""

    origin: Tensor  # (B, 3)
    start: Tensor  # (B, 3)
    right: Tensor  # (B, 3)
    down: Tensor  # (B, 3)
    columns: int  # samples across, a multiple of TILE
    rows: int


@dataclass
class Shapes:
    """S primitives of B images, each in a canonical frame: `matrix` · (scene point − `anchor`).

    Round cones stand on the local y axis from 0 to `length`; boxes fill [-1, 1]³.
    """

    matrix: Tensor  # (B, S, 3, 3)
    anchor: Tensor  # (B, S, 3)
    length: Tensor  # (B, S)
    ra: Tensor  # (B, S) radii of the two spheres
    rb: Tensor
    low: Tensor  # (B, S) cut along the axis as a share of the length; -1 capped by a sphere
    high: Tensor  # (B, S) the same at the far end; 2 capped
    is_box: Tensor  # (B, S) bool
    bounds: Tensor  # (B, S, 4) first column, last column, first row, last row, in samples
    segment: Tensor  # (B, S, 5) the projected axis (x0, y0, x1, y1) and its reach, in samples
    present: Tensor  # (B, S) bool


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """(…, 3, 3) times (…, 3), written out so that the order of additions is fixed."""
    m, v = matrix, vector.unsqueeze(-2)
    return m[..., 0] * v[..., 0] + m[..., 1] * v[..., 1] + m[..., 2] * v[..., 2]


def canonical_rays(rays: Rays, shapes: Shapes) -> Tensor:
    """(B, S, 12): origin, start, right and down of every ray bundle in every primitive's frame."""
    parts = [apply(shapes.matrix, rays.origin[:, None] - shapes.anchor)]
    parts += [apply(shapes.matrix, v[:, None]) for v in (rays.start, rays.right, rays.down)]
    return torch.cat(parts, dim=-1)


def visible(rays: Rays, shapes: Shapes, frames: Tensor) -> Tensor:
    """Nearest primitive of every sample.

    Returns:
        (B, tiles, TILE·TILE) int32 keys: depth bits with the slot number in the low seven bits, or
        `NOTHING`. Smaller is nearer, and equal depths fall to the lower slot.
    """
    images, slots = shapes.present.shape
    across, down = rays.columns // TILE, rays.rows // TILE
    item, tile_x, tile_y = _candidates(shapes, across, down)
    tile = (item // slots) * (across * down) + tile_y * across + tile_x
    keys = torch.full(
        (images * across * down, TILE * TILE), NOTHING, dtype=torch.int32, device=item.device
    )
    is_box = shapes.is_box.reshape(-1)[item]
    for kernel, chosen in ((_round_cone, ~is_box), (_box, is_box)):
        rows = chosen.nonzero().squeeze(1)
        for part in rows.split(_ITEMS.get(item.device.type, _MANY_ITEMS)):
            which = item[part]
            depth = kernel(_params(shapes, frames, which), tile_x[part], tile_y[part])
            slot = (which % slots).to(torch.int32)[:, None]
            key = (depth.view(torch.int32) & -SLOTS) | slot
            key = torch.where(depth < 1e8, key, NOTHING)
            where = tile[part][:, None].expand(-1, TILE * TILE)
            keys.scatter_reduce_(0, where, key, "amin", include_self=True)
    return keys.reshape(images, across * down, TILE * TILE)


def _candidates(shapes: Shapes, across: int, down: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of primitive and tile that may meet: flat primitive index, tile column, tile row."""
    limits = torch.tensor([across, across, down, down], device=shapes.bounds.device)
    box = torch.floor(shapes.bounds / TILE).clamp(min=-1)
    box = torch.minimum(box, limits.to(box.dtype)).to(torch.int64).reshape(-1, 4)
    x0, x1 = box[:, 0].clamp(min=0), box[:, 1].clamp(max=across - 1)
    y0, y1 = box[:, 2].clamp(min=0), box[:, 3].clamp(max=down - 1)
    wide, high = (x1 - x0 + 1).clamp(min=0), (y1 - y0 + 1).clamp(min=0)
    counts = wide * high * shapes.present.reshape(-1)
    item = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    first = torch.cumsum(counts, 0) - counts
    within = torch.arange(len(item), device=item.device) - first[item]
    tile_x, tile_y = x0[item] + within % wide[item], y0[item] + within // wide[item]
    near = _near_segment(shapes.segment.reshape(-1, 5)[item], tile_x, tile_y)
    return item[near], tile_x[near], tile_y[near]


def _near_segment(segment: Tensor, tile_x: Tensor, tile_y: Tensor) -> Tensor:
    """Does the tile come within reach of the projected axis? Drops the corners of slanted limbs."""
    x0, y0, x1, y1, reach = segment.unbind(1)
    cx, cy = tile_x * TILE + TILE / 2 - x0, tile_y * TILE + TILE / 2 - y0
    dx, dy = x1 - x0, y1 - y0
    along = ((cx * dx + cy * dy) / (dx * dx + dy * dy + 1e-6)).clamp(0.0, 1.0)
    ex, ey = cx - along * dx, cy - along * dy
    limit = reach + 0.75 * TILE
    return ex * ex + ey * ey <= limit * limit


def _params(shapes: Shapes, frames: Tensor, which: Tensor) -> tuple[Tensor, ...]:
    rows = frames.reshape(-1, 12)[which]
    scalars = (shapes.length, shapes.ra, shapes.rb, shapes.low, shapes.high)
    return (rows, *(value.reshape(-1)[which][:, None] for value in scalars))


def _directions(rows: Tensor, tile_x: Tensor, tile_y: Tensor) -> list[Tensor]:
    """Three (items, TILE²) components of the canonical ray directions of each tile."""
    steps = torch.arange(TILE, device=rows.device, dtype=rows.dtype)
    column = (tile_x * TILE)[:, None] + steps  # (items, TILE)
    row = (tile_y * TILE)[:, None] + steps
    out = []
    for axis in range(3):
        start, right, down = (rows[:, k + axis, None] for k in (3, 6, 9))
        grid = (start + row * down)[:, :, None] + (column * right)[:, None, :]
        out.append(grid.flatten(1))
    return out


def _round_cone(params: tuple[Tensor, ...], tile_x: Tensor, tile_y: Tensor) -> Tensor:
    """Depth of the first hit with two spheres and the cone tangent to both; `_FAR` where none."""
    rows, length, ra, rb, low, high = params
    dx, dy, dz = _directions(rows, tile_x, tile_y)
    ox, oy, oz = rows[:, 0:1], rows[:, 1:2], rows[:, 2:3]
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    c = ox * ox + oy * oy + oz * oz
    # Both spheres; a cut end has none.
    depth = _first_root(a, b, c - ra * ra, low < 0)
    end_b = b - length * dy
    end_c = c - 2.0 * length * oy + length * length - rb * rb
    depth = torch.minimum(depth, _first_root(a, end_b, end_c, high > 1.5))
    # Cone: (radius across the axis) · cosine + y · sine = ra.
    sine = ((ra - rb) / length).clamp(-0.97, 0.97)
    cosine2 = 1.0 - sine * sine
    cone_a = cosine2 * a - dy * dy
    cone_b = cosine2 * b + (sine * ra - oy) * dy
    rest = ra - sine * oy
    cone_c = cosine2 * (c - oy * oy) - rest * rest
    t = _first_root(cone_a, cone_b, cone_c, cone_a > 1e-9)
    y = oy + t * dy
    bottom = torch.maximum(ra * sine, low * length)
    top = torch.minimum(length + rb * sine, high * length)
    return torch.minimum(depth, torch.where((y >= bottom) & (y <= top), t, _FAR))


def _first_root(a: Tensor, b: Tensor, c: Tensor, valid: Tensor) -> Tensor:
    """Smaller root of a·t² + 2·b·t + c; `_FAR` where not `valid`, behind the eye, or none."""
    under = b * b
    under.sub_(a * c)  # in place, as what these passes cost is memory
    t = under.clamp(min=0.0).sqrt_().add_(b).neg_().div_(a)
    return torch.where((under > 0) & (t > 0) & valid, t, _FAR)


def _box(params: tuple[Tensor, ...], tile_x: Tensor, tile_y: Tensor) -> Tensor:
    """Depth of the first hit with the box [-1, 1]³; `_FAR` where none."""
    rows = params[0]
    enter = leave = None
    for axis, direction in enumerate(_directions(rows, tile_x, tile_y)):
        safe = torch.where(direction.abs() < 1e-9, 1e-9, direction)
        origin = rows[:, axis : axis + 1]
        one, two = (-1.0 - origin) / safe, (1.0 - origin) / safe
        first, last = torch.minimum(one, two), torch.maximum(one, two)
        enter = first if enter is None else torch.maximum(enter, first)
        leave = last if leave is None else torch.minimum(leave, last)
    assert enter is not None
    assert leave is not None
    return torch.where((enter <= leave) & (enter > 0), enter, _FAR)
