import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidlab.data import open_dataset
from reidlab.training import Recipe

os.environ["REIDLAB_PROGRESS"] = "plain"


def write_noise(root: Path, seed: int = 0) -> Path:
    """Market-1501's layout: people are a colour under noise; 8 to learn, 4 others to find."""
    rng = np.random.default_rng(seed)
    folders = {"bounding_box_train": range(1, 9), "query": range(9, 13)}
    folders["bounding_box_test"] = folders["query"]
    colours = rng.integers(0, 200, (13, 3))
    for folder, people in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for person in people:
            cameras = (1,) if folder == "query" else (1, 2, 2, 3)
            for shot, camera in enumerate(cameras):
                noise = rng.integers(0, 56, (64, 32, 3))
                pixels = (colours[person] + noise).astype(np.uint8)
                frame = shot + 10 * (folder == "query")
                name = f"{person:04d}_c{camera}s1_{frame:06d}_01.jpg"
                Image.fromarray(pixels).save(root / folder / name, quality=90)
    return root


@pytest.fixture(scope="session")
def noise_root(tmp_path_factory):
    return write_noise(tmp_path_factory.mktemp("noise"))


@pytest.fixture
def ds(noise_root):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not the published Market-1501
        return open_dataset("market1501", noise_root)


@pytest.fixture
def recipe():
    return Recipe(
        profile="smoke",
        image_size=(64, 32),
        depth=2,
        weights=None,
        drop_path=0.2,
        epochs=3,
        identities_per_batch=4,
        images_per_identity=2,
        lr=5e-4,
        embed_batch_size=7,
        workers=0,
    )
