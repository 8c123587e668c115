"""Recipes of PCB*, our reading of the comparison in Figure 5 of GLTrans.

(PCB) Sun et al., "Beyond Part Models", ECCV 2018; (ours) chosen here. The rest is as in GLTrans,
so that the two differ in the network and its losses alone.
"""

from __future__ import annotations

from reidlab.losses import Identity
from reidlab.recipes import gltrans

PAPER = gltrans.PAPER.replace(
    model="pcb",
    # (PCB) no triplet loss; it adds the classifiers', whose mean goes with (ours) GLTrans' rate
    losses=(Identity(label_smoothing=0.0, over_heads="mean"),),
)

SMALL = dict(losses=PAPER.losses)

PRESETS = {"paper": PAPER}
SIZES = {"laptop": gltrans.LAPTOP | SMALL, "smoke": gltrans.SMOKE | SMALL}
VEHICLES = gltrans.VEHICLES
