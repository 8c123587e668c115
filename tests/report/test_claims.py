"""Claims follow their schema, and records answer only the claims they test."""

from pathlib import Path

import pytest

from reidlab.report.claims import (
    ClaimError,
    load_claims,
    obstacle,
    published_intervals,
    verdicts,
)

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


def paper_run(record, **metrics):
    record["experiment"]["profile"] = "paper"
    record["metrics"] |= metrics
    return record


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (0.255, "inside"),
        (0.245, "inside"),  # the ends belong to it
        (0.265, "inside"),
        (0.24, "outside by -0.5 points"),
        (0.28, "outside by +1.5 points"),
    ],
)
def test_published_intervals(claims_file, record, share, verdict):
    table = published_intervals(load_claims(claims_file)[:1], [paper_run(record, mAP=share)])
    row = table.iloc[0]
    assert row[["id", "published (%)", "runs"]].tolist() == ["a", "24.5 to 26.5", 1]
    assert row["ours (%)"] == pytest.approx(100 * share)
    assert row["verdict"] == verdict


def test_an_interval_of_the_paper_itself(claims_file, record):
    claims_file.write_text(GOOD.replace("value: 25.5", "value: 25.5, interval: [25.4, 25.8]"))
    (claim, _) = load_claims(claims_file)
    assert claim.published == (25.4, 25.8)
    runs = [paper_run(record, mAP=0.25)]
    assert published_intervals([claim], runs)["verdict"][0] == "outside by -0.4 points"
    assert verdicts([claim], runs)["verdict"][0] == "differs by -0.5 points"
    for wrong in ("[26, 27]", "[25]", "25.5", "[low, high]"):
        claims_file.write_text(GOOD.replace("value: 25.5", f"value: 25.5, interval: {wrong}"))
        with pytest.raises(ClaimError, match=r"is not \[low, high\] around the value 25.5"):
            load_claims(claims_file)


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [
        ("experiment", {"profile": "laptop"}, "profile laptop, only `paper`"),
        (
            "experiment",
            {"variant": "pcb", "paper": "pcb"},
            "model pcb, the claim's is vit_baseline",
        ),
        ("data", {"query_images": 9}, "query_images 9, published 8: other images"),
        ("data", {"protocol": "sysu"}, "protocol sysu, the claim's is standard"),
        ("metrics", {"ap": "trapezoid"}, "average precision trapezoid, the claim's is mean_prec"),
    ],
)
def test_why_a_run_says_nothing_of_a_claim(claims_file, record, part, change, reason):
    claim = load_claims(claims_file)[0]
    run = paper_run(record)
    assert obstacle(claim, run) == ""
    run[part] |= change
    assert obstacle(claim, run).startswith(reason)
    row = published_intervals([claim], [run]).iloc[0]
    assert row["verdict"].startswith(f"not comparable: {reason}")
    assert row["ours (%)"] == 25.0
    assert verdicts([claim], [run])["verdict"][0] == "not yet"


def test_a_claim_about_other_data_is_not_listed(claims_file, record):
    run = paper_run(record)
    assert obstacle(load_claims(claims_file)[0], run | {"data": {"name": "msmt17"}}).startswith(
        "data set msmt17, the claim's is market1501"
    )
    run["data"]["name"] = "msmt17"
    assert len(published_intervals(load_claims(claims_file), [run])) == 0
    run["data"]["name"] = "market1501"
    del run["metrics"]["mAP"]
    row = published_intervals(load_claims(claims_file)[:1], [run]).iloc[0]
    assert row["verdict"] == "not comparable: the run has no mAP"
