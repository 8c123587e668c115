"""Circle losses: six values from paper, loops, another library, gradients, and bad batches."""

import doctest
import math
from types import SimpleNamespace

import pytest
import torch
from pytorch_metric_learning.losses import CircleLoss

from reidlab.errors import RecipeError
from reidlab.losses import (
    GlobalCircle,
    PairwiseCircle,
    WeightedTriplet,
    circle,
    circle_logits,
    classifier_circle,
    losses_from,
    pairwise_circle,
    weighted_triplet,
)

LOCAL, GLOBAL = {"gamma": 20.0, "margin": 0.25}, {"gamma": 30.0, "margin": 0.5}


def at(*cosines):
    """Vectors in the plane with these cosines to (1, 0)."""
    rows = [[c, math.sqrt(1 - c * c)] for c in cosines]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)


def random(rows, dim=5, seed=0, people=3):
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, dim, generator=g, dtype=torch.float64)
    return features, torch.randint(people, (rows,), generator=g)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def one_anchor(within, between, gamma, margin):
    """Of lists of cosines, as the paper writes it: log(1 + sum * sum)."""
    p = sum(math.exp(-gamma * max(0, 1 + margin - s) * (s - 1 + margin)) for s in within)
    n = sum(math.exp(gamma * max(0, s + margin) * (s - margin)) for s in between)
    return math.log1p(p * n)


def by_loops(features, labels, others, other_labels, gamma, margin):
    alone = others is None
    others, other_labels = (features, labels) if alone else (others, other_labels)
    values = []
    for a, anchor in enumerate(features):
        pairs = [
            (cosine(anchor, other), label == labels[a])
            for b, (other, label) in enumerate(zip(others, other_labels, strict=True))
            if not (alone and a == b)
        ]
        within, between = ([s for s, same in pairs if same == kind] for kind in (True, False))
        if within and between:
            values.append(one_anchor(within, between, gamma, margin))
    return sum(values) / len(values)


# ------------------------------------------------------------------ values worked out elsewhere


@pytest.mark.parametrize(
    ("within", "between", "expected"),
    [
        (0.7, [0.2, -0.3], 8.28376e-5),
        (0.3, [0.4, 0.1, -0.6], 7.2664417),
        (1.0, [0.0], 3.05902e-7),
    ],
)
def test_the_classifier_by_hand(within, between, expected):
    weight = 3.0 * at(within, *between)  # of any length
    found = classifier_circle(at(1.0) / 2, weight, torch.tensor([0]), **GLOBAL)
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("within", "between", "expected"),
    [
        ([0.8, 0.6], [0.3, -0.1], 2.8314705),
        ([0.5], [0.5, 0.5], 8.1934237),
        ([0.9] * 3, [0.1] * 4, 0.9040064),
    ],
)
def test_pairs_by_hand(within, between, expected):
    people = torch.tensor([7] * len(within) + [8] * len(between))
    others = at(*within, *between)
    found = pairwise_circle(at(1.0), torch.tensor([7]), others, people, **LOCAL)
    assert found.item() == pytest.approx(expected, rel=1e-7)
    assert found.item() == pytest.approx(one_anchor(within, between, 20, 0.25), abs=1e-9)


@pytest.mark.parametrize(
    ("people", "images", "floor"), [(8, 4, (2.066, 2.322)), (8, 2, (0.765, 1.193))]
)
def test_its_floor_is_not_zero(people, images, floor):
    """Everybody one direction, at right angles to all others."""
    features, labels = torch.eye(people).double(), torch.arange(people)
    features, labels = (x.repeat_interleave(images, 0) for x in (features, labels))
    within = pairwise_circle(features, labels, **LOCAL)
    across = pairwise_circle(features, labels, features, labels, **LOCAL)
    assert (within.item(), across.item()) == pytest.approx(floor, abs=1e-3)


