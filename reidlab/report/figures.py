"""The figures of the book: data in, a matplotlib figure out.

Images are arrays `(H, W, 3)` of bytes or paths of files. Sheets of images are composed into one
array first, so that a hundred pictures cost one drawing call and keep their own pixels. No figure
tells right from wrong by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from reidlab.report import style
from reidlab.report.style import BookFigure

Picture = NDArray[Any] | str | Path
Flag = bool | None

_MARKS = {True: ("✓", style.MATCH, "-"), False: ("✗", style.WRONG, "-")}
_IGNORED = ("–", style.JUNK, "--")


def read_picture(picture: Picture) -> NDArray[np.uint8]:
    """Return an RGB array `(H, W, 3)` of bytes from a path, or from an array of bytes or floats.

    Raises:
        ValueError: if an array has another shape, or floats outside 0..1.
    """
    if isinstance(picture, str | Path):
        with Image.open(picture) as file:
            return np.asarray(file.convert("RGB"))
    array = np.asarray(picture)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise ValueError(
            f"a picture has shape (H, W, 3), not {array.shape}; "
            "a tensor (3, H, W) needs .permute(1, 2, 0) and its normalisation undone"
        )
    if array.dtype == np.uint8:
        return array
    if array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"a picture of floats lies in 0..1, not {array.min():.2f}..{array.max():.2f}; "
            "undo the normalisation first"
        )
    return (array * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class _Sheet:
    """Pictures on a grid of equal cells; coordinates are pixels of the sheet."""

    pixels: NDArray[np.uint8]  # (rows * pitch, columns * pitch, 4)
    cell: tuple[int, int]  # height, width
    gap: tuple[int, int]

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Return x, y of the upper left corner of a cell."""
        return column * (self.cell[1] + self.gap[1]), row * (self.cell[0] + self.gap[0])


def _sheet(rows: Sequence[Sequence[Picture]], gap: tuple[int, int]) -> _Sheet:
    """Compose pictures on a grid; a picture of another size is resized to the first one's."""
    if not len(rows) or not len(rows[0]):
        raise ValueError("there is no picture to show: give at least one row with one picture")
    height, width = read_picture(rows[0][0]).shape[:2]
    columns = max(len(row) for row in rows)
    pixels = np.zeros(
        (len(rows) * (height + gap[0]) - gap[0], columns * (width + gap[1]) - gap[1], 4), np.uint8
    )
    sheet = _Sheet(pixels, (height, width), gap)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            array = read_picture(picture)
            if array.shape[:2] != (height, width):
                array = np.asarray(Image.fromarray(array).resize((width, height)))
            x, y = sheet.corner(i, j)
            pixels[y : y + height, x : x + width, :3] = array
            pixels[y : y + height, x : x + width, 3] = 255
    return sheet


def _show(sheet: _Sheet, left: float, head: int, foot: int) -> tuple[BookFigure, Axes]:
    """Draw a sheet across the page, with `left` inches for labels, `head`/`foot` pixels spare."""
    height, width = sheet.pixels.shape[:2]
    across = _across(sheet, left)
    inches = across * (height + head + foot) / width
    figure = style.figure(aspect=style.TEXT_WIDTH / inches)
    figure.set_layout_engine("none")
    axes = figure.add_axes((left / style.TEXT_WIDTH, 0.0, across / style.TEXT_WIDTH, 1.0))
    axes.imshow(sheet.pixels, interpolation="antialiased", aspect="auto")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height + foot - 0.5, -head - 0.5)
    axes.set_axis_off()
    return figure, axes


def _across(sheet: _Sheet, left: float) -> float:
    """Inches that a sheet takes on the page beside `left` inches for labels."""
    width = sheet.pixels.shape[1]
    # Fewer pictures than fill the page are not blown up: a cell is at most 0.9 inches wide.
    return min(style.TEXT_WIDTH - left, 0.9 * width / sheet.cell[1])


def _label_rows(axes: Axes, sheet: _Sheet, labels: Sequence[str] | None) -> None:
    for row, label in enumerate(labels or ()):
        y = sheet.corner(row, 0)[1] + sheet.cell[0] / 2
        axes.text(-sheet.cell[1] * 0.12, y, label, ha="right", va="center", fontsize=9)


