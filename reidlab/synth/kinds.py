"""The six kinds of vehicle, built from boxes and round cones; all measures in metres are ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .body import Pose, Primitives
from .coachwork import (
    ACCESSORY,
    BODY,
    LIGHTS,
    PLATES,
    WHEELS,
    WINDOWS,
    Pair,
    Value,
    Workshop,
    pack,
    vector,
)
from .draws import Array
from .vehicles import (
    BUS,
    CARGO,
    CHROME,
    ESTATE,
    GLASS,
    LAMP,
    LOAD,
    LORRY,
    PAINT,
    PICKUP,
    PLATE,
    ROOF,
    SALOON,
    STICKER,
    TAIL,
    TICKET,
    TRIM,
    TYRE,
    VAN,
    Vehicles,
)


def assemble(vehicles: Vehicles, pose: Pose) -> Primitives:
    """Place every primitive of every vehicle in its own frame.

    Of a pose a vehicle takes two angles: `phase` turns the wheels, `head_yaw` steers the front
    ones. The others belong to limbs.
    """
    shops, panels = [], np.zeros((len(vehicles), 9))
    for kind, build in _BUILDERS.items():
        rows = np.flatnonzero(vehicles.kind == kind)
        if len(rows):
            shop, v = Workshop(len(rows)), vehicles.take(rows)
            axles = build(shop, v)
            angles = pose.phase[rows], pose.head_yaw[rows]
            panels[rows] = _wheels(shop, v, axles, *angles)
            shops.append((rows, shop))
    footprint = np.stack([vehicles.width, vehicles.length], axis=1) * 0.5
    return pack(shops, panels, footprint)


@dataclass
class _Axles:
    """Where the wheels go, and what else is drawn on the paint around them."""

    radius: Value
    front: Value  # z of the axles
    rear: Value
    seams: tuple[Value, Value, Value]  # z of the gaps between doors; beyond the vehicle: none
    belt: Value  # gaps end here
    trim: Value = 0.0  # below this the body is black
    arches: bool = True


def _both(half: Value) -> Pair:
    return -half, half


def _wheels(shop: Workshop, v: Vehicles, axles: _Axles, turn: Array, yaw: Array) -> Array:
    """Four wheels; returns (n, 9) what `livery.panel_lines` draws on the paint."""
    r, half, bulge = axles.radius, 0.5 * v.width, 0.04
    spoke = vector(0.0, np.sin(turn), np.cos(turn))
    for z, steer in ((axles.front, 0.5 * yaw), (axles.rear, np.zeros_like(yaw))):
        across = vector(np.cos(steer), 0.0, -np.sin(steer))
        for side in (1.0, -1.0):
            middle = vector(side * (half - 0.10), r, z)
            reach = across * (side * 0.105)
            # Squashed far more across than along its axis, a capsule is a disc with a domed face.
            shop.bar(
                WHEELS, TYRE, (middle - reach, middle + reach), bulge,
                squash=(r / bulge, r / bulge), forward=spoke, hull=(0.1, r, r),
            )  # fmt: skip
    arch = r * 1.16 if axles.arches else 0.0
    return np.stack(
        np.broadcast_arrays(
            axles.front, axles.rear, r, arch, *axles.seams, axles.belt, axles.trim + 0.0 * half
        ),
        axis=1,
    )


# --- pieces that several kinds share --------------------------------------------------------------


def _cabin(
    shop: Workshop, halves: tuple[Value, Value], y: Pair, front: Pair, rear: Pair
) -> None:  # fmt: skip
    """A pyramid of glass without its tip: four leaning boxes, one to each edge, that overlap.

    Args:
        shop: where it goes.
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
        shop.box(WINDOWS, GLASS, x, y, (front[0] - along, front[0]),
                 lean=(-side * inward, front[1] - front[0]))  # fmt: skip
        shop.box(WINDOWS, GLASS, x, y, (rear[0], rear[0] + along),
                 lean=(-side * inward, rear[1] - rear[0]))  # fmt: skip


def _pillars(
    shop: Workshop, halves: tuple[Value, Value], y: Pair, front: Pair, rear: Pair
) -> None:  # fmt: skip
    """Painted edges of the cabin and a crowned roof between two rails; arguments as for `_cabin`."""
    for z in (front, rear):
        one, other = vector(halves[0], y[0], z[0]), vector(halves[1], y[1], z[1])
        shop.pair(BODY, PAINT, one, other, 0.042)
    _roof(shop, halves[1], y[1], rear[1], front[1])


