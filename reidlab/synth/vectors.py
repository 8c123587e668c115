"""Vectors of three in the last axis of arrays, written out so that the order of sums is fixed."""

from __future__ import annotations

import numpy as np

from reidlab.synth.draws import Array


def dot(a: Array, b: Array) -> Array:
    """(…, 3) and (…, 3) to (…)."""
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def cross(a: Array, b: Array) -> Array:
    """(…, 3) and (…, 3) to (…, 3)."""
    return np.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        axis=-1,
    )


def unit(v: Array) -> Array:
    """(…, 3) scaled to length one; a zero vector stays zero."""
    return v / np.sqrt(np.maximum(dot(v, v), 1e-18))[..., None]
