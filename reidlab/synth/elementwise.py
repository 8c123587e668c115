"""Element-wise choices without branches: a condition is a float, 1 or 0, and "and" a product.

Torch is quick at those and slow at booleans; and all of it is rounded exactly, see `raycast`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fraction(x: Tensor) -> Tensor:
    """x minus the integer below it."""
    return x - torch.floor(x)


def less(a: Tensor, b: Tensor | float) -> Tensor:
    """1.0 where a < b, else 0.0; b broadcasts to a."""
    return torch.lt(a, b, out=torch.empty_like(a))


def more(a: Tensor, b: Tensor | float) -> Tensor:
    """1.0 where a > b, else 0.0; b broadcasts to a."""
    return torch.gt(a, b, out=torch.empty_like(a))


def triangle(x: Tensor) -> Tensor:
    """A wave of period 1 between -1 and 1 without a transcendental function."""
    return fraction(x).sub_(0.5).abs_().mul_(4.0).sub_(1.0)
