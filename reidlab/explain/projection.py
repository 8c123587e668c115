"""Features in the plane by t-SNE, and numbers beside the picture, which depends on a seed.

Van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008. The method keeps neighbours
and not distances: how far groups lie apart, and how large they are, means nothing in its pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

PERPLEXITIES, SEEDS, NEIGHBOURS = (5, 15, 30), (0, 1, 2), 5


class Projection(NamedTuple):
    """Features in the plane, several times.

    Attributes:
        points: (runs, N, 2), in the order of `numbers`.
        numbers: One row a run: "perplexity", "seed", "trustworthiness" (share of 1: whether
            neighbours in the plane were neighbours before; Venna & Kaski 2001), and of the plane
            "silhouette" and "across" as in `neighbourhood`.
    """

    points: NDArray[np.float64]
    numbers: pd.DataFrame

    def ranges(self) -> dict[str, str]:
        """The least and the largest of all runs, such as "0.14 to 0.19", for a table."""
        columns = ("silhouette", "across", "trustworthiness")
        found = {name: (self.numbers[name].min(), self.numbers[name].max()) for name in columns}
        return {f"{name}, t-SNE": f"{low:.2f} to {high:.2f}" for name, (low, high) in found.items()}


def neighbourhood(
    features: ArrayLike, pids: ArrayLike, infrared: ArrayLike, *, k: int = NEIGHBOURS
) -> dict[str, float]:
    """How well people keep together, and how well modalities mix, without any picture.

    Args:
        features: (N, D); compared by cosine.
        pids: Their people, (N,).
        infrared: Whether each is an infrared image, (N,).
        k: Neighbours of an image that are counted, itself left out.

    Returns:
        "silhouette" by person and "by modality" (-1 to 1; Rousseeuw 1987: 0 if a person's images
        are as near to the next person's as to their own); "across", the share of the k nearest
        that are of the other modality, and "by lot", what it would be if modalities mixed freely.

    Raises:
        ValueError: Lengths that differ, fewer than two people or two images of nobody, one
            modality, a value that is no number, or k that is not 1 to N - 1.
    """
    x, who, dark = _checked(features, pids, infrared, k)
    return _numbers(x, who, dark, k, "cosine")


def project(
    features: ArrayLike,
    pids: ArrayLike,
    infrared: ArrayLike,
    *,
    perplexities: Sequence[float] = PERPLEXITIES,
    seeds: Sequence[int] = SEEDS,
    k: int = NEIGHBOURS,
) -> Projection:
    """t-SNE of features for several perplexities and seeds.

    A perplexity is about the number of neighbours that an image keeps. Each run starts from points
    drawn by its seed, so what all of them show is no accident of one.

    Args:
        features: As in `neighbourhood`.
        pids: Likewise.
        infrared: Likewise.
        perplexities: Each above 1 and below N.
        seeds: Of the starts.
        k: Neighbours that the numbers count; below N / 2.

    Raises:
        ValueError: As `neighbourhood`, a perplexity that does not fit N, or no run at all.
    """
    from sklearn.manifold import TSNE, trustworthiness

    x, who, dark = _checked(features, pids, infrared, k)
    if not perplexities or not seeds:
        raise ValueError("there is no perplexity or no seed; expected one of each at least")
    if wrong := [p for p in perplexities if not 1 < p < len(x)]:
        raise ValueError(
            f"perplexity {wrong[0]} does not fit {len(x)} images; expected more than 1 and fewer "
            "than the images: lower it, or take more images"
        )
    if 2 * k >= len(x):
        raise ValueError(f"k is {k} of {len(x)} images; expected fewer than half of them")
    x = x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)  # Euclidean is then as by cosine
    points, rows = [], []
    for perplexity in perplexities:
        for seed in seeds:
            plane = TSNE(perplexity=perplexity, random_state=seed, init="random").fit_transform(x)
            found = _numbers(plane.astype(float), who, dark, k, "euclidean")
            points.append(plane.astype(float))
            rows.append(
                {
                    "perplexity": perplexity,
                    "seed": seed,
                    "trustworthiness": float(trustworthiness(x, plane, n_neighbors=k)),
                    "silhouette": found["silhouette"],
                    "across": found["across"],
                }
            )
    return Projection(np.stack(points), pd.DataFrame(rows))


def _numbers(x: NDArray[Any], who: NDArray[Any], dark: NDArray[Any], k: int, metric: str) -> Any:
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=k, metric=metric).fit(x).kneighbors(return_distance=False)
    others = np.where(dark, (~dark).sum(), dark.sum()) / (len(x) - 1)
    return {
        "silhouette": float(silhouette_score(x, who, metric=metric)),
        "by modality": float(silhouette_score(x, dark, metric=metric)),
        "across": float((dark[near] != dark[:, None]).mean()),
        "by lot": float(others.mean()),
    }


def _checked(features: ArrayLike, pids: ArrayLike, infrared: ArrayLike, k: int) -> Any:
    x, who = np.asarray(features, dtype=float), np.asarray(pids)
    dark = np.asarray(infrared, dtype=bool)
    if x.ndim != 2 or not len(x) == who.size == dark.size:
        raise ValueError(
            f"features {x.shape}, pids {who.shape} and infrared {dark.shape} do not fit: expected "
            "(N, D), (N,) and (N,)"
        )
    if not np.isfinite(x).all():
        raise ValueError("features hold NaN or infinity; expected numbers: did a run diverge?")
    if not 2 <= len(np.unique(who)) < len(who):
        raise ValueError(
            f"{len(who)} images show {len(np.unique(who))} people; expected two people or more, "
            "and two images of somebody"
        )
    if dark.all() or not dark.any():
        only = "infrared" if dark.any() else "visible"
        raise ValueError(f"all {len(x)} images are {only}; expected images of both modalities")
    if not 1 <= k < len(x):
        raise ValueError(f"k is {k} and there are {len(x)} images; expected 1 to {len(x) - 1}")
    return x, who, dark
