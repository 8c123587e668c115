"""How well the classifiers know images of the people they were trained on."""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

from reidlab.data import make_loader
from reidlab.judging.embedding import evaluating, test_transform
from reidlab.judging.settings import Judging
from reidlab.judging.side_information import with_rows
from reidlab.losses import IdentityLoss, terms


def classify(
    model: nn.Module, frame: pd.DataFrame, recipe: Judging, over_heads: terms.OverHeads = "mean"
) -> dict[str, float]:
    """Identity loss, without smoothing, and accuracy of the vote of the heads on some images.

    Args:
        model: With classifiers; it is returned in the mode it came in.
        frame: Rows with path and label, and what `with_rows` reads.
        recipe: Gives the transform and the batch size.
        over_heads: What becomes of the losses of several heads, as in a recipe's `Identity`.

    Returns:
        "loss" and "accuracy" (0..1), means over the images.

    Raises:
        ValueError: If the model has no classifiers.
    """
    loader = make_loader(
        with_rows(model, frame), test_transform(recipe), batch_size=recipe.embed_batch_size
    )
    identity_loss = IdentityLoss(label_smoothing=0.0)
    total, right = 0.0, 0
    with evaluating(model, recipe.precision) as device, torch.inference_mode():
        for batch in loader:
            labels = batch["label"].to(device)
            out = model(batch["image"].to(device), batch["camid"].to(device))
            if not out.logits:
                raise ValueError(
                    f"{type(model).__name__} has no classifiers, whose votes are asked for; pass "
                    "a model that has some, or validate on people."
                )
            each = [identity_loss(logits, labels) for logits in out.logits]
            total += float(terms.over_heads(over_heads, each)) * len(labels)
            right += int((out.vote().argmax(1) == labels).sum())
    return {"loss": total / len(frame), "accuracy": right / len(frame)}
