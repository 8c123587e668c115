"""One row of truth per image: what a camera saw, and what nobody could see."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidlab.synth import vehicles
from reidlab.synth.body import ACCESSORY, OCCLUDER
from reidlab.synth.cameras import Cameras
from reidlab.synth.coachwork import VEHICLE_PARTS
from reidlab.synth.draws import Keys
from reidlab.synth.people import BACKPACK, BAG, BOTTOM, HAT, SHOES, TOP, People
from reidlab.synth.shots import Shots
from reidlab.synth.styles import BOTTOMS, COLOURS, HAIR, HATS, PATTERNS, TOPS
from reidlab.synth.vehicles import PAINT, Vehicles

Masks = NDArray[np.uint8]

_COLOUR_NAMES, _PAINT_NAMES = (*COLOURS, ""), (*vehicles.PAINTS, "")
# Materials whose colour, pattern and reflectance the truth names, in the order of its columns.
_LABELLED = {
    "top": TOP, "bottom": BOTTOM, "shoes": SHOES, "hat": HAT, "backpack": BACKPACK, "bag": BAG,
}  # fmt: skip


def view(azimuth: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) rad to one of eight sectors of 45 degrees, each centred on its direction.

    0 faces the camera, 2 shows the right side of whoever is seen, 4 turns away, 6 shows the left.
    """
    turned = (np.rad2deg(azimuth) - 180.0 + 22.5) % 360.0
    return np.minimum(turned // 45.0, 7.0).astype(np.int64)


def truth_of_people(
    keys: Keys, people: People, cameras: Cameras, shots: Shots, masks: Masks
) -> pd.DataFrame:
    """Person, camera, direction, build, garments and their colours, shares of the picture."""
    columns = _which(keys, cameras, shots) | {
        "phase": shots.pose.phase.round(3),
        "height": people.height.round(3),
        "girth": people.girth.round(3),
        "skin_tone": people.skin_tone.round(3),
        "top": _names(TOPS, people.top),
        "bottom": _names(BOTTOMS, people.bottom),
        "hair": _names(HAIR, people.hair),
        "hat": _names(HATS, people.hat),
        "backpack": people.backpack,
        "bag": people.bag,
        "scarf": people.scarf,
        "accessory_visible": (masks == ACCESSORY).any(axis=(1, 2)),
    }
    for label, material in _LABELLED.items():
        columns[f"{label}_colour"] = _names(_COLOUR_NAMES, people.colour_name[:, material])
        columns[f"{label}_pattern"] = _names(PATTERNS, people.pattern[:, material])
        columns[f"{label}_infrared"] = people.infrared[:, material].round(3)
    columns["person_share"] = _share((masks > 0) & (masks != OCCLUDER))
    columns["occluder_share"] = _share(masks == OCCLUDER)
    columns["passer"] = shots.passer
    return pd.DataFrame(columns)


def truth_of_vehicles(
    keys: Keys, v: Vehicles, cameras: Cameras, shots: Shots, masks: Masks
) -> pd.DataFrame:
    """Vehicle, camera, direction, kind, measures, colours and accessories, shares of each part."""
    columns = _which(keys, cameras, shots) | {
        "kind": _names(vehicles.KINDS, v.kind),
        "length": v.length.round(2),
        "width": v.width.round(2),
        "height": v.height.round(2),
        "colour": _names(_PAINT_NAMES, v.colour_name[:, PAINT]),
        "roof_colour": _names(_PAINT_NAMES, v.colour_name[:, vehicles.ROOF]),
        "second_colour": _names(_PAINT_NAMES, v.second_name),
        "livery": _names(vehicles.LIVERIES, v.livery),
        "cargo_colour": _names(_PAINT_NAMES, v.colour_name[:, vehicles.CARGO]),
        "rims": _names(vehicles.RIMS, v.offset[:, vehicles.TYRE, 0].astype(np.int64)),
        "roof_load": _names(vehicles.ROOF_LOADS, v.roof_load),
        "spoiler": v.spoiler,
        "glazed": v.glazed,
        "sticker": np.where(
            v.sticker, np.where(v.sticker_place[:, 0] > 0, "left", "right"), "none"
        ),
        "windscreen_ticket": v.ticket,
        "paint_infrared": v.infrared[:, PAINT].round(3),
        "steering": np.rad2deg(0.5 * shots.pose.head_yaw).round(1),
    }
    columns["vehicle_share"] = _share((masks > 0) & (masks != OCCLUDER))
    for label, name in enumerate(VEHICLE_PARTS[1:], start=1):
        columns[f"{name}_share"] = _share(masks == label)
    return pd.DataFrame(columns)


def _which(keys: Keys, cameras: Cameras, shots: Shots) -> dict[str, object]:
    """What the rows of people and vehicles begin with."""
    pids, camids, indices = zip(*keys, strict=True)
    return {
        "pid": pids,
        "camid": camids,
        "index": indices,
        "modality": np.where(cameras.infrared, "infrared", "visible"),
        "azimuth": (np.rad2deg(shots.azimuth) % 360.0).round(1),
        "view": view(shots.azimuth),
    }


def _names(table: tuple[str, ...], index: NDArray[np.int64]) -> list[str]:
    return [table[i] for i in index]


def _share(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, H, W) to (N,) the share of the picture, to four places."""
    pixels: NDArray[np.int64] = chosen.sum(axis=(1, 2))
    return (pixels / chosen[0].size).round(4)
