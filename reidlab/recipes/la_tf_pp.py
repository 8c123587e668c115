"""Recipes of LA-TF++.

(paper) Mittal and Khandelwal, "Locally Aware Transformer++", 2021, section 5; (code) the authors'
program; (ours) chosen here. What is not said here is as in LA-Transformer, on which both build:
batches, optimizer, unfreezing and transforms are the same in their programs.
"""

from __future__ import annotations

from reidlab.losses import Identity, Triplet
from reidlab.recipes import la_transformer

CODE = la_transformer.CODE.replace(
    model="la_tf_pp",
    # (code, by its timm 0.4.12, inferred from what it printed) the AugReg weights
    backbone="vit_base_patch16_224.augreg_in21k_ft_in1k",
    epochs=15,  # (code) the program's default; its notebook and the paper say 30
    losses=(
        Identity(label_smoothing=0.1, over_heads="sum"),  # (code) the paper gives no number
        Triplet(margin=0.3, on="logits", over_heads="sum"),  # (code) after the head's dropout
    ),
    validate_every=None,  # (code) the last weights are kept
    keep="last",  # (code)
)

PAPER = CODE.replace(
    preset="paper",
    epochs=30,  # (paper)
    lr=3e-4,  # (paper) "initial learning rate"
    lr_decay=0.8,  # (paper)
    unfreezing="algorithm-1",  # (paper of LA-Transformer) this one says nothing else
    weight_decay=0.0,  # (paper) not mentioned
    sampler="identity",  # (ours) "bring same person images closer" needs several in a batch
    **{"losses.triplet.on": "features"},  # (paper, section 3.2) "in the feature space"
)

PRESETS = {"code": CODE, "paper": PAPER}
SIZES = {
    # (ours) 8 epochs end with 9 open blocks, as the code's 15 do
    "laptop": la_transformer.LAPTOP | {"epochs": 8},
    "smoke": la_transformer.SMOKE,
}
