from types import SimpleNamespace

import pytest
import torch

from reidlab import recipes
from reidlab.losses import Identity, Triplet
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
    assert (recipe.pad, recipe.erasing) == (10, 0.5)
    assert recipe.losses == (Identity(label_smoothing=0.0), Triplet(margin=None, on="features"))


@pytest.mark.parametrize(
    ("paper", "grid"),
    [
        ("la_transformer", (14, 14)), ("la_tf_pp", (14, 14)), ("gltrans", (21, 10)),
        ("tvtr", (23, 11)), ("transreid", (21, 10)), ("vit_baseline", (16, 8)),
    ],
)  # fmt: skip
def test_grids_of_the_papers(paper, grid):
    recipe = recipes.get(paper, "paper")
    assert tuple((side - 16) // recipe.stride + 1 for side in recipe.image_size) == grid


PRESETS = {
    "vit_baseline": (None,),
    "la_transformer": ("code", "paper"),
    "la_tf_pp": ("code", "paper"),
    "gltrans": ("paper", "code"),
    "transreid": ("code",),
    "pcb": ("paper",),
    "tvtr": ("paper",),
    "agw": (None,),
    "transmatcher": ("code",),
    "qaconv": ("code", "paper"),
}
ALL = [
    (paper, profile, preset)
    for paper, presets in PRESETS.items()
    for profile in ("smoke", "laptop", "paper")
    for preset in presets
]


def test_the_presets_of_a_paper_the_default_first():
    assert {paper: recipes.presets(paper) for paper in recipes.names()} == PRESETS
    for paper, profile, preset in ALL:
        recipe = recipes.get(paper, profile, preset)
        assert (recipe.model, recipe.profile, recipe.preset) == (paper, profile, preset)
        if preset == PRESETS[paper][0]:
            assert recipes.get(paper, profile) == recipe


@pytest.mark.parametrize("paper", ["la_transformer", "la_tf_pp", "gltrans"])
@pytest.mark.parametrize("profile", ["smoke", "laptop"])
def test_a_size_changes_the_same_in_both_presets(paper, profile):
    small = {preset: recipes.get(paper, profile, preset) for preset in ("code", "paper")}
    whole = {preset: recipes.get(paper, "paper", preset) for preset in ("code", "paper")}
    apart = differences(small["code"], small["paper"])
    assert apart.keys() == differences(whole["code"], whole["paper"]).keys() - {"epochs"}


@pytest.mark.parametrize(("paper", "profile", "preset"), ALL)
def test_each_profile_builds_its_model(paper, profile, preset):
    """Sizes without numbers: the weights of "paper" are a download."""
    recipe = recipes.get(paper, profile, preset).replace(weights=None)
    people = SimpleNamespace(num_classes=62, num_cameras=2, name="pku-reid")
    with torch.device("meta"):
        model = build_model(recipe, people)
    assert model.num_classes == 62
    assert model.backbone.image_size == recipe.image_size


def test_la_transformers_program():
    recipe = recipes.get("la_transformer", "paper", "code")
    assert (recipe.preset, recipe.switches) == ("code", {})
    assert (recipe.backbone, recipe.weights) == (
        "vit_base_patch16_224.orig_in21k_ft_in1k", "timm",
    )  # fmt: skip
    assert (recipe.image_size, recipe.stride, recipe.normalization) == ((224, 224), 16, "imagenet")
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == ("adam", 3e-4, 5e-4)
    assert (recipe.schedule, recipe.lr_decay, recipe.decay_every) == ("decay", 0.8, 2)
    assert (recipe.unfreezing, recipe.epochs) == ("code", 30)
    assert (recipe.sampler, recipe.batch_size) == ("shuffle", 32)
    assert recipe.losses == (Identity(label_smoothing=0.0, over_heads="sum"),)
    assert (recipe.interpolation, recipe.pad, recipe.flip, recipe.erasing) == ("bicubic", 0, 0.5, 0)
    assert (recipe.validate_every, recipe.validate_on, recipe.keep) == (1, "images", "best")
    assert (recipe.head_lr_multiplier, recipe.bias_lr_multiplier, recipe.layer_decay) == (1, 1, 1)
    assert (recipe.precision, recipe.clip_grad, recipe.ema_decay) == ("no", None, None)


def test_la_transformers_paper_where_it_differs():
    code, paper = (recipes.get("la_transformer", "paper", p) for p in ("code", "paper"))
    assert differences(code, paper) == {
        "preset": "paper", "lr_decay": 0.85, "unfreezing": "algorithm-1", "weight_decay": 0.0,
    }  # fmt: skip


def test_la_tf_pps_program_where_it_differs_from_la_transformers():
    code, plus = (recipes.get(paper, "paper", "code") for paper in ("la_transformer", "la_tf_pp"))
    assert differences(code, plus) == {
        "model": "la_tf_pp", "backbone": "vit_base_patch16_224.augreg_in21k_ft_in1k",
        "epochs": 15, "validate_every": None, "keep": "last",
        "losses": {
            "identity": {"label_smoothing": 0.1, "over_heads": "sum", "weight": 1.0},
            "triplet": {"margin": 0.3, "on": "logits", "over_heads": "sum", "weight": 1.0},
        },
    }  # fmt: skip


def test_la_tf_pps_paper_where_it_differs_from_its_program():
    code, paper = (recipes.get("la_tf_pp", "paper", p) for p in ("code", "paper"))
    assert differences(code, paper) == {
        "preset": "paper", "epochs": 30, "unfreezing": "algorithm-1", "weight_decay": 0.0,
        "sampler": "identity", "losses": {
            "identity": {"label_smoothing": 0.1, "over_heads": "sum", "weight": 1.0},
            "triplet": {"margin": 0.3, "on": "features", "over_heads": "sum", "weight": 1.0},
        },
    }  # fmt: skip


def test_gltrans_where_it_differs_from_transreids_baseline():
    heads = {"over_heads": "mean", "weight": 1.0}
    before, gltrans = (recipes.get(paper, "paper") for paper in ("vit_baseline", "gltrans"))
    assert differences(before, gltrans) == {
        "model": "gltrans", "preset": "paper", "stride": 12, "camera_embedding": True,
        "epochs": 200,
    }  # fmt: skip
    assert gltrans.to_dict()["losses"] == {
        "identity": {"label_smoothing": 0.0, **heads},
        "triplet": {"margin": None, "on": "features", **heads},
    }
    assert differences(gltrans, recipes.get("gltrans", "paper", "code")) == {"preset": "code"}
    apart = differences(gltrans, recipes.get("pcb", "paper"))
    assert apart == {"model": "pcb", "losses": {"identity": {"label_smoothing": 0.0, **heads}}}


def test_tvtr_where_it_differs_from_transreids_baseline_and_its_own():
    before, paper = (recipes.get(name, "paper") for name in ("vit_baseline", "tvtr"))
    assert {"image_size": [288, 144], "stride": 12, "sampler": "cross-modal"}.items() <= (
        differences(before, paper).items()
    )
    assert (paper.identities_per_batch, paper.images_per_identity, paper.lr) == (8, 8, 0.01)
    circles = {
        name: (loss["gamma"], loss["margin"]) for name, loss in paper.to_dict()["losses"].items()
    }
    assert circles == {"global_circle": (30.0, 0.5), "pairwise_circle": (20.0, 0.25)}
    baseline = paper.replace(**recipes.tvtr.BASELINE)
    assert differences(paper, baseline).keys() == {"switches", "losses"}
    assert [loss.name for loss in baseline.losses] == ["identity", "weighted_triplet"]


def test_transreid_where_it_differs_from_its_baseline():
    before, full = (recipes.get(paper, "paper") for paper in ("vit_baseline", "transreid"))
    assert differences(before, full) == {
        "model": "transreid", "preset": "code", "stride": 12, "camera_embedding": True,
        "losses": {
            "identity": {"label_smoothing": 0.0, "over_heads": "halves", "weight": 1.0},
            "triplet": {"margin": None, "on": "features", "over_heads": "halves", "weight": 1.0},
        },
    }  # fmt: skip


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("paper", ["vit_baseline", "gltrans", "transreid", "pcb"])
def test_recipes_of_vehicles(paper, profile):
    recipe = recipes.get(paper, profile, of="vehicles").replace(weights=None)
    assert recipe.image_size[0] == recipe.image_size[1]
    cars = SimpleNamespace(num_classes=576, num_cameras=20, num_views=8, name="veri776")
    with torch.device("meta"):
        model = build_model(recipe, cars)
    if profile == "paper":
        grid = (16, 16) if paper == "vit_baseline" else (21, 21)
        assert model.backbone.grid == grid
        assert recipe.lr == (0.008 if paper == "vit_baseline" else 0.01)
        table = model.backbone.sie_embed
        rows = {"vit_baseline": 0, "transreid": 160}.get(paper, 20)
        assert (0 if table is None else len(table)) == rows
    if paper == "transreid":
        assert model.switches.shift == 8


def test_a_paper_without_vehicles():
    message = r"la_tf_pp has no recipe of 'vehicles'; .* one of: gltrans, pcb, transreid, vit_base"
    with pytest.raises(ValueError, match=message):
        recipes.get("la_tf_pp", of="vehicles")
    with pytest.raises(ValueError, match=r"gltrans has no recipe of 'cars'; expected 'people'"):
        recipes.get("gltrans", of="cars")


def differences(one, other):
    before = one.to_dict()
    return {key: value for key, value in other.to_dict().items() if value != before.get(key)}


def test_unknown_names():
    with pytest.raises(
        ValueError,
        match=r"no recipe for 'vit'; there are: agw, gltrans, la_tf_pp, la_transformer, pcb",
    ):
        recipes.get("vit", "laptop")
    with pytest.raises(ValueError, match=r"no profile 'huge'; it has: laptop, smoke, paper"):
        recipes.get("vit_baseline", "huge")
    with pytest.raises(ValueError, match=r"no profile 'code'; it has: .*argument: preset='code'"):
        recipes.get("la_transformer", "code")
    with pytest.raises(ValueError, match=r"la_tf_pp has no preset 'text'; it has: code, paper\."):
        recipes.get("la_tf_pp", "laptop", "text")
    with pytest.raises(ValueError, match=r"vit_baseline has no preset 'code'; it has: none: its"):
        recipes.get("vit_baseline", "laptop", "code")
