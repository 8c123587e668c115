"""Train the shipped backbone: ViT-Tiny/16 on a randomised world of people who do not exist.

The world has a seed of its own range (`synth.PRETRAINING_SEEDS`), so no person, camera or scene of
it appears anywhere else in the book. `config` holds every number, `pictures` renders the world and
draws batches from it, `augment` changes them, `heads` asks the questions, `loop` trains.

Only a synthetic world knows the answer to all of the questions, for every picture:

* *Who is it?* Identity and triplet loss, on three descriptions of an image (class token, mean of
  all patch tokens, means of the rows of the patch grid), because the papers of this book read
  different tokens. Trained on the class token alone, the patch tokens stay useless for retrieval.
* *What do they wear?* Garments, patterns, colours, things carried, from each description.
* *What is here?* Each patch token names the body part it lies on and the colour of the garment:
  its name, not what the camera made of it.

Which of these, and which randomisation, is worth its time is measured: see `ABLATION`.

The first part of the training sees small images (less than half of the tokens, twice the speed),
the second the full size. Every step draws its batch and its augmentation from (seed, step) alone,
so an interrupted training continues as if nothing had happened (rendering starts again).
"""

from reidlab.training.pretrain.config import ABLATION, PretrainConfig, ablation_arm, small_config
from reidlab.training.pretrain.loop import pretrain

__all__ = [
    "ABLATION",
    "PretrainConfig",
    "ablation_arm",
    "pretrain",
    "small_config",
]
