"""A few images of a stage as float32 tensors: rays, primitives, materials."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import raycast
from .body import OCCLUDER
from .cameras import CLUTTER
from .draws import Array
from .people import FACE, HAIR, HAT, MATERIALS, SHOES, SKIN, SOLE
from .raycast import SLOTS, Rays, Shapes
from .shots import OCCLUDERS
from .stage import Stage
from .vectors import cross, dot, unit

# How deep the folds of each material are: cloth creases, skin and shoes hardly do.
_CREASE = np.full(len(MATERIALS), 0.13)
_CREASE[[SKIN, HAIR, FACE, SHOES, SOLE, HAT]] = 0.04
_CORNERS = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=float)


class Boxes(NamedTuple):
    """K boxes of B images: clutter behind the person, occluders before them."""

    centre: Array  # (B, K, 3)
    half: Array  # (B, K, 3)
    turn: Array  # (B, K, 3, 3) scene to box
    present: NDArray[np.bool_]  # (B, K)
    colour: Array  # (B, K, 6) two colours
    pattern: NDArray[np.int64]  # (B, K)
    scale: Array  # (B, K) of the pattern
    part: NDArray[np.int64]  # (K,)


class Scene:
    """The images `rows` of `stage`; primitives come first and boxes after them, `slots` in all.

    Args:
        stage: N images.
        rows: which of them.
        device: where the tensors live.
    """

    def __init__(self, stage: Stage, rows: slice, device: torch.device) -> None:
        self.device, (self.height, self.width) = device, stage.resolution
        index = np.arange(len(stage.people))[rows]
        self.cameras, self.shots = stage.cameras.take(index), stage.shots.take(rows)
        self.people = stage.people.take(index)
        self.root, self.passer_root = stage.root[rows], stage.passer_root[rows]
        cx, cy, hx, hy = stage.window[rows].T[..., None]
        step = (2 * hx / (2 * self.width), 2 * hy / (2 * self.height))  # tangents per sample
        right, up = stage.right[rows], stage.up[rows]
        start = stage.forward[rows] + (cx - hx + 0.5 * step[0]) * right
        start = start + (cy + hy - 0.5 * step[1]) * up
        self.rays = Rays(
            origin=self.tensor(stage.eye[rows]), start=self.tensor(start),
            right=self.tensor(right * step[0]), down=self.tensor(-up * step[1]),
            columns=2 * self.width, rows=2 * self.height,
        )  # fmt: skip
        boxes = _boxes(self, stage.eye[rows])
        self.slots = stage.shapes.part.size + boxes.part.size
        assert self.slots <= SLOTS
        self.shapes = _shapes(self, stage, rows, boxes, _Lens(stage, rows, step))
        self.part = self.tensor(np.concatenate([stage.shapes.part, boxes.part]))  # (slots,)
        self.frames = raycast.canonical_rays(self.rays, self.shapes)
        self._materials(stage, rows, boxes)
        self.torso = self._torso(stage.cos[rows], stage.sin[rows])

    def tensor(self, value: NDArray[Any]) -> Tensor:
        """`value` on the device; floats become float32."""
        kind = torch.float32 if value.dtype.kind == "f" else None
        return torch.as_tensor(np.ascontiguousarray(value), dtype=kind, device=self.device)

    def _materials(self, stage: Stage, rows: slice, boxes: Boxes) -> None:
        """Per primitive: two colours, pattern, scale and place, picked by modality."""
        p, dark = self.people, self.cameras.infrared[:, None, None]
        material = stage.shapes.material[rows].astype(np.int64)
        image = np.arange(len(material))[:, None]
        n, k = boxes.present.shape

        def colours(visible: Array, infrared: Array) -> Array:
            return np.where(dark, infrared[image, material][..., None], visible[image, material])

        def per_slot(person: NDArray[Any], filler: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([person, filler], axis=1)

        pair = colours(p.colour, p.infrared), colours(p.colour2, p.infrared2)
        both = per_slot(np.concatenate(pair, axis=-1), boxes.colour)
        self.colours = self.tensor(both).reshape(-1, 6)
        pattern = per_slot(p.pattern[image, material], boxes.pattern)
        self.pattern = self.tensor(pattern.reshape(-1))
        no = np.zeros((n, k), bool)
        on_body = np.broadcast_to(stage.shapes.torso_frame, material.shape)
        self.body_frame = self.tensor(per_slot(on_body, no).reshape(-1))
        scale = per_slot(p.scale[image, material], boxes.scale)
        place = per_slot(p.offset[image, material], np.zeros((n, k, 2)))
        height = np.broadcast_to(p.height[:, None], scale.shape)
        shine = per_slot(material % len(MATERIALS) == SHOES, no).astype(float)
        crease = per_slot(_CREASE[material % len(MATERIALS)], np.zeros((n, k)))
        span = self._pixel_span(stage, rows)[:, None]
        pixel = per_slot(np.broadcast_to(span, material.shape), span / boxes.half[..., 1])
        marks = (scale, place[..., 0], place[..., 1], height, shine, crease, pixel)
        self.marks = self.tensor(np.stack(marks, axis=-1)).reshape(-1, len(marks))

    def _pixel_span(self, stage: Stage, rows: slice) -> Array:
        """(B,) metres that a pixel spans at the person: the softness of a pattern's edges."""
        offset = self.root - stage.eye[rows]
        return 2.0 * stage.window[rows, 3] / self.height * np.sqrt(dot(offset, offset))

    def _torso(self, cos: Array, sin: Array) -> Tensor:
        """(B, 12) the ray bundle in the body's own frame, for patterns that run across a torso."""
        matrix = np.zeros((len(cos), 3, 3))
        matrix[:, 0, 0], matrix[:, 0, 2], matrix[:, 1, 1] = cos, -sin, 1.0
        matrix[:, 2, 0], matrix[:, 2, 2] = sin, cos
        m, r = self.tensor(matrix), self.rays
        vectors = (r.origin - self.tensor(self.root), r.start, r.right, r.down)
        return torch.cat([raycast.apply(m, v) for v in vectors], dim=-1)


