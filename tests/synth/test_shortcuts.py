"""Is the task honest? What needs no learning must not solve it (specs: no shortcuts).

Chapter 03 shows what a trained model reaches on such a set; chance is near 1.5 %.
"""

import numpy as np
import pytest
from PIL import Image

from reidlab import data, evaluation
from reidlab.data import baselines
from reidlab.synth import World, write_dataset


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """60 test people in 5 cameras."""
    root = tmp_path_factory.mktemp("shortcuts") / "set"
    world = World(seed=3, identities=70, cameras=5, resolution=(64, 32))
    return data.open_dataset(
        "market1501", write_dataset("market1501", root, world, train_fraction=1 / 7)
    )


def rank1(ds, features, metric="euclidean"):
    q, g = ds.query, ds.gallery
    result = evaluation.evaluate(
        features(q), features(g), *(f[c].to_numpy() for c in ("pid", "camid") for f in (q, g)),
        metric=metric,
    )  # fmt: skip
    assert result.num_valid > 200
    return result.rank1


def background(frame):
    """(N, 8 * 4 * 3) the picture in 8 x 4 blocks, the person painted over with the mean around."""
    features = []
    for path in frame["path"]:
        pixels = np.asarray(Image.open(path), dtype=float)
        mask = np.asarray(Image.open(baselines.mask_path(path)))
        person = (mask > 0) & (mask < 7)
        pixels[person] = pixels[~person].mean(axis=0)
        features.append(pixels.reshape(8, 8, 4, 8, 3).mean(axis=(1, 3)).ravel())
    return np.array(features)


def test_mean_colour_does_not_solve_it(people):
    assert rank1(people, baselines.mean_color_features) < 0.12


def test_pixels_do_not_solve_it(people):
    assert rank1(people, baselines.pixel_features, metric="cosine") < 0.25


@pytest.mark.parametrize(
    "features",
    [lambda frame: baselines.mean_color_features(frame, background_only=True), background],
    ids=["mean colour", "blocks"],
)
def test_the_background_alone_is_worth_chance(people, features):
    rng = np.random.default_rng(0)
    chance = rank1(people, lambda frame: rng.random((len(frame), 8)))
    assert chance < 0.06
    assert rank1(people, features) < 0.06
