"""The supervised contrastive loss, against loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reidlab.losses import ContrastiveLoss


def test_contrast_is_the_loop():
    features = torch.randn(7, 5, generator=torch.Generator().manual_seed(2))
    people = [0, 0, 0, 1, 1, 2, 2]
    terms = []
    for i in range(7):
        cosine = [float(F.cosine_similarity(features[i], features[j], dim=0)) for j in range(7)]
        total = sum(np.exp(cosine[j] / 0.1) for j in range(7) if j != i)
        same = [j for j in range(7) if j != i and people[j] == people[i]]
        terms.append(-sum(np.log(np.exp(cosine[j] / 0.1) / total) for j in same) / len(same))
    found = ContrastiveLoss()(features, torch.tensor(people))
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-4)
    alone = ContrastiveLoss()(
        features, torch.tensor([0, 0, 0, 1, 1, 2, 3])
    )  # nobody for the last two
    assert torch.isfinite(alone)
    point = ContrastiveLoss()(torch.ones(6, 5), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert float(point) == pytest.approx(np.log(5)), "one point is the worst of guesses, no rest"


def test_single_precision_inside_autocast_and_shapes_that_fit():
    features, labels = torch.randn(6, 5), torch.tensor([0, 0, 1, 1, 2, 2])
    with torch.autocast("cpu", torch.bfloat16):
        inside = ContrastiveLoss()(features, labels)
    assert inside == ContrastiveLoss()(features, labels)
    with pytest.raises(ValueError, match=r"labels \(6, 1\) do not fit"):
        ContrastiveLoss()(features, labels[:, None])
    with pytest.raises(ValueError, match="temperature is 0, expected more than 0"):
        ContrastiveLoss(0)


@pytest.mark.parametrize("people", [[3], [0, 1], [0, 1, 2, 3]])
def test_without_a_pair_it_is_nothing_and_pulls_nowhere(people):
    features = torch.randn(len(people), 5, requires_grad=True)
    loss = ContrastiveLoss()(features, torch.tensor(people))
    loss.backward()
    assert loss == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_one_person_alone_is_a_pair_without_strangers():
    features = torch.randn(3, 5, requires_grad=True)
    loss = ContrastiveLoss()(features, torch.tensor([4, 4, 4]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(features.grad).all()
