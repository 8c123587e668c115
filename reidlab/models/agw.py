"""AGW: the convolutional network that TVTR is compared with, a stem for each modality.

Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021 (arXiv
2001.04193), section 4, as its program for visible-infrared search has it: a ResNet-50 whose first
convolution and norm exist twice, five non-local blocks in stages 2 and 3, the generalised mean of
the last map, and a neck. Losses: `WeightedTriplet` before the neck, a cross-entropy after.
**Our reading**: written from a description; not checked against the authors' weights.
"""

from __future__ import annotations

import copy
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from reidlab.models.backbones import check_classes, check_input
from reidlab.models.outputs import Outputs
from reidlab.models.registry import Model, register
from reidlab.models.resnet import ConvBackbone
from reidlab.models.vit_baseline import BNNeck

Retrieval = Literal["neck", "pool"]
POWER = 3.0  # (code) of the generalised mean; a constant
NON_LOCAL = {2: 2, 3: 3}  # (code) stage -> how many of its last blocks are followed by one


class NonLocal(nn.Module):
    """Each position adds what it gathers from all others; at the start nothing.

    Wang et al., "Non-local Neural Networks", CVPR 2018 (arXiv 1711.07971), without softmax.

    Args:
        channels: C; keys, queries and values have half as many, as in that paper. Copies of AGW's
            program have a single channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value, self.query, self.key = (nn.Conv2d(channels, channels // 2, 1) for _ in range(3))
        self.out = nn.Conv2d(channels // 2, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        q, k, v = (part(maps).flatten(2) for part in (self.query, self.key, self.value))
        weights = q.mT @ k / k.shape[2]  # (B, h * w, h * w)
        return maps + self.norm(self.out((weights @ v.mT).mT.unflatten(2, maps.shape[2:])))


class AGW(nn.Module):
    """Generalised mean of the last map, a neck and a classifier.

    Args:
        backbone: A ResNet, to which a stem and non-local blocks are added, in the stages it has.
        num_classes: C, training identities.

    Raises:
        ValueError: If there is nobody to learn.
    """

    by_modality = True  # `reidlab.judging.with_rows` makes camids of it: 0 visible, 1 infrared

    def __init__(self, backbone: ConvBackbone, num_classes: int) -> None:
        super().__init__()
        check_classes(num_classes)
        self.backbone: Any = backbone
        self.num_classes = num_classes
        self.embed_dim = backbone.embed_dim
        # both within the backbone, whose rate they learn at, as in the code
        stem = (backbone.conv1, backbone.bn1, backbone.act1, backbone.maxpool)
        backbone.infrared_stem = copy.deepcopy(nn.Sequential(*stem))
        for stage, count in NON_LOCAL.items():
            if stage <= backbone.depth:
                blocks: Any = backbone.get_submodule(f"layer{stage}")
                for place in range(max(0, len(blocks) - count), len(blocks)):
                    block = blocks[place]
                    channels = getattr(block, "conv3", block.conv2).out_channels
                    blocks[place] = nn.Sequential(block, NonLocal(channels))
        self.neck = BNNeck(self.embed_dim, num_classes)

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Logits (B, C) and the feature before the neck (B, D) of images (B, 3, H, W)."""
        feature = self.embed(images, camids, retrieval="pool")
        return Outputs(logits=(self.neck(feature),), features=(feature,))

    def embed(
        self, images: Tensor, camids: Tensor | None = None, *, retrieval: Retrieval = "neck"
    ) -> Tensor:
        """Retrieval feature, not normalised, (B, D).

        Args:
            images: Normalised images, (B, 3, H, W).
            camids: 1 for an infrared image, 0 for a visible one, (B,), as `with_rows` of
                `reidlab.judging` makes it; None: all visible.
            retrieval: "neck", after the batch norm, or "pool", before.

        Raises:
            ValueError: If images or retrieval are others.
        """
        if retrieval not in get_args(Retrieval):
            raise ValueError(f"retrieval is {retrieval!r}; expected 'neck' or 'pool'.")
        check_input(images, self.backbone.image_size, (), self.backbone.depth)
        maps, _ = self.backbone.stages(self._stems(images, camids))
        # in float32: cubes leave the range of half precision
        with torch.autocast(images.device.type, enabled=False):
            cubes = maps.to(images.dtype).clamp(min=0).pow(POWER).mean((2, 3))
            feature = (cubes + 1e-12).pow(1 / POWER)  # (code)
        return feature if retrieval == "pool" else self.neck.norm(feature)

    def _stems(self, images: Tensor, camids: Tensor | None) -> Tensor:
        """Each image through the stem of its modality, (B, 64, H / 4, W / 4)."""
        if camids is None:
            return self.backbone.stem(images)
        infrared = camids == 1
        stems = ((~infrared, self.backbone.stem), (infrared, self.backbone.infrared_stem))
        rows = [(mask.nonzero()[:, 0], stem) for mask, stem in stems if bool(mask.any())]
        found = torch.cat([stem(images[chosen]) for chosen, stem in rows])
        return found[torch.cat([chosen for chosen, _ in rows]).argsort()]


register(Model(name="agw", build=AGW, reads=ConvBackbone))
