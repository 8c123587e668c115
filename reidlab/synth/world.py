"""`World`: a seed and a handful of knobs, from which every person, camera and image follows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from reidlab.synth.cameras import Cameras, pair_cameras, sample_cameras, to_infrared
from reidlab.synth.doubles import DIFFER, sample_doubles
from reidlab.synth.draws import VISIT, Draws, Key, Keys
from reidlab.synth.infrared import INFRARED
from reidlab.synth.passers import sample_walks
from reidlab.synth.people import People, sample_people
from reidlab.synth.render import render
from reidlab.synth.road import LAMP, road_cameras, vehicle_shots, warm_engines
from reidlab.synth.shots import Shots, sample_shots
from reidlab.synth.styles import COLOURS, STYLES
from reidlab.synth.threads import in_threads
from reidlab.synth.truth import truth_of_people, truth_of_vehicles
from reidlab.synth.vehicles import Vehicles, sample_vehicles

VERSION = 3  # of the mathematics: raise it when the same knobs give other pixels

# Seeds from here on belong to the worlds that shipped weights were trained on; no chapter, test or
# example uses them, so that nobody is ever judged on people the weights have seen.
PRETRAINING_SEEDS = 900_000_000

_CHUNK = 96  # images that a thread renders at once
_LARGE_CHUNK = 1024  # the same on a graphics card, of which one thread takes care
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
    "orientations": (0, 360),
}
_CHOICES = {
    "style": tuple(STYLES), "subject": ("person", "vehicle"), "infrared": INFRARED,
    "differ": ("", *DIFFER),
}  # fmt: skip


class Pictures(NamedTuple):
    """N rendered images with their truth."""

    images: NDArray[np.uint8]  # (N, H, W, 3)
    masks: NDArray[np.uint8]  # (N, H, W) part labels, see PARTS and VEHICLE_PARTS
    truth: pd.DataFrame  # one row per image


@dataclass(frozen=True)
class World:
    """A world of people, or of vehicles, that do not exist.

    Equal worlds give equal bytes, whatever the batch size, the order of the images or the processor
    (all is rounded exactly, but for the C library's functions in `vectors`).

    Args:
        seed: everything random follows from it.
        identities: people or vehicles 1 … identities.
        cameras: visible cameras, numbered from 0.
        infrared_cameras: infrared cameras, numbered after the visible ones.
        images_per_camera: images of a person in each camera that sees them.
        palette: wardrobe colours in this world (2 … 40). With few, people differ only in details.
            Of vehicles' paints there are 20, and a larger number means all of them.
        clutter: density of the boxes in a scene (0 … 1.3).
        occlusion: probability that a post, a box or a passer-by stands in the way (0 … 1).
        jitter: multiplies the detector's errors of place and size (0: a perfect box).
        pose: multiplies how far limbs and heads move (0: everybody stands at attention), or how far
            the front wheels of vehicles are turned.
        detail: multiplies the size of stripes, checks, logos, prints and stickers.
        resolution: (height, width) in pixels, multiples of 4.
        style: the domain: "plaza", "mall", "night-street" or "random".
        orientations: 0: people walk as they like; n: image `index` of a person shows them turned
            by (index % n) / n of a full turn, from facing the camera.
        twins: pairs (infrared camera, visible camera) that hang side by side: they see the same
            scene, and image `index` of a person is taken by both at the same instant.
        subject: who is seen: "person" or "vehicle". Seeds, cameras and knobs mean the same to both.
        infrared: what infrared cameras see: "near", the light of a lamp that cloth throws back
            whatever its colour (as SYSU-MM01), or "thermal", warmth, without patterns (as RegDB).
        differ: "": everybody is drawn apart. "shoes", "logo" or "bag": people come in pairs of
            doubles, 1 and 2, 3 and 4 and so on, alike in all but the colour of the shoes, the logo
            on the chest (its colour, size and place; not seen from behind), or the colours of the
            bag; see `doubles`. In infrared, which shows no dye, shoes are alike. Of people only.

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
    orientations: int = 0
    twins: tuple[tuple[int, int], ...] = ()
    subject: str = "person"
    infrared: str = "near"
    differ: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int | float | np.number) or not low <= value <= high:
                raise ValueError(f"World({name}={value!r}): expected a value from {low} to {high}")
            kind = type(low)
            if value != kind(value):
                raise ValueError(f"World({name}={value}): expected a whole number")
            object.__setattr__(self, name, kind(value))  # 1 and 1.0 are the same world
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                expected = " or ".join(map(repr, choices))
                raise ValueError(f"World({name}={value!r}): expected {expected}")
        if self.differ and self.subject != "person":
            raise ValueError(
                f"World(differ={self.differ!r}, subject={self.subject!r}): expected "
                "subject='person', as differ says how people are doubles; leave it out"
            )
        if self.total_cameras < 1:
            raise ValueError("World(cameras=0, infrared_cameras=0): at least one camera is needed")
        sides = np.atleast_1d(self.resolution).tolist()
        if len(sides) != 2 or any(
            isinstance(side, str) or side % 4 or not 16 <= side <= 1024 for side in sides
        ):
            raise ValueError(
                f"World(resolution={self.resolution}): expected (height, width), each a multiple "
                "of 4 from 16 to 1024"
            )
        object.__setattr__(self, "resolution", tuple(map(int, sides)))
        self._check_twins()

    def _check_twins(self) -> None:
        if np.shape(self.twins)[1:] != (2,) and self.twins != ():
            raise ValueError(
                f"World(twins={self.twins}): expected pairs (infrared camera, visible camera)"
            )
        twins = tuple((int(dark), int(visible)) for dark, visible in self.twins)
        object.__setattr__(self, "twins", twins)
        for dark, visible in twins:
            if not 0 <= visible < self.cameras <= dark < self.total_cameras:
                raise ValueError(
                    f"World(twins={twins}): expected pairs (infrared camera, visible camera); here "
                    f"0 to {self.cameras - 1} are visible and {self.cameras} to "
                    f"{self.total_cameras - 1} infrared"
                )
        if len(dict(twins)) < len(twins):
            raise ValueError(f"World(twins={twins}): an infrared camera hangs beside one other")

    def config(self) -> dict[str, object]:
        """Every knob and the version, as plain values: what `world.json` records.

        Without `differ` where it is not used: worlds from before that knob are the same worlds.
        """
        knobs = {**asdict(self), "resolution": list(self.resolution), "version": VERSION}
        if not self.differ:
            del knobs["differ"]
        return knobs

    def fingerprint(self) -> str:
        """SHA-256 over `config()`: equal for equal worlds."""
        return hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode()).hexdigest()

    @property
    def total_cameras(self) -> int:
        """Cameras of both kinds."""
        return self.cameras + self.infrared_cameras

    @cached_property
    def all_cameras(self) -> Cameras:
        """The cameras as columns; row = camera id."""
        camids = range(self.total_cameras)
        dark = [camid >= self.cameras for camid in camids]
        cameras = sample_cameras(self.seed, camids, dark, style=self.style, clutter=self.clutter)
        reach = 1.0
        if self.subject == "vehicle":
            cameras, reach = road_cameras(cameras, self.seed), LAMP
        cameras = pair_cameras(cameras, self.twins)
        return to_infrared(cameras, self.seed, thermal=self.infrared == "thermal", reach=reach)

    @property
    def _sampling(self) -> dict[str, Any]:
        """What decides how its people or vehicles turn out."""
        knobs = {name: getattr(self, name) for name in ("style", "palette", "detail")}
        return {**knobs, "thermal": self.infrared == "thermal"}

    def people(self, pids: list[int]) -> People:
        """The people `pids` as columns; any number is somebody, also beyond `identities`."""
        if self.differ:
            return sample_doubles(self.seed, pids, self.differ, **self._sampling)
        return sample_people(self.seed, pids, **self._sampling)

    def vehicles(self, pids: list[int]) -> Vehicles:
        """The vehicles `pids` as columns, in the same way."""
        return sample_vehicles(self.seed, pids, **self._sampling)

    def visits(self, pids: list[int]) -> dict[int, list[int]]:
        """Which cameras see whom: each with probability 0.85, at least two where there are two."""
        total = self.total_cameras
        draws = Draws(self.seed, VISIT, [(pid,) for pid in pids], total)
        chances = np.stack([draws.uniform() for _ in range(total)], axis=1)
        least = np.sort(chances, axis=1)[:, min(1, total - 1)]
        seen = chances <= np.maximum(least, 0.85)[:, None]
        return {
            pid: [int(c) for c in np.flatnonzero(row)] for pid, row in zip(pids, seen, strict=True)
        }

    def shots(self, keys: Keys, cameras: Cameras, *, jitter: float = 1.0) -> Shots:
        """What is peculiar to the images `keys`; `jitter` multiplies the world's own."""
        jitter *= self.jitter

        def sample(keys: Keys) -> Shots:
            knobs = {"pose": self.pose, "jitter": jitter, "occlusion": self.occlusion}
            return sample_shots(self.seed, keys, cameras, **knobs)

        shots, instants = sample(keys), self._instants(keys)
        if instants != keys:  # the instant is that of the other camera
            own = {name: getattr(shots, name) for name in ("shift", "zoom", "exposure", "noise")}
            shots = replace(sample(instants), **own)
        if self.orientations:
            turned = np.array([index % self.orientations for _, _, index in keys])
            shots = replace(shots, azimuth=np.pi + 2 * np.pi * turned / self.orientations)
        return shots

    def _instants(self, keys: Keys) -> Keys:
        """The keys of the same moments, as a camera beside another takes what that one does."""
        beside = dict(self.twins)
        return [(pid, beside.get(camid, camid), index) for pid, camid, index in keys]

    def render(
        self,
        keys: Sequence[Key],
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
        last = self.total_cameras - 1
        if wrong := sorted({camid for _, camid, _ in keys if not 0 <= camid <= last}):
            raise ValueError(f"no camera {wrong} in this world: ids run from 0 to {last}")
        if not keys:
            raise ValueError("no keys: expected at least one (pid, camid, index) to render")
        on_cpu = torch.device(device).type == "cpu"
        share = -(-len(keys) // torch.get_num_threads())
        size = min(_CHUNK, share) if on_cpu else _LARGE_CHUNK
        chunks = [list(keys[i : i + size]) for i in range(0, len(keys), size)]
        work = partial(self._render_chunk, jitter=jitter, device=device)
        done = in_threads(work, chunks) if on_cpu else map(work, chunks)
        images, masks, truth = zip(*done, strict=True)
        return Pictures(
            np.concatenate(images), np.concatenate(masks), pd.concat(truth, ignore_index=True)
        )

    def _render_chunk(self, keys: Keys, *, jitter: float, device: str | torch.device) -> Pictures:
        pids = sorted({pid for pid, _, _ in keys})
        row = {pid: i for i, pid in enumerate(pids)}
        rows = np.array([row[pid] for pid, _, _ in keys])
        cameras = self.all_cameras.take(np.array([camid for _, camid, _ in keys]))
        shots = self.shots(keys, cameras, jitter=jitter)
        if self.subject == "vehicle":
            vehicles = self.vehicles(pids).take(rows)
            shots = vehicle_shots(vehicles, cameras, shots)
            seen = warm_engines(vehicles, cameras)
            images, masks = render(seen, cameras, shots, self.resolution, device)
            truth = truth_of_vehicles(keys, vehicles, cameras, shots, masks)
        else:
            people, passers = self.people(pids).take(rows), None
            if shots.passer.any():
                walks = sample_walks(self.seed, self._instants(keys), shots.passer, pose=self.pose)
                passers = self.people(walks.pids), walks
            images, masks = render(people, cameras, shots, self.resolution, device, passers)
            truth = truth_of_people(keys, people, cameras, shots, masks)
        return Pictures(images, masks, truth)
