"""Every number of the pretraining, and the arms of its ablation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reidlab.synth import PRETRAINING_SEEDS, World


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of one pretraining; all are ours.

    Attributes:
        backbone: A plain ViT of timm.
        image_size: Height and width of the rendered images and of the last part of the training.
        small_size: The same of the first part.
        seed: Of the world and of the training.
        start: Weights to go on from, as in `load_weights`; None: random ones.
        identities: People of the world.
        images_per_identity: Images rendered of each, in as many cameras.
        cameras: Visible cameras; each has a place, a light and a lens of its own.
        infrared_cameras: The same, infrared.
        identities_per_batch: P.
        images_per_batch: K.
        small_steps: Steps at the small size.
        steps: Steps in all.
        lr: Peak rate of AdamW.
        final_lr: Rate at the end of the half cosine.
        warmup_steps: Length of the linear warm-up.
        weight_decay: Of matrices; norms and biases have none.
        clip_grad: Largest norm of the gradient.
        drop_path: Stochastic depth of the last block.
        label_smoothing: Of the identity loss.
        named: Weight of the identity loss.
        apart: Weight of the loss that draws images of one person together and others apart.
        apart_by: That loss: "contrast" (supervised contrastive) or "triplet" (batch-hard, soft
            margin).
        worn: Weight of the questions about clothes.
        here: Weight of the questions to each patch.
        itself: Weight of the self-supervised loss: which two of the batch are one image, changed
            twice? Needs no truth at all. Above 0 a batch has K/2 images of a person, each twice.
        colour: Strength of the changes of colour; 0: none.
        swap_background: Share of images whose background becomes that of another image.
        lookalikes: Share of batches of people who dress alike.
    """

    backbone: str = "vit_tiny_patch16_224"
    image_size: tuple[int, int] = (192, 96)
    small_size: tuple[int, int] = (128, 64)
    seed: int = 0
    start: str | None = None
    identities: int = 4000
    images_per_identity: int = 12
    cameras: int = 2000
    infrared_cameras: int = 400
    identities_per_batch: int = 16
    images_per_batch: int = 4
    small_steps: int = 5600
    steps: int = 7600
    lr: float = 8e-4
    final_lr: float = 2e-5
    warmup_steps: int = 200
    weight_decay: float = 0.05
    clip_grad: float = 1.0
    drop_path: float = 0.05
    label_smoothing: float = 0.1
    named: float = 1.0
    apart: float = 1.0
    apart_by: str = "contrast"
    worn: float = 1.0
    here: float = 1.0
    itself: float = 0.0
    colour: float = 2.1
    swap_background: float = 0.5
    lookalikes: float = 0.0

    def world(self) -> World:
        """The randomised world of this run."""
        return World(
            seed=PRETRAINING_SEEDS + self.seed, identities=self.identities, cameras=self.cameras,
            infrared_cameras=self.infrared_cameras, images_per_camera=1, palette=40, occlusion=0.15,
            jitter=1.3, resolution=self.image_size, style="random",
        )  # fmt: skip


# One thing changed at a time, against "whole", which was the recipe before the ablation. What it
# showed moved two defaults: `colour` from 1.4 to 2.1, `lookalikes` from 0.5 to 0.
ABLATION: dict[str, dict[str, Any]] = {
    "whole": {},
    "60 + 12 cameras": {"cameras": 60, "infrared_cameras": 12},
    "backgrounds stay": {"swap_background": 0.0},
    "half the changes of colour": {"colour": 0.7},
    "half as much again of colour": {"colour": 2.1},
    "no lookalikes": {"lookalikes": 0.0},
    "patches not asked": {"here": 0.0},
    "triplet, not contrast": {"apart_by": "triplet"},
    "identity and triplet alone": {"apart_by": "triplet", "worn": 0.0, "here": 0.0},
    "self-supervised alone": {"named": 0.0, "apart": 0.0, "worn": 0.0, "here": 0.0, "itself": 1.0},
    "self-supervised too": {"itself": 1.0},
}


def ablation_arm(name: str, seed: int = 0, start: str | None = None) -> PretrainConfig:
    """An arm of the ablation: 25,600 small images on top of some weights, one thing changed.

    From random weights so few images teach nothing that could be compared.

    Args:
        name: Key of `ABLATION`.
        seed: Of the world and of the training.
        start: Weights that all arms start from.

    Raises:
        ValueError: If there is no such arm.
    """
    if name not in ABLATION:
        raise ValueError(f"there is no arm {name!r}; there are: {', '.join(ABLATION)}.")
    short = PretrainConfig(
        image_size=(128, 64), seed=seed, start=start, small_steps=0, steps=400, lr=5e-4,
        warmup_steps=50, colour=1.4, lookalikes=0.5,
    )  # fmt: skip
    return replace(short, **ABLATION[name])


def small_config() -> PretrainConfig:
    """A few steps on a handful of people: for tests and for looking at the code run."""
    return PretrainConfig(
        identities=6, images_per_identity=4, cameras=4, infrared_cameras=1, small_steps=2, steps=4,
        warmup_steps=1, identities_per_batch=3, images_per_batch=2,
    )  # fmt: skip
