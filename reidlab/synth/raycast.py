"""Which primitive does each sample of an image see? Closed-form ray casting on tiles.

Everything here is an element-wise tensor operation that IEEE 754 rounds exactly (+, −, ×, ÷, √,
min, max, comparisons), so the bytes of an image do not depend on the batch, the tile or the number
of threads. A ray is `origin + t · direction`; the direction is not normalised but has length 1
along the line of sight, so `t` is depth in metres, and it is linear in a sample's column and row.

Two habits make it quick. The primitive of a tile is the last axis of every array, its samples the
first: what belongs to a primitive is then a vector that runs along whole rows. And nothing asks
"where": a choice that a processor cannot foresee costs it more than all the arithmetic here. What a
ray misses gets a root behind the eye instead, and max keeps the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from reidlab.synth.columns import Columns

TILE = 8  # samples along the side of a tile
SLOTS = 128  # primitives per image at most: a slot number fits into the low bits of a key
NOTHING = 0  # the key of a sample that sees nothing
_SAMPLES = TILE * TILE
# Tiles × primitives per pass: on a CPU temporaries of half a megabyte, which stay in its cache.
_ITEMS = {"cpu": 2048}
_MANY_ITEMS = 1 << 18
_MISSED = 1e30  # in place of a negative discriminant: its root lies far behind the eye
_STEEP = 1e6  # outside a cone's ends the inverse depth falls by this much a metre
_STEEPEST = 0.9999  # sine of the half angle of a cone from which on one sphere swallows the other
_FLATTEST = 1e-3  # sine of the half angle of a cone from which on its apex is taken to be far away


@dataclass
class Rays(Columns):
    """Rays of B images: `direction(column, row) = start + column · right + row · down`."""

    origin: Tensor  # (B, 3)
    start: Tensor  # (B, 3)
    right: Tensor  # (B, 3)
    down: Tensor  # (B, 3)
    columns: int  # samples across, a multiple of TILE
    rows: int


@dataclass
class Shapes(Columns):
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


class Pieces(NamedTuple):
    """V pairs of a primitive and a tile."""

    which: Tensor  # (V,) primitive, counted through all images
    tile_x: Tensor  # (V,) column of the tile in its image
    tile_y: Tensor  # (V,) row
    keys: Tensor  # (TILE², V) keys of the samples of the tile

    def take(self, rows: Tensor) -> Pieces:
        """The pieces `rows`."""
        which, tile_x, tile_y = (v.index_select(0, rows) for v in self[:3])
        return Pieces(which, tile_x, tile_y, self.keys.gather(1, rows.expand(_SAMPLES, -1)))


class Sight(NamedTuple):
    """What the samples of B images see.

    A key is the bits of an inverse depth with `SLOTS - 1 - slot` in its low seven bits, or
    `NOTHING`. Larger is nearer, and equal depths fall to the lower slot.
    """

    keys: Tensor  # (TILE², B·tiles) int32, the nearest primitive of every sample
    pieces: Pieces  # of each visible primitive, what is seen of it; `NOTHING` elsewhere


def slot_of(keys: Tensor) -> Tensor:
    """Slot numbers of `keys`; `SLOTS - 1`, which no primitive has, where there is `NOTHING`."""
    return (SLOTS - 1) - (keys & (SLOTS - 1))


def nearness_of(keys: Tensor) -> Tensor:
    """Inverse depths (1/m) of `keys`, to 16 bits; 0 where there is `NOTHING`."""
    return (keys & -SLOTS).view(torch.float32)


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """(…, 3, 3) times (…, 3), written out so that the order of additions is fixed."""
    m, v = matrix, vector.unsqueeze(-2)
    return m[..., 0] * v[..., 0] + m[..., 1] * v[..., 1] + m[..., 2] * v[..., 2]


def canonical_rays(rays: Rays, shapes: Shapes) -> Tensor:
    """(B, S, 12): origin, start, right and down of every ray bundle in every primitive's frame."""
    parts = [apply(shapes.matrix, rays.origin[:, None] - shapes.anchor)]
    parts += [apply(shapes.matrix, v[:, None]) for v in (rays.start, rays.right, rays.down)]
    return torch.cat(parts, dim=-1)


