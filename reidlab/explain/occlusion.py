"""Cover parts of an image and see what becomes of the score: as a map, and as a test of maps.

Both ask the model with pixels alone and so fit any model, a ResNet too. The image is cut into cells
of `window` pixels that do not overlap; the last row and column may be smaller. What is covered is
gray: 0, the mean that normalisation subtracts. A covered image is none that the model was trained
on: a score may fall for that reason, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.explain.prepared import prepared, scaled
from reidlab.explain.scores import check_some_heat
from reidlab.explain.targets import Score, Target

STEPS = 10  # (ours) of a curve: in each a tenth of the cells goes
ORDERS = 5  # (ours) random ones, to compare with
NOISE = 1e-6  # (ours) of a score: sums in float32 differ by so much, which is no fall


class Removal(NamedTuple):
    """The score while an image goes away, or comes up, in S steps.

    A good map has a small area under `deletion` and a large one under `insertion`. The area under
    `random` is what both are compared with: inserting in one order is deleting in the reverse one.
    NaN where a map is 0 everywhere, as it orders nothing.

    Attributes:
        fractions: Share of the cells that are gone, or there, from 0 to 1, (S + 1,).
        deletion: Scores with the hottest cells gone first, (B, L, S + 1).
        insertion: Scores with the hottest cells there first, (B, L, S + 1).
        random: Mean scores of deletions in random orders, (B, S + 1).
    """

    fractions: Tensor
    deletion: Tensor
    insertion: Tensor
    random: Tensor

    @property
    def deletion_area(self) -> Tensor:
        """Area under `deletion`, in units of the score, (B, L)."""
        return torch.trapezoid(self.deletion, self.fractions)

    @property
    def insertion_area(self) -> Tensor:
        """Area under `insertion`, in units of the score, (B, L)."""
        return torch.trapezoid(self.insertion, self.fractions)

    @property
    def random_area(self) -> Tensor:
        """Area under `random`, in units of the score, (B,)."""
        return torch.trapezoid(self.random, self.fractions)


def occlusion(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    window: int | None = None,
    camids: Tensor | None = None,
) -> Tensor:
    """How much the score falls when one cell of the image is covered.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.

    Args:
        model: Any with the methods that the target asks; it is left exactly as it was.
        images: Normalised images, (B, 3, H, W), of the model's precision.
        target: `IdentityTarget`, which without labels means the identity found in the whole image,
            or `SimilarityTarget`.
        window: Side of a cell, pixels; None: the patch size of the model.
        camids: As in `gradcam`.

    Returns:
        Heat (B, 1, H, W) in 0..1, on the CPU: max(0, fall of the score), divided by the largest
        fall; each pixel has the value of its cell. 0 everywhere where the score never falls.

    Raises:
        ValueError: If model, images, target and window do not fit each other.
    """
    with prepared(model, images, camids) as (network, pixels, cameras):
        cells = _Cells(network, pixels, window)
        score = Score(network, target, pixels, cameras)
        whole = score(pixels)
        covered = [score(cells.cover(cell)) for cell in torch.eye(cells.count).bool()]
        falls = whole[:, None] - torch.stack(covered, dim=1)  # (B, cells)
        heat = falls.where(falls > NOISE * whole.abs()[:, None], 0).float().cpu()
        return cells.spread(scaled(heat.view(-1, 1, *cells.grid)))


def deletion_insertion(
    model: nn.Module,
    images: Tensor,
    target: Target,
    heat: Tensor,
    *,
    window: int | None = None,
    camids: Tensor | None = None,
    seed: int = 0,
) -> Removal:
    """Cover the cells of an image from the hottest to the coldest, and uncover them likewise.

    Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
    BMVC 2018 (arXiv 1806.07421), section 4.1, which takes single pixels and a blurred image to
    start insertion from; here both have cells and gray.

    Args:
        model: As in `occlusion`; it is left exactly as it was.
        images: Normalised images, (B, 3, H, W), of the model's precision.
        target: As in `occlusion`.
        heat: Maps of these images, not negative, (B, L, H, W); a cell has the mean of its pixels,
            and of equally hot cells the first is drawn at random.
        window: Side of a cell, pixels; None: the patch size of the model.
        camids: As in `gradcam`.
        seed: Of the lots, and of the random orders.

    Raises:
        ValueError: If the arguments do not fit each other, or all maps are 0 everywhere.
    """
    check_some_heat(heat)
    generator = torch.Generator().manual_seed(seed)
    with prepared(model, images, camids) as (network, pixels, cameras):
        if heat.shape[:1] + heat.shape[2:] != images.shape[:1] + images.shape[2:]:
            raise ValueError(
                f"heat has shape {tuple(heat.shape)} and images {tuple(images.shape)}; expected "
                "maps of these images, (B, L, H, W): those that gradcam or another map returned."
            )
        cells = _Cells(network, pixels, window)
        score = Score(network, target, pixels, cameras)
        counts = torch.linspace(0, cells.count, min(STEPS, cells.count) + 1).round().int().tolist()

        def curve(gone: Iterable[Tensor]) -> Tensor:  # S + 1 times (B, cells) -> (B, S + 1)
            return torch.stack([score(cells.cover(each)).float().cpu() for each in gone], dim=1)

        ranks = _ranks(cells.means(heat), generator).unbind(1)  # L times (B, cells), 0: hottest
        deletion = [curve(rank < count for count in counts) for rank in ranks]
        insertion = [curve(rank >= count for count in counts) for rank in ranks]
        lots = torch.rand(ORDERS, len(images), cells.count, generator=generator).argsort(-1)
        random = [curve(rank < count for count in counts) for rank in lots]
    blank = heat.cpu().amax((2, 3)).eq(0)[..., None]
    return Removal(
        torch.tensor(counts) / counts[-1],
        torch.stack(deletion, dim=1).masked_fill(blank, math.nan),
        torch.stack(insertion, dim=1).masked_fill(blank, math.nan),
        torch.stack(random).mean(0),
    )


def _ranks(heat: Tensor, generator: torch.Generator) -> Tensor:
    """Rank of each cell (..., cells) from the hottest, 0; ties at random."""
    lot = torch.randperm(heat.shape[-1], generator=generator)
    order = lot[heat[..., lot].argsort(dim=-1, descending=True, stable=True)]
    return order.argsort(-1)


class _Cells:
    """Images cut into cells."""

    def __init__(self, network: Any, images: Tensor, window: int | None) -> None:
        height, width = images.shape[2:]
        if window is None:
            window = getattr(getattr(network, "backbone", None), "patch_size", None)
        if not isinstance(window, int) or not 1 <= window <= min(height, width):
            raise ValueError(
                f"window is {window!r}; expected the side of a cell in whole pixels, 1 to "
                f"{min(height, width)} for images of {height}x{width}. Pass window=16, say; None "
                "is the patch size, for models that have patches."
            )
        self.images, self.window = images, window
        self.grid = (-(-height // window), -(-width // window))
        self.count = math.prod(self.grid)

    def spread(self, values: Tensor) -> Tensor:
        """Values of cells (..., h, w) as pixels (..., H, W)."""
        pixels = values.repeat_interleave(self.window, -2).repeat_interleave(self.window, -1)
        return pixels[..., : self.images.shape[2], : self.images.shape[3]]

    def means(self, heat: Tensor) -> Tensor:
        """Means of heat (B, L, H, W) in the cells, (B, L, cells)."""
        return F.avg_pool2d(heat.float().cpu(), self.window, ceil_mode=True).flatten(2)

    def cover(self, cells: Tensor) -> Tensor:
        """The images with some cells, (B, cells) or (cells,), in gray."""
        covered = self.spread(cells.view(-1, 1, *self.grid)).to(self.images.device)
        return self.images.masked_fill(covered, 0.0)
