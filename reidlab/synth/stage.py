"""Where everybody stands and what each camera frames, in float64 scene coordinates.

A camera is at (0, height, 0) of its scene and the floor is y = 0; see `cameras`.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.body import Pose, Primitives, build
from reidlab.synth.cameras import Cameras
from reidlab.synth.draws import Array
from reidlab.synth.kinds import assemble
from reidlab.synth.passers import Walks, join_materials, join_primitives
from reidlab.synth.people import People
from reidlab.synth.shots import Shots
from reidlab.synth.subject import Subject
from reidlab.synth.vectors import atan2, cos, dot, sin, unit
from reidlab.synth.vehicles import Vehicles

_BUILD: dict[type[Subject], Callable[[Any, Pose], Primitives]] = {People: build, Vehicles: assemble}


class Stage:
    """N images: people or vehicles in their places, the view of each, the crop of a detector.

    Args:
        people: N rows.
        cameras: N rows.
        shots: N rows.
        resolution: (height, width) in pixels.
    """

    def __init__(
        self, people: Subject, cameras: Cameras, shots: Shots, resolution: tuple[int, int]
    ) -> None:
        self.people, self.cameras, self.shots, self.resolution = people, cameras, shots, resolution
        depth = cameras.near[:, 0] + shots.distance * (cameras.near[:, 1] - cameras.near[:, 0])
        nil = np.zeros_like(depth)
        self.root = np.stack([shots.aside * cameras.side, nil, depth], axis=1)  # (N, 3)
        self.eye = np.stack([nil, cameras.height, nil], axis=1)  # (N, 3)
        self.passer_root: Array | None = None  # (N, 3) where passers-by stand, if there are any
        self.yaw = shots.azimuth + atan2(self.root[:, 0], depth)
        self.cos, self.sin = cos(self.yaw), sin(self.yaw)
        self.shapes = _placed(_BUILD[type(people)](people, shots.pose), self.yaw, self.root)
        middle = self.root + np.stack([nil, 0.5 * people.height, nil], axis=1)
        self.forward = unit(middle - self.eye)  # (N, 3)
        self.right = unit(np.stack([self.forward[:, 2], nil, -self.forward[:, 0]], axis=1))
        self.up = np.cross(self.forward, self.right)
        self.window = self._window()

    def take(self, rows: NDArray[np.int64]) -> Stage:
        """The images `rows` of this stage."""
        part = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(part, name, value[rows])
        part.people, part.cameras = self.people.take(rows), self.cameras.take(rows)
        part.shots, part.shapes = self.shots.take(rows), self.shapes.take(rows)
        return part

    def joined(self, others: People, walks: Walks) -> Stage:
        """This stage with a passer-by in every image; the crop stays that of the person."""
        assert isinstance(self.people, People)
        stage = copy(self)
        near = unit((self.eye - self.root) * np.array([1.0, 0.0, 1.0]))
        right = np.stack([-near[:, 2], np.zeros(len(near)), near[:, 0]], axis=1)
        root = self.root + near * walks.ahead[:, None] + right * walks.aside[:, None]
        shapes = _placed(build(others, walks.pose), self.yaw + walks.turn, root)
        stage.people = join_materials(self.people, others)
        stage.shapes = join_primitives(self.shapes, shapes)
        stage.passer_root = root
        return stage

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """(N, K, 3) scene points to tangents right and up, and depth in m."""
        offset = points - self.eye[:, None]
        depth = np.maximum(dot(offset, self.forward[:, None]), 0.2)
        right, up = (dot(offset, axis[:, None]) / depth for axis in (self.right, self.up))
        return right, up, depth

    @property
    def step(self) -> tuple[Array, Array]:
        """(N, 1) tangents right and up from sample to sample, two of which make a pixel."""
        height, width = self.resolution
        _, _, hx, hy = self.window.T[..., None]
        return 2 * hx / (2 * width), 2 * hy / (2 * height)

    def samples(self, points: Array) -> tuple[Array, Array, Array]:
        """(N, K, 3) scene points to sample column, sample row and depth, each (N, K)."""
        x, y, depth = self.project(points)
        cx, cy, hx, hy = self.window.T[..., None]
        across, down = self.step
        return (x - (cx - hx)) / across, ((cy + hy) - y) / down, depth

    def _window(self) -> Array:
        """(N, 4) centre (right, up) and half size (right, up) of the crop, in tangents."""
        height, width = self.resolution
        low, high = self._extent()
        half = 0.5 * (high - low) * (self.cameras.fill * self.shots.zoom)[:, None]
        half_up = np.maximum(half[:, 1], half[:, 0] * height / width)  # long strides need the width
        centre = 0.5 * (low + high) + self.shots.shift * 2 * half_up[:, None]
        return np.stack([centre[:, 0], centre[:, 1], half_up * width / height, half_up], axis=1)

    def _extent(self) -> tuple[Array, Array]:
        """Lowest and highest tangents (right, up) of whoever stands there, each (N, 2)."""
        s = self.shapes
        if s.solid:
            x, y, _ = self.project(s.solid.hull)
            return np.stack([x.min(1), y.min(1)], axis=1), np.stack([x.max(1), y.max(1)], axis=1)
        lows, highs = [], []
        for end, radius in ((s.a, s.ra), (s.b, s.rb)):
            x, y, depth = self.project(end)
            reach = radius * np.maximum(s.squash.max(axis=2), 1.0) / depth
            low = [np.where(s.present, v - reach, np.inf).min(axis=1) for v in (x, y)]
            high = [np.where(s.present, v + reach, -np.inf).max(axis=1) for v in (x, y)]
            lows.append(np.stack(low, axis=1))
            highs.append(np.stack(high, axis=1))
        return np.minimum(*lows), np.maximum(*highs)


def _placed(shapes: Primitives, yaw: Array, root: Array) -> Primitives:
    """`shapes` turned by (N,) `yaw` and moved to (N, 3) `root`: from their frames to the scene."""
    c, s = cos(yaw)[:, None], sin(yaw)[:, None]

    def turn(v: Array) -> Array:
        turned = [c * v[..., 0] + s * v[..., 2], v[..., 1], c * v[..., 2] - s * v[..., 0]]
        return np.stack(turned, axis=-1)

    shapes.a, shapes.b = turn(shapes.a) + root[:, None], turn(shapes.b) + root[:, None]
    shapes.forward = turn(shapes.forward)
    if shapes.solid:
        edges = shapes.solid.edges
        shapes.solid.edges = turn(edges.reshape(len(edges), -1, 3)).reshape(edges.shape)
        shapes.solid.hull = turn(shapes.solid.hull) + root[:, None]
    return shapes