class _Lens:
    """From the scene to sample columns and rows of the picture."""

    def __init__(self, stage: Stage, rows: slice, step: tuple[Array, Array]) -> None:
        self.stage, self.rows, self.step = stage, rows, step

    def samples(self, points: Array) -> tuple[Array, Array, Array]:
        """(B, K, 3) scene points to sample column, sample row and depth, each (B, K)."""
        x, y, depth = self.stage.project(points, self.rows)
        cx, cy, hx, hy = self.stage.window[self.rows].T[..., None]
        return (x - (cx - hx)) / self.step[0], ((cy + hy) - y) / self.step[1], depth


def _boxes(scene: Scene, eye: Array) -> Boxes:
    c, occluder = scene.cameras, scene.shots.occluder
    turn = [*np.moveaxis(c.box_turn, 1, 0)]
    centre, half = [*np.moveaxis(c.box_centre, 1, 0)], [*np.moveaxis(c.box_half, 1, 0)]
    flat = unit((eye - scene.root) * np.array([1.0, 0.0, 1.0]))  # towards the camera
    aside = np.stack([flat[:, 2], np.zeros(len(flat)), -flat[:, 0]], axis=1)
    for i in range(OCCLUDERS):
        _, across, wide, high, ahead = occluder[:, i].T[..., None]
        at = scene.root + flat * ahead + aside * across * 0.9
        centre.append(at + np.array([0.0, 1.0, 0.0]) * high)
        half.append(np.concatenate([wide, high, np.minimum(wide, 0.2)], axis=1))
        turn.append(np.stack([flat[:, 2], flat[:, 0]], axis=1) * np.array([1.0, -1.0]))
    cos, sin = np.moveaxis(np.stack(turn, axis=1), -1, 0)
    matrix = np.zeros((*cos.shape, 3, 3))
    matrix[..., 0, 0], matrix[..., 0, 2], matrix[..., 1, 1] = cos, -sin, 1.0
    matrix[..., 2, 0], matrix[..., 2, 2] = sin, cos

    def also_occluders(boxes: NDArray[Any]) -> NDArray[Any]:  # they look as the first boxes do
        return np.concatenate([boxes, boxes[:, :OCCLUDERS]], axis=1)

    return Boxes(
        centre=np.stack(centre, axis=1),
        half=np.stack(half, axis=1),
        turn=matrix,
        present=np.concatenate([c.box_present, occluder[:, :, 0] > 0], axis=1),
        colour=also_occluders(np.concatenate([c.box_colour, c.box_colour2], axis=2)),
        pattern=also_occluders(c.box_pattern),
        scale=also_occluders(c.box_scale),
        part=np.array([0] * CLUTTER + [OCCLUDER] * OCCLUDERS),
    )


