"""Recipes of the ViT baseline.

(paper) He et al., "TransReID", ICCV 2021, section 4.2; (code) its released configuration for
Market-1501; (ours) chosen here, for two minutes on two CPU cores.
"""

from __future__ import annotations

from reidlab.losses import Identity, Triplet
from reidlab.training import Recipe

PAPER = Recipe(
    model="vit_baseline",
    profile="paper",
    # (code) jx_vit_base_p16_224: ImageNet-21k, tuned on ImageNet-1k; this is timm's name for it
    backbone="vit_base_patch16_224.orig_in21k_ft_in1k",
    weights="timm",
    image_size=(256, 128),  # (paper)
    stride=16,  # (paper) the baseline's patches do not overlap
    drop_path=0.1,  # (code) in the last block; without it 59.9 mAP instead of 61.0 (MSMT17)
    camera_embedding=False,  # (paper) SIE is not part of the baseline
    epochs=120,  # (code)
    identities_per_batch=16,  # (paper) batch 64, 4 images per identity
    images_per_identity=4,  # (paper)
    optimizer="sgd",  # (paper)
    lr=0.008,  # (paper) for batch 64; scale it with the batch
    momentum=0.9,  # (paper)
    weight_decay=1e-4,  # (paper), (code) biases and norms included
    bias_lr_multiplier=2.0,  # (code)
    head_lr_multiplier=1.0,  # (code)
    warmup_epochs=5,  # (code)
    warmup_start=0.01,  # (code)
    lr_floor=0.002,  # (code)
    schedule="epoch",  # (code) the rate changes at the start of each epoch, from t = 1
    precision="fp16",  # (code)
    clip_grad=None,  # (code)
    losses=(
        Identity(label_smoothing=0.0),  # (code) with 0.1 59.8 mAP instead of 61.0 (MSMT17)
        Triplet(margin=None),  # (paper) soft margin; (code) of the same weight
    ),
    normalization="half",  # (code)
    pad=10,  # (code)
    flip=0.5,  # (code)
    erasing=0.5,  # (code)
    embed_batch_size=256,  # (code)
    workers=8,  # (code)
)

LAPTOP = dict(
    profile="laptop",
    backbone="vit_tiny_patch16_224",  # (ours) 5.5 million parameters, 130 images/s on two cores
    weights="synth",  # (ours) shipped with the library: no download
    image_size=(192, 96),  # (ours) 72 patches instead of 128
    drop_path=0.0,  # (ours) a few epochs do not overfit this way
    epochs=10,  # (ours) about two minutes on a thousand images
    identities_per_batch=8,  # (ours) batch 32: more steps out of few images
    optimizer="adamw",  # (ours) fine-tunes in few steps; the paper's SGD needs its 120 epochs
    lr=1.5e-4,  # (ours)
    weight_decay=0.05,  # (ours)
    bias_lr_multiplier=1.0,  # (ours) Adam scales each parameter anyway
    head_lr_multiplier=10.0,  # (ours) the classifier starts from nothing, the backbone does not
    warmup_epochs=1,  # (ours)
    schedule="step",  # (ours) an epoch is a large part of so short a run
    precision="bf16",  # (ours) twice as fast as float32 on CPUs that have it
    clip_grad=1.0,  # (ours)
    pad=None,  # (code) in proportion: 8 pixels at 192
    losses=(
        Identity(label_smoothing=0.0),
        # (ours) in few epochs the hardest triplets draw all features to one direction, which costs
        # mAP (`experiments.vit_baseline.TRIPLET`); Hermans et al., section 2, have all as well
        Triplet(margin=None, mining="all"),
    ),
    embed_batch_size=64,  # (ours)
    workers=2,  # (ours)
)

TINY = dict(
    profile="smoke",
    depth=2,  # (ours) this profile tests that everything runs, not that it learns
    image_size=(64, 32),
    weights=None,
    epochs=1,
    identities_per_batch=4,
    workers=0,
)
SMOKE = LAPTOP | TINY

PRESETS = {None: PAPER}  # paper and code agree
SIZES = {"laptop": LAPTOP, "smoke": SMOKE}
VEHICLES = {
    "paper": dict(image_size=(256, 256)),  # (paper) VeRi-776
    "laptop": dict(image_size=(96, 96)),  # (ours) 36 patches
    "smoke": dict(image_size=(64, 64)),
}
