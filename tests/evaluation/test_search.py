"""Search against NumPy's brute force; ties, protocols, damaged files, and what is missing."""

import hashlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reidlab.evaluation import (
    SearchIndex,
    build_index,
    pairwise_distances,
    ranked_list,
    recall,
    search,
)

KINDS = ["exact", "ivf-pq", "hnsw"]
METRICS = ["cosine", "euclidean"]


def crowd(images, people=500, dim=32, seed=0):
    """(images, dim) float32: people with many images each, as embeddings come."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(people, dim))
    emb = centres[rng.integers(0, people, images)] + 0.5 * rng.normal(size=(images, dim))
    return emb.astype(np.float32)


def brute_distances(q_emb, g_emb, metric):
    q_emb, g_emb = np.float64(q_emb), np.float64(g_emb)
    if metric == "euclidean":
        return np.stack([np.sqrt(((g_emb - q) ** 2).sum(1)) for q in q_emb])
    lengths = np.linalg.norm(q_emb, axis=1)[:, None] * np.linalg.norm(g_emb, axis=1)
    return 1 - (q_emb @ g_emb.T) / lengths


@pytest.fixture(scope="module")
def gallery():
    return crowd(10_000, seed=1)


@pytest.fixture(scope="module")
def queries():
    return crowd(100, seed=2)


@pytest.fixture(scope="module")
def built(gallery):
    """One index of each kind and metric, small, that looks (nearly) everywhere; built once."""
    small = {
        "ivf-pq": {"lists": 32, "probes": 1000},
        "hnsw": {"neighbours": 12, "ef_construction": 30, "ef_search": 400},
    }
    return {
        (kind, metric): build_index(gallery, kind=kind, metric=metric, **small.get(kind, {}))
        for kind in KINDS
        for metric in METRICS
    }


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 200),
    st.integers(1, 40),
    st.integers(1, 70),
    st.sampled_from(METRICS),
    st.integers(0, 2**32 - 1),
)
def test_exact_is_brute_force(queries, images, dim, k, metric, seed):
    rng = np.random.default_rng(seed)
    q_emb, g_emb = rng.normal(size=(queries, dim)), rng.normal(size=(images, dim))
    g_emb[rng.integers(0, images, images // 4)] = g_emb[0]  # ties
    q_emb[0] = g_emb[0]
    expected = brute_distances(q_emb, g_emb, metric)
    indices, distances = build_index(g_emb, metric=metric).search(q_emb, k)
    assert indices.shape == distances.shape == (queries, k)
    assert (indices.dtype, distances.dtype) == (np.int64, np.float32)
    some = min(k, images)
    np.testing.assert_allclose(distances[:, :some], np.sort(expected)[:, :some], atol=1e-5)
    own = np.take_along_axis(expected, indices[:, :some], 1)
    np.testing.assert_allclose(distances[:, :some], own, atol=1e-5)
    assert (indices[:, some:] == -1).all()
    assert np.isnan(distances[:, some:]).all()


def test_by_hand():
    index = build_index([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0]])
    indices, distances = index.search([5.0, 0.0], k=4)
    assert indices.tolist() == [[0, 1, 2, -1]]
    assert distances[0, :3].tolist() == [0, 1, 2]
    assert np.isnan(distances[0, 3])
    euclidean = build_index([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0]], metric="euclidean")
    assert euclidean.search([[1.0, 4.0]], k=2)[1][0] == pytest.approx([2**0.5, 4])
    assert repr(index) == "SearchIndex(kind='exact', metric='cosine', 3 images of 2 dimensions)"


@pytest.mark.parametrize("metric", METRICS)
def test_exact_ties_in_gallery_order_with_the_distances_of_the_judge(metric):
    q_emb, g_emb = crowd(50, people=6), crowd(300, people=6, seed=1)
    g_emb[[17, 3, 250, 99]] = q_emb[0]  # copies: exactly zero, whatever FAISS's kernel rounds to
    expected = pairwise_distances(q_emb, g_emb, metric=metric).numpy()
    indices, distances = build_index(g_emb, metric=metric).search(q_emb, 12)
    assert indices[0, :4].tolist() == [3, 17, 99, 250]
    assert (distances[0, :4] == 0).all()
    order = np.argsort(expected, axis=1, kind="stable")[:, :12]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), atol=3e-7)


@pytest.mark.parametrize("metric", METRICS)
def test_copies_across_rank_k_in_gallery_order(metric):
    """In single precision copies differ by where they stand: more than k are looked at."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        g_emb = rng.normal(size=(300, 770)).astype(np.float32)
        copies = np.sort(rng.choice(300, 16, replace=False))
        g_emb[copies] = g_emb[copies[0]]
        q_emb = np.repeat(g_emb[copies[:1]] + 0.1, 30, axis=0)
        indices, _ = build_index(g_emb, metric=metric).search(q_emb, 4)
        assert (indices == copies[:4]).all()


