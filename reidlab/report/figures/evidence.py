"""Figures of evidence: which rows of the picture made a match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reidlab.report import style
from reidlab.report.evidence import Evidence
from reidlab.report.figures.pictures import read_picture
from reidlab.report.style import BookFigure

HEAD, FOOT, GAP, TALL = 0.5, 0.45, 0.1, 1.8  # inches: above a line, below the last, and its height
TITLES = ("query", "match", "stranger")
NAMES, BARS = 0.35, 2.5  # inches for the numbers of the rows, and at least for the bars


@style.styled
def row_evidences(cases: Mapping[str, Evidence]) -> BookFigure:
    """Show queries below one another: query, match, stranger, and a bar for each row of them.

    Args:
        cases: name of each query -> its evidence, of `reidlab.report.evidence.typical_evidence`.

    Raises:
        ValueError: there is no case.
    """
    if not cases:
        raise ValueError("there are no cases: expected one query or more")
    total = len(cases) * (HEAD + TALL) + FOOT
    figure = style.figure(aspect=style.TEXT_WIDTH / total)
    figure.set_layout_engine("none")

    def add(left: float, top: float, width: float, height: float) -> Axes:
        """A panel by its place in inches from the upper left corner."""
        across = style.TEXT_WIDTH
        low = 1 - (top + height) / total
        return figure.add_axes((left / across, low, width / across, height / total))

    bars = []
    for line, (name, case) in enumerate(cases.items()):
        pictures = [read_picture(path) for path in (case.query, case.match, case.stranger)]
        shapes = [picture.shape[1] / picture.shape[0] for picture in pictures]
        room = style.TEXT_WIDTH - BARS - NAMES - (len(pictures) + 1) * GAP
        tall = min(TALL, room / sum(shapes))  # vehicles are wider than high
        left, top = 0.0, line * (HEAD + TALL) + HEAD
        for title, picture, shape in zip(TITLES, pictures, shapes, strict=True):
            panel = add(left, top, tall * shape, tall)
            _show_rows(panel, picture, len(case.rows))
            panel.set_title(title, fontsize=10)
            left += tall * shape + GAP
        left += NAMES
        bars.append(add(left, top, style.TEXT_WIDTH - left - GAP, TALL))
        values = np.asarray(case.rows, dtype=float)
        _bars(bars[-1], values)
        margin = style.number(values.sum(), "{:+.3f}")
        bars[-1].set_title(f"{name}, AP {100 * case.ap:.0f} %: margin {margin}", fontsize=10)
    values = np.concatenate([np.asarray(case.rows, dtype=float) for case in cases.values()])
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    room = 0.2 * max(high - low, 1e-9)  # for the numbers behind the bars
    for panel in bars:  # one scale for all of them
        panel.set_xlim(low - (room if low < 0 else 0), high + room)
    bars[-1].set_xlabel("a row's part of the margin (cosine)")
    return figure


def _show_rows(panel: Axes, picture: NDArray[np.uint8], rows: int) -> None:
    """Draw a picture whose vertical unit is a row of patches."""
    panel.imshow(picture, extent=(0, 1, rows, 0), aspect="auto")
    # Seen on bright and on dark clothes: a dark line beside a light one.
    panel.hlines(range(1, rows), 0, 1, color="black", lw=1.2, alpha=0.45)
    panel.hlines(range(1, rows), 0, 1, color="white", lw=0.5, alpha=0.8)
    panel.set_axis_off()


def _bars(panel: Axes, values: NDArray[np.float64]) -> None:
    """Draw what each row adds to a margin, (R,), one bar below the other."""
    places = np.arange(len(values)) + 0.5
    colours = [style.MATCH if value >= 0 else style.WRONG for value in values]
    hatches = ["" if value >= 0 else "///" for value in values]
    look: Any = {"color": colours, "hatch": hatches, "edgecolor": style.INK, "lw": 0}
    bars = panel.barh(places, values, height=0.78, **look)
    panel.bar_label(bars, [style.number(x, "{:+.3f}") for x in values], padding=4, fontsize=9)
    panel.axvline(0, color=style.INK, lw=1)
    panel.set_ylim(len(values), 0)
    panel.set_yticks(places, [f"{row}" for row in range(1, len(values) + 1)], fontsize=9)
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.spines["left"].set_visible(False)
    panel.grid(axis="y", visible=False)
