"""A recipe: everything that decides what a training run computes, as data.

The recipes themselves, one file per paper with a source for each value, are in `reidlab.recipes`.
A field is checked by its annotation; a value that an older record does not name is the default.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from torch import nn

from reidlab.data import NORMALIZATIONS, ReIDDataset
from reidlab.errors import RecipeError
from reidlab.files import sha256
from reidlab.judging.validation import check_people, held_out
from reidlab.losses import LOSSES, Identity, Loss, Triplet, change_losses, losses_from
from reidlab.models import BACKBONES, create_model, expected_statistics
from reidlab.models.backbones import SHIPPED, Sides
from reidlab.models.pretrained import shipped_weights
from reidlab.record import YOUNGER
from reidlab.seed import seed_everything
from reidlab.settings import OneOf, Range, Words, check_fields, check_names

Share = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1, 100_000)]
Size = Annotated[
    tuple[Count, Count], Words("height and width in pixels, such as (192, 96) or 192x96")
]
Grid = Annotated[tuple[Count, Count], Words("rows and columns of patches, such as (16, 8) or 16x8")]
CAMERAS, VIEWS = (True, "both"), ("view", "both")  # settings that ask for cameras, for viewpoints
Switches = Annotated[Mapping, Words("switches by name, such as {'local_weight': 1.0}")]


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
        weights: "synth", "plain", "timm", a path or None, see `create_model`.
        weights_grid: Rows and columns of patches of a file that does not say, see `load_weights`.
        drop_path: Stochastic depth of the last block.
        camera_embedding: Whether the backbone learns a vector per camera (True), per viewpoint
            ("view") or per camera and viewpoint ("both": TransReID on VeRi-776).
        epochs: Passes of the sampler.
        sampler: "identity" draws batches of P people with K images each; "cross-modal" likewise,
            half of the K visible and half infrared, see `CrossModalSampler`; "shuffle" draws P * K
            images in any order, each image once an epoch but those of a last batch of a single
            image, or, of several processes, of one that is not full; "graph" draws for each person
            one batch of the P - 1 who look most alike to the model, and of themselves, by -score,
            or the cosine of a model that embeds; "graph-sigmoid", as QAConv's code does, by
            1 - sigmoid(score / 10), which is the same for all pairs while scores are far from 0.
        identities_per_batch: P, of all processes together: each of N takes P / N people.
        images_per_identity: K; the batch has P * K images.
        accumulation_steps: Batches whose gradients are averaged into one step of the optimizer; an
            epoch's last step takes what is left. Each batch goes through the network alone, so the
            triplet loss and batch norm see P * K images, however many a step has.
        optimizer: "sgd", "nesterov" (SGD with its momentum), "adamw", or "adam", whose weight decay
            is added to the gradient.
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
        precision: "no" (float32), "bf16" (float32 on a device without instructions for it, which
            would take many times as long), or "fp16" (GPU only).
        clip_grad: Largest norm of the gradient of a step; None: no clipping. A matcher's two
            parts are clipped each for itself, see `Matcher.clip_groups`.
        gradient_checkpointing: Whether the backward pass computes each block of the backbone again
            instead of keeping what the forward pass found: less memory, about a third more time,
            the same result. It may change when a run goes on.
        ema_decay: Keep, evaluate and save an exponential moving average of the weights with this
            decay instead of the weights themselves; None: no. See `reidlab.training.averaging`.
        losses: What is trained: a tuple of losses such as `(Identity(), Triplet(margin=0.3))`, see
            `reidlab.losses`; their weighted sum is. In a record they stand by name.
        gather: Under several processes, whether losses that compare images and batch norm look
            at the batch of all of them, as one process would, or at the share of each.
        normalization: Name in `reidlab.data.NORMALIZATIONS`.
        interpolation: How test images are resized, "bilinear" or "bicubic"; training images always
            are bicubically, as in TransReID.
        pad: Black pixels around a training image before it is cropped back; None: the paper's 10
            at a height of 256, in proportion.
        flip: Probability of a horizontal flip.
        erasing: Probability of random erasing.
        grey: Probability of a grey image, see `reidlab.data.colour_changes`.
        channel_exchange: Of one channel in place of all three.
        jitter: Of another brightness and contrast.
        blur: Of a blur.
        augmentation: "transreid" or "qaconv", see `reidlab.data.build_transform`.
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

    FREE: ClassVar[tuple[str, ...]] = ("workers", "embed_batch_size", "gradient_checkpointing")
    """Settings that change no trained weight, and may change when a run goes on."""
    YOUNGER: ClassVar[tuple[str, ...]] = YOUNGER
    """Settings younger than many records, whose digests stay: unnamed at their defaults."""

    model: str = "vit_baseline"
    profile: Literal["smoke", "laptop", "paper"] = "laptop"
    preset: Literal[None, "paper", "code"] = None
    switches: Switches = field(default_factory=dict, hash=False)
    backbone: str = "vit_tiny_patch16_224"
    image_size: Size = (192, 96)
    stride: Annotated[int, Range(1, 1024)] | None = None
    depth: Annotated[int, Range(1, 1024)] | None = None
    weights: str | None = "synth"
    weights_grid: Grid | None = None
    drop_path: Annotated[float, Range(0, 0.99)] = 0.0
    camera_embedding: Literal[False, True, "view", "both"] = False
    epochs: Count = 10
    sampler: Literal["identity", "cross-modal", "shuffle", "graph", "graph-sigmoid"] = "identity"
    identities_per_batch: Annotated[int, Range(2, 100_000)] = 8  # one identity has no negative
    images_per_identity: Count = 4
    accumulation_steps: Count = 1
    optimizer: Literal["sgd", "nesterov", "adamw", "adam"] = "adamw"
    lr: Annotated[float, Range(1e-12, 1e3)] = 3e-4
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    weight_decay: Annotated[float, Range(0, 10)] = 0.05
    bias_lr_multiplier: Annotated[float, Range(0, 1e4)] = 1.0
    head_lr_multiplier: Annotated[float, Range(0, 1e4)] = 1.0
    layer_decay: Annotated[float, Range(1e-6, 1)] = 1.0
    warmup_epochs: Annotated[float, Range(0, 100_000)] = 1.0
    warmup_start: Share = 0.01
    lr_floor: Share = 0.002
    schedule: Literal["epoch", "step", "decay"] = "step"
    lr_decay: Annotated[float, Range(1e-6, 1)] = 0.8
    decay_every: Count = 2
    unfreezing: Literal[None, "code", "algorithm-1"] = None
    precision: Literal["no", "bf16", "fp16"] = "no"
    clip_grad: Annotated[float, Range(1e-9, 1e9)] | None = None
    gradient_checkpointing: bool = False
    ema_decay: Annotated[float, Range(0, 0.999999)] | None = None
    losses: tuple[Loss, ...] = (Identity(), Triplet())
    gather: bool = True
    normalization: Annotated[str, OneOf(NORMALIZATIONS)] = "half"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    pad: Annotated[int, Range(0, 10_000)] | None = None
    flip: Share = 0.5
    erasing: Share = 0.5
    grey: Share = 0.0
    channel_exchange: Share = 0.0
    jitter: Share = 0.0
    blur: Share = 0.0
    augmentation: Literal["transreid", "qaconv"] = "transreid"
    embed_batch_size: Count = 64
    flip_test: bool = False
    workers: Annotated[int, Range(0, 1024)] = 2
    validate_every: Count | None = None
    validate_on: Literal["people", "images"] = "people"
    validation_identities: float = 0.1
    keep: Literal["last", "best"] = "last"
    metric: Literal["cosine", "euclidean"] = "cosine"
    ap: Literal["mean_precision", "trapezoid", "top10"] = "mean_precision"

    def __post_init__(self) -> None:
        for name in ("image_size", "weights_grid"):
            if isinstance(getattr(self, name), list):  # JSON has no tuples
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.weights, Path):
            object.__setattr__(self, "weights", str(self.weights))
        object.__setattr__(self, "losses", losses_from(self.losses))
        check_fields(self, "recipe", RecipeError)
        people, wrong, expected = self.validation_identities, "", ""
        if self.warmup_epochs > self.epochs:
            wrong, expected = "warmup_epochs", f"at most epochs ({self.epochs})"
        elif not (0 < people < 1 or (people >= 2 and people % 1 == 0)):
            wrong = "validation_identities"
            expected = "a whole number of people from 2, or a share between 0 and 1"
        elif self.keep == "best" and self.validate_every is None:
            wrong, expected = "keep", "'last', unless validate_every is set"
        elif self.optimizer == "nesterov" and self.momentum == 0:
            wrong, expected = "momentum", "more than 0 with optimizer='nesterov'"
        elif self.unfreezing is not None and self.schedule != "decay":
            wrong, expected = "schedule", f"'decay' with unfreezing={self.unfreezing!r}"
        elif self.sampler == "cross-modal" and self.images_per_identity % 2:
            wrong = "images_per_identity"
            expected = "an even number with sampler='cross-modal': half of them are infrared"
        elif not self.losses:
            wrong, expected = "losses", "one or more, such as (Identity(),)"
        if wrong:
            raise RecipeError(f"recipe: {wrong} is {getattr(self, wrong)!r}; expected {expected}.")

    def replace(self, **overrides: Any) -> Recipe:
        """A copy with other settings.

        "switches.NAME" changes one switch and keeps the others; "losses.NAME.SETTING" one setting
        of a loss, which joins the others if it was not among them; "losses.NAME" = None drops it.

        Raises:
            RecipeError: If a setting does not exist, or a value cannot work.
        """
        changed: dict[str, Any] = {}
        inner: dict[str, dict[str, Any]] = {"switches": {}, "losses": {}}
        for key, value in overrides.items():
            name, dot, rest = key.partition(".")
            if dot and name not in inner:
                raise RecipeError(
                    f"{key}={value!r} changes no setting; expected switches.NAME, losses.NAME=None "
                    f"or losses.NAME.SETTING, NAME one of {', '.join(LOSSES)}."
                )
            (inner[name] if dot else changed)[rest if dot else key] = value
        if inner["switches"]:
            changed["switches"] = {**changed.get("switches", self.switches), **inner["switches"]}
        if inner["losses"]:
            losses = losses_from(changed.get("losses", self.losses))
            changed["losses"] = change_losses(losses, inner["losses"])
        names = [each.name for each in dataclasses.fields(self)]
        check_names(changed, names, "a recipe", RecipeError)
        return dataclasses.replace(self, **changed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON record; of a weights file only the name, never the folder."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values |= {
            "image_size": list(self.image_size),
            "switches": dict(self.switches),
            "losses": {loss.name: loss.to_dict() for loss in self.losses},
        }
        if self.weights is not None:
            values["weights"] = Path(self.weights).name
        if self.weights_grid is not None:
            values["weights_grid"] = list(self.weights_grid)
        usual = {each.name: each.default for each in dataclasses.fields(self)}
        return {
            name: value
            for name, value in values.items()
            if name not in self.YOUNGER or value != usual[name]
        }

    @classmethod
    def from_record(cls, experiment: Mapping[str, Any]) -> Recipe:
        """The recipe in the `experiment` of a run record, of any age.

        What else stands there is passed over; a setting that is not there had its default.
        """
        names = [each.name for each in dataclasses.fields(cls)]
        values = {name: value for name, value in experiment.items() if name in names}
        values["switches"] = experiment.get("changed_switches", values.get("switches", {}))
        if "losses" not in experiment:
            values["losses"] = _losses_before(experiment)
        return cls(**values)

    @property
    def batch_size(self) -> int:
        """Images per training step, P * K."""
        return self.identities_per_batch * self.images_per_identity

    @property
    def weights_sha256(self) -> str | None:
        """Of the file that a training starts from, the shipped one or one's own; else None."""
        own = Path(self.weights or "").expanduser()
        path = shipped_weights(str(self.weights)) if self.weights in SHIPPED else own
        return sha256(path) if path.is_file() else None


