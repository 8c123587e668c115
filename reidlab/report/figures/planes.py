"""Images in the plane: people, and the camera or the modality of each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from reidlab.explain import Projection
from reidlab.report import style
from reidlab.report.style import BookFigure

SHAPES = "o^sDvPX*"  # by turns whole and hollow


@style.styled
def feature_planes(
    planes: Mapping[str, Projection], pids: ArrayLike, groups: ArrayLike
) -> BookFigure:
    """Draw images side by side as points: a thin line from each to the middle of its person.

    A group has a shape of its own, up to eight of them, so that neither colour nor page matters.
    Long lines are people torn apart. Axes have no numbers: t-SNE's have no meaning. Below each
    picture stands what all runs show, see `Projection.stability`.

    Args:
        planes: title -> runs over N images, of which the middle one is drawn; one to three of them.
        pids: people, (N,).
        groups: camera or modality in words, (N,).

    Raises:
        ValueError: no plane or more than three, or lengths do not fit.
    """
    who, group = np.asarray(pids), np.asarray(groups)
    shapes = {title: plane.drawn.shape for title, plane in planes.items()}
    if not 1 <= len(planes) <= 3 or any(shape != (len(who), 2) for shape in shapes.values()):
        raise ValueError(
            f"planes have the shapes {shapes} and there are {len(who)} pids: expected one to three "
            "planes of (N, 2), a point for each"
        )
    if group.shape != who.shape:
        raise ValueError(f"groups are {group.shape} and pids {who.shape}: expected (N,) of both")
    marks = {name: _mark(i) for i, name in enumerate(np.unique(group))}
    figure = style.figure(aspect=0.82 * len(planes))
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    for panel, (title, plane) in zip(panels, planes.items(), strict=True):
        points = plane.drawn
        for person in np.unique(who):
            own = points[who == person]
            middle = own.mean(0)
            for point in own:
                panel.plot(*zip(middle, point, strict=True), color=style.INK, ls="-", lw=0.8,
                           alpha=0.6, zorder=1)  # fmt: skip
        for name, mark in marks.items():
            panel.plot(*points[group == name].T, **mark, zorder=2)
        panel.set(title=title, xticks=[], yticks=[])
        panel.set_xlabel("\n".join(plane.stability()), fontsize=9, loc="left")
        panel.grid(visible=False)
    handles = [Line2D([], [], **mark, label=str(name)) for name, mark in marks.items()]
    handles.append(Line2D([], [], color=style.INK, lw=0.8, ls="-", label="to the middle"))
    figure.legend(handles=handles, loc="outside upper left", ncols=5)
    return figure


def _mark(place: int) -> dict[str, Any]:
    colour = style.SERIES[place % len(style.SERIES)]
    face = "none" if place % 2 else colour
    return {
        "marker": SHAPES[place % len(SHAPES)], "color": colour, "mfc": face, "mew": 1.4, "ms": 5.5,
        "ls": "",
    }  # fmt: skip
