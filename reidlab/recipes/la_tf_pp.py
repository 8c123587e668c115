"""Recipes of LA-TF++.

(paper) Mittal and Khandelwal, "Locally Aware Transformer++", 2021, section 5; (code) the authors'
program; (ours) chosen here. What is not said here is as in LA-Transformer, on which both build:
batches, optimizer, unfreezing and transforms are the same in their programs.
"""

from __future__ import annotations

from reidlab.recipes import la_transformer

CODE = la_transformer.CODE.replace(
    model="la_tf_pp",
    # (code, by its timm 0.4.12, inferred from what it printed) the AugReg weights
    backbone="vit_base_patch16_224.augreg_in21k_ft_in1k",
    epochs=15,  # (code) the program's default; its notebook and the paper say 30
    label_smoothing=0.1,  # (code) the paper gives no number
    triplet_weight=1.0,  # (code)
    triplet_margin=0.3,  # (code)
    triplet_on="logits",  # (code) of the classifier, after its dropout
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
    triplet_on="features",  # (paper, section 3.2) "in the feature space"
)

LAPTOP = CODE.replace(
    profile="laptop",
    backbone=la_transformer.LAPTOP.backbone,  # (ours)
    weights="synth",  # (ours)
    image_size=la_transformer.LAPTOP.image_size,  # (ours)
    epochs=8,  # (ours) ends with 9 open blocks, as the code's 15 epochs do
    decay_every=1,  # (ours) the code's schedule at twice its pace
    head_lr_multiplier=10.0,  # (ours) as in LA-Transformer's
    precision="bf16",  # (ours)
    normalization="half",  # (ours) as the shipped weights were trained
    workers=2,  # (ours)
)

SMOKE = LAPTOP.replace(
    profile="smoke",
    depth=2,  # (ours) this profile tests that everything runs, not that it learns
    image_size=(64, 32),
    weights=None,
    epochs=2,
    identities_per_batch=4,
    workers=0,
)

PROFILES = {"smoke": SMOKE, "laptop": LAPTOP, "paper": PAPER, "code": CODE}
