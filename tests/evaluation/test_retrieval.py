"""Embeddings to numbers: blocks, precision, and the reference values on PKU-Reid."""

import numpy as np
import pytest
import torch

from reidlab.evaluation import evaluate, pairwise_distances, rank, ranked_list, retrieval


def people(queries=23, images=157, dim=16, seed=0):
    """Noisy embeddings of 9 people in 4 cameras, with duplicates, junk and distractors."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, dim))
    q_pids, g_pids = rng.integers(1, 9, queries), rng.integers(-1, 9, images)
    q_emb, g_emb = (
        (centres[pids] + rng.normal(size=(len(pids), dim))).astype(np.float32)
        for pids in (q_pids, g_pids)
    )
    g_emb[images // 2 :: 7] = g_emb[0]  # ties
    q_emb[3] = g_emb[0]
    cameras = rng.integers(0, 4, queries), rng.integers(0, 4, images)
    return q_emb, g_emb, q_pids, g_pids, *cameras


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("block", [1, 2, 7, 22, 23, 1000, None])
def test_equals_rank_for_any_block_size(metric, block, monkeypatch):
    q_emb, g_emb, *labels = people()
    whole = rank(pairwise_distances(q_emb, g_emb, metric=metric), *labels)
    monkeypatch.setattr(retrieval, "GALLERY_CHUNK", 10)
    result = evaluate(q_emb, g_emb, *labels, metric=metric, block=block)
    np.testing.assert_array_equal(result.ap, whole.ap)
    np.testing.assert_array_equal(result.first_match, whole.first_match)


def test_distances_are_what_they_say():
    q_emb, g_emb, *_ = people()
    cosine = [[1 - q @ g / np.linalg.norm(q) / np.linalg.norm(g) for g in g_emb] for q in q_emb]
    euclid = [[np.sqrt(((q - g) ** 2).sum()) for g in g_emb] for q in q_emb]
    np.testing.assert_allclose(pairwise_distances(q_emb, g_emb), cosine, atol=3e-7)
    np.testing.assert_allclose(
        pairwise_distances(q_emb, g_emb, metric="euclidean"), euclid, rtol=1e-5, atol=1e-6
    )
    assert pairwise_distances(q_emb, g_emb).dtype == torch.float32


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_copies_of_one_image_tie_exactly(metric):
    rng = np.random.default_rng(1)
    for dim in (3, 192, 768):
        one = rng.normal(size=(1, dim)).astype(np.float32)
        others = rng.normal(size=(5, dim)).astype(np.float32)
        gallery = np.concatenate([one] * 37)
        to_copies = pairwise_distances(np.concatenate([one, others]), gallery, metric=metric)
        assert (to_copies == to_copies[:, :1]).all()
        assert to_copies[0].abs().max() < 1e-6


def test_half_precision_embeddings_are_ranked_in_single():
    q_emb, g_emb, *labels = people()
    halves = torch.from_numpy(q_emb).half(), torch.from_numpy(g_emb).half()
    expected = evaluate(halves[0].float(), halves[1].float(), *labels)
    np.testing.assert_array_equal(evaluate(*halves, *labels).ap, expected.ap)
    bfloats = torch.from_numpy(q_emb).bfloat16(), torch.from_numpy(g_emb).bfloat16()
    assert evaluate(*bfloats, *labels).mAP == pytest.approx(expected.mAP, abs=0.05)


def test_metrics_agree_on_unit_vectors():
    q_emb, g_emb, *labels = people()
    q_emb /= np.linalg.norm(q_emb, axis=1, keepdims=True)
    g_emb /= np.linalg.norm(g_emb, axis=1, keepdims=True)
    cosine, euclid = (evaluate(q_emb, g_emb, *labels, metric=m) for m in ("cosine", "euclidean"))
    assert cosine.mAP == pytest.approx(euclid.mAP, abs=1e-3)


def test_embeddings_that_need_gradients():
    q_emb, g_emb, *labels = people()
    assert evaluate(torch.from_numpy(q_emb).requires_grad_(), g_emb, *labels).num_valid > 0


def test_zero_vectors_are_at_distance_one():
    assert pairwise_distances(np.zeros((1, 4)), np.ones((2, 4))).tolist() == [[1, 1]]


def test_ranked_list_by_loops():
    q_emb, g_emb, q_pids, g_pids, q_camids, g_camids = people()
    distances = pairwise_distances(q_emb, g_emb).numpy()
    shown = ranked_list(q_emb, g_emb, q_pids, g_pids, q_camids, g_camids, k=10)
    for q in range(len(q_emb)):
        visible = [
            g
            for g in sorted(range(len(g_emb)), key=lambda g: (distances[q, g], g))
            if g_pids[g] != -1 and (g_pids[g], g_camids[g]) != (q_pids[q], q_camids[q])
        ][:10]
        assert shown.indices[q].tolist() == visible
        assert shown.matches[q].tolist() == [g_pids[g] == q_pids[q] for g in visible]
        np.testing.assert_array_equal(shown.distances[q], distances[q, visible])


def test_ranked_list_agrees_with_the_first_match():
    q_emb, g_emb, *labels = people()
    result = evaluate(q_emb, g_emb, *labels)
    shown = ranked_list(q_emb, g_emb, *labels, k=len(g_emb))
    for q in np.flatnonzero(result.valid):
        assert shown.matches[q].argmax() + 1 == result.first_match[q]


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, lambda x: x.tolist()])
def test_ranked_list_of_one_query_pads_a_short_gallery(wrap):
    query, gallery = np.array([1.0, 0.0]), np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    shown = ranked_list(wrap(query), wrap(gallery), 1, [1, 1, 2], 0, [0, 1, 0], k=4)
    assert shown.indices.tolist() == [[1, 2, -1, -1]]
    assert shown.matches.tolist() == [[True, False, False, False]]
    assert np.isnan(shown.distances[0, 2:]).all()


NAN_ROW = np.array([[1.0, 2.0], [np.nan, 1.0]])
INF_ROW = np.array([[1.0, 2.0], [np.inf, 1.0]])
GOOD = np.eye(2)


@pytest.mark.parametrize(
    ("q_emb", "g_emb", "changes", "error", "message"),
    [
        (NAN_ROW, GOOD, {}, ValueError, "q_emb: 1 of 2 rows hold NaN.*row 1.*diverge"),
        (GOOD, INF_ROW, {}, ValueError, "g_emb: 1 of 2 rows hold NaN or infinity"),
        (np.zeros((0, 2)), GOOD, {}, ValueError, "q_emb has no rows"),
        (GOOD, np.zeros((0, 2)), {}, ValueError, "g_emb has no rows"),
        (GOOD, np.eye(3), {}, ValueError, "q_emb has 2 dimensions and g_emb 3"),
        (np.zeros((2, 2, 2)), GOOD, {}, ValueError, r"shape \(2, 2, 2\), expected \(images"),
        (np.eye(2, dtype=int), GOOD, {}, TypeError, "expected a floating type"),
        (GOOD, GOOD, {"metric": "manhattan"}, ValueError, "'manhattan': choose one of cosine, eu"),
        (GOOD, GOOD, {"block": 0}, ValueError, "block is 0, expected at least 1"),
        (GOOD, GOOD, {"protocol": "sysu-x"}, ValueError, "choose one of.*standard"),
        (GOOD, GOOD, {"q_pids": [1]}, ValueError, r"q_pids has shape \(1,\), expected \(2,\)"),
        (GOOD, GOOD, {"g_pids": ["a", "b"]}, TypeError, "g_pids holds.*'a'"),
    ],
)
def test_bad_input(q_emb, g_emb, changes, error, message):
    labels = {"q_pids": [1, 2], "g_pids": [1, 2], "q_camids": [0, 0], "g_camids": [1, 1]}
    with pytest.raises(error, match=message):
        evaluate(q_emb, g_emb, **{**labels, **changes})


def test_ranked_list_needs_a_k():
    with pytest.raises(ValueError, match="k is 0"):
        ranked_list(GOOD, GOOD, [1, 2], [1, 2], [0, 0], [1, 1], k=0)


@pytest.mark.parametrize("offset", [0, 1e3, 1e7])
def test_euclidean_distances_far_from_zero(offset):
    """What all images share costs no digits: neither their distances nor their ties."""
    rng = np.random.default_rng(2)
    queries, one = offset + rng.normal(size=(16, 32)), offset + rng.normal(size=(50, 32))
    order = rng.permutation(250)
    gallery = np.concatenate([one] * 5)
    found = pairwise_distances(queries, gallery[order], metric="euclidean").numpy()
    expected = np.linalg.norm(queries[:, None] - gallery[order], axis=2)
    np.testing.assert_allclose(found, expected, rtol=2e-7)
    copies = found[:, np.argsort(order)].reshape(16, 5, 50)
    assert (copies == copies[:, :1]).all()
    alone = [pairwise_distances(q[None], gallery[order], metric="euclidean")[0] for q in queries]
    np.testing.assert_array_equal(np.stack(alone), found)


def test_euclidean_distances_beside_one_large_dimension():
    emb = np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
    emb[:, 0] = 1e7
    found = pairwise_distances(emb, emb, metric="euclidean").numpy()
    exact = emb.astype(np.float64)
    np.testing.assert_allclose(found, np.linalg.norm(exact[:, None] - exact, axis=2), rtol=2e-7)
