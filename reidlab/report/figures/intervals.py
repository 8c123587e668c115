"""Figures of numbers with their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reidlab.report import style
from reidlab.report.figures.tables import check_table
from reidlab.report.style import BookFigure

_SOURCES = {"live": "trained on this page", "record": "from a committed record"}
_MARKS_OF_SOURCES: dict[str, Any] = {
    "live": {"marker": "o", "color": style.ACCENT},
    "record": {"marker": "s", "color": style.QUERY, "markerfacecolor": "none"},
}


@style.styled
def ablation_grid(table: pd.DataFrame, *, label: str = "mAP (%)") -> BookFigure:
    """Draw a table of variants as places on one scale, with the spread over seeds.

    A line of the figure is a kind of model, a panel a way of training it, as in Table 2 of
    LA-Transformer. A cell that was not trained stays empty.

    Args:
        table: one row for each cell, with `model`, `heads`, `tokens`; `unfreezing`, the title of
            the panel; `mean`; `spread`, the standard deviation over seeds, NaN for one run;
            `source`, "live" or "record". Lines and panels keep the order of the table.
        label: of the axis, with the unit.

    Raises:
        ValueError: if the table is empty, lacks a column, has a cell twice or an unknown source.
    """
    check_table(table, ["model", "heads", "tokens", "unfreezing"], ["mean", "spread", "source"])
    if unknown := sorted(set(table.source) - set(_SOURCES)):
        raise ValueError(f"a source is {unknown[0]!r}: expected one of {', '.join(_SOURCES)}")
    table = table.astype({"mean": float, "spread": float})  # None is NaN from here on
    lines = [*dict.fromkeys(zip(table.model, table.heads, table.tokens, strict=True))]
    titles = [*dict.fromkeys(table.unfreezing)]
    figure = style.figure(aspect=style.TEXT_WIDTH / (1.15 + 0.42 * len(lines)))
    panels = figure.subplots(1, len(titles), sharex=True, sharey=True, squeeze=False)[0]
    for panel, title in zip(panels, titles, strict=True):
        for cell in table[table.unfreezing == title].to_dict("records"):
            line = cell["model"], cell["heads"], cell["tokens"]
            _ablation_cell(panel, lines.index(line), cell["mean"], cell["spread"], cell["source"])
        for place in range(1, len(lines)):
            if lines[place][0] != lines[place - 1][0]:  # a rule between the models
                panel.axhline(place - 0.5, color=style.INK, lw=0.8)
        panel.set(xlabel=label, title=str(title))
        panel.margins(x=0.12)
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="y", length=0)
    names = [f"{model}, {heads} head{'s'[: heads > 1]}, {tokens}" for model, heads, tokens in lines]
    panels[0].set_yticks(range(len(lines)), names)
    panels[0].set_ylim(len(lines) - 0.5, -0.6)
    figure.legend(handles=_source_handles(table), loc="outside lower right", ncols=3, fontsize=9)
    return figure


def _ablation_cell(panel: Axes, place: int, mean: float, spread: float, source: str) -> None:
    several = not np.isnan(spread)
    panel.errorbar(
        mean, place, xerr=spread if several else None, elinewidth=1.6, capsize=3, markersize=6,
        linestyle="", **_MARKS_OF_SOURCES[source],
    )  # fmt: skip
    panel.annotate(
        f"{mean:.1f} ± {spread:.1f}" if several else f"{mean:.1f}", (mean, place), (0, 5),
        textcoords="offset points", ha="center", va="bottom", fontsize=8,
    )  # fmt: skip


def _source_handles(table: pd.DataFrame) -> list[Line2D]:
    """Return what the marks mean, of those that are there."""
    handles = [
        Line2D([], [], linestyle="", label=name, **_MARKS_OF_SOURCES[source])
        for source, name in _SOURCES.items()
        if source in set(table.source)
    ]
    if table.spread.notna().any():
        handles.append(Line2D([], [], color=style.INK, label="± standard deviation over seeds"))
    return handles
