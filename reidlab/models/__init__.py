"""One paper, one file; `create_model` finds them by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from reidlab.models.backbones import BACKBONES, BackboneFacts, PaperUse, expected_statistics
from reidlab.models.export import export_timm
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
    "load_weights",
]

Backbone = TokenBackbone | ConvBackbone

_MODELS: dict[str, Callable[..., nn.Module]] = {"vit_baseline": ViTBaseline}  # (backbone, classes)
_READS: dict[str, type[nn.Module]] = {"vit_baseline": TokenBackbone}
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
        backbone: As in `create_backbone`; it must be of the kind that the model reads.
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
    return _MODELS[name](filled, num_classes)


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
