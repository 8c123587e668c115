"""Where everybody stands and what each camera frames, in float64 scene coordinates.

A camera is at (0, height, 0) of its scene and the floor is y = 0; see `cameras`.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from .body import Primitives, build
from .cameras import Cameras
from .draws import Array
from .passers import Walks, join_materials, join_primitives
from .people import People
from .shots import Shots
from .vectors import cross, dot, unit


class Stage:
    """N images: people in their places, the view at each, and the crop a detector cuts out.

    Args:
        people: N rows.
        cameras: N rows.
        shots: N rows.
        resolution: (height, width) in pixels.
        passers: who else is in some of the images, and where.
    """

    def __init__(
        self,
        people: People,
        cameras: Cameras,
        shots: Shots,
        resolution: tuple[int, int],
        passers: tuple[People, Walks] | None = None,
    ) -> None:
        self.people, self.cameras, self.shots, self.resolution = people, cameras, shots, resolution
        depth = cameras.near[:, 0] + shots.distance * (cameras.near[:, 1] - cameras.near[:, 0])
        nil = np.zeros_like(depth)
        self.root = np.stack([shots.aside * cameras.side, nil, depth], axis=1)  # (N, 3)
        self.eye = np.stack([nil, cameras.height, nil], axis=1)  # (N, 3)
        yaw = shots.azimuth + np.arctan2(self.root[:, 0], depth)
        self.cos, self.sin = np.cos(yaw), np.sin(yaw)
        self.shapes = _placed(build(people, shots.pose), yaw, self.root)
        middle = self.root + np.stack([nil, 0.5 * people.height, nil], axis=1)
        self.forward = unit(middle - self.eye)  # (N, 3)
        self.right = unit(np.stack([self.forward[:, 2], nil, -self.forward[:, 0]], axis=1))
        self.up = cross(self.forward, self.right)
        self.window = self._window()
        self.alone, self.passer_root = self.shapes, np.full_like(self.root, np.nan)
        if passers is not None:
            self._admit(*passers, yaw)

    def _admit(self, others: People, walks: Walks, yaw: Array) -> None:
        """Let the passers-by in; the crop stays that of the person."""
        rows = walks.rows
        near = unit((self.eye - self.root)[rows] * np.array([1.0, 0.0, 1.0]))
        right = np.stack([-near[:, 2], np.zeros(len(rows)), near[:, 0]], axis=1)
        root = self.root[rows] + near * walks.ahead[:, None] + right * walks.aside[:, None]
        shapes = _placed(build(others, walks.pose), yaw[rows] + walks.turn, root)
        self.people = join_materials(self.people, rows, others)
        self.shapes = join_primitives(self.alone, rows, shapes)
        self.passer_root[rows] = root

    def lean(self, rows: slice) -> Stage:
        """This stage, without the slots of passers-by if there are none in `rows`."""
        if self.shapes is self.alone or not np.isnan(self.passer_root[rows]).all():
            return self
        stage = copy(self)
        stage.shapes = self.alone
        return stage

    def project(self, points: Array, rows: slice = slice(None)) -> tuple[Array, Array, Array]:
        """(B, K, 3) scene points of the images `rows` to tangents right and up, and depth in m."""
        offset = points - self.eye[rows, None]
        depth = np.maximum(dot(offset, self.forward[rows, None]), 0.2)
        right, up = (dot(offset, axis[rows, None]) / depth for axis in (self.right, self.up))
        return right, up, depth

    def _window(self) -> Array:
        """(N, 4) centre (right, up) and half size (right, up) of the crop, in tangents."""
        s, (height, width) = self.shapes, self.resolution
        lows, highs = [], []
        for end, radius in ((s.a, s.ra), (s.b, s.rb)):
            x, y, depth = self.project(end)
            reach = radius * np.maximum(s.squash.max(axis=2), 1.0) / depth
            low = [np.where(s.present, v - reach, np.inf).min(axis=1) for v in (x, y)]
            high = [np.where(s.present, v + reach, -np.inf).max(axis=1) for v in (x, y)]
            lows.append(np.stack(low, axis=1))
            highs.append(np.stack(high, axis=1))
        low, high = np.minimum(*lows), np.maximum(*highs)
        half = 0.5 * (high - low) * (self.cameras.fill * self.shots.zoom)[:, None]
        half_up = np.maximum(half[:, 1], half[:, 0] * height / width)  # long strides need the width
        centre = 0.5 * (low + high) + self.shots.shift * 2 * half_up[:, None]
        return np.stack([centre[:, 0], centre[:, 1], half_up * width / height, half_up], axis=1)


def _placed(shapes: Primitives, yaw: Array, root: Array) -> Primitives:
    """`shapes` turned by (N,) `yaw` and moved to (N, 3) `root`: from body frames to the scene."""
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]

    def turn(v: Array) -> Array:
        turned = [cos * v[..., 0] + sin * v[..., 2], v[..., 1], cos * v[..., 2] - sin * v[..., 0]]
        return np.stack(turned, axis=-1)

    shapes.a, shapes.b = turn(shapes.a) + root[:, None], turn(shapes.b) + root[:, None]
    shapes.forward = turn(shapes.forward)
    return shapes
