"""One paper, one file; `create_model` finds them by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from reidlab.models.outputs import Outputs
from reidlab.models.pretrained import WeightsError, load_weights
from reidlab.models.vit import TokenBackbone, Tokens
from reidlab.models.vit_baseline import BNNeck, ViTBaseline

__all__ = [
    "BNNeck",
    "Outputs",
    "TokenBackbone",
    "Tokens",
    "ViTBaseline",
    "WeightsError",
    "create_model",
    "list_models",
    "load_weights",
]

_MODELS: dict[str, Callable[[TokenBackbone, int], nn.Module]] = {"vit_baseline": ViTBaseline}
_PRESETS: dict[str, tuple[str, ...]] = {"vit_baseline": ()}
_PLANNED = (
    "transreid",
    "pcb",
    "la_transformer",
    "la_tf_pp",
    "gltrans",
    "tvtr",
    "qaconv",
    "transmatcher",
)


def list_models() -> list[str]:
    """Names that `create_model` knows today."""
    return sorted(_MODELS)


def create_model(
    name: str,
    *,
    num_classes: int,
    backbone: str = "vit_tiny_patch16_224",
    image_size: tuple[int, int] = (192, 96),
    weights: str | Path | None = "synth",
    stride: int | None = None,
    num_cameras: int = 0,
    preset: str | None = None,
    depth: int | None = None,
    drop_path: float = 0.0,
) -> nn.Module:
    """Build a model, its backbone filled with the weights asked for.

    Args:
        name: One of `list_models()`.
        num_classes: Training identities.
        backbone: A plain ViT of timm.
        image_size: Height and width of the images, pixels.
        weights: "synth" (shipped, ViT-Tiny/16 only), "timm" (pre-trained), a path, or None
            (random).
        stride: Pixels between patches; None: the patch size.
        num_cameras: Rows of the camera embedding; 0: none.
        preset: "paper" or "code", for the models whose paper and code differ; else None.
        depth: Keep the first `depth` blocks only (for quick tests); None: all.
        drop_path: Stochastic depth of the last block.

    Returns:
        A model with `backbone`, `forward(images, camids) -> Outputs` and
        `embed(images, camids) -> (B, D)`.

    Raises:
        ValueError: If a name or a size is wrong.
        WeightsError: If the weights are missing or do not fit.
    """
    if name not in _MODELS:
        hint = " It is planned and not written yet." if name in _PLANNED else ""
        raise ValueError(
            f"there is no model {name!r}.{hint} Known: {', '.join(list_models())}; "
            f"planned: {', '.join(_PLANNED)}."
        )
    if preset is not None and preset not in _PRESETS[name]:
        known = ", ".join(_PRESETS[name]) or "none: its paper and its code agree"
        raise ValueError(f"{name} has no preset {preset!r}; it has {known}. Pass preset=None.")
    tokens = TokenBackbone(
        backbone,
        image_size,
        stride=stride,
        num_cameras=num_cameras,
        depth=depth,
        drop_path=drop_path,
    )
    load_weights(tokens, weights)
    return _MODELS[name](tokens, num_classes)
