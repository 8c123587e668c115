"""Features in the plane: people, and the modality of each image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from reidlab.report import style
from reidlab.report.style import BookFigure


@style.styled
def feature_planes(
    planes: Mapping[str, ArrayLike], pids: ArrayLike, infrared: ArrayLike
) -> BookFigure:
    """Draw points of images, side by side: a thin line from each to the middle of its person.

    A visible image is a disc, an infrared one a hollow triangle, so that neither colour nor page
    matters. Long lines are people torn apart. Axes have no numbers: t-SNE's have no meaning.

    Args:
        planes: title -> points (N, 2), one to three of them.
        pids: people, (N,).
        infrared: whether each is an infrared image, (N,).

    Raises:
        ValueError: no plane or more than three, or shapes do not fit.
    """
    who, dark = np.asarray(pids), np.asarray(infrared, dtype=bool)
    drawn = {title: np.asarray(points, dtype=float) for title, points in planes.items()}
    shapes = {title: points.shape for title, points in drawn.items()}
    if not 1 <= len(drawn) <= 3 or any(shape != (len(who), 2) for shape in shapes.values()):
        raise ValueError(
            f"planes have the shapes {shapes} and there are {len(who)} pids: expected one to three "
            "planes of (N, 2), a point for each"
        )
    if dark.shape != who.shape:
        raise ValueError(f"infrared is {dark.shape} and pids {who.shape}: expected (N,) of both")
    figure = style.figure(aspect=0.9 * len(drawn))
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for panel, (title, points) in zip(panels, drawn.items(), strict=True):
        for person in np.unique(who):
            own = points[who == person]
            middle = own.mean(0)
            for point in own:
                panel.plot(*zip(middle, point, strict=True), color=style.INK, ls="-", lw=0.8,
                           alpha=0.6, zorder=1)  # fmt: skip
        panel.scatter(*points[~dark].T, s=26, color=style.WRONG, marker="o", zorder=2)
        panel.scatter(
            *points[dark].T, s=34, facecolors="none", edgecolors=style.QUERY, marker="^",
            linewidths=1.6, zorder=3,
        )  # fmt: skip
        panel.set(title=title, xticks=[], yticks=[])
        panel.grid(visible=False)
    marks = [
        Line2D([], [], color=style.WRONG, marker="o", ls="", label="visible"),
        Line2D([], [], color=style.QUERY, marker="^", ls="", mfc="none", mew=1.6, label="infrared"),
        Line2D([], [], color=style.INK, lw=0.8, ls="-", label="to the middle of the person"),
    ]
    figure.legend(handles=marks, loc="outside upper left", ncols=3)
    return figure
