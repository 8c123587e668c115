"""Vehicles: what the truth says is what the picture shows, from every side."""

import dataclasses

import numpy as np
import pytest
import torch

from reidlab.synth import STYLES, VEHICLE_PARTS, World
from reidlab.synth import render as render_module
from reidlab.synth.coachwork import SLOTS_OF
from reidlab.synth.kinds import assemble
from reidlab.synth.raycast import SLOTS
from reidlab.synth.render import render
from reidlab.synth.vehicles import KINDS, PAINT, PAINTS, SALOON, Vehicles

BODY, WINDOWS, WHEELS, LIGHTS, PLATE, ACCESSORY, OCCLUDER = range(1, 8)
SMALL = {"subject": "vehicle", "cameras": 3, "infrared_cameras": 1, "resolution": (48, 64)}
EXACT = {"jitter": 0.0, "occlusion": 0.0}
FRONT, RIGHT, REAR, LEFT = 0, 2, 4, 6


def keys(count, cameras=4, index=0):
    return [(pid, pid % cameras, index) for pid in range(1, count + 1)]


def turned(world, pids, azimuth, *, distance=12.0, height=1.4, index=0):
    """Images and masks of `pids` at a fixed azimuth in degrees, all by one low camera.

    `index` varies what else varies: exposure, noise, the turn of the wheels.
    """
    vehicles = world.vehicles(pids)
    cameras = world.all_cameras.take(np.zeros(len(pids), dtype=int))
    n = len(pids)
    cameras = dataclasses.replace(
        cameras, height=np.full(n, height), near=np.array([[distance, distance + 1.0]] * n)
    )
    shots = world.shots([(1, 0, index)] * n, cameras)
    shots = dataclasses.replace(
        shots, azimuth=np.full(n, np.deg2rad(azimuth)), aside=np.zeros(n), distance=np.ones(n)
    )
    return render(vehicles, cameras, shots, (96, 128))


def of_kind(world, kind, count):
    """The first `count` vehicles of a kind."""
    drawn = world.vehicles(list(range(1, 60 * count))).kind
    return [int(i) + 1 for i in np.flatnonzero(drawn == KINDS.index(kind))[:count]]


@pytest.fixture(scope="module")
def exact():
    return World(seed=5, **SMALL, **EXACT)


@pytest.fixture(scope="module")
def street(exact):
    """240 pictures of 60 vehicles, each by all cameras."""
    return exact.render([(pid, c, 0) for pid in range(1, 61) for c in range(4)])


# --- the same world is the same bytes -------------------------------------------------------------


@pytest.mark.parametrize(("group", "threads"), [(1, 1), (3, 2), (8, 3)])
def test_bytes_do_not_depend_on_how_the_work_is_cut(monkeypatch, group, threads):
    world = World(seed=2, occlusion=0.5, **SMALL)
    whole = world.render(keys(16))
    monkeypatch.setitem(render_module._GROUP, "cpu", group * 48 * 64)
    torch.set_num_threads(threads)
    order = np.random.default_rng(group).permutation(16)[:11]
    again = world.render([keys(16)[i] for i in order])
    np.testing.assert_array_equal(again.images, whole.images[order])
    np.testing.assert_array_equal(again.masks, whole.masks[order])
    assert again.truth.equals(whole.truth.iloc[order].reset_index(drop=True))


def test_a_vehicle_is_the_same_whatever_else_is_asked(exact):
    alone, crowd = exact.vehicles([17]), exact.vehicles([3, 99, 17, 1])
    for f in dataclasses.fields(Vehicles):
        np.testing.assert_array_equal(getattr(alone, f.name)[0], getattr(crowd, f.name)[2])


def test_the_subject_is_a_knob(exact):
    assert exact.config()["subject"] == "vehicle"
    assert World().config()["subject"] == "person"
    assert exact.fingerprint() != dataclasses.replace(exact, subject="person").fingerprint()
    with pytest.raises(
        ValueError, match=r"World\(subject='horse'\): expected 'person' or 'vehicle'"
    ):
        World(subject="horse")


# --- identity -------------------------------------------------------------------------------------


def test_two_white_saloons_differ_and_one_does_not(exact):
    """Pixels inside both silhouettes: between images of two vehicles, and of one in two images."""
    pids = of_kind(exact, "saloon", 60)
    colour = exact.vehicles(pids).colour_name[:, PAINT]
    pids = [pid for pid, name in zip(pids, colour, strict=True) if name == 0][:6]
    assert len(pids) == 6
    images, masks = turned(exact, pids, 215.0)
    again, _ = turned(exact, pids, 215.0, index=1)
    both = (masks > 0).all(axis=0)

    def distance(a, b):
        return np.abs(a[both].astype(int) - b[both]).mean()

    within = np.mean([distance(images[i], again[i]) for i in range(6)])
    between = np.mean([distance(images[i], again[j]) for i in range(6) for j in range(6) if i != j])
    assert between > 2.0 * within  # measured: 3.2 times


