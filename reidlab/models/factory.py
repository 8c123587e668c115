"""Models and backbones by name, filled with the weights asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from reidlab.models.backbones import Sides
from reidlab.models.pretrained import load_weights
from reidlab.models.registry import get_model
from reidlab.models.resnet import ConvBackbone, is_resnet
from reidlab.models.vit import TokenBackbone


def create_model(  # the one door to every network: what can be chosen of one stands here by name
    name: str,
    *,
    num_classes: int,
    backbone: str = "vit_tiny_patch16_224",
    image_size: tuple[int, int] = (192, 96),
    weights: str | Path | None = "synth",
    weights_grid: tuple[int, int] | None = None,
    stride: int | None = None,
    num_cameras: Sides = 0,
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
        weights: "synth", "plain" (shipped, ViT-Tiny/16 only), "timm" (pre-trained), a path, or None
            (random).
        weights_grid: Rows and columns of patches of a file that does not say, see `load_weights`.
        stride: Pixels between patches; None: the patch size.
        num_cameras: Of the camera embedding, or cameras and viewpoints, see `TokenBackbone`; 0:
            none.
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
    model = get_model(name)
    chosen = model.switches(preset, switches or {})
    kinds = model.reads if isinstance(model.reads, tuple) else (model.reads,)
    if _kind(backbone) not in kinds:
        wanted = ", or ".join(kind.returns for kind in kinds)
        raise ValueError(f"{name} reads {wanted}; backbone={backbone!r} is no such backbone.")
    filled = create_backbone(
        backbone,
        image_size,
        weights=weights,
        weights_grid=weights_grid,
        stride=stride,
        num_cameras=num_cameras,
        depth=depth,
        drop_path=drop_path,
    )
    return model.build(filled, num_classes, *chosen)


def create_backbone(
    name: str,
    image_size: tuple[int, int],
    *,
    weights: str | Path | None = None,
    weights_grid: tuple[int, int] | None = None,
    stride: int | None = None,
    num_cameras: Sides = 0,
    depth: int | None = None,
    drop_path: float = 0.0,
) -> TokenBackbone | ConvBackbone:
    """Build a backbone, tokens or maps by its name, filled with the weights asked for.

    Args:
        name: A ViT of timm (`TokenBackbone`), or "resnet50" or "resnet18", either also with
            "_ibn_a" or "_ibn_b" (`ConvBackbone`). With weights="timm" it carries timm's tag;
            `BACKBONES` lists those of the papers.
        image_size: Height and width of the images, pixels.
        weights: As in `load_weights`.
        weights_grid: The `grid` of `load_weights`.
        stride: Pixels between patches, or between the positions of a ResNet's last map; None: the
            backbone's own.
        num_cameras: As in `create_model`, for tokens only.
        depth: Keep the first `depth` blocks of a ViT, stages of a ResNet.
        drop_path: Stochastic depth of the last block.

    Raises:
        ValueError: If the name or a size is wrong.
        WeightsError: If the weights are missing or do not fit.
    """
    backbone = _kind(name)(
        name, image_size, stride=stride, num_cameras=num_cameras, depth=depth, drop_path=drop_path
    )
    load_weights(backbone, weights, weights_grid)
    return backbone


def _kind(backbone: str) -> type[TokenBackbone | ConvBackbone]:
    return ConvBackbone if is_resnet(backbone) else TokenBackbone
