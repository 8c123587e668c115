"""Recipes of TransReID with everything: the rows that it marks with a star.

(paper) He et al., "TransReID", ICCV 2021, section 4.2; (code) its released configurations for
Market-1501 and VeRi-776; (ours) chosen here. What is not said here is as in the ViT baseline.
"""

from __future__ import annotations

from reidlab.losses import Identity, Triplet
from reidlab.recipes import vit_baseline

PAPER = vit_baseline.PAPER.replace(
    model="transreid",
    preset="code",
    stride=12,  # (paper) the rows with a star; 16 without
    camera_embedding=True,  # (paper)
    losses=(
        # (code) half of both sums; the paper adds global and local ones whole
        Identity(label_smoothing=0.0, over_heads="halves"),
        Triplet(margin=None, over_heads="halves"),  # (code) of distances, not of their squares
    ),
)

SMALL = dict(
    stride=16,  # (ours) patches that overlap take half as long again
    losses=(
        Identity(label_smoothing=0.0, over_heads="halves"),
        Triplet(margin=None, mining="all", over_heads="halves"),  # (ours) as the baseline's
    ),
)

PRESETS = {"code": PAPER}
SIZES = {"laptop": vit_baseline.LAPTOP | SMALL, "smoke": vit_baseline.SMOKE | SMALL}
VEHICLES = {
    "paper": dict(
        image_size=(256, 256),  # (paper)
        lr=0.01,  # (code)
        camera_embedding="both",  # (code) 20 cameras times 8 viewpoints
        **{"switches.shift": 8},  # (paper)
    ),
    "laptop": vit_baseline.VEHICLES["laptop"] | {"switches.shift": 8},
    "smoke": vit_baseline.VEHICLES["smoke"] | {"switches.shift": 8},
}
