"""Records of features that nobody trained: what a model has to beat."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from reidlab.data import ReIDDataset, mask_path, mean_color_features, pixel_features
from reidlab.evaluation.checks import Metric
from reidlab.judging.protocol import check_judged, judge
from reidlab.record import RunRecord, describe_data, now, peak_memory_mb, reset_peak_memory

CPU = torch.device("cpu")
Features = Callable[[pd.DataFrame], Any]


def untrained_records(ds: ReIDDataset, *, out: str | Path, seed: int = 0) -> dict[str, RunRecord]:
    """Judge small pixels, mean colour, a coin and, where masks tell it apart, the background.

    Args:
        ds: Its query and gallery are judged; junk is left out.
        out: Folder for one record per feature.
        seed: Of the coin.

    Returns:
        Name of the feature -> record, the weakest idea first.

    Raises:
        RecipeError: If the set cannot be judged, see `check_judged`.
    """
    check_judged(ds)
    coin = np.random.default_rng(seed)
    features: dict[str, tuple[Features, Metric]] = {
        "coin": (lambda frame: coin.normal(size=(len(frame), 8)), "euclidean"),
    }
    judged = pd.concat([frame[~frame["junk"]] for frame in (ds.query, ds.gallery)])
    if all(mask_path(path).exists() for path in judged["path"]):
        features["background"] = (partial(mean_color_features, background_only=True), "euclidean")
    features["mean colour"] = (mean_color_features, "euclidean")
    features["small pixels"] = (pixel_features, "cosine")
    records = {}
    for name, (function, metric) in features.items():
        records[name] = _judge(ds, name, function, metric, seed)
        records[name].save(Path(out) / f"{name.replace(' ', '_')}.json")
    return records


def _judge(ds: ReIDDataset, name: str, features: Features, metric: Metric, seed: int) -> RunRecord:
    started, clock = now(), time.perf_counter()
    reset_peak_memory(CPU)
    query, gallery = (frame[~frame["junk"]] for frame in (ds.query, ds.gallery))
    q_emb, g_emb = features(query), features(gallery)
    embedded = time.perf_counter()
    result = judge(ds, q_emb, g_emb, metric=metric)
    return RunRecord(
        experiment={"paper": "vit_baseline", "variant": name, "metric": metric},
        seed=seed,
        data=describe_data(ds),
        metrics=result.as_dict(),
        seconds={"train": 0.0, "embed": embedded - clock, "rank": time.perf_counter() - embedded},
        images_per_second=0.0,
        peak_memory_mb=peak_memory_mb(CPU),
        started=started,
        finished=now(),
    )