def _roof(shop: Workshop, half: Value, y: Value, rear: Value, front: Value) -> None:
    shop.pair(BODY, ROOF, vector(half, y, rear), vector(half, y, front), 0.05)
    ends = vector(0.0, y, rear), vector(0.0, y, front)
    shop.bar(BODY, ROOF, ends, 0.07, squash=(half / 0.07 * 1.02, 1.0), forward=_UP)


_UP = np.array([0.0, 1.0, 0.0])


def _bumper(shop: Workshop, half: Value, y: Value, z: Value, size: Pair) -> None:
    """A rounded end: a bar across, `size` = (half height, depth) in front of `z` or behind it."""
    high, deep = size
    end = half - high
    shop.bar(BODY, PAINT, (vector(-end, y, z), vector(end, y, z)), high,
             squash=(1.0, np.abs(deep) / high), forward=_FORWARD)  # fmt: skip


_FORWARD = np.array([0.0, 0.0, 1.0])


def _plates(shop: Workshop, front: Pair, rear: Pair, size: Value = 0.26) -> None:
    """Number plates at (y, z) before and behind."""
    for (y, z), way in ((front, 1.0), (rear, -1.0)):
        shop.box(PLATES, PLATE, _both(size), (y - 0.07, y + 0.07),
                 (z - 0.05, z + 0.012) if way > 0 else (z - 0.012, z + 0.05))  # fmt: skip


def _ticket(shop: Workshop, v: Vehicles, half: Value, y: Pair, front: Pair) -> None:
    """A slip behind the windscreen, in its plane."""
    size, across = v.ticket_place[:, 1], v.ticket_place[:, 0] * 0.8 * half
    rise = (front[1] - front[0]) / (y[1] - y[0])  # of z with y
    low = y[0] + 0.62 * (y[1] - y[0])
    z = front[0] + rise * (low - y[0]) + 0.006
    shop.box(ACCESSORY, TICKET, (across - size, across + size), (low, low + size),
             (z - 0.03, z + 0.006), lean=(0.0, rise * size), present=v.ticket)  # fmt: skip


def _sticker(shop: Workshop, v: Vehicles, along: Pair, up: Pair, half: Value) -> None:
    """A label on one side, somewhere between two values along and up."""
    side, size = v.sticker_place[:, 0], v.sticker_place[:, 3]
    z = along[0] + v.sticker_place[:, 1] * (along[1] - along[0])
    y = up[0] + v.sticker_place[:, 2] * (up[1] - up[0])
    inner, outer = side * (half - 0.05), side * (half + 0.010)
    shop.box(ACCESSORY, STICKER, (np.minimum(inner, outer), np.maximum(inner, outer)),
             (y - 0.55 * size, y + 0.55 * size), (z - size, z + size), present=v.sticker)  # fmt: skip


def _roof_load(shop: Workshop, v: Vehicles, half: Value, y: Value, rear: Value,
               front: Value) -> None:  # fmt: skip
    """A rack of two rails and two bars, a box, or a lit sign, on the roof at height `y`."""
    rack, box, sign = (v.roof_load == i for i in (1, 2, 3))
    span = front - rear
    low, high = rear + 0.1 * span, front - 0.1 * span
    shop.pair(ACCESSORY, LOAD, vector(half * 0.92, y + 0.06, low),
              vector(half * 0.92, y + 0.06, high), 0.032, present=rack)  # fmt: skip
    for z in (low + 0.15 * span, high - 0.15 * span):
        ends = vector(-half * 0.92, y + 0.10, z), vector(half * 0.92, y + 0.10, z)
        shop.bar(ACCESSORY, LOAD, ends, 0.028, present=rack)
    chest = vector(0.0, y + 0.14, low + 0.25 * span), vector(0.0, y + 0.14, high - 0.15 * span)
    shop.bar(ACCESSORY, LOAD, chest, 0.17, squash=(half * 0.6 / 0.17, 1.0), forward=_UP, present=box)
    z = front - 0.25 * span
    lamp = vector(-0.2 * half, y + 0.1, z), vector(0.2 * half, y + 0.1, z)
    shop.bar(ACCESSORY, LAMP, lamp, 0.09, present=sign)


