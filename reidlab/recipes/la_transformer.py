"""Recipes of LA-Transformer.

(paper) Sharma et al., "Person Re-Identification with a Locally Aware Transformer", 2021, section
4.2 unless another is named; (code) the authors' program, which produced their logs and weights;
(ours) chosen here. The two differ in the network as well: `preset`, see
`reidlab.models.la_transformer.PRESETS`.
"""

from __future__ import annotations

from reidlab.losses import Identity
from reidlab.recipes import vit_baseline
from reidlab.training import Recipe

CODE = Recipe(
    model="la_transformer",
    profile="paper",
    preset="code",
    # (code, by its timm 0.3.2) jx_vit_base_p16_224: ImageNet-21k, tuned on ImageNet-1k
    backbone="vit_base_patch16_224.orig_in21k_ft_in1k",
    weights="timm",
    image_size=(224, 224),  # (code) images are warped to a square
    stride=16,  # (code)
    drop_path=0.0,  # (code)
    camera_embedding=False,  # (code)
    epochs=30,  # (code)
    sampler="shuffle",  # (code)
    identities_per_batch=8,  # (code) batch 32 = 8 x 4, of any people
    images_per_identity=4,
    optimizer="adam",  # (code)
    lr=3e-4,  # (code) multiplied by 0.8 before the first epoch: 2.4e-4 is the highest ever used
    weight_decay=5e-4,  # (code) on everything, added to the gradient
    schedule="decay",  # (code)
    lr_decay=0.8,  # (code)
    decay_every=2,  # (code) t
    unfreezing="code",  # (code)
    precision="no",  # (code)
    clip_grad=None,  # (code)
    losses=(Identity(over_heads="sum"),),  # (code) 14 cross-entropies, not their mean
    normalization="imagenet",  # (code) though these weights were trained with mean and std 0.5
    interpolation="bicubic",  # (code)
    pad=0,  # (code) no crop
    flip=0.5,  # (code)
    erasing=0.0,  # (code)
    validate_every=1,  # (code)
    validate_on="images",  # (code) one image per person, classified
    keep="best",  # (code) by that accuracy
    embed_batch_size=64,  # (ours) no result depends on it
    workers=8,  # (ours)
)

PAPER = CODE.replace(
    preset="paper",
    lr=3e-4,  # (paper, Algorithm 1); section 4.2 says 3e-5
    lr_decay=0.85,  # (paper, Algorithm 1); section 4.2 says 0.8
    unfreezing="algorithm-1",  # (paper)
    weight_decay=0.0,  # (paper) not mentioned
    # the rest (ours: as the code, where the paper is silent); epochs, batch, Adam, t: (paper)
)

LAPTOP = dict(
    profile="laptop",
    backbone="vit_tiny_patch16_224",  # (ours) 5.5 million parameters
    weights="synth",  # (ours) shipped with the library: no download
    image_size=(192, 96),  # (ours) 12 rows of 6 patches: people are not squares
    epochs=12,  # (ours) all blocks are open in the last two
    decay_every=1,  # (ours) the code's schedule at twice its pace
    head_lr_multiplier=10.0,  # (ours) some 150 steps, and the heads start from nothing
    precision="bf16",  # (ours) half the time on CPUs that have it
    normalization="half",  # (ours) as the shipped weights were trained
    keep="last",  # (ours) one image of each of some tens of people is too few to choose by
    workers=2,  # (ours)
)

SMOKE = LAPTOP | vit_baseline.TINY | dict(epochs=2)

PRESETS = {"code": CODE, "paper": PAPER}
SIZES = {"laptop": LAPTOP, "smoke": SMOKE}
