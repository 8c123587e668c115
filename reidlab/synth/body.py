"""From a person and a pose to primitives: about forty tapered capsules per image, as arrays.

Body frame: x to the person's left, y up, z forward, metres, the origin on the floor between the
feet. A primitive is a *round cone* (two spheres and the cone that touches both) under an affine
map, so that one closed-form intersection serves limbs, flattened torsos, heads, shoes, skirts and
bags. A garment is a shell a little larger than the limb, cut open at its hem. All measures: ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidlab.synth import people
from reidlab.synth.columns import Columns
from reidlab.synth.draws import Array
from reidlab.synth.people import People
from reidlab.synth.vectors import Value, cos, sin, vector

# Part labels of the masks written beside each image.
PARTS = ("background", "head", "torso", "arms", "legs", "feet", "accessory", "occluder")
HEAD, TORSO, ARMS, LEGS, FEET, ACCESSORY, OCCLUDER = range(1, 8)


@dataclass
class Primitives:
    """(B, S, …) arrays: S round cones for each of B images. `present` False: the slot is empty."""

    a: Array  # (B, S, 3) centre of the first sphere
    b: Array  # (B, S, 3) centre of the second sphere
    ra: Array  # (B, S) radii
    rb: Array
    forward: Array  # (B, S, 3) direction that the local z axis leans to
    squash: Array  # (B, S, 2) scale of the local x and z axes
    low: Array  # (B, S) cut of the cone along its axis, as a share of its length; -1: capped
    high: Array  # (B, S) the same at the other end; 2: capped by a sphere
    present: NDArray[np.bool_]  # (B, S)
    material: Array  # (B, S)
    part: NDArray[np.int64]  # (S,)
    torso_frame: NDArray[np.bool_]  # (S,) pattern in the frame of the torso: it runs across slots
    solid: Solid | None = None  # what only vehicles have

    def take(self, rows: NDArray[np.int64]) -> Primitives:
        """The images `rows`."""
        kept = {name: getattr(self, name)[rows] for name in _PER_IMAGE}
        return replace(self, **kept, solid=self.solid and self.solid.take(rows))


@dataclass
class Solid(Columns):
    """The other half of a vehicle's primitives: boxes, and what its picture needs to know."""

    box: NDArray[np.bool_]  # (B, S) the slot holds a box about `a` instead of a round cone
    edges: Array  # (B, S, 3, 3) three half edges of each box, which need not be at right angles
    hull: Array  # (B, K, 3) points that a picture has to hold
    footprint: Array  # (B, 2) half width and half length on the floor, m
    panels: Array  # (B, 12) what is drawn on the paint, see `fittings.Panels`


@dataclass
class Pose(Columns):
    """(B,) arrays of joint angles in radians."""

    phase: Array  # of the walking cycle
    swing: Array  # amplitude of the thighs
    arm_swing: Array
    elbow: Array  # (B, 2) extra bend, left and right
    raise_arm: Array  # (B, 2) upper arm forward
    spread: Array  # (B, 2) upper arm away from the body
    lean: Array
    head_yaw: Array
    head_pitch: Array


def build(people: People, pose: Pose) -> Primitives:
    """Place every primitive of every image in its body frame."""
    add = _Builder(len(people), vector(0.0, 0.0, 1.0))
    joints = _stride(people, pose)
    for side in (0, 1):
        _leg(add, people, joints, side)
    _skirt(add, people, joints)
    joints |= _trunk(people, pose, joints["drop"])
    _top(add, people, joints)
    for side in (0, 1):
        joints[f"hand{side}"] = _arm(add, people, pose, joints, side)
    skull = _skull(people, pose, joints["neck"])
    _face_and_hair(add, people, skull, joints["neck"])
    _hat(add, people, skull)
    _backpack(add, people, joints)
    _bag(add, people, joints)
    _scarf(add, people, joints)
    return add.done()


_PER_IMAGE = (
    "a", "b", "ra", "rb", "forward", "squash", "low", "high", "present", "material",
)  # fmt: skip