def _mirrors(shop: Workshop, half: Value, y: Value, z: Value, size: Pair = (0.09, 0.07)) -> None:
    one = vector(half + 0.07, y - size[0] + size[1], z)
    other = vector(half + 0.07, y + size[0] - size[1], z)
    shop.pair(BODY, TRIM, one, other, size[1], squash=(1.25, 0.8))


def _lamps(shop: Workshop, head: tuple[Value, Value, Value], tail: tuple[Value, Value, Value],
           v: Vehicles, scale: float = 1.0) -> None:  # fmt: skip
    """Lamps at (x, y, z) on both sides, white before and red behind; their shape is the car's."""
    wide, high = (0.16 - 0.05 * v.lamp) * scale, (0.075 + 0.03 * v.lamp) * scale
    one = vector(head[0] - wide, head[1], head[2] + 0.06)
    other = vector(head[0] + 0.4 * wide, head[1] + 0.02, head[2] - 0.06)
    shop.pair(LIGHTS, LAMP, one, other, high, squash=(1.0, 0.9))
    tall = v.tail > 0
    wide, high = np.where(tall, 0.02, 0.14) * scale, np.where(tall, 0.14, 0.01) * scale
    one = vector(tail[0] - wide, tail[1] - high, tail[2] - 0.03)
    other = vector(tail[0] + 0.02, tail[1] + high, tail[2] + 0.02)
    shop.pair(LIGHTS, TAIL, one, other, (0.075 + 0.015 * v.tail) * scale)


def _tub(shop: Workshop, w: Value, y: tuple[Value, Value, Value], z: tuple[Value, Value, Value],
         nose: Value) -> None:  # fmt: skip
    """The lower body of a car: sides, rounded shoulders and a bonnet that slopes to the nose.

    Args:
        shop: where it goes.
        w: half width.
        y: of the sill, where the nose ends, and of the belt line.
        z: of the rear end, the foot of the windscreen and the front end.
        nose: how much lower the bonnet is at its front than the belt.
    """
    (sill, low, belt), (rear, foot, front) = y, z
    r = 0.075
    shop.box(BODY, PAINT, _both(w), (sill, low), (rear + 0.16, front - 0.22))
    shop.box(BODY, PAINT, _both(w), (low - 0.05, belt - r), (rear + 0.14, foot + 0.06))
    shop.box(BODY, PAINT, _both(w - r), (belt - 0.2, belt), (rear + 0.16, foot + 0.06))
    shop.pair(BODY, PAINT, vector(w - r, belt - r, rear + 0.14), vector(w - r, belt - r, foot), r)
    tip = vector(w - 0.11, belt - r - nose, front - 0.22)
    shop.pair(BODY, PAINT, vector(w - r, belt - r, foot), tip, r)
    middle, thick = belt - r - 0.5 * nose, 0.34
    shop.box(BODY, PAINT, _both(w - 0.01), (middle - thick, middle), (foot, front - 0.22),
             slope=-nose)  # fmt: skip
    crown = vector(0.0, belt - r + 0.01, foot), vector(0.0, belt - r - nose + 0.01, front - 0.24)
    shop.bar(BODY, PAINT, crown, 0.09, squash=((w - 0.05) / 0.09, 1.0), forward=_UP)


# --- the kinds ------------------------------------------------------------------------------------


