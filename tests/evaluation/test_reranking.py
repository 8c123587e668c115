"""Re-ranking against the definition of 2017, image by image in loops, and an answer on paper."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidlab.evaluation import rerank, reranking


def rerank_by_loops(q_emb, g_emb, k1=20, k2=6, lambda_value=0.3, metric="euclidean"):
    """Zhong et al. 2017 with Python lists and sets. An empty set of neighbours has no weight."""
    points = [np.asarray(p, np.float64) for p in (*q_emb, *g_emb)]
    if metric == "cosine":
        points = [p / np.linalg.norm(p) if p.any() else p for p in points]
    everyone = range(len(points))
    squared = [[float(((points[i] - points[j]) ** 2).sum()) for j in everyone] for i in everyone]
    d = [[value / (max(row) or 1) for value in row] for row in squared]
    ranking = [sorted(everyone, key=lambda j: (squared[i][j], j)) for i in everyone]

    def reciprocal(i, k):
        return {j for j in ranking[i][: k + 1] if i in ranking[j][: k + 1]}

    weights = []
    for i in everyone:
        members = reciprocal(i, k1)
        expanded = set(members)
        for j in members:
            others = reciprocal(j, int(np.around(k1 / 2)))
            if len(others & members) > 2 / 3 * len(others):
                expanded |= others
        gaussian = {j: math.exp(-d[i][j]) for j in expanded}
        total = sum(gaussian.values())
        weights.append([gaussian[j] / total if j in gaussian else 0.0 for j in everyone])
    if k2 != 1:
        weights = [np.mean([weights[j] for j in ranking[i][:k2]], axis=0) for i in everyone]

    result = np.empty((len(q_emb), len(g_emb)))
    for i in range(len(q_emb)):
        for j in range(len(g_emb)):
            pairs = zip(weights[i], weights[len(q_emb) + j], strict=True)
            shared = sum(min(a, b) for a, b in pairs)
            jaccard = 1 - shared / (2 - shared)
            result[i, j] = lambda_value * d[i][len(q_emb) + j] + (1 - lambda_value) * jaccard
    return result


def assert_equals_the_definition(q_emb, g_emb, **settings):
    block = settings.pop("block", None)
    result = rerank(q_emb, g_emb, **settings, block=block)
    assert result.shape == (len(q_emb), len(g_emb))
    assert (result.dtype, result.device.type) == (torch.float32, "cpu")
    assert (result >= 0).all()
    expected = rerank_by_loops(q_emb, g_emb, **settings)
    np.testing.assert_allclose(result.numpy(), expected, rtol=0, atol=1e-6)


def people(queries, images, dim, seed=0, identities=8, noise=0.5):
    """Clusters of float32 embeddings."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(identities, dim))
    pids = rng.integers(0, identities, queries + images)
    points = centres[pids] + noise * rng.normal(size=(queries + images, dim))
    return np.split(points.astype(np.float32), [queries])


