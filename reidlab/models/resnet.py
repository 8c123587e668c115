"""A ResNet-50 that returns its maps: the backbone of TransMatcher and QAConv.

The layers are timm's own; this file adds the two kinds of instance-batch normalisation of
Pan, Luo, Shi, Tang, "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net",
ECCV 2018 (arXiv 1807.09441), section 3, which many re-identification papers start from:

* IBN-a: in layers 1 to 3, half of the channels of the first norm of each block are normalised over
  the image alone, half over the batch;
* IBN-b: the norm of the stem, and one after the sum of the last block of layers 1 and 2, are
  normalised over the image alone.

An instance norm has no running statistics: it takes those of the image in evaluation too.
State-dict names are torchvision's, and IBN-Net's for the norms (`layer1.0.bn1.IN.weight`,
`layer1.2.IN.weight`), so that the authors' files load without renaming.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import timm
import torch
from timm.models.resnet import Bottleneck
from torch import Tensor, nn

from reidlab.models.backbones import check_tag

RESNETS = ("resnet50", "resnet50_ibn_a", "resnet50_ibn_b")
BLOCKS = (3, 4, 6, 3)  # of each stage of ResNet-50
STAGES = len(BLOCKS)
SMALLEST_IMAGE = 32  # pixels: one position after the last stage


class Maps(NamedTuple):
    """What a ResNet sees in a batch of B images.

    Attributes:
        last: Map after the last stage kept, (B, D, h, w).
        layers: Map after stage l for each one that was asked for, 1-based: 256, 512, 1024 and 2048
            channels, at a 4th, 8th, 16th and 32nd of the image.
    """

    last: Tensor
    layers: dict[int, Tensor]


class HalfInstanceNorm(nn.Module):
    """IBN-a: the first half of the channels by instance norm, the rest by batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.IN = nn.InstanceNorm2d(half, affine=True)  # the authors' names, as in their files
        self.BN = nn.BatchNorm2d(channels - half)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        first, rest = x.split([self.IN.num_features, self.BN.num_features], dim=1)
        return torch.cat([self.IN(first), self.BN(rest)], dim=1)


class InstanceNormBottleneck(Bottleneck):
    """IBN-b: timm's bottleneck with an instance norm between the sum and the last ReLU."""

    def __init__(self, planes: int) -> None:
        channels = planes * self.expansion
        super().__init__(channels, planes)
        self.act3 = nn.Identity()
        self.IN = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        return torch.relu(self.IN(super().forward(x)))


