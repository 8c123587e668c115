"""Sums by person, and the authors' counting over orientations, by loops written here."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reidlab import recipes
from reidlab.data import open_dataset
from reidlab.evaluation import RankResult
from reidlab.experiments.after import BY_ORIENTATION, PEOPLE, everybody, people_sums
from reidlab.judging import embed
from reidlab.synth import World, write_dataset


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    world = World(seed=5, identities=12, cameras=2, images_per_camera=8, resolution=(32, 16))
    root = write_dataset("pku-reid", tmp_path_factory.mktemp("pku"), world)
    return open_dataset("pku-reid", root, fold=2, folds=3)


class Colours(torch.nn.Module):
    """An image is its mean colour."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))

    def embed(self, images, camids):
        return images.mean((2, 3)) * self.scale


@pytest.fixture
def run():
    recipe = recipes.get("vit_baseline", "smoke").replace(image_size=(32, 16), workers=0)
    return SimpleNamespace(model=Colours(), recipe=recipe)


def nearest_first(emb):
    """(N, N) the images by cosine, the nearest first."""
    emb = torch.nn.functional.normalize(emb.double(), dim=1).numpy()
    return np.argsort(-(emb @ emb.T), axis=1, kind="stable")


def test_the_sums_of_people_by_hand():
    result = RankResult(
        ap=np.array([0.5, np.nan, 0.25, 1 / 3, 1.0]),
        inp=np.zeros(5),
        first_match=np.array([2, 0, 4, 1, 1]),
        valid=np.array([True, False, True, True, True]),
        protocol="standard", ap_variant="mean_precision", over="counted", max_rank=5,
    )  # fmt: skip
    found = people_sums(result, [7, 3, 7, 5, 5])
    assert found == {
        "pid": [5, 7], "queries": [2, 2],
        "ap": [1.333333, 0.75], "rank1": [2.0, 0.0], "rank5": [2.0, 2.0],
    }  # fmt: skip
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(ValueError, match="pids"):
        people_sums(result, [7, 3])


def by_loops(fold, run, kept, ap):
    """For each person how many images ask, and the sums of AP and of hits at ranks 1 and 5."""
    order = nearest_first(embed(run.model, fold.query, run.recipe))
    pids = fold.query["pid"].to_numpy()
    sums = {pid: [0, 0.0, 0, 0] for pid in np.unique(pids)}
    for q, ranked in enumerate(order):
        right = [pids[g] == pids[q] for g in ranked if kept(q, g)]
        for place, value in enumerate((1, ap(right), int(right[0]), int(any(right[:5])))):
            sums[pids[q]][place] += value
    return sums


def precisions(right):
    return [sum(right[: k + 1]) / (k + 1) for k, hit in enumerate(right) if hit]


def test_people_by_the_protocol_of_the_set(fold, run):
    found = PEOPLE.find(run, fold)
    pids, camids = (fold.query[name].to_numpy() for name in ("pid", "camid"))
    sums = by_loops(
        fold, run, lambda q, g: pids[g] != pids[q] or camids[g] != camids[q],
        lambda right: np.mean(precisions(right)),
    )  # fmt: skip
    assert found["pid"] == [*sums]
    assert found["queries"] == [s[0] for s in sums.values()] == [16] * 4
    assert found["ap"] == pytest.approx([s[1] for s in sums.values()], abs=2e-6)
    assert found["rank1"] == [s[2] for s in sums.values()]
    assert found["rank5"] == [s[3] for s in sums.values()]


def test_the_authors_counting_of_a_fold_asks_with_each_image_once(fold, run):
    found = BY_ORIENTATION.find(run, fold)
    frame, views = fold.query, fold.query["view"].to_numpy()
    sums = by_loops(
        fold, run, lambda q, g: views[g] != views[q],
        lambda right: np.mean(precisions(right[:10]) or [0]),
    )  # fmt: skip
    assert found["people"]["pid"] == [*sums]
    assert found["people"]["ap"] == pytest.approx([s[1] for s in sums.values()], abs=2e-6)
    assert found["people"]["rank1"] == [s[2] for s in sums.values()]
    assert found["people"]["rank5"] == [s[3] for s in sums.values()]
    metrics = found["metrics"]
    assert metrics["mAP"] == pytest.approx(sum(s[1] for s in sums.values()) / len(frame))
    assert metrics["rank1"] == pytest.approx(sum(s[2] for s in sums.values()) / len(frame))
    assert metrics["rank5"] == pytest.approx(sum(s[3] for s in sums.values()) / len(frame))
    assert (metrics["num_queries"], metrics["num_valid"]) == (len(frame), len(frame))
    assert (metrics["protocol"], metrics["ap"]) == ("la-official", "top10")
    assert found["data"]["protocol"] == "la-official"
    assert found["data"]["fingerprint"] == fold.fingerprint()
    assert json.loads(json.dumps(found)) == found


def test_one_orientation_has_nobody_to_answer(fold, run):
    same = fold.query.assign(view=-1)
    with pytest.raises(ValueError, match="shows a single orientation"):
        BY_ORIENTATION.find(run, replace(fold, query=same, gallery=same))


def test_everybody_of_a_set_asks_and_answers_but_for_junk_and_distractors(tmp_path):
    world = World(seed=6, identities=8, cameras=3, images_per_camera=2, resolution=(32, 16))
    ds = open_dataset("market1501", write_dataset("market1501", tmp_path, world))
    assert ds.gallery["junk"].any()
    assert ds.gallery["distractor"].any()
    asked = everybody(ds)
    files = {p for p in [*ds.train.path, *ds.query.path, *ds.gallery.path]}
    rest = {*ds.gallery.path[(ds.gallery.pid <= 0)]}
    assert {*asked.query.path} == files - rest
    assert asked.query.path.is_unique
    assert asked.query is asked.gallery or asked.query.equals(asked.gallery)
    assert {*asked.query.pid} == {*range(1, 9)}


def test_where_infrared_asks_for_visible_it_does_of_everybody(tmp_path):
    world = World(seed=5, identities=20, cameras=4, infrared_cameras=2, images_per_camera=2,
                  resolution=(32, 16))  # fmt: skip
    ds = open_dataset("sysu-mm01", write_dataset("sysu-mm01", tmp_path, world))
    there = everybody(ds)
    assert set(there.query["modality"]) == {"infrared"}
    assert set(there.gallery["modality"]) == {"visible"}
    trained = ds.train["modality"].value_counts()
    assert len(there.query) == len(ds.query) + trained["infrared"]
    assert len(there.gallery) == len(ds.gallery) + trained["visible"]
