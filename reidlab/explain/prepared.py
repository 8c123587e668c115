"""What all maps share: a model and images that are checked, and left exactly as they were."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

PRECISIONS = (torch.float32, torch.float64)  # NumPy has no bfloat16, and half is too coarse
WRAPPERS = ("_orig_mod", "module")  # where torch.compile, DataParallel and averages keep a model
LAYERS = (10, 11, 12)  # the last three of a ViT of usual depth, those that GLTrans reads


@contextmanager
def prepared(
    model: nn.Module, images: Tensor, camids: Tensor | None
) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
    """A model to be asked: in evaluation mode, without gradients; afterwards it is as it was.

    Modes, gradients, requires_grad and the choice of fused attention are put back.

    Args:
        model: In float32 or float64. One that torch.compile or DistributedDataParallel wrapped will
            do, too.
        images: Normalised images, (B, 3, H, W), of the model's precision.
        camids: Their cameras, (B,), or None.

    Yields:
        The network within any wrapper, and copies of images and cameras on its device; autograd
        refuses those that were made in inference mode.

    Raises:
        ValueError: If model and images do not fit each other.
    """
    network: Any = unwrapped(model)
    _check_weights(network)
    _check_images(network, images, camids)
    modules, parameters = [*network.modules()], [*network.parameters()]
    modes = [module.training for module in modules]
    fused = [(module, module.fused_attn) for module in modules if hasattr(module, "fused_attn")]
    gradients = [(parameter.grad, parameter.requires_grad) for parameter in parameters]
    with torch.inference_mode(False), torch.no_grad():
        try:
            network.eval()
            for parameter in parameters:
                parameter.requires_grad_(False)
            like = parameters[0] if parameters else images
            cameras = None if camids is None else usable(camids, like)
            # what was compiled would not see hooks
            with torch.compiler.set_stance("force_eager"):
                yield network, usable(images.detach(), like), cameras
        finally:
            for module, training in zip(modules, modes, strict=True):
                module.training = training
            for module, flag in fused:
                module.fused_attn = flag
            for parameter, (gradient, needs) in zip(parameters, gradients, strict=True):
                parameter.requires_grad_(needs)
                parameter.grad = gradient


def unwrapped(model: nn.Module) -> nn.Module:
    """The network that others wrapped."""
    for name in WRAPPERS:
        inner = model._modules.get(name)
        if inner is not None and "backbone" not in model._modules:
            return unwrapped(inner)
    return model


def usable(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy on another tensor's device; autograd refuses tensors made in inference mode."""
    return tensor.to(like.device).clone()


def token_backbone(network: nn.Module) -> Any:
    """The `TokenBackbone` of a network.

    Raises:
        ValueError: If it has none.
    """
    backbone = getattr(network, "backbone", None)
    if not hasattr(backbone, "blocks"):
        kind = "no backbone" if backbone is None else f"a {type(backbone).__name__} as backbone"
        raise ValueError(
            f"{type(network).__name__} has {kind}; expected a model of create_model that reads the "
            "tokens of a ViT, whose blocks are the layers here. For maps of a ResNet use "
            "occlusion(window=...), or pytorch_grad_cam.GradCAM itself with a stage as its target "
            "layer."
        )
    return backbone


def layer_numbers(layers: Sequence[int], depth: int) -> list[int]:
    """The layers as whole numbers that exist, counted from 1.

    Raises:
        ValueError: If one is none.
    """
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


def scaled(heat: Tensor) -> Tensor:
    """Each map (..., h, w) divided by its largest value; a map of zeros stays one."""
    largest = heat.amax((-2, -1), keepdim=True)
    return heat / largest.where(largest > 0, 1)


def enlarged(heat: Tensor, backbone: Any) -> Tensor:
    """Values of patches (B, L, h, w) as pixels (B, L, H, W), bilinear between the patches' centres.

    The centre of patch i is stride * i + patch_size / 2, so patches that overlap, or do not reach
    the edge, lie where the network saw them; beyond the outer centres their value goes on.
    """
    down, across = (
        _between(pixels, count, backbone.patch_size, backbone.stride).to(heat)
        for pixels, count in zip(backbone.image_size, backbone.grid, strict=True)
    )
    return down @ heat @ across.T


def _between(pixels: int, count: int, patch: int, stride: int) -> Tensor:
    """How much each patch of a line counts in each pixel, (pixels, count)."""
    place = ((torch.arange(pixels) + 0.5 - patch / 2) / stride).clamp(0, count - 1)
    return (1 - (place[:, None] - torch.arange(count)).abs()).clamp(min=0)


def _check_weights(network: nn.Module) -> None:
    precisions = {p.dtype for p in network.parameters() if p.is_floating_point()}
    if wrong := sorted(map(str, precisions.difference(PRECISIONS))):
        raise ValueError(
            f"{type(network).__name__} has weights in {', '.join(wrong)}; expected torch.float32. "
            "Pass model.float() and images.float()."
        )
    if any(tensor.is_inference() for tensor in (*network.parameters(), *network.buffers())):
        raise ValueError(
            f"{type(network).__name__} was built under torch.inference_mode(), so it has no "
            "gradients; build or load it outside, and explain it wherever you like."
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