# ------------------------------------------------------------------ loops, and another library


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settings", [LOCAL, {"gamma": 64.0, "margin": 0.4}])
def test_pairs_are_the_loop(seed, settings):
    features, labels = random(7, seed=seed)
    others, theirs = random(5, seed=seed + 50, people=4)
    for sides in ((None, None), (others, theirs)):
        found = pairwise_circle(features, labels, *sides, **settings)
        lists = [None if side is None else side.tolist() for side in sides]
        expected = by_loops(features.tolist(), labels.tolist(), *lists, **settings)
        assert found.item() == pytest.approx(expected, abs=1e-9, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_pytorch_metric_learnings(seed):
    features, labels = random(9, seed=seed, people=4)
    others, theirs = random(6, seed=seed + 50, people=4)
    reference = CircleLoss(m=0.25, gamma=20)  # its mean is over the anchors that have pairs
    found = pairwise_circle(features, labels, **LOCAL)
    torch.testing.assert_close(found, reference(features, labels), rtol=0, atol=1e-9)
    found = pairwise_circle(features, labels, others, theirs, **LOCAL)
    expected = reference(features, labels, ref_emb=others, ref_labels=theirs.clone())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_classifier_is_the_loop(seed):
    features, labels = random(6, seed=seed)
    weight, _ = random(3, seed=seed + 50)
    expected = [
        one_anchor(
            [cosine(x, weight[y])], [cosine(x, w) for j, w in enumerate(weight) if j != y], 30, 0.5
        )
        for x, y in zip(features.tolist(), labels.tolist(), strict=True)
    ]
    found = classifier_circle(features, weight, labels, **GLOBAL)
    assert found.item() == pytest.approx(sum(expected) / 6, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [0.2, 1.0, 10.0])
def test_the_weighted_triplet_is_the_loop(seed, scale):
    features, labels = random(8, seed=seed, people=4)
    features, values = features * scale, []
    for a, anchor in enumerate(features.tolist()):
        distances = [math.dist(anchor, other) for other in features.tolist()]
        same = (labels == labels[a]).tolist()
        sides = []
        for kind, sign in ((True, 1), (False, -1)):
            side = [d for d, own in zip(distances, same, strict=True) if own == kind]
            weights = [math.exp(sign * d) for d in side]
            sides.append(sum(w * d for w, d in zip(weights, side, strict=True)) / sum(weights))
        values.append(math.log1p(math.exp(sides[0] - sides[1])))
    found = weighted_triplet(features, labels)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(sum(values) / 8, abs=1e-9)


def test_far_strangers_keep_their_weight():
    """At distances of 20 the program of AGW has 17.65 where a softmax has log 2."""
    corners = torch.eye(4) * 20 / math.sqrt(2)
    found = weighted_triplet(corners.repeat(1, 3), torch.tensor([0, 0, 1, 1]))
    assert 0.69 < found.item() < 0.7 * 3**0.5


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize("across", [False, True])
def test_the_weights_are_constants_of_the_gradient(across):
    """Numerical differences of the loss with the brackets held at what they are."""
    features, labels = random(5, dim=3, seed=3, people=2)
    others, theirs = random(4, dim=3, seed=4, people=2) if across else (features, labels)

    def unit(x):
        return x / x.norm(dim=1, keepdim=True)

    held = unit(features) @ unit(others).T

    def loss(x):
        s = unit(x) @ unit(others if across else x).T
        p = 20 * (1.25 - held).clamp(min=0) * (s - 0.75)
        n = 20 * (held + 0.25).clamp(min=0) * (s - 0.25)
        same = labels[:, None] == theirs[None]
        pairs = same if across else same & ~torch.eye(5, dtype=torch.bool)
        total, count = 0.0, 0
        for a in range(5):
            if pairs[a].any() and not same[a].all():
                total += torch.log1p((-p[a][pairs[a]]).exp().sum() * n[a][~same[a]].exp().sum())
                count += 1
        return total / count

    x = features.clone().requires_grad_()
    sides = (others, theirs) if across else ()
    pairwise_circle(x, labels, *sides, **LOCAL).backward()
    numerical = torch.zeros_like(features)
    for place in range(features.numel()):
        step = torch.zeros(features.numel(), dtype=torch.float64)
        step[place] = 1e-6
        step = step.view_as(features)
        numerical.view(-1)[place] = (loss(features + step) - loss(features - step)) / 2e-6
    torch.testing.assert_close(x.grad, numerical, rtol=1e-6, atol=1e-7)


def test_the_gradient_of_the_weighted_triplet():
    features, labels = random(6, dim=3, seed=2)
    x = features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: weighted_triplet(x, labels), (x,))


