import warnings

import pytest

from reidlab.training import Recipe, build_model
from reidlab.training.recipe import warn_of_normalization

ORIGINAL = "vit_base_patch16_224.orig_in21k_ft_in1k"


@pytest.mark.parametrize(
    "settings",
    [
        {},  # the shipped weights, "half"
        {"weights": None, "normalization": "imagenet"},  # random weights expect nothing
        {"backbone": ORIGINAL, "weights": "timm"},
        {"backbone": "vit_base_patch16_224.dino", "weights": "timm", "normalization": "imagenet"},
        {"weights": "some/file.safetensors", "normalization": "imagenet"},  # says no checkpoint
        # LA-Transformer's authors did it
        {"model": "la_transformer", "backbone": ORIGINAL, "weights": "timm",
         "normalization": "imagenet"},
    ],
)  # fmt: skip
def test_nothing_to_say(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_normalization(Recipe(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalization": "imagenet"}, r"mean \(0.5, 0.5, 0.5\).*replace\(normalization='half'\)"),
        (
            {"backbone": ORIGINAL, "weights": "timm", "normalization": "imagenet"},
            rf"weights of {ORIGINAL} were trained .* normalises by 'imagenet': use recipe.replace",
        ),
        ({"backbone": "vit_base_patch16_224.dino", "weights": "a.pth"}, "normalization='imagenet'"),
        ({"backbone": "resnet50_ibn_b", "weights": "resnet50_ibn_b.pth"}, "normalization='imagen"),
        (
            {"backbone": "vit_base_patch16_clip_224.openai", "weights": "timm"},
            r"add it to reidlab.data.NORMALIZATIONS",
        ),
    ],
)
def test_a_quiet_loss_is_said_aloud(settings, message):
    with pytest.warns(UserWarning, match=message):
        warn_of_normalization(Recipe(**settings))


def test_build_model_says_it(ds, recipe):
    recipe = recipe.replace(weights="synth", image_size=(64, 32), normalization="imagenet")
    with pytest.warns(UserWarning, match="quiet loss") as caught:
        build_model(recipe, ds)
    assert caught[0].filename == __file__  # the reader's own line
