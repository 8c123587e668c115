"""Networks for visible and infrared images, trained and judged on both layouts, in seconds."""

import numpy as np
import pytest
import torch

from reidlab import recipes
from reidlab.data import open_dataset
from reidlab.errors import RecipeError
from reidlab.judging import embed
from reidlab.synth import suggested_world, write_dataset
from reidlab.training import build_model, fit, training_batches

CHANGES = {"tvtr": {}, "baseline": recipes.tvtr.BASELINE, "agw": {}}
LOSSES = {
    "tvtr": {"global_circle", "pairwise_circle"},
    "baseline": {"identity", "weighted_triplet"},
    "agw": {"identity", "weighted_triplet"},
}


@pytest.fixture(scope="module", params=["sysu-mm01", "regdb"])
def day_night(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param) / "set"
    world = suggested_world(request.param, identities=16, resolution=(32, 16), images_per_camera=2)
    return open_dataset(request.param, write_dataset(request.param, root, world))


def small(name):
    paper = "agw" if name == "agw" else "tvtr"
    return recipes.get(paper, "smoke").replace(precision="no", **CHANGES[name])


@pytest.mark.parametrize("name", CHANGES)
def test_from_a_recipe_to_a_record(name, day_night, tmp_path):
    recipe = small(name)
    model = build_model(recipe, day_night)
    record = fit(model, day_night, recipe, out=tmp_path)
    assert record.history[0]["losses"].keys() == LOSSES[name]
    assert all(np.isfinite(value) for value in record.history[0]["losses"].values())
    assert 0 < record.metrics["mAP"] <= 1
    assert embed(model, day_night.query, recipe).shape == (len(day_night.query), model.embed_dim)


def test_batches_of_a_recipe(day_night):
    recipe = recipes.get("tvtr", "smoke")
    for batch in training_batches(day_night, recipe):
        modality, who = (batch[key].view(4, 4) for key in ("modality", "label"))
        assert modality.tolist() == [[0, 0, 1, 1]] * 4
        assert (who == who[:, :1]).all()


def test_changes_of_colour_reach_the_batches(day_night):
    plain = recipes.get("tvtr", "smoke").replace(flip=0.0, erasing=0.0, pad=0)
    first, grey = (
        next(iter(training_batches(day_night, recipe)))
        for recipe in (plain, plain.replace(grey=1.0))
    )
    assert torch.equal(first["index"], grey["index"])
    visible = first["modality"] == 0
    assert (first["image"][visible].std(1) > 0.02).any()
    assert grey["image"].std(1).max() < 1e-6


def test_a_person_without_infrared_images_is_named_and_trained_on(day_night, tmp_path):
    train = day_night.train
    person = int(train["pid"].iloc[0])
    kept = train[(train["pid"] != person) | (train["modality"] == "visible")]
    ds = day_night.__class__(**{**vars(day_night), "train": kept.reset_index(drop=True)})
    recipe = small("tvtr")
    with pytest.warns(
        UserWarning, match=rf"1 of the \d+ training .* no infrared images \({person}"
    ):
        record = fit(build_model(recipe, ds), ds, recipe, out=tmp_path)
    assert np.isfinite(record.history[0]["loss"])


def test_a_loss_across_modalities_needs_batches_of_both(day_night, tmp_path):
    recipe = small("tvtr").replace(sampler="identity")
    message = r"pairwise_circle compares visible with infrared .* 'identity', .*; use 'cross-modal'"
    with pytest.raises(RecipeError, match=message):
        fit(build_model(recipe, day_night), day_night, recipe, out=tmp_path)
    assert not list(tmp_path.iterdir())
