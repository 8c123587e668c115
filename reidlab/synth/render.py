"""Images of people in front of cameras: place, cast, shade, develop.

`render` is a function of (people, cameras, image rows) alone; see `raycast` for why its bytes do not
depend on how the work is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import body, raycast
from .body import OCCLUDER, Pose, Primitives
from .cameras import CLUTTER, TONES, Cameras
from .draws import IMAGE, Array, Draws
from .people import (
    CHECK,
    FACE_PATTERN,
    H_STRIPES,
    LOGO,
    OPEN,
    PRINT,
    SHOES,
    SIDE,
    STRANDS,
    TWO_TONE,
    V_STRIPES,
    People,
)
from .raycast import NOTHING, SLOTS, TILE, Rays, Shapes

_OCCLUDERS = 2
_GROUP = 4  # images cast together
_NOISE = 256  # side of the tileable noise picture


@dataclass(frozen=True)
class Shots:
    """What is peculiar to each of N images, as columns."""

    distance: Array  # (N,) share between the camera's nearest and farthest distance
    aside: Array  # (N,) share of the camera's side range, -1..1
    azimuth: Array  # (N,) rad, facing direction against the camera's line of sight
    pose: Pose
    shift: Array  # (N, 2) of the box, as a share of its height
    zoom: Array  # (N,) of the box
    exposure: Array  # (N,)
    occluder: (
        Array  # (N, _OCCLUDERS, 5) present, x as a share of the box, half width, half height, depth
    )
    noise: NDArray[np.int64]  # (N,) where in the noise bank

    def take(self, rows: slice | NDArray[np.int64]) -> Shots:
        """The shots of `rows`."""
        pose = Pose(**{k: v[rows] for k, v in vars(self.pose).items()})
        rest = {k: v[rows] for k, v in vars(self).items() if k != "pose"}
        return Shots(pose=pose, **rest)


def sample_shots(
    seed: int,
    keys: list[tuple[int, int, int]],
    cameras: Cameras,
    *,
    pose: float,
    jitter: float,
    occlusion: float,
) -> Shots:
    """Draw the images `keys` = (identity, camera, index); `cameras` holds one row per image.

    Args:
        pose: multiplies how far arms, legs and heads move.
        jitter: multiplies the detector's shift and scale of the box.
        occlusion: probability that something stands before the person.
    """
    d = Draws(seed, IMAGE, keys, 60)
    turn = cameras.azimuth + np.where(d.chance(0.5), np.pi, 0.0) + d.around(0.0, cameras.spread * 2)
    walking = np.where(d.chance(0.85), 1.0, 0.12)
    holding = d.chance(0.22)[:, None] * np.stack([d.chance(0.6), d.chance(0.6)], axis=1)
    bend = np.stack([d.uniform(0.7, 1.7), d.uniform(0.7, 1.7)], axis=1) * holding * pose
    poses = Pose(
        phase=d.uniform(0.0, 2 * np.pi), swing=d.uniform(0.25, 0.58) * pose * walking,
        arm_swing=d.uniform(0.2, 0.6) * pose * walking, elbow=bend, raise_arm=0.25 * bend,
        spread=np.stack([d.uniform(0.05, 0.24), d.uniform(0.05, 0.24)], axis=1),
        lean=d.around(0.03, 0.06) * pose, head_yaw=d.around(0.0, 0.7) * pose, head_pitch=d.around(-0.05, 0.35) * pose,
    )  # fmt: skip
    hidden = d.chance(occlusion)
    things = []
    for extra in range(_OCCLUDERS):
        post = d.chance(0.4)
        half_width, half_height = (
            np.where(post, 0.04, d.uniform(0.12, 0.4)),
            np.where(post, 2.5, d.uniform(0.25, 0.6)),
        )
        present = hidden & (d.chance(0.25) if extra else True)
        things.append(
            np.stack(
                [present, d.around(0.0, 0.5), half_width, half_height, d.uniform(0.5, 1.2)], axis=1
            )
        )
    return Shots(
        distance=d.uniform(), aside=d.uniform(-1.0, 1.0), azimuth=turn, pose=poses,
        shift=np.stack([d.around(0.0, 0.05), d.around(0.0, 0.05)], axis=1) * jitter,
        zoom=1.0 + d.around(0.03, 0.10) * jitter, exposure=d.around(1.0, 0.12),
        occluder=np.stack(things, axis=1), noise=(d.uniform() * (_noise_bank().numel() // 2)).astype(np.int64),
    )  # fmt: skip


def render(
    people: People,
    cameras: Cameras,
    shots: Shots,
    resolution: tuple[int, int],
    device: str | torch.device = "cpu",
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render N images: row i shows `people[i]` seen by `cameras[i]`.

    Args:
        people, cameras, shots: N rows each.
        resolution: (height, width) in pixels, multiples of four.
        device: where the rays are cast; bytes are promised to be equal on one device.

    Returns:
        Images (N, height, width, 3) and part labels (N, height, width), both uint8.
    """
    stage = _Stage(people, cameras, shots, resolution)
    images, masks = [], []
    for start in range(0, len(people), _GROUP):
        image, mask = _render_group(stage, slice(start, start + _GROUP), torch.device(device))
        images.append(image)
        masks.append(mask)
    return np.concatenate(images), np.concatenate(masks)


