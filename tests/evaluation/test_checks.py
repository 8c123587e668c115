"""What callers pass in: every way of writing the same numbers, and what is refused."""

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from reidlab.evaluation import (
    average,
    bootstrap,
    build_index,
    evaluate,
    expand_queries,
    rank,
    ranked_list,
    rerank,
    sysu_gallery,
)
from reidlab.evaluation.positions import count_before, on_threads
from reidlab.evaluation.protocols import PROTOCOLS, Special

RNG = np.random.default_rng(0)
Q_EMB, G_EMB = (RNG.normal(size=(n, 6)).astype(np.float32) for n in (9, 60))
DISTANCES = RNG.random((9, 60), np.float32)
LABELS = [RNG.integers(1, high, n) for high, n in ((5, 9), (5, 60), (4, 9), (4, 60))]
OK = {"q_pids": [1], "g_pids": [1, 2], "q_camids": [0], "g_camids": [1, 1]}


def frozen(array):
    """A copy that nobody may write to."""
    array = array.copy()
    array.flags.writeable = False
    return array


def backwards(array):
    """The same numbers, stored from the last to the first."""
    return np.flip(np.flip(array).copy())


def spaced(array):
    """The same numbers, with others between them."""
    return np.repeat(np.repeat(array, 2, 0), 3, 1)[::2, ::3]


def other_bytes(array):
    """The same numbers, their bytes in the other order."""
    return array.astype(array.dtype.newbyteorder())


WRITINGS = [frozen, backwards, spaced, other_bytes, np.asfortranarray, pd.DataFrame, list]


