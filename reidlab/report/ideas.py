"""Every idea tried so far, on every ground: the table behind chapter 09.

A chapter adds its ideas here, one entry for each: which experiments try it, and which claim of its
paper prints a gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from reidlab.experiments import experiment
from reidlab.experiments.design import BOUND, Levels
from reidlab.experiments.la_tf_pp import CE, PEOPLE_BATCHES, PLUS, WRITTEN
from reidlab.experiments.la_transformer import FAST, LA, ONCE, SLOW, TWICE, VIT
from reidlab.experiments.runs import decision_table, question
from reidlab.report.claims import load_claims
from reidlab.report.findings import unlike

Sides = tuple[Levels, Levels]  # without the idea, and with it


@dataclass(frozen=True)
class Idea:
    """An idea of a paper, as a difference.

    Attributes:
        text: in words.
        grounds: title -> name of the experiment ("NAME:STEP": as judged by that step), and its
            levels without and with the idea.
        claim: (paper, id) of the claim that prints a gain; None where there is none.
        better: "higher" if the idea is said to raise mAP, else "lower".
    """

    text: str
    grounds: Mapping[str, tuple[str, Sides]] = field(hash=False)
    claim: tuple[str, str] | None = None
    better: str = "higher"


RENDERED, REAL, VEHICLES = "rendered people", "real people", "vehicles"
THERMAL = "rendered, thermal"
# ground -> experiment that tries the ideas of a paper there
_TRIPLET = {RENDERED: "vit_baseline.triplet_pilot", REAL: "vit_baseline.triplet_pku-folds"}
_LA = {RENDERED: "la_transformer.table2:crowd", REAL: "la_transformer.corners_pku-folds"}
_PP = {RENDERED: "la_tf_pp.losses_alike:crowd", REAL: "la_tf_pp.losses_pku-folds"}
_OPEN = {REAL: "la_tf_pp.at_once_pku-folds"}
_GLTRANS = {
    RENDERED: "gltrans.networks_alike:crowd",
    REAL: "gltrans.networks_pku-folds",
    VEHICLES: "gltrans.networks_fleet",
}
_TVTR = {RENDERED: "tvtr.table2_day-night", THERMAL: "tvtr.table2_day-night-twins"}
_MATCHERS = {RENDERED: "transmatcher.networks_alike"}
_PARTS = {RENDERED: "transmatcher.parts_alike:crowd"}
_PLACES = {
    RENDERED: "transmatcher.places_towns:town-random",
    REAL: "transmatcher.places_towns:pku-reid",
}
_STARTS = {RENDERED: "arenas.alike:crowd", REAL: "arenas.pku-folds", VEHICLES: "arenas.fleet"}


def _on(grounds: Mapping[str, str], a: Levels, b: Levels) -> dict[str, tuple[str, Sides]]:
    return {ground: (name, (a, b)) for ground, name in grounds.items()}


def _level(
    grounds: Mapping[str, str], a: str, b: str, factor: str = "network"
) -> dict[str, tuple[str, Sides]]:
    return _on(grounds, {factor: a}, {factor: b})


IDEAS = (
    Idea("a triplet loss (of all triplets)", _level(_TRIPLET, "none", "all", "triplet")),
    Idea("all triplets, not the hardest", _level(_TRIPLET, "hardest", "all", "triplet")),
    Idea(
        "LA: a classifier for each row",
        _level(_LA, "one", "rows", "heads") | {REAL: (_LA[REAL], (VIT, LA))},
        ("la_transformer", "la-over-vit-map"),
    ),
    Idea("LA: blocks opened one by one", _on(_LA, FAST, SLOW), ("la_transformer", "blockwise-map")),
    Idea(
        "LA-TF: label smoothing", _on(_PP, CE, CE | {"loss": "cels"}), ("la_tf_pp", "smoothing-map")
    ),
    Idea(
        "LA-TF: a triplet loss of logits",
        _on(_PP, CE, CE | {"loss": "ce-tl"}),
        ("la_tf_pp", "triplet-map"),
        "lower",
    ),
    Idea("LA-TF++: one classifier, both losses", _on(_PP, CE, PLUS), ("la_tf_pp", "gain-map")),
    Idea("LA-TF++ as written, over as coded", _on(_PP, PLUS, WRITTEN)),
    Idea("LA-TF++, all blocks open from the start", _on(_OPEN, CE, PLUS), ("la_tf_pp", "gain-map")),
    Idea("LA-TF++ as written, over as coded, all open", _on(_OPEN, PLUS, WRITTEN)),
    Idea("GLTrans: fused class tokens (GAE)", _level(_GLTRANS, "vit", "gae")),
    Idea("GLTrans: fused patches (LMF)", _level(_GLTRANS, "vit", "lmf")),
    Idea("GLTrans: both", _level(_GLTRANS, "vit", "all")),
    Idea("TVTR: chosen patches (TVTS)", _level(_TVTR, "vit", "tvts"), ("tvtr", "tvts-map")),
    Idea("TVTR: circle losses (GLC)", _level(_TVTR, "vit", "glc"), ("tvtr", "glc-map")),
    Idea("TVTR: both", _level(_TVTR, "vit", "all")),
    Idea(
        "TransMatcher, over a ViT by pairs",
        _level(_MATCHERS, "vit", "transmatcher"),
        ("transmatcher", "gain-over-vit"),
    ),
    Idea(
        "TransMatcher, over cross-attention",
        _level(_MATCHERS, "cross", "transmatcher"),
        ("transmatcher", "gain-over-cross"),
    ),
    Idea("TransMatcher: the prior", _level(_PARTS, "no-prior", "all")),
    Idea("TransMatcher: max for mean", _level(_PARTS, "mean", "all")),
    Idea(
        "TransMatcher elsewhere, over the ViT baseline",
        _level(_PLACES, "embedding", "transmatcher", "way"),
    ),
)
# What a paper may leave unsaid: with the second side in the place of the first.
CHOICES = (
    Idea("start weights: strong, not plain", _level(_STARTS, "plain", "strong", "start")),
    Idea("batches of P x K people, not in any order", _on(_PP, PLUS, PEOPLE_BATCHES)),
    Idea("blocks opened at once, not one by one", _on(_LA, SLOW, FAST)),
    Idea(
        "a training twice as long",
        _on({RENDERED: "la_transformer.longer:crowd"}, FAST | ONCE, FAST | TWICE),
    ),
)
# Networks from the plain start, by ground: experiment and levels. Recipes are those of the papers.
NETWORKS: Mapping[str, Mapping[str, tuple[str, Levels]]] = {
    "ViT baseline": {ground: (_STARTS[ground], {"start": "plain"}) for ground in (RENDERED, REAL)},
    **{
        f"{title}, {words}": {ground: (name, network | blocks) for ground, name in _LA.items()}
        for title, network in (("ViT by LA's recipe", VIT), ("LA-Transformer", LA))
        for blocks, words in ((FAST, "all blocks at once"), (SLOW, "block by block"))
    },
    **{
        f"{title}, {words}": {ground: (name, levels) for ground, name in grounds.items()}
        for title, levels in (
            ("LA-TF", CE), ("LA-TF++ as coded", PLUS), ("LA-TF++ as written", WRITTEN)
        )
        for grounds, words in ((_OPEN, "all blocks at once"), (_PP, "block by block"))
    },
    **{
        title: {ground: (_GLTRANS[ground], {"network": level}) for ground in (RENDERED, REAL)}
        for title, level in (("GLTrans", "all"), ("TransReID", "transreid"), ("PCB*", "pcb"))
    },
}  # fmt: skip


def networks_tried() -> pd.DataFrame:
    """mAP of all networks on the same people, ready for `reidlab.report.figures.forest`.

    Returns:
        One row for each of `NETWORKS` and each ground where it has runs: name, panel (the ground),
        value, low, high: in percent, one interval over seeds and people.
    """
    rows = [
        runs.means({name: levels}, people=True).assign(panel=ground)
        for name, grounds in NETWORKS.items()
        for ground in (REAL, RENDERED)
        if ground in grounds
        for where, levels in [grounds[ground]]
        if len(runs := experiment(where))
    ]
    return pd.concat(rows).rename_axis("name").reset_index().drop(columns="runs")


def ideas_tried(ideas: tuple[Idea, ...] = IDEAS) -> pd.DataFrame:
    """What each idea does to mAP on each ground, ready for `reidlab.report.figures.forest`.

    Returns:
        One row for each idea and ground: name, group (the ground), value (with the idea minus
        without, in points), low, high, smallest, verdict (see `reidlab.evaluation.verdict`; all
        rows that no design predicts count as one family), people (none where the interval is over
        seeds alone), paper, the gain that the paper prints for the same two sides, and learned,
        where these did not learn alike (see `reidlab.report.findings.unlike`). A ground without
        runs has no row.
    """
    tried = [
        (idea, ground, sides, runs)
        for idea in ideas
        for ground, (name, sides) in idea.grounds.items()
        if len(runs := experiment(name))
    ]
    compared = {
        (idea.text, ground): (runs.compare(*sides), idea.better, BOUND)
        for idea, ground, sides, runs in tried
    }
    earlier = {
        (idea.text, ground): predicted[same]
        for idea, ground, sides, runs in tried
        if (same := question(*sides, BOUND)) in (predicted := runs.predicted())
    }
    table = decision_table(compared, earlier).rename_axis(["name", "group"]).reset_index()
    return table.drop(columns=["p", "seeds"]).assign(
        paper=np.array([_printed(idea, sides) for idea, _, sides, _ in tried], float),
        learned=[unlike(*runs.learned(*sides)) for *_, sides, runs in tried],
    )


def _printed(idea: Idea, sides: Sides) -> float | None:
    """The gain that the paper prints for just these two sides."""
    if idea.claim is None:
        return None
    paper, name = idea.claim
    claim = next(claim for claim in load_claims(paper) if claim.id == name)
    return claim.value if (claim.sides["a"], claim.sides["b"]) == sides else None