class _Stage:
    """Everything of N images in scene coordinates, ready to become tensors group by group."""

    def __init__(
        self, people: People, cameras: Cameras, shots: Shots, resolution: tuple[int, int]
    ) -> None:
        self.people, self.cameras, self.shots, self.resolution = people, cameras, shots, resolution
        depth = cameras.near[:, 0] + shots.distance * (cameras.near[:, 1] - cameras.near[:, 0])
        self.root = np.stack([shots.aside * cameras.side, np.zeros_like(depth), depth], axis=1)
        self.eye = np.stack([np.zeros_like(depth), cameras.height, np.zeros_like(depth)], axis=1)
        yaw = shots.azimuth + np.arctan2(self.root[:, 0], depth)
        self.cos, self.sin = np.cos(yaw), np.sin(yaw)
        self.shapes = self._to_scene(body.build(people, shots.pose))
        self.forward, self.right, self.up = self._view()
        self.window = self._window()

    def turn(self, v: Array) -> Array:
        """Rotate (N, …, 3) body vectors into the scene."""
        shape = (-1,) + (1,) * (v.ndim - 2)
        cos, sin = self.cos.reshape(shape), self.sin.reshape(shape)
        return np.stack(
            [cos * v[..., 0] + sin * v[..., 2], v[..., 1], cos * v[..., 2] - sin * v[..., 0]],
            axis=-1,
        )

    def _to_scene(self, shapes: Primitives) -> Primitives:
        shapes.a = self.turn(shapes.a) + self.root[:, None]
        shapes.b = self.turn(shapes.b) + self.root[:, None]
        shapes.forward = self.turn(shapes.forward)
        return shapes

    def _view(self) -> tuple[Array, Array, Array]:
        middle = self.root + np.stack(
            [np.zeros_like(self.cos), 0.5 * self.people.height, np.zeros_like(self.cos)], axis=1
        )
        forward = _unit(middle - self.eye)
        right = _unit(np.stack([forward[:, 2], np.zeros_like(self.cos), -forward[:, 0]], axis=1))
        return forward, right, _cross(forward, right)

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """(N, K, 3) scene points to tangents right and up, and depth."""
        offset = points - self.eye[:, None]
        depth = np.maximum(_dot(offset, self.forward[:, None]), 0.2)
        return (
            _dot(offset, self.right[:, None]) / depth,
            _dot(offset, self.up[:, None]) / depth,
            depth,
        )

    def _window(self) -> Array:
        """(N, 4) centre (right, up) and half size (right, up) of the crop in tangents, as a detector draws it."""
        s, height, width = self.shapes, *self.resolution
        lows, highs = [], []
        for end, radius in ((s.a, s.ra), (s.b, s.rb)):
            x, y, depth = self.project(end)
            reach = np.where(s.present, radius * np.minimum(s.squash.max(axis=2), 1.0) / depth, 0.0)
            lows.append(
                np.stack(
                    [np.where(s.present, v - reach, np.inf).min(axis=1) for v in (x, y)], axis=1
                )
            )
            highs.append(
                np.stack(
                    [np.where(s.present, v + reach, -np.inf).max(axis=1) for v in (x, y)], axis=1
                )
            )
        low, high = np.minimum(*lows), np.maximum(*highs)
        half_up = 0.5 * (high[:, 1] - low[:, 1]) * self.cameras.fill * self.shots.zoom
        centre = 0.5 * (low + high) + self.shots.shift * 2 * half_up[:, None]
        return np.stack([centre[:, 0], centre[:, 1], half_up * width / height, half_up], axis=1)


def _dot(a: Array, b: Array) -> Array:
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _cross(a: Array, b: Array) -> Array:
    return np.stack([a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1], a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
                     a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]], axis=-1)  # fmt: skip


def _unit(v: Array) -> Array:
    return v / np.sqrt(np.maximum(_dot(v, v), 1e-18))[..., None]


