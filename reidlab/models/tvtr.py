"""TVTR: the last block sees the class token and, of each head, the k patches that attention chose.

"TVTR: From Daylight to Infrared", of which we had the text of section 3 in Chinese and no program:
the authors have published none. L layers with H heads; A_l is the attention of layer l, rows sum
to 1.

    scores   s_h = row of the class token in A_{L-1} ... A_2 A_1, head by head
    tokens   the k patches of the largest s_h, of each head, from the output of layer L-1
    feature  [class token, mean of the chosen tokens] after layer L on these tokens and the norm

With k = 1 and the class token alone it is the part selection of TransFG (He et al., AAAI 2022,
arXiv 2103.07976), whose program settles what the text leaves open here: the order of the product,
no residual term in it (so it is no attention rollout), the norm after the last layer. What else is
open is a switch, see `TopK`.

The product is never formed. Only its first row is asked for, so a row vector goes from layer L-1
down to the first, and needs one attention at a time, which is computed anew from queries and keys
that the layer had anyway: layers keep their fused attention. Rows of so long a product differ
little, so it is in float32 whatever the training's precision is, and has no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention
from torch import Tensor, nn

from reidlab.losses.terms import precise
from reidlab.models.backbones import check_classes
from reidlab.models.outputs import Outputs
from reidlab.models.registry import Model, register
from reidlab.models.vit import TokenBackbone
from reidlab.models.vit_baseline import BNNeck
from reidlab.settings import Checked, Range, Words

Retrieval = Literal["feature", "neck", "class", "visual"]
AT_ONCE = {"cpu": 2**18, "cuda": 2**25}  # attention weights held at a time; 1 MB stays in a cache


@dataclass(frozen=True)
class TopK(Checked):
    """Switches of TVTR; its text says k = 16 and "joined", the rest of the defaults is ours.

    Attributes:
        k: Patches that each head chooses.
        selection: Whether patches are chosen; else the last layer sees all of them, and the visual
            token is their mean.
        duplicates: What becomes of a patch that several heads chose: "kept", as TransFG does: it
            counts as often in attention and mean, and all images have equally many tokens; or
            "removed", each counts once.
        feature: "joined", class token and mean visual token side by side; or "class" or "visual"
            alone.
        neck: Whether a batch norm without shift stands before the classifier, as in TransReID,
            whose default loss of this kind has the very numbers of TVTR.
        classifier: "cosine", which the loss `GlobalCircle` needs, or "linear" for a cross-entropy.
    """

    k: Annotated[int, Range(1, 100_000), Words("a number of 1 or more")] = 16
    selection: bool = True
    duplicates: Literal["kept", "removed"] = "kept"
    feature: Literal["joined", "class", "visual"] = "joined"
    neck: bool = True
    classifier: Literal["cosine", "linear"] = "cosine"


def select_tokens(attentions: Sequence[Tensor], k: int) -> Tensor:
    """The patches that each head chooses: the k largest of the class token's row in the product.

    Args:
        attentions: Of layers 1, ..., L-1, after the softmax, each (B, heads, N + 1, N + 1), the
            class token first.
        k: How many, up to N.

    Returns:
        Patches from 0 to N - 1, (B, heads, k), the largest score first, the lower patch first of
        equal ones.

    Raises:
        ValueError: If the shapes are others, or k is.
    """
    shape = attentions[0].shape if len(attentions) else torch.Size()
    square = len(shape) == 4 and shape[2] == shape[3]
    if not square or any(each.shape != shape for each in attentions):
        found = ", ".join(str(tuple(each.shape)) for each in attentions) or "none"
        raise ValueError(
            f"attentions are {found}; expected one or more of the same shape (B, heads, N + 1, N + "
            "1), of layers 1 to L - 1."
        )
    last, *below = reversed(attentions)
    with torch.no_grad(), torch.autocast(last.device.type, enabled=False):
        return _largest(_class_row((last[:, :, :1], *below))[..., 1:], k)


class CosineClassifier(nn.Module):
    """Cosines of features and a vector of each person, in float32 inside autocast too.

    Args:
        dim: D, length of the feature.
        num_classes: C, training identities.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, dim))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # (TransReID's code)

    def forward(self, feature: Tensor) -> Tensor:
        """Turn features (B, D) into cosines (B, C)."""
        with torch.autocast(feature.device.type, enabled=False):
            feature = feature.to(self.weight.dtype)
            return F.linear(F.normalize(feature, dim=1), F.normalize(self.weight, dim=1))