def test_euclidean_distances_do_not_cancel(monkeypatch):
    """Far from the origin the expanded square would lose the digits that decide."""
    import faiss

    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 77)
    q_emb, g_emb = crowd(200, people=1, dim=64) + 400, crowd(2000, people=1, dim=64, seed=1) + 400
    expected = np.sort(brute_distances(q_emb, g_emb, "euclidean"))[:, :5]
    _, distances = build_index(g_emb, metric="euclidean").search(q_emb, 5)
    np.testing.assert_allclose(distances, expected, rtol=1e-6)
    assert faiss.cvar.distance_compute_blas_threshold == 77  # put back


def test_zero_vectors_are_at_distance_one():
    indices, distances = build_index(np.eye(3)).search(np.zeros((1, 3)), 3)
    assert indices.tolist() == [[0, 1, 2]]
    assert distances.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_distances_of_every_kind_are_in_the_same_convention(built, gallery, queries, kind, metric):
    indices, distances = built[kind, metric].search(queries, 10)
    true = np.take_along_axis(brute_distances(queries, gallery, metric), indices, 1)
    assert (np.diff(distances) >= 0).all()
    if kind == "ivf-pq":  # of codes: near, and not the same
        assert np.abs(distances - true).mean() < 0.2 * true.mean()
    else:
        np.testing.assert_allclose(distances, true, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_looking_everywhere_finds_nearly_everything(built, gallery, queries, metric):
    exact, graph, codes = (built[kind, metric] for kind in ("exact", "hnsw", "ivf-pq"))
    assert recall(exact, gallery, queries) == 1.0
    assert recall(graph, gallery, queries) > 0.99
    by_codes = recall(codes, gallery, queries)
    assert 0.5 < by_codes < 0.95  # 8 bytes for 32 numbers lose something
    one = build_index(gallery, kind="ivf-pq", metric=metric, lists=32, probes=1)
    assert recall(one, gallery, queries) < by_codes
    assert codes.options["probes"] == 32  # there are no more


class Found:
    """Stands in for an index that finds what it is told."""

    def __init__(self, like, indices):
        self.metric, self.dims, self.count = like.metric, like.dims, len(like)
        self.indices = indices

    def __len__(self):
        return self.count

    def search(self, queries, k):
        return np.array(self.indices)[:, :k], None


def test_recall_by_hand():
    # Distances of the query to the gallery: 0 1 2 2 2 5. The third nearest is any of three copies.
    line = np.array([[0.0], [1], [2], [2], [2], [5]])
    exact = build_index(line, metric="euclidean")

    def share(*found, k):
        return recall(Found(exact, [found]), line, [[0.0]], k=k)

    assert share(0, 1, 2, k=3) == 1
    assert share(0, 1, 4, k=3) == 1  # another copy is as good
    assert share(4, 3, 2, k=3) == 1  # by distance: none is farther than the third
    assert share(0, 1, 5, k=3) == pytest.approx(2 / 3)
    assert share(0, -1, -1, k=3) == pytest.approx(1 / 3)
    assert share(2, k=1) == 0
    assert share(0, 1, 2, 3, 4, 5, -1, k=7) == 1  # no more than the gallery counts
    two = recall(Found(exact, [[0, 1], [0, 1]]), line, [[0.0], [5.0]], k=2)
    assert two == 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_gallery_in_parts_is_the_gallery(kind, gallery, queries, monkeypatch):
    options = {"lists": 8, "code_bytes": 4, "probes": 8} if kind == "ivf-pq" else {}
    first = gallery[:9_990] if kind == "ivf-pq" else gallery[:700]
    rest = gallery[len(first) : len(first) + 9]
    parts = build_index(first, kind=kind, **options)
    before = parts.search(queries, 3)
    bad = rest.copy()
    bad[-1, 0] = np.nan
    monkeypatch.setattr(search, "BLOCK_ELEMENTS", 4 * gallery.shape[1])
    with pytest.raises(ValueError, match=r"g_emb\[8:9\]: 1 of 1 rows hold NaN"):
        parts.add(bad)
    np.testing.assert_array_equal(parts.search(queries, 3), before)  # as it was
    parts.add(rest)
    assert len(parts) == len(first) + 9
    if kind == "exact":
        whole = build_index(np.concatenate([first, rest]))
        np.testing.assert_array_equal(parts.search(queries, 9), whole.search(queries, 9))
    indices, distances = parts.search(rest, len(parts))
    added = np.arange(len(first), len(first) + 9)
    if kind == "ivf-pq":  # its distances are of codes
        assert set(indices[0]) == set(range(len(parts)))
    else:
        assert indices[:, 0].tolist() == added.tolist()
        assert (distances[:, 0] == 0).all()


def test_blocks_types_and_files_do_not_matter(tmp_path, gallery, queries, monkeypatch):
    gallery = gallery[:1000]
    expected = build_index(gallery).search(queries, 5)
    np.save(tmp_path / "gallery.npy", gallery)
    on_disk = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    monkeypatch.setattr(search, "BLOCK_ELEMENTS", 7 * gallery.shape[1])
    backwards = gallery[::-1].copy()[::-1]  # torch takes no negative strides
    for source in (gallery, on_disk, torch.from_numpy(gallery), backwards):
        np.testing.assert_array_equal(build_index(source).search(queries, 5), expected)
    half = torch.from_numpy(gallery).bfloat16().requires_grad_()
    np.testing.assert_array_equal(
        build_index(half).search(queries, 5), build_index(half.float()).search(queries, 5)
    )


def test_copies_of_one_image_train(capfd):
    """k-means with fewer images than centres, as a video that stands still would give."""
    index = build_index(np.ones((9_984, 4)), kind="ivf-pq", lists=2, probes=2)
    assert (index.search(np.ones((1, 4)), 3)[1] < 1e-6).all()
    assert capfd.readouterr() == ("", "")


def test_the_seed_decides(gallery, queries):
    def found(seed):
        index = build_index(gallery, kind="ivf-pq", seed=seed, lists=8, code_bytes=2, probes=2)
        return index.search(queries, 10)

    np.testing.assert_array_equal(found(2**40), found(2**40))
    assert (found(0)[1] != found(1)[1]).any()

    def layers(seed):
        import faiss

        index = build_index(gallery[:300], kind="hnsw", seed=seed)
        return faiss.vector_to_array(index._index.hnsw.levels)

    np.testing.assert_array_equal(layers(1), layers(1))
    assert (layers(1) != layers(2)).any()


def test_defaults_follow_the_gallery_and_faiss_says_nothing(gallery, capfd):
    index = build_index(gallery, kind="ivf-pq")
    assert capfd.readouterr() == ("", "")
    assert index.options == {"lists": 256, "code_bytes": 8, "probes": 16}  # 10,000 // 39
    assert index._index.nprobe == 16
    assert search._defaults("ivf-pq", 1_000_000, 768) == {"lists": 4000, "code_bytes": 192}
    assert search._defaults("ivf-pq", 1_000_000, 3)["code_bytes"] == 1
    hnsw = build_index(gallery[:50], kind="hnsw", ef_search=np.int64(9))
    assert hnsw.options == {"neighbours": 32, "ef_construction": 100, "ef_search": 9}
    assert (hnsw._index.hnsw.efConstruction, hnsw._index.hnsw.efSearch) == (100, 9)


def test_training_draws_some_images_only(gallery, monkeypatch):
    monkeypatch.setattr(search, "CODEWORDS", 16)
    sample = search._training_sample(gallery, 20, "euclidean", seed=0)
    assert sample.shape == (20 * 64, gallery.shape[1])
    assert len(np.unique(sample, axis=0)) == len(sample)
    assert {row.tobytes() for row in sample} <= {row.tobytes() for row in gallery}


# --- protocols ------------------------------------------------------------------------------------


def labelled(images=400, queries=30, people=12, seed=0):
    rng = np.random.default_rng(seed)
    q_pids, g_pids = rng.integers(1, people, queries), rng.integers(-1, people, images)
    centres = rng.normal(size=(people + 1, 16))
    q_emb, g_emb = (
        (centres[pids] + 0.3 * rng.normal(size=(len(pids), 16))).astype(np.float32)
        for pids in (q_pids, g_pids)
    )
    return q_emb, g_emb, q_pids, g_pids, rng.integers(0, 3, queries), rng.integers(0, 3, images)


@pytest.mark.parametrize("k", [1, 10, 370, 500])
@pytest.mark.parametrize("metric", METRICS)
def test_ranked_list_is_that_of_the_judge(metric, k):
    q_emb, g_emb, q_pids, g_pids, q_camids, g_camids = labelled()
    g_emb[5::50] = q_emb[0]  # ties
    labels = q_pids, g_pids, q_camids, g_camids
    expected = ranked_list(q_emb, g_emb, *labels, k=k, metric=metric)
    shown = build_index(g_emb, metric=metric).ranked_list(q_emb, *labels, k=k)
    np.testing.assert_array_equal(shown.indices, expected.indices)
    np.testing.assert_array_equal(shown.matches, expected.matches)
    np.testing.assert_allclose(shown.distances, expected.distances, atol=3e-7)


def test_ranked_list_widens_until_k_remain():
    """The nearest 300 are all junk or the query's own camera; what may be shown lies behind."""
    near = np.linspace(0, 1, 300)
    g_emb = np.stack([np.append(near, [2, 3, 4]), np.ones(303)], axis=1)
    g_pids = np.where(np.arange(303) % 2, -1, 7)
    g_pids[300:] = [7, 5, 7]
    g_camids = np.zeros(303, int)
    g_camids[302] = 1
    index = build_index(g_emb, metric="euclidean")
    shown = index.ranked_list([0.0, 1.0], 7, g_pids, 0, g_camids, k=3)
    assert shown.indices.tolist() == [[301, 302, -1]]
    assert shown.matches.tolist() == [[False, True, False]]
    assert shown.distances[0, :2].tolist() == [3, 4]


def test_ranked_list_of_a_graph_widens_too():
    """People in groups so tight that no edge leads out of them."""
    q_emb, g_emb, q_pids, g_pids, *cameras = labelled()
    g_pids[np.arange(400) % 10 > 0] = -1  # nine of ten may not be shown
    index = build_index(g_emb, kind="hnsw", ef_search=8)
    shown = index.ranked_list(q_emb, q_pids, g_pids, *cameras, k=12)
    expected = ranked_list(q_emb, g_emb, q_pids, g_pids, *cameras, k=12)
    assert (shown.indices >= 0).all()
    assert (shown.indices == expected.indices).mean() > 0.9


def test_a_graph_that_fell_apart_finds_k(gallery):
    copies = np.repeat(gallery[:3], 200, axis=0)
    index = build_index(copies, kind="hnsw")
    met = index._index.search(search._single("q", torch.tensor(gallery[:1]), "cosine"), 300)[1]
    assert (met < 0).any()  # otherwise this test tests nothing
    indices, distances = index.search(gallery[:1], 300)
    assert sorted(indices[0]) == sorted(set(indices[0]))
    np.testing.assert_array_equal(distances[0, :200], np.zeros(200))
    assert set(indices[0, :200]) == set(range(200))
    assert (distances[0, 200:] > 0).all()


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(built, queries, gallery, tmp_path, kind, metric):
    index = built[kind, metric]
    path = tmp_path / "deep" / "gallery.index"
    index.save(path)
    index.save(path)  # over an older one
    assert [file.name for file in path.parent.iterdir()] == ["gallery.index"]
    loaded = SearchIndex.load(str(path))
    assert repr(loaded) == repr(index)
    assert (loaded.options, loaded.seed) == (index.options, index.seed)
    np.testing.assert_array_equal(loaded.search(queries, 20), index.search(queries, 20))
    loaded.add(gallery[:3])
    assert len(loaded) == len(index) + 3
    if kind == "ivf-pq":
        assert path.stat().st_size < 0.4 * gallery.nbytes


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "small.index"
    build_index(np.eye(5)[:3]).save(path)
    return path


def test_every_changed_byte_is_seen(saved):
    content = saved.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x10
        saved.write_bytes(changed)
        with pytest.raises(ValueError, match=r"no index|version|not what was"):
            SearchIndex.load(saved)


def test_every_cut_is_seen(saved):
    content = saved.read_bytes()
    for length in range(len(content)):
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"no index|version|not what was"):
            SearchIndex.load(saved)


