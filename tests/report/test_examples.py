"""Examples by rule, against loops over the same queries."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from reidlab.data import open_dataset
from reidlab.evaluation import RankResult
from reidlab.report import style
from reidlab.report.examples import (
    cross_camera_pairs,
    heat_scores,
    image_batch,
    layers_above,
    true_masks,
    trusted_layers,
    typical_queries,
)
from reidlab.synth import World, write_dataset


def result_of(ap):
    ap = np.array(ap)
    valid = ~np.isnan(ap)
    return RankResult(ap, ap, valid.astype(int), valid, "standard", "full", "counted", 10)


def test_typical_queries_pass_over_those_that_do_not_count():
    found = typical_queries(result_of([0.5, np.nan, 0.9, 0.1, 0.7]))
    assert found == {"best": 2, "median": 4, "worst": 3}  # 0.7: the upper of 0.5 and 0.7


def test_typical_queries_of_equal_ap_are_the_first_and_the_last():
    assert typical_queries(result_of([0.5, 0.5, 0.5])) == {"best": 2, "median": 1, "worst": 0}
    assert typical_queries(result_of([np.nan, 0.5])) == {"best": 1, "median": 1, "worst": 1}
    with pytest.raises(ValueError, match="none of 2 queries counts"):
        typical_queries(result_of([np.nan, np.nan]))


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    world = World(seed=3, identities=6, cameras=3, images_per_camera=2, resolution=(32, 16))
    return open_dataset(
        "market1501", write_dataset("market1501", tmp_path_factory.mktemp("d"), world)
    )


def test_pairs_are_the_first_good_image_in_another_camera(ds):
    pairs = cross_camera_pairs(ds, count=1000, seed=0)
    expected = {}
    for query in ds.query.itertuples():
        for image in ds.gallery.itertuples():
            if image.pid == query.pid and image.camid != query.camid and not image.junk:
                expected[query.path] = image.path
                break
    assert dict(zip(pairs.path, pairs.path_2, strict=True)) == expected
    assert len(expected) > 1
    assert (pairs.camid != pairs.camid_2).all()


def test_pairs_are_drawn_by_the_seed(ds):
    few = cross_camera_pairs(ds, count=2, seed=1)
    pd.testing.assert_frame_equal(few, cross_camera_pairs(ds, count=2, seed=1))
    assert len(few) == 2
    with pytest.raises(ValueError, match="count is 0"):
        cross_camera_pairs(ds, count=0, seed=1)


def test_true_masks_are_those_on_disk_or_none(ds, tmp_path):
    paths = ds.query.path[:2]
    masks = true_masks(paths)
    assert masks.shape == (2, *np.asarray(Image.open(paths.iloc[0])).shape[:2])
    assert 0 < int(masks.max()) <= 7
    Image.new("RGB", (4, 8)).save(tmp_path / "real.png")
    assert true_masks([*paths, tmp_path / "real.png"]) is None


def test_heat_scores_by_hand():
    masks = torch.zeros(2, 2, 2, dtype=torch.long)
    masks[0, 0] = 2  # half of the first image is torso
    masks[1, 0, 0] = 1  # a quarter of the second is head
    heat = torch.zeros(2, 1, 2, 2)
    heat[0, 0, 0, 0] = 1.0  # all on the person
    heat[1, 0] = torch.tensor([[1.0, 1.0], [0.0, 0.0]])  # half
    table = heat_scores({"trained": heat, "blank": torch.zeros_like(heat) + 1}, masks, [12])
    assert list(table.columns) == ["layer 12 (%)"]
    assert table["layer 12 (%)"].to_dict() == {
        "trained": "75 ± 18",  # of 100 and 50: deviation 25 over the root of 2
        "blank": "38 ± 9",  # of 50 and 25
        "uniform map": "38 ± 9",
    }
    with pytest.raises(ValueError, match="with 2 layers"):
        heat_scores({"trained": heat}, masks, [11, 12])
    with pytest.raises(ValueError, match="heats have the shapes"):
        heat_scores({}, masks, [12])


def test_image_batch_keeps_the_order(ds):
    def transform(image):
        return torch.tensor(np.asarray(image)).permute(2, 0, 1)

    paths = ds.query.path[:3].tolist()
    batch = image_batch(paths, transform)
    for images, path in zip(batch, paths, strict=True):
        assert np.array_equal(images.permute(1, 2, 0), np.asarray(Image.open(path)))


def test_layers_above_a_uniform_map_and_a_control():
    masks = torch.zeros(4, 2, 2, dtype=torch.long)
    masks[:, 0] = 1  # the upper half is person
    on, off, blank = torch.zeros(4, 3, 2, 2).unbind(1)
    on[:, 0], off[:, 1] = 1, 1
    on[0] = off[0] = 1  # one image of four does not tell
    heat = torch.stack([on, off, blank], dim=1)[:, :2]
    assert layers_above(heat, masks, (11, 12)) == [11]
    assert layers_above(heat, masks, (11, 12), heat) == []
    assert layers_above(heat, masks, (11, 12), heat.flip(1)) == [11]


def test_the_layers_that_both_controls_leave_below():
    masks = torch.zeros(4, 2, 2, dtype=torch.uint8)
    masks[:, 0] = 1
    on, off = torch.zeros(2, 4, 2, 2)
    on[:, 0], off[:, 1] = 1, 1
    heat = torch.stack([on, off], dim=1)
    said = trusted_layers(heat, masks, (11, 12), heat)
    assert said.text.endswith("than a uniform map: 11; than random weights: none.")


def test_without_masks_nothing_is_scored():
    heat = torch.ones(4, 2, 2, 2)
    said = heat_scores({"trained": heat}, None, (11, 12))
    assert "no true masks" in said.text
    assert style.table(said) is said, "a sentence, and no table without numbers"
    assert trusted_layers(heat, None, (11, 12), heat) is None
    assert layers_above(heat, None, (11, 12)) == []
