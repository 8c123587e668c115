"""Evaluators: fed with blocks of distances, they give the result of a protocol.

One for a gallery as it is, one for galleries drawn from a pool, one for a gallery drawn for each
query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from reidlab.evaluation.checks import Labels, cameras, integer_labels, one_of, whole_number
from reidlab.evaluation.draws import one_of_each_person, sysu_gallery
from reidlab.evaluation.matches import AVERAGE_PRECISIONS, Matches
from reidlab.evaluation.positions import Block, count_before, no_nan, on_threads
from reidlab.evaluation.protocols import (
    JUNK,
    APVariant,
    BoolArray,
    Gallery,
    IntArray,
    Over,
    Protocol,
    Special,
)
from reidlab.evaluation.results import RankResult, TrialsResult, average

Trials = int | Sequence[ArrayLike]  # how many, or the gallery indices of each
TRIALS = 10  # as SYSU-MM01 and CUHK03 are reported
LABELS_AT_ONCE = 2**24  # pairs of query and gallery image looked at together


@dataclass(frozen=True, eq=False)
class Labelled:
    """Who is on the pictures: ids and cameras of queries and gallery under one protocol.

    Args:
        q_pids: (Q,) ids of the queries.
        q_camids: (Q,) their cameras.
        gallery: the images that take part.
        kept: their indices among all gallery images.
        images: number of all gallery images.
        protocol: the rule.
    """

    q_pids: IntArray
    q_camids: IntArray
    gallery: Gallery
    kept: IntArray
    images: int
    protocol: Protocol

    @classmethod
    def checked(
        cls,
        q_pids: Labels,
        g_pids: Labels,
        q_camids: Labels | None,
        g_camids: Labels | None,
        shape: tuple[int, ...],
        protocol: Protocol,
    ) -> Labelled:
        """From what a caller passes for `shape` = (Q, G) distances; without junk."""
        queries, images = shape
        pids = integer_labels("q_pids", q_pids, queries)
        all_pids = integer_labels("g_pids", g_pids, images)
        camids = cameras("q_camids", q_camids, queries, protocol)
        all_camids = cameras("g_camids", g_camids, images, protocol)
        kept = np.flatnonzero((all_pids != JUNK) | protocol.keeps_junk)
        return cls(pids, camids, Gallery(all_pids[kept], all_camids[kept]), kept, images, protocol)

    @property
    def complete(self) -> bool:
        """Whether all gallery images take part."""
        return len(self.kept) == self.images

    def in_gallery(self, rows: IntArray) -> Labelled:
        """The same queries with a part of the gallery."""
        gallery = Gallery(self.gallery.pids[rows], self.gallery.camids[rows])
        return replace(self, gallery=gallery, kept=np.arange(len(rows)), images=len(rows))

    def seen_by(self, query: int) -> tuple[BoolArray, IntArray]:
        """(images,) True where a query sees an image, and the indices of its matches."""
        special = self.special(query, query + 1)
        indices = self.kept[special.indices]
        seen = np.zeros(self.images, bool)
        seen[self.kept] = True
        seen[indices[special.excluded]] = False
        return seen, indices[~special.excluded]

    @property
    def matched(self) -> BoolArray:
        """(Q,) True where a query has a match among the images that it sees."""
        found = np.zeros(len(self.q_pids), bool)
        rows = max(1, LABELS_AT_ONCE // max(1, len(self.gallery.pids)))
        for start in range(0, len(found), rows):
            special = self.special(start, start + rows)
            found[start + special.rows[~special.excluded]] = True
        return found

    def special(self, start: int, stop: int) -> Special:
        """The matches and the excluded images of the queries from start to stop."""
        queries = slice(start, stop)
        return self.protocol.special(self.q_pids[queries], self.q_camids[queries], self.gallery)


def make_evaluator(
    labels: Labelled,
    *,
    ap: APVariant | None,
    over: Over | None,
    max_rank: int,
    trials: Trials | None,
    shots: int | None,
) -> Evaluator:
    """The evaluator that a protocol asks for; arguments as in `rank`."""
    if over is not None:
        one_of("over", over, ("counted", "all"))
        labels = replace(labels, protocol=replace(labels.protocol, over=over))
    protocol = labels.protocol
    variant: APVariant = protocol.ap if ap is None else ap
    one_of("ap", variant, AVERAGE_PRECISIONS)
    max_rank = whole_number("max_rank", max_rank, 1)
    if shots is not None and protocol.draws != "gallery":
        raise ValueError(
            f"shots={shots} means nothing to the protocol {protocol.name!r}; only 'sysu' takes it"
        )
    if shots is not None and not isinstance(trials, int | np.integer | None):
        raise ValueError(
            f"shots={shots} means nothing beside galleries that are given: leave it out"
        )
    if protocol.draws is None:
        if trials is not None:
            raise ValueError(
                f"the protocol {protocol.name!r} draws nothing, so it has no trials; leave them "
                "out, and average splits with reidlab.evaluation.average"
            )
        return FixedGallery(labels, variant, max_rank)
    if protocol.draws == "query":
        if not isinstance(trials, int | np.integer | None):
            raise ValueError(
                f"the protocol {protocol.name!r} draws a gallery for each query: pass the number "
                "of trials, not galleries"
            )
        return DrawnForEachQuery(labels, variant, max_rank, _number(trials))
    galleries = _galleries(labels, trials, 1 if shots is None else shots)
    return DrawnGalleries(labels, variant, max_rank, galleries)


class QueryScores:
    """The values per query while they are collected; arguments as in `RankResult`."""

    def __init__(self, labels: Labelled, variant: APVariant, max_rank: int) -> None:
        self.labels, self.variant, self.max_rank = labels, variant, max_rank
        queries = len(labels.q_pids)
        self.ap, self.inp = np.full((2, queries), np.nan)
        self.first_match = np.zeros(queries, np.int64)

    def put(self, matches: Matches, start: int) -> None:
        """The matches of the queries start, start + 1, ..."""
        part = slice(start, start + matches.queries)
        self.ap[part] = AVERAGE_PRECISIONS[self.variant](matches)
        count = matches.count
        found = count > 0
        last = np.cumsum(count)[found] - 1
        self.inp[part][found] = count[found] / matches.ranks[last]
        self.first_match[part][found] = matches.ranks[last - count[found] + 1]

    def matched(self) -> BoolArray:
        """(Q,) which queries have a match, before any distance is known."""
        return self.labels.matched

    def result(self) -> RankResult:
        """Raises a ValueError if not one query has a match, so that no share of queries exists."""
        protocol, valid = self.labels.protocol, self.first_match > 0
        if not valid.any():
            raise ValueError(
                f"none of the {len(valid)} queries has a match in the gallery of "
                f"{len(self.labels.gallery.pids)} images under the protocol {protocol.name!r}. "
                f"{protocol.rule} Do query and gallery use the same ids, and are the people "
                "seen by more than one camera?"
            )
        if protocol.over == "all":
            self.ap[~valid] = self.inp[~valid] = 0.0
            valid = np.ones_like(valid)
        return RankResult(
            ap=self.ap,
            inp=self.inp,
            first_match=self.first_match,
            valid=valid,
            protocol=protocol.name,
            ap_variant=self.variant,
            over=protocol.over,
            max_rank=self.max_rank,
        )


class FixedGallery(QueryScores):
    """One ranking of the gallery for each query."""

    def add(self, distances: Block, start: int) -> None:
        """Score the queries start, start + 1, ... by their distances to all images that take part.

        distances: (rows, G), columns as `Labelled.gallery`.
        """
        rows = len(distances)
        special = self.labels.special(start, start + rows)
        before = count_before(distances, special, start)
        self.put(Matches.of(before, special, rows), start)
        first = self.first_match[start : start + rows]
        if self.labels.protocol.cmc_over_people and first.any():
            pids = self.labels.q_pids[start : start + rows]
            ranks = _ranks_among_people(_on_cpu(distances), special, pids, self.labels.gallery)
            np.copyto(first, ranks, where=first > 0)


class DrawnGalleries:
    """One ranking for each query and each gallery that was drawn from the pool."""

    def __init__(
        self, labels: Labelled, variant: APVariant, max_rank: int, galleries: list[IntArray]
    ) -> None:
        self.galleries = galleries
        self.trials = [
            FixedGallery(labels.in_gallery(rows), variant, max_rank) for rows in galleries
        ]

    def add(self, distances: Block, start: int) -> None:
        """As `FixedGallery.add`."""
        for rows, trial in zip(self.galleries, self.trials, strict=True):
            trial.add(columns_of(distances, rows), start)

    def matched(self) -> BoolArray:
        """As `QueryScores.matched`, in some trial; none if in one trial none has."""
        found = np.stack([trial.matched() for trial in self.trials])  # (T, Q)
        return np.logical_and(found.any(0), found.any(1).all())

    def result(self) -> TrialsResult:
        """As `QueryScores.result`: the mean over the trials."""
        return average([trial.result() for trial in self.trials], same_queries=True)


class DrawnForEachQuery:
    """One image of every person, drawn for each query and trial anew."""

    def __init__(self, labels: Labelled, variant: APVariant, max_rank: int, trials: int) -> None:
        self.labels = labels
        self.scores = [QueryScores(labels, variant, max_rank) for _ in range(trials)]

    def add(self, distances: Block, start: int) -> None:
        """As `FixedGallery.add`."""
        block = _on_cpu(distances)
        no_nan(block, start)
        special = self.labels.special(start, start + len(block))
        ranks = np.zeros((len(self.scores), len(block)), np.int64)  # 0: no match

        def one(row: int) -> None:
            ranks[:, row] = self._draw(block[row], start + row, _of_row(special, row))

        on_threads(one, len(block))
        for scores, of_trial in zip(self.scores, ranks, strict=True):
            rows = np.flatnonzero(of_trial)
            scores.put(Matches(rows, of_trial[rows], len(block)), start)

    def _draw(self, row: NDArray[np.floating], query: int, special: Special) -> IntArray:
        """Rank of the one match in each trial, 0 without any: (trials,)."""
        if special.excluded.all():
            return np.zeros(len(self.scores), np.int64)
        excluded = np.zeros(len(row), bool)
        excluded[special.indices[special.excluded]] = True
        pids, drawn = one_of_each_person(self.labels.gallery, excluded, query, len(self.scores))
        own = drawn[:, np.searchsorted(pids, self.labels.q_pids[query])][:, None]
        ahead = (row[drawn] < row[own]) | ((row[drawn] == row[own]) & (drawn < own))
        return ahead.sum(1) + 1

    def matched(self) -> BoolArray:
        """As `QueryScores.matched`; what is left of a person's images is never drawn empty."""
        return self.labels.matched

    def result(self) -> TrialsResult:
        """As `QueryScores.result`: the mean over the trials."""
        return average([scores.result() for scores in self.scores], same_queries=True)


