"""What the networks of the papers cost: the table of chapter 09."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from reidlab import recipes
from reidlab.experiments import design
from reidlab.experiments.la_tf_pp import PLUS
from reidlab.experiments.la_transformer import FAST, LA
from reidlab.report.skeleton import KEPT, untrained

# model -> the small network that this book compares: a cell of an experiment
SMALL: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "vit_baseline": ("arenas.alike", {"start": "plain"}),
    "la_transformer": ("la_transformer.table2", LA | FAST),
    "la_tf_pp": ("la_tf_pp.losses_alike", PLUS),
    "gltrans": ("gltrans.networks_alike", {"network": "all"}),
    "tvtr": ("tvtr.table2_day-night", {"network": "all"}),
    "transmatcher": ("transmatcher.networks_alike", {"network": "transmatcher"}),
}


def costs(*, pictures: int = 16, rounds: int = 2) -> pd.DataFrame:
    """One row for each network, measured on this machine.

    Args:
        pictures: of a batch.
        rounds: batches of a network, the fastest of which counts.

    Returns:
        At the paper's size, with the people to name that Market-1501 has: "parameters (M)" and
        "kB an image", in float32. Of the small network: "ms a picture", forward and backward, in
        training.
    """
    rows = {}
    for name, (where, levels) in SMALL.items():
        with torch.device("meta"):  # shapes without memory
            model = untrained(recipes.get(name, "paper"))
        small = design(where).cell(levels).recipe
        images = torch.rand(pictures, 3, *small.image_size)
        seconds, _ = batch_cost(untrained(small).train(), images, rounds=rounds)
        rows[KEPT[name][0]] = {
            "parameters (M)": sum(p.numel() for p in model.parameters()) / 1e6,
            "kB an image": 4 * model.embed_dim / 1e3,
            "ms a picture": 1e3 * seconds / pictures,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def pairs_a_second(*, maps: int = 16, vectors: int = 4096) -> tuple[float, float]:
    """How many pairs of pictures are scored in a second on this machine.

    Args:
        maps: M; TransMatcher of the paper's size scores (M, M) pairs of its maps.
        vectors: N; a ViT-B's vectors of 768 numbers give (N, N) products.

    Returns:
        By the matcher, and by the product of vectors.
    """
    matcher = untrained(recipes.get("transmatcher", "paper")).eval()
    there, those = torch.randn(maps, *matcher.grid, matcher.channels), torch.randn(vectors, 768)
    rates = []
    with torch.no_grad():
        for score in (lambda: matcher.match(there, there), lambda: those @ those.T):
            clock = time.perf_counter()
            rates.append(score().numel() / (time.perf_counter() - clock))
    return rates[0], rates[1]


def batch_cost(model: nn.Module, images: Tensor, *, rounds: int = 2) -> tuple[float, float]:
    """Seconds and megabytes that a batch takes in training.

    Args:
        model: of the library, in training.
        images: (B, 3, H, W).
        rounds: batches, the fastest of which counts.

    Returns:
        Of the way forward and back, from everything that a loss may read; and of the tensors that
        PyTorch keeps for the way back, weights too, each once.
    """
    cameras, taken = torch.zeros(len(images)).long(), []
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.data_ptr()] = x.nbytes
        return x

    for _ in range(rounds):
        kept.clear()
        clock = time.perf_counter()
        with saved_tensors_hooks(keep, lambda x: x):
            logits, features, scores = model(images, cameras)
            read = [*logits, *features, *([] if scores is None else [scores])]
            torch.stack([x.sum() for x in read]).sum().backward()
        taken.append(time.perf_counter() - clock)
    return min(taken), sum(kept.values()) / 1e6
