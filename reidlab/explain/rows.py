"""Which row of the image made a match: evidence of models that embed a person row by row.

LA-Transformer (Sharma et al., 2021) describes an image by R vectors, one for each row of its
patches, and compares two images row with row. Such an embedding, flattened to R * D numbers, has a
cosine that is a sum over the rows: what a row adds to it is read off, not estimated, unlike a heat
map. It says which row *decided*, not which pixels: a row's vector has attended to all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reidlab.explain.scores import part_labels
from reidlab.synth import PARTS


def row_similarity(a: Tensor, b: Tensor, rows: int) -> Tensor:
    """What each row adds to the cosine of two embeddings.

    Args:
        a: Embeddings, row after row, (B, R * D); rows of any length, normalised or not.
        b: Those they are compared with, (B, R * D).
        rows: R, the rows of the patch grid: `model.backbone.grid[0]`.

    Returns:
        (B, R), whose sum over the rows is the cosine. Where every row has the same length, a row
        adds its own cosine divided by R. An embedding of zeros has no direction and gets zeros.

    Raises:
        ValueError: If shapes differ, R does not divide the length of an embedding, or a value is no
            number.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"embeddings have shapes {tuple(a.shape)} and {tuple(b.shape)}; expected twice the "
            "same (B, R * D): row i of one is compared with row i of the other."
        )
    if rows < 1 or a.shape[1] % rows:
        raise ValueError(
            f"rows is {rows}, which does not divide the {a.shape[1]} numbers of an embedding; "
            "expected the rows of the patch grid, model.backbone.grid[0], and the embedding that "
            "keeps its rows apart, not their mean."
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError(
            "embeddings have values that are no numbers; embed the images again, by weights that "
            "have none."
        )
    # Doubles: a margin is a small difference of sums over ten thousand products.
    x, y = a.double(), b.double()
    dots = (x * y).reshape(len(x), rows, -1).sum(-1)  # (B, R)
    lengths = (x.norm(dim=1) * y.norm(dim=1))[:, None]
    shares = torch.where(lengths > 0, dots / lengths, 0.0)
    return shares.to(torch.promote_types(a.dtype, torch.float32))


def row_evidence(query: Tensor, match: Tensor, others: Tensor, rows: int) -> Tensor:
    """Which rows put the match before strangers.

    Args:
        query: Embedding of the image that is asked for, (R * D,).
        match: Embedding of the image that was found, (R * D,).
        others: Embeddings of M strangers, such as the nearest ones, (M, R * D).
        rows: R, the rows of the patch grid.

    Returns:
        (R,): what a row adds to the similarity of query and match, minus what it adds to that of
        query and stranger, averaged over the strangers. The sum is the margin: positive where the
        match is nearer than the strangers on average.

    Raises:
        ValueError: If a shape does not fit, there is no stranger, or R does not divide the length.
    """
    fits = query.ndim == 1 and match.shape == query.shape and others.shape[1:] == query.shape
    if not fits or not len(others):
        raise ValueError(
            f"query, match and others have shapes {tuple(query.shape)}, {tuple(match.shape)} and "
            f"{tuple(others.shape)}; expected (R * D,), (R * D,) and (M, R * D) with one stranger "
            "at least."
        )
    found = row_similarity(query[None], match[None], rows)[0]  # (R,)
    strange = row_similarity(query.expand_as(others), others, rows)  # (M, R)
    return found - strange.mean(0)


def row_parts(masks: Tensor, rows: int) -> Tensor:
    """Share of each body part in each row of the image.

    Args:
        masks: Part labels 0..7 at the size of their image, (B, h, w).
        rows: R, the rows of the patch grid. Where R does not divide h a line of pixels belongs to
            two rows, by the share of it that lies in each: the model sees the image at another
            size, and its stripes need not end between two pixels of the original. Patches must
            not overlap (their stride is their size), else a row sees more than its stripe.

    Returns:
        (B, R, 8), shares of `PARTS` that sum to 1 over the parts.

    Raises:
        ValueError: If masks are not (B, h, w), a label is none of the parts, or R is below 1.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}; expected a number of 1 or more")
    parts = part_labels(masks)
    height = masks.shape[1]
    labels = torch.arange(len(PARTS), device=masks.device)
    lines = (parts[..., None] == labels).double().mean(2)  # (B, h, 8): shares in a line of pixels
    # Row r covers the lines from r * h / R to (r + 1) * h / R. Everything times R: whole numbers.
    top = rows * torch.arange(height, device=masks.device)  # (h,)
    begin = height * torch.arange(rows, device=masks.device)[:, None]  # (R, 1)
    overlap = torch.minimum(top + rows, begin + height) - torch.maximum(top, begin)  # (R, h)
    shares = torch.einsum("rh,bhp->brp", overlap.clamp_min(0).double() / height, lines)
    return shares.float()


class RowVote(NamedTuple):
    """What each row's classifier says of its image.

    Attributes:
        confidence: Probability that the row's classifier gives to the true person, (B, R).
        right: Whether that person is its first choice, (B, R).
        ensemble: Whether the sum of all rows' probabilities has the person first, (B,): the
            ensemble of equations 8 and 9 of LA-Transformer.
    """

    confidence: Tensor
    right: Tensor
    ensemble: Tensor


def row_vote(logits: Sequence[Tensor], labels: Tensor) -> RowVote:
    """Let each row's classifier vote on the person, and count the votes.

    Args:
        logits: R tensors (B, C), `model(images).logits` of a model with a classifier for each row.
        labels: The true person of each image, a label of the training, (B,).

    Raises:
        ValueError: If there are no logits, their shapes differ, the labels do not fit them, or a
            logit is no number.
    """
    shapes = sorted({tuple(head.shape) for head in logits})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise ValueError(
            f"logits have the shapes {shapes}; expected one tensor (B, C) for each row, all alike: "
            "model(images).logits, images as a batch."
        )
    images, people = shapes[0]
    if labels.shape != (images,):
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}; expected ({images},), one for each image."
        )
    if labels.is_floating_point() or not all(head.isfinite().all() for head in logits):
        raise ValueError(
            f"labels are {labels.dtype} and logits {logits[0].dtype}; expected whole numbers, and "
            "logits without NaN and infinity: did the training diverge?"
        )
    if images and not 0 <= int(labels.min()) <= int(labels.max()) < people:
        raise ValueError(
            f"labels are {int(labels.min())} to {int(labels.max())}; the classifiers know 0 to "
            f"{people - 1}. Only people of the training have a label."
        )
    votes = torch.stack(tuple(logits), dim=1).softmax(-1)  # (B, R, C)
    truth = labels.long().to(votes.device)
    confidence = votes.gather(2, truth[:, None, None].expand(-1, votes.shape[1], 1))[..., 0]
    return RowVote(
        confidence=confidence,
        right=votes.argmax(-1) == truth[:, None],
        ensemble=votes.sum(1).argmax(-1) == truth,
    )