def _losses_before(experiment: Mapping[str, Any]) -> tuple[Loss, ...]:
    """Those of a record from when a recipe had one field for each setting of two losses."""
    heads = experiment.get("over_heads", "mean")
    weight = experiment.get("triplet_weight", 1.0)
    identity = Identity(label_smoothing=experiment.get("label_smoothing", 0.0), over_heads=heads)
    triplet = Triplet(
        margin=experiment.get("triplet_margin"),
        on=experiment.get("triplet_on", "features"),
        over_heads=heads,
        weight=weight,
    )
    return (identity, triplet) if weight else (identity,)


def build_model(recipe: Recipe, ds: ReIDDataset, *, seed: int = 0) -> nn.Module:
    """The model a recipe asks for, for the identities and cameras of a data set.

    Args:
        recipe: The settings.
        ds: Gives the number of identities and cameras; the whole set, as `fit` takes it: people
            left out for validation get no class.
        seed: Of the random weights.

    Raises:
        RecipeError: If the set has no training people.
    """
    check_people(ds)
    warn_of_normalization(recipe)
    seed_everything(seed)
    validated = recipe.validate_every is not None and recipe.validate_on == "people"
    left_out = held_out(ds, recipe.validation_identities) if validated else 0
    cameras = ds.num_cameras if recipe.camera_embedding in CAMERAS else 0
    sides = (cameras, ds.num_views) if recipe.camera_embedding in VIEWS else cameras
    return model_of_size(recipe, ds.num_classes - left_out, sides)


