"""Figures of a ranking: what is found for a query, how unequal queries are, and what is read."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reidlab.evaluation import RankedList, RankResult
from reidlab.report import style
from reidlab.report.figures.pictures import Picture, ranked_list, read_picture
from reidlab.report.style import BookFigure


def ranked_queries(
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    found: RankedList,
    row_labels: Sequence[str] | None = None,
) -> BookFigure:
    """Show queries and what was found for them, with the distances.

    Pictures that the standard rule drops (of the query's own camera, and junk) are marked as
    ignored, whatever rule `found` follows.

    Args:
        queries: (Q) rows with path, pid and camid.
        gallery: the table that the indices of `found` count, with the same columns.
        found: of these queries: `reidlab.evaluation.ranked_list`.
        row_labels: Q labels in front of the rows.

    Raises:
        ValueError: another number of queries than of lists.
    """
    if len(queries) != len(found.indices):
        raise ValueError(
            f"{len(queries)} queries and {len(found.indices)} ranked lists: pass the rows of the "
            "queries that were asked, ds.query.iloc[rows]"
        )
    pictures, flags, scores = [], [], []
    for row, (pid, camid) in enumerate(zip(queries.pid, queries.camid, strict=True)):
        there = found.indices[row] >= 0  # a short gallery leaves places empty
        images = gallery.iloc[found.indices[row][there]]
        own = (images.pid == pid) & (images.camid == camid)
        dropped = own | (images.pid == -1)
        pictures.append(images.path.tolist())
        right = found.matches[row][there]
        flags.append([None if no else bool(yes) for no, yes in zip(dropped, right, strict=True)])
        scores.append(found.distances[row][there].tolist())
    asked = queries.path.tolist()
    return ranked_list(asked, pictures, flags, scores=scores, row_labels=row_labels)


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
