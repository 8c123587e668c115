"""Small worlds, rendered once and looked at by many tests."""

import pytest
import torch

from reidlab.synth import World


@pytest.fixture(autouse=True)
def _restore_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def some_keys(people, cameras, index=0):
    """One key per person; the cameras take turns."""
    return [(pid, pid % cameras, index) for pid in range(1, people + 1)]


@pytest.fixture(scope="session")
def plaza():
    """Perfect boxes, nothing in the way: a world, and pictures of 60 people, some in infrared."""
    world = World(seed=11, cameras=3, infrared_cameras=1, jitter=0.0, occlusion=0.0)
    return world, world.render(some_keys(60, 4))