def test_every_kind_and_paint_drives_by(exact):
    vehicles = exact.vehicles(list(range(1, 2001)))
    assert set(vehicles.kind) == set(range(len(KINDS)))
    share = np.bincount(vehicles.kind) / 2000
    assert 0.25 < share[SALOON] < 0.5
    assert share.min() > 0.02
    assert set(vehicles.colour_name[:, PAINT]) == set(range(len(PAINTS)))
    common = np.isin(vehicles.colour_name[:, PAINT], [0, 1, 2, 5])  # white, black, silver, grey
    assert 0.35 < common.mean() < 0.75


@pytest.mark.parametrize("style", STYLES)
def test_everything_a_vehicle_has_is_in_range(style):
    v = World(seed=6, style=style, **SMALL).vehicles(list(range(1, 301)))
    for share in (v.colour, v.colour2, v.infrared, v.infrared2):
        assert np.all((share >= 0.0) & (share <= 1.0))
    assert np.all(v.length > v.width)
    assert np.all(v.scale > 0.0)
    assert v.length.min() > 4.0
    assert v.length.max() < 12.0


def test_paint_in_infrared_says_nothing_about_its_colour(exact):
    v = exact.vehicles(list(range(1, 1501)))
    bright = v.colour[:, PAINT].mean(axis=1)
    assert abs(np.corrcoef(bright, v.infrared[:, PAINT])[0, 1]) < 0.08


# --- shape ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bodies():
    """300 vehicles in their own frames."""
    world = World(seed=8, pose=1.5, **SMALL)
    shots = world.shots(keys(300, 1), world.all_cameras.take(np.zeros(300, dtype=int)))
    vehicles = world.vehicles(list(range(1, 301)))
    return vehicles, assemble(vehicles, shots.pose)


def test_a_vehicle_leaves_room_for_its_scene():
    assert sum(SLOTS_OF.values()) <= 50 < SLOTS


def test_wheels_touch_the_floor_and_nothing_else_does(bodies):
    vehicles, shapes = bodies
    wheel = shapes.part == WHEELS
    radius = (shapes.ra * shapes.squash[..., 0])[:, wheel]
    np.testing.assert_allclose(shapes.a[:, wheel, 1], radius, atol=1e-9)
    assert shapes.present[:, wheel].all()
    above = np.where(shapes.present & ~wheel, shapes.a[..., 1], np.inf)
    assert above.min() > 0.15
    assert len(vehicles) == 300


def test_the_hull_measures_what_the_truth_says(bodies):
    """Of the boxes of the body and the wheels; mirrors stand out, and so do loads on roofs."""
    vehicles, shapes = bodies
    kept = (BODY, WINDOWS, WHEELS, PLATE)
    keep = shapes.present & np.isin(shapes.part, kept) & shapes.solid.box
    corners = shapes.solid.hull.reshape(300, 2, -1, 8, 3)[:, 0]  # about the first of both ends
    values = np.where(keep[:, :, None, None], corners, 0.0)
    size = values.max(axis=(1, 2)) - values.min(axis=(1, 2))
    assert np.abs(size[:, 2] - vehicles.length).max() < 0.12  # plates and bumpers
    assert np.abs(size[:, 0] - vehicles.width).max() < 0.05
    assert np.all(size[:, 1] < vehicles.height + 0.05)
    assert np.all(size[:, 1] > 0.75 * (vehicles.height - 0.45))


def test_proportions_tell_the_kinds_apart(exact):
    """From the side, width against height of the silhouette and share of the windows."""
    ratio, glass = {}, {}
    for kind in KINDS:
        _, masks = turned(exact, of_kind(exact, kind, 6), 90.0, distance=16.0)
        seen = masks > 0
        wide = seen.any(axis=1).sum(axis=1)
        high = np.array([np.median(column[column > 0]) for column in seen.sum(axis=1)])
        ratio[kind] = np.median(wide / high)
        glass[kind] = (masks == WINDOWS).sum() / seen.sum()
    assert ratio["bus"] > 1.15 * ratio["van"]
    assert ratio["saloon"] > 1.3 * ratio["van"]
    assert glass["bus"] > 1.4 * glass["lorry"]
    assert glass["estate"] > 1.05 * glass["saloon"]
    assert glass["saloon"] > 1.2 * glass["lorry"]


