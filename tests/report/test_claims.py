"""Claims follow their schema, and records answer only the claims they test."""

from pathlib import Path

import pytest

from reidlab.report.claims import ClaimError, load_claims, verdicts

BOOK = Path(__file__).parents[2] / "book" / "claims"

GOOD = """
common: {dataset: market1501, protocol: standard, table: "Table 1", how: run it, status: not yet}
counts: {market1501: {query_images: 8}}
claims:
  - {id: a, text: high, metric: mAP, value: 25.5}
  - {id: b, text: higher, metric: rank1, value: 80, variant: other}
"""


@pytest.fixture
def claims_file(tmp_path):
    path = tmp_path / "vit_baseline.yml"
    path.write_text(GOOD)
    return path


def test_common_entries_and_the_file_name_fill_in(claims_file):
    first, second = load_claims(claims_file)
    assert (first.variant, second.variant) == ("vit_baseline", "other")
    assert first.table == "Table 1"


def test_a_laptop_run_does_not_answer_a_paper(claims_file, record):
    claims = load_claims(claims_file)
    table = verdicts(claims, [record])
    assert list(table["verdict"]) == ["not yet", "not yet"]
    assert list(table["runs"]) == [0, 0]


def test_verdicts(claims_file, record):
    claims = load_claims(claims_file)
    record["experiment"]["profile"] = "paper"
    table = verdicts(claims, [record, record])
    assert table.loc[0, ["ours (%)", "runs", "verdict"]].tolist() == [25.0, 2, "reproduced"]
    record["metrics"]["mAP"] = 0.2
    assert verdicts(claims, [record]).loc[0, "verdict"] == "differs by -5.5 points"
    record["data"]["query_images"] = 9  # the layout of the benchmark, but not its pictures
    assert verdicts(claims, [record]).loc[0, "verdict"] == "not yet"
    record["data"] |= {"name": "dukemtmc", "query_images": 8}
    assert verdicts(claims, [record]).loc[0, "verdict"] == "not yet"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metric: mAP", "metric: map", "metric 'map'"),
        ("value: 25.5", "value: lots", "not a percentage"),
        ("value: 25.5", "value: 250", "not a percentage"),
        ("id: b", "id: a", "more than once"),
        ("text: high,", "", r"claim 1: missing \['text'\]"),
        ("text: high,", "text: high, colour: red,", r"unknown \['colour'\]"),
        ("counts: {market1501", "counts: {other", r"missing \['counts'\]"),
        ("claims:", "claim:", "a list under `claims`"),
    ],
)
def test_wrong_files_are_refused(claims_file, old, new, message):
    claims_file.write_text(GOOD.replace(old, new))
    with pytest.raises(ClaimError, match=message):
        load_claims(claims_file)


def test_a_missing_file_names_its_place(tmp_path):
    with pytest.raises(ClaimError, match="book/claims"):
        load_claims(tmp_path / "none.yml")


@pytest.mark.parametrize("path", sorted(BOOK.glob("*.yml")), ids=lambda path: path.stem)
def test_the_books_own_claims_load(path):
    claims = load_claims(path)
    assert claims
    for claim in claims:
        assert len(claim.status) > 20, "a claim without a run carries its reason"
