"""One visual identity for every figure of the book.

Three decisions are made here and nowhere else:

* **Colour.** A colour has a role (`query`, `match`, `wrong`, ...), not a taste. The five roles
  start from the colour-blind-safe hues of Okabe and Ito (2008), moved until two conditions hold,
  both of which `tests/report/test_style.py` measures: any two roles stay at least 20 CIELAB units
  apart for readers with deuteranopia or protanopia (simulated after Machado et al., 2009), and
  each has a contrast of at least 3:1 against the light *and* the dark page.
* **Ink.** Text and axes are one mid grey on a transparent ground, so that a single image file
  reads well on both pages.
* **Size.** Every figure is as wide as the text (7.2 inches); its height follows from an aspect, the
  golden section unless the content has a shape of its own.

Figures are made without pyplot: a function returns one, the notebook shows what a cell returns,
and nothing is drawn twice or kept open. Tables look like print: `table`.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from reidlab.report.findings import Finding

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

# The WCAG ask 4.5:1 of letters. No grey has it on both pages: the most is 4.2:1. This one has
# 4.5:1 on the light page, and on the dark one too once the book's style sheet has made figures a
# tenth brighter there (3.9:1 without).
INK = "#767676"

QUERY = "#3b8cbe"
MATCH = "#0fa45c"
WRONG = "#dc6512"
ACCENT = "#8f4bd8"
JUNK = INK

SERIES = (QUERY, WRONG, ACCENT, MATCH, INK)
DASHES = ("-", "--", "-.", ":", (0, (1, 1)))  # each series has a dash of its own as well

# Body parts are filled areas that carry a legend: colours of Okabe and Ito as they are.
PART_COLOURS = {
    "head": "#e69f00",
    "torso": "#0072b2",
    "arms": "#56b4e9",
    "legs": "#009e73",
    "feet": "#f0e442",
    "accessory": "#cc79a7",
    "occluder": "#d55e00",
}

HEAT = "inferno"  # perceptually uniform, and ordered by lightness for every reader

TEXT_WIDTH = 7.2  # inches
GOLDEN = (1 + 5**0.5) / 2
DPI = 144  # two device pixels for each CSS pixel of the page: sharp on a dense screen
PNG_LIMIT = 300_000  # bytes; a page of eight figures stays near 2 MB

_RC: Any = {  # Any: the stubs know the keys one by one
    "figure.facecolor": "none",
    "figure.dpi": DPI,
    "figure.figsize": (TEXT_WIDTH, TEXT_WIDTH / GOLDEN),
    "savefig.transparent": True,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=SERIES) + cycler(linestyle=DASHES),
    "grid.color": INK,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "lines.linewidth": 2.0,
    "patch.edgecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "font.size": 10,
    "image.cmap": HEAT,
}


class BookFigure(Figure):
    """A matplotlib figure that a notebook shows as a small, transparent PNG."""

    def _repr_png_(self) -> bytes:
        return png(self)


@dataclass(frozen=True)
class Picture:
    """A figure that another page of the book shows.

    Attributes:
        figure: a figure of this book.
        alt: what it shows, for those who cannot see it.
    """

    figure: Figure
    alt: str

    def _repr_html_(self) -> str:
        data = base64.b64encode(png(self.figure)).decode()
        return f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'


styled = mpl.rc_context(_RC)
"""Decorator: draw inside the style, whatever the caller's own settings are."""


def use() -> None:
    """Make this style the default of the running notebook, for hand-made figures too."""
    mpl.rcParams.update(_RC)


def figure(aspect: float = GOLDEN, filled: float = 1.0) -> BookFigure:
    """Return an empty figure whose size obeys the book's law.

    Args:
        aspect: width divided by height, of a figure as wide as the text.
        filled: share of the width that panels may fill, from the left; the rest stays empty. A
            narrower picture file would be blown up to the text's width, letters and all.

    Returns:
        A figure of 7.2 by `7.2 / aspect` inches.

    Raises:
        ValueError: if a number is not positive or `filled` exceeds 1.
    """
    if aspect <= 0 or not 0 < filled <= 1:
        raise ValueError(
            f"figure(aspect={aspect}, filled={filled}): aspect must be positive, and filled a "
            "share of the text width in (0, 1]"
        )
    _register_with_ipython()
    layout = ConstrainedLayoutEngine(rect=(0, 0, filled, 1))
    with mpl.rc_context(_RC):
        return BookFigure(figsize=(TEXT_WIDTH, TEXT_WIDTH / aspect), layout=layout)


