"""From a person and a pose to primitives: about forty tapered capsules per image, as arrays.

Body frame: x to the person's left, y up, z forward, metres, the origin on the floor between the feet.
A primitive is a *round cone* (two spheres and the cone that touches both) under an affine map, so that
one closed-form intersection serves limbs, flattened torsos, heads, shoes, skirts and bags. A garment is a
shell a little larger than the limb, cut open at its hem.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .draws import Array
from .people import (
    BACKPACK,
    BAG,
    BOTTOM,
    FACE,
    HAIR,
    HAT,
    SCARF,
    SHOES,
    SKIN,
    SLEEVE,
    SOLE,
    TOP,
    People,
)

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
    low: Array  # (B, S) cut of the cone along its axis, as a share of its length; -1: capped by a sphere
    high: Array  # (B, S) the same at the other end; 2: capped
    present: Array  # (B, S) bool
    part: Array  # (S,)
    material: Array  # (B, S)
    torso_frame: Array  # (S,) bool: pattern in the frame of the torso, so that it runs across slots


@dataclass
class Pose:
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


@dataclass
class _Builder:
    """Collects primitives one slot after the other, every value broadcast to (B, …)."""

    size: int
    forward: Array
    slots: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        part: int,
        material: int | Array,
        a: Array,
        b: Array,
        ra: Array | float,
        rb: Array | float,
        *,
        squash: tuple[Array | float, Array | float] = (1.0, 1.0),
        forward: Array | None = None,
        low: float = -1.0,
        high: float = 2.0,
        present: Array | bool = True,
        torso: bool = False,
    ) -> None:
        def wide(value: Any) -> Array:
            return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.size,))

        self.slots.append(
            {
                "a": np.broadcast_to(a, (self.size, 3)), "b": np.broadcast_to(b, (self.size, 3)),
                "ra": wide(ra), "rb": wide(rb), "squash": np.stack([wide(squash[0]), wide(squash[1])], axis=1),
                "forward": np.broadcast_to(self.forward if forward is None else forward, (self.size, 3)),
                "low": wide(low), "high": wide(high), "present": wide(present) > 0,
                "part": part, "material": wide(material), "torso_frame": torso,
            }
        )  # fmt: skip

    def done(self) -> Primitives:
        def stack(key: str) -> Array:
            return np.stack([slot[key] for slot in self.slots], axis=1)

        per_slot = {
            key: np.array([slot[key] for slot in self.slots]) for key in ("part", "torso_frame")
        }
        arrays = {key: stack(key) for key in
                  ("a", "b", "ra", "rb", "forward", "squash", "low", "high", "present", "material")}  # fmt: skip
        return Primitives(**arrays, **per_slot)


def _vector(x: Array | float, y: Array | float, z: Array | float) -> Array:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)


def _mix(a: Array, b: Array, share: float) -> Array:
    return a + (b - a) * share


def _swing(angle: Array, outward: Array | float = 0.0) -> Array:
    """Direction of a limb that hangs down and is swung forward by `angle`, outward along x."""
    return _vector(
        np.sin(outward), -np.cos(angle) * np.cos(outward), np.sin(angle) * np.cos(outward)
    )


def build(people: People, pose: Pose) -> Primitives:
    """Place every primitive of every image in its body frame."""
    builder = _Builder(len(people), _vector(0.0, 0.0, 1.0))
    joints = _legs(builder, people, pose)
    joints |= _torso(builder, people, pose, joints["drop"])
    _arms(builder, people, pose, joints)
    _head(builder, people, pose, joints)
    _accessories(builder, people, joints)
    return builder.done()


def _legs(builder: _Builder, p: People, pose: Pose) -> dict[str, Array]:
    h, hip_y = p.height, p.height * p.leg
    upper, lower = hip_y * 0.49, hip_y * 0.46
    skirt, shorts, long_skirt = p.bottom == 2, p.bottom == 1, p.bottom == 3
    bare = np.where(skirt | shorts | long_skirt, SKIN, BOTTOM)
    knees, ankles, hips, tips = [], [], [], []
    for side, offset in ((1.0, 0.0), (-1.0, np.pi)):
        wave, ahead = np.sin(pose.phase + offset), np.cos(pose.phase + offset)
        thigh = pose.swing * wave * p.stride
        knee = thigh - (0.12 + pose.swing * (0.35 + 1.1 * np.maximum(0.0, ahead)))
        hip = _vector(side * 0.050 * h * p.girth, hip_y, 0.0)
        hips.append(hip)
        knees.append(hip + _swing(thigh, side * 0.02) * upper[:, None])
        ankles.append(knees[-1] + _swing(knee, 0.0) * lower[:, None])
        pitch = np.clip(knee * 0.55, -0.9, 0.15)
        toe = _vector(side * 0.022 * h, np.sin(pitch) * 0.085 * h, np.cos(pitch) * 0.090 * h)
        tips.append(ankles[-1] + toe)
    # The body sinks until the lower foot stands on the floor.
    sole = 0.030 * h
    lowest = np.minimum.reduce(
        [np.minimum(x[:, 1], y[:, 1]) for x, y in zip(ankles, tips, strict=True)]
    )
    drop = _vector(0.0, sole * 1.15 - lowest, 0.0)
    for side in (0, 1):
        hip, knee_at, ankle, tip = (x[side] + drop for x in (hips, knees, ankles, tips))
        fabric = np.where(bare == SKIN, 0.92, 1.0) * p.girth
        builder.add(LEGS, bare, hip, knee_at, 0.056 * h * fabric, 0.036 * h * fabric)
        builder.add(
            LEGS, bare, knee_at, ankle, 0.036 * h * fabric, np.where(bare == SKIN, 0.022, 0.030) * h
        )
        builder.add(LEGS, BOTTOM, hip, _mix(hip, knee_at, 0.94), 0.062 * h * p.girth, 0.052 * h * p.girth,
                    high=1.0, present=shorts)  # fmt: skip
        heel = ankle + _vector(0.0, -0.006 * h, -0.020 * h)
        builder.add(FEET, SHOES, heel, tip, 0.026 * h, 0.020 * h)
        flat = _vector(0.0, -0.012 * h, 0.0)
        builder.add(FEET, SOLE, heel + flat, tip + flat, 0.023 * h, 0.018 * h, squash=(1.15, 1.0))
        builder.add(
            FEET,
            SHOES,
            ankle,
            _mix(ankle, knee_at, 0.42),
            0.030 * h,
            0.037 * h,
            high=1.0,
            present=p.boots,
        )
    middle = (hips[0] + hips[1]) / 2 + drop
    hem = _vector(0.0, np.where(long_skirt, 0.20, 0.34) * hip_y / 0.5, 0.0) + drop
    swing = 0.5 * (knees[0] + knees[1]) + drop
    hem[:, 2] = 0.3 * swing[:, 2]
    builder.add(
        LEGS, BOTTOM, middle + _vector(0.0, 0.05 * h, 0.0), hem, 0.075 * h * p.girth,
        np.where(long_skirt, 0.135, 0.118) * h, squash=(1.15, 0.9), high=1.0, present=skirt | long_skirt, torso=True,
    )  # fmt: skip
    return {
        "drop": drop,
        "hips": middle,
        "ankle_left": ankles[0] + drop,
        "ankle_right": ankles[1] + drop,
    }


def _torso(builder: _Builder, p: People, pose: Pose, drop: Array) -> dict[str, Array]:
    h = p.height
    lean = _vector(0.0, 0.0, np.sin(pose.lean))
    hips = _vector(0.0, h * p.leg, 0.0) + drop
    waist = hips + _vector(0.0, 0.095 * h, 0.0) + lean * 0.10 * h[:, None]
    chest = hips + _vector(0.0, 0.235 * h, 0.0) + lean * 0.24 * h[:, None]
    neck = hips + _vector(0.0, 0.318 * h, 0.0) + lean * 0.33 * h[:, None]
    thick = h * p.girth
    coat, dress = p.top == 4, p.top == 5
    bulk = np.where((p.top >= 2) & ~dress, 1.08, 1.0) * np.where(coat, 1.04, 1.0)
    waist_r = (0.080 - 0.014 * p.curves) * thick * bulk
    chest_r = (0.088 + 0.004 * p.curves) * thick * bulk
    depth = 0.68 + 0.06 * (p.girth - 1.0)
    lower = np.where(dress, TOP, np.where(p.tucked & (p.top <= 1), BOTTOM, TOP))
    builder.add(TORSO, TOP, waist, chest, waist_r, chest_r, squash=(1.12, depth), torso=True)
    builder.add(
        TORSO,
        lower,
        hips,
        waist,
        0.079 * thick * bulk,
        waist_r,
        squash=(1.12, depth + 0.04),
        torso=True,
    )
    half = h * p.shoulders * bulk
    left, right = chest + _vector(half, 0.042 * h, 0.0), chest + _vector(-half, 0.042 * h, 0.0)
    for shoulder in (left, right):  # from the neck down to the arm
        builder.add(
            TORSO,
            TOP,
            neck + _vector(0.0, -0.016 * h, 0.0),
            shoulder,
            0.036 * h * bulk,
            0.034 * h * bulk,
            torso=True,
        )
    builder.add(TORSO, TOP, chest + _vector(0.0, 0.020 * h, 0.0), neck + _vector(0.0, -0.02 * h, 0.0), 0.080 * h * bulk,
                0.036 * h, squash=(1.15, 0.78), torso=True)  # fmt: skip
    # Hem: shirts that hang out, jackets over the hips, coats to the knee.
    length = np.where(coat, 0.27, np.where(p.top >= 2, 0.075, 0.05))
    hem = hips + _vector(0.0, -length * h, 0.0)
    builder.add(
        TORSO, TOP, waist, hem, waist_r * 1.04, (0.088 + np.where(coat, 0.030, 0.004)) * thick * bulk,
        squash=(1.26, depth + 0.16), high=1.0, present=(lower == TOP) & ~dress, torso=True,
    )  # fmt: skip
    collar = (p.top >= 2) & (p.top <= 4)
    builder.add(TORSO, TOP, neck + _vector(0.0, -0.010 * h, -0.004 * h), neck + _vector(0.0, 0.018 * h, 0.0),
                0.042 * h, 0.044 * h, present=collar, low=0.0, high=1.0, torso=True)  # fmt: skip
    builder.add(TORSO, TOP, neck + _vector(0.0, -0.012 * h, -0.050 * h), neck + _vector(0.0, 0.012 * h, -0.062 * h),
                0.048 * h, 0.030 * h, squash=(1.2, 0.8), present=p.hood & collar)  # fmt: skip
    return {
        "neck": neck,
        "chest": chest,
        "waist": waist,
        "left": left,
        "right": right,
        "thick": thick * bulk,
    }


def _arms(builder: _Builder, p: People, pose: Pose, joints: dict[str, Array]) -> None:
    h = p.height
    short = (p.top == 0) | (p.top == 5)
    cloth = np.where(short, SKIN, SLEEVE)
    bulk = np.where(short, 0.86, np.where(p.top >= 2, 1.15, 1.0)) * (0.6 + 0.4 * p.girth)
    for i, (side, shoulder, offset) in enumerate(((1.0, "left", np.pi), (-1.0, "right", 0.0))):
        swing = pose.arm_swing * np.sin(pose.phase + offset) + pose.raise_arm[:, i]
        bend = (
            swing
            + 0.22
            + 0.5 * np.maximum(0.0, pose.arm_swing * np.sin(pose.phase + offset))
            + pose.elbow[:, i]
        )
        start = joints[shoulder] + _vector(0.0, -0.004 * h, 0.0)
        elbow = start + _swing(swing, side * pose.spread[:, i]) * 0.172 * h[:, None]
        inward = -side * 0.45 * np.clip(pose.elbow[:, i], 0.0, 1.2)
        wrist = elbow + _swing(bend, inward + side * 0.4 * pose.spread[:, i]) * 0.150 * h[:, None]
        hand = wrist + _swing(bend, inward) * 0.030 * h[:, None]
        builder.add(ARMS, cloth, start, elbow, 0.035 * h * bulk, 0.029 * h * bulk)
        builder.add(ARMS, cloth, elbow, wrist, 0.029 * h * bulk, 0.022 * h * bulk)
        builder.add(
            ARMS,
            SLEEVE,
            start,
            _mix(start, elbow, 0.72),
            0.036 * h,
            0.040 * h,
            high=1.0,
            present=short,
        )
        builder.add(ARMS, SKIN, wrist, hand, 0.019 * h, 0.022 * h, squash=(0.75, 1.1))
        joints[f"hand_{shoulder}"] = hand


def _head(builder: _Builder, p: People, pose: Pose, joints: dict[str, Array]) -> None:
    h, neck = p.height, joints["neck"]
    facing = _vector(np.sin(pose.head_yaw), np.sin(pose.head_pitch), np.cos(pose.head_yaw))
    chin = neck + _vector(0.0, 0.058 * h, 0.012 * h)
    crown = chin + _vector(0.0, 0.040 * h, -0.004 * h)
    back = -facing * np.array([1.0, 0.0, 1.0])
    builder.add(HEAD, SKIN, neck + _vector(0.0, -0.02 * h, 0.0), chin, 0.030 * h, 0.029 * h)
    builder.add(HEAD, FACE, chin, crown, 0.037 * h, 0.045 * h, squash=(0.92, 1.02), forward=facing)
    # Hair: a cap set back and up, so that the face stays free; bob and long hair fall behind.
    hair = p.hair > 0
    top = crown + back * (0.012 * h)[:, None] + _vector(0.0, 0.010 * h, 0.0)
    nape = chin + back * (0.018 * h)[:, None] + _vector(0.0, 0.008 * h, 0.0)
    builder.add(
        HEAD,
        HAIR,
        nape,
        top,
        0.040 * h,
        0.046 * h,
        squash=(1.0, 0.98),
        forward=facing,
        present=hair,
    )
    fall = np.where(p.hair == 3, -0.075, 0.005)
    ends = neck + back * (0.058 * h)[:, None] + _vector(0.0, fall * h, 0.0)
    builder.add(HEAD, HAIR, nape + back * (0.006 * h)[:, None], ends, 0.046 * h, np.where(p.hair == 3, 0.040, 0.046) * h,
                squash=(1.12, 0.72), forward=facing, present=p.hair >= 2)  # fmt: skip
    cap = crown + _vector(0.0, 0.014 * h, 0.0) + back * (0.004 * h)[:, None]
    builder.add(
        HEAD,
        HAT,
        cap,
        cap + _vector(0.0, 0.016 * h, 0.0),
        0.050 * h,
        0.046 * h,
        forward=facing,
        present=p.hat > 0,
    )
    brim, peak = p.hat == 3, p.hat == 1
    reach = np.where(peak, 0.050, 0.0)[:, None] * h[:, None]
    disc = cap + _vector(0.0, 0.004 * h, 0.0)
    up, aside = _vector(0.0, 1.0, 0.0), np.array([1e-4, 0.0, 0.0])
    builder.add(
        HEAD,
        HAT,
        disc,
        disc + aside,
        0.080 * h,
        0.080 * h,
        squash=(1.0, 0.12),
        forward=up,
        present=brim,
    )
    builder.add(HEAD, HAT, disc + facing * (0.02 * h)[:, None], disc + facing * reach * 1.5 + _vector(0.0, -0.004 * h, 0.0),
                0.026 * h, 0.016 * h, squash=(1.4, 0.3), forward=up, present=peak)  # fmt: skip
    joints["head_top"] = crown + _vector(0.0, 0.060 * h, 0.0)


def _accessories(builder: _Builder, p: People, joints: dict[str, Array]) -> None:
    h, chest, depth = p.height, joints["chest"], 0.062 * joints["thick"]
    behind = chest + _vector(0.0, -0.015 * h, -(depth + 0.045 * h))
    builder.add(ACCESSORY, BACKPACK, behind + _vector(0.0, -0.075 * h, 0.0), behind + _vector(0.0, 0.045 * h, 0.012 * h),
                0.072 * h, 0.062 * h, squash=(1.05, 0.74), present=p.backpack, torso=True)  # fmt: skip
    pocket = behind + _vector(0.0, -0.075 * h, -0.050 * h)
    builder.add(ACCESSORY, BACKPACK, pocket, pocket + _vector(0.0, 0.04 * h, 0.0), 0.042 * h, 0.038 * h,
                squash=(1.1, 0.5), present=p.backpack, torso=True)  # fmt: skip
    for side in (1.0, -1.0):
        high = chest + _vector(side * 0.058 * h, 0.088 * h, 0.010 * h)
        low = chest + _vector(side * 0.066 * h, -0.080 * h, depth + 0.012 * h)
        front = chest + _vector(side * 0.062 * h, 0.035 * h, depth + 0.014 * h)
        builder.add(ACCESSORY, BACKPACK, high, front, 0.014 * h, 0.013 * h, present=p.backpack)
        builder.add(ACCESSORY, BACKPACK, front, low, 0.013 * h, 0.011 * h, present=p.backpack)
    hand = np.where((p.bag_side > 0)[:, None], joints["hand_left"], joints["hand_right"])
    body = hand + _vector(p.bag_side * 0.010 * h, -0.085 * h, 0.0)
    builder.add(ACCESSORY, BAG, body + _vector(0.0, 0.0, -0.045 * h), body + _vector(0.0, 0.0, 0.045 * h),
                0.052 * h, 0.052 * h, squash=(0.5, 1.0), forward=_vector(0.0, 1.0, 0.0), present=p.bag)  # fmt: skip
    for end in (-0.04, 0.04):
        builder.add(ACCESSORY, BAG, body + _vector(0.0, 0.045 * h, end * h), hand + _vector(0.0, -0.01 * h, 0.0),
                    0.006 * h, 0.006 * h, present=p.bag)  # fmt: skip
    neck = joints["neck"]
    builder.add(ACCESSORY, SCARF, neck + _vector(0.0, 0.000, 0.004 * h), neck + _vector(0.0, 0.030 * h, 0.006 * h),
                0.056 * h, 0.050 * h, squash=(1.0, 0.9), present=p.scarf)  # fmt: skip
    end = neck + _vector(0.030 * h, -0.150 * h, depth + 0.018 * h)
    builder.add(ACCESSORY, SCARF, neck + _vector(0.020 * h, 0.0, 0.046 * h), end, 0.022 * h, 0.026 * h,
                squash=(1.0, 0.5), present=p.scarf)  # fmt: skip
