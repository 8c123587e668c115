"""GLTrans: class and patch tokens of the last three layers, fused globally (GAE) and locally (LMF).

Wang, Zhang, Wang, Lu, "Other Tokens Matter: Exploring Global and Local Features of Vision
Transformers for Object Re-Identification", CVIU 244 (2024) 104030 (arXiv 2404.14985). Of an image
on an h x w grid, layers 10, 11, 12 give class tokens c, each through a norm of its own, and patches
p, before any.

    GAE   g   = W [c10, c11, c12]                         one global vector
    PTF   F   = conv3(BN(GELU(conv1([p (1 + gate(p)) of each layer]))))
    GMA   F'  = F (1 + sigmoid(k(F) . q(g)))              by heads, neither scaled nor projected
    PTL   f_r = [part token, c10, c11, c12, patches of band r] through two blocks of the band's own

LMF is PTF, GMA and PTL. Five classifiers read c10, c11, c12, g and f = [f_1, f_2, f_3]; retrieval
is by [f, g, c12]. Equal to the authors' network, whose weights that nothing reads are left out: the
ViT's final norm (here the norm of the last layer's token bears that name), its classifier of
ImageNet, and two norms. Which part of their program the paper calls PTF, GMA or PTL is our reading.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from reidlab.models.backbones import check_classes, check_rows
from reidlab.models.outputs import Outputs
from reidlab.models.registry import Authors, Model, register, renaming
from reidlab.models.vit import TokenBackbone, choose_attention
from reidlab.models.vit_baseline import BNNeck
from reidlab.settings import Checked, Range, Words

Retrieval = Literal["all", "local", "global", "class"]
Count = Annotated[int, Range(1, 1024), Words("a number of 1 or more")]
BLOCKS = 2  # (code) of a band
REDUCTION = 4  # (code) of the channels within a gate


@dataclass(frozen=True)
class GlobalLocal(Checked):
    """Switches of GLTrans; all parts off and layers=1 is a ViT with one classifier.

    Attributes:
        layers: n, how many of the last layers are read, each with a classifier of its class token.
        bands: S, into how many bands of rows the grid is cut; they differ by a row at most.
        gae: Global vector g of all class tokens; without it the last one guides the patches.
        lmf: The local branch; without it the next three say nothing.
        ptf: Fuse the patches of all layers; without it those of the last layer are taken.
        gma: Let g weigh the patches.
        ptl: Blocks of the bands; without them f_r is the mean of the patches of band r, normed.
        triplet: What the triplet loss of the classifier of c10 (c11, c12) compares: its "own"
            token, or, as the code does, surely by mistake, the "last" one each time.
    """

    layers: Count = 3
    bands: Count = 3
    gae: bool = True
    lmf: bool = True
    ptf: bool = True
    gma: bool = True
    ptl: bool = True
    triplet: Literal["own", "last"] = "own"


PRESETS = {"paper": GlobalLocal(), "code": GlobalLocal(triplet="last")}


class Gate(nn.Module):
    """Weigh every channel of every patch of one layer: P (1 + gate(P)). The first half of PTF.

    Args:
        dim: D, channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        few = max(1, dim // REDUCTION)
        self.conv1 = nn.Conv2d(dim, few, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(few)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(few, dim, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)

    def forward(self, patches: Tensor) -> Tensor:
        """Maps (B, D, h, w) to maps of the same shape."""
        gate = self.bn2(self.conv2(self.act(self.bn1(self.conv1(patches)))))
        return patches * (1 + gate.sigmoid())


class GuidedAttention(nn.Module):
    """GMA: the global vector says how much each patch counts, head by head.

    Args:
        dim: D, channels.
        heads: H; each has D / H channels.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)

    def forward(self, patches: Tensor, guide: Tensor) -> Tensor:
        """Weigh patches (B, N, D) by a guide (B, D): L (1 + s), of the same shape."""
        return (self._by_head(patches) * (1 + self.scores(patches, guide))).flatten(2)

    def scores(self, patches: Tensor, guide: Tensor) -> Tensor:
        """The weights s, from 0 to 1, of each patch and head, (B, N, H, 1)."""
        query = self._by_head(self.query(guide)[:, None])  # (B, 1, H, D / H)
        key = self._by_head(self.key(patches))  # (B, N, H, D / H)
        return (query * key).sum(-1, keepdim=True).sigmoid()  # (code) not divided by a root

    def _by_head(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1))


class Band(nn.Module):
    """PTL of one band: what a token of its own learns of the band and of the class tokens.

    Args:
        dim: D, channels.
        heads: Of the attention.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, dim))  # (code) starts from zero
        norm: Any = partial(nn.LayerNorm, eps=1e-5)  # (code) torch's own; the ViT has 1e-6
        self.blocks = nn.Sequential(
            *(Block(dim, heads, qkv_bias=True, norm_layer=norm) for _ in range(BLOCKS))
        )
        choose_attention(self.blocks)

    def forward(self, classes: Tensor, patches: Tensor) -> Tensor:
        """The band's vector (B, D) of class tokens (B, n, D) and the band's patches (B, N', D)."""
        token = self.token.expand(patches.shape[0], -1, -1)
        return self.blocks(torch.cat((token, classes, patches), dim=1))[:, 0]  # of 1 + n + N'


