"""Pieces that several kinds of vehicle share: wheels, cabins, lamps, loads; see `kinds`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reidlab.synth.coachwork import ACCESSORY, Builder, Pair
from reidlab.synth.draws import Array
from reidlab.synth.vectors import Value, cos, sin, vector
from reidlab.synth.vehicles import Vehicles

_UP, _FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])


@dataclass
class Panels:
    """What is drawn on the paint of n vehicles rather than built, in metres of their frames."""

    radius: Value  # of the wheels
    front: Value  # z of the axles
    rear: Value
    gaps: tuple[Value, Value, Value]  # z of the gaps between doors; `NOWHERE`: none
    belt: Value  # they end here
    trim: Value  # below this height the body is black
    posts: tuple[Value, Value, Value]  # of side windows: z of the first and the last, and a step


NOWHERE = 99.0


class Fittings(Builder):
    """A builder that knows those pieces; z runs from the rear to the front, y up, x to the left."""

    def wheels(self, v: Vehicles, panels: Panels, turn: Array, yaw: Array) -> Array:
        """Four wheels, and (n, 12) where they and what is drawn on the paint are."""
        r, half, bulge = panels.radius, 0.5 * v.width, 0.04
        spoke = vector(0.0, sin(turn), cos(turn))
        for z, steer in ((panels.front, 0.5 * yaw), (panels.rear, np.zeros_like(yaw))):
            across = vector(cos(steer), 0.0, -sin(steer))
            for side in (1.0, -1.0):
                middle = vector(side * (half - 0.10), r, z)
                reach = across * (side * 0.105)
                # Squashed far more across than along, a capsule is a disc with a domed face.
                self.bar("tyre", (middle - reach, middle + reach), bulge,
                    squash=(r / bulge, r / bulge), forward=spoke, hull=(0.1, r, r),
                )  # fmt: skip
        p, nil = panels, np.zeros_like(half)
        columns = (p.front, p.rear, r, 1.16 * r, *p.gaps, p.belt, p.trim, *p.posts)
        return np.stack([nil + column for column in columns], axis=1)

    def cabin(self, halves: tuple[Value, Value], y: Pair, front: Pair, rear: Pair) -> None:
        """A pyramid of glass without its tip: four leaning boxes, one to each edge, that overlap.

        Args:
            halves: half widths at the bottom and at the top.
            y: bottom and top.
            front: z of the windscreen at the bottom and at the top.
            rear: z of the rear window at the bottom and at the top.
        """
        across = halves[0] * 0.4 + halves[1] * 0.8
        along = ((front[0] - rear[0]) * 0.5 + (front[1] - rear[1])) * 0.5
        inward = halves[0] - halves[1]
        for side in (1.0, -1.0):
            x = (halves[0] - across, halves[0]) if side > 0 else (-halves[0], across - halves[0])
            self.box("glass", x, y, (front[0] - along, front[0]),
                     lean=(-side * inward, front[1] - front[0]))  # fmt: skip
            self.box("glass", x, y, (rear[0], rear[0] + along),
                     lean=(-side * inward, rear[1] - rear[0]))  # fmt: skip

    def pillars(self, halves: tuple[Value, Value], y: Pair, front: Pair, rear: Pair) -> None:
        """Painted edges of a `cabin` of the same measures, and a crowned roof between two rails."""
        for z in (front, rear):
            self.post(halves, y, z, 0.042)
        self.roof(halves[1], y[1], rear[1], front[1])

    def post(self, halves: tuple[Value, Value], y: Pair, z: Pair, radius: float) -> None:
        """Two painted edges of a `cabin`, of a windscreen or of a rear window at `z`."""
        one, other = vector(halves[0], y[0], z[0]), vector(halves[1], y[1], z[1])
        self.pair("paint", one, other, radius)

    def roof(self, half: Value, y: Value, rear: Value, front: Value) -> None:
        """A crowned roof between two rails at height `y`, from one z to another."""
        self.pair("roof", vector(half, y, rear), vector(half, y, front), 0.05)
        ends = vector(0.0, y, rear + 0.05), vector(0.0, y, front - 0.05)
        self.bar("roof", ends, 0.07, squash=(half / 0.07 * 1.02, 1.0), forward=_UP)

    def bumper(self, half: Value, y: Value, z: Value, size: Pair) -> None:
        """A rounded end: a bar across at `z`; `size` = (half height, depth) before or behind it."""
        high, deep = size
        r = 0.12
        self.bar("paint", (vector(r - half, y, z), vector(half - r, y, z)), r,
                 squash=(high / r, deep / r), forward=_FORWARD)  # fmt: skip

    def plates(self, front: Pair, rear: Pair, size: Value = 0.26) -> None:
        """Number plates at (y, z) before and behind."""
        for (y, z), way in ((front, 1.0), (rear, -1.0)):
            self.box("plate", size, (y - 0.07, y + 0.07),
                     (z - 0.05, z + 0.012) if way > 0 else (z - 0.012, z + 0.05))  # fmt: skip

    def ticket(self, v: Vehicles, half: Value, y: Pair, front: Pair) -> None:
        """A slip behind the windscreen, in its plane."""
        size, across = v.ticket_place[:, 1], v.ticket_place[:, 0] * 0.8 * half
        rise = (front[1] - front[0]) / (y[1] - y[0])  # of z with y
        low = y[0] + 0.62 * (y[1] - y[0])
        z = front[0] + rise * (low - y[0]) + 0.006
        self.box("ticket", (across - size, across + size), (low, low + size),
                 (z - 0.03, z + 0.006), lean=(0.0, rise * size), present=v.ticket)  # fmt: skip

    def sticker(self, v: Vehicles, along: Pair, up: Pair, half: Value) -> None:
        """A label on one side, somewhere between two values along and up."""
        side, size = v.sticker_place[:, 0], v.sticker_place[:, 3]
        z = along[0] + v.sticker_place[:, 1] * (along[1] - along[0])
        y = up[0] + v.sticker_place[:, 2] * (up[1] - up[0])
        inner, outer = side * (half - 0.05), side * (half + 0.010)
        self.box("sticker", (np.minimum(inner, outer), np.maximum(inner, outer)),
                 (y - 0.55 * size, y + 0.55 * size), (z - size, z + size),
                 present=v.sticker)  # fmt: skip

    def roof_load(self, v: Vehicles, half: Value, y: Value, rear: Value, front: Value) -> None:
        """A rack of two rails and two bars, a box, or a lit sign, on the roof at height `y`."""
        rack, box, sign = (v.roof_load == i for i in (1, 2, 3))
        span = front - rear
        low, high = rear + 0.1 * span, front - 0.1 * span
        self.pair("load", vector(half * 0.92, y + 0.06, low),
                  vector(half * 0.92, y + 0.06, high), 0.032, present=rack)  # fmt: skip
        for z in (low + 0.15 * span, high - 0.15 * span):
            ends = vector(-half * 0.92, y + 0.10, z), vector(half * 0.92, y + 0.10, z)
            self.bar("load", ends, 0.028, present=rack)
        chest = vector(0.0, y + 0.14, low + 0.25 * span), vector(0.0, y + 0.14, high - 0.15 * span)
        self.bar("load", chest, 0.17, squash=(half * 0.6 / 0.17, 1.0), forward=_UP, present=box)
        z = front - 0.25 * span
        lamp = vector(-0.2 * half, y + 0.1, z), vector(0.2 * half, y + 0.1, z)
        self.bar("lamp", lamp, 0.09, part=ACCESSORY, present=sign)

    def mirrors(self, half: Value, y: Value, z: Value, tall: Value = 0.0) -> None:
        """Outside mirrors: short arms across, or upright ones of half height `tall`."""
        upright = np.asarray(tall > 0.0)
        one = vector(np.where(upright, half + 0.08, half - 0.1), y - tall, z)
        other = vector(half + 0.08, y + tall, z - 0.03)
        self.pair("trim", one, other, 0.075, squash=(1.0, 0.7))

    def lamps(self, head: tuple[Value, Value, Value], tail: tuple[Value, Value, Value],
               v: Vehicles, scale: float = 1.0) -> None:  # fmt: skip
        """Lamps at (x, y, z) on both sides, white before and red behind."""
        wide, high = (0.13 - 0.06 * v.lamp) * scale, (0.085 + 0.025 * v.lamp) * scale
        one = vector(head[0] - wide, head[1], head[2] + 0.02)
        other = vector(head[0] + wide, head[1] + 0.015, head[2] - 0.02)
        self.pair("lamp", one, other, high, squash=(1.0, 0.75))
        tall = v.tail > 0
        wide, high = np.where(tall, 0.02, 0.14) * scale, np.where(tall, 0.14, 0.01) * scale
        one = vector(tail[0] - wide, tail[1] - high, tail[2] - 0.03)
        other = vector(tail[0] + 0.02, tail[1] + high, tail[2] + 0.02)
        self.pair("tail lamp", one, other, (0.075 + 0.015 * v.tail) * scale)

    def tub(self, w: Value, y: tuple[Value, Value, Value], z: tuple[Value, Value, Value],
             nose: Value) -> None:  # fmt: skip
        """The lower body of a car: sides, rounded shoulders and a bonnet that slopes to the nose.

        Args:
            w: half width.
            y: of the sill, where the nose ends, and of the belt line.
            z: of the rear end, the foot of the windscreen and the front end.
            nose: how much lower the bonnet is at its front than the belt.
        """
        (sill, low, belt), (rear, foot, front) = y, z
        r = 0.075
        self.box("paint", w, (sill, low), (rear + 0.16, front - 0.24))
        self.box("paint", w, (low - 0.05, belt - r), (rear + 0.14, foot + 0.06))
        self.box("paint", w - r, (belt - 0.2, belt), (rear + 0.16, foot + 0.06))
        self.pair("paint", vector(w - r, belt - r, rear + 0.14), vector(w - r, belt - r, foot), r)
        tip = vector(w - 0.11, belt - r - nose, front - 0.22)
        self.pair("paint", vector(w - r, belt - r, foot), tip, r)
        middle, thick = belt - r - 0.5 * nose, 0.34
        self.box("paint", w - 0.01, (middle - thick, middle), (foot, front - 0.22), slope=-nose)
        peak = vector(0.0, belt - r + 0.01, foot)
        end = vector(0.0, belt - r - nose - 0.045, front - 0.26)
        self.bar("paint", (peak, end), 0.09, squash=((w - 0.05) / 0.09, 1.0), forward=_UP)