@dataclass
class _Builder:
    """Collects primitives one slot after the other, every value broadcast to (B, …)."""

    size: int
    forward: Array
    slots: list[dict[str, Any]] = field(default_factory=list)

    def __call__(  # each is one number of the shape that is added
        self,
        part: int,
        material: Value,
        ends: tuple[Array, Array],
        radii: tuple[Value, Value],
        *,
        squash: tuple[Value, Value] = (1.0, 1.0),
        forward: Array | None = None,
        low: float = -1.0,
        high: float = 2.0,
        present: Value = True,
        torso: bool = False,
    ) -> None:
        """One round cone; the arguments are the fields of `Primitives`."""

        def wide(value: Value) -> Array:
            return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.size,))

        def place(value: Array) -> Array:
            return np.broadcast_to(value, (self.size, 3))

        self.slots.append({
            "a": place(ends[0]), "b": place(ends[1]), "ra": wide(radii[0]), "rb": wide(radii[1]),
            "squash": np.stack([wide(squash[0]), wide(squash[1])], axis=1),
            "forward": place(self.forward if forward is None else forward),
            "low": wide(low), "high": wide(high), "present": wide(present) > 0,
            "part": part, "material": wide(material), "torso_frame": torso,
        })  # fmt: skip

    def done(self) -> Primitives:
        """All slots, stacked."""
        columns: dict[str, Any] = {key: [s[key] for s in self.slots] for key in self.slots[0]}
        columns |= {key: np.stack(columns[key], axis=1) for key in _PER_IMAGE}
        columns |= {key: np.array(columns[key]) for key in ("part", "torso_frame")}
        return Primitives(**columns)


def _mix(a: Array, b: Array, share: float | Array) -> Array:
    return a + (b - a) * share


def _swing(angle: Array, outward: Value = 0.0) -> Array:
    """Direction of a limb that hangs down and is swung forward by `angle`, outward along x."""
    return vector(sin(outward), -cos(angle) * cos(outward), sin(angle) * cos(outward))


# --- legs ---------------------------------------------------------------------------------------


def _stride(p: People, pose: Pose) -> dict[str, Array]:
    """Hips, knees, ankles and toes of both sides (0 left, 1 right), the lower foot on the floor."""
    h, hip_y = p.height, p.height * p.leg
    upper, lower = hip_y * 0.49, hip_y * 0.46
    joints: dict[str, Array] = {}
    lowest = []
    for i, (side, offset) in enumerate(((1.0, 0.0), (-1.0, np.pi))):
        wave, ahead = sin(pose.phase + offset), cos(pose.phase + offset)
        thigh = pose.swing * wave * p.stride
        shin = thigh - (0.12 + pose.swing * (0.35 + 1.1 * np.maximum(0.0, ahead)))
        hip = vector(side * 0.050 * h * p.girth, hip_y, 0.0)
        knee = hip + _swing(thigh, side * 0.02) * upper[:, None]
        ankle = knee + _swing(shin, 0.0) * lower[:, None]
        pitch = np.clip(shin * 0.55, -0.9, 0.15)
        toe = vector(side * 0.022 * h, sin(pitch) * 0.085 * h, cos(pitch) * 0.090 * h)
        tip = ankle + toe
        joints |= {f"hip{i}": hip, f"knee{i}": knee, f"ankle{i}": ankle, f"tip{i}": tip}
        lowest.append(np.minimum(ankle[:, 1], tip[:, 1]))
    # The body sinks until the lower foot stands on the floor.
    sole = 0.030 * h
    drop = vector(0.0, sole * 1.15 - np.minimum(*lowest), 0.0)
    return joints | {"drop": drop}


