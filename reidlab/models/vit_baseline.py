"""The ViT baseline of TransReID: class token, BNNeck, one classifier.

He et al., "TransReID: Transformer-based Object Re-Identification", ICCV 2021 (arXiv 2102.04378),
section 3.1; the BNNeck is from Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person
Re-identification", CVPR workshops 2019 (arXiv 1903.07071).
Every paper of this book starts from this model and is compared with it. TransReID's published
checkpoints of its baseline load into it; `camera_embedding` and `stride` of a recipe add the side
information and the overlapping patches.
"""

from __future__ import annotations

from torch import Tensor, nn

from reidlab.models.backbones import check_classes
from reidlab.models.outputs import Outputs
from reidlab.models.registry import Authors, Model, register, renaming
from reidlab.models.vit import TokenBackbone

CLASSIFIER_STD = 0.001  # (code) of the normal the classifier starts from


class BNNeck(nn.Module):
    """Batch norm between the feature of the triplet loss and the classifier of the identity loss.

    The triplet loss wants free Euclidean distances, the classifier wants features on a sphere
    around the origin; the norm in between lets each have its own. Its bias is frozen at 0 and the
    classifier has none, so that the borders between identities pass through the origin.

    Args:
        dim: D, length of the feature.
        num_classes: C, training identities.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.norm.bias.requires_grad_(False)
        self.classifier = nn.Linear(dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)

    def forward(self, feature: Tensor) -> Tensor:
        """Turn features (B, D) into logits (B, C)."""
        return self.classifier(self.norm(feature))


class ViTBaseline(nn.Module):
    """f = LN(x)[class token]; triplet loss on f, identity loss on BNNeck(f), retrieval by f.

    Args:
        backbone: The transformer.
        num_classes: C, training identities.

    Raises:
        ValueError: If there is no identity to learn.
    """

    def __init__(self, backbone: TokenBackbone, num_classes: int) -> None:
        super().__init__()
        check_classes(num_classes)
        self.backbone = backbone
        self.num_classes = num_classes
        self.embed_dim = backbone.embed_dim
        self.neck = BNNeck(backbone.embed_dim, num_classes)

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Logits (B, C) and features (B, D) of images (B, 3, H, W)."""
        feature = self.embed(images, camids)
        return Outputs(logits=(self.neck(feature),), features=(feature,))

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Retrieval feature f *before* the batch norm, not normalised, (B, D)."""
        return self.backbone(images, camids).cls


_NAMES = {  # TransReID's, without its jigsaw patch module -> ours
    r"base\.fc\.\w+": None,  # the classifier of ImageNet, which is never called
    r"base\.(.+)": r"backbone.\1",
    r"bottleneck\.(\w+)": r"neck.norm.\1",
    r"classifier\.weight": "neck.classifier.weight",
}

AUTHORS = Authors(rename=renaming(_NAMES), entries=158)

register(Model(name="vit_baseline", build=ViTBaseline, authors=AUTHORS))
