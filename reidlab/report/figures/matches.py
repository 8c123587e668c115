"""Lines between two pictures: which place of one is held against which of the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reidlab.report import style
from reidlab.report.figures.pictures import Picture, read_picture
from reidlab.report.style import BookFigure

COLUMNS = 3


@style.styled
def correspondences(
    pairs: Sequence[tuple[Picture, Picture]],
    best: Sequence[Sequence[int]],
    grid: tuple[int, int],
    *,
    shown: Sequence[Sequence[bool]] | None = None,
    right: Sequence[Sequence[bool]] | None = None,
) -> BookFigure:
    """Draw pairs of pictures with a line from places on the left to places on the right.

    Args:
        pairs: left and right picture of each, all of one size.
        best: of each pair, for each place of the left one, row by row, the number of the place on
            the right.
        grid: rows and columns of places.
        shown: of each pair, which places get a line; None: all.
        right: of each pair, which lines are right (whole, in the colour of right answers) and which
            wrong (dashed); None: nobody knows.

    Raises:
        ValueError: Numbers that do not go together.
    """
    places = grid[0] * grid[1]
    if not pairs or len(best) != len(pairs) or {len(each) for each in best} != {places}:
        raise ValueError(
            f"{len(pairs)} pairs and lines of {[len(each) for each in best]} places; expected one "
            f"row of {places} for each pair"
        )
    height, width = read_picture(pairs[0][0]).shape[:2]
    gap, rows, columns = width // 2, -(-len(pairs) // COLUMNS), min(COLUMNS, len(pairs))
    aspect = columns * (2 * width + 3 * gap) / (rows * height * 1.15)
    figure = style.figure(aspect=aspect)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in panels:
        panel.set_axis_off()
    step = np.array([width / grid[1], height / grid[0]])
    centres = [(np.array([n % grid[1], n // grid[1]]) + 0.5) * step for n in range(places)]
    for i, (pair, targets) in enumerate(zip(pairs, best, strict=True)):
        panel = panels[i]
        for side, picture in enumerate(pair):
            start = side * (width + gap)
            panel.imshow(read_picture(picture), extent=(start, start + width, height, 0))
        for place, target in enumerate(targets):
            if shown is not None and not shown[i][place]:
                continue
            good = right is None or bool(right[i][place])
            ends = centres[place], centres[int(target)] + np.array([width + gap, 0])
            panel.plot(
                *zip(*ends, strict=True), lw=1.2, ls="-" if good else "--",
                color=style.ACCENT if right is None else (style.MATCH if good else style.WRONG),
            )  # fmt: skip
        panel.set(xlim=(-gap, 2 * width + 2 * gap), ylim=(height, 0), aspect="equal")
    return figure
