"""When does re-ranking help? Its gain against k1 and the images that a person has in the gallery.

k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal
Encoding", CVPR 2017) calls two images near if each is among the k1 nearest of the other. Where a
person has fewer images than k1, the neighbours beyond them are strangers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from reidlab.evaluation import RankResult, average, evaluate, holm, paired_test, rank, rerank
from reidlab.experiments.la_tf_pp import LAMBDA, k2_of
from reidlab.judging import test_transform
from reidlab.judging.settings import Judging
from reidlab.synth import World

Draws = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]


def embed_world(
    model: nn.Module, world: World, recipe: Judging, *, images_per_camera: int, batch_size: int = 64
) -> tuple[pd.DataFrame, Tensor]:
    """Render all people of a world and embed them, without a file.

    Args:
        model: Anything with `embed(images)`; it is in evaluation mode afterwards.
        world: Its people and cameras are all taken.
        recipe: Gives image size and normalisation; the network runs in float32.
        images_per_camera: Images of each person in each camera.
        batch_size: Images at a time.

    Returns:
        N rows of pid, camid and index, and their embeddings (N, D), float32 on the CPU.
    """
    people, cameras = range(1, world.identities + 1), range(world.cameras)
    keys = list(product(people, cameras, range(images_per_camera)))
    transform, device = test_transform(recipe), next(model.parameters()).device
    images = [transform(Image.fromarray(image)) for image in world.render(keys).images]
    network: Any = model.eval()
    with torch.inference_mode():
        batches = torch.stack(images).split(batch_size)
        emb = torch.cat([network.embed(batch.to(device)).float().cpu() for batch in batches])
    return pd.DataFrame(keys, columns=["pid", "camid", "index"]), emb


def rerank_gains(
    frame: pd.DataFrame,
    emb: Tensor,
    counts: Sequence[int],
    k1s: Sequence[int],
    *,
    draws: int = 6,
    seed: int = 0,
) -> pd.DataFrame:
    """Turn k1 against m, the gallery images of each person in other cameras.

    A draw takes one image of each person as query and m of that person's images from other cameras
    as gallery; a larger m holds a smaller one. mAP with and without re-ranking is averaged over the
    draws, and the interval is over people, paired. k2 = min(6, k1) and lambda 0.3, as published.

    Args:
        frame: N rows with pid and camid; each person has max(counts) images in other cameras.
        emb: (N, D).
        counts: values of m.
        k1s: values of k1.
        draws: queries of each person.
        seed: of the draws and of the interval.

    Returns:
        One row for each m and k1: m, k1, gain (points of mAP), low, high, p of the paired test, and
        `clear`, whether there is a gain or a loss: by Holm's rule at 5 %, where all cells of the
        table count as several.

    Raises:
        ValueError: a person has too few images in other cameras.
    """
    drawn = _draw(frame, max(counts), draws, np.random.default_rng(seed))
    people = frame.pid[drawn[0][0]]

    def over_draws(m: int, k1: int | None = None) -> RankResult:
        parts = [_judge(frame, emb, asks, others[:, :m].ravel(), k1) for asks, others in drawn]
        return average(parts, same_queries=True)

    rows = []
    for m in counts:
        plain = over_draws(m)
        for k1 in k1s:
            found = paired_test(over_draws(m, k1), plain, people, seed=seed)
            low, high = 100 * found.low, 100 * found.high
            gain = {"gain": 100 * found.difference, "low": low, "high": high}
            rows.append({"m": m, "k1": k1, **gain, "p": found.p_value})
    table = pd.DataFrame(rows)
    return table.assign(clear=np.array(holm(table["p"])) <= 0.05)


def _draw(frame: pd.DataFrame, most: int, draws: int, rng: np.random.Generator) -> Draws:
    """For each draw queries (P,), and images of the same people in other cameras (P, K)."""
    found = []
    for _ in range(draws):
        asks, others = [], []
        for pid, own in frame.groupby("pid"):
            asks.append(rng.choice(own.index))
            elsewhere = own.index[own.camid != frame.camid[asks[-1]]]
            if len(elsewhere) < most:
                raise ValueError(
                    f"person {pid} has {len(elsewhere)} images in other cameras, expected {most}: "
                    "ask for fewer, or render more"
                )
            others.append(rng.permutation(elsewhere))
        found.append((np.array(asks), np.array(others)))
    return found


def _judge(
    frame: pd.DataFrame,
    emb: Tensor,
    asks: NDArray[np.int64],
    gallery: NDArray[np.int64],
    k1: int | None = None,
) -> RankResult:
    """The queries before this gallery, re-ranked if there is a k1."""
    who = (frame.pid[asks], frame.pid[gallery], frame.camid[asks], frame.camid[gallery])
    if k1 is None:
        return evaluate(emb[asks], emb[gallery], *who)
    distances = rerank(emb[asks], emb[gallery], k1=k1, k2=k2_of(k1), lambda_value=LAMBDA)
    return rank(distances, *who)
