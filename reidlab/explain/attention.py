"""Where the class token looks: the attention of one layer, and of all layers up to it.

Neither knows a target: they show what the class token takes in, not what a score is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from reidlab.explain.prepared import (
    LAYERS,
    enlarged,
    layer_numbers,
    prepared,
    scaled,
    token_backbone,
)


def raw_attention(
    model: nn.Module,
    images: Tensor,
    *,
    layers: Sequence[int] = LAYERS,
    camids: Tensor | None = None,
) -> Tensor:
    """The class token's attention to each patch in a layer, mean over the heads.

    Args:
        model: As in `gradcam`; it is left exactly as it was.
        images: Normalised images, (B, 3, H, W), of the model's precision.
        layers: 1-based layers, in the order wanted.
        camids: As in `gradcam`.

    Returns:
        Heat (B, L, H, W) in 0..1, on the CPU: a map is divided by the value of its hottest patch,
        and bilinear between the centres of the patches.

    Raises:
        ValueError: If a layer does not exist, or model and images do not fit each other.
    """
    backbone, found = _of_layers(model, images, layers, camids)
    return _drawn([*found.mean(2)], backbone)


def rollout(
    model: nn.Module,
    images: Tensor,
    *,
    layers: Sequence[int] = LAYERS,
    camids: Tensor | None = None,
) -> Tensor:
    """Attention rollout: how much of each patch has reached the class token after a layer.

    Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020 (arXiv 2005.00928). With
    A_l the attention of layer l, mean over the heads, and I for the residual connection,

        R_l = (A_l + I) / 2 . R_(l - 1),    R_0 = I

    The rows of A_l sum to 1, so those of (A_l + I) / 2 do: they are normalised as they stand. Shown
    is the row of the class token.

    Args:
        model: As in `gradcam`; it is left exactly as it was.
        images: Normalised images, (B, 3, H, W), of the model's precision.
        layers: 1-based layers up to which attention is multiplied, in the order wanted.
        camids: As in `gradcam`.

    Returns:
        Heat (B, L, H, W), as `raw_attention`.

    Raises:
        ValueError: As `raw_attention`.
    """
    with prepared(model, images, camids) as (network, pixels, cameras):
        backbone = token_backbone(network)
        chosen = layer_numbers(layers, len(backbone.blocks))
        found = _attention(backbone, pixels, cameras, range(1, max(chosen) + 1))
        rolled = torch.eye(found[1].shape[-1]).to(found[1])  # (T, T)
        after = {}
        for layer, attention in found.items():
            rolled = (attention.mean(1) @ rolled + rolled) / 2  # (B, T, T)
            after[layer] = rolled
        return _drawn([after[layer] for layer in chosen], backbone)


def head_attention(
    model: nn.Module,
    images: Tensor,
    *,
    layers: Sequence[int] = LAYERS,
    camids: Tensor | None = None,
) -> Tensor:
    """The attention of every head in a layer, all tokens to all tokens.

    Of a `TVTR` that selects, the last layer is that of the plain backbone, which nothing reads.

    Args:
        model: As in `gradcam`; it is left exactly as it was.
        images: Normalised images, (B, 3, H, W), of the model's precision.
        layers: 1-based layers, in the order wanted.
        camids: As in `gradcam`.

    Returns:
        (L, B, heads, T, T), rows sum to 1, the class token first, on the CPU; what
        `reidlab.models.select_tokens` takes.

    Raises:
        ValueError: As `raw_attention`.
    """
    return _of_layers(model, images, layers, camids)[1].cpu()


def _of_layers(
    model: nn.Module, images: Tensor, layers: Sequence[int], camids: Tensor | None
) -> tuple[Any, Tensor]:
    """The backbone, and its attention (L, B, heads, T, T) in the layers asked for."""
    with prepared(model, images, camids) as (network, pixels, cameras):
        backbone = token_backbone(network)
        chosen = layer_numbers(layers, len(backbone.blocks))
        found = _attention(backbone, pixels, cameras, chosen)
        return backbone, torch.stack([found[layer] for layer in chosen])


def _attention(
    backbone: Any, images: Tensor, camids: Tensor | None, layers: Sequence[int]
) -> dict[int, Tensor]:
    """Layer -> attention (B, heads, T, T) of all tokens, lower layers first."""
    order = sorted(set(layers))
    with _unfused([backbone.blocks[layer - 1].attn for layer in order]) as found:
        backbone(images, camids)
    if not all(attention.isfinite().all() for attention in found):
        raise ValueError(
            f"the attention of layers {order} has values that are no numbers, so nothing can be "
            "explained: do the weights hold NaN, as after a run that diverged?"
        )
    return dict(zip(order, found, strict=True))


@contextmanager
def _unfused(attentions: Sequence[Any]) -> Iterator[list[Tensor]]:
    """Collect what timm's attention layers hand to their dropout, which the fused path skips.

    `prepared` puts the choice of path back.
    """
    found: list[Tensor] = []

    def unfuse(attention: Any, _inputs: object) -> None:  # after `choose_attention`, in each pass
        attention.fused_attn = False

    def collect(_dropout: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0])

    with ExitStack() as hooks:
        for each in attentions:
            hooks.enter_context(each.register_forward_pre_hook(unfuse))
            hooks.enter_context(each.attn_drop.register_forward_pre_hook(collect))
        yield found


def _drawn(attentions: Sequence[Tensor], backbone: Any) -> Tensor:
    """The class token's row of L attentions (B, T, T) as heat (B, L, H, W)."""
    rows = torch.stack([each[:, 0, backbone.num_prefix_tokens :] for each in attentions], dim=1)
    return enlarged(scaled(rows.unflatten(2, tuple(backbone.grid)).float().cpu()), backbone)
