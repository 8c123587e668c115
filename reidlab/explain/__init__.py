"""What a model looks at, and whether that is true.

Maps of a layer: `gradcam` (of a target), `raw_attention` and `rollout` (of the class token, with no
target); of the pixels: `occlusion` (of a target, any model). Tests of maps: `heat_share`,
`pointing_game` against true masks, `deletion_insertion` against the score, `randomized` against
what was learned. Of features: `project` (t-SNE) and `neighbourhood`.

What a map can show in the last of N layers depends on what the model reads:

* `vit_baseline` reads the class token after layer N. The patches that layer N gives out have no
  effect, so all its evidence passes the attention of layer N, which all maps see.
* `transreid`: the same for the global vector. The local ones come from patches of layer N - 1 by a
  copy of the last block, which is no layer here: Grad-CAM of layer N explains the global vector
  alone, layers below explain all; raw attention and rollout never see the copy.
* `la_transformer`, `la_tf_pp` read the patches of layer N as well. What a patch carries past the
  attention of layer N is in no map of layer N but occlusion knows it. `pcb` reads patches alone:
  in layer N the class token, and so raw attention and rollout, have no part in the score.
* `gltrans` reads class tokens and patches after each of its last n layers (`model.taps`: 10, 11, 12
  at paper size). Grad-CAM of layer 12 sees only what passes the attention of block 12, and so
  nothing of taps 10 and 11; layer 11 lacks tap 10; layer 10 sees what reaches all three by its
  attention. The bands' own attention is no layer here: raw attention and rollout stop before it.
* `tvtr`: its last layer sees chosen patches alone, so Grad-CAM has maps of the layers before it.
  Raw attention and rollout of the last layer are those of the plain backbone, which nothing reads.
"""

from reidlab.explain.attention import head_attention, raw_attention, rollout
from reidlab.explain.gradcam import gradcam
from reidlab.explain.occlusion import Removal, deletion_insertion, occlusion
from reidlab.explain.pictures import cross_camera_pairs, few_people, image_batch, true_masks
from reidlab.explain.places import Places, matched_places, place_parts
from reidlab.explain.projection import Projection, neighbourhood, project
from reidlab.explain.rows import RowVote, row_evidence, row_parts, row_similarity, row_vote
from reidlab.explain.sanity import Randomized, randomized
from reidlab.explain.scores import (
    PERSON,
    HeatShare,
    heat_share,
    number_of_parts,
    patch_share,
    pointing_game,
)
from reidlab.explain.targets import IdentityTarget, SimilarityTarget, Target

__all__ = [
    "PERSON",
    "HeatShare",
    "IdentityTarget",
    "Places",
    "Projection",
    "Randomized",
    "Removal",
    "RowVote",
    "SimilarityTarget",
    "Target",
    "cross_camera_pairs",
    "deletion_insertion",
    "few_people",
    "gradcam",
    "head_attention",
    "heat_share",
    "image_batch",
    "matched_places",
    "neighbourhood",
    "number_of_parts",
    "occlusion",
    "patch_share",
    "place_parts",
    "pointing_game",
    "project",
    "randomized",
    "raw_attention",
    "rollout",
    "row_evidence",
    "row_parts",
    "row_similarity",
    "row_vote",
    "true_masks",
]
