"""What training got for LA-Transformer and LA-TF++: several heads, shuffled batches, switches,
images set aside."""

import dataclasses
import json
import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner

from reidlab.data import make_loader
from reidlab.evaluation import evaluate
from reidlab.judging.closed_set import classify
from reidlab.judging.embedding import test_transform as transform_of
from reidlab.judging.validation import split_images
from reidlab.losses import Contrastive, Identity, Triplet
from reidlab.training import (
    CheckpointError,
    RecipeError,
    RunRecord,
    build_model,
    embed,
    fit,
    fitting,
    load_run,
    training_batches,
)


@pytest.fixture
def small(recipe):
    """All 32 images in one batch, nothing random but their order."""
    return recipe.replace(
        model="la_transformer", preset="code", switches={"dropout": 0.0}, image_size=(32, 16),
        depth=1, drop_path=0.0, epochs=1, sampler="shuffle", identities_per_batch=8,
        images_per_identity=4, optimizer="adam", schedule="decay", losses=(Identity(),),
        interpolation="bicubic", pad=0, flip=0.0, erasing=0.0,
    )  # fmt: skip


def one_batch(ds, recipe):
    batches = make_loader(ds.train, transform_of(recipe), batch_size=len(ds.train), workers=0)
    (batch,) = batches
    return batch["image"], batch["label"]


def hardest(features, labels, margin=0.3):
    """Batch-hard by loops; an anchor may be its own positive."""
    losses = []
    for a in range(len(labels)):
        distances = [float((features[a] - f).double().norm()) for f in features]
        own = max(d for d, label in zip(distances, labels, strict=True) if label == labels[a])
        other = min(d for d, label in zip(distances, labels, strict=True) if label != labels[a])
        losses.append(max(0.0, own - other + margin))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("over_heads", ["sum", "mean"])
@pytest.mark.parametrize("compared", ["logits", "features"])
def test_losses_over_the_heads_by_loops(ds, small, tmp_path, over_heads, compared):
    recipe = small.replace(
        losses=(
            Identity(label_smoothing=0.1, over_heads=over_heads),
            Triplet(margin=0.3, on=compared, over_heads=over_heads, weight=0.5),
        )
    )
    model = build_model(recipe, ds)
    images, labels = one_batch(ds, recipe)
    with torch.no_grad():
        out = model.train()(images)  # the statistics of the batch, as in its first step
    assert len(out.logits) == 2
    smoothed = [F.cross_entropy(each, labels, label_smoothing=0.1).item() for each in out.logits]
    triplets = [hardest(each, labels) for each in getattr(out, compared)]
    scale = 1 if over_heads == "sum" else 1 / 2
    model = build_model(recipe, ds)
    row = fit(model, ds, recipe, out=tmp_path).history[0]
    assert row["losses"]["identity"] == pytest.approx(sum(smoothed) * scale, rel=1e-4)
    assert row["losses"]["triplet"] == pytest.approx(sum(triplets) * scale, rel=1e-3)
    assert row["loss"] == pytest.approx(
        row["losses"]["identity"] + 0.5 * row["losses"]["triplet"], rel=1e-6
    )
    right = sum(each.softmax(1) for each in out.logits).argmax(1) == labels
    assert row["accuracy"] == pytest.approx(right.float().mean().item())


def test_triplet_on_logits_equals_pytorch_metric_learning(ds, small, tmp_path):
    losses = (Identity(), Triplet(on="logits", margin=0.3))
    recipe = small.replace(model="la_tf_pp", losses=losses)
    images, labels = one_batch(ds, recipe)
    with torch.no_grad():
        (logits,) = build_model(recipe, ds).train()(images).logits
    plain = LpDistance(normalize_embeddings=False)
    theirs = TripletMarginLoss(margin=0.3, distance=plain)
    mean = theirs(logits, labels, BatchHardMiner(distance=plain)(logits, labels))
    row = fit(build_model(recipe, ds), ds, recipe, out=tmp_path).history[0]
    assert mean > 0.1
    assert row["losses"]["triplet"] == pytest.approx(mean.item(), rel=1e-3)


def test_batches_of_one_person_are_no_fault_without_a_triplet_loss(ds, small, tmp_path):
    recipe = small.replace(identities_per_batch=2, images_per_identity=1)
    people = ds.train["label"].to_numpy()
    batches = training_batches(ds, recipe).batch_sampler.sampler
    batches.set_epoch(1)
    assert any(len(set(people[batch])) == 1 for batch in batches)
    row = fit(build_model(recipe, ds), ds, recipe, out=tmp_path / "without").history[0]
    assert list(row["losses"]) == ["identity"]
    assert row["loss"] == row["losses"]["identity"] > 0


