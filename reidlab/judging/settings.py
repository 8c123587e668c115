"""What of a recipe decides how a trained model is judged; a `Recipe` has all of it."""

from __future__ import annotations

from typing import Any, Protocol, Self


class Judging(Protocol):
    """Settings of the evaluation; see `reidlab.training.Recipe` for what each means."""

    @property
    def image_size(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def normalization(self) -> str: ...  # noqa: D102
    @property
    def interpolation(self) -> str: ...  # noqa: D102
    @property
    def embed_batch_size(self) -> int: ...  # noqa: D102
    @property
    def workers(self) -> int: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def flip_test(self) -> bool: ...  # noqa: D102
    @property
    def metric(self) -> Any: ...  # noqa: D102
    @property
    def ap(self) -> Any: ...  # noqa: D102

    def replace(self, **overrides: Any) -> Self: ...  # noqa: D102
    def to_dict(self) -> dict[str, Any]: ...  # noqa: D102
