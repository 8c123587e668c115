"""GLTrans: its parts, layers and bands, and beside it TransReID and stripes.

Wang, Zhang, Wang, Lu, "Other Tokens Matter", CVIU 244 (2024) 104030. Of its tables we had none, so
no number of the paper stands behind these comparisons, only what its abstract says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from reidlab import recipes
from reidlab.data import ReIDDataset
from reidlab.experiments.arenas import ARENAS, STARTS
from reidlab.experiments.design import Changes, Experiment, Step, over, switches
from reidlab.experiments.runner import Trained
from reidlab.experiments.runs import Runs
from reidlab.judging import embed, judge
from reidlab.models import TokenBackbone
from reidlab.training import Recipe


def start(profile: str, preset: str | None = None) -> Recipe:
    """The paper's recipe; small, at the rate that is best for the baseline from the plain start.

    Small ones are without the embedding of the camera: many of the people who are asked for are
    seen by cameras that nothing was trained on, and no vector is known of these.
    """
    recipe = recipes.get("gltrans", profile, preset)
    if profile == "laptop":
        recipe = recipe.replace(lr=STARTS["plain"]["lr"], camera_embedding=False)
    return recipe


def _losses(over_heads: str) -> Changes:
    return {f"losses.{name}.over_heads": over_heads for name in ("identity", "triplet")}


NETWORKS: dict[str, Changes] = {
    "vit": switches(layers=1, gae=False, lmf=False),
    "tokens": switches(gae=False, lmf=False),
    "gae": switches(lmf=False),
    "lmf": switches(gae=False),
    "all": {},
    "transreid": {"model": "transreid", "preset": "code", **_losses("halves")},
    "pcb": {"model": "pcb", "losses.triplet": None},
}
PARTS: dict[str, Changes] = {
    **{f"no-{part}": switches(**{part: False}) for part in ("ptf", "gma", "ptl")},
    **{f"layers-{n}": switches(layers=n) for n in (1, 2, 4)},
    **{f"bands-{n}": switches(bands=n) for n in (1, 2, 4)},
}
LABELS = {
    "vit": "ViT", "tokens": "three class tokens", "gae": "GAE", "lmf": "LMF", "all": "GLTrans",
    "transreid": "TransReID", "pcb": "PCB*", "no-ptf": "without PTF", "no-gma": "without GMA",
    "no-ptl": "without PTL", **{f"layers-{n}": f"layers: {n}" for n in (1, 2, 4)},
    **{f"bands-{n}": f"bands: {n}" for n in (1, 2, 4)},
}  # fmt: skip
FUSED = (2, 3, 4)  # the last n class tokens side by side


class ClassTokens(nn.Module):
    """A backbone that describes an image by the class tokens of all its layers.

    Args:
        backbone: L layers of D channels; all tokens go through its final norm.
    """

    def __init__(self, backbone: TokenBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def embed(self, images: Tensor, camids: Tensor | None = None) -> Tensor:
        """Class tokens of images (B, 3, H, W), (B, L * D), from the first layer to the last."""
        layers = range(1, self.backbone.depth + 1)
        found = self.backbone(images, camids, layers=tuple(layers)).layers
        return torch.cat([self.backbone.norm(found[layer][:, 0]) for layer in layers], dim=1)


def _by_layer(run: Trained, ds: ReIDDataset) -> dict[str, Any]:
    """mAP by the class token of each layer, and by those of the last n together."""
    if run.recipe.model != "gltrans":
        return {}
    backbone: Any = run.model.backbone
    q, g = (
        embed(ClassTokens(backbone), frame, run.recipe).unflatten(1, (backbone.depth, -1))
        for frame in (ds.query, ds.gallery)
    )
    chosen = {str(layer + 1): slice(layer, layer + 1) for layer in range(backbone.depth)}
    chosen |= {f"last {n}": slice(-n, None) for n in FUSED if n <= backbone.depth}
    return {
        name: judge(ds, q[:, of].flatten(1), g[:, of].flatten(1), metric=run.recipe.metric).mAP
        for name, of in chosen.items()
    }


def by_layer_after(runs: Runs, networks: Sequence[str]) -> pd.DataFrame:
    """mAP by the class token of each layer, after a training.

    Args:
        runs: of `gltrans.networks_*`.
        networks: levels of "network" whose runs know it: not "transreid", "pcb".

    Returns:
        One row for each network and layer: name, layer, value (percent, mean over the seeds), ready
        for `reidlab.report.figures.line_chart`.
    """
    rows = []
    for network in networks:
        found = [run["after"]["by_layer"] for run in runs.where(network=network).records]
        for layer in filter(str.isdigit, found[0]):
            value = 100 * sum(each[layer] for each in found) / len(found)
            rows.append({"name": LABELS[network], "layer": int(layer), "value": value})
    return pd.DataFrame(rows)


# What is compared and what was expected were fixed before the first run. Nothing is known of the
# paper's differences but that all parts are said to help; so all are expected to.
_NETWORKS = Experiment(
    name="gltrans.networks",
    question="Do the other tokens matter? The two branches of GLTrans, each alone and together, "
    "beside a ViT, TransReID and stripes.",
    start=start,
    factors={"network": NETWORKS},
    after=(Step("by_layer", _by_layer),),
    labels=LABELS,
    predictions=(
        over("three class tokens in training, over one", "vit", "tokens"),
        over("GAE over the ViT", "vit", "gae"),
        over("LMF over the ViT", "vit", "lmf"),
        over("LMF beside GAE", "gae", "all"),
        over("GAE beside LMF", "lmf", "all"),
        over("GLTrans over the ViT", "vit", "all"),
        over("GLTrans over TransReID", "transreid", "all"),
        over("GLTrans over stripes", "pcb", "all"),
    ),
)
_PARTS = Experiment(
    name="gltrans.parts",
    question="What does each part of GLTrans add, and how many layers and bands does it want?",
    start=start,
    factors={"network": {"all": {}, **PARTS}},
    labels=LABELS,
    predictions=(
        *(over(f"with {part.upper()}", f"no-{part}", "all") for part in ("ptf", "gma", "ptl")),
        *(over(f"three layers over {n}", f"layers-{n}", "all") for n in (1, 2, 4)),
        *(over(f"three bands over {n}", f"bands-{n}", "all") for n in (1, 2, 4)),
    ),
)
NETWORKS_ON = tuple(
    replace(ARENAS[name], seeds=3).on(_NETWORKS) for name in ("alike", "pku-folds", "fleet")
)
PARTS_ON = replace(ARENAS["alike"], seeds=3).on(_PARTS)
EXPERIMENTS = (*NETWORKS_ON, PARTS_ON)