@pytest.mark.parametrize("loss", [Triplet(), Triplet(on="logits"), Contrastive()])
def test_a_last_batch_of_one_person_has_nothing_to_compare(ds, small, tmp_path, loss):
    """18 images in batches of 8: the last two may show one person; it trains, and adds 0."""
    recipe = small.replace(
        model="la_tf_pp", identities_per_batch=4, images_per_identity=2, losses=(Identity(), loss)
    )
    labels = ds.train["label"].to_numpy()
    rows = ds.train[[i % 4 < 2 or i < 4 for i in range(32)]].reset_index(drop=True)
    part = dataclasses.replace(ds, train=rows)
    assert len(part.train) == 18
    assert set(part.train["label"]) == set(labels)

    def last(seed):
        batches = training_batches(part, recipe, seed=seed).batch_sampler
        batches.set_epoch(1)
        *_, batch = batches
        return part.train["label"].iloc[[index for _, index in batch]]

    seed = next(seed for seed in range(1000) if last(seed).nunique() == 1)
    assert len(last(seed)) == 2
    record = fit(build_model(recipe, part), part, recipe, seed=seed, out=tmp_path)
    found = record.history[0]["losses"]
    assert math.isfinite(found["identity"])
    assert found[loss.name] > 0, "of the batches before it"


@pytest.mark.parametrize(
    ("images", "processes", "sizes"),
    [
        (32, 1, [8, 8, 8, 8]),
        (26, 1, [8, 8, 8, 2]),
        (25, 1, [8, 8, 8]),  # batch norm can't take one image
        (26, 2, [8, 8, 8]),  # nor can two processes share two
    ],
)
def test_shuffled_batches(ds, small, images, processes, sizes):
    recipe = small.replace(identities_per_batch=4, images_per_identity=2)
    part = dataclasses.replace(ds, train=ds.train.iloc[:images])
    loader = training_batches(part, recipe, processes=processes)
    epochs = []
    for epoch in (1, 2):
        loader.batch_sampler.set_epoch(epoch)
        batches = list(loader.batch_sampler.sampler)
        assert [len(batch) for batch in batches] == sizes
        epochs.append([i for batch in batches for i in batch])
        assert len(set(epochs[-1])) == sum(sizes)
    assert epochs[0] != epochs[1]


def test_an_epoch_shows_every_image_once(ds, small, tmp_path):
    recipe = small.replace(identities_per_batch=5, images_per_identity=2)
    history = fit(build_model(recipe, ds), ds, recipe, out=tmp_path).history
    assert [row["images"] for row in history] == [32]


# ------------------------------------------------------------------ switches in record and folder


def test_switches_are_in_the_record_and_load_with_it(ds, small, tmp_path):
    recipe = small.replace(**{"switches.retrieval": "mean"})
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, out=tmp_path)
    assert record.experiment["switches"] == {
        "local_weight": 8 / 9, "stripes": None, "heads": "rows", "activation": "none",
        "retrieval": "mean", "bottleneck": 256, "dropout": 0.0,
    }  # fmt: skip
    assert record.experiment["changed_switches"] == {"dropout": 0.0, "retrieval": "mean"}
    assert record.experiment["preset"] == "code"
    assert record.experiment["embedding_bytes"] == 4 * 192
    assert record.experiment["parameters"] == sum(p.numel() for p in model.parameters())
    loaded, again = load_run(tmp_path, ds)
    assert again == record == RunRecord.load(tmp_path / "record.json")
    assert loaded.switches == model.switches
    assert embed(loaded, ds.query, recipe).equal(embed(model, ds.query, recipe))
    assert fit(build_model(recipe, ds, seed=3), ds, recipe, out=tmp_path) == record
    other = recipe.replace(**{"switches.dropout": 0.5})
    with pytest.raises(
        CheckpointError, match=r"run: recipe.switches.dropout is 0.0 there and 0.5 now\. Pass"
    ):
        fit(build_model(other, ds), ds, other, out=tmp_path)
    fewer = recipe.replace(switches={"dropout": 0.0})
    with pytest.raises(
        CheckpointError, match=r"recipe.switches.retrieval is 'mean' there and 'abs"
    ):
        fit(build_model(fewer, ds), ds, fewer, out=tmp_path)


# ------------------------------------------------------------------ images set aside


