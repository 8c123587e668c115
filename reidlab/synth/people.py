"""People who do not exist: build, wardrobe and accessories, as columns of arrays (one row each)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reidlab.synth.draws import PERSON, Array, Draws
from reidlab.synth.styles import COLOURS, COMMON, PATTERNS, STYLES, Style
from reidlab.synth.subject import Flag, Index, Subject, linear
from reidlab.synth.vectors import power

# Materials a person carries; the renderer colours each body part by one of them.
MATERIALS = (
    "skin", "hair", "top", "sleeve", "bottom", "shoes", "hat", "backpack", "bag", "scarf", "face",
    "sole",
)  # fmt: skip
SKIN, HAIR, TOP, SLEEVE, BOTTOM, SHOES, HAT, BACKPACK, BAG, SCARF, FACE, SOLE = range(
    len(MATERIALS)
)
PLAIN, H_STRIPES, V_STRIPES, CHECK, LOGO, PRINT, TWO_TONE, SIDE, OPEN, FACE_PATTERN, STRANDS = (
    range(len(PATTERNS))
)

# Evenly from very dark to very light (after the Monk scale's idea of an even range), sRGB.
_SKIN = np.array([(52, 36, 30), (84, 58, 44), (118, 80, 58), (152, 106, 78), (186, 138, 106),
                  (212, 170, 138), (228, 192, 164), (238, 208, 186)], dtype=np.float64)  # fmt: skip
_HAIR = np.array([(20, 17, 16), (34, 26, 22), (58, 40, 28), (94, 64, 40), (156, 120, 74),
                  (150, 148, 146), (120, 52, 32)], dtype=np.float64)  # fmt: skip
_HAIR_WEIGHTS = (5.0, 3.0, 2.0, 1.4, 0.9, 0.7, 0.3)
WARDROBE = np.array(list(COLOURS.values()), dtype=np.float64)  # (C, 3) sRGB
WHITE_SOLE = linear(np.array((225.0, 224.0, 220.0)))

# What is radiated in the far infrared, as linear light. Least and most per kind of top, in the
# order of TOPS: thin cloth is warmed by the skin, a coat is not.
_CLOTH_WARMTH = np.array([(0.30, 0.24, 0.15, 0.12, 0.09, 0.28),
                          (0.46, 0.40, 0.26, 0.23, 0.18, 0.44)])  # fmt: skip
_BODY_WARMTH = {
    SKIN: (0.55, 0.68), FACE: (0.60, 0.74), HAIR: (0.20, 0.30), SHOES: (0.10, 0.26),
    SOLE: (0.08, 0.14), BACKPACK: (0.05, 0.13), BAG: (0.04, 0.12),
}  # fmt: skip


@dataclass(frozen=True)
class People(Subject):
    """N people as columns. Lengths are metres (`height`) or shares of the height."""

    girth: Array  # (N,) 1 = average
    shoulders: Array  # (N,) half width as a share of the height
    leg: Array  # (N,) hip height as a share of the height
    curves: Array  # (N,) 0 straight … 1 waisted
    top: Index  # (N,) into TOPS
    bottom: Index  # (N,) into BOTTOMS
    hair: Index  # (N,) into HAIR
    hat: Index  # (N,) into HATS
    tucked: Flag
    boots: Flag
    hood: Flag
    backpack: Flag
    bag: Flag
    bag_side: Array  # (N,) -1 right, +1 left
    scarf: Flag
    stride: Array  # (N,) how far this person swings
    skin_tone: Array  # (N,) 0 dark … 1 light

    shine = np.where(np.arange(len(MATERIALS)) == SHOES, 1.0, 0.0)
    # Cloth creases, skin and shoes hardly do.
    crease = np.where(
        np.isin(np.arange(len(MATERIALS)), (SKIN, HAIR, FACE, SHOES, SOLE, HAT)), 0.04, 0.13
    )


def palette_weights(size: int, domain: Style) -> Array:
    """Weights of the first `size` wardrobe colours where `domain` holds."""
    names = list(COLOURS)[:size]
    common = power([COMMON.get(name, 0.6) for name in names], domain.common_colours)
    return np.array([3.0 if name in domain.favourites else 1.0 for name in names]) * common


def sample_people(
    seed: int,
    pids: list[int],
    *,
    style: str,
    palette: int,
    detail: float,
    thermal: bool = False,
    shown: str = "",
) -> People:
    """Draw people `pids` of the world `seed`.

    Args:
        seed: the world's seed.
        pids: identities; the same number is the same person whatever else is asked for.
        style: domain, a key of `STYLES`.
        palette: how many wardrobe colours exist in this world.
        detail: multiplies the size of stripes, checks, logos and prints.
        thermal: `infrared` is the warmth that a material radiates, not the light it reflects.
        shown: "logo": everybody has one on a closed top; "bag": everybody carries one.
    """
    domain, d = STYLES[style], Draws(seed, PERSON, [(pid,) for pid in pids], 200)
    m = len(MATERIALS)
    columns: dict[str, Any] = {
        "height": d.around(1.71, 0.20), "girth": d.around(1.0, 0.22),
        "shoulders": d.around(0.099, 0.013), "leg": d.around(0.50, 0.025), "curves": d.uniform(),
        "top": d.choice(domain.tops), "bottom": d.choice(domain.bottoms),
        "hair": d.choice((0.5, 4.5, 1.8, 2.6)),
        "hat": np.where(d.chance(domain.hat), 1 + d.choice((1.2, 1.0, 0.7)), 0),
        "tucked": d.chance(0.3), "boots": d.chance(0.18), "hood": d.chance(0.25),
        "backpack": d.chance(domain.backpack), "bag": d.chance(domain.bag),
        "bag_side": np.where(d.chance(0.5), 1.0, -1.0), "scarf": d.chance(domain.scarf),
        "stride": d.uniform(0.8, 1.2), "skin_tone": d.uniform(),
    }  # fmt: skip
    if shown == "logo":
        columns["top"] = np.where(columns["top"] == 2, 3, columns["top"])  # a jacket, but closed
        columns["scarf"] = np.zeros_like(columns["scarf"])  # its end would hang over the logo
    columns["bag"] |= shown == "bag"
    columns["backpack"] &= ~((columns["top"] == 4) & columns["bag"])  # a coat and a bag are enough
    weights = palette_weights(palette, domain)
    first = np.stack([d.choice(weights) for _ in range(m)], axis=1)
    second = np.stack([d.choice(weights) for _ in range(m)], axis=1)
    second = np.where(second == first, (second + 1) % len(weights), second)
    # A fabric's dye barely shows in near infrared: reflectance is drawn apart from the colour.
    reflect = np.stack([d.uniform(0.12, 0.85) for _ in range(m)], axis=1)
    contrast = np.stack([d.uniform(-0.45, 0.45) for _ in range(m)], axis=1)
    _dress(columns, first, second, d, domain.plain, logo=shown == "logo")
    colour, colour2 = linear(WARDROBE[first]), linear(WARDROBE[second])
    _fix_body_colours(columns, colour, colour2, reflect, contrast, d)
    if thermal:
        reflect, contrast = _warmth(columns, d)
    columns["scale"] = columns["scale"] * detail
    names = first.copy()
    names[:, [SKIN, HAIR, FACE]] = -1
    return People(
        **columns, colour=colour, colour2=colour2, infrared=reflect,
        infrared2=np.clip(reflect + contrast, 0.04, 0.92), colour_name=names,
    )  # fmt: skip


def _dress(
    columns: dict[str, Any], first: Index, second: Index, d: Draws, plain: float, *, logo: bool
) -> None:
    """Choose patterns and make garments agree: sleeves follow the top, a dress covers the legs."""
    n, m = first.shape
    pattern = np.zeros((n, m), dtype=np.int64)
    scale = np.full((n, m), 0.1)
    offset = np.zeros((n, m, 2))
    fancy = 1 + d.choice((1.6, 0.9, 1.2, 1.8, 1.0, 1.2))  # stripes … two-tone
    pattern[:, TOP] = np.where(d.chance(plain), PLAIN, fancy)
    open_front = columns["top"] == 2
    coat_open = (columns["top"] == 4) & d.chance(0.5)
    pattern[open_front | coat_open, TOP] = OPEN
    if logo:
        pattern[:, TOP] = LOGO
    scale[:, TOP] = d.uniform(0.07, 0.17)
    offset[:, TOP, 0], offset[:, TOP, 1] = d.around(0.0, 0.06), d.uniform(0.66, 0.74)
    pattern[:, BOTTOM] = np.where(
        d.chance(0.78), PLAIN, np.array([SIDE, CHECK, V_STRIPES])[d.choice((2, 1, 1))]
    )
    scale[:, BOTTOM] = d.uniform(0.06, 0.12)
    pattern[:, BACKPACK] = np.where(d.chance(0.55), PLAIN, TWO_TONE)
    pattern[:, BAG] = np.where(d.chance(0.6), PLAIN, H_STRIPES)
    pattern[:, SCARF] = np.where(d.chance(0.5), PLAIN, H_STRIPES)
    pattern[:, HAIR], pattern[:, FACE] = STRANDS, FACE_PATTERN
    # Sleeves: stripes and checks run on, logos and prints do not; some tops have their own.
    own = d.chance(0.12)
    runs_on = np.isin(pattern[:, TOP], (H_STRIPES, V_STRIPES, CHECK))
    pattern[:, SLEEVE] = np.where(runs_on & ~own, pattern[:, TOP], PLAIN)
    pattern[own & d.chance(0.5), SLEEVE] = SIDE
    scale[:, SLEEVE] = scale[:, TOP]
    first[~own, SLEEVE], second[~own, SLEEVE] = first[~own, TOP], second[~own, TOP]
    dress = columns["top"] == 5
    columns["bottom"] = np.where(dress, 2 + (columns["bottom"] == 3), columns["bottom"])
    first[dress, BOTTOM], second[dress, BOTTOM] = first[dress, TOP], second[dress, TOP]
    pattern[dress, BOTTOM] = np.where(runs_on, pattern[:, TOP], PLAIN)[dress]
    scale[dress, BOTTOM] = scale[dress, TOP]
    columns["pattern"], columns["scale"], columns["offset"] = pattern, scale, offset


def _fix_body_colours(
    columns: dict[str, Any],
    colour: Array,
    colour2: Array,
    reflect: Array,
    contrast: Array,
    d: Draws,
) -> None:
    """Skin, hair and soles have laws of their own, nearly the same for everybody in infrared."""
    n = len(colour)
    place = columns["skin_tone"] * (len(_SKIN) - 1)
    low = np.minimum(place.astype(np.int64), len(_SKIN) - 2)
    share = (place - low)[:, None]
    skin = linear(_SKIN[low] * (1 - share) + _SKIN[low + 1] * share)
    hair = linear(_HAIR[d.choice(_HAIR_WEIGHTS)])
    for material, value in ((SKIN, skin), (FACE, skin), (HAIR, hair)):
        colour[:, material], colour2[:, material] = value, value * 0.55
    colour2[:, FACE] = hair * 0.6
    colour[:, SOLE] = WHITE_SOLE
    white_sole = d.chance(0.5)
    colour[~white_sole, SOLE] = colour[~white_sole, SHOES] * 0.5
    sleeve_follows = np.all(colour[:, SLEEVE] == colour[:, TOP], axis=1)
    reflect[sleeve_follows, SLEEVE] = reflect[sleeve_follows, TOP]
    contrast[:, SLEEVE] = np.where(sleeve_follows, contrast[:, TOP], contrast[:, SLEEVE])
    dress = columns["top"] == 5
    reflect[dress, BOTTOM], contrast[dress, BOTTOM] = reflect[dress, TOP], contrast[dress, TOP]
    for material, shade in ((SKIN, 0.62), (FACE, 0.62), (HAIR, 0.20), (SOLE, 0.5)):
        reflect[:, material] = d.around(np.full(n, shade), 0.04)
        contrast[:, material] = -0.5 * shade
    # Fabrics are not flat paint: a small shift of hue and value tells two navy shirts apart.
    for material in (TOP, BOTTOM, SHOES, HAT, BACKPACK, BAG, SCARF):
        tone = sample_tones(d)
        colour[:, material] = dyed(colour[:, material], tone)
        if material == TOP:
            sleeve = dyed(colour[:, SLEEVE], tone)
            colour[sleeve_follows, SLEEVE] = sleeve[sleeve_follows]
    colour[dress, BOTTOM] = colour[dress, TOP]


def sample_tones(d: Draws) -> Array:
    """(N, 3) what a fabric makes of its dye: more or less of red and of blue."""
    red, blue = d.around(1.0, 0.18), d.around(1.0, 0.18)
    return np.stack([red, np.ones_like(red), blue], axis=-1)


def dyed(colour: Array, tone: Array) -> Array:
    """(…, 3) linear RGB of a fabric of that tone."""
    return np.clip(colour * tone, 0.004, 0.9)


def _warmth(columns: dict[str, Any], d: Draws) -> tuple[Array, Array]:
    """(N, M) what each material radiates in the far infrared, and how much its pattern adds.

    Skin is warmest; a coat keeps the warmth inside, what is carried has that of the air. A dye
    radiates nothing, so patterns are gone, but an open top shows the warmer shirt below.
    """
    n, top = len(columns["top"]), columns["top"]
    low, high = _CLOTH_WARMTH[:, top]
    warmth = np.stack([d.uniform(0.12, 0.34) for _ in MATERIALS], axis=1)
    warmth[:, TOP] = d.uniform(low, high)
    warmth[:, SLEEVE] = warmth[:, TOP] * d.uniform(0.85, 1.1)
    dress = top == 5
    warmth[dress, BOTTOM] = warmth[dress, TOP]
    for material, (least, most) in _BODY_WARMTH.items():
        warmth[:, material] = d.uniform(np.full(n, least), np.full(n, most))
    contrast = np.zeros_like(warmth)
    below = d.uniform(0.08, 0.18)
    contrast[:, TOP] = np.where(columns["pattern"][:, TOP] == OPEN, below, 0.0)
    return warmth, contrast
