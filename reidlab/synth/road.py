"""Vehicles instead of people: the same cameras further off, over a road, and room for a length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reidlab.synth.cameras import Cameras
from reidlab.synth.draws import ROAD, Draws
from reidlab.synth.shots import Shots, in_sight
from reidlab.synth.subject import linear
from reidlab.synth.vectors import cos, sin
from reidlab.synth.vehicles import ENGINE, PAINT, PLAIN, ROOF, Vehicles

_LONGEST = 12.0  # m: what is behind a scene has to leave room for such a bus
LAMP = 1.5  # times the reach of an infrared camera's lamp: half a vehicle stands further off
_ASPHALT = np.array([(84, 84, 88), (104, 103, 102), (122, 118, 112), (96, 100, 108)], dtype=float)
_LINES = np.array([(206, 204, 198), (150, 148, 144), (196, 176, 110)], dtype=float)


def road_cameras(cameras: Cameras, seed: int) -> Cameras:
    """The cameras of a world of people, moved to where they watch a road.

    They hang higher and further away; what stands behind the walking area moves behind the longest
    vehicle; a street lamp stands in the middle and lights more; the floor is asphalt.
    """
    d = Draws(seed, ROAD, [(camid,) for camid in range(len(cameras))], 20)
    near = cameras.near * 1.1 + 2.5
    push = near[:, 1] - cameras.near[:, 1] + 1.5 * _LONGEST
    centre = cameras.box_centre * np.array([1.8, 1.5, 1.0])
    centre[..., 2] += push[:, None]
    pool = cameras.pool * np.array([1.5, 1.0, 2.5, 1.0])
    pool[:, 1] += near[:, 1] - cameras.near[:, 1] + 0.25 * _LONGEST
    asphalt = _ASPHALT[d.choice(np.ones(len(_ASPHALT)))] * d.uniform(0.8, 1.2)[:, None]
    lanes, lines = d.chance(0.5), _LINES[d.choice((2.0, 2.0, 1.0))]
    patched = np.where(d.chance(0.5), 3, 0)
    second = np.where(lanes[:, None], lines, asphalt * d.uniform(0.8, 1.25)[:, None])
    return replace(
        cameras,
        near=near,
        height=cameras.height * 1.7 - 0.6,
        side=cameras.side * 1.5,
        backdrop=cameras.backdrop + push,
        box_centre=centre,
        box_half=cameras.box_half * 1.5,
        pool=pool,
        floor_kind=np.where(lanes, 2, patched),
        floor_colour=linear(np.stack([asphalt, second], axis=1)),
        floor_scale=d.uniform(0.9, 1.5),
    )


def vehicle_shots(vehicles: Vehicles, cameras: Cameras, shots: Shots) -> Shots:
    """Shots of people made fit for vehicles: further off by their length, occluders before them.

    Nobody walks on a road: the thing that a passer-by stands in for is there.
    """
    length, width = vehicles.length, vehicles.width
    span = cameras.near[:, 1] - cameras.near[:, 0]
    c, s = np.abs(cos(shots.azimuth)), np.abs(sin(shots.azimuth))
    ahead, across = 0.5 * (length * c + width * s), 0.5 * (length * s + width * c)
    present, aside, wide, high, before = np.moveaxis(shots.occluder, 2, 0)
    present[:, 0] = np.maximum(present[:, 0], shots.passer)
    distance = shots.distance + 0.9 * length / span
    depth = cameras.near[:, 0] + distance * span
    occluder = np.stack([
        present, aside * across[:, None] * 1.6, wide * 2.0, high * 1.5, before + ahead[:, None],
    ], axis=2)  # fmt: skip
    return replace(
        shots,
        distance=distance,
        occluder=in_sight(occluder, cameras.height, depth),
        passer=np.zeros_like(shots.passer),
    )


# How far before the middle, as a share of half the length, the engine begins, and at which end it
# is, in the order of KINDS.
_ENGINE = np.array([(0.42, 1), (0.42, 1), (0.68, 1), (0.42, 1), (0.72, -1), (0.55, 1)])


def warm_engines(vehicles: Vehicles, cameras: Cameras) -> Vehicles:
    """The vehicles of N images as their cameras see them: to a thermal one engines are warm."""
    pattern, offset, rows = vehicles.pattern.copy(), vehicles.offset.copy(), cameras.thermal
    pattern[rows, PAINT], pattern[rows, ROOF] = ENGINE, PLAIN
    begins, end = _ENGINE[vehicles.kind[rows]].T
    offset[rows, PAINT] = np.stack([0.5 * begins * vehicles.length[rows], end], axis=1)
    return replace(vehicles, pattern=pattern, offset=offset)
