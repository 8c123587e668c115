"""Somebody else in the picture: before or beside, dressed apart, and never the one it is about."""

import numpy as np
import pytest

from reidlab.synth import PARTS, World
from reidlab.synth.passers import sample_walks

OCCLUDER = PARTS.index("occluder")


@pytest.fixture(scope="module")
def hidden():
    """The same 150 images with and without what hides people."""
    keys = [(pid, pid % 3, 0) for pid in range(1, 151)]
    worlds = [
        World(seed=5, cameras=2, infrared_cameras=1, jitter=0.0, resolution=(64, 32), occlusion=o)
        for o in (1.0, 0.0)
    ]
    return [world.render(keys) for world in worlds]


def test_about_a_third_of_the_hidden_are_hidden_by_somebody(hidden):
    share = hidden[0].truth["passer"].mean()
    assert abs(share - 0.35) < 3 * np.sqrt(0.35 * 0.65 / 150)
    assert not hidden[1].truth["passer"].any()


def test_a_passer_by_is_tall_and_shows(hidden):
    """No box and no post: most reach from the lower edge to half the height at least."""
    (_, masks, truth), _ = hidden
    shown = masks[truth["passer"].to_numpy()] == OCCLUDER
    assert (shown.any(axis=(1, 2))).mean() > 0.95
    assert np.median(shown.any(axis=2).sum(axis=1)) > 32


def test_the_person_keeps_place_and_label(hidden):
    """What is not covered is what it would be without anybody in the way, or lies behind."""
    with_them, without = hidden
    free = with_them.masks != OCCLUDER
    np.testing.assert_array_equal(with_them.masks[free], without.masks[free])
    covered = ((without.masks > 0) & ~free).sum(axis=(1, 2))
    assert (covered[with_them.truth["passer"]] > 20).mean() > 0.5


def test_the_same_image_has_the_same_passer_by():
    keys = [(pid, 1, 2) for pid in range(1, 30)]
    some = np.arange(29) % 3 == 0
    walks = sample_walks(5, keys, some, pose=1.0)
    again = sample_walks(5, keys[:10], some[:10], pose=1.0)
    assert walks.rows.tolist() == np.flatnonzero(some).tolist()
    assert walks.pids[: len(again.pids)] == again.pids
    assert len(set(walks.pids)) == len(walks.pids)
    assert min(walks.pids) >= 10**9  # no identity, no distractor
    far = np.sqrt(walks.aside**2 + walks.ahead**2)
    assert far.min() > 0.35  # two people do not stand in one place


def test_they_wear_the_world():
    """Clothes of the same palette: in a world of black and white nobody comes in red."""
    keys = [(pid, 0, 0) for pid in range(1, 60)]
    images, masks, truth = World(
        seed=5, cameras=1, palette=2, occlusion=1.0, clutter=0.0, resolution=(64, 32)
    ).render(keys)
    others = masks[truth["passer"].to_numpy()] == OCCLUDER
    colours = images[truth["passer"].to_numpy()][others].astype(int)
    assert len(colours) > 3000
    assert (np.ptp(colours, axis=1) > 90).mean() < 0.02
