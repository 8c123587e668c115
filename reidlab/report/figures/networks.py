"""Drawn networks: what goes where, from the picture on the left to the losses on the right.

A drawing is made of boxes with words, grids of tokens and arrows, placed in inches on a sheet as
wide as the text. Few and large words: a telephone shows the sheet at half its size. What belongs to
one row of patches has one colour throughout. The boxes hold the numbers of the page's toy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray

from reidlab.report import style
from reidlab.report.style import BookFigure

Point = tuple[float, float]  # inches from the upper left corner: right, down
ROW_COLOURS = (style.QUERY, style.MATCH, style.WRONG, style.ACCENT)
LOCAL_WEIGHT = 8 / 9  # a in L = a R + (1 - a) G, as in the published programs
_LETTERS = 11  # points
_DARK = "#111111"  # letters in boxes, which are pale on both pages


class Box(NamedTuple):
    """A place on the sheet, in inches from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        """The middle of the left edge."""
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        """The middle of the right edge."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        """The middle of the upper edge."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        """The middle of the lower edge."""
        return self.x + self.width / 2, self.y + self.height


class Drawing:
    """A sheet as wide as the text, to draw boxes, words and arrows on.

    Args:
        height: of the sheet, in inches.
    """

    def __init__(self, height: float) -> None:
        self.figure = style.figure(aspect=style.TEXT_WIDTH / height)
        self.figure.set_layout_engine("none")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, style.TEXT_WIDTH), ylim=(height, 0))
        self.axes.set_axis_off()

    def box(
        self, place: Box, text: str = "", *, colour: str = style.INK, upright: bool = False
    ) -> Box:
        """Draw a box with words in it, from below to above where it is narrow and high."""
        pale = tuple(0.78 + 0.22 * part for part in to_rgb(colour))
        self.axes.add_patch(
            FancyBboxPatch(
                (place.x, place.y), place.width, place.height, linewidth=1.8, edgecolor=colour,
                boxstyle="round,pad=0,rounding_size=0.05", facecolor=pale,
            )
        )  # fmt: skip
        middle = place.x + place.width / 2, place.y + place.height / 2
        self.words(middle, text, colour=_DARK, rotation=90 if upright else 0)
        return place

    def words(
        self, place: Point, text: str, *, colour: str = style.INK, rotation: float = 0
    ) -> None:
        """Write words around a point; on the page itself they are in its ink."""
        self.axes.text(
            *place, text, ha="center", va="center", fontsize=_LETTERS, color=colour,
            rotation=rotation,
        )  # fmt: skip

    def tokens(self, place: Box, texts: Sequence[Sequence[str]], colours: Sequence[str]) -> Box:
        """Draw a grid of tokens, a word in each, a colour for each row."""
        across = place.width / len(texts[0])
        for j in range(len(texts[0])):
            column = Box(place.x + j * across, place.y, across - 0.05, place.height)
            self.column(column, [row[j] for row in texts], colours)
        return place

    def column(self, place: Box, texts: Sequence[str], colours: Sequence[str]) -> list[Box]:
        """Draw boxes below one another in the height of `place`."""
        down = place.height / len(texts)
        return [
            self.box(Box(place.x, place.y + i * down, place.width, down - 0.07), text, colour=c)
            for i, (text, c) in enumerate(zip(texts, colours, strict=True))
        ]

    def arrow(self, *points: Point, colour: str = style.INK) -> None:
        """Draw an arrow through two points or more, straight from each to the next."""
        self.axes.plot(*zip(*points[:-1], strict=True), color=colour, ls="-", lw=1.6)
        self.axes.add_patch(
            FancyArrowPatch(
                points[-2], points[-1], arrowstyle="-|>", mutation_scale=11, color=colour,
                linewidth=1.6, shrinkA=0, shrinkB=1,
            )
        )  # fmt: skip

    def person(self, place: Box) -> None:
        """Draw the outline of a person: a head, and a body below it."""
        x, width, height = place.x + place.width / 2, place.width, place.height
        for down, across, tall in ((0.14, 0.3, 0.15), (0.58, 0.5, 0.7)):
            self.axes.add_patch(
                Ellipse(
                    (x, place.y + down * height), across * width, tall * height, zorder=3,
                    facecolor=(style.INK, 0.6),
                )
            )  # fmt: skip


@style.styled
def vit_baseline() -> BookFigure:
    """Draw the ViT baseline: the class token alone, a batch norm, a classifier, two losses."""
    sheet = Drawing(height=3.0)
    token = _until_tokens(sheet, [["", ""]] * 4, "G", [style.INK] * 4)
    sheet.words((1.9, 2.8), "not used")
    neck = sheet.box(Box(3.5, 0.2, 1.3, 0.5), "batch norm")
    classifier = sheet.box(Box(5.6, 0.2, 1.3, 0.5), "classifier")
    triplet = sheet.box(Box(3.5, 1.2, 1.3, 0.5), "triplet loss", colour=style.ACCENT)
    identity = sheet.box(Box(5.6, 1.2, 1.3, 0.5), "identity loss", colour=style.ACCENT)
    search = sheet.box(Box(3.5, 2.05, 1.3, 0.5), "search", colour=style.MATCH)
    sheet.arrow(token.right, neck.left)
    sheet.arrow(neck.right, classifier.left)
    sheet.arrow(classifier.bottom, identity.top)
    for end in (triplet, search):
        sheet.arrow((2.9, token.right[1]), (2.9, end.left[1]), end.left)
    return sheet.figure


@style.styled
def la_transformer(patches: Any, cls: Any) -> BookFigure:
    """Draw LA-Transformer: rows mixed with the class token, a classifier for each, a vote.

    The search is by the row means R, as in the published program; the paper's text has L.

    Args:
        patches: the toy's patch tokens, (h, w, D) with at most four rows, and small numbers; an
            array or a tensor.
        cls: its class token G, (D,).

    Raises:
        ValueError: shapes do not go together.
    """
    sheet = Drawing(height=3.45)
    mixed, _ = _until_mixed(sheet, patches, cls)
    colours = ROW_COLOURS[: len(mixed)]
    heads = sheet.column(Box(5.4, 0.85, 0.95, 1.8), ["classifier"] * len(mixed), colours)
    vote = sheet.box(Box(6.65, 0.85, 0.4, 1.73), "vote", upright=True)
    sheet.words((5.9, 2.8), "a loss each")
    for row, head, colour in zip(mixed, heads, colours, strict=True):
        sheet.arrow(row.right, head.left, colour=colour)
        sheet.arrow(head.right, (vote.x, head.right[1]), colour=colour)
    return sheet.figure


@style.styled
def la_tf_pp(patches: Any, cls: Any) -> BookFigure:
    """Draw LA-TF++: rows mixed with the class token, their mean, one classifier, two losses.

    The search is by the row means R, as in the published program; the paper's text has the mean.
    Arguments are those of `la_transformer`.
    """
    sheet = Drawing(height=3.45)
    mixed, rows = _until_mixed(sheet, patches, cls)
    mean = sheet.box(Box(5.5, 0.85, 1.6, 0.38), f"mean = {_vector(rows.mean(0))}")
    head = sheet.box(Box(5.5, 1.5, 1.6, 0.38), "one classifier")
    losses = sheet.box(
        Box(5.5, 2.15, 1.6, 0.8), "smoothed identity\n+ triplet loss\non logits",
        colour=style.ACCENT,
    )  # fmt: skip
    for row in mixed:
        sheet.arrow(row.right, (5.25, row.right[1]), (5.25, mean.left[1]), mean.left)
    sheet.arrow(mean.bottom, head.top)
    sheet.arrow(head.bottom, losses.top)
    return sheet.figure


@style.styled
def gltrans(patches: Any, classes: Any) -> BookFigure:
    """Draw GLTrans on two layers and two bands: class tokens to GAE, patches to PTF, GMA and PTL.

    The paper has three of each. What follows from learned weights is drawn as letters.

    Args:
        patches: the toy's patch tokens of layers 11 and 12, (2, h, w, D) with two to four rows, and
            small numbers; an array or a tensor.
        classes: its class tokens, (2, D).

    Raises:
        ValueError: shapes do not go together.
    """
    grids, tokens = np.asarray(patches, float), np.asarray(classes, float)
    fits = grids.ndim == 4 and len(grids) == 2 and tokens.shape == (2, grids.shape[3])
    if not fits or not 2 <= grids.shape[1] <= len(ROW_COLOURS):
        raise ValueError(
            f"patches have shape {grids.shape} and classes {tokens.shape}: expected (2, h, w, D) "
            f"with 2 to {len(ROW_COLOURS)} rows, and (2, D)"
        )
    names = [f"$c_{{{layer}}}$ = {_vector(token)}" for layer, token in enumerate(tokens, 11)]
    halves = np.array_split(range(grids.shape[1]), 2)
    bands = (style.QUERY, style.WRONG)
    colours = [bands[i] for i, rows in enumerate(halves) for _ in rows]
    sheet, tall = Drawing(height=3.45), 1.73
    cls = [_until_tokens(sheet, _vectors(grids[0]), names[0], colours)]
    cls.append(sheet.box(Box(2.8, 0.25, 1.0, 0.4), names[1]))
    sheet.tokens(Box(2.8, 0.85, 1.05, 1.8), _vectors(grids[1]), colours)
    gae = sheet.box(Box(4.05, 0.25, 0.55, 0.4), "GAE", colour=style.ACCENT)
    whole = sheet.box(Box(4.85, 0.25, 0.34, 0.4), "g", colour=style.ACCENT)
    ptf = sheet.box(Box(4.05, 0.85, 0.34, tall), "PTF", upright=True)
    gma = sheet.box(Box(4.85, 0.85, 0.34, tall), "GMA", upright=True)
    parts = sheet.column(Box(5.65, 0.85, 0.65, 1.8), ["PTL 1", "PTL 2"], bands)
    local = sheet.column(Box(6.6, 0.85, 0.5, 1.8), ["$f_1$", "$f_2$"], bands)
    for row in (0.45, ptf.left[1]):
        sheet.arrow((2.5, row), (2.8, row))  # layer 12 reads layer 11
    sheet.arrow((2.0, 0.85 + tall), (2.0, 2.66), (ptf.bottom[0], 2.66), ptf.bottom)
    sheet.arrow((3.8, ptf.left[1]), ptf.left)
    sheet.arrow(ptf.right, gma.left)
    sheet.arrow(gae.right, whole.left, colour=style.ACCENT)
    sheet.arrow(whole.bottom, gma.top, colour=style.ACCENT)
    for token in cls:
        sheet.arrow(token.top, (token.top[0], 0.1), (gae.top[0], 0.1), gae.top, colour=style.ACCENT)
    for part, vector, colour in zip(parts, local, bands, strict=True):
        row = part.left[1] + 0.2
        sheet.arrow((gae.top[0], 0.1), (5.4, 0.1), (5.4, row), (part.x, row), colour=style.ACCENT)
        sheet.arrow((gma.right[0], part.left[1] - 0.15), (part.x, part.left[1] - 0.15))
        sheet.arrow(part.right, vector.left, colour=colour)
    for x, y, text in (
        (2.0, 2.85, "layer 11"), (3.3, 2.85, "layer 12"), (4.61, 1.5, "F"), (5.29, 0.96, "F′"),
    ):  # fmt: skip
        sheet.words((x, y), text)
    sheet.box(Box(1.5, 3.08, 2.89, 0.32), "classifiers of $c_{11}$, $c_{12}$, g, f")
    sheet.box(Box(4.85, 3.08, 2.25, 0.32), "search by f, g, $c_{12}$", colour=style.MATCH)
    return sheet.figure


@style.styled
def tvtr(chosen: Any) -> BookFigure:
    """Draw TVTR: heads choose patches, the last layer sees these and the class token alone.

    Args:
        chosen: patches of the toy that each head chose, (heads, k), from 0 by row, four to six in
            all, on a grid of 4 x 2; an array or a tensor. A patch shows how many heads chose it.

    Raises:
        ValueError: a patch is not on the grid, or the sheet has no room.
    """
    numbers = np.asarray(chosen).ravel().astype(int)
    if not 4 <= len(numbers) <= 6 or not ((numbers >= 0) & (numbers < 8)).all():
        raise ValueError(f"chosen is {numbers.tolist()}: expected four to six patches from 0 to 7")
    votes = np.bincount(numbers, minlength=8).reshape(4, 2)
    names = [f"$h_{n + 1}$" for n in sorted(numbers)]
    sheet = Drawing(height=3.0)
    token = _until_tokens(sheet, votes.astype(str).tolist(), "class", [style.INK] * 4)
    sheet.words((2.05, 2.8), "heads that chose it")
    kept = sheet.column(Box(3.05, 0.85, 0.5, 1.8), names, [style.ACCENT] * len(names))
    last = sheet.box(Box(4.0, 0.25, 0.36, 2.33), "last layer", upright=True)
    sheet.arrow(token.right, (last.x, token.right[1]))
    sheet.arrow((2.5, 1.72), (kept[0].x, 1.72), colour=style.ACCENT)
    for box in kept:
        sheet.arrow(box.right, (last.x, box.right[1]), colour=style.ACCENT)
    cls = sheet.box(Box(4.7, 0.25, 0.75, 0.4), "class")
    mean = sheet.box(Box(4.7, 1.52, 0.75, 0.4), "mean", colour=style.ACCENT)
    feature = sheet.box(Box(5.75, 0.8, 1.2, 0.4), "side by side")
    losses = sheet.box(Box(5.75, 1.52, 1.2, 0.4), "circle losses", colour=style.ACCENT)
    search = sheet.box(Box(5.75, 2.24, 1.2, 0.4), "search", colour=style.MATCH)
    for box in (cls, mean):
        sheet.arrow((last.right[0], box.left[1]), box.left)
        sheet.arrow(box.right, (5.6, box.right[1]), (5.6, feature.left[1]), feature.left)
    sheet.arrow(feature.bottom, losses.top)
    sheet.arrow(feature.right, (7.08, feature.right[1]), (7.08, search.right[1]), search.right)
    return sheet.figure


def transmatcher(query: Any, gallery: Any) -> BookFigure:
    """Draw one decoder layer of TransMatcher on two maps of 2 x 2 places.

    All products of places stand in the middle, the largest of each row and column is marked; that
    is before any gate, with FC1 left out.

    Args:
        query: the toy's map, (2, 2, d), small numbers; an array or a tensor.
        gallery: the other one.

    Raises:
        ValueError: other shapes.
    """
    maps = [np.asarray(x, float) for x in (query, gallery)]
    if any(x.ndim != 3 or x.shape[:2] != (2, 2) or x.shape != maps[0].shape for x in maps):
        raise ValueError(
            f"maps have the shapes {[x.shape for x in maps]}: expected (2, 2, d), both alike"
        )
    sheet, colours = Drawing(height=3.3), (style.QUERY, style.MATCH)
    names = "query", "gallery image"
    for i, (grid, name, colour) in enumerate(zip(maps, names, colours, strict=True)):
        y = 0.15 + 1.6 * i
        sheet.box(Box(0.05, y, 0.45, 1.2), colour=colour)
        sheet.person(Box(0.1, y + 0.05, 0.35, 1.1))
        sheet.words((0.75, y + 1.35), name)
        coded = sheet.box(Box(0.75, y, 0.34, 1.2), "encoder", upright=True)
        tokens = sheet.tokens(Box(1.35, y, 1.3, 1.25), _vectors(grid), (colour, colour))
        sheet.arrow((0.5, y + 0.6), coded.left)
        sheet.arrow(coded.right, tokens.left)
    flat = [x.reshape(4, -1) for x in maps]
    products = flat[1] @ flat[0].T  # [gallery place, query place]
    best = (products == products.max(0)) | (products == products.max(1)[:, None])
    for (s, t), product in np.ndenumerate(products):
        place = Box(3.2 + 0.4 * t, 0.75 + 0.45 * s, 0.36, 0.4)
        colour = style.ACCENT if best[s, t] else style.JUNK
        sheet.box(place, style.number(product, "{:g}"), colour=colour)
    for y, row in ((0.75, 1.1), (2.35, 2.0)):
        sheet.arrow((2.65, y), (2.85, y), (2.85, row), (3.17, row))
    sheet.words((4.0, 0.5), "products, times the gate")
    pooled = sheet.column(Box(5.15, 0.75, 0.62, 1.8), ["max a", "max b"], colours)
    head = sheet.box(Box(6.0, 0.75, 0.34, 1.73), "head", upright=True)
    score = sheet.box(Box(6.55, 1.3, 0.6, 0.63), "score", colour=style.ACCENT)
    for part, colour in zip(pooled, colours, strict=True):
        sheet.arrow((4.78, part.left[1]), part.left, colour=colour)
        sheet.arrow(part.right, (head.x, part.right[1]), colour=colour)
    sheet.arrow(head.right, score.left)
    sheet.words((6.0, 2.8), "added over L layers")
    return sheet.figure


@style.styled
def skeleton(differences: Mapping[str, Sequence[str]]) -> BookFigure:
    """Draw the stages that all models share, and below each the models that change it.

    Args:
        differences: stage, from the tokens to the score -> names of the models, at most five in
            all; a model has one colour throughout.
    """
    names = [*dict.fromkeys(name for changed in differences.values() for name in changed)]
    colours = dict(zip(names, (*ROW_COLOURS, style.JUNK), strict=False))
    sheet, across = Drawing(height=0.85 + 0.45 * len(names)), 5.35 / len(differences)
    last = sheet.box(Box(0.05, 0.15, 1.2, 0.45), "backbone")
    for i, (stage, changed) in enumerate(differences.items()):
        box = sheet.box(Box(1.7 + i * across, 0.15, across - 0.3, 0.45), stage)
        sheet.arrow(last.right, box.left)
        for name in changed:
            y = 0.8 + 0.45 * names.index(name)
            sheet.box(Box(box.x - 0.1, y, across - 0.1, 0.36), name, colour=colours[name])
        last = box
    return sheet.figure


def _vector(values: NDArray[np.float64]) -> str:
    return ", ".join(style.number(round(value, 1), "{:g}") for value in values)


def _vectors(grid: NDArray[np.float64]) -> list[list[str]]:
    return [[_vector(place) for place in row] for row in grid]


def _until_tokens(
    sheet: Drawing, patches: list[list[str]], cls: str, colours: Sequence[str]
) -> Box:
    """Draw picture, transformer and its tokens; return the box of the class token."""
    picture = Box(0.05, 0.85, 0.65, 1.8)
    sheet.tokens(picture, [[""] * len(row) for row in patches], colours)
    sheet.person(Box(0.05, 0.85, 0.6, 1.73))
    sheet.words((0.35, 2.8), "picture")
    body = sheet.box(Box(0.9, 0.25, 0.36, 2.33), "transformer", upright=True)
    token = sheet.box(Box(1.5, 0.25, 1.0, 0.4), cls)
    sheet.tokens(Box(1.5, 0.85, 1.05, 1.8), patches, colours)
    sheet.arrow((0.65, 1.72), (body.x, 1.72))
    sheet.arrow((body.right[0], token.left[1]), token.left)
    sheet.arrow((body.right[0], 1.72), (1.5, 1.72))
    return token


def _until_mixed(sheet: Drawing, patches: Any, cls: Any) -> tuple[list[Box], NDArray[np.float64]]:
    """Draw everything until the rows are mixed with the class token; return these rows, (h, D)."""
    grid, g = np.asarray(patches, float), np.asarray(cls, float)
    if grid.ndim != 3 or g.shape != grid.shape[2:] or not 0 < len(grid) <= len(ROW_COLOURS):
        raise ValueError(
            f"patches have shape {grid.shape} and cls {g.shape}: expected (h, w, D) with at "
            f"most {len(ROW_COLOURS)} rows, and (D,)"
        )
    colours = ROW_COLOURS[: len(grid)]
    token = _until_tokens(sheet, _vectors(grid), f"G = {_vector(g)}", colours)
    rows = grid.mean(1)
    mixture = LOCAL_WEIGHT * rows + (1 - LOCAL_WEIGHT) * g
    names = [f"$R_{i}$ = {_vector(row)}" for i, row in enumerate(rows, 1)]
    means = sheet.column(Box(2.75, 0.85, 0.95, 1.8), names, colours)
    names = [f"$L_{i}$ = {_vector(row)}" for i, row in enumerate(mixture, 1)]
    mixed = sheet.column(Box(3.95, 0.85, 1.2, 1.8), names, colours)
    for mean, mix, colour in zip(means, mixed, colours, strict=True):
        sheet.arrow((2.5, mean.left[1]), mean.left, colour=colour)
        sheet.arrow(mean.right, mix.left, colour=colour)
    sheet.arrow(token.right, (mixed[0].top[0], token.right[1]), mixed[0].top)
    mixing = f"{LOCAL_WEIGHT:.2g} R + {1 - LOCAL_WEIGHT:.2g} G"
    for x, text in ((2.0, "tokens"), (3.22, "row means"), (4.55, mixing)):
        sheet.words((x, 2.8), text)
    search = sheet.box(Box(2.75, 3.1, 0.95, 0.32), "search", colour=style.MATCH)
    sheet.arrow((search.top[0], 2.9), search.top)
    return mixed, mixture
