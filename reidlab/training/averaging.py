"""An exponential moving average of the weights, which is evaluated and saved in their place.

The average is timm's `ModelEmaV3`. After the n-th step of the optimizer

    average <- d * average + (1 - d) * weights,   d = min(decay, 1 - n ** (-2 / 3))

so the first step copies the weights and a run that is shorter than 1 / (1 - decay) steps still
averages over its later part, not over the random weights it began with (timm's warm-up).
The running mean and variance of batch norm are averaged like weights; its counter is copied.
"""

from __future__ import annotations

from typing import Any

from timm.utils import ModelEmaV3
from torch import Tensor, nn


class Average:
    """The moving average of a model, on its device.

    Args:
        model: Watched; it is copied now, and read in each `update`.
        decay: The largest share that the average keeps of itself in a step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.source = model
        self.steps = 0
        self._average = ModelEmaV3(model, decay=decay, use_warmup=True)

    @property
    def model(self) -> nn.Module:
        """The averaged model, in evaluation mode."""
        return self._average.module

    def update(self) -> None:
        """Take in the weights after a step of the optimizer."""
        self.steps += 1
        self._average.update(self.source, step=self.steps)

    def state_dict(self) -> dict[str, Any]:
        """Steps so far, and the averaged weights."""
        weights: dict[str, Tensor] = self.model.state_dict()
        return {"steps": self.steps, "weights": weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to an earlier `state_dict`."""
        self.steps = state["steps"]
        self.model.load_state_dict(state["weights"])
