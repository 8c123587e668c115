"""How much of a network's heat lies on the person, with controls."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from torch import nn

from reidlab.data import ReIDDataset
from reidlab.explain import (
    SimilarityTarget,
    cross_camera_pairs,
    gradcam,
    image_batch,
    true_masks,
)
from reidlab.judging import test_transform
from reidlab.judging.settings import Judging
from reidlab.report.examples import heat_scores, layers_above
from reidlab.report.findings import NO_MASKS, Finding, finding


def heat_on_person(
    networks: Mapping[str, nn.Module], ds: ReIDDataset, recipe: Judging, *, count: int, seed: int
) -> pd.DataFrame | Finding:
    """Score Grad-CAM of the similarity to another picture of the same person, in the last layers.

    Args:
        networks: who looks -> a model of one kind, moved to the CPU and left in evaluation mode:
            the trained one, and as a control the same with random weights.
        ds: The data set; its queries are looked at.
        recipe: Gives image size and normalisation.
        count: Pairs of pictures at most, see `reidlab.explain.cross_camera_pairs`.
        seed: Which queries.

    Returns:
        As `reidlab.report.examples.heat_scores`, of the last three layers, and a line "clearly
        above all": whether the first of the networks lies above each control by two standard
        errors. Where the data set has no masks, one sentence that says so.

    Raises:
        ValueError: no networks, or a count below 1.
    """
    pairs, transform = cross_camera_pairs(ds, count, seed), test_transform(recipe)
    masks = true_masks(pairs.path)
    if masks is None:
        return finding(NO_MASKS)
    images, others = (image_batch(paths, transform) for paths in (pairs.path, pairs.path_2))
    heats, layers = {}, []
    for name, network in networks.items():
        network.cpu().eval()
        depth = network.backbone.depth  # type: ignore[union-attr]
        layers = [*range(max(1, depth - 2), depth + 1)]  # type: ignore[operator, arg-type]
        target = SimilarityTarget(network.embed(others).detach())  # type: ignore[operator]
        heats[name] = gradcam(network, images, target, layers=layers)
    table = heat_scores(heats, masks, layers)
    assert isinstance(table, pd.DataFrame)  # as there are masks
    first, *controls = heats.values()
    above = [{*layers_above(first, masks, layers, control)} for control in (None, *controls)]
    clear = set.intersection(*above)
    table.loc["clearly above all"] = ["yes" if layer in clear else "no" for layer in layers]
    return table
