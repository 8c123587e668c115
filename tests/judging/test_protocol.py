"""From a data set and embeddings to the numbers of its protocol."""

import numpy as np
import pytest
import torch

from reidlab.data import draw_gallery, open_dataset
from reidlab.evaluation import TrialsResult, evaluate, rank, rank_blocks
from reidlab.judging import judge, protocol
from reidlab.synth import suggested_world, write_dataset

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


def embeddings(frame, seed):
    """(N, 8) noise around a centre for each person."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(10_000, 8))
    return centres[frame["pid"].to_numpy()] + rng.normal(size=(len(frame), 8))


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Small synthetic sets in three layouts."""
    folders = {}
    for layout in ("sysu-mm01", "regdb", "cuhk03-classic", "market1501"):
        world = suggested_world(layout, seed=3, identities=12, resolution=(16, 16))
        folders[layout] = write_dataset(layout, tmp_path_factory.mktemp(layout) / "set", world)
    return folders


def test_the_pool_of_sysu_is_judged_on_ten_galleries(roots):
    pool = open_dataset("sysu-mm01", roots["sysu-mm01"], trial=None)
    q_emb, g_emb = embeddings(pool.query, 1), embeddings(pool.gallery, 2)
    result = judge(pool, q_emb, g_emb)
    assert isinstance(result, TrialsResult)
    assert result.protocol == "sysu"
    for trial in range(10):
        rows = draw_gallery(pool, trial)
        one = open_dataset("sysu-mm01", roots["sysu-mm01"], trial=trial)
        assert one.gallery["path"].tolist() == pool.gallery["path"].iloc[rows].tolist()
        alone = judge(one, q_emb, g_emb[rows])
        assert len(alone.trials) == 1
        np.testing.assert_array_equal(alone.trials[0].ap, result.trials[trial].ap)


@pytest.mark.parametrize("options", [{"trials": 3}, {"shots": 2}, {"trials": 2, "shots": 10}])
def test_draws_that_the_caller_asks_for(roots, options):
    pool = open_dataset("sysu-mm01", roots["sysu-mm01"], trial=None)
    embedded = embeddings(pool.query, 1), embeddings(pool.gallery, 2)
    labels = [frame[name] for name in ("pid", "camid") for frame in (pool.query, pool.gallery)]
    expected = evaluate(*embedded, *labels, protocol="sysu", **options)
    result = judge(pool, *embedded, **options)
    assert len(result.trials) == len(expected.trials)
    np.testing.assert_array_equal(result.ap, expected.ap)


def test_a_gallery_of_ten_shots_is_not_drawn_again(roots):
    one = open_dataset("sysu-mm01", roots["sysu-mm01"], trial=2, shots=10)
    embedded = embeddings(one.query, 1), embeddings(one.gallery, 2)
    result = judge(one, *embedded)
    assert len(result.trials) == 1
    unsaid = judge(one, *embedded, trials=None, shots=None)
    assert len(unsaid.trials) == 1
    labels = [one.query["pid"], one.gallery["pid"], one.query["camid"], one.gallery["camid"]]
    expected = evaluate(*embedded, *labels, protocol="sysu", shots=10)
    np.testing.assert_array_equal(result.ap, expected.ap)


@pytest.mark.parametrize(
    ("layout", "protocol", "trials"),
    [("regdb", "regdb", 0), ("cuhk03-classic", "cuhk03-single-shot", 10)],
)
def test_each_set_by_its_protocol(roots, layout, protocol, trials):
    ds = open_dataset(layout, roots[layout])
    result = judge(ds, embeddings(ds.query, 1), embeddings(ds.gallery, 2))
    assert result.protocol == protocol
    assert len(getattr(result, "trials", ())) == trials
    assert 0 < result.rank1 <= 1


def test_junk_may_be_embedded_or_not(roots):
    ds = open_dataset("market1501", roots["market1501"])
    junk = ds.gallery["junk"].to_numpy()
    assert junk.any()
    q_emb, g_emb = embeddings(ds.query, 1), embeddings(ds.gallery.assign(pid=1), 2)
    np.testing.assert_array_equal(judge(ds, q_emb, g_emb).ap, judge(ds, q_emb, g_emb[~junk]).ap)
    careless = judge(ds, q_emb, g_emb, protocol="la-official")
    assert careless.protocol == "la-official"
    assert careless.num_valid == len(ds.query)
    for rows in (0, 5, len(junk) + 1):
        with pytest.raises(ValueError, match=rf"g_emb has {rows} rows, expected {len(junk)}, one"):
            judge(ds, q_emb, np.ones((rows, 8)))
    with pytest.raises(ValueError, match=r"q_emb has 3 rows"):
        judge(ds, q_emb[:3], g_emb)


def test_some_of_the_trials_are_drawn_as_the_pool_was_opened(roots):
    pool = open_dataset("sysu-mm01", roots["sysu-mm01"], trial=None, shots=10)
    q_emb, g_emb = embeddings(pool.query, 1), embeddings(pool.gallery, 2)
    three = judge(pool, q_emb, g_emb, trials=3)
    by_hand = [draw_gallery(pool, trial) for trial in range(3)]
    expected = judge(pool, q_emb, g_emb, trials=by_hand)
    assert len(three.trials) == 3
    np.testing.assert_array_equal(three.ap, expected.ap)
    single = draw_gallery(open_dataset("sysu-mm01", roots["sysu-mm01"], trial=None), 0)
    assert len(by_hand[0]) > len(single)


def test_a_matcher_is_asked_in_blocks(roots, monkeypatch):
    """Maps and no vectors: by the loop over all pairs, whatever the blocks."""
    ds = open_dataset("market1501", roots["market1501"])
    rng = np.random.default_rng(5)
    q_emb, g_emb = (
        torch.tensor(rng.normal(size=(len(frame), 2, 3, 4)), dtype=torch.float32)
        for frame in (ds.query, ds.gallery)
    )
    asked = []

    def match(queries, images):  # the best pair of places, which no distance of vectors gives
        asked.append((len(queries), len(images)))
        places = (part.flatten(1, 2) for part in (queries, images))
        return torch.einsum("qpd,grd->qgpr", *places).amax((2, 3))

    monkeypatch.setattr(protocol, "QUERIES", 5)
    monkeypatch.setattr(protocol, "IMAGES", 7)
    found = judge(ds, q_emb, g_emb, match=match)
    assert max(asked) == (5, 7)
    distances = [
        [-max(float(a @ b) for a in q.reshape(6, 4) for b in g.reshape(6, 4)) for g in g_emb]
        for q in q_emb
    ]
    who = (ds.query.pid, ds.gallery.pid, ds.query.camid, ds.gallery.camid)
    expected = rank(np.array(distances, dtype=np.float32), *who)
    assert (found.mAP, found.rank1) == (expected.mAP, expected.rank1)
    np.testing.assert_array_equal(found.ap, expected.ap)
    with pytest.raises(ValueError, match=r"the blocks have 3 rows; expected 4, one for each query"):
        rank_blocks([np.zeros((3, 2))], (4, 2), [1, 1, 2, 2], [1, 2], [0] * 4, [1, 1])
