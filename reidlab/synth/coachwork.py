"""Boxes and round cones for vehicles: slots of six parts, filled kind by kind (see `kinds`).

Vehicle frame: x to its left, y up, z forward, metres, the origin on the floor under its middle.
Three half edges make a box, at any angle, so that a box leans like a windscreen or slopes like a
bonnet; a round cone with one side squashed is a crowned roof, a lamp, or a wheel with a flat face.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.body import Primitives, Solid
from reidlab.synth.draws import Array

# Part labels of the masks written beside each image; 7 is the occluder, as for people.
VEHICLE_PARTS = (
    "background", "body", "windows", "wheels", "lights", "plate", "accessory", "occluder",
)  # fmt: skip
BODY, WINDOWS, WHEELS, LIGHTS, PLATES, ACCESSORY = range(1, 7)
# Slots of each part: as many as the kind with most of them needs.
SLOTS_OF = {BODY: 25, WINDOWS: 7, WHEELS: 4, LIGHTS: 4, PLATES: 2, ACCESSORY: 8}

Value = NDArray[Any] | float
Pair = tuple[Value, Value]
_CORNERS = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=float)
_BLANK: dict[str, Any] = {
    "a": np.zeros(3), "b": np.zeros(3), "ra": 1.0, "rb": 1.0, "forward": np.array([0.0, 0.0, 1.0]),
    "squash": np.ones(2), "present": 0.0, "material": 0.0, "box": 0.0, "edges": np.zeros((3, 3)),
}  # fmt: skip


def vector(x: Value, y: Value, z: Value) -> Array:
    """(n, 3) of three columns, each (n,) or a number."""
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)


@dataclass
class Workshop:
    """Collects the pieces of n vehicles of one kind; every value is (n, …) or a number."""

    size: int
    pieces: dict[int, list[dict[str, Any]]] = field(
        default_factory=lambda: {part: [] for part in SLOTS_OF}
    )

    def box(
        self,
        part: int,
        material: Value,
        x: Pair,
        y: Pair,
        z: Pair,
        *,
        lean: Pair = (0.0, 0.0),
        slope: Value = 0.0,
        present: Value = True,
    ) -> None:
        """A box between two values of each axis.

        Args:
            part: label.
            material: of `vehicles.MATERIALS`.
            x, y, z: lowest and highest value, before the box leans.
            lean: how far the top lies from the bottom along x and z.
            slope: how much higher its front lies than its rear.
            present: whether there is one.
        """
        half = [(high - low) * 0.5 for low, high in (x, y, z)]
        middle = [(high + low) * 0.5 for low, high in (x, y, z)]
        centre = vector(middle[0] + lean[0] * 0.5, middle[1], middle[2] + lean[1] * 0.5)
        edges = [
            vector(half[0], np.zeros(self.size), 0.0),
            vector(lean[0] * 0.5, half[1] + np.zeros(self.size), lean[1] * 0.5),
            vector(0.0, slope * 0.5, half[2] + np.zeros(self.size)),
        ]
        self.pieces[part].append({
            "a": centre, "b": centre, "box": 1.0, "edges": np.stack(edges, axis=1),
            "material": material, "present": present,
        })  # fmt: skip

    def bar(
        self,
        part: int,
        material: Value,
        ends: tuple[Array, Array],
        radius: Value,
        *,
        squash: Pair = (1.0, 1.0),
        forward: Array | None = None,
        hull: tuple[Value, Value, Value] | None = None,
        present: Value = True,
    ) -> None:
        """A capsule between two points, or, squashed, whatever is round about an axis.

        Args:
            part, material, present: as for `box`.
            ends: of the axis.
            radius: at both ends.
            squash: scale of the radius towards the two directions across the axis.
            forward: the second of them.
            hull: half sizes about both ends that a picture has to hold; by default a little more
                than the sphere at each.
        """
        scale = vector(squash[0], squash[1], np.zeros(self.size))[:, :2]
        piece = {
            "a": ends[0], "b": ends[1], "ra": radius, "rb": radius, "squash": scale,
            "material": material, "present": present,
        }  # fmt: skip
        if forward is not None:
            piece["forward"] = forward
        half = vector(*(hull or (0.7 * radius,) * 3)) + np.zeros((self.size, 1))
        piece["edges"] = half[:, :, None] * np.eye(3)
        self.pieces[part].append(piece)

    def pair(self, part: int, material: Value, one: Array, other: Array, radius: Value,
             **rest: Any) -> None:  # fmt: skip
        """The bar between two points of the left side, and its mirror image on the right."""
        for side in (1.0, -1.0):
            mirror = np.array([side, 1.0, 1.0])
            self.bar(part, material, (one * mirror, other * mirror), radius, **rest)


def pack(
    shops: list[tuple[NDArray[np.int64], Workshop]], panels: Array, footprint: Array
) -> Primitives:
    """Put the pieces of every kind into the slots of their parts.

    Args:
        shops: rows of the vehicles of one kind, and their pieces.
        panels: (B, K) and
        footprint: (B, 2), see `body.Solid`.
    """
    part = np.repeat(list(SLOTS_OF), list(SLOTS_OF.values()))
    out = {key: np.broadcast_to(value, (len(panels), len(part), *np.shape(value))).copy()
           for key, value in _BLANK.items()}  # fmt: skip
    for rows, shop in shops:
        first = 0
        for label, room in SLOTS_OF.items():
            pieces = shop.pieces[label]
            assert len(pieces) <= room, (label, len(pieces))
            for slot, piece in enumerate(pieces, start=first):
                for key, value in piece.items():
                    out[key][rows, slot] = value
            first += room
    present, box, edges = out.pop("present") > 0, out.pop("box") > 0, out.pop("edges")
    solid = Solid(box, edges, _hull(out["a"], out["b"], edges, present), footprint, panels)
    on_paint = np.isin(part, (BODY, WINDOWS))
    return Primitives(**out, low=np.full(present.shape, -1.0), high=np.full(present.shape, 2.0),
                      present=present, part=part, torso_frame=on_paint, solid=solid)  # fmt: skip


def _hull(a: Array, b: Array, edges: Array, present: NDArray[np.bool_]) -> Array:
    """(B, K, 3) corners of all boxes, and of cubes around the ends of the round cones."""
    corner = _CORNERS[:, :1] * edges[:, :, None, 0] + _CORNERS[:, 1:2] * edges[:, :, None, 1]
    corner = corner + _CORNERS[:, 2:] * edges[:, :, None, 2]
    points = np.concatenate([a[:, :, None] + corner, b[:, :, None] + corner], axis=1)
    shown = np.concatenate([present, present], axis=1)
    return np.where(shown[:, :, None, None], points, 0.0).reshape(len(a), -1, 3)
