"""Domains: what people wear, where cameras hang and how the light falls, per `World.style`.

All numbers here are ours: chosen by looking at street photographs and at the rendered sheets.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]

TOPS = ("t-shirt", "long-sleeve", "open jacket", "jacket", "coat", "dress")
BOTTOMS = ("trousers", "shorts", "skirt", "long skirt")
HAIR = ("bald", "short", "bob", "long")
HATS = ("none", "cap", "beanie", "brim")
PATTERNS = (
    "plain", "horizontal stripes", "vertical stripes", "check", "front logo", "back print",
    "two-tone", "side stripe", "open front", "face", "strands",
)  # fmt: skip

# Real clothes are mostly dark or neutral. sRGB; the order matters: `palette=k` keeps the first k of
# this list, so the early ones are far apart.
COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (28, 28, 31), "white": (232, 231, 226), "denim": (62, 84, 122),
    "grey": (128, 129, 132), "burgundy": (112, 31, 45), "beige": (198, 178, 146),
    "navy": (32, 41, 74), "olive": (88, 92, 54), "red": (186, 40, 42),
    "light blue": (150, 182, 214), "charcoal": (62, 64, 70), "brown": (98, 66, 45),
    "forest": (36, 78, 56), "pink": (222, 160, 172), "mustard": (201, 153, 48),
    "royal blue": (40, 82, 170), "light grey": (180, 182, 184), "teal": (36, 116, 120),
    "camel": (172, 128, 82), "purple": (96, 60, 124), "cream": (226, 216, 192),
    "rust": (164, 78, 40), "sky": (98, 156, 206), "mint": (158, 204, 178),
    "orange": (222, 118, 40), "dark denim": (38, 50, 78), "lilac": (176, 158, 202),
    "yellow": (226, 200, 70), "green": (62, 142, 74), "plum": (84, 40, 70),
    "stone": (148, 138, 124), "coral": (226, 116, 98), "washed denim": (118, 142, 176),
    "khaki": (140, 130, 92), "ink": (22, 26, 46), "rose": (190, 90, 116),
    "turquoise": (70, 172, 176), "slate": (84, 96, 110), "sand": (212, 192, 158),
    "magenta": (176, 48, 120),
}  # fmt: skip
COMMON = {
    "black": 5.0, "white": 3.0, "denim": 3.0, "grey": 2.5, "navy": 3.0, "charcoal": 2.5,
    "dark denim": 2.5, "beige": 1.5, "light grey": 1.5, "brown": 1.2, "ink": 1.5, "light blue": 1.2,
}  # fmt: skip

_FOLIAGE = (70, 104, 58)


@dataclass(frozen=True)
class Furniture:
    """A kind of box that stands about. Halves of width, height and depth are ranges in metres."""

    wide: Range
    high: Range
    deep: Range
    pattern: str = "plain"
    scale: float = 1.0  # of the pattern; the box is 2 wide and 2 high
    second: tuple[int, int, int] | None = None  # sRGB; otherwise a darker shade of the first


FURNITURE: dict[str, Furniture] = {
    "block": Furniture((0.2, 1.1), (0.2, 1.2), (0.15, 0.8)),
    "post": Furniture((0.05, 0.10), (1.1, 2.3), (0.05, 0.10), "two-tone"),
    "bench": Furniture((0.6, 1.0), (0.20, 0.28), (0.2, 0.3), "horizontal stripes", 0.7),
    "bin": Furniture((0.2, 0.3), (0.40, 0.60), (0.2, 0.3), "two-tone"),
    "planter": Furniture((0.4, 0.9), (0.45, 0.90), (0.3, 0.5), "two-tone", second=_FOLIAGE),
    "board": Furniture((0.4, 0.8), (0.8, 1.2), (0.05, 0.1), "horizontal stripes", 1.3),
    "railing": Furniture((0.9, 1.8), (0.45, 0.55), (0.03, 0.05), "vertical stripes", 0.13),
    "shelf": Furniture((0.5, 1.2), (0.6, 1.0), (0.25, 0.4), "horizontal stripes", 0.6),
    "car": Furniture((1.5, 2.1), (0.55, 0.75), (0.7, 0.9), "two-tone", second=(34, 38, 44)),
}


@dataclass(frozen=True)
class Style:
    """What is drawn how in one domain. Ranges are uniform; weights need not sum to one."""

    tops: tuple[float, ...] = (3.0, 2.5, 2.0, 2.0, 1.2, 0.8)  # order of TOPS
    bottoms: tuple[float, ...] = (6.0, 1.6, 1.2, 0.6)  # order of BOTTOMS
    plain: float = 0.52  # share of tops without a pattern
    common_colours: float = 1.0  # exponent on COMMON: 0 = every colour alike
    favourites: tuple[str, ...] = ()  # colours worn three times as often as their weight says
    backpack: float = 0.28
    bag: float = 0.24
    hat: float = 0.16
    scarf: float = 0.10
    height: Range = (2.2, 4.6)  # of the camera above the floor, m
    distance: Range = (6.0, 11.0)  # from the camera, m along the floor
    sun: Range = (0.8, 1.7)  # strength of the directed light
    ambient: Range = (0.32, 0.68)
    warmth: Range = (-0.14, 0.14)  # white balance: red up and blue down, or reversed
    tint: float = 0.05  # ± green against magenta
    exposure: Range = (0.85, 1.2)
    contrast: Range = (0.15, 0.9)  # share of an S-curve
    saturation: Range = (0.9, 1.3)
    blur: Range = (0.0, 0.8)  # pixels at 192x96
    noise: Range = (0.006, 0.022)  # of full scale
    quality: Range = (75.0, 95.0)  # JPEG
    haze: Range = (0.0, 0.25)
    backdrop: Range = (3.0, 11.0)  # metres behind the walking area
    gloss: Range = (0.0, 0.0)  # share of the backdrop that the floor mirrors; below 0 is 0
    lit: Range = (0.0, 0.0)  # light of windows and shop fronts
    pool: Range = (0.0, 0.0)  # share of the light that is lost away from a street lamp
    furniture: tuple[float, ...] = (1.6, 1.2, 1.2, 1.0, 1.6, 0.5, 1.0, 0.0, 0.4)  # of FURNITURE
    bright: float = 0.45  # share of a wardrobe colour in the furniture's grey
    floors: tuple[float, ...] = (1.0, 1.2, 1.0, 1.0)  # plain, tiles, lanes, patches
    # Wall, bricks, windows, foliage, shop front.
    backdrops: tuple[float, ...] = (1.0, 1.0, 1.2, 1.0, 0.8)
    floor_colours: tuple[tuple[int, int, int], ...] = (
        (138, 134, 128), (112, 112, 116), (160, 150, 134), (96, 108, 84), (150, 146, 150),
        (126, 110, 98),
    )  # fmt: skip
    wall_colours: tuple[tuple[int, int, int], ...] = (
        (176, 168, 154), (142, 92, 74), (122, 130, 138), (78, 98, 66), (196, 190, 180),
        (104, 96, 90),
    )  # fmt: skip


STYLES: dict[str, Style] = {
    "plaza": Style(),
    "mall": Style(
        tops=(3.0, 2.0, 2.0, 1.0, 0.5, 1.8), bottoms=(4.0, 1.6, 2.2, 1.2), plain=0.45,
        common_colours=0.5, backpack=0.15, bag=0.45, hat=0.06,
        favourites=(
            "white", "cream", "pink", "light blue", "lilac", "mint", "coral", "camel", "sky",
            "light grey", "beige",
        ),
        height=(2.6, 3.6), distance=(4.5, 8.0), sun=(0.15, 0.4), ambient=(0.95, 1.2),
        warmth=(0.0, 0.16), exposure=(0.82, 1.0), contrast=(0.0, 0.3), saturation=(0.85, 1.1),
        haze=(0.0, 0.08), backdrop=(2.0, 6.0), gloss=(0.14, 0.38), lit=(0.1, 0.5),
        floors=(0.6, 3.0, 0.2, 0.2), backdrops=(0.6, 0.0, 0.6, 0.1, 3.0),
        furniture=(0.4, 0.8, 1.4, 0.8, 1.6, 1.6, 0.4, 2.0, 0.0), bright=0.65,
        floor_colours=((206, 198, 184), (188, 184, 180), (176, 164, 148)),
        wall_colours=((214, 206, 194), (196, 164, 140), (150, 176, 190), (206, 150, 150)),
    ),
    "night-street": Style(
        tops=(0.8, 1.5, 2.0, 3.0, 3.0, 0.3), bottoms=(7.0, 0.4, 0.6, 0.4), plain=0.62,
        common_colours=0.7, hat=0.32, scarf=0.25,
        favourites=("charcoal", "navy", "dark denim", "slate", "plum", "forest", "brown", "olive"),
        height=(2.4, 4.8), distance=(6.0, 12.0), sun=(0.9, 1.7), ambient=(0.12, 0.28),
        warmth=(0.04, 0.30), exposure=(1.0, 1.5), contrast=(0.2, 0.8), saturation=(0.6, 0.95),
        blur=(0.3, 1.1), noise=(0.02, 0.05), quality=(55.0, 85.0), haze=(0.0, 0.12),
        backdrop=(1.5, 5.0), gloss=(0.0, 0.35), lit=(1.0, 4.0), pool=(0.55, 0.9),
        backdrops=(0.4, 0.8, 2.4, 0.4, 1.6),
        furniture=(0.4, 1.8, 0.5, 1.2, 0.3, 0.8, 1.4, 0.0, 2.0), bright=0.3,
        floor_colours=((84, 82, 84), (70, 70, 76), (98, 92, 84)),
        wall_colours=((92, 84, 78), (70, 74, 82), (110, 98, 86), (120, 104, 70)),
    ),
    "random": Style(
        tops=(3.0, 2.5, 2.5, 2.5, 1.6, 0.8), bottoms=(6.0, 1.4, 1.2, 0.8), plain=0.5,
        common_colours=0.4, backpack=0.3, bag=0.3, hat=0.2, scarf=0.12,
        height=(1.4, 7.0), distance=(4.0, 13.0), sun=(0.2, 2.0), ambient=(0.25, 1.0),
        warmth=(-0.4, 0.4), tint=0.14, exposure=(0.6, 1.6), contrast=(0.0, 1.2),
        saturation=(0.5, 1.5), blur=(0.0, 1.4), noise=(0.003, 0.045), quality=(45.0, 96.0),
        haze=(0.0, 0.4), floors=(1.0, 1.0, 1.0, 1.5), backdrops=(1.0, 1.0, 1.0, 1.5, 1.0),
        gloss=(-0.3, 0.3), lit=(-0.8, 0.8), pool=(-0.8, 0.8),
        furniture=(2.0, 1.0, 1.0, 1.0, 1.5, 1.0, 1.0, 1.0, 1.0), bright=0.85,
        floor_colours=(
            (138, 134, 128), (112, 112, 116), (160, 150, 134), (96, 128, 64), (150, 146, 170),
            (126, 90, 70), (70, 72, 78), (206, 198, 184), (150, 120, 90), (110, 140, 80),
        ),
        wall_colours=(
            (176, 168, 154), (142, 92, 74), (122, 130, 138), (58, 98, 46), (196, 190, 180),
            (104, 96, 90), (60, 66, 80), (90, 120, 60), (214, 206, 194), (160, 70, 60),
        ),
    ),
}  # fmt: skip
