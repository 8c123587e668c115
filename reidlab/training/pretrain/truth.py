"""What a synthetic world knows about its people: the targets of the pretraining."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reidlab.synth import PARTS, World
from reidlab.synth.people import BOTTOM, SHOES, SLEEVE, TOP
from reidlab.synth.styles import BOTTOMS, COLOURS, HAIR, HATS, PATTERNS, TOPS

GARMENTS = {"torso": TOP, "legs": BOTTOM, "feet": SHOES, "arms": SLEEVE}
"""The garment on a body part; heads and bags have no colour to name."""
CHOICES = (
    *map(len, (TOPS, BOTTOMS, HAIR, HATS)),
    *(2, 2, 2),  # backpack, bag, scarf
    *(len(PATTERNS), len(PATTERNS)),  # of top and trousers
    *(len(COLOURS) for _ in GARMENTS),
)
"""Number of values of each attribute, in the order of `attributes`."""
FIRST_COLOUR = len(CHOICES) - len(GARMENTS)
"""From this attribute on they are colours, which an infrared image does not show."""


def attributes(world: World) -> Tensor:
    """What everybody in a world wears: (people, attributes), int64."""
    people = world.people(list(range(1, world.identities + 1)))
    columns = (
        people.top, people.bottom, people.hair, people.hat, people.backpack, people.bag,
        people.scarf, people.pattern[:, [TOP, BOTTOM]], people.colour_name[:, [*GARMENTS.values()]],
    )  # fmt: skip
    return torch.from_numpy(np.column_stack(columns).astype(np.int64))


def garments(attributes: Tensor) -> Tensor:
    """Colour of the garment on each body part, -1 where there is none: (B, parts).

    Args:
        attributes: (B, attributes).
    """
    colours = attributes.new_full((len(attributes), len(PARTS)), -1)
    colours[:, [PARTS.index(part) for part in GARMENTS]] = attributes[:, FIRST_COLOUR:]
    return colours
