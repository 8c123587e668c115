"""Which place of one image a matcher holds against which of another, and what lies there."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from reidlab.explain.scores import part_labels
from reidlab.synth import PARTS


class Places(NamedTuple):
    """For each place of the query image the best one of the gallery image, by each decoder.

    Attributes:
        best: (N, S) int64, its number, row by row.
        value: (N, S) the gated product there.
    """

    best: Tensor
    value: Tensor


def matched_places(model: Any, query: Tensor, image: Tensor) -> Places:
    """The winners of TransMatcher's max pooling, as its authors draw them.

    Args:
        model: A TransMatcher of one head with max pooling.
        query: Map of one image from `embed`, (h, w, D).
        image: Map of the other.

    Raises:
        ValueError: Another model, other switches, or maps that it does not give.
    """
    switches = getattr(model, "switches", None)
    fits = getattr(switches, "pooling", "") == "max" and getattr(switches, "heads", 0) == 1
    if not fits or getattr(switches, "gate", "") == "softmax":
        raise ValueError(
            f"{type(model).__name__} with {switches}: expected a TransMatcher of one head with "
            "max pooling and no softmax, in which one place of the other image decides"
        )
    for name, x in (("query", query), ("image", image)):
        if tuple(x.shape) != (*model.grid, model.channels):
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}, expected {(*model.grid, model.channels)}: the "
                "map of one image, from `embed` of this model"
            )
    with torch.no_grad():
        q, g = (model.prepare(x[None].to(model.neck.weight.device))[:, 0] for x in (query, image))
        products = g @ q.mT  # (N, gallery place, query place)
        gates = [layer.gate() for layer in model.decoder.layers]
        gated = [
            x if w is None else x * w[0, 0, :, 0] for x, w in zip(products, gates, strict=True)
        ]
    value, best = torch.stack(gated).max(1)
    return Places(best.cpu(), value.cpu())


def place_parts(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """What each place of a grid shows: the part with most of its pixels, see `PARTS`.

    Args:
        masks: Part labels 0..7, (B, H, W), of the size of the images.
        grid: Rows and columns; they must divide H and W.

    Returns:
        (B, rows * columns) int64; of equal counts the smaller label.

    Raises:
        ValueError: Sizes that do not go together, or a label that is none of the parts.
    """
    rows, columns = grid
    if min(grid) < 1 or masks.ndim != 3 or masks.shape[1] % rows or masks.shape[2] % columns:
        raise ValueError(
            f"masks have shape {tuple(masks.shape)} and the grid is {rows}x{columns}; expected "
            "(B, H, W) with H and W divided by it"
        )
    onehot = torch.nn.functional.one_hot(part_labels(masks), len(PARTS))  # (B, H, W, 8)
    tiles = onehot.unflatten(2, (columns, -1)).unflatten(1, (rows, -1)).sum((2, 4))
    return tiles.argmax(-1).flatten(1)
