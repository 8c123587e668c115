"""What is trained: the losses of a recipe as one sum, logged by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from reidlab.losses import Batch, Loss
from reidlab.losses.terms import same_rows
from reidlab.processes import gather


class Objective:
    """The weighted sum of some losses.

    Args:
        losses: Those of a recipe.
        gathered: Whether losses that compare images see the batch of all processes.
    """

    def __init__(self, losses: Iterable[Loss], *, gathered: bool = True) -> None:
        losses, whole = tuple(losses), gather if gathered else same_rows
        self.losses = losses
        self.terms = {loss.name: loss.build(whole) for loss in losses}
        self.weights = {loss.name: loss.weight for loss in losses}

    def __call__(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Each loss by name, without its weight."""
        return {name: term(outputs, batch) for name, term in self.terms.items()}

    def watch(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """What the losses say for the log alone, by name."""
        watched: dict[str, Tensor] = {}
        for loss in self.losses:
            watched |= loss.watch(outputs, batch)
        return watched

    def total(self, losses: dict[str, Any]) -> Any:
        """The weighted sum of what a call returned, or of numbers by the same names."""
        return sum(self.weights[name] * value for name, value in losses.items())
