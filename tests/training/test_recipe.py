import json
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch

from reidlab.losses import Contrastive, Identity, Triplet
from reidlab.models.vit import TokenBackbone, resize_pos_embed
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
        ({"optimizer": "lamb"}, "optimizer is 'lamb'; expected one of 'sgd', 'nesterov', 'adamw"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"image_size": (192,)}, "image_size is .* expected height and width"),
        ({"image_size": 192}, "image_size is 192"),
        ({"image_size": (0, -5)}, r"image_size is \(0, -5\); expected height and width in pixels"),
        ({"weights_grid": (0, 8)}, r"weights_grid is \(0, 8\); expected rows and columns of patch"),
        ({"weights_grid": (16,)}, r"weights_grid is \(16,\); expected rows and columns of patches"),
        ({"warmup_epochs": 11}, r"warmup_epochs is 11; expected at most epochs \(10\)"),
        ({"clip_grad": 0}, "clip_grad is 0"),
        ({"erasing": 1.5}, "erasing is 1.5"),
        ({"flip_test": "yes"}, "flip_test is 'yes'; expected one of True, False"),
        ({"accumulation_steps": 0}, "accumulation_steps is 0; expected a whole number from 1"),
        ({"accumulation_steps": 1.5}, "accumulation_steps is 1.5"),
        ({"gradient_checkpointing": None}, "gradient_checkpointing is None; expected one of True"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; expected a number from 0 to 0.999999"),
        ({"layer_decay": 0}, "layer_decay is 0; expected a number from 1e-06 to 1"),
        ({"layer_decay": 1.1}, "layer_decay is 1.1"),
        ({"validate_every": 0}, "validate_every is 0; expected a whole number from 1"),
        ({"validation_identities": 1}, "validation_identities is 1; expected a whole number of pe"),
        ({"validation_identities": 2.5}, "validation_identities is 2.5; .* or a share between 0"),
        ({"validation_identities": 0.0}, "validation_identities is 0.0"),
        ({"keep": "first"}, "keep is 'first'; expected one of 'last', 'best'"),
        ({"keep": "best"}, "keep is 'best'; expected 'last', unless validate_every is set"),
        (
            {"sampler": "cross-modal", "images_per_identity": 3},
            "images_per_identity is 3; expected an even number with sampler='cross-modal'",
        ),
        ({"optimizer": "nesterov", "momentum": 0}, "momentum is 0; expected more than 0 with opt"),
        ({"grey": 1.5}, "grey is 1.5; expected a number from 0 to 1"),
        ({"sampler": "random"}, "sampler is 'random'; expected one of 'identity', 'cross-mod"),
        ({"schedule": "cosine"}, "schedule is 'cosine'; expected one of 'epoch', 'step', 'decay'"),
        ({"lr_decay": 0}, "lr_decay is 0; expected a number from 1e-06 to 1"),
        ({"decay_every": 0.5}, "decay_every is 0.5; expected a whole number from 1"),
        ({"unfreezing": "paper"}, "unfreezing is 'paper'; expected one of None, 'code', 'algorith"),
        ({"unfreezing": "code"}, "schedule is 'step'; expected 'decay' with unfreezing='code'"),
        ({"losses": ()}, r"losses is \(\); expected one or more, such as \(Identity\(\),\)"),
        ({"losses": (Identity(), Triplet)}, r"losses have <class .*Triplet'>; expected losses su"),
        ({"losses": "triplet"}, r"losses have 'triplet'; expected losses such as \(Identity\(\),"),
        ({"losses": None}, r"losses have None; expected losses such as"),
        ({"losses": {"triplet": 3}}, r"the loss triplet is 3; expected its settings by name"),
        ({"losses": (Triplet(), Triplet(margin=0.3))}, "losses are triplet, triplet; expected one"),
        ({"normalization": "imagent"}, "normalization is 'imagent'; expected one of 'half', 'imag"),
        ({"image_size": (192.0, 96)}, r"image_size is \(192.0, 96\); expected height and width"),
        ({"weights": 3}, "weights is 3; expected text or None"),
        (
            {"interpolation": "area"},
            "interpolation is 'area'; expected one of 'bilinear', 'bicubic",
        ),
        ({"validate_on": "test"}, "validate_on is 'test'; expected one of 'people', 'images'"),
        ({"switches": "heads=one"}, "switches is 'heads=one'; expected switches by name, such as"),
    ],
)
def test_a_value_that_cannot_work(setting, message):
    for make in (Recipe, Recipe().replace):
        with pytest.raises(RecipeError, match=message):
            make(**setting)


