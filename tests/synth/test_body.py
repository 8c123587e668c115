"""A body stands on the floor, whole, wherever its joints go."""

import numpy as np
import pytest

from reidlab.synth import World
from reidlab.synth.body import ARMS, FEET, HEAD, LEGS, TORSO, build


@pytest.fixture(scope="module")
def bodies():
    world = World(seed=8, pose=1.5)
    keys = [(pid, 0, 0) for pid in range(1, 301)]
    people = world.people([pid for pid, _, _ in keys])
    cameras = world.all_cameras.take(np.zeros(len(keys), dtype=int))
    return people, build(people, world.shots(keys, cameras).pose)


def lowest(bodies, part):
    """(B,) the lowest point of a part, in metres above the floor."""
    shapes = bodies[1]
    rb = np.where(shapes.high > 1.5, shapes.rb, 0.0)  # a hem has no sphere at its end
    bottom = np.minimum(shapes.a[..., 1] - shapes.ra, shapes.b[..., 1] - rb)
    bottom = np.where(shapes.present & (shapes.part == part), bottom, np.inf)
    return bottom.min(axis=1)


def test_the_lower_foot_touches_the_floor(bodies):
    sole = lowest(bodies, FEET)
    assert sole.min() > -0.035
    assert np.abs(sole).max() < 0.035  # a sole is about 5 cm thick


def test_nothing_else_goes_through_the_floor(bodies):
    for part in (HEAD, TORSO, ARMS, LEGS):
        assert lowest(bodies, part).min() > -0.02


def test_limbs_hang_together(bodies):
    """Thigh to shin, upper to lower arm: each begins where the last one ended."""
    shapes = bodies[1]
    legs, arms = np.flatnonzero(shapes.part == LEGS), np.flatnonzero(shapes.part == ARMS)
    for first in (legs[0], legs[4], arms[0], arms[4]):
        np.testing.assert_allclose(shapes.b[:, first], shapes.a[:, first + 1], atol=1e-12)


def test_people_are_as_tall_as_their_height(bodies):
    people, shapes = bodies
    top = np.where(shapes.part == HEAD, shapes.b[..., 1] + shapes.rb, -np.inf).max(axis=1)
    assert np.all(np.abs(top / people.height - 0.97) < 0.10)
    assert np.corrcoef(top, people.height)[0, 1] > 0.8
