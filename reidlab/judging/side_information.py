"""Which vector of a model's table belongs to an image: by its camera, its viewpoint, or both.

Every door that shows images of a data set to a model asks here; the model itself takes rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from torch import nn

from reidlab.errors import RecipeError


def sides_of(model: nn.Module) -> tuple[int, int]:
    """How many cameras and viewpoints the table of a model tells apart; 0: that is not asked."""
    backbone = getattr(model, "backbone", None)
    return getattr(backbone, "num_cameras", 0), getattr(backbone, "num_views", 0)


def with_rows(model: nn.Module, frame: pd.DataFrame, name: str = "the table") -> pd.DataFrame:
    """A table whose `camid` is what the model takes: camera, view, camera * views + view, or, for a
    model with a stem of each modality (`by_modality`: AGW), 1 for infrared and 0 for visible.

    Args:
        model: Any; one without a table of side information leaves everything as it is.
        frame: Rows with `path`, `camid` and, where the model asks for it, `view` or `modality`.
        name: Of the data set, for the message.

    Returns:
        The same table, or a copy with another `camid`.

    Raises:
        RecipeError: If a camera or view is beyond the table, or a viewpoint is not known; it names
            the images.
    """
    if getattr(model, "by_modality", False):
        infrared = frame.get("modality", "visible") == "infrared"
        return frame.assign(camid=np.int64(0) + infrared)
    cameras, views = sides_of(model)
    if not cameras and not views:
        return frame
    table = frame if "view" in frame else frame.assign(view=-1)
    rows: Any = 0
    for column, size, what in (("camid", cameras, "camera"), ("view", views, "viewpoint")):
        if not size:
            continue
        wrong = table[~table[column].between(0, size - 1)]
        if len(wrong):
            _refuse(wrong, column, f"the model embeds {what}s 0 to {size - 1} and {name} has", what)
        rows = rows * size + table[column]
    return table.assign(camid=rows)


def _refuse(wrong: pd.DataFrame, column: str, begin: str, what: str) -> NoReturn:
    value = wrong[column].iloc[0]
    images = f"{len(wrong)} images, such as {', '.join(Path(p).name for p in wrong['path'][:3])}"
    if value == -1 and column == "view":
        raise RecipeError(
            f"{begin} no {what} (view -1) of {images}. Leave them out, as TransReID does: "
            "open_dataset('veri776', root, views='known'); or train with camera_embedding=True "
            "or False."
        )
    raise RecipeError(
        f"{begin} {what} {value} ({images}), which nothing was learned of. Judge by the mean of "
        "all: model.backbone.forget_cameras(), or evaluate_run(out, ds, mean_camera=True); or "
        "build the model with a larger num_cameras, or with camera_embedding=False."
    )
