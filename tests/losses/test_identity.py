import doctest
import math

import pytest
import torch
from torch import nn

from reidlab.losses import IdentityLoss, identity


def by_loops(logits, labels, smoothing):
    total, people = 0.0, len(logits[0])
    for row, label in zip(logits, labels, strict=True):
        normaliser = math.log(sum(math.exp(value) for value in row))
        for person, value in enumerate(row):
            target = smoothing / people + (1 - smoothing) * (person == label)
            total -= target * (value - normaliser)
    return total / len(logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("people", [1, 2, 7])
def test_equals_the_loops(smoothing, people):
    generator = torch.Generator().manual_seed(people)
    logits = 3 * torch.randn(5, people, generator=generator)
    labels = torch.randint(0, people, (5,), generator=generator)
    loss = IdentityLoss(smoothing)(logits, labels)
    assert loss.item() == pytest.approx(by_loops(logits.tolist(), labels.tolist(), smoothing), 1e-5)


def test_on_paper():
    logits = torch.tensor([[math.log(3.0), 0.0]])  # probabilities 3/4 and 1/4
    plain = IdentityLoss(0.0)(logits, torch.tensor([0]))
    assert plain.item() == pytest.approx(math.log(4 / 3))
    smoothed = IdentityLoss(0.2)(logits, torch.tensor([0]))  # targets 0.9 and 0.1
    assert smoothed.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4))


def test_smoothing_is_a_tenth_by_default():
    assert IdentityLoss().label_smoothing == 0.1
    assert "label_smoothing=0.1" in repr(IdentityLoss())


def test_float32_inside_autocast():
    logits = torch.randn(4, 9).bfloat16()
    labels = torch.arange(4)
    with torch.autocast("cpu", torch.bfloat16):
        inside = IdentityLoss()(logits, labels)
    assert inside.dtype == torch.float32
    assert inside == IdentityLoss()(logits.float(), labels)


def test_gradient_reaches_every_logit_and_the_batch_may_be_one():
    logits = torch.randn(1, 4, requires_grad=True)
    IdentityLoss()(logits, torch.tensor([2])).backward()
    assert (logits.grad != 0).all()
    assert logits.grad.sum().item() == pytest.approx(0, abs=1e-6)


def test_labels_of_another_kind_are_taken_or_named():
    logits, labels = torch.randn(3, 4), torch.tensor([0, 3, 1])
    assert IdentityLoss()(logits, labels.int()) == IdentityLoss()(logits, labels)
    with pytest.raises(TypeError, match=r"labels are torch\.float32, expected whole numbers"):
        IdentityLoss()(logits, labels.float())
    with pytest.raises(IndexError, match="-100 is out of bounds"):  # nobody is left out silently
        IdentityLoss()(logits, torch.tensor([0, -100, 1]))


def test_has_no_parameters():
    assert isinstance(IdentityLoss(), nn.Module)
    assert list(IdentityLoss().parameters()) == []


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_bad_smoothing(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing is {smoothing}, expected"):
        IdentityLoss(smoothing)


@pytest.mark.parametrize(("logits", "labels"), [((4, 3), (3,)), ((4,), (4,)), ((4, 3), (4, 3))])
def test_shapes_that_do_not_fit(logits, labels):
    with pytest.raises(ValueError, match=r"do not fit: expected \(B, C\) and \(B,\)"):
        IdentityLoss()(torch.zeros(logits), torch.zeros(labels, dtype=torch.int64))


def test_the_example_in_the_docstring():
    assert doctest.testmod(identity) == (0, 2)