CLOSED = {  # typed by hand
    "profile": ["smoke", "laptop", "paper"],
    "preset": [None, "paper", "code"],
    "camera_embedding": [False, True, "view", "both"],
    "sampler": ["identity", "cross-modal", "shuffle", "graph", "graph-sigmoid"],
    "optimizer": ["sgd", "nesterov", "adamw", "adam"],
    "schedule": ["epoch", "step", "decay"],
    "unfreezing": [None, "code", "algorithm-1"],
    "precision": ["no", "bf16", "fp16"],
    "gradient_checkpointing": [True, False],
    "gather": [True, False],
    "normalization": ["half", "imagenet", "none"],
    "augmentation": ["transreid", "qaconv"],
    "interpolation": ["bilinear", "bicubic"],
    "flip_test": [True, False],
    "validate_on": ["people", "images"],
    "keep": ["last", "best"],
    "metric": ["cosine", "euclidean"],
    "ap": ["mean_precision", "trapezoid", "top10"],
}


def test_every_closed_set_is_in_the_list_above():
    """By the annotations: what is no number, no size, no mapping and no free text."""
    free = {"model", "backbone", "weights", "switches", "image_size", "weights_grid", "losses"}
    hints = get_type_hints(Recipe, include_extras=False)
    del hints["FREE"], hints["YOUNGER"]
    numbers = {name for name, hint in hints.items() if {int, float} & {hint, *get_args(hint)}}
    assert hints.keys() - numbers - free == CLOSED.keys()


@pytest.mark.parametrize("name", CLOSED)
def test_the_values_of_a_closed_set(name):
    base = Recipe(schedule="decay") if name == "unfreezing" else Recipe(validate_every=1)
    for value in CLOSED[name]:
        assert getattr(base.replace(**{name: value}), name) == value
    for wrong in ("imagent", 0, 1, [], *(() if None in CLOSED[name] else (None,))):
        with pytest.raises(RecipeError, match=rf"^recipe: {name} is .*; expected one of "):
            base.replace(**{name: wrong})


def test_settings_younger_than_records_are_named_where_they_are_used():
    assert not set(Recipe.YOUNGER) & Recipe().to_dict().keys()
    recipe = Recipe(grey=0.5, blur=0.1, weights_grid=(4, 2), sampler="cross-modal")
    values = recipe.to_dict()
    assert set(Recipe.YOUNGER) & values.keys() == {"grey", "blur", "weights_grid"}
    assert Recipe.from_record(values) == recipe


def test_through_json_and_back():
    recipe = Recipe(
        stride=12, depth=2, validate_every=2, ema_decay=0.9,
        losses=(Triplet(margin=0.3, weight=2.0), Identity(), Contrastive(temperature=0.2)),
    )  # fmt: skip
    written = json.loads(json.dumps(recipe.to_dict()))
    assert list(written["losses"]) == ["triplet", "identity", "contrastive"]
    assert written["losses"]["triplet"] == {
        "weight": 2.0, "margin": 0.3, "on": "features", "over_heads": "mean",
    }  # fmt: skip
    assert Recipe.from_record(written) == recipe


def test_switches_through_json_and_back():
    recipe = Recipe(model="la_transformer", switches={"local_weight": 1.0, "stripes": None})
    back = Recipe.from_record(json.loads(json.dumps(recipe.to_dict())))
    assert back == recipe
    assert hash(back) == hash(recipe)


def test_one_switch_changes_and_the_others_stay():
    recipe = Recipe(switches={"heads": "one", "local_weight": 1.0})
    other = recipe.replace(**{"switches.local_weight": 0.5, "epochs": 3})
    assert other.switches == {"heads": "one", "local_weight": 0.5}
    assert (other.epochs, recipe.switches["local_weight"]) == (3, 1.0)
    both = recipe.replace(**{"switches": {"heads": "rows"}, "switches.stripes": 2})
    assert both.switches == {"heads": "rows", "stripes": 2}


# ------------------------------------------------------------------ losses


def test_one_setting_of_a_loss_changes_and_the_others_stay():
    recipe = Recipe(losses=(Identity(label_smoothing=0.1), Triplet(margin=0.3)))
    other = recipe.replace(**{"losses.triplet.on": "logits", "losses.triplet.weight": 2})
    assert other.losses == (
        Identity(label_smoothing=0.1), Triplet(margin=0.3, on="logits", weight=2),
    )  # fmt: skip
    assert recipe.losses[1] == Triplet(margin=0.3)


def test_a_loss_alone_and_a_list_are_a_tuple():
    for given in (Identity(), [Identity()], {"identity": {}}):
        assert Recipe(losses=given).losses == (Identity(),)