@pytest.mark.parametrize("gamma", [1.0, 1000.0])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e18])
def test_extreme_values(gamma, scale):
    """One point, opposite points, tiny and huge features: finite, and so are the gradients."""
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [1.0, 1e-4]]) * scale
    labels = torch.tensor([0, 0, 1, 1])
    for loss in (
        lambda x: pairwise_circle(x, labels, gamma=gamma, margin=0.25),
        lambda x: pairwise_circle(x, labels, x, labels, gamma=gamma, margin=0.25),
        lambda x: classifier_circle(x, torch.eye(2), labels, gamma=gamma, margin=0.5),
        lambda x: weighted_triplet(x, labels),
    ):
        features = x.clone().requires_grad_()
        loss(features).backward()
        assert loss(features).isfinite()
        assert features.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_autocast(dtype):
    features, labels = random(6)
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype):
        for loss in (
            lambda x: pairwise_circle(x, labels, **LOCAL),
            lambda x: classifier_circle(x, weight, labels, **GLOBAL),
            lambda x: weighted_triplet(x, labels),
        ):
            exact = loss(features)
            assert loss(features.float()).item() == pytest.approx(exact.item(), rel=1e-4)
            assert loss(features.to(dtype)).dtype == torch.float32


# ------------------------------------------------------------------ as terms of a recipe


PEOPLE, INFRARED = [0, 0, 1, 1, 0, 1, 1, 2], [0, 0, 0, 0, 1, 1, 1, 0]


def batch(infrared=INFRARED, heads=2):
    g = torch.Generator().manual_seed(1)
    features = tuple(torch.randn(len(infrared), 4, generator=g).double() for _ in range(heads))
    outputs = SimpleNamespace(features=tuple(each.requires_grad_() for each in features))
    modality = torch.tensor(infrared)
    return outputs, {"label": torch.tensor(PEOPLE[: len(infrared)]), "modality": modality}


@pytest.mark.parametrize("over_heads", ["mean", "sum"])
@pytest.mark.parametrize("across", ["both", "visible", "infrared"])
def test_within_both_modalities_and_across(across, over_heads):
    """Person 2 has no infrared image: no anchor across, and a stranger to all others."""
    outputs, given = batch()
    found = PairwiseCircle(across=across, over_heads=over_heads).build()(outputs, given)
    total = 0.0
    for each in outputs.features:
        v, i = (
            ([row for row, m in zip(each.tolist(), INFRARED, strict=True) if m == kind],
             [p for p, m in zip(PEOPLE, INFRARED, strict=True) if m == kind])
            for kind in (0, 1)
        )  # fmt: skip
        crossed = [by_loops(*v, *i, **LOCAL), by_loops(*i, *v, **LOCAL)]
        crossed = {"both": sum(crossed) / 2, "visible": crossed[0], "infrared": crossed[1]}
        total += by_loops(*v, None, None, **LOCAL) + by_loops(*i, None, None, **LOCAL)
        total += crossed[across]
    assert found.item() == pytest.approx(total if over_heads == "sum" else total / 2, abs=1e-9)
    found.backward()
    assert all(each.grad.abs().sum() > 0 for each in outputs.features)


def test_one_image_of_each_modality_is_compared_across_alone():
    outputs, given = batch([0, 1, 0, 1], heads=1)
    (x,) = outputs.features
    v, i = ((x[k::2].tolist(), PEOPLE[k:4:2]) for k in (0, 1))
    expected = (by_loops(*v, *i, **LOCAL) + by_loops(*i, *v, **LOCAL)) / 2
    assert PairwiseCircle().build()(outputs, given).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("kind", "there", "absent"), [(0, "visible", "infr"), (1, "infr", "vis")])
def test_a_batch_of_one_modality(kind, there, absent):
    outputs, given = batch([kind] * 4)
    message = f"pairwise_circle .* the 4 images of the batch are all {there}.*CrossModal.*{absent}"
    with pytest.raises(ValueError, match=message):
        PairwiseCircle().build()(outputs, given)


