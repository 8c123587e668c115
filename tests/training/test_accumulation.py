"""Steps over several batches, and what must not get into the weights, on a model of two layers."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader

from reidlab.losses import Identity
from reidlab.models import Outputs
from reidlab.training import TrainingDiverged, fit, fitting, session
from reidlab.training.optim import learning_rate


class Toy(nn.Module):
    """No batch norm: the gradient of a batch is the mean of the gradients of its images."""

    def __init__(self, classes=8):
        super().__init__()
        torch.manual_seed(3)
        self.backbone = nn.Linear(3 * 32 * 16, 6)
        self.head = nn.Linear(6, classes)
        self.num_classes = classes

    def embed(self, images, camids=None):
        return self.backbone(images.flatten(1))

    def forward(self, images, camids=None):
        feature = self.embed(images)
        return Outputs((self.head(feature),), (feature,))


class Fixed:
    """Always the same batches."""

    batch_size, drop_last = None, False

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(20, 3, 32, 16, generator=GENERATOR)
ROWS = [{"image": IMAGES[i], "label": i % 8, "camid": 0} for i in range(20)]


@pytest.fixture
def toy(recipe):
    return recipe.replace(
        image_size=(32, 16), epochs=1, optimizer="sgd", lr=0.05, losses=(Identity(),),
        warmup_epochs=0,
    )  # fmt: skip


@pytest.fixture
def batches(monkeypatch):
    """Feeds a run with these batches of `ROWS`."""

    def feed(*indices):
        sampler = Fixed([list(batch) for batch in indices])
        monkeypatch.setattr(
            fitting, "training_batches", lambda *_, **__: DataLoader(ROWS, batch_sampler=sampler)
        )

    return feed


@pytest.fixture
def scaled(monkeypatch):
    """Gives a run the scaler of fp16, on a CPU and with gradients in float32."""

    def scale(by):
        make = fitting.make_accelerator

        def with_scaler(*arguments):
            accelerator = make(*arguments)
            accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=by, growth_interval=3)
            return accelerator

        monkeypatch.setattr(fitting, "make_accelerator", with_scaler)

    return scale


def weights_after(ds, recipe, out):
    fit(Toy(), ds, recipe, out=out)
    return load_file(out / "model.safetensors")


def test_two_halves_are_one_batch(ds, toy, tmp_path, batches):
    batches(range(8))
    whole = weights_after(ds, toy.replace(lr_floor=1.0), tmp_path / "whole")
    batches(range(4), range(4, 8))
    two = toy.replace(lr_floor=1.0, accumulation_steps=2)
    halves = weights_after(ds, two, tmp_path / "halves")
    apart = weights_after(ds, toy.replace(lr_floor=1.0), tmp_path / "apart")
    for name, value in Toy().state_dict().items():
        torch.testing.assert_close(halves[name], whole[name], rtol=0, atol=1e-7)
        assert not torch.allclose(apart[name], whole[name], rtol=0, atol=1e-5)
        assert not torch.equal(whole[name], value)


@pytest.mark.parametrize("by", [None, 1024.0])
def test_against_a_plain_loop(ds, toy, tmp_path, batches, scaled, by):
    """Five batches in twos: the fifth is a step alone, as large as any. Two epochs, clipped."""
    recipe = toy.replace(
        epochs=2, accumulation_steps=2, clip_grad=None if by else 0.4,
        losses=(Identity(label_smoothing=0.1),),
    )  # fmt: skip
    order = [range(i, i + 4) for i in range(0, 20, 4)]
    batches(*order)
    if by:
        scaled(by)
    found = weights_after(ds, recipe, tmp_path)

    model, velocity, norms = Toy(), {}, []
    for epoch in range(2):
        for group in ((0, 1), (2, 3), (4,)):
            model.zero_grad()
            for batch in group:
                logits = model(IMAGES[order[batch]]).logits[0]
                labels = torch.tensor([i % 8 for i in order[batch]])
                loss = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
                (loss / len(group)).backward()
            norm = sum(float(p.grad.square().sum()) for p in model.parameters()) ** 0.5
            norms.append(norm)
            rate = learning_rate(recipe, epoch + (group[-1] + 1) / 5)
            for name, parameter in model.named_parameters():
                gradient = parameter.grad.clone()
                if recipe.clip_grad:
                    gradient *= min(1.0, recipe.clip_grad / norm)
                gradient += recipe.weight_decay * parameter.detach()
                velocity[name] = recipe.momentum * velocity.get(name, 0.0) + gradient
                parameter.data -= rate * velocity[name]
    assert max(norms) > 0.4, "some step is clipped"
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_the_row_of_an_epoch_counts_batches_not_steps(ds, toy, tmp_path, batches):
    batches(*[range(i, i + 4) for i in range(0, 20, 4)])
    record = fit(Toy(), ds, toy.replace(accumulation_steps=3), out=tmp_path)
    assert record.history[0]["images"] == 20
    assert record.history[0]["lr"] == pytest.approx(toy.lr * toy.lr_floor)


def test_the_recipe_decides_and_not_the_launcher(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    for steps in (1, 2):
        accelerator = session.make_accelerator(toy.replace(accumulation_steps=steps), tmp_path)
        assert accelerator.gradient_accumulation_steps == steps
        assert accelerator.mixed_precision == "no"


class Root(Toy):
    """A finite loss whose gradient is no number: 0 times the slope of a root at 0."""

    broken = True

    def embed(self, images, camids=None):
        return super().embed(images) + (self.broken * (self.backbone.weight[0, 0] * 0).sqrt()) * 0


def untouched(model):
    return all(torch.equal(v, model.state_dict()[k]) for k, v in Toy().state_dict().items())


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("steps", [1, 2])
def test_a_gradient_that_is_no_number_never_becomes_a_step(ds, toy, tmp_path, batches, clip, steps):
    batches(range(4), range(4, 8))
    model = Root()
    with pytest.raises(
        TrainingDiverged, match=rf"epoch 1: norm nan of the gradient at step {steps - 1}\."
    ):
        fit(model, ds, toy.replace(clip_grad=clip, accumulation_steps=steps), out=tmp_path)
    assert untouched(model)
    assert not (tmp_path / "checkpoints").exists()


def test_with_fp16_the_scaler_may_look_for_its_factor_first(ds, toy, tmp_path, batches, scaled):
    batches(*[range(4)] * 20)
    scaled(8.0)  # 8, 4, 2, 1 are left out by the scaler; 1/2 cannot be the factor's fault
    model = Root()
    with pytest.raises(TrainingDiverged, match=r"epoch 1: the gradient overflows at step 4\."):
        fit(model, ds, toy, out=tmp_path)
    assert untouched(model)


def test_a_step_left_out_by_the_scaler_is_not_averaged(ds, toy, tmp_path, batches, scaled):
    batches(*[range(4)] * 5)
    scaled(65536.0)
    made = []
    average = session.Average

    def keep(*arguments):
        made.append(average(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "Average", keep)
        fit(Root(), ds, toy.replace(ema_decay=0.5), out=tmp_path / "broken")
        fit(Toy(), ds, toy.replace(ema_decay=0.5), out=tmp_path / "good")
    assert [a.steps for a in made] == [0, 5]
