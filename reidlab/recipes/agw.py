"""Recipes of AGW, the convolutional network that TVTR is compared with.

(code) its program for visible-infrared search; (ours) chosen here.
"""

from __future__ import annotations

from reidlab.losses import Identity, WeightedTriplet
from reidlab.recipes import vit_baseline
from reidlab.training import Recipe

PAPER = Recipe(
    model="agw",
    profile="paper",
    backbone="resnet50.tv_in1k",  # (code) torchvision's first weights
    weights="timm",
    image_size=(288, 144),  # (code)
    stride=16,  # (code) last stride 1
    epochs=81,  # (code)
    sampler="cross-modal",
    identities_per_batch=8,  # (code)
    images_per_identity=8,  # (code) 4 visible and 4 infrared
    optimizer="nesterov",  # (code)
    lr=0.01,  # (code)
    head_lr_multiplier=10.0,  # (code) neck and classifier 0.1
    momentum=0.9,  # (code)
    weight_decay=5e-4,  # (code)
    warmup_epochs=10,  # (code)
    warmup_start=0.0,  # (code) lr * t / 10 in epoch t
    lr_floor=0.01,  # (code) its last rate, after epoch 50; (ours) by cosine instead of steps
    schedule="epoch",
    precision="no",  # (code)
    losses=(Identity(label_smoothing=0.0), WeightedTriplet()),  # (code)
    normalization="imagenet",  # (code)
    pad=10,  # (code)
    flip=0.5,  # (code)
    erasing=0.0,  # (code)
    embed_batch_size=128,
    workers=8,  # (code)
)

SMALL = dict(
    backbone="resnet50.tv_in1k",
    weights=None,  # (ours) no weights of a ResNet are shipped: it starts from nothing
    losses=PAPER.losses,
    warmup_start=0.1,  # (ours)
)

PRESETS = {None: PAPER}
SIZES = {
    "laptop": vit_baseline.LAPTOP | SMALL,
    "smoke": vit_baseline.SMOKE
    | SMALL
    | dict(backbone="resnet18.tv_in1k", images_per_identity=4, depth=3),
}
