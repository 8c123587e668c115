"""Every idea tried so far, on every ground: the table behind chapter 09.

A chapter adds its ideas here, one entry for each: which experiments try it, and which claim of its
paper prints a gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from reidlab.evaluation import decide
from reidlab.experiments import experiment
from reidlab.experiments.design import BOUND
from reidlab.report.claims import load_claims

Sides = tuple[Mapping[str, str], Mapping[str, str]]  # levels without the idea, and with it


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


_TRIPLET: Sides = {"triplet": "hardest"}, {"triplet": "all"}
_NO_TRIPLET: Sides = {"triplet": "none"}, {"triplet": "all"}
_HEADS: Sides = {"heads": "one"}, {"heads": "rows"}
_ROWS: Sides = {"heads": "one", "tokens": "global"}, {"heads": "rows", "tokens": "both"}
_START: Sides = {"start": "plain"}, {"start": "strong"}
_BLOCKS: Sides = {"blocks": "at-once"}, {"blocks": "blockwise"}
_TABLE2 = "la_transformer.table2:crowd"
_CORNERS = "la_transformer.corners_pku-folds"
_LOSSES = "la_tf_pp.losses_pku-folds"
_CE = {"model": "la-tf", "loss": "ce", "batches": "shuffled"}
PLUS = {"model": "la-tf-pp", "loss": "cels-tl", "batches": "shuffled"}
_WRITTEN = {"model": "la-tf-pp", "loss": "cels-tl-features", "batches": "people"}


_ELSEWHERE: Sides = {"way": "embedding"}, {"way": "transmatcher"}


def _networks(a: str, b: str, grounds: Mapping[str, str]) -> dict[str, tuple[str, Sides]]:
    return {ground: (name, ({"network": a}, {"network": b})) for ground, name in grounds.items()}


_GLTRANS = {
    RENDERED: "gltrans.networks_alike:crowd",
    REAL: "gltrans.networks_pku-folds",
    VEHICLES: "gltrans.networks_fleet",
}
_TVTR = {
    RENDERED: "tvtr.table2_day-night",
    THERMAL: "tvtr.table2_day-night-twins",
}
_MATCHERS = {RENDERED: "transmatcher.networks_alike"}
_PARTS = {RENDERED: "transmatcher.parts_alike:crowd"}
IDEAS = (
    Idea(
        "a triplet loss (of all triplets)",
        {RENDERED: ("vit_baseline.triplet_pilot", _NO_TRIPLET),
         REAL: ("vit_baseline.triplet_pku-folds", _NO_TRIPLET)},
    ),
    Idea(
        "all triplets, not the hardest",
        {RENDERED: ("vit_baseline.triplet_pilot", _TRIPLET),
         REAL: ("vit_baseline.triplet_pku-folds", _TRIPLET)},
    ),
    Idea(
        "LA: a classifier for each row",
        {RENDERED: (_TABLE2, _HEADS), REAL: (_CORNERS, _ROWS)},
        ("la_transformer", "la-over-vit-map"),
    ),
    Idea(
        "LA: blocks opened one by one",
        {RENDERED: (_TABLE2, _BLOCKS), REAL: (_CORNERS, _BLOCKS)},
        ("la_transformer", "blockwise-map"),
    ),
    Idea(
        "LA-TF: label smoothing",
        {REAL: (_LOSSES, (_CE, {**_CE, "loss": "cels"}))},
        ("la_tf_pp", "smoothing-map"),
    ),
    Idea(
        "LA-TF: a triplet loss of logits",
        {REAL: (_LOSSES, (_CE, {**_CE, "loss": "ce-tl"}))},
        ("la_tf_pp", "triplet-map"),
        "lower",
    ),
    Idea(
        "LA-TF++: one classifier, both losses",
        {REAL: (_LOSSES, (_CE, PLUS))},
        ("la_tf_pp", "gain-map"),
    ),
    Idea("LA-TF++ as written, over as coded", {REAL: (_LOSSES, (PLUS, _WRITTEN))}),
    Idea("GLTrans: fused class tokens (GAE)", _networks("vit", "gae", _GLTRANS)),
    Idea("GLTrans: fused patches (LMF)", _networks("vit", "lmf", _GLTRANS)),
    Idea("GLTrans: both", _networks("vit", "all", _GLTRANS)),
    Idea("TVTR: chosen patches (TVTS)", _networks("vit", "tvts", _TVTR), ("tvtr", "tvts-map")),
    Idea("TVTR: circle losses (GLC)", _networks("vit", "glc", _TVTR), ("tvtr", "glc-map")),
    Idea("TVTR: both", _networks("vit", "all", _TVTR)),
    Idea("TransMatcher, over a ViT by pairs", _networks("vit", "transmatcher", _MATCHERS)),
    Idea("TransMatcher, over cross-attention", _networks("cross", "transmatcher", _MATCHERS)),
    Idea("TransMatcher: the prior", _networks("no-prior", "all", _PARTS)),
    Idea("TransMatcher: max for mean", _networks("mean", "all", _PARTS)),
    Idea(
        "TransMatcher elsewhere, over the ViT baseline",
        {RENDERED: ("transmatcher.places_towns:town-random", _ELSEWHERE),
         REAL: ("transmatcher.places_towns:pku-reid", _ELSEWHERE)},
    ),
)  # fmt: skip


# What a paper may leave unsaid: with the second side in the place of the first.
CHOICES = (
    Idea(
        "start weights: strong, not plain",
        {RENDERED: ("arenas.alike:crowd", _START), REAL: ("arenas.pku-folds", _START),
         VEHICLES: ("arenas.fleet", _START)},
    ),
    Idea(
        "batches of P x K people, not in any order",
        {REAL: (_LOSSES, (PLUS, {**PLUS, "batches": "people"}))},
    ),
    Idea(
        "blocks opened at once, not one by one",
        {RENDERED: (_TABLE2, _BLOCKS[::-1]), REAL: (_CORNERS, _BLOCKS[::-1])},
    ),
    Idea(
        "a training twice as long",
        {RENDERED: ("la_transformer.longer:crowd",
                    ({"blocks": "at-once", "length": "once"},
                     {"blocks": "at-once", "length": "twice"}))},
    ),
)  # fmt: skip
LA = {"heads": "rows", "tokens": "both"}
# Networks from the plain start, by ground: experiment and levels. Recipes are those of the papers.
NETWORKS: Mapping[str, Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "ViT baseline": {
        RENDERED: ("arenas.alike:crowd", {"start": "plain"}),
        REAL: ("arenas.pku-folds", {"start": "plain"}),
    },
    **{
        f"{title}, {words}": {
            RENDERED: (_TABLE2, {**network, "blocks": blocks}),
            REAL: (_CORNERS, {**network, "blocks": blocks}),
        }
        for title, network in (
            ("ViT by LA's recipe", {"heads": "one", "tokens": "global"}),
            ("LA-Transformer", LA),
        )
        for blocks, words in (("at-once", "all blocks at once"), ("blockwise", "block by block"))
    },
    **{
        title: {RENDERED: ("la_tf_pp.losses_alike:crowd", levels), REAL: (_LOSSES, levels)}
        for title, levels in (
            ("LA-TF", _CE), ("LA-TF++ as coded", PLUS), ("LA-TF++ as written", _WRITTEN)
        )
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
        for where, levels in [grounds[ground]]
        if len(runs := experiment(where))
    ]
    return pd.concat(rows).rename_axis("name").reset_index().drop(columns="runs")


def ideas_tried(ideas: tuple[Idea, ...] = IDEAS) -> pd.DataFrame:
    """What each idea does to mAP on each ground, ready for `reidlab.report.figures.forest`.

    Returns:
        One row for each idea and ground: name, group (the ground), value (with the idea minus
        without, in points), low, high, smallest, verdict (see `reidlab.evaluation.verdict`; all
        rows count as one family), people (none where the interval is over seeds alone), and paper,
        the gain that the paper prints for the same two sides. A ground without runs has no row.
    """
    tried = [
        (idea, ground, sides, runs.compare(*sides))
        for idea in ideas
        for ground, (name, sides) in idea.grounds.items()
        if len(runs := experiment(name))
    ]
    words = decide({i: (d, idea.better, BOUND) for i, (idea, *_, d) in enumerate(tried)})
    rows = [
        {
            "name": idea.text, "group": ground, "value": found.value, "low": found.low,
            "high": found.high, "smallest": found.smallest, "verdict": words[i].verdict,
            "people": found.people, "paper": _printed(idea, sides),
        }
        for i, (idea, ground, sides, found) in enumerate(tried)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"low": float, "high": float, "paper": float})


def _printed(idea: Idea, sides: Sides) -> float | None:
    """The gain that the paper prints for just these two sides."""
    if idea.claim is None:
        return None
    paper, name = idea.claim
    claim = next(claim for claim in load_claims(paper) if claim.id == name)
    return claim.value if (claim.sides["a"], claim.sides["b"]) == sides else None
