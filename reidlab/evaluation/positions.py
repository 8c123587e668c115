"""Where do a few gallery images stand in a ranking? Without ranking the rest.

A query has 16,000 gallery images and some twenty matches, so nothing but the matches needs a
position. Sorting the *values* of a row (SIMD in NumPy) and looking up the matches' distances in it
is more than ten times faster than sorting the images (argsort).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.evaluation.protocols import IntArray, Special

Block: TypeAlias = NDArray[np.floating] | Tensor  # (rows, G) distances, on the CPU or on a GPU
TIED_ELEMENTS = 2**24  # comparisons held at once on a GPU


def count_before(block: Block, special: Special, start: int = 0) -> IntArray:
    """Number of images before each special one, by distance, equal ones by gallery index.

    Args:
        block: (rows, G) distances of the queries start, start + 1, ...
        special: the images to place; its rows are those of the block.
        start: for messages.

    Returns:
        (S,) positions from 0, the excluded images counted like all others.

    Raises:
        ValueError: NaN among the distances.
    """
    if isinstance(block, Tensor):
        return _on_device(block, special, start)
    bounds = np.searchsorted(special.rows, np.arange(len(block) + 1))
    before = np.empty(len(special.rows), np.int64)

    def one(row: int) -> None:
        part = slice(bounds[row], bounds[row + 1])
        before[part] = _in_row(block[row], special.indices[part], start + row)

    each_row(one, len(block))
    return before


def each_row(work: Callable[[int], None], rows: int) -> None:
    """Call `work` for each row, on as many threads as torch may use: NumPy sorts side by side."""
    threads = min(torch.get_num_threads(), rows)
    if threads <= 1:
        for row in range(rows):
            work(row)
        return

    def some(first: int) -> None:
        for row in range(first, rows, threads):
            work(row)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(some, range(threads)))


def no_nan(row: NDArray[np.floating], query: int) -> None:
    """Raise a ValueError if a query's distances hold NaN."""
    if np.isnan(row).any():
        raise ValueError(
            f"distances of query {query} hold NaN ({int(np.isnan(row).sum())} of {len(row)}); "
            "a ranking of them would mean nothing: look for it in the embeddings"
        )


def _in_row(row: NDArray[np.floating], columns: IntArray, query: int) -> IntArray:
    """One row of `count_before`."""
    values = np.sort(row)
    if len(values) and np.isnan(values[-1]):  # NaN sorts last
        no_nan(row, query)
    distances = row[columns]
    before = np.searchsorted(values, distances, side="left")
    tied = np.searchsorted(values, distances, side="right") - before > 1
    for i in np.flatnonzero(tied):  # among equal distances those of lower index come first
        before[i] += np.count_nonzero(row[: columns[i]] == distances[i])
    return before


def _on_device(block: Tensor, special: Special, start: int) -> IntArray:
    """The same for all rows at once, where the block lies."""
    bad = block.isnan().any(dim=1)
    if bad.any():
        row = int(bad.nonzero()[0, 0])
        no_nan(block[row].cpu().numpy(), start + row)
    # searchsorted wants a table: the special images of each row side by side.
    images = np.bincount(special.rows, minlength=len(block))
    first = np.cumsum(images) - images
    place = np.arange(len(special.rows)) - first[special.rows]
    table = np.zeros((len(block), int(images.max(initial=0))), np.int64)
    table[special.rows, place] = special.indices
    columns = torch.from_numpy(table).to(block.device)  # (rows, most)
    distances = block.gather(1, columns)
    values = block.sort(dim=1).values
    before = torch.searchsorted(values, distances, side="left")
    tied = (torch.searchsorted(values, distances, side="right") - before > 1).nonzero()
    gallery = torch.arange(block.shape[1], device=block.device)
    for part in tied.split(max(1, TIED_ELEMENTS // block.shape[1])):
        row, column = part.T
        equal = block[row] == distances[row, column][:, None]
        before[row, column] += (equal & (gallery < columns[row, column][:, None])).sum(1)
    return before.cpu().numpy()[special.rows, place]
