"""Tables of things as dataclasses: a field is a column, a row one person, camera or image."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Columns:
    """What dataclasses of arrays or tensors share whose first axis counts the same things."""

    def take(self, rows: NDArray[np.int64] | slice) -> Self:
        """The table of `rows`, with repetition; whole numbers and None belong to all of them."""
        return type(self)(**{name: _of_rows(value, rows) for name, value in vars(self).items()})


def _of_rows(column: Any, rows: NDArray[np.int64] | slice) -> Any:
    if isinstance(column, Columns):
        return column.take(rows)
    return column if column is None or isinstance(column, int) else column[rows]
