"""Checkpoints of the papers' authors, their key names mapped to ours.

A file must hold every weight the model has and none it has not: what is missing, unknown or of
another size is an error that names it. What a network carries without ever using it, such as the
ImageNet classifier of LA-Transformer's backbone, is left out; it is listed here.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reidlab.models.la_transformer import LATransformer
from reidlab.models.weights_file import WeightsError, read_weights

Renaming = Callable[
    [str], str | None
]  # the authors' key -> ours, None: never used; raises KeyError


def load_authors_checkpoint(
    model: nn.Module, checkpoint: str | Path | Mapping[str, Tensor]
) -> nn.Module:
    """Fill a model with a state dict in its authors' own layout.

    Args:
        model: From `create_model` with preset="code", for the checkpoint's number of identities and
            its image size (224x224 for LA-Transformer and LA-TF++).
        checkpoint: A `.pth` or `.safetensors` file, loaded without running any code of it, or a
            state dict. LA-Transformer has 280 entries, LA-TF++ 163.

    Returns:
        The same model.

    Raises:
        WeightsError: If the file is missing or damaged, or keys or sizes do not fit; nothing is
            loaded then.
        TypeError: For a model that no authors published.
    """
    renaming = _renaming(model)
    if isinstance(checkpoint, str | Path):
        state, _, name = read_weights(Path(checkpoint))
    else:
        state, name = dict(checkpoint), "the state dict"
    renamed: dict[str, Tensor] = {}
    unknown: list[str] = []
    for key, value in state.items():
        try:
            ours = renaming(key)
        except KeyError:
            unknown.append(key)
            continue
        if ours is None:
            continue
        if ours in renamed and not torch.equal(renamed[ours], value):
            warnings.warn(
                f"{name} holds two copies of {ours} that differ, and in the authors' network they "
                "are one parameter. The one below `model.` is taken, as it would be there.",
                stacklevel=2,
            )
        renamed[ours] = value if key.startswith("model.") else renamed.get(ours, value)
    own = model.state_dict()
    _check(model, name, own, renamed, unknown)
    model.load_state_dict(renamed)
    return model


def _renaming(model: nn.Module) -> Renaming:
    if isinstance(model, LATransformer):
        return _la_transformer
    raise TypeError(
        f"{type(model).__name__} has no authors' checkpoint; expected a model of la_transformer or "
        "la_tf_pp. Weights of a backbone load with create_model(..., weights=path)."
    )


def _la_transformer(key: str) -> str | None:
    """Sharma et al.'s and Mittal and Khandelwal's names.

    Class token and positions stand in their files twice, as the same parameter of two modules.
    """
    if key in ("cls_token", "pos_embed"):
        return f"backbone.{key}"
    if key.startswith("model.head."):
        return None  # timm's classifier, which forward never calls
    if key.startswith("model."):
        return f"backbone.{key.removeprefix('model.')}"
    found = re.fullmatch(r"classifier(\d+)\.(add_block\.[01]|classifier\.0)\.(\w+)", key)
    if found is None:
        raise KeyError(key)
    part = {"add_block.0": "bottleneck", "add_block.1": "norm", "classifier.0": "classifier"}
    return f"heads.{found[1]}.{part[found[2]]}.{found[3]}"


def _check(
    model: Any,
    name: str,
    own: Mapping[str, Tensor],
    renamed: Mapping[str, Tensor],
    unknown: list[str],
) -> None:
    """Compare keys and sizes; the message says what the checkpoint was made for."""
    classes = {
        value.shape[0] for key, value in renamed.items() if key.endswith("classifier.weight")
    }
    if len(classes) == 1 and classes != {model.num_classes}:
        raise WeightsError(
            f"{name} classifies {classes.pop()} identities and the model {model.num_classes}; "
            "build it with create_model(..., num_classes=) of the checkpoint."
        )
    heads = {key.split(".")[1] for key in renamed if key.startswith("heads.")}
    if heads and len(heads) != len(model.heads):
        raise WeightsError(
            f"{name} has {len(heads)} classifiers and the model {len(model.heads)}: LA-Transformer "
            "has one for each of 14 rows (image_size=(224, 224)), LA-TF++ a single one."
        )
    unknown = unknown + [key for key in renamed if key not in own]
    missing = [key for key in own if key not in renamed]
    sizes = [
        f"{key} {tuple(renamed[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in renamed and renamed[key].shape != own[key].shape
    ]
    if unknown or missing or sizes:
        listed = [", ".join(names[:5]) or "none" for names in (unknown, missing, sizes)]
        raise WeightsError(
            f"{name} does not fit this {type(model).__name__}: unknown keys {listed[0]}; missing "
            f"{listed[1]}; other sizes {listed[2]}. Expected the authors' state dict of a "
            f"{model.backbone.name} for images of {model.backbone.image_size[0]}x"
            f"{model.backbone.image_size[1]}."
        )
