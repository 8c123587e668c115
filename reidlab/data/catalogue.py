"""The one door: `open_dataset(name, root)`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reidlab.data.dataset import ReIDDataset
from reidlab.data.errors import DatasetError, DatasetWarning
from reidlab.data.market1501 import open_market1501
from reidlab.data.pku_reid import open_pku_reid

READERS: dict[str, Callable[..., ReIDDataset]] = {
    "market1501": open_market1501,
    "pku-reid": open_pku_reid,
}
PLANNED = (
    "dukemtmc",
    "occluded-duke",
    "msmt17",
    "cuhk03-np",
    "cuhk03-classic",
    "veri776",
    "randperson",
    "sysu-mm01",
    "regdb",
    "folder",
)


def list_datasets() -> list[str]:
    """Names that `open_dataset` can read."""
    return sorted(READERS)


def open_dataset(name: str, root: str | Path, **options: Any) -> ReIDDataset:
    """Read a data set from disk into tables. No image is opened, nothing is written.

    Args:
        name: "market1501" (real, or synthetic in its layout) or "pku-reid".
        root: the folder; where it is the wrong one the error says which to pass.
        options: `split="all_imgs" | "official"` for pku-reid.

    Returns:
        Tables `train`, `query` and `gallery`. Where counts differ from the published ones the
        difference is in `describe()` and in `warnings`.

    Raises:
        DatasetError: an unknown name or option, or a folder that cannot be this data set.

    Example:
        ds = open_dataset("market1501", "data/synthetic")
        ds.train.groupby("camid").size()
    """
    if name not in READERS:
        known = f"reidlab reads {', '.join(list_datasets())}"
        if name in PLANNED:
            raise DatasetError(f"the data set {name!r} is planned but cannot be read yet: {known}")
        raise DatasetError(
            f"unknown data set {name!r}: {known} (planned, not readable yet: {', '.join(PLANNED)})"
        )
    reader = READERS[name]
    allowed = list(inspect.signature(reader).parameters)[1:]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise DatasetError(
            f"{name} has no option {', '.join(unknown)}: expected "
            f"{', '.join(allowed) or 'no options'}"
        )
    ds = reader(root, **options)
    for text in (*ds.warnings, *ds.notes):
        warnings.warn(f"{name} at {ds.root}: {text}", DatasetWarning, stacklevel=2)
    return ds
