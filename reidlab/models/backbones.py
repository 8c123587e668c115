"""Which checkpoint a paper means by "ViT-B/16" or "ResNet-50", and what that checkpoint expects.

One name of timm stands for several files, told apart by a tag after the dot. The name without a tag
changed its meaning twice: `vit_base_patch16_224` was Google's original ViT in timm 0.3, AugReg in
0.4.12 and is AugReg's second fine-tuning since 0.8. A paper is reproduced with the file it used, so
`weights="timm"` asks for the tag.

Sources: (paper) what the paper says; (code) the authors' code; (ours) chosen here, not stated.
"""

from __future__ import annotations

from dataclasses import dataclass

import timm
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

ChannelStatistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation, per channel
Sides = int | tuple[int, int]  # cameras, or cameras and viewpoints, of which a table has vectors


# Shipped files by the name that a recipe gives them: what users get, and a start for experiments
# whose class token alone was supervised, and never with the name of a person.
SHIPPED = {"synth": "vit_tiny_synth.safetensors", "plain": "vit_tiny_plain.safetensors"}


@dataclass(frozen=True)
class BackboneFacts:
    """A checkpoint that papers of this book, or what they build on, start from.

    Attributes:
        name: For `create_model(backbone=...)`; with timm's tag where timm has the file.
        trained_on: Images and task of the pre-training.
        file: Name under which the authors' code knows it.
        weights: What to pass as `weights`: "timm", or "path" to the user's copy of `file`.
        used_by: Name of a model -> how its paper normalises the images, a name in
            `reidlab.data.NORMALIZATIONS`; None: not stated. Sizes and strides are in its recipe.
    """

    name: str
    trained_on: str
    file: str
    weights: str
    used_by: dict[str, str | None]


_TABLE = (
    BackboneFacts(
        name="vit_base_patch16_224.orig_in21k_ft_in1k",
        trained_on="ImageNet-21k, tuned on ImageNet-1k at 224 pixels (the original ViT of Google)",
        file="jx_vit_base_p16_224-80ecf9dd.pth",
        weights="timm",
        used_by={
            "vit_baseline": "half",  # (code) TransReID's configurations
            "transreid": "half",  # (code) likewise
            "la_transformer": "imagenet",  # (code) timm 0.3.2 by its README; the paper: 21k
            "gltrans": "half",  # (code) its configurations
            "tvtr": None,  # (ours) the paper: ViT-B, "ImageNet"
        },
    ),
    BackboneFacts(
        name="vit_base_patch16_224.augreg_in21k_ft_in1k",
        trained_on="ImageNet-21k with augmentation and regularisation, tuned on ImageNet-1k",
        file="B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0"
        "--imagenet2012-steps_20k-lr_0.01-res_224.npz",
        weights="timm",
        used_by={"la_tf_pp": "imagenet"},  # (code) timm of November 2021, so 0.4.12: inferred
    ),
    BackboneFacts(
        name="resnet50_ibn_b",
        trained_on="ImageNet-1k, by the authors of IBN-Net (release v1.0)",
        file="resnet50_ibn_b-9ca61e85.pth",
        weights="path",
        used_by={"transmatcher": "none", "qaconv": "none"},  # (code) the default
    ),
    BackboneFacts(
        name="resnet50_ibn_a",
        trained_on="ImageNet-1k, by the authors of IBN-Net (release v1.0)",
        file="resnet50_ibn_a of IBN-Net's release v1.0",
        weights="path",
        used_by={"transmatcher": "none"},  # (code) a choice, not used
    ),
    BackboneFacts(
        name="resnet50.tv_in1k",
        trained_on="ImageNet-1k, by torchvision (its first weights)",
        file="resnet50-0676ba61.pth",
        weights="timm",
        used_by={"transmatcher": "none", "agw": "imagenet"},  # (code)
    ),
)

BACKBONES: dict[str, BackboneFacts] = {facts.name: facts for facts in _TABLE}


def tags(name: str) -> list[str]:
    """The checkpoints that timm has for an architecture, as names with a tag.

    Args:
        name: timm's name, with or without a tag.
    """
    return timm.list_pretrained(f"{name.split('.')[0]}.*")


def check_tag(name: str) -> None:
    """Check that a name of timm has no tag, or one that exists.

    Raises:
        ValueError: If timm has no such checkpoint; it names those it has.
    """
    if "." in name and name not in tags(name):
        raise ValueError(
            f"timm has no checkpoint {name!r}; it has: {', '.join(tags(name)) or 'none'}."
        )


def check_drop_path(drop_path: float) -> None:
    """Check that the stochastic depth of a backbone is a probability below 1.

    Raises:
        ValueError: If it is not.
    """
    if not 0.0 <= drop_path < 1.0:
        raise ValueError(f"drop_path is {drop_path}; expected a probability below 1.")


def check_classes(num_classes: int) -> None:
    """Check that a model has somebody to learn.

    Raises:
        ValueError: If it has not.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; expected at least one identity.")


def check_rows(parts: str, count: int, grid: tuple[int, int]) -> None:
    """Check that a grid of patches can be cut into so many bands of rows.

    Args:
        parts: What the model calls them, "bands" or "stripes".
        count: How many.
        grid: Rows and columns.

    Raises:
        ValueError: If it has fewer rows.
    """
    rows, columns = grid
    if count > rows:
        raise ValueError(
            f"{parts} is {count} and the grid of {rows}x{columns} patches has {rows} rows, which "
            f"can't be cut into so many. Pass fewer {parts}, higher images or a smaller stride."
        )


def check_input(
    images: Tensor, image_size: tuple[int, int], layers: tuple[int, ...], depth: int
) -> None:
    """Check what a backbone is called with.

    Args:
        images: To be (B, 3, *image_size).
        image_size: Height and width that the backbone was built for, pixels.
        layers: Blocks or stages asked for, to be from 1 to depth.
        depth: Blocks or stages there are.

    Raises:
        ValueError: If the images have another size or a layer does not exist.
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, *image_size):
        raise ValueError(
            f"images have shape {tuple(images.shape)}; this backbone was built for "
            f"(B, 3, {image_size[0]}, {image_size[1]}). Resize the images or build the model with "
            "their image_size."
        )
    for layer in layers:
        if not 1 <= layer <= depth:
            raise ValueError(f"layer {layer} does not exist: layers are counted from 1 to {depth}.")


def name_the_tags(name: str) -> str:
    """A sentence on the checkpoints of an architecture, those of the papers first."""
    available = sorted(tags(name), key=lambda tag: tag not in BACKBONES)
    if not available:
        return f"timm has no weights of {name}."
    papers = {tag: BACKBONES[tag].used_by for tag in available if tag in BACKBONES}
    named = [
        f"{tag!r} (used by {', '.join(papers[tag])})" if tag in papers else repr(tag)
        for tag in available
    ]
    return f"timm has {', '.join(named)}."


def expected_statistics(backbone: str, weights: object) -> ChannelStatistics | None:
    """Mean and deviation of the images that the weights of a backbone were trained on.

    Args:
        backbone: Its name, as for `create_model`.
        weights: Likewise: "synth", "plain", "timm", a path or None.

    Returns:
        Mean and deviation per channel, in units of the pixel range 0 to 1; None where nothing is
        known: random weights, or a file of a backbone whose name says no checkpoint.
    """
    if weights is None:
        return None
    if weights in SHIPPED:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    if backbone in BACKBONES and BACKBONES[backbone].weights == "path":
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD  # IBN-Net's, timm does not have them
    config = timm.get_pretrained_cfg(backbone) if "." in backbone else None
    return None if config is None else (tuple(config.mean), tuple(config.std))
