"""Pictures to explain, chosen by rule, as a network gets them; and their true masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from reidlab.data import ReIDDataset, mask_path, read_image, read_mask
from reidlab.evaluation.checks import one_of, whole_number


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


def few_people(
    ds: ReIDDataset,
    across: Literal["camera", "modality"] = "camera",
    *,
    count: int = 10,
    images: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw people of the test who are seen by several cameras, or in both modalities.

    Args:
        ds: the data set; junk and distractors are left out.
        across: which of both.
        count: people at most.
        images: of a person at most, in each camera or modality.
        seed: who is drawn.

    Returns:
        Rows of `ds.query` and `ds.gallery`, each image once, people in the order of the draw, with
        one more column: "group", the modality, or "camera 2".
    """
    one_of("across", across, ("camera", "modality"))
    whole_number("count", count, 1)
    frame = pd.concat([ds.query, ds.gallery], ignore_index=True).drop_duplicates("path")
    frame = frame[~frame["junk"] & ~frame["distractor"]]
    cameras = "camera " + frame["camid"].astype(str)
    frame = frame.assign(group=frame["modality"] if across == "modality" else cameras)
    several = frame.groupby("pid")["group"].nunique().loc[lambda n: n > 1].index.to_numpy()
    drawn = np.random.default_rng(seed).permutation(several)[:count]
    order = {pid: i for i, pid in enumerate(drawn)}
    frame = frame[frame["pid"].isin(drawn)].groupby(["pid", "group"]).head(images)
    return frame.sort_values(
        "pid", key=lambda pids: pids.map(order), kind="stable", ignore_index=True
    )


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