def _leg(add: _Builder, p: People, joints: dict[str, Array], side: int) -> None:
    h, drop = p.height, joints["drop"]
    hip, knee, ankle, tip = (joints[f"{k}{side}"] + drop for k in ("hip", "knee", "ankle", "tip"))
    bare = p.bottom > 0
    cloth, slim = np.where(bare, people.SKIN, people.BOTTOM), np.where(bare, 0.92, 1.0) * p.girth
    knee_r, ankle_r = 0.036 * h * slim, np.where(bare, 0.022, 0.030) * h
    add(LEGS, cloth, (hip, knee), (0.056 * h * slim, knee_r))
    add(LEGS, cloth, (knee, ankle), (knee_r, ankle_r))
    _drape(add, p, (hip, knee, ankle))
    heel = ankle + vector(0.0, -0.006 * h, -0.020 * h)
    add(FEET, people.SHOES, (heel, tip), (0.026 * h, 0.020 * h))
    flat, sole = vector(0.0, -0.012 * h, 0.0), (0.023 * h, 0.018 * h)
    add(FEET, people.SOLE, (heel + flat, tip + flat), sole, squash=(1.15, 1.0))
    boot = (ankle, _mix(ankle, knee, 0.42)), (0.034 * h, 0.041 * h)
    add(FEET, people.SHOES, *boot, high=1.0, present=p.boots)


def _drape(add: _Builder, p: People, leg: tuple[Array, Array, Array]) -> None:
    """What hangs over a leg moves with it, so that no thigh comes through a coat or a skirt."""
    (hip, knee, ankle), h = leg, p.height
    skirt, long, coat = p.bottom >= 2, p.bottom == 3, p.top == 4
    wide = np.where(skirt, 0.064, 0.062) * h * p.girth, np.where(skirt, 0.060, 0.052) * h * p.girth
    end = _mix(hip, knee, np.where(long, 1.0, np.where(skirt, 0.66, 0.94))[:, None])
    add(LEGS, people.BOTTOM, (hip, end), wide, high=1.0, present=p.bottom >= 1, torso=True)
    shin = (knee, _mix(knee, ankle, 0.22)), (wide[1], wide[1])
    add(LEGS, people.BOTTOM, *shin, high=1.0, present=long, torso=True)
    hem = _mix(hip, knee, np.where(coat, 1.0, np.where(p.top >= 2, 0.30, 0.20))[:, None])
    over = 0.067 * h * p.girth, np.where(coat, 0.062, 0.066) * h * p.girth
    add(TORSO, people.TOP, (hip, hem), over, high=1.0, present=_hangs_out(p), torso=True)


def _hangs_out(p: People) -> Array:
    """Is the top worn over the trousers, not tucked into them?"""
    return (p.top != 5) & ~(p.tucked & (p.top <= 1))


def _skirt(add: _Builder, p: People, joints: dict[str, Array]) -> None:
    h, drop, long = p.height, joints["drop"], p.bottom == 3
    waist = (joints["hip0"] + joints["hip1"]) / 2 + drop + vector(0.0, 0.05 * h, 0.0)
    hem = vector(0.0, np.where(long, 0.20, 0.34) * (h * p.leg) / 0.5, 0.0) + drop
    knees = 0.5 * (joints["knee0"] + joints["knee1"]) + drop
    hem[:, 2] = 0.3 * knees[:, 2]
    add(
        LEGS, people.BOTTOM, (waist, hem), (0.075 * h * p.girth, np.where(long, 0.135, 0.118) * h),
        squash=(1.15, 0.9), high=1.0, present=p.bottom >= 2, torso=True,
    )  # fmt: skip


# --- trunk and arms -----------------------------------------------------------------------------


