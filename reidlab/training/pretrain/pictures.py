"""The images of a pretraining: rendered once, drawn from by step number."""

from __future__ import annotations

import os
import time
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.synth import PARTS
from reidlab.synth.people import BOTTOM, SHOES, SLEEVE, TOP
from reidlab.training.pretrain.config import PretrainConfig

_AT_ONCE = 1920
_OCCLUDER = PARTS.index("occluder")


class Batch(NamedTuple):
    """B images of a step, before they are changed.

    Attributes:
        images: (B, 3, H, W) in 0..1.
        masks: (B, H, W) uint8, body parts in the order of `PARTS`.
        people: (B,) who it is, from 0.
        visible: (B,) False where the picture is infrared.
    """

    images: Tensor
    masks: Tensor
    people: Tensor
    visible: Tensor


class Pictures:
    """All training images and their masks, on disk, person by person.

    Args:
        config: Gives the world and how many of whom.
        out: Folder of the two files; what is there already is used.
    """

    def __init__(self, config: PretrainConfig, out: Path) -> None:
        self.config = config
        name = f"{config.world().fingerprint()[:12]}-{config.images_per_identity}"
        paths = [out / f"{what}-{name}.npy" for what in ("images", "masks")]
        if not all(path.exists() for path in paths):
            out.mkdir(parents=True, exist_ok=True)
            _render(config, self.keys, paths)
        self.images, self.masks = (np.load(path, mmap_mode="r") for path in paths)

    @cached_property
    def keys(self) -> list[tuple[int, int, int]]:
        """(pid, camid, index) of every image, each person in cameras drawn for them."""
        config = self.config
        draw = np.random.default_rng([config.seed, 77])
        total = config.cameras + config.infrared_cameras
        keys = []
        for pid in range(1, config.identities + 1):
            repeat = config.images_per_identity > total
            camids = draw.choice(total, config.images_per_identity, replace=repeat)
            keys += [(pid, int(camid), i) for i, camid in enumerate(camids)]
        return keys

    @cached_property
    def infrared(self) -> NDArray[np.bool_]:
        """(N,) which images are infrared."""
        return np.array([camid >= self.config.cameras for _, camid, _ in self.keys])

    @cached_property
    def clothes(self) -> NDArray[np.int64]:
        """(people, 5) garments and colours that make two people look alike from afar."""
        people = self.config.world().people(list(range(1, self.config.identities + 1)))
        colours = people.colour_name[:, [TOP, BOTTOM, SHOES, SLEEVE]]
        return np.column_stack([people.top, colours])

    def batch(self, step: int) -> Batch:
        """P x K images of a step; they follow from (seed, step) alone."""
        config = self.config
        draw = np.random.default_rng([config.seed, step, 3])
        k, per = config.images_per_identity, config.images_per_batch
        twice = config.itself > 0
        per = per // 2 if twice else per
        people = self._people(draw)
        picks = np.concatenate([p * k + draw.choice(k, per, replace=False) for p in people])
        picks = np.sort(picks)
        images = torch.from_numpy(self.images[picks]).permute(0, 3, 1, 2).float() / 255.0
        masks = torch.from_numpy(self.masks[picks])
        which = torch.from_numpy(picks // k)
        visible = torch.from_numpy(~self.infrared[picks])
        batch = Batch(images, masks, which, visible)
        return Batch(*(torch.cat([x, x]) for x in batch)) if twice else batch

    def _people(self, draw: np.random.Generator) -> NDArray[np.int64]:
        """P people at random, or, of many at random, those who dress most like one of them."""
        config = self.config
        alike = draw.random() < config.lookalikes
        some = min(config.identities, config.identities_per_batch * (12 if alike else 1))
        people = draw.choice(config.identities, some, replace=False)
        if alike:
            same = (self.clothes[people] == self.clothes[people[0]]).sum(axis=1)
            people = people[np.argsort(-same, kind="stable")]
        return people[: config.identities_per_batch]


def _render(config: PretrainConfig, keys: list[tuple[int, int, int]], paths: list[Path]) -> None:
    world, shape, started = config.world(), (len(keys), *config.image_size), time.time()
    beside = [path.with_suffix(".tmp") for path in paths]
    images, masks = (
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=size)
        for path, size in zip(beside, ((*shape, 3), shape), strict=True)
    )
    for first in range(0, len(keys), _AT_ONCE):
        drawn = world.render(keys[first : first + _AT_ONCE])
        done = first + len(drawn.images)
        images[first:done], masks[first:done] = drawn.images, drawn.masks
        rate = done / (time.time() - started)
        print(f"rendered {done}/{len(keys)} images, {rate:.0f}/s", flush=True)
    for array, path, final in zip((images, masks), beside, paths, strict=True):
        array.flush()
        os.replace(path, final)