def png(figure: Figure, limit: int = PNG_LIMIT) -> bytes:
    """Render `figure` as a transparent PNG of at most `limit` bytes where that is possible.

    Drawings are small as they are. A sheet of noisy photographs is not: it is first reduced to a
    palette of 256 colours, then to fewer pixels, but never to fewer than the page shows (96 an
    inch), then to fewer colours. What is smallest is returned at the end.
    """
    data = b""
    for dpi, colours in ((DPI, 256), (120, 256), (96, 256), (96, 96), (96, 32)):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, transparent=True)
        data = buffer.getvalue()
        if len(data) > limit:
            data = _with_palette(data, colours)
        if len(data) <= limit:
            break
    return data


def _with_palette(data: bytes, colours: int) -> bytes:
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    reduced = image.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    reduced.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def number(value: Any, form: str) -> str:
    """Return a number as text with a true minus sign, and none before a zero."""
    return re.sub(r"-(?=[0.]+(?![\d.]))", "", form.format(value)).replace("-", "−")


def table(
    frame: pd.DataFrame | Finding,
    *,
    decimals: int = 1,
    formats: Mapping[Any, str] | None = None,
    words: Mapping[Any, str] | None = None,
) -> Styler | Finding:
    """Return a table that looks like print: aligned numbers, air between columns, words for ids.

    Whole numbers have no decimals, truths are "yes" and "no", what is missing is left empty. A name
    of the index stands above it, in the header; an index that only counts is not shown.

    Args:
        frame: numbers and words; its index and columns hold nothing twice. A sentence that stands
            in the place of a table is returned as it is.
        decimals: of all numbers that are not whole.
        formats: column -> its own format, such as "{:+.2f}" or "{:.0f} %".
        words: id -> what is shown for it, in cells, index and header.

    Raises:
        ValueError: a format for a column that is not there.
    """
    if isinstance(frame, Finding):
        return frame
    own, said = dict(formats or {}), dict(words or {})
    if unknown := [name for name in own if name not in frame.columns]:
        raise ValueError(
            f"formats has {unknown[0]!r}: expected one of {', '.join(map(str, frame.columns))}"
        )
    nameless: list[Any] = [None] * frame.index.nlevels
    bare = frame.set_axis(frame.index.set_names(nameless))
    if frame.columns.nlevels == 1:  # the name of the columns is what stands above the index
        above = [str(name) for name in frame.index.names if name is not None]
        bare.columns = frame.columns.rename(", ".join(above) or None)
    printed = bare.style
    looks: Any = {}
    for name in bare.columns:
        form = own.get(name)
        cell = functools.partial(_printed, form=form, decimals=decimals, words=said)
        printed.format(cell, subset=[name])
        numeric = all(re.match(r"[+−-]?\d|$", cell(value)) for value in bare[name])
        side = "right" if numeric else "left"
        looks[name] = [{"selector": "", "props": f"text-align: {side}"}]
    printed.format_index(lambda key: str(said.get(key, key)), axis="index")
    printed.format_index(lambda key: str(said.get(key, key)), axis="columns")
    if isinstance(frame.index, pd.RangeIndex):
        printed.hide()
    printed.set_table_attributes('class="dataframe"')  # else the theme puts it on white in the dark
    return printed.set_table_styles(looks).set_table_styles(_PRINT, overwrite=False)


# Rules above, between and below, as in a journal, and none of the theme's own; colours are the
# page's.
_PRINT: Any = [
    {"selector": "", "props": "border-collapse: collapse; border: 0; border-block: 1.5px solid"},
    {"selector": "tr", "props": "background: none; border: 0"},
    {
        "selector": "th, td",
        "props": "padding: 0.25em 0.9em; vertical-align: top; white-space: normal; border: 0; "
        "font-variant-numeric: tabular-nums",
    },
    {"selector": "thead tr:last-child th", "props": "border-bottom: 1px solid"},
    {"selector": "th.row_heading, th.index_name", "props": "text-align: left; font-weight: 500"},
]


def _printed(value: Any, form: str | None, decimals: int, words: Mapping[Any, str]) -> str:
    if isinstance(value, str):
        return words.get(value, value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if np.ndim(value) == 0 and pd.isna(value):
        return ""
    if isinstance(value, numbers.Real):
        whole = "{:,}" if isinstance(value, numbers.Integral) else f"{{:.{decimals}f}}"
        return number(value, form or whole)
    return str(value)


def _register_with_ipython() -> None:
    """Let `png` win over the inline backend's own printer for figures of this book.

    The backend registers a printer for `Figure`, which IPython prefers to `_repr_png_`; a printer
    for the subclass is more specific and so comes first.
    """
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        shell.display_formatter.formatters["image/png"].for_type(BookFigure, png)
