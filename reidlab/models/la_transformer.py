"""LA-Transformer: row-wise "globally enhanced local tokens" and one classifier per row.

Sharma, Kapil, Chapman, "Person Re-Identification with a Locally Aware Transformer", 2021
(arXiv 2106.03720). With G the class token and R_i the mean of the patch tokens of grid row i

    L_i = a R_i + (1 - a) G

and head i classifies L_i. Paper and code differ in most of the switches, see `PRESETS`: equation 6
weighs G by 0.8 against 1 for the row (a = 1 / 1.8), the code weighs the row by 8 against 1 for G
(a = 8 / 9). Mixing before or after the mean over a row is the same, as G is one for all.
`preset="code"` equals the authors' network; its classifier of ImageNet, which is never called, is
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.models.backbones import check_classes
from reidlab.models.outputs import Outputs
from reidlab.models.registry import Authors, Model, register, renaming
from reidlab.models.vit import TokenBackbone
from reidlab.settings import Checked, Range, Words

Heads = Literal["rows", "one"]
Activation = Literal["none", "relu", "leaky_relu"]
Retrieval = Literal["rows", "gelt", "mean"]
Weight = Annotated[
    float, Range(0, 1), Words("a share from 0 to 1: 8 / 9 in the code, 1 / 1.8 in the paper")
]
Stripes = Annotated[
    Annotated[int, Range(1, 1024)] | None, Words("1 or more, or None: one per row of patches")
]
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.1),
}
CLASSIFIER_STD = 0.001  # (code) of the normal the last layer starts from


@dataclass(frozen=True)
class LocallyAware(Checked):
    """Switches of the locally aware network.

    Attributes:
        local_weight: a, weight of the local part in L = a R + (1 - a) G; 1: local only, 0: global.
        stripes: S, local vectors per image, each the mean over an equal number of grid rows, as in
            PCB; None: one per row.
        heads: "rows", a classifier per stripe; "one", a single one on the mean over the stripes.
        activation: After the batch norm: "none", "relu" or "leaky_relu" (slope 0.1).
        retrieval: What `embed` returns: "rows", the R_i; "gelt", the L_i; "mean", the mean of the
            L_i, one vector.
        bottleneck: Width of a head's hidden layer.
        dropout: After the activation.
    """

    local_weight: Weight = 8 / 9
    stripes: Stripes = None
    heads: Heads = "rows"
    activation: Activation = "none"
    retrieval: Retrieval = "rows"
    bottleneck: Annotated[int, Range(1, 100_000), Words("a width of 1 or more")] = 256
    dropout: Annotated[float, Range(0, 0.9999), Words("a probability below 1")] = 0.5


PRESETS = {
    "code": LocallyAware(
        local_weight=8 / 9,  # (code) (G + 8 R) / 9
        activation="none",  # (code) an option that is off
        retrieval="rows",  # (code) the mix with G is disabled in the test network
        dropout=0.5,  # (code)
    ),
    "paper": LocallyAware(
        local_weight=1 / 1.8,  # (paper, equation 6) (R + 0.8 G) / 1.8
        activation="relu",  # (paper, section 3.1.2)
        retrieval="gelt",  # (paper, section 4.2) "concatenated all of the averaged GELTs L"
        dropout=0.0,  # (paper) not mentioned
    ),
}


class RowClassifier(nn.Module):
    """Linear, batch norm, activation, dropout, linear: a classifier with a bottleneck.

    Args:
        dim: D, length of what it reads.
        num_classes: C, training identities.
        switches: Give width, activation and dropout.
    """

    def __init__(self, dim: int, num_classes: int, switches: LocallyAware) -> None:
        super().__init__()
        width = switches.bottleneck
        self.bottleneck = nn.Linear(dim, width)
        self.norm = nn.BatchNorm1d(width)
        self.activation = ACTIVATIONS[switches.activation]()
        self.dropout = nn.Dropout(switches.dropout)
        self.classifier = nn.Linear(width, num_classes)
        nn.init.kaiming_normal_(self.bottleneck.weight, mode="fan_out")  # (code) gain of ReLU
        nn.init.zeros_(self.bottleneck.bias)
        nn.init.normal_(self.norm.weight, 1.0, 0.02)  # (code)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """Logits (B, C) of features (B, D)."""
        hidden = self.activation(self.norm(self.bottleneck(feature)))  # (B, 256)
        return self.classifier(self.dropout(hidden))


class LATransformer(nn.Module):
    """Rows of patches, mixed with the class token, each with a classifier of its own.

    Args:
        backbone: The transformer; any grid of patches.
        num_classes: C, training identities.
        switches: What paper, code and ablations differ in.

    Raises:
        ValueError: If there is nobody to learn, or the grid's rows can't be cut into the stripes.
    """

    def __init__(
        self, backbone: TokenBackbone, num_classes: int, switches: LocallyAware = PRESETS["code"]
    ) -> None:
        super().__init__()
        check_classes(num_classes)
        self.backbone = backbone
        self.num_classes = num_classes
        self.switches = switches
        self.stripes = _stripes(switches.stripes, backbone)
        self.embed_dim = self.embed_dim_of(switches.retrieval)
        count = self.stripes if switches.heads == "rows" else 1
        self.heads = nn.ModuleList(
            RowClassifier(backbone.embed_dim, num_classes, switches) for _ in range(count)
        )

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Logits (B, C) of every head, and the features (B, D) they were computed from."""
        gelt = self.enhance(*self.local_and_global(images, camids))  # (B, S, D)
        features = (gelt.mean(1),) if self.switches.heads == "one" else gelt.unbind(1)
        logits = tuple(head(f) for head, f in zip(self.heads, features, strict=True))
        return Outputs(logits=logits, features=tuple(features))

    def embed(
        self,
        images: Tensor,
        camids: Tensor | None = None,
        *,
        retrieval: Retrieval | None = None,
        local_weight: float | None = None,
    ) -> Tensor:
        """Retrieval feature of unit length, (B, S * D) row by row, or (B, D) for "mean".

        Each row is divided by its length and by sqrt(S) (code), so the inner product of two
        embeddings is the mean over the rows of their cosines.

        Args:
            images: Normalised images, (B, 3, H, W).
            camids: As in `TokenBackbone`.
            retrieval: Another description by the same weights, as in `LocallyAware`; None: the
                model's own. Its length is `embed_dim_of(retrieval)`.
            local_weight: Likewise. 0 with "mean" is the class token.
        """
        given: dict[str, Any] = {"retrieval": retrieval, "local_weight": local_weight}
        asked = replace(self.switches, **{k: v for k, v in given.items() if v is not None})
        rows, cls = self.local_and_global(images, camids)
        if asked.retrieval != "rows":
            rows = self.enhance(rows, cls, asked.local_weight)
        if asked.retrieval == "mean":
            rows = rows.mean(1, keepdim=True)
        return (F.normalize(rows, dim=-1) / rows.shape[1] ** 0.5).flatten(1)

    def embed_dim_of(self, retrieval: Retrieval) -> int:
        """Length of the description that `embed(..., retrieval=retrieval)` gives."""
        return self.backbone.embed_dim * (1 if retrieval == "mean" else self.stripes)

    def local_and_global(
        self, images: Tensor, camids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The means R over each stripe of patches, (B, S, D), and the class token G, (B, D)."""
        tokens = self.backbone(images, camids)
        # patches run row by row, so a stripe is a run of neighbours in the sequence
        rows = tokens.patches.unflatten(1, (self.stripes, -1)).mean(2)
        return rows, tokens.cls

    def enhance(self, rows: Tensor, cls: Tensor, local_weight: float | None = None) -> Tensor:
        """Averaged globally enhanced local tokens L = a R + (1 - a) G, (B, S, D); None: own a."""
        weight = self.switches.local_weight if local_weight is None else local_weight
        return torch.lerp(cls[:, None].expand_as(rows), rows, weight)


def _stripes(wanted: int | None, backbone: TokenBackbone) -> int:
    """How many local vectors, when they can be equal parts of the grid's rows."""
    rows, columns = backbone.grid
    if wanted is None or rows % wanted == 0:
        return rows if wanted is None else wanted
    fitting = [n for n in range(1, rows + 1) if rows % n == 0]
    raise ValueError(
        f"stripes is {wanted} and the grid of {rows}x{columns} patches has {rows} rows, which "
        f"{wanted} stripes do not divide. Pass stripes=None (one per row) or one of "
        f"{', '.join(map(str, fitting))}, or images of another height: {backbone.patch_size} "
        "pixels a row without overlap."
    )


# Names of both papers' authors -> ours; None: timm's classifier, which forward never calls. Class
# token and positions stand in their files twice, as one parameter of two modules.
_NAMES = {
    r"(cls_token|pos_embed)": r"backbone.\1",
    r"model\.head\..+": None,
    r"model\.(.+)": r"backbone.\1",
    r"classifier(\d+)\.add_block\.0\.(\w+)": r"heads.\1.bottleneck.\2",
    r"classifier(\d+)\.add_block\.1\.(\w+)": r"heads.\1.norm.\2",
    r"classifier(\d+)\.classifier\.0\.(\w+)": r"heads.\1.classifier.\2",
}


def _explain(model: LATransformer, found: Mapping[str, Tensor]) -> str | None:
    """Whether a checkpoint is of the other paper."""
    heads = {key.split(".")[1] for key in found if key.startswith("heads.")}
    if heads and len(heads) != len(model.heads):
        return (
            f"has {len(heads)} classifiers and the model {len(model.heads)}: LA-Transformer "
            "has one for each of 14 rows (image_size=(224, 224)), LA-TF++ a single one."
        )
    return None


AUTHORS = Authors(rename=renaming(_NAMES), entries=280, explain=_explain)

register(Model(name="la_transformer", build=LATransformer, presets=PRESETS, authors=AUTHORS))