def test_the_batch_of_all_processes():
    outputs, given = batch(heads=1)
    whole = {**given, "label": given["label"].repeat(2), "modality": given["modality"].repeat(2)}
    twice = SimpleNamespace(features=tuple(x.repeat(2, 1) for x in outputs.features))
    for loss in (PairwiseCircle(), WeightedTriplet()):
        found = loss.build(lambda rows: torch.cat([rows, rows]))(outputs, given)
        torch.testing.assert_close(found, loss.build()(twice, whole))


@pytest.mark.parametrize("loss", [PairwiseCircle(), WeightedTriplet()])
def test_one_person_alone_adds_nothing(loss):
    outputs, given = batch([0, 1, 0, 1])
    found = loss.build()(outputs, {**given, "label": torch.full((4,), 3)})
    found.backward()
    assert found == 0
    assert all(not each.grad.any() for each in outputs.features)


def test_the_classifier_reads_cosines():
    cosines = torch.tensor([[0.7, 0.2, -0.3], [0.4, 0.3, 0.1]], requires_grad=True)
    labels = torch.tensor([0, 1])
    found = GlobalCircle().build()(SimpleNamespace(logits=(cosines,)), {"label": labels})
    logits = circle_logits(cosines, labels, **GLOBAL)
    assert logits[0].tolist() == pytest.approx([4.8, -6.3, -4.8], abs=1e-5)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize("loss", [GlobalCircle(), PairwiseCircle(), WeightedTriplet()])
def test_there_and_back(loss):
    assert losses_from({loss.name: loss.to_dict()}) == (loss,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pairwise_circle": {"margin": 1.5}}, "margin is 1.5; expected a number from 0 to 1"),
        ({"pairwise_circle": {"across": "iv"}}, "across is 'iv'; expected one of 'both', 'visible"),
        ({"global_circle": {"gamma": 0}}, "gamma is 0; expected a number from 0.001"),
    ],
)
def test_settings_that_cannot_be(values, message):
    with pytest.raises(RecipeError, match=message):
        losses_from(values)


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 3), (3,)), r"features \(4, 3\) and labels \(3,\) do not fit: expected \(B, D\)"),
        (((4,), (4,)), r"features \(4,\) and labels \(4,\) do not fit"),
        (((4, 3), (4,), (5, 3)), "others and other_labels go together"),
        (((4, 3), (4,), (5, 3), (4,)), r"features \(5, 3\) and labels \(4,\) do not fit"),
        (((4, 3), (4,), (5, 2), (5,)), "features have 3 numbers and others 2"),
    ],
)
def test_shapes_that_do_not_fit(arguments, message):
    given = [torch.zeros(shape).long() if len(shape) == 1 and n % 2 else torch.zeros(shape)
             for n, shape in enumerate(arguments)]  # fmt: skip
    with pytest.raises(ValueError, match=message):
        pairwise_circle(*given, **LOCAL)
    if len(arguments) == 2:
        with pytest.raises(ValueError, match=message):
            weighted_triplet(*given)
        with pytest.raises(ValueError, match=message):
            classifier_circle(given[0], torch.eye(3), given[1], **GLOBAL)


@pytest.mark.parametrize("settings", [{"gamma": 0, "margin": 0.2}, {"gamma": 1, "margin": -0.1}])
def test_gamma_and_margin_that_cannot_be(settings):
    features, labels = random(4)
    with pytest.raises(ValueError, match=r"gamma is .* and margin .*; expected a gamma above 0"):
        pairwise_circle(features, labels, **settings)
    with pytest.raises(ValueError, match=r"gamma is .* and margin .*; expected a gamma above 0"):
        classifier_circle(features, torch.eye(5), labels, **settings)


@pytest.mark.parametrize("label", [-1, 5])
def test_people_whom_the_classifier_does_not_know(label):
    with pytest.raises(ValueError, match=f"labels are from {label} to {label} .* 0 to 4"):
        classifier_circle(torch.eye(5)[:1], torch.eye(5), torch.tensor([label]), **GLOBAL)
    with pytest.raises(ValueError, match=r"weight \(2, 5\) does not fit features \(1, 3\)"):
        classifier_circle(torch.eye(3)[:1], torch.ones(2, 5), torch.tensor([0]), **GLOBAL)


def test_the_example_in_the_docstring():
    assert doctest.testmod(circle) == (0, 3)
