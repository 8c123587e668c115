"""The four naive ways that TransMatcher is compared with: a ViT, a Transformer, Cat and Cross.

Liao, Shao, "TransMatcher", NeurIPS 2021 (arXiv 2105.14432), Table 2. **Their details were never
published**; what is known is the drawing and the sizes (d, D, N), and why they fail: `vit_matcher`
and `transformer` never look from one image to the other. Everything else here is our choice, the
same for all four and as in TransMatcher where that is possible: neck, no position embedding unless
asked for, one head, norms after, batches, loss, and one batch norm of the score.

    vit_matcher        class token and N encoder layers of each image; <token, token>
    transformer        N encoder layers, then N decoder layers whose query is one learned vector;
                       <output, output>
    transmatcher_cat   class token and the places of both images, N encoder layers on each pair;
                       FC(token)
    transmatcher_cross N encoder layers on the gallery image; N decoder layers, without a mask, on
                       the places of the query; FC(mean of the outputs)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reidlab.models.matcher import Matcher
from reidlab.models.registry import Model, register
from reidlab.models.resnet import ConvBackbone
from reidlab.models.transmatcher import Attending, encoder, position_vectors
from reidlab.models.vit import TokenBackbone

LARGE, SMALL = Attending(dim=512, hidden=2048, layers=3), Attending()


class _Naive(Matcher):
    """Neck, positions, and the norm of the score; the switches are sizes."""

    def __init__(
        self,
        backbone: TokenBackbone | ConvBackbone,
        num_classes: int,
        switches: Attending = SMALL,
    ) -> None:
        super().__init__(backbone, num_classes, switches.dim, switches.frozen)
        self.switches = switches
        self.positions = position_vectors(self.places, switches)
        self.norm = nn.BatchNorm1d(1)
        self.make_parts()

    def make_parts(self) -> None:
        """What a way has beyond neck and norm."""
        raise NotImplementedError

    def tokens(self, images: Tensor, camids: Tensor | None) -> Tensor:
        """Places of the neck's map, (B, S, d)."""
        x = self.neck_map(images, camids).flatten(2).mT
        return x if self.positions is None else x + self.positions

    def layers(self) -> nn.TransformerEncoder:
        """An encoder of this size."""
        s = self.switches
        return encoder(s.dim, s.heads, s.hidden, s.layers)

    def decoder_layers(self) -> nn.TransformerDecoder:
        """A decoder of this size, torch's, without dropout."""
        s = self.switches
        layer = nn.TransformerDecoderLayer(s.dim, s.heads, s.hidden, dropout=0.0, batch_first=True)
        return nn.TransformerDecoder(layer, s.layers)

    def learned(self) -> nn.Parameter:
        """One learned token, (1, 1, d)."""
        return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, self.switches.dim), std=0.02))

    def raw(self, queries: Tensor, images: Tensor) -> Tensor:
        """Scores before the norm, (q, k), of prepared maps (q, ...) and (k, ...)."""
        raise NotImplementedError

    def score(self, q_emb: Tensor, g_emb: Tensor) -> Tensor:
        """As in `Matcher`."""
        scores = self.raw(self.prepare(q_emb), self.prepare(g_emb))
        return self.norm(scores.reshape(-1, 1)).view_as(scores)

    def prepare(self, emb: Tensor) -> Tensor:
        """(n, S, D): nothing is left to do per image."""
        return emb.flatten(1, 2)

    def pair_bytes(self) -> int:
        """Of attention and hidden layer over both images' places."""
        both = 2 * self.places + 1
        return 4 * both * (self.switches.heads * both + self.switches.hidden)

    def scorer(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        """As in `Matcher`."""

        def score(queries: Tensor, images: Tensor, step: int) -> Tensor:
            raw = torch.cat([self.raw(part, images) for part in queries.split(step)])
            return self.norm(raw.to(self.norm.weight.dtype).reshape(-1, 1)).view_as(raw)

        return score


class _Vectors(_Naive):
    """Each image is one vector, kept as a map of one place; a pair's score is their product."""

    scored = ("norm",)

    def make_parts(self) -> None:
        """Token and encoder."""
        self.grid, self.places = (1, 1), 1
        self.token, self.encoder = self.learned(), self.layers()

    def raw(self, queries: Tensor, images: Tensor) -> Tensor:
        """Inner products."""
        return queries.flatten(1) @ images.flatten(1).T


class ViTMatcher(_Vectors):
    """A class token and N encoder layers; the image is what becomes of the token."""

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, 1, 1, d)."""
        x = self.tokens(images, camids)
        x = self.encoder(torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1))
        return x[:, :1, None]


class Transformer(_Vectors):
    """N encoder and N decoder layers; the image is the output for one learned query."""

    def make_parts(self) -> None:
        """Token, encoder and decoder."""
        super().make_parts()
        self.decoder = self.decoder_layers()

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """(B, 1, 1, d)."""
        memory = self.encoder(self.tokens(images, camids))
        return self.decoder(self.token.expand(memory.shape[0], -1, -1), memory)[:, :, None]


class _Pairs(_Naive):
    """Each pair goes through attention; a linear map of one vector is its score."""

    fc: nn.Linear

    def vectors(self, queries: Tensor, images: Tensor) -> Tensor:
        """(n, d) of n pairs, queries and images side by side."""
        raise NotImplementedError

    def raw(self, queries: Tensor, images: Tensor) -> Tensor:
        """FC of the vector of each pair."""
        q, k = len(queries), len(images)
        pairs = queries.repeat_interleave(k, 0), images.repeat(q, 1, 1)
        return self.fc(self.vectors(*pairs)).view(q, k)


class TransMatcherCat(_Pairs):
    """A class token and the places of both images through N encoder layers."""

    scored = ("encoder", "fc", "norm", "token")

    def make_parts(self) -> None:
        """Token, encoder and the linear map."""
        self.token, self.encoder = self.learned(), self.layers()
        self.fc = nn.Linear(self.switches.dim, 1)

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Neck map, (B, h, w, d)."""
        return self.tokens(images, camids).unflatten(1, self.grid)

    def vectors(self, queries: Tensor, images: Tensor) -> Tensor:
        """The class token of each pair."""
        token = self.token.expand(len(queries), -1, -1)
        return self.encoder(torch.cat((token, queries, images), dim=1))[:, 0]


class TransMatcherCross(_Pairs):
    """Places of the query attend to the encoded places of the gallery image."""

    scored = ("decoder", "fc", "norm")

    def make_parts(self) -> None:
        """Encoder, decoder and the linear map."""
        self.encoder, self.decoder = self.layers(), self.decoder_layers()
        self.fc, self.channels = nn.Linear(self.switches.dim, 1), 2 * self.switches.dim

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Neck map, what a query shows, and its encoding, what others do, (B, h, w, 2 d)."""
        x = self.tokens(images, camids)
        return torch.cat((x, self.encoder(x)), dim=2).unflatten(1, self.grid)

    def vectors(self, queries: Tensor, images: Tensor) -> Tensor:
        """The mean output over the places of the query."""
        own, _ = queries.chunk(2, 2)
        _, memory = images.chunk(2, 2)
        return self.decoder(own, memory).mean(1)


for name, build, size in (
    ("vit_matcher", ViTMatcher, LARGE),
    ("transformer", Transformer, LARGE),
    ("transmatcher_cat", TransMatcherCat, SMALL),
    ("transmatcher_cross", TransMatcherCross, SMALL),
):
    register(
        Model(name=name, build=build, reads=(ConvBackbone, TokenBackbone), presets={"paper": size})
    )