class ConvBackbone(nn.Module):
    """ResNet-50, plain or with instance norms, up to any stage.

    Args:
        name: One of `RESNETS`; the plain one may carry timm's tag ("resnet50.tv_in1k").
        image_size: Height and width of the images in pixels; every image must have it.
        last_stride: Stride of the fourth stage; 1 doubles the resolution of its map (Luo et al.,
            "Bag of Tricks", CVPR workshops 2019, section 3.5).
        depth: Keep the first `depth` stages of four; TransMatcher keeps 3.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.

    Raises:
        ValueError: If the name is not such a ResNet, or a size makes no sense.
    """

    def __init__(
        self,
        name: str = "resnet50",
        image_size: tuple[int, int] = (256, 128),
        *,
        last_stride: int = 2,
        depth: int | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        kind = _check(name, image_size, last_stride, depth, drop_path)
        self.name = name
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.last_stride = last_stride
        self.num_cameras = 0  # a camera embedding is added to tokens, and there are none
        kept = BLOCKS[:depth]
        resnet: Any = timm.create_model(
            "resnet50", num_classes=0, layers=kept, drop_path_rate=drop_path
        )
        self._stages = tuple(f"layer{stage}" for stage in range(1, len(kept) + 1))
        _add_instance_norms(resnet, kind, self._stages)
        if last_stride == 1:
            resnet.layer4[0].conv2.stride = resnet.layer4[0].downsample[0].stride = (1, 1)

        self.conv1, self.bn1, self.act1 = resnet.conv1, resnet.bn1, resnet.act1
        self.maxpool = resnet.maxpool
        for stage in self._stages:
            self.add_module(stage, getattr(resnet, stage))
        self.embed_dim: int = self.get_submodule(self._stages[-1])[-1].conv3.out_channels  # type: ignore[index]
        height, width = self.image_size
        self.grid = (-(-height // self.stride), -(-width // self.stride))

    @property
    def depth(self) -> int:
        """Number of stages."""
        return len(self._stages)

    @property
    def stride(self) -> int:
        """Pixels between two positions of the last map."""
        stride: int = 2 ** (self.depth + 1)
        return stride // 2 if self.depth == STAGES and self.last_stride == 1 else stride

    def forward(
        self, images: Tensor, camids: Tensor | None = None, layers: tuple[int, ...] = ()
    ) -> Maps:
        """Run the network.

        Args:
            images: Normalised images, (B, 3, H, W).
            camids: Not used; the argument is there as in `TokenBackbone`.
            layers: 1-based stages whose map is returned as well.

        Raises:
            ValueError: If the images have another size or a stage does not exist.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, *self.image_size):
            raise ValueError(
                f"images have shape {tuple(images.shape)}; this backbone was built for "
                f"(B, 3, {self.image_size[0]}, {self.image_size[1]}). Resize the images or build "
                "the model with their image_size."
            )
        for layer in layers:
            if not 1 <= layer <= self.depth:
                raise ValueError(
                    f"layer {layer} does not exist: stages are counted from 1 to {self.depth}."
                )
        x = self.maxpool(self.act1(self.bn1(self.conv1(images))))  # (B, 64, H/4, W/4)
        taps: dict[int, Tensor] = {}
        for layer, stage in enumerate(self._stages, start=1):
            x = self.get_submodule(stage)(x)
            if layer in layers:
                taps[layer] = x
        return Maps(x, taps)


def is_resnet(name: str) -> bool:
    """Whether a backbone's name is that of a ResNet and not of a ViT."""
    return name.startswith("resnet")


def _check(
    name: str, image_size: tuple[int, int], last_stride: int, depth: int | None, drop_path: float
) -> str | None:
    """The kind of instance norms, "a", "b" or None, if all arguments make sense."""
    match = re.fullmatch(r"resnet50(?:_ibn_(a|b)|\.\w+)?", name)
    if match is None:
        raise ValueError(
            f"{name!r} is no ResNet of this library; expected one of {', '.join(RESNETS)}, or "
            "resnet50 with a tag of timm such as 'resnet50.tv_in1k'."
        )
    check_tag(name)
    if min(image_size) < SMALLEST_IMAGE:
        raise ValueError(
            f"image_size is {image_size[0]}x{image_size[1]}; a ResNet halves it five times and "
            f"needs at least {SMALLEST_IMAGE} pixels on each side."
        )
    if depth is not None and not 1 <= depth <= STAGES:
        raise ValueError(f"depth is {depth}; a ResNet has stages 1 to {STAGES}.")
    if last_stride not in (1, 2):
        raise ValueError(f"last_stride is {last_stride}; expected 2 (ResNet's own) or 1.")
    if last_stride == 1 and depth not in (None, STAGES):
        raise ValueError(
            f"last_stride is 1 and depth is {depth}: it is the stride of stage {STAGES}, which is "
            "left out. Pass depth=None or last_stride=2."
        )
    if not 0.0 <= drop_path < 1.0:
        raise ValueError(f"drop_path is {drop_path}; expected a probability below 1.")
    return match[1]


def _add_instance_norms(resnet: Any, kind: str | None, stages: tuple[str, ...]) -> None:
    """Put IBN-a or IBN-b in; the convolutions keep the random weights that timm drew."""
    if kind == "a":
        for stage in stages[:3]:
            for block in getattr(resnet, stage):
                block.bn1 = HalfInstanceNorm(block.bn1.num_features)
    if kind == "b":
        resnet.bn1 = nn.InstanceNorm2d(resnet.bn1.num_features, affine=True)
        for stage in stages[:2]:
            plain = getattr(resnet, stage)[-1]
            block = InstanceNormBottleneck(plain.conv1.out_channels)
            block.drop_path = plain.drop_path
            block.load_state_dict(plain.state_dict(), strict=False)  # all but the new norm
            getattr(resnet, stage)[-1] = block
