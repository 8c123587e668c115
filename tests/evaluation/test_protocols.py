"""Every protocol against its sentence written as loops, and against answers on paper."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidlab.evaluation import (
    PROTOCOLS,
    average,
    bootstrap,
    evaluate,
    pairwise_distances,
    queries_with_match,
    rank,
    ranking,
    sysu_gallery,
)
from reidlab.evaluation.draws import one_of_each_person
from reidlab.evaluation.positions import count_before
from reidlab.evaluation.protocols import Gallery, Special
from tests.evaluation.protocol_loops import agw_draw, all_queries, excluded, one_query

PLAIN = ["standard", "regdb", "la-official"]
APS = ["mean_precision", "trapezoid", "top10"]


@st.composite
def retrievals(draw, images=14):
    """Tiny sets with many ties, few cameras, junk and distractors."""
    queries, images = draw(st.integers(1, 4)), draw(st.integers(1, images))
    ids, cameras = st.integers(-1, 3), st.integers(0, 3)
    return (
        draw(arrays(np.float32, (queries, images), elements=st.sampled_from([0, 0.25, 0.5, 1]))),
        *(draw(arrays(np.int64, n, elements=ids)) for n in (queries, images)),
        *(draw(arrays(np.int64, n, elements=cameras)) for n in (queries, images)),
    )


def assert_equal(result, expected):
    """A result against a list of (AP, INP, first rank) or None."""
    counted = [x for x in expected if x is not None]
    assert result.valid.tolist() == [x is not None for x in expected]
    np.testing.assert_allclose(result.ap[result.valid], [x[0] for x in counted], rtol=1e-12)
    np.testing.assert_allclose(result.inp[result.valid], [x[1] for x in counted], rtol=1e-12)
    assert np.isnan(result.ap[~result.valid]).all()
    assert np.isnan(result.inp[~result.valid]).all()
    assert result.num_valid == len(counted)
    assert result.mAP == pytest.approx(np.mean([x[0] for x in counted]))
    assert result.mINP == pytest.approx(np.mean([x[1] for x in counted]))
    for k in (1, 2, 5, 50):
        assert result.cmc(k) == pytest.approx(np.mean([x[2] <= k for x in counted]))


def none_found(expected):
    return not any(x is not None and x[2] < math.inf for x in expected)


@settings(max_examples=500, deadline=None)
@given(retrievals(), st.sampled_from(PLAIN), st.sampled_from(APS))
def test_protocols_that_draw_nothing(case, protocol, ap):
    expected = all_queries(protocol, ap, *case)
    if none_found(expected):
        with pytest.raises(ValueError, match="none of the"):
            rank(*case, protocol=protocol, ap=ap)
    else:
        assert_equal(rank(*case, protocol=protocol, ap=ap), expected)


@settings(max_examples=300, deadline=None)
@given(retrievals(), st.integers(1, 2), st.sampled_from(APS))
def test_sysu(case, shots, ap):
    _, _, g_pids, _, g_cams = case
    galleries = [agw_draw(g_pids, g_cams, t, shots) for t in range(3)]
    expected = [all_queries("sysu", ap, *case, among=gallery) for gallery in galleries]
    if none_found(expected[0]):
        with pytest.raises(ValueError, match="none of the"):
            rank(*case, protocol="sysu", ap=ap, trials=3, shots=shots)
        return
    given_by_hand = rank(*case, protocol="sysu", ap=ap, trials=galleries)
    drawn = rank(*case, protocol="sysu", ap=ap, trials=3, shots=shots)
    for result in (given_by_hand, drawn):
        for trial, answer in zip(result.trials, expected, strict=False):
            assert_equal(trial, answer)
    assert len(given_by_hand.trials) == 3
    whole = len(galleries[0]) == (g_pids != -1).sum()
    assert len(drawn.trials) == (1 if whole else 3)  # nothing to draw: one trial
    assert drawn.mAP == pytest.approx(np.mean([trial.mAP for trial in drawn.trials]))
    assert drawn.rank1 == pytest.approx(np.mean([trial.rank1 for trial in drawn.trials]))
    np.testing.assert_allclose(drawn.cmc(1), np.nanmean(drawn.hits(1)))


@settings(max_examples=200, deadline=None)
@given(retrievals())
def test_single_shot(case):
    distances, q_pids, g_pids, q_cams, g_cams = case
    whole = all_queries("cuhk03-single-shot", "mean_precision", *case)
    if none_found(whole):
        with pytest.raises(ValueError, match="none of the"):
            rank(*case, protocol="cuhk03-single-shot")
        return
    result = rank(*case, protocol="cuhk03-single-shot", trials=4)
    assert len(result.trials) == 4
    gallery = Gallery(g_pids, g_cams)
    for q in range(len(q_pids)):
        hidden = (g_pids == -1) | ((g_pids == q_pids[q]) & (g_cams == q_cams[q]))
        if whole[q] is None:
            assert not result.valid[q]
            continue
        _, drawn = one_of_each_person(gallery, hidden, q, 4)
        for trial, images in zip(result.trials, drawn, strict=True):
            answer = one_query(
                "cuhk03-single-shot", "mean_precision", distances[q], q_pids[q], q_cams[q], g_pids,
                g_cams, among=images,
            )  # fmt: skip
            assert (trial.ap[q], trial.inp[q], trial.first_match[q]) == answer
            assert trial.ap[q] == 1 / trial.first_match[q]  # one image is right


@settings(max_examples=200, deadline=None)
@given(retrievals(), st.sampled_from(sorted(PROTOCOLS)))
def test_who_has_a_match_is_known_before_any_distance(case, protocol):
    distances, q_pids, g_pids, q_cams, g_cams = case
    labels = q_pids, g_pids, q_cams, g_cams
    expected = [
        any(
            own == pid and not excluded(protocol, pid, camera, own, other)
            for own, other in zip(g_pids, g_cams, strict=True)
        )
        for pid, camera in zip(q_pids, q_cams, strict=True)
    ]
    assert queries_with_match(*labels, protocol=protocol).tolist() == expected
    if any(expected):
        rank(distances, *labels, protocol=protocol)
    else:
        with pytest.raises(ValueError, match="none of the"):
            rank(distances, *labels, protocol=protocol)


def test_galleries_of_which_one_holds_no_match_cannot_be_judged():
    labels = [5, 6], [5, 6, 7], [0, 0], [1, 1, 1]
    assert queries_with_match(*labels, protocol="sysu", trials=[[0, 2], [1]]).tolist() == [True] * 2
    assert not queries_with_match(*labels, protocol="sysu", trials=[[0, 1], [2]]).any()
    with pytest.raises(ValueError, match="none of the 2 queries"):
        rank(np.zeros((2, 3)), *labels, protocol="sysu", trials=[[0, 1], [2]])


def test_a_single_shot_draws_each_image_equally_often():
    gallery = Gallery(np.array([3, 5, 3, 3, 5]), np.zeros(5, np.int64))
    hidden = np.array([True, False, False, False, False])
    pids, drawn = one_of_each_person(gallery, hidden, 7, 4000)
    assert pids.tolist() == [3, 5]
    assert set(drawn[:, 0]) == {2, 3}
    assert set(drawn[:, 1]) == {1, 4}
    for column, index in ((0, 2), (1, 4)):
        assert (drawn[:, column] == index).mean() == pytest.approx(0.5, abs=0.04)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05
    np.testing.assert_array_equal(one_of_each_person(gallery, hidden, 7, 10)[1], drawn[:10])
    assert (one_of_each_person(gallery, hidden, 8, 4000)[1] != drawn).any()


def test_a_single_shot_converges_to_its_expectation():
    # Person 1 has one image at distance 2; person 2 has four, two of them nearer. So Rank-1 is the
    # chance of drawing one of the farther two.
    args = [[2, 1, 1, 3, 3]], [1], [1, 2, 2, 2, 2], [0], [1] * 5
    many = rank(*args, protocol="cuhk03-single-shot", trials=4000)
    assert many.rank1 == pytest.approx(0.5, abs=0.04)
    assert many.mAP == pytest.approx(0.75, abs=0.02)
    assert many.cmc(2) == 1


def test_sysu_on_paper():
    # A query of camera 3 does not see camera 2 (camid 1), whoever is on the picture. By distance:
    #   person 9 in camera 2 (hidden), person 5 twice, MATCH, person 6, MATCH
    # People in order: 5, 1, 6: the right person is second. Images: matches at ranks 3 and 5.
    args = [[1, 2, 3, 4, 5, 6]], [1], [9, 5, 5, 1, 6, 1], [2], [1, 0, 3, 0, 0, 4]
    result = rank(*args, protocol="sysu")
    assert len(result.trials) == 1
    assert result.trials[0].first_match.tolist() == [2]
    assert (result.rank1, result.cmc(2)) == (0, 1)
    assert result.mAP == pytest.approx((1 / 3 + 2 / 5) / 2)
    assert result.mINP == pytest.approx(2 / 5)
    # A query of camera 6 sees the hidden one, too.
    other = rank(*args[:3], [5], args[4], protocol="sysu")
    assert other.trials[0].first_match.tolist() == [3]
    assert other.mAP == pytest.approx((1 / 4 + 2 / 6) / 2)


def test_la_official_on_paper():
    # One right picture at rank 1, nine more beyond rank 10: the official AP is 1.
    pids = [1] + [2] * 10 + [1] * 9
    result = rank([range(20)], [1], pids, protocol="la-official")
    assert result.mAP == 1
    assert result.ap_variant == "top10"
    full = rank([range(20)], [1], pids, protocol="la-official", ap="mean_precision")
    assert full.mAP == pytest.approx((1 + sum(j / (j + 10) for j in range(2, 11))) / 10)
    # The own camera counts as right, junk as wrong, and a query without a match as a failure.
    args = [[2, 1, 3], [1, 2, 3]], [1, 8], [1, -1, 2], [0, 0], [0, 3, 1]
    result = rank(*args, protocol="la-official")
    assert result.ap.tolist() == [0.5, 0]
    assert (result.num_valid, result.rank1, result.cmc(2)) == (2, 0, 0.5)
    assert result.first_match.tolist() == [2, 0]


def test_means_over_counted_or_all_queries():
    # 7 of 100 queries have a match, at rank 2.
    distances = np.tile(np.float32([0.1, 0.2]), (100, 1))
    who = np.where(np.arange(100) < 7, 1, 5), [2, 1], np.zeros(100, int), [1, 1]
    counted, everyone = rank(distances, *who), rank(distances, *who, over="all")
    assert (counted.num_valid, counted.mAP, counted.cmc(2)) == (7, 0.5, 1)
    assert (everyone.num_valid, everyone.cmc(1)) == (100, 0)
    assert everyone.mAP == pytest.approx(0.035)
    assert everyone.cmc(2) == pytest.approx(0.07)
    assert everyone.mINP == pytest.approx(0.035)
    official = rank(distances, *who, protocol="la-official", over="counted")
    assert (official.num_valid, official.mAP) == (7, 0.5)
    drawn = rank(distances, *who, protocol="cuhk03-single-shot", over="all")
    assert drawn.mAP == pytest.approx(0.035)


def test_la_official_matches_beyond_the_tenth_count_for_rank_k_only():
    result = rank([range(12)], [1], [2] * 11 + [1], protocol="la-official")
    assert (result.mAP, result.cmc(10), result.cmc(12)) == (0, 0, 1)


@settings(max_examples=200, deadline=None)
@given(retrievals())
def test_on_a_device_positions_are_the_same(case):
    distances = case[0]
    rng = np.random.default_rng(0)
    chosen = rng.random(distances.shape) < 0.4
    rows, indices = np.nonzero(chosen)
    special = Special(rows, indices, np.zeros(len(rows), bool))
    on_cpu = count_before(distances, special)
    np.testing.assert_array_equal(count_before(torch.from_numpy(distances), special), on_cpu)
    by_loops = [
        sum((row[j], j) < (row[g], g) for j in range(len(row)))
        for row, g in zip(distances[rows], indices, strict=True)
    ]
    np.testing.assert_array_equal(on_cpu, by_loops)


@pytest.mark.parametrize("spread", [0.001, 0.03, 0.3, 3.0])
def test_positions_do_not_depend_on_what_is_sorted(spread):
    """Matches in front, in the middle, anywhere; some rows with none, one far behind its sample."""
    rng = np.random.default_rng(1)
    distances = np.round(rng.random((70, 4000), np.float32), 3)  # many ties
    rows = np.sort(rng.choice(np.delete(np.arange(70), [0, 5, 69]), 300))
    indices = np.concatenate([np.sort(rng.choice(4000, n, False)) for n in np.bincount(rows)])
    rows, indices = np.unique([rows, indices], axis=1)
    distances[rows, indices] = np.round(spread * rng.random(len(rows), np.float32), 3)
    distances[7, ::32] = 1  # what is sampled says that all is far
    special = Special(rows, indices, np.zeros(len(rows), bool))
    by_sorting = np.argsort(np.argsort(distances, axis=1, kind="stable"), axis=1, kind="stable")
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found = count_before(distances, special)
        np.testing.assert_array_equal(found, by_sorting[rows, indices])


def test_nan_on_a_device_is_refused():
    block = torch.tensor([[0.1, 0.2], [0.3, float("nan")]])
    special = Special(np.array([0, 1]), np.array([0, 0]), np.zeros(2, bool))
    with pytest.raises(ValueError, match=r"query 8 hold NaN \(1 of 2\)"):
        count_before(block, special, start=7)


@pytest.mark.parametrize("protocol", [*PLAIN, "sysu", "cuhk03-single-shot"])
@pytest.mark.parametrize("rows", [1, 4])
def test_rank_does_not_depend_on_its_blocks(protocol, rows, monkeypatch):
    rng = np.random.default_rng(6)
    labels = [rng.integers(lo, hi, n) for lo, hi, n in ((1, 6, 19), (-1, 6, 83))]
    labels += [rng.integers(0, 6, n) for n in (19, 83)]
    case = rng.random((19, 83)), *labels
    whole = rank(*case, protocol=protocol)
    monkeypatch.setattr(ranking, "BLOCK_ELEMENTS", rows * 83)
    np.testing.assert_array_equal(rank(*case, protocol=protocol).ap, whole.ap)
    broken = case[0].copy()
    broken[13] = np.nan
    with pytest.raises(ValueError, match="distances of query 13 hold NaN"):
        rank(broken, *labels, protocol=protocol)


@pytest.mark.parametrize("protocol", [*PLAIN, "sysu", "cuhk03-single-shot"])
@pytest.mark.parametrize("threads", [1, 3])
def test_evaluate_is_rank_of_the_distances(protocol, threads):
    rng = np.random.default_rng(3)
    q_emb, g_emb = rng.normal(size=(19, 5)), rng.normal(size=(83, 5))
    g_emb[40:50] = g_emb[3]
    labels = [rng.integers(lo, hi, n) for lo, hi, n in ((1, 6, 19), (-1, 6, 83))]
    labels += [rng.integers(0, 6, n) for n in (19, 83)]
    expected = rank(pairwise_distances(q_emb, g_emb), *labels, protocol=protocol)
    torch.set_num_threads(threads)
    for block in (1, 4, 19, None):
        result = evaluate(q_emb, g_emb, *labels, protocol=protocol, block=block)
        assert type(result) is type(expected)
        np.testing.assert_array_equal(result.ap, expected.ap)
        np.testing.assert_array_equal(result.first_match, expected.first_match)
        assert result.as_dict() == expected.as_dict()


def test_a_pool_is_drawn_from_and_its_spread_is_said():
    rng = np.random.default_rng(5)
    distances = rng.random((12, 160), np.float32)
    q_pids, g_pids = np.arange(12) % 4, np.repeat(np.arange(4), 40)
    g_cams = np.tile(np.repeat([0, 1, 3, 4], 10), 4)
    result = rank(distances, q_pids, g_pids, np.full(12, 5), g_cams, protocol="sysu")
    values = [trial.mAP for trial in result.trials]
    assert len(set(values)) == 10
    assert result.std("mAP") == pytest.approx(np.std(values, ddof=1))
    assert result.std("rank5") == pytest.approx(np.std([t.cmc(5) for t in result.trials], ddof=1))
    kept = result.as_dict()
    assert kept["num_trials"] == 10
    assert kept["mAP_std"] == pytest.approx(np.std(values, ddof=1))
    assert "10 trials" in repr(result)
    ten = rank(distances, q_pids, g_pids, np.full(12, 5), g_cams, protocol="sysu", shots=10)
    assert len(ten.trials) == 1
    assert "mAP_std" not in ten.as_dict()
    with pytest.raises(ValueError, match="one trial has no spread"):
        ten.std("mAP")
    with pytest.raises(ValueError, match="'map': choose mAP, mINP, or rank<k>"):
        result.std("map")


def test_sysu_gallery_by_loops():
    rng = np.random.default_rng(1)
    pids, cams = rng.integers(1, 9, 200), rng.choice([0, 1, 3, 4], 200)
    for trial in (0, 3, 9):
        for shots in (1, 10):
            drawn = sysu_gallery(pids, cams, trial, shots=shots)
            assert drawn.tolist() == agw_draw(pids, cams, trial, shots)
    with pytest.raises(ValueError, match="trial is -1"):
        sysu_gallery(pids, cams, -1)
    with pytest.raises(ValueError, match="shots is 0"):
        sysu_gallery(pids, cams, 0, shots=0)
    with pytest.raises(ValueError, match=r"camids has shape \(3,\), expected \(200,\)"):
        sysu_gallery(pids, cams[:3], 0)


def test_splits_are_averaged_with_their_own_queries():
    one = rank([[1, 2, 3]], [1], [2, 1, 3], protocol="regdb")
    two = rank([[1, 2], [2, 1]], [1, 5], [1, 5], protocol="regdb")
    both = average([one, two])
    assert both.mAP == pytest.approx((0.5 + 1) / 2)  # over splits, not over three queries
    assert both.rank1 == pytest.approx(0.5)
    assert both.ap.tolist() == [0.5, 1, 1]
    assert both.hits(1).tolist() == [0, 1, 1]
    assert both.first_match.tolist() == [[2, 1, 1]]
    assert both.num_valid == 3
    assert both.std("mAP") == pytest.approx(np.std([0.5, 1], ddof=1))


def test_queries_that_some_trials_do_not_count():
    labels: dict = {"q_camids": [5], "protocol": "sysu"}
    result = rank([[1, 2]], [1], g_pids=[1, 2], g_camids=[0, 0], trials=[[0, 1], [0]], **labels)
    assert result.ap.tolist() == [1]
    both = labels | {"q_camids": [5, 5]}
    two = rank([[1, 2]] * 2, [1, 2], g_pids=[1, 2], g_camids=[0, 0], trials=[[0, 1], [0]], **both)
    assert two.ap.tolist() == [1, 0.5]  # the second over one trial
    assert two.mAP == pytest.approx((0.75 + 1) / 2)  # over trials, not over queries
    with pytest.raises(ValueError, match="none of the 1 queries"):
        rank([[1, 2]], [1], g_pids=[1, 2], g_camids=[0, 0], trials=[[0], [1]], **labels)


def test_splits_that_draw_are_averaged_too():
    def split(seed, images, trials):
        rng = np.random.default_rng(seed)
        pids, camids = np.arange(images) % 5, np.arange(images) // 5 % 2
        case = rng.random((images, images)), pids, pids, camids, camids
        return rank(*case, protocol="cuhk03-single-shot", trials=trials)

    splits = [split(0, 20, 3), split(1, 30, 3), split(2, 25, 3)]
    result = average(split for split in splits)
    assert result.mAP == np.mean([split.mAP for split in splits])
    assert result.rank1 == np.mean([split.rank1 for split in splits])
    assert result.std("rank1") == pytest.approx(np.std([s.rank1 for s in splits], ddof=1))
    assert result.first_match.shape == (3, 75)
    np.testing.assert_array_equal(result.first_match[:, 20:50], splits[1].first_match)
    np.testing.assert_array_equal(result.hits(2)[:20], splits[0].hits(2))
    assert (result.num_valid, len(result.valid), len(result.trials)) == (75, 75, 3)
    json.dumps(result.as_dict(), allow_nan=False)
    assert "75 of 75 queries counted" in repr(result)
    assert bootstrap(result, np.arange(75) % 5).queries == 75
    with pytest.raises(ValueError, match=r"drawn \[3, 4\] times: expected the same number"):
        average([splits[0], split(3, 20, 4)])
    curves = [rank([[0.1, 0.2]], **OK, max_rank=k) for k in (3, 7, 5)]
    assert len(average(curves).cmc_curve) == 7
    again = average([splits[0], splits[0]], same_queries=True)
    assert again.first_match.shape == (6, 20)


def test_average_refuses_what_was_not_counted_alike():
    args = [[1, 2]], [1], [1, 2], [0], [1, 1]
    plain, area = rank(*args), rank(*args, ap="trapezoid")
    longer = rank([[1, 2], [1, 2]], [1, 2], [1, 2], [0, 0], [1, 1])
    with pytest.raises(ValueError, match="nothing to average"):
        average([])
    with pytest.raises(ValueError, match=r"not counted alike.*mean_precision.*trapezoid"):
        average([plain, area])
    with pytest.raises(ValueError, match=r"\[1, 2\] queries: expected the same"):
        average([plain, longer], same_queries=True)


OK = {"q_pids": [1], "g_pids": [1, 2], "q_camids": [0], "g_camids": [1, 1]}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"q_camids": None}, ValueError, "q_camids is missing: the protocol 'standard' needs the"),
        ({"g_camids": None}, ValueError, "g_camids is missing"),
        ({"g_camids": [1, -1]}, ValueError, r"g_camids holds -1, expected camera numbers of 0 or"),
        ({"q_camids": [float("nan")]}, TypeError, r"q_camids: 1 of 1 entries are missing \(NaN\)"),
        ({"q_pids": [None]}, TypeError, r"q_pids: 1 of 1 entries are missing"),
        (
            {"q_camids": [6], "protocol": "sysu"},
            ValueError,
            "q_camids holds 6, expected camera numbers of 0 to 5, counted from 0",
        ),
        ({"over": "valid"}, ValueError, "unknown over 'valid': choose one of counted, all"),
        ({"trials": 3}, ValueError, "'standard' draws nothing, so it has no trials"),
        ({"shots": 3}, ValueError, "shots=3 means nothing to the protocol 'standard'"),
        ({"protocol": "sysu", "trials": 0}, ValueError, "trials is 0, expected at least 1"),
        ({"protocol": "sysu", "shots": 0}, ValueError, "shots is 0, expected at least 1"),
        ({"protocol": "sysu", "trials": []}, ValueError, "trials is empty"),
        ({"protocol": "sysu", "trials": [[0]], "shots": 3}, ValueError, "means nothing beside gal"),
        ({"q_pids": 1}, ValueError, r"q_pids has shape \(\), expected"),
        ({"protocol": "sysu", "trials": [[0.5]]}, ValueError, "trial 0 is no list of gallery"),
        ({"protocol": "sysu", "trials": [[0], [2]]}, ValueError, "trial 1 names gallery image 2"),
        ({"protocol": "sysu", "trials": [[1, 1]]}, ValueError, "0 to 1 at most once"),
        (
            {"protocol": "cuhk03-single-shot", "trials": [[0]]},
            ValueError,
            "pass the number of trials, not galleries",
        ),
    ],
)
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        rank([[0.1, 0.2]], **{**OK, **changes})


@pytest.mark.parametrize("protocol", ["regdb", "la-official"])
def test_cameras_may_be_missing_where_no_one_looks_at_them(protocol):
    with_cameras = rank([[0.2, 0.1]], **OK, protocol=protocol)
    without = rank([[0.2, 0.1]], [1], [1, 2], protocol=protocol)
    assert with_cameras.as_dict() == without.as_dict()
