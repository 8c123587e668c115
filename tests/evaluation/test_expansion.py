"""Query expansion against loops and a case on paper."""

import doctest

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidlab.evaluation import evaluate, expand_queries, expansion


def expand_by_loops(q_emb, g_emb, k, alpha, metric):
    """The definition, image by image, in double precision."""
    expanded = []
    for q in np.float64(q_emb):
        gallery = list(np.float64(g_emb))
        if metric == "cosine":
            q = q / np.linalg.norm(q)
            gallery = [g / np.linalg.norm(g) for g in gallery]
            near = [np.float32(1) - np.float32(q @ g) for g in gallery]
        else:
            near = [np.float32(np.linalg.norm(q - g)) for g in gallery]
        nearest = sorted(range(len(gallery)), key=lambda g: (near[g], g))[:k]
        total, weight = q.copy(), 1.0
        for g in nearest:
            w = max(q @ gallery[g], 0.0) ** alpha if alpha else 1.0
            total, weight = total + w * gallery[g], weight + w
        expanded.append(total / (np.linalg.norm(total) if metric == "cosine" else weight))
    return np.array(expanded)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 30),
    st.integers(2, 12),
    st.integers(1, 30),
    st.sampled_from([("cosine", 0.0), ("cosine", 1.0), ("cosine", 3.5), ("euclidean", 0.0)]),
    st.integers(1, 10),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_loops(queries, images, dim, k, setting, block, seed):
    rng = np.random.default_rng(seed)
    q_emb, g_emb = (rng.normal(size=(n, dim)).astype(np.float32) for n in (queries, images))
    metric, alpha = setting
    k = min(k, images)
    expanded = expand_queries(q_emb, g_emb, k=k, alpha=alpha, metric=metric, block=block)
    assert (expanded.shape, expanded.dtype) == ((queries, dim), torch.float32)
    expected = expand_by_loops(q_emb, g_emb, k, alpha, metric)
    np.testing.assert_allclose(expanded, expected, atol=2e-6)
    whole = expand_queries(q_emb, g_emb, k=k, alpha=alpha, metric=metric)
    assert torch.equal(expanded, whole)


def test_by_hand():
    query = [[2.0, 0.0]]
    gallery = [[0.0, 1.0], [6.0, 8.0], [-1.0, 0.0]]  # cosines 0, 0.6, -1
    mean = np.array([1 + 0.6, 0.8])
    np.testing.assert_allclose(
        expand_queries(query, gallery, k=1)[0], mean / np.linalg.norm(mean), atol=1e-6
    )
    weighted = np.array([1 + 0.36 * 0.6, 0.36 * 0.8])  # 0.6 ** 2; cosines of 0 and -1 weigh nothing
    np.testing.assert_allclose(
        expand_queries(query, gallery, k=3, alpha=2)[0],
        weighted / np.linalg.norm(weighted),
        atol=1e-6,
    )
    # Distances 2.24, 8.94 and 3: the first and the last.
    euclidean = expand_queries(query, gallery, k=2, metric="euclidean")
    np.testing.assert_allclose(euclidean[0], [(2 + 0 - 1) / 3, (0 + 1 + 0) / 3], atol=1e-6)


def test_ties_in_gallery_order():
    gallery = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])  # equally near
    expanded = expand_queries([[1.0, 0.0, 0.0]], gallery, k=1)[0]
    assert (expanded[1] > 0, float(expanded[2])) == (True, 0)
    expanded = expand_queries([[1.0, 0.0, 0.0]], gallery[::-1].copy(), k=2)[0]
    assert (expanded[1] < 0, expanded[2] > 0) == (True, True)
    many = np.eye(61)[1:] + np.eye(61)[0]  # sixty, all equally near
    many[::3, 0] = 2  # but for every third, which is nearer: these twenty and the first ten others
    expanded = expand_queries(np.eye(61)[:1], many, k=30)[0]
    nearest = sorted([*range(0, 60, 3), 1, 2, 4, 5, 7, 8, 10, 11, 13, 14])
    assert (expanded[1:] > 0).nonzero()[:, 0].tolist() == nearest


def test_it_helps_where_its_assumption_holds_and_hurts_where_not():
    """Eight images a person: a mean of five of them is a better query. One image: it is not."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 24))
    for images, better in ((8, True), (1, False)):
        g_pids = np.repeat(np.arange(60), images)
        q_emb = centres + 1.2 * rng.normal(size=centres.shape)
        g_emb = centres[g_pids] + 1.2 * rng.normal(size=(len(g_pids), 24))
        labels = np.arange(60), g_pids, np.zeros(60, int), np.ones(len(g_pids), int)
        plain = evaluate(q_emb, g_emb, *labels).mAP
        expanded = evaluate(expand_queries(q_emb, g_emb), g_emb, *labels).mAP
        assert (expanded > plain) == better


def test_any_precision():
    q_emb, g_emb = torch.randn(4, 8), torch.randn(9, 8)
    halves = expand_queries(q_emb.half().requires_grad_(), g_emb.bfloat16())
    floats = expand_queries(q_emb.half().float(), g_emb.bfloat16().float())
    assert torch.equal(halves, floats)
    assert not halves.requires_grad


GOOD = np.eye(2)


@pytest.mark.parametrize(
    ("g_emb", "changes", "message"),
    [
        (GOOD * np.nan, {}, "g_emb: 2 of 2 rows hold NaN"),
        (np.eye(3), {}, "q_emb has 2 dimensions and g_emb 3"),
        (GOOD, {"k": 0}, r"k is 0, expected 1 to 2 \(the gallery\)"),
        (GOOD, {"k": 3}, r"k is 3, expected 1 to 2 \(the gallery\)"),
        (GOOD, {"alpha": -1.0}, "alpha is -1.0, expected 0"),
        (GOOD, {"alpha": float("nan")}, "alpha is nan, expected 0"),
        (GOOD, {"alpha": float("inf")}, "alpha is inf, expected 0"),
        (GOOD, {"alpha": 3.0, "metric": "euclidean"}, "alpha is 3.0 with metric 'euclidean'"),
        (GOOD, {"metric": "l1"}, "unknown metric 'l1': choose one of cosine, euclidean"),
        (GOOD, {"block": 0}, "block is 0, expected at least 1"),
    ],
)
def test_bad_input(g_emb, changes, message):
    with pytest.raises(ValueError, match=message):
        expand_queries(GOOD, g_emb, **{"k": 1, **changes})


def test_example_of_the_docstring():
    assert doctest.testmod(expansion) == (0, 2)
