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

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRECISIONS = (torch.float32, torch.float64)  # NumPy has no bfloat16, and half is too coarse
WRAPPERS = ("_orig_mod", "module")  # where torch.compile, DataParallel and averages keep a model


class Target(Protocol):
    """What a heat map explains: one number per image."""

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Differentiable scores, (B,)."""


class IdentityTarget:
    """The logit of an identity, averaged over the classifiers of the model.

    Args:
        labels: Training label of each image, (B,); None: the identity the model finds most likely,
            the only choice for a person it was not trained on.

    Raises:
        ValueError: If the labels are no whole numbers.
    """

    def __init__(self, labels: Tensor | Sequence[int] | None = None) -> None:
        copied = labels if labels is None or isinstance(labels, Tensor) else torch.tensor([*labels])
        if copied is not None and (copied.is_floating_point() or copied.is_complex()):
            raise ValueError(
                f"IdentityTarget has labels of {copied.dtype}; expected whole numbers, the labels "
                "of the training."
            )
        self.labels = None if copied is None else copied.long()

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Logit of each image's identity, (B,)."""
        heads = model(images, camids).logits
        if not len(heads):
            raise ValueError(
                f"{type(model).__name__} has no classifier, so it has no identity to explain; use "
                "SimilarityTarget."
            )
        logits = torch.stack(tuple(heads)).mean(0)  # (B, C)
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

    Raises:
        ValueError: If it has values that are no numbers.
    """

    def __init__(self, reference: Tensor) -> None:
        if not reference.isfinite().all():
            raise ValueError(
                "SimilarityTarget has a reference with values that are no numbers; embed an image "
                "again, by weights that have none."
            )
        self.reference = reference.detach()

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Similarity of each image with its reference, (B,)."""
        embeddings = model.embed(images, camids)  # (B, D)
        if embeddings.ndim != 2:
            raise ValueError(
                f"{type(model).__name__} describes an image by {tuple(embeddings.shape[1:])} and "
                "not by one vector; use IdentityTarget."
            )
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
        ValueError: If a layer does not exist, or model, images and target do not fit each other.
        ImportError: If the package grad-cam is not installed.
    """
    model = _unwrapped(model)
    _check_model(model)
    _check_images(model, images, camids)
    if not hasattr(target, "scores"):
        raise ValueError(
            f"target is {target!r}; expected IdentityTarget(labels) or SimilarityTarget(reference)."
        )
    backbone: Any = model.backbone
    chosen = _indices(layers, len(backbone.blocks))
    order = sorted(set(chosen))  # GradCAM stores gradients in reverse order of the forward pass
    taps = [backbone.blocks[layer - 1].norm1 for layer in order]
    with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(model):
        # a leaf, so that gradients flow even if all is frozen
        leaf = _usable(images.detach(), next(model.parameters(), images)).requires_grad_()
        cam = _layer_cam(_Score(model, target, camids), taps, backbone)
        try:
            # what was compiled would not see the hooks
            with torch.compiler.set_stance("force_eager"):
                heat = cam(leaf, targets=[_unchanged] * len(leaf))
        finally:
            cam.activations_and_grads.release()  # its hooks; `with` would swallow an IndexError
    maps = torch.from_numpy(heat).float()  # (B, number of different layers, H, W)
    return maps[:, [order.index(layer) for layer in chosen]]


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network that others wrapped."""
    for name in WRAPPERS:
        inner = model._modules.get(name)
        if inner is not None and "backbone" not in model._modules:
            return _unwrapped(inner)
    return model


def _check_model(model: nn.Module) -> None:
    backbone = getattr(model, "backbone", None)
    if not hasattr(backbone, "blocks"):
        kind = "no backbone" if backbone is None else f"a {type(backbone).__name__} as backbone"
        raise ValueError(
            f"{type(model).__name__} has {kind}; expected a model of create_model that reads the "
            "tokens of a ViT, whose blocks are the layers here. For maps of a ResNet use "
            "pytorch_grad_cam.GradCAM itself, with a stage as its target layer."
        )
    precisions = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if wrong := sorted(map(str, precisions.difference(PRECISIONS))):
        raise ValueError(
            f"{type(model).__name__} has weights in {', '.join(wrong)}; expected torch.float32. "
            "Pass model.float() and images.float()."
        )
    if any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers())):
        raise ValueError(
            f"{type(model).__name__} was built under torch.inference_mode(), so it has no "
            "gradients; build or load it outside, and call gradcam wherever you like."
        )


def _check_images(model: nn.Module, images: Tensor, camids: Tensor | None) -> None:
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
        shape = f"of shape {tuple(getattr(images, 'shape', ()))}"
        raise ValueError(
            f"images are a {type(images).__name__} {shape}; expected a tensor (B, 3, H, W) of one "
            "image at least. A single image is images[None]."
        )
    precision = next((p.dtype for p in model.parameters() if p.is_floating_point()), images.dtype)
    if images.dtype not in PRECISIONS or images.dtype != precision:
        raise ValueError(
            f"images are in {images.dtype} and the model is in {precision}; expected normalised "
            f"images in the precision of the model: images.to({precision})."
        )
    finite = images.isfinite().flatten(1).all(1)
    if not finite.all():
        raise ValueError(
            f"image {int(finite.int().argmin())} of {len(images)} has pixels that are no numbers; "
            "normalise it again, a deviation of 0 divides by nothing."
        )
    if camids is not None and tuple(getattr(camids, "shape", ())) != (len(images),):
        raise ValueError(
            f"camids are {camids!r}; expected a tensor ({len(images)},), the camera of each image."
        )


def _indices(layers: Sequence[int], depth: int) -> list[int]:
    """The layers as whole numbers that exist."""
    there = f"this model has layers 1 to {depth}"
    try:
        chosen = [operator.index(layer) for layer in layers]
    except TypeError:
        raise ValueError(
            f"layers is {layers!r}; expected numbers, as ({depth},): {there}."
        ) from None
    if not chosen:
        raise ValueError(f"layers is empty; expected one at least: {there}.")
    for layer in chosen:
        if not 1 <= layer <= depth:
            raise ValueError(f"layer {layer} does not exist: {there}.")
    return chosen


class _Score(nn.Module):
    """A model whose output is the score to explain, as pytorch-grad-cam wants it."""

    def __init__(self, model: nn.Module, target: Target, camids: Tensor | None) -> None:
        super().__init__()
        self.model, self.target, self.camids = model, target, camids

    def forward(self, images: Tensor) -> Tensor:
        camids = None if self.camids is None else _usable(self.camids, images)
        scores = self.target.scores(self.model, images, camids)  # (B,)
        if not scores.isfinite().all():
            raise ValueError(
                f"the scores are {scores.tolist()}, which are not all numbers, so nothing can be "
                "explained: do the weights hold NaN, as after a run that diverged?"
            )
        return scores


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
