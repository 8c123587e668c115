"""Cameras with a place, a light and a scene of their own, as columns of arrays (one row a camera).

A camera stands at (0, height, 0) of its scene and looks along +z; people walk between it and a
backdrop. The crop that an image shows is a narrow view at one person, so the scene shifts with
where they stand: the background tells the camera, not the person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.columns import Columns
from reidlab.synth.draws import CAMERA, SENSOR, Array, Draws
from reidlab.synth.infrared import near_camera, thermal_camera
from reidlab.synth.styles import COLOURS, FURNITURE, PATTERNS, STYLES, Style
from reidlab.synth.subject import Index, linear
from reidlab.synth.vectors import cos, power, sin

CLUTTER = 9  # boxes of a scene
TONES = 1024  # entries of a camera's tone curve
# How the columns begin that say where a camera hangs and what is there.
_PLACE = ("height", "near", "side", "azimuth", "spread", "fill", "floor", "backdrop", "box")


@dataclass(frozen=True)
class Cameras(Columns):
    """C cameras as columns."""

    infrared: NDArray[np.bool_]
    thermal: NDArray[np.bool_]  # sees warmth, not light; only where `infrared`
    lamp: Array  # m from the lens at which its lamp gives full light; 0: it has none
    height: Array  # m
    near: Array  # (C, 2) nearest and farthest distance of people, m
    side: Array  # how far people stray to the left and right, m
    azimuth: Array  # mean walking direction against the line of sight, rad
    spread: Array  # around it, rad
    fill: Array  # height of the box against that of the person
    sun: Array  # (C, 3) unit vector towards the light
    sun_colour: Array  # (C, 3)
    sky_colour: Array  # (C, 3)
    ground_colour: Array  # (C, 3)
    gain: Array  # (C, 3) white balance times exposure
    tone: Array  # (C, TONES) display value 0..1 of sqrt(linear)
    saturation: Array
    blur: Array  # pixels at 192x96
    soft: Array  # the same once more: infrared optics
    bloom: Array  # share of the brightest light that spreads around it
    noise: Array
    vignette: Array
    quality: Index  # JPEG
    haze: Array
    haze_colour: Array  # (C, 3)
    floor_kind: Index
    floor_colour: Array  # (C, 2, 3)
    floor_scale: Array
    backdrop_kind: Index
    backdrop_colour: Array  # (C, 2, 3)
    backdrop: Array  # distance of it from the camera, m
    backdrop_scale: Array
    gloss: Array  # share of the backdrop that the floor mirrors
    lit: Array  # light of the backdrop's second colour: windows, shop fronts
    pool: Array  # (C, 4) a street lamp's place (x, z), reach, and the share of light lost beyond
    box_centre: Array  # (C, CLUTTER, 3)
    box_half: Array  # (C, CLUTTER, 3)
    box_turn: Array  # (C, CLUTTER, 2) cosine and sine about y
    box_colour: Array  # (C, CLUTTER, 3)
    box_colour2: Array
    box_pattern: Index  # (C, CLUTTER) into PATTERNS
    box_scale: Array  # (C, CLUTTER) of the pattern, the box being 2 wide and 2 high
    box_present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.height)


def sample_cameras(
    seed: int, camids: Sequence[int], infrared: list[bool], *, style: str, clutter: float
) -> Cameras:
    """Draw cameras `camids` of the world `seed`, all of which see visible light.

    Args:
        seed: the world's seed.
        camids: their numbers.
        infrared: which of them are meant for `to_infrared`.
        style: domain, a key of `STYLES`.
        clutter: density of the boxes in a scene.
    """
    domain = STYLES[style]
    d = Draws(seed, CAMERA, [(camid,) for camid in camids], 240)
    columns: dict[str, Any] = {"infrared": np.array(infrared), "height": d.uniform(*domain.height)}
    nearest = d.uniform(domain.distance[0], 0.5 * sum(domain.distance))
    columns |= {
        "near": np.stack([nearest, nearest + d.uniform(1.5, 0.6 * domain.distance[1])], axis=1),
        "side": d.uniform(0.8, 2.5), "azimuth": d.uniform(0.0, 2 * np.pi),
        "spread": d.uniform(0.4, 1.1), "fill": d.uniform(1.04, 1.14),
    }  # fmt: skip
    columns |= _light(d, domain) | _lens(d, domain)
    columns |= _scene(d, domain, columns["near"][:, 1], clutter)
    none = np.zeros(len(camids))
    columns |= {"thermal": none > 0, "lamp": none, "soft": none, "bloom": none}
    return Cameras(**columns)


def pair_cameras(cameras: Cameras, pairs: Sequence[tuple[int, int]]) -> Cameras:
    """Hang camera `pair[0]` beside `pair[1]`: place and scene are one, light and lens are not."""
    source = np.arange(len(cameras))
    for moved, fixed in pairs:
        source[moved] = fixed
    place = [f.name for f in fields(cameras) if f.name.startswith(_PLACE)]
    return replace(cameras, **{name: getattr(cameras, name)[source] for name in place})


def to_infrared(cameras: Cameras, seed: int, *, thermal: bool, reach: float) -> Cameras:
    """Give the infrared ones among `cameras`, which see light so far, what they have in its place.

    Args:
        cameras: all cameras of the world `seed`.
        seed: the world's seed.
        thermal: infrared is the far one, warmth; otherwise the near one, light of a lamp.
        reach: of the lamp, times the mean distance of whoever is seen.
    """
    dark = cameras.infrared
    d = Draws(seed, SENSOR, [(camid,) for camid in range(len(cameras))], 20)
    changed = (thermal_camera if thermal else near_camera)(vars(cameras), d)
    changed["lamp"] = reach * changed["lamp"]
    columns: dict[str, Any] = {
        name: np.where(dark.reshape(-1, *[1] * (value.ndim - 1)), value, getattr(cameras, name))
        for name, value in changed.items()
    }
    return replace(cameras, thermal=dark & thermal, **columns)


def _light(d: Draws, style: Style) -> dict[str, Any]:
    around, up = d.uniform(0.0, 2 * np.pi), d.uniform(0.45, 0.95)
    flat = np.sqrt(1.0 - up * up)
    sun = np.stack([flat * cos(around), up, flat * sin(around)], axis=1)
    strength, ambient = d.uniform(*style.sun), d.uniform(*style.ambient)
    warm = d.uniform(0.0, 0.22)
    sun_tint = np.stack([1.0 + 0.5 * warm, np.ones_like(warm), 1.0 - warm], axis=1)
    sky_tint = np.stack([1.0 - 0.6 * warm, np.ones_like(warm), 1.0 + 0.8 * warm], axis=1)
    return {
        "sun": sun, "sun_colour": sun_tint * strength[:, None],
        "sky_colour": sky_tint * ambient[:, None],
        "ground_colour": np.array([0.62, 0.58, 0.52]) * ambient[:, None],
    }  # fmt: skip


def _lens(d: Draws, style: Style) -> dict[str, Any]:
    warmth, tint = d.uniform(*style.warmth), d.around(0.0, style.tint)
    exposure = d.uniform(*style.exposure)
    gain = np.stack([1.0 + warmth, 1.0 + tint, 1.0 - warmth], axis=1)
    curve, gamma = d.uniform(*style.contrast), d.uniform(0.92, 1.1)
    light = (np.arange(TONES) / (TONES - 1)) ** 2  # entries are spaced by the square root of light
    display = np.where(light <= 0.0031308, 12.92 * light, 1.055 * power(light, 1 / 2.4) - 0.055)
    display = power(display[None, :], gamma[:, None])
    s_curve = display * display * (3.0 - 2.0 * display)
    return {
        "gain": gain * exposure[:, None], "tone": display + curve[:, None] * (s_curve - display),
        "saturation": d.uniform(*style.saturation),
        "blur": d.uniform(*style.blur),
        "noise": d.uniform(*style.noise),
        "vignette": d.uniform(0.0, 0.15),
        "quality": np.rint(d.uniform(*style.quality)).astype(np.int64),
    }  # fmt: skip


def _scene(d: Draws, style: Style, farthest: Array, clutter: float) -> dict[str, Any]:
    def two_tones(colours: tuple[tuple[int, int, int], ...]) -> Array:
        picked = np.array(colours, dtype=np.float64)[d.choice(np.ones(len(colours)))]
        picked = picked * d.uniform(0.75, 1.15)[:, None]
        other = picked * d.uniform(0.6, 1.3)[:, None]
        return linear(np.clip(np.stack([picked, other], axis=1), 4.0, 250.0))

    haze = linear(np.array([(196.0, 204.0, 214.0)]))
    scene: dict[str, Any] = {
        "haze": d.uniform(*style.haze), "haze_colour": np.broadcast_to(haze, (len(farthest), 3)),
        "floor_kind": d.choice(style.floors), "floor_colour": two_tones(style.floor_colours),
        "floor_scale": d.uniform(0.5, 1.6),
        "backdrop_kind": d.choice(style.backdrops),
        "backdrop_colour": two_tones(style.wall_colours),
        "backdrop": farthest + d.uniform(*style.backdrop), "backdrop_scale": d.uniform(0.7, 2.0),
    }  # fmt: skip
    pool = d.uniform(-2.0, 2.0), 0.8 * farthest + d.around(0.0, 2.0), d.uniform(1.5, 3.0)
    scene |= {
        "gloss": d.uniform(*style.gloss).clip(0.0), "lit": d.uniform(*style.lit).clip(0.0),
        "pool": np.stack([*pool, d.uniform(*style.pool).clip(0.0)], axis=1),
    }  # fmt: skip
    boxes = [_furniture(d, style, farthest, scene["backdrop"], clutter) for _ in range(CLUTTER)]
    return scene | {f"box_{key}": np.stack([b[key] for b in boxes], axis=1) for key in boxes[0]}


# Columns of FURNITURE as arrays, so that every camera can have another kind.
_KINDS = tuple(FURNITURE.values())
_LEAST, _MOST = (np.array([(k.wide[i], k.high[i], k.deep[i]) for k in _KINDS]) for i in (0, 1))
_SECOND = linear(np.array([k.second or (0, 0, 0) for k in _KINDS], dtype=np.float64))


def _furniture(
    d: Draws, style: Style, farthest: Array, backdrop: Array, clutter: float
) -> dict[str, NDArray[Any]]:
    """One box of every scene, behind wherever people walk."""
    kind = d.choice(style.furniture)
    share = np.stack([d.uniform(), d.uniform(), d.uniform()], axis=1)
    half = _LEAST[kind] + share * (_MOST - _LEAST)[kind]
    room = np.sqrt(half[:, 0] ** 2 + half[:, 2] ** 2) + 0.4  # nobody stands in it
    depth = farthest + room + d.uniform() * np.maximum(backdrop - farthest - room, 0.0)
    turn = d.uniform(-0.7, 0.7)
    wardrobe = np.array(list(COLOURS.values()), dtype=np.float64)
    picked = wardrobe[d.choice(np.ones(len(wardrobe)))]
    muted = linear(style.bright * picked + (1.0 - style.bright) * 120.0)
    own = np.array([k.second is None for k in _KINDS])[kind][:, None]
    return {
        "centre": np.stack([d.around(0.0, 6.0), half[:, 1], depth], axis=1),
        "half": half,
        "turn": np.stack([cos(turn), sin(turn)], axis=1),
        "colour": muted,
        "colour2": np.where(own, muted * d.uniform(0.35, 0.8)[:, None], _SECOND[kind]),
        "pattern": np.array([PATTERNS.index(k.pattern) for k in _KINDS])[kind],
        "scale": np.array([k.scale for k in _KINDS])[kind],
        "present": d.chance(min(1.0, 0.75 * clutter)),
    }
