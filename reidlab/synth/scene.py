"""A few images of a stage as float32 tensors: rays, primitives, materials."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.synth import raycast
from reidlab.synth.body import OCCLUDER, Solid
from reidlab.synth.cameras import CLUTTER
from reidlab.synth.columns import Columns
from reidlab.synth.draws import Array
from reidlab.synth.raycast import SLOTS, Rays, Shapes
from reidlab.synth.shots import OCCLUDERS
from reidlab.synth.stage import Stage
from reidlab.synth.vectors import dot, unit

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


@dataclass
class VehicleTables(Columns):
    """What only vehicles need: their place on the floor, what their paint shows and mirrors."""

    cos: Array  # (B,) of the direction of travel
    sin: Array
    height: Array  # (B,) m
    footprint: Array  # (B, 2) half width and half length, m
    panels: Tensor  # (B, 14) what is drawn on the paint, see `livery.draw_panels`
    mirror: Tensor  # (B, slots) share of light that is mirrored straight on, 0: matt


# What a scene has of each image, beside cameras, shots, rays, shapes and vehicle.
_PER_IMAGE = ("root", "frames", "colours", "pattern", "body_frame", "marks", "torso", "light")


class Scene:
    """The images of `stage`; its primitives come first and boxes after them, `slots` in all.

    Args:
        stage: B images, at least one.
        device: where the tensors live.
    """

    def __init__(self, stage: Stage, device: torch.device) -> None:
        self.device, (self.height, self.width) = device, stage.resolution
        self.cameras, self.shots = stage.cameras, stage.shots
        self.root, self.passer_root = stage.root, stage.passer_root
        cx, cy, hx, hy = stage.window.T[..., None]
        step = stage.step
        right, up = stage.right, stage.up
        start = stage.forward + (cx - hx + 0.5 * step[0]) * right
        start = start + (cy + hy - 0.5 * step[1]) * up
        self.rays = Rays(
            origin=self.tensor(stage.eye), start=self.tensor(start),
            right=self.tensor(right * step[0]), down=self.tensor(-up * step[1]),
            columns=2 * self.width, rows=2 * self.height,
        )  # fmt: skip
        boxes = _boxes(self, stage.eye)
        self.slots = stage.shapes.part.size + boxes.part.size
        assert self.slots < SLOTS  # the last number means: nothing
        self.shapes = _shapes(self, stage, boxes)
        part = np.zeros(SLOTS, np.uint8)
        part[: self.slots] = np.concatenate([stage.shapes.part, boxes.part])
        self.part = self.tensor(part)  # (SLOTS,) label; zero where there is nothing
        self.frames = raycast.canonical_rays(self.rays, self.shapes)
        offset = self.root - stage.eye
        span = 2 * stage.window[:, 3] / self.height * np.sqrt(dot(offset, offset))
        self._materials(stage, boxes, span)
        self.torso = self._torso(stage.cos, stage.sin)
        solid = stage.shapes.solid
        self.vehicle = self._vehicle(stage, solid, span) if solid else None
        c = self.cameras
        lights = (c.sun, c.sun_colour, c.sky_colour, c.ground_colour, c.lamp[:, None])
        self.light = self.tensor(np.concatenate(lights, axis=1))  # (B, 13)

    def take(self, rows: slice) -> Scene:
        """The images `rows` of this scene, without a copy."""
        part = copy(self)
        for name in _PER_IMAGE:
            setattr(part, name, getattr(self, name)[rows])
        if self.passer_root is not None:
            part.passer_root = self.passer_root[rows]
        part.cameras, part.shots = self.cameras.take(rows), self.shots.take(rows)
        part.rays, part.shapes = self.rays.take(rows), self.shapes.take(rows)
        part.vehicle = self.vehicle and self.vehicle.take(rows)
        return part

    def tensor(self, value: NDArray[Any]) -> Tensor:
        """`value` on the device; floats become float32."""
        kind = torch.float32 if value.dtype.kind == "f" else None
        return torch.as_tensor(np.ascontiguousarray(value), dtype=kind, device=self.device)

    def columns(self, *values: Array) -> Tensor:
        """K arrays (B,) as a (K, B, 1) tensor, sent to the device in one piece."""
        return self.tensor(np.stack(values))[..., None]

    def planes(self, value: Array) -> Tensor:
        """(B, 3) as a (3, B, 1) tensor."""
        return self.tensor(value.T)[..., None]

    def _materials(self, stage: Stage, boxes: Boxes, span: Array) -> None:
        """Per primitive: two colours, pattern, scale and place, picked by modality.

        `span` (B,) are metres that a pixel spans at the person: how soft a pattern's edges are.
        """
        p, dark = stage.people, self.cameras.infrared[:, None, None]
        material = stage.shapes.material.astype(np.int64)
        image, kind = np.arange(len(material))[:, None], material % len(p.shine)
        n, k = boxes.present.shape

        def colours(visible: Array, infrared: Array) -> Array:
            return np.where(dark, infrared[image, material][..., None], visible[image, material])

        def per_slot(person: NDArray[Any], filler: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([person, filler], axis=1)

        pair = colours(p.colour, p.infrared), colours(p.colour2, p.infrared2)
        both = per_slot(np.concatenate(pair, axis=-1), boxes.colour)
        self.colours = self.tensor(both)  # (B, slots, 6)
        self.pattern = self.tensor(per_slot(p.pattern[image, material], boxes.pattern))
        none = np.zeros((n, k))
        on_body = np.broadcast_to(stage.shapes.torso_frame, material.shape)
        self.body_frame = self.tensor(per_slot(on_body, none).astype(float))  # (B, slots)
        place = per_slot(p.offset[image, material], np.zeros((n, k, 2)))
        height, pixel = (np.broadcast_to(v[:, None], material.shape) for v in (p.height, span))
        marks = (
            per_slot(p.scale[image, material], boxes.scale), place[..., 0], place[..., 1],
            per_slot(height, none), per_slot(pixel, span[:, None] / boxes.half[..., 1]),
            per_slot(p.shine[kind], none), per_slot(p.crease[kind], none),
        )  # fmt: skip
        self.marks = self.tensor(np.stack(marks, axis=-1))  # (B, slots, 7)

    def _torso(self, cos: Array, sin: Array) -> Tensor:
        """(B, 12) the ray bundle in the body's own frame, for patterns that run across a torso."""
        m, r = self.tensor(_about_y(cos, sin)), self.rays
        vectors = (r.origin - self.tensor(self.root), r.start, r.right, r.down)
        return torch.cat([raycast.apply(m, v) for v in vectors], dim=-1)

    def _vehicle(self, stage: Stage, solid: Solid, span: Array) -> VehicleTables:
        p, material = stage.people, stage.shapes.material.astype(np.int64)
        panels = [solid.panels, solid.footprint[:, :1], span[:, None]]
        mirror = np.zeros((len(span), self.slots))
        assert p.mirror is not None
        # What is seen is light that comes from the sky, not warmth.
        mirror[:, : material.shape[1]] = p.mirror[material] * ~self.cameras.thermal[:, None]
        return VehicleTables(
            cos=stage.cos, sin=stage.sin, height=p.height, footprint=solid.footprint,
            panels=self.tensor(np.concatenate(panels, axis=1)), mirror=self.tensor(mirror),
        )  # fmt: skip


