"""Whether a recipe shows its backbone images as the backbone's weights were trained on them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from reidlab.data import NORMALIZATIONS
from reidlab.models import BACKBONES, expected_statistics

if TYPE_CHECKING:
    from reidlab.training.recipe import Recipe


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
    use = facts.used_by.get(recipe.model) if facts is not None else None
    if use is not None and use.normalization == recipe.normalization:
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
