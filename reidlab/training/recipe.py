"""A recipe: everything that decides what a training run computes, as data.

The recipes themselves, one file per paper with a source for each value, are in `reidlab.recipes`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from reidlab.data import ReIDDataset
from reidlab.errors import RecipeError
from reidlab.judging.validation import held_out
from reidlab.models import create_model
from reidlab.seed import seed_everything
from reidlab.training.normalization import warn_of_normalization


@dataclass(frozen=True)
class Recipe:
    """Settings of one run; change some with `recipe.replace(epochs=5)`.

    Attributes:
        model: Name for `create_model`.
        profile: "smoke", "laptop" or "paper"; a label for the record.
        preset: "paper" or "code" where the two differ, else None.
        switches: Switches of the model in place of its preset's, see `create_model`; one alone
            changes by `recipe.replace(**{"switches.local_weight": 1.0})`.
        backbone: A ViT of timm or a ResNet, see `create_model`.
        image_size: Height and width, pixels.
        stride: Pixels between patches; None: the patch size.
        depth: Keep the first `depth` blocks; None: all.
        weights: "synth", "timm", a path or None, see `create_model`.
        drop_path: Stochastic depth of the last block.
        camera_embedding: Whether the backbone learns a vector per camera.
        epochs: Passes of the sampler.
        sampler: "identity" draws batches of P people with K images each; "shuffle" draws P * K
            images in any order, each image once an epoch.
        identities_per_batch: P, of all processes together: each of N takes P / N people.
        images_per_identity: K; the batch has P * K images.
        accumulation_steps: Batches whose gradients are averaged into one step of the optimizer; an
            epoch's last step takes what is left. Each batch goes through the network alone, so the
            triplet loss and batch norm see P * K images, however many a step has.
        optimizer: "sgd", "adamw", or "adam", whose weight decay is added to the gradient.
        lr: Peak learning rate of the backbone's weights.
        momentum: Of SGD; the others ignore it.
        weight_decay: For every parameter, biases and norms too.
        bias_lr_multiplier: Peak rate of parameters with "bias" in their name, relative to `lr`.
        head_lr_multiplier: Peak rate of everything outside the backbone, relative to `lr`.
        layer_decay: Rate of a block of the backbone relative to that of the block after it, over
            the whole schedule (BEiT, MAE): of L blocks, block l learns at the rate times
            layer_decay ** (L + 1 - l), the embeddings at the power L + 1, the final norm and the
            head at the full rate. 1 is off.
        warmup_epochs: Length of the linear warm-up.
        warmup_start: Rate at time 0, relative to `lr`.
        lr_floor: Rate at the end, relative to `lr`.
        schedule: Warm-up and cosine, which "epoch" follows from epoch to epoch and "step" from step
            to step; or "decay", which multiplies the rate by `lr_decay` every `decay_every` epochs,
            the first time before the first epoch, and knows no warm-up and no floor.
        lr_decay: See `schedule`.
        decay_every: See `schedule`; with `unfreezing` a block opens as often.
        unfreezing: Block-wise fine-tuning: "code", as LA-Transformer's program runs it,
            "algorithm-1", as its paper writes it, both in `reidlab.training.unfreezing`; None:
            all blocks are trained from the start. Needs the schedule "decay".
        precision: "no" (float32), "bf16", or "fp16" (GPU only).
        clip_grad: Largest norm of the gradient of a step; None: no clipping.
        gradient_checkpointing: Whether the backward pass computes each block of the backbone again
            instead of keeping what the forward pass found: less memory, about a third more time,
            the same result. It may change when a run goes on.
        ema_decay: Keep, evaluate and save an exponential moving average of the weights with this
            decay instead of the weights themselves; None: no. See `reidlab.training.averaging`.
        label_smoothing: Of the identity loss.
        over_heads: What becomes of the losses of a model with several classifiers: their "mean" or
            their "sum".
        triplet_margin: None means soft margin.
        triplet_on: What the triplet loss measures distances of: the model's "features", or its
            "logits" (LA-TF++).
        gather: Under several processes, whether triplet loss and batch norm look at the batch of
            all of them, as one process would, or at the share of each; see `processes`.
        triplet_weight: Weight of the triplet loss beside the identity loss; 0 leaves it out.
        normalization: Name in `reidlab.data.NORMALIZATIONS`.
        interpolation: How test images are resized, "bilinear" or "bicubic"; training images always
            are bicubically, as in TransReID.
        pad: Black pixels around a training image before it is cropped back; None: the paper's 10
            at a height of 256, in proportion.
        flip: Probability of a horizontal flip.
        erasing: Probability of random erasing.
        embed_batch_size: Images per batch when embedding.
        flip_test: Whether an embedding is the mean of the image's and its mirror image's, which
            doubles the time of embedding.
        workers: Processes that read images; no result depends on it.
        validate_every: Epochs between two evaluations on what is left out of the training for it;
            the last epoch is evaluated as well. None: nothing is left out. For choosing settings:
            the test set is no place for that.
        validate_on: "people" leaves people out and looks for them, see `split_validation`; "images"
            leaves one image of every person out and classifies it, see `split_images`.
        validation_identities: How many people are left out (2 or more), or their share (below 1);
            read only with `validate_every` and "people".
        keep: "last" keeps the weights of the last epoch, "best" those of the evaluated epoch with
            the highest mAP on the people, or accuracy on the images left out, the earliest of
            equals.
        metric: Distance of the evaluation, "cosine" or "euclidean".
        ap: Average precision, "mean_precision", "trapezoid", or "top10" (LA-Transformer).
    """

    model: str = "vit_baseline"
    profile: str = "laptop"
    preset: str | None = None
    switches: Mapping[str, Any] = field(default_factory=dict, hash=False)
    backbone: str = "vit_tiny_patch16_224"
    image_size: tuple[int, int] = (192, 96)
    stride: int | None = None
    depth: int | None = None
    weights: str | None = "synth"
    drop_path: float = 0.0
    camera_embedding: bool = False
    epochs: int = 10
    sampler: str = "identity"
    identities_per_batch: int = 8
    images_per_identity: int = 4
    accumulation_steps: int = 1
    optimizer: str = "adamw"
    lr: float = 3e-4
    momentum: float = 0.9
    weight_decay: float = 0.05
    bias_lr_multiplier: float = 1.0
    head_lr_multiplier: float = 1.0
    layer_decay: float = 1.0
    warmup_epochs: float = 1.0
    warmup_start: float = 0.01
    lr_floor: float = 0.002
    schedule: str = "step"
    lr_decay: float = 0.8
    decay_every: int = 2
    unfreezing: str | None = None
    precision: str = "no"
    clip_grad: float | None = None
    gradient_checkpointing: bool = False
    ema_decay: float | None = None
    label_smoothing: float = 0.0
    over_heads: str = "mean"
    triplet_margin: float | None = None
    triplet_on: str = "features"
    triplet_weight: float = 1.0
    gather: bool = True
    normalization: str = "half"
    interpolation: str = "bilinear"
    pad: int | None = None
    flip: float = 0.5
    erasing: float = 0.5
    embed_batch_size: int = 64
    flip_test: bool = False
    workers: int = 2
    validate_every: int | None = None
    validate_on: str = "people"
    validation_identities: float = 0.1
    keep: str = "last"
    metric: str = "cosine"
    ap: str = "mean_precision"

    def __post_init__(self) -> None:
        if isinstance(self.image_size, list):  # JSON has no tuples
            object.__setattr__(self, "image_size", tuple(self.image_size))
        if isinstance(self.weights, Path):
            object.__setattr__(self, "weights", str(self.weights))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise _wrong(self, name, "one of " + ", ".join(map(repr, choices)))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not _is_number(value, whole=name in _WHOLE) or not low <= value <= high:
                kind = "a whole number" if name in _WHOLE else "a number"
                raise _wrong(self, name, f"{kind} from {low:g} to {high:g}")
        size = self.image_size
        if not isinstance(size, tuple) or [_is_number(s, whole=True) for s in size] != [True, True]:
            raise _wrong(self, "image_size", "height and width in pixels, such as (192, 96)")
        if self.warmup_epochs > self.epochs:
            raise _wrong(self, "warmup_epochs", f"at most epochs ({self.epochs})")
        people = self.validation_identities
        if not (_is_number(people, whole=False) and 0 < people < 1) and not (
            _is_number(people, whole=True) and people >= 2
        ):
            expected = "a whole number of people from 2, or a share between 0 and 1"
            raise _wrong(self, "validation_identities", expected)
        if self.keep == "best" and self.validate_every is None:
            raise _wrong(self, "keep", "'last', unless validate_every is set")
        if self.unfreezing is not None and self.schedule != "decay":
            raise _wrong(self, "schedule", f"'decay' with unfreezing={self.unfreezing!r}")
        if not isinstance(self.switches, Mapping):
            raise _wrong(self, "switches", "switches by name, such as {'local_weight': 1.0}")

    def replace(self, **overrides: Any) -> Recipe:
        """A copy with other settings; "switches.NAME" changes one switch and keeps the others.

        Raises:
            RecipeError: If a setting does not exist, or a value cannot work.
        """
        prefix = "switches."
        own = {k.removeprefix(prefix): v for k, v in overrides.items() if k.startswith(prefix)}
        rest = {key: value for key, value in overrides.items() if not key.startswith(prefix)}
        if own:
            rest["switches"] = {**rest.get("switches", self.switches), **own}
        return dataclasses.replace(self, **_known(rest))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON record; of a weights file only the name, never the folder."""
        values = dataclasses.asdict(self)
        values |= {"image_size": list(self.image_size), "switches": dict(self.switches)}
        if self.weights is not None:
            values["weights"] = Path(self.weights).name
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a record."""
        return cls(**_known(values))

    @property
    def batch_size(self) -> int:
        """Images per training step, P * K."""
        return self.identities_per_batch * self.images_per_identity


def build_model(recipe: Recipe, ds: ReIDDataset, *, seed: int = 0) -> nn.Module:
    """The model a recipe asks for, for the identities and cameras of a data set.

    Args:
        recipe: The settings.
        ds: Gives the number of identities and cameras; the whole set, as `fit` takes it: people
            left out for validation get no class.
        seed: Of the random weights.
    """
    warn_of_normalization(recipe)
    seed_everything(seed)
    validated = recipe.validate_every is not None and recipe.validate_on == "people"
    return create_model(
        recipe.model,
        num_classes=ds.num_classes
        - (held_out(ds, recipe.validation_identities) if validated else 0),
        backbone=recipe.backbone,
        image_size=recipe.image_size,
        weights=recipe.weights,
        stride=recipe.stride,
        num_cameras=ds.num_cameras if recipe.camera_embedding else 0,
        preset=recipe.preset,
        switches=recipe.switches,
        depth=recipe.depth,
        drop_path=recipe.drop_path,
    )


_CHOICES: dict[str, tuple[Any, ...]] = {
    "profile": ("smoke", "laptop", "paper"),
    "preset": (None, "paper", "code"),
    "sampler": ("identity", "shuffle"),
    "optimizer": ("sgd", "adamw", "adam"),
    "schedule": ("epoch", "step", "decay"),
    "unfreezing": (None, "code", "algorithm-1"),
    "over_heads": ("mean", "sum"),
    "triplet_on": ("features", "logits"),
    "interpolation": ("bilinear", "bicubic"),
    "validate_on": ("people", "images"),
    "precision": ("no", "bf16", "fp16"),
    "metric": ("cosine", "euclidean"),
    "ap": ("mean_precision", "trapezoid", "top10"),
    "camera_embedding": (True, False),
    "flip_test": (True, False),
    "gather": (True, False),
    "gradient_checkpointing": (True, False),
    "keep": ("last", "best"),
}
_RANGES: dict[str, tuple[float, float]] = {
    "stride": (1, 1024),
    "depth": (1, 1024),
    "drop_path": (0, 0.99),
    "epochs": (1, 100_000),
    "identities_per_batch": (2, 100_000),  # one identity has no negative
    "images_per_identity": (1, 100_000),
    "accumulation_steps": (1, 100_000),
    "lr": (1e-12, 1e3),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "bias_lr_multiplier": (0, 1e4),
    "head_lr_multiplier": (0, 1e4),
    "layer_decay": (1e-6, 1),
    "warmup_epochs": (0, 100_000),
    "warmup_start": (0, 1),
    "lr_floor": (0, 1),
    "lr_decay": (1e-6, 1),
    "decay_every": (1, 100_000),
    "clip_grad": (1e-9, 1e9),
    "ema_decay": (0, 0.999999),
    "label_smoothing": (0, 0.999),
    "triplet_margin": (0, 1e4),
    "triplet_weight": (0, 1e4),
    "pad": (0, 10_000),
    "flip": (0, 1),
    "erasing": (0, 1),
    "embed_batch_size": (1, 100_000),
    "workers": (0, 1024),
    "validate_every": (1, 100_000),
}
_OPTIONAL = {
    "stride",
    "depth",
    "clip_grad",
    "ema_decay",
    "triplet_margin",
    "pad",
    "validate_every",
}
_WHOLE = {
    "stride",
    "depth",
    "epochs",
    "identities_per_batch",
    "images_per_identity",
    "accumulation_steps",
    "decay_every",
    "pad",
    "embed_batch_size",
    "workers",
    "validate_every",
}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, if every name is a setting of a recipe."""
    names = [each.name for each in dataclasses.fields(Recipe)]
    for name in values:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise RecipeError(
                f"a recipe has no setting {name!r}.{hint} It has: {', '.join(names)}."
            )
    return dict(values)


def _is_number(value: object, *, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)


def _wrong(recipe: Recipe, name: str, expected: str) -> RecipeError:
    return RecipeError(f"recipe: {name} is {getattr(recipe, name)!r}; expected {expected}.")