def model_of_size(recipe: Recipe, num_classes: int, num_cameras: Sides) -> nn.Module:
    """The model a recipe asks for, for so many identities, and cameras as in `create_model`."""
    return create_model(
        recipe.model,
        num_classes=num_classes,
        backbone=recipe.backbone,
        image_size=recipe.image_size,
        weights=recipe.weights,
        weights_grid=recipe.weights_grid,
        stride=recipe.stride,
        num_cameras=num_cameras,
        preset=recipe.preset,
        switches=recipe.switches,
        depth=recipe.depth,
        drop_path=recipe.drop_path,
    )


def warn_of_normalization(recipe: Recipe) -> None:
    """Warn where a recipe normalises images in another way than the pre-training did.

    Nothing fails then and some accuracy is gone, so it has to be said. It is a warning only: papers
    do it (LA-Transformer shows ImageNet's statistics to weights trained with 0.5), and a recipe
    that does as its paper did is not warned of.
    """
    expected = expected_statistics(recipe.backbone, recipe.weights)
    if expected is None or NORMALIZATIONS.get(recipe.normalization) == expected:
        return
    facts = BACKBONES.get(recipe.backbone)
    if facts is not None and facts.used_by.get(recipe.model) == recipe.normalization:
        return
    mean, deviation = expected
    names = [name for name, statistics in NORMALIZATIONS.items() if statistics == expected]
    step = (
        f"use recipe.replace(normalization={names[0]!r})"
        if names
        else "add it to reidlab.data.NORMALIZATIONS under a name and use that"
    )
    warnings.warn(
        f"the weights of {recipe.backbone} were trained on images of mean {mean} and deviation "
        f"{deviation}, and the recipe normalises by {recipe.normalization!r}: {step}, or keep it "
        "if your paper did the same; no error follows, only a quiet loss of accuracy.",
        stacklevel=3,
    )