def test_one_image_of_each_person_the_first_by_path(ds):
    shuffled = ds.train.sample(frac=1, random_state=3)
    learn, validation = split_images(dataclasses.replace(ds, train=shuffled))
    first = {}
    for path, pid in zip(ds.train["path"], ds.train["pid"], strict=True):
        first[pid] = min(first.get(pid, path), path)
    assert dict(zip(validation.train["pid"], validation.train["path"], strict=True)) == first
    assert len(validation.train) == ds.num_classes == learn.num_classes == 8
    assert set(learn.train["path"]) == set(ds.train["path"]) - set(first.values())
    labels = dict(zip(ds.train["path"], ds.train["label"], strict=True))
    for part in (learn.train, validation.train):
        assert [labels[path] for path in part["path"]] == part["label"].tolist()
        assert part.index.tolist() == list(range(len(part)))
    assert (validation.name, validation.published, learn.published) == (
        f"{ds.name} validation", None, None,
    )  # fmt: skip


def test_somebody_with_one_image(ds):
    alone = ds.train[(ds.train["pid"] != 3) | ~ds.train["pid"].duplicated()]
    with pytest.raises(
        RecipeError, match=r"'images' and 1 of the 8 training people of market1501 have a single "
        r"image \(person 3 is the first\).*validate_on='people'",
    ):  # fmt: skip
        split_images(dataclasses.replace(ds, train=alone))


@pytest.mark.parametrize("over_heads", ["sum", "mean"])
def test_classify_by_a_loop(ds, small, over_heads):
    recipe = small.replace(embed_batch_size=5, **{"losses.identity.label_smoothing": 0.3})
    model = build_model(recipe, ds)
    with torch.no_grad():
        for head in model.heads:
            head.classifier.weight.mul_(300)  # else all images have the loss ln 8
    model.train()
    found = classify(model, ds.train, recipe, over_heads)
    assert model.training
    assert not model.heads[0].norm.num_batches_tracked, "the statistics stayed as they were"
    losses, right = [], 0
    transform = transform_of(recipe)
    with torch.no_grad():
        for path, label in zip(ds.train["path"], ds.train["label"], strict=True):
            image = transform(Image.open(path).convert("RGB"))[None]
            logits = [each[0].double() for each in model.eval()(image).logits]
            scores = [[math.exp(v) / float(each.exp().sum()) for v in each] for each in logits]
            losses.append(sum(-math.log(score[label]) for score in scores))
            votes = [sum(score[c] for score in scores) for c in range(8)]
            right += votes.index(max(votes)) == label
    expected = sum(losses) / 32 * (1 if over_heads == "sum" else 1 / 2)
    assert found == {
        "loss": pytest.approx(expected, rel=1e-4), "accuracy": right / 32,
    }  # fmt: skip
    assert 0 < right < 32


def test_validation_on_images_in_history_and_record(ds, small, tmp_path):
    recipe = small.replace(epochs=3, validate_every=2, validate_on="images")
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, out=tmp_path)
    assert [row["images"] for row in record.history] == [24] * 3
    assert ["validation" in row for row in record.history] == [False, True, True]
    aside = split_images(ds)[1].train
    assert record.history[-1]["validation"] == classify(model, aside, recipe)
    assert record.data["validation_images"] == 8
    assert record.data["train_images"] == 32
    assert "validation_identities" not in record.data
    assert record.seconds["validate"] > 0
    assert load_run(tmp_path, ds)[1] == record
    q_emb, g_emb = (embed(model, frame, recipe) for frame in (ds.query, ds.gallery))
    who = (ds.query["pid"], ds.gallery["pid"], ds.query["camid"], ds.gallery["camid"])
    assert record.metrics["mAP"] == evaluate(q_emb, g_emb, *who).mAP, "the test set, none of them"
    json.dumps(record.to_dict())


@pytest.mark.parametrize(
    ("accuracies", "best"), [((0.2, 0.9, 0.5), 2), ((0.4, 0.4, 0.3), 1), ((0.0, 0.1, 0.2), 3)]
)
def test_the_epoch_of_the_highest_accuracy_is_kept(
    ds, small, tmp_path, monkeypatch, accuracies, best
):
    left, seen = list(accuracies), []

    def judged(model, frame, recipe, over_heads):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"loss": 1.0, "accuracy": left.pop(0)}

    monkeypatch.setattr(fitting, "classify", judged)
    recipe = small.replace(epochs=3, validate_every=1, validate_on="images", keep="best")
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, out=tmp_path)
    assert record.experiment["kept_epoch"] == best
    assert all(v.equal(seen[best - 1][k]) for k, v in model.state_dict().items())
