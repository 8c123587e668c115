"""Where everybody stands and what each camera frames, in float64 scene coordinates.

A camera is at (0, height, 0) of its scene and the floor is y = 0; see `cameras`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .body import Pose, Primitives, build
from .cameras import Cameras
from .draws import Array
from .kinds import assemble
from .people import People
from .shots import Shots
from .subject import Subject
from .vectors import cross, dot, unit
from .vehicles import Vehicles

_BUILD: dict[type[Subject], Callable[[Any, Pose], Primitives]] = {
    People: build,
    Vehicles: assemble,
}


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
        yaw = shots.azimuth + np.arctan2(self.root[:, 0], depth)
        self.cos, self.sin = np.cos(yaw), np.sin(yaw)
        self.shapes = self._to_scene(_BUILD[type(people)](people, shots.pose))
        middle = self.root + np.stack([nil, 0.5 * people.height, nil], axis=1)
        self.forward = unit(middle - self.eye)  # (N, 3)
        self.right = unit(np.stack([self.forward[:, 2], nil, -self.forward[:, 0]], axis=1))
        self.up = cross(self.forward, self.right)
        self.window = self._window()

    def _to_scene(self, shapes: Primitives) -> Primitives:
        shapes.a = self._turn(shapes.a) + self.root[:, None]
        shapes.b = self._turn(shapes.b) + self.root[:, None]
        shapes.forward = self._turn(shapes.forward)
        if shapes.solid:
            n, slots = shapes.present.shape
            edges = self._turn(shapes.solid.edges.reshape(n, -1, 3))
            shapes.solid.edges = edges.reshape(n, slots, 3, 3)
            shapes.solid.hull = self._turn(shapes.solid.hull) + self.root[:, None]
        return shapes

    def _turn(self, v: Array) -> Array:
        """Rotate (N, S, 3) body vectors into the scene."""
        cos, sin = self.cos[:, None], self.sin[:, None]
        turned = [cos * v[..., 0] + sin * v[..., 2], v[..., 1], cos * v[..., 2] - sin * v[..., 0]]
        return np.stack(turned, axis=-1)

    def project(self, points: Array, rows: slice = slice(None)) -> tuple[Array, Array, Array]:
        """(B, K, 3) scene points of the images `rows` to tangents right and up, and depth in m."""
        offset = points - self.eye[rows, None]
        depth = np.maximum(dot(offset, self.forward[rows, None]), 0.2)
        right, up = (dot(offset, axis[rows, None]) / depth for axis in (self.right, self.up))
        return right, up, depth

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
