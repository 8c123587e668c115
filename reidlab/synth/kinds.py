"""The six kinds of vehicle, built from boxes and round cones; all measures in metres are ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reidlab.synth.body import Pose, Primitives
from reidlab.synth.coachwork import BODY, pack
from reidlab.synth.draws import Array
from reidlab.synth.fittings import NOWHERE, Fittings, Panels
from reidlab.synth.subject import Index
from reidlab.synth.vectors import vector
from reidlab.synth.vehicles import KINDS, Vehicles


def assemble(vehicles: Vehicles, pose: Pose) -> Primitives:
    """Place every primitive of every vehicle in its own frame.

    Of a pose a vehicle takes two angles: `phase` turns the wheels, `head_yaw` steers the front
    ones. The others belong to limbs.
    """
    builders: list[tuple[Index, Fittings]] = []
    panels = np.zeros((len(vehicles), 12))
    for kind, build in _BUILDERS.items():
        rows = np.flatnonzero(vehicles.kind == KINDS.index(kind))
        if len(rows):
            add, v = Fittings(len(rows)), vehicles.take(rows)
            drawn = build(add, v)
            panels[rows] = add.wheels(v, drawn, pose.phase[rows], pose.head_yaw[rows])
            builders.append((rows, add))
    footprint = np.stack([vehicles.width, vehicles.length], axis=1) * 0.5
    return pack(builders, panels, footprint)


def _measures(v: Vehicles) -> tuple[Array, Array, Array]:
    """Half the width, where the body ends before and behind, and the height, m."""
    return 0.5 * v.width, 0.5 * v.length, v.height


def _car(add: Fittings, v: Vehicles) -> Panels:
    """A saloon, or with its roof drawn to the rear an estate."""
    w, e, h = _measures(v)
    estate = v.kind == KINDS.index("estate")
    belt, sill = 0.635 * h, 0.20
    foot = e - 1.32 - 0.14 * v.bonnet  # of the windscreen
    nose = 0.15 + 0.03 * v.bonnet
    add.tub(w, (sill, 0.60, belt), (-e, foot, e), nose)
    add.bumper(w, 0.46, e - 0.24, (0.255, 0.24))
    add.bumper(w, 0.56, -e + 0.17, (0.32, 0.17))
    rake = 0.72 + 0.12 * v.cabin
    front = foot, foot - rake
    rear = (
        np.where(estate, -e + 0.10, -e + 0.62 - 0.1 * v.cabin),
        np.where(estate, -e + 0.42 + 0.12 * v.cabin, -e + 1.22),
    )
    halves, y = (w - 0.07, w - 0.235), (belt - 0.02, h - 0.06)
    add.cabin(halves, y, front, rear)
    add.pillars(halves, y, front, rear)
    add.lamps((w - 0.26, 0.60, e - 0.09), (w - 0.13, belt - 0.20, -e + 0.085), v)
    high = 0.06 + 0.025 * v.grille
    add.box("chrome", 0.36 + 0.1 * v.grille, (0.58 - high, 0.58 + high), (e - 0.2, e - 0.015))
    add.plates((0.40, e + 0.004), (0.62 + 0.1 * v.plate_place, -e - 0.004))
    add.mirrors(w, belt + 0.09, foot - 0.28)
    add.box("paint", w - 0.16, (belt + 0.05, belt + 0.085),
             (-e + 0.02, -e + 0.2), present=v.spoiler & ~estate)  # fmt: skip
    add.ticket(v, halves[1], y, front)
    add.sticker(v, (-0.8, foot - 0.4), (0.45, 0.68), w)
    add.roof_load(v, halves[1], h, rear[1], front[1])
    door = 0.5 * (front[1] + rear[1]) + 0.2
    return Panels(0.325, e - 0.86, -e + 0.92, (foot - 0.12, door, door - 1.02), belt - 0.03, 0.30,
                  (door, rear[1], 1.02))  # fmt: skip


def _van(add: Fittings, v: Vehicles) -> Panels:
    """A tall box behind a short sloping face; a minibus when it has windows all around."""
    w, e, h = _measures(v)
    belt, r, foot = 0.52 * h, 0.12, e - 0.78 - 0.1 * v.bonnet
    front, back = (foot, foot - 0.62 - 0.1 * v.cabin), foot - 1.25
    add.tub(w, (0.24, 0.66, belt), (-e - 0.1, foot, e), 0.26)
    add.box("paint", w, (belt - 0.1, h - r), (-e, back))
    add.box("paint", w - r, (h - 0.4, h), (-e, front[1] - 0.02))
    add.pair("paint", vector(w - r, h - r, -e + r), vector(w - r, h - r, front[1] - r), r)
    add.bumper(w, 0.48, e - 0.24, (0.25, 0.24))
    y, halves = (belt - 0.02, h - 0.12), (w - 0.03, w - 0.12)
    add.cabin(halves, y, front, (back, back))
    add.post(halves, y, front, 0.045)
    side = belt + 0.1, h - 0.42
    add.box("glass", w + 0.006, side, (-e + 0.35, back - 0.1), present=v.glazed)
    for x in ((0.06, w - 0.22), (-w + 0.22, -0.06)):
        add.box("glass", x, (belt + 0.08, h - 0.4), (-e - 0.008, -e + 0.1))
    add.lamps((w - 0.24, 0.64, e - 0.10), (w - 0.08, 1.05, -e + 0.03), v, 1.1)
    add.box("chrome", 0.42, (0.60, 0.72), (e - 0.2, e - 0.03))
    add.plates((0.44, e + 0.004), (0.62 + 0.12 * v.plate_place, -e - 0.06))
    add.box("trim", w - 0.02, (0.34, 0.5), (-e - 0.06, -e + 0.1))
    add.mirrors(w, belt + 0.16, foot - 0.3, 0.09)
    add.ticket(v, halves[1], y, front)
    add.sticker(v, (-e + 0.6, back - 0.4), (0.7, h - 0.6), w)
    add.roof_load(v, w - r, h, -e + 0.3, front[1] - 0.1)
    gaps = foot - 0.3, back - 0.02, back - 1.25
    return Panels(0.35, e - 0.95, -e + 1.05, gaps, belt - 0.05, 0.36, (back - 0.9, -e + 0.5, 0.85))


def _pickup(add: Fittings, v: Vehicles) -> Panels:
    """A car's front and an open bed."""
    w, e, h = _measures(v)
    belt, sill, foot = 0.60 * h, 0.34, e - 1.40 - 0.1 * v.bonnet
    front, rear = (foot, foot - 0.52), (foot - 1.72 - 0.12 * v.cabin, foot - 1.60)
    add.tub(w, (sill, 0.72, belt), (rear[0] - 0.25, foot, e), 0.10)
    add.bumper(w, 0.60, e - 0.24, (0.25, 0.24))
    halves, y = (w - 0.07, w - 0.2), (belt - 0.02, h - 0.06)
    add.cabin(halves, y, front, rear)
    add.pillars(halves, y, front, rear)
    bed = -e + 0.02, rear[0] - 0.1
    for x in ((w - 0.09, w), (-w, -w + 0.09)):
        add.box("paint", x, (sill + 0.06, belt), bed)
    add.box("paint", w, (sill + 0.16, belt), (-e, -e + 0.08))
    add.box("trim", w - 0.08, (sill + 0.08, 0.80 + 0.2 * v.glazed), (-e + 0.05, rear[0]))
    add.box("trim", w - 0.04, (sill + 0.02, sill + 0.18), (-e - 0.08, -e + 0.1))
    add.lamps((w - 0.24, 0.74, e - 0.10), (w - 0.09, belt - 0.2, -e + 0.045), v, 1.1)
    add.box("chrome", 0.44 + 0.1 * v.grille, (0.62, 0.80), (e - 0.2, e - 0.02))
    add.plates((0.50, e + 0.004), (0.60 + 0.1 * v.plate_place, -e - 0.085))
    add.mirrors(w, belt + 0.1, foot - 0.25)
    add.ticket(v, halves[1], y, front)
    add.sticker(v, (-e + 0.5, foot - 0.5), (0.62, 0.9), w)
    add.roof_load(v, halves[1], h, rear[1], front[1])
    door = rear[0] + 0.75
    gaps = foot - 0.1, door, rear[0] - 0.06
    return Panels(0.385, e - 0.92, -e + 1.12, gaps, belt - 0.03, 0.46, (door, door, 1.0))


