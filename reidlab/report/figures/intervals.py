"""Figures of numbers with their intervals, and of tables of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from reidlab.evaluation import proportion_interval
from reidlab.explain import RowVote
from reidlab.report import style
from reidlab.report.figures.checks import check_colours, check_intervals, check_table, named
from reidlab.report.style import BookFigure
from reidlab.synth import PARTS

_MARKERS = ("o", "s", "^", "v", "P")  # one for each of style.SERIES
_PAPER: dict[str, Any] = {
    "marker": "D", "color": style.INK, "markerfacecolor": "none", "markersize": 8,
    "markeredgewidth": 1.8, "linestyle": "",
}  # fmt: skip
_DARK_LETTERS = "#111111"  # on a cell, which has a light colour of its own on both pages


@style.styled
def forest(
    table: pd.DataFrame,
    *,
    label: str,
    over: str = "seeds",
    no_difference: float | None = 0.0,
    band: bool = False,
) -> BookFigure:
    """Draw a line for each comparison: its value, its interval, and what the paper prints.

    A mark is filled where its interval leaves out "no difference", hollow where the interval holds
    it or where there is none, as of a single run.

    Args:
        table: one row for each mark. `value`, NaN where there are published numbers alone; `low`
            and `high`, the ends of its interval, NaN or absent for a single run; the name of its
            line in `name`, or else in the index. Also, if wanted: `panel`, the title of the panel
            it stands in, each with a scale of its own; `group`, its colour, such as a way of
            training: marks of one name lie below one another; `paper`, the published number, or a
            list of them; `runs`, a list of the values behind the mean. Lines, panels and groups
            keep the order of the table.
        label: of the axis, with the unit.
        over: what varies in the intervals: "seeds", "people", "seeds and people".
        no_difference: where neither side is ahead: 0, or 1 for ratios, 50 for a choice of two in
            percent. None: the values are no comparisons.
        band: whether a grey band shows differences below `smallest`, a column of the table: such
            runs would seldom see them.

    Raises:
        ValueError: the table is empty, lacks a column or has a place twice, a value lies outside
            its interval, or there are more groups than colours.
    """
    table = named(table)
    table = table.assign(panel=table.get("panel", ""), group=table.get("group", ""))
    check_table(table, ["panel", "name", "group"], ["value", *(["smallest"] if band else [])])
    table = check_intervals(table, ["name"], "value")
    lines, groups, titles = (
        [*dict.fromkeys(table[column])] for column in ("name", "group", "panel")
    )
    check_colours(len(groups), "groups")
    form = "{:+.1f}" if no_difference == 0 else "{:.1f}"
    names = [fill(str(line), 30) for line in lines]
    tallest = max(name.count("\n") for name in names) + 1
    height = max(0.26 * len(groups) + 0.12, 0.17 * tallest + 0.1) * len(lines)
    figure = style.figure(aspect=style.TEXT_WIDTH / (1.15 + height))
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for panel, title in zip(panels, titles, strict=True):
        for row in table[table.panel == title].to_dict("records"):
            group = groups.index(row["group"])
            place = lines.index(row["name"]) + (group + 0.5) / len(groups) - 0.5
            if band:
                panel.barh(
                    place, 2 * row["smallest"], 0.8 / len(groups), (no_difference or 0)
                    - row["smallest"], color=style.INK, alpha=0.25, zorder=0,
                )  # fmt: skip
            _forest_line(panel, place, row, group, no_difference)
            if row["value"] == row["value"]:
                panel.text(
                    1.02, place, style.number(row["value"], form), va="center", fontsize=10,
                    transform=panel.get_yaxis_transform(),
                )  # fmt: skip
        if no_difference is not None:
            panel.axvline(no_difference, color=style.INK, lw=1.2, zorder=1)
        panel.set(xlabel=label, title=str(title))
        panel.margins(x=0.12)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.set_yticks(range(len(lines)), names)
        for place in range(1, len(lines) if len(groups) > 1 else 0):
            panel.axhline(place - 0.5, color=style.INK, lw=0.6, alpha=0.5)
        panel.set_ylim(len(lines) - 0.5, -0.5)
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="y", length=0)
    _forest_words(figure, table, groups, over, no_difference, band)
    return figure


def _forest_line(
    panel: Axes, place: float, row: dict[str, Any], group: int, no_difference: float | None
) -> None:
    value, low, high = row["value"], row["low"], row["high"]
    several = not np.isnan(high - low)
    clear = several and (no_difference is None or low > no_difference or high < no_difference)
    colour = style.SERIES[group]
    runs = _numbers(row.get("runs"))
    panel.plot(runs, [place + 0.25] * len(runs), "|", color=colour, ms=7, mew=1.4)
    panel.plot(published := _numbers(row.get("paper")), [place] * len(published), **_PAPER)
    panel.errorbar(
        value, place, xerr=[[value - low], [high - value]] if several else None,
        fmt=_MARKERS[group], color=colour, markerfacecolor=colour if clear else "none",
        markersize=7, elinewidth=1.8, capsize=3,
    )  # fmt: skip


def _numbers(found: Any) -> list[float]:
    """Return a list from a number, a list, or nothing."""
    return [float(value) for value in np.ravel([] if found is None else found) if value == value]


def _forest_words(
    figure: BookFigure,
    table: pd.DataFrame,
    groups: Sequence[Any],
    over: str,
    no_difference: float | None,
    band: bool,
) -> None:
    """Say what colours, bars, hollow marks and bands mean, of those that are there."""
    handles = [
        Line2D([], [], color=style.SERIES[i], marker=_MARKERS[i], ls="", ms=7, label=str(group))
        for i, group in enumerate(groups)
        if len(groups) > 1
    ]
    if "runs" in table:
        handles.append(
            Line2D([], [], color=style.INK, marker="|", ls="", ms=7, label="single runs")
        )
    if "paper" in table and any(map(_numbers, table.paper)):
        handles.append(Line2D([], [], **_PAPER, label="the paper"))
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=4, handletextpad=0.3)
    bars, bare = table.high.notna().any(), (table.high.isna() & table.value.notna()).any()
    words = [f"bars: 95 % interval over {over}"] if bars else []
    if no_difference is not None and bars:
        words.append(f"hollow: it holds {no_difference:g}" + (", or one run" if bare else ""))
    elif bare:
        words.append("hollow: one run")
    if band:
        words.append("grey: seen in fewer than 80 % of cases")
    figure.supxlabel("; ".join(words), fontsize=9, ha="right", x=0.99)


@style.styled
def heat_table(
    table: pd.DataFrame,
    *,
    label: str,
    stars: pd.DataFrame | NDArray[np.bool_] | None = None,
    border: pd.DataFrame | NDArray[np.bool_] | None = None,
) -> BookFigure:
    """Draw a table of gains (blue) and losses (orange) as a map, with the numbers in its cells.

    Args:
        table: numbers; the names of its index and columns are those of the axes. NaN: empty.
        label: what the numbers are, with the unit.
        stars: of the shape of `table`, True where the number gets a star.
        border: likewise; a line is drawn between cells that are True and cells that are not.

    Raises:
        ValueError: the table is empty, holds no number, or stars or border have another shape.
    """
    values = table.to_numpy(float)
    if not values.size or np.isnan(values).all():
        raise ValueError(f"the table has the shape {values.shape} and no number: nothing to draw")
    for name, extra in (("stars", stars), ("border", border)):
        if extra is not None and np.shape(extra) != values.shape:
            raise ValueError(
                f"{name} has the shape {np.shape(extra)}, the table {values.shape}: "
                "expected True or False for each cell"
            )
    figure = style.figure(aspect=style.TEXT_WIDTH / (1.2 + 0.5 * len(values)))
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("cells", [style.WRONG, "#ffffff", style.QUERY])
    reach = np.nanmax(np.abs(values)) or 1.0
    axes.imshow(values, colours, aspect="auto", vmin=-reach, vmax=reach)
    starred = np.zeros(values.shape, bool) if stars is None else np.asarray(stars, bool)
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            text = style.number(value, "{:+.1f}")
            axes.text(
                column, row, text + "*" * int(starred[row, column]), ha="center", va="center",
                color=_DARK_LETTERS, fontsize=12,
            )  # fmt: skip
    if border is not None:
        _staircase(axes, np.asarray(border, bool))
    axes.set(xlabel=table.columns.name or "", ylabel=table.index.name or "", title=label)
    axes.set_xticks(range(len(table.columns)), list(map(str, table.columns)))
    axes.set_yticks(range(len(table)), list(map(str, table.index)))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return figure


def _staircase(axes: Axes, inside: NDArray[np.bool_]) -> None:
    """Draw the edges between cells that differ."""
    look: Any = {"color": style.ACCENT, "lw": 3.5, "capstyle": "projecting"}
    for row, column in np.argwhere(inside[:, 1:] != inside[:, :-1]):
        axes.vlines(column + 0.5, row - 0.5, row + 0.5, **look)
    for row, column in np.argwhere(inside[1:] != inside[:-1]):
        axes.hlines(row + 0.5, column - 0.5, column + 0.5, **look)


@style.styled
def two_measures(table: pd.DataFrame, *, x: str, y: str) -> BookFigure:
    """Draw two measures of the same things against each other; on the dashed line they agree.

    Args:
        table: one row for each thing, such as a network, with a column for each measure, both in
            one unit; `group`, its colour and mark, if wanted.
        x: the column of the horizontal axis, and its label.
        y: likewise of the vertical one.

    Raises:
        ValueError: the table is empty or lacks a column, or there are more groups than colours.
    """
    table = table.assign(group=table.get("group", ""), number=range(len(table)))
    check_table(table, ["number"], [x, y])
    groups = [*dict.fromkeys(table.group)]
    check_colours(len(groups), "groups")
    figure = style.figure(aspect=1.5, filled=0.75)
    axes = figure.subplots()
    for i, group in enumerate(groups):
        some = table[table.group == group]
        axes.plot(
            some[x], some[y], _MARKERS[i], color=style.SERIES[i], ms=8, alpha=0.75, label=str(group)
        )
    both = table[[x, y]].to_numpy(float)
    room = 0.06 * (np.nanmax(both) - np.nanmin(both)) or 1.0
    ends = np.nanmin(both) - room, np.nanmax(both) + room
    axes.plot(ends, ends, color=style.INK, linestyle="--", lw=1.2, zorder=1)
    axes.set(xlabel=x, ylabel=y, xlim=ends, ylim=ends)
    if len(groups) > 1:
        axes.legend(loc="best", handletextpad=0.3)
    return figure


@style.styled
def row_accuracy(votes: RowVote, parts: Tensor | NDArray[Any] | None = None) -> BookFigure:
    """Draw how often the classifier of each row is right, and what of the body a row shows.

    Args:
        votes: of `reidlab.explain.row_vote`, for B images in R rows. An interval is Wilson's over
            the images; the line is the vote of all rows.
        parts: shares of the body parts in each row of the same images, (B, R, 8):
            `reidlab.explain.row_parts`; None where there are no masks.

    Raises:
        ValueError: there is no image, or `parts` has another shape.
    """
    right = np.asarray(votes.right, dtype=bool)  # (B, R)
    shares = None if parts is None else np.asarray(parts, dtype=float)
    if not len(right) or (shares is not None and shares.shape != (*right.shape, len(PARTS))):
        raise ValueError(
            f"votes have shape {right.shape}, parts {None if shares is None else shares.shape}: "
            "expected (B, R) with one image at least, and (B, R, 8), from row_parts"
        )
    count, rows = right.shape
    figure = style.figure(aspect=style.TEXT_WIDTH / (1.4 + 0.24 * rows))
    panels = figure.subplots(1, 1 if shares is None else 2, sharey=True, squeeze=False)[0]
    values = 100 * right.mean(0)
    ends = np.array([proportion_interval(int(hits), count) for hits in right.sum(0)]) * 100
    panels[0].errorbar(
        values, range(rows), xerr=np.abs(ends.T - values), fmt="o", color=style.QUERY,
        markersize=6, elinewidth=1.8, capsize=3,
    )  # fmt: skip
    ensemble = 100 * np.asarray(votes.ensemble, dtype=float).mean()
    panels[0].axvline(ensemble, color=style.ACCENT, linestyle="--", label="vote of all rows")
    panels[0].set(xlabel="right (%)", ylabel="row of patches", ylim=(rows - 0.5, -0.5))
    # Every row has a bar, not every one a number: they would touch.
    panels[0].set_yticks(range(0, rows, 1 + rows // 10), range(1, rows + 1, 1 + rows // 10))
    panels[0].set_xlim(0, 102)
    if shares is not None:
        mean = 100 * shares.mean(0)  # (R, 8); a row's rest is background
        for part, name in enumerate(PARTS):
            if part and mean[:, part].any():
                panels[1].barh(
                    range(rows), mean[:, part], height=0.9, left=mean[:, 1:part].sum(1),
                    label=name, color=style.PART_COLOURS[name],
                )  # fmt: skip
        panels[1].set_xlabel("share of the row (%)")
    for panel in panels:
        panel.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=4, handlelength=1.2, columnspacing=1.2)
    return figure
