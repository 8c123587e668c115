"""Row evidence against plain loops, and against cases with the answer on paper."""

import math

import pytest
import torch
import torch.nn.functional as F

from reidlab.explain import row_evidence, row_parts, row_similarity, row_vote
from reidlab.synth import PARTS


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def share_of_row(a, b, row, rows):
    """One row's part of one cosine, number by number."""
    size = len(a) // rows
    a, b = a.tolist(), b.tolist()
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(a[row * size + d] * b[row * size + d] for d in range(size)) / lengths


def test_similarity_against_a_loop():
    a, b = random(3, 12 * 5), random(3, 12 * 5, seed=1)  # rows of unlike lengths
    found = row_similarity(a, b, rows=12)
    expected = [[share_of_row(a[i], b[i], row, 12) for row in range(12)] for i in range(3)]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sum(1), F.cosine_similarity(a, b), rtol=0, atol=1e-6)


def test_similarity_of_normalised_rows_is_their_mean_cosine():
    a, b = random(2, 14, 768), random(2, 14, 768, seed=1)
    cosines = F.cosine_similarity(a, b, dim=2)  # (2, 14)
    flat = [(x / x.norm(dim=2, keepdim=True) / 14**0.5).flatten(1) for x in (a, b)]
    found = row_similarity(*flat, rows=14)
    torch.testing.assert_close(found, cosines / 14, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sum(1), (flat[0] * flat[1]).sum(1), rtol=0, atol=1e-6)


def test_similarity_is_careful_with_short_numbers_and_zeros():
    a, b = random(1, 2 * 4096).half(), random(1, 2 * 4096, seed=1).half()
    found = row_similarity(a, b, rows=2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.sum(1), F.cosine_similarity(a.float(), b.float()), rtol=0, atol=1e-6
    )
    assert row_similarity(torch.zeros(1, 4), torch.ones(1, 4), rows=2).tolist() == [[0.0, 0.0]]


def test_evidence_on_paper():
    query = torch.tensor([1.0, 0.0, 0.0, 1.0])  # two rows of two numbers
    match = torch.tensor([1.0, 0.0, 0.0, 1.0])
    strangers = torch.tensor([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, -1.0]])
    # Above, all agree: no evidence. Below, the match agrees and strangers are at 90 and 180 deg.
    assert row_evidence(query, match, strangers, rows=2).tolist() == pytest.approx([0.0, 0.75])


def test_evidence_sums_to_the_margin():
    query, match, others = random(24), random(24, seed=1), random(5, 24, seed=2)
    found = row_evidence(query, match, others, rows=6)
    for row in range(6):
        expected = sum(
            share_of_row(query, match, row, 6) - share_of_row(query, other, row, 6)
            for other in others
        )
        assert found[row].item() == pytest.approx(expected / 5, abs=1e-6)
    margin = F.cosine_similarity(query, match, dim=0) - F.cosine_similarity(query, others).mean()
    assert found.sum().item() == pytest.approx(margin.item(), abs=1e-6)


def test_parts_on_paper():
    masks = torch.tensor([[[1, 1], [0, 1], [4, 4], [0, 7]]], dtype=torch.uint8)
    named = [
        dict(zip(PARTS, shares.tolist(), strict=True)) for shares in row_parts(masks, rows=2)[0]
    ]
    assert named[0] == {**dict.fromkeys(PARTS, 0.0), "head": 0.75, "background": 0.25}
    assert named[1]["legs"] == 0.5
    assert named[1]["occluder"] == named[1]["background"] == 0.25


@pytest.mark.parametrize(("height", "rows"), [(10, 4), (3, 5), (12, 12), (7, 1)])
def test_parts_are_those_of_the_enlarged_mask(height, rows):
    """A mask with each line repeated R times has R whole stripes, whatever R and h are."""
    masks = torch.randint(0, 8, (2, height, 6), generator=torch.Generator().manual_seed(0))
    found = row_parts(masks, rows)
    for b in range(2):
        lines = [line for line in masks[b].tolist() for _ in range(rows)]
        for row in range(rows):
            pixels = [p for line in lines[row * height :][:height] for p in line]
            expected = [pixels.count(part) / len(pixels) for part in range(8)]
            assert found[b, row].tolist() == pytest.approx(expected, abs=1e-6)