@pytest.mark.parametrize("write", WRITINGS)
def test_embeddings_in_any_writing(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        q_emb, g_emb = write(Q_EMB), write(G_EMB)
        found = [
            evaluate(q_emb, g_emb, *LABELS).ap,
            expand_queries(q_emb, g_emb, k=2).numpy(),
            rerank(q_emb, g_emb, k1=4, k2=2).numpy(),
            ranked_list(q_emb, g_emb, *LABELS).indices,
            build_index(g_emb).search(q_emb, 3)[0],
        ]
    expected = [
        evaluate(Q_EMB, G_EMB, *LABELS).ap,
        expand_queries(Q_EMB, G_EMB, k=2).numpy(),
        rerank(Q_EMB, G_EMB, k1=4, k2=2).numpy(),
        ranked_list(Q_EMB, G_EMB, *LABELS).indices,
        build_index(G_EMB).search(Q_EMB, 3)[0],
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("write", WRITINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_in_any_writing(write, dtype):
    expected = rank(DISTANCES, *LABELS)
    np.testing.assert_array_equal(rank(write(DISTANCES.astype(dtype)), *LABELS).ap, expected.ap)


@pytest.mark.parametrize("dtype", ["i1", "i2", ">i4", "u1", "u2", "u4", "u8", "Int64", "category"])
def test_labels_of_any_integer_type(dtype):
    labels = [pd.Series(x, index=np.arange(len(x))[::-1] * 7).astype(dtype) for x in LABELS]
    np.testing.assert_array_equal(rank(DISTANCES, *labels).ap, rank(DISTANCES, *LABELS).ap)


@pytest.mark.parametrize("shift", [0, 250, 2**62])
def test_only_junk_is_special_among_ids(shift):
    moved = [x + shift if i < 2 else x for i, x in enumerate(LABELS)]
    np.testing.assert_array_equal(rank(DISTANCES, *moved).ap, rank(DISTANCES, *LABELS).ap)


@pytest.mark.parametrize("pid", [2**63, 2**64 - 1])
def test_an_id_too_large_is_not_taken_for_junk(pid):
    with pytest.raises(ValueError, match=rf"q_pids holds {pid}, .*numpy\.unique"):
        rank([[0.1, 0.2]], np.array([pid], np.uint64), [1, 2], [0], [1, 1])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_writes_into_what_was_passed(protocol):
    arrays = [frozen(x) for x in (DISTANCES, *LABELS)]
    rank(*arrays, protocol=protocol)
    evaluate(frozen(Q_EMB), frozen(G_EMB), *arrays[1:], protocol=protocol)
    # NumPy would have raised an error, torch looks at no flag: it gets memory of its own.
    shared = torch.from_numpy(Q_EMB.copy())
    rerank(shared, G_EMB, k1=4, k2=2, metric="cosine")
    np.testing.assert_array_equal(shared, Q_EMB)


@pytest.mark.parametrize("values", [0.0, np.inf, -np.inf, 5e-324])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_all_distances_are_equal_the_order_decides(values, protocol):
    by_index = np.tile(np.arange(60.0), (9, 1))
    signs = np.where(RNG.random((9, 60)) < 0.5, -1.0, 1.0) if values == 0 else 1.0
    found = rank(np.full((9, 60), values) * signs, *LABELS, protocol=protocol)  # -0.0 is 0.0
    np.testing.assert_array_equal(found.ap, rank(by_index, *LABELS, protocol=protocol).ap)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nan_is_refused_by_every_protocol(protocol):
    distances = DISTANCES.copy()
    distances[3] = np.nan
    with pytest.raises(ValueError, match="distances of query 3 hold NaN"):
        rank(distances, *LABELS, protocol=protocol)


def test_threads_of_the_caller_do_not_disturb_each_other():
    expected = {name: rank(DISTANCES, *LABELS, protocol=name).ap for name in PROTOCOLS}
    found = []

    def work(name):
        found.extend((name, rank(DISTANCES, *LABELS, protocol=name).ap) for _ in range(5))

    torch.set_num_threads(3)
    threads = [threading.Thread(target=work, args=(name,)) for name in [*PROTOCOLS] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 5 * len(threads)
    for name, ap in found:
        np.testing.assert_array_equal(ap, expected[name])


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_on_a_thread_is_the_callers(threads):
    def work(task):
        if task == 4:
            raise RuntimeError("task 4")

    torch.set_num_threads(threads)
    with pytest.raises(RuntimeError, match="task 4"):
        on_threads(work, 6)


def test_on_a_device_a_gallery_of_nothing_but_junk():
    nothing = np.zeros(0, np.int64)
    special = Special(nothing, nothing, np.zeros(0, bool))
    assert count_before(torch.zeros(2, 0), special).tolist() == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rank([[1.0, 2.0], [1.0]], **OK), ValueError, "distances makes no array.*length"),
        (lambda: evaluate([[1.0], []], [[1.0]], [1], [1]), ValueError, "q_emb makes no array"),
        (lambda: evaluate([["a"]], [[1.0]], [1], [1]), TypeError, "q_emb holds <U1, expected a fl"),
        (lambda: evaluate([[None]], [[1.0]], [1], [1]), TypeError, "q_emb holds object, expected"),
        (lambda: evaluate(None, [[1.0]], [1], [1]), ValueError, r"q_emb has shape \(\), expected"),
        (
            lambda: evaluate(Q_EMB.astype(np.longdouble), G_EMB, *LABELS),
            TypeError,
            "q_emb holds float.*, expected a floating type such as float32",
        ),
        (lambda: evaluate(Q_EMB, G_EMB, *LABELS, block=2.0), TypeError, "block is 2.0, expected a"),
        (lambda: build_index([["a"]]), TypeError, "holds <U1, expected a floating type"),
        (lambda: build_index(G_EMB).search(Q_EMB, 2.5), TypeError, "k is 2.5, expected a whole"),
        (lambda: build_index(G_EMB, seed=1.5), TypeError, "seed is 1.5, expected a whole number"),
        (lambda: build_index(G_EMB, seed=-1), ValueError, "seed is -1, expected at least 0"),
        (lambda: build_index(G_EMB, seed=True), TypeError, "seed is True, expected a whole number"),
        (lambda: expand_queries(Q_EMB, G_EMB, k=2.5), TypeError, "k is 2.5, expected a whole num"),
        (lambda: rerank(Q_EMB, G_EMB, k1=2.5), TypeError, "k1 is 2.5, expected a whole number"),
        (lambda: rerank(Q_EMB, G_EMB, block=8.0), TypeError, "block is 8.0, expected a whole num"),
        (lambda: ranked_list(Q_EMB, G_EMB, *LABELS, k=1.5), TypeError, "k is 1.5, expected a who"),
        (lambda: rank([[1, 2]], **OK, max_rank=2.5), TypeError, "max_rank is 2.5, expected a who"),
        (
            lambda: rank([[1, 2]], **OK, protocol="sysu", trials=3.0),
            TypeError,
            "trials is 3.0, expected how many.*or a list",
        ),
        (
            lambda: rank([[1, 2]], **OK, protocol="sysu", shots="1"),
            TypeError,
            "shots is '1', expected a whole number",
        ),
        (
            lambda: rank([[1, 2]], **OK, protocol="sysu", trials=[[0, 1, 1]]),
            ValueError,
            "trial 0 names gallery image 1, 2 times; expected each of 0 to 1 at most once",
        ),
        (lambda: rank([[1, 2]], **OK, protocol=["sysu"]), ValueError, "unknown protocol.*choose"),
        (lambda: average(x for x in ()), ValueError, "nothing to average"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_whole_numbers_of_numpy():
    three = np.int8(3)
    drawn = rank(DISTANCES, *LABELS, protocol="sysu", trials=three, shots=np.int64(2))
    assert len(drawn.trials) == 3
    np.testing.assert_array_equal(
        rank(DISTANCES, *LABELS, max_rank=three).cmc_curve, rank(DISTANCES, *LABELS).cmc_curve[:3]
    )
    assert build_index(G_EMB).search(Q_EMB, three)[0].shape == (9, 3)
    assert expand_queries(Q_EMB, G_EMB, k=three).shape == (9, 6)
    assert rerank(Q_EMB, G_EMB, k1=three, k2=three, block=three).shape == (9, 60)


def test_the_seed_of_an_index_may_be_numpys(tmp_path):
    build_index(G_EMB, seed=np.int64(3)).save(tmp_path / "gallery.index")


@pytest.mark.parametrize("protocol", ["standard", "cuhk03-single-shot", "la-official", "regdb"])
@pytest.mark.parametrize(("factor", "first"), [(1, 10**12), (10**15, 7), (1, 2**62)])
def test_ids_are_no_sizes(protocol, factor, first):
    """Serial numbers of people and cameras give the results of small ones, and take no memory."""
    rng = np.random.default_rng(0)
    emb = rng.normal(size=(40, 8))
    pids, camids = np.arange(40) % 7 + 1, np.arange(40) // 7 % 3
    small = (pids[:12], pids[12:], camids[:12], camids[12:])
    large = [first + factor * ids for ids in small]
    results = [evaluate(emb[:12], emb[12:], *ids, protocol=protocol) for ids in (small, large)]
    np.testing.assert_array_equal(results[0].ap, results[1].ap)
    np.testing.assert_array_equal(results[0].cmc(5), results[1].cmc(5))
    if protocol == "standard":
        intervals = [
            bootstrap(r, ids[0], draws=99) for r, ids in zip(results, (small, large), strict=True)
        ]
        assert intervals[0] == intervals[1]
        assert np.array_equal(sysu_gallery(*small[1::2], 0), sysu_gallery(*large[1::2], 0))
