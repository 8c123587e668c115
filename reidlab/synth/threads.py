"""Work in threads of one core each.

Torch would split every operation over all cores, but an operation of the renderer takes a fraction
of a millisecond, and meeting at its end costs more than splitting gains. A thread for a chunk of
images scales, as NumPy, torch and Pillow let go of the interpreter while they compute; and unlike
processes, threads need no main guard in a script and no pickling in a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order.

    As many run at once as torch would use threads (`torch.set_num_threads` sets it); inside, torch
    has one. When the caller stops early or something raises, what has not begun is dropped.
    """
    cores = torch.get_num_threads()
    if cores == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(cores)  # the threads' own setting is the default of new threads, too
