"""Training of matchers: the graph sampler sees the model, and everything else is as ever."""

import dataclasses

import numpy as np
import pytest
import torch

from reidlab import recipes
from reidlab.data import GraphSampler
from reidlab.judging import alike, embed, evaluate_on
from reidlab.judging import matching as judging
from reidlab.losses import Identity, MatchTriplet, Pairwise
from reidlab.models import create_model
from reidlab.training import (
    RecipeError,
    build_model,
    evaluate_run,
    fit,
    loop,
    training_batches,
)
from reidlab.training.checkpoint import load_checkpoint
from reidlab.training.guards import check_gradient
from reidlab.training.optim import make_optimizer, set_learning_rate
from tests.training.test_fit import run, same_weights, without_times

SMALL = {"dim": 8, "hidden": 16, "layers": 2}


@pytest.fixture
def matching(recipe):
    return recipe.replace(
        model="transmatcher", switches=SMALL, losses=(Pairwise(),), sampler="graph", depth=1,
        image_size=(32, 16), identities_per_batch=3, clip_grad=4.0, optimizer="nesterov", lr=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("transmatcher", {}),
        ("transmatcher", {"sampler": "graph-sigmoid", "accumulation_steps": 2}),
        ("qaconv", {"switches": {"dim": 8}, "losses": (MatchTriplet(),)}),
        ("transmatcher", {"sampler": "identity", "validate_every": 1, "keep": "best"}),
    ],
)
def test_a_matcher_trains_and_is_judged(ds, matching, tmp_path, model, changes):
    recipe = matching.replace(model=model, epochs=2, validation_identities=2, **changes)
    trained, record = run(ds, recipe, tmp_path)
    assert 0 < record.metrics["mAP"] <= 1
    found = evaluate_on(trained, ds, recipe)
    assert found.mAP == pytest.approx(record.metrics["mAP"])
    assert not list(tmp_path.glob("scores.*"))  # they are kept until there is a record
    assert record.experiment["embedding_bytes"] == 4 * trained.embed_dim
    for row in record.history:
        assert row["skipped"] == 0
        assert 0 <= row["accuracy"] <= 1
        people = record.experiment["num_classes"]
        if recipe.sampler != "identity":
            assert row["images"] == people * recipe.batch_size


class Interrupted(Exception):
    pass


def test_an_interrupted_run_draws_what_an_uninterrupted_one_draws(
    ds, matching, tmp_path, monkeypatch
):
    """Neighbours and places in the lists of images: both depend on the epochs before."""
    _, record = run(ds, matching, tmp_path / "whole")
    train_epoch = loop.train_epoch

    def stop(session, epoch):
        if epoch == 3:
            raise Interrupted
        return train_epoch(session, epoch)

    monkeypatch.setattr(loop, "train_epoch", stop)
    with pytest.raises(Interrupted):
        run(ds, matching, tmp_path / "half")
    checkpoint = load_checkpoint(tmp_path / "half" / "checkpoints")
    each = ds.num_classes * matching.batch_size
    assert sum(checkpoint.drawn) == 2 * each
    monkeypatch.undo()
    _, again = run(ds, matching, tmp_path / "half")
    assert same_weights(tmp_path / "half", tmp_path / "whole")
    assert without_times(again) == without_times(record)


def test_an_interrupted_evaluation_of_a_run_goes_on(ds, matching, tmp_path, monkeypatch):
    """The scores are kept in its folder until all are there; 2 x 2 blocks, and the first twice."""
    learned = ds.train_only()
    trained, _ = run(learned, matching.replace(epochs=1), tmp_path)
    expected = evaluate_on(trained, ds, matching)
    monkeypatch.setattr(judging, "QUERIES", 2)
    monkeypatch.setattr(judging, "IMAGES", 8)
    match, asked = type(trained).match, []

    def dies(*maps):
        asked.append(maps)
        if len(asked) == 3:
            raise Interrupted
        return match(*maps)

    monkeypatch.setattr(type(trained), "match", dies)
    with pytest.raises(Interrupted):
        evaluate_run(tmp_path, ds)
    assert len(list(tmp_path.glob("scores-*.npy"))) == 1
    assert np.array_equal(evaluate_run(tmp_path, ds).ap, expected.ap)
    assert len(asked) == 3 + 1 + 2
    assert not list(tmp_path.glob("scores*"))


def test_a_model_that_embeds_keeps_no_scores(ds, recipe, tmp_path):
    recipe = recipe.replace(epochs=1, depth=1, image_size=(32, 16))
    run(ds.train_only(), recipe, tmp_path)
    with pytest.raises(ValueError, match=r"scores is .*s.npy and the model embeds images"):
        evaluate_run(tmp_path, ds, scores=tmp_path / "s.npy")