def test_damage_is_found_before_faiss_reads(saved, monkeypatch):
    import faiss

    def reads(*_):
        raise AssertionError("FAISS was given a damaged file")

    monkeypatch.setattr(faiss, "deserialize_index", reads)
    saved.write_bytes(saved.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=r"SHA-256 differs.*Copy or build it again"):
        SearchIndex.load(saved)


def test_other_files(saved, tmp_path):
    import faiss

    foreign = tmp_path / "foreign"
    faiss.write_index(faiss.IndexFlatL2(4), str(foreign))
    with pytest.raises(ValueError, match=r"foreign is no index saved by reidlab.*IxF2.*\.save\(\)"):
        SearchIndex.load(foreign)
    rest = saved.read_bytes().split(b"\n", 1)[1]
    saved.write_bytes(b"reidlab-index 1\n" + rest)  # the layout before this one
    with pytest.raises(ValueError, match=r"version 1 .*reads version 2; build the index anew"):
        SearchIndex.load(saved)
    later = json.dumps({"faiss": "99.0"}).encode() + b"\nof a later FAISS"
    digest = hashlib.sha256(later).hexdigest().encode()
    saved.write_bytes(b"reidlab-index 2 " + digest + b"\n" + later)
    with pytest.raises(ValueError, match=r"written with FAISS 99\.0 and FAISS .* cannot read it"):
        SearchIndex.load(saved)
    with pytest.raises(FileNotFoundError):
        SearchIndex.load(tmp_path / "none")


