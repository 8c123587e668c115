"""The images of a pretraining: rendered once, drawn from by step number."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.files import alone, atomic
from reidlab.training.pretrain.augment import augment
from reidlab.training.pretrain.config import PretrainConfig
from reidlab.training.pretrain.heads import SelfSupervised
from reidlab.training.pretrain.truth import FIRST_COLOUR, attributes, garments

_AT_ONCE = 1920


class Pictures:
    """All training images and their masks, on disk, person by person.

    Args:
        config: Gives the world and how many of whom.
        out: Folder of the two files; what is there already is used.

    Attributes:
        images: (N, H, W, 3) uint8.
        masks: (N, H, W) uint8, body parts in the order of `PARTS`.
        keys: (pid, camid, index) of each.
        attributes: (people, attributes), see `truth.attributes`.
    """

    def __init__(self, config: PretrainConfig, out: Path) -> None:
        self.config, self.keys = config, image_keys(config)
        self.attributes = attributes(config.world())
        paths = picture_files(config, out)
        if not all(path.exists() for path in paths):
            with alone(out):
                if not all(path.exists() for path in paths):  # nor has another process
                    _render(config, self.keys, *paths)
        self.images, self.masks = (np.load(path, mmap_mode="r") for path in paths)

    def batch(self, step: int) -> dict[str, Tensor]:
        """P x K images of a step, before they are changed; they follow from (seed, step) alone.

        Returns:
            image (B, 3, H, W) in 0..1; label, camid, modality, view (B,), as in
            `reidlab.losses.Batch`; masks (B, H, W); attributes (B, attributes) and garments
            (B, parts), -1 where there is none or an infrared image does not show it.
        """
        config = self.config
        draw = np.random.default_rng([config.seed, step, 3])
        k, per = config.images_per_identity, config.images_per_batch
        twice = any(isinstance(loss, SelfSupervised) for loss in config.losses)
        per = per // 2 if twice else per
        people = draw_people(config, self.attributes.numpy(), draw)
        chosen = [p * k + draw.choice(k, per, replace=False) for p in people]
        picks = np.sort(np.concatenate(chosen))
        label = torch.from_numpy(picks // k)
        camid = torch.tensor([self.keys[pick][1] for pick in picks])
        infrared = camid >= config.cameras
        attributes = self.attributes[label]
        attributes[infrared, FIRST_COLOUR:] = -1
        batch = {
            "image": torch.from_numpy(self.images[picks]).permute(0, 3, 1, 2).float() / 255.0,
            "label": label,
            "camid": camid,
            "modality": infrared.long(),
            "view": torch.full_like(label, -1),
            "masks": torch.from_numpy(self.masks[picks]),
            "attributes": attributes,
            "garments": garments(attributes),
        }
        return {k: torch.cat([x, x]) for k, x in batch.items()} if twice else batch


def picture_files(config: PretrainConfig, out: Path) -> list[Path]:
    """Where images and masks lie."""
    name = f"{config.world().fingerprint()[:12]}-{config.images_per_identity}"
    return [out / f"{what}-{name}.npy" for what in ("images", "masks")]


def picture_bytes(config: PretrainConfig) -> int:
    """How much room they take: three colours and a mask for each pixel."""
    return 4 * config.identities * config.images_per_identity * math.prod(config.image_size)


class EpochLoader:
    """The batches of an epoch, changed at random and normalised to -1..1.

    Args:
        pictures: What is drawn from.
        device: Where the batches go.
    """

    def __init__(self, pictures: Pictures, device: torch.device) -> None:
        self.pictures, self.device = pictures, device
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 1."""
        config = self.pictures.config
        end = min(epoch * config.save_every, config.steps)
        self.steps = range((epoch - 1) * config.save_every, end)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        config = self.pictures.config
        for step in self.steps:
            batch = self.pictures.batch(step)
            image, batch["masks"] = augment(
                batch["image"],
                batch["masks"],
                config.small_size if step < config.small_steps else config.image_size,
                torch.Generator().manual_seed(config.seed * 1_000_003 + step),
                colour=config.colour,
                swap_background=config.swap_background,
            )
            batch["image"] = 2.0 * image - 1.0
            yield {name: value.to(self.device) for name, value in batch.items()}


def image_keys(config: PretrainConfig) -> list[tuple[int, int, int]]:
    """(pid, camid, index) of every image, each person in cameras drawn for them."""
    draw = np.random.default_rng([config.seed, 77])
    total, count = config.cameras + config.infrared_cameras, config.images_per_identity
    return [
        (pid, int(camid), index)
        for pid in range(1, config.identities + 1)
        for index, camid in enumerate(draw.choice(total, count, replace=count > total))
    ]


def draw_people(
    config: PretrainConfig, attributes: NDArray[np.int64], draw: np.random.Generator
) -> NDArray[np.int64]:
    """P people at random, or, of many at random, those who dress most like one of them.

    Args:
        config: Gives P and the share of batches of people who dress alike.
        attributes: (people, attributes); the top and the colours are compared.
        draw: Of all draws.
    """
    alike = draw.random() < config.lookalikes
    some = min(config.identities, config.identities_per_batch * (12 if alike else 1))
    people = draw.choice(config.identities, some, replace=False)
    if alike:
        clothes = attributes[people][:, [0, *range(FIRST_COLOUR, attributes.shape[1])]]
        people = people[np.argsort(-(clothes == clothes[0]).sum(axis=1), kind="stable")]
    return people[: config.identities_per_batch]


def _render(
    config: PretrainConfig, keys: list[tuple[int, int, int]], images: Path, masks: Path
) -> None:
    """One image after another, not by a memory map: a full disk would end that without a word."""
    world, shape, started = config.world(), (len(keys), *config.image_size), time.time()
    with (
        atomic(images) as images_beside,
        atomic(masks) as masks_beside,
        images_beside.open("wb") as image_file,
        masks_beside.open("wb") as mask_file,
    ):
        for file, size in ((image_file, (*shape, 3)), (mask_file, shape)):
            header = {"descr": "|u1", "fortran_order": False, "shape": size}
            np.lib.format.write_array_header_1_0(file, header)
        for first in range(0, len(keys), _AT_ONCE):
            drawn = world.render(keys[first : first + _AT_ONCE])
            image_file.write(drawn.images.tobytes())
            mask_file.write(drawn.masks.tobytes())
            done = first + len(drawn.images)
            rate = done / (time.time() - started)
            print(f"rendered {done}/{len(keys)} images, {rate:.0f}/s", flush=True)