def _trunk(p: People, pose: Pose, drop: Array) -> dict[str, Array]:
    """The spine from the hips to the neck, the shoulders, and how thick the clothes make it all."""
    h = p.height
    lean = vector(0.0, 0.0, sin(pose.lean))
    hips = vector(0.0, h * p.leg, 0.0) + drop
    waist = hips + vector(0.0, 0.095 * h, 0.0) + lean * 0.10 * h[:, None]
    chest = hips + vector(0.0, 0.235 * h, 0.0) + lean * 0.24 * h[:, None]
    neck = hips + vector(0.0, 0.318 * h, 0.0) + lean * 0.33 * h[:, None]
    coat, dress = p.top == 4, p.top == 5
    bulk = np.where((p.top >= 2) & ~dress, 1.08, 1.0) * np.where(coat, 1.04, 1.0)
    half = h * p.shoulders * bulk
    left, right = (chest + vector(side * half, 0.042 * h, 0.0) for side in (1.0, -1.0))
    return {
        "hips": hips, "waist": waist, "chest": chest, "neck": neck,
        "shoulder0": left, "shoulder1": right, "bulk": bulk, "thick": h * p.girth * bulk,
    }  # fmt: skip


def _top(add: _Builder, p: People, joints: dict[str, Array]) -> None:
    h, bulk, thick = p.height, joints["bulk"], p.height * p.girth
    hips, waist, chest, neck = (joints[key] for key in ("hips", "waist", "chest", "neck"))
    coat, dress = p.top == 4, p.top == 5
    waist_r = (0.080 - 0.014 * p.curves) * thick * bulk
    chest_r = (0.088 + 0.004 * p.curves) * thick * bulk
    depth = 0.68 + 0.06 * (p.girth - 1.0)
    tucked = p.tucked & (p.top <= 1) & ~dress
    lower = np.where(tucked, people.BOTTOM, people.TOP)

    def up(share: float, back: float = 0.0) -> Array:
        return vector(0.0, share * h, back * h)

    add(TORSO, people.TOP, (waist, chest), (waist_r, chest_r), squash=(1.12, depth), torso=True)
    add(TORSO, lower, (hips, waist), (0.079 * thick * bulk, waist_r),
                squash=(1.12, depth + 0.04), torso=True)  # fmt: skip
    slope = 0.036 * h * bulk, 0.034 * h * bulk
    for side in (0, 1):  # from the neck down to the arm
        add(TORSO, people.TOP, (neck + up(-0.016), joints[f"shoulder{side}"]), slope, torso=True)
    add(TORSO, people.TOP, (chest + up(0.020), neck + up(-0.02)), (0.080 * h * bulk, 0.036 * h),
                squash=(1.15, 0.78), torso=True)  # fmt: skip
    # Hem: shirts that hang out, jackets over the hips, coats to the knee.
    length = np.where(coat, 0.27, np.where(p.top >= 2, 0.075, 0.05))
    hem = hips + vector(0.0, -length * h, 0.0)
    hem_r = (0.088 + np.where(coat, 0.030, 0.004)) * thick * bulk
    over = depth + np.where(p.bottom >= 2, 0.36, 0.16)  # a skirt stands off, its top with it
    add(TORSO, people.TOP, (waist, hem), (waist_r * 1.04, hem_r), squash=(1.26, over),
                high=1.0, present=_hangs_out(p), torso=True)  # fmt: skip
    collar = (p.top >= 2) & (p.top <= 4)
    add(TORSO, people.TOP, (neck + up(-0.010, -0.004), neck + up(0.018)), (0.042 * h, 0.044 * h),
                present=collar, low=0.0, high=1.0, torso=True)  # fmt: skip
    hood = neck + up(-0.012, -0.050), neck + up(0.012, -0.062)
    add(TORSO, people.TOP, hood, (0.048 * h, 0.030 * h), squash=(1.2, 0.8),
                present=p.hood & collar & (p.hair < 2))  # fmt: skip


