"""From a data set and embeddings to the numbers of its protocol."""

import dataclasses

import numpy as np
import pytest
import torch

from reidlab.data import draw_gallery, open_dataset
from reidlab.errors import RecipeError
from reidlab.evaluation import TrialsResult, evaluate, rank, rank_blocks
from reidlab.judging import (
    check_judged,
    classify,
    embed,
    evaluate_on,
    judge,
    matching,
    of_training_people,
    split_images,
    split_validation,
    timed_evaluation,
    untrained_records,
    zero_shot,
    zero_shot_record,
)
from reidlab.models import TokenBackbone
from reidlab.synth import suggested_world, write_dataset
from reidlab.training import Recipe, build_model

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

    monkeypatch.setattr(matching, "QUERIES", 5)
    monkeypatch.setattr(matching, "IMAGES", 7)
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
    for shape in ((4, 3), (5, 2)):
        with pytest.raises(ValueError, match="expected at most 4 rows of 2 numbers"):
            rank_blocks([np.zeros(shape)], (4, 2), [1, 1, 2, 2], [1, 2], [0] * 4, [1, 1])


def without(ds, *parts):
    return dataclasses.replace(ds, **{part: getattr(ds, part).iloc[:0] for part in parts})


@pytest.mark.parametrize("layout", ["sysu-mm01", "regdb", "cuhk03-classic", "market1501"])
@pytest.mark.parametrize("draw", [0, None])
def test_what_can_be_judged_is_known_without_an_embedding(roots, layout, draw):
    options = {"trial": draw} if layout == "sysu-mm01" else {}
    ds = open_dataset(layout, roots[layout], **options)
    check_judged(ds)
    check_judged(without(ds, "train"))
    with pytest.raises(RecipeError, match=rf"{layout} has 0 query and \d+ gallery images"):
        check_judged(without(ds, "query"))
    strangers = dataclasses.replace(ds, gallery=ds.gallery.assign(pid=ds.gallery["pid"] + 5000))
    with pytest.raises(RecipeError, match=rf"none of the \d+ queries of {layout} has a match"):
        check_judged(strangers)
    with pytest.raises(ValueError, match="none of the"):
        judge(strangers, embeddings(ds.query, 1), embeddings(ds.gallery, 2))


@pytest.fixture
def doors(roots, tmp_path):
    """Every way in which a model or weights are judged on a set, by name."""
    model = torch.nn.Linear(1, 1)  # it is not asked
    recipe = Recipe(weights=None, workers=0)
    return {
        "evaluate_on": lambda ds: evaluate_on(model, ds, recipe),
        "timed_evaluation": lambda ds: timed_evaluation(model, ds, recipe),
        "zero_shot": lambda ds: zero_shot(TokenBackbone(depth=1), ds, recipe),
        "zero_shot_record": lambda ds: zero_shot_record(TokenBackbone(depth=1), ds, recipe),
        "untrained_records": lambda ds: untrained_records(ds, out=tmp_path / "records"),
    }


@pytest.mark.parametrize(
    "door",
    ["evaluate_on", "timed_evaluation", "zero_shot", "zero_shot_record", "untrained_records"],
)
def test_a_set_without_a_test_part_is_one_sentence(roots, doors, tmp_path, door):
    ds = open_dataset("market1501", roots["market1501"])
    with pytest.raises(RecipeError, match=r"has 0 query and 0 gallery images; expected some"):
        doors[door](ds.train_only())
    nobody = dataclasses.replace(ds, gallery=ds.gallery.assign(pid=9999))
    with pytest.raises(RecipeError, match="none of the"):
        doors[door](nobody)
    assert not (tmp_path / "records").exists()


def test_without_a_test_part_weights_are_judged_on_the_training_people(roots):
    ds = open_dataset("market1501", roots["market1501"]).train_only()
    backbone = TokenBackbone(depth=1, image_size=(32, 16)).eval()
    found = zero_shot(backbone, of_training_people(ds), Recipe(weights=None, workers=0))
    assert found["class"].num_valid == len(ds.train)


def test_without_training_people(roots):
    tests = without(open_dataset("market1501", roots["market1501"]), "train")
    recipe = Recipe(weights=None)
    for asked in (
        lambda: of_training_people(tests),
        lambda: split_validation(tests, 2, 0),
        lambda: split_images(tests),
        lambda: build_model(recipe, tests),
    ):
        with pytest.raises(RecipeError, match=r"market1501 has no training images, only \d+ query"):
            asked()
    for table in (lambda: embed(None, tests.train, recipe), lambda: classify_none(tests, recipe)):
        with pytest.raises(ValueError, match="the table has no rows"):
            table()


def classify_none(ds, recipe):
    return classify(torch.nn.Linear(1, 1), ds.train, recipe)
