"""What the renderer needs to know of a person or a vehicle: its size and its materials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.columns import Columns
from reidlab.synth.draws import Array
from reidlab.synth.vectors import power

Index = NDArray[np.int64]
Flag = NDArray[np.bool_]


@dataclass(frozen=True)
class Subject(Columns):
    """N people or vehicles as columns; a row's parts are coloured by M materials."""

    height: Array  # (N,) m
    colour: Array  # (N, M, 3) first colour per material, linear RGB
    colour2: Array  # (N, M, 3)
    infrared: Array  # (N, M) reflectance under near infrared, or warmth
    infrared2: Array  # (N, M)
    pattern: Index  # (N, M) which pattern mixes the two colours
    scale: Array  # (N, M) period or size of the pattern, m
    offset: Array  # (N, M, 2) where a logo, a print or a stripe sits
    colour_name: Index  # (N, M) into the table of colours, -1 where the material has none

    shine: ClassVar[Array]  # (M,) highlight of the sun on each material
    crease: ClassVar[Array]  # (M,) how deep its folds are, as a share of its reflectance
    mirror: ClassVar[Array | None] = None  # (M,) share of the sky that it reflects; None: matt

    def __len__(self) -> int:
        return len(self.height)


def linear(srgb: Array) -> Array:
    """sRGB in 0..255 to linear light in 0..1, elementwise."""
    scaled = np.asarray(srgb, dtype=np.float64) / 255.0
    return np.where(scaled <= 0.04045, scaled / 12.92, power((scaled + 0.055) / 1.055, 2.4))
