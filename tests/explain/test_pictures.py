"""Pairs, batches and masks, against loops over the tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from reidlab.data import open_dataset
from reidlab.explain import cross_camera_pairs, few_people, image_batch, true_masks
from reidlab.synth import World, write_dataset


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


def test_few_people_of_what():
    for wrong, message in (({"across": "modalities"}, "modalities"), ({"count": 0}, "count is 0")):
        with pytest.raises(ValueError, match=message):
            few_people(None, seed=0, **wrong)


def test_few_people_are_seen_by_several_cameras(ds):
    found = few_people(ds, count=2, images=1, seed=2)
    pd.testing.assert_frame_equal(found, few_people(ds, count=2, images=1, seed=2))
    assert found.path.is_unique
    assert found.pid.nunique() == 2
    for pid, own in found.groupby("pid"):
        seen = {
            f"camera {image.camid}"
            for frame in (ds.query, ds.gallery)
            for image in frame.itertuples()
            if image.pid == pid
        }
        assert sorted(own.group) == sorted(seen), "each camera once"
        assert len(seen) > 1
    every = few_people(ds, count=1000, images=1000)
    assert set(every.pid) == {*ds.query.pid}
    assert len(every) == every.path.nunique() > len(found)


def test_few_people_across_modalities(tmp_path):
    world = World(seed=3, identities=6, cameras=4, infrared_cameras=2, images_per_camera=2,
                  resolution=(32, 16))  # fmt: skip
    ds = open_dataset("sysu-mm01", write_dataset("sysu-mm01", tmp_path, world))
    found = few_people(ds, "modality", images=1)
    assert (found.group == found.modality).all()
    assert (found.groupby("pid").size() == 2).all()


def test_true_masks_are_those_on_disk_or_none(ds, tmp_path):
    paths = ds.query.path[:2]
    masks = true_masks(paths)
    assert masks.shape == (2, *np.asarray(Image.open(paths.iloc[0])).shape[:2])
    assert 0 < int(masks.max()) <= 7
    Image.new("RGB", (4, 8)).save(tmp_path / "real.png")
    assert true_masks([*paths, tmp_path / "real.png"]) is None


def test_image_batch_keeps_the_order(ds):
    def transform(image):
        return torch.tensor(np.asarray(image)).permute(2, 0, 1)

    paths = ds.query.path[:3].tolist()
    batch = image_batch(paths, transform)
    for images, path in zip(batch, paths, strict=True):
        assert np.array_equal(images.permute(1, 2, 0), np.asarray(Image.open(path)))
