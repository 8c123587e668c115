"""Doubles: alike in every column but those of the thing named, and there clearly apart."""

from dataclasses import fields

import numpy as np
import pytest

from reidlab.synth import World, suggested_world, write_dataset
from reidlab.synth.passers import sample_walks
from reidlab.synth.people import BAG, H_STRIPES, LOGO, MATERIALS, SHOES, SOLE, TOP, People
from reidlab.synth.styles import COLOURS

VALUES = ("shoes", "logo", "bag")
# Columns that may differ, and of which materials.
OPEN_TO = {
    "shoes": {"colour": {SHOES, SOLE}, "colour_name": {SHOES}},
    "logo": {"colour2": {TOP}, "scale": {TOP}, "offset": {TOP}},
    "bag": {"colour": {BAG}, "colour2": {BAG}, "colour_name": {BAG}, "pattern": {BAG}},
}


def pairs(people):
    return people.take(slice(0, None, 2)), people.take(slice(1, None, 2))


def columns(people):
    return {f.name: getattr(people, f.name) for f in fields(People)}


def gap(one, other):
    """Of linear RGB brought back to what a file holds, roughly; a loop, so that it is not ours."""
    return np.array([
        sum((a**0.5 - b**0.5) ** 2 for a, b in zip(x, y, strict=True)) ** 0.5
        for x, y in zip(one, other, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("differ", VALUES)
@pytest.mark.parametrize(
    "knobs",
    [{}, {"style": "mall", "palette": 4}, {"style": "night-street", "infrared": "thermal"}],
    ids=["plaza", "mall", "warmth"],
)
def test_doubles_share_all_columns_but_the_named(differ, knobs):
    one, other = (columns(p) for p in pairs(World(seed=3, differ=differ, **knobs).people(
        list(range(1, 301))
    )))  # fmt: skip
    for name, value in one.items():
        materials = OPEN_TO[differ].get(name, set())
        if materials:
            shared = [m for m in range(len(MATERIALS)) if m not in materials]
            np.testing.assert_array_equal(value[:, shared], other[name][:, shared], err_msg=name)
            assert not np.array_equal(value, other[name]), name
        else:
            np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert len(np.unique(one["height"])) == 150  # but no two pairs do


@pytest.mark.parametrize("differ", VALUES)
def test_a_double_is_the_same_whatever_else_is_asked(differ):
    world = World(seed=4, differ=differ, detail=1.3)
    crowd = columns(world.people([3, 18, 99, 17, 1, 0]))
    for row, pid in ((1, 18), (3, 17), (5, 0)):
        for name, value in columns(world.people([pid])).items():
            np.testing.assert_array_equal(value[0], crowd[name][row], err_msg=name)
    assert world.people([]).colour.shape == (0, len(MATERIALS), 3)


@pytest.mark.parametrize("differ", VALUES)
def test_neighbours_of_different_pairs_are_strangers(differ):
    people = World(seed=4, differ=differ).people([0, 1, 2, 3, 4, 5])
    height = people.height.tolist()
    assert len(set(height)) == 4
    assert (height[1], height[3]) == (height[2], height[4])


@pytest.mark.parametrize("palette", [2, 8, 40])
def test_shoes_are_clearly_apart_and_of_the_palette(palette):
    world = World(seed=1, differ="shoes", palette=palette)
    one, other = pairs(world.people(list(range(1, 2001))))
    assert gap(one.colour[:, SHOES], other.colour[:, SHOES]).min() >= 0.5
    assert other.colour_name[:, SHOES].max() < palette
    assert len(np.unique(other.colour_name[:, SHOES])) > 0.8 * palette
    # The first of a pair is who that number is elsewhere.
    elsewhere = World(seed=1, palette=palette).people(list(range(1, 2001, 2)))
    np.testing.assert_array_equal(one.colour, elsewhere.colour)


def test_the_name_of_the_second_shoes_is_that_of_their_colour():
    """Its dye, more or less of red and blue by a fifth; green is untouched."""
    _, other = pairs(World(seed=1, differ="shoes").people(list(range(1, 401))))
    srgb = np.array(list(COLOURS.values()))[other.colour_name[:, SHOES]] / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(other.colour[:, SHOES, 1], light[:, 1], rtol=1e-12)
    assert np.all(np.abs(other.colour[:, SHOES] / light - 1) < 0.181)
    # A sole is white on both, or half as light as the dye.
    white = other.colour[:, SOLE].min(axis=1) > 0.7
    assert 0.4 < white.mean() < 0.6
    np.testing.assert_allclose(other.colour[~white, SOLE], 0.5 * light[~white], rtol=1e-12)


@pytest.mark.parametrize("palette", [2, 8, 40])
def test_logos_are_clearly_apart_from_the_top_and_from_each_other(palette):
    world = World(seed=1, differ="logo", palette=palette)
    one, other = pairs(world.people(list(range(1, 2001))))
    shirt, first, second = one.colour[:, TOP], one.colour2[:, TOP], other.colour2[:, TOP]
    assert gap(shirt, first).min() >= 0.5
    for apart in (gap(shirt, second), gap(first, second)):
        assert apart.min() > 0.4  # where no colour is 0.5 from two
        assert (apart >= 0.5).mean() > 0.97
    assert np.all(one.offset[:, TOP, 0] * other.offset[:, TOP, 0] < 0)
    ratio = one.scale[:, TOP] / other.scale[:, TOP]
    assert np.all(np.maximum(ratio, 1 / ratio) > 1.3)
    assert 0.4 < (ratio > 1).mean() < 0.6
    assert 0.4 < (one.offset[:, TOP, 0] > 0).mean() < 0.6


def test_every_top_of_a_world_of_logos_shows_one():
    people = World(seed=1, differ="logo", style="night-street").people(list(range(1, 801)))
    assert np.all(people.pattern[:, TOP] == LOGO)
    assert set(people.top) == {0, 1, 3, 4, 5}  # no open jacket
    assert not people.scarf.any()
    small, large = (
        World(seed=1, differ="logo", detail=d).people([1, 2]).scale[:, TOP] for d in (0.5, 2.0)
    )
    np.testing.assert_allclose(large, 4 * small)


@pytest.mark.parametrize("palette", [2, 8, 40])
def test_bags_show_no_colour_of_each_other(palette):
    world = World(seed=1, differ="bag", palette=palette)
    people = world.people(list(range(1, 2001)))
    assert people.bag.all()
    one, other = pairs(people)

    def shown(bags):
        striped = bags.pattern[:, BAG] == H_STRIPES
        assert 0.3 < striped.mean() < 0.5
        first = bags.colour[:, BAG]
        return first, np.where(striped[:, None], bags.colour2[:, BAG], first)

    for colour in shown(one):
        for against in shown(other):
            assert gap(colour, against).min() > 0.4
            assert (gap(colour, against) >= 0.5).mean() > 0.97
    plain = one.pattern[:, BAG] != H_STRIPES
    assert other.colour_name[plain, BAG].max() < palette  # stripes of two colours leave none of two


@pytest.mark.parametrize("differ", VALUES)
def test_the_truth_tells_what_differs(differ):
    world = World(seed=3, cameras=1, differ=differ, resolution=(16, 16))
    truth = world.render([(pid, 0, 0) for pid in range(1, 61)]).truth
    one, other = (truth.iloc[k::2].reset_index(drop=True) for k in (0, 1))
    person = truth.columns[truth.columns.get_loc("height") : truth.columns.get_loc("person_share")]
    told = {name for name in person if not one[name].equals(other[name])} - {"accessory_visible"}
    assert told == {
        "shoes": {"shoes_colour"}, "logo": set(), "bag": {"bag_colour", "bag_pattern"}
    }[differ]  # fmt: skip
    if told:
        assert (one[f"{differ}_colour"] != other[f"{differ}_colour"]).all()
    else:
        assert set(truth["top_pattern"]) == {"front logo"}


def test_passers_by_have_doubles_too():
    keys = [(pid, 0, 0) for pid in range(1, 200)]
    numbers = sample_walks(5, keys, np.ones(len(keys), bool), pose=1.0).pids
    world = World(seed=5, differ="shoes")
    even = [number for number in numbers if number % 2 == 0]
    seconds, firsts = world.people(even), world.people([number - 1 for number in even])
    np.testing.assert_array_equal(seconds.height, firsts.height)
    assert gap(seconds.colour[:, SHOES], firsts.colour[:, SHOES]).min() >= 0.5


def test_bytes_of_doubles_do_not_depend_on_the_company():
    """With passers-by, who are doubles of somebody."""
    world = World(seed=2, cameras=2, differ="bag", occlusion=0.9, resolution=(32, 16))
    keys = [(pid, pid % 2, 0) for pid in range(1, 13)]
    together = world.render(keys)
    assert together.truth["passer"].any()
    for i in (1, 4, 7, 11):
        np.testing.assert_array_equal(world.render([keys[i]]).images[0], together.images[i])


def test_a_set_of_doubles_is_another_set(tmp_path):
    knobs = {"identities": 4, "cameras": 2, "resolution": (32, 16)}
    root = write_dataset("market1501", tmp_path / "set", World(**knobs, differ="shoes"))
    assert '"differ": "shoes"' in (root / "world.json").read_text()
    with pytest.raises(FileExistsError, match="another world"):
        write_dataset("market1501", root, World(**knobs))


def test_a_layout_of_vehicles_has_no_doubles(tmp_path):
    world = suggested_world("veri776", identities=4, differ="bag")
    with pytest.raises(ValueError, match="differ='bag', subject='vehicle'"):
        write_dataset("veri776", tmp_path / "set", world)
    assert not (tmp_path / "set").exists()