def visible(rays: Rays, shapes: Shapes, frames: Tensor) -> Sight:
    """Nearest primitive of every sample, and which primitives are seen in which tile."""
    across, down = rays.columns // TILE, rays.rows // TILE
    slots, device = shapes.present.shape[1], shapes.present.device
    casts = [
        _Cast(_round_cone, _cone_table, rays, shapes, frames, shapes.present & ~shapes.is_box),
        _Cast(_box, _box_table, rays, shapes, frames, shapes.present & shapes.is_box),
    ]
    which, tile_x, tile_y = (
        torch.cat([getattr(cast, name) for cast in casts]) for name in ("which", "tile_x", "tile_y")
    )
    tile = (which // slots) * (across * down) + tile_y * across + tile_x
    low = ((SLOTS - 1) - which % slots).to(torch.int32)
    keys = torch.empty((_SAMPLES, len(which)), dtype=torch.int32, device=device)
    at = 0
    for cast in casts:
        for inverse in cast.run():
            part = slice(at, at + inverse.shape[-1])
            bits = inverse.view(torch.int32).reshape(_SAMPLES, -1).bitwise_and_(-SLOTS)
            torch.bitwise_or(bits, low[part], out=keys[:, part])
            at = part.stop
    nearest = torch.full(
        (_SAMPLES, len(rays.start) * across * down), NOTHING, dtype=torch.int32, device=device
    )
    nearest.scatter_reduce_(1, tile.expand(_SAMPLES, -1), keys, "amax")
    # What is nearest nowhere goes, and the rest keeps `NOTHING` where it is not the nearest.
    front = nearest.gather(1, tile.expand(_SAMPLES, -1))
    keys.mul_(torch.eq(keys, front, out=front))
    seen = keys.amax(0).nonzero().squeeze(1)
    return Sight(nearest, Pieces(which, tile_x, tile_y, keys).take(seen))


_Op = Callable[..., Tensor]


class _Cast:
    """The primitives of one kind, and the tiles that each may cover, whatever stands before it.

    Args:
        kernel: as `_round_cone`, inverse depths of N primitives in a tile each, (TILE, TILE, N).
        prepare: as `_cone_table`, what `kernel` needs of each primitive, (K, P).
        rays: rays of B images.
        shapes: their primitives.
        frames: of `canonical_rays`.
        chosen: (B, S) which primitives are of this kind and there.
    """

    def __init__(
        self, kernel: _Op, prepare: _Op, rays: Rays, shapes: Shapes, frames: Tensor, chosen: Tensor
    ) -> None:
        self.kernel = kernel
        rows = chosen.reshape(-1).nonzero().squeeze(1)
        bounds, segment = (
            v.flatten(0, 1).index_select(0, rows) for v in (shapes.bounds, shapes.segment)
        )
        middle = _middle(bounds, rays)
        bundle = frames.flatten(0, 1).index_select(0, rows).T.double()
        # From its middle on, so that all the numbers of a primitive are about as small as itself.
        start = bundle[3:6] + middle[0] * bundle[6:9] + middle[1] * bundle[9:12]
        self.table = prepare(shapes, rows, torch.cat([bundle[:3], start, bundle[6:]])).float()
        row, tile_x, tile_y = _candidates(bounds, segment, rays.columns // TILE, rays.rows // TILE)
        middle_x, middle_y = middle.float().index_select(1, row)
        x, y = tile_x * TILE - middle_x, tile_y * TILE - middle_y
        if kernel is _round_cone:
            keep = _grazed(self.table[:6].index_select(1, row), x, y).nonzero().squeeze(1)
            row, tile_x, tile_y, x, y = (
                v.index_select(0, keep) for v in (row, tile_x, tile_y, x, y)
            )
        self.row, self.tile_x, self.tile_y, self.x, self.y = row, tile_x, tile_y, x, y
        self.which = rows.index_select(0, row)

    def run(self) -> Iterator[Tensor]:
        """Inverse depths of all pairs, some at a time: (TILE, TILE, …)."""
        step = _ITEMS.get(self.row.device.type, _MANY_ITEMS)
        for row, x, y in zip(*(v.split(step) for v in (self.row, self.x, self.y)), strict=True):
            yield self.kernel(self.table.index_select(1, row), x, y)


def _middle(bounds: Tensor, rays: Rays) -> Tensor:
    """(2, P) whole sample column and row in the middle of what the picture has of (P, 4) bounds."""
    limits = bounds.new_tensor([rays.columns, rays.columns, rays.rows, rays.rows])
    inside = bounds.clamp(min=0).minimum(limits).T.double()
    return torch.floor((inside[0::2] + inside[1::2]) * 0.5)


def _candidates(
    bounds: Tensor, segment: Tensor, across: int, down: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of primitive and tile that may meet: row of `bounds`, tile column, tile row."""
    last = torch.tensor([[across], [across], [down], [down]], device=bounds.device)
    x0, x1, y0, y1 = torch.floor(bounds.T / TILE).clamp(min=-1).minimum(last).long()
    x0, y0 = x0.clamp(min=0), y0.clamp(min=0)
    x1, y1 = x1.clamp(max=across - 1), y1.clamp(max=down - 1)
    wide, high = (x1 - x0 + 1).clamp(min=0), (y1 - y0 + 1).clamp(min=0)
    counts = wide * high
    row = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    first = torch.cumsum(counts, 0) - counts
    x0, y0, wide, first = torch.stack([x0, y0, wide, first]).index_select(1, row)
    within = torch.arange(len(row), device=row.device) - first
    down_by = within // wide
    tile_x, tile_y = x0 + within - down_by * wide, y0 + down_by
    near = _near_segment(segment.T.contiguous().index_select(1, row), tile_x, tile_y)
    near = near.nonzero().squeeze(1)
    row, tile_x, tile_y = (v.index_select(0, near) for v in (row, tile_x, tile_y))
    return row, tile_x, tile_y


def _near_segment(segment: Tensor, tile_x: Tensor, tile_y: Tensor) -> Tensor:
    """Does the tile come within reach of the projected axis? Drops the corners of slanted limbs."""
    x0, y0, x1, y1, reach = segment
    cx, cy = tile_x * TILE + TILE / 2 - x0, tile_y * TILE + TILE / 2 - y0
    dx, dy = x1 - x0, y1 - y0
    along = ((cx * dx + cy * dy) / (dx * dx + dy * dy + 1e-6)).clamp(0.0, 1.0)
    ex, ey = cx - along * dx, cy - along * dy
    limit = reach + 0.75 * TILE
    return ex * ex + ey * ey <= limit * limit


def _grazed(square: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """May the polynomial `square` (6, N) be positive in the tile that begins at (x, y)?"""
    half = 0.5 * (TILE - 1)
    value, across, down, xx, xy, yy = _shift(square, x + half, y + half)
    slope = (across.abs() + down.abs()) * half
    bend = (xx.clamp(min=0.0) + yy.clamp(min=0.0) + xy.abs()) * (half * half)
    return value + slope + bend >= 0


# --- polynomials of a sample's column u and row v -------------------------------------------------
# Linear ones are (3, N): 1, u, v. Square ones are (6, N): 1, u, v, u², u·v, v².


def _times(p: Tensor, q: Tensor) -> Tensor:
    """The square polynomial p · q of two linear ones."""
    return torch.stack([
        p[0] * q[0], p[0] * q[1] + p[1] * q[0], p[0] * q[2] + p[2] * q[0],
        p[1] * q[1], p[1] * q[2] + p[2] * q[1], p[2] * q[2],
    ])  # fmt: skip


def _shift(p: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Coefficients of square polynomials (6, …, N) in u − x and v − y."""
    one, u, v, uu, uv, vv = p
    xu = u + x * uu + y * uv
    return one + x * xu + y * (v + y * vv), xu + x * uu, v + x * uv + 2.0 * y * vv, uu, uv, vv


def _squares(p: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Square polynomials (6, K, N) at the samples of the tiles at (x, y): (K, TILE, TILE, N)."""
    one, u, v, uu, uv, vv = _shift(p, x, y)
    step = torch.arange(TILE, device=p.device, dtype=p.dtype)[:, None]
    first = (one[:, None] + step * (u[:, None] + step * uu[:, None]))[:, None]  # (K, 1, TILE, N)
    rest = (v[:, None] + step * uv[:, None])[:, None]
    bend = (step * vv[:, None])[:, :, None]  # (K, TILE, 1, N)
    return (rest + bend).mul_(step[:, None]).add_(first)


def _lines(p: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Linear polynomials (3, K, N) at the same samples: (K, TILE, TILE, N)."""
    one, u, v = p
    step = torch.arange(TILE, device=p.device, dtype=p.dtype)[:, None]
    first = (one + x * u + y * v)[:, None] + step * u[:, None]
    return first[:, None] + (step * v[:, None])[:, :, None]


# --- round cones ----------------------------------------------------------------------------------


def _cone_table(shapes: Shapes, rows: Tensor, bundle: Tensor) -> Tensor:
    """What `_round_cone` needs of each primitive: 3 square polynomials, 4 linear ones, 6 numbers.

    A ray meets one of the three parts of a round cone first: where it enters the endless cone
    around both spheres tells which. Between the circles where the cone touches the spheres, that is
    the hit. Beside them only the sphere of that side can be in the way: the narrow one on the side
    of the apex and before it, else the wide one.

    Args:
        shapes: the primitives of B images.
        rows: (P,) which of them, counted through all images.
        bundle: (12, P) origin, start, right and down of the rays in the canonical frame.
    """
    length, ra, rb, low, high = (
        v.flatten().index_select(0, rows).double()
        for v in (shapes.length, shapes.ra, shapes.rb, shapes.low, shapes.high)
    )
    (ox, oy, oz), (dx, dy, dz) = bundle[:3], bundle[3:].reshape(3, 3, -1).transpose(0, 1)
    a = _times(dx, dx) + _times(dy, dy) + _times(dz, dz)
    b = ox * dx + oy * dy + oz * dz
    c = ox * ox + oy * oy + oz * oz
    # One end may swallow the other: a lone sphere, in a cylinder.
    capped_a, capped_b = low < 0, high > 1.5
    alone = ((ra - rb).abs() >= _STEEPEST * length) & capped_a & capped_b
    sine = torch.where(alone, 0.0, (ra - rb) / length).clamp(-_STEEPEST, _STEEPEST)
    # The cone: (radius across the axis) · cosine + y · sine = radius.
    radius = torch.where(alone, torch.maximum(ra, rb), ra)
    cosine2, rest = 1.0 - sine * sine, radius - sine * oy
    cone_a = cosine2 * a - _times(dy, dy)
    cone_b = cosine2 * b + (sine * radius - oy) * dy
    cone_c = cosine2 * (c - oy * oy) - rest * rest
    bottom = torch.maximum(ra * sine, low * length)
    top = torch.minimum(length + rb * sine, high * length)
    middle, half = 0.5 * (bottom + top), torch.where(alone, -1.0, 0.5 * (top - bottom))
    lean = torch.where(sine < 0, sine.clamp(max=-_FLATTEST), sine.clamp(min=_FLATTEST))
    apex = 0.5 * (radius / lean - middle)  # halfway to it, which is where the narrow end is
    # The spheres. An end that is cut or swallowed is a copy of the other; of two nothing is left.
    only_a, only_b = ~capped_b | (alone & (ra >= rb)), ~capped_a | (alone & (ra < rb))
    at_a, at_b = torch.where(only_b, length, 0.0), torch.where(only_a, 0.0, length)
    ra, rb = torch.where(only_b, rb, ra), torch.where(only_a, ra, rb)
    c_a, c_b = (c - 2.0 * y * oy + y * y - r * r for y, r in ((at_a, ra), (at_b, rb)))
    c_a, c_b = (torch.where(capped_a | capped_b, v, _MISSED) for v in (c_a, c_b))
    wide, wide_c = (torch.where(sine < 0, *pair) for pair in ((at_b, at_a), (c_b, c_a)))
    narrow, narrow_c = (torch.where(sine < 0, *pair) for pair in ((at_a, at_b), (c_a, c_b)))
    numbers = (
        _STEEP * (oy - middle), _STEEP * half, _STEEP * apex, _STEEP * apex.abs(),
        wide_c, narrow_c - wide_c,
    )  # fmt: skip
    return torch.cat([
        _times(cone_b, cone_b) - cone_c * cone_a, cone_a, a,
        -cone_b, _STEEP * dy, wide * dy - b, (narrow - wide) * dy, torch.stack(numbers),
    ])  # fmt: skip


def _round_cone(table: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Inverse depth of the first hit with a round cone; not positive where there is none.

    Args:
        table: (36, N) of `_cone_table`, a column for each tile.
        x, y: (N,) first sample column and row of the tile, from the middle of its primitive.

    Returns:
        (TILE, TILE, N), rows of samples first.
    """
    squares, lines = table[:18].view(3, 6, -1), table[18:30].view(4, 3, -1)
    under, cone_a, a = _squares(squares.transpose(0, 1), x, y)
    cone_b, dy, wide_b, narrow_b = _lines(lines.transpose(0, 1), x, y)
    start, half, apex, reach, wide_c, narrow_c = table[30:]
    t = cone_b.sub_(torch.threshold_(under, 0.0, _MISSED).sqrt_()).div_(cone_a)
    height = dy.mul_(t).add_(start)  # along the axis, from the middle, in units of 1/_STEEP
    narrow = torch.sub(height, apex, out=cone_a).abs_().lt_(reach)  # 1 or 0
    side = torch.sub(half, height.abs_(), out=height).minimum(t.reciprocal_())
    b = narrow_b.mul_(narrow).add_(wide_b)
    under = torch.mul(b, b, out=under).sub_(narrow.mul_(narrow_c).add_(wide_c).mul_(a))
    ball = a.div_(b.sub_(torch.threshold_(under, 0.0, _MISSED).sqrt_()))
    return torch.nan_to_num(side, nan=-1.0, out=side).maximum(ball)


# --- boxes ----------------------------------------------------------------------------------------


def _box_table(shapes: Shapes, rows: Tensor, bundle: Tensor) -> Tensor:
    """What `_box` needs of each primitive: 3 linear polynomials, 6 numbers."""
    origin, directions = bundle[:3], bundle[3:].reshape(3, 3, -1).transpose(0, 1)
    return torch.cat([*directions, -1.0 - origin, 1.0 - origin])


def _box(table: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Inverse depth of the first hit with the box [-1, 1]³; not positive where there is none."""
    slow = _lines(table[:9].view(3, 3, -1).transpose(0, 1), x, y).reciprocal_()
    one, two = slow * table[9:12, None, None], slow * table[12:15, None, None]
    first, last = torch.minimum(one, two), torch.maximum(one, two)
    enter, leave = (torch.maximum(first[0], first[1]), torch.minimum(last[0], last[1]))
    enter, leave = torch.maximum(enter, first[2]), torch.minimum(leave, last[2])
    inside = leave.sub_(enter).mul_(_STEEP)
    return torch.nan_to_num(inside, nan=-1.0, out=inside).minimum(enter.reciprocal_())
