"""The additions after training: folds in which each image is once, and paired differences."""

import json
import types

import numpy as np
import pandas as pd
import pytest
import torch

from reidlab.evaluation import average, rank, rerank
from workflow import ranking_la


@pytest.fixture
def people():
    """Four people, two cameras, three orientations: a table, and embeddings that are noisy."""
    rows = [(p, c, v) for p in range(4) for c in range(2) for v in range(3)]
    frame = pd.DataFrame(rows, columns=["pid", "camid", "view"])
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 6, generator=generator)[torch.tensor(frame.pid.to_numpy())]
    return frame, centres + 0.8 * torch.randn(len(frame), 6, generator=generator)


def test_no_more_images_are_averaged_than_are_neighbours():
    assert [ranking_la.k2_of(k1) for k1 in (4, 6, 20)] == [4, 6, 6]


def test_in_a_fold_each_image_asks_once_and_never_meets_itself(people, monkeypatch):
    frame, emb = people
    asked = []
    real = ranking_la.evaluate

    def spy(q, g, *who, **options):
        asked.extend(map(tuple, q.tolist()))
        assert len(q) + len(g) == len(frame)
        assert not set(map(tuple, q.tolist())) & set(map(tuple, g.tolist()))
        return real(q, g, *who, **options)

    monkeypatch.setattr(ranking_la, "evaluate", spy)
    found = ranking_la.in_folds({"plain": emb}, frame)
    assert sorted(asked) == sorted(map(tuple, emb.tolist()))
    assert found["plain"]["queries"] == len(frame)
    assert set(found) == {"plain", *(f"k1 = {k1}" for k1 in ranking_la.K1)}


def test_the_folds_by_hand(people):
    frame, emb = people
    parts = []
    for view in range(3):
        asks = frame["view"].to_numpy() == view
        q, g = frame[asks], frame[~asks]
        picked = torch.tensor(asks)
        d = rerank(emb[picked], emb[~picked], k1=6, k2=6, lambda_value=0.3, metric="cosine")
        parts.append(rank(d, q.pid, g.pid, q.camid, g.camid))
    row = ranking_la.in_folds({"plain": emb}, frame)["k1 = 6"]
    assert row["mAP"] == pytest.approx(average(parts).mAP)
    assert row["found first"] == sum(int(part.hits(1).sum()) for part in parts)


def test_a_difference_is_that_of_the_two_means(people):
    frame, emb = people
    plain = ranking_la.whole(emb, frame)
    other = ranking_la.whole(emb[:, :3], frame)
    rows = ranking_la.compare({"plain": plain, "less": other}, frame.pid)
    assert "difference" not in rows["plain"]
    assert rows["less"]["difference"] == pytest.approx(other.mAP - plain.mAP)
    low, high = rows["less"]["interval"]
    assert low <= rows["less"]["difference"] <= high
    assert rows["less"]["people"] == 4


class TestFinished:
    def test_nothing_yet(self, tmp_path):
        assert ranking_la.finished(tmp_path / "none.json") == {}

    def test_what_was_judged_under_the_same_settings_stays(self, tmp_path, monkeypatch):
        path = tmp_path / "ranking.json"
        results = {"la-tf_ce_seed0": {"weights": "abc"}}
        path.write_text(json.dumps({"settings": ranking_la.settings(), "results": results}))
        assert ranking_la.finished(path) == results
        monkeypatch.setattr(ranking_la, "K1", (4, 6))
        assert ranking_la.finished(path) == {}


def test_weights_that_are_not_there_are_named_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(SystemExit, match=r"model\.safetensors does not exist.*reference_la losses"):
        ranking_la.digest(tmp_path / "model.safetensors")


def test_the_digest_is_that_of_sha256sum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert ranking_la.digest(tmp_path / "a") == known


def test_weights_of_another_run_are_refused(people, tmp_path, monkeypatch):
    frame, emb = people
    right = ranking_la.whole(emb, frame).mAP
    ds = types.SimpleNamespace(query=frame)
    for recorded, refused in ((right, False), (right + 0.1, True)):
        record = types.SimpleNamespace(metrics={"mAP": recorded})
        monkeypatch.setattr(ranking_la.RunRecord, "load", lambda path, found=record: found)
        if refused:
            with pytest.raises(SystemExit, match=r"weights give mAP .* expected the weights of"):
                ranking_la.check_same_network(tmp_path, ds, emb)
        else:
            ranking_la.check_same_network(tmp_path, ds, emb)


def test_the_official_rule_keeps_the_own_camera():
    query = pd.DataFrame({"pid": [7], "camid": [0]})
    gallery = pd.DataFrame({"pid": [7, 3, 7], "camid": [0, 1, 1]})
    q = torch.tensor([[1.0, 0.0]])
    g = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    official = ranking_la.official_rule(q, g, query, gallery)
    assert official.rank1 == 1.0
    assert official.mAP == pytest.approx((1 + 2 / 3) / 2)
    assert np.isclose(rank(1 - (q @ g.T), [7], gallery.pid, [0], gallery.camid).mAP, 1 / 2)