Evaluator: TypeAlias = FixedGallery | DrawnGalleries | DrawnForEachQuery


def _of_row(special: Special, row: int) -> Special:
    """What is special to one query."""
    part = slice(*np.searchsorted(special.rows, [row, row + 1]))
    return Special(special.rows[part], special.indices[part], special.excluded[part])


def _ranks_among_people(
    block: NDArray[np.floating], special: Special, pids: IntArray, gallery: Gallery
) -> IntArray:
    """Rank of the first match in the list that keeps only the first image of each person: (rows,).

    block: (rows, G); pids: (rows,) of its queries. Rows without a match get any number.
    """
    place = np.empty(len(gallery.pids), np.int64)
    place[gallery.by_pid] = np.arange(len(place))
    seen = np.take(block, gallery.by_pid, axis=1)  # the images of a person side by side
    hidden = special.excluded
    seen[special.rows[hidden], place[special.indices[hidden]]] = np.inf
    people, starts = np.unique(gallery.pids[gallery.by_pid], return_index=True)
    nearest = np.minimum.reduceat(seen, starts, axis=1)  # (rows, P)
    own = np.minimum(np.searchsorted(people, pids), len(people) - 1)
    match = nearest[np.arange(len(block)), own][:, None]
    ranks = (nearest < match).sum(1) + 1
    for row in np.flatnonzero((nearest == match).sum(1) > 1):  # then the gallery's order decides
        ranks[row] = _rank_among_people(block[row], _of_row(special, int(row)), gallery)
    return ranks


