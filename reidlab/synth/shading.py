"""What colour has a point on a person or a box? Normal, pattern, light.

Arrays are (pixels of a tile, pieces): what belongs to a primitive is a vector along the last axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reidlab.synth.elementwise import less, triangle
from reidlab.synth.livery import LIVERY, draw_panels, reflect
from reidlab.synth.patterns import CLOTHES, Spots, draw
from reidlab.synth.raycast import TILE, Pieces, Sight, nearness_of
from reidlab.synth.scene import Scene
from reidlab.synth.vehicles import PILLARS

_HALF = TILE // 2  # pixels along the side of a tile
# Light is summed in whole numbers, so that it does not matter which primitive comes first.
_UNIT = 2.0**20
_PATTERNS = CLOTHES | LIVERY


def lamplight(reach: Tensor, depth: Tensor) -> Tensor:
    """Light of a lamp at the lens that is full at `reach` m; 1.0 where that is 0: there is none."""
    light = (reach * reach / (depth * depth)).clamp_(max=1.5)
    return light.sub_(1.0).mul_(reach.sign()).add_(1.0)


def shade_pixels(scene: Scene, sight: Sight) -> tuple[Tensor, Tensor]:
    """Colour and coverage per pixel.

    A pixel is shaded once per primitive that its four samples see, weighted by how many see it.

    Args:
        scene: B images.
        sight: what their samples see.

    Returns:
        (3, B, height·width) colour times coverage, and (B, height·width) coverage in 0..1.
    """
    images, pixels = len(scene.cameras), scene.height * scene.width
    place, share = _places(sight.pieces)
    colour = _shade(scene, sight.pieces.which, place)
    share = share.mul_(_UNIT)
    whole = torch.cat([colour.mul_(share), share[None]]).to(torch.int32)
    total = torch.zeros((4, images * pixels), dtype=torch.int32, device=scene.device)
    total.scatter_add_(1, _pixels(scene, sight.pieces).expand(4, -1), whole.flatten(1))
    light = total.to(torch.float32).mul_(1.0 / _UNIT).reshape(4, images, pixels)
    return light[:3], light[3]


def _pixels(scene: Scene, pieces: Pieces) -> Tensor:
    """(pixels of a tile · V,) where in B·height·width a piece's pixels are."""
    image = pieces.which // scene.slots
    first = (image * scene.height + pieces.tile_y * _HALF) * scene.width + pieces.tile_x * _HALF
    step = torch.arange(_HALF, device=scene.device)
    return ((step[:, None] * scene.width + step)[..., None] + first).reshape(-1)


