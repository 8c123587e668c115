"""Another person before or beside the one an image is about: the hardest thing to stand in the way.

A passer-by is somebody of the same world, in clothes of their own, but nobody's identity: their
numbers are beyond any that a data set uses. The mask calls all of them an occluder.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.body import OCCLUDER, Pose, Primitives
from reidlab.synth.draws import PASSER, Array, Draws, Keys
from reidlab.synth.people import MATERIALS, People
from reidlab.synth.shots import sample_poses
from reidlab.synth.subject import Flag

_FIRST = 1_000_000_000  # numbers of passers-by begin here
_NUMBERS = 1 << 30


@dataclass(frozen=True)
class Walks:
    """K passers-by of N images: whom, where and how."""

    rows: NDArray[np.int64]  # (K,) the images they are in
    pids: list[int]  # (K,)
    pose: Pose
    turn: Array  # (K,) rad, facing direction against that of the image's person
    aside: Array  # (K,) m to the right of the person, as the camera sees it
    ahead: Array  # (K,) m nearer to the camera than the person; below 0: farther


def sample_walks(seed: int, keys: Keys, present: Flag, *, pose: float) -> Walks:
    """Draw the passers-by of those images `keys` in which one is `present`."""
    rows = np.flatnonzero(present)
    d = Draws(seed, PASSER, [keys[row] for row in rows], 40)
    pids = [_FIRST + int(number) for number in d.uniform() * _NUMBERS]
    before, side = d.chance(0.7), np.where(d.chance(0.5), 1.0, -1.0)
    return Walks(
        rows=rows,
        pids=pids,
        pose=sample_poses(d, pose),
        turn=np.where(d.chance(0.5), d.around(0.0, 0.4), d.uniform(0.0, 2 * np.pi)),
        aside=np.where(before, d.around(0.0, 0.42), side * d.uniform(0.40, 0.56)),
        ahead=np.where(before, d.uniform(0.5, 1.1), d.uniform(-0.7, 0.3)),
    )


def join_materials(people: People, passers: People) -> People:
    """K people with the materials of K passers-by behind their own."""
    joined = {}
    for f in fields(People):
        own = getattr(people, f.name)
        if own.ndim >= 2 and own.shape[1] == len(MATERIALS):
            joined[f.name] = np.concatenate([own, getattr(passers, f.name)], axis=1)
    return replace(people, **joined)


def join_primitives(people: Primitives, passers: Primitives) -> Primitives:
    """The primitives of K people with those of K passers-by behind their own."""
    passers.material = passers.material + len(MATERIALS)
    passers.part = np.full_like(passers.part, OCCLUDER)
    passers.torso_frame = np.zeros_like(passers.torso_frame)  # that frame is the other person's
    joined: dict[str, Any] = {
        f.name: np.concatenate([own, getattr(passers, f.name)], axis=-1 if own.ndim == 1 else 1)
        for f in fields(Primitives)
        if (own := getattr(people, f.name)) is not None
    }
    return Primitives(**joined)
