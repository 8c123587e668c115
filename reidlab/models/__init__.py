"""One paper, one file; `create_model` finds them by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from reidlab.models import la_tf_pp, la_transformer
from reidlab.models.authors import load_authors_checkpoint
from reidlab.models.backbones import BACKBONES, BackboneFacts, PaperUse, expected_statistics
from reidlab.models.export import export_timm
from reidlab.models.la_tf_pp import LATFpp
from reidlab.models.la_transformer import LATransformer, LocallyAware
from reidlab.models.outputs import Outputs
from reidlab.models.pretrained import load_weights
from reidlab.models.resnet import ConvBackbone, Maps, is_resnet
from reidlab.models.vit import TokenBackbone, Tokens
from reidlab.models.vit_baseline import BNNeck, ViTBaseline
from reidlab.models.weights_file import WeightsError

__all__ = [
    "BACKBONES",
    "BNNeck",
    "BackboneFacts",
    "ConvBackbone",
    "LATFpp",
    "LATransformer",
    "LocallyAware",
    "Maps",
    "Outputs",
    "PaperUse",
    "TokenBackbone",
    "Tokens",
    "ViTBaseline",
    "WeightsError",
    "create_backbone",
    "create_model",
    "expected_statistics",
    "export_timm",
    "list_models",
    "load_authors_checkpoint",
    "load_weights",
]

Backbone = TokenBackbone | ConvBackbone

_MODELS: dict[str, Callable[..., nn.Module]] = {  # (backbone, classes[, switches])
    "vit_baseline": ViTBaseline,
    "la_transformer": LATransformer,
    "la_tf_pp": LATFpp,
}
_READS: dict[str, type[nn.Module]] = dict.fromkeys(_MODELS, TokenBackbone)
# Where a paper and its code differ: preset -> switches, the default first
_PRESETS: dict[str, Mapping[str, Any]] = {
    "vit_baseline": {},
    "la_transformer": la_transformer.PRESETS,
    "la_tf_pp": la_tf_pp.PRESETS,
}
_PLANNED = (
    "transreid",
    "pcb",
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
    switches: Mapping[str, Any] | None = None,
    depth: int | None = None,
    drop_path: float = 0.0,
) -> nn.Module:
    """Build a model, its backbone filled with the weights asked for.

    Args:
        name: One of `list_models()`.
        num_classes: Training identities.
        backbone: As in `create_backbone`; it must be of the kind that the model reads.
        image_size: Height and width of the images, pixels.
        weights: "synth" (shipped, ViT-Tiny/16 only), "timm" (pre-trained), a path, or None
            (random).
        stride: Pixels between patches; None: the patch size.
        num_cameras: Rows of the camera embedding; 0: none.
        preset: "paper" or "code", for the models whose paper and code differ; None: their "code".
        switches: Some fields of the model's switches, in place of the preset's: those of
            `LocallyAware` for `la_transformer` and `la_tf_pp`, as {"local_weight": 1.0}.
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
    chosen = _switches(name, preset, switches or {})
    _check_kind(name, backbone)
    filled = create_backbone(
        backbone,
        image_size,
        weights=weights,
        stride=stride,
        num_cameras=num_cameras,
        depth=depth,
        drop_path=drop_path,
    )
    return _MODELS[name](filled, num_classes, *chosen)


def _switches(name: str, preset: str | None, changes: Mapping[str, Any]) -> tuple[Any, ...]:
    """The switches of a model's preset with some changed; none for a model that has none."""
    presets = _PRESETS[name]
    if preset is not None and preset not in presets:
        known = ", ".join(presets) or "none: its paper and its code agree"
        raise ValueError(f"{name} has no preset {preset!r}; it has {known}. Pass preset=None.")
    if not presets:
        if changes:
            raise ValueError(f"{name} has no switches; got {', '.join(changes)}. Pass none.")
        return ()
    start = presets[preset or next(iter(presets))]
    names = [field.name for field in dataclasses.fields(start)]
    unknown = [key for key in changes if key not in names]
    if unknown:
        raise ValueError(f"{name} has no switch {unknown[0]!r}; it has {', '.join(names)}.")
    return (dataclasses.replace(start, **changes),)


def create_backbone(
    name: str,
    image_size: tuple[int, int],
    *,
    weights: str | Path | None = None,
    stride: int | None = None,
    num_cameras: int = 0,
    depth: int | None = None,
    drop_path: float = 0.0,
) -> Backbone:
    """Build a backbone, tokens or maps by its name, filled with the weights asked for.

    Args:
        name: A ViT of timm (`TokenBackbone`), or "resnet50", "resnet50_ibn_a", "resnet50_ibn_b"
            (`ConvBackbone`). With weights="timm" it carries timm's tag; `BACKBONES` lists those
            of the papers.
        image_size: Height and width of the images, pixels.
        weights: As in `load_weights`.
        stride: Pixels between patches; None: the patch size. Of a ResNet: pixels between the
            positions of its last map, 32 or 16 (the fourth stage with stride 1); None: 32.
        num_cameras: Rows of the camera embedding, for tokens only.
        depth: Keep the first `depth` blocks of a ViT, stages of a ResNet.
        drop_path: Stochastic depth of the last block.

    Raises:
        ValueError: If the name or a size is wrong.
        WeightsError: If the weights are missing or do not fit.
    """
    backbone: Backbone
    if not is_resnet(name):
        backbone = TokenBackbone(
            name,
            image_size,
            stride=stride,
            num_cameras=num_cameras,
            depth=depth,
            drop_path=drop_path,
        )
    else:
        if num_cameras:
            raise ValueError(
                f"num_cameras is {num_cameras} and {name} has no tokens to add a camera embedding "
                "to. Pass num_cameras=0, or camera_embedding=False in a recipe."
            )
        backbone = ConvBackbone(
            name,
            image_size,
            last_stride=1 if stride == 16 and depth in (None, 4) else 2,
            depth=depth,
            drop_path=drop_path,
        )
        if stride not in (None, backbone.stride):
            raise ValueError(
                f"stride is {stride}; expected {backbone.stride} for {name} up to stage "
                f"{backbone.depth}" + (", or 16 (last stride 1)." if depth in (None, 4) else ".")
            )
    load_weights(backbone, weights)
    return backbone


def _check_kind(model: str, backbone: str) -> None:
    """Check that a backbone gives what a model reads."""
    given = ConvBackbone if is_resnet(backbone) else TokenBackbone
    if given is not _READS[model]:
        kinds = {
            TokenBackbone: "the tokens of a ViT, such as 'vit_base_patch16_224'",
            ConvBackbone: "the maps of a ResNet, such as 'resnet50_ibn_b'",
        }
        raise ValueError(f"{model} reads {kinds[_READS[model]]}; backbone={backbone!r} is no such.")
