"""Doubles: people who come in pairs and differ in one thing, for questions about small details.

Persons 2k+1 and 2k+2 share build, wardrobe, colours and how they walk; the second of them has
shoes, a logo or a bag of another colour. The first is drawn as anybody is, the second with the
first in view, so that the two differ by more than light and distance can blur.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from reidlab.synth.draws import DOUBLE, Array, Draws
from reidlab.synth.people import (
    BAG,
    H_STRIPES,
    PLAIN,
    SHOES,
    SOLE,
    TOP,
    WARDROBE,
    WHITE_SOLE,
    People,
    dyed,
    palette_weights,
    sample_people,
    sample_tones,
)
from reidlab.synth.styles import COLOURS, STYLES
from reidlab.synth.subject import Flag, Index, linear

_Far = Callable[..., tuple[Index, Array]]  # `_far` with the colours of a world

DIFFER = ("shoes", "logo", "bag")

# Least distance between what tells two doubles apart, see `distance`: from black to white it is
# 1.4, from navy to denim 0.25. Black and white are in every palette, and one of them is that far.
APART = 0.5


def distance(one: Array, other: Array) -> Array:
    """(…, 3) linear RGB to (…): Euclidean, of square roots, as an eye and a file space them."""
    return np.sqrt(((np.sqrt(one) - np.sqrt(other)) ** 2).sum(axis=-1))


def sample_doubles(
    seed: int, pids: list[int], differ: str, *, style: str, palette: int, detail: float, **more: Any
) -> People:
    """Draw people `pids` of a world of doubles; the rest of the arguments as `sample_people`.

    Only these columns differ within a pair; what infrared cameras see of a colour is shared too.

    - shoes: `colour` and `colour_name` of the shoes, and `colour` of a sole that is not white.
    - logo: `colour2` (the logo's), `scale` and `offset` of the top. Everybody has a logo; tops are
      closed and without a scarf before them.
    - bag: `colour`, `colour_name`, `colour2` and `pattern` of the bag. Everybody has one.

    Args:
        seed: the world's seed.
        pids: identities; each is the same person whatever else is asked for.
        differ: one of `DIFFER`.
    """
    firsts = [max(pid - 1 + pid % 2, 0) for pid in pids]  # 1 of 1 and 2, 3 of 3 and 4; 0 of 0
    people = sample_people(
        seed, firsts, style=style, palette=palette, detail=detail, shown=differ, **more
    )
    second = np.array([pid != first for pid, first in zip(pids, firsts, strict=True)], dtype=bool)
    far = partial(_far, weights=palette_weights(len(COLOURS), STYLES[style]), palette=palette)
    own = Draws(seed, DOUBLE, [(pid,) for pid in pids], 20)
    if differ == "shoes":
        _change_shoes(people, second, own, far)
    elif differ == "bag":
        _change_bags(people, second, own, far)
    else:
        first = Draws(seed, DOUBLE, [(pid,) for pid in firsts], 20)
        _change_logos(people, second, (first, own), far, detail)
    return people


def _change_shoes(people: People, second: Flag, d: Draws, far: _Far) -> None:
    colour = people.colour
    picked, seen = far(d, [colour[:, SHOES]], sample_tones(d))
    colour[second, SHOES], people.colour_name[second, SHOES] = seen[second], picked[second]
    follows = second & np.any(colour[:, SOLE] != WHITE_SOLE, axis=1)
    colour[follows, SOLE] = linear(WARDROBE[picked])[follows] * 0.5


def _change_bags(people: People, second: Flag, d: Draws, far: _Far) -> None:
    """No colour that shows on the first bag is near one on the second."""
    colour, colour2, pattern = people.colour, people.colour2, people.pattern
    striped = (pattern[:, BAG] == H_STRIPES)[:, None]
    shown = [colour[:, BAG], np.where(striped, colour2[:, BAG], colour[:, BAG])]
    picked, seen = far(d, shown, sample_tones(d))
    _, stripes = far(d, shown)
    colour[second, BAG], colour2[second, BAG] = seen[second], stripes[second]
    people.colour_name[second, BAG] = picked[second]
    pattern[second, BAG] = np.where(d.chance(0.6), PLAIN, H_STRIPES)[second]


def _change_logos(
    people: People, second: Flag, draws: tuple[Draws, Draws], far: _Far, detail: float
) -> None:
    """One logo is small and one is large, on different sides of the chest, both far from the top.

    `draws` are those of the first of each pair, and those of each person.
    """
    large, side = np.zeros(len(people), dtype=bool), np.ones(len(people))
    near = [people.colour[:, TOP]]
    for number, (d, rows) in enumerate(zip(draws, (~second, second), strict=True)):
        large = ~large if number else d.chance(0.5)
        side = -side if number else np.where(d.chance(0.5), 1.0, -1.0)
        size = np.where(large, d.uniform(0.18, 0.23), d.uniform(0.10, 0.13))
        place = np.stack([side * d.uniform(0.035, 0.075), d.uniform(0.68, 0.74)], axis=1)
        _, seen = far(d, near)
        near.append(seen)
        people.colour2[rows, TOP], people.offset[rows, TOP] = seen[rows], place[rows]
        people.scale[rows, TOP] = (size * detail)[rows]


def _far(
    d: Draws, near: list[Array], tones: Array | None = None, *, weights: Array, palette: int
) -> tuple[Index, Array]:
    """A colour per row that is `APART` from all in `near`, of the palette if it has such a one.

    Rarely no colour at all is that far from two others: then it is the farthest, 0.4 or more apart.

    Args:
        d: draws of N rows; one column is used.
        near: (N, 3) linear RGB each.
        tones: (N, 3) what each row's fabric makes of its dye.
        weights: (C,) of the wardrobe's colours.
        palette: how many of them exist in this world. Two or three colours cannot keep apart from
            a pair; then any colour of the wardrobe may come.

    Returns:
        (N,) index of the colour, and (N, 3) the colour in linear RGB.
    """
    offered = np.broadcast_to(linear(WARDROBE), (len(near[0]), *WARDROBE.shape))
    if tones is not None:
        offered = dyed(offered, tones[:, None])
    gap = np.min([distance(offered, colour[:, None]) for colour in near], axis=0)
    far = gap >= np.minimum(gap.max(axis=1, keepdims=True), APART)
    within = far & (np.arange(len(WARDROBE)) < palette)
    chosen = np.where(within.any(axis=1, keepdims=True), within, far)
    cumulative = np.cumsum(chosen * weights, axis=1)
    picked = np.argmax(cumulative > (d.uniform() * cumulative[:, -1])[:, None], axis=1)
    return picked, offered[np.arange(len(picked)), picked]
