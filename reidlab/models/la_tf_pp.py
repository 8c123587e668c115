"""LA-TF++: LA-Transformer with a single classifier on the mean of its rows.

Mittal, Khandelwal, "Locally Aware Transformer++", 2021 (course report). In training

    g = mean over rows of L_i = a * mean of all patches + (1 - a) * class token

and one head classifies g, so that rows play no role there; in the code's retrieval they do: it
ranks by the rows R_i, like LA-Transformer. The rest of the paper, triplet loss and label smoothing,
is in its recipe. `preset="code"` equals the authors' network.
"""

from __future__ import annotations

from dataclasses import replace

from reidlab.models.la_transformer import AUTHORS, LATransformer, LocallyAware
from reidlab.models.la_transformer import PRESETS as LA_TRANSFORMER
from reidlab.models.registry import Model, register
from reidlab.models.vit import TokenBackbone

PRESETS = {
    "code": replace(LA_TRANSFORMER["code"], heads="one"),
    # (ours) retrieval by g: the report speaks of one global vector and of less storage
    "paper": replace(LA_TRANSFORMER["paper"], heads="one", retrieval="mean"),
}


class LATFpp(LATransformer):
    """LA-Transformer whose switches start from the preset of LA-TF++.

    Args:
        backbone: The transformer; any grid of patches.
        num_classes: C, training identities.
        switches: What paper, code and ablations differ in.
    """

    def __init__(
        self, backbone: TokenBackbone, num_classes: int, switches: LocallyAware = PRESETS["code"]
    ) -> None:
        super().__init__(backbone, num_classes, switches)


register(
    Model(name="la_tf_pp", build=LATFpp, presets=PRESETS, authors=replace(AUTHORS, entries=163))
)