def _arm(add: _Builder, p: People, pose: Pose, joints: dict[str, Array], side: int) -> Array:
    """One arm; returns where its hand ends."""
    h, aside, offset = p.height, (1.0, -1.0)[side], (np.pi, 0.0)[side]
    short = (p.top == 0) | (p.top == 5)
    cloth = np.where(short, people.SKIN, people.SLEEVE)
    bulk = np.where(short, 0.86, np.where(p.top >= 2, 1.15, 1.0)) * (0.6 + 0.4 * p.girth)
    wave = pose.arm_swing * sin(pose.phase + offset)
    swing = wave + pose.raise_arm[:, side]
    bend = swing + 0.22 + 0.5 * np.maximum(0.0, wave) + pose.elbow[:, side]
    spread = pose.spread[:, side]
    start = joints[f"shoulder{side}"] + vector(0.0, -0.004 * h, 0.0)
    elbow = start + _swing(swing, aside * spread) * 0.172 * h[:, None]
    inward = -aside * 0.45 * np.clip(pose.elbow[:, side], 0.0, 1.2)
    wrist = elbow + _swing(bend, inward + aside * 0.4 * spread) * 0.150 * h[:, None]
    hand = wrist + _swing(bend, inward) * 0.030 * h[:, None]
    add(ARMS, cloth, (start, elbow), (0.035 * h * bulk, 0.029 * h * bulk))
    add(ARMS, cloth, (elbow, wrist), (0.029 * h * bulk, 0.022 * h * bulk))
    sleeve = (start, _mix(start, elbow, 0.72)), (0.036 * h, 0.040 * h)
    add(ARMS, people.SLEEVE, *sleeve, high=1.0, present=short)
    add(ARMS, people.SKIN, (wrist, hand), (0.019 * h, 0.022 * h), squash=(0.75, 1.1))
    return hand


# --- head ---------------------------------------------------------------------------------------


class _Skull(NamedTuple):
    """(B, 3) two points of the head and two directions."""

    chin: Array
    crown: Array
    facing: Array
    back: Array


def _skull(p: People, pose: Pose, neck: Array) -> _Skull:
    h = p.height
    facing = vector(sin(pose.head_yaw), sin(pose.head_pitch), cos(pose.head_yaw))
    chin = neck + vector(0.0, 0.058 * h, 0.012 * h)
    crown = chin + vector(0.0, 0.040 * h, -0.004 * h)
    return _Skull(chin, crown, facing, back=-facing * np.array([1.0, 0.0, 1.0]))


def _face_and_hair(add: _Builder, p: People, skull: _Skull, neck: Array) -> None:
    h, (chin, crown, facing, back) = p.height, skull
    throat = neck + vector(0.0, -0.02 * h, 0.0)
    add(HEAD, people.SKIN, (throat, chin), (0.030 * h, 0.029 * h))
    add(HEAD, people.FACE, (chin, crown), (0.037 * h, 0.045 * h), squash=(0.92, 1.02),
                forward=facing)  # fmt: skip
    # Hair: a cap set back and up, so that the face stays free; bob and long hair fall behind.
    top = crown + back * (0.012 * h)[:, None] + vector(0.0, 0.010 * h, 0.0)
    nape = chin + back * (0.018 * h)[:, None] + vector(0.0, 0.008 * h, 0.0)
    add(HEAD, people.HAIR, (nape, top), (0.040 * h, 0.046 * h), squash=(1.0, 0.98),
                forward=facing, present=p.hair > 0)  # fmt: skip
    long = p.hair == 3
    fall = np.where(long, -0.075, 0.005)
    ends = neck + back * (0.058 * h)[:, None] + vector(0.0, fall * h, 0.0)
    radii = 0.046 * h, np.where(long, 0.040, 0.046) * h
    add(HEAD, people.HAIR, (nape + back * (0.006 * h)[:, None], ends), radii, squash=(1.12, 0.72),
                forward=facing, present=p.hair >= 2)  # fmt: skip


def _hat(add: _Builder, p: People, skull: _Skull) -> None:
    h, facing, up = p.height, skull.facing, vector(0.0, 1.0, 0.0)
    brim, peak = p.hat == 3, p.hat == 1
    cap = skull.crown + vector(0.0, 0.014 * h, 0.0) + skull.back * (0.004 * h)[:, None]
    add(HEAD, people.HAT, (cap, cap + vector(0.0, 0.016 * h, 0.0)), (0.050 * h, 0.046 * h),
                forward=facing, present=p.hat > 0)  # fmt: skip
    disc, aside = cap + vector(0.0, 0.004 * h, 0.0), np.array([1e-4, 0.0, 0.0])
    add(HEAD, people.HAT, (disc, disc + aside), (0.080 * h, 0.080 * h), squash=(1.0, 0.12),
                forward=up, present=brim)  # fmt: skip
    reach = np.where(peak, 0.050, 0.0)[:, None] * h[:, None]
    tip = disc + facing * reach * 1.5 + vector(0.0, -0.004 * h, 0.0)
    add(HEAD, people.HAT, (disc + facing * (0.02 * h)[:, None], tip), (0.026 * h, 0.016 * h),
                squash=(1.4, 0.3), forward=up, present=peak)  # fmt: skip