def test_a_bus_is_longer_than_a_saloon():
    """Two metres of wheel are as many pixels: count how many wheels long each of them is."""
    world = World(seed=5, **SMALL, **EXACT)
    in_wheels = {}
    for kind in ("saloon", "bus"):
        _, masks = turned(world, of_kind(world, kind, 4), 90.0, distance=16.0, height=1.0)
        wheel = (masks == WHEELS).sum(axis=1).max(axis=1)  # the tallest column
        in_wheels[kind] = ((masks > 0).any(axis=1).sum(axis=1) / wheel).mean()
    assert in_wheels["bus"] > 1.4 * in_wheels["saloon"]


@pytest.mark.parametrize("kind", KINDS)
def test_front_and_rear_are_plain_to_see(exact, kind):
    """White lamps before, red ones behind; a plate on either end and none on the sides."""
    pids = of_kind(exact, kind, 5)
    redness, plates, lamps = {}, {}, {}
    for name, azimuth in (("front", 180.0), ("rear", 0.0), ("side", 90.0)):
        images, masks = turned(exact, pids, azimuth)
        lit = masks == LIGHTS
        colour = images[lit].astype(float).mean(axis=0)
        redness[name], lamps[name] = colour[0] - colour[2], lit.sum(axis=(1, 2)).min()
        plates[name] = (masks == PLATE).sum(axis=(1, 2))
    assert redness["rear"] > redness["front"] + 60
    assert min(lamps["front"], lamps["rear"]) > 8
    assert plates["front"].min() > 8
    assert plates["rear"].min() > 8
    assert plates["side"].max() <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_darker_than_a_white_body(exact, kind):
    pids = of_kind(exact, kind, 30)
    white = exact.vehicles(pids).colour[:, PAINT].mean(axis=1) > 0.4
    images, masks = turned(exact, list(np.array(pids)[white][:4]), 215.0)
    grey = images.mean(axis=3)
    # A body has black parts, too: the chassis of a lorry, the bed of a pickup.
    assert grey[masks == WINDOWS].mean() < 0.85 * grey[masks == BODY].mean()


# --- pixels, labels and truth agree ---------------------------------------------------------------


def test_all_eight_views_occur_and_mean_what_they_say(street):
    truth, masks = street.truth, street.masks
    assert set(truth["view"]) == set(range(8))
    offset = (truth["azimuth"] - 180.0 - 45.0 * truth["view"] + 180.0) % 360.0 - 180.0
    assert offset.abs().max() <= 22.6
    plate = (masks == PLATE).sum(axis=(1, 2))
    ends, sides = truth["view"].isin((FRONT, REAR)), truth["view"].isin((RIGHT, LEFT))
    assert (plate[ends] > 0).mean() > 0.95
    assert np.median(plate[ends]) > 3 * np.median(plate[sides])


def test_left_is_left():
    """A label on one side shows in the views of that side alone."""
    world = World(seed=5, **SMALL, **EXACT)
    stuck = world.vehicles(list(range(1, 200)))
    rows = np.flatnonzero(stuck.sticker & (stuck.roof_load == 0) & ~stuck.ticket)[:8]
    on_left = stuck.sticker_place[rows, 0] > 0
    assert 0 < on_left.sum() < 8
    for azimuth, shown in ((90.0, on_left), (270.0, ~on_left)):
        _, masks = turned(world, [int(i) + 1 for i in rows], azimuth)
        np.testing.assert_array_equal((masks == ACCESSORY).any(axis=(1, 2)), shown)
    poses = world.render([(1, c, i) for c in range(4) for i in range(8)]).truth
    left_side = (poses["azimuth"] > 67.5) & (poses["azimuth"] < 112.5)
    np.testing.assert_array_equal(left_side, poses["view"] == LEFT)


def test_shares_are_those_of_the_masks(street):
    _, masks, truth = street
    assert set(np.unique(masks)) <= set(range(len(VEHICLE_PARTS)))
    for label, name in enumerate(VEHICLE_PARTS[1:], start=1):
        share = (masks == label).mean(axis=(1, 2))
        np.testing.assert_allclose(truth[f"{name}_share"], share, atol=1e-4)
    np.testing.assert_allclose(truth["vehicle_share"], (masks > 0).mean(axis=(1, 2)), atol=1e-4)
    assert truth["vehicle_share"].min() > 0.1