def _car(shop: Workshop, v: Vehicles) -> _Axles:
    """A saloon, or with its roof drawn to the rear an estate."""
    w, l, h = 0.5 * v.width, 0.5 * v.length, v.height
    estate = v.kind == ESTATE
    belt, sill = 0.635 * h, 0.20
    foot = l - 1.32 - 0.14 * v.bonnet  # of the windscreen
    nose = 0.15 + 0.03 * v.bonnet
    _tub(shop, w, (sill, 0.60, belt), (-l, foot, l), nose)
    _bumper(shop, w, 0.46, l - 0.24, (0.255, 0.24))
    _bumper(shop, w, 0.56, -l + 0.17, (0.32, 0.17))
    rake = 0.72 + 0.12 * v.cabin
    front = foot, foot - rake
    rear = (
        np.where(estate, -l + 0.10, -l + 0.62 - 0.1 * v.cabin),
        np.where(estate, -l + 0.42 + 0.12 * v.cabin, -l + 1.22),
    )
    halves, y = (w - 0.07, w - 0.235), (belt - 0.02, h - 0.06)
    _cabin(shop, halves, y, front, rear)
    _pillars(shop, halves, y, front, rear)
    _lamps(shop, (w - 0.26, 0.63, l - 0.15), (w - 0.13, belt - 0.18, -l + 0.06), v)
    high = 0.06 + 0.025 * v.grille
    shop.box(BODY, CHROME, _both(0.36 + 0.1 * v.grille), (0.58 - high, 0.58 + high),
             (l - 0.2, l - 0.015))  # fmt: skip
    _plates(shop, (0.40, l + 0.004), (0.62 + 0.1 * v.plate_place, -l - 0.004))
    _mirrors(shop, w, belt + 0.09, foot - 0.28)
    shop.box(BODY, PAINT, _both(w - 0.16), (belt + 0.05, belt + 0.085),
             (-l + 0.02, -l + 0.2), present=v.spoiler & ~estate)  # fmt: skip
    _ticket(shop, v, halves[1], y, front)
    _sticker(shop, v, (-0.8, foot - 0.4), (0.45, 0.68), w)
    _roof_load(shop, v, halves[1], h, rear[1], front[1])
    door = 0.5 * (front[1] + rear[1]) + 0.2
    return _Axles(0.325, l - 0.86, -l + 0.92, (foot - 0.12, door, door - 1.02), belt - 0.03, 0.30)


def _van(shop: Workshop, v: Vehicles) -> _Axles:
    """A tall box behind a short sloping face; a minibus when it has windows all around."""
    w, l, h = 0.5 * v.width, 0.5 * v.length, v.height
    belt, r, foot = 0.52 * h, 0.12, l - 0.78 - 0.1 * v.bonnet
    front, back = (foot, foot - 0.62 - 0.1 * v.cabin), foot - 1.25
    _tub(shop, w, (0.24, 0.66, belt), (-l - 0.1, foot, l), 0.26)
    shop.box(BODY, PAINT, _both(w), (belt - 0.1, h - r), (-l, back))
    shop.box(BODY, PAINT, _both(w - r), (h - 0.4, h), (-l + 0.02, front[1] - 0.02))
    shop.pair(BODY, PAINT, vector(w - r, h - r, -l + r), vector(w - r, h - r, front[1] - r), r)
    _bumper(shop, w, 0.48, l - 0.24, (0.25, 0.24))
    y, halves = (belt - 0.02, h - 0.12), (w - 0.03, w - 0.12)
    _cabin(shop, halves, y, front, (back, back))
    shop.pair(BODY, PAINT, vector(halves[0], y[0], front[0]), vector(halves[1], y[1], front[1]), 0.045)
    side = belt + 0.1, h - 0.42
    shop.box(WINDOWS, GLASS, _both(w + 0.006), side, (-l + 0.35, back - 0.1), present=v.glazed)
    for x in ((0.06, w - 0.22), (-w + 0.22, -0.06)):
        shop.box(WINDOWS, GLASS, x, (belt + 0.08, h - 0.4), (-l - 0.008, -l + 0.1))
    _lamps(shop, (w - 0.2, 0.80, l - 0.17), (w - 0.07, 1.05, -l + 0.0), v, 1.1)
    shop.box(BODY, CHROME, _both(0.42), (0.60, 0.72), (l - 0.2, l - 0.03))
    _plates(shop, (0.44, l + 0.004), (0.62 + 0.12 * v.plate_place, -l - 0.06))
    shop.box(BODY, TRIM, _both(w - 0.02), (0.34, 0.5), (-l - 0.06, -l + 0.1))
    _mirrors(shop, w, belt + 0.16, foot - 0.3, (0.17, 0.08))
    _ticket(shop, v, halves[1], y, front)
    _sticker(shop, v, (-l + 0.6, back - 0.4), (0.7, h - 0.6), w)
    _roof_load(shop, v, w - r, h, -l + 0.3, front[1] - 0.1)
    return _Axles(0.35, l - 0.95, -l + 1.05, (foot - 0.3, back - 0.02, back - 1.25), belt - 0.05, 0.36)


