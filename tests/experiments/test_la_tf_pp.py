"""LA-TF++: the losses by a list typed here; folds in which each image is once, differences."""

import types

import pandas as pd
import pytest
import torch

from reidlab.evaluation import rank, rerank
from reidlab.experiments import Runs, design, la_tf_pp
from reidlab.experiments.additions import addition_gains
from reidlab.experiments.after import BY_ORIENTATION, PEOPLE
from reidlab.experiments.runner import Trained, Workspace
from reidlab.judging import evaluate_on


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


def test_the_sums_of_each_rule_by_hand(people):
    frame, emb = people
    parts, pids = [], []
    for view in range(3):
        asks = frame["view"].to_numpy() == view
        q, g, picked = frame[asks], frame[~asks], torch.tensor(asks)
        d = rerank(emb[picked], emb[~picked], k1=6, k2=6, lambda_value=0.3, metric="cosine")
        plain = 1 - torch.nn.functional.cosine_similarity(
            emb[picked][:, None], emb[~picked][None], dim=2
        )
        who = q.pid, g.pid, q.camid, g.camid
        for name, dist in (("k1 = 6", d), ("plain", plain)):
            for rule, protocol in (
                ("standard, by orientation", "standard"), ("authors", "la-official"),
            ):  # fmt: skip
                parts.append((rule, name, q.pid, rank(dist, *who, protocol=protocol)))
        pids.extend(q.pid)
    assert sorted(pids) == sorted(frame.pid), "each image asks once"
    found = la_tf_pp.by_orientation({"plain": emb, "flip test": emb[:, :3]}, frame)
    names = {"plain", "flip test", *(f"k1 = {k1}" for k1 in la_tf_pp.K1)}
    assert {rule: set(sums) for rule, sums in found.items()} == {
        "standard, by orientation": names, "authors": names,
    }  # fmt: skip
    for rule, additions in found.items():
        for name in ("plain", "k1 = 6"):
            sums = dict.fromkeys(range(4), 0.0)
            for at, which, asked, result in parts:
                for pid, ap in zip(asked, result.ap, strict=True):
                    sums[pid] += ap if (at, which) == (rule, name) else 0
            assert additions[name]["pid"] == [*sums]
            assert additions[name]["queries"] == [6] * 4
            assert additions[name]["ap"] == pytest.approx([*sums.values()], abs=2e-6)


def test_weights_of_another_run_are_refused(people, tmp_path, monkeypatch):
    frame, emb = people
    who = (frame.pid, frame.pid, frame.camid, frame.camid)
    right = rank(
        1 - torch.nn.functional.normalize(emb) @ torch.nn.functional.normalize(emb).T, *who
    )
    monkeypatch.setattr(la_tf_pp, "embed", lambda *_, **__: emb)
    for recorded, refused in ((right.mAP, False), (right.mAP + 0.1, True)):
        ds = types.SimpleNamespace(query=frame)
        run = Trained(Workspace(), ds, None, tmp_path, {"metrics": {"mAP": recorded}})
        run.model = None
        if refused:
            with pytest.raises(ValueError, match=r"weights give mAP .* train again"):
                la_tf_pp.judge_network(run)
        else:
            found = la_tf_pp.judge_network(run)
            assert set(found) == {"standard", "standard, by orientation", "authors"}
            assert set(found["standard"]) == {"plain", "flip test"}
            assert sum(found["standard"]["plain"]["ap"]) / len(frame) == pytest.approx(right.mAP)


class LeftHalf(torch.nn.Module):
    """An image is the mean colour of its left half, so that a mirror image is another."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))

    def embed(self, images, camids):
        return images[..., : images.shape[-1] // 2].mean((2, 3)) * self.scale


def test_each_network_is_judged_on_the_people_of_its_fold(tmp_path, monkeypatch):
    trained = {}

    def stub(workspace, experiment, cell, seed):
        ds = workspace.open(experiment.data, **cell.options)
        key = (cell.levels["model"], cell.levels["fold"], seed)
        if key not in trained:
            mean_ap = evaluate_on(LeftHalf(), ds, cell.recipe).mAP
            record = {"metrics": {"mAP": mean_ap}}
            trained[key] = run = Trained(workspace, ds, cell.recipe, tmp_path, record)
            run.model, run.weights = LeftHalf(), str(key)
        return trained[key]

    monkeypatch.setattr(Workspace, "trained", stub)
    monkeypatch.setattr(la_tf_pp, "K1", (4, 20))
    workspace = Workspace("smoke", folder=tmp_path)
    header, *rows = la_tf_pp.ranking_rows(workspace)
    assert {(name, data["options"]["fold"]) for name, data in header["header"]["data"].items()} == {
        ("1", 1), ("2", 2), ("3", 3),
    }  # fmt: skip
    assert set(trained) == {
        (model, fold, seed)
        for model in ("la-tf", "la-tf-pp") for fold in "123" for seed in range(3)
    }  # fmt: skip
    assert len(rows) == len(trained) * (2 + 2 * (2 + len(la_tf_pp.K1)))
    asked = {fold: set() for fold in "123"}
    for row in rows:
        asked[row["fold"]].update(row["people"]["pid"])
    assert sum(map(len, asked.values())) == len(set.union(*asked.values())), "each in one fold"
    run = trained["la-tf", "2", 0]
    for rule, kept in (
        ("standard", PEOPLE.find(run, run.ds)),
        ("authors", BY_ORIENTATION.find(run, run.ds)["people"]),
    ):
        (plain,) = (
            row["people"] for row in rows
            if (row["weights"], row["rule"], row["addition"]) == (run.weights, rule, "plain")
        )  # fmt: skip
        assert plain == kept, "as after the training"
    table = addition_gains(Runs("test", lines=tuple(rows)))
    assert len(table) == 2 * (1 + 2 * 3)
    assert table["gain"].notna().all()


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
    cells = design("la_tf_pp.losses_pku-folds").cells(profile)
    found, rest = {}, set()
    for cell in cells.values():
        settings = cell.recipe.to_dict()
        losses = settings.pop("losses")
        triplet = losses.get("triplet", {"on": None})
        *levels, fold = cell.levels.values()
        assert cell.options == {"fold": int(fold), "folds": 3}
        found[tuple(levels)] = (
            settings.pop("model"), losses["identity"]["label_smoothing"], triplet["on"],
            settings.pop("sampler"),
        )  # fmt: skip
        assert losses["identity"]["over_heads"] == "sum"
        assert triplet == {"on": None} or (triplet["margin"], triplet["weight"]) == (0.3, 1.0)
        rest.add(str(settings))
    assert found == SETTINGS
    assert len(rest) == 1, "nothing else differs"
    assert len(cells) == 3 * len(SETTINGS)
    assert next(iter(cells)) == "la-tf_ce_shuffled_1"