def _rank_among_people(row: NDArray[np.floating], special: Special, gallery: Gallery) -> int:
    """The same for one query, image by image."""
    matches = special.indices[~special.excluded]
    if len(matches) == 0:
        return 0
    match = matches[row[matches].argmin()]  # of equal ones the first: they rise
    ahead = (row < row[match]) | ((row == row[match]) & (np.arange(len(row)) < match))
    ahead[special.indices[special.excluded]] = False
    return len(np.unique(gallery.pids[ahead])) + 1


def _galleries(labels: Labelled, trials: Trials | None, shots: int) -> list[IntArray]:
    """Indices into `labels.gallery`, one array for each trial."""
    if trials is None or isinstance(trials, int | np.integer):
        number = _number(trials)
        pids, camids = labels.gallery.pids, labels.gallery.camids
        drawn = [sysu_gallery(pids, camids, t, shots=shots) for t in range(number)]
        return drawn[:1] if len(drawn[0]) == len(pids) else drawn  # one draw already
    if not hasattr(trials, "__len__"):
        raise TypeError(
            f"trials is {trials!r}, expected how many, a whole number, or a list with the gallery "
            "indices of each"
        )
    if len(trials) == 0:
        raise ValueError("trials is empty: expected the gallery indices of at least one trial")
    galleries = []
    for t, rows in enumerate(trials):
        indices = np.asarray(rows)
        if indices.ndim != 1 or not len(indices) or indices.dtype.kind not in "iu":
            raise ValueError(f"trial {t} is no list of gallery indices: expected (n,) integers")
        named, times = np.unique(indices, return_counts=True)
        wrong = (named < 0) | (named >= labels.images) | (times > 1)
        if wrong.any():
            raise ValueError(
                f"trial {t} names gallery image {named[wrong][0]}, {times[wrong][0]} times; "
                f"expected each of 0 to {labels.images - 1} at most once"
            )
        galleries.append(np.flatnonzero(np.isin(labels.kept, indices)))
    return galleries


def _number(trials: int | np.integer | None) -> int:
    return TRIALS if trials is None else whole_number("trials", trials, 1)


def columns_of(block: Block, columns: IntArray) -> Block:
    """Some columns of a block, wherever it lies."""
    if isinstance(block, Tensor):
        return block[:, torch.from_numpy(columns).to(block.device)]
    return np.take(block, columns, axis=1)


def _on_cpu(block: Block) -> NDArray[np.floating]:
    return block.cpu().numpy() if isinstance(block, Tensor) else block
