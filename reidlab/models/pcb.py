"""PCB*: stripes of the ViT's last patch tokens, one classifier each.

Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling (and a Strong
Convolutional Baseline)", ECCV 2018 (arXiv 1711.09349), section 3.1, cuts the last map of a ResNet
into six stripes. Figure 5 of GLTrans compares itself with a "PCB*" and, as far as we could read it,
does not say what that is. **Our reading**: PCB with the patch tokens of the ViT after its final
norm as the map. No authors' network stands behind this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from reidlab.models.backbones import check_classes, check_rows
from reidlab.models.la_transformer import LocallyAware, RowClassifier
from reidlab.models.outputs import Outputs
from reidlab.models.registry import Model, register
from reidlab.models.vit import TokenBackbone
from reidlab.settings import Checked, Range, Words

# (PCB paper, section 3.1) a 1x1 convolution to 256 channels, batch norm, ReLU; a softmax
HEAD = LocallyAware(activation="relu", bottleneck=256, dropout=0.0)


@dataclass(frozen=True)
class Stripes(Checked):
    """Switches of PCB*.

    Attributes:
        stripes: S, how many; they differ by a row at most. PCB has 6 of 24 rows; (ours) as many as
            GLTrans has bands, so that the two differ in what they make of them.
    """

    stripes: Annotated[int, Range(1, 1024), Words("a number of 1 or more")] = 3


class PCB(nn.Module):
    """The mean of each stripe of patches, and a classifier of each; the class token is not read.

    Args:
        backbone: The transformer; a grid of at least as many rows as there are stripes.
        num_classes: C, training identities.
        switches: How many stripes.

    Raises:
        ValueError: If there is nobody to learn, or fewer rows than stripes.
    """

    def __init__(
        self, backbone: TokenBackbone, num_classes: int, switches: Stripes = Stripes()
    ) -> None:
        super().__init__()
        check_classes(num_classes)
        check_rows("stripes", switches.stripes, backbone.grid)
        self.backbone, self.num_classes, self.switches = backbone, num_classes, switches
        self.embed_dim = switches.stripes * backbone.embed_dim
        self.heads = nn.ModuleList(
            RowClassifier(backbone.embed_dim, num_classes, HEAD) for _ in range(switches.stripes)
        )

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Logits (B, C) and features (B, D) of each stripe."""
        features = self.means(images, camids).unbind(1)
        logits = tuple(head(each) for head, each in zip(self.heads, features, strict=True))
        return Outputs(logits=logits, features=features)

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Retrieval feature: the means of the stripes side by side, (B, S * D)."""
        return self.means(images, camids).flatten(1)

    def means(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """The mean of each stripe of patches, from the top to the bottom, (B, S, D)."""
        patches = self.backbone(images, camids).patches.unflatten(1, self.backbone.grid)
        stripes = patches.tensor_split(self.switches.stripes, dim=1)  # S x (B, h', w, D)
        return torch.stack([stripe.mean((1, 2)) for stripe in stripes], dim=1)


register(Model(name="pcb", build=PCB, presets={"paper": Stripes()}))