@pytest.mark.parametrize(("sampler", "differ"), [("graph", (50, 56)), ("graph-sigmoid", (1, 2))])
def test_the_first_graph_of_large_scores(ds, matching, tmp_path, monkeypatch, sampler, differ):
    """As the paper's network has them while its norms are fresh: 1 - sigmoid is 0 or 1."""
    recipe, seen = matching.replace(sampler=sampler, epochs=1), []

    def look(self, distances):
        def watched(rows):
            seen.append(distances(rows))
            return seen[-1]

        return graph(self, watched)

    graph = GraphSampler.look
    monkeypatch.setattr(GraphSampler, "look", look)
    model = build_model(recipe, ds)
    with torch.no_grad():
        model.neck.weight.mul_(1000)
    fit(model, ds.train_only(), recipe, out=tmp_path)
    (found,) = seen
    others = found[~np.eye(8, dtype=bool)]
    assert differ[0] <= len(np.unique(others)) <= differ[1], "of 8 x 7 pairs"


def test_an_embedding_model_may_use_the_graph_too(ds, recipe, tmp_path):
    recipe = recipe.replace(sampler="graph", epochs=1, depth=1, image_size=(32, 16))
    model, record = run(ds, recipe, tmp_path)
    assert "skipped" not in record.history[0]
    emb = embed(model, ds.query, recipe)
    found = alike(model, emb)
    torch.testing.assert_close(found.diagonal(), torch.ones(len(emb)))


@pytest.mark.parametrize("training", [True, False])
def test_who_is_alike_is_asked_in_evaluation(ds, matching, training):
    model = build_model(matching, ds).train(training)
    emb = embed(model, ds.query, matching)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = alike(model, emb)
    assert model.training == training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    torch.testing.assert_close(found, model.eval().match(emb, emb))


def test_batches_of_a_graph_need_a_model(ds, matching):
    loader = training_batches(ds, matching)
    with pytest.raises(ValueError, match="has not looked at a model in epoch 0"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("model", "losses", "message"),
    [
        (
            "transmatcher",
            (Identity(),),
            "reads logits and TransMatcher gives none; .*Pairwise",
        ),
        (
            "vit_baseline",
            (Pairwise(),),
            "reads scores and ViTBaseline gives none; .*Identity",
        ),
    ],
)
def test_losses_of_the_other_kind(ds, matching, tmp_path, model, losses, message):
    switches = SMALL if model == "transmatcher" else {}
    recipe = matching.replace(model=model, losses=losses, switches=switches)
    with pytest.raises(RecipeError, match=message):
        fit(build_model(recipe, ds), ds, recipe, out=tmp_path)


class Plain:
    """An Accelerator of one process without a scaler."""

    scaler = None
    clip_grad_norm_ = staticmethod(torch.nn.utils.clip_grad_norm_)

    @staticmethod
    def unwrap_model(model):
        return model


def test_both_parts_are_clipped_each_for_itself(matching):
    model = create_model(
        "transmatcher", num_classes=3, image_size=(32, 16), weights=None, depth=1, switches=SMALL
    )
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 5.0)
    check_gradient(Plain(), model, matching, 1, 0)
    for group in model.clip_groups():
        norm = torch.cat([p.grad.flatten() for p in group]).norm().item()
        assert norm == pytest.approx(matching.clip_grad, rel=2e-3)


def test_rates_of_the_papers_schedule():
    """0.0005 for the backbone and 0.005 for all else, a tenth of both after ten epochs."""
    recipe = recipes.get("transmatcher", "paper").replace(weights=None, image_size=(64, 32))
    with torch.device("meta"):
        model = create_model(
            "transmatcher", num_classes=3, backbone=recipe.backbone, image_size=(64, 32), depth=3,
            weights=None,
        )  # fmt: skip
    optimizer = make_optimizer(model, recipe)
    assert all(group["nesterov"] for group in optimizer.param_groups)
    in_backbone = {id(p) for p in model.backbone.parameters()}
    for epoch in range(1, recipe.epochs + 1):
        set_learning_rate(optimizer, recipe, float(epoch))
        for group in optimizer.param_groups:
            expected = 0.0005 if id(group["params"][0]) in in_backbone else 0.005
            assert group["lr"] == pytest.approx(expected * (0.1 if epoch > 10 else 1.0))


def test_recipes_of_before_say_nothing_of_the_new_settings(recipe):
    assert "augmentation" not in recipe.to_dict()
    changed = recipe.replace(augmentation="qaconv")
    assert changed.to_dict()["augmentation"] == "qaconv"
    assert dataclasses.replace(changed, augmentation="transreid") == recipe
