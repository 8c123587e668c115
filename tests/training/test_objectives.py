"""What is trained: the weighted sum of the losses by name, and a loss that is not the library's."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import pytest
import torch

from reidlab.data import make_loader
from reidlab.judging import test_transform as transform_of
from reidlab.losses import LOSSES, Identity, Loss, Triplet
from reidlab.training import Objective, Recipe, RecipeError, RunRecord, build_model, fit, load_run


@pytest.fixture
def length():
    """The class of a loss: how long features are. It is known until the test ends."""

    @dataclass(frozen=True)
    class Length(Loss):
        name = "length"
        power: Literal[1, 2] = 2

        def build(self, whole):
            return lambda outputs, batch: outputs.features[0].abs().pow(self.power).mean()

    yield Length
    del LOSSES["length"]


@pytest.fixture
def one_batch(recipe):
    """All 32 images in one step, nothing random but their order."""
    return recipe.replace(
        image_size=(32, 16), depth=1, drop_path=0.0, epochs=1, sampler="shuffle",
        identities_per_batch=8, images_per_identity=4, interpolation="bicubic", pad=0, flip=0.0,
        erasing=0.0,
    )  # fmt: skip


OUT = SimpleNamespace(
    logits=(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),),
    features=(torch.tensor([[0.0], [1.0], [3.0]]),),
)
BATCH = {"label": torch.tensor([0, 0, 1])}


def test_the_sum_by_hand():
    """The triplet loss of the example: gaps 1 - 3, 1 - 2 and 0 - 2, margin 1.5."""
    objective = Objective((Triplet(margin=1.5, weight=3.0), Identity(weight=0.5)))
    losses = objective(OUT, BATCH)
    assert list(losses) == ["triplet", "identity"]
    assert losses["triplet"].item() == pytest.approx(0.5 / 3)
    rights = [
        logits[label] for logits, label in zip(OUT.logits[0].double(), [0, 0, 1], strict=True)
    ]
    sums = OUT.logits[0].double().exp().sum(1).log()
    identity = sum(float(s - r) for s, r in zip(sums, rights, strict=True)) / 3
    assert losses["identity"].item() == pytest.approx(identity)
    assert objective.total(losses).item() == pytest.approx(3 * 0.5 / 3 + 0.5 * identity)
    assert objective.total({"triplet": 2.0, "identity": 4.0}) == 8.0


def test_a_weight_of_zero_is_logged_and_not_trained():
    features = OUT.features[0].clone().requires_grad_()
    objective = Objective((Identity(), Triplet(margin=1.5, weight=0.0)))
    losses = objective(SimpleNamespace(logits=OUT.logits, features=(features,)), BATCH)
    assert losses["triplet"] > 0
    objective.total(losses).backward()
    assert not features.grad.any()


def test_the_row_of_an_epoch_has_each_loss_and_the_sum(ds, recipe, tmp_path):
    recipe = recipe.replace(
        image_size=(32, 16), depth=1, epochs=1,
        losses=(Triplet(margin=0.3, weight=0.25), Identity(weight=2.0)),
    )  # fmt: skip
    row = fit(build_model(recipe, ds), ds, recipe, out=tmp_path).history[0]
    assert list(row["losses"]) == ["triplet", "identity"]
    expected = 0.25 * row["losses"]["triplet"] + 2 * row["losses"]["identity"]
    assert row["loss"] == pytest.approx(expected, rel=1e-6)


def test_a_loss_of_ones_own_is_trained_and_read_back(ds, one_batch, tmp_path, length):
    recipe = one_batch.replace(losses=(Identity(), length(weight=0.1)))
    model = build_model(recipe, ds)
    (batch,) = make_loader(ds.train, transform_of(recipe), batch_size=32)
    with torch.no_grad():
        features = model.train()(batch["image"]).features[0]
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, out=tmp_path)
    (row,) = record.history
    assert row["losses"]["length"] == pytest.approx(features.square().mean().item(), rel=1e-4)
    assert row["loss"] == pytest.approx(row["losses"]["identity"] + 0.1 * row["losses"]["length"])
    assert record.experiment["losses"]["length"] == {"weight": 0.1, "power": 2}
    assert Recipe.from_record(RunRecord.load(tmp_path / "record.json").experiment) == recipe
    loaded, _ = load_run(tmp_path, ds)
    assert all(v.equal(loaded.state_dict()[k]) for k, v in model.state_dict().items())
    assert recipe.replace(**{"losses.length.power": 1}).losses[1] == length(weight=0.1, power=1)
    with pytest.raises(RecipeError, match="loss length: power is 3; expected one of 1, 2"):
        recipe.replace(**{"losses.length.power": 3})


def test_a_record_of_a_loss_that_is_not_there():
    with pytest.raises(RecipeError, match="there is no loss 'length'; there are: "):
        Recipe.from_record({"losses": {"length": {"power": 2}}})
