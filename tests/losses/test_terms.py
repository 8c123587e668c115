"""Losses as settings: each term against a loop over the heads, and what a recipe may ask for."""

import dataclasses
import json
import math
from types import SimpleNamespace

import pytest
import torch

from reidlab.errors import RecipeError
from reidlab.losses import (
    LOSSES,
    Contrastive,
    GlobalCircle,
    Identity,
    PairwiseCircle,
    Triplet,
    WeightedTriplet,
    losses_from,
    over_heads,
)

PEOPLE = [0, 0, 1, 1, 2, 2, 2]
NAMED = {"identity": Identity, "triplet": Triplet, "contrastive": Contrastive}


def outputs(heads=3, seed=0, rows=7):
    """Logits of 4 people and features of 5 numbers from each head, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    logits, features = (
        tuple(torch.randn(rows, d, generator=generator).requires_grad_() for _ in range(heads))
        for d in (4, 5)
    )
    return SimpleNamespace(logits=logits, features=features)


def cross_entropy(logits, labels, smoothing):
    total = 0.0
    for row, label in zip(logits.tolist(), labels, strict=True):
        log_sum = math.log(sum(math.exp(v) for v in row))
        for person, value in enumerate(row):
            target = smoothing / len(row) + (1 - smoothing) * (person == label)
            total -= target * (value - log_sum)
    return total / len(labels)


def batch_hard(features, labels, margin):
    rows, total = features.tolist(), 0.0
    for a, anchor in enumerate(rows):
        pairs = [(math.dist(anchor, row), label) for row, label in zip(rows, labels, strict=True)]
        gap = max(d for d, label in pairs if label == labels[a]) - min(
            d for d, label in pairs if label != labels[a]
        )
        total += math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin)
    return total / len(rows)


def contrast(features, labels, temperature):
    rows, terms = [[v / math.hypot(*row) for v in row] for row in features.tolist()], []
    alike = [[math.exp(sum(map(float.__mul__, a, b)) / temperature) for b in rows] for a in rows]
    for i, person in enumerate(labels):
        others = [j for j in range(len(rows)) if j != i]
        same = [j for j in others if labels[j] == person]
        if same:
            total = sum(alike[i][j] for j in others)
            terms.append(-sum(math.log(alike[i][j] / total) for j in same) / len(same))
    return sum(terms) / len(terms)


CASES = [
    (Identity(), "logits", lambda x: cross_entropy(x, PEOPLE, 0.0)),
    (Identity(label_smoothing=0.2), "logits", lambda x: cross_entropy(x, PEOPLE, 0.2)),
    (Triplet(), "features", lambda x: batch_hard(x, PEOPLE, None)),
    (Triplet(margin=0.3), "features", lambda x: batch_hard(x, PEOPLE, 0.3)),
    (Triplet(margin=0.3, on="logits"), "logits", lambda x: batch_hard(x, PEOPLE, 0.3)),
    (Contrastive(), "features", lambda x: contrast(x, PEOPLE, 0.1)),
    (Contrastive(temperature=0.5), "features", lambda x: contrast(x, PEOPLE, 0.5)),
]


@pytest.mark.parametrize("kind", ["mean", "sum"])
@pytest.mark.parametrize("weight", [1.0, 0.25])
@pytest.mark.parametrize(("loss", "read", "oracle"), CASES)
def test_a_term_is_the_loop_over_the_heads(loss, read, oracle, kind, weight):
    """Without its weight, which is the objective's."""
    out = outputs()
    term = dataclasses.replace(loss, over_heads=kind, weight=weight).build()
    found = term(out, {"label": torch.tensor(PEOPLE)})
    each = [oracle(values.detach()) for values in getattr(out, read)]
    expected = sum(each) if kind == "sum" else sum(each) / len(each)
    assert found.item() == pytest.approx(expected, rel=1e-4)
    found.backward()
    assert all(values.grad.abs().sum() > 0 for values in getattr(out, read))
    untouched = out.features if read == "logits" else out.logits
    assert all(values.grad is None for values in untouched)


