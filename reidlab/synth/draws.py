"""Random numbers that belong to a thing, not to an order of calls.

Every person, camera and image owns one short row of uniform numbers, drawn from a generator seeded
by what the thing *is* (world seed, kind, identity, camera, index). Whatever is derived from that
row is the same whichever batch, thread or run asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Key = tuple[int, int, int]  # an image: person or vehicle, camera, index
Keys = list[Key]

PERSON, CAMERA, IMAGE, VISIT = 1, 2, 3, 4  # kinds of things; part of the seed
PASSER, VEHICLE, ROAD, SENSOR = 5, 6, 7, 8
DOUBLE = 9


class Draws:
    """Hands out the columns of a block of uniform numbers, one named use after the other.

    Args:
        seed: the world's seed.
        kind: one of the constants above, such as `PERSON`.
        keys: one tuple of non-negative integers per row; equal keys give equal rows.
        columns: uniforms per row; asking for more is an error, so that rows never overlap.
    """

    def __init__(self, seed: int, kind: int, keys: Sequence[Sequence[int]], columns: int) -> None:
        self._block = np.empty((len(keys), columns))
        for row, key in zip(self._block, keys, strict=True):
            sequence = np.random.SeedSequence([seed, kind, *key])
            np.random.Generator(np.random.PCG64(sequence)).random(out=row)
        self._next = 0

    def uniform(self, low: float | Array = 0.0, high: float | Array = 1.0) -> Array:
        """(N,) uniform in [low, high)."""
        column = self._block[:, self._next]  # IndexError here: raise `columns`
        self._next += 1
        return low + (high - low) * column

    def around(self, mean: float | Array, spread: float | Array) -> Array:
        """(N,) triangular in mean ± spread: bell-like, bounded, no transcendental functions."""
        return mean + spread * (self.uniform() + self.uniform() - 1.0)

    def choice(self, weights: Sequence[float] | Array) -> NDArray[np.int64]:
        """(N,) indices drawn with `weights` (need not sum to one)."""
        cumulative = np.cumsum(np.asarray(weights, dtype=np.float64))
        picked = np.searchsorted(cumulative, self.uniform() * cumulative[-1], side="right")
        return np.minimum(picked, len(cumulative) - 1)

    def chance(self, probability: float | Array) -> NDArray[np.bool_]:
        """(N,) True with `probability`."""
        return self.uniform() < probability
