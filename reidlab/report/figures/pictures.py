"""Figures made of pictures: sheets, ranked lists, patches, heat maps, body parts.

Pictures are arrays `(H, W, 3)` of bytes or paths of files. Sheets are composed into one array
first, so that a hundred pictures cost one drawing call and keep their own pixels. No figure tells
right from wrong by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from PIL import Image

from reidlab.data import read_image
from reidlab.evaluation import RankedList
from reidlab.report import style
from reidlab.report.style import BookFigure
from reidlab.synth import PARTS

Picture = NDArray[Any] | str | Path

_MARKS = {True: ("✓", style.MATCH, "-"), False: ("✗", style.WRONG, "-")}
_IGNORED = ("–", style.JUNK, "--")


def read_picture(picture: Picture) -> NDArray[np.uint8]:
    """Return an RGB array `(H, W, 3)` of bytes from a path, or from an array of bytes or floats.

    Raises:
        ValueError: if an array has another shape, or floats outside 0..1.
    """
    if isinstance(picture, str | Path):
        return np.asarray(read_image(picture))
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
def ranked_queries(
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    found: RankedList,
    row_labels: Sequence[str] | None = None,
) -> BookFigure:
    """Show queries and what was found for them, with the distances: ✓ right, ✗ wrong, – ignored.

    Pictures that the standard rule drops (of the query's own camera, and junk) are marked as
    ignored, whatever rule `found` follows.

    Args:
        queries: (Q) rows with path, pid and camid.
        gallery: the table that the indices of `found` count, with the same columns.
        found: of these queries: `reidlab.evaluation.ranked_list`.
        row_labels: Q labels in front of the rows.

    Raises:
        ValueError: no query, or another number of queries than of lists.
    """
    if not 0 < len(queries) == len(found.indices):
        raise ValueError(
            f"{len(queries)} queries and {len(found.indices)} ranked lists: pass the rows of the "
            "queries that were asked, ds.query.iloc[rows]"
        )
    there = [row >= 0 for row in found.indices]  # a short gallery leaves places empty
    lists = [gallery.iloc[row[full]] for row, full in zip(found.indices, there, strict=True)]
    rows = [[path, *images.path] for path, images in zip(queries.path, lists, strict=True)]
    height, width = read_picture(rows[0][0]).shape[:2]
    under = height // 5
    sheet = _sheet(rows, gap=(under, max(2, width // 8)))
    figure, axes = _show(sheet, _margin(row_labels), head=under, foot=under)
    for i, (pid, camid) in enumerate(zip(queries.pid, queries.camid, strict=True)):
        _frame(axes, sheet, i, 0, style.QUERY, "-")
        own = (lists[i].pid == pid) & (lists[i].camid == camid)
        dropped, full = own | (lists[i].pid == -1), there[i]
        marks = zip(dropped, found.matches[i][full], found.distances[i][full], strict=True)
        for j, (ignored, right, distance) in enumerate(marks, start=1):
            mark, colour, dash = _IGNORED if ignored else _MARKS[bool(right)]
            _frame(axes, sheet, i, j, colour, dash)
            x, y = sheet.corner(i, j)
            place = (x + sheet.cell[1] / 2, y + sheet.cell[0] + under * 0.14)
            # In ink: the sign says right or wrong, the frame's colour would be too pale to read.
            axes.text(*place, f"{mark} {distance:.2f}", ha="center", va="top", fontsize=10)
    longest = max(map(len, lists))
    _label_rows(axes, sheet, row_labels)
    _label_columns(axes, sheet, ["query", *(f"{rank}" for rank in range(1, longest + 1))])
    return figure


def _frame(axes: Axes, sheet: _Sheet, row: int, column: int, colour: str, dash: str) -> None:
    x, y = sheet.corner(row, column)
    height, width = sheet.cell
    frame = Rectangle((x, y), width - 1, height - 1, fill=False)  # inside, so that none is cut
    frame.set(edgecolor=colour, linewidth=2.4, linestyle=dash)
    axes.add_patch(frame)


@style.styled
def patch_grid(image: Picture, patch: int) -> BookFigure:
    """Draw the patches of a transformer over a picture.

    Args:
        image: the picture, (H, W, 3), in the size that the network gets.
        patch: side of a patch in pixels.

    Raises:
        ValueError: a patch of less than a pixel.
    """
    if patch < 1:
        raise ValueError(f"patch is {patch}: expected the side of a patch in pixels, such as 16")
    picture = read_picture(image)
    height, width = picture.shape[:2]
    figure = style.figure(aspect=1.6, filled=0.4)
    axes = figure.subplots()
    axes.imshow(picture, extent=(0, width, height, 0))
    axes.hlines(range(0, height + 1, patch), 0, width, color=style.ACCENT, lw=0.8)
    axes.vlines(range(0, width + 1, patch), 0, height, color=style.ACCENT, lw=0.8)
    axes.set_axis_off()
    return figure


@style.styled
def heat_overlay(
    image: Picture | Sequence[Picture],
    heats: NDArray[Any],
    names: Sequence[str],
    *,
    label: str = "heat",
) -> BookFigure:
    """Lay heat maps over a picture, or over several of one size: colour and opacity by heat.

    Args:
        image: the picture, `(H, W, 3)`; or N pictures, which stand in rows.
        heats: `(L, h, w)` in 0..1, of any resolution; scaled to the picture. Of N pictures
            `(N, L, h, w)`.
        names: L names, such as the layers.
        label: what the colour bar measures.

    Raises:
        ValueError: if `heats` is not `(L, h, w)` or `(N, L, h, w)` in 0..1, or the number of names
            or pictures differs.
    """
    heats = np.asarray(heats, dtype=float)
    given: Any = image
    several = [*given] if heats.ndim == 4 else [given]
    rows = heats if heats.ndim == 4 else heats[None]
    if rows.ndim != 4 or rows.shape[:2] != (len(several), len(names)):
        raise ValueError(
            f"heats has shape {heats.shape} and there are {len(names)} names: expected (L, h, w) "
            "and L names, e.g. heats[0] of a batch (B, L, h, w); or (N, L, h, w) and N pictures"
        )
    if not np.isfinite(rows).all() or rows.min() < 0 or rows.max() > 1:
        raise ValueError(f"heat lies in 0..1, not {rows.min():.3g}..{rows.max():.3g}")
    pictures = [read_picture(each) for each in several]
    height, width = pictures[0].shape[:2]
    columns = len(names) + 1
    filled = min(1.0, 0.2 * columns)
    shape = columns * width / (len(rows) * height)
    figure = style.figure(aspect=shape * 1.25 / filled, filled=filled)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for line, picture, maps in zip(panels, pictures, rows, strict=True):
        line[0].imshow(picture)
        grey = picture.mean(axis=-1) * 0.7 + 50  # flattened contrast: the heat is what counts
        for panel, heat in zip(line[1:], maps, strict=True):
            panel.imshow(grey, cmap="gray", vmin=0, vmax=255)
            scaled = Image.fromarray(heat.astype(np.float32)).resize((width, height), 2)
            values = np.clip(np.asarray(scaled), 0, 1)
            panel.imshow(values, cmap=style.HEAT, vmin=0, vmax=1, alpha=0.9 * values**0.6)
    for panel, name in zip(panels[0], ("image", *names), strict=True):
        panel.set_title(name)
    for panel in panels.flat:
        panel.set_axis_off()
    opaque = ScalarMappable(Normalize(0, 1), style.HEAT)  # the overlay's own is transparent
    bar = figure.colorbar(opaque, ax=list(panels.flat), shrink=0.8, pad=0.02, label=label)
    bar.outline.set_visible(False)
    return figure


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
        if mask.shape != picture.shape[:2] or not labels <= set(range(len(PARTS))):
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
    names = [PARTS[part] for part in sorted(seen)]
    handles = [Patch(color=style.PART_COLOURS[name], label=name) for name in names]
    axes.legend(
        handles=handles, loc="lower left", ncols=8, handlelength=1, columnspacing=1, fontsize=9
    )
    return figure


def _paint(picture: NDArray[np.uint8], mask: NDArray[Any], opacity: float) -> NDArray[np.uint8]:
    # The background is never blended in, whatever its colour.
    colours = np.array([to_rgb(style.PART_COLOURS.get(name, "black")) for name in PARTS]) * 255
    blend = np.where(mask[..., None] > 0, opacity, 0.0)
    return (picture * (1 - blend) + colours[mask] * blend).round().astype(np.uint8)
