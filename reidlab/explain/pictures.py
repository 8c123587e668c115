"""Pictures to explain, chosen by rule, as a network gets them; and their true masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from reidlab.data import ReIDDataset, mask_path, read_image, read_mask


def cross_camera_pairs(ds: ReIDDataset, count: int, seed: int) -> pd.DataFrame:
    """Draw queries, each with a gallery image of the same person in another camera.

    Args:
        ds: the data set; junk images of its gallery are left out.
        count: pairs at most; one for each query.
        seed: which of the queries are drawn.

    Returns:
        Rows of `ds.query`, with the columns of the gallery image beside them under names that end
        in "_2": `path` and `path_2`, `camid` and `camid_2`. The gallery image is the first one.

    Raises:
        ValueError: a count below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}: expected 1 pair or more")
    good = ds.gallery[~ds.gallery.junk]
    pairs = ds.query.merge(good, on="pid", suffixes=("", "_2"))
    pairs = pairs[pairs.camid != pairs.camid_2].drop_duplicates("path")
    return pairs.sample(min(count, len(pairs)), random_state=seed)


def image_batch(paths: Iterable[str | Path], transform: Callable[..., Tensor]) -> Tensor:
    """Read images as a network gets them, (B, 3, H, W).

    Args:
        paths: of the images.
        transform: such as `reidlab.judging.test_transform(recipe)`.
    """
    return torch.stack([transform(read_image(path)) for path in paths])


def true_masks(paths: Iterable[str | Path]) -> Tensor | None:
    """Read the true masks of images of one size.

    Args:
        paths: of the images.

    Returns:
        Part labels (B, H, W), see `reidlab.synth.PARTS`; None where an image has no mask, as in
        every data set but the synthetic ones.

    Raises:
        DatasetError: a mask cannot be read.
    """
    masks = [mask_path(path) for path in paths]
    if not all(mask.exists() for mask in masks):
        return None
    return torch.from_numpy(np.stack([read_mask(mask) for mask in masks]))
