"""What a page shows as examples, chosen by rule, and heat maps scored by the true masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from reidlab.evaluation import RankResult, over_seeds
from reidlab.evaluation.results import FloatArray
from reidlab.experiments.runs import Runs
from reidlab.experiments.tvtr import more_shown
from reidlab.explain import Projection, heat_share
from reidlab.report.findings import NO_MASKS, Finding, finding, in_points


def typical_queries(result: RankResult) -> dict[str, int]:
    """Choose the query with the best AP, the median one, and the worst, among those that count.

    Args:
        result: of a ranking.

    Returns:
        "best", "median", "worst" -> the number of the query. Of equal queries the later one is the
        best and the earlier one the worst; of an even number the upper of the two in the middle is
        the median.

    Raises:
        ValueError: no query counts.
    """
    if not result.num_valid:
        raise ValueError(f"none of {len(result.ap)} queries counts: there is no best or worst one")
    order = np.argsort(np.where(result.valid, result.ap, np.inf), kind="stable")
    order = order[: result.num_valid]  # from the worst query to the best
    return {"best": int(order[-1]), "median": int(order[len(order) // 2]), "worst": int(order[0])}


def heat_scores(
    heats: Mapping[str, Tensor], masks: Tensor | None, layers: Sequence[int]
) -> pd.DataFrame | Finding:
    """Tabulate the share of the heat that lies on the person, with a uniform map as the control.

    Args:
        heats: who looks -> its maps of the same images, (B, L, H, W): the trained network, and as
            a second control the same one with random weights.
        masks: part labels of these images, (B, h, w): `reidlab.explain.true_masks`. None:
            nothing can be scored, and one sentence says so instead.
        layers: L numbers of layers, the columns.

    Returns:
        A row for each of `heats` and one for "uniform map"; cells "mean ± standard error" over the
        images, in percent. Maps that are 0 everywhere have no share and are left out of the mean.

    Raises:
        ValueError: no maps, or shapes do not fit.
    """
    if not heats or any(heat.ndim != 4 or heat.shape[1] != len(layers) for heat in heats.values()):
        shapes = {name: tuple(heat.shape) for name, heat in heats.items()}
        raise ValueError(
            f"heats have the shapes {shapes}: expected (B, L, H, W) with {len(layers)} layers"
        )
    columns = [f"layer {layer} (%)" for layer in layers]
    if masks is None:
        return finding(NO_MASKS)
    shares = {name: heat_share(heat, masks) for name, heat in heats.items()}
    rows = {name: share.person.numpy() for name, share in shares.items()}
    area = next(iter(shares.values())).area.numpy()
    rows["uniform map"] = area[:, None].repeat(len(layers), 1)
    cells = {}
    for name, values in rows.items():  # (B, L)
        both = zip(*_mean_and_error(100 * values), strict=True)
        cells[name] = ["–" if m != m else f"{m:.0f}" if e != e else f"{m:.0f} ± {e:.0f}"
                       for m, e in both]  # fmt: skip
    return pd.DataFrame(cells, index=columns).T


def layers_above(
    heat: Tensor, masks: Tensor | None, layers: Sequence[int], control: Tensor | None = None
) -> list[int]:
    """Find the layers that have more of their heat on the person than a control has.

    Args:
        heat: maps of B images, (B, L, H, W).
        masks: part labels of these images, (B, h, w); None: nothing is known, and none is found.
        layers: L numbers of layers.
        control: maps of the same images, (B, L, H, W); None: a uniform map.

    Returns:
        Those whose mean difference over the images exceeds two of its standard errors; none of one
        image. Images in which either map is 0 everywhere are left out.
    """
    if masks is None:
        return []
    own = heat_share(heat, masks)
    other = own.area[:, None] if control is None else heat_share(control, masks).person
    differences = (own.person - other).numpy()  # (B, L)
    mean, error = _mean_and_error(differences)
    return [layer for layer, above in zip(layers, mean > 2 * error, strict=True) if above]


def _mean_and_error(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Over the images, (B, L) -> (L,) each; a NaN is a blank map, which does not count."""
    table = pd.DataFrame(values)
    return table.mean().to_numpy(), table.sem().to_numpy()


def trusted_layers(
    heat: Tensor, masks: Tensor | None, layers: Sequence[int], control: Tensor
) -> Finding | None:
    """Say which layers have more heat on the person than either control, see `layers_above`.

    Args:
        heat: as there, like masks and layers; without masks nothing can be said.
        control: maps of the same images by random weights, (B, L, H, W).
    """
    if masks is None:
        return None
    found = (layers_above(heat, masks, layers, other) for other in (None, control))
    area, random = (", ".join(map(str, above)) or "none" for above in found)
    more = "Layers with more heat on the person than a uniform map:"
    return finding(f"{more} {area}; than random weights: {random}.")


