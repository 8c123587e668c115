"""Tiny folders in the layouts of the real sets. Their images are noise; no person is in them."""

import numpy as np
import pytest
from PIL import Image


def write_image(path, seed=0, size=(32, 64)):
    """A noise image of (width, height) at path, JPEG data whatever its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG")
    return path


MARKET = {
    "bounding_box_train": [
        "0002_c1s1_000451_03.jpg",
        "0002_c2s1_000001_00.jpg",
        "0007_c1s2_000002_01.jpg",
        "0011_c3s1_000001_01.jpg",
        "0011_c3s1_000002_01.jpg",
    ],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c2s1_000001_00.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c3s1_000551_01.jpg",
        "0001_c2s1_000301_00.jpg",
        "0001_c1s1_001051_01.jpg",
        "0003_c6s3_012345_02.jpg",
    ],
}


def market(root):
    for folder, names in MARKET.items():
        for seed, name in enumerate(names):
            write_image(root / folder / name, seed)
    return root


@pytest.fixture
def market_root(tmp_path):
    """A complete synthetic Market-1501 of twelve images (world.json makes it synthetic)."""
    root = market(tmp_path / "market_c1")  # a folder name that itself looks like a camera
    (root / "world.json").write_text("{}")
    return root


@pytest.fixture
def pku_root(tmp_path):
    root = tmp_path / "pku"
    for person in ("001", "010"):
        for name in ("01_1.png", "02_8.png"):
            write_image(root / "train" / person / name)
    for part in ("all_imgs", "query", "gallery"):
        for name in ("01_1.png", "02_3.png"):
            write_image(root / "val" / part / "004" / name)
    return root
