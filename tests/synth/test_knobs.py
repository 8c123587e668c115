"""Every knob of `World` turns something, measured on pixels, masks, files or the truth.

What is measured knows nothing of how it is rendered: counts, boxes, correlations, periods.
"""

import re
from collections import Counter
from dataclasses import fields
from itertools import combinations

import numpy as np
import pytest

from reidlab.synth import PARTS, STYLES, World, write_dataset

HEAD, TORSO, LEGS, FEET, OCCLUDER = (
    PARTS.index(p) for p in ("head", "torso", "legs", "feet", "occluder")
)
THIN = ("t-shirt", "long-sleeve", "dress")
SMALL = {"resolution": (64, 32)}
CALM = {**SMALL, "occlusion": 0.0, "jitter": 0.0}


def world(**knobs):
    return World(**{"seed": 3, "cameras": 4, **CALM, **knobs})


def keys(people, cameras=4, index=0):
    return [(pid, pid % cameras, index) for pid in range(1, people + 1)]


def person(masks):
    return (masks > 0) & (masks != OCCLUDER)


def mean_of(pictures, part):
    """(N, 3) mean colour of a part's pixels; nan where it does not show."""
    shown = pictures.masks == part
    with np.errstate(invalid="ignore"):
        return (pictures.images * shown[..., None]).sum((1, 2)) / shown.sum((1, 2))[:, None]


def correlation(a, b):
    good = np.isfinite(a) & np.isfinite(b)
    return np.corrcoef(a[good], b[good])[0, 1]


def test_no_knob_is_forgotten():
    tested = "".join(name for name in globals() if name.startswith("test_"))
    for field in fields(World):
        assert field.name in tested, f"a test of the knob {field.name} is missing"


# --- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("people", "cameras", "infrared", "images"), [(5, 2, 1, 2), (8, 3, 0, 3)])
def test_identities_cameras_infrared_cameras_and_images_per_camera(
    tmp_path, people, cameras, infrared, images
):
    """Counted in the names of the files, and the modality in their pixels."""
    made = World(
        identities=people, cameras=cameras, infrared_cameras=infrared, images_per_camera=images,
        resolution=(32, 16),
    )  # fmt: skip
    root = write_dataset("market1501", tmp_path / "set", made)
    files = [p for p in root.rglob("*.jpg") if re.match(r"0*[1-9]\d*_c", p.name)]
    seen = Counter(tuple(map(int, re.match(r"(\d+)_c(\d)", p.name).groups())) for p in files)
    assert {pid for pid, _ in seen} == set(range(1, people + 1))
    assert {camera for _, camera in seen} == set(range(1, cameras + infrared + 1))
    assert set(seen.values()) == {images}
    views = made.render([(1, camid, 0) for camid in range(cameras + infrared)])
    grey = np.ptp(views.images.astype(int), axis=3).max(axis=(1, 2)) == 0
    assert grey.tolist() == [False] * cameras + [True] * infrared


def test_cameras_are_told_by_their_background():
    """A nearest neighbour on the mean colour around people names the camera, mostly."""
    many = world(cameras=5).render([(pid, c, 0) for pid in range(1, 9) for c in range(5)])
    around = np.array(
        [i[m == 0].mean(axis=0) for i, m in zip(many.images, many.masks, strict=True)]
    )
    distance = np.linalg.norm(around[:, None] - around, axis=2)
    np.fill_diagonal(distance, np.inf)
    camera = many.truth["camid"].to_numpy()
    assert (camera[distance.argmin(axis=1)] == camera).mean() > 0.5  # chance: 0.18


def test_seed_draws_other_people():
    def tops(seed):
        return mean_of(world(seed=seed).render(keys(60)), TORSO).mean(axis=1)

    one = tops(3)
    assert abs(correlation(one, tops(4))) < 0.4  # three sigma over 60 people
    np.testing.assert_array_equal(one, tops(3))