class LocalFusion(nn.Module):
    """LMF: patches of several layers, fused (PTF), weighed (GMA) and read band by band (PTL).

    Args:
        dim: D, channels.
        heads: Of the attention.
        grid: Rows h and columns w of patches.
        switches: Which parts there are, and how many bands.
    """

    def __init__(self, dim: int, heads: int, grid: tuple[int, int], switches: GlobalLocal) -> None:
        super().__init__()
        n, self.grid, self.count = switches.layers, grid, switches.bands
        self.gates = self.fuse = self.gma = self.bands = None
        if switches.ptf:
            self.gates = nn.ModuleList(Gate(dim) for _ in range(n))
            self.fuse = nn.Sequential(
                nn.Conv2d(n * dim, dim, 1),
                nn.GELU(),  # (code) before the batch norm, in the gates after it
                nn.BatchNorm2d(dim),
                nn.Conv2d(dim, dim, 3, padding=1),
            )
        if switches.gma:
            self.gma = GuidedAttention(dim, heads)
        if switches.ptl:
            self.bands = nn.ModuleList(Band(dim, heads) for _ in range(self.count))
        self.norm = nn.LayerNorm(dim, eps=1e-5)  # of all bands

    def forward(self, layers: Sequence[Tensor], classes: Tensor, guide: Tensor) -> Tensor:
        """The local vector [f_1, ..., f_S].

        Args:
            layers: Patches of n layers before any norm, each (B, h * w, D).
            classes: Normed class tokens of these layers, (B, n, D).
            guide: g, (B, D).

        Returns:
            (B, S * D), bands from the top to the bottom.
        """
        patches = self.fused(layers)  # (B, h * w, D)
        if self.gma is not None:
            patches = self.gma(patches, guide)
        bands = patches.unflatten(1, self.grid).tensor_split(self.count, dim=1)  # (B, h', w, D)
        runs = [band.flatten(1, 2) for band in bands]  # 7 of 21 rows: (B, 70, D)
        if self.bands is None:
            local = [run.mean(1) for run in runs]
        else:
            local = [own(classes, run) for own, run in zip(self.bands, runs, strict=True)]
        return self.norm(torch.stack(local, 1)).flatten(1)

    def fused(self, layers: Sequence[Tensor]) -> Tensor:
        """PTF: patches of n layers as one, (B, h * w, D)."""
        if self.gates is None or self.fuse is None:
            return layers[-1]
        maps = [patches.mT.unflatten(2, self.grid) for patches in layers]  # (B, D, h, w)
        gated = [gate(each) for gate, each in zip(self.gates, maps, strict=True)]
        return self.fuse(torch.cat(gated, dim=1)).flatten(2).mT


class Parts(NamedTuple):
    """What GLTrans sees in a batch.

    Attributes:
        classes: Normed class tokens of the last n layers, (B, n, D).
        fused: g, (B, D); None without GAE.
        local: f, (B, S * D); None without LMF.
    """

    classes: Tensor
    fused: Tensor | None
    local: Tensor | None