def _label_columns(axes: Axes, sheet: _Sheet, labels: Sequence[str] | None) -> None:
    for column, label in enumerate(labels or ()):
        x = sheet.corner(0, column)[0] + sheet.cell[1] / 2
        axes.text(x, -sheet.cell[0] * 0.05, label, ha="center", va="bottom", fontsize=9)


def _margin(labels: Sequence[str] | None) -> float:
    """Return inches that row labels need: the longest line at 9 points, plus air."""
    lines = [line for label in labels or () for line in label.split("\n")]
    return 0.075 * max((len(line) for line in lines), default=0) + (0.15 if lines else 0.02)


@style.styled
def contact_sheet(
    images: Sequence[Sequence[Picture]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
) -> BookFigure:
    """Show rows of pictures side by side, one person a row as a rule.

    Args:
        images: rows of pictures; a row may be shorter than the others.
        row_labels: one for each row.
        column_labels: one for each column.
    """
    gap = max(1, read_picture(images[0][0]).shape[1] // 24) if len(images) and len(images[0]) else 1
    sheet = _sheet(images, gap=(gap, gap))
    left = _margin(row_labels)
    # A line of 9 points needs a quarter of an inch, however low the pictures are.
    line = 0.25 * sheet.pixels.shape[1] / _across(sheet, left)
    figure, axes = _show(sheet, left, head=round(line) if column_labels else 0, foot=0)
    _label_rows(axes, sheet, row_labels)
    _label_columns(axes, sheet, column_labels)
    return figure


@style.styled
def ranked_list(
    queries: Sequence[Picture],
    galleries: Sequence[Sequence[Picture]],
    matches: Sequence[Sequence[Flag]],
    *,
    scores: Sequence[Sequence[float]] | None = None,
    row_labels: Sequence[str] | None = None,
) -> BookFigure:
    """Show queries and what stands at rank 1, 2, ... for each: ✓ right, ✗ wrong, – ignored.

    Args:
        queries: Q pictures, one row each.
        galleries: for each query its ranked gallery pictures, nearest first.
        matches: for each of them True (same person), False (another), None (junk, not counted).
        scores: printed behind the mark, similarity or distance as the caller says.
        row_labels: Q labels in front of the rows.

    Raises:
        ValueError: if the three lists do not go together.
    """
    _same_lengths(queries, galleries, matches, scores)
    gap = max(2, read_picture(queries[0]).shape[1] // 8)
    under = read_picture(queries[0]).shape[0] // 5
    rows = [[query, *gallery] for query, gallery in zip(queries, galleries, strict=True)]
    sheet = _sheet(rows, gap=(under, gap))
    figure, axes = _show(sheet, _margin(row_labels), head=under, foot=under)
    for i, flags in enumerate(matches):
        _frame(axes, sheet, i, 0, style.QUERY, "-")
        for j, flag in enumerate(flags):
            mark, colour, dash = _IGNORED if flag is None else _MARKS[bool(flag)]
            _frame(axes, sheet, i, j + 1, colour, dash)
            text = mark if scores is None else f"{mark} {scores[i][j]:.2f}"
            x, y = sheet.corner(i, j + 1)
            place = (x + sheet.cell[1] / 2, y + sheet.cell[0] + under * 0.14)
            axes.text(*place, text, color=colour, ha="center", va="top", fontsize=10)
    longest = max(len(gallery) for gallery in galleries)
    _label_rows(axes, sheet, row_labels)
    _label_columns(axes, sheet, ["query", *(f"{rank}" for rank in range(1, longest + 1))])
    return figure


def _same_lengths(
    queries: Sequence[Picture],
    galleries: Sequence[Sequence[Picture]],
    matches: Sequence[Sequence[Flag]],
    scores: Sequence[Sequence[float]] | None,
) -> None:
    if not len(queries) == len(galleries) == len(matches) > 0:
        raise ValueError(
            f"{len(queries)} queries, {len(galleries)} ranked lists and {len(matches)} lists of "
            "flags: a row needs one of each, also when there is one query: [query], [list], [flags]"
        )
    for i, (gallery, flags) in enumerate(zip(galleries, matches, strict=True)):
        lengths = {len(gallery), len(flags)} | ({len(scores[i])} if scores is not None else set())
        if len(lengths) > 1:
            raise ValueError(
                f"row {i}: {len(gallery)} pictures, {len(flags)} flags"
                + (f", {len(scores[i])} scores" if scores is not None else "")
                + "; give one flag (and one score) for each picture"
            )


def _frame(axes: Axes, sheet: _Sheet, row: int, column: int, colour: str, dash: str) -> None:
    x, y = sheet.corner(row, column)
    height, width = sheet.cell
    axes.add_patch(
        Rectangle(
            (x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour, lw=2.4, linestyle=dash
        )
    )


@style.styled
def heat_overlay(
    image: Picture, heats: NDArray[Any], names: Sequence[str], *, label: str = "heat"
) -> BookFigure:
    """Lay heat maps over a picture: grey below, colour and opacity by heat.

    Args:
        image: the picture, `(H, W, 3)`.
        heats: `(L, h, w)` in 0..1, of any resolution; scaled to the picture.
        names: L names, such as the layers.
        label: what the colour bar measures.

    Raises:
        ValueError: if `heats` is not `(L, h, w)` in 0..1, or the number of names differs.
    """
    picture, heats = read_picture(image), np.asarray(heats, dtype=float)
    if heats.ndim != 3 or len(heats) != len(names):
        raise ValueError(
            f"heats has shape {heats.shape} and there are {len(names)} names: expected (L, h, w) "
            "and L names, e.g. heats[0] of a batch (B, L, h, w)"
        )
    if not np.isfinite(heats).all() or heats.min() < 0 or heats.max() > 1:
        raise ValueError(f"heat lies in 0..1, not {heats.min():.3g}..{heats.max():.3g}")
    height, width = picture.shape[:2]
    columns = len(heats) + 1
    filled = min(1.0, 0.2 * columns)
    figure = style.figure(aspect=columns * width / height * 1.25 / filled, filled=filled)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    panels[0].imshow(picture)
    panels[0].set_title("image")
    grey = picture.mean(axis=-1) * 0.7 + 50  # flattened contrast: the heat is what counts
    for panel, heat, name in zip(panels[1:], heats, names, strict=True):
        panel.imshow(grey, cmap="gray", vmin=0, vmax=255)
        scaled = Image.fromarray(heat.astype(np.float32)).resize((width, height), 2)
        values = np.clip(np.asarray(scaled), 0, 1)
        shown = panel.imshow(values, cmap=style.HEAT, vmin=0, vmax=1, alpha=0.9 * values**0.6)
        panel.set_title(name)
    for panel in panels:
        panel.set_axis_off()
    bar = figure.colorbar(
        mappable=_opaque(shown.cmap), ax=list(panels), shrink=0.8, pad=0.02, label=label
    )
    bar.outline.set_visible(False)
    return figure


def _opaque(cmap: Any) -> Any:
    """Return a colour scale 0..1 for a bar: the overlay's own would show its transparency."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(0, 1), cmap)


@style.styled
def part_overlay(
    images: Sequence[Picture], masks: Sequence[NDArray[np.uint8]], *, opacity: float = 0.72
) -> BookFigure:
    """Show pictures above the same pictures with their true body parts coloured.

    Args:
        images: N pictures.
        masks: N arrays `(H, W)` of part labels, 0 background to 7 occluder.
        opacity: of the colours, 1 hides the picture.

    Raises:
        ValueError: if numbers, shapes or labels do not go together.
    """
    pictures = [read_picture(image) for image in images]
    if not pictures or len(pictures) != len(masks):
        raise ValueError(f"{len(pictures)} pictures and {len(masks)} masks: one for each, please")
    painted, seen = [], set()
    for picture, mask in zip(pictures, masks, strict=True):
        labels = set(np.unique(mask).tolist())
        if mask.shape != picture.shape[:2] or not labels <= set(style.PARTS):
            raise ValueError(
                f"a mask of shape {mask.shape} with labels {sorted(labels)} does not fit a picture "
                f"{picture.shape[:2]}: expected the same shape and labels 0 to 7"
            )
        painted.append(_paint(picture, mask, opacity))
        seen |= labels - {0}
    sheet = _sheet([pictures, painted], gap=(4, 4))
    foot = max(14, sheet.pixels.shape[1] // 16)
    figure, axes = _show(sheet, _margin(["image", "truth"]), head=0, foot=foot)
    _label_rows(axes, sheet, ["image", "truth"])
    handles = [Patch(color=style.PARTS[part][1], label=style.PARTS[part][0]) for part in seen]
    axes.legend(
        handles=handles, loc="lower left", ncols=8, handlelength=1, columnspacing=1, fontsize=9
    )
    return figure


def _paint(picture: NDArray[np.uint8], mask: NDArray[Any], opacity: float) -> NDArray[np.uint8]:
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(style.PARTS[part][1][:7]) for part in sorted(style.PARTS)]) * 255
    blend = np.where(mask[..., None] > 0, opacity, 0.0)
    return (picture * (1 - blend) + colours[mask] * blend).round().astype(np.uint8)


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
def bars_with_intervals(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]] | None = None,
    *,
    over: Literal["seeds", "queries", "one run"],
    label: str = "mAP (%)",
    highlight: Sequence[str] = (),
) -> BookFigure:
    """Draw horizontal bars, each with its interval, and say what the interval is over.

    Args:
        names: N names, drawn from the top.
        values: N values.
        intervals: N pairs (low, high) that contain the value; None draws none.
        over: what varies in the interval; "one run" where nothing does.
        label: of the axis, with the unit.
        highlight: names drawn in the accent colour and bold.

    Raises:
        ValueError: if lengths differ, or a value lies outside its interval.
    """
    if len(names) != len(values) or (intervals is not None and len(intervals) != len(values)):
        raise ValueError(f"{len(names)} names, {len(values)} values: lengths must be equal")
    figure = style.figure(aspect=style.TEXT_WIDTH / (0.7 + 0.38 * len(names)))
    axes = figure.subplots()
    places = np.arange(len(names))
    colours = [style.ACCENT if name in highlight else style.QUERY for name in names]
    axes.barh(places, values, color=colours, height=0.62)
    if intervals is not None:
        for name, value, (low, high) in zip(names, values, intervals, strict=True):
            if not low <= value <= high:
                raise ValueError(f"{name}: {value} is not inside its interval [{low}, {high}]")
        spread = np.abs(np.asarray(intervals, float).T - np.asarray(values, float))
        axes.errorbar(
            values, places, xerr=spread, fmt="none", ecolor=style.INK, elinewidth=2, capsize=4
        )
    for place, value in enumerate(values):
        # Below the middle of the bar, so that the interval never strikes the number out.
        axes.annotate(
            f"{value:.1f}", (0, place), (4, 0), textcoords="offset points",
            va="center", color="white", fontsize=9, fontweight="bold",
        )  # fmt: skip
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{label}, {over}" if over == "one run" else f"{label}, interval over {over}")
    return figure


@style.styled
def distance_histogram(
    same: NDArray[Any], different: NDArray[Any], *, label: str = "cosine distance"
) -> BookFigure:
    """Draw how distances of the same person and of different people overlap.

    Args:
        same: distances of pairs of one person, any shape.
        different: distances of pairs of two people.
        label: of the axis.

    Raises:
        ValueError: if one of them is empty.
    """
    same, different = np.ravel(same), np.ravel(different)
    if same.size == 0 or different.size == 0:
        raise ValueError(f"{same.size} same and {different.size} different pairs: both are needed")
    figure = style.figure(aspect=2.2)
    axes = figure.subplots()
    low, high = min(same.min(), different.min()), max(same.max(), different.max())
    edges = np.linspace(low, high if high > low else low + 1, 61).tolist()
    kinds = ((same, style.MATCH, "same person", "//"), (different, style.WRONG, "different", None))
    for values, colour, name, hatch in kinds:
        weights = np.full(values.size, 100 / values.size)
        axes.hist(
            values, edges, weights=weights, histtype="stepfilled", alpha=0.45, color=colour,
            hatch=hatch, edgecolor=colour, linewidth=1.5, label=f"{name} ({values.size:,} pairs)",
        )  # fmt: skip
    axes.set(xlabel=label, ylabel="share of the pairs (%)")
    axes.legend()
    return figure


@style.styled
def row_evidence(
    query: Picture,
    match: Picture,
    evidence: Sequence[float] | NDArray[Any],
    *,
    stranger: Picture | None = None,
    row_labels: Sequence[str] | None = None,
    label: str = "added to the margin (cosine)",
) -> BookFigure:
    """Show query and match, and beside each row of them how much it spoke for the match.

    Args:
        query: the picture that is asked for.
        match: the one that was found.
        evidence: R numbers, from the top row: `reidlab.explain.row_evidence`.
        stranger: the picture of another person that it is told from.
        row_labels: R words beside the bars, such as the body part of each row.
        label: of the axis.

    Raises:
        ValueError: if the evidence is not a list of numbers, or there is not one label a row.
    """
    values = np.asarray(evidence, dtype=float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"evidence has shape {values.shape}: expected (R,), one finite number for each row of "
            "the patch grid"
        )
    if row_labels is not None and len(row_labels) != len(values):
        raise ValueError(f"{len(row_labels)} labels for {len(values)} rows: give one for each row")
    shown = {"query": query, "match": match}
    shown |= {} if stranger is None else {"stranger": stranger}
    names = row_labels or [f"{row}" for row in range(1, len(values) + 1)]
    figure, panels, bars = _evidence_panels(read_picture(query).shape, len(shown), _margin(names))
    for panel, (title, picture) in zip(panels, shown.items(), strict=True):
        _show_rows(panel, read_picture(picture), len(values))
        panel.set_title(title)
    _evidence_bars(bars, values, names)
    bars.set_xlabel(label)
    bars.set_title(f"all rows: {_signed(values.sum())}")
    return figure


def _evidence_panels(
    shape: tuple[int, ...], pictures: int, margin: float
) -> tuple[BookFigure, list[Axes], Axes]:
    """Return a figure with places for pictures of one size, and one as high for the bars.

    Placed by hand: a layout engine would give the words beside the bars their room by squeezing the
    pictures, and no row of theirs would keep its shape.
    """
    head, foot, gap, narrowest = 0.28, 0.56, 0.1, 2.5  # inches
    room = style.TEXT_WIDTH - narrowest - margin - gap * pictures
    height = min(3.2, room / pictures * shape[0] / shape[1])
    width = height * shape[1] / shape[0]
    figure = style.figure(aspect=style.TEXT_WIDTH / (head + height + foot))
    figure.set_layout_engine("none")
    low, tall = foot / (head + height + foot), height / (head + height + foot)
    across = style.TEXT_WIDTH
    panels = [
        figure.add_axes((place * (width + gap) / across, low, width / across, tall))
        for place in range(pictures)
    ]
    left = pictures * (width + gap) + margin
    bars = figure.add_axes((left / across, low, 1 - (left + 0.1) / across, tall))
    return figure, panels, bars


def _show_rows(panel: Axes, picture: NDArray[np.uint8], rows: int) -> None:
    """Draw a picture whose vertical unit is a row of patches."""
    panel.imshow(picture, extent=(0, 1, rows, 0), aspect="auto")
    # Seen on bright and on dark clothes: a dark line beside a light one.
    panel.hlines(range(1, rows), 0, 1, color="black", lw=1.2, alpha=0.45)
    panel.hlines(range(1, rows), 0, 1, color="white", lw=0.5, alpha=0.8)
    panel.set_axis_off()


def _evidence_bars(panel: Axes, values: NDArray[np.float64], names: Sequence[str]) -> None:
    places = np.arange(len(values)) + 0.5
    colours = [style.MATCH if value >= 0 else style.WRONG for value in values]
    hatches = ["" if value >= 0 else "///" for value in values]
    panel.barh(places, values, height=0.78, color=colours, hatch=hatches, edgecolor=style.INK, lw=0)
    panel.axvline(0, color=style.INK, lw=1)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    room = 0.38 * max(high - low, 1e-9)  # for the numbers behind the bars
    panel.set_xlim(low - (room if low < 0 else 0), high + room)
    for place, value in zip(places, values, strict=True):
        panel.annotate(
            _signed(value), (value, place), (4 if value >= 0 else -4, 0), va="center",
            textcoords="offset points", ha="left" if value >= 0 else "right", fontsize=8,
        )  # fmt: skip
    panel.set_ylim(len(values), 0)
    panel.set_yticks(places, names, fontsize=9)
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.spines["left"].set_visible(False)
    panel.grid(axis="y", visible=False)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


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
    _check_table(table, ["model", "heads", "tokens", "unfreezing"], ["mean", "spread", "source"])
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
    _check_table(table, ["knob", "value"], ["difference", "low", "high"])
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


def _check_table(table: pd.DataFrame, keys: list[str], values: list[str]) -> None:
    """Refuse a table that is empty, lacks a column, or has two rows for one place."""
    missing = [column for column in keys + values if column not in table]
    if missing or not len(table):
        raise ValueError(
            f"the table has {len(table)} rows and lacks {', '.join(missing) or 'no column'}: "
            f"expected one row at least, and the columns {', '.join(keys + values)}"
        )
    twice = table[table.duplicated(keys)]
    if len(twice):
        place = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise ValueError(f"{place} has two rows: give one, the mean over the seeds")
