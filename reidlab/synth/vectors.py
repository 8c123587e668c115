"""Vectors and elementary functions of arrays with the same bits with and without AVX-512.

Vectors of three lie in the last axis; their sums are written out, so that the order is fixed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.draws import Array

Value = NDArray[Any] | float

# The C library's functions, value by value. NumPy has others where a processor knows AVX-512, which
# differ in the last bit; then a few pixels of a thousand images differ, and so do fingerprints.
sin, cos, atan2, power = (
    np.vectorize(function, otypes=[np.float64])
    for function in (math.sin, math.cos, math.atan2, math.pow)
)


def dot(a: Array, b: Array) -> Array:
    """(…, 3) and (…, 3) to (…)."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def vector(x: Value, y: Value, z: Value) -> Array:
    """(n, 3) of three columns, each (n,) or a number."""
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)


def unit(v: Array) -> Array:
    """(…, 3) scaled to length one; a zero vector stays zero."""
    return v / np.sqrt(np.maximum(dot(v, v), 1e-18))[..., None]
