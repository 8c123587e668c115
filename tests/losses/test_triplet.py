"""The triplet loss against loops, against another library, and where it is delicate."""

import doctest
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer

from reidlab.losses import Triplet, TripletLoss, common_share, losses_from, triplet, triplet_gaps
from reidlab.losses.triplet import euclidean_distances


def by_loops(features, labels, margin):
    total = 0.0
    for a, anchor in enumerate(features):
        distances = [max(math.dist(anchor, other), 1e-6) for other in features]
        pairs = list(zip(distances, labels, strict=True))
        positive = max(d for d, label in pairs if label == labels[a])
        negative = min(d for d, label in pairs if label != labels[a])
        gap = positive - negative
        total += math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin)
    return total / len(features)


def batch(people=4, images=3, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(people * images, dim, generator=generator)
    labels = torch.arange(people).repeat_interleave(images)
    return features, labels[torch.randperm(len(labels), generator=generator)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=9).filter(lambda x: len(set(x)) > 1),
    st.sampled_from([None, 0.0, 0.3, 1.5]),
    st.integers(0, 1000),
)
def test_equals_the_loops(labels, margin, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randint(-2, 3, (len(labels), 2), generator=generator).float()  # duplicates
    loss = TripletLoss(margin)(features, torch.tensor(labels))
    assert loss.item() == pytest.approx(by_loops(features.tolist(), labels, margin), 1e-5, 1e-6)


@pytest.mark.parametrize("margin", [None, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_equals_pytorch_metric_learning(margin, seed):
    features, labels = batch(seed=seed)
    distance = LpDistance(normalize_embeddings=False, p=2, power=1)
    reference = TripletMarginLoss(
        margin=margin or 0.0,
        smooth_loss=margin is None,
        distance=distance,
        reducer=MeanReducer(),
    )
    hardest = BatchHardMiner(distance=distance)(features, labels)
    expected = reference(features, labels, hardest)
    torch.testing.assert_close(TripletLoss(margin)(features, labels), expected)


def test_on_paper():
    # People 7, 7, 8 at 0, 1, 3 on a line. Anchors: 1 - 3, 1 - 2, and 8 alone: itself - 2.
    features, labels = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([7, 7, 8])
    assert TripletLoss(margin=1.5)(features, labels).item() == pytest.approx(0.5 / 3)
    soft = [math.log(1 + math.exp(gap)) for gap in (-2, -1, -2)]
    assert TripletLoss()(features, labels).item() == pytest.approx(sum(soft) / 3)


def test_the_distance_is_not_squared():
    features, labels = torch.tensor([[0.0], [3.0], [10.0]]), torch.tensor([0, 0, 1])
    assert TripletLoss(margin=10.0)(features, labels).item() == pytest.approx((3 + 6 + 3) / 3, 1e-5)


@pytest.mark.parametrize("margin", [None, 0.3])
def test_copies_of_one_image_give_finite_gradients(margin):
    features = torch.ones(6, 5, requires_grad=True)  # all collapsed to a point
    loss = TripletLoss(margin)(features, torch.tensor([0, 0, 1, 1, 2, 2]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(features.grad).all()

    values, labels = batch()
    values[1] = values[0]
    features = values.requires_grad_()
    TripletLoss(margin)(features, labels).backward()
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().sum() > 0


def test_gradient_equals_differences():
    features, labels = batch()
    features.requires_grad_()
    loss = TripletLoss()
    loss(features, labels).backward()
    step = 1e-2
    for i, j in ((0, 0), (3, 2), (11, 7)):
        moved = [features.detach().clone() for _ in range(2)]
        moved[0][i, j] += step
        moved[1][i, j] -= step
        slope = (loss(moved[0], labels) - loss(moved[1], labels)) / (2 * step)
        assert features.grad[i, j].item() == pytest.approx(slope.item(), rel=0.02, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_inside_autocast(dtype):
    features, labels = batch(dim=768)
    with torch.autocast("cpu", dtype):
        distances = euclidean_distances(features)
        loss = TripletLoss()(features, labels)
    assert distances.dtype == loss.dtype == torch.float32
    assert loss == TripletLoss()(features, labels)
    exact = (features[:, None].double() - features[None]).square().sum(dim=2).sqrt()
    torch.testing.assert_close(distances.double(), exact.clamp(min=1e-6), rtol=1e-5, atol=1e-6)


def test_half_precision_features_give_a_float32_loss():
    features, labels = batch()
    assert TripletLoss()(features.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize("size", [1, 4])
def test_one_person_alone(size):
    with pytest.raises(ValueError, match=f"all {size} images.*no negative.*IdentitySampler"):
        TripletLoss()(torch.randn(size, 3), torch.full((size,), 5))


def test_one_image_per_person_is_its_own_positive():
    features = torch.tensor([[0.0], [2.0]])
    assert TripletLoss(0.5)(features, torch.tensor([0, 1])).item() == 0
    assert TripletLoss(2.5)(features, torch.tensor([0, 1])).item() == pytest.approx(0.5, 1e-4)


def test_bad_margin():
    for margin in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"margin is {margin}, expected a number from 0, or N"):
            TripletLoss(margin)


@pytest.mark.parametrize(("features", "labels"), [((4, 3), (3,)), ((4,), (4,)), ((2, 2, 2), (2,))])
def test_shapes_that_do_not_fit(features, labels):
    with pytest.raises(ValueError, match=r"do not fit: expected \(B, D\) and \(B,\)"):
        TripletLoss()(torch.zeros(features), torch.zeros(labels, dtype=torch.int64))


def test_prints_its_margin():
    assert repr(TripletLoss()) == "TripletLoss(margin=soft, mining=hardest)"
    assert repr(TripletLoss(0.3, "all")) == "TripletLoss(margin=0.3, mining=all)"


def test_the_example_in_the_docstring():
    assert doctest.testmod(triplet) == (0, 3)


def all_by_loops(features, labels, margin):
    values = []
    for a, p, n in itertools.product(range(len(labels)), repeat=3):
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]:
            gap = math.dist(features[a], features[p]) - math.dist(features[a], features[n])
            values.append(math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin))
    return sum(values) / len(values)


@pytest.mark.parametrize("margin", [None, 0.0, 0.3])
def test_all_triplets_equal_the_loops(margin):
    features, labels = batch(people=3, images=3, dim=4)
    expected = all_by_loops(features.tolist(), labels.tolist(), margin)
    found = TripletLoss(margin, "all")(features, labels)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_all_triplets_of_people_with_one_image_each_are_none():
    features = torch.randn(4, 3, requires_grad=True)
    loss = TripletLoss(mining="all")(features, torch.arange(4))
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()


def test_while_the_hardest_gap_is_positive_the_loss_falls_as_everything_shrinks():
    features, labels = batch(people=4, images=4, dim=8, seed=1)  # noise: the hardest lie wrong
    centre = features + 3.0 * torch.nn.functional.one_hot(labels, 8)  # better than chance
    for each, falls in ((TripletLoss(), True), (TripletLoss(mining="all"), False)):
        small, large = (each(s * centre, labels).item() for s in (0.5, 1.0))
        assert (small < large) == falls
        assert each(0.0 * centre, labels).item() == pytest.approx(math.log(2), abs=1e-5)
    assert triplet_gaps(centre, labels).mean() > 0 > triplet_gaps(centre, labels, "all").mean()


def test_the_common_share_of_one_vector_and_of_opposite_ones():
    assert common_share(torch.tensor([[3.0, 4.0]] * 5)) == pytest.approx(1.0)
    assert common_share(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == 0.0
    assert common_share(torch.tensor([[2.0, 1.0], [2.0, -1.0]])) == pytest.approx(0.8)


def test_a_record_from_before_the_choice_of_mining():
    assert "mining" not in Triplet().to_dict()
    (read,) = losses_from({"triplet": Triplet(mining="all").to_dict()})
    assert read == Triplet(mining="all")
    with pytest.raises(ValueError, match="mining is 'hard', expected 'hardest' or 'all'"):
        TripletLoss(mining="hard")