def test_a_failed_save_leaves_the_older_file(saved, monkeypatch):
    def fails(*_):
        raise OSError("no space left")

    content = saved.read_bytes()
    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="no space"):
        build_index(np.eye(4)).save(saved)
    assert saved.read_bytes() == content
    assert list(saved.parent.iterdir()) == [saved]


def test_the_header_is_plain_json(saved):
    _, header, payload = saved.read_bytes().split(b"\n", 2)
    assert json.loads(header)["kind"] == "exact"
    assert json.loads(header)["dims"] == 5
    assert payload[:4] == b"IxFI"  # FAISS's own format follows


# --- errors ---------------------------------------------------------------------------------------


BAD = np.array([[1.0, 2.0], [np.nan, 1.0]])
GOOD = np.eye(2)


@pytest.mark.parametrize(
    ("g_emb", "options", "error", "message"),
    [
        (BAD, {}, ValueError, "g_emb: 1 of 2 rows hold NaN or infinity"),
        (np.full((2, 2), np.inf), {}, ValueError, "g_emb: 2 of 2 rows hold NaN or infinity"),
        (np.zeros((0, 4)), {}, ValueError, "g_emb has no rows"),
        (np.zeros((3, 0)), {}, ValueError, r"g_emb has shape \(3, 0\), expected \(images, dim"),
        (np.zeros((2, 2, 2)), {}, ValueError, r"g_emb has shape \(2, 2, 2\), expected \(images"),
        (1.0, {}, ValueError, r"g_emb has shape \(\), expected \(images"),
        (np.eye(2, dtype=int), {}, TypeError, "g_emb holds int64, expected a floating"),
        (GOOD * 1e19, {"metric": "euclidean"}, ValueError, "as long as 1e.19.*divide all"),
        (
            GOOD,
            {"kind": "lsh"},
            ValueError,
            "unknown kind 'lsh': choose one of exact, ivf-pq, hn",
        ),
        (
            GOOD,
            {"metric": "l1"},
            ValueError,
            "unknown metric 'l1': choose one of cosine, eucli",
        ),
        (GOOD, {"probes": 3}, ValueError, "option 'probes' of kind 'exact', which has none"),
        (
            GOOD,
            {"kind": "hnsw", "M": 8},
            ValueError,
            "'M' of kind 'hnsw', which has neighbours, ",
        ),
        (
            GOOD,
            {"kind": "hnsw", "neighbours": 1},
            ValueError,
            "neighbours is 1, expected at least 2",
        ),
        (
            GOOD,
            {"kind": "hnsw", "ef_search": 1.5},
            TypeError,
            "ef_search is 1.5, expected a whole",
        ),
        (GOOD, {"kind": "hnsw", "ef_search": True}, TypeError, "ef_search is True, expected a wh"),
        (GOOD, {"kind": "hnsw", "ef_search": 2**31}, ValueError, "is 2147483648, expected at most"),
        (
            np.zeros((9_983, 4)),
            {"kind": "ivf-pq"},
            ValueError,
            "256 codewords.*39 images for each, 9984 in all; the gallery has 9983. Use kind='ex",
        ),
        (
            np.zeros((10_000, 4)),
            {"kind": "ivf-pq", "lists": 300},
            ValueError,
            "lists is 300.*11700 in all; the gallery has 10000. Use at most 256 lists",
        ),
        (
            np.zeros((10_000, 6)),
            {"kind": "ivf-pq", "code_bytes": 4},
            ValueError,
            "code_bytes is 4, expected a divisor of the 6 dimensions: one of 1, 2, 3, 6",
        ),
        (
            np.ones((9, 4)),
            {"kind": "ivf-pq", "lists": 0},
            ValueError,
            "lists is 0, expected at least 1",
        ),
    ],
)
def test_bad_galleries_and_options(g_emb, options, error, message, capfd):
    with pytest.raises(error, match=message):
        build_index(g_emb, **options)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.search(BAD, 1), "q_emb: 1 of 2 rows hold NaN"),
        (lambda i: i.search(np.eye(3), 1), "q_emb has 3 dimensions, the index 2: both must come"),
        (lambda i: i.search(GOOD, 0), "k is 0, expected at least 1"),
        (lambda i: i.add(np.eye(3)), "g_emb has 3 dimensions, the index 2"),
        (lambda i: i.ranked_list(GOOD, [1, 2], [1], [0, 0], [1]), r"g_pids has shape \(1,\)"),
        (lambda i: i.ranked_list(GOOD, [1, 2], [1, 2], [0, 0], [1, 1], k=0), "k is 0"),
        (
            lambda i: i.ranked_list(GOOD, [1, 2], [1, 2], [0, 0], [1, 1], protocol="x"),
            "protocol 'x': choose one of.*standard",
        ),
        (lambda i: recall(i, np.eye(3)[:, :2], GOOD), r"shape \(3, 2\), expected \(2, 2\): the e"),
        (lambda i: recall(i, np.eye(3), GOOD), r"g_emb has shape \(3, 3\), expected \(2, 2\)"),
        (lambda i: recall(i, BAD, GOOD), "g_emb: .* rows hold NaN"),
    ],
)
def test_bad_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call(build_index(GOOD))


