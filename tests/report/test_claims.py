"""Claims follow their schema, and records answer only the claims they test."""

from pathlib import Path

import pytest
import yaml

from reidlab.report.claims import (
    ClaimError,
    load_claims,
    obstacle,
    published_intervals,
    unlike,
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
        ("value: 25.5", "value: 25.5, kind: opinion", "kind 'opinion' is not one of value, diff"),
        ("value: 25.5", "value: true", "value True is not a percentage"),
        ("metric: mAP", "metric: parameters", "metric 'parameters' is not one of rank1, rank5"),
        ("value: 25.5", "kind: statement", r"unknown \['metric'\]"),
        ("value: 25.5", "value: 25.5, settings: [lr]", r"settings: \['lr'\] is not a mapping"),
        ("value: 25.5", "value: 25.5, settings: {lr: 1}", "settings: 'lr' is no dotted field"),
        ("value: 25.5", "value: 25.5, settings: {seed.a: 1}", "'seed.a' is no dotted field"),
    ],
)
def test_wrong_files_are_refused(claims_file, old, new, message):
    claims_file.write_text(GOOD.replace(old, new))
    with pytest.raises(ClaimError, match=message):
        load_claims(claims_file)


def test_a_missing_file_names_its_place(tmp_path):
    with pytest.raises(ClaimError, match="book/claims"):
        load_claims(tmp_path / "none.yml")


CLAIMS = sorted(path for path in BOOK.glob("*.yml") if "discrepancies" not in path.stem)


@pytest.mark.parametrize("path", CLAIMS, ids=lambda path: path.stem)
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


def test_a_claim_is_of_its_settings(claims_file, record):
    wanted = "{experiment.switches.heads: one, experiment.unfreezing: null}"
    claims_file.write_text(GOOD.replace("value: 25.5", f"value: 25.5, settings: {wanted}"))
    claim = load_claims(claims_file)[0]
    run = paper_run(record)
    assert obstacle(claim, run) == "experiment.switches.heads not recorded, the claim's is one"
    run["experiment"]["switches"] = {"heads": "rows"}
    assert obstacle(claim, run) == "experiment.switches.heads rows, the claim's is one"
    run["experiment"]["switches"] = {"heads": "one"}
    assert obstacle(claim, run) == "experiment.unfreezing not recorded, the claim's is None"
    assert verdicts([claim], [run])["verdict"][0] == "not yet"
    run["experiment"]["unfreezing"] = None
    assert verdicts([claim], [run])["verdict"][0] == "reproduced"


@pytest.mark.parametrize(
    ("recorded", "wanted", "same"),
    [
        (8 / 9, 0.8888888888888888, True),
        (0.1 + 0.2, 0.3, True),
        (1, 1.0, True),
        (0.889, 8 / 9, False),
        (True, 1, False),
        (0, None, False),
        (None, None, True),
        ("code", "code", True),
        ([192, 96], [192, 96], True),
    ],
)
def test_how_a_setting_agrees(record, recorded, wanted, same):
    record["experiment"]["lr"] = recorded
    assert (unlike(record, {"experiment.lr": wanted}) == "") is same


def test_rank5_is_a_metric(claims_file, record):
    claims_file.write_text(GOOD.replace("metric: mAP, value: 25.5", "metric: rank5, value: 96.4"))
    claim = load_claims(claims_file)[0]
    run = paper_run(record)
    assert obstacle(claim, run) == "the run has no rank5"
    run["metrics"]["rank5"] = 0.96
    assert verdicts([claim], [run]).loc[0, ["ours (%)", "verdict"]].tolist() == [96, "reproduced"]
    table = published_intervals([claim], [run])
    assert table.loc[0, ["published (%)", "verdict"]].tolist() == ["95.4 to 97.4", "inside"]


def test_a_statement_keeps_its_status_beside_any_run(claims_file, record):
    claims_file.write_text(GOOD.replace("metric: mAP, value: 25.5", "kind: statement"))
    claim = load_claims(claims_file)[0]
    runs = [paper_run(record)]
    row = verdicts([claim], runs).iloc[0]
    assert (row["verdict"], row["runs"], row["paper (%)"]) == ("not yet", 0, None)
    assert len(published_intervals([claim], runs)) == 0
    with pytest.raises(ClaimError, match="'a' is a statement and prints no number"):
        _ = claim.published


# --- the numbers of the two papers, typed from their tables ---------------------------------------

