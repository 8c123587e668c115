import json
from pathlib import Path

import pytest

from reidlab.training import Recipe, RecipeError, build_model


def test_replace_changes_a_copy():
    recipe = Recipe()
    other = recipe.replace(epochs=3, lr=1e-5)
    assert (other.epochs, other.lr, recipe.epochs) == (3, 1e-5, 10)


def test_a_typo_is_an_error_with_a_suggestion():
    with pytest.raises(RecipeError, match=r"no setting 'epoch'.*mean 'epochs'.*It has: model,"):
        Recipe().replace(epoch=3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number from 1"),
        ({"epochs": 2.5}, "epochs is 2.5; expected a whole number"),
        ({"epochs": "3"}, "epochs is '3'"),
        ({"epochs": True}, "epochs is True"),
        ({"lr": -1.0}, "lr is -1.0; expected a number from"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"identities_per_batch": 1}, "identities_per_batch is 1; expected a whole number from 2"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; expected one of 'sgd', 'adamw'"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"image_size": (192,)}, "image_size is .* expected height and width"),
        ({"image_size": 192}, "image_size is 192"),
        ({"warmup_epochs": 11}, r"warmup_epochs is 11; expected at most epochs \(10\)"),
        ({"clip_grad": 0}, "clip_grad is 0"),
        ({"erasing": 1.5}, "erasing is 1.5"),
        ({"label_smoothing": None}, "label_smoothing is None"),
        ({"flip_test": "yes"}, "flip_test is 'yes'; expected one of True, False"),
    ],
)
def test_a_value_that_cannot_work(setting, message):
    with pytest.raises(RecipeError, match=message):
        Recipe(**setting)


def test_through_json_and_back():
    recipe = Recipe(triplet_margin=0.3, stride=12, depth=2)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_record_from_before_the_flip_test():
    values = Recipe(epochs=3).to_dict()
    del values["flip_test"]
    assert Recipe.from_dict(values) == Recipe(epochs=3, flip_test=False)


def test_no_folder_in_a_record(tmp_path):
    recipe = Recipe(weights=tmp_path / "vit.pth")
    assert recipe.to_dict()["weights"] == "vit.pth"
    assert Path(recipe.weights).is_absolute()


def test_build_model_draws_its_weights_by_the_seed(ds, recipe):
    one, same, other = (build_model(recipe, ds, seed=seed) for seed in (1, 1, 2))
    weights = [m.neck.classifier.weight for m in (one, same, other)]
    assert weights[0].shape == (8, 192)
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_build_model_counts_the_cameras(ds, recipe):
    model = build_model(recipe.replace(camera_embedding=True), ds)
    assert model.backbone.num_cameras == 3
