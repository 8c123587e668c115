"""Grad-CAM of a transformer's layers, on the grid of *our* patches.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, computed by the package pytorch-grad-cam. For a score s and patch
activations A (N, D) of a layer: weights w = mean over patches of ds/dA, heat = max(0, A w), scaled
to 0..1 per image and layer.

Which activation is "layer l"? The natural answer, the output of block l, gives a blank map for the
last layer of any model that reads the class token: between that output and the score there is only
a LayerNorm and a slice, both of which treat each token alone, so the patch tokens of the last block
have no effect at all. (Their turn ended when the class token last attended to them.) We therefore
tap the *input of block l's attention*, `blocks[l - 1].norm1`: the patch tokens as block l reads
them. It is what pytorch-grad-cam's guide to vision transformers does.

Two things to keep in mind when reading a map. The scaling is per map: colours compare places in one
map, never two maps. And the weights are averaged over patches: a patch on which the score does not
depend is hot if it looks like one on which it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Target(Protocol):
    """What a heat map explains: one number per image."""

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Differentiable scores, (B,)."""


class IdentityTarget:
    """The logit of an identity, averaged over the classifiers of the model.

    Args:
        labels: Training label of each image, (B,); None: the identity the model finds most likely,
            the only choice for a person it was not trained on.
    """

    def __init__(self, labels: Tensor | Sequence[int] | None = None) -> None:
        copied = labels if labels is None or isinstance(labels, Tensor) else torch.tensor([*labels])
        self.labels = None if copied is None else copied.long()

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Logit of each image's identity, (B,)."""
        logits = torch.stack(model(images, camids).logits).mean(0)  # (B, C)
        labels = logits.argmax(1) if self.labels is None else _usable(self.labels, logits)
        if labels.shape != (len(images),):
            raise ValueError(
                f"IdentityTarget has labels of shape {tuple(labels.shape)} for {len(images)} "
                "images; expected one label per image."
            )
        if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
            raise ValueError(
                f"IdentityTarget has labels {int(labels.min())} to {int(labels.max())}; the model "
                f"knows 0 to {logits.shape[1] - 1}. For other people pass labels=None or use "
                "SimilarityTarget."
            )
        return logits.gather(1, labels[:, None])[:, 0]


class SimilarityTarget:
    """Cosine similarity of the image's embedding with a reference: what makes two images alike.

    Args:
        reference: Embeddings to compare with, (B, D), or one for all images, (D,).
    """

    def __init__(self, reference: Tensor) -> None:
        self.reference = reference.detach()

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Similarity of each image with its reference, (B,)."""
        embeddings = model.embed(images, camids)  # (B, D)
        reference = _usable(self.reference, embeddings).to(embeddings.dtype)
        if reference.shape not in (embeddings.shape, embeddings.shape[1:]):
            raise ValueError(
                f"SimilarityTarget has a reference of shape {tuple(reference.shape)}; expected "
                f"{tuple(embeddings.shape)}, one embedding per image, or {embeddings.shape[1]}."
            )
        return F.cosine_similarity(embeddings, reference.expand_as(embeddings), dim=1)


def gradcam(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    layers: Sequence[int] = (10, 11, 12),
    camids: Tensor | None = None,
) -> Tensor:
    """Heat maps of a batch; the model is left exactly as it was.

    Args:
        model: Has `backbone` (a `TokenBackbone`), `forward` and `embed`.
        images: Normalised images, (B, 3, H, W).
        target: `IdentityTarget` or `SimilarityTarget`.
        layers: 1-based layers, in the order wanted.
        camids: Cameras, for a model with a camera embedding, (B,).

    Returns:
        Heat (B, L, H, W) in 0..1, on the CPU; bilinearly enlarged from the patch grid. A map
        without any positive evidence is 0 everywhere.

    Raises:
        ValueError: If a layer does not exist or the target does not fit the batch.
        ImportError: If the package grad-cam is not installed.
    """
    backbone: Any = model.backbone
    for layer in layers:
        if not 1 <= layer <= len(backbone.blocks):
            raise ValueError(
                f"layer {layer} does not exist: this model has layers 1 to {len(backbone.blocks)}."
            )
    order = sorted(set(layers))  # GradCAM stores gradients in reverse order of the forward pass
    taps = [backbone.blocks[layer - 1].norm1 for layer in order]
    with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(model):
        leaf = images.detach().clone().requires_grad_()  # gradients flow even if all is frozen
        cam = _layer_cam(_Score(model, target, camids), taps, backbone)
        try:
            heat = cam(leaf, targets=[_unchanged] * len(leaf))
        finally:
            cam.activations_and_grads.release()  # its hooks; `with` would swallow an IndexError
    maps = torch.from_numpy(heat).float()  # (B, number of different layers, H, W)
    return maps[:, [order.index(layer) for layer in layers]]


class _Score(nn.Module):
    """A model whose output is the score to explain, as pytorch-grad-cam wants it."""

    def __init__(self, model: nn.Module, target: Target, camids: Tensor | None) -> None:
        super().__init__()
        self.model, self.target, self.camids = model, target, camids

    def forward(self, images: Tensor) -> Tensor:
        camids = None if self.camids is None else _usable(self.camids, images)
        return self.target.scores(self.model, images, camids)  # (B,)


def _usable(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy on another tensor's device; autograd refuses tensors made in inference mode."""
    return tensor.to(like.device).clone()


def _unchanged(score: Tensor) -> Tensor:
    return score


def _layer_cam(score: _Score, taps: list[nn.Module], backbone: Any) -> Any:
    """GradCAM that keeps the layers apart instead of averaging them."""
    try:
        import numpy as np
        from pytorch_grad_cam import GradCAM
    except ImportError as error:
        raise ImportError("heat maps need the package grad-cam: pip install grad-cam") from error

    class LayerCAMs(GradCAM):
        def aggregate_multi_layers(self, cam_per_target_layer: list[Any]) -> Any:
            return np.concatenate(cam_per_target_layer, axis=1)  # (B, L, H, W)

    def to_grid(tokens: Tensor) -> Tensor:
        """Drop the class token and lay the patches out: (B, 1 + h*w, D) to (B, D, h, w)."""
        rows, columns = backbone.grid
        patches = tokens[:, backbone.num_prefix_tokens :]
        return patches.reshape(len(tokens), rows, columns, -1).permute(0, 3, 1, 2)

    return LayerCAMs(model=score, target_layers=taps, reshape_transform=to_grid)


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Put back modes, gradients and requires_grad; inside, parameters need no gradient."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    for parameter, _, _ in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, gradient, needs in parameters:
            parameter.requires_grad_(needs)
            parameter.grad = gradient
