"""The ranking against the plain definition, written as loops, and against answers on paper."""

import doctest
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidlab.evaluation import rank, ranking
from reidlab.evaluation.protocols import PROTOCOLS, Gallery, get_protocol


def rank_by_loops(distances, q_pids, g_pids, q_camids, g_camids, ap="mean_precision"):
    """The standard rule image by image: per query (AP, INP, rank of the first match)."""
    answers = []
    for q, row in enumerate(distances):
        ranked = sorted(range(len(row)), key=lambda g: (row[g], g))
        hits, position, total, last, first = 0, 0, 0.0, 0, 0
        for g in ranked:
            if g_pids[g] == -1 or (g_pids[g] == q_pids[q] and g_camids[g] == q_camids[q]):
                continue
            position += 1
            if g_pids[g] != q_pids[q]:
                continue
            before = 1.0 if position == 1 else hits / (position - 1)
            hits += 1
            precision = hits / position
            total += precision if ap == "mean_precision" else (before + precision) / 2
            first, last = first or position, position
        answers.append((total / hits, hits / last, first) if hits else (math.nan, math.nan, 0))
    return answers


@st.composite
def retrievals(draw):
    """Tiny sets with many ties, few cameras, junk and distractors."""
    queries, images = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    ids, cameras = st.integers(-1, 3), st.integers(0, 2)
    return (
        draw(arrays(np.float32, (queries, images), elements=st.sampled_from([0, 0.25, 0.5, 1]))),
        *(draw(arrays(np.int64, n, elements=ids)) for n in (queries, images)),
        *(draw(arrays(np.int64, n, elements=cameras)) for n in (queries, images)),
    )


@settings(max_examples=400, deadline=None)
@given(retrievals(), st.sampled_from(["mean_precision", "trapezoid"]))
def test_equals_the_definition(case, ap):
    expected = np.array(rank_by_loops(*case, ap=ap))
    if not expected[:, 2].any():
        with pytest.raises(ValueError, match="none of the"):
            rank(*case, ap=ap)
        return
    result = rank(*case, ap=ap)
    np.testing.assert_allclose(result.ap, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(result.inp, expected[:, 1], rtol=1e-12)
    np.testing.assert_array_equal(result.first_match, expected[:, 2])
    counted = expected[expected[:, 2] > 0]
    assert result.num_valid == len(counted)
    assert result.mAP == pytest.approx(counted[:, 0].mean())
    assert result.mINP == pytest.approx(counted[:, 1].mean())
    for k in (1, 2, 5, 50):
        assert result.cmc(k) == pytest.approx((counted[:, 2] <= k).mean())


@settings(max_examples=200, deadline=None)
@given(retrievals())
def test_trapezoid_is_never_larger_and_cmc_never_falls(case):
    try:
        mean, trapezoid = rank(*case), rank(*case, ap="trapezoid")
    except ValueError:
        return  # no query with a match
    valid = mean.valid
    assert (trapezoid.ap[valid] <= mean.ap[valid] + 1e-12).all()
    assert (np.diff(mean.cmc_curve) >= 0).all()
    assert len(mean.cmc_curve) == 50
    assert (mean.inp[valid] <= 1).all()
    assert (mean.inp[valid] > 0).all()


@settings(max_examples=100, deadline=None)
@given(retrievals(), st.randoms(use_true_random=False))
def test_the_order_of_queries_does_not_matter(case, random):
    distances, q_pids, g_pids, q_camids, g_camids = case
    order = list(range(len(q_pids)))
    random.shuffle(order)
    try:
        result = rank(*case)
    except ValueError:
        return
    shuffled = rank(distances[order], q_pids[order], g_pids, q_camids[order], g_camids)
    np.testing.assert_array_equal(shuffled.ap, result.ap[order])


def test_with_the_people_and_cameras_of_market1501():
    # Numbers only: 3,368 queries before 15,913 images, 2,798 of them distractors.
    with np.load(Path(__file__).parents[2] / "benchmarks" / "market1501_ids.npz") as ids:
        q_pids, g_pids, q_camids, g_camids = (
            ids[f"{split}_{name}"] for name in ("pids", "camids") for split in ("query", "gallery")
        )
    assert (len(q_pids), len(g_pids), (g_pids == 0).sum()) == (3368, 15913, 2798)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(q_pids), 40, replace=False)
    distances = rng.integers(0, 2000, (40, len(g_pids))).astype(np.float32)  # every value ties
    case = distances, q_pids[chosen], g_pids, q_camids[chosen], g_camids
    expected = np.array(rank_by_loops(*case))
    result = rank(*case)
    np.testing.assert_allclose(result.ap, expected[:, 0], rtol=1e-12)
    np.testing.assert_array_equal(result.first_match, expected[:, 2])
    perfect = rank((case[1][:, None] != g_pids).astype(np.float32), *case[1:])
    assert (perfect.num_valid, perfect.rank1, perfect.mAP, perfect.mINP) == (40, 1, 1, 1)


