"""Patterns on clothes: which share of a material's second colour has a point on a person?"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .elementwise import fraction, less, more, triangle
from .people import (
    CHECK,
    FACE_PATTERN,
    H_STRIPES,
    LOGO,
    OPEN,
    PRINT,
    SIDE,
    STRANDS,
    TWO_TONE,
    V_STRIPES,
)


class Spots(NamedTuple):
    """What is seen of N primitives with a pattern."""

    x: Tensor  # (pixels, N) m; in the frame of the body, if the pattern runs across it,
    y: Tensor  # from the floor up; elsewhere in the frame of the primitive
    z: Tensor
    scale: Tensor  # (N,) period or size, m
    across: Tensor  # (N,) two numbers that say where
    up: Tensor
    height: Tensor  # (N,) of the person or vehicle, m
    on_body: Tensor  # (N,) 1 in the frame of the body, else 0
    radius: Tensor  # (N,) of the primitive, m


Pattern = Callable[[Spots], Tensor]


def _rows(s: Spots) -> Tensor:
    return less(fraction(s.y / s.scale), 0.5)


def _columns(s: Spots) -> Tensor:
    return less(fraction(s.x / s.scale + 0.25), 0.5)


def _check(s: Spots) -> Tensor:
    return _rows(s).add_(_columns(s)).mul_(0.5)


def _logo(s: Spots) -> Tensor:
    away = (s.x - s.across).square_().add_((s.y - s.up * s.height).square_())
    return less(away, (0.45 * s.scale).square()).mul_(more(s.z, 0.0)).mul_(s.on_body)


def _print(s: Spots) -> Tensor:
    high = less((s.y - 0.70 * s.height).abs_(), 0.6 * s.scale)
    return high.mul_(less(s.x.abs(), 0.8 * s.scale)).mul_(less(s.z, 0.0)).mul_(s.on_body)


def _two_tone(s: Spots) -> Tensor:
    return more(s.y, 0.67 * s.height * s.on_body)


def _side(s: Spots) -> Tensor:
    return less(s.z.abs(), 0.30 * s.radius).mul_(more(s.x.abs(), 0.5 * s.radius))


def _open(s: Spots) -> Tensor:
    opening = (s.y - 0.45 * s.height).clamp_(min=0.0).mul_(0.10).add_(0.020)
    return less(s.x.abs(), opening).mul_(more(s.z, 0.0)).mul_(s.on_body)


def _strands(s: Spots) -> Tensor:
    return triangle(s.x * 38.0).mul_(triangle(s.z * 29.0 + 0.3)).abs_().mul_(0.35)


def _face(s: Spots) -> Tensor:
    level, wide = s.y / s.radius, s.x.abs()
    eyes = less((wide - 0.42 * s.radius).abs_(), 0.20 * s.radius)
    eyes.mul_(less((level - 0.95).abs_(), 0.16)).mul_(0.9)
    mouth = less(wide, 0.34 * s.radius).mul_(less(level.add_(0.05).abs_(), 0.09)).mul_(0.35)
    return eyes.add_(mouth).mul_(more(s.z, 0.0))


CLOTHES: dict[int, Pattern] = {
    H_STRIPES: _rows,
    V_STRIPES: _columns,
    CHECK: _check,
    LOGO: _logo,
    PRINT: _print,
    TWO_TONE: _two_tone,
    SIDE: _side,
    OPEN: _open,
    STRANDS: _strands,
    FACE_PATTERN: _face,
}


def draw(kind: Tensor, patterns: dict[int, Pattern], spots: Spots) -> Tensor:
    """(pixels, N) share of the second colour; each pattern is worked out only where it is worn.

    Args:
        kind: (N,) which of `patterns`; 0 where there is none.
        patterns: their numbers and functions.
        spots: of N primitives.
    """
    share = torch.zeros_like(spots.x)
    worn = torch.bincount(kind).nonzero().squeeze(1).tolist()
    for number in worn:
        if number in patterns:
            rows = (kind == number).nonzero().squeeze(1)
            some = Spots(*(v.index_select(-1, rows) for v in spots))
            share.index_copy_(1, rows, patterns[number](some))
    return share
