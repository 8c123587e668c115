"""What a heat map explains: the logit of an identity, or the similarity to another image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reidlab.explain.prepared import usable


class Target(Protocol):
    """What a heat map explains: one number per image."""

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Differentiable scores, (B,)."""


class IdentityTarget:
    """The logit of an identity, averaged over the classifiers of the model.

    Args:
        labels: Training label of each image, (B,); None: the identity the model finds most likely,
            the only choice for a person it was not trained on.

    Raises:
        ValueError: If the labels are no whole numbers.
    """

    def __init__(self, labels: Tensor | Sequence[int] | None = None) -> None:
        copied = labels if labels is None or isinstance(labels, Tensor) else torch.tensor([*labels])
        if copied is not None and (copied.is_floating_point() or copied.is_complex()):
            raise ValueError(
                f"IdentityTarget has labels of {copied.dtype}; expected whole numbers, the labels "
                "of the training."
            )
        self.labels = None if copied is None else copied.long()

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Logit of each image's identity, (B,)."""
        logits = _logits(model, images, camids)
        labels = logits.argmax(1) if self.labels is None else usable(self.labels, logits)
        if labels.shape != (len(images),):
            raise ValueError(
                f"IdentityTarget has labels of shape {tuple(labels.shape)} for {len(images)} "
                "images; expected one label per image."
            )
        if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
            raise ValueError(
                f"IdentityTarget has labels {int(labels.min())} to {int(labels.max())}; the model "
                f"knows 0 to {logits.shape[1] - 1}. For other people pass labels=None or use "
                "SimilarityTarget."
            )
        return logits.gather(1, labels[:, None])[:, 0]


class SimilarityTarget:
    """Cosine similarity of the image's embedding with a reference: what makes two images alike.

    Args:
        reference: Embeddings to compare with, (B, D), or one for all images, (D,).

    Raises:
        ValueError: If it has values that are no numbers.
    """

    def __init__(self, reference: Tensor) -> None:
        if not reference.isfinite().all():
            raise ValueError(
                "SimilarityTarget has a reference with values that are no numbers; embed an image "
                "again, by weights that have none."
            )
        self.reference = reference.detach()

    def scores(self, model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
        """Similarity of each image with its reference, (B,)."""
        embeddings = model.embed(images, camids)  # (B, D)
        if embeddings.ndim != 2:
            raise ValueError(
                f"{type(model).__name__} describes an image by {tuple(embeddings.shape[1:])} and "
                "not by one vector; use matched_places for a matcher, or IdentityTarget for a "
                "model with classifiers."
            )
        reference = usable(self.reference, embeddings).to(embeddings.dtype)
        if reference.shape not in (embeddings.shape, embeddings.shape[1:]):
            raise ValueError(
                f"SimilarityTarget has a reference of shape {tuple(reference.shape)}; expected "
                f"{tuple(embeddings.shape)}, one embedding per image, or {embeddings.shape[1]}."
            )
        return F.cosine_similarity(embeddings, reference.expand_as(embeddings), dim=1)


class Score(nn.Module):
    """The score to explain as a function of the images alone.

    Args:
        model: In evaluation mode, on the device of the images.
        target: Without a label it means the identity found in the *whole* images, whatever is done
            to them later.
        images: The whole images, (B, 3, H, W).
        camids: Their cameras, (B,), or None.

    Raises:
        ValueError: If the target is none.
    """

    def __init__(self, model: Any, target: Target, images: Tensor, camids: Tensor | None) -> None:
        super().__init__()
        if not hasattr(target, "scores"):
            raise ValueError(
                f"target is {target!r}; expected IdentityTarget(labels) or "
                "SimilarityTarget(reference)."
            )
        if isinstance(target, IdentityTarget) and target.labels is None:
            with torch.no_grad():
                target = IdentityTarget(_logits(model, images, camids).argmax(1))
        self.model, self.target, self.camids = model, target, camids

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B,) of images (B, 3, H, W).

        Raises:
            ValueError: If one is no number.
        """
        scores = self.target.scores(self.model, images, self.camids)  # (B,)
        if not scores.isfinite().all():
            raise ValueError(
                f"the scores are {scores.tolist()}, which are not all numbers, so nothing can be "
                "explained: do the weights hold NaN, as after a run that diverged?"
            )
        return scores


def _logits(model: Any, images: Tensor, camids: Tensor | None) -> Tensor:
    """The mean of all classifiers, (B, C)."""
    heads = model(images, camids).logits
    if not len(heads):
        raise ValueError(
            f"{type(model).__name__} has no classifier, so it has no identity to explain; use "
            "SimilarityTarget, or matched_places for a matcher."
        )
    return torch.stack(tuple(heads)).mean(0)
