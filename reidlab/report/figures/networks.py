"""Drawn networks: what goes where, from the patches on the left to the losses on the right.

A drawing is made of boxes with words, grids of tokens and arrows, placed in inches on a sheet as
wide as the text. Few and large words: a page on a telephone shows it at half its size. What belongs
to one row of patches has one colour throughout. Given the toy of a page, the boxes hold its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray

from reidlab.report import style
from reidlab.report.style import BookFigure

ROW_COLOURS = (style.QUERY, style.MATCH, style.WRONG, style.ACCENT)
_SMALL, _LARGE = 10.0, 11.5  # points


class Box(NamedTuple):
    """A place on the sheet, in inches from its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> tuple[float, float]:
        """The middle of the left edge."""
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> tuple[float, float]:
        """The middle of the right edge."""
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> tuple[float, float]:
        """The middle of the upper edge."""
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        """The middle of the lower edge."""
        return self.x + self.width / 2, self.y + self.height


class Drawing:
    """A sheet as wide as the text, to draw boxes, tokens, words and arrows on.

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
        self.axes.add_patch(
            FancyBboxPatch(
                (place.x, place.y), place.width, place.height, linewidth=1.6, edgecolor=colour,
                boxstyle="round,pad=0,rounding_size=0.05", facecolor=(colour, 0.16),
            )
        )  # fmt: skip
        middle = place.x + place.width / 2, place.y + place.height / 2
        self.words(middle, text, rotation=90 if upright else 0)
        return place

    def words(self, place: tuple[float, float], text: str, **look: Any) -> None:
        """Write words around a point, `look` as of a matplotlib text."""
        self.axes.text(
            *place, text, **({"ha": "center", "va": "center", "fontsize": _SMALL} | look)
        )

    def tokens(self, place: Box, texts: Sequence[Sequence[str]], colours: Sequence[str]) -> Box:
        """Draw a grid of tokens, a word in each, a colour for each row."""
        down, across = place.height / len(texts), place.width / len(texts[0])
        for i, (row, colour) in enumerate(zip(texts, colours, strict=True)):
            for j, text in enumerate(row):
                cell = Box(place.x + j * across, place.y + i * down, across - 0.05, down - 0.05)
                self.box(cell, text, colour=colour)
        return place

    def column(self, place: Box, texts: Sequence[str], colours: Sequence[str]) -> list[Box]:
        """Draw boxes below one another in the height of `place`."""
        down = place.height / len(texts)
        return [
            self.box(Box(place.x, place.y + i * down, place.width, down - 0.07), text, colour=c)
            for i, (text, c) in enumerate(zip(texts, colours, strict=True))
        ]

    def arrow(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        colour: str = style.INK,
        bend: str = "arc3",
        dashed: bool = False,
    ) -> None:
        """Draw an arrow between two points; `bend` is a connection style of matplotlib."""
        self.axes.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle="-|>", mutation_scale=11, color=colour, linewidth=1.5,
                shrinkA=1, shrinkB=1, connectionstyle=bend, linestyle="--" if dashed else "-",
            )
        )  # fmt: skip


class _Toy(NamedTuple):
    """The words in the boxes of a toy grid, numbers or symbols."""

    patches: list[list[str]]
    cls: str
    means: list[str]
    mixed: list[str]
    mean: str


@style.styled
def vit_baseline(
    patches: NDArray[Any] | Any | None = None, cls: NDArray[Any] | Any | None = None
) -> BookFigure:
    """Draw the ViT baseline: the class token alone; BNNeck and two losses.

    Args:
        patches: the toy's patch tokens, (h, w, D) with at most four rows, and small numbers.
        cls: its class token, (D,).

    Raises:
        ValueError: one is given without the other, or shapes do not go together.
    """
    toy = _toy(patches, cls, 1.0)
    sheet = Drawing(height=2.75)
    left = _until_tokens(sheet, toy, out=["not used"] * len(toy.means), faint=True)
    neck = sheet.box(Box(4.5, 0.45, 0.95, 0.5), "batch\nnorm")
    classifier = sheet.box(Box(5.95, 0.45, 1.15, 0.5), "classifier")
    sheet.arrow(left[0].right, neck.left)
    sheet.arrow(neck.right, classifier.left)
    losses = [
        sheet.box(Box(4.5, 1.5, 0.95, 0.5), "triplet\nloss", colour=style.ACCENT),
        sheet.box(Box(5.95, 1.5, 1.15, 0.5), "identity\nloss", colour=style.ACCENT),
    ]
    sheet.arrow((4.25, left[0].right[1]), losses[0].left, bend="angle,angleA=90,angleB=0,rad=4")
    sheet.arrow(classifier.bottom, losses[1].top)
    sheet.words((4.5, 2.4), "search: by G, before the norm", ha="left", fontsize=_LARGE)
    return sheet.figure


@style.styled
def la_transformer(
    patches: NDArray[Any] | Any | None = None,
    cls: NDArray[Any] | Any | None = None,
    *,
    local_weight: float = 8 / 9,
) -> BookFigure:
    """Draw LA-Transformer: rows mixed with the class token, a classifier for each, a vote.

    Args:
        patches: the toy's patch tokens, (h, w, D) with at most four rows, and small numbers.
        cls: its class token G, (D,).
        local_weight: a in L = a R + (1 - a) G.

    Raises:
        ValueError: one is given without the other, or shapes do not go together.
    """
    toy = _toy(patches, cls, local_weight)
    sheet = Drawing(height=3.0)
    mixed = _until_mixed(sheet, toy)
    rows = len(mixed)
    heads = sheet.column(Box(5.3, 0.85, 0.95, 1.8), ["classifier"] * rows, ROW_COLOURS[:rows])
    vote = sheet.box(Box(6.6, 0.85, 0.5, 1.73), "sum: vote", colour=style.INK, upright=True)
    for row, head, colour in zip(mixed, heads, ROW_COLOURS, strict=False):
        sheet.arrow(row.right, head.left, colour=colour)
        sheet.arrow(head.right, (vote.x, head.right[1]), colour=colour)
    return sheet.figure


@style.styled
def la_tf_pp(
    patches: NDArray[Any] | Any | None = None,
    cls: NDArray[Any] | Any | None = None,
    *,
    local_weight: float = 8 / 9,
) -> BookFigure:
    """Draw LA-TF++: the same rows, their mean, one classifier, two losses on its logits.

    Args:
        patches: the toy's patch tokens, (h, w, D) with at most four rows, and small numbers.
        cls: its class token G, (D,).
        local_weight: a in L = a R + (1 - a) G.

    Raises:
        ValueError: one is given without the other, or shapes do not go together.
    """
    toy = _toy(patches, cls, local_weight)
    sheet = Drawing(height=3.0)
    mixed = _until_mixed(sheet, toy)
    mean = sheet.box(Box(5.3, 1.45, 0.95, 0.5), toy.mean)
    head = sheet.box(Box(6.6, 0.85, 0.5, 1.73), "one classifier", upright=True)
    for row, colour in zip(mixed, ROW_COLOURS, strict=False):
        sheet.arrow(row.right, mean.left, colour=colour)
    sheet.arrow(mean.right, head.left)
    return sheet.figure


def _toy(patches: Any, cls: Any, local_weight: float) -> _Toy:
    """Return the words of a toy: its numbers, or symbols where none are given."""
    if patches is None and cls is None:
        rows = range(1, 5)
        return _Toy(
            [["", ""] for _ in rows], "G", [f"$R_{i}$" for i in rows], [f"$L_{i}$" for i in rows],
            "mean",
        )  # fmt: skip
    grid, token = np.asarray(patches, float), np.asarray(cls, float)
    if grid.ndim != 3 or token.shape != grid.shape[2:] or not 0 < len(grid) <= len(ROW_COLOURS):
        raise ValueError(
            f"patches have shape {grid.shape} and cls {token.shape}: expected (h, w, D) with at "
            f"most {len(ROW_COLOURS)} rows, and (D,); both, or neither"
        )
    means = grid.mean(1)
    mixed = local_weight * means + (1 - local_weight) * token
    return _Toy(
        [[_vector(patch) for patch in row] for row in grid],
        f"G = {_vector(token)}",
        [f"$R_{i}$ = {_vector(row)}" for i, row in enumerate(means, 1)],
        [f"$L_{i}$ = {_vector(row)}" for i, row in enumerate(mixed, 1)],
        f"mean =\n{_vector(mixed.mean(0))}",
    )


def _vector(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{round(value, 1) + 0.0:g}".replace("-", "−") for value in values)


def _until_tokens(sheet: Drawing, toy: _Toy, out: Sequence[str], faint: bool = False) -> list[Box]:
    """Draw patches, transformer and its tokens; return the boxes of G and of `out`."""
    rows = len(out)
    colours = ROW_COLOURS[:rows]
    grid = sheet.tokens(Box(0.1, 0.85, 1.15, 1.8), toy.patches, colours)
    sheet.words((0.65, 2.8), "patches")
    body = sheet.box(Box(1.6, 0.25, 0.45, 2.33), "transformer", upright=True)
    sheet.arrow((1.25, grid.left[1]), (body.x, grid.left[1]))
    token = sheet.box(Box(2.4, 0.25, 1.2, 0.4), toy.cls)
    shown = [style.INK] * rows if faint else colours
    means = sheet.column(Box(2.4, 0.85, 1.2, 1.8), out, shown)
    for box in (token, *means):
        sheet.arrow((body.x + body.width, box.left[1]), box.left)
    return [token, *means]


def _until_mixed(sheet: Drawing, toy: _Toy) -> list[Box]:
    """Draw everything until the rows are mixed with the class token; return the mixed rows."""
    token, *means = _until_tokens(sheet, toy, toy.means)
    sheet.words((3.0, 2.8), "row means")
    mixed = sheet.column(Box(3.9, 0.85, 1.15, 1.8), toy.mixed, ROW_COLOURS[: len(means)])
    for mean, mix, colour in zip(means, mixed, ROW_COLOURS, strict=False):
        sheet.arrow(mean.right, mix.left, colour=colour)
    sheet.arrow(token.right, mixed[0].top, bend="angle,angleA=0,angleB=90,rad=4")
    sheet.words((4.5, 2.8), "mixed with G")
    return mixed
