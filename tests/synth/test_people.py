from dataclasses import fields

import numpy as np
import pytest

from reidlab.synth import STYLES, World
from reidlab.synth.people import MATERIALS, SKIN
from reidlab.synth.styles import COLOURS


def rows(people, index):
    return [getattr(people, f.name)[index] for f in fields(people)]


def test_the_same_number_is_the_same_person_whatever_else_is_asked():
    world = World(seed=4)
    alone, crowd = world.people([17]), world.people([3, 99, 17, 1])
    for one, other in zip(rows(alone, 0), rows(crowd, 2), strict=True):
        np.testing.assert_array_equal(one, other)


def test_people_do_not_depend_on_how_many_there_are():
    few, many = World(seed=4, identities=5), World(seed=4, identities=5000)
    np.testing.assert_array_equal(few.people([2]).colour, many.people([2]).colour)


def test_another_seed_gives_other_people():
    one, other = World(seed=1).people([1, 2, 3]), World(seed=2).people([1, 2, 3])
    assert not np.any(one.height == other.height)
    assert not np.array_equal(one.colour, other.colour)


def test_skin_tones_are_spread_evenly():
    tone = World(seed=0).people(list(range(1, 2001))).skin_tone
    counts, _ = np.histogram(tone, bins=8, range=(0.0, 1.0))
    assert counts.sum() == 2000
    assert counts.min() > 200  # 250 expected, three sigma are 44
    assert counts.max() < 300


def test_lighter_tones_are_lighter():
    people = World(seed=0).people(list(range(1, 200)))
    order = np.argsort(people.skin_tone)
    light = people.colour[order, SKIN].mean(axis=1)
    assert np.all(np.diff(light) >= 0)


@pytest.mark.parametrize("palette", [2, 5, 40])
def test_a_palette_limits_the_wardrobe(palette):
    people = World(seed=3, palette=palette).people(list(range(1, 301)))
    used = set(np.unique(people.colour_name)) - {-1}
    assert len(used) == palette
    assert max(used) < palette <= len(COLOURS)


def test_fabric_in_infrared_says_nothing_about_its_colour():
    people = World(seed=0).people(list(range(1, 1501)))
    top = MATERIALS.index("top")
    bright = people.colour[:, top].mean(axis=1)
    assert abs(np.corrcoef(bright, people.infrared[:, top])[0, 1]) < 0.08


@pytest.mark.parametrize("style", STYLES)
def test_everything_a_person_has_is_in_range(style):
    people = World(seed=6, style=style).people(list(range(1, 301)))
    assert np.all((people.height > 1.5) & (people.height < 1.92))
    for share in (people.colour, people.colour2, people.infrared, people.infrared2):
        assert np.all((share >= 0.0) & (share <= 1.0))
    assert np.all(people.scale > 0.0)


def test_styles_dress_people_differently():
    pids = list(range(1, 401))
    plaza, mall, night = (
        World(seed=6, style=s).people(pids) for s in ("plaza", "mall", "night-street")
    )
    assert mall.bag.mean() > plaza.bag.mean() + 0.1
    assert night.hat.astype(bool).mean() > plaza.hat.astype(bool).mean() + 0.08
    assert (mall.bottom >= 2).mean() > (night.bottom >= 2).mean() + 0.2
