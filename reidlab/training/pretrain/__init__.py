"""Train the shipped backbone: ViT-Tiny/16 on a randomised world of people who do not exist.

The world has a seed of its own range (`synth.PRETRAINING_SEEDS`), so no person, camera or scene of
it appears anywhere else in the book. `config` holds every number, `truth` what the world knows,
`pictures` renders it and draws batches from it, `augment` changes them, `heads` has the network and
its losses, `pretraining` trains them in a `Session`, as `fit` does.

Only a synthetic world has the truth for all of the losses, for every picture:

* Identity and contrastive loss, on three descriptions of an image (class token, mean of all patch
  tokens, means of the rows of the patch grid), because the papers of this book read different
  tokens. Trained on the class token alone, the patch tokens stay useless for retrieval.
* Attributes: garments, patterns, colours, things carried, from each description.
* Patches: each patch token classifies the body part it lies on and the colour of the garment: its
  name, not what the camera made of it.

Which of these, and which randomisation, is worth its time is measured: see `ABLATION`.

The first part of the training sees small images (less than half of the tokens, twice the speed),
the second the full size. A batch and its augmentation follow from (seed, step) alone, stochastic
depth from (seed, epoch), so an interrupted training ends as if nothing had happened.
"""

from reidlab.training.pretrain.config import (
    ABLATION,
    PLAIN,
    PretrainConfig,
    ablation_arm,
    small_config,
)
from reidlab.training.pretrain.pretraining import pretrain

__all__ = [
    "ABLATION",
    "PLAIN",
    "PretrainConfig",
    "ablation_arm",
    "pretrain",
    "small_config",
]
