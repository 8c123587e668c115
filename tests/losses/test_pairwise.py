"""Losses of pairs against golden numbers, loops, and scores that are no numbers."""

import math
from types import SimpleNamespace

import pytest
import torch

from reidlab.errors import RecipeError
from reidlab.losses import MatchTriplet, MatchTripletLoss, Pairwise, PairwiseLoss
from reidlab.models import Matching
from reidlab.models.transmatcher import Decoder
from reidlab.training import Objective
from tests.models.golden import fill, wave

F64 = torch.float64
SCORES = [
    [0.167278805156, 0.845311959104, -0.501945952619, 1.853043784752],
    [0.686355927186, 2.988556559866, 0.641624022736, -0.741339621407],
    [-0.489608537199, 0.990185737861, -0.942574245452, -0.519705818738],
    [1.414843952493, -0.528026999348, -0.428275500060, 2.274639015944],
]
LABELS = torch.tensor([0, 0, 1, 1])
BOTH = [PairwiseLoss(), MatchTripletLoss()]


def golden():
    return torch.tensor(SCORES, dtype=F64)


def test_the_golden_scores_of_a_batch_with_itself():
    decoder = fill(Decoder(4, Matching(dim=3, hidden=5, layers=2)).double()).train()
    maps = wave(torch.sin, 0.3, 4, 4, 6, power=1.1)
    torch.testing.assert_close(decoder(maps, maps), golden(), rtol=0, atol=1e-9)


def test_the_golden_losses():
    each = PairwiseLoss().anchors(golden(), LABELS)
    expected = [3.442281535038, 1.911084785161, 4.042104995450, 3.123852717293]
    assert each.tolist() == pytest.approx(expected, abs=1e-6)
    assert PairwiseLoss()(golden(), LABELS).item() == pytest.approx(3.129831008236, abs=1e-6)
    each = MatchTripletLoss(margin=16).anchors(golden(), LABELS)
    expected = [17.007731825648, 15.955268095550, 17.509891556600, 17.843119452553]
    assert each.tolist() == pytest.approx(expected, abs=1e-9)
    watched = Pairwise().watch(SimpleNamespace(scores=golden()), {"label": LABELS})
    assert {name: value.item() for name, value in watched.items()} == {
        "accuracy": 0.25, "skipped": 0.0,
    }  # fmt: skip


def loop(loss, scores, labels):
    """The losses of the anchors, by hand."""
    found = []
    for i, row in enumerate(scores):
        if isinstance(loss, PairwiseLoss):
            same = [a == labels[i] for a in labels]
            chances = [1 / (1 + math.exp(-x)) for x in row]
            found.append(
                -sum(math.log(p if s else 1 - p) for p, s in zip(chances, same, strict=True))
            )
            continue
        positive = [x for j, x in enumerate(row) if labels[j] == labels[i] and j != i]
        negative = [x for j, x in enumerate(row) if labels[j] != labels[i]]
        whole = positive and negative
        found.append(max(0.0, 16.0 - (min(positive) - max(negative))) if whole else 0.0)
    return found


@pytest.mark.parametrize("loss", BOTH)
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1, 2], [0, 1, 2, 3, 4, 5], [7] * 6])
def test_against_loops(loss, labels):
    """With a person of one image, nobody twice, nobody else."""
    generator = torch.Generator().manual_seed(0)
    scores = (5 * torch.randn(6, 6, generator=generator, dtype=F64)).requires_grad_()
    found = loss(scores, torch.tensor(labels))
    assert found.item() == pytest.approx(sum(loop(loss, scores.tolist(), labels)) / 6)
    found.backward()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("loss", [Pairwise(), MatchTriplet()])
def test_anchors_without_a_number_are_left_out_and_counted(loss):
    scores = golden().requires_grad_()
    spoiled = scores.clone()
    spoiled[1, 2] = torch.nan
    out, batch = SimpleNamespace(scores=spoiled), {"label": LABELS}
    found = loss.build()(out, batch)
    each = loss.module().anchors(golden(), LABELS)
    assert found.item() == pytest.approx(each[[0, 2, 3]].mean().item())
    found.backward()
    assert scores.grad.isfinite().all()
    assert not scores.grad[1].any()
    assert loss.watch(out, batch)["skipped"] == 1
    objective = Objective((loss,))
    assert set(objective.watch(out, batch)) == {"accuracy", "skipped"}


@pytest.mark.parametrize("loss", BOTH)
def test_a_batch_without_any_number(loss):
    scores = torch.full((4, 4), torch.nan, requires_grad=True)
    found = loss(scores, LABELS)
    found.backward()
    assert found == 0
    assert not scores.grad.any()
    assert loss.skipped(scores, LABELS) == 4


def test_accuracy_is_strict_and_an_anchor_alone_is_right():
    scores = torch.tensor([[9.0, 1.0, 1.0], [2.0, 9.0, 1.0], [0.0, 0.0, 9.0]])
    watched = Pairwise().watch(SimpleNamespace(scores=scores), {"label": torch.tensor([0, 0, 1])})
    assert watched["accuracy"].item() == pytest.approx(2 / 3)


def test_half_precision_is_computed_in_float32():
    scores = golden().bfloat16()
    for loss in BOTH:
        assert loss(scores, LABELS).dtype == torch.float32
        assert loss(scores, LABELS) == loss(scores.float(), LABELS)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match=r"scores \(4, 3\) and labels \(4,\) do not fit: expected"):
        PairwiseLoss()(torch.zeros(4, 3), LABELS)
    for margin in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"margin is {margin}, expected a number from 0"):
            MatchTripletLoss(margin)
    message = r"the loss pairwise compares the scores of a matcher, and the model returned none"
    with pytest.raises(RecipeError, match=message):
        Pairwise().build()(SimpleNamespace(scores=None), {"label": LABELS})
    assert [x.reads for x in (Pairwise(), MatchTriplet())] == ["scores", "scores"]
