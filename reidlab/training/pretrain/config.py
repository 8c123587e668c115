"""Every number of the pretraining, and the arms of its ablation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from reidlab.errors import RecipeError
from reidlab.files import sha256
from reidlab.losses import Contrastive, Identity, Loss, change_losses, losses_from
from reidlab.settings import Range, check_fields
from reidlab.synth import PRETRAINING_SEEDS, World
from reidlab.training.pretrain.heads import Attributes, Patches, SelfSupervised, ViewIdentity
from reidlab.training.recipe import Count, Share, Size

Steps = Annotated[int, Range(0, 10_000_000)]
Positive = Annotated[float, Range(1e-12, 1e9)]


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
        save_every: Steps of an epoch, which ends with a checkpoint and seeds stochastic depth.
        lr: Peak rate of AdamW.
        final_lr: Rate at the end of the half cosine.
        warmup_steps: Length of the linear warm-up.
        weight_decay: Of matrices; norms and biases have none.
        clip_grad: Largest norm of the gradient.
        drop_path: Stochastic depth of the last block.
        losses: What is trained, see `heads` and `reidlab.losses`. With `SelfSupervised()`, which
            needs no truth at all, a batch has K/2 images of a person, each twice.
        colour: Strength of the changes of colour; 0: none.
        swap_background: Share of images whose background becomes that of another image.
        lookalikes: Share of batches of people who dress alike.
    """

    backbone: str = "vit_tiny_patch16_224"
    image_size: Size = (192, 96)
    small_size: Size = (128, 64)
    seed: Annotated[int, Range(0, 2**31)] = 0
    start: str | None = None
    identities: Count = 4000
    images_per_identity: Count = 12
    cameras: Count = 2000
    infrared_cameras: Steps = 400
    identities_per_batch: Count = 16
    images_per_batch: Count = 4
    small_steps: Steps = 5600
    steps: Annotated[int, Range(1, 10_000_000)] = 7600
    save_every: Count = 250
    lr: Positive = 8e-4
    final_lr: Positive = 2e-5
    warmup_steps: Steps = 200
    weight_decay: Annotated[float, Range(0, 10)] = 0.05
    clip_grad: Positive = 1.0
    drop_path: Annotated[float, Range(0, 0.99)] = 0.05
    losses: tuple[Loss, ...] = (
        ViewIdentity(label_smoothing=0.1),
        Contrastive(over_heads="sum"),
        Attributes(),
        Patches(),
    )
    colour: Annotated[float, Range(0, 100)] = 2.1
    swap_background: Share = 0.5
    lookalikes: Share = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", losses_from(self.losses))
        check_fields(self, "pretraining", RecipeError)
        twice = any(isinstance(loss, SelfSupervised) for loss in self.losses)
        drawn, rest = divmod(self.images_per_batch, 2 if twice else 1)
        shown = ", each shown twice with SelfSupervised" if twice else ""
        images = f"the images_per_identity ({self.images_per_identity}) different ones{shown}"
        people = f"the identities ({self.identities}), each once a batch"
        for name, fits, most in (
            ("images_per_batch", not rest and drawn <= self.images_per_identity, images),
            ("identities_per_batch", self.identities_per_batch <= self.identities, people),
            ("warmup_steps", self.warmup_steps <= self.steps, f"steps ({self.steps})"),
        ):
            if not fits:
                raise RecipeError(
                    f"pretraining: {name} is {getattr(self, name)}; expected at most {most}."
                )

    @property
    def named(self) -> int:
        """People who are told apart by name: all, or nobody."""
        asked = any(isinstance(loss, Identity | Contrastive) for loss in self.losses)
        return self.identities if asked else 0

    @property
    def variant(self) -> str:
        """Which shipped weights: the strong start, or the plain one, where nobody has a name."""
        return "vit_tiny_synth" if self.named else "vit_tiny_plain"

    def lr_of(self, step: int) -> float:
        """Learning rate of a step, counted from 0 over the whole training."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.final_lr + 0.5 * (self.lr - self.final_lr) * (1.0 + math.cos(math.pi * share))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record; of a weights file its name and SHA-256, never the folder."""
        values = asdict(self) | {
            "image_size": list(self.image_size),
            "small_size": list(self.small_size),
            "losses": {loss.name: loss.to_dict() for loss in self.losses},
        }
        path = Path(self.start or "").expanduser()
        if path.is_file():
            values |= {"start": path.name, "start_sha256": sha256(path)}
        return values

    def world(self) -> World:
        """The randomised world of this run."""
        return World(
            seed=PRETRAINING_SEEDS + self.seed, identities=self.identities, cameras=self.cameras,
            infrared_cameras=self.infrared_cameras, images_per_camera=1, palette=40, occlusion=0.15,
            jitter=1.3, resolution=self.image_size, style="random",
        )  # fmt: skip


# The plain start, a counterpart of ImageNet's weights: the class token alone says what somebody
# wears and carries. No person has a name, and no patch token is ever asked anything.
PLAIN = PretrainConfig(
    image_size=(128, 64), small_steps=0, steps=16_000, identities=24_000, images_per_identity=4,
    identities_per_batch=64, images_per_batch=1, warmup_steps=500, losses=(Attributes(views=1),),
)  # fmt: skip
# One thing changed at a time, against "whole", which was the recipe before the ablation. What it
# showed moved two defaults: `colour` from 1.4 to 2.1, `lookalikes` from 0.5 to 0.
_TRIPLET = {"losses.contrastive": None, "losses.triplet.over_heads": "sum"}
_IDENTITY_ALONE = {"losses.attributes": None, "losses.patches": None}
ABLATION: dict[str, dict[str, Any]] = {
    "whole": {},
    "60 + 12 cameras": {"cameras": 60, "infrared_cameras": 12},
    "backgrounds stay": {"swap_background": 0.0},
    "half the changes of colour": {"colour": 0.7},
    "half as much again of colour": {"colour": 2.1},
    "no lookalikes": {"lookalikes": 0.0},
    "patches not asked": {"losses.patches": None},
    "triplet, not contrast": _TRIPLET,
    "identity and triplet alone": {**_TRIPLET, **_IDENTITY_ALONE},
    "self-supervised alone": {
        "losses.identity": None, "losses.contrastive": None, **_IDENTITY_ALONE,
        "losses.self_supervised.weight": 1.0,
    },
    "self-supervised too": {"losses.self_supervised.weight": 1.0},
}  # fmt: skip


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
        image_size=(128, 64), seed=seed, start=start, small_steps=0, steps=400, save_every=100,
        lr=5e-4, warmup_steps=50, colour=1.4, lookalikes=0.5,
    )  # fmt: skip
    changes = ABLATION[name]
    inner = {key.removeprefix("losses."): changes[key] for key in changes if "." in key}
    outer = {key: changes[key] for key in changes if "." not in key}
    return replace(short, losses=change_losses(short.losses, inner), **outer)


def small_config(whole: PretrainConfig | None = None) -> PretrainConfig:
    """A few steps on a handful of people: for tests and for looking at the code run."""
    return replace(
        whole or PretrainConfig(), identities=6, images_per_identity=4, cameras=4,
        infrared_cameras=1, small_steps=2, steps=4, save_every=2, warmup_steps=1,
        identities_per_batch=3, images_per_batch=2,
    )  # fmt: skip
