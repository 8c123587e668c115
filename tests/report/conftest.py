"""Records and pictures to report on, made by hand."""

import copy

import numpy as np
import pytest

RECORD = {
    "schema": 1,
    "experiment": {
        "paper": "transreid",
        "variant": "vit_baseline",
        "preset": "paper",
        "profile": "laptop",
        "recipe": {"epochs": 3, "lr": 0.008},
    },
    "seed": 0,
    "commit": "0123456789abcdef",
    "dirty": False,
    "data": {"name": "market1501", "fingerprint": "ab" * 32, "query_images": 8},
    "environment": {"python": "3.11", "device": "CPU", "cores": 2},
    "metrics": {"rank1": 0.5, "mAP": 0.25},
    "seconds": {"train": 60.0, "embed": 2.0, "rank": 0.5},
    "images_per_second": 100.0,
    "peak_memory_mb": 900.0,
    "started": "2030-01-01T00:00:00",
    "finished": "2030-01-01T00:01:02",
    "history": [{"epoch": 1, "loss": 2.0}],
}


@pytest.fixture
def record():
    return copy.deepcopy(RECORD)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (32, 16, 3), dtype=np.uint8) for _ in range(6)]
