"""The heat on the person, against the steps one by one."""

import pandas as pd
import pytest
import torch

from reidlab import recipes
from reidlab.data import mask_path, open_dataset, read_image
from reidlab.explain import (
    SimilarityTarget,
    cross_camera_pairs,
    gradcam,
    heat_share,
    true_masks,
)
from reidlab.judging import test_transform as transform_of
from reidlab.models import create_model
from reidlab.report.examples import heat_scores
from reidlab.report.heat import heat_on_person
from reidlab.synth import World, write_dataset


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    world = World(seed=3, identities=8, cameras=2, images_per_camera=2, resolution=(64, 32))
    return open_dataset(
        "market1501", write_dataset("market1501", tmp_path_factory.mktemp("d"), world)
    )


@pytest.fixture(scope="module")
def recipe():
    return recipes.get("la_tf_pp", "smoke")


@pytest.fixture(scope="module")
def networks(recipe):
    torch.manual_seed(0)
    size = {"num_classes": 4, "weights": None, "image_size": recipe.image_size, "depth": 2}
    return {name: create_model("la_tf_pp", backbone=recipe.backbone, **size) for name in ("a", "b")}


def test_it_is_the_scores_of_the_last_layers(ds, recipe, networks):
    table = heat_on_person(networks, ds, recipe, count=3, seed=1)
    assert list(table.index) == ["a", "b", "uniform map", "clearly above all"]
    pairs = cross_camera_pairs(ds, 3, 1)
    x, y = (
        torch.stack([transform_of(recipe)(read_image(path)) for path in paths])
        for paths in (pairs.path, pairs.path_2)
    )
    heats = {}
    for name, network in networks.items():
        with torch.no_grad():
            target = SimilarityTarget(network.eval().embed(y))
        heats[name] = gradcam(network, x, target, layers=(1, 2))
    masks = true_masks(pairs.path)
    pd.testing.assert_frame_equal(table[:3], heat_scores(heats, masks, (1, 2)))
    person = {name: heat_share(heat, masks).person for name, heat in heats.items()}
    person["uniform map"] = heat_share(heats["a"], masks).area[:, None].expand(-1, 2)
    for layer in (0, 1):
        clear = True
        for control in ("b", "uniform map"):
            gap = (person["a"] - person[control])[:, layer]
            clear &= bool(gap.mean() > 2 * gap.std(correction=0) / len(gap) ** 0.5)
        assert table.iloc[3, layer] == ("yes" if clear else "no")


def test_without_masks_there_is_nothing_to_score(tmp_path, recipe, networks):
    world = World(seed=4, identities=4, cameras=2, images_per_camera=2, resolution=(32, 16))
    bare = open_dataset("market1501", write_dataset("market1501", tmp_path / "d", world))
    for path in bare.query.path:
        mask_path(path).unlink()
    said = heat_on_person(networks, bare, recipe, count=2, seed=0)
    assert "no true masks" in said.text