def test_resolution_shows_the_same_scene_finer():
    small, large = (world(resolution=r).render(keys(6)) for r in ((64, 32), (128, 64)))
    assert large.images.shape == (6, 128, 64, 3)
    pooled = large.images.reshape(6, 64, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(pooled - small.images).mean() < 8
    assert (large.masks[:, ::2, ::2] == small.masks).mean() > 0.93


# --- what people wear -----------------------------------------------------------------------------


def test_palette_counts_the_colours():
    """In the truth; and in pixels, hues spread with it, and the nearest torso has the same name."""
    hues, named = [], []
    for palette in (2, 8, 40):
        pictures = world(palette=palette, cameras=1).render(keys(160, 1))
        assert 0.7 * palette < pictures.truth["top_colour"].nunique() <= palette
        plain = (pictures.truth["top_pattern"] == "plain").to_numpy()
        torso, name = (
            mean_of(pictures, TORSO)[plain],
            pictures.truth["top_colour"].to_numpy()[plain],
        )
        hues.append(np.diff(torso, axis=1).std())
        distance = np.linalg.norm(torso[:, None] - torso, axis=2)
        np.fill_diagonal(distance, np.inf)
        named.append((name[distance.argmin(axis=1)] == name).mean())
    assert 2.0 * hues[0] < hues[1] < hues[2] / 1.3
    assert named[0] > 0.97 > 0.8 > named[2]


def stripe_period(image, mask, height):
    """m after which the rows of a torso repeat: the first peak of their autocorrelation."""
    columns = np.flatnonzero((mask == TORSO).any(axis=0))
    middle = columns[2 * len(columns) // 5 : 3 * len(columns) // 5]
    rows = np.flatnonzero((mask[:, middle] == TORSO).all(axis=1))
    signal = image[rows][:, middle].mean(axis=(1, 2))
    signal -= signal.mean()
    lags = range(2 * len(signal) // 3)
    alike = np.array([(signal[: len(signal) - k] * signal[k:]).mean() for k in lags])
    crossings = np.flatnonzero(np.diff(alike > 0))
    if signal.std() < 8 or len(crossings) < 2:
        return np.nan
    _, rises, *more = crossings
    peak = rises + alike[rises : more[0] if more else None].argmax()
    return peak * height / np.flatnonzero(person(mask).any(axis=1)).size


def test_detail_stretches_the_stripes():
    truth = world(cameras=1, resolution=(16, 16)).render(keys(500, 1)).truth
    striped = (truth["top_pattern"] == "horizontal stripes") & ~truth["backpack"] & ~truth["scarf"]
    chosen = [(pid, 0, 0) for pid in truth["pid"][striped & truth["top"].isin(THIN)]]
    measured = []
    for detail in (0.6, 0.9, 1.2):
        pictures = world(cameras=1, detail=detail, resolution=(256, 128)).render(chosen)
        height = pictures.truth["height"]
        rows = zip(pictures.images, pictures.masks, height, strict=True)
        measured.append(np.array([stripe_period(*row) for row in rows]))
    fine, middle, coarse = measured
    assert np.isfinite(fine + coarse).sum() > 6
    assert 1.7 < np.nanmedian(coarse / fine) < 2.3
    assert 1.3 < np.nanmedian(middle / fine) < 1.7
    assert 0.04 < np.nanmedian(fine) < 0.11  # a stripe of a real shirt


def doubles(differ):
    """Pictures of 30 people at attention before a camera, nothing worn over them; their doubles."""
    made = world(cameras=1, differ=differ, pose=0.0, orientations=1, resolution=(128, 64))
    firsts = np.arange(1, 200, 2)
    people = made.people(firsts.tolist())
    free = firsts[~people.scarf & ~people.backpack][:30].tolist()
    return [made.render([(pid + more, 0, 0) for pid in free]) for more in (0, 1)]


@pytest.mark.parametrize(("differ", "part"), [("shoes", "feet"), ("bag", "accessory")])
def test_differ_shows_in_the_named_part_alone(differ, part):
    """The mean colour of other parts is that of the double, but for the light of the moment."""
    one, other = doubles(differ)
    with np.errstate(invalid="ignore"):
        gap = {
            name: np.abs(mean_of(one, number) - mean_of(other, number)).max(axis=1)
            for number, name in enumerate(PARTS[1:-1], start=1)
        }
    for name in set(gap) - {part, "accessory"}:
        assert np.nanmedian(gap[name]) < 12, name
    assert np.isfinite(gap[part]).all()
    assert np.median(gap[part]) > 50
    assert gap[part].min() > 20


def test_differ_moves_the_logo_to_the_other_side():
    """Pixels of the torso that stand out from its middle colour: right of the middle, or left."""
    sides = []
    for pictures in doubles("logo"):
        side = []
        for image, mask in zip(pictures.images.astype(float), pictures.masks, strict=True):
            rows, columns = np.nonzero(mask == TORSO)
            upper = rows < np.quantile(rows, 0.6)
            rows, columns = rows[upper], columns[upper]
            seen = image[rows, columns]
            odd = np.linalg.norm(seen - np.median(seen, axis=0), axis=1) > 45
            side.append(np.median(columns[odd]) - np.median(columns) if odd.sum() > 8 else np.nan)
        sides.append(np.sign(side))
    seen = np.isfinite(sides[0]) & np.isfinite(sides[1])
    assert seen.mean() > 0.6
    assert (sides[0] == -sides[1])[seen].mean() > 0.9


# --- how they move, and what stands about ---------------------------------------------------------


def width(mask):
    return np.flatnonzero(mask.any(axis=0)).size


def test_pose_spreads_the_legs():
    def strides(pose):
        masks = world(pose=pose).render([(pid, pid % 4, i) for pid in range(1, 31) for i in (0, 1)])
        legs = np.isin(masks.masks, (LEGS, FEET))
        tall = person(masks.masks).any(axis=2).sum(axis=1)
        return np.array([width(leg) for leg in legs]) / tall

    still, calm, wild = (strides(pose) for pose in (0.0, 0.7, 1.5))
    assert still.mean() < calm.mean() < wild.mean()
    assert wild.std() > 1.5 * still.std()


def test_jitter_moves_the_box_in_proportion():
    def places(jitter):
        masks = world(jitter=jitter, resolution=(128, 64)).render(keys(50)).masks
        row, column = np.arange(128)[:, None], np.arange(64)
        heads = (masks == HEAD) | (masks == TORSO)
        count = heads.sum((1, 2))
        return np.stack([(heads * row).sum((1, 2)) / count, (heads * column).sum((1, 2)) / count])

    exact, near, far = (places(jitter) for jitter in (0.0, 0.4, 0.8))
    once, twice = near - exact, far - exact
    assert np.all(once.std(axis=1) > 0.5)
    np.testing.assert_allclose((once * twice).sum(1) / (once * once).sum(1), 2.0, atol=0.25)


def test_clutter_fills_the_background():
    """Edges behind people, noise averaged away; the people stay as they are."""
    shown = [world(cameras=24, clutter=c).render(keys(72, 24)) for c in (0.0, 0.6, 1.3)]
    behind = ~person(shown[0].masks).reshape(72, 16, 4, 8, 4).any(axis=(2, 4))

    def edges(images):
        grey = images.reshape(72, 16, 4, 8, 4, 3).astype(float).mean(axis=(2, 4, 5))
        step = np.abs(np.diff(grey, axis=2))
        return step[behind[:, :, 1:] & behind[:, :, :-1]].mean()

    empty, some, full = (edges(pictures.images) for pictures in shown)
    assert empty < 0.8 * some
    assert some < 0.95 * full
    changed = (shown[0].images != shown[2].images).any(axis=3)
    assert changed[~person(shown[0].masks)].mean() > 0.1
    # A lens blurs over two pixels and an edge is shared by one: three inside, nothing changes.
    inside = np.lib.stride_tricks.sliding_window_view(person(shown[0].masks), (7, 7), axis=(1, 2))
    inside = inside.all(axis=(3, 4))
    assert inside.sum() > 5000
    assert changed[:, 3:-3, 3:-3][inside].mean() < 0.002  # but for slivers between the legs


@pytest.mark.parametrize("occlusion", [0.0, 0.15, 0.5, 1.0])
def test_occlusion_is_the_probability_of_being_hidden(occlusion):
    count = 240
    pictures = world(occlusion=occlusion).render(keys(count))
    hidden = (pictures.masks == OCCLUDER).any(axis=(1, 2)).sum()
    spread = 3.3 * np.sqrt(count * occlusion * (1 - occlusion))
    unseen = 0.03 * count * occlusion  # beside the box, by a detector's error or a thin post
    assert count * occlusion - spread - unseen <= hidden <= count * occlusion + spread
    passers = pictures.truth["passer"].sum()
    assert (passers > 0) == (occlusion > 0)
    assert passers <= hidden


def test_orientations_turn_people_step_by_step():
    """Of four, the second and the last show a side, which is narrower than front and back."""
    keys_ = [(pid, pid % 4, index) for pid in range(1, 25) for index in range(5)]
    pictures = world(orientations=4, pose=0.0, resolution=(128, 64)).render(keys_)
    assert pictures.truth["view"].tolist() == [0, 2, 4, 6, 0] * 24
    wide = np.array([width(torso) for torso in pictures.masks == TORSO]).reshape(24, 5)
    assert (wide[:, 1::2].max(axis=1) < wide[:, 0:4:2].min(axis=1)).mean() > 0.9


def test_twins_hang_side_by_side():
    """Both see the same people and things in the same place, whatever each sees of them."""
    asked = [(pid, camid, 0) for camid in (0, 1, 2) for pid in range(1, 31)]
    for kind in ("near", "thermal"):
        made = world(
            cameras=2, infrared_cameras=1, infrared=kind, twins=((2, 0),), occlusion=1.0
        )  # fmt: skip
        pictures = made.render(asked)
        beside, away, dark = pictures.masks.reshape(3, 30, 64, 32)
        np.testing.assert_array_equal(dark, beside)
        assert (dark == away).mean() < 0.9
        assert pictures.truth["passer"].any()
        assert np.ptp(pictures.images[60:].astype(int), axis=3).max() == 0


def test_subject_is_who_is_seen():
    """In a square picture people are upright, vehicles are not."""
    for subject, upright in (("person", True), ("vehicle", False)):
        masks = world(subject=subject, resolution=(64, 64)).render(keys(40)).masks
        shape = [width(m) / width(m.T) for m in person(masks)]
        assert (np.median(shape) < 0.7) == upright
        assert (np.median(shape) > 1.0) != upright


# --- places ---------------------------------------------------------------------------------------


def look(pictures):
    """(N, 8) simple statistics of pictures, each brought to a spread near one."""
    features = []
    for image, mask in zip(pictures.images.astype(float) / 255, pictures.masks, strict=True):
        around, inside = image[mask == 0], image[person(mask)]
        rough = np.abs(np.diff(image.mean(axis=2), axis=0)).mean()
        features.append([
            5 * around.mean(), 5 * inside.mean(), 5 * around.std(), 5 * np.ptp(around.mean(0)),
            5 * np.ptp(inside, axis=1).mean(), 5 * np.quantile(inside, 0.1), 40 * rough,
            5 * (around[:, 0] - around[:, 2]).mean(),
        ])  # fmt: skip
    return np.array(features)


def test_style_makes_four_places():
    """Three are told apart by the nearest mean of other cameras and people; one is everything."""
    learnt, asked = (
        {s: look(world(style=s, seed=seed, cameras=40).render(keys(80, 40))) for s in STYLES}
        for seed in (3, 4)
    )
    places = [style for style in STYLES if style != "random"]
    means = np.array([learnt[place].mean(axis=0) for place in places])
    right = [
        (np.linalg.norm(asked[place][:, None] - means, axis=2).argmin(axis=1) == k).mean()
        for k, place in enumerate(places)
    ]
    assert min(right) > 0.5, right  # chance: a third
    assert np.mean(right) > 0.65, right
    spread = {style: features.std(axis=0).sum() for style, features in asked.items()}
    assert max(spread, key=spread.get) == "random"


def test_style_changes_the_wardrobe():
    worn = {}
    for style in STYLES:
        truth = world(style=style, resolution=(16, 16)).render(keys(250)).truth
        worn[style] = {name: truth[name].value_counts() / 250 for name in ("top", "top_colour")}
    for one, other in combinations(STYLES, 2):
        gap = [
            worn[one][name].sub(worn[other][name], fill_value=0.0).abs().sum() / 2
            for name in ("top", "top_colour")
        ]
        assert max(gap) > 0.15, (one, other, gap)  # two halves of one style differ by 0.1 at most


# --- infrared -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["near", "thermal"])
def both(request):
    """140 people, each in two visible cameras and in an infrared one of the kind asked for."""
    made = world(cameras=2, infrared_cameras=1, infrared=request.param)
    people = range(1, 141)
    return request.param, [made.render([(pid, c, 0) for pid in people]) for c in range(3)]


def test_infrared_has_three_equal_channels(both):
    _, (visible, _, dark) = both
    assert np.ptp(dark.images.astype(int), axis=3).max() == 0
    assert np.ptp(visible.images.astype(int), axis=3).max() > 100
    assert set(dark.truth["modality"]) == {"infrared"}


def test_infrared_says_nothing_about_visible_brightness(both):
    one, other, dark = (mean_of(pictures, TORSO).mean(axis=1) for pictures in both[1])
    assert correlation(one, other) > 0.85
    assert abs(correlation(one, dark)) < 0.26  # three sigma over 140 people
    assert dark.std() > 15  # not because they were all alike


def test_infrared_skin_is_bright_and_nearly_the_same_for_all(both):
    kind, (visible, _, dark) = both
    faces = (visible.truth["hat"] == "none").to_numpy()
    torso = mean_of(dark, TORSO)[:, 0]
    bright = np.array([
        np.quantile(i[m == HEAD], 0.9) for i, m in zip(dark.images, dark.masks, strict=True)
    ])[faces]  # fmt: skip
    least = 0.85 if kind == "near" else 1.2
    assert np.nanmedian(bright) > least * np.nanmedian(torso)
    tones = visible.truth["skin_tone"].to_numpy(float)[faces]
    assert abs(correlation(tones, bright)) < 0.26


def test_infrared_background_sinks(both):
    """What is behind people is darker than they are; in the light of a lamp more so far off."""
    kind, (_, _, dark) = both
    grey = dark.images[..., 0].astype(float)
    behind = dark.masks == 0
    assert grey[person(dark.masks)].mean() > grey[behind].mean() + 40
    if kind == "near":
        top, bottom = behind[:, :16], behind[:, 40:56]
        assert grey[:, :16][top].mean() < grey[:, 40:56][bottom].mean()


def test_infrared_thermal_has_no_patterns():
    """Rows of striped torsos differ in near infrared, as in the light; in warmth they do not."""
    truth = world(cameras=1, resolution=(16, 16)).render(keys(300, 1)).truth
    striped = truth["top_pattern"].isin(["horizontal stripes", "check"]) & ~truth["backpack"]
    chosen = [(pid, 0, 0) for pid in truth["pid"][striped]][:40]

    def unrest(**knobs):
        images, masks, _ = world(resolution=(128, 64), **knobs).render(chosen)
        inside = (masks[:, 2:] == TORSO) & (masks[:, :-2] == TORSO)
        grey = images.astype(float).mean(axis=3)
        return np.abs(grey[:, 2:] - grey[:, :-2])[inside].mean()

    near, thermal = (
        unrest(cameras=0, infrared_cameras=1, infrared=kind) for kind in ("near", "thermal")
    )
    assert unrest(cameras=1) > 2 * thermal
    assert near > 1.3 * thermal
