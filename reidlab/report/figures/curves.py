"""Figures of lines: training by epoch, a difference against a knob, what a ranking finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reidlab.evaluation import RankResult
from reidlab.report import style
from reidlab.report.figures.checks import check_colours, check_table
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
    parts = pd.DataFrame([row.get("losses") or {} for row in history])
    accuracy = [np.nan if row.get("accuracy") is None else row["accuracy"] for row in history]
    accurate = not np.isnan(accuracy).all()
    figure = style.figure(aspect=2.4 if accurate else style.GOLDEN)
    panels = figure.subplots(1, 2 if accurate else 1, squeeze=False)[0]
    marker = {"marker": "o", "markersize": 4} if len(epochs) < 12 else {}
    panels[0].plot(epochs, [row["loss"] for row in history], label="sum", **marker)
    if parts.shape[1] > 1:
        for name in sorted(parts, key=str):
            panels[0].plot(epochs, parts[name], label=name, **marker)
        panels[0].legend()
    panels[0].set(xlabel="epoch", ylabel="loss (nats)")
    panels[0].set_ylim(bottom=0)
    if accurate:
        panels[1].plot(epochs, accuracy, color=style.MATCH, **marker)
        panels[1].set(xlabel="epoch", ylabel="share right, training batches", ylim=(0, 1.02))
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@style.styled
def two_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]]],
) -> BookFigure:
    """Draw loss and accuracy on images set aside, by epoch, for several settings.

    Args:
        histories: name of the settings -> the history of a run, or of several seeds: drawn as
            their mean in their range, over the epochs that all of them reached. An epoch counts
            where it holds `row["validation"]` with `loss` and `accuracy` (0..1).

    Raises:
        ValueError: if there is nothing to draw, or there are more settings than colours.
    """
    check_colours(len(histories), "histories")
    figure = style.figure(aspect=2.2)
    panels = figure.subplots(1, 2)
    for i, (name, history) in enumerate(histories.items()):
        runs = _judged(name, history)
        shared = sorted(set.intersection(*(set(run) for run in runs)))
        if not shared:
            raise ValueError(f"the {len(runs)} seeds of {name!r} have no epoch in common")
        label = name if len(runs) == 1 else f"{name}, {len(runs)} seeds"
        for panel, key in zip(panels, ("loss", "accuracy"), strict=True):
            values = np.array([[run[epoch][key] for epoch in shared] for run in runs])
            _mean_in_range(panel, shared, values, i, label)
    panels[0].set(xlabel="epoch", ylabel="validation loss (nats)")
    panels[0].set_ylim(bottom=0)
    panels[1].set(xlabel="epoch", ylabel="share right, validation", ylim=(0, 1.02))
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, panels)
    return figure


@style.styled
def line_chart(
    table: pd.DataFrame,
    *,
    x: str,
    label: str,
    across: float | None = None,
) -> BookFigure:
    """Draw a number against another, a line for each name.

    Several seeds of a name are drawn as their mean in their range. A line at zero is drawn where
    a value lies below it.

    Args:
        table: one row for each point, with `name`; `value`; a column for the horizontal axis;
            and, if wanted, `seed`. A point counts where all seeds of its name have it.
        x: the column of the horizontal axis, and its label.
        label: of the vertical axis, with the unit.
        across: where on the vertical axis a dotted line lies.

    Raises:
        ValueError: the table is empty, lacks a column or has a point twice, seeds have no point in
            common, or there are more names than colours.
    """
    table = table.assign(seed=table.get("seed", 0))
    check_table(table, ["name", "seed", x], ["value"])
    names = [*dict.fromkeys(table["name"])]
    check_colours(len(names), "names")
    figure = style.figure()
    axes = figure.subplots()
    for i, name in enumerate(names):
        runs = table[table["name"] == name].pivot(index="seed", columns=x, values="value")
        runs = runs.dropna(axis="columns")
        if runs.empty:
            raise ValueError(f"the seeds of {name!r} have no value of {x!r} in common")
        _mean_in_range(axes, runs.columns.to_list(), runs.to_numpy(float), i, str(name))
    if (table["value"] < 0).any():
        axes.axhline(0, color=style.INK, lw=1.2, linestyle="-")
    if across is not None:
        axes.axhline(across, color=style.INK, lw=1.2, linestyle=":")
    axes.set(xlabel=x, ylabel=label)
    _legend(figure, [axes])
    return figure


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


def _mean_in_range(
    panel: Axes, x: Sequence[float], runs: NDArray[np.float64], place: int, label: str
) -> None:
    """Draw the mean of runs (S, K) over K places, on the range that they span."""
    colour, marker = style.SERIES[place], "o" if len(x) < 12 else None
    if len(runs) > 1:
        panel.fill_between(x, runs.min(0), runs.max(0), color=colour, alpha=0.22, lw=0)
    panel.plot(
        x, runs.mean(0), color=colour, linestyle=style.DASHES[place], marker=marker, markersize=4,
        label=label,
    )  # fmt: skip


def _legend(figure: BookFigure, panels: Sequence[Axes] | NDArray[Any]) -> None:
    lines = {line.get_label(): line for panel in panels for line in panel.lines}
    named = {str(name): line for name, line in lines.items() if not str(name).startswith("_")}
    banded = any(panel.collections for panel in panels)
    figure.legend(
        [*named.values()], [*named], loc="outside upper left", handlelength=3,
        ncols=3 if max(map(len, named)) < 22 else 2, alignment="left", title_fontsize=9,
        title="mean, and range of the seeds" if banded else None,
    )  # fmt: skip


def _judged(name: str, history: Sequence[Any]) -> list[dict[int, Mapping[str, float]]]:
    """Return for each seed: epoch -> loss and accuracy, of the epochs that were judged."""
    runs = [history] if history and isinstance(history[0], Mapping) else history
    judged = [
        {
            row["epoch"]: row["validation"]
            for row in run
            if {"loss", "accuracy"} <= set(row.get("validation") or {})
        }
        for run in runs
    ]
    if not judged or not all(judged):
        raise ValueError(
            f"a run of {name!r} has no epoch with validation loss and accuracy: expected "
            'row["validation"]["loss"] and ["accuracy"], from a run that set images of its '
            "training people aside"
        )
    return judged