def _shapes(scene: Scene, stage: Stage, rows: slice, boxes: Boxes, lens: _Lens) -> Shapes:
    """Cones and boxes side by side in the slots."""
    s = stage.shapes
    n, k = boxes.present.shape
    one = np.ones((n, k))
    matrix, length = _cone_frames(s.a[rows], s.b[rows], s.forward[rows], s.squash[rows])
    bounds, segment = _cone_bounds(stage, rows, lens)
    everywhere = np.broadcast_to(np.array([0.0, 0.0, 0.0, 0.0, 1e5]), (n, k, 5))

    def join(cones: NDArray[Any], others: NDArray[Any]) -> Tensor:
        return scene.tensor(np.concatenate([cones, others], axis=1))

    return Shapes(
        matrix=join(matrix, boxes.turn / boxes.half[..., None]),
        anchor=join(s.a[rows], boxes.centre),
        length=join(length, one),
        ra=join(s.ra[rows], one),
        rb=join(s.rb[rows], one),
        low=join(s.low[rows], np.full((n, k), -1.0)),
        high=join(s.high[rows], np.full((n, k), 2.0)),
        is_box=join(np.zeros(length.shape, bool), one > 0),
        bounds=join(bounds, _box_bounds(boxes, lens)),
        segment=join(segment, everywhere),
        present=join(s.present[rows], boxes.present),
    )


def _cone_frames(a: Array, b: Array, forward: Array, squash: Array) -> tuple[Array, Array]:
    """(B, S, 3, 3) maps from scene offsets to canonical frames, and (B, S) lengths in m."""
    axis = b - a
    length = np.maximum(np.sqrt(dot(axis, axis)), 1e-3)
    upright = np.array([0.0, 1.0, 0.0])
    y = np.where(length[..., None] > 1.5e-3, axis / length[..., None], upright)
    parallel = np.abs(dot(forward, y))[..., None] > 0.98
    hint = np.where(parallel, np.array([0.0, 0.98, 0.2]), forward)
    z = unit(hint - dot(hint, y)[..., None] * y)
    x = cross(y, z)
    return np.stack([x / squash[..., :1], y, z / squash[..., 1:]], axis=-2), length


def _cone_bounds(stage: Stage, rows: slice, lens: _Lens) -> tuple[Array, Array]:
    """Where a cone may appear: bounds (B, S, 4) and segment (B, S, 5), in samples."""
    s, ends = stage.shapes, []
    for end, radius in ((s.a[rows], s.ra[rows]), (s.b[rows], s.rb[rows])):
        x, y, depth = lens.samples(end)
        reach = radius * np.maximum(s.squash[rows].max(axis=2), 1.0) / depth * 1.06
        ends.append((x, y, reach / lens.step[0], reach / lens.step[1]))
    (x0, y0, rx0, ry0), (x1, y1, rx1, ry1) = ends
    across = [np.minimum(x0 - rx0, x1 - rx1), np.maximum(x0 + rx0, x1 + rx1)]
    down = [np.minimum(y0 - ry0, y1 - ry1), np.maximum(y0 + ry0, y1 + ry1)]
    reach = np.maximum(np.maximum(rx0, rx1), np.maximum(ry0, ry1))
    return np.stack(across + down, axis=-1), np.stack([x0, y0, x1, y1, reach], axis=-1)


def _box_bounds(boxes: Boxes, lens: _Lens) -> Array:
    """(B, K, 4) the same for boxes, from their corners."""
    local = _CORNERS * boxes.half[:, :, None]  # (B, K, 8, 3)
    back = np.swapaxes(boxes.turn, -1, -2)[:, :, None]
    offset = back[..., 0] * local[..., :1]
    offset = offset + back[..., 1] * local[..., 1:2] + back[..., 2] * local[..., 2:]
    corners = boxes.centre[:, :, None] + offset
    n, k = boxes.present.shape
    x, y, _ = lens.samples(corners.reshape(n, -1, 3))
    x, y = x.reshape(n, k, 8), y.reshape(n, k, 8)
    return np.stack([x.min(-1), x.max(-1), y.min(-1), y.max(-1)], axis=-1)