def _bus(add: Fittings, v: Vehicles) -> Panels:
    """A long box, half of it glass."""
    w, e, h = _measures(v)
    waist, top, r = 0.40 * h - 0.08 * v.cabin, 0.79 * h, 0.20
    add.box("paint", w, (0.32, waist), (-e + 0.02, e - 0.12))
    add.box("glass", w + 0.004, (waist, top), (-e + 0.25, e - 0.25))
    add.box("paint", w, (top, h - r), (-e + 0.02, e - 0.12))
    add.box("roof", w - r, (h - 0.4, h), (-e, e))
    add.pair("roof", vector(w - r, h - r, -e + r), vector(w - r, h - r, e - r - 0.1), r)
    for z in (e - 0.14, -e + 0.13):
        add.pair("paint", vector(w - 0.14, 0.46, z), vector(w - 0.14, h - 0.2, z), 0.14)
    add.box("paint", w - 0.14, (0.32, 0.36 * h), (e - 0.3, e))
    add.box("glass", w - 0.14, (0.36 * h, top + 0.05), (e - 0.3, e + 0.004))
    add.box("paint", w - 0.14, (0.36 * h, h - r), (e - 0.3, e))
    add.box("paint", w - 0.14, (0.32, h - r), (-e, -e + 0.3))
    add.box("glass", w - 0.3, (waist + 0.3, top), (-e - 0.01, -e + 0.2))
    add.box("trim", w - 0.4, (0.62, waist - 0.1), (-e - 0.01, -e + 0.2))
    sign = top + 0.12, h - 0.16
    add.box("ticket", 0.6, sign, (e - 0.2, e + 0.012), part=BODY)
    for z in (e - 2.0, -0.3 + 0.6 * v.bonnet):  # doors, on the right
        add.box("glass", (-w - 0.01, -w + 0.2), (0.46, top), (z, z + 1.1))
    add.box("chrome", 0.5 + 0.2 * v.grille, (0.52, 0.66), (e - 0.2, e + 0.008))
    add.lamps((w - 0.24, 0.74, e - 0.03), (w - 0.14, 0.95, -e + 0.02), v, 1.3)
    add.plates((0.44, e + 0.004), (0.50 + 0.06 * v.plate_place, -e - 0.004))
    add.mirrors(w, 0.72 * h, e + 0.06, 0.16)
    front = e + 0.004, e + 0.004
    add.ticket(v, w - 0.2, (0.36 * h, top), front)
    add.sticker(v, (-e + 2.2, e - 3.6), (0.75, waist - 0.15), w)
    add.roof_load(v, w - 0.45, h, -0.5 * e, 0.1 * e)
    gaps = NOWHERE, NOWHERE, -e + 1.6
    return Panels(0.48, e - 2.75, -e + 3.0, gaps, waist, 0.40, (e - 0.9, -e + 0.5, 1.45))