TABLE_2 = """
vit global 95.8  89.55 96.2  90.5
vit local  95.1  86.5  95.45 87.8
vit both   96.3  90.1  96.6  90.30
la  global 96.9  92.5  97.74 92.68
la  local  96.1  91.1  97.23 91.93
la  both   97.55 93.3  98.27 94.46
"""
CELLS = {
    (model, tokens, tuning, metric): float(value)
    for model, tokens, *values in map(str.split, TABLE_2.strip().splitlines())
    for (tuning, metric), value in zip(
        [(t, m) for t in ("at-once", "blockwise") for m in ("rank1", "mAP")], values, strict=True
    )
}
LOSSES = {
    "ce": (92.9, 96.4, 91.5),
    "cels": (92.9, 96.4, 91.9),
    "ce-tl": (89.2, 92.9, 91.0),
    "cels-tl": (96.4, 96.4, 92.1),
}
MODELS = {"la-tf": (92.9, 96.4, 91.5), "la-tf-pp": (92.9, 100.0, 93.2)}
LOCAL_WEIGHT = {"global": 0.0, "local": 1.0, "both": 8 / 9}


@pytest.fixture(scope="module")
def la():
    return {claim.id: claim for claim in load_claims(BOOK / "la_transformer.yml")}


@pytest.fixture(scope="module")
def plus():
    return {claim.id: claim for claim in load_claims(BOOK / "la_tf_pp.yml")}


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_table_2_of_la_transformer(la, cell):
    model, tokens, tuning, metric = cell
    claim = la["-".join(("table2", *cell)).lower()]
    assert (claim.metric, claim.value, claim.kind) == (metric, CELLS[cell], "value")
    program = (model, tokens) == ("la", "both")
    assert claim.settings == {
        "experiment.model": "la_transformer",
        "experiment.switches.heads": "one" if model == "vit" else "rows",
        "experiment.switches.retrieval": "mean"
        if model == "vit"
        else "rows"
        if program
        else "gelt",
        "experiment.switches.local_weight": pytest.approx(LOCAL_WEIGHT[tokens], abs=1e-15),
        "experiment.unfreezing": "code" if tuning == "blockwise" else None,
    }
    assert (claim.dataset, claim.ap) == ("market1501", "top10")
    assert claim.protocol.startswith("la-official:")
    assert claim.counts == {
        "train_images": 12185 + 751,
        "query_images": 3368,
        "gallery_images": 13115 + 2798 + 3819,
    }


def test_the_five_runs_and_table_3_of_la_transformer(la):
    for name, mean, spread in (
        ("five-runs-blockwise-rank1", 98.27, 0.13),
        ("five-runs-at-once-rank1", 97.55, 0.49),
        ("five-runs-cuhk03-rank1", 98.7, 0.2),
    ):
        assert la[name].value == mean
        assert la[name].interval == pytest.approx((mean - spread, mean + spread))
    assert la["table3-market1501-map"].value == 94.46
    assert la["table3-cuhk03-map"].value == 96.4
    cuhk03 = la["table3-cuhk03-map"]
    assert list(cuhk03.counts.values()) == [13131, 965, 965]
    assert cuhk03.protocol.startswith("not published:")


def mean_gain(metric, ahead, behind):
    """Of the cells that agree with `ahead` over those that agree with `behind`; "" is any."""
    means = []
    for wanted in (ahead, behind):
        found = [
            value
            for (*cell, own), value in CELLS.items()
            if own == metric and all(w in ("", c) for w, c in zip(wanted, cell, strict=True))
        ]
        means.append(sum(found) / len(found))
    return means[0] - means[1]


@pytest.mark.parametrize(
    ("name", "printed", "ahead", "behind"),
    [
        ("la-over-vit", (2.3, 2.6), ("la", "", ""), ("vit", "", "")),
        ("gelt-over-local", (1.31, 0.265), ("la", "both", ""), ("la", "local", "")),
        ("gelt-over-global", (0.62, 0.5), ("la", "both", ""), ("la", "global", "")),
        ("blockwise", (0.6, 0.77), ("", "", "blockwise"), ("", "", "at-once")),
    ],
)
def test_the_averages_of_section_4_3(la, name, printed, ahead, behind):
    for metric, value in zip(("rank1", "mAP"), printed, strict=True):
        claim = la[f"{name}-{metric.lower()}"]
        assert (claim.metric, claim.value) == (metric, value)
        assert claim.recomputed == pytest.approx(mean_gain(metric, ahead, behind), abs=0.0051)
        cells = [
            cell
            for *cell, own in CELLS
            if own == metric and all(w in ("", c) for w, c in zip(ahead, cell, strict=True))
        ]
        assert len(claim.over) == len({str(row) for row in claim.over}) == len(cells)