def test_a_loss_joins_and_goes():
    recipe = Recipe(losses=(Identity(),))
    joined = recipe.replace(**{"losses.triplet.margin": 0.3})
    assert joined.losses == (Identity(), Triplet(margin=0.3))
    assert joined.replace(**{"losses.triplet": None}) == recipe
    assert joined.replace(**{"losses.identity": None}).losses == (Triplet(margin=0.3),)
    swapped = joined.replace(**{"losses": (Triplet(),), "losses.triplet.on": "logits"})
    assert swapped.losses == (Triplet(on="logits"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"losses.triplet": 0},
            r"losses.triplet=0 changes no setting; expected losses.triplet=None",
        ),
        ({"losses.triplet": {"margin": 1}}, r"losses.triplet=\{'margin': 1\} changes no setting"),
        ({"losses.": None}, r"losses has no setting ''"),
        ({"optimizer.lr": 1}, r"optimizer.lr=1 changes no setting; expected switches.NAME"),
        ({"losses.triplett.margin": 1}, r"there is no loss 'triplett'; there are: .*triplet"),
        ({"losses.triplet.margn": 1}, r"loss triplet has no setting 'margn'.* mean 'margin'"),
        ({"losses.identity.over_heads": "max"}, r"over_heads is 'max'; expected one of 'mean', 's"),
        ({"losses.triplet.on": "rows"}, r"on is 'rows'; expected one of 'features', 'logits'"),
        ({"losses.identity.label_smoothing": None}, "loss identity: label_smoothing is None"),
        ({"losses.identity.label_smoothing": 1}, "label_smoothing is 1; expected a number from 0"),
        ({"losses.triplet.margin": -0.1}, r"margin is -0.1; expected a number from 0 to .*or None"),
        ({"losses.triplet.weight": float("nan")}, "weight is nan; expected a number"),
        (
            {"losses.contrastive": None},
            r"losses has no setting 'contrastive'.*It has: identity, tr",
        ),
        ({"losses.identity": None, "losses.triplet": None}, "expected one or more"),
    ],
)
def test_a_change_of_losses_that_cannot_work(change, message):
    with pytest.raises(RecipeError, match=message):
        Recipe().replace(**change)


def test_no_folder_in_a_record(tmp_path):
    recipe = Recipe(weights=tmp_path / "vit.pth")
    assert recipe.to_dict()["weights"] == "vit.pth"
    assert Path(recipe.weights).is_absolute()


def test_the_grid_of_a_weights_file(ds, recipe, tmp_path):
    torch.manual_seed(0)
    saved = TokenBackbone(recipe.backbone, (256, 64), depth=recipe.depth)  # 16 x 4 patches
    torch.save(saved.state_dict(), tmp_path / "vit.pth")
    tall = recipe.replace(weights=str(tmp_path / "vit.pth"), weights_grid=[16, 4])
    found = build_model(tall, ds).backbone
    expected = resize_pos_embed(saved.pos_embed, (16, 4), found.grid)
    assert torch.equal(found.pos_embed, expected)
    written = json.loads(json.dumps(tall.to_dict()))
    assert written["weights_grid"] == [16, 4]
    assert Recipe.from_record(written).weights_grid == (16, 4)


def test_a_record_without_a_grid_is_as_it_always_was():
    assert "weights_grid" not in Recipe().to_dict()
    assert Recipe.from_record(Recipe().to_dict()) == Recipe()


def test_the_sum_of_a_file_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "vit.pth").write_bytes(b"one")
    sums = [Recipe(weights=w).weights_sha256 for w in ("~/vit.pth", str(tmp_path / "vit.pth"))]
    assert sums[0] == sums[1] is not None


def test_build_model_draws_its_weights_by_the_seed(ds, recipe):
    one, same, other = (build_model(recipe, ds, seed=seed) for seed in (1, 1, 2))
    weights = [m.neck.classifier.weight for m in (one, same, other)]
    assert weights[0].shape == (8, 192)
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_build_model_passes_preset_and_switches_on(ds, recipe):
    la = recipe.replace(model="la_transformer", preset="paper", switches={"heads": "one"})
    switches = build_model(la, ds).switches
    assert (switches.local_weight, switches.retrieval, switches.heads) == (1 / 1.8, "gelt", "one")
    with pytest.raises(ValueError, match="la_transformer has no setting 'alpha'"):
        build_model(la.replace(**{"switches.alpha": 1.0}), ds)


def test_build_model_counts_the_cameras(ds, recipe):
    model = build_model(recipe.replace(camera_embedding=True), ds)
    assert model.backbone.num_cameras == 3


def test_build_model_has_no_class_for_the_people_left_out(ds, recipe):
    for people, classes in ((2, 6), (3, 5), (0.3, 6), (0.25, 6), (0.5, 4)):
        validated = recipe.replace(validate_every=1, validation_identities=people)
        assert build_model(validated, ds).num_classes == classes
    assert build_model(recipe.replace(validation_identities=3), ds).num_classes == 8
    images = recipe.replace(validate_every=1, validate_on="images")
    assert build_model(images, ds).num_classes == 8, "everybody stays"
    with pytest.raises(RecipeError, match=r"0.1 is 1 of the 8 training people .* at least 2"):
        build_model(recipe.replace(validate_every=1), ds)
