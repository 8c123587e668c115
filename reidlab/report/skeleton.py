"""The five papers as one skeleton: what each keeps of the tokens, how it learns and compares."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from reidlab import recipes
from reidlab.models import Matcher
from reidlab.training import Recipe
from reidlab.training.recipe import model_of_size

KEPT = {  # name of a model -> title, what it keeps of the tokens
    "vit_baseline": ("ViT baseline", "the class token"),
    "la_transformer": ("LA-Transformer", "rows, mixed with the class token"),
    "la_tf_pp": ("LA-TF++", "rows; in training mixed, then averaged"),
    "gltrans": ("GLTrans", "class tokens and patches of three layers"),
    "tvtr": ("TVTR", "the class token and chosen patches"),
    "transmatcher": ("TransMatcher", "all places, as a map"),
}
LOSSES = {"GlobalCircle": "circle", "PairwiseCircle": "circle of pairs", "Pairwise": "pairs"}
PEOPLE, CAMERAS = 751, 6  # Market-1501's, to train on


def skeleton() -> pd.DataFrame:
    """Compare the models of the papers, at the paper's size, with the ViT baseline.

    Returns:
        A row for each model, the baseline first: "kept", in words; "classifiers", how many have a
        vector for each person; "losses"; "score", how two images are compared.
    """
    rows = {}
    for name, (title, kept) in KEPT.items():
        recipe = recipes.get(name, "paper")
        with torch.device("meta"):  # shapes without memory
            model = untrained(recipe)
        rows[title] = {
            "kept": kept,
            "classifiers": sum(p.ndim == 2 and len(p) == PEOPLE for p in model.parameters()),
            "losses": ", ".join(map(_in_words, recipe.losses)),
            "score": "learned" if isinstance(model, Matcher) else recipe.metric,
        }
    return pd.DataFrame(rows).T.rename_axis("model")


def untrained(recipe: Recipe) -> Any:
    """The network of a recipe, for as many people and cameras as Market-1501 has."""
    cameras = CAMERAS if recipe.camera_embedding else 0
    return model_of_size(recipe.replace(weights=None), PEOPLE, cameras)


def _in_words(loss: object) -> str:
    name = type(loss).__name__
    smoothed = "smoothed " if getattr(loss, "label_smoothing", 0) else ""
    of = " of logits" if getattr(loss, "on", "features") == "logits" else ""
    return smoothed + LOSSES.get(name, name.lower()) + of
