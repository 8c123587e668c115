"""From a distance matrix to CMC, mAP and mINP.

Definitions (Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015; mINP from
Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021):

* rank of a match: its position, from 1, among the gallery images this query is evaluated on;
* CMC(k): share of counted queries whose first match has rank <= k;
* AP of a query: mean over its matches of (matches so far / rank), or one of the variants in
  `AVERAGE_PRECISIONS`; mAP is its mean over the counted queries;
* INP of a query: number of matches / rank of the last match; mINP its mean.

Ties: equal distances are ordered by gallery index, that is, as a stable sort would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from reidlab.evaluation.checks import Labels, Matrix, distance_matrix
from reidlab.evaluation.evaluators import Labelled, Trials, columns_of, make_evaluator
from reidlab.evaluation.protocols import APVariant, BoolArray, Over, get_protocol
from reidlab.evaluation.results import RankResult

BLOCK_ELEMENTS = 2**24  # distances looked at together: 64 MB in float32


def rank(  # labels of both sides, and each choice that papers make by name
    distances: Matrix,
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels | None = None,
    g_camids: Labels | None = None,
    *,
    protocol: str = "standard",
    ap: APVariant | None = None,
    over: Over | None = None,
    max_rank: int = 50,
    trials: Trials | None = None,
    shots: int | None = None,
) -> RankResult:
    """Evaluate a distance matrix.

    Args:
        distances: (Q, G) float32 or float64, smaller is nearer. Equal distances are ordered by
            gallery index.
        q_pids: (Q,) integer person ids of the queries.
        g_pids: (G,) those of the gallery; -1 is junk. 0 is an id like any other: as no query of
            Market-1501 carries it, its distractors are negatives.
        q_camids: (Q,) integer cameras of the queries, from 0. Only "regdb" and "la-official" do
            without them.
        g_camids: (G,) those of the gallery.
        protocol: name of the rule, see `protocols.PROTOCOLS`.
        ap: None, the protocol's own ("top10" for "la-official", else "mean_precision"); or
            "mean_precision" (torchreid, fast-reid, TransReID); "trapezoid" (the original MATLAB
            code of Market-1501), which is never larger; "top10" (LA-Transformer): the first ten
            images only, divided by the matches found there.
        over: None, the protocol's own ("all" for "la-official", else "counted"); "counted": means
            are over the queries that have a match; "all": a query without one is a failure, with AP
            0 (as layumi's code counts).
        max_rank: length of the result's `cmc_curve`; may exceed the gallery.
        trials: for protocols that draw: how many draws, 10 by default; for "sysu" also the gallery
            indices of each trial. "sysu" draws by `sysu_gallery`; a gallery that already is one
            draw (at most `shots` images of each person and camera) is one trial.
        shots: for "sysu": images of each person and camera, 1 (default) or 10.

    Returns:
        The shares and the values per query; a `TrialsResult` for protocols that draw.

    Raises:
        TypeError: labels that are not integers, or half-precision distances.
        ValueError: shapes that do not fit, NaN distances, cameras missing or unknown to the
            protocol, unknown names, or no query with a match.

    Example:
        >>> from reidlab.evaluation import rank
        >>> r = rank([[0.1, 0.2, 0.3]], [7], [7, 5, 7], [0], [0, 1, 1])
        >>> r.rank1, r.mAP  # the first image is the query's own camera: dropped
        (0.0, 0.5)
    """
    matrix = distance_matrix(distances)
    rows = max(1, BLOCK_ELEMENTS // matrix.shape[1])
    blocks = (matrix[start : start + rows] for start in range(0, len(matrix), rows))
    return rank_blocks(
        blocks, tuple(matrix.shape), q_pids, g_pids, q_camids, g_camids, protocol=protocol,
        ap=ap, over=over, max_rank=max_rank, trials=trials, shots=shots,
    )  # fmt: skip


def rank_blocks(  # takes what `rank` takes
    blocks: Iterable[Matrix],
    shape: tuple[int, int],
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels | None = None,
    g_camids: Labels | None = None,
    *,
    protocol: str = "standard",
    ap: APVariant | None = None,
    over: Over | None = None,
    max_rank: int = 50,
    trials: Trials | None = None,
    shots: int | None = None,
) -> RankResult:
    """`rank` for distances that are computed block by block and never are in memory together.

    Args:
        blocks: The rows of the distance matrix from the first query on, each (q, G).
        shape: (Q, G).
        q_pids, g_pids, q_camids, g_camids, protocol, ap, over, max_rank, trials, shots: as in
            `rank`.

    Raises:
        TypeError: as `rank`.
        ValueError: as `rank`; or a block has another number of columns than G, or all together
            have another number of rows than Q.
    """
    labels = Labelled.checked(q_pids, g_pids, q_camids, g_camids, shape, get_protocol(protocol))
    evaluator = make_evaluator(
        labels, ap=ap, over=over, max_rank=max_rank, trials=trials, shots=shots
    )
    start = 0
    for each in blocks:
        block = distance_matrix(each)
        if block.shape[1] != shape[1] or start + len(block) > shape[0]:
            raise ValueError(
                f"the block of query {start} on has shape {tuple(block.shape)}; expected at most "
                f"{shape[0] - start} rows of {shape[1]} numbers, one for each gallery image"
            )
        evaluator.add(block if labels.complete else columns_of(block, labels.kept), start)
        start += len(block)
    if start != shape[0]:
        raise ValueError(f"the blocks have {start} rows; expected {shape[0]}, one for each query")
    return evaluator.result()


def queries_with_match(  # what `rank` takes, but for what is done with distances
    q_pids: Labels,
    g_pids: Labels,
    q_camids: Labels | None = None,
    g_camids: Labels | None = None,
    *,
    protocol: str = "standard",
    trials: Trials | None = None,
    shots: int | None = None,
) -> BoolArray:
    """Which queries have a match, from ids and cameras alone: before anything is trained.

    Args:
        q_pids, g_pids, q_camids, g_camids, protocol, trials, shots: as in `rank`.

    Returns:
        (Q,) True for a query with a match under the protocol, in one of its draws or more. If no
        query is True, `rank` and `evaluate` would end with an error.

    Raises:
        TypeError, ValueError: as `rank`, of labels and names.
    """
    shape = math.prod(np.shape(q_pids)), math.prod(np.shape(g_pids))  # of scalars, too
    labels = Labelled.checked(q_pids, g_pids, q_camids, g_camids, shape, get_protocol(protocol))
    evaluator = make_evaluator(labels, ap=None, over=None, max_rank=1, trials=trials, shots=shots)
    return evaluator.matched()
