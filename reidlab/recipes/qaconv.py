"""Recipes of QAConv: preset "code" is version 2.1 (CVPR 2022), preset "paper" version 2.0, which
TransMatcher is compared with. Both share images and schedule with TransMatcher.

(code) the authors' program; (ours) chosen here.
"""

from __future__ import annotations

from reidlab.losses import MatchTriplet, Pairwise
from reidlab.recipes import transmatcher

CODE = transmatcher.PAPER.replace(
    model="qaconv",
    identities_per_batch=32,  # (code) batch 64
    images_per_identity=2,  # (code)
    clip_grad=8.0,  # (code)
    losses=(MatchTriplet(margin=16.0),),  # (code)
    # (ours) 15 epochs, x 0.1 after 10: the program's adaptive end follows the loss of its epochs
)
PAPER = transmatcher.PAPER.replace(
    model="qaconv",
    preset="paper",
    lr=0.001,  # (code) of 2.0
    clip_grad=512.0,  # (code) of 2.0
    precision="no",  # (code) of 2.0
    sampler="graph",  # (ours) its graph was of re-ranked distances, after one epoch of chance
    losses=(Pairwise(),),
)

SMALL = dict(switches={"dim": 64})  # (ours)
PRESETS = {"code": CODE, "paper": PAPER}
SIZES = {
    size: {k: v for k, v in small.items() if k != "losses"} | SMALL
    for size, small in transmatcher.SIZES.items()
}
