"""The closed-form ray caster against its definition: a round cone is a union of spheres."""

import numpy as np
import pytest
import torch

from reidlab.synth import World, raycast
from reidlab.synth.raycast import NOTHING, TILE, Rays, Shapes
from reidlab.synth.scene import Scene
from reidlab.synth.stage import Stage

SIDE = 24  # samples along the side of a test picture
WHOLE = 1e6


# --- an oracle in float64: march along each ray until the distance is gone ----------------------


def cone_distance(p, length, ra, rb):
    """Distance of (N, 3) points from the union of all spheres in between, by golden section."""
    low, high, ratio = np.zeros(len(p)), np.ones(len(p)), (5**0.5 - 1) / 2

    def distance(s):
        centre = np.stack([0 * s, s * length, 0 * s], axis=1)
        return np.linalg.norm(p - centre, axis=1) - (ra + s * (rb - ra))

    for _ in range(30):
        one, two = high - ratio * (high - low), low + ratio * (high - low)
        left = distance(one) < distance(two)
        low, high = np.where(left, low, one), np.where(left, two, high)
    ends = np.zeros(len(p)), np.ones(len(p))
    return np.minimum.reduce([distance(x) for x in (low, high, *ends)])


def box_distance(p):
    q = np.abs(p) - 1.0
    outside = np.linalg.norm(np.maximum(q, 0.0), axis=1)
    return outside + np.minimum(q.max(axis=1), 0.0)


def march(distance, origin, directions, end=30.0):
    """Depth of the first hit of each ray (inf: none)."""
    t, speed = np.zeros(len(directions)), np.linalg.norm(directions, axis=1)
    for _ in range(120):
        t = np.minimum(t + distance(origin + t[:, None] * directions) / speed, 2 * end)
    hit = distance(origin + t[:, None] * directions) < 1e-4
    return np.where(hit & (t < end), t, np.inf)


def lateral(origin, directions, length, ra, rb, low, high):
    """First entry through the tangent cone between two cuts, by walking in small steps."""
    sine = (ra - rb) / length
    # The cone spans at most what lies between the circles where it touches the spheres.
    bottom, top = max(low * length, ra * sine), min(high * length, length + rb * sine)
    t = np.linspace(3.0, 8.0, 20001)  # m: steps of a quarter of a millimetre
    out = np.full(len(directions), np.inf)
    for i, d in enumerate(directions):
        x, y, z = (origin[k] + t * d[k] for k in range(3))
        value = np.hypot(x, z) * np.sqrt(1 - sine**2) + sine * y - ra
        for k in np.flatnonzero((value[:-1] > 0) & (value[1:] <= 0))[:1]:
            share = value[k] / (value[k] - value[k + 1])
            height = y[k] + share * (y[k + 1] - y[k])
            if bottom <= height <= top:
                out[i] = t[k] + share * (t[k + 1] - t[k])
    return out


# --- hand-made bundles of rays and primitives ---------------------------------------------------


def rays(angle=0.5):
    """SIDE x SIDE rays from the origin along +z, `angle` the tangent from centre to edge."""
    step = 2 * angle / SIDE
    start = [-angle + step / 2, angle - step / 2, 1.0]
    as_tensor = [torch.tensor([v]) for v in ([0.0, 0.0, 0.0], start, [step, 0, 0], [0, -step, 0])]
    return Rays(*as_tensor, columns=SIDE, rows=SIDE)


def directions(bundle):
    column, row = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    start, right, down = (v[0].double().numpy() for v in (bundle.start, bundle.right, bundle.down))
    return (start + column[..., None] * right + row[..., None] * down).reshape(-1, 3)


def shapes(specs):
    """One image of primitives, each a dict; whatever is missing is a unit sphere-like cone."""

    def column(name, default):
        return torch.tensor([[spec.get(name, default) for spec in specs]], dtype=torch.float32)

    n = len(specs)
    return Shapes(
        matrix=torch.stack([torch.tensor(s.get("matrix", np.eye(3))) for s in specs])[None].float(),
        anchor=torch.tensor(np.array([[s["anchor"] for s in specs]])).float(),
        length=column("length", 1e-5), ra=column("ra", 1.0), rb=column("rb", 1.0),
        low=column("low", -1.0), high=column("high", 2.0),
        is_box=torch.tensor([[s.get("box", False) for s in specs]]),
        bounds=torch.tensor([0.0, WHOLE, 0.0, WHOLE]).expand(1, n, 4),
        segment=torch.tensor([0.0, 0.0, 0.0, 0.0, WHOLE]).expand(1, n, 5),
        present=torch.ones(1, n, dtype=torch.bool),
    )  # fmt: skip


def cast(bundle, what):
    """(SIDE², ) depth (inf: nothing) and slot (-1) of the library, in rows of samples."""
    keys = raycast.visible(bundle, what, raycast.canonical_rays(bundle, what)).keys
    across = SIDE // TILE
    keys = keys.reshape(TILE, TILE, across, across).permute(2, 0, 3, 1).reshape(-1)
    hit = (keys != NOTHING).numpy()
    with np.errstate(divide="ignore"):
        depth = 1.0 / raycast.nearness_of(keys).numpy().astype(float)
    return np.where(hit, depth, np.inf), np.where(hit, raycast.slot_of(keys).numpy(), -1)


