"""Recipes of TransMatcher.

(code) the authors' program, the paper's values are said to be the same; (ours) chosen here. The
program trains on GPU with a person's batch of look-alikes, and tests on other sets than it trains.
"""

from __future__ import annotations

from reidlab.losses import Pairwise
from reidlab.recipes import vit_baseline
from reidlab.training import Recipe

PAPER = Recipe(
    model="transmatcher",
    profile="paper",
    preset="code",
    backbone="resnet50_ibn_b",  # (code) up to its third stage; pass the path of its weights
    weights="timm",
    depth=3,
    image_size=(384, 128),
    epochs=15,  # (code); of RandPerson 4, and decay_every=2 (notes of QAConv 2.0)
    sampler="graph-sigmoid",  # (code) as many batches an epoch as people
    identities_per_batch=16,  # (code) batch 64
    images_per_identity=4,
    optimizer="nesterov",  # (code)
    lr=0.005,  # (code) that of neck, encoder, decoder; the schedule makes it the backbone's, 0.0005
    head_lr_multiplier=10.0,  # (code) 0.005 outside the backbone
    momentum=0.9,
    weight_decay=5e-4,  # (code) biases, norms and prior included
    schedule="decay",
    lr_decay=0.1,  # (code) once after 10 epochs; the schedule decays before the first one too
    decay_every=10,
    warmup_epochs=0,
    precision="fp16",  # (code)
    clip_grad=4.0,  # (code) of network and matcher each
    losses=(Pairwise(),),
    normalization="none",  # (code) pixels from 0 to 1, everywhere
    interpolation="bicubic",
    augmentation="qaconv",
    pad=10,
    flip=0.5,
    erasing=1.0,  # (code) a white square on every image
    embed_batch_size=64,
    workers=8,
)

LAPTOP = vit_baseline.LAPTOP | dict(
    switches={"dim": 128, "hidden": 512, "layers": 2},  # (paper, Table 2) its small network
    depth=6,  # (ours) as the paper leaves out its last stage
    image_size=(128, 64),  # (ours) 32 places: a pair costs the square of their number
    epochs=3,  # (ours) of as many batches as people, several times those of other samplers
    warmup_epochs=0.5,
    sampler="graph",  # (ours) distances that tell people apart from the first epoch on
    schedule="step",
    augmentation="transreid",  # (ours) what the shipped weights have seen
    erasing=0.5,
    normalization="half",
    interpolation="bilinear",
    losses=(Pairwise(),),
)
SMOKE = LAPTOP | vit_baseline.TINY

PRESETS = {"code": PAPER}
SIZES = {"laptop": LAPTOP, "smoke": SMOKE}
