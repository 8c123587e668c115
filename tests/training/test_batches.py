"""What a loss may read of a batch, and the share of each process."""

import dataclasses

import numpy as np
import pytest

from reidlab.training import training_batches


@pytest.fixture
def mixed(ds):
    """Every third image is infrared, and views count up."""
    places = np.arange(len(ds.train))
    modality = np.where(places % 3 == 0, "infrared", "visible")
    return dataclasses.replace(ds, train=ds.train.assign(modality=modality, view=places % 5 - 1))


def test_rows_of_the_table_come_with_their_images(mixed, recipe):
    loader = training_batches(mixed, recipe, seed=3)
    loader.batch_sampler.set_epoch(1)
    batches = list(loader)
    assert len(batches) == len(loader) > 2
    for batch in batches:
        rows = mixed.train.iloc[batch["index"].tolist()]
        assert batch["image"].shape == (recipe.batch_size, 3, *recipe.image_size)
        for name in ("label", "pid", "camid", "view"):
            assert batch[name].tolist() == rows[name].tolist()
        assert batch["modality"].tolist() == [int(m == "infrared") for m in rows["modality"]]


def test_a_table_without_view_and_modality(ds, recipe):
    bare = dataclasses.replace(ds, train=ds.train.drop(columns=["modality", "view"]))
    batch = next(iter(training_batches(bare, recipe)))
    assert set(batch["modality"].tolist()) == {0}
    assert set(batch["view"].tolist()) == {-1}


@pytest.mark.parametrize("sampler", ["identity", "shuffle"])
def test_the_seed_decides_the_batches_and_the_pixels(ds, recipe, sampler):
    recipe = recipe.replace(sampler=sampler)
    first, same, other = (next(iter(training_batches(ds, recipe, seed=seed))) for seed in (1, 1, 2))
    assert first["index"].equal(same["index"])
    assert first["image"].equal(same["image"])
    assert not first["index"].equal(other["index"])