@pytest.mark.parametrize(
    ("name", "ahead", "behind"),
    [
        ("heads", ("la", "both", "blockwise"), ("vit", "both", "blockwise")),
        ("gelt-local", ("la", "both", "blockwise"), ("la", "local", "blockwise")),
        ("gelt-global", ("la", "both", "blockwise"), ("la", "global", "blockwise")),
        ("blockwise", ("la", "both", "blockwise"), ("la", "both", "at-once")),
    ],
)
def test_differences_within_table_2(la, name, ahead, behind):
    for metric in ("rank1", "mAP"):
        claim = la[f"table2-{name}-{metric.lower()}"]
        assert claim.value == pytest.approx(CELLS[*ahead, metric] - CELLS[*behind, metric])
        for side, (model, tokens, tuning) in (("b", ahead), ("a", behind)):
            settings = claim.sides[side]
            assert settings["experiment.switches.heads"] == {"la": "rows", "vit": "one"}[model]
            weight = settings["experiment.switches.local_weight"]
            assert weight == pytest.approx(LOCAL_WEIGHT[tokens])
            unfreezing = settings["experiment.unfreezing"]
            assert unfreezing == {"blockwise": "code", "at-once": None}[tuning]


def test_the_tables_of_la_tf_pp(plus):
    for name, values in LOSSES.items():
        for metric, value in zip(("rank1", "rank5", "mAP"), values, strict=True):
            claim = plus[f"table1-{name}-{metric.lower()}"]
            assert (claim.metric, claim.value, claim.variant) == (metric, value, "la_transformer")
            smoothing, triplet = 0.1 * ("cels" in name), 1.0 * ("tl" in name)
            assert claim.settings["experiment.label_smoothing"] == smoothing
            assert claim.settings["experiment.triplet_weight"] == triplet
    for name, values in MODELS.items():
        for metric, value in zip(("rank1", "rank5", "mAP"), values, strict=True):
            claim = plus[f"table2-{name}-{metric.lower()}"]
            assert (claim.metric, claim.value) == (metric, value)
            assert claim.variant == ("la_tf_pp" if name == "la-tf-pp" else "la_transformer")
            assert claim.counts == {"train_images": 992, "query_images": 28, "gallery_images": 181}
            assert (claim.ap, claim.protocol[:12]) == ("top10", "la-official:")


@pytest.mark.parametrize(
    ("name", "ahead", "behind"),
    [
        ("gain", MODELS["la-tf-pp"], MODELS["la-tf"]),
        ("smoothing", LOSSES["cels"], LOSSES["ce"]),
        ("triplet", LOSSES["ce-tl"], LOSSES["ce"]),
        ("smoothing-and-triplet", LOSSES["cels-tl"], LOSSES["ce"]),
        ("triplet-with-smoothing", LOSSES["cels-tl"], LOSSES["cels"]),
    ],
)
def test_differences_of_la_tf_pp(plus, name, ahead, behind):
    found = 0
    for metric, b, a in zip(("rank1", "rank5", "mAP"), ahead, behind, strict=True):
        if claim := plus.get(f"{name}-{metric.lower()}"):
            assert claim.value == pytest.approx(b - a)
            found += 1
    assert found


def test_what_la_tf_pp_says_in_words_and_of_costs(plus):
    assert (plus["abstract-map"].value, plus["abstract-map"].recomputed) == (2.0, 1.7)
    costs = {claim.metric for claim in plus.values() if claim.direction == "lower"}
    assert costs == {"parameters", "train_seconds", "embed_seconds", "embedding_bytes"}
    assert {claim.id for claim in plus.values() if claim.kind == "statement"} == {
        "no-overfitting",
        "smoothing-is-optimal",
        "reranking-lowers",
        "reranking-would-help-elsewhere",
        "flip-no-improvement",
    }


@pytest.mark.parametrize("paper", ["la_transformer", "la_tf_pp", "vit_baseline"])
def test_the_paper_of_a_file_is_in_the_bibliography(paper):
    key = yaml.safe_load((BOOK / f"{paper}.yml").read_text(encoding="utf-8"))["paper"]
    assert f"{{{key}," in (BOOK.parent / "references.bib").read_text(encoding="utf-8")
