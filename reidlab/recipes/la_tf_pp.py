"""Recipes of LA-TF++.

(paper) Mittal and Khandelwal, "Locally Aware Transformer++", 2021, section 5; (code) the authors'
program; (ours) chosen here. What is not said here is as in LA-Transformer, on which both build:
batches, optimizer, unfreezing and transforms are the same in their programs.
"""

from __future__ import annotations

from reidlab.recipes import la_transformer

OWN = {
    "model": "la_tf_pp",
    "label_smoothing": 0.1,  # (code) the paper gives no number
    "triplet_weight": 1.0,  # (code)
    "triplet_margin": 0.3,  # (code)
    "triplet_on": "logits",  # (code) of the classifier, after its dropout
    "validate_every": None,  # (code) the last weights are kept
    "keep": "last",  # (code)
}

CODE = la_transformer.CODE.replace(
    **OWN,
    # (code, by its timm 0.4.12, inferred from what it printed) the AugReg weights
    backbone="vit_base_patch16_224.augreg_in21k_ft_in1k",
    epochs=15,  # (code) the program's default; its notebook and the paper say 30
)

PAPER = CODE.replace(
    preset="paper",
    epochs=30,  # (paper)
    lr=3e-4,  # (paper) "initial learning rate"
    lr_decay=0.8,  # (paper)
    unfreezing="algorithm-1",  # (paper of LA-Transformer) this one says nothing else
    weight_decay=0.0,  # (paper) not mentioned
    sampler="identity",  # (ours) "bring same person images closer" needs several in a batch
    triplet_on="features",  # (paper, section 3.2) "in the feature space"
)

LAPTOP = la_transformer.LAPTOP.replace(
    **OWN,
    epochs=8,  # (ours) ends with 9 open blocks, as the code's 15 epochs do
)

SMOKE = la_transformer.SMOKE.replace(**OWN)

PROFILES = {"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER, "code": CODE}
