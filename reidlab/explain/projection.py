"""Images in the plane by t-SNE, and numbers beside the picture, which depends on a seed.

Van der Maaten & Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008. The method keeps neighbours
and not distances: how far groups lie apart, and how large they are, means nothing in its pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

PERPLEXITIES, SEEDS, NEIGHBOURS = (5, 10, 20), (0, 1, 2), 5


class Projection(NamedTuple):
    """Images in the plane, several times.

    Attributes:
        points: (runs, N, 2), in the order of `numbers`.
        numbers: One row a run: "perplexity", "seed", "trustworthiness" (share of 1: whether
            neighbours in the plane were neighbours before; Venna & Kaski 2001), and of the plane
            "silhouette", "own" and "across" as in `neighbourhood`.
        features: `neighbourhood` of the features themselves.
    """

    points: NDArray[np.float64]
    numbers: pd.DataFrame
    features: dict[str, float]

    @property
    def drawn(self) -> NDArray[np.float64]:
        """The points (N, 2) of the run in the middle of the list, for a picture."""
        return self.points[len(self.points) // 2]

    def stability(self) -> list[str]:
        """What all runs show beside what the features say, a line a number, for the picture.

        Such as "silhouette +0.12, t-SNE +0.14 to +0.19": the least and the largest of all runs.
        """
        ends = self.numbers.agg(["min", "max"])
        lines = []
        for name, sign in (("silhouette", "+"), ("across", "")):
            own, low, high = (f"{x:{sign}.2f}" for x in (self.features[name], *ends[name]))
            lines.append(f"{name} {own}, t-SNE {low} to {high}")
        low, high = (f"{x:.2f}" for x in ends["trustworthiness"])
        return [*lines, f"trustworthiness {low} to {high}"]


def neighbourhood(
    features: ArrayLike,
    pids: ArrayLike,
    groups: ArrayLike,
    *,
    k: int | None = None,
    scores: bool = False,
) -> dict[str, float]:
    """How well people keep together, and how well groups mix, without any picture.

    Args:
        features: (N, D); compared by cosine.
        pids: Their people, (N,).
        groups: What should not divide them, such as camera or modality, (N,).
        k: Neighbours of an image that are counted, itself left out; None: 5, or a third of fewer
            than 16 images.
        scores: Whether `features` are the scores of a matcher, (N, N), higher for more similar
            images. The two scores of a pair are averaged, and a distance is the highest score of
            two different images minus that of the pair. A silhouette keeps its sign whatever is
            added to all scores, not its size.

    Returns:
        "silhouette" by person and "by group" (-1 to 1; Rousseeuw 1987: 0 if a person's images are
        as near to the next person's as to their own), the latter NaN if no group has two images;
        the shares of the k nearest that show the "own" person, and that are "across", of another
        group; "by chance", what the latter would be if groups mixed freely; and k.

    Raises:
        ValueError: Lengths that differ, fewer than two people or two images of nobody, one group, a
            value that is no number, or k that is not 1 to N - 1.
    """
    return _numbers(*_checked(features, pids, groups, k, scores))


def project(
    features: ArrayLike,
    pids: ArrayLike,
    groups: ArrayLike,
    *,
    perplexities: Sequence[float] | None = None,
    seeds: Sequence[int] = SEEDS,
    k: int | None = None,
    scores: bool = False,
) -> Projection:
    """t-SNE of features, or of a matcher's scores, for several perplexities and seeds.

    A perplexity is about the number of neighbours that an image keeps. Each run starts from points
    drawn by its seed, so what all of them show is no accident of one. Of scores s the method keeps
    the weights exp(s / sigma^2) of the others of each image, whatever is added to all scores.

    Args:
        features: As in `neighbourhood`.
        pids: Likewise.
        groups: Likewise.
        perplexities: Each above 1 and below N; None: of 5, 10 and 20 those below N / 3, else 2.
        seeds: Of the starts.
        k: As in `neighbourhood`; below N / 2.
        scores: As in `neighbourhood`.

    Raises:
        ValueError: As `neighbourhood`, a perplexity that does not fit N, or no run at all.
    """
    from sklearn.manifold import TSNE, trustworthiness
    from sklearn.metrics import pairwise_distances

    far, who, group, k = _checked(features, pids, groups, k, scores)
    if perplexities is None:
        perplexities = [p for p in PERPLEXITIES if 3 * p < len(far)] or [2]
    if not len(perplexities) or not len(seeds):
        raise ValueError("there is no perplexity or no seed; expected one of each at least")
    if wrong := [p for p in perplexities if not 1 < p < len(far)]:
        raise ValueError(
            f"perplexity {wrong[0]} does not fit {len(far)} images; expected more than 1 and fewer "
            "than the images: lower it, or take more images"
        )
    if 2 * k >= len(far):
        raise ValueError(f"k is {k} of {len(far)} images; expected fewer than half of them")
    root = np.sqrt(2 * far)  # of cosines the Euclidean distance; t-SNE squares it again
    points, rows = [], []
    for perplexity, seed in itertools.product(perplexities, seeds):
        tsne = TSNE(perplexity=perplexity, random_state=seed, init="random", metric="precomputed")
        plane = tsne.fit_transform(root).astype(float)
        kept = trustworthiness(root, plane, n_neighbors=k, metric="precomputed")
        found = _numbers(pairwise_distances(plane), who, group, k)
        points.append(plane)
        row = {"perplexity": perplexity, "seed": seed, "trustworthiness": float(kept)}
        rows.append(row | {name: found[name] for name in ("silhouette", "own", "across")})
    return Projection(np.stack(points), pd.DataFrame(rows), _numbers(far, who, group, k))


def _numbers(far: NDArray[Any], who: NDArray[Any], group: NDArray[Any], k: int) -> dict[str, float]:
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    alone = len(np.unique(group)) == len(group)
    near = NearestNeighbors(n_neighbors=k, metric="precomputed").fit(far)
    others = (group[:, None] != group).sum(1) / (len(far) - 1)
    nearest = near.kneighbors(return_distance=False)  # (N, k), without the image itself
    return {
        "silhouette": float(silhouette_score(far, who, metric="precomputed")),
        "by group": np.nan if alone else float(silhouette_score(far, group, metric="precomputed")),
        "own": float((who[nearest] == who[:, None]).mean()),
        "across": float((group[nearest] != group[:, None]).mean()),
        "by chance": float(others.mean()),
        "k": k,
    }


def _checked(
    features: ArrayLike, pids: ArrayLike, groups: ArrayLike, k: int | None, scores: bool
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], int]:
    """Distances (N, N), people, groups and k."""
    x, who, group = np.asarray(features, dtype=float), np.asarray(pids), np.asarray(groups)
    if x.ndim != 2 or not len(x) == who.size == group.size or (scores and len(x) != x.shape[1]):
        raise ValueError(
            f"features {x.shape}, pids {who.shape} and groups {group.shape} do not fit: expected "
            f"({'N, N' if scores else 'N, D'}), (N,) and (N,)"
        )
    if not np.isfinite(x).all():
        raise ValueError("features hold NaN or infinity; expected numbers: did a run diverge?")
    if not 2 <= len(np.unique(who)) < len(who):
        raise ValueError(
            f"{len(who)} images show {len(np.unique(who))} people; expected two people or more, "
            "and two images of somebody"
        )
    if len(np.unique(group)) < 2:
        raise ValueError(f"all {len(x)} images are of one group, {group[0]}; expected two or more")
    k = min(NEIGHBOURS, max(1, (len(x) - 1) // 3)) if k is None else k
    if not 1 <= k < len(x):
        raise ValueError(f"k is {k} and there are {len(x)} images; expected 1 to {len(x) - 1}")
    return _distances(x, scores), who, group, k


def _distances(x: NDArray[Any], scores: bool) -> NDArray[Any]:
    """(N, N), 0 of an image to itself."""
    if scores:
        alike = (x + x.T) / 2
        far = alike[~np.eye(len(x), dtype=bool)].max() - alike
    else:
        unit = x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)
        far = (1 - unit @ unit.T).clip(0)
    np.fill_diagonal(far, 0)
    return far