def _about_y(cos: Array, sin: Array) -> Array:
    """(…, 3, 3) rotations about the vertical axis."""
    matrix = np.zeros((*cos.shape, 3, 3))
    matrix[..., 0, 0], matrix[..., 0, 2], matrix[..., 1, 1] = cos, -sin, 1.0
    matrix[..., 2, 0], matrix[..., 2, 2] = sin, cos
    return matrix


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

    def also_occluders(boxes: NDArray[Any]) -> NDArray[Any]:  # they look as the first boxes do
        return np.concatenate([boxes, boxes[:, :OCCLUDERS]], axis=1)

    return Boxes(
        centre=np.stack(centre, axis=1),
        half=np.stack(half, axis=1),
        turn=_about_y(cos, sin),
        present=np.concatenate([c.box_present, occluder[:, :, 0] > 0], axis=1),
        colour=also_occluders(np.concatenate([c.box_colour, c.box_colour2], axis=2)),
        pattern=also_occluders(c.box_pattern),
        scale=also_occluders(c.box_scale),
        part=np.array([0] * CLUTTER + [OCCLUDER] * OCCLUDERS),
    )


def _shapes(scene: Scene, stage: Stage, boxes: Boxes) -> Shapes:
    """Cones and boxes side by side in the slots."""
    s = stage.shapes
    n, k = boxes.present.shape
    one = np.ones((n, k))
    matrix, length = _cone_frames(s.a, s.b, s.forward, s.squash)
    bounds, segment = _cone_bounds(stage)
    everywhere = np.broadcast_to(np.array([0.0, 0.0, 0.0, 0.0, 1e5]), (n, k, 5))
    solid = np.zeros(length.shape, bool)
    if s.solid:  # some slots hold boxes
        solid, edges = s.solid.box, s.solid.edges
        matrix[solid], length[solid] = _inverse(edges[solid]), 1.0
        sides = _corner_bounds(_corners(s.a, edges), stage)
        bounds[solid], segment[solid] = sides[solid], everywhere[0, 0]

    def join(cones: NDArray[Any], others: NDArray[Any]) -> Tensor:
        return scene.tensor(np.concatenate([cones, others], axis=1))

    return Shapes(
        matrix=join(matrix, boxes.turn / boxes.half[..., None]),
        anchor=join(s.a, boxes.centre),
        length=join(length, one),
        ra=join(s.ra, one),
        rb=join(s.rb, one),
        low=join(s.low, np.full((n, k), -1.0)),
        high=join(s.high, np.full((n, k), 2.0)),
        is_box=join(solid, one > 0),
        bounds=join(bounds, _box_bounds(boxes, stage)),
        segment=join(segment, everywhere),
        present=join(s.present, boxes.present),
    )


