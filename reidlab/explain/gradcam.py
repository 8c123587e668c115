"""Grad-CAM of a transformer's layers, on the grid of *our* patches.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, computed by the package pytorch-grad-cam. For a score s and patch
activations A (N, D) of a layer: weights w = mean over patches of ds/dA, heat = max(0, A w), less
its smallest value and divided by 1e-7 plus what is then the largest, per image and layer. (The
other maps here are divided only: what they have everywhere stays, and counts in a share of heat.)

Which activation is "layer l"? The natural answer, the output of block l, gives a blank map for the
last layer of any model that reads the class token: between that output and the score there is only
a LayerNorm and a slice, both of which treat each token alone, so the patch tokens of the last block
have no effect at all. (Their turn ended when the class token last attended to them.) We therefore
tap the *input of block l's attention*, `blocks[l - 1].norm1`: the patch tokens as block l reads
them. It is what pytorch-grad-cam's guide to vision transformers does.

Two things to keep in mind when reading a map. The scaling is per map: colours compare places in one
map, never two maps. And the weights are averaged over patches: a patch on which the score does not
depend is hot if it looks like one on which it does.

A model that reads patch tokens as well as, or instead of, the class token (LA-Transformer, PCB*,
GLTrans) has evidence that goes past block l's attention by the residual connection; this tap does
not see it. `reidlab.explain` says what that means for each model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reidlab.explain.prepared import LAYERS, enlarged, layer_numbers, prepared, token_backbone
from reidlab.explain.targets import Score, Target


def gradcam(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    layers: Sequence[int] = LAYERS,
    camids: Tensor | None = None,
) -> Tensor:
    """Heat maps of a batch; the model is left exactly as it was.

    Args:
        model: Has `backbone` (a `TokenBackbone`), `forward` and `embed`; in float32 or float64.
            One that torch.compile or DistributedDataParallel wrapped will do, too.
        images: Normalised images, (B, 3, H, W), of the model's precision.
        target: `IdentityTarget` or `SimilarityTarget`.
        layers: 1-based layers, in the order wanted.
        camids: Rows of the camera embedding, if the model has one, see `with_rows`, (B,).

    Returns:
        Heat (B, L, H, W) in 0..1, on the CPU; bilinearly enlarged from the patch grid. A map
        without any positive evidence is 0 everywhere.

    Raises:
        ValueError: If a layer does not exist or does not read all patches, or model, images and
            target do not fit each other.
        ImportError: If the package grad-cam is not installed.
    """
    with prepared(model, images, camids) as (network, pixels, cameras), torch.enable_grad():
        backbone = token_backbone(network)
        score = Score(network, target, pixels, cameras)
        chosen = layer_numbers(layers, len(backbone.blocks))
        order = sorted(set(chosen))  # GradCAM stores gradients in reverse order of the forward pass
        cam = _layer_cam(score, [backbone.blocks[layer - 1].norm1 for layer in order], backbone)
        try:
            # a leaf, so that gradients flow even if all is frozen; the score is the target itself
            heat = cam(pixels.requires_grad_(), targets=[lambda score: score] * len(pixels))
        finally:
            cam.activations_and_grads.release()  # its hooks; `with` would swallow an IndexError
    maps = torch.from_numpy(heat).float()  # (B, number of different layers, h, w)
    return enlarged(maps[:, [order.index(layer) for layer in chosen]], backbone)


def _layer_cam(score: Score, taps: list[nn.Module], backbone: Any) -> Any:
    """GradCAM that keeps the layers apart instead of averaging them."""
    try:
        import numpy as np
        from pytorch_grad_cam import GradCAM
    except ImportError as error:
        raise ImportError("heat maps need the package grad-cam: pip install grad-cam") from error

    class LayerCAMs(GradCAM):
        def aggregate_multi_layers(self, cam_per_target_layer: list[Any]) -> Any:
            return np.concatenate(cam_per_target_layer, axis=1)  # (B, L, h, w)

        def get_target_width_height(self, input_tensor: Tensor) -> tuple[int, int]:
            rows, columns = backbone.grid  # it would enlarge as if patches never overlapped
            return columns, rows

    def to_grid(tokens: Tensor) -> Tensor:
        """Drop the class token and lay the patches out: (B, 1 + h*w, D) to (B, D, h, w)."""
        rows, columns = backbone.grid
        patches = tokens[:, backbone.num_prefix_tokens :]
        if patches.shape[1] != rows * columns:
            raise ValueError(
                f"a layer reads {patches.shape[1]} patches and the grid of {rows}x{columns} has "
                f"{rows * columns}: it sees chosen ones, as the last layer of TVTR does, which are "
                "no map. Take the layers before it; `choose` says which patches it sees."
            )
        return patches.reshape(len(tokens), rows, columns, -1).permute(0, 3, 1, 2)

    return LayerCAMs(model=score, target_layers=taps, reshape_transform=to_grid)