def expected(bundle, specs):
    depths = []
    for spec in specs:
        matrix = np.asarray(spec.get("matrix", np.eye(3)), dtype=np.float32).astype(float)
        origin = matrix @ -np.asarray(spec["anchor"], dtype=np.float32).astype(float)
        d = directions(bundle) @ matrix.T
        if spec.get("box"):
            depths.append(march(box_distance, origin, d))
            continue
        length, ra, rb = (spec[k] for k in ("length", "ra", "rb"))
        low, high = spec.get("low", -1.0), spec.get("high", 2.0)
        if low < 0 and high > 1.5:
            depths.append(march(lambda p, s=(length, ra, rb): cone_distance(p, *s), origin, d))
            continue
        found = lateral(origin, d, length, ra, rb, max(low, 0.0), min(high, 1.0))
        for kept, centre, radius in ((low < 0, 0.0, ra), (high > 1.5, length, rb)):
            if kept:
                ball = np.array([0.0, centre, 0.0])
                sphere = march(
                    lambda p, c=ball, r=radius: np.linalg.norm(p - c, axis=1) - r, origin, d
                )
                found = np.minimum(found, sphere)
        depths.append(found)
    return np.stack(depths)


def turn(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q


def random_specs(seed):
    rng = np.random.default_rng(seed)
    specs = []
    for kind in ("cone", "cone", "cone", "cone", "box", "box"):
        anchor = np.array([*rng.uniform(-1.6, 1.6, 2), rng.uniform(4.0, 9.0)])
        if kind == "box":
            half = rng.uniform(0.2, 0.8, 3)
            specs.append({"anchor": anchor, "matrix": turn(rng) / half[:, None], "box": True})
        else:
            squash = np.array([rng.uniform(0.5, 1.4), 1.0, rng.uniform(0.5, 1.4)])
            specs.append(
                {
                    "anchor": anchor, "matrix": turn(rng) / squash[:, None],
                    "length": rng.uniform(0.5, 2), "ra": rng.uniform(0.2, 0.6),
                    "rb": rng.uniform(0.2, 0.6),
                }
            )  # fmt: skip
    return specs


def at_an_edge(label):
    """(SIDE²,) True where one of the eight neighbours shows something else."""
    grid = np.pad(label.reshape(SIDE, SIDE), 1, mode="edge")
    around = [
        grid[1 + i : SIDE + 1 + i, 1 + j : SIDE + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)
    ]
    return np.any([a != around[4] for a in around], axis=0).reshape(-1)


@pytest.mark.parametrize("seed", range(4))
def test_random_primitives_agree_with_marching(seed):
    bundle, specs = rays(), random_specs(seed)
    truth = expected(bundle, specs)
    nearest = np.where(np.isinf(truth.min(axis=0)), -1, truth.argmin(axis=0))
    depth, slot = cast(bundle, shapes(specs))
    assert len(set(nearest)) > 4, "the case is too easy: nothing but background"
    differs = slot != nearest
    assert np.all(at_an_edge(nearest)[differs])
    assert differs.mean() < 0.01
    hit = ~differs & (slot >= 0)
    error = np.abs(depth[hit] - truth.min(axis=0)[hit])
    assert np.quantile(error, 0.98) < 1e-3  # metres; depth keeps 16 bits
    assert error.max() < 0.05  # where a ray grazes


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (0.0, 2.0)], ids=["hem", "collar", "open below"]
)
def test_a_cut_garment_is_open_at_its_cut(low, high):
    """Seen from the side and a little from above, as cameras do."""
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, 0.94, -0.34], [0.0, 0.34, 0.94]])
    spec = {"anchor": np.array([0.1, -0.6, 5.0]), "matrix": tilt, "length": 1.4, "ra": 0.5,
            "rb": 0.7, "low": low, "high": high}  # fmt: skip
    bundle = rays(0.35)
    truth = expected(bundle, [spec])[0]
    depth, slot = cast(bundle, shapes([spec]))
    capped = cast(bundle, shapes([spec | {"low": -1.0, "high": 2.0}]))[1]
    assert np.sum(capped >= 0) > np.sum(slot >= 0) > 50  # a cap less, a smaller shape
    differs = (slot >= 0) != np.isfinite(truth)
    assert differs.mean() < 0.01
    both = ~differs & (slot >= 0)
    error = np.abs(depth[both] - truth[both])
    assert np.quantile(error, 0.95) < 1e-3
    assert error.max() < 0.05  # where a ray grazes