def _pickup(shop: Workshop, v: Vehicles) -> _Axles:
    """A car's front and an open bed."""
    w, l, h = 0.5 * v.width, 0.5 * v.length, v.height
    belt, sill, foot = 0.60 * h, 0.34, l - 1.40 - 0.1 * v.bonnet
    front, rear = (foot, foot - 0.52), (foot - 1.72 - 0.12 * v.cabin, foot - 1.60)
    _tub(shop, w, (sill, 0.72, belt), (rear[0] - 0.25, foot, l), 0.10)
    _bumper(shop, w, 0.60, l - 0.24, (0.25, 0.24))
    halves, y = (w - 0.07, w - 0.2), (belt - 0.02, h - 0.06)
    _cabin(shop, halves, y, front, rear)
    _pillars(shop, halves, y, front, rear)
    bed = -l + 0.02, rear[0] - 0.1
    for x in ((w - 0.09, w), (-w, -w + 0.09)):
        shop.box(BODY, PAINT, x, (sill + 0.06, belt), bed)
    shop.box(BODY, PAINT, _both(w), (sill + 0.16, belt), (-l, -l + 0.08))
    shop.box(BODY, TRIM, _both(w - 0.08), (sill + 0.08, 0.76 + 0.2 * v.glazed), (-l + 0.05, rear[0]))
    shop.box(BODY, TRIM, _both(w - 0.04), (sill + 0.02, sill + 0.18), (-l - 0.08, -l + 0.1))
    _lamps(shop, (w - 0.24, 0.80, l - 0.15), (w - 0.08, belt - 0.2, -l + 0.03), v, 1.1)
    shop.box(BODY, CHROME, _both(0.44 + 0.1 * v.grille), (0.62, 0.80), (l - 0.2, l - 0.02))
    _plates(shop, (0.50, l + 0.004), (0.60 + 0.1 * v.plate_place, -l - 0.085))
    _mirrors(shop, w, belt + 0.1, foot - 0.25, (0.11, 0.08))
    _ticket(shop, v, halves[1], y, front)
    _sticker(shop, v, (-l + 0.5, foot - 0.5), (0.62, 0.9), w)
    _roof_load(shop, v, halves[1], h, rear[1], front[1])
    door = rear[0] + 0.75
    return _Axles(0.385, l - 0.92, -l + 1.12, (foot - 0.1, door, rear[0] - 0.06), belt - 0.03, 0.46)


def _bus(shop: Workshop, v: Vehicles) -> _Axles:
    """A long box, half of it glass."""
    w, l, h = 0.5 * v.width, 0.5 * v.length, v.height
    waist, top, r = 0.40 * h - 0.08 * v.cabin, 0.79 * h, 0.20
    shop.box(BODY, PAINT, _both(w), (0.32, waist), (-l + 0.02, l - 0.12))
    shop.box(WINDOWS, GLASS, _both(w - 0.012), (waist, top), (-l + 0.1, l - 0.1))
    shop.box(BODY, PAINT, _both(w), (top, h - r), (-l + 0.02, l - 0.12))
    shop.box(BODY, ROOF, _both(w - r), (h - 0.4, h), (-l + 0.05, l - 0.15))
    shop.pair(BODY, ROOF, vector(w - r, h - r, -l + r), vector(w - r, h - r, l - r - 0.1), r)
    for z in (l - 0.14, -l + 0.13):
        shop.pair(BODY, PAINT, vector(w - 0.14, 0.46, z), vector(w - 0.14, h - 0.2, z), 0.14)
    shop.box(BODY, PAINT, _both(w - 0.14), (0.32, 0.36 * h), (l - 0.3, l))
    shop.box(WINDOWS, GLASS, _both(w - 0.14), (0.36 * h, top + 0.05), (l - 0.3, l - 0.01))
    shop.box(BODY, PAINT, _both(w - 0.14), (top + 0.05, h - 0.06), (l - 0.3, l - 0.02))
    shop.box(BODY, PAINT, _both(w - 0.14), (0.32, h - 0.06), (-l, -l + 0.3))
    shop.box(WINDOWS, GLASS, _both(w - 0.3), (waist + 0.3, top), (-l - 0.01, -l + 0.2))
    shop.box(BODY, TRIM, _both(w - 0.4), (0.62, waist - 0.1), (-l - 0.01, -l + 0.2))
    for z in (l - 2.0, -0.3 + 0.6 * v.bonnet):  # doors, on the right
        shop.box(WINDOWS, GLASS, (-w - 0.01, -w + 0.2), (0.46, top), (z, z + 1.1))
    shop.box(BODY, CHROME, _both(0.5 + 0.2 * v.grille), (0.52, 0.66), (l - 0.2, l + 0.008))
    _lamps(shop, (w - 0.24, 0.74, l - 0.03), (w - 0.14, 0.95, -l + 0.02), v, 1.3)
    _plates(shop, (0.44, l + 0.004), (0.50 + 0.06 * v.plate_place, -l - 0.004))
    _mirrors(shop, w, 0.72 * h, l + 0.06, (0.24, 0.09))
    front = l - 0.01, l - 0.01
    _ticket(shop, v, w - 0.2, (0.36 * h, top), front)
    _sticker(shop, v, (-l + 2.2, l - 3.6), (0.75, waist - 0.15), w)
    _roof_load(shop, v, w - 0.45, h, -0.5 * l, 0.1 * l)
    return _Axles(0.48, l - 2.75, -l + 3.0, (99.0, 99.0, -l + 1.6), waist, 0.40)