def test_vote_on_paper():
    likely = torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.4001, 0.1999]]).log()
    unlike = torch.tensor([[0.1, 0.8, 0.1], [0.9, 0.05, 0.05]]).log()
    vote = row_vote((likely, unlike), torch.tensor([0, 0]))
    expected = torch.tensor([[0.6, 0.1], [0.4, 0.9]])
    torch.testing.assert_close(vote.confidence, expected)
    assert vote.right.tolist() == [[True, False], [False, True]]
    assert vote.ensemble.tolist() == [False, True]  # 0.7 against 1.1; 1.3 against 0.4501


def test_votes_are_added_not_multiplied():
    certain = torch.tensor([[0.98, 0.01, 0.01]]).log()
    against = torch.tensor([[0.001, 0.5, 0.499]]).log()
    vote = row_vote((certain, against), torch.tensor([0]))
    assert vote.ensemble.tolist() == [True]  # 0.981 against 0.51; the product has 0.001 and 0.005


def test_vote_of_logits_that_are_no_logarithms_of_shares():
    logits = tuple(random(4, 5, seed=seed) for seed in range(3))
    labels = torch.tensor([0, 4, 2, 1])
    vote = row_vote(logits, labels)
    for i, label in enumerate(labels.tolist()):
        for row in range(3):
            odds = [math.exp(x) for x in logits[row][i].tolist()]
            assert vote.confidence[i, row].item() == pytest.approx(odds[label] / sum(odds))
            assert vote.right[i, row].item() == (max(odds) == odds[label])


@pytest.mark.parametrize(
    ("a", "b", "rows", "message"),
    [
        (torch.ones(2, 12), torch.ones(3, 12), 4, r"shapes \(2, 12\) and \(3, 12\)"),
        (torch.ones(12), torch.ones(12), 4, r"expected twice the same \(B, R \* D\)"),
        (torch.ones(2, 12), torch.ones(2, 12), 5, "rows is 5, which does not divide the 12"),
        (torch.ones(2, 12), torch.ones(2, 12), 0, r"the patch grid, model.backbone.grid\[0\]"),
        (torch.full((1, 4), torch.nan), torch.ones(1, 4), 2, "values that are no numbers"),
        (torch.ones(1, 4), torch.full((1, 4), torch.inf), 2, "values that are no numbers"),
    ],
)
def test_similarity_refuses(a, b, rows, message):
    with pytest.raises(ValueError, match=message):
        row_similarity(a, b, rows)


@pytest.mark.parametrize(
    ("query", "match", "others"),
    [
        (torch.ones(1, 4), torch.ones(1, 4), torch.ones(3, 4)),
        (torch.ones(4), torch.ones(6), torch.ones(3, 4)),
        (torch.ones(4), torch.ones(4), torch.ones(4)),
        (torch.ones(4), torch.ones(4), torch.ones(0, 4)),
    ],
)
def test_evidence_refuses(query, match, others):
    with pytest.raises(ValueError, match=r"expected \(R \* D,\), .* one stranger at least"):
        row_evidence(query, match, others, 2)


@pytest.mark.parametrize(
    ("masks", "rows", "message"),
    [
        (torch.zeros(4, 4), 2, r"shape \(4, 4\); expected \(B, h, w\)"),
        (torch.zeros(1, 0, 4), 2, r"expected \(B, h, w\)"),
        (torch.zeros(1, 4, 4), 0, "a number of 1 or more"),
        (torch.full((1, 4, 4), 255), 2, "labels 255 to 255; expected 0 to 7"),
        (torch.full((1, 4, 4), -1), 2, "labels -1 to -1"),
        (torch.full((1, 4, 4), 0.5), 2, "masks have values that are no whole numbers"),
    ],
)
def test_parts_refuse(masks, rows, message):
    with pytest.raises(ValueError, match=message):
        row_parts(masks, rows)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ((), [0], r"shapes \[\]; expected one tensor \(B, C\) for each row"),
        ((torch.ones(1, 3), torch.ones(1, 4)), [0], r"shapes \[\(1, 3\), \(1, 4\)\]"),
        ((torch.ones(3),), [0], r"expected one tensor \(B, C\)"),
        ((torch.ones(2, 3),), [0], r"expected \(2,\), one for each image"),
        ((torch.ones(1, 3),), [3], "labels are 3 to 3; the classifiers know 0 to 2"),
        ((torch.ones(1, 3),), [-1], "labels are -1 to -1"),
        ((torch.ones(1, 3),), [0.5], "expected whole numbers"),
        ((torch.full((1, 3), torch.nan),), [0], "logits without NaN and infinity"),
    ],
)
def test_vote_refuses(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        row_vote(logits, torch.tensor(labels))
