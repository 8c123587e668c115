"""Block-wise fine-tuning: what learns when and at what rate, by the authors' log and algorithm."""

import itertools

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from reidlab import recipes
from reidlab.losses import Identity
from reidlab.models import create_model
from reidlab.training import RecipeError, build_model, fit, fitting
from reidlab.training.optim import make_optimizer, schedule_time, set_learning_rate
from reidlab.training.unfreezing import Unfreezing, blocks_of, unfrozen_afterwards
from tests.training import ranks
from tests.training.ranks import launch

IDLE_HEAD = 577_519  # in the authors' network, never called, and counted as trainable in their log

# epochs from 1, first open block, rate (0.0003 * 0.8^n), trainable parameters: what the authors'
# program does
CODE = [
    ((1, 2), 10, 2.4e-4, 20_962_817),
    ((3, 4), 9, 1.92e-4, 28_050_689),
    ((5, 6), 8, 1.536e-4, 35_138_561),
    ((7, 8), 7, 1.2288e-4, 42_226_433),
    ((9, 10), 6, 9.8304e-5, 49_314_305),
    ((11, 12), 5, 7.86432e-5, 56_402_177),
    ((13, 14), 4, 6.291456e-5, 63_490_049),
    ((15, 16), 3, 5.0331648e-5, 70_577_921),
    ((17, 18), 2, 4.02653184e-5, 77_665_793),
    ((19, 20), 1, 3.221225472e-5, 84_753_665),
    ((21, 22), 0, 2.576980378e-5, 91_841_537),
    ((23, 24), 0, 2.061584302e-5, 91_841_537),
    ((25, 26), 0, 1.649267442e-5, 91_841_537),
    ((27, 28), 0, 1.319413953e-5, 91_841_537),
    ((29, 30), 0, 1.055531163e-5, 91_841_537),
]


@pytest.fixture(scope="module")
def vit_base():
    with torch.device("meta"):  # sizes without numbers
        return create_model(
            "la_transformer", num_classes=751, backbone="vit_base_patch16_224",
            image_size=(224, 224), weights=None,
        )  # fmt: skip


@pytest.mark.parametrize(("epochs", "first", "rate", "trainable"), CODE)
def test_the_schedule_of_the_authors_program(vit_base, epochs, first, rate, trainable):
    recipe = recipes.get("la_transformer", "paper", "code")
    plan = Unfreezing.of(recipe, depth=len(blocks_of(vit_base)))
    for epoch in epochs:
        plan.apply(vit_base, epoch - 1)
        learning = [all(p.requires_grad for p in b.parameters()) for b in blocks_of(vit_base)]
        assert learning == [False] * first + [True] * (12 - first)
        open_now = sum(p.numel() for p in vit_base.parameters() if p.requires_grad)
        assert open_now + IDLE_HEAD == trainable
        assert plan.rate(recipe.lr, epoch - 1) == pytest.approx(rate, rel=1e-6)


def test_only_blocks_are_frozen(vit_base):
    Unfreezing(depth=12).apply(vit_base, 0)
    frozen = [name for name, p in vit_base.named_parameters() if not p.requires_grad]
    assert len(frozen) == 10 * 12
    assert all(name.startswith("backbone.blocks.") for name in frozen)


@pytest.mark.parametrize(("every", "depth"), [(2, 12), (1, 3), (3, 4), (1, 1)])
def test_algorithm_1_word_by_word(every, depth):
    recipe = recipes.get("la_transformer", "paper", "paper").replace(decay_every=every)
    plan = Unfreezing.of(recipe, depth)
    lr, b, unfrozen = 3e-4, depth, []  # Freeze all the transformer blocks
    for i in range(30):
        if i % every == 0 and b > 0:
            unfrozen.append(b)
            b = b - 1
            lr = lr * 0.85
        assert plan.open_blocks(i) == len(unfrozen)
        assert plan.rate(3e-4, i) == pytest.approx(lr, rel=1e-12)


def test_where_the_paper_agrees_with_its_algorithm_and_where_with_its_program():
    """ "22 epochs" until all are open is the algorithm's; 10 blocks at epoch 18 the program's."""
    code, paper = Unfreezing(), Unfreezing(off_by_one=False, decay_forever=False)
    first = [
        next(e for e in itertools.count() if plan.open_blocks(e) == 12) for plan in (code, paper)
    ]
    assert first == [20, 22]
    assert [plan.open_blocks(18 - 1) for plan in (code, paper)] == [10, 9]
    assert [plan.rate(1.0, 29) for plan in (code, paper)] == pytest.approx([0.8**15, 0.8**12])


def test_at_once_nothing_is_frozen_and_the_rate_decays_as_in_the_code():
    recipe = recipes.get("la_transformer", "paper", "code").replace(unfreezing=None)
    plan, code = Unfreezing.of(recipe, 12), Unfreezing()
    for epoch in range(30):
        assert plan.open_blocks(epoch) == 12
        assert plan.rate(1.0, epoch) == code.rate(1.0, epoch)


