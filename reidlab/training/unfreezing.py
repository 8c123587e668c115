"""Block-wise fine-tuning: the transformer's blocks open one by one, the last first.

Sharma et al., "Person Re-Identification with a Locally Aware Transformer", 2021 (arXiv 2106.03720),
section 3.2, after Howard and Ruder's gradual unfreezing. What their program does and what their
Algorithm 1 says are not the same; with t = 2 and 12 blocks, epochs counted from 0:

===========================  =====================================  ===========================
at epoch 0, 2, 4, ...        "code"                                 "algorithm-1"
===========================  =====================================  ===========================
open after it                2, 3, 4, ... blocks                    1, 2, 3, ... blocks
all are open from            epoch 20                               epoch 22
the rate is multiplied       each time, for ever                    while a block is left to open
===========================  =====================================  ===========================

In both, only the blocks are ever frozen. Patch embedding, class token, positions, the final norm
and the heads learn from the first step: so the code, and of Algorithm 1 it is our reading ("Freeze
all the transformer blocks"), though the text speaks of the bottleneck alone.
The optimizer is made once, for all parameters. One without a gradient is passed over, decay
included, and a block that opens starts with moments of zero and a step count of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from reidlab.training.recipe import Recipe


@dataclass(frozen=True)
class Unfreezing:
    """Which blocks learn in which epoch, and at what rate.

    Attributes:
        depth: b, blocks of the transformer.
        every: t, epochs from one opening to the next.
        decay: Factor of the learning rate at each opening, the first included.
        freeze: Whether blocks are frozen at all; False leaves the decay alone.
        off_by_one: Whether the first opening opens two blocks, as the code's does.
        decay_forever: Whether the rate goes on falling when all blocks are open.
    """

    depth: int = 12
    every: int = 2
    decay: float = 0.8
    freeze: bool = True
    off_by_one: bool = True
    decay_forever: bool = True

    @classmethod
    def of(cls, recipe: Recipe, depth: int) -> Unfreezing:
        """That of a recipe, for a transformer of `depth` blocks.

        Without unfreezing the rate decays as the code's; the paper does not say whether it did.
        """
        return cls(
            depth=depth,
            every=recipe.decay_every,
            decay=recipe.lr_decay,
            freeze=recipe.unfreezing is not None,
            off_by_one=recipe.unfreezing != "algorithm-1",
            decay_forever=recipe.unfreezing != "algorithm-1",
        )

    def open_blocks(self, epoch: int) -> int:
        """How many blocks, counted from the last, learn in an epoch (from 0)."""
        if not self.freeze:
            return self.depth
        return min(self._openings(epoch) + self.off_by_one, self.depth)

    def rate(self, lr: float, epoch: int) -> float:
        """Learning rate of an epoch (from 0)."""
        openings = self._openings(epoch)
        return lr * self.decay ** (openings if self.decay_forever else min(openings, self.depth))

    def apply(self, model: nn.Module, epoch: int) -> None:
        """Freeze and open the blocks of `model.backbone` for an epoch (from 0)."""
        blocks = blocks_of(model)
        for index, block in enumerate(blocks):
            block.requires_grad_(index >= len(blocks) - self.open_blocks(epoch))

    def _openings(self, epoch: int) -> int:
        return epoch // self.every + 1


@contextmanager
def unfrozen_afterwards(model: nn.Module) -> Iterator[None]:
    """Whatever was frozen inside, afterwards each parameter learns or not as it did before."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, learns in before:
            parameter.requires_grad_(learns)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The transformer's blocks, the first first; empty for a model without any."""
    backbone: Any = getattr(model, "backbone", None)
    return list(getattr(backbone, "blocks", ()))