def test_on_paper():
    # One query: person 1, camera 0. By distance the gallery reads
    #   own camera (dropped), person 2, junk (dropped), MATCH, distractor, MATCH
    # so the matches stand at ranks 2 and 4.
    result = rank([[1, 2, 3, 4, 5, 6]], [1], [1, 2, -1, 1, 0, 1], [0], [0, 1, 1, 1, 2, 2])
    assert result.first_match.tolist() == [2]
    assert (result.rank1, result.cmc(2)) == (0, 1)
    assert result.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert result.mINP == pytest.approx(2 / 4)
    trapezoid = rank(
        [[1, 2, 3, 4, 5, 6]], [1], [1, 2, -1, 1, 0, 1], [0], [0, 1, 1, 1, 2, 2], ap="trapezoid"
    )
    assert trapezoid.mAP == pytest.approx(((0 / 1 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)


def test_ties_follow_the_gallery_order():
    # All at one distance: the match at index 2 stands third, at index 0 it stands first.
    same = np.zeros((1, 3), np.float32)
    assert rank(same, [1], [2, 3, 1], [0], [1, 1, 1]).first_match.tolist() == [3]
    assert rank(same, [1], [1, 2, 3], [0], [1, 1, 1]).first_match.tolist() == [1]
    # An excluded image of the same distance does not push the match back, wherever it stands.
    assert rank(same, [1], [1, 1, 3], [0], [0, 1, 1]).first_match.tolist() == [1]
    assert rank(same, [1], [3, 1, 1], [0], [1, 1, 0]).first_match.tolist() == [2]


class TestKnownFaults:
    """Faults of well-known evaluators (evaluators that crash, fall or average wrongly)."""

    def test_fewer_gallery_images_than_max_rank(self):
        result = rank([[0.2, 0.1]], [1], [1, 2], [0], [1, 1], max_rank=50)
        assert len(result.cmc_curve) == 50
        assert result.cmc_curve[:3].tolist() == [0, 1, 1]

    def test_cmc_does_not_fall_past_the_valid_length(self):
        # One query, four gallery images, one of them junk: a stale buffer gives [1, 1, 1, 0].
        result = rank([[0.1, 0.2, 0.3, 0.4]], [1], [1, 2, 3, -1], [0], [1, 1, 1, 1], max_rank=4)
        assert result.cmc_curve.tolist() == [1, 1, 1, 1]

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_distances_are_refused(self, dtype):
        distances = torch.rand(2, 4).to(getattr(torch, dtype))
        with pytest.raises(TypeError, match=f"{dtype}.*ties.*float32"):
            rank(distances, [1, 1], [1, 2, 3, 4], [0, 0], [1, 1, 1, 1])

    def test_the_mean_is_over_counted_queries(self):
        # 7 of 100 queries have a match, at rank 2: mAP is 0.5, not 0.035.
        distances = np.tile(np.float32([0.1, 0.2]), (100, 1))
        q_pids = np.where(np.arange(100) < 7, 1, 5)
        result = rank(distances, q_pids, [2, 1], np.zeros(100, int), [1, 1])
        assert (result.num_valid, result.mAP, result.cmc(2)) == (7, 0.5, 1.0)
        assert np.isnan(result.ap[7:]).all()
        assert not result.valid[7:].any()

    def test_only_own_camera_matches_do_not_count(self):
        with pytest.raises(
            ValueError, match=r"none of the 1 queries.*standard.*more than one camera"
        ):
            rank([[0.1, 0.2]], [1], [1, 2], [0], [0, 1])

    def test_all_junk(self):
        with pytest.raises(ValueError, match="none of the 1 queries"):
            rank([[0.1, 0.2]], [-1], [-1, -1], [0], [1, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_arrays_lists_and_tensors_agree(dtype):
    rng = np.random.default_rng(0)
    distances = rng.integers(0, 50, (5, 30)).astype(dtype)
    labels = [rng.integers(0, high, n) for high, n in ((4, 5), (4, 30), (3, 5), (3, 30))]
    expected = rank(distances, *labels)
    for view in (
        rank(torch.from_numpy(distances), *map(torch.from_numpy, labels)),
        rank(distances.tolist(), *(x.tolist() for x in labels)),
        rank(np.asfortranarray(distances), *labels),
        rank(distances, *(x.astype(np.int16) for x in labels)),
    ):
        np.testing.assert_array_equal(view.ap, expected.ap)


def test_does_not_change_its_input():
    distances = np.random.default_rng(0).random((3, 9), np.float32)
    copy = distances.copy()
    rank(distances, [1, 2, 3], [1, 2, 3] * 3, [0] * 3, [1] * 9)
    np.testing.assert_array_equal(distances, copy)


def test_infinite_distances_stand_last():
    assert rank([[np.inf, 0.5]], [1], [1, 2], [0], [1, 1]).first_match.tolist() == [2]


def test_as_dict_is_plain_json():
    result = rank([[0.1, 0.2]], [1], [1, 2], [0], [1, 1])
    assert result.as_dict() == {
        "rank1": 1.0,
        "rank5": 1.0,
        "rank10": 1.0,
        "rank20": 1.0,
        "mAP": 1.0,
        "mINP": 1.0,
        "num_queries": 1,
        "num_valid": 1,
        "protocol": "standard",
        "ap": "mean_precision",
        "over": "counted",
    }
    assert {type(v) for v in result.as_dict().values()} == {float, int, str}
    assert "1 of 1 queries counted" in repr(result)


OK = {"q_pids": [1], "g_pids": [1, 2], "q_camids": [0], "g_camids": [1, 1]}


@pytest.mark.parametrize(
    ("distances", "changes", "error", "message"),
    [
        ([[0.1, np.nan]], {}, ValueError, r"query 0 hold NaN \(1 of 2\)"),
        ([0.1, 0.2], {}, ValueError, r"shape \(2,\), expected \(queries, gallery\)"),
        (np.zeros((0, 2)), {"q_pids": [], "q_camids": []}, ValueError, "no rows"),
        (np.zeros((1, 0)), {"g_pids": [], "g_camids": []}, ValueError, "gallery side.*no rows"),
        ([["a", "b"]], {}, TypeError, "expected float32 or float64"),
        ([[0.1, 0.2]], {"q_pids": [1, 2]}, ValueError, r"q_pids has shape \(2,\), expected \(1,\)"),
        (
            [[0.1, 0.2]],
            {"g_camids": [1]},
            ValueError,
            r"g_camids has shape \(1,\), expected \(2,\)",
        ),
        ([[0.1, 0.2]], {"g_pids": ["ann", "bob"]}, TypeError, "g_pids holds.*'ann'.*factorize"),
        ([[0.1, 0.2]], {"q_pids": [1.5]}, TypeError, "q_pids holds float64.*expected integers"),
        ([[0.1, 0.2]], {"protocol": "sysuu"}, ValueError, "'sysuu': choose one of.*standard"),
        (
            [[0.1, 0.2]],
            {"ap": "area"},
            ValueError,
            "'area': choose one of.*trapezoid, top10",
        ),
        ([[0.1, 0.2]], {"max_rank": 0}, ValueError, "max_rank is 0, expected at least 1"),
    ],
)
def test_bad_input(distances, changes, error, message):
    with pytest.raises(error, match=message):
        rank(distances, **{**OK, **changes})


def test_cmc_starts_at_one():
    with pytest.raises(ValueError, match="ranks start at 1"):
        rank([[0.1, 0.2]], **OK).cmc(0)


def test_gallery_finds_all_images_of_a_person_in_order():
    gallery = Gallery(np.array([5, -1, 5, 0, 5]), np.zeros(5, np.int64))
    rows, indices = gallery.images_of(np.array([5, 4, -1, 5]))
    assert rows.tolist() == [0, 0, 0, 2, 3, 3, 3]
    assert indices.tolist() == [0, 2, 4, 1, 0, 2, 4]


def test_every_protocol_states_its_rule():
    for name, protocol in PROTOCOLS.items():
        assert get_protocol(name) is protocol
        assert protocol.name == name
        assert protocol.rule.endswith(".")


def test_the_example_in_the_docstring():
    assert doctest.testmod(ranking) == (0, 3)
