"""Identity loss: classify the training people, with label smoothing.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016 (smoothing);
Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person Re-identification", CVPRW 2019
(smoothing 0.1 in re-identification).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor, nn

from reidlab.losses.terms import (
    Batch,
    Loss,
    OverHeads,
    Term,
    Whole,
    class_labels,
    over_heads,
    same_rows,
)
from reidlab.settings import Range

_NOBODY = -(2**62)  # the label that PyTorch leaves out; its default, -100, is a mistake here


class IdentityLoss(nn.Module):
    """Cross-entropy over the training people, mean over the batch.

    With smoothing e and C people the target is 1 - e + e/C for the right one and e/C for each
    other. Computed in float32, inside autocast too.

    Args:
        label_smoothing: e, from 0 (plain cross-entropy) to below 1. TransReID trains with 0.

    Example:
        >>> import torch
        >>> IdentityLoss(label_smoothing=0.0)(torch.zeros(2, 4), torch.tensor([0, 3]))
        tensor(1.3863)
    """

    def __init__(self, label_smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}, expected 0 <= value < 1")
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of (B, C) logits against (B,) labels from 0 to C - 1: a scalar."""
        if logits.ndim != 2 or labels.shape != logits.shape[:1]:
            raise ValueError(
                f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} do not fit: "
                "expected (B, C) and (B,)"
            )
        return nn.functional.cross_entropy(
            logits.float(),
            class_labels(labels),
            label_smoothing=self.label_smoothing,
            ignore_index=_NOBODY,
        )

    def extra_repr(self) -> str:
        """What print(loss) shows."""
        return f"label_smoothing={self.label_smoothing}"


@dataclass(frozen=True)
class Identity(Loss):
    """`IdentityLoss` of every classifier, in a recipe.

    Attributes:
        label_smoothing: As in `IdentityLoss`.
        over_heads: Of several classifiers, see `reidlab.losses.over_heads`.
    """

    name, reads, of_cosines = "identity", "logits", False
    label_smoothing: Annotated[float, Range(0, 0.999)] = 0.0
    over_heads: OverHeads = "mean"

    def build(self, whole: Whole = same_rows) -> Term:
        """Reads `outputs.logits` and `batch["label"]`."""
        loss = IdentityLoss(self.label_smoothing)

        def term(outputs: Any, batch: Batch) -> Tensor:
            each = [loss(logits, batch["label"]) for logits in outputs.logits]
            return over_heads(self.over_heads, each)

        return term
