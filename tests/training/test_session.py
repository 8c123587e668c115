"""A training that somebody else puts together: what the loop calls, in which order."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from reidlab.losses import Identity, Loss, Triplet
from reidlab.models import Outputs
from reidlab.training import Objective, Session, fit, train_epoch
from reidlab.training.session import epoch_line, make_accelerator

IMAGES = torch.randn(12, 3, 2, 2, generator=torch.Generator().manual_seed(0))
ROWS = [{"image": IMAGES[i], "label": i % 3, "camid": 0} for i in range(12)]


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Linear(12, 3)

    def forward(self, images, camids=None):
        logits = self.layer(images.flatten(1))
        return Outputs((logits,), (images.flatten(1),))


@pytest.fixture
def started(recipe, tmp_path):
    """A session of three epochs of four batches at a rate of 0.5, and what it told."""

    def start(told, **options):
        own = recipe.replace(epochs=3, losses=(Identity(),), **options)
        model = Linear()

        def rate(optimizer, epoch, step, steps):
            told.append((epoch, step, steps))
            return 0.5

        return Session(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.5),
            loader=DataLoader(ROWS, batch_size=3),
            recipe=own,
            accelerator=make_accelerator(own, tmp_path),
            rate=rate,
            objective=Objective(own.losses),
            seed=0,
            out=tmp_path,
            configuration={"what": "ours"},
            before_epoch=lambda epoch: told.append(f"before {epoch}"),
            after_epoch=lambda state, model: told.append(f"after {state.history[-1]['epoch']}"),
        )

    return start


def test_what_is_called_and_when(started):
    told = []
    session = started(told)
    own = session.model
    session.run()
    assert session.model is own
    expected = []
    for epoch in (1, 2, 3):
        steps = [(epoch, step, 4) for step in range(4)]
        expected += [f"before {epoch}", *steps, f"after {epoch}"]
    assert told == expected
    assert [row["lr"] for row in session.state.history] == [0.5] * 3
    assert [row["images"] for row in session.state.history] == [12] * 3


def test_against_a_plain_loop(started):
    session = started([])
    session.run()
    model, rows = Linear(), []
    for _ in range(3):
        losses, right = [], 0
        for first in range(0, 12, 3):
            images = IMAGES[first : first + 3].flatten(1)
            labels = torch.tensor([0, 1, 2])
            logits = model.layer(images)
            loss = nn.functional.cross_entropy(logits, labels)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.data -= 0.5 * gradient
            losses.append(loss.item())
            right += int((logits.argmax(1) == labels).sum())
        rows.append((sum(losses) / 4, right / 12))
    for row, (loss, accuracy) in zip(session.state.history, rows, strict=True):
        assert row["loss"] == row["losses"]["identity"] == pytest.approx(loss, rel=1e-5)
        assert row["accuracy"] == pytest.approx(accuracy)
    torch.testing.assert_close(session.model.layer.weight, model.layer.weight)


def test_an_epoch_of_any_list_of_batches(started):
    """As the benchmarks train: batches that lie ready."""
    session = started([])
    batch = {"image": IMAGES, "label": torch.arange(12) % 3, "camid": torch.zeros(12)}
    session.model, session.optimizer = session.accelerator.prepare(session.model, session.optimizer)
    session.loader = [batch] * 5
    row = train_epoch(session, 1)
    assert (row["epoch"], row["images"]) == (1, 60)


def test_it_goes_on_from_its_checkpoint(started, stopped_in):
    whole = started([])
    whole.run()
    told = []
    for path in (whole.out / "checkpoints").iterdir():
        path.unlink()
    with stopped_in(3):
        started([]).run()
    session = started(told)
    session.run()
    assert told[0] == "before 3"
    assert session.model.layer.weight.equal(whole.model.layer.weight)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_the_share_of_a_step_in_its_group(started, size):
    """Batch by batch: dividing by the size and multiplying by the share is the group's mean."""
    session = started([], accumulation_steps=size)
    for steps in range(1, 10):
        groups = [list(range(steps))[i : i + size] for i in range(0, steps, size)]
        for group in groups:
            for step in group:
                assert session.group_share(step, steps) / size == pytest.approx(1 / len(group))


def test_the_line_of_an_epoch(recipe):
    row = {
        "epoch": 2, "loss": 1.5, "losses": {"identity": 1.0, "triplet": 0.5}, "lr": 1e-4,
        "accuracy": 0.25, "images": 30, "seconds": 2.0,
    }  # fmt: skip
    line = "epoch 2/3  loss 1.500 (identity 1.000, triplet 0.500)  accuracy 0.250  lr 1.00e-04  "
    assert epoch_line(row, recipe) == line + "15 images/s"
    judged = row | {"validation": {"mAP": 0.5, "rank1": 0.75}}
    assert epoch_line(judged, recipe) == line + "15 images/s  validation mAP 0.500"
    judged = row | {"validation": {"loss": 0.5, "accuracy": 0.75}, "losses": {"identity": 1.5}}
    assert epoch_line(judged, recipe) == (
        "epoch 2/3  loss 1.500  accuracy 0.250  lr 1.00e-04  15 images/s  validation accuracy 0.750"
    )


def test_a_network_without_classifiers_is_trained_by_its_features(ds, recipe, tmp_path):
    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64 * 32 * 3, 4)

        def forward(self, images, camids=None):
            return Outputs((), (self.embed(images),))

        def embed(self, images, camids=None):
            return self.layer(images.flatten(1))

    own = recipe.replace(losses=(Triplet(margin=0.3),), epochs=2)
    record = fit(Features(), ds, own, out=tmp_path)
    assert [row["accuracy"] for row in record.history] == [None, None]
    assert set(record.history[0]["losses"]) == {"triplet"}
    assert "accuracy" not in epoch_line(record.history[0], own)
    assert 0 < record.metrics["mAP"] <= 1


def test_no_loss_takes_the_name_of_the_accuracy():
    with pytest.raises(TypeError, match="a loss can't be called accuracy"):
        type("Accuracy", (Loss,), {"name": "accuracy"})
