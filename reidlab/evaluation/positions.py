"""Where do a few gallery images stand in a ranking? Without ranking the rest.

A query has 16,000 gallery images and some twenty matches, so nothing but the matches needs a
position. Sorting the *values* of a row (SIMD in NumPy) and looking up the matches' distances in it
is several times faster than sorting the images (argsort), and what lies behind the last match
need not be sorted at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.evaluation.protocols import IntArray, Special

Block: TypeAlias = NDArray[np.floating] | Tensor  # (rows, G) distances, on the CPU or on a GPU
TIED_ELEMENTS = 2**24  # comparisons held at once on a GPU
SAMPLE = 32  # every 32nd value says whether the matches stand in front
ROWS_PER_SORT = 32  # rows that are sorted by one call


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
    no_nan(block, start)
    distances = block[special.rows, special.indices]
    bounds = np.searchsorted(special.rows, np.arange(len(block) + 1))
    rows = np.flatnonzero(np.diff(bounds))  # those that have something to place
    farthest = np.maximum.reduceat(distances, bounds[rows]) if len(rows) else distances
    share = _share_up_to(block, rows, farthest)
    order = np.argsort(share)  # rows of like shares are sorted together
    before, after = np.empty((2, len(distances)), np.int64)

    def some(chunk: int) -> None:
        chosen = order[chunk * ROWS_PER_SORT : (chunk + 1) * ROWS_PER_SORT]
        nearest = _sorted_up_to(block[rows[chosen]], farthest[chosen], float(share[chosen].max()))
        for row, values in zip(rows[chosen], nearest, strict=True):
            part = slice(bounds[row], bounds[row + 1])
            before[part] = values.searchsorted(distances[part], side="left")
            after[part] = values.searchsorted(distances[part], side="right")

    on_threads(some, -(-len(rows) // ROWS_PER_SORT))
    for i in np.flatnonzero(after - before > 1):  # of equal distances those of lower index first
        row, column = special.rows[i], special.indices[i]
        before[i] += np.count_nonzero(block[row, :column] == distances[i])
    return before


def _share_up_to(
    block: NDArray[np.floating], rows: IntArray, farthest: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(rows,) about what share of each row is no larger than its `farthest`, not too small.

    Every 32nd value is looked at; the true share is larger for one row in some thousands.
    """
    sample = block[rows, ::SAMPLE]
    share = (sample <= farthest[:, None]).sum(axis=1) / max(1, sample.shape[1])
    return share + 4 * np.sqrt((share + 0.01) / max(1, sample.shape[1]))


def _sorted_up_to(
    values: NDArray[np.floating], farthest: NDArray[np.floating], share: float
) -> Iterable[NDArray[np.floating]]:
    """Of each row at least the values that are no larger than its `farthest`, sorted.

    Where a network has put the matches in front, these are few and are split off first.
    """
    last = int(share * values.shape[1])
    if 2 * last > values.shape[1]:
        values.sort(axis=1)
        return values
    values.partition(last, axis=1)
    short = np.flatnonzero(values[:, last] <= farthest)
    whole = {row: np.sort(values[row]) for row in short.tolist()}
    values[:, :last].sort(axis=1)
    return [whole.get(row, values[row, :last]) for row in range(len(values))]


def on_threads(work: Callable[[int], None], tasks: int) -> None:
    """Call `work` for each task, on as many threads as torch may use: NumPy sorts side by side."""
    threads = min(torch.get_num_threads(), tasks)
    if threads <= 1:
        for task in range(tasks):
            work(task)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(tasks)))


def no_nan(block: NDArray[np.floating], start: int) -> None:
    """Raise a ValueError if the distances of the queries start, start + 1, ... hold NaN."""
    bad = np.flatnonzero(np.isnan(block.max(axis=1, initial=-np.inf)))
    if len(bad):
        row = block[bad[0]]
        raise ValueError(
            f"distances of query {start + bad[0]} hold NaN ({int(np.isnan(row).sum())} of "
            f"{len(row)}); a ranking of them would mean nothing: look for it in the embeddings"
        )


def _on_device(block: Tensor, special: Special, start: int) -> IntArray:
    """The same for all rows at once, where the block lies."""
    bad = block.isnan().any(dim=1)
    if bad.any():
        row = int(bad.nonzero()[0, 0])
        no_nan(block[row : row + 1].cpu().numpy(), start + row)
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
    for part in tied.split(max(1, TIED_ELEMENTS // max(1, block.shape[1]))):
        row, column = part.T
        equal = block[row] == distances[row, column][:, None]
        before[row, column] += (equal & (gallery < columns[row, column][:, None])).sum(1)
    return before.cpu().numpy()[special.rows, place]