# --- accessories --------------------------------------------------------------------------------


def _backpack(add: _Builder, p: People, joints: dict[str, Array]) -> None:
    h, chest, depth = p.height, joints["chest"], 0.062 * joints["thick"]
    behind = chest + vector(0.0, -0.015 * h, -(depth + 0.045 * h))
    low, high = behind + vector(0.0, -0.075 * h, 0.0), behind + vector(0.0, 0.045 * h, 0.012 * h)
    add(ACCESSORY, people.BACKPACK, (low, high), (0.072 * h, 0.062 * h), squash=(1.05, 0.74),
                present=p.backpack, torso=True)  # fmt: skip
    pocket = behind + vector(0.0, -0.075 * h, -0.050 * h)
    ends = pocket, pocket + vector(0.0, 0.04 * h, 0.0)
    add(ACCESSORY, people.BACKPACK, ends, (0.042 * h, 0.038 * h), squash=(1.1, 0.5),
                present=p.backpack, torso=True)  # fmt: skip
    for side in (1.0, -1.0):  # straps
        over = chest + vector(side * 0.058 * h, 0.088 * h, 0.010 * h)
        front = chest + vector(side * 0.062 * h, 0.035 * h, depth + 0.014 * h)
        under = chest + vector(side * 0.066 * h, -0.080 * h, depth + 0.012 * h)
        add(ACCESSORY, people.BACKPACK, (over, front), (0.014 * h, 0.013 * h), present=p.backpack)
        add(ACCESSORY, people.BACKPACK, (front, under), (0.013 * h, 0.011 * h), present=p.backpack)


def _bag(add: _Builder, p: People, joints: dict[str, Array]) -> None:
    h = p.height
    hand = np.where((p.bag_side > 0)[:, None], joints["hand0"], joints["hand1"])
    body = hand + vector(p.bag_side * 0.010 * h, -0.085 * h, 0.0)
    ends = body + vector(0.0, 0.0, -0.045 * h), body + vector(0.0, 0.0, 0.045 * h)
    add(ACCESSORY, people.BAG, ends, (0.052 * h, 0.052 * h), squash=(0.5, 1.0),
                forward=vector(0.0, 1.0, 0.0), present=p.bag)  # fmt: skip
    for end in (-0.04, 0.04):  # handles
        handle = body + vector(0.0, 0.045 * h, end * h), hand + vector(0.0, -0.01 * h, 0.0)
        add(ACCESSORY, people.BAG, handle, (0.006 * h, 0.006 * h), present=p.bag)


def _scarf(add: _Builder, p: People, joints: dict[str, Array]) -> None:
    h, neck, depth = p.height, joints["neck"], 0.062 * joints["thick"]
    round_neck = neck + vector(0.0, 0.000, 0.004 * h), neck + vector(0.0, 0.030 * h, 0.006 * h)
    add(ACCESSORY, people.SCARF, round_neck, (0.056 * h, 0.050 * h), squash=(1.0, 0.9),
                present=p.scarf)  # fmt: skip
    start = neck + vector(0.020 * h, 0.0, 0.046 * h)
    end = neck + vector(0.030 * h, -0.150 * h, depth + 0.018 * h)
    add(ACCESSORY, people.SCARF, (start, end), (0.022 * h, 0.026 * h), squash=(1.0, 0.5),
                present=p.scarf)  # fmt: skip