def test_a_perfect_box_holds_the_whole_vehicle():
    masks = World(seed=3, **{**SMALL, **EXACT, "resolution": (96, 128)}).render(keys(60)).masks
    assert max(e.max() for e in (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1])) == 0
    wide = (masks > 0).any(axis=1).sum(axis=1) / 128
    high = (masks > 0).any(axis=2).sum(axis=1) / 96
    assert np.maximum(wide, high).min() > 0.8


def test_infrared_pictures_are_grey_and_neither_black_nor_burnt(street):
    images, masks, truth = street
    dark = (truth["modality"] == "infrared").to_numpy()
    assert np.all(np.ptp(images[dark].astype(int), axis=3) == 0)
    body = [
        image[mask == BODY].mean() for image, mask in zip(images[dark], masks[dark], strict=True)
    ]
    assert 40 < np.median(body) < 200


# --- knobs ----------------------------------------------------------------------------------------


def test_to_a_thermal_camera_engines_and_tyres_are_warm():
    """Seen from the right, the front on the left: the end with the engine glows."""
    world = World(seed=5, **{**SMALL, "resolution": (96, 128)}, **EXACT, infrared="thermal",
                  orientations=4, pose=0.0)  # fmt: skip
    columns = np.arange(128)
    for kind, front_is_warm in (("saloon", True), ("van", True), ("bus", False)):
        pids = of_kind(world, kind, 6)
        images, masks, truth = world.render([(pid, 3, 1) for pid in pids])
        assert set(truth["view"]) == {RIGHT}
        grey = images[..., 0].astype(float)
        ahead, behind, body, tyres = [], [], [], []
        for picture, mask in zip(grey, masks, strict=True):
            ends = np.flatnonzero((mask > 0).any(axis=0))[[0, -1]]
            share, paint = (columns - ends[0]) / (ends[1] - ends[0]), mask == BODY
            ahead.append(np.median(picture[paint & (share < 0.15)]))
            behind.append(np.median(picture[paint & (share > 0.85)]))
            body.append(np.quantile(picture[paint], 0.25))
            tyres.append(np.median(picture[mask == WHEELS]))
        warmer = np.subtract(ahead, behind) if front_is_warm else np.subtract(behind, ahead)
        assert warmer.min() > 15, kind
        assert np.mean(tyres) > np.mean(body) + 20


def test_pose_steers_the_front_wheels():
    def steering(pose):
        return World(seed=3, pose=pose, **SMALL).render(keys(30)).truth["steering"].abs()

    assert steering(0.0).max() == 0.0
    assert steering(1.5).mean() > 3.0


def test_a_palette_limits_the_paints():
    for palette in (2, 5):
        truth = World(seed=3, palette=palette, **SMALL).render(keys(30)).truth
        assert set(truth["colour"]) == set(list(PAINTS)[:palette])


def test_detail_scales_stickers():
    def area(detail):
        world = World(seed=3, detail=detail, **SMALL, **EXACT)
        v = world.vehicles(list(range(1, 200)))
        rows = np.flatnonzero(v.sticker & (v.sticker_place[:, 0] > 0) & (v.roof_load == 0))[:8]
        return (turned(world, [int(i) + 1 for i in rows], 90.0)[1] == ACCESSORY).sum()

    assert area(1.4) > 1.5 * area(0.8) > 0


def test_occlusion_puts_things_before_vehicles():
    shares = [
        World(seed=3, occlusion=o, **SMALL).render(keys(24)).truth["occluder_share"]
        for o in (0.0, 1.0)
    ]
    assert shares[0].max() == 0.0
    assert (shares[1] > 0.01).mean() > 0.7
    assert shares[1].max() < 0.7


# --- no shortcut ----------------------------------------------------------------------------------


def test_the_background_alone_is_worth_little_more_than_chance():
    """A nearest neighbour on what is left when vehicle and occluder are painted over.

    The silhouette remains and tells the kind; so chance is the share of a vehicle's own images
    among those of other cameras (1/60), and a few times that for its kind.
    """
    world = World(seed=3, subject="vehicle", cameras=4, resolution=(48, 64))
    images, masks, truth = world.render([(pid, c, 0) for pid in range(1, 61) for c in range(4)])
    pixels = images.astype(float)
    for picture, mask in zip(pixels, masks, strict=True):
        picture[mask > 0] = picture[mask == 0].mean(axis=0)
    features = pixels.reshape(240, 6, 8, 8, 8, 3).mean(axis=(2, 4)).reshape(240, -1)
    distance = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    pid, camid = truth["pid"].to_numpy(), truth["camid"].to_numpy()
    distance[camid[:, None] == camid[None]] = np.inf
    rank1 = (pid[distance.argmin(axis=1)] == pid).mean()
    assert rank1 < 0.08
