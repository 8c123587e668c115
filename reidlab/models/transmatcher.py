"""TransMatcher: an encoder of each image, and a decoder that only compares.

Liao, Shao, "TransMatcher: Deep Image Matching Through Transformers for Generalizable Person
Re-identification", NeurIPS 2021 (arXiv 2105.14432). Of a map of S = h * w positions with d channels
N - 1 encoder layers make N maps, the neck's own first. Of two images, decoder n compares maps n:

    G[s, t] = <FC1 k_s, FC1 q_t> sigmoid(E[s, t])    s, t: places of gallery image and query
    a_t = max_s G[s, t],  b_s = max_t G[s, t]        global max pooling, both ways
    score_n = BN(head(a) + head(b))                  head: BN, FC(S -> D), BN, ReLU, FC(D -> 1)
    score = BN(score_1 + ... + score_N)

There is no value, no softmax and no root of d. Equal to the authors' network (MIT licence), whose
decoder template, fourth stage and classifier of ImageNet nothing reads; they are left out. The
figure of the paper differs from their program (N encoders, one pooling); the program stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.models.matcher import GROUP, Matcher, affine, compared, largest, precision
from reidlab.models.registry import Authors, Model, register, renaming
from reidlab.models.resnet import ConvBackbone
from reidlab.models.vit import TokenBackbone, resize_pos_embed
from reidlab.settings import Checked, Range, Words

Count = Annotated[int, Range(1, 65536), Words("a number of 1 or more")]
POSITION_STD = 0.02  # (ours) of the position embedding, as timm's


@dataclass(frozen=True)
class Attending(Checked):
    """Sizes of a network that attends within and between maps: those of the paper's small rows.

    Attributes:
        dim: d, channels of a map.
        hidden: D, hidden width.
        layers: N.
        heads: Of every attention.
        positions: Whether a learned vector of each place is added to the neck's map.
        frozen: As in `Matcher`.
    """

    dim: Count = 128
    hidden: Count = 512
    layers: Count = 2
    heads: Count = 1
    positions: bool = False
    frozen: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % self.heads:
            raise ValueError(
                f"switches: heads is {self.heads}; expected a divisor of dim ({self.dim})."
            )


@dataclass(frozen=True)
class Matching(Attending):
    """Switches of TransMatcher: N decoders, and an encoder of one layer less.

    With H heads (ours) each head of a decoder compares d / H channels, has a prior of its own and
    is pooled alone; all go through one head network and are added. The authors' program has 1 only.

    Attributes:
        gate: What weighs a product: the "prior" score embedding sigmoid(E); "none"; or (ours)
            "softmax", the attention of a place over the other image's, softmax(product / root of
            d / H) along the direction that is pooled then.
        pooling: "max", or the "mean" of the products.
    """

    dim: Count = 512
    hidden: Count = 2048
    layers: Count = 3
    gate: Literal["prior", "softmax", "none"] = "prior"
    pooling: Literal["max", "mean"] = "max"


PRESETS = {"code": Matching()}


class Folded(NamedTuple):
    """A decoder layer in evaluation, its norms folded into its linear maps.

    Attributes:
        gate: sigmoid(E), (H, 1, S, 1, S); None without a prior.
        scale: Of pooled values, that and `offset` are the first norm.
        offset: Likewise.
        inner: (D, S), second linear map and norm.
        bias: (D,), of it.
        outer: (D,), third linear map, third norm and the scale of the last.
        shift: What every pair gets.
    """

    gate: Tensor | None
    scale: Tensor
    offset: Tensor
    inner: Tensor
    bias: Tensor
    outer: Tensor
    shift: Tensor


class DecoderLayer(nn.Module):
    """The simplified decoder: compare all places of two maps, keep the best of each, sum up.

    Args:
        places: S, of a map.
        switches: Sizes, gate, pooling.
    """

    def __init__(self, places: int, switches: Matching) -> None:
        super().__init__()
        self.places, self.switches = places, switches
        prior = torch.empty(1, switches.heads, places, places)  # [gallery place, query place]
        self.score_embed = nn.Parameter(prior) if switches.gate == "prior" else None
        self.fc1 = nn.Linear(switches.dim, switches.dim)
        self.bn1 = nn.BatchNorm1d(1)
        self.fc2 = nn.Linear(places, switches.hidden)
        self.bn2 = nn.BatchNorm1d(switches.hidden)
        self.fc3 = nn.Linear(switches.hidden, 1)
        self.bn3 = nn.BatchNorm1d(1)

    def forward(self, query: Tensor, gallery: Tensor) -> Tensor:
        """Scores (q, k) of maps (q, S, d) and (k, S, d)."""
        rows = self.pooled(self.fc1(query), self.fc1(gallery), self.gate())  # (q, k, 2 H, S)
        x = self.bn1(rows.reshape(-1, 1, self.places)).flatten(1)  # one mean for all numbers
        x = self.fc3(F.relu(self.bn2(self.fc2(x))))  # (q k 2 H, 1): one head for both directions
        x = x.view(len(query) * len(gallery), -1).sum(1, keepdim=True)
        return self.bn3(x).view(len(query), len(gallery))

    def gate(self) -> Tensor | None:
        """sigmoid(E), (H, 1, S, 1, S), or None."""
        if self.score_embed is None:
            return None
        return self.score_embed[0].sigmoid()[:, None, :, None, :]

    def pooled(self, query: Tensor, gallery: Tensor, gate: Tensor | None) -> Tensor:
        """The best product of each place.

        Args:
            query: (q, S, d) after FC1.
            gallery: (k, S, d) after FC1.
            gate: From `gate`.

        Returns:
            (q, k, 2 H, S): of each place of the query, then of each place of the gallery image.
        """
        heads = self.switches.heads
        q, k = (
            x.unflatten(2, (heads, -1)).permute(2, 0, 1, 3).flatten(1, 2)  # (H, n S, d / H)
            for x in (query, gallery)
        )
        # of one head a plain product, on a CPU half as fast again as one of batches
        products = F.linear(k[0], q[0])[None] if heads == 1 else k @ q.mT
        shape = (heads, len(gallery), self.places, len(query), self.places)
        products = compared(products.view(shape))
        if gate is not None:
            products = products * gate if products.requires_grad else products.mul_(gate)
        root = math.sqrt(q.shape[2])
        of_query = self._pool(products, 2, root).permute(2, 1, 0, 3)  # (q, k, H, S)
        of_gallery = self._pool(products, 4, root).permute(3, 1, 0, 2)
        return torch.cat((of_query, of_gallery), dim=2)

    def _pool(self, products: Tensor, dim: int, root: float) -> Tensor:
        if self.switches.gate == "softmax":
            products = products * (products / root).softmax(dim)
        return products.mean(dim) if self.switches.pooling == "mean" else largest(products, dim)

    def folded(self, last: nn.BatchNorm1d) -> Folded:
        """The layer in evaluation, with its share of the last norm but for that one's own shift.

        Inside autocast its head is in that precision; gate, first norm and the sum keep theirs.
        """
        (s1, t1), (s2, t2), (s3, t3) = map(affine, (self.bn1, self.bn2, self.bn3))
        scale, _ = affine(last)
        rows, dtype = 2 * self.switches.heads, precision(self.fc1.weight)
        return Folded(
            gate=self.gate(),
            scale=s1,
            offset=t1,
            inner=(s2[:, None] * self.fc2.weight).to(dtype),
            bias=(s2 * self.fc2.bias + t2).to(dtype),
            outer=(scale * s3 * self.fc3.weight[0]).to(dtype),
            shift=scale * (s3 * rows * self.fc3.bias + t3),
        )

    def fast(self, query: Tensor, gallery: Tensor, folded: Folded, step: int) -> Tensor:
        """`forward` in evaluation, of maps after FC1, `step` queries at a time."""
        parts = [self.pooled(part, gallery, folded.gate) for part in query.split(step)]
        rows = torch.cat(parts).to(folded.scale.dtype) * folded.scale + folded.offset
        flat, inner = rows.to(folded.inner.dtype).flatten(0, 2), folded.inner.T
        values = torch.addmm(folded.bias, flat, inner).relu_() @ folded.outer  # (q k 2 H,)
        return values.view(len(query), len(gallery), -1).to(rows.dtype).sum(2) + folded.shift


class Decoder(nn.Module):
    """N decoder layers, each of its own map; the norm of the sum of their scores.

    Args:
        places: S.
        switches: As in `DecoderLayer`.
    """

    def __init__(self, places: int, switches: Matching) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(places, switches) for _ in range(switches.layers))
        self.norm = nn.BatchNorm1d(1)
        for layer in self.layers:
            _initialise(layer)
            for name in ("fc1", "fc2", "fc3"):  # (code) the layers are copies of one template
                first = getattr(self.layers[0], name).bias
                getattr(layer, name).bias.data.copy_(first.data)

    def forward(self, query: Tensor, gallery: Tensor) -> Tensor:
        """Scores (q, k) of maps (q, S, N d) and (k, S, N d)."""
        queries, images = (x.chunk(len(self.layers), 2) for x in (query, gallery))
        maps = zip(self.layers, queries, images, strict=True)
        total = torch.stack([layer(q, k) for layer, q, k in maps]).sum(0)
        return self.norm(total.view(-1, 1)).view_as(total)


def _initialise(layer: nn.Module) -> None:
    """(code) Xavier's uniform numbers for whatever is no vector, the prior too.

    Its 1 x 1 x S x S are taken for a kernel of S x S, so that it starts within root(3) / S of 0 and
    all gates near 1/2; the program had drawn a symmetric normal matrix before.
    """
    for parameter in layer.parameters():
        if parameter.ndim == 4:
            bound = math.sqrt(3) / parameter.shape[-1]
            nn.init.uniform_(parameter, -bound, bound)
        elif parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)


class TransMatcher(Matcher):
    """Neck, encoder and decoder.

    Args:
        backbone: The paper's is a ResNet-50-IBN-b up to its third stage on images of 384x128, of
            S = 24 * 8 places.
        num_classes: As in `Matcher`.
        switches: Sizes and ablations.
    """

    scored = ("decoder",)

    def __init__(
        self,
        backbone: TokenBackbone | ConvBackbone,
        num_classes: int,
        switches: Matching = PRESETS["code"],
    ) -> None:
        dim, layers = switches.dim, switches.layers
        super().__init__(backbone, num_classes, dim, switches.frozen)
        self.switches, self.channels = switches, layers * dim
        self.positions = position_vectors(self.places, switches)
        self.encoder = encoder(dim, switches.heads, switches.hidden, layers - 1)
        self.decoder = Decoder(self.places, switches)

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Neck map and the output of each encoder layer, side by side, (B, h, w, N * d).

        Args:
            images: Normalised images, (B, 3, H, W); the paper's are pixels from 0 to 1 as they are.
            camids: As in `TokenBackbone`.
        """
        return self.encode(self.neck_map(images, camids).flatten(2).mT).unflatten(1, self.grid)

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens of the neck's map (B, S, d) and what each encoder layer makes of them."""
        maps = [tokens]
        x = tokens if self.positions is None else tokens + self.positions
        for layer in self.encoder.layers:
            x = layer(x)
            maps.append(x)
        return torch.cat(maps, dim=2)

    def score(self, q_emb: Tensor, g_emb: Tensor) -> Tensor:
        """As in `Matcher`."""
        return self.decoder(q_emb.flatten(1, 2), g_emb.flatten(1, 2))

    def prepare(self, emb: Tensor) -> Tensor:
        """FC1 of each map, (N, n, S, d), in the precision of autocast."""
        layers: Any = self.decoder.layers
        chunks = emb.flatten(1, 2).chunk(len(layers), 2)
        return torch.stack([layer.fc1(x) for layer, x in zip(layers, chunks, strict=True)])

    def pair_bytes(self) -> int:
        """Of the products of all places of one layer, or of the hidden layer of a group."""
        products, hidden = self.places**2, 2 * GROUP * self.switches.hidden
        return 4 * self.switches.heads * max(products, hidden)

    def scorer(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        """As in `Matcher`: the gate once, the norms folded."""
        layers: Any = self.decoder.layers
        norm = self.decoder.norm
        ready = [layer.folded(norm) for layer in layers]
        _, last = affine(norm)

        def score(queries: Tensor, images: Tensor, step: int) -> Tensor:
            total = last
            for n, (layer, folded) in enumerate(zip(layers, ready, strict=True)):
                total = total + layer.fast(queries[n], images[n], folded, step)
            return total

        return score


def encoder(dim: int, heads: int, hidden: int, layers: int) -> nn.TransformerEncoder:
    """torch's encoder as the paper's code calls it: norms after, ReLU, no dropout, no last norm.

    All layers start with the same weights, as copies of one.
    """
    layer = nn.TransformerEncoderLayer(dim, heads, hidden, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def position_vectors(places: int, switches: Attending) -> nn.Parameter | None:
    """A learned vector of each place, (1, S, d), where the switches ask for it."""
    if not switches.positions:
        return None
    return nn.Parameter(
        nn.init.trunc_normal_(torch.empty(1, places, switches.dim), std=POSITION_STD)
    )


def resize_matcher(
    state: Mapping[str, Tensor], old_grid: tuple[int, int], new_grid: tuple[int, int]
) -> dict[str, Tensor]:
    """The weights of a TransMatcher or QAConv for maps of another size.

    What belongs to places is resized bilinearly: the prior in both of its places, the weights of
    pooled values, which are scaled so that their sum about stays, and position vectors, those of a
    ViT too. (ours) The authors have no such thing; expect to train on.

    Args:
        state: `model.state_dict()` of a model on the old grid.
        old_grid: Rows and columns of its maps.
        new_grid: Those wanted.

    Returns:
        A state dict for a model on the new grid.

    Raises:
        ValueError: If the weights are of another grid than `old_grid`.
    """
    places = math.prod(old_grid)
    for name, value in state.items():
        widths = (places, 2 * places) if name == "layer.fc.weight" else (places,)
        if _is_pooled(name) and value.shape[1] not in widths:
            raise ValueError(
                f"{name} has shape {tuple(value.shape)} and old_grid is {old_grid}; expected "
                f"weights of {places} places. Pass the grid of the model they were learned in."
            )

    def resized(x: Tensor) -> Tensor:  # (..., S) -> (..., S')
        maps = x.reshape(-1, 1, *old_grid).float()
        maps = F.interpolate(maps, size=new_grid, mode="bilinear", align_corners=False)
        return maps.reshape(*x.shape[:-1], -1).to(x.dtype)

    changed = dict(state)
    for name, value in state.items():
        if name.endswith("score_embed"):
            changed[name] = resized(resized(value).mT).mT
        elif _is_pooled(name):
            parts = [resized(part) for part in value.split(places, dim=1)]
            changed[name] = torch.cat(parts, 1) * (places / math.prod(new_grid))
        elif name == "positions":
            changed[name] = resized(value.mT).mT
        elif name == "backbone.pos_embed":
            prefix = value.shape[1] - places
            changed[name] = resize_pos_embed(value, old_grid, new_grid, prefix=prefix)
    return changed


def _is_pooled(name: str) -> bool:
    """Whether weights are of pooled values, a column for each place; QAConv 2.0 has them twice."""
    decoder = name.startswith("decoder.layers.") and name.endswith(".fc2.weight")
    return decoder or name == "layer.fc.weight"


def explain_grid(model: Any, found: Mapping[str, Tensor]) -> str | None:
    """Whether a checkpoint is of maps of another size."""
    own = model.state_dict()
    for name in ("decoder.layers.0.fc2.weight", "layer.fc.weight"):
        if name in found and name in own and found[name].shape[1:] != own[name].shape[1:]:
            rows, columns = model.grid
            if {found[name].shape[1], own[name].shape[1]} == {rows * columns, 2 * rows * columns}:
                return "is of QAConv's other version; build it with switches={'version': ...}."
            return (
                f"compares maps of {found[name].shape[1]} places and the model maps of "
                f"{rows}x{columns}; build it for the checkpoint's image size, load, and carry the "
                "weights over by resize_matcher(state, old_grid, new_grid)."
            )
    return None


# their names -> ours; None where their network never uses the weight
_NAMES = {
    r"base\.(layer4|fc)\..+": None,
    r"decoder_layer\..+": None,
    r"base\.(.+)": r"backbone.\1",
    r"neck_conv\.(\w+)": r"neck.\1",
    r"(encoder\.layers\.\d+\..+)": r"\1",
    r"(decoder\.(layers\.\d+|norm)\..+)": r"\1",
}


register(
    Model(
        name="transmatcher",
        build=TransMatcher,
        reads=(ConvBackbone, TokenBackbone),
        presets=PRESETS,
        authors=Authors(
            rename=renaming(_NAMES), entries=440, explain=explain_grid, apart="decoder."
        ),
    )
)
