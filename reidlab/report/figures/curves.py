"""Figures of lines: training by epoch, a difference against a knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reidlab.report import style
from reidlab.report.figures.tables import check_table
from reidlab.report.style import BookFigure


@style.styled
def training_curve(history: Sequence[Mapping[str, Any]]) -> BookFigure:
    """Draw loss (its parts too) and training accuracy by epoch.

    Args:
        history: one mapping for each epoch with `epoch`, `loss`, optional `losses` (name to
            value) and `accuracy` in 0..1, as a run record stores them.

    Raises:
        ValueError: if the history is empty.
    """
    if not history:
        raise ValueError("the history is empty: the record comes from a run of no epochs")
    epochs = [row["epoch"] for row in history]
    parts = sorted({name for row in history for name in row.get("losses") or {}})
    accurate = any(row.get("accuracy") is not None for row in history)
    figure = style.figure(aspect=2.4 if accurate else style.GOLDEN)
    panels = figure.subplots(1, 2 if accurate else 1, squeeze=False)[0]
    marker = {"marker": "o", "markersize": 4} if len(epochs) < 12 else {}
    panels[0].plot(epochs, [row["loss"] for row in history], label="sum", **marker)
    for name in parts if len(parts) > 1 else ():
        panels[0].plot(epochs, [_part(row, name) for row in history], label=name, **marker)
    panels[0].set(xlabel="epoch", ylabel="loss (nats)")
    panels[0].set_ylim(bottom=0)
    if len(parts) > 1:
        panels[0].legend()
    if accurate:
        values = [np.nan if row.get("accuracy") is None else row["accuracy"] for row in history]
        panels[1].plot(epochs, values, color=style.MATCH, **marker)
        panels[1].set(xlabel="epoch", ylabel="share right, training batches", ylim=(0, 1.02))
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _part(row: Mapping[str, Any], name: str) -> float:
    return float((row.get("losses") or {}).get(name, np.nan))


@style.styled
def two_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]]],
    *,
    where: str = "validation",
) -> BookFigure:
    """Draw loss and accuracy on images set aside, by epoch, for several settings.

    Args:
        histories: name of the settings -> the history of a run, or of several seeds: they are drawn
            thin and their mean thick, over the epochs that all of them reached. An epoch counts
            where it holds `row["validation"]` with `loss` and `accuracy` (0..1).
        where: the key that holds them, and the word on the axes.

    Raises:
        ValueError: if there is nothing to draw, or there are more settings than colours.
    """
    if not 0 < len(histories) <= len(style.SERIES):
        raise ValueError(
            f"there are {len(histories)} histories: expected 1 to {len(style.SERIES)}, so that "
            "each has a colour and a dash of its own"
        )
    figure = style.figure(aspect=2.2)
    panels = figure.subplots(1, 2)
    for i, (name, history) in enumerate(histories.items()):
        colour, dash = style.SERIES[i], style.DASHES[i]
        runs = _judged(name, history, where)
        shared = sorted(set.intersection(*(set(run) for run in runs)))
        if not shared:
            raise ValueError(f"the {len(runs)} seeds of {name!r} have no epoch in common")
        label = name if len(runs) == 1 else f"{name}, mean of {len(runs)} seeds"
        for panel, key in zip(panels, ("loss", "accuracy"), strict=True):
            for run in runs if len(runs) > 1 else ():
                values = [row[key] for row in run.values()]
                panel.plot([*run], values, color=colour, linestyle="-", lw=0.8, alpha=0.6)
            means = [np.mean([run[epoch][key] for run in runs]) for epoch in shared]
            marker = "o" if len(shared) == 1 else None  # a line of one point would be invisible
            panel.plot(shared, means, color=colour, linestyle=dash, marker=marker, label=label)
    panels[0].set(xlabel="epoch", ylabel=f"{where} loss (nats)")
    panels[0].set_ylim(bottom=0)
    panels[1].set(xlabel="epoch", ylabel=f"share right, {where} images", ylim=(0, 1.02))
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2, handlelength=3)
    return figure


def _judged(name: str, history: Sequence[Any], where: str) -> list[dict[int, Mapping[str, float]]]:
    """Return for each seed: epoch -> loss and accuracy, of the epochs that were judged."""
    runs = [history] if history and isinstance(history[0], Mapping) else history
    judged = [
        {
            row["epoch"]: row[where]
            for row in run
            if {"loss", "accuracy"} <= set(row.get(where) or {})
        }
        for run in runs
    ]
    if not judged or not all(judged):
        raise ValueError(
            f"a run of {name!r} has no epoch with {where} loss and accuracy: expected "
            f'row["{where}"]["loss"] and ["accuracy"], from a run that set images of its training '
            "people aside"
        )
    return judged


@style.styled
def knob_curves(
    table: pd.DataFrame,
    *,
    over: Literal["seeds", "people", "queries"],
    label: str = "mAP, rows − global (points)",
) -> BookFigure:
    """Draw a difference of two models against one knob of the world after another.

    A filled mark has an interval without zero, a hollow one cannot tell the models apart.

    Args:
        table: one row for each setting, with `knob`, the panel; `value`, its place on it: at scale
            where all values of a knob are numbers, else one after another; `difference`; `low`
            and `high`, the ends of its interval, NaN for one run.
        over: what varies in the interval.
        label: of the vertical axis, shared by all panels.

    Raises:
        ValueError: if the table is empty, lacks a column, has a setting twice, or a difference
            lies outside its interval.
    """
    check_table(table, ["knob", "value"], ["difference", "low", "high"])
    table = table.astype(dict.fromkeys(("difference", "low", "high"), float))  # None is NaN
    for row in table[(table.difference < table.low) | (table.difference > table.high)].to_dict(
        "records"
    ):
        raise ValueError(
            f"{row['knob']} = {row['value']}: {row['difference']} is not inside its interval "
            f"[{row['low']}, {row['high']}]"
        )
    knobs = [*dict.fromkeys(table.knob)]
    across = min(3, len(knobs))
    down = -(-len(knobs) // across)
    figure = style.figure(rows=down, aspect=2.4)
    panels = figure.subplots(down, across, sharey=True, squeeze=False)
    for panel in panels.flat[len(knobs) :]:
        panel.set_axis_off()
    for panel, knob in zip(panels.flat, knobs, strict=False):  # the last line may have room left
        _knob_panel(panel, table[table.knob == knob])
        panel.set_xlabel(str(knob))
    for panel in panels[:, 0]:
        panel.set_ylabel(label)
    figure.supxlabel(
        f"bars: interval over {over}; hollow: the interval holds zero",
        fontsize=9,
        ha="right",
        x=0.99,
    )
    return figure


def _knob_panel(panel: Axes, rows: pd.DataFrame) -> None:
    numbers = pd.api.types.is_numeric_dtype(rows.value.infer_objects())
    rows = rows.sort_values("value") if numbers else rows
    places = rows.value.to_numpy(float) if numbers else np.arange(len(rows))
    panel.axhline(0, color=style.INK, lw=1.4)
    panel.plot(places, rows.difference, color=style.ACCENT, linestyle="-", lw=1)
    columns = (rows.difference, rows.low, rows.high)
    for place, middle, low, high in zip(places, *columns, strict=True):
        clear = low > 0 or high < 0  # False for one run, which has no interval
        panel.errorbar(
            place, middle, yerr=None if np.isnan(high - low) else [[middle - low], [high - middle]],
            fmt="o", color=style.ACCENT, markerfacecolor=None if clear else "none", markersize=7,
            elinewidth=1.6, capsize=3,
        )  # fmt: skip
    names = [f"{value:g}" if numbers else str(value) for value in rows.value]
    panel.set_xticks(places, names)
    panel.margins(x=0.12)
    panel.grid(axis="x", visible=False)
