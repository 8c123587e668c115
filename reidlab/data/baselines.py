"""Features that no one trained: what a model has to beat, and what must not be enough.

A retrieval by mean colour or by the background shows how far a data set can be solved by a
shortcut; the pixel feature is the reference of the evaluation tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from reidlab.data.errors import DatasetError
from reidlab.data.images import read_image, read_mask
from reidlab.data.transforms import NORMALIZATIONS

ROWS = 14
PERSON_PARTS = range(1, 7)  # labels of masks/: head, torso, arms, legs, feet, accessory

FloatArray = NDArray[np.float64]


def pixel_features(frame: pd.DataFrame) -> FloatArray:
    """Images shrunk to 14 x 14, each row of unit length: (N, 588), of unit length.

    The shape (14 rows) is LA-Transformer's; a cosine of two such features is the mean over the
    rows of the rows' cosines.
    """
    mean, std = (np.array(values) for values in NORMALIZATIONS["imagenet"])
    features = np.empty((len(frame), ROWS * ROWS * 3))
    for i, path in enumerate(frame["path"]):
        small = read_image(path).resize((ROWS, ROWS), Image.Resampling.BICUBIC)
        pixels = (np.asarray(small, np.float64) / 255 - mean) / std
        rows = pixels.reshape(ROWS, -1)
        features[i] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).ravel()
    return features / np.sqrt(ROWS)


def mean_color_features(frame: pd.DataFrame, *, background_only: bool = False) -> FloatArray:
    """Mean red, green and blue of each image: (N, 3) in 0..1. Compare them by metric="euclidean".

    Args:
        frame: a table of a data set.
        background_only: leave the person out, by the true masks of a synthetic set. What stands in
            front of the person counts as background.

    Raises:
        DatasetError: the set has no masks (real ones have none).
    """
    features = np.empty((len(frame), 3))
    for i, path in enumerate(frame["path"]):
        pixels = np.asarray(read_image(path), np.float64) / 255  # (H, W, 3)
        shown = ~_person(Path(path)) if background_only else np.ones(pixels.shape[:2], bool)
        features[i] = pixels[shown].mean(axis=0) if shown.any() else 0.0
    return features


def mask_path(path: str | Path) -> Path:
    """Where a synthetic image's true mask lies: that of <root>/a/b.jpg is <root>/masks/a/b.png.

    The root is the nearest folder above the image that holds masks/, whatever the layout.
    """
    image = Path(path)
    above = (folder for folder in image.parents if (folder / "masks").is_dir())
    root = next(above, image.parent.parent)
    return (root / "masks" / image.relative_to(root)).with_suffix(".png")


def _person(path: Path) -> NDArray[np.bool_]:
    """(H, W) True on the person."""
    mask = mask_path(path)
    if not mask.is_file():
        raise DatasetError(
            f"there is no mask {mask} for {path}: only synthetic sets have masks. Write one with "
            "data_scripts/make_synthetic.py, or pass background_only=False"
        )
    return np.isin(read_mask(mask), PERSON_PARTS)
