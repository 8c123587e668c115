"""Vehicles that do not exist: kind, measures, paint and accessories, as columns of arrays.

Two white saloons differ only in details (rims, stickers, rack, stripe, plate), as in VeRi-776.
All laws and numbers here are ours, after a look at any street.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reidlab.synth.draws import VEHICLE, Array, Draws
from reidlab.synth.subject import Flag, Index, Subject, linear

KINDS = ("saloon", "estate", "van", "pickup", "bus", "lorry")
SALOON, ESTATE, VAN, PICKUP, BUS, LORRY = range(len(KINDS))
ROOF_LOADS = ("none", "rack", "box", "sign")
RIMS = ("steel", "four spokes", "eight spokes", "six spokes", "ring")

MATERIALS = (
    "paint", "roof", "glass", "tyre", "trim", "lamp", "tail lamp", "plate", "load", "sticker",
    "ticket", "cargo", "chrome",
)  # fmt: skip
(PAINT, ROOF, GLASS, TYRE, TRIM, LAMP, TAIL, PLATE, LOAD, STICKER, TICKET, CARGO, CHROME) = range(
    len(MATERIALS)
)
# Patterns: on paint and glass in metres of the vehicle's frame, elsewhere in the primitive's.
LIVERIES = (
    "plain", "stripe", "two-tone", "bonnet stripes", "logo", "rim", "pillars", "letters", "slats",
    "reflector", "engine",
)  # fmt: skip
# Numbered apart from the patterns on clothes and boxes, but for plain, which is 0 everywhere.
_FIRST_LIVERY = 32
PLAIN = 0
STRIPE, TWO_TONE, BONNET, LOGO, RIM, PILLARS, LETTERS, SLATS, REFLECTOR, ENGINE = range(
    _FIRST_LIVERY + 1, _FIRST_LIVERY + len(LIVERIES)
)

# sRGB; the order matters: `palette=k` keeps the first k, so the early ones are far apart.
PAINTS: dict[str, tuple[int, int, int]] = {
    "white": (234, 234, 232), "black": (24, 24, 27), "silver": (172, 176, 181),
    "red": (158, 28, 32), "blue": (34, 66, 130), "grey": (104, 107, 112),
    "yellow": (222, 176, 40), "green": (38, 88, 62), "beige": (190, 174, 146),
    "graphite": (58, 61, 66), "brown": (86, 62, 48), "navy": (26, 34, 64),
    "orange": (206, 92, 34), "light blue": (122, 158, 192), "burgundy": (92, 24, 34),
    "cream": (222, 212, 192), "teal": (34, 94, 102), "gold": (164, 136, 84),
    "violet": (76, 58, 104), "dark green": (26, 50, 38),
}  # fmt: skip
_TRAFFIC = {
    "white": 5.5, "black": 4.0, "silver": 3.5, "grey": 3.0, "graphite": 2.5, "blue": 1.8,
    "red": 1.8, "navy": 1.5,
}  # fmt: skip
_RARE = 0.7  # weight of every other paint
_KIND_WEIGHTS = {  # in the order of KINDS
    "plaza": (4.2, 2.4, 1.6, 0.9, 0.8, 1.1),
    "mall": (5.0, 3.6, 0.9, 0.6, 0.2, 0.3),
    "night-street": (4.6, 2.0, 1.2, 0.7, 1.0, 1.2),
    "random": (3.0, 2.2, 1.6, 1.2, 1.2, 1.4),
}
# Length, width and height in metres, in the order of KINDS.
_MEASURES = np.array([
    (4.60, 1.80, 1.44), (4.55, 1.80, 1.50), (5.20, 1.96, 2.25), (5.25, 1.88, 1.78),
    (11.2, 2.50, 3.05), (7.60, 2.40, 3.25),
])  # fmt: skip
# Probability of a livery on the paint and of something on the roof, in the order of KINDS.
_LIVERIED = np.array([0.14, 0.14, 0.5, 0.3, 0.85, 0.6])
_LOADED = np.array([0.16, 0.45, 0.40, 0.35, 0.7, 0.45])


@dataclass(frozen=True)
class Vehicles(Subject):
    """N vehicles as columns. Lengths are metres; shares and shapes vary around 0 in -1..1."""

    kind: Index  # (N,) into KINDS
    length: Array  # (N,) m
    width: Array  # (N,) m
    bonnet: Array  # (N,) -1 short … 1 long
    cabin: Array  # (N,) -1 upright … 1 raked
    lamp: Array  # (N,) -1 narrow … 1 tall head lamps
    tail: Array  # (N,) -1 wide … 1 tall tail lamps
    grille: Array  # (N,) -1 small … 1 large
    second_name: Index  # (N,) into PAINTS: of stripes, logos and the lower half
    glazed: Flag  # vans: windows all around; lorries: an open platform instead of a box
    roof_load: Index  # (N,) into ROOF_LOADS
    spoiler: Flag
    sticker: Flag
    sticker_place: Array  # (N, 4) side -1 right or 1 left, along and up (0..1), size in m
    ticket: Flag  # a slip behind the windscreen
    ticket_place: Array  # (N, 2) across -1..1, size in m
    plate_place: Array  # (N,) height of the rear plate, -1..1

    shine = crease = np.zeros(len(MATERIALS))
    mirror = np.array([
        0.05, 0.05, 0.10, 0.0, 0.02, 0.12, 0.05, 0.0, 0.02, 0.0, 0.0, 0.02, 0.35,
    ])  # fmt: skip

    @property
    def livery(self) -> Index:
        """(N,) into LIVERIES: the pattern of the paint."""
        return np.maximum(self.pattern[:, PAINT] - _FIRST_LIVERY, PLAIN)


def sample_vehicles(
    seed: int, pids: list[int], *, style: str, palette: int, detail: float, thermal: bool = False
) -> Vehicles:
    """Draw vehicles `pids` of the world `seed`.

    Args:
        seed: the world's seed.
        pids: identities; the same number is the same vehicle whatever else is asked for.
        style: domain; it says how often each kind drives by.
        palette: how many paints exist in this world (all of `PAINTS` from their number on).
        detail: multiplies the size of stripes, logos and stickers.
        thermal: `infrared` is the warmth that a material radiates, not the light it reflects.
    """
    d = Draws(seed, VEHICLE, [(pid,) for pid in pids], 120)
    kind = d.choice(_KIND_WEIGHTS[style])
    size = _MEASURES[kind] * np.stack(
        [d.around(1.0, 0.06), d.around(1.0, 0.025), d.around(1.0, 0.05)], axis=1
    )
    length, width, height = size.T
    size_of_sticker = d.uniform(0.16, 0.34) * np.where(kind >= BUS, 2.0, 1.0) * detail
    columns: dict[str, Any] = {
        "kind": kind, "length": length, "width": width, "height": height,
        "bonnet": d.uniform(-1.0, 1.0), "cabin": d.uniform(-1.0, 1.0),
        "lamp": d.uniform(-1.0, 1.0), "tail": d.uniform(-1.0, 1.0),
        "grille": d.uniform(-1.0, 1.0), "glazed": d.chance(0.4),
        "roof_load": np.where(d.chance(_LOADED[kind]), 1 + d.choice((2.0, 1.0, 0.6)), 0),
        "spoiler": d.chance(0.2) & (kind <= ESTATE),
        "sticker": d.chance(0.4),
        "sticker_place": np.stack(
            [np.where(d.chance(0.5), 1.0, -1.0), d.uniform(), d.uniform(), size_of_sticker], axis=1
        ),
        "ticket": d.chance(0.6),
        "ticket_place": np.stack(
            [d.uniform(-0.8, 0.8), d.uniform(0.09, 0.15) * np.where(kind >= BUS, 1.8, 1.0)], axis=1
        ),
        "plate_place": d.uniform(-1.0, 1.0),
    }  # fmt: skip
    columns |= _materials(columns, d, palette, detail)
    if thermal:
        columns["infrared"], columns["infrared2"] = _warmth(d, len(pids))
    return Vehicles(**columns)


def _materials(columns: dict[str, Any], d: Draws, palette: int, detail: float) -> dict[str, Any]:
    """Two colours, reflectance and pattern of each material."""
    kind = columns["kind"]
    n, m = len(kind), len(MATERIALS)
    names = list(PAINTS)[:palette]
    table = np.array([PAINTS[name] for name in names], dtype=np.float64)
    weights = np.array([_TRAFFIC.get(name, _RARE) for name in names])
    paint, even = d.choice(weights), d.choice(np.ones(len(names)))
    paint = np.where((kind == BUS) & d.chance(0.7), even, paint)  # buses wear a city's colours
    other = d.choice(np.ones(len(names)))
    other = np.where(other == paint, (other + 1) % len(names), other)
    pale = np.where(d.chance(0.6), 0, d.choice(weights))  # most boxes of lorries are white
    sticker = d.choice(np.ones(len(names)))
    named = np.full((n, m), -1)
    named[:, PAINT], named[:, CARGO], named[:, STICKER] = paint, pale, sticker
    contrast_roof = d.chance(0.10) & (kind != BUS)
    named[:, ROOF] = np.where(contrast_roof, other, paint)
    shade = np.stack([d.around(1.0, 0.09) for _ in range(3)], axis=1)  # no two silvers are alike
    colour, colour2 = np.zeros((n, m, 3)), np.zeros((n, m, 3))
    for material in (PAINT, ROOF, CARGO, STICKER):
        colour[:, material] = np.clip(linear(table[named[:, material]]) * shade, 0.004, 0.9)
        colour2[:, material] = linear(table[other])
    colour2[:, STICKER] = linear(table[(sticker + 1) % len(names)])
    for material, first, second in _fixed(d, n):
        colour[:, material], colour2[:, material] = linear(first), linear(second)
    black = d.chance(0.3)[:, None]  # bumpers and mirrors stay black, or take the body's colour
    colour2[:, GLASS] = np.where(black, linear(np.array((26.0, 26.0, 28.0))), colour[:, PAINT])
    pattern, scale, offset = _patterns(columns, d, detail)
    infrared, infrared2 = _reflectance(d, n)
    same = named[:, ROOF] == named[:, PAINT]
    infrared[same, ROOF] = infrared[same, PAINT]
    infrared2[:, [ROOF, CARGO]] = infrared2[:, [PAINT]]
    infrared2[:, GLASS] = np.where(black[:, 0], 0.08, infrared[:, PAINT])
    return {
        "colour": colour, "colour2": colour2, "infrared": infrared, "infrared2": infrared2,
        "pattern": pattern, "scale": scale, "offset": offset,
        "colour_name": named, "second_name": other,
    }  # fmt: skip


def _fixed(d: Draws, n: int) -> list[tuple[int, Array, Array]]:
    """Materials whose colours come from a short list of their own: (material, first, second)."""
    rims = np.array([(178, 180, 184), (206, 208, 212), (72, 74, 78), (140, 136, 124)], float)
    plates = np.array([(238, 238, 232), (232, 198, 60), (44, 74, 168), (96, 170, 110)], float)
    inks = np.array([(30, 30, 36), (30, 28, 24), (240, 240, 240), (24, 34, 28)], float)
    loads = np.array([(40, 42, 46), (150, 154, 158), (206, 206, 204), (70, 74, 80)], float)
    tickets = np.array([(240, 240, 236), (226, 186, 60), (90, 180, 110), (206, 70, 60)], float)
    plate, tint = d.choice((3.0, 1.6, 2.0, 0.5)), d.uniform(0.7, 1.5)[:, None]

    def same(*rgb: float) -> Array:
        return np.broadcast_to(np.array(rgb), (n, 3))

    return [
        (GLASS, same(22.0, 27.0, 32.0) * tint, same(0.0, 0.0, 0.0)),
        (TYRE, same(22.0, 22.0, 23.0), rims[d.choice((3.0, 2.0, 1.0, 0.8))]),
        (TRIM, same(30.0, 31.0, 33.0) * d.uniform(0.8, 1.5)[:, None], same(12.0, 12.0, 13.0)),
        (LAMP, same(236.0, 238.0, 242.0), same(120.0, 124.0, 130.0)),
        (TAIL, same(188.0, 14.0, 18.0), same(232.0, 120.0, 40.0)),
        (PLATE, plates[plate], inks[plate]),
        (LOAD, loads[d.choice((2.0, 2.0, 1.0, 1.0))], same(236.0, 196.0, 60.0)),
        (TICKET, tickets[d.choice((2.0, 1.0, 1.0, 0.7))], same(60.0, 60.0, 64.0)),
        (CHROME, same(196.0, 198.0, 202.0), same(24.0, 24.0, 26.0)),
    ]


def _patterns(columns: dict[str, Any], d: Draws, detail: float) -> tuple[Index, Array, Array]:
    kind, height = columns["kind"], columns["height"]
    n, m = len(kind), len(MATERIALS)
    pattern, scale = np.zeros((n, m), np.int64), np.full((n, m), 0.1)
    offset = np.zeros((n, m, 2))
    large = kind >= VAN
    car = np.array([STRIPE, BONNET, TWO_TONE])[d.choice((1.0, 1.4, 0.6))]
    working = np.array([STRIPE, TWO_TONE, LOGO])[d.choice((1.6, 1.0, 1.0))]
    livery = np.where(d.chance(_LIVERIED[kind]), np.where(large, working, car), PLAIN)
    pattern[:, PAINT] = livery
    pattern[:, ROOF] = np.where(livery == BONNET, BONNET, PLAIN)
    pattern[:, CARGO] = np.where(d.chance(0.6), working, PLAIN)
    width = np.where(large, d.uniform(0.12, 0.34), d.uniform(0.06, 0.13)) * detail
    scale[:, [PAINT, ROOF]] = np.where(pattern[:, PAINT] == BONNET, 0.09 * detail, width)[:, None]
    scale[:, CARGO] = d.uniform(0.3, 0.6) * detail
    # Across is where stripes on a bonnet or the middle of a logo lie; up is where a stripe lies.
    up = np.where(kind == BUS, d.uniform(0.24, 0.38), d.uniform(0.34, 0.52)) * height
    offset[:, PAINT] = np.stack([d.around(0.0, 0.9), np.where(large, up, 0.44 * height)], axis=1)
    offset[:, CARGO] = np.stack([d.around(-1.4, 0.8), d.uniform(0.42, 0.66) * height], axis=1)
    bonnet = livery == BONNET
    offset[bonnet, PAINT, 0] = d.uniform(0.14, 0.30)[bonnet]
    offset[:, ROOF] = offset[:, PAINT]
    pattern[:, TYRE], pattern[:, PLATE], pattern[:, GLASS] = RIM, LETTERS, PILLARS
    offset[:, TYRE, 0] = d.choice(np.ones(len(RIMS)))
    offset[:, TYRE, 1] = d.uniform(0.55, 0.68)  # radius of the rim against that of the tyre
    offset[:, PLATE, 0] = d.uniform()
    pattern[:, CHROME], pattern[:, TICKET] = SLATS, LETTERS
    scale[:, CHROME] = d.uniform(0.04, 0.12)
    pattern[:, TAIL], pattern[:, LAMP] = REFLECTOR, REFLECTOR
    return pattern, scale, offset


def _reflectance(d: Draws, n: int) -> tuple[Array, Array]:
    """(N, M) near-infrared reflectance of both colours: paint's own, the rest alike for all."""
    m = len(MATERIALS)
    first = np.stack([d.uniform(0.14, 0.8) for _ in range(m)], axis=1)
    second = np.clip(first + np.where(first > 0.45, -0.3, 0.3), 0.08, 0.92)
    # Glass and rubber swallow the light of the lamp, plates and reflectors throw it back.
    for material, share, other in (
        (GLASS, 0.04, 0.1), (TYRE, 0.06, 0.4), (TRIM, 0.10, 0.05), (LAMP, 0.85, 0.5),
        (TAIL, 0.70, 0.5), (PLATE, 0.95, 0.25), (CHROME, 0.6, 0.05),
    ):  # fmt: skip
        first[:, material] = d.around(np.full(n, share), 0.02)
        second[:, material] = other
    return first, second


# What is radiated in the far infrared, as linear light: least and most. A body has the warmth of
# the air, glass shows the cold of the sky, and what works or rolls is warm.
_WARMTH = {
    PAINT: (0.08, 0.20), GLASS: (0.03, 0.08), TYRE: (0.22, 0.40), TRIM: (0.12, 0.24),
    LAMP: (0.14, 0.24), TAIL: (0.12, 0.20), PLATE: (0.08, 0.16), CHROME: (0.34, 0.56),
}  # fmt: skip


def _warmth(d: Draws, n: int) -> tuple[Array, Array]:
    """(N, M) what each material radiates; the second: of paint above the engine, of rims."""
    first = np.stack([d.uniform(0.06, 0.14) for _ in MATERIALS], axis=1)
    for material, (least, most) in _WARMTH.items():
        first[:, material] = d.uniform(np.full(n, least), np.full(n, most))
    first[:, ROOF] = first[:, PAINT]
    second = first.copy()  # a dye radiates nothing
    second[:, PAINT] = first[:, PAINT] + d.uniform(0.12, 0.32)
    second[:, GLASS], second[:, TYRE] = first[:, PAINT], 0.7 * first[:, TYRE]
    return first, second
