"""QAConv: the places of one image are kernels on the other; the best match of each place counts.

Liao, Shao, "Interpretable and Generalizable Person Re-Identification with Query-Adaptive
Convolution and Temporal Lifting", ECCV 2020 (arXiv 1904.10424), and "Graph Sampling Based Deep
Metric Learning for Generalizable Person Re-Identification", CVPR 2022 (arXiv 2104.01546). Of maps
with S places, each a vector of length 1:

    A[s, r] = <probe_s, gallery_r>,  a_s = max_r A[s, r],  b_r = max_s A[s, r]
    2.1   score = BN(FC(BN(a)) + FC(BN(b)))        FC: S -> 1, the same for both
    2.0   score = BN(FC(BN([b, a])))               FC: 2 S -> 1

TransMatcher compares with 2.0, which its tables call QAConv-GS. Version 2.1 equals the authors'
network (MIT licence); of 2.0 no checkpoint was at hand, its layer follows their description.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.models.matcher import Matcher, compared, largest, precision
from reidlab.models.registry import Authors, Model, register, renaming
from reidlab.models.resnet import ConvBackbone
from reidlab.models.transmatcher import Count, explain_grid
from reidlab.models.vit import TokenBackbone
from reidlab.settings import Checked


@dataclass(frozen=True)
class Convolution(Checked):
    """Switches of QAConv.

    Attributes:
        version: Of the layer, "2.1" (CVPR 2022) or "2.0" (what TransMatcher was compared with).
        dim: Channels of a map.
        frozen: As in `Matcher`; 2.0 was trained with it off.
    """

    version: Literal["2.1", "2.0"] = "2.1"
    dim: Count = 128
    frozen: bool = True


PRESETS = {
    "code": Convolution(),
    "paper": Convolution(version="2.0", dim=64, frozen=False),  # the rows of TransMatcher's tables
}


class QAConvLayer(nn.Module):
    """Scores of maps whose places are vectors of length 1.

    Args:
        places: S, of a map.
        version: "2.1" or "2.0".
    """

    def __init__(self, places: int, version: str = "2.1") -> None:
        super().__init__()
        self.shared = version == "2.1"
        self.bn = nn.BatchNorm1d(1)
        self.fc = nn.Linear(places if self.shared else 2 * places, 1)
        if self.shared:
            nn.init.constant_(self.fc.weight, 1 / places)  # (code) the mean of the best matches
        self.logit_bn = nn.BatchNorm1d(1)

    def forward(self, probe: Tensor, gallery: Tensor) -> Tensor:
        """Scores (p, g) of maps (p, S, C) and (g, S, C)."""
        return self.read(self.pooled(probe, gallery))

    def read(self, rows: Tensor) -> Tensor:
        """Scores (p, g) of the best match of each place, (p, g, 2 S)."""
        x = self.bn(rows.reshape(-1, 1, rows.shape[-1])).view_as(rows)
        x = self.fc(x.unflatten(2, (-1, self.fc.in_features))).sum((2, 3))  # (p, g)
        return self.logit_bn(x.reshape(-1, 1)).view_as(x)

    def pooled(self, probe: Tensor, gallery: Tensor) -> Tensor:
        """The best match of each place, the gallery's first, (p, g, 2 S)."""
        places = probe.shape[1]
        products = gallery.flatten(0, 1) @ probe.flatten(0, 1).T
        # (g, r, p, s)
        products = compared(products.view(len(gallery), places, len(probe), places))
        of_gallery, of_probe = largest(products, 3), largest(products, 1)
        return torch.cat((of_gallery.permute(2, 0, 1), of_probe.permute(1, 0, 2)), dim=2)


class QAConv(Matcher):
    """Neck, length 1 at each place, and the layer.

    Args:
        backbone: The paper's is a ResNet-50-IBN-b up to its third stage on images of 384x128.
        num_classes: As in `Matcher`.
        switches: Version, channels.
    """

    scored = ("layer",)

    def __init__(
        self,
        backbone: TokenBackbone | ConvBackbone,
        num_classes: int,
        switches: Convolution = PRESETS["code"],
    ) -> None:
        super().__init__(backbone, num_classes, switches.dim, switches.frozen)
        self.switches = switches
        self.layer = QAConvLayer(self.places, switches.version)

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Maps (B, h, w, C), each place a vector of length 1.

        Args:
            images: Normalised images, (B, 3, H, W); the paper's are pixels from 0 to 1 as they are.
            camids: As in `TokenBackbone`.
        """
        return F.normalize(self.neck_map(images, camids), dim=1).permute(0, 2, 3, 1)

    def score(self, q_emb: Tensor, g_emb: Tensor) -> Tensor:
        """As in `Matcher`."""
        return self.layer(q_emb.flatten(1, 2), g_emb.flatten(1, 2))

    def prepare(self, emb: Tensor) -> Tensor:
        """(n, S, C) in the precision of autocast."""
        return emb.flatten(1, 2).to(precision(emb))

    def pair_bytes(self) -> int:
        """Of the products of all places."""
        return 4 * self.places**2

    def scorer(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        """As in `Matcher`."""

        def score(queries: Tensor, images: Tensor, step: int) -> Tensor:
            with torch.autocast(queries.device.type, enabled=False):
                rows = torch.cat([self.layer.pooled(q, images) for q in queries.split(step)])
                return self.layer.read(rows.to(self.layer.fc.weight.dtype))

        return score


# their names -> ours; None where their network never uses the weight
_NAMES = {
    r"base\.(layer4|fc)\..+": None,
    r"base\.(.+)": r"backbone.\1",
    r"neck_conv\.(\w+)": r"neck.\1",
    r"((bn|fc|logit_bn)\.\w+)": r"layer.\1",
}


register(
    Model(
        name="qaconv",
        build=QAConv,
        reads=(ConvBackbone, TokenBackbone),
        presets=PRESETS,
        authors=Authors(rename=renaming(_NAMES), entries=335, explain=explain_grid, apart="layer."),
    )
)
