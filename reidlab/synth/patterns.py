"""Patterns on clothes and furniture: which share of a material's second colour has a point?

Their edges are as soft as a pixel is wide, as every pixel is shaded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reidlab.synth.elementwise import more, triangle


class Spots(NamedTuple):
    """What is seen of N primitives with a pattern."""

    x: Tensor  # (pixels, N) m; in the frame of the body, if the pattern runs across it,
    y: Tensor  # from the floor up; elsewhere in the frame of the primitive
    z: Tensor
    scale: Tensor  # (N,) period or size, m
    across: Tensor  # (N,) two numbers that say where
    up: Tensor
    height: Tensor  # (N,) of the person or vehicle, m
    pixel: Tensor  # (N,) what a pixel spans, in the unit of x, y and z
    on_body: Tensor  # (N,) 1 in the frame of the body, else 0
    radius: Tensor  # (N,) of the primitive, m


Pattern = Callable[[Spots], Tensor]


def edge(distance: Tensor, s: Spots) -> Tensor:
    """Share 0..1 of a pixel that is inside an edge `distance` away; overwrites that."""
    return distance.div_(s.pixel).add_(0.5).clamp_(0.0, 1.0)


def disc(x: Tensor, y: Tensor) -> Tensor:
    """A soft disc (0..1) of radius one; overwrites both."""
    return x.square_().add_(y.square_()).neg_().add_(1.25).clamp_(0.0, 1.0)


def round_edge(x: Tensor, y: Tensor, radius: Tensor, s: Spots) -> Tensor:
    """Share of a pixel inside a circle about (0, 0); overwrites x and y."""
    return edge(x.square_().add_(y.square_()).div_(radius).neg_().add_(radius).mul_(0.5), s)


def _rows(s: Spots) -> Tensor:
    return edge(triangle((s.y / s.scale).add_(0.25)).mul_(-0.25 * s.scale), s)


def _columns(s: Spots) -> Tensor:
    return edge(triangle((s.x / s.scale).add_(0.5)).mul_(-0.25 * s.scale), s)


def _check(s: Spots) -> Tensor:
    return _rows(s).add_(_columns(s)).mul_(0.5)


def _logo(s: Spots) -> Tensor:
    inside = round_edge(s.x - s.across, s.y - s.up * s.height, 0.45 * s.scale, s)
    return inside.mul_(more(s.z, 0.0)).mul_(s.on_body)


def _print(s: Spots) -> Tensor:
    high = 0.6 * s.scale - (s.y - 0.70 * s.height).abs_()
    inside = edge((0.8 * s.scale - s.x.abs()).minimum(high), s)
    return inside.mul_(1.0 - more(s.z, 0.0)).mul_(s.on_body)


def _two_tone(s: Spots) -> Tensor:
    return edge(s.y - 0.67 * s.height * s.on_body, s)


def _side(s: Spots) -> Tensor:
    return edge((0.30 * s.radius - s.z.abs()).minimum(s.x.abs() - 0.5 * s.radius), s)


def _open(s: Spots) -> Tensor:
    opening = (s.y - 0.45 * s.height).clamp_(min=0.0).mul_(0.10).add_(0.020)
    return edge(opening.sub_(s.x.abs()), s).mul_(more(s.z, 0.0)).mul_(s.on_body)


def _strands(s: Spots) -> Tensor:
    return triangle(s.x * 38.0).mul_(triangle(s.z * 29.0 + 0.3)).abs_().mul_(0.35)


def _face(s: Spots) -> Tensor:
    across, level = s.x.abs().div_(s.radius), s.y / s.radius
    eyes = disc((across - 0.42).mul_(4.6), (level - 0.95).mul_(4.8)).mul_(0.95)
    mouth = disc(across.mul_(2.8), level.add_(0.05).mul_(9.0)).mul_(0.5)
    return eyes.add_(mouth).mul_(more(s.z, 0.0))


_IN_ORDER = (
    _rows, _columns, _check, _logo, _print, _two_tone, _side, _open, _face, _strands,
)  # fmt: skip
# By the number in `styles.PATTERNS`, whose first is plain.
CLOTHES: dict[int, Pattern] = dict(enumerate(_IN_ORDER, start=1))


def draw(kind: Tensor, patterns: dict[int, Pattern], spots: Spots) -> Tensor:
    """(pixels, N) share of the second colour; each pattern is worked out only where it is used.

    Args:
        kind: (N,) which of `patterns`; 0 where there is none.
        patterns: their numbers and functions.
        spots: of N primitives.
    """
    share = torch.zeros_like(spots.x)
    for number in torch.bincount(kind).nonzero().squeeze(1).tolist():
        if number in patterns:
            rows = (kind == number).nonzero().squeeze(1)
            some = Spots(*(v.index_select(-1, rows) for v in spots))
            share.index_copy_(1, rows, patterns[number](some))
    return share