def choice_scores(shares: pd.DataFrame | None) -> pd.DataFrame | Finding:
    """Tabulate how much more of the person chosen patches show than patches drawn at random.

    Args:
        shares: one row an image, of other people each: "light", how it was taken; "area", the share
            of the person in all its patches; and a column for each way to choose, the share in what
            it chose. None where true masks are missing: one sentence says so instead.

    Returns:
        A row for each light and choice: "points" above the area, the mean over people with its
        95 % interval (Student's), if they differ, and "person": "more" or "less" where that leaves
        out 0, else "open".
    """
    if shares is None:
        return finding(NO_MASKS)
    rows = []
    for light, images in shares.groupby("light", sort=False):
        for choice in images.columns.drop(["light", "area"]):
            found = over_seeds((100 * (images[choice] - images["area"])).tolist())
            low, high = (np.nan if x is None else x for x in (found.low, found.high))
            word = "more" if low > 0 else "less" if high < 0 else "open"
            points = in_points(found.value, low, high)
            rows.append({"light": light, "choice": choice, "points": points, "person": word})
    return pd.DataFrame(rows)


def choices_told(shares: pd.DataFrame | None, pairs: Sequence[tuple[str, str]]) -> Finding:
    """Say which choices show more of the person than patches drawn at random, and than each other.

    Args:
        shares: as in `choice_scores`.
        pairs: of choices; the first minus the second is told for each light, person by person.
    """
    if shares is None:
        return finding(NO_MASKS)
    table = choice_scores(shares)
    assert isinstance(table, pd.DataFrame)
    kinds = {"more": "more of the person than random patches", "less": "less", "open": "not clear"}
    said = []
    for light, rows in table.groupby("light", sort=False):
        named = {word: ", ".join(group["choice"]) for word, group in rows.groupby("person")}
        told = [f"{text}: {named[word]}" for word, text in kinds.items() if word in named]
        said.append(f"{str(light).capitalize()} pictures: {'; '.join(told)}.")
    for a, b in pairs:
        apart = choice_scores(shares[["light", b, a]].rename(columns={b: "area"}))
        assert isinstance(apart, pd.DataFrame)
        points = "; ".join(f"{row.light} {row.points}" for row in apart.itertuples())
        said.append(f"{a[0].upper() + a[1:]} minus {b}: {points} points.")
    return finding(*said)


def patches_shown(runs: Runs, networks: Sequence[str]) -> pd.DataFrame:
    """Tabulate what the patches that stored networks choose show of the person.

    Args:
        runs: of `tvtr.table2_*`.
        networks: levels of "network"; one without a choice is asked what it would have chosen.

    Returns:
        A row for each network and light: the share of the person in "random patches", in percent,
        and what three ways to choose show more, in points, with their intervals: "product" of all
        layers (the paper's), the same "with residual", and "one layer".
    """
    ways = {"product": "chained", "with residual": "residual", "one layer": "last"}
    rows = {}
    for network in networks:
        found = [run["after"] for run in runs.where(network=network).records]
        for light, people in found[0]["patches"].items():
            cells: dict[str, str] = {"random patches": f"{100 * np.mean(people['area']):.1f}"}
            for title, way in ways.items():
                more = more_shown(found, way, light=light)
                cells[title] = in_points(more.value, more.low, more.high)
            rows[runs.label(network), light] = cells
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["network", "light"])


def planes_told(planes: Mapping[str, Projection], across: str = "camera") -> Finding:
    """Say whose pictures are neighbours, and whether t-SNE's pictures show the same change.

    Args:
        planes: network -> its runs over the same images; compared are the first and the last.
        across: a word for a group.

    Raises:
        ValueError: no planes.
    """
    if not planes:
        raise ValueError("there are no planes to tell of; expected one or more")
    first, *_, last = [*planes.values()] * 2  # of a single one both

    def told(key: str, lot: str = "") -> str:
        shares = (f"{name} {100 * each.features[key]:.0f} %" for name, each in planes.items())
        moved = (last.numbers[key] - first.numbers[key]).to_numpy()
        same = int((np.sign(moved) == np.sign(last.features[key] - first.features[key])).sum())
        pairs = f" ({same} of {len(moved)} pairs of t-SNE pictures agree)"
        said = ", ".join(shares) + lot + pairs * (len(planes) > 1)
        return said[0].upper() + said[1:]

    near = first.features
    by_chance = f", by chance {100 * near['by chance']:.0f} %"
    return finding(
        f"How many of the {near['k']} nearest pictures show the same person? {told('own')}.",
        f"How many are of another {across}? {told('across', by_chance)}.",
    )
