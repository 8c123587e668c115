"""One door for randomness."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device.

    The same seed on the same machine gives the same run on a CPU, bit for bit. On a GPU some
    kernels add in an order of their own (the backward pass of fused attention, for one), so the
    last bits may differ; cuDNN is at least kept from choosing its kernels by stop-watch.

    Raises:
        ValueError: If the seed is not in [0, 2**32), the range NumPy accepts.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; expected an integer from 0 to 2**32 - 1.")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries still draw from the global generator
    torch.manual_seed(seed)  # seeds CUDA too
    torch.backends.cudnn.benchmark = False


def epoch_seed(seed: int, epoch: int, process: int = 0) -> int:
    """A seed for one epoch of one process, so that an epoch does not depend on those before it.

    This is what makes a resumed run equal to one that was never interrupted: there is no state of a
    random generator to carry over.
    """
    return int(np.random.SeedSequence([seed, epoch, process]).generate_state(1)[0])