class Chosen(NamedTuple):
    """What TVTR sees in a batch.

    Attributes:
        cls: Class token after the last layer and the norm, (B, D).
        visual: Mean of the chosen patches, likewise, (B, D).
        patches: Which they were, (B, heads, k); None without a selection.
    """

    cls: Tensor
    visual: Tensor
    patches: Tensor | None


class TVTR(nn.Module):
    """A ViT whose last layer sees chosen patches; one feature, one neck, one classifier.

    Args:
        backbone: A plain ViT of two blocks at least. The paper's has patches that overlap.
        num_classes: C, training identities.
        switches: How many patches are chosen, and what the paper leaves open.

    Raises:
        ValueError: If there is nobody to learn, one block alone, fewer patches than k, or attention
            with positions that rotate.
    """

    def __init__(self, backbone: TokenBackbone, num_classes: int, switches: TopK = TopK()) -> None:
        super().__init__()
        _check(backbone, num_classes, switches)
        self.backbone, self.num_classes, self.switches = backbone, num_classes, switches
        self.cosines = switches.classifier == "cosine"
        self.embed_dim = backbone.embed_dim * (2 if switches.feature == "joined" else 1)
        neck: Any = BNNeck(self.embed_dim, num_classes)
        if self.cosines:
            neck.classifier = CosineClassifier(self.embed_dim, num_classes)
        if not switches.neck:
            neck.norm = nn.Identity()
        self.neck = neck

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Logits (B, C) and the feature (B, D or 2 D) before the neck."""
        feature = self.embed(images, camids)
        return Outputs(logits=(self.neck(feature),), features=(feature,))

    def embed(
        self, images: Tensor, camids: Tensor | None = None, *, retrieval: Retrieval = "feature"
    ) -> Tensor:
        """Retrieval feature, not normalised, (B, D or 2 D).

        Args:
            images: Normalised images, (B, 3, H, W).
            camids: As in `TokenBackbone`.
            retrieval: "feature", what is trained, before the neck (as MIP; the text does not say),
                "neck", after its batch norm (as AGW and PMT), or a part alone, "class" or "visual".

        Raises:
            ValueError: If it is another word.
        """
        chosen = self.choose(images, camids)
        parts = {"class": chosen.cls, "visual": chosen.visual}
        if retrieval in parts:
            return parts[retrieval]
        if retrieval not in ("feature", "neck"):
            raise ValueError(
                f"retrieval is {retrieval!r}; expected 'feature', 'neck', 'class' or 'visual'."
            )
        if self.switches.feature == "joined":
            feature = torch.cat((chosen.cls, chosen.visual), dim=1)
        else:
            feature = parts[self.switches.feature]
        return feature if retrieval == "feature" else self.neck.norm(feature)

    def choose(self, images: Tensor, camids: Tensor | None = None) -> Chosen:
        """Class token, mean visual token and the chosen patches of images (B, 3, H, W)."""
        network = self.backbone
        if not self.switches.selection:
            tokens = network(images, camids)
            return Chosen(tokens.cls, tokens.patches.mean(1), None)
        prefix, before = network.num_prefix_tokens, network.depth - 1
        layers = [block.attn for block in network.blocks[:before]]
        with _watched(layers) as found:
            x, _ = network.residual(images, camids, depth=before)  # (B, P + N, D)
        patches = _largest(self._scores(layers, found)[..., prefix:], self.switches.k)
        places = patches.flatten(1).sort(1).values  # (B, heads * k)
        gathered = x.gather(1, (prefix + places)[..., None].expand(-1, -1, x.shape[2]))
        x = torch.cat((x[:, :prefix], gathered), dim=1)  # (B, P + heads * k, D)
        if self.switches.duplicates == "kept":
            x = network.norm(network.run(network.blocks[-1], x))
            return Chosen(x[:, 0], x[:, prefix:].mean(1), patches)
        first = F.pad(places[:, 1:] != places[:, :-1], (1, 0), value=True)  # no repetition
        seen = F.pad(first, (prefix, 0), value=True)[:, None, None]  # by all tokens of all heads
        hidden = torch.zeros_like(seen, dtype=x.dtype).masked_fill(~seen, -torch.inf)
        x = network.norm(network.run(network.blocks[-1], x, attn_mask=hidden))
        weights = first.to(x.dtype) / first.sum(1, keepdim=True)  # (B, heads * k)
        return Chosen(x[:, 0], (weights[..., None] * x[:, prefix:]).sum(1), patches)

    @torch.no_grad()
    def _scores(self, layers: Sequence[Attention], found: Sequence[Tensor]) -> Tensor:
        """Of all tokens by each head, (B, heads, P + N), so many images at a time."""
        batch, tokens, _ = found[0].shape
        kind = found[0].device.type
        size = max(1, AT_ONCE.get(kind, AT_ONCE["cuda"]) // (layers[0].num_heads * tokens**2))
        with torch.autocast(kind, enabled=False):
            if torch.compiler.is_exporting():  # a graph has no loop over images
                return _class_row(_attentions(layers, found))
            rows = [
                _class_row(_attentions(layers, [each[n : n + size] for each in found]))
                for n in range(0, batch, size)
            ]
        return torch.cat(rows)


def _largest(scores: Tensor, k: int) -> Tensor:
    """Places of the k largest of (..., N) scores; a stable sort settles ties."""
    if not 1 <= k <= scores.shape[-1]:
        raise ValueError(
            f"k is {k} and there are {scores.shape[-1]} patches; expected 1 to {scores.shape[-1]}."
        )
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :k]


def _class_row(factors: Iterable[Tensor]) -> Tensor:
    """The row of the class token in the product of attentions, (B, heads, T), in float32 at least.

    Args:
        factors: That row in the last layer, (B, heads, 1, T), then the attention of each layer
            below, (B, heads, T, T), one at a time.
    """
    return reduce(torch.matmul, map(precise, factors))[:, :, 0]


def _attentions(layers: Sequence[Attention], found: Sequence[Tensor]) -> Iterator[Tensor]:
    """What `_class_row` takes, from what the `qkv` of each layer gave, (B, T, 3 D)."""
    queries: int | None = 1  # of the last layer the class token's alone
    for layer, qkv in zip(reversed(layers), reversed(found), strict=True):
        heads = qkv.unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)  # as timm's
        q, k = layer.q_norm(heads[0, :, :, :queries]), layer.k_norm(heads[1])
        yield (precise(q) * layer.scale @ precise(k).mT).softmax(-1)
        queries = None


@contextmanager
def _watched(layers: Sequence[Attention]) -> Iterator[list[Tensor]]:
    """Inside, collect what the `qkv` of each layer gives, without gradient."""
    found: list[Tensor] = []

    def collect(_qkv: nn.Module, _inputs: object, out: Tensor) -> None:
        found.append(out.detach())

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.qkv.register_forward_hook(collect))
        yield found


def _check(backbone: TokenBackbone, num_classes: int, switches: TopK) -> None:
    check_classes(num_classes)
    if not switches.selection:
        return
    if backbone.depth < 2:
        raise ValueError(
            "the backbone has one block; TVTR chooses by those before the last one. Take a depth "
            "of 2 or more, or selection=False."
        )
    if not all(isinstance(block.attn, Attention) for block in backbone.blocks):
        raise ValueError(
            f"{backbone.name!r} turns its queries and keys by their positions, which the selection "
            "does not know. Take a plain ViT, such as 'vit_base_patch16_224', or selection=False."
        )
    rows, columns = backbone.grid
    if switches.k > rows * columns:
        raise ValueError(
            f"k is {switches.k} and the grid of {rows}x{columns} has {rows * columns} patches. "
            "Choose fewer (switches.k), or take larger images or a smaller stride."
        )


register(Model(name="tvtr", build=TVTR, presets={"paper": TopK()}))
