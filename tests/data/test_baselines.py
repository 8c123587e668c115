"""Untrained features: on images whose answer is known, and on PKU-Reid where it is present."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reidlab.data import (
    DatasetError,
    mask_path,
    mean_color_features,
    open_dataset,
    pixel_features,
)
from reidlab.evaluation import evaluate


@pytest.fixture
def painted(tmp_path):
    """A red person in front of a blue wall, with a green occluder: thirds of the image."""
    path = tmp_path / "query" / "0001_c1s1_000001_01.png"
    pixels = np.zeros((30, 10, 3), np.uint8)
    pixels[:10], pixels[10:20], pixels[20:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    mask = np.zeros((30, 10), np.uint8)
    mask[:10], mask[10:20] = 2, 7
    path.parent.mkdir()
    mask_path(path).parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path)
    Image.fromarray(mask).save(mask_path(path))
    return pd.DataFrame({"path": [str(path)]})


def test_mean_colour(painted):
    np.testing.assert_allclose(mean_color_features(painted), [[1 / 3, 1 / 3, 1 / 3]])


def test_background_leaves_the_person_out_but_not_the_occluder(painted):
    features = mean_color_features(painted, background_only=True)
    np.testing.assert_allclose(features, [[0, 1 / 2, 1 / 2]])


def test_an_image_full_of_person_has_no_background(painted):
    path = painted["path"].iloc[0]
    Image.fromarray(np.full((30, 10), 3, np.uint8)).save(mask_path(path))
    assert mean_color_features(painted, background_only=True).tolist() == [[0, 0, 0]]


def test_masks_lie_beside_the_folders():
    path = Path("/data/set/bounding_box_train/0002_c1s1_000451_03.jpg")
    assert mask_path(path) == Path("/data/set/masks/bounding_box_train/0002_c1s1_000451_03.png")


@pytest.mark.parametrize(
    "image", ["cam1/0006/0001.jpg", "cuhk03_release/cuhk-03.mat/detected/1_001_1_01.png"]
)
def test_masks_of_deeper_layouts(image, tmp_path):
    (tmp_path / "masks").mkdir()
    assert mask_path(tmp_path / image) == tmp_path / "masks" / Path(image).with_suffix(".png")


def test_real_sets_have_no_masks(market_root):
    ds = open_dataset("market1501", market_root)
    with pytest.raises(DatasetError, match=r"no mask .*only synthetic sets have masks"):
        mean_color_features(ds.query, background_only=True)


def test_pixel_features_have_unit_length(market_root):
    features = pixel_features(open_dataset("market1501", market_root).train)
    assert features.shape == (5, 588)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1)
    rows = features.reshape(5, 14, 42)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=2), 1 / np.sqrt(14))


@pytest.mark.parametrize(
    ("split", "sizes", "expected"),
    [
        ("all_imgs", [992, 192, 192], [5.21, 21.88, 30.21, 8.53]),
        ("official", [992, 28, 181], [7.14, 32.14, 46.43, 10.56]),
    ],
)
def test_pixel_baseline_on_pku(real_pku_root, split, sizes, expected):
    ds = open_dataset("pku-reid", real_pku_root, split=split)
    assert ds.warnings == ()
    assert ds.describe()["images"].tolist() == sizes
    assert ds.describe()["difference"].tolist() == [0, 0, 0]
    assert (ds.num_classes, ds.num_cameras) == (62, 2)
    result = evaluate(
        pixel_features(ds.query),
        pixel_features(ds.gallery),
        ds.query["pid"],
        ds.gallery["pid"],
        ds.query["camid"],
        ds.gallery["camid"],
    )
    values = result.rank1, result.cmc(5), result.cmc(10), result.mAP
    assert [round(100 * value, 2) for value in values] == expected
