import pytest
import torch
from torch import nn

from reidlab.recipes import get
from reidlab.training import Recipe
from reidlab.training.optim import (
    learning_rate,
    make_optimizer,
    schedule_time,
    set_learning_rate,
)

PAPER = get("vit_baseline", "paper")


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [
        (1, 0.001664),
        (2, 0.003248),
        (3, 0.004832),
        (4, 0.006416),
        (5, 0.00798769),
        (10, 0.00795085),
        (50, 0.00683077),
        (100, 0.004008),
        (150, 0.00118523),
        (199, 1.649e-5),
        (200, 1.6e-5),
    ],
)
def test_transreids_schedule(epoch, rate):
    recipe = PAPER.replace(epochs=200)  # the check values are of the 200-epoch configuration
    time = schedule_time(recipe, epoch, step=3, steps=17)  # the same at every step of the epoch
    assert learning_rate(recipe, time) == pytest.approx(rate, rel=2e-4)  # the spec rounds


def test_biases_peak_at_twice_the_rate_but_share_start_and_floor():
    recipe = PAPER.replace(epochs=200)
    assert learning_rate(recipe, 0, 2.0) == pytest.approx(8e-5)
    assert learning_rate(recipe, 1, 2.0) == pytest.approx(8e-5 + (0.016 - 8e-5) / 5)
    assert learning_rate(recipe, 200, 2.0) == pytest.approx(1.6e-5)


def test_per_step_the_time_reaches_the_end_and_never_stands_still():
    recipe = Recipe(epochs=3, warmup_epochs=1, schedule="step")
    times = [schedule_time(recipe, e, s, 4) for e in (1, 2, 3) for s in range(4)]
    assert times == [0.25 * i for i in range(1, 13)]
    rates = [learning_rate(recipe, t) for t in times]
    assert rates[:3] == sorted(rates[:3])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(recipe.lr * recipe.lr_floor)


def test_no_warmup():
    assert learning_rate(Recipe(warmup_epochs=0, lr=1.0), 0.0) == 1.0


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.head = nn.Linear(2, 2)
        self.frozen = nn.Parameter(torch.zeros(1), requires_grad=False)


def test_groups():
    model = Tiny()
    recipe = Recipe(lr=1.0, bias_lr_multiplier=2.0, head_lr_multiplier=10.0, epochs=10)
    optimizer = make_optimizer(model, recipe)
    set_learning_rate(optimizer, recipe, recipe.warmup_epochs + 1e-12)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    peak = learning_rate(recipe, 1)
    names = {name: rates.get(id(p)) for name, p in model.named_parameters()}
    assert names["frozen"] is None
    assert names["backbone.weight"] == pytest.approx(peak)
    assert names["backbone.bias"] == pytest.approx(2 * peak, rel=1e-3)
    assert names["head.weight"] == pytest.approx(10 * peak, rel=1e-3)
    assert names["head.bias"] == pytest.approx(20 * peak, rel=1e-3)


def test_sgd_of_the_paper():
    optimizer = make_optimizer(Tiny(), PAPER)
    assert isinstance(optimizer, torch.optim.SGD)
    for group in optimizer.param_groups:
        assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 1e-4, False)
