"""The rows of the history for a viewer such as TensorBoard, while they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate.tracking import GeneralTracker  # type: ignore[import-untyped]
from accelerate.utils import is_tensorboard_available  # type: ignore[import-untyped]

from reidlab.record import flatten

TENSORBOARD = "tensorboard"


def check_tracker(tracker: str | GeneralTracker | None) -> None:
    """Check that there is such a tracker; Accelerate would warn and go on without.

    Raises:
        ValueError: If it is neither None, "tensorboard" nor a tracker of Accelerate.
        ModuleNotFoundError: If TensorBoard is not installed.
    """
    if tracker is None or isinstance(tracker, GeneralTracker):
        return
    if tracker != TENSORBOARD:
        raise ValueError(
            f"tracker is {tracker!r}; expected None, 'tensorboard' or a GeneralTracker of "
            "accelerate.tracking."
        )
    if not is_tensorboard_available():
        raise ModuleNotFoundError(
            "tracker='tensorboard' needs TensorBoard, which is not installed: "
            "pip install 'reidlab[track]', or pass tracker=None (the record has the same numbers)."
        )


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """A row of the history as "losses/identity" -> number, with images per second."""
    flat = {"images_per_second": row["images"] / row["seconds"], **flatten(row)}
    return {k.replace(".", "/"): float(v) for k, v in flat.items() if isinstance(v, int | float)}
