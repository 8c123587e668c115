"""Where do a few gallery images stand in a ranking? Without ranking the rest.

A query has 16,000 gallery images and some twenty matches, so nothing but the matches needs a
position. Sorting the *values* of a row (SIMD in NumPy) and looking up the matches' distances in it
is several times faster than sorting the images (argsort).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from reidlab.evaluation.protocols import IntArray, Special

Block: TypeAlias = NDArray[np.floating]  # (rows, G) distances


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
    no_nan(block, start)
    distances = block[special.rows, special.indices]
    bounds = np.searchsorted(special.rows, np.arange(len(block) + 1))
    rows = np.flatnonzero(np.diff(bounds))  # those that have something to place
    before, after = np.empty((2, len(distances)), np.int64)

    def place(task: int) -> None:
        row = rows[task]
        values, part = np.sort(block[row]), slice(bounds[row], bounds[row + 1])
        before[part] = values.searchsorted(distances[part], side="left")
        after[part] = values.searchsorted(distances[part], side="right")

    on_threads(place, len(rows))
    for i in np.flatnonzero(after - before > 1):  # of equal distances those of lower index first
        row, column = special.rows[i], special.indices[i]
        before[i] += np.count_nonzero(block[row, :column] == distances[i])
    return before


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
