"""The two kinds of infrared camera: what changes against a visible one, and what bodies radiate.

*Near infrared* (SYSU-MM01, cameras 3 and 6): the sensor of an ordinary camera without its filter,
in the dark, with a lamp at the lens. Light falls off with the distance, so the background sinks;
skin is bright, and a dye says nothing about how much of it a cloth throws back.
*Thermal* (RegDB): the far infrared that things radiate. Skin is bright, thin cloth less so, a coat
keeps its warmth inside, and what is no body is cool. No lamp, no shadow, no pattern; few pixels.
All numbers are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reidlab.synth.draws import Array, Draws

INFRARED = ("near", "thermal")


def near_camera(columns: dict[str, Any], d: Draws) -> dict[str, Array]:
    """Columns of `Cameras` that a lamp at the lens and a sensor in the dark change."""
    count = len(columns["height"])
    changed = _grey_scene(columns)
    for name in ("box_colour", "box_colour2"):
        changed[name] = 0.2 + 0.5 * changed[name]
    for name in ("floor_colour", "backdrop_colour"):  # a white room, or a street without end
        changed[name] = np.minimum(changed[name] * d.uniform(0.7, 2.2).reshape(-1, 1, 1), 0.9)
    return changed | _frontal_light(count, 1.1, 0.30) | {
        "lamp": columns["near"].mean(axis=1),
        "gain": np.repeat(d.uniform(0.45, 0.78)[:, None], 3, axis=1),
        "noise": columns["noise"] + d.uniform(0.012, 0.028),
        "soft": d.uniform(0.35, 0.8),
        "bloom": d.uniform(0.15, 0.4),
        "vignette": d.uniform(0.15, 0.4),
    }  # fmt: skip


def thermal_camera(columns: dict[str, Any], d: Draws) -> dict[str, Array]:
    """Columns of `Cameras` for a sensor of warmth: a cool, even scene, soft and of few pixels."""
    count = len(columns["height"])
    air = d.uniform(0.02, 0.10)  # what things as warm as the air radiate: the season
    changed = _grey_scene(columns)
    for name in ("floor_colour", "backdrop_colour", "box_colour"):
        level = (air * d.uniform(0.6, 1.5)).reshape(-1, 1, 1)
        changed[name] = level * (0.75 + 0.5 * changed[name])
    changed["box_colour2"] = changed["box_colour"]
    return changed | _frontal_light(count, 0.30, 0.75) | {
        "gain": np.repeat(d.uniform(0.9, 1.25)[:, None], 3, axis=1),
        "lamp": np.zeros(count),
        "noise": d.uniform(0.012, 0.026),
        "soft": d.uniform(1.0, 1.5),
        "bloom": d.uniform(0.1, 0.25),
        "vignette": d.uniform(0.0, 0.1),
    }  # fmt: skip


def _grey_scene(columns: dict[str, Any]) -> dict[str, Array]:
    """Floor, backdrop and boxes without colour."""
    return {
        name: np.repeat(columns[name].mean(axis=-1, keepdims=True), 3, axis=-1)
        for name in ("floor_colour", "backdrop_colour", "box_colour", "box_colour2")
    }


def _frontal_light(count: int, strength: float, ambient: float) -> dict[str, Array]:
    """Light from where the camera is, and no other: what turns away from it is darker."""
    return {
        "sun": np.tile([0.0, 0.25, -0.968], (count, 1)),
        "sun_colour": np.full((count, 3), strength),
        "sky_colour": np.full((count, 3), ambient),
        "ground_colour": np.full((count, 3), 0.7 * ambient),
        "saturation": np.zeros(count), "haze": np.zeros(count), "lit": np.zeros(count),
        "gloss": np.zeros(count), "pool": np.tile([0.0, 0.0, 1.0, 0.0], (count, 1)),
    }  # fmt: skip