def _places(pieces: Pieces) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Where a pixel is shaded, and how much of it a piece has.

    Returns:
        Mean column, row and depth of the samples of each pixel that see the piece, and the share
        of its samples that do, each (pixels of a tile, V).
    """
    nearness = nearness_of(pieces.keys)
    shape = (_HALF, 2, _HALF, 2, -1)
    a, b, c, d = (nearness.sign().view(shape)[:, i, :, j] for i in (0, 1) for j in (0, 1))
    right, below = b + d, c + d
    count = a + c + right
    some = count.clamp(min=1.0)
    a, b, c, d = (nearness.view(shape)[:, i, :, j] for i in (0, 1) for j in (0, 1))
    depth = some / (a + b + c + d).clamp_(min=1e-6)  # the inverse is linear on a flat surface
    step = torch.arange(_HALF, device=right.device)[:, None] * 2
    u = right.div_(some).add_(pieces.tile_x * TILE + step)
    v = below.div_(some).add_((pieces.tile_y * TILE + step)[:, None])
    return (u.flatten(0, 1), v.flatten(0, 1), depth.flatten(0, 1)), count.mul_(0.25).flatten(0, 1)


def _columns(table: Tensor, rows: Tensor) -> Tensor:
    """`rows` (V,) of a table (R, K), as (K, V)."""
    return table.index_select(0, rows).T.contiguous()


def _shade(scene: Scene, which: Tensor, place: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """(3, pixels of a tile, V) linear colour of the primitives `which` (V,) at `place`."""
    u, v, depth = place
    image = which // scene.slots

    def points(m: Tensor) -> list[Tensor]:  # (12, V): origin, start, right, down
        ways = ((u * m[6 + k]).add_(v * m[9 + k]).add_(m[3 + k]) for k in range(3))
        return [way.mul_(depth).add_(m[k]) for k, way in enumerate(ways)]

    local = points(_columns(scene.frames.flatten(0, 1), which))
    on_body = points(_columns(scene.torso, image))
    normal = _normal(scene, which, local)
    albedo = _albedo(scene, which, local, on_body)
    colour = _light(scene, image, which, normal, on_body[1], depth, albedo)
    if scene.vehicle:
        r = scene.rays
        m = _columns(torch.cat([r.start, r.right, r.down], dim=1), image)
        ahead = [(u * m[3 + k]).add_(v * m[6 + k]).add_(m[k]) for k in range(3)]
        mirror = scene.vehicle.mirror.flatten().index_select(0, which)
        share, around = reflect(_columns(scene.light, image), ahead, normal, mirror)
        for plane, mirrored in zip(colour, around, strict=True):
            plane.add_(mirrored.sub_(plane).mul_(share))
    return colour


def _normal(scene: Scene, which: Tensor, local: list[Tensor]) -> list[Tensor]:
    """Three (pixels, V) components of unit scene normals."""
    s, (x, y, z) = scene.shapes, local
    length, ra, rb, box = (
        v.flatten().index_select(0, which) for v in (s.length, s.ra, s.rb, s.is_box.float())
    )
    sine = ((ra - rb) / length).clamp(-0.9999, 0.9999)
    lean = sine / torch.sqrt(1.0 - sine * sine)
    foot = (x * x).add_(z * z).sqrt_().mul_(-lean).add_(y).clamp_(min=0.0).minimum(length)
    sizes = x.abs(), y.abs(), z.abs()
    # Of a box the component of the face, or of two at an edge; of a cone all three.
    outer = torch.maximum(torch.maximum(sizes[0], sizes[1]), sizes[2]).mul_(0.999).mul_(box)
    across = x, y - foot.mul_(1.0 - box), z
    n = [(1.0 - less(size, outer)).mul_(v) for size, v in zip(sizes, across, strict=True)]
    m = _columns(s.matrix.reshape(-1, 9), which)
    world = [(n[0] * m[i]).add_(n[1] * m[3 + i]).add_(n[2] * m[6 + i]) for i in range(3)]
    size = (world[0] * world[0]).add_(world[1] * world[1]).add_(world[2] * world[2])
    scale = size.clamp_(min=1e-18).sqrt_().reciprocal_()
    return [w.mul_(scale) for w in world]


def _albedo(scene: Scene, which: Tensor, local: list[Tensor], body_point: list[Tensor]) -> Tensor:
    """(3, pixels, V) reflectance with pattern and creases."""
    colours = _columns(scene.colours.flatten(0, 1), which).reshape(2, 3, 1, -1)
    pattern, on_body = (
        v.flatten().index_select(0, which) for v in (scene.pattern, scene.body_frame)
    )
    x, y, z = ((b - c).mul_(on_body).add_(c) for b, c in zip(body_point, local, strict=True))
    scale, across, up, height, pixel, _, folds = _columns(scene.marks.flatten(0, 1), which)
    radius = scene.shapes.ra.flatten().index_select(0, which)
    mix = draw(
        pattern, _PATTERNS, Spots(x, y, z, scale, across, up, height, pixel, on_body, radius)
    )
    if scene.vehicle:  # metal has no creases
        panels = _columns(scene.vehicle.panels, which // scene.slots)
        keep, post = draw_panels(panels, body_point)
        mix.add_(post.mul_((pattern == PILLARS).to(x.dtype)))
        rough = keep.sub_(1.0).mul_(on_body).add_(1.0)
    else:
        crease = triangle((y * 5.1).add_(x * 3.7).add_(z * 2.9))
        crease.mul_(triangle((y * 8.3).sub_(x * 6.1).add_(z * 4.7)))
        rough = crease.mul_(folds).add_(1.0)
    return (colours[1] - colours[0]).mul(mix).add_(colours[0]).mul_(rough)


def _light(
    scene: Scene, image: Tensor, which: Tensor, normal: list[Tensor], above_floor: Tensor,
    depth: Tensor, albedo: Tensor,
) -> Tensor:  # fmt: skip
    """(3, pixels, V) light: sun with a soft edge, sky above, ground below, darker at the feet."""
    row = _columns(scene.light, image)
    sun = (normal[0] * row[0]).add_(normal[1] * row[1]).add_(normal[2] * row[2])
    sun = sun.add_(0.18).div_(1.18).clamp_(min=0.0)
    up = normal[1] * 0.5 + 0.5
    contact = (above_floor * 0.9).add_(0.62).clamp_(max=1.0)
    sun_colour, sky, ground = row[3:12].reshape(3, 3, 1, -1)
    light = (sky - ground).mul(up).add_(ground).add_(sun_colour * sun)
    shoes = scene.marks[..., 5].flatten().index_select(0, which)
    shine = sun * sun
    shine = (shine * shine).mul_(shine).mul_(0.10 * shoes)
    light = light.mul_(albedo).mul_(contact).add_(sun_colour * shine)
    return light.mul_(lamplight(row[12], depth))
