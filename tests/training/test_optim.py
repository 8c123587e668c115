import pytest
import torch
from torch import nn

from reidlab.models import TokenBackbone, ViTBaseline
from reidlab.recipes import get
from reidlab.training import Recipe
from reidlab.training.optim import (
    layers_above,
    learning_rate,
    make_optimizer,
    schedule_time,
    set_learning_rate,
)

PAPER = get("vit_baseline", "paper")


@pytest.mark.parametrize("paper", ["vit_baseline", "gltrans"])
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
def test_transreids_schedule(paper, epoch, rate):
    # the check values are of the 200-epoch configuration, which is GLTrans'
    recipe = get("gltrans", "paper") if paper == "gltrans" else PAPER.replace(epochs=200)
    time = schedule_time(recipe, epoch, step=3, steps=17)  # the same at every step of the epoch
    assert learning_rate(recipe, time) == pytest.approx(rate, rel=2e-4)  # the spec rounds


def test_biases_peak_at_twice_the_rate_but_share_start_and_floor():
    recipe = PAPER.replace(epochs=200)
    assert learning_rate(recipe, 0, 2.0) == pytest.approx(8e-5)
    assert learning_rate(recipe, 1, 2.0) == pytest.approx(8e-5 + (0.016 - 8e-5) / 5)
    assert learning_rate(recipe, 200, 2.0) == pytest.approx(1.6e-5)


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(1, 0.003264), (4, 0.012816), (5, 0.01597536), (100, 0.008008), (200, 1.6e-5)],
)
def test_the_rate_of_gltrans_biases(epoch, rate):
    recipe = get("gltrans", "paper")
    optimizer = make_optimizer(Tiny(), recipe)
    set_learning_rate(optimizer, recipe, schedule_time(recipe, epoch, step=0, steps=9))
    rates = {group["multiplier"]: group["lr"] for group in optimizer.param_groups}
    assert rates[2.0] == pytest.approx(rate, rel=1e-6)


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


# by hand for L = 3 blocks, decay 1/2: head 1, last block 1/2, ..., embeddings (1/2)^4
RATES = {
    "neck.classifier.weight": 1,
    "neck.norm.weight": 1,
    "backbone.norm.weight": 1,
    "backbone.blocks.2.attn.qkv.weight": 1 / 2,
    "backbone.blocks.1.mlp.fc1.bias": 1 / 4,
    "backbone.blocks.0.norm1.weight": 1 / 8,
    "backbone.patch_embed.proj.weight": 1 / 16,
    "backbone.patch_embed.proj.bias": 1 / 16,
    "backbone.pos_embed": 1 / 16,
    "backbone.cls_token": 1 / 16,
    "backbone.sie_embed": 1 / 16,
}


def rates(model, recipe, time):
    optimizer = make_optimizer(model, recipe)
    assert set_learning_rate(optimizer, recipe, time) == learning_rate(recipe, time)
    of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[id(p)] for name, p in model.named_parameters() if p.requires_grad}


@pytest.fixture(scope="module")
def vit():
    return ViTBaseline(TokenBackbone(image_size=(32, 16), depth=3, num_cameras=2), 5)


@pytest.mark.parametrize("time", [0.0, 0.5, 1.0, 7.3, 10.0])
def test_layer_decay_scales_the_whole_schedule(vit, time):
    """Not the peak alone: the lowest layers would begin above it, at a rate shared by all."""
    recipe = Recipe(lr=1.0, layer_decay=0.5, epochs=10)
    found = rates(vit, recipe, time)
    for name, rate in RATES.items():
        assert found[name] == pytest.approx(rate * learning_rate(recipe, time)), name


def test_layer_decay_beside_the_other_multipliers(vit):
    recipe = Recipe(
        lr=1.0, layer_decay=0.5, bias_lr_multiplier=2.0, head_lr_multiplier=10.0, warmup_epochs=0
    )
    found = rates(vit, recipe, 0.0)
    assert found["neck.classifier.weight"] == pytest.approx(10)
    assert found["backbone.norm.weight"] == pytest.approx(1)
    assert found["backbone.norm.bias"] == pytest.approx(2)
    assert found["backbone.blocks.1.mlp.fc1.bias"] == pytest.approx(2 / 4)
    assert found["backbone.patch_embed.proj.bias"] == pytest.approx(2 / 16)


def test_the_layers_are_timms_but_for_the_final_norm():
    import timm
    from timm.optim import param_groups_layer_decay

    theirs = timm.create_model("vit_tiny_patch16_224", img_size=(32, 16), num_classes=5, depth=3)
    names = {id(parameter): name for name, parameter in theirs.named_parameters()}
    for group in param_groups_layer_decay(theirs, layer_decay=0.5):
        for parameter in group["params"]:
            name = names.pop(id(parameter))
            ours = name if name.startswith("head") else f"backbone.{name}"
            above = layers_above(ours, 3) + name.startswith("norm.")  # timm: with the last block
            assert group["lr_scale"] == 0.5**above, name
    assert not names


@pytest.mark.parametrize(
    ("backbone", "parameter"),
    [
        ("vit_small_patch14_reg4_dinov2.lvd142m", "reg_token"),
        ("vit_base_patch16_clip_224.openai", "norm_pre.weight"),
    ],
)
def test_what_stands_before_the_first_block_learns_slowest(backbone, parameter):
    """Register tokens and CLIP's norm before the blocks, as timm counts them."""
    import timm
    from timm.optim import param_groups_layer_decay

    side = 28 if "patch14" in backbone else 32
    with torch.device("meta"):
        model = ViTBaseline(TokenBackbone(backbone, (side, side), depth=2), 5)
        theirs = timm.create_model(backbone, num_classes=5, depth=2, img_size=side)
    recipe = Recipe(lr=1.0, layer_decay=0.5, warmup_epochs=0)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {
        names[id(p)]: group["lr"]
        for group in make_optimizer(model, recipe).param_groups
        for p in group["params"]
    }
    embeddings = {name for name, rate in found.items() if rate == 0.5**3}
    assert f"backbone.{parameter}" in embeddings
    assert {"backbone.cls_token", "backbone.pos_embed"} < embeddings
    timms = {id(p): name for name, p in theirs.named_parameters()}
    for group in param_groups_layer_decay(theirs, layer_decay=0.5):
        for p in group["params"]:
            name = timms.pop(id(p))
            last = name.startswith("norm.")  # timm: with the last block
            ours = found.get(f"backbone.{name}", 1.0)  # the head
            assert ours == group["lr_scale"] * (2 if last else 1), name
    assert not timms


def test_every_parameter_is_in_one_group(vit):
    optimizer = make_optimizer(vit, Recipe(layer_decay=0.7, bias_lr_multiplier=2.0))
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in vit.parameters() if p.requires_grad)
    assert len(make_optimizer(vit, Recipe()).param_groups) == 1


def test_no_layer_decay_changes_no_bit(vit):
    assert {name: 0.5 for name in RATES} == {
        name: rate
        for name, rate in rates(vit, Recipe(lr=0.5, warmup_epochs=0), 0.0).items()
        if name in RATES
    }


def test_groups_of_an_older_checkpoint_have_no_scale():
    recipe = Recipe()
    optimizer = make_optimizer(Tiny(), recipe)
    for group in optimizer.param_groups:
        del group["scale"]
    assert set_learning_rate(optimizer, recipe, 2.0) == optimizer.param_groups[0]["lr"]
