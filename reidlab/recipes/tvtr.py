"""Recipes of TVTR and of the baseline that its ablation starts from.

(paper) the text of section 4 that we had; (TransReID), (AGW), (PMT), (MIP) what the public programs
of that name do; (ours) chosen here. The paper gives no learning rate, schedule, number of epochs,
batch, augmentation or stride, and there is no code: what is not marked (paper) is a choice.
"""

from __future__ import annotations

from reidlab.losses import GlobalCircle, Identity, PairwiseCircle, WeightedTriplet
from reidlab.recipes import vit_baseline

PAPER = vit_baseline.PAPER.replace(  # (paper) ViT-B of ImageNet, SGD, weight decay 1e-4
    model="tvtr",
    preset="paper",  # (paper) 16 patches of each head
    image_size=(288, 144),  # (paper)
    stride=12,  # (TransReID), (PMT) the paper: "overlapping patches"
    epochs=80,  # (MIP) AGW has 81, PMT 24 and 36
    sampler="cross-modal",  # (AGW) and all that follow
    identities_per_batch=8,  # (AGW) 8 people
    images_per_identity=8,  # (AGW) with 4 visible and 4 infrared images each
    lr=0.01,  # (MIP) TransReID has 0.008
    clip_grad=1.0,  # (ours) as TransFG
    losses=(
        GlobalCircle(gamma=30.0, margin=0.5),  # (paper)
        PairwiseCircle(gamma=20.0, margin=0.25),  # (paper) weights of both 1
    ),
    pad=10,  # (AGW), (MIP)
    erasing=0.5,  # (PMT), (MIP)
    grey=0.5,  # (MIP)
    jitter=0.5,  # (MIP), (PMT: infrared alone) one of jitter and blur; (ours) each by itself
    blur=0.5,  # likewise
)

SMALL = dict(
    stride=16,  # (ours) 72 patches; 105 with stride 12 take half as long again
    losses=PAPER.losses,
    **{"switches.k": 16},  # (paper) of three heads: 53 % of 72 patches, as 12 heads of 253
)
LAPTOP = vit_baseline.LAPTOP | SMALL
SMOKE = vit_baseline.SMOKE | SMALL | {"images_per_identity": 4, "switches.k": 3}  # of 8 patches

PRESETS = {"paper": PAPER}
SIZES = {"laptop": LAPTOP, "smoke": SMOKE}

BASELINE = {
    # (paper) a ViT with identity and weighted triplet loss; for `recipe.replace`
    "switches.selection": False,
    "switches.feature": "class",  # (AGW), (TransReID) one vector
    "switches.classifier": "linear",
    "losses": (
        Identity(label_smoothing=0.0),  # (AGW)
        WeightedTriplet(),  # (AGW) weights of both 1
    ),
}
"""What turns a recipe of TVTR into one of its baseline."""