class GLTrans(nn.Module):
    """Global and local vectors of the last layers, each with a BNNeck and a classifier.

    Args:
        backbone: The transformer. The paper's has patches that overlap (stride 12) and an embedding
            of the camera; any grid of at least as many rows as there are bands will do.
        num_classes: C, training identities.
        switches: Parts that are switched off, numbers of layers and bands, form of the triplet.

    Raises:
        ValueError: If there is nobody to learn, or fewer blocks than layers, or rows than bands.
    """

    def __init__(
        self, backbone: TokenBackbone, num_classes: int, switches: GlobalLocal = PRESETS["paper"]
    ) -> None:
        super().__init__()
        _check(backbone, num_classes, switches)
        dim, heads = backbone.embed_dim, backbone.blocks[0].attn.num_heads
        n, depth = switches.layers, backbone.depth
        self.backbone, self.num_classes, self.switches = backbone, num_classes, switches
        self.taps = tuple(range(depth - n + 1, depth + 1))  # 10, 11, 12
        # (code) copies of the pre-trained norm, which is that of the last layer
        self.norms = nn.ModuleList(copy.deepcopy(backbone.norm) for _ in range(n - 1))
        self.gae = nn.Linear(n * dim, dim) if switches.gae else None
        self.lmf = LocalFusion(dim, heads, backbone.grid, switches) if switches.lmf else None
        for part in (self.gae, self.lmf):
            if part is not None:
                part.apply(_initialise)

        local = switches.bands * dim if switches.lmf else 0
        widths = [dim] * (n + switches.gae) + ([local] if local else [])
        necks = [BNNeck(width, num_classes) for width in widths]
        for neck in necks:
            neck.norm.bias.requires_grad_(True)  # (code) TransReID freezes it
        self.necks = nn.ModuleList(necks)
        self.embed_dim = local + dim * (1 + switches.gae)

    def forward(self, images: Tensor, camids: Tensor | None = None) -> Outputs:
        """Logits (B, C) of c10, c11, c12, g and f, and what the triplet loss compares of each."""
        classes, fused, local = self.parts(images, camids)
        tokens = list(classes.unbind(1))  # n x (B, D)
        others = [each for each in (fused, local) if each is not None]
        read = [*tokens, *others]
        compared = tokens if self.switches.triplet == "own" else [tokens[-1]] * len(tokens)
        logits = tuple(neck(each) for neck, each in zip(self.necks, read, strict=True))
        return Outputs(logits=logits, features=(*compared, *others))

    def embed(
        self, images: Tensor, camids: Tensor | None = None, *, retrieval: Retrieval = "all"
    ) -> Tensor:
        """Retrieval feature [f, g, c12], before the necks and not normalised, (B, S * D + 2 D).

        Args:
            images: Normalised images, (B, 3, H, W).
            camids: As in `TokenBackbone`.
            retrieval: "all", or one alone: "local", f; "global", g; "class", c12.

        Raises:
            ValueError: If it asks for a part that is switched off.
        """
        classes, fused, local = self.parts(images, camids)
        found = {"local": local, "global": fused, "class": classes[:, -1]}
        there = {name: each for name, each in found.items() if each is not None}
        if retrieval == "all":
            return torch.cat(list(there.values()), dim=1)
        if retrieval not in there:
            raise ValueError(
                f"retrieval is {retrieval!r}; this GLTrans has 'all', {', '.join(map(repr, there))}"
                ". Build it with the part that is missing (switches gae and lmf)."
            )
        return there[retrieval]

    def parts(self, images: Tensor, camids: Tensor | None = None) -> Parts:
        """Class tokens, global and local vector of images (B, 3, H, W)."""
        tokens = self.backbone(images, camids, layers=self.taps)
        layers = [tokens.layers[layer] for layer in self.taps]  # n x (B, P + h * w, D)
        before = [norm(x[:, 0]) for norm, x in zip(self.norms, layers[:-1], strict=True)]
        classes = torch.stack((*before, tokens.cls), dim=1)  # (B, n, D)
        fused = None if self.gae is None else self.gae(classes.flatten(1))  # (B, D)
        if self.lmf is None:
            return Parts(classes, fused, None)
        patches = [x[:, self.backbone.num_prefix_tokens :] for x in layers]
        guide = classes[:, -1] if fused is None else fused
        return Parts(classes, fused, self.lmf(patches, classes, guide))


def _check(backbone: TokenBackbone, num_classes: int, switches: GlobalLocal) -> None:
    check_classes(num_classes)
    if switches.layers > backbone.depth:
        raise ValueError(
            f"layers is {switches.layers} and the backbone has {backbone.depth} blocks. Pass a "
            "smaller number of layers, or a larger depth."
        )
    if switches.lmf:
        check_rows("bands", switches.bands, backbone.grid)


def _initialise(module: nn.Module) -> None:
    """(code) Kaiming's normal numbers, by what goes out of linear and into convolution layers."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        mode: Any = "fan_out" if isinstance(module, nn.Linear) else "fan_in"
        nn.init.kaiming_normal_(module.weight, mode=mode)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# their names -> ours; None where their network never uses the weight
_NAMES = {
    r"base\.base\.(norm|fc)\.\w+": None,
    r"(norm|local_bn)\.\w+": None,
    r"base\.base\.(.+)": r"backbone.\1",
    r"base\.PAM\.([012])\.(.+)": r"lmf.gates.\1.\2",
    r"base\.norm\.2\.(\w+)": r"backbone.norm.\1",
    r"base\.norm\.([01])\.(\w+)": r"norms.\1.\2",
    r"minimodule\.global_interaction\.0\.(\w+)": r"gae.\1",
    r"minimodule\.downchannel\.(.+)": r"lmf.fuse.\1",
    r"minimodule\.G2L\.GLinear\.(\w+)": r"lmf.gma.query.\1",
    r"minimodule\.G2L\.LLinear\.(\w+)": r"lmf.gma.key.\1",
    r"minimodule\.u_cls": "lmf.bands.0.token",
    r"minimodule\.m_cls": "lmf.bands.1.token",
    r"minimodule\.l_cls": "lmf.bands.2.token",
    r"minimodule\.local_interaction([01])\.([012])\.(.+)": r"lmf.bands.\2.blocks.\1.\3",
    r"minimodule\.local_interaction_norm\.(\w+)": r"lmf.norm.\1",
    r"bn_token\.([012])\.(\w+)": r"necks.\1.norm.\2",
    r"classifier_clsToken\.([012])\.weight": r"necks.\1.classifier.weight",
    r"bn1\.(\w+)": r"necks.3.norm.\1",
    r"classifier1\.weight": "necks.3.classifier.weight",
    r"bn_local\.(\w+)": r"necks.4.norm.\1",
    r"classifier_local\.weight": "necks.4.classifier.weight",
}

AUTHORS = Authors(rename=renaming(_NAMES), entries=324)

register(Model(name="gltrans", build=GLTrans, presets=PRESETS, authors=AUTHORS))
