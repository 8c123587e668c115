"""Figures of how unequal queries are, and of what a transformer reads."""

from __future__ import annotations

from reidlab.evaluation import RankResult
from reidlab.report import style
from reidlab.report.figures.pictures import Picture, read_picture
from reidlab.report.style import BookFigure


@style.styled
def cmc_and_ap(result: RankResult, ranks: int = 20) -> BookFigure:
    """Draw the CMC curve, and beside it how many queries reach which AP, with the mean dashed.

    Args:
        result: of a ranking.
        ranks: the last k of the curve.
    """
    figure = style.figure(aspect=2.4)
    left, right = figure.subplots(1, 2)
    curve = 100 * result.cmc_curve[:ranks]
    left.plot(range(1, len(curve) + 1), curve, marker="o", markersize=3)
    left.set(xlabel="k", ylabel="CMC(k) (%)", ylim=(0, 102))
    right.hist(100 * result.ap[result.valid], bins=20, color=style.QUERY, alpha=0.7)
    right.axvline(100 * result.mAP, color=style.WRONG, linestyle="--")
    right.set(xlabel="AP of a query (%)", ylabel="queries")
    return figure


@style.styled
def patch_grid(image: Picture, patch: int) -> BookFigure:
    """Draw the patches of a transformer over a picture.

    Args:
        image: the picture, (H, W, 3), in the size that the network gets.
        patch: side of a patch in pixels.

    Raises:
        ValueError: a patch of less than a pixel.
    """
    if patch < 1:
        raise ValueError(f"patch is {patch}: expected the side of a patch in pixels, such as 16")
    picture = read_picture(image)
    height, width = picture.shape[:2]
    figure = style.figure(aspect=1.6, filled=0.4)
    axes = figure.subplots()
    axes.imshow(picture, extent=(0, width, height, 0))
    axes.hlines(range(0, height + 1, patch), 0, width, color=style.ACCENT, lw=0.8)
    axes.vlines(range(0, width + 1, patch), 0, height, color=style.ACCENT, lw=0.8)
    axes.set_axis_off()
    return figure
