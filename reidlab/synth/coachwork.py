"""Boxes and round cones for vehicles: slots of six parts, filled kind by kind (see `kinds`).

Vehicle frame: x to its left, y up, z forward, metres, the origin on the floor under its middle.
Three half edges make a box, at any angle, so that a box leans like a windscreen or slopes like a
bonnet; a round cone with one side squashed is a crowned roof, a lamp, or a wheel with a flat face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.body import Primitives, Solid
from reidlab.synth.draws import Array
from reidlab.synth.vectors import Value, vector
from reidlab.synth.vehicles import MATERIALS

# Part labels of the masks written beside each image; 7 is the occluder, as for people.
VEHICLE_PARTS = (
    "background", "body", "windows", "wheels", "lights", "plate", "accessory", "occluder",
)  # fmt: skip
BODY, WINDOWS, WHEELS, LIGHTS, PLATES, ACCESSORY = range(1, 7)
# The part of what is made of a material, where the piece does not say: the body, but for these.
_PART_OF = {
    "glass": WINDOWS, "tyre": WHEELS, "lamp": LIGHTS, "tail lamp": LIGHTS, "plate": PLATES,
    "load": ACCESSORY, "sticker": ACCESSORY, "ticket": ACCESSORY,
}  # fmt: skip
# Slots of each part: as many as the kind with most of them needs.
SLOTS_OF = {BODY: 25, WINDOWS: 7, WHEELS: 4, LIGHTS: 4, PLATES: 2, ACCESSORY: 8}

Pair = tuple[Value, Value]
_CORNERS = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=float)
_BLANK: dict[str, Any] = {
    "a": np.zeros(3), "b": np.zeros(3), "ra": 1.0, "rb": 1.0, "forward": np.array([0.0, 0.0, 1.0]),
    "squash": np.ones(2), "present": 0.0, "material": 0.0, "box": 0.0, "edges": np.zeros((3, 3)),
}  # fmt: skip


@dataclass
class Builder:
    """Collects the pieces of n vehicles of one kind; every value is (n, …) or a number."""

    size: int
    pieces: dict[int, list[dict[str, Any]]] = field(
        default_factory=lambda: {part: [] for part in SLOTS_OF}
    )

    def _add(self, material: str, part: int | None, **piece: Any) -> None:
        piece["material"] = MATERIALS.index(material)
        self.pieces[_PART_OF.get(material, BODY) if part is None else part].append(piece)

    def box(
        self, material: str, x: Pair | Value, y: Pair, z: Pair, *, lean: Pair = (0.0, 0.0),
        slope: Value = 0.0, part: int | None = None, present: Value = True,
    ) -> None:  # fmt: skip
        """A box between two values of each axis.

        Args:
            material: of `vehicles.MATERIALS`.
            x, y, z: lowest and highest value, before the box leans; of x half the width will do.
            lean: how far the top lies from the bottom along x and z.
            slope: how much higher its front lies than its rear.
            part: label, where it is not the material's.
            present: whether there is one.
        """
        sides = (x if isinstance(x, tuple) else (-x, x), y, z)
        half = [(high - low) * 0.5 for low, high in sides]
        middle = [(high + low) * 0.5 for low, high in sides]
        centre = vector(middle[0] + lean[0] * 0.5, middle[1], middle[2] + lean[1] * 0.5)
        edges = [
            vector(half[0], np.zeros(self.size), 0.0),
            vector(lean[0] * 0.5, half[1] + np.zeros(self.size), lean[1] * 0.5),
            vector(0.0, slope * 0.5, half[2] + np.zeros(self.size)),
        ]
        cuboid = {"a": centre, "b": centre, "box": 1.0, "edges": np.stack(edges, axis=1)}
        self._add(material, part, **cuboid, present=present)

    def bar(
        self, material: str, ends: tuple[Array, Array], radius: Value, *,
        squash: Pair = (1.0, 1.0), forward: Array = _BLANK["forward"],
        hull: tuple[Value, Value, Value] | None = None, part: int | None = None,
        present: Value = True,
    ) -> None:  # fmt: skip
        """A capsule between two points, or, squashed, whatever is round about an axis.

        Args:
            material, part, present: as for `box`.
            ends: of the axis.
            radius: at both ends.
            squash: scale of the radius towards the two directions across the axis.
            forward: the second of them.
            hull: half sizes about both ends that a picture has to hold; by default a little more
                than the sphere at each.
        """
        scale = vector(squash[0], squash[1], np.zeros(self.size))[:, :2]
        half = vector(*(hull or (0.7 * radius,) * 3)) + np.zeros((self.size, 1))
        self._add(
            material, part, a=ends[0], b=ends[1], ra=radius, rb=radius, squash=scale,
            forward=forward, edges=half[:, :, None] * np.eye(3), present=present,
        )  # fmt: skip

    def pair(self, material: str, one: Array, other: Array, radius: Value, **rest: Any) -> None:
        """The bar between two points of the left side, and its mirror image on the right."""
        for side in (1.0, -1.0):
            mirror = np.array([side, 1.0, 1.0])
            self.bar(material, (one * mirror, other * mirror), radius, **rest)


def pack(
    builders: Sequence[tuple[NDArray[np.int64], Builder]], panels: Array, footprint: Array
) -> Primitives:
    """Put the pieces of every kind into the slots of their parts.

    Args:
        builders: rows of the vehicles of one kind, and their pieces.
        panels: (B, K) and
        footprint: (B, 2), see `body.Solid`.
    """
    part = np.repeat(list(SLOTS_OF), list(SLOTS_OF.values()))
    out = {key: np.broadcast_to(value, (len(panels), len(part), *np.shape(value))).copy()
           for key, value in _BLANK.items()}  # fmt: skip
    for rows, builder in builders:
        first = 0
        for label, room in SLOTS_OF.items():
            pieces = builder.pieces[label]
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
