"""What all matchers share: a map of each image, and a score of each pair of maps.

A model that embeds compares two vectors; a matcher compares two maps position by position, so that
what it looks for in an image depends on the other one. Maps are computed once per image, scores
once per pair: of 3,368 queries and 15,913 images there are 54 million pairs, which is why `match`
goes block by block.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reidlab.models.backbones import check_classes
from reidlab.models.outputs import Outputs
from reidlab.models.resnet import ConvBackbone
from reidlab.models.vit import TokenBackbone, Tokens

GROUP = 4  # blocks whose pooled values go through the head together
BLOCK_BYTES = {"cpu": 2**24, "cuda": 2**30}  # of the third cache; of a GPU


class Matcher(nn.Module, ABC):
    """A backbone and a neck, which make a map of each image; subclasses score pairs of maps.

    Args:
        backbone: Whose last map, or whose patches as a map, is read.
        num_classes: Training identities; a matcher has no classifier and only remembers them.
        dim: d, channels after the neck, a 3x3 convolution with bias.
        frozen: Whether backbone, neck and encoder stay in evaluation mode during training, so that
            batch norms keep the statistics they came with. All weights learn nevertheless.

    Raises:
        ValueError: If there is nobody to learn.
    """

    scored: ClassVar[tuple[str, ...]]
    """Names of the parts that see pairs; all others see one image and make its map."""

    def __init__(
        self, backbone: TokenBackbone | ConvBackbone, num_classes: int, dim: int, frozen: bool
    ) -> None:
        super().__init__()
        check_classes(num_classes)
        self.backbone, self.num_classes, self.frozen = backbone, num_classes, frozen
        self.neck = nn.Conv2d(backbone.embed_dim, dim, 3, padding=1)
        self.grid = backbone.grid
        self.places = self.grid[0] * self.grid[1]
        self.channels = dim  # of an embedding

    @property
    def embed_dim(self) -> int:
        """Numbers that an image takes, h * w * D."""
        return self.places * self.channels

    @abstractmethod
    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Maps (B, h, w, D) of images (B, 3, H, W), which `match` compares."""

    @abstractmethod
    def score(self, q_emb: Tensor, g_emb: Tensor) -> Tensor:
        """Logits (Q, G) of maps (Q, h, w, D) and (G, h, w, D), with gradients.

        In training mode norms take the statistics of all pairs, so it is one step, not blocks.
        """

    @abstractmethod
    def prepare(self, emb: Tensor) -> Tensor:
        """What is computed once per image before its pairs are, in evaluation, of (n, h, w, D)."""

    @abstractmethod
    def pair_bytes(self) -> int:
        """Bytes of the largest thing that is computed for a pair."""

    @abstractmethod
    def scorer(self) -> Any:
        """A function (queries, images, step) -> (q, g) of prepared maps, in evaluation.

        What is the same for all pairs is computed here, once. `step` queries at a time are held
        against all images of the block.
        """

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Scores (B, B) of all ordered pairs of a batch, those of an image with itself too.

        The statistics of a batch with a score that is no number are not kept: one product that
        overflows (half precision) would spoil a running variance for good.
        """
        maps = self.embed(images, camids)
        learning = [
            buffer
            for module in self.modules()
            if module.training
            for buffer in module.buffers(recurse=False)
        ]
        before = [buffer.clone() for buffer in learning]
        scores = self.score(maps, maps)
        good = scores.detach().isfinite().all()
        for buffer, old in zip(learning, before, strict=True):
            buffer.data.copy_(torch.where(good, buffer, old))
        return Outputs(logits=(), features=(), scores=scores)

    def match(self, q_emb: Tensor, g_emb: Tensor, *, block_bytes: int | None = None) -> Tensor:
        """Scores of all pairs, the higher the more alike.

        In evaluation in blocks, without gradients, on the model's device; no block size changes a
        score. Inside autocast positions are compared in its precision. In training mode this is
        `score`.

        Args:
            q_emb: (Q, h, w, D) from `embed`, on any device.
            g_emb: (G, h, w, D), likewise.
            block_bytes: Memory for the products of a block; None: 16 MiB on a CPU, where they
                stay in its cache, 1 GiB on a GPU.

        Returns:
            (Q, G) float32 (or float64 of such weights) on the model's device.

        Raises:
            ValueError: If maps have another size than this model's, the weights are in half
                precision, or `block_bytes` is below 1.
        """
        for name, emb in (("q_emb", q_emb), ("g_emb", g_emb)):
            self._check_maps(name, emb)
        self._check_weights()
        if block_bytes is not None and block_bytes < 1:
            raise ValueError(f"block_bytes is {block_bytes}; expected 1 or more, or None.")
        if self.training:
            return self.score(q_emb, g_emb)
        device, dtype = self.neck.weight.device, self.neck.weight.dtype
        budget = BLOCK_BYTES.get(device.type, BLOCK_BYTES["cuda"])
        pairs = max(1, (block_bytes or budget) // self.pair_bytes())
        # as many queries as images: a product of square blocks reads each map least often
        columns = max(1, min(len(g_emb), pairs // max(1, min(math.isqrt(pairs), len(q_emb)))))
        step = max(1, pairs // columns)
        with torch.no_grad():
            scores = torch.empty(len(q_emb), len(g_emb), dtype=dtype, device=device)
            if not scores.numel():
                return scores
            score = self.scorer()
            ready = list(self._prepared(q_emb, GROUP * step))
            for right, images in self._prepared(g_emb, columns):
                for left, queries in ready:
                    scores[left, right] = score(queries, images, step)
        return scores

    def _prepared(self, emb: Tensor, count: int) -> Iterator[tuple[slice, Tensor]]:
        """Maps made ready for their pairs, some at a time, and which they are."""
        for start in range(0, len(emb), count):
            rows = slice(start, start + count)
            yield rows, self.prepare(emb[rows].to(self.neck.weight))

    def _check_maps(self, name: str, emb: Tensor) -> None:
        wanted = (*self.grid, self.channels)
        if emb.ndim != 4 or tuple(emb.shape[1:]) != wanted:
            raise ValueError(
                f"{name} has shape {tuple(emb.shape)}; expected maps {('n', *wanted)} of this "
                f"{type(self).__name__} for images of {self.backbone.image_size}. Embed both sides "
                "with this model, or build one for the other image size."
            )

    def _check_weights(self) -> None:
        if (dtype := self.neck.weight.dtype).itemsize < 4:
            raise ValueError(
                f"the weights of this {type(self).__name__} are {dtype}; expected float32 or "
                "float64, as its norms have seen numbers that half precision cannot hold. Load the "
                "weights again in float32, and match inside torch.autocast(device, torch.bfloat16)."
            )

    def neck_map(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """The map after the neck, (B, d, h, w)."""
        found = self.backbone(images, camids)
        if isinstance(found, Tokens):
            return self.neck(found.patches.mT.unflatten(2, self.backbone.grid))
        return self.neck(found.last)

    def train(self, mode: bool = True) -> Matcher:
        """Training mode, but for the parts that make maps, if they are frozen."""
        super().train(mode)
        if self.frozen:
            for name, part in self.named_children():
                if name not in self.scored:
                    part.eval()
        return self

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """Parameters whose gradients are clipped together: those of the maps, those of the pairs.

        (code) Two norms, each against the same limit.
        """
        groups: list[list[nn.Parameter]] = [[], []]
        for name, parameter in self.named_parameters():
            groups[name.split(".")[0] in self.scored].append(parameter)
        return groups


def precision(like: Tensor) -> torch.dtype:
    """That in which places are compared: autocast's, or that of the maps."""
    kind = like.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else like.dtype


def affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch norm in evaluation."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def compared(products: Tensor) -> Tensor:
    """Products ready for `largest`: in evaluation, as a CPU is slow at that of half numbers."""
    slow = products.device.type == "cpu" and products.itemsize < 4
    return products.float() if slow and not products.requires_grad else products


def largest(products: Tensor, dim: int) -> Tensor:
    """The largest along a dimension; its gradient is of one winner, amax would share it out."""
    return products.max(dim).values if products.requires_grad else products.amax(dim)
