"""TransReID: the ViT baseline with a jigsaw patch module, camera embedding, overlapping patches.

He et al., "TransReID: Transformer-based Object Re-Identification", ICCV 2021 (arXiv 2102.04378),
sections 3.2 and 3.3. Embedding and overlap belong to the backbone (`num_cameras`, `stride`); this
file is the module. All blocks but the last give tokens E; the last one, with the final norm, stands
there twice:

    global    f_g = last(E)[class token]
    local     f_j = copy([class token of E, group j of its patches])[class token],  j = 1 ... 4

Patches of a group come from all over the image: they are shifted and shuffled first. Equal to the
authors' network; the weights that it carries and never reads are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from reidlab.models.backbones import check_classes
from reidlab.models.outputs import Outputs
from reidlab.models.registry import Authors, Model, register, renaming
from reidlab.models.vit import TokenBackbone
from reidlab.models.vit_baseline import BNNeck
from reidlab.settings import Checked, Range, Words

HALVES = 2  # (code) that the shuffle lays into each other, in every configuration


@dataclass(frozen=True)
class Jigsaw(Checked):
    """Switches of the jigsaw patch module.

    Attributes:
        groups: k, local vectors per image.
        shift: m: the sequence begins at patch m, counted from 1.
        rearrange: Shift and shuffle; without it groups are runs of neighbours.
    """

    groups: Annotated[int, Range(1, 1024), Words("a number of 1 or more")] = 4  # (paper)
    shift: Annotated[int, Range(1, 100_000), Words("a patch counted from 1")] = 5  # VeRi: 8 (code)
    rearrange: bool = True


class TransReID(nn.Module):
    """One global vector and k local ones, each with a BNNeck and a classifier.

    Args:
        backbone: The transformer, of two blocks at least.
        num_classes: C, training identities.
        switches: Of the jigsaw patch module.

    Raises:
        ValueError: If there is nobody to learn, one block alone, or too few patches.
    """

    def __init__(
        self, backbone: TokenBackbone, num_classes: int, switches: Jigsaw = Jigsaw()
    ) -> None:
        super().__init__()
        _check(backbone, num_classes, switches)
        self.backbone, self.num_classes, self.switches = backbone, num_classes, switches
        self.local_block = copy.deepcopy(backbone.blocks[-1])  # shared by the groups
        self.local_norm = copy.deepcopy(backbone.norm)
        self.necks = nn.ModuleList(
            BNNeck(backbone.embed_dim, num_classes) for _ in range(1 + switches.groups)
        )
        self.embed_dim = backbone.embed_dim * (1 + switches.groups)

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Logits (B, C) and features (B, D): the global one, then k local ones."""
        features = self.features(images, camids)
        logits = tuple(neck(each) for neck, each in zip(self.necks, features, strict=True))
        return Outputs(logits=logits, features=features)

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Retrieval feature [f_g, f_1 / k, ..., f_k / k], before the necks, (B, (1 + k) * D)."""
        whole, *local = self.features(images, camids)
        return torch.cat((whole, *(each / len(local) for each in local)), dim=1)  # (code)

    def features(self, images: Tensor, camids: Tensor | None = None) -> tuple[Tensor, ...]:
        """f_g, f_1, ..., f_k, each (B, D)."""
        before = self.backbone.depth - 1
        tokens = self.backbone(images, camids, layers=(before,))
        x = tokens.layers[before]  # E, (B, P + N, D)
        groups = self.groups(x[:, self.backbone.num_prefix_tokens :])  # (B, k, N / k, D)
        cls = x[:, None, :1].expand(-1, groups.shape[1], -1, -1)  # (B, k, 1, D)
        sequences = torch.cat((cls, groups), dim=2)  # (B, k, 1 + N / k, D)
        local = self.local_norm(self.local_block(sequences.flatten(0, 1))[:, 0])  # (B k, D)
        return (tokens.cls, *local.unflatten(0, groups.shape[:2]).unbind(1))

    def groups(self, patches: Tensor) -> Tensor:
        """Patches (B, N, D) in k groups, (B, k, N // k, D); what is left over is not used."""
        k = self.switches.groups
        size = patches.shape[1] // k  # 210 -> 52
        if self.switches.rearrange:
            patches = patches.roll(1 - self.switches.shift, dims=1)  # m - 1 to the end
            if patches.shape[1] % HALVES:
                patches = torch.cat((patches, patches[:, -2:-1]), dim=1)  # (code)
            # first, first of the second half, second, ...
            patches = patches.unflatten(1, (HALVES, -1)).transpose(1, 2).flatten(1, 2)
        return patches[:, : k * size].unflatten(1, (k, size))


def _check(backbone: TokenBackbone, num_classes: int, switches: Jigsaw) -> None:
    check_classes(num_classes)
    if backbone.rope is not None:
        raise ValueError(
            f"{backbone.name!r} turns queries and keys by their positions, which a shuffled group "
            "of patches has not. Take a plain ViT, such as 'vit_base_patch16_224'."
        )
    if backbone.depth < 2:
        raise ValueError(
            "the backbone has one block; TransReID has its last one twice, on what those before it "
            "give. Take a depth of 2 or more."
        )
    rows, columns = backbone.grid
    few = max(switches.groups, switches.shift if switches.rearrange else 0)
    if rows * columns < few:
        raise ValueError(
            f"groups is {switches.groups} and shift {switches.shift}, and the grid of "
            f"{rows}x{columns} has {rows * columns} patches; expected {few} or more. Take larger "
            "images, a smaller stride, or smaller switches."
        )


_NAMES = {  # theirs -> ours; the last block and the norm of `base` are never read: b1 has them
    r"base\.(fc|norm|blocks\.11)\..+": None,
    r"base\.(.+)": r"backbone.\1",
    r"b1\.0\.(.+)": r"backbone.blocks.11.\1",
    r"b1\.1\.(.+)": r"backbone.norm.\1",
    r"b2\.0\.(.+)": r"local_block.\1",
    r"b2\.1\.(.+)": r"local_norm.\1",
    r"bottleneck\.(\w+)": r"necks.0.norm.\1",
    r"bottleneck_([1-4])\.(\w+)": r"necks.\1.norm.\2",
    r"classifier\.weight": "necks.0.classifier.weight",
    r"classifier_([1-4])\.weight": r"necks.\1.classifier.weight",
}


def _explain(model: TransReID, found: Mapping[str, Tensor]) -> str | None:
    """Whether a checkpoint is of their baseline."""
    if any(key.startswith("local_block.") for key in found) or "necks.0.norm.bias" not in found:
        return None
    return (
        "is TransReID's baseline, without a jigsaw patch module; load it into "
        "create_model('vit_baseline', ...)."
    )


AUTHORS = Authors(rename=renaming(_NAMES), entries=211, explain=_explain)

register(Model(name="transreid", build=TransReID, presets={"code": Jigsaw()}, authors=AUTHORS))