def _inverse(edges: Array) -> Array:
    """(K, 3, 3) maps from scene offsets to coordinates along three edges each."""
    one, two, three = np.moveaxis(edges, 1, 0)
    normals = np.stack([np.cross(two, three), np.cross(three, one), np.cross(one, two)], axis=1)
    return normals / dot(one, normals[:, 0])[:, None, None]


def _corners(centre: Array, edges: Array) -> Array:
    """(B, S, 3) and (B, S, 3, 3) half edges to (B, S, 8, 3) corners."""
    out = centre[:, :, None] + _CORNERS[:, :1] * edges[:, :, None, 0]
    return out + _CORNERS[:, 1:2] * edges[:, :, None, 1] + _CORNERS[:, 2:] * edges[:, :, None, 2]


def _corner_bounds(corners: Array, stage: Stage) -> Array:
    """(B, K, 8, 3) corners to (B, K, 4): bounds in samples."""
    x, y, _ = stage.samples(corners.reshape(len(corners), -1, 3))
    x, y = x.reshape(corners.shape[:3]), y.reshape(corners.shape[:3])
    return np.stack([x.min(-1), x.max(-1), y.min(-1), y.max(-1)], axis=-1)


def _cone_frames(a: Array, b: Array, forward: Array, squash: Array) -> tuple[Array, Array]:
    """(B, S, 3, 3) maps from scene offsets to canonical frames, and (B, S) lengths in m."""
    axis = b - a
    length = np.maximum(np.sqrt(dot(axis, axis)), 1e-3)
    upright = np.array([0.0, 1.0, 0.0])
    y = np.where(length[..., None] > 1.5e-3, axis / length[..., None], upright)
    parallel = np.abs(dot(forward, y))[..., None] > 0.98
    hint = np.where(parallel, np.array([0.0, 0.98, 0.2]), forward)
    z = unit(hint - dot(hint, y)[..., None] * y)
    x = np.cross(y, z)
    return np.stack([x / squash[..., :1], y, z / squash[..., 1:]], axis=-2), length


def _cone_bounds(stage: Stage) -> tuple[Array, Array]:
    """Where a cone may appear: bounds (B, S, 4) and segment (B, S, 5), in samples."""
    s, ends = stage.shapes, []
    for end, radius in ((s.a, s.ra), (s.b, s.rb)):
        x, y, depth = stage.samples(end)
        reach = radius * np.maximum(s.squash.max(axis=2), 1.0) / depth * 1.06
        ends.append((x, y, *(reach / step for step in stage.step)))
    (x0, y0, rx0, ry0), (x1, y1, rx1, ry1) = ends
    across = [np.minimum(x0 - rx0, x1 - rx1), np.maximum(x0 + rx0, x1 + rx1)]
    down = [np.minimum(y0 - ry0, y1 - ry1), np.maximum(y0 + ry0, y1 + ry1)]
    reach = np.maximum(np.maximum(rx0, rx1), np.maximum(ry0, ry1))
    return np.stack(across + down, axis=-1), np.stack([x0, y0, x1, y1, reach], axis=-1)


def _box_bounds(boxes: Boxes, stage: Stage) -> Array:
    """(B, K, 4) the same for boxes, from their corners."""
    local = _CORNERS * boxes.half[:, :, None]  # (B, K, 8, 3)
    back = np.swapaxes(boxes.turn, -1, -2)[:, :, None]
    offset = back[..., 0] * local[..., :1]
    offset = offset + back[..., 1] * local[..., 1:2] + back[..., 2] * local[..., 2:]
    return _corner_bounds(boxes.centre[:, :, None] + offset, stage)
