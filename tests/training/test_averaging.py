"""The moving average of the weights, against a plain loop in double precision."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from reidlab.training import build_model, evaluate_on, fit, load_run, session
from reidlab.training.averaging import Average


@pytest.fixture
def tiny(recipe):
    return recipe.replace(image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2)


def averaged(weights, decay):
    """The average of the weights after each step, one dictionary a step."""
    mean = {}
    for n, state in enumerate(weights, start=1):
        d = min(decay, 1 - n ** (-2 / 3))
        for name, value in state.items():
            if not value.is_floating_point():
                mean[name] = value
                continue
            mean[name] = d * mean.get(name, 0.0) + (1 - d) * value.double()
    return mean


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.to(found[name].dtype), rtol=1e-5, atol=1e-6)


def test_warm_up_and_buffers():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(model, 0.6)  # reached at step 4: 1 - 4 ** (-2/3) = 0.603
    seen = []
    for step in range(8):
        with torch.no_grad():
            model[0].weight.add_(0.1 * step)
        model(torch.randn(5, 3, generator=torch.Generator().manual_seed(step)))
        average.update()
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        assert_close(average.model.state_dict(), averaged(seen, 0.6))
    assert average.model[1].num_batches_tracked == 8
    assert not torch.equal(average.model[1].running_mean, model[1].running_mean)
    assert not average.model.training


def test_there_and_back():
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    one = Average(model, 0.9)
    for _ in range(3):
        model.weight.data.mul_(1.5)
        one.update()
    state = {
        "steps": one.state_dict()["steps"],
        "weights": {k: v.clone() for k, v in one.state_dict()["weights"].items()},
    }
    other = Average(model, 0.9)
    other.load_state_dict(state)
    for average in (one, other):
        average.update()
    assert other.steps == 4
    assert torch.equal(one.model.weight, other.model.weight)


def test_what_is_saved_evaluated_and_left_in_the_model(ds, tiny, tmp_path, monkeypatch):
    seen, checkpoints = [], []
    update, save = Average.update, session.save_checkpoint

    def watched(average):
        update(average)
        seen.append({k: v.clone() for k, v in average.source.state_dict().items()})

    def kept(folder, checkpoint, model):
        checkpoints.append((checkpoint, {k: v.clone() for k, v in model.state_dict().items()}))
        save(folder, checkpoint, model)

    monkeypatch.setattr(Average, "update", watched)
    monkeypatch.setattr(session, "save_checkpoint", kept)
    recipe = tiny.replace(ema_decay=0.7, accumulation_steps=3)
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, out=tmp_path)
    batches = [row["images"] // 4 for row in record.history]
    assert len(seen) == sum(-(-count // 3) for count in batches)  # steps, not batches
    saved = load_file(tmp_path / "model.safetensors")
    assert_close(saved, averaged(seen, 0.7))
    assert all(torch.equal(saved[k], v) for k, v in model.state_dict().items())
    raw = checkpoints[-1][1]
    assert all(torch.equal(raw[name], value) for name, value in seen[-1].items())
    assert not torch.equal(raw["neck.classifier.weight"], saved["neck.classifier.weight"])
    assert checkpoints[-1][0].average["steps"] == len(seen)
    assert evaluate_on(load_run(tmp_path, ds)[0], ds, recipe).mAP == record.metrics["mAP"]


def test_training_itself_is_the_same(ds, tiny, tmp_path):
    plain = fit(build_model(tiny, ds), ds, tiny, out=tmp_path / "plain").history
    recipe = tiny.replace(ema_decay=0.99)
    history = fit(build_model(recipe, ds), ds, recipe, out=tmp_path / "average").history
    assert [row["loss"] for row in history] == [row["loss"] for row in plain]


@pytest.mark.parametrize("place", [2, "evaluation"])
def test_resumed_to_the_same_bits(ds, tiny, tmp_path, stopped_in, place):
    recipe = tiny.replace(ema_decay=0.9)
    fit(build_model(recipe, ds), ds, recipe, out=tmp_path / "straight")
    with stopped_in(place):
        fit(build_model(recipe, ds), ds, recipe, out=tmp_path / "resumed")
    fit(build_model(recipe, ds, seed=4), ds, recipe, out=tmp_path / "resumed")
    one, two = (load_file(tmp_path / n / "model.safetensors") for n in ("straight", "resumed"))
    assert all(torch.equal(one[name], two[name]) for name in one)