def _render_group(
    stage: _Stage, rows: slice, device: torch.device
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    height, width = stage.resolution
    scene = _Scene(stage, rows, device)
    keys = raycast.visible(scene.rays, scene.shapes, scene.frames)  # (B, tiles, 64)
    images, across, down = len(keys), width * 2 // TILE, height * 2 // TILE
    # (B, tiles, 64) samples -> (pixels, 4): the four samples of a pixel side by side.
    quads = (
        keys.reshape(images, -1, TILE // 2, 2, TILE // 2, 2)
        .permute(0, 1, 2, 4, 3, 5)
        .reshape(-1, 4)
    )
    colour, cover = _shade_people(scene, quads)

    def to_picture(x: Tensor) -> Tensor:
        half = TILE // 2
        x = x.reshape(images, down, across, half, half, *x.shape[1:])
        return x.transpose(2, 3).reshape(images, height, width, *x.shape[5:])

    front, cover = to_picture(colour), to_picture(cover)[..., None]
    picture = front + (1.0 - cover) * _background(scene, height, width)
    nearest = quads[:, 0]
    slot = torch.where(nearest == NOTHING, 0, nearest & (SLOTS - 1)).to(torch.int64)
    image = torch.arange(images, device=device).repeat_interleave(len(quads) // images)
    label = torch.where(nearest == NOTHING, 0, scene.part[image * scene.slots + slot])
    mask = to_picture(label).to(torch.uint8)
    return _develop(scene, picture).cpu().numpy(), mask.cpu().numpy()


class _Scene:
    """A group of images as float32 tensors: rays, shapes, materials, light."""

    def __init__(self, stage: _Stage, rows: slice, device: torch.device) -> None:
        self.device = device
        height, width = stage.resolution
        self.cameras, self.shots = (
            stage.cameras.take(np.arange(len(stage.people))[rows]),
            stage.shots.take(rows),
        )
        self.window, self.height, self.width = stage.window[rows], height, width
        self.eye, self.root = stage.eye[rows], stage.root[rows]
        forward, right, up = stage.forward[rows], stage.right[rows], stage.up[rows]
        cx, cy, hx, hy = self.window.T[..., None]
        self.step = (2 * hx / (2 * width), 2 * hy / (2 * height))  # tangents per sample
        start = (
            forward + (cx - hx + 0.5 * self.step[0]) * right + (cy + hy - 0.5 * self.step[1]) * up
        )
        self.rays = Rays(self.tensor(self.eye), self.tensor(start), self.tensor(right * self.step[0]),
                         self.tensor(-up * self.step[1]), 2 * width, 2 * height)  # fmt: skip
        self._shapes(stage, rows)
        self.frames = raycast.canonical_rays(self.rays, self.shapes)
        self._materials(stage, rows)
        self._torso(stage, rows)

    def tensor(self, value: NDArray[np.generic] | Array) -> Tensor:
        kind = torch.float32 if np.asarray(value).dtype.kind == "f" else None
        return torch.as_tensor(np.ascontiguousarray(value), dtype=kind, device=self.device)

    def _shapes(self, stage: _Stage, rows: slice) -> None:
        s = stage.shapes
        a, b = s.a[rows], s.b[rows]
        axis = b - a
        length = np.maximum(np.sqrt(_dot(axis, axis)), 1e-3)
        y = np.where(
            length[..., None] > 1.5e-3, axis / length[..., None], np.array([0.0, 1.0, 0.0])
        )
        hint = s.forward[rows]
        hint = np.where(np.abs(_dot(hint, y))[..., None] > 0.98, np.array([0.0, 0.98, 0.2]), hint)
        z = _unit(hint - _dot(hint, y)[..., None] * y)
        x = _cross(y, z)
        squash = s.squash[rows]
        matrix = np.stack([x / squash[..., :1], y, z / squash[..., 1:]], axis=-2)
        boxes = self._boxes(stage, rows)
        n, k = boxes["half"].shape[:2]
        zero, one = np.zeros((n, k)), np.ones((n, k))
        cut, cap = np.full((n, k), -1.0), np.full((n, k), 2.0)
        half = boxes["half"]
        turn = np.zeros((n, k, 3, 3))
        turn[..., 0, 0], turn[..., 0, 2] = boxes["turn"][..., 0], -boxes["turn"][..., 1]
        turn[..., 2, 0], turn[..., 2, 2] = boxes["turn"][..., 1], boxes["turn"][..., 0]
        turn[..., 1, 1] = 1.0
        present = np.concatenate([s.present[rows], boxes["present"]], axis=1)

        def join(first: Array, second: Array) -> Tensor:
            return self.tensor(np.concatenate([first, second], axis=1))

        bounds, segment = self._bounds(stage, rows, a, b, boxes, turn)
        self.slots = present.shape[1]
        assert self.slots <= SLOTS
        self.shapes = Shapes(
            matrix=join(matrix, turn / half[..., None]), anchor=join(a, boxes["centre"]), length=join(length, one),
            ra=join(s.ra[rows], one), rb=join(s.rb[rows], one), low=join(s.low[rows], cut), high=join(s.high[rows], cap),
            is_box=join(zero[:, :1].repeat(s.a.shape[1], 1), one) > 0, bounds=self.tensor(bounds),
            segment=self.tensor(segment), present=self.tensor(present),
        )  # fmt: skip
        part = np.concatenate([np.broadcast_to(s.part, (n, len(s.part))), boxes["part"]], axis=1)
        self.part = self.tensor(part.astype(np.int64).reshape(-1))

    def _boxes(self, stage: _Stage, rows: slice) -> dict[str, Array]:
        """Clutter behind the person, occluders before them."""
        c, shots = self.cameras, self.shots
        centre, half, turn = [c.box_centre], [c.box_half], [c.box_turn]
        towards = self.eye - self.root
        flat = _unit(towards * np.array([1.0, 0.0, 1.0]))
        aside = np.stack([flat[:, 2], np.zeros(len(flat)), -flat[:, 0]], axis=1)
        for i in range(_OCCLUDERS):
            _, across, wide, high, depth = shots.occluder[:, i].T[..., None]
            at = self.root + flat * depth + aside * across * 0.9
            centre.append((at + np.array([0.0, 1.0, 0.0]) * high)[:, None])
            half.append(np.concatenate([wide, high, np.minimum(wide, 0.2)], axis=1)[:, None])
            turn.append(np.stack([flat[:, 2], flat[:, 0]], axis=1)[:, None] * np.array([1.0, -1.0]))
        present = np.concatenate([c.box_present, shots.occluder[:, :, 0] > 0], axis=1)
        colours = np.concatenate([c.box_colour, c.box_colour[:, :_OCCLUDERS]], axis=1)
        part = np.broadcast_to(np.array([0] * CLUTTER + [OCCLUDER] * _OCCLUDERS), present.shape)
        return {"centre": np.concatenate(centre, 1), "half": np.concatenate(half, 1), "turn": np.concatenate(turn, 1),
                "present": present, "colour": colours, "part": part}  # fmt: skip

    def _bounds(
        self, stage: _Stage, rows: slice, a: Array, b: Array, boxes: dict[str, Array], turn: Array
    ) -> tuple[Array, Array]:
        """Where on the picture a primitive may appear, in samples."""
        view = _View(stage, rows)
        s = stage.shapes
        ends = []
        for end, radius in ((a, s.ra[rows]), (b, s.rb[rows])):
            x, y, depth = view.samples(end, self.window, self.step)
            reach = radius * np.maximum(s.squash[rows].max(axis=2), 1.0) / depth * 1.06
            ends.append((x, y, reach / self.step[0], reach / self.step[1]))
        (x0, y0, rx0, ry0), (x1, y1, rx1, ry1) = ends
        bounds = np.stack([np.minimum(x0 - rx0, x1 - rx1), np.maximum(x0 + rx0, x1 + rx1),
                           np.minimum(y0 - ry0, y1 - ry1), np.maximum(y0 + ry0, y1 + ry1)], axis=-1)  # fmt: skip
        segment = np.stack(
            [x0, y0, x1, y1, np.maximum(np.maximum(rx0, rx1), np.maximum(ry0, ry1))], axis=-1
        )
        signs = np.array(
            [(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=np.float64
        )
        local = signs[None, None] * boxes["half"][:, :, None]  # (B, K, 8, 3)
        back = np.swapaxes(turn, -1, -2)[:, :, None]
        offset = (
            back[..., 0] * local[..., :1]
            + back[..., 1] * local[..., 1:2]
            + back[..., 2] * local[..., 2:]
        )
        corners = boxes["centre"][:, :, None] + offset
        n, k = corners.shape[:2]
        x, y, _ = view.samples(corners.reshape(n, -1, 3), self.window, self.step)
        x, y = x.reshape(n, k, 8), y.reshape(n, k, 8)
        box_bounds = np.stack([x.min(-1), x.max(-1), y.min(-1), y.max(-1)], axis=-1)
        everywhere = np.broadcast_to(np.array([0.0, 0.0, 0.0, 0.0, 1e5]), (n, k, 5))
        return np.concatenate([bounds, box_bounds], 1), np.concatenate([segment, everywhere], 1)

    def _materials(self, stage: _Stage, rows: slice) -> None:
        """Per primitive: two colours, pattern, scale and place, picked by modality."""
        s, p, c = stage.shapes, stage.people.take(np.arange(len(stage.people))[rows]), self.cameras
        material = s.material[rows].astype(np.int64)
        image = np.arange(len(material))[:, None]
        dark = c.infrared[:, None, None]
        first = np.where(dark, p.infrared[image, material][..., None], p.colour[image, material])
        second = np.where(dark, p.infrared2[image, material][..., None], p.colour2[image, material])
        grey = c.box_colour.mean(axis=2, keepdims=True)
        box = np.where(dark, 0.3 + 0.5 * grey, c.box_colour)
        box = np.concatenate([box, box[:, :_OCCLUDERS]], axis=1)
        k = box.shape[1]
        pattern = np.concatenate(
            [p.pattern[image, material], np.zeros((len(material), k), np.int64)], 1
        )
        scale = np.concatenate([p.scale[image, material], np.ones((len(material), k))], 1)
        place = np.concatenate([p.offset[image, material], np.zeros((len(material), k, 2))], 1)
        height = np.broadcast_to(p.height[:, None], scale.shape)
        shine = np.concatenate([material == SHOES, np.zeros((len(material), k), bool)], 1)
        body_frame = np.concatenate(
            [np.broadcast_to(s.torso_frame, material.shape), np.zeros((len(material), k), bool)], 1
        )
        self.colours = self.tensor(
            np.concatenate([np.concatenate([first, box], 1), np.concatenate([second, box], 1)], -1)
        )
        self.pattern = self.tensor(pattern.reshape(-1))
        self.body_frame = self.tensor(body_frame.reshape(-1))
        self.marks = self.tensor(
            np.stack([scale, place[..., 0], place[..., 1], height, shine.astype(float)], -1)
        )

    def _torso(self, stage: _Stage, rows: slice) -> None:
        """(B, 12) the ray bundle in the body's own frame, for patterns that run across a torso."""
        cos, sin = stage.cos[rows], stage.sin[rows]
        matrix = np.zeros((len(cos), 3, 3))
        matrix[:, 0, 0], matrix[:, 0, 2], matrix[:, 1, 1] = cos, -sin, 1.0
        matrix[:, 2, 0], matrix[:, 2, 2] = sin, cos
        m = self.tensor(matrix)
        vectors = (
            self.rays.origin - self.tensor(self.root),
            self.rays.start,
            self.rays.right,
            self.rays.down,
        )
        self.torso = torch.cat([raycast.apply(m, v) for v in vectors], dim=-1)


class _View:
    def __init__(self, stage: _Stage, rows: slice) -> None:
        self.eye, self.forward, self.right, self.up = (
            v[rows] for v in (stage.eye, stage.forward, stage.right, stage.up)
        )

    def samples(
        self, points: Array, window: Array, step: tuple[Array, Array]
    ) -> tuple[Array, Array, Array]:
        """(B, K, 3) scene points to sample column, sample row and depth."""
        offset = points - self.eye[:, None]
        depth = np.maximum(_dot(offset, self.forward[:, None]), 0.2)
        x, y = _dot(offset, self.right[:, None]) / depth, _dot(offset, self.up[:, None]) / depth
        cx, cy, hx, hy = window.T[..., None]
        return (x - (cx - hx)) / step[0], ((cy + hy) - y) / step[1], depth


def _fraction(x: Tensor) -> Tensor:
    return x - torch.floor(x)


def _triangle(x: Tensor) -> Tensor:
    """A wave of period 1 between -1 and 1 without a transcendental function."""
    return (_fraction(x) - 0.5).abs() * 4.0 - 1.0


def _shade_people(scene: _Scene, quads: Tensor) -> tuple[Tensor, Tensor]:
    """Colour and coverage per pixel.

    A pixel is shaded once per primitive that its four samples see, weighted by how many see it.

    Args:
        quads: (pixels, 4) keys.

    Returns:
        (pixels, 3) colour times coverage, and (pixels,) coverage.
    """
    slots, hit = quads & (SLOTS - 1), quads != NOTHING
    slots = torch.where(hit, slots, -1)
    same = slots[:, :, None] == slots[:, None, :]  # (pixels, 4, 4)
    earlier = torch.tril(torch.ones(4, 4, dtype=torch.bool, device=quads.device), -1)
    first = hit & ~(same & earlier).any(dim=2)
    weight = same.sum(dim=2).to(torch.float32) * 0.25
    chosen = first.reshape(-1).nonzero().squeeze(1)
    shaded = _shade(scene, quads.reshape(-1)[chosen], chosen) * weight.reshape(-1)[chosen, None]
    colours = torch.zeros(quads.numel(), 3, device=quads.device).index_copy_(0, chosen, shaded)
    c = colours.reshape(-1, 4, 3)
    cover = hit.sum(dim=1).to(torch.float32) * 0.25
    return c[:, 0] + c[:, 1] + c[:, 2] + c[:, 3], cover


def _shade(scene: _Scene, keys: Tensor, sample: Tensor) -> Tensor:
    """(F, 3) linear colour of F samples; `sample` is their index in the (pixels, 4) order."""
    across = scene.width * 2 // TILE
    pixel, corner = sample // 4, sample % 4
    per_image = scene.width * scene.height
    image, within = pixel // per_image, pixel % per_image
    tile, inner = within // 16, within % 16
    column = (tile % across) * TILE + (inner % 4) * 2 + corner % 2
    row = (tile // across) * TILE + (inner // 4) * 2 + corner // 2
    flat = image * scene.slots + (keys & (SLOTS - 1)).to(torch.int64)
    depth = (keys & -SLOTS).view(torch.float32)
    frame = scene.frames.reshape(-1, 12).index_select(0, flat).T
    u, v = column.to(torch.float32), row.to(torch.float32)

    def point(rows: Tensor, axis: int) -> Tensor:
        return rows[axis] + depth * (rows[3 + axis] + u * rows[6 + axis] + v * rows[9 + axis])

    local = [point(frame, axis) for axis in range(3)]
    normal = _normal(scene, flat, local)
    torso = scene.torso.index_select(0, image).T
    body_point = [point(torso, axis) for axis in range(3)]
    albedo = _albedo(scene, flat, local, body_point)
    return _light(scene, image, flat, normal, body_point, depth, albedo)


def _normal(scene: _Scene, flat: Tensor, local: list[Tensor]) -> Tensor:
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
    size = torch.sqrt(world[0] * world[0] + world[1] * world[1] + world[2] * world[2]).clamp(
        min=1e-9
    )
    return torch.stack([w / size for w in world], dim=1)


def _albedo(scene: _Scene, flat: Tensor, local: list[Tensor], body_point: list[Tensor]) -> Tensor:
    """(F, 3) reflectance with pattern and creases."""
    colours = scene.colours.reshape(-1, 6).index_select(0, flat)
    pattern = scene.pattern[flat]
    on_body = scene.body_frame[flat]
    x, y, z = (torch.where(on_body, b, c) for b, c in zip(body_point, local, strict=True))
    mix = torch.zeros_like(x)
    busy = (pattern > 0).nonzero().squeeze(1)
    if len(busy):
        marks = scene.marks.reshape(-1, 5).index_select(0, flat[busy]).T
        radius = scene.shapes.ra.reshape(-1)[flat[busy]]
        mix[busy] = _pattern(pattern[busy], x[busy], y[busy], z[busy], marks, on_body[busy], radius)
    albedo = colours[:, :3] + mix[:, None] * (colours[:, 3:] - colours[:, :3])
    crease = _triangle(y * 5.1 + x * 3.7 + z * 2.9) * _triangle(y * 8.3 - x * 6.1 + z * 4.7)
    return albedo * (1.0 + 0.13 * crease)[:, None]


def _pattern(
    kind: Tensor, x: Tensor, y: Tensor, z: Tensor, marks: Tensor, on_body: Tensor, radius: Tensor
) -> Tensor:
    """Share (F,) of the second colour. Coordinates in metres; y from the floor on a torso."""
    scale, dx, dy, height, _ = marks
    mix = torch.zeros_like(x)
    rows, columns = (
        (_fraction(y / scale) < 0.5).float(),
        (_fraction(x / scale + 0.25) < 0.5).float(),
    )
    mix = torch.where(kind == H_STRIPES, rows, mix)
    mix = torch.where(kind == V_STRIPES, columns, mix)
    mix = torch.where(kind == CHECK, 0.5 * (rows + columns), mix)
    level = y / height
    logo = (z > 0) & ((x - dx) ** 2 + (y - dy * height) ** 2 < (0.45 * scale) ** 2)
    mix = torch.where((kind == LOGO) & on_body, logo.float(), mix)
    back = (z < 0) & (x.abs() < 0.8 * scale) & ((y - 0.70 * height).abs() < 0.6 * scale)
    mix = torch.where((kind == PRINT) & on_body, back.float(), mix)
    split = torch.where(on_body, level - 0.67 > 0.0, y > 0.0)
    mix = torch.where(kind == TWO_TONE, split.float(), mix)
    mix = torch.where(
        kind == SIDE, ((z.abs() < 0.30 * radius) & (x.abs() > 0.5 * radius)).float(), mix
    )
    opening = 0.020 + 0.10 * (level - 0.45).clamp(min=0.0) * height
    mix = torch.where((kind == OPEN) & on_body, ((z > 0) & (x.abs() < opening)).float(), mix)
    strands = 0.35 * (_triangle(x * 38.0) * _triangle(z * 29.0 + 0.3)).abs()
    mix = torch.where(kind == STRANDS, strands, mix)
    share = y / radius
    eyes = (
        (z > 0) & ((x.abs() - 0.42 * radius).abs() < 0.20 * radius) & ((share - 0.95).abs() < 0.16)
    )
    mouth = (z > 0) & (x.abs() < 0.34 * radius) & ((share + 0.05).abs() < 0.09)
    return torch.where(kind == FACE_PATTERN, eyes.float() * 0.9 + mouth.float() * 0.35, mix)


def _light(
    scene: _Scene,
    image: Tensor,
    flat: Tensor,
    normal: Tensor,
    body_point: list[Tensor],
    depth: Tensor,
    albedo: Tensor,
) -> Tensor:
    """Sun with a soft edge, sky above, ground below, darker towards the feet."""
    c = scene.cameras
    table = scene.tensor(
        np.concatenate(
            [c.sun, c.sun_colour, c.sky_colour, c.ground_colour, c.infrared[:, None]], axis=1
        )
    )
    row = table.index_select(0, image)
    sun = normal[:, 0] * row[:, 0] + normal[:, 1] * row[:, 1] + normal[:, 2] * row[:, 2]
    sun = ((sun + 0.18) / 1.18).clamp(min=0.0)
    up = 0.5 + 0.5 * normal[:, 1]
    contact = (0.62 + 0.9 * body_point[1]).clamp(max=1.0)
    light = (
        row[:, 3:6] * sun[:, None] + row[:, 6:9] * up[:, None] + row[:, 9:12] * (1.0 - up)[:, None]
    )
    shine = sun * sun
    shine = shine * shine * shine * 0.10 * scene.marks.reshape(-1, 5)[:, 4][flat]
    falloff = torch.where(row[:, 12] > 0, (49.0 / (depth * depth)).clamp(0.25, 1.6), 1.0)
    return (albedo * light * contact[:, None] + row[:, 3:6] * shine[:, None]) * falloff[:, None]


@lru_cache(maxsize=1)
def _noise_picture() -> Tensor:
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
    return torch.as_tensor((total / np.abs(total).max()).astype(np.float32).reshape(-1))


@lru_cache(maxsize=1)
def _noise_bank() -> Tensor:
    """Two million normal numbers that images read at a place of their own: sensor noise."""
    return torch.as_tensor(np.random.default_rng(11).standard_normal(1 << 21, dtype=np.float32))


def _grain(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Noise at (x, y) metres, `scale` texels per metre."""
    column = torch.floor(x * scale).to(torch.int64) & (_NOISE - 1)
    row = torch.floor(y * scale).to(torch.int64) & (_NOISE - 1)
    return _noise_picture().to(x.device)[row * _NOISE + column]


def _background(scene: _Scene, height: int, width: int) -> Tensor:
    """(B, height, width, 3) floor and backdrop at pixel centres, with the person's shadow."""
    c, r = scene.cameras, scene.rays
    column = torch.arange(width, device=scene.device, dtype=torch.float32) * 2.0 + 0.5
    row = torch.arange(height, device=scene.device, dtype=torch.float32) * 2.0 + 0.5

    def component(axis: int) -> Tensor:
        start, right, down = (v[:, axis, None, None] for v in (r.start, r.right, r.down))
        return start + row[None, :, None] * down + column[None, None, :] * right

    dx, dy, dz = component(0), component(1), component(2)
    tall, far = (scene.tensor(v)[:, None, None] for v in (c.height, c.backdrop))
    to_floor = torch.where(dy < -1e-6, tall / (-dy).clamp(min=1e-6), 1e6)
    to_wall = far / dz.clamp(min=1e-3)
    on_floor = to_floor < to_wall
    depth = torch.minimum(to_floor, to_wall)
    x, y, z = depth * dx, tall + depth * dy, depth * dz
    mix, shade = (
        torch.where(on_floor, _floor(scene, x, z), _wall(scene, x, y)),
        _shadow(scene, x, z),
    )
    ground, wall = (scene.tensor(v)[:, None, None] for v in (c.floor_colour, c.backdrop_colour))
    pick = on_floor[..., None]
    base = torch.where(pick, ground[..., 0, :] + mix[..., None] * (ground[..., 1, :] - ground[..., 0, :]),
                       wall[..., 0, :] + mix[..., None] * (wall[..., 1, :] - wall[..., 0, :]))  # fmt: skip
    grain = 1.0 + 0.16 * _grain(
        torch.where(on_floor, x, x * 0.7), torch.where(on_floor, z, y), 51.2
    )
    sun_up = scene.tensor(c.sun[:, 1])[:, None, None, None]
    sun, sky, bounce = (
        scene.tensor(v)[:, None, None] for v in (c.sun_colour, c.sky_colour, c.ground_colour)
    )
    lit = torch.where(
        pick,
        sun * sun_up * shade[..., None] + sky * (0.55 + 0.45 * shade[..., None]),
        0.6 * sun + 0.5 * sky + 0.5 * bounce,
    )
    corner = torch.where(on_floor, 1.0, (0.7 + 0.5 * y).clamp(max=1.0))
    colour = base * lit * (grain * corner)[..., None]
    colour = torch.where(
        scene.tensor(c.infrared)[:, None, None, None], colour.mean(dim=3, keepdim=True), colour
    )
    haze = scene.tensor(c.haze)[:, None, None] * ((depth - 4.0) / 24.0).clamp(0.0, 1.0)
    return colour + haze[..., None] * (scene.tensor(c.haze_colour)[:, None, None] - colour)


def _floor(scene: _Scene, x: Tensor, z: Tensor) -> Tensor:
    """Share of the floor's second colour."""
    kind, scale = (
        scene.tensor(v)[:, None, None]
        for v in (scene.cameras.floor_kind, scene.cameras.floor_scale)
    )
    grain = _grain(x, z, 12.8)
    tiles = ((_fraction(x / scale) < 0.05) | (_fraction(z / scale) < 0.05)).float()
    lanes = (_fraction((x + 0.35 * z) / (3.0 * scale)) < 0.12).float()
    patches = (0.5 + 2.2 * grain).clamp(0.0, 1.0)
    mix = torch.where(kind == 1, tiles, 0.25 + 0.25 * grain)
    return torch.where(kind == 2, lanes, torch.where(kind == 3, patches, mix))


def _wall(scene: _Scene, x: Tensor, y: Tensor) -> Tensor:
    """Share of the backdrop's second colour."""
    c = scene.cameras
    kind, scale = (scene.tensor(v)[:, None, None] for v in (c.backdrop_kind, c.backdrop_scale))
    course = torch.floor(y / 0.18)
    bricks = (
        (_fraction(y / 0.18) < 0.14)
        | (_fraction(x / 0.5 + 0.5 * _fraction(course * 0.5) * 2.0) < 0.06)
    ).float()
    windows = ((_fraction(x / (1.6 * scale)) < 0.55) & (_fraction(y / 2.2 + 0.7) < 0.6)).float()
    foliage = (0.5 + 1.9 * _grain(x, y, 25.6)).clamp(0.0, 1.0)
    panels = (
        0.5 + 0.9 * _grain(torch.floor(x / (1.3 * scale)) * 7.0, torch.floor(y / 1.9) * 5.0, 1.0)
    ).clamp(0.0, 1.0)
    panels = torch.where(_fraction(x / (1.3 * scale)) < 0.04, 1.0, panels)
    mix = torch.where(kind == 1, bricks, 0.3 + 0.3 * _grain(x, y, 6.4))
    mix = torch.where(kind == 2, windows, mix)
    return torch.where(kind == 3, foliage, torch.where(kind == 4, panels, mix))


def _shadow(scene: _Scene, x: Tensor, z: Tensor) -> Tensor:
    """Light (0..1) that reaches the floor around the person: a long soft shadow and two contacts."""
    c = scene.cameras
    sun = c.sun
    reach = np.minimum(
        1.7 * np.sqrt(np.maximum(1 - sun[:, 1] ** 2, 1e-9)) / np.maximum(sun[:, 1], 0.2), 2.6
    )
    flat = _unit(sun * np.array([1.0, 0.0, 1.0]))
    strength = np.clip(
        c.sun_colour.mean(axis=1) / (c.sun_colour.mean(axis=1) + c.sky_colour.mean(axis=1)),
        0.0,
        1.0,
    )
    centre = scene.root - flat * (0.5 * reach)[:, None]
    light = torch.ones_like(x)
    for at, half_long, half_wide, dark in (
        (centre, 0.5 * reach + 0.22, np.full_like(reach, 0.26), 0.75 * strength),
        (
            scene.root,
            np.full_like(reach, 0.42),
            np.full_like(reach, 0.42),
            np.full_like(reach, 0.45),
        ),
        (
            scene.root,
            np.full_like(reach, 0.24),
            np.full_like(reach, 0.24),
            np.full_like(reach, 0.45),
        ),
    ):
        ax, az, fx, fz, a, b, k = (
            scene.tensor(v)[:, None, None]
            for v in (at[:, 0], at[:, 2], flat[:, 0], flat[:, 2], half_long, half_wide, dark)
        )
        along, across = (x - ax) * fx + (z - az) * fz, (z - az) * fx - (x - ax) * fz
        inside = (1.0 - (along * along) / (a * a) - (across * across) / (b * b)).clamp(min=0.0)
        light = light * (1.0 - k * inside * (2.0 - inside))
    return light


def _develop(scene: _Scene, picture: Tensor) -> Tensor:
    """Linear light to 8-bit pixels: exposure, white balance, tone, lens blur, sensor noise."""
    c, (images, height, width, _) = scene.cameras, picture.shape
    grey = picture[..., :1] * 0.25 + picture[..., 1:2] * 0.5 + picture[..., 2:] * 0.25
    saturation = scene.tensor(c.saturation)[:, None, None, None]
    gain = scene.tensor(c.gain * scene.shots.exposure[:, None])[:, None, None]
    x = torch.linspace(-1.0, 1.0, width, device=scene.device)
    y = torch.linspace(-1.0, 1.0, height, device=scene.device)
    corner = 1.0 - scene.tensor(c.vignette)[:, None, None] * 0.5 * (x * x + (y * y)[:, None])
    linear = (grey + saturation * (picture - grey)) * gain * corner[..., None]
    entry = torch.floor(torch.sqrt(linear.clamp(0.0, 1.0)) * (TONES - 1) + 0.5).to(torch.int64)
    row = torch.arange(images, device=scene.device)[:, None, None, None] * TONES
    display = scene.tensor(c.tone).reshape(-1)[entry + row]
    display = _blur(display, scene.tensor(c.blur * height / 192.0))
    places = torch.as_tensor(scene.shots.noise, device=scene.device)[:, None] + torch.arange(
        height * width * 3, device=scene.device
    )
    noise = _noise_bank().to(scene.device)[places].reshape(picture.shape)
    noise = 0.7 * noise[..., :1] + torch.where(
        scene.tensor(c.infrared)[:, None, None, None], 0.0, 0.7 * noise
    )
    display = display + scene.tensor(c.noise)[:, None, None, None] * noise
    return torch.floor(display.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
    """(B, H, W, C) smoothed by two passes of a three-tap filter per axis; sigma (B,) pixels, up to 1.1."""
    w = (sigma * sigma * 0.25).clamp(max=0.32)[:, None, None, None]
    for _ in range(2):
        for axis in (1, 2):
            n = x.shape[axis]
            index = torch.arange(n, device=x.device)
            before = x.index_select(axis, (index - 1).clamp(min=0))
            after = x.index_select(axis, (index + 1).clamp(max=n - 1))
            x = x + w * (before - x) + w * (after - x)
    return x