def test_a_sphere_straight_ahead_is_hit_where_it_should_be():
    # Centre at 5 m, radius 1: the middle rays meet it at 4 m, and rays beyond asin(1/5) miss it.
    depth, slot = cast(rays(), shapes([{"anchor": (0.0, 0.0, 5.0)}]))
    square = np.sum(directions(rays())[:, :2] ** 2, axis=1)  # of how far a ray is aside at 1 m
    np.testing.assert_array_equal(slot == 0, np.sqrt(square) < np.tan(np.arcsin(0.2)))
    hit = slot == 0
    by_hand = (5 - np.sqrt(25 - 24 * (1 + square[hit]))) / (1 + square[hit])
    assert by_hand.min() == pytest.approx(4.0, abs=0.01)
    np.testing.assert_allclose(depth[hit], by_hand, atol=2e-4)


def test_a_nearer_box_hides_it():
    sphere = {"anchor": (0.0, 0.0, 5.0)}
    box = {"anchor": (0.0, 0.0, 3.0), "matrix": np.diag([2.0, 2.0, 2.0]), "box": True}  # 1 m wide
    for specs in ([sphere, box], [box, sphere]):
        depth, slot = cast(rays(), shapes(specs))
        front = slot == (0 if specs[0] is box else 1)
        middle = np.abs(directions(rays())[:, :2]).max(axis=1) < 0.19
        assert front[middle].all()
        np.testing.assert_allclose(depth[middle], 2.5, rtol=1e-4)


def test_what_is_behind_the_camera_or_absent_is_not_seen():
    behind = {"anchor": (0.0, 0.0, -5.0)}
    boxed = {"anchor": (0.0, 0.0, -5.0), "box": True}
    what = shapes([behind, boxed, {"anchor": (0.0, 0.0, 5.0)}])
    what.present[0, 2] = False
    depth, slot = cast(rays(), what)
    assert np.all(slot == -1)
    assert np.all(np.isinf(depth))


def test_equal_depths_fall_to_the_lower_slot():
    twin = {"anchor": (0.0, 0.0, 5.0)}
    _, slot = cast(rays(), shapes([twin, twin]))
    assert set(slot) == {-1, 0}


def test_an_image_has_room_for_127_primitives():
    """A grid of small spheres, each a little nearer than the last: every slot comes back."""
    count = raycast.SLOTS - 1
    specs = [
        {"anchor": (0.18 * (i % 12 - 5.5), 0.18 * (i // 12 - 5), 6.0 - 0.001 * i), "ra": 0.08,
         "rb": 0.08} for i in range(count)
    ]  # fmt: skip
    depth, slot = cast(rays(0.18), shapes(specs))
    assert set(slot) == {-1, *range(count)}
    nearest = np.array([depth[slot == i].min() for i in range(count)])
    np.testing.assert_allclose(nearest, 5.94 - 0.001 * np.arange(count), atol=0.02)
    twin = {"anchor": (0.0, 0.0, 5.0)}
    _, slot = cast(rays(), shapes([{"anchor": (0.0, 0.0, -5.0)}] * (count - 2) + [twin, twin]))
    assert set(slot) == {-1, count - 2}


def test_a_sphere_that_swallows_the_other_is_seen_alone():
    for ra, rb, centre in ((1.0, 0.3, 0.0), (0.3, 1.0, 0.5)):
        spec = {"anchor": (0.0, 0.0, 5.0), "ra": ra, "rb": rb, "length": 0.5}
        alone = {"anchor": (0.0, centre, 5.0), "ra": 1.0, "rb": 1.0}
        (depth, slot), (expected_depth, expected_slot) = (
            cast(rays(), shapes([s])) for s in (spec, alone)
        )
        np.testing.assert_array_equal(slot, expected_slot)
        np.testing.assert_allclose(depth[slot == 0], expected_depth[slot == 0], rtol=1e-4)


@pytest.mark.parametrize("style", ["plaza", "random"])
def test_culling_drops_nothing(style, monkeypatch):
    world = World(seed=21, cameras=4, infrared_cameras=1, occlusion=1.0, pose=1.5, style=style)
    keys = [(pid, pid % 5, 0) for pid in range(1, 7)]
    people = world.people([pid for pid, _, _ in keys])
    cameras = world.all_cameras.take(np.array([camid for _, camid, _ in keys]))
    stage = Stage(people, cameras, world.shots(keys, cameras), (64, 32))
    scene = Scene(stage, torch.device("cpu"))
    culled = raycast.visible(scene.rays, scene.shapes, scene.frames).keys
    candidates = raycast._candidates

    def everywhere(bounds, segment, across, down):
        bounds = torch.tensor([0.0, WHOLE, 0.0, WHOLE]).expand_as(bounds)
        segment = torch.tensor([0.0] * 4 + [WHOLE]).expand_as(segment)
        return candidates(bounds, segment, across, down)

    monkeypatch.setattr(raycast, "_candidates", everywhere)
    monkeypatch.setattr(raycast, "_grazed", lambda square, x, y: x == x)
    everything = raycast.visible(scene.rays, scene.shapes, scene.frames).keys
    assert torch.equal(culled, everything)
    assert (culled != NOTHING).float().mean() > 0.2
