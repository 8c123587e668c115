"""Recipes of GLTrans.

(code) the authors' configurations for Market-1501 and MSMT17, which are equal; (ours) chosen here.
Of the paper's text we had the abstract and the captions only. What is not said here is as in the
ViT baseline: their program is TransReID's.
"""

from __future__ import annotations

from reidlab.losses import Identity, Triplet
from reidlab.recipes import vit_baseline

PAPER = vit_baseline.PAPER.replace(
    model="gltrans",
    preset="paper",  # (ours) what the code does but for one slip, see `reidlab.models.gltrans`
    stride=12,  # (code) 210 patches that overlap
    camera_embedding=True,  # (code)
    epochs=200,  # (code) TransReID has 120
    losses=(
        Identity(label_smoothing=0.0, over_heads="mean"),  # (code) of five classifiers
        Triplet(margin=None, over_heads="mean"),  # (code) of five features, soft margin
    ),
)

CODE = PAPER.replace(preset="code")  # layer 12's token three times in the triplet loss

SMALL = dict(
    stride=16,  # (ours) patches that overlap take half as long again
    losses=(
        Identity(label_smoothing=0.0),
        Triplet(margin=None, mining="all"),  # (ours) as the baseline's in few epochs
    ),
)
LAPTOP = vit_baseline.LAPTOP | SMALL
SMOKE = vit_baseline.SMOKE | SMALL | dict(depth=4)  # three layers are read, or four

PRESETS = {"paper": PAPER, "code": CODE}
SIZES = {"laptop": LAPTOP, "smoke": SMOKE}
VEHICLES = vit_baseline.VEHICLES | {
    "paper": dict(
        image_size=(256, 256),  # (ours) TransReID's; theirs for VeRi-776 are not published
        lr=0.01,  # (ours) likewise; cameras alone, as its code with viewpoints cannot run
    ),
}