def _lorry(shop: Workshop, v: Vehicles) -> _Axles:
    """A cab, and behind it a box or an open platform."""
    w, l, h = 0.5 * v.width, 0.5 * v.length, v.height
    back, roof = l - 1.85, np.minimum(2.62 + 0.12 * v.cabin, h - 0.1)
    shop.box(BODY, TRIM, _both(w - 0.3), (0.52, 0.98), (-l + 0.1, l - 0.5))
    shop.box(BODY, PAINT, _both(w), (0.5, 1.5), (back, l - 0.13))
    shop.box(BODY, PAINT, _both(w - 0.13), (0.45, 1.5), (l - 0.4, l))
    shop.pair(BODY, PAINT, vector(w - 0.13, 0.6, l - 0.13), vector(w - 0.13, 1.4, l - 0.13), 0.13)
    shop.box(BODY, PAINT, _both(w - 0.02), (1.4, roof), (back, back + 0.5))
    halves, y, front = (w - 0.03, w - 0.1), (1.48, roof - 0.06), (l - 0.06, l - 0.26)
    _cabin(shop, halves, y, front, (back + 0.2, back + 0.2))
    shop.pair(BODY, PAINT, vector(halves[0], y[0], front[0]), vector(halves[1], y[1], front[1]), 0.05)
    _roof(shop, halves[1], roof - 0.06, back + 0.05, front[1])
    high = np.where(v.glazed, 1.62, h)
    shop.box(BODY, CARGO, _both(w + 0.02), (1.0, high), (-l, back - 0.12))
    shop.box(BODY, TRIM, _both(w - 0.12), (1.2, high + 0.008), (-l + 0.1, back - 0.2),
             present=v.glazed)  # fmt: skip
    shop.box(BODY, TRIM, (-0.02, 0.02), (1.05, high - 0.05), (-l - 0.012, -l + 0.1))
    shop.box(BODY, TRIM, _both(w - 0.04), (0.56, 0.78), (-l + 1.9, back - 0.9))  # guard
    shop.box(BODY, TRIM, _both(w - 0.1), (0.52, 0.68), (-l - 0.01, -l + 0.1))
    _lamps(shop, (w - 0.26, 0.74, l - 0.04), (w - 0.2, 0.86, -l + 0.05), v, 1.2)
    shop.box(BODY, CHROME, _both(0.62 + 0.2 * v.grille), (0.95, 1.28), (l - 0.2, l + 0.008))
    _plates(shop, (0.58, l + 0.004), (0.80 + 0.03 * v.plate_place, -l - 0.004))
    _mirrors(shop, w, 1.95, l - 0.3, (0.3, 0.09))
    _ticket(shop, v, halves[1], y, front)
    _sticker(shop, v, (-l + 0.6, back - 0.8), (1.2, high - 0.25), w + 0.02)
    _roof_load(shop, v, halves[1], roof, back + 0.1, front[1])
    return _Axles(0.48, l - 1.05, -l + 1.55, (back + 0.3, 99.0, 99.0), 1.5, 0.0)


_BUILDERS: dict[int, Callable[[Workshop, Vehicles], _Axles]] = {
    SALOON: _car, ESTATE: _car, VAN: _van, PICKUP: _pickup, BUS: _bus, LORRY: _lorry,
}  # fmt: skip
