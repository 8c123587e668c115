"""What tests of several packages share."""

import os
from pathlib import Path

import pytest
import torch


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
