"""Galleries that are drawn at random: those of SYSU-MM01 and of CUHK03's single shot."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from reidlab.evaluation.checks import integer_labels, whole_number
from reidlab.evaluation.protocols import BoolArray, Gallery, IntArray


def sysu_gallery(
    pids: Sequence[int] | IntArray, camids: Sequence[int] | IntArray, trial: int, *, shots: int = 1
) -> IntArray:
    """The gallery of one trial on SYSU-MM01, drawn as AGW does and nearly everyone after it.

    Python's random numbers with the trial as seed, while walking over people by number and, for
    each, over cameras by number (Ye et al., TPAMI 2021). Ten shots are `random.sample` in the same
    walk (ours: AGW draws one).

    Args:
        pids: (N,) ids of the pool, all visible images of the test people, in the order of their
            file names.
        camids: (N,) their cameras, from 0.
        trial: 0 to 9 by custom; any whole number from 0.
        shots: images of each person and camera; where there are fewer, all of them.

    Returns:
        Indices into the pool, rising.

    Raises:
        ValueError: lengths that differ, trial below 0, shots below 1.
    """
    people = integer_labels("pids", pids, math.prod(np.shape(pids)))
    cameras = integer_labels("camids", camids, len(people))
    trial = whole_number("trial", trial, 0)
    shots = whole_number("shots", shots, 1, " image of a person and camera")
    folders: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, visit in enumerate(zip(people.tolist(), cameras.tolist(), strict=True)):
        folders[visit].append(index)
    rng = random.Random(trial)
    rows: list[int] = []
    for visit in sorted(folders):  # by person, then by camera: the order decides the draw
        images = folders[visit]
        one = shots == 1
        rows += [rng.choice(images)] if one else rng.sample(images, min(shots, len(images)))
    return np.sort(np.array(rows, np.int64))


def one_of_each_person(
    gallery: Gallery, excluded: BoolArray, query: int, trials: int
) -> tuple[IntArray, IntArray]:
    """One image of every person that a query sees, drawn `trials` times.

    The draw follows from the query's number alone, not from blocks or threads, and the first trials
    of twenty are the ten of ten.

    Args:
        gallery: all people.
        excluded: (G,) True for the images that this query does not see.
        query: its number.
        trials: how many draws.

    Returns:
        (P,) the people, rising, and (trials, P) a gallery index for each.
    """
    seen = gallery.by_pid[~excluded[gallery.by_pid]]
    pids, first, images = np.unique(gallery.pids[seen], return_index=True, return_counts=True)
    shares = np.random.default_rng(query).random((trials, len(pids)))
    return pids, seen[first + (shares * images).astype(np.int64)]
