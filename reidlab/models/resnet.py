"""A ResNet-50, or 18, that returns its maps: the backbone of TransMatcher and QAConv.

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
from typing import Any, ClassVar, NamedTuple

import timm
import torch
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from reidlab.models.backbones import Sides, check_drop_path, check_input, check_tag

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet18": (2, 2, 2, 2)}  # of each stage
RESNETS = tuple(name + norms for name in BLOCKS for norms in ("", "_ibn_a", "_ibn_b"))
STAGES = 4
SMALLEST_IMAGE = 32  # pixels: one position after the last stage


class Maps(NamedTuple):
    """What a ResNet sees in a batch of B images.

    Attributes:
        last: Map after the last stage kept, (B, D, h, w).
        layers: Map after stage l for each one that was asked for, 1-based: 256, 512, 1024 and 2048
            channels of ResNet-50, a quarter of them of ResNet-18, at a 4th, 8th, 16th and 32nd of
            the image.
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


class InstanceNormBasicBlock(BasicBlock):
    """The same of the block of ResNet-18."""

    def __init__(self, planes: int) -> None:
        super().__init__(planes, planes)
        self.act2 = nn.Identity()
        self.IN = nn.InstanceNorm2d(planes, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        return torch.relu(self.IN(super().forward(x)))


class ConvBackbone(nn.Module):
    """ResNet-50 or 18, plain or with instance norms, up to any stage.

    Args:
        name: One of `RESNETS`; the plain one may carry timm's tag ("resnet50.tv_in1k").
        image_size: Height and width of the images in pixels; every image must have it.
        stride: Pixels between two positions of the last map. Of a whole network 32, or 16: the
            fourth stage with stride 1 doubles the resolution of its map (Luo et al., "Bag of
            Tricks", CVPR workshops 2019, section 3.5). Of fewer stages 16, 8 or 4. None: the
            largest.
        num_cameras: 0: a camera embedding is added to tokens, and there are none.
        depth: Keep the first `depth` stages of four; TransMatcher keeps 3.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.

    Raises:
        ValueError: If the name is not such a ResNet, or a size makes no sense.
    """

    returns: ClassVar = "the maps of a ResNet, such as 'resnet50_ibn_b'"

    def __init__(
        self,
        name: str = "resnet50",
        image_size: tuple[int, int] = (256, 128),
        *,
        stride: int | None = None,
        num_cameras: Sides = 0,
        depth: int | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        check_drop_path(drop_path)
        architecture, kind = _architecture(name)
        self.name = name
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.stride = _stride(name, self.image_size, stride, depth)
        if num_cameras:
            raise ValueError(
                f"num_cameras is {num_cameras} and {name} has no tokens to add a camera embedding "
                "to. Pass num_cameras=0, or camera_embedding=False in a recipe."
            )
        self.num_cameras = 0
        kept = BLOCKS[architecture][:depth]
        resnet: Any = timm.create_model(
            architecture, num_classes=0, layers=kept, drop_path_rate=drop_path
        )
        self._stages = tuple(f"layer{stage}" for stage in range(1, len(kept) + 1))
        _add_instance_norms(resnet, kind, self._stages)
        if self.stride < 2 ** (len(kept) + 1):
            first = resnet.layer4[0]
            strided = first.conv2 if isinstance(first, Bottleneck) else first.conv1
            strided.stride = first.downsample[0].stride = (1, 1)

        self.conv1, self.bn1, self.act1 = resnet.conv1, resnet.bn1, resnet.act1
        self.maxpool = resnet.maxpool
        for stage in self._stages:
            self.add_module(stage, getattr(resnet, stage))
        self.embed_dim: int = resnet.feature_info[len(kept)]["num_chs"]
        height, width = self.image_size
        self.grid = (-(-height // self.stride), -(-width // self.stride))

    @property
    def depth(self) -> int:
        """Number of stages."""
        return len(self._stages)

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
        check_input(images, self.image_size, layers, self.depth)
        return Maps(*self.stages(self.stem(images), layers))

    def stem(self, images: Tensor) -> Tensor:
        """What comes before the stages, (B, 64, H / 4, W / 4)."""
        return self.maxpool(self.act1(self.bn1(self.conv1(images))))

    def stages(self, x: Tensor, layers: tuple[int, ...] = ()) -> tuple[Tensor, dict[int, Tensor]]:
        """The last map of what the stem gave, and that after each stage in `layers`."""
        taps: dict[int, Tensor] = {}
        for layer, stage in enumerate(self._stages, start=1):
            x = self.get_submodule(stage)(x)
            if layer in layers:
                taps[layer] = x
        return x, taps


def is_resnet(name: str) -> bool:
    """Whether a backbone's name is that of a ResNet and not of a ViT."""
    return name.startswith("resnet")


def _architecture(name: str) -> tuple[str, str | None]:
    """The network that a name asks for, and its instance norms: "a", "b" or None."""
    match = re.fullmatch(rf"({'|'.join(BLOCKS)})(?:_ibn_(a|b)|\.\w+)?", name)
    if match is None:
        raise ValueError(
            f"{name!r} is no ResNet of this library; expected one of {', '.join(RESNETS)}, or "
            "a plain one with a tag of timm such as 'resnet50.tv_in1k'."
        )
    check_tag(name)
    return match[1], match[2]


def _stride(name: str, image_size: tuple[int, int], stride: int | None, depth: int | None) -> int:
    """Pixels between two positions of the last map, if sizes and stride make sense."""
    if min(image_size) < SMALLEST_IMAGE:
        raise ValueError(
            f"image_size is {image_size[0]}x{image_size[1]}; a ResNet halves it five times and "
            f"needs at least {SMALLEST_IMAGE} pixels on each side."
        )
    depth = STAGES if depth is None else depth
    if not 1 <= depth <= STAGES:
        raise ValueError(f"depth is {depth}; a ResNet has stages 1 to {STAGES}.")
    usual = 2 ** (depth + 1)
    whole = depth == STAGES
    if stride not in (None, usual) and not (whole and stride == usual // 2):
        raise ValueError(
            f"stride is {stride}; expected {usual} for {name} up to stage {depth}"
            + (f", or {usual // 2} (last stride 1)." if whole else ".")
        )
    return usual if stride is None else stride


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
            deep = isinstance(plain, Bottleneck)
            own = InstanceNormBottleneck if deep else InstanceNormBasicBlock
            block = own(plain.conv1.out_channels)
            block.drop_path = plain.drop_path
            block.load_state_dict(plain.state_dict(), strict=False)  # all but the new norm
            getattr(resnet, stage)[-1] = block
