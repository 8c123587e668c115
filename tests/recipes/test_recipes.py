from types import SimpleNamespace

import pytest
import torch

from reidlab import recipes
from reidlab.models import list_models
from reidlab.training import build_model


@pytest.mark.parametrize("paper", recipes.names())
def test_each_paper_has_three_profiles_of_its_model(paper):
    assert paper in list_models()
    for profile in ("smoke", "laptop", "paper"):
        recipe = recipes.get(paper, profile)
        assert (recipe.model, recipe.profile) == (paper, profile)


def test_the_paper_recipe_is_transreids():
    recipe = recipes.get("vit_baseline", "paper")
    assert (recipe.image_size, recipe.stride, recipe.drop_path) == ((256, 128), 16, 0.1)
    assert (recipe.batch_size, recipe.epochs, recipe.lr) == (64, 120, 0.008)
    assert (recipe.pad, recipe.erasing, recipe.label_smoothing) == (10, 0.5, 0.0)


ALL = [
    (paper, profile)
    for paper in recipes.names()
    for profile in ("smoke", "laptop", "paper", "code")
    if paper != "vit_baseline" or profile != "code"
]


@pytest.mark.parametrize(("paper", "profile"), ALL)
def test_each_profile_builds_its_model(paper, profile):
    """Sizes without numbers: the weights of "paper" and "code" are a download."""
    recipe = recipes.get(paper, profile).replace(weights=None)
    people = SimpleNamespace(num_classes=62, num_cameras=2, name="pku-reid")
    with torch.device("meta"):
        model = build_model(recipe, people)
    assert model.num_classes == 62
    assert model.backbone.image_size == recipe.image_size


def test_la_transformers_program():
    recipe = recipes.get("la_transformer", "code")
    assert (recipe.preset, recipe.switches) == ("code", {})
    assert (recipe.backbone, recipe.weights) == (
        "vit_base_patch16_224.orig_in21k_ft_in1k", "timm",
    )  # fmt: skip
    assert (recipe.image_size, recipe.stride, recipe.normalization) == ((224, 224), 16, "imagenet")
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == ("adam", 3e-4, 5e-4)
    assert (recipe.schedule, recipe.lr_decay, recipe.decay_every) == ("decay", 0.8, 2)
    assert (recipe.unfreezing, recipe.epochs) == ("code", 30)
    assert (recipe.sampler, recipe.batch_size) == ("shuffle", 32)
    assert (recipe.over_heads, recipe.triplet_weight, recipe.label_smoothing) == ("sum", 0.0, 0.0)
    assert (recipe.interpolation, recipe.pad, recipe.flip, recipe.erasing) == ("bicubic", 0, 0.5, 0)
    assert (recipe.validate_every, recipe.validate_on, recipe.keep) == (1, "images", "best")
    assert (recipe.head_lr_multiplier, recipe.bias_lr_multiplier, recipe.layer_decay) == (1, 1, 1)
    assert (recipe.precision, recipe.clip_grad, recipe.ema_decay) == ("no", None, None)


def test_la_transformers_paper_where_it_differs():
    code, paper = (recipes.get("la_transformer", profile) for profile in ("code", "paper"))
    assert differences(code, paper) == {
        "preset": "paper", "lr_decay": 0.85, "unfreezing": "algorithm-1", "weight_decay": 0.0,
    }  # fmt: skip


def test_la_tf_pps_program_where_it_differs_from_la_transformers():
    code, plus = (recipes.get(paper, "code") for paper in ("la_transformer", "la_tf_pp"))
    assert differences(code, plus) == {
        "model": "la_tf_pp", "backbone": "vit_base_patch16_224.augreg_in21k_ft_in1k",
        "epochs": 15, "label_smoothing": 0.1, "triplet_weight": 1.0, "triplet_margin": 0.3,
        "triplet_on": "logits", "validate_every": None, "keep": "last",
    }  # fmt: skip


def test_la_tf_pps_paper_where_it_differs_from_its_program():
    code, paper = (recipes.get("la_tf_pp", profile) for profile in ("code", "paper"))
    assert differences(code, paper) == {
        "preset": "paper", "epochs": 30, "unfreezing": "algorithm-1", "weight_decay": 0.0,
        "sampler": "identity", "triplet_on": "features",
    }  # fmt: skip


def differences(one, other):
    before = one.to_dict()
    return {key: value for key, value in other.to_dict().items() if value != before[key]}


def test_unknown_names():
    with pytest.raises(
        ValueError, match=r"no recipe for 'vit'; there are: la_tf_pp, la_transformer, vit_"
    ):
        recipes.get("vit", "laptop")
    with pytest.raises(ValueError, match=r"no profile 'huge'; it has: smoke, laptop, paper"):
        recipes.get("vit_baseline", "huge")
