"""`World`: a seed and a handful of knobs, from which every person, camera and image follows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from .body import ACCESSORY, OCCLUDER
from .cameras import Cameras, sample_cameras
from .draws import VISIT, Draws
from .infrared import INFRARED
from .passers import sample_walks
from .people import BACKPACK, BAG, BOTTOM, HAT, SHOES, TOP, People, sample_people
from .render import render
from .shots import Shots, sample_shots
from .styles import BOTTOMS, COLOURS, HAIR, HATS, PATTERNS, STYLES, TOPS
from .threads import in_threads

VERSION = 2  # of the mathematics: raise it when the same knobs give other pixels

# Seeds from here on belong to the worlds that shipped weights were trained on; no chapter, test or
# example uses them, so that nobody is ever judged on people the weights have seen.
PRETRAINING_SEEDS = 900_000_000

_COLOUR_NAMES = (*COLOURS, "")
_CHUNK = 48  # images that a thread renders at once
_RANGES = {
    "seed": (0, 2**62),
    "identities": (1, 10**6),
    "cameras": (0, 10**4),
    "infrared_cameras": (0, 10**4),
    "images_per_camera": (1, 10**4),
    "palette": (2, len(COLOURS)),
    "clutter": (0.0, 1.3),
    "occlusion": (0.0, 1.0),
    "jitter": (0.0, 5.0),
    "pose": (0.0, 1.5),
    "detail": (0.2, 4.0),
}


class Pictures(NamedTuple):
    """N rendered images with their truth."""

    images: NDArray[np.uint8]  # (N, H, W, 3)
    masks: NDArray[np.uint8]  # (N, H, W) part labels, see body.PARTS
    truth: pd.DataFrame  # one row per image


@dataclass(frozen=True)
class World:
    """A world of people who do not exist.

    Equal worlds give equal bytes, whatever the batch size or the order of the images.

    Args:
        seed: everything random follows from it.
        identities: people 1 … identities.
        cameras: visible cameras, numbered from 0.
        infrared_cameras: infrared cameras, numbered after the visible ones.
        images_per_camera: images of a person in each camera that sees them.
        palette: wardrobe colours in this world (2 … 40). With few, people differ only in details.
        clutter: density of the boxes in a scene (0 … 1.3).
        occlusion: probability that a post, a box or a passer-by stands in the way (0 … 1).
        jitter: multiplies the detector's errors of place and size (0: a perfect box).
        pose: multiplies how far limbs and heads move (0: everybody stands at attention).
        detail: multiplies the size of stripes, checks, logos and prints.
        resolution: (height, width) in pixels, multiples of 4.
        style: the domain: "plaza", "mall", "night-street" or "random".
        infrared: what infrared cameras see: "near", the light of a lamp that cloth throws back
            whatever its colour (as SYSU-MM01), or "thermal", warmth, without patterns (as RegDB).

    Raises:
        ValueError: a knob is outside its range; the message names it.
    """

    seed: int = 0
    identities: int = 100
    cameras: int = 6
    infrared_cameras: int = 0
    images_per_camera: int = 2
    palette: int = 32
    clutter: float = 1.0
    occlusion: float = 0.1
    jitter: float = 1.0
    pose: float = 1.0
    detail: float = 1.0
    resolution: tuple[int, int] = (128, 64)
    style: str = "plaza"
    infrared: str = "near"

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"World({name}={value}): expected a value from {low} to {high}")
            kind = type(low)
            if value != kind(value):
                raise ValueError(f"World({name}={value}): expected a whole number")
            object.__setattr__(self, name, kind(value))  # 1 and 1.0 are the same world
        if self.style not in STYLES:
            raise ValueError(f"World(style={self.style!r}): expected one of {', '.join(STYLES)}")
        if self.infrared not in INFRARED:
            raise ValueError(
                f"World(infrared={self.infrared!r}): expected one of {', '.join(INFRARED)}"
            )
        if self.cameras + self.infrared_cameras < 1:
            raise ValueError("World(cameras=0, infrared_cameras=0): at least one camera is needed")
        sides = tuple(self.resolution)
        if len(sides) != 2 or any(side % 4 or not 16 <= side <= 1024 for side in sides):
            raise ValueError(
                f"World(resolution={self.resolution}): expected (height, width), each a multiple "
                "of 4 from 16 to 1024"
            )
        object.__setattr__(self, "resolution", sides)

    def config(self) -> dict[str, object]:
        """Every knob and the version, as plain values: what `world.json` records."""
        return {**asdict(self), "resolution": list(self.resolution), "version": VERSION}

    def fingerprint(self) -> str:
        """SHA-256 over `config()`: equal for equal worlds."""
        return hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode()).hexdigest()

    @cached_property
    def all_cameras(self) -> Cameras:
        """The cameras as columns; row = camera id."""
        total = self.cameras + self.infrared_cameras
        dark = [camid >= self.cameras for camid in range(total)]
        return sample_cameras(
            self.seed,
            list(range(total)),
            dark,
            style=self.style,
            clutter=self.clutter,
            thermal=self.infrared == "thermal",
        )

    def people(self, pids: list[int]) -> People:
        """The people `pids` as columns; any number is somebody, also beyond `identities`."""
        return sample_people(
            self.seed,
            pids,
            style=self.style,
            palette=self.palette,
            detail=self.detail,
            thermal=self.infrared == "thermal",
        )

    def visits(self, pids: list[int]) -> dict[int, list[int]]:
        """Which cameras see whom: each with probability 0.85, at least two where there are two."""
        total = self.cameras + self.infrared_cameras
        draws = Draws(self.seed, VISIT, [(pid,) for pid in pids], total)
        chances = np.stack([draws.uniform() for _ in range(total)], axis=1)
        least = np.sort(chances, axis=1)[:, min(1, total - 1)]
        seen = chances <= np.maximum(least, 0.85)[:, None]
        return {
            pid: [int(c) for c in np.flatnonzero(row)] for pid, row in zip(pids, seen, strict=True)
        }

    def shots(
        self, keys: list[tuple[int, int, int]], cameras: Cameras, *, jitter: float = 1.0
    ) -> Shots:
        """What is peculiar to the images `keys`; `jitter` multiplies the world's own."""
        return sample_shots(
            self.seed,
            keys,
            cameras,
            pose=self.pose,
            jitter=self.jitter * jitter,
            occlusion=self.occlusion,
        )

    def render(
        self,
        keys: Sequence[tuple[int, int, int]],
        *,
        jitter: float = 1.0,
        device: str | torch.device = "cpu",
    ) -> Pictures:
        """Render the images `keys` = (pid, camid, index), in as many threads as torch would use.

        Args:
            keys: which images; the same key is the same image in any call.
            jitter: multiplies the detector's errors once more (junk boxes use it).
            device: where the rays are cast.

        Raises:
            ValueError: no keys, or a camera id that this world does not have.
        """
        total = self.cameras + self.infrared_cameras
        wrong = sorted({camid for _, camid, _ in keys if not 0 <= camid < total})
        if wrong:
            raise ValueError(f"no camera {wrong} in this world: ids run from 0 to {total - 1}")
        if not keys:
            raise ValueError("no keys: expected at least one (pid, camid, index) to render")
        cores = torch.get_num_threads() if torch.device(device).type == "cpu" else 1
        size = max(1, min(_CHUNK, -(-len(keys) // cores))) if cores > 1 else len(keys)
        chunks = [list(keys[i : i + size]) for i in range(0, len(keys), size)]
        work = partial(self._render_chunk, jitter=jitter, device=device)
        images, masks, truth = zip(*in_threads(work, chunks), strict=True)
        return Pictures(
            np.concatenate(images), np.concatenate(masks), pd.concat(truth, ignore_index=True)
        )

    def _render_chunk(
        self, keys: list[tuple[int, int, int]], *, jitter: float, device: str | torch.device
    ) -> Pictures:
        pids = sorted({pid for pid, _, _ in keys})
        row = {pid: i for i, pid in enumerate(pids)}
        people = self.people(pids).take(np.array([row[pid] for pid, _, _ in keys]))
        cameras = self.all_cameras.take(np.array([camid for _, camid, _ in keys]))
        shots = self.shots(keys, cameras, jitter=jitter)
        passers = None
        if shots.passer.any():
            walks = sample_walks(self.seed, keys, shots.passer, pose=self.pose)
            passers = self.people(walks.pids), walks
        images, masks = render(people, cameras, shots, self.resolution, device, passers)
        return Pictures(images, masks, _truth(keys, people, cameras, shots, masks))


# Materials whose colour, pattern and reflectance the truth names, in the order of its columns.
_TOLD = {
    "top": TOP, "bottom": BOTTOM, "shoes": SHOES, "hat": HAT, "backpack": BACKPACK, "bag": BAG,
}  # fmt: skip


def _truth(
    keys: list[tuple[int, int, int]],
    people: People,
    cameras: Cameras,
    shots: Shots,
    masks: NDArray[np.uint8],
) -> pd.DataFrame:
    """One row per image: what a camera saw, and what nobody could see."""

    def names(table: tuple[str, ...], index: NDArray[np.int64]) -> list[str]:
        return [table[i] for i in index]

    pids, camids, indices = zip(*keys, strict=True)
    columns: dict[str, object] = {
        "pid": pids,
        "camid": camids,
        "index": indices,
        "modality": np.where(cameras.infrared, "infrared", "visible"),
        "azimuth": (np.rad2deg(shots.azimuth) % 360.0).round(1),
        "phase": shots.pose.phase.round(3),
        "height": people.height.round(3),
        "girth": people.girth.round(3),
        "skin_tone": people.skin_tone.round(3),
        "top": names(TOPS, people.top),
        "bottom": names(BOTTOMS, people.bottom),
        "hair": names(HAIR, people.hair),
        "hat": names(HATS, people.hat),
        "backpack": people.backpack,
        "bag": people.bag,
        "scarf": people.scarf,
        "accessory_visible": (masks == ACCESSORY).any(axis=(1, 2)),
    }
    for label, material in _TOLD.items():
        columns[f"{label}_colour"] = names(_COLOUR_NAMES, people.colour_name[:, material])
        columns[f"{label}_pattern"] = names(PATTERNS, people.pattern[:, material])
        columns[f"{label}_infrared"] = people.infrared[:, material].round(3)
    columns["person_share"] = _share((masks > 0) & (masks != OCCLUDER))
    columns["occluder_share"] = _share(masks == OCCLUDER)
    columns["passer"] = shots.passer
    return pd.DataFrame(columns)


def _share(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, H, W) to (N,) the share of the picture, to four places."""
    pixels: NDArray[np.int64] = chosen.sum(axis=(1, 2))
    return (pixels / chosen[0].size).round(4)
