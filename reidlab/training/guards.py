"""What stops a training: settings that cannot work, and numbers that are none any more."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import nn

from reidlab.data import ReIDDataset
from reidlab.errors import RecipeError, ReidlabError
from reidlab.judging import sides_of, with_rows
from reidlab.judging.embedding import evaluating
from reidlab.models import Matcher, TokenBackbone
from reidlab.training.recipe import CAMERAS, VIEWS, Recipe
from reidlab.training.unfreezing import blocks_of


class TrainingDiverged(ReidlabError, RuntimeError):
    """A loss, a gradient or a weight is no number any more; the last good checkpoint is kept."""


def check_fits(model: nn.Module, ds: ReIDDataset, recipe: Recipe, learn: ReIDDataset) -> None:
    """Find now what would otherwise fail after hours, or in a GPU kernel without a message."""
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise RecipeError(
            "precision is 'fp16' and this machine has no GPU; on a CPU use "
            "recipe.replace(precision='bf16') or 'no'."
        )
    if (learned := learn.num_classes) < 2:
        raise RecipeError(
            f"{ds.name} trains on {learned} person; expected 2 or more: there is nobody to tell "
            "apart. Train on more people."
        )
    classes = getattr(model, "num_classes", learned)
    if classes != learned:
        left = f", {ds.num_classes - learned} left out" if learned < ds.num_classes else ""
        raise RecipeError(
            f"the model classifies {classes} identities and {ds.name} trains on {learned}{left}; "
            "build the model with build_model(recipe, ds)."
        )
    backbone = getattr(model, "backbone", None)
    size = getattr(backbone, "image_size", recipe.image_size)
    if tuple(size) != recipe.image_size:
        raise RecipeError(
            f"the model takes images of {size[0]}x{size[1]} and the recipe says "
            f"{recipe.image_size[0]}x{recipe.image_size[1]}; build one for the other."
        )
    _check_sides(model, ds, recipe, learn)
    tokens = any(isinstance(part, TokenBackbone) for part in model.modules())
    if recipe.gradient_checkpointing and not tokens:
        raise RecipeError(
            f"gradient_checkpointing is True and {type(model).__name__} has no TokenBackbone, "
            "whose blocks it computes again; set it False."
        )
    if recipe.unfreezing is not None and not blocks_of(model):
        raise RecipeError(
            f"unfreezing is {recipe.unfreezing!r} and the backbone of {type(model).__name__} has "
            "no transformer blocks to freeze; set it None."
        )
    if recipe.layer_decay < 1 and not blocks_of(model):
        raise RecipeError(
            f"layer_decay is {recipe.layer_decay} and the backbone of {type(model).__name__} has "
            "no transformer blocks to tell apart; set it 1."
        )
    _check_losses(model, recipe)  # last: it runs the model


def _check_losses(model: nn.Module, recipe: Recipe) -> None:
    """Whether the model gives, and the sampler draws, what each loss needs."""
    cosines, whose = getattr(model, "cosines", False), type(model).__name__
    outputs = _outputs(model, recipe)
    usual = {"scores": "Pairwise()", "logits": "GlobalCircle()" if cosines else "Identity()"}
    fits = next((loss for name, loss in usual.items() if _given(outputs, name)), "Triplet()")
    for loss in recipe.losses:
        wrong = None
        if not _given(outputs, loss.reads):
            wrong = f"reads {loss.reads} and {whose} gives none; use losses such as ({fits},)"
        elif loss.of_cosines not in (None, cosines):
            kind = ("no cosines", "cosines")[cosines]
            wrong = f"does not fit the logits of {whose}, which are {kind}; use {fits}"
        elif loss.across_modalities and recipe.sampler != "cross-modal":
            wrong = (
                f"compares visible with infrared images and the sampler is {recipe.sampler!r}, "
                "whose batches may have one kind alone; use 'cross-modal'"
            )
        elif loss.needs_pairs and recipe.images_per_identity < 2 and recipe.sampler != "shuffle":
            wrong = (
                "compares images of one person and images_per_identity is 1, so that it would be "
                "0; use 2 or more"
            )
        if wrong:
            raise RecipeError(f"the loss {loss.name} {wrong}, or drop this loss.")


def _outputs(model: nn.Module, recipe: Recipe) -> Any:
    """What the model says of two black images."""
    with evaluating(model) as device, torch.no_grad():
        images = torch.zeros(2, 3, *recipe.image_size, device=device)
        return model(images, torch.zeros(2, dtype=torch.long, device=device))


def _given(outputs: Any, name: str) -> bool:
    found = getattr(outputs, name, None)
    return found is not None and len(found) > 0


def _check_sides(model: nn.Module, ds: ReIDDataset, recipe: Recipe, learn: ReIDDataset) -> None:
    """Whether the table of the model is what the recipe asks for, and can be learned and used."""
    embedding, table = recipe.camera_embedding, sides_of(model)
    train, *tested = (
        with_rows(model, frame[~frame["junk"]], ds.name)["camid"]
        for frame in (ds.train, ds.query, ds.gallery)
    )
    if (embedding in CAMERAS, embedding in VIEWS) != tuple(map(bool, table)):
        raise RecipeError(
            f"camera_embedding is {embedding!r} and the model tells {table[0]} cameras and "
            f"{table[1]} viewpoints apart; build the model with build_model(recipe, ds)."
        )
    if not embedding:
        return
    learned = with_rows(model, learn.train)["camid"]
    if learned.nunique() < 2:
        raise RecipeError(
            f"camera_embedding is {embedding!r} and all {len(learned)} training images of "
            f"{ds.name} are of one camera or viewpoint, so that no difference can be learned; use "
            "camera_embedding=False."
        )
    never = pd.concat([train, *tested])
    never = never[~never.isin(learned)]
    if len(never):
        rows = ", ".join(map(str, sorted(never.unique())[:5]))
        warnings.warn(
            f"{len(never)} images of {ds.name} that are not trained on are of {never.nunique()} "
            f"cameras or viewpoints that no training image is of (rows {rows} of the table): their "
            "vectors stay random. Train with camera_embedding=False, or judge by the mean of the "
            "table: evaluate_run(out, ds, mean_camera=True).",
            stacklevel=4,
        )


def check_gradient(
    accelerator: Accelerator, model: nn.Module, recipe: Recipe, epoch: int, step: int
) -> None:
    """Clip, and stop before a gradient that is no number gets into the weights.

    With fp16 the scaler finds it as well: it leaves the step out and halves its factor. That is
    how it looks for the largest factor there is; but below 1 it is the gradient that overflows.
    """
    scaler = accelerator.scaler
    if scaler is not None and scaler.get_scale() < 1:
        raise TrainingDiverged(advice(f"the gradient overflows at step {step}", epoch))
    if scaler is None or recipe.clip_grad is not None:
        largest = math.inf if recipe.clip_grad is None else recipe.clip_grad  # inf changes no bit
        own = accelerator.unwrap_model(model)
        first, *others = own.clip_groups() if isinstance(own, Matcher) else [model.parameters()]
        norm = accelerator.clip_grad_norm_(first, largest)  # which undoes the scaler's factor
        for group in others:
            norm = norm.maximum(nn.utils.clip_grad_norm_(group, largest))
        if scaler is None and not math.isfinite(value := float(norm)):
            raise TrainingDiverged(advice(f"norm {value} of the gradient at step {step}", epoch))


def check_weights(model: nn.Module, row: dict[str, Any]) -> None:
    """The last loss can be finite and the last step not; such weights are no checkpoint."""
    for name, value in model.state_dict().items():  # the statistics of batch norm, too
        if not torch.isfinite(value).all():
            raise TrainingDiverged(advice(f"{name} has values that are no numbers", row["epoch"]))


def advice(what: str, epoch: int) -> str:
    """What to say when a training stops in an epoch: what is kept, and where to look."""
    kept = f"The checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "Nothing is kept"
    return (
        f"training stopped in epoch {epoch}: {what}. {kept}. Look at lr (halve it), "
        "warmup_epochs (lengthen it), clip_grad (set 1.0), precision ('fp16' overflows where "
        "'bf16' does not), and at the images of the last batch. With other settings start again in "
        "another `out`; with the same, once the fault is mended, fit goes on from here."
    )
