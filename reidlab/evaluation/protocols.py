"""Protocols: which gallery images a query is evaluated on, and which of them are right.

A protocol computes nothing. It says which gallery images take part at all, and which images of one
query are special, that is either a match (right) or excluded (invisible to this query). Everything
else is a negative. Beside that it says whether the gallery is drawn at random, over what CMC is
counted, and which queries count. The evaluators (`evaluators.py`) need no more than that, so a new
protocol is one entry in `PROTOCOLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
APVariant = Literal["mean_precision", "trapezoid", "top10"]
Over = Literal["counted", "all"]

JUNK = -1  # Market-1501's id of boxes that show no whole person: neither right nor wrong
SYSU_CAMERAS = range(6)  # cameras 1 to 6 of SYSU-MM01, counted from 0
SAME_ROOM = (2, 1)  # its cameras 3 (infrared) and 2 (visible), counted from 0


@dataclass(frozen=True)
class Gallery:
    """The gallery's ids and cameras, indexed by person.

    Args:
        pids: (G,) person ids.
        camids: (G,) camera ids.
    """

    pids: IntArray
    camids: IntArray
    by_pid: IntArray = field(init=False, repr=False)
    _sorted_pids: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_pid = np.argsort(self.pids, kind="stable")
        object.__setattr__(self, "by_pid", by_pid)
        object.__setattr__(self, "_sorted_pids", self.pids[by_pid])

    def images_of(self, pids: IntArray) -> tuple[IntArray, IntArray]:
        """All images of some people.

        Args:
            pids: (Q,) ids; those that nobody has give no image.

        Returns:
            (S,) positions in `pids`, and (S,) gallery indices; both rising (the sort is stable).
        """
        first = np.searchsorted(self._sorted_pids, pids, side="left")
        images = np.searchsorted(self._sorted_pids, pids, side="right") - first
        rows = np.repeat(np.arange(len(pids)), images)
        nth = np.arange(len(rows)) - np.repeat(np.cumsum(images) - images, images)
        return rows, self.by_pid[np.repeat(first, images) + nth]


@dataclass(frozen=True)
class Special:
    """The gallery images of some queries that are not plain negatives, those of all in one row.

    Args:
        rows: (S,) the query, by its position among those asked about; rising.
        indices: (S,) gallery indices, rising within a query.
        excluded: (S,) True: invisible to this query; False: a match.
    """

    rows: IntArray
    indices: IntArray
    excluded: BoolArray


@dataclass(frozen=True)
class Protocol:
    """An evaluation rule by name.

    Args:
        name: what the caller passes as `protocol=`.
        rule: the rule in one sentence, for pages and records.
        special: (Q,) pids and camids of queries, gallery -> their matches and excluded images.
        ap: the average precision that belongs to it.
        draws: "gallery": each trial draws one gallery for all queries; "query": each trial draws
            one for each query; None: nothing is drawn.
        keeps_junk: junk (id -1) takes part as images of nobody; else no query ever sees it.
        cmc_over_people: CMC counts people, each at their nearest image, instead of images.
        over: the queries that means are taken over: "counted", those with a match, or "all", where
            one without a match is a failure.
        uses_cameras: False: cameras may be left out.
        cameras: the camera numbers it knows; None: any from 0.
    """

    name: str
    rule: str
    special: Callable[[IntArray, IntArray, Gallery], Special]
    ap: APVariant = "mean_precision"
    draws: Literal["gallery", "query"] | None = None
    keeps_junk: bool = False
    cmc_over_people: bool = False
    over: Over = "counted"
    uses_cameras: bool = True
    cameras: range | None = None


def _other_cameras(pids: IntArray, camids: IntArray, gallery: Gallery) -> Special:
    rows, indices = gallery.images_of(pids)
    return Special(rows, indices, gallery.camids[indices] == camids[rows])


def _every_image(pids: IntArray, camids: IntArray, gallery: Gallery) -> Special:
    rows, indices = gallery.images_of(pids)
    return Special(rows, indices, np.zeros(len(indices), bool))


def _other_rooms(pids: IntArray, camids: IntArray, gallery: Gallery) -> Special:
    infrared, visible = SAME_ROOM
    same_room = np.flatnonzero(gallery.camids == visible)
    blind = np.flatnonzero(camids == infrared)
    rows, indices = gallery.images_of(pids)
    match = (camids[rows] != infrared) | (gallery.camids[indices] != visible)
    rows = np.concatenate([rows[match], np.repeat(blind, len(same_room))])
    indices = np.concatenate([indices[match], np.tile(same_room, len(blind))])
    excluded = np.arange(len(rows)) >= match.sum()
    order = np.lexsort((indices, rows))
    return Special(rows[order], indices[order], excluded[order])


PROTOCOLS: dict[str, Protocol] = {
    "standard": Protocol(
        name="standard",
        rule=(
            "Images with the query's id and the query's camera are dropped, junk (id -1) is "
            "dropped, everything of another id is a negative (distractors, id 0, too); a query "
            "without a match left is not counted."
        ),
        special=_other_cameras,
    ),
    "sysu": Protocol(
        name="sysu",
        rule=(
            "Each trial draws one image (or `shots`) of every person in every camera as gallery; "
            "a query of camera 3 does not see camera 2, which looks at the same room; CMC counts "
            "people, each at their nearest image, AP counts images; a query without a match left "
            "is not counted; the mean over ten trials is reported."
        ),
        special=_other_rooms,
        draws="gallery",
        cmc_over_people=True,
        cameras=SYSU_CAMERAS,
    ),
    "regdb": Protocol(
        name="regdb",
        rule=(
            "Query and gallery are two cameras, one for each modality, so no image is dropped; a "
            "query without a match is not counted; the mean over ten splits is reported."
        ),
        special=_every_image,
        uses_cameras=False,
    ),
    # As torchreid counts; the setting of 2014 also hides the strangers of the query's camera.
    "cuhk03-single-shot": Protocol(
        name="cuhk03-single-shot",
        rule=(
            "Images with the query's id and the query's camera are dropped; each trial then draws "
            "one image of every person, for each query anew, so that one image is right; a query "
            "without a match left is not counted; the mean over ten trials is reported."
        ),
        special=_other_cameras,
        draws="query",
    ),
    "la-official": Protocol(
        name="la-official",
        rule=(
            "No image is dropped: the query's own camera counts as right and junk as wrong; AP "
            "looks at the first ten images and is divided by the matches found there; every query "
            "counts."
        ),
        special=_every_image,
        keeps_junk=True,
        ap="top10",
        over="all",
        uses_cameras=False,
    ),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if not isinstance(name, str) or name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}: choose one of {', '.join(sorted(PROTOCOLS))}")
    return PROTOCOLS[name]
