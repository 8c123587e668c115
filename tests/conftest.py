"""What tests of several packages share."""

import gc
import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reidlab.data import open_dataset
from reidlab.training import Recipe, fitting, loop

os.environ["REIDLAB_PROGRESS"] = "plain"


def pytest_collection_finish():
    """What is imported stays: each training would go through its half a million objects."""
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: a second thread costs more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def real_pku_root() -> Path:
    """A copy of PKU-Reid, real images that are not ours to ship: read only."""
    given = os.environ.get("REIDLAB_PKU_ROOT")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "pku-reid"
    root = Path(given) if given else beside
    if not (root / "val").is_dir():
        pytest.skip(f"PKU-Reid is not at {root}; set REIDLAB_PKU_ROOT to run this test")
    return root


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


@pytest.fixture
def stopped_in():
    """`with stopped_in(2): fit(...)` trains one epoch and stops in the second, as by Ctrl-C.

    `stopped_in("evaluation")` stops after the last.
    """
    return _stopped_in


@contextmanager
def _stopped_in(place):
    whole = loop.train_epoch

    def train_epoch(session, number):
        if number == place:
            for parameter in session.model.parameters():  # it had begun to change them
                parameter.data.add_(1.0)
            raise KeyboardInterrupt
        return whole(session, number)

    def timed_evaluation(*_, **__):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_epoch", train_epoch)
        if place == "evaluation":
            patch.setattr(fitting, "timed_evaluation", timed_evaluation)
        with pytest.raises(KeyboardInterrupt):
            yield