def test_rates_of_the_groups(ds, small):
    recipe = small.replace(head_lr_multiplier=10.0, layer_decay=0.5, lr=1.0, decay_every=2)
    model = build_model(recipe, ds)
    optimizer = make_optimizer(model, recipe)
    for epoch, rate in ((1, 0.8), (2, 0.8), (3, 0.64)):
        for step in (0, 3):
            time = schedule_time(recipe, epoch, step, 4)
            assert set_learning_rate(optimizer, recipe, time) == pytest.approx(rate)
        of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        assert of[id(model.heads[0].bottleneck.weight)] == pytest.approx(10 * rate)
        assert of[id(model.backbone.norm.weight)] == pytest.approx(rate)
        assert of[id(model.backbone.blocks[2].norm1.weight)] == pytest.approx(rate / 2)
        assert of[id(model.backbone.blocks[0].norm1.weight)] == pytest.approx(rate / 8)


# ------------------------------------------------------------------ in a training


@pytest.fixture
def small(recipe):
    """Three blocks, one more each epoch; four batches of eight images an epoch."""
    return recipe.replace(
        model="la_transformer", preset="code", image_size=(32, 16), depth=3, drop_path=0.0,
        epochs=2, sampler="shuffle", optimizer="adam", lr=1e-3, weight_decay=5e-4,
        schedule="decay", decay_every=1, unfreezing="algorithm-1",
        losses=(Identity(over_heads="sum"),),
    )  # fmt: skip


def changed_blocks(before, after):
    return [
        any(
            not after[name].equal(value) for name, value in before.items() if f"blocks.{b}." in name
        )
        for b in range(3)
    ]


def trained(ds, recipe, out, monkeypatch):
    """Weights before and after, and the optimizer."""
    made, make = [], fitting.make_optimizer
    monkeypatch.setattr(fitting, "make_optimizer", lambda *a: made.append(make(*a)) or made[-1])
    model = build_model(recipe, ds)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    record = fit(model, ds, recipe, out=out)
    return model, before, made[0], record


def test_frozen_blocks_keep_their_bits_and_opened_ones_start_afresh(
    ds, small, tmp_path, monkeypatch
):
    model, before, adam, record = trained(ds, small, tmp_path, monkeypatch)
    assert type(adam) is torch.optim.Adam
    after = model.state_dict()
    assert changed_blocks(before, after) == [False, True, True]
    for name in ("backbone.cls_token", "backbone.pos_embed", "backbone.norm.bias"):
        assert not after[name].equal(before[name])
    blocks = blocks_of(model)
    steps = [
        {int(adam.state[p]["step"]) for p in b.parameters() if p in adam.state} for b in blocks
    ]
    assert steps == [set(), {4}, {8}], "the second block's moments are an epoch younger"
    assert {int(adam.state[p]["step"]) for p in model.heads.parameters()} == {8}
    assert [row["lr"] for row in record.history] == pytest.approx([8e-4, 6.4e-4])
    assert all(p.requires_grad for p in model.parameters())


def test_the_first_epoch_of_the_code_opens_two(ds, small, tmp_path, monkeypatch):
    recipe = small.replace(unfreezing="code", epochs=1)
    model, before, _, _ = trained(ds, recipe, tmp_path, monkeypatch)
    assert changed_blocks(before, model.state_dict()) == [False, True, True]


def test_all_at_once(ds, small, tmp_path, monkeypatch):
    recipe = small.replace(unfreezing=None, epochs=1)
    model, before, _, _ = trained(ds, recipe, tmp_path, monkeypatch)
    assert changed_blocks(before, model.state_dict()) == [True, True, True]


def test_interrupted_between_two_openings(ds, small, tmp_path, stopped_in):
    recipe = small.replace(epochs=3)
    fit(build_model(recipe, ds), ds, recipe, out=tmp_path / "whole")
    model = build_model(recipe, ds)
    with stopped_in(3):
        fit(model, ds, recipe, out=tmp_path / "halves")
    assert all(p.requires_grad for p in model.parameters()), "also when it stops"
    fit(build_model(recipe, ds, seed=4), ds, recipe, out=tmp_path / "halves")
    one, two = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "halves"))
    assert all(one[name].equal(two[name]) for name in one)


def test_what_did_not_learn_before_does_not_learn_afterwards():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].bias.requires_grad_(False)
    with unfrozen_afterwards(model):
        model.requires_grad_(False)
        model[0].bias.requires_grad_(True)
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]


def test_a_backbone_without_blocks_cannot_be_unfrozen(ds, small, tmp_path):
    model = nn.Linear(2, 2)
    assert blocks_of(model) == []
    with pytest.raises(
        RecipeError, match=r"unfreezing is 'code' and the backbone of Linear has no"
    ):
        fit(model, ds, small.replace(unfreezing="code"), out=tmp_path)


def test_two_processes_open_the_blocks_of_one(noise_root, small, tmp_path):
    """With weight decay, which must not touch a frozen block under several processes either."""
    recipe = small.replace(optimizer="sgd", lr=0.01, switches={"dropout": 0.0})
    record, _, _, weights, _ = ranks.train(noise_root, recipe, tmp_path / "one")
    for other_record, _, _, other, _ in launch(ranks.train, noise_root, recipe, tmp_path / "two"):
        assert max(float((weights[n] - other[n]).abs().max()) for n in weights) < 1e-5
        for row, expected in zip(other_record.history, record.history, strict=True):
            assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)