def test_a_part_too_long_for_single_precision_leaves_the_index(monkeypatch):
    index = build_index(GOOD, metric="euclidean")
    monkeypatch.setattr(search, "BLOCK_ELEMENTS", 2)
    with pytest.raises(ValueError, match=r"g_emb\[2:3\] holds vectors as long as 1e.19"):
        index.add([[1.0, 0.0], [2.0, 0.0], [1e19, 0.0]])
    assert len(index) == 2


def test_without_faiss(monkeypatch, saved):
    monkeypatch.setitem(sys.modules, "faiss", None)
    for call in (lambda: build_index(GOOD), lambda: SearchIndex.load(saved)):
        with pytest.raises(ImportError, match=r"pip install 'reidlab\[search\]'"):
            call()


def test_torch_and_faiss_share_a_process():
    """Each brings its own OpenMP: threads of both, in turns, and workers forked afterwards."""
    script = """
import numpy as np, torch
from torch.utils.data import DataLoader
from reidlab.evaluation import build_index
torch.set_num_threads(2)
x = torch.randn(800, 64)
for _ in range(3):
    x @ x.T
    index = build_index(x, kind="hnsw")
    index.search(x[:200], 5)
    found, _ = build_index(x).search(x, 1)
    assert (found[:, 0] == np.arange(800)).all()
loader = DataLoader(list(x), batch_size=100, num_workers=2)
print(sum(len(batch) for batch in loader), len(index.search(x @ torch.eye(64), 1)[0]))
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "800 800\n"), done.stderr


def test_example_of_the_docstring():
    import doctest

    assert doctest.testmod(search) == (0, 5)


def test_threads_leave_the_setting_of_faiss_as_it_was():
    import faiss

    emb = np.random.default_rng(0).normal(size=(500, 8))
    indices = [build_index(emb, metric=metric) for metric in ("cosine", "euclidean")]
    before = faiss.cvar.distance_compute_blas_threshold
    expected = [index.search(emb[:9], 5)[0] for index in indices]
    wrong = []

    def work(which):
        for _ in range(100):
            found = indices[which].search(emb[:9], 5)[0]
            if not np.array_equal(found, expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert faiss.cvar.distance_compute_blas_threshold == before


def test_an_index_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.index", tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"there is no index .* build one with build_index"
        ):
            SearchIndex.load(path)
