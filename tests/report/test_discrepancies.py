"""The lists of what paper, program and data disagree in."""

import math

import pytest

from reidlab.report import ClaimError, load_claims
from reidlab.report.discrepancies import discrepancies

ENTRY = "- {topic: λ, paper: '0.8', found: '8', how: the program}\n"


@pytest.fixture
def listed():
    return discrepancies("la_transformer").set_index("topic")


def test_the_file_of_la_transformer_is_a_table_of_words(listed):
    assert list(listed) == ["the paper", "program or data", "how we know"]
    assert len(listed) == 21
    assert listed.map(lambda cell: isinstance(cell, str) and cell.strip() == cell).all(axis=None)


def test_the_counts_are_whole_batches(listed):
    left = 12936 - 751
    assert (left, math.ceil(left / 32), 381 * 32) == (12185, 381, 12192)
    assert (math.ceil(19732 / 32), 617 * 32) == (617, 19744)
    for number in ("12,185", "381", "12,192"):
        assert number in listed.loc["training images", "program or data"]
    for number in ("617", "19,744"):
        assert number in listed.loc["gallery images", "program or data"]


def test_the_averages_are_those_of_the_claims(listed):
    claims = {claim.id: claim for claim in load_claims("la_transformer")}
    topics = {
        "la-over-vit": "average lead of 14 classifiers",
        "gelt-over-local": "average lead of GELT over rows alone",
        "gelt-over-global": "average lead of GELT over the class token",
        "blockwise": "average lead of block-wise fine-tuning",
    }
    for name, topic in topics.items():
        printed, found = listed.loc[topic, ["the paper", "program or data"]]
        rank1, mean_ap = claims[f"{name}-rank1"], claims[f"{name}-map"]
        assert printed.startswith(f"+{rank1.value:g} Rank-1, +{mean_ap.value:g} mAP")
        shown = [float(part.split()[0]) for part in found.split(", ")]
        assert shown == pytest.approx([rank1.recomputed, mean_ap.recomputed], abs=0.0051)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a list of mappings with topic, paper, found, how"),
        ("topic: x", "expected a list of mappings"),
        ("- {topic: x}", "entry 1: expected topic, paper, found, how, no more"),
        (ENTRY + ENTRY.replace("'8'", "8"), "entry 2: found is no text; put it in quotes"),
        (ENTRY + ENTRY, "'λ' twice"),
    ],
)
def test_lists_that_do_not_follow_the_schema(tmp_path, text, message):
    path = tmp_path / "x_discrepancies.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClaimError, match=message):
        discrepancies(path)


def test_a_paper_without_a_list():
    with pytest.raises(ClaimError, match=r"nobody_discrepancies\.yml does not exist"):
        discrepancies("nobody")