def _lorry(add: Fittings, v: Vehicles) -> Panels:
    """A cab, and behind it a box or an open platform."""
    w, e, h = _measures(v)
    back, top = e - 1.85, np.minimum(2.62 + 0.12 * v.cabin, h - 0.1)
    add.box("trim", w - 0.3, (0.52, 0.98), (-e + 0.1, e - 0.5))
    add.box("paint", w, (0.5, 1.5), (back, e - 0.13))
    add.box("paint", w - 0.13, (0.45, 1.5), (e - 0.4, e))
    add.pair("paint", vector(w - 0.13, 0.6, e - 0.13), vector(w - 0.13, 1.4, e - 0.13), 0.13)
    add.box("paint", w - 0.02, (1.4, top), (back, back + 0.5))
    halves, y, front = (w - 0.03, w - 0.1), (1.48, top - 0.06), (e - 0.06, e - 0.26)
    add.cabin(halves, y, front, (back + 0.2, back + 0.2))
    add.post(halves, y, front, 0.05)
    add.roof(halves[1], top - 0.06, back + 0.05, front[1])
    high = np.where(v.glazed, 1.62, h)
    add.box("cargo", w + 0.02, (1.0, high), (-e, back - 0.12))
    add.box("trim", w - 0.12, (1.2, high + 0.008), (-e + 0.1, back - 0.2), present=v.glazed)
    add.box("trim", (-0.02, 0.02), (1.05, high - 0.05), (-e - 0.012, -e + 0.1))
    add.box("trim", w - 0.04, (0.56, 0.78), (-e + 1.9, back - 0.9))  # guard
    add.box("trim", w - 0.1, (0.52, 0.68), (-e - 0.01, -e + 0.1))
    add.lamps((w - 0.26, 0.74, e - 0.04), (w - 0.2, 0.86, -e + 0.05), v, 1.2)
    add.box("chrome", 0.62 + 0.2 * v.grille, (0.95, 1.28), (e - 0.2, e + 0.008))
    add.plates((0.58, e + 0.004), (0.80 + 0.03 * v.plate_place, -e - 0.004))
    add.mirrors(w, 1.95, e - 0.3, 0.22)
    add.ticket(v, halves[1], y, front)
    add.sticker(v, (-e + 0.6, back - 0.8), (1.2, high - 0.25), w + 0.02)
    add.roof_load(v, halves[1], top, back + 0.1, front[1])
    gaps = back + 0.3, NOWHERE, NOWHERE
    return Panels(0.48, e - 1.05, -e + 1.55, gaps, 1.5, 0.0, (NOWHERE, NOWHERE, 1.0))


_BUILDERS: dict[str, Callable[[Fittings, Vehicles], Panels]] = {
    "saloon": _car, "estate": _car, "van": _van, "pickup": _pickup, "bus": _bus, "lorry": _lorry,
}  # fmt: skip
