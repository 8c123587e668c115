"""Protocols: which gallery images a query is judged on, and which of them are right.

A protocol answers two questions and computes nothing: which gallery images take part at all, and
which images of one query are special, that is either a match (right) or excluded (invisible to
this query). Everything else is a negative. Ranking (`ranking.py`) needs no more than that, so a
new protocol is one function and one line in `PROTOCOLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

JUNK = -1  # Market-1501's id of boxes that show no whole person: neither right nor wrong


@dataclass(frozen=True)
class Gallery:
    """The gallery's ids and cameras, indexed by person.

    Args:
        pids: (G,) person ids.
        camids: (G,) camera ids.
    """

    pids: IntArray
    camids: IntArray
    _by_pid: IntArray = field(init=False, repr=False)
    _sorted_pids: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_pid = np.argsort(self.pids, kind="stable")
        object.__setattr__(self, "_by_pid", by_pid)
        object.__setattr__(self, "_sorted_pids", self.pids[by_pid])

    def images_of(self, pid: int) -> IntArray:
        """Indices of all images of one person, rising (the sort above is stable)."""
        first, last = np.searchsorted(self._sorted_pids, [pid, pid + 1])
        return self._by_pid[first:last]


@dataclass(frozen=True)
class Special:
    """The gallery images of one query that are not plain negatives.

    Args:
        indices: (S,) gallery indices, rising.
        excluded: (S,) True: invisible to this query; False: a match.
    """

    indices: IntArray
    excluded: BoolArray


@dataclass(frozen=True)
class Protocol:
    """An evaluation rule by name.

    Args:
        name: what the caller passes as `protocol=`.
        rule: the rule in one sentence, for pages and records.
        takes_part: (G,) gallery pids -> (G,) bool, False for images that no query ever sees.
        special: (pid, camid, gallery) of one query -> its matches and excluded images.
    """

    name: str
    rule: str
    takes_part: Callable[[IntArray], BoolArray]
    special: Callable[[int, int, Gallery], Special]


def _not_junk(g_pids: IntArray) -> BoolArray:
    return np.asarray(g_pids != JUNK)


def _other_cameras(pid: int, camid: int, gallery: Gallery) -> Special:
    indices = gallery.images_of(pid)
    return Special(indices, gallery.camids[indices] == camid)


PROTOCOLS: dict[str, Protocol] = {
    "standard": Protocol(
        name="standard",
        rule=(
            "Images with the query's id and the query's camera are dropped, junk (id -1) is "
            "dropped, everything of another id is a negative (distractors, id 0, too); a query "
            "without a match left is not counted."
        ),
        takes_part=_not_junk,
        special=_other_cameras,
    ),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}: choose one of {', '.join(sorted(PROTOCOLS))}")
    return PROTOCOLS[name]
