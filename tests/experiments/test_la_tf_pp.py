"""LA-TF++: the losses by a list typed here; folds in which each image is once, differences."""

import types

import numpy as np
import pandas as pd
import pytest
import torch

from reidlab.evaluation import average, rank, rerank
from reidlab.experiments import design, la_tf_pp
from reidlab.experiments.runner import Trained, Workspace


@pytest.fixture
def people():
    """Four people, two cameras, three orientations: a table, and embeddings that are noisy."""
    rows = [(p, c, v) for p in range(4) for c in range(2) for v in range(3)]
    frame = pd.DataFrame(rows, columns=["pid", "camid", "view"])
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 6, generator=generator)[torch.tensor(frame.pid.to_numpy())]
    return frame, centres + 0.8 * torch.randn(len(frame), 6, generator=generator)


def test_no_more_images_are_averaged_than_are_neighbours():
    assert [la_tf_pp.k2_of(k1) for k1 in (4, 6, 20)] == [4, 6, 6]


def test_in_a_fold_each_image_asks_once_and_never_meets_itself(people, monkeypatch):
    frame, emb = people
    asked = []
    real = la_tf_pp.evaluate

    def spy(q, g, *who, **options):
        asked.extend(map(tuple, q.tolist()))
        assert len(q) + len(g) == len(frame)
        assert not set(map(tuple, q.tolist())) & set(map(tuple, g.tolist()))
        return real(q, g, *who, **options)

    monkeypatch.setattr(la_tf_pp, "evaluate", spy)
    found = la_tf_pp.in_folds({"plain": emb}, frame)
    assert sorted(asked) == sorted(map(tuple, emb.tolist()))
    assert found["plain"]["queries"] == len(frame)
    assert set(found) == {"plain", *(f"k1 = {k1}" for k1 in la_tf_pp.K1)}


def test_the_folds_by_hand(people):
    frame, emb = people
    parts = []
    for view in range(3):
        asks = frame["view"].to_numpy() == view
        q, g = frame[asks], frame[~asks]
        picked = torch.tensor(asks)
        d = rerank(emb[picked], emb[~picked], k1=6, k2=6, lambda_value=0.3, metric="cosine")
        parts.append(rank(d, q.pid, g.pid, q.camid, g.camid))
    row = la_tf_pp.in_folds({"plain": emb}, frame)["k1 = 6"]
    assert row["mAP"] == pytest.approx(average(parts).mAP)
    assert row["found first"] == sum(int(part.hits(1).sum()) for part in parts)


def test_a_difference_is_that_of_the_two_means(people):
    frame, emb = people
    plain = la_tf_pp.whole_set(emb, frame)
    other = la_tf_pp.whole_set(emb[:, :3], frame)
    rows = la_tf_pp.compare({"plain": plain, "less": other}, frame.pid)
    assert "difference" not in rows["plain"]
    assert rows["less"]["difference"] == pytest.approx(other.mAP - plain.mAP)
    low, high = rows["less"]["interval"]
    assert low <= rows["less"]["difference"] <= high
    assert rows["less"]["people"] == 4


def test_weights_of_another_run_are_refused(people, tmp_path, monkeypatch):
    frame, emb = people
    right = la_tf_pp.whole_set(emb, frame).mAP
    ds = types.SimpleNamespace(query=frame, gallery=frame)
    monkeypatch.setattr(la_tf_pp, "embed", lambda *_, **__: emb)
    for recorded, refused in ((right, False), (right + 0.1, True)):
        run = Trained(Workspace(), ds, None, tmp_path, {"metrics": {"mAP": recorded}})
        run.model = None
        if refused:
            with pytest.raises(ValueError, match=r"weights give mAP .* train again"):
                la_tf_pp.judge_network(run, ds)
        else:
            assert set(la_tf_pp.judge_network(run, ds)) == {
                "standard", "standard, in folds", "official",
            }  # fmt: skip


def test_the_official_rule_keeps_the_own_camera():
    query = pd.DataFrame({"pid": [7], "camid": [0]})
    gallery = pd.DataFrame({"pid": [7, 3, 7], "camid": [0, 1, 1]})
    q = torch.tensor([[1.0, 0.0]])
    g = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    official = la_tf_pp.official_rule(q, g, query, gallery)
    assert official.rank1 == 1.0
    assert official.mAP == pytest.approx((1 + 2 / 3) / 2)
    assert np.isclose(rank(1 - (q @ g.T), [7], gallery.pid, [0], gallery.camid).mAP, 1 / 2)


SETTINGS = {  # model, label smoothing, what the triplet loss measures, sampler
    ("la-tf", "ce", "shuffled"): ("la_transformer", 0.0, None, "shuffle"),
    ("la-tf", "ce-tl", "shuffled"): ("la_transformer", 0.0, "logits", "shuffle"),
    ("la-tf", "cels", "shuffled"): ("la_transformer", 0.1, None, "shuffle"),
    ("la-tf", "cels-tl", "shuffled"): ("la_transformer", 0.1, "logits", "shuffle"),
    ("la-tf-pp", "cels-tl", "shuffled"): ("la_tf_pp", 0.1, "logits", "shuffle"),
    ("la-tf-pp", "cels-tl", "people"): ("la_tf_pp", 0.1, "logits", "identity"),
    ("la-tf-pp", "cels-tl-features", "people"): ("la_tf_pp", 0.1, "features", "identity"),
}


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_the_seven_settings_of_the_losses(profile):
    cells = design("la_tf_pp.losses").cells(profile)
    found, rest = {}, set()
    for cell in cells.values():
        settings = cell.recipe.to_dict()
        losses = settings.pop("losses")
        triplet = losses.get("triplet", {"on": None})
        found[tuple(cell.levels.values())] = (
            settings.pop("model"), losses["identity"]["label_smoothing"], triplet["on"],
            settings.pop("sampler"),
        )  # fmt: skip
        assert losses["identity"]["over_heads"] == "sum"
        assert triplet == {"on": None} or (triplet["margin"], triplet["weight"]) == (0.3, 1.0)
        rest.add(str(settings))
    assert found == SETTINGS
    assert len(rest) == 1, "nothing else differs"
    assert next(iter(cells)) == "la-tf_ce_shuffled"