@pytest.mark.parametrize(("loss", "read", "oracle"), CASES)
def test_only_losses_that_compare_images_look_at_the_batch_of_all(loss, read, oracle):
    """Another process' rows, by a `whole` of our own; the first share has one person alone."""
    own, calls = 2, []
    out, everybody = outputs(rows=own), outputs()

    def whole(rows):
        calls.append(rows)
        rest = torch.tensor(PEOPLE) if rows.ndim == 1 else other[rows.shape[1]][len(calls) - 2]
        return torch.cat([rows, rest[own:]])

    other = {4: everybody.logits, 5: everybody.features}
    found = loss.build(whole)(out, {"label": torch.tensor(PEOPLE[:own])})
    if loss.name == "identity":
        assert not calls
        return
    joined = [
        torch.cat([mine, theirs[own:]]).detach()
        for mine, theirs in zip(getattr(out, read), getattr(everybody, read), strict=True)
    ]
    assert found.item() == pytest.approx(sum(map(oracle, joined)) / 3, rel=1e-4)


@pytest.mark.parametrize("loss", [Triplet(), Triplet(margin=0.3, on="logits"), Contrastive()])
@pytest.mark.parametrize("labels", [[3], [3, 3], [3, 3, 3, 3]])
def test_a_batch_of_one_person(loss, labels):
    """Finite, and the gradient reaches every head, as DistributedDataParallel wants."""
    out = outputs(rows=len(labels))
    found = loss.build()(out, {"label": torch.tensor(labels)})
    found.backward()
    assert found.dtype == torch.float32
    compared = out.logits if getattr(loss, "on", "") == "logits" else out.features
    assert all(torch.isfinite(each.grad).all() for each in compared)
    if loss.name == "triplet" or len(labels) == 1:
        assert found == 0
        assert all(not each.grad.any() for each in compared)


def test_over_heads():
    values = [torch.tensor(float(v)) for v in (1, 2, 6)]
    assert (over_heads("sum", values), over_heads("mean", values)) == (9, 3)
    first, *others = values
    assert over_heads("halves", values) == (first + sum(others) / len(others)) / 2
    assert over_heads("halves", values[:1]) == first


def test_the_losses_by_name():
    """The pre-training has some of its own beside them."""
    assert NAMED.items() <= LOSSES.items()


@pytest.mark.parametrize("name", NAMED)
def test_there_and_back_as_json(name):
    for loss in (NAMED[name](), NAMED[name](weight=0.5, over_heads="sum")):
        written = json.loads(json.dumps({name: loss.to_dict()}))
        assert losses_from(written) == (loss,)
        assert hash(losses_from(written)) == hash((loss,))


def test_losses_stay_in_their_order():
    losses = (Triplet(), Identity())
    assert losses_from(losses) == losses
    assert [loss.name for loss in losses_from({"triplet": {}, "identity": {}})] == [
        "triplet", "identity",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"center": {}}, r"no loss 'center'; there are: .*contrastive, identity"),
        (
            {"triplet": {"margn": 0.3}},
            r"the loss triplet has no setting 'margn'. Did you mean 'marg",
        ),
        (
            (Triplet(), Triplet(on="logits")),
            r"losses are triplet, triplet; expected one of each na",
        ),
        ((Identity(), 0.5), r"losses have 0.5; expected losses such as \(Identity\(\), Triplet"),
        ({"triplet": None}, r"the loss triplet is None; expected its settings by name"),
        (
            {"contrastive": {"temperature": 0}},
            r"loss contrastive: temperature is 0; expected a num",
        ),
        ({"identity": {"over_heads": "max"}}, r"loss identity: over_heads is 'max'; expected one"),
        ({"identity": {"weight": -1}}, r"loss identity: weight is -1; expected a number from 0"),
        ({"triplet": {"on": None}}, r"loss triplet: on is None; expected one of 'features', 'log"),
    ],
)
def test_losses_that_cannot_be(values, message):
    with pytest.raises(RecipeError, match=message):
        losses_from(values)


@pytest.mark.parametrize(
    "loss",
    [Identity(), Triplet(), Triplet(on="logits"), Contrastive(), GlobalCircle(), PairwiseCircle(),
     WeightedTriplet()],
)  # fmt: skip
def test_what_a_loss_reads_gets_a_gradient(loss):
    logits, features = (0.1 * torch.randn(8, 4) for _ in range(2))
    batch = {"label": torch.arange(8) // 4, "modality": torch.arange(8) % 2}
    logits.requires_grad_()
    features.requires_grad_()
    loss.build()(SimpleNamespace(logits=(logits,), features=(features,)), batch).backward()
    assert (logits.grad is not None) == (loss.reads == "logits")
    assert (features.grad is not None) == (loss.reads == "features")