@st.composite
def embeddings_with_ties(draw):
    """A metric, and clusters with copies of images, coordinates on a coarse grid, or zeros."""
    queries, images, dim = (
        draw(st.integers(1, 6)),
        draw(st.integers(1, 40)),
        draw(st.integers(1, 9)),
    )
    seed, identities = draw(st.integers(0, 10**6)), draw(st.integers(1, 9))
    points = np.concatenate(people(queries, images, dim, seed, identities, draw(st.floats(0.1, 2))))
    metric = draw(st.sampled_from(["euclidean", "cosine"]))
    rng = np.random.default_rng(seed)
    # On the unit sphere zeros and multiples of an image tie on paper, but not after rounding.
    if metric == "euclidean" and draw(st.booleans()):
        points = np.round(4 * points) / 4
    if metric == "euclidean" and draw(st.booleans()):
        points[rng.integers(0, len(points), len(points) // 3)] = 0
    copies = rng.integers(0, len(points), (2, draw(st.integers(0, len(points)))))
    points[copies[0]] = points[copies[1]]
    return metric, *np.split(points, [queries])


@settings(max_examples=150, deadline=None)
@given(
    embeddings_with_ties(),
    st.integers(1, 25),
    st.integers(1, 12),
    st.floats(0, 1),
    st.sampled_from([None, 1, 5, 16]),
)
def test_equals_the_definition(case, k1, k2, lambda_value, block):
    metric, *embeddings = case
    assert_equals_the_definition(
        *embeddings, k1=k1, k2=k2, lambda_value=lambda_value, metric=metric, block=block
    )


@pytest.mark.parametrize("noise", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("dim", [3, 64])
def test_equals_the_definition_with_the_papers_settings(noise, dim):
    assert_equals_the_definition(*people(20, 180, dim, noise=noise))


@pytest.mark.parametrize("k1", [1, 2, 3, 5, 7, 9])  # half of an odd k1 is rounded to even
def test_half_of_an_odd_k1(k1):
    assert_equals_the_definition(*people(8, 60, 4, seed=k1), k1=k1, k2=3)


def test_on_paper():
    # Images at 0 (the query), 1 and 3 on a line, two neighbours each, itself among them: 0 and 1
    # have one another, 3 has 1 but 1 does not have 3. No expansion, no average.
    result = rerank([[0.0]], [[1.0], [3.0]], k1=1, k2=1)
    of_query = 1 / (1 + math.exp(-1 / 9))  # weights of the query: this on itself, the rest on 1
    of_first = 1 / (1 + math.exp(-1 / 4))  # weights of 1: this on itself, the rest on the query
    shared = (1 - of_first) + (1 - of_query)
    expected = [0.3 / 9 + 0.7 * (1 - shared / (2 - shared)), 0.3 * 9 / 9 + 0.7]
    assert result.tolist()[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("block", [1, 2, 7, 49, 50, 51, 99, 100, 1000])
def test_the_block_size_does_not_matter(block):
    q_emb, g_emb = people(50, 50, 16)
    g_emb[30:] = g_emb[:20]
    result = rerank(q_emb, g_emb, block=block)
    np.testing.assert_allclose(result, rerank(q_emb, g_emb), rtol=0, atol=1e-6)


def test_the_merge_of_lists_in_small_parts(monkeypatch):
    q_emb, g_emb = people(30, 70, 16)
    whole = rerank(q_emb, g_emb)
    for entries in (1, 100, 10_000):
        monkeypatch.setattr(reranking, "LIST_ENTRIES", entries)
        np.testing.assert_array_equal(rerank(q_emb, g_emb), whole)


class TestManyCopies:
    """More copies of one image than candidates: the nearest are the copies of lowest index."""

    @pytest.mark.parametrize("k2", [1, 6])
    def test_of_a_gallery_image(self, k2):
        q_emb, g_emb = people(4, 90, 5)
        g_emb[7:80:2] = q_emb[1]
        g_emb[8:30:2] = q_emb[2]
        assert_equals_the_definition(q_emb, g_emb, k1=6, k2=k2)

    def test_of_an_image_that_single_precision_does_not_see_as_copies(self):
        # A dot product in float32 leaves noise between copies that outweighs true differences.
        rng = np.random.default_rng(0)
        g_emb = np.repeat(rng.normal(size=(1, 64)), 120, axis=0)
        g_emb[::3] += 1e-7 * rng.normal(size=(40, 64))
        g_emb[-1] += 1
        assert_equals_the_definition(g_emb[:3], g_emb[3:], k1=6, k2=3)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("value", [0.0, 1 / 3, 1e-30])
    def test_everything_is_one_image(self, value, dtype):
        q_emb, g_emb = np.full((3, 37), value, dtype), np.full((57, 37), value, dtype)
        assert_equals_the_definition(q_emb, g_emb)
        assert rerank(q_emb, g_emb, lambda_value=1).count_nonzero() == 0

    def test_copies_are_measured_once(self, monkeypatch):
        measured, inner = [], reranking._squared_distances

        def counted(points, i, j):
            measured.append(len(i))
            return inner(points, i, j)

        monkeypatch.setattr(reranking, "_squared_distances", counted)
        rerank(np.ones((2, 4)), np.ones((300, 4)))
        assert measured.count(302) == 1


@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_neighbours_are_right_where_single_precision_is_not(scale):
    # On a circle around the queries: distances from there differ by parts in 10^9 only.
    rng = np.random.default_rng(3)
    angles = rng.uniform(0, 2 * np.pi, 60)
    radii = 1 + 1e-9 * rng.permutation(60)
    g_emb = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    assert_equals_the_definition(np.zeros((2, 2)), scale * g_emb, k1=10, k2=4)


@pytest.mark.parametrize(("scale", "offset"), [(1, 3e3), (1e-19, 0), (1e18, 0), (1e-3, 10)])
def test_embeddings_of_any_scale_and_far_from_zero(scale, offset):
    q_emb, g_emb = (np.float32(scale * e + offset) for e in people(10, 90, 32))
    assert_equals_the_definition(q_emb, g_emb)


def test_one_image_far_away():
    q_emb, g_emb = people(5, 80, 16)
    g_emb[11] = 1e4
    assert_equals_the_definition(q_emb, g_emb)
    assert_equals_the_definition(g_emb[11:12], g_emb)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_precision(dtype):
    q_emb, g_emb = (torch.from_numpy(e).to(getattr(torch, dtype)) for e in people(6, 50, 8))
    result = rerank(q_emb.requires_grad_(), g_emb)
    assert not result.requires_grad
    expected = rerank_by_loops(q_emb.detach().double().numpy(), g_emb.double().numpy())
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_the_embeddings_are_left_alone():
    q_emb, g_emb = people(6, 50, 8)
    before = q_emb.copy(), g_emb.copy()
    for metric in ("euclidean", "cosine"):
        rerank(q_emb, g_emb, metric=metric)
    np.testing.assert_array_equal(q_emb, before[0])
    np.testing.assert_array_equal(g_emb, before[1])


def test_copies_are_at_no_negative_distance():
    g_emb = people(1, 40, 64)[1]
    assert (rerank(g_emb[::2], g_emb, lambda_value=1) >= 0).all()


def test_lambda_one_is_the_original_distance_squared_once():
    q_emb, g_emb = people(4, 30, 8)
    everyone = np.concatenate([q_emb, g_emb]).astype(np.float64)
    squared = ((q_emb[:, None] - everyone) ** 2).sum(2)
    expected = squared[:, 4:] / squared.max(1, keepdims=True)
    np.testing.assert_allclose(rerank(q_emb, g_emb, lambda_value=1), expected, rtol=0, atol=1e-6)


def test_cosine_is_euclidean_on_the_unit_sphere():
    q_emb, g_emb = (np.float64(e) for e in people(9, 60, 8))
    units = [e / np.linalg.norm(e, axis=1, keepdims=True) for e in (q_emb, g_emb)]
    np.testing.assert_allclose(
        rerank(q_emb, g_emb, metric="cosine"), rerank(*units), rtol=0, atol=1e-6
    )
    assert not np.allclose(rerank(q_emb, g_emb, metric="cosine"), rerank(q_emb, g_emb), atol=1e-3)


@pytest.mark.parametrize("setting", ["high", "medium"])
def test_double_precision_where_single_may_mean_less(setting):
    points = torch.from_numpy(np.concatenate(people(5, 40, 8)))
    assert reranking._centred(points)[0].dtype == torch.float32
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(setting)
    try:
        assert reranking._centred(points)[0].dtype == torch.float64
        assert_equals_the_definition(points[:5].numpy(), points[5:].numpy())
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_textbook_form_of_the_benchmark_agrees():
    path = Path(__file__).parents[2] / "benchmarks" / "dense_reranking.py"
    spec = importlib.util.spec_from_file_location("dense_reranking", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    q_emb, g_emb = (np.float64(e) for e in people(12, 110, 16, noise=1))
    for k1, k2, lambda_value in ((20, 6, 0.3), (5, 1, 0.0), (200, 300, 0.7)):
        np.testing.assert_allclose(
            module.dense_rerank(q_emb, g_emb, k1, k2, lambda_value),
            rerank_by_loops(q_emb, g_emb, k1, k2, lambda_value),
            rtol=0,
            atol=1e-9,
        )


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"needs scipy.*pip install 'reidlab\[search\]'"):
        rerank(*people(2, 5, 3))


GOOD = np.eye(2)


@pytest.mark.parametrize(
    ("q_emb", "g_emb", "changes", "error", "message"),
    [
        (np.array([[1.0, np.nan]]), GOOD, {}, ValueError, "q_emb: 1 of 1 rows hold NaN"),
        (GOOD, np.array([[1.0, 2.0], [np.inf, 1.0]]), {}, ValueError, "g_emb: 1 of 2.*row 1"),
        (np.zeros((0, 2)), GOOD, {}, ValueError, "q_emb has no rows"),
        (GOOD, np.zeros((0, 2)), {}, ValueError, "g_emb has no rows"),
        (GOOD, np.eye(3), {}, ValueError, "q_emb has 2 dimensions and g_emb 3.*same model"),
        (np.zeros((2, 2, 2)), GOOD, {}, ValueError, r"shape \(2, 2, 2\), expected \(images"),
        (np.eye(2, dtype=int), GOOD, {}, TypeError, "expected a floating type"),
        (GOOD, GOOD, {"metric": "dot"}, ValueError, "'dot': choose one of cosine, euclidean"),
        (GOOD, GOOD, {"k1": 0}, ValueError, "k1 is 0, expected at least 1.*k1=20"),
        (GOOD, GOOD, {"k2": 0}, ValueError, "k2 is 0, expected at least 1.*k2=6"),
        (GOOD, GOOD, {"lambda_value": 1.1}, ValueError, "lambda_value is 1.1, expected 0"),
        (GOOD, GOOD, {"lambda_value": -0.1}, ValueError, "lambda_value is -0.1"),
        (GOOD, GOOD, {"lambda_value": math.nan}, ValueError, "lambda_value is nan"),
        (GOOD, GOOD, {"block": 0}, ValueError, "block is 0, expected at least 1"),
    ],
)
def test_bad_input(q_emb, g_emb, changes, error, message):
    with pytest.raises(error, match=message):
        rerank(q_emb, g_emb, **changes)
