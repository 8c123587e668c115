"""Claims follow their schema, and records answer only the claims they test."""

from pathlib import Path

import pytest
import yaml

from reidlab import recipes
from reidlab.experiments import design
from reidlab.report.claims import (
    ClaimError,
    load_claims,
    obstacle,
    printed,
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
    paper_run(record)
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
        ("value: 25.5", "value: 25.5, levels: [lr]", r"levels \['lr'\] is not a mapping"),
        ("value: 25.5", "value: 25.5, levels: {heads: one}", "levels has heads: one; there are no"),
        ("value: 25.5", "value: 25.5, settings: {a: 1}", r"unknown \['settings'\]"),
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
    """A record of the paper's own recipe."""
    recipe = recipes.get("vit_baseline", "paper").to_dict()
    record["experiment"] = {"paper": "vit_baseline", "variant": "vit_baseline", **recipe}
    record["metrics"] |= metrics
    return record


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (0.255, "inside"),
        (0.245, "inside"),  # the ends belong to it
        (0.265, "inside"),
        (0.24, "outside by -0.50 points"),
        (0.28, "outside by +1.50 points"),
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
    assert published_intervals([claim], runs)["verdict"][0] == "outside by -0.40 points"
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


def test_a_claim_of_another_training_set_is_not_tested_by_a_run_on_its_own(claims_file, record):
    claims_file.write_text(GOOD.replace("value: 25.5", "value: 25.5, trained_on: MSMT17"))
    claim = load_claims(claims_file)[0]
    assert obstacle(claim, paper_run(record)).endswith("the claim's on MSMT17")


def test_what_transmatcher_prints():
    table = printed("transmatcher", "table2")
    assert table["MSMT17", "TransMatcher, d = 128", "Market-1501"] == "77.4 / 49.3"
    assert len(table) == 12
    for claim in load_claims("transmatcher"):
        if claim.id.startswith("table2") and claim.levels:
            recipe = design(claim.experiment).cell(claim.levels, "paper").recipe
            size = recipe.replace(**claim.changes).switches["dim"]
            assert (recipe.model, f"d = {size}") == (claim.variant, claim.text.split(", ")[1])


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


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"epochs": 60}, "epochs 60, the claim's is 120"),
        ({"epochs": 1, "weights": None}, "recipe: warmup_epochs is 5; expected at most epochs"),
        ({"weights": None}, "weights None, the claim's is timm"),
        (
            {"backbone": "vit_tiny_patch16_224"},
            "backbone vit_tiny_patch16_224, the claim's is vit_b",
        ),
        ({"image_size": [64, 32]}, "image_size [64, 32], the claim's is [256, 128]"),
        ({"losses": {"identity": {}}}, "losses.triplet.weight absent, the claim's is 1.0"),
        ({"workers": 0, "embed_batch_size": 8}, ""),  # no result depends on them
    ],
)
def test_a_run_that_tests_a_claim_is_of_the_papers_recipe(claims_file, record, changed, reason):
    claim = load_claims(claims_file)[0]
    run = paper_run(record)
    run["experiment"] |= changed
    assert obstacle(claim, run).startswith(reason)
    assert (obstacle(claim, run) == "") == (reason == "")
    assert verdicts([claim], [run])["runs"][0] == (reason == "")


def test_a_claim_about_other_images_says_their_size(record):
    veri = {claim.id: claim for claim in load_claims(BOOK / "vit_baseline.yml")}["veri776-map"]
    run = paper_run(record)
    run["data"] |= {"name": "veri776", **veri.counts}
    assert obstacle(veri, run) == "image_size [256, 128], the claim's is [256, 256]"
    run["experiment"]["image_size"] = [256, 256]
    assert obstacle(veri, run) == ""


@pytest.mark.parametrize("heads", ["one", "rows"])
def test_a_claim_is_of_its_levels(record, heads):
    """The whole LA-Transformer as the program runs it, by whatever way its recipe says so."""
    claim = {claim.id: claim for claim in load_claims(BOOK / "la_transformer.yml")}[
        "table2-la-both-blockwise-rank1"
    ]
    recipe = recipes.get("la_transformer", "paper").to_dict()
    switches = {
        "local_weight": 8 / 9, "stripes": None, "heads": heads, "activation": "none",
        "retrieval": "rows", "bottleneck": 256, "dropout": 0.5,
    }  # fmt: skip
    record["experiment"] = {
        "paper": "la_transformer", "variant": "la_transformer", **recipe,
        "switches": switches, "changed_switches": {},
    }  # fmt: skip
    record["data"] |= {"name": "market1501", **claim.counts, "protocol": "la-official"}
    record["metrics"] |= {"ap": "top10", "rank1": 0.98}
    if heads == "rows":
        assert verdicts([claim], [record])["verdict"][0] == "reproduced"
        record["experiment"]["unfreezing"] = None
        assert obstacle(claim, record) == "unfreezing None, the claim's is code"
    else:
        assert obstacle(claim, record) == "switches.heads one, the claim's is rows"


TABLE = """
common: {dataset: market1501, protocol: standard, how: run it, status: not yet, counts: {},
         experiment: la_transformer.table2}
claims:
  - id: t
    text: "{what} by {metric}"
    table: "row {number}"
    columns: {rank1: {metric: rank1}, late: {metric: mAP, levels: {blocks: at-once}}}
    rows:
      x: {value: [1, 2], levels: {heads: one}, words: {what: one, number: 4}}
      y: {value: [3, 4], words: {what: many, number: 5}, table: own}
  - rows: {alone: {kind: statement, text: said, table: "Figure 1"}}
"""


def test_a_table_of_claims(tmp_path):
    path = tmp_path / "la_transformer.yml"
    path.write_text(TABLE)
    found = {claim.id: claim for claim in load_claims(path)}
    assert list(found) == ["t-x-rank1", "t-x-late", "t-y-rank1", "t-y-late", "alone"]
    assert [claim.value for claim in found.values()] == [1, 2, 3, 4, None]
    late = found["t-x-late"]
    assert (late.text, late.table, late.metric) == ("one by mAP", "row 4", "mAP")
    assert late.levels == {"heads": "one", "blocks": "at-once"}
    assert (found["t-y-rank1"].levels, found["t-y-rank1"].table) == ({}, "own")
    assert found["t-y-rank1"].text == "many by Rank-1"


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
    heads = {"vit": "one", "la": "rows"}[model]
    assert claim.levels == {"heads": heads, "tokens": tokens, "blocks": tuning}
    program = (model, tokens) == ("la", "both")
    assert claim.changes == ({"switches.retrieval": "rows"} if program else {})
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


def levels_of(model, tokens, blocks):
    """The levels of a side; what is empty is averaged over."""
    heads = {"la": "rows", "vit": "one", "": ""}[model]
    levels = {"heads": heads, "tokens": tokens, "blocks": blocks}
    return {factor: level for factor, level in levels.items() if level}


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
        for side, wanted in (("b", ahead), ("a", behind)):
            assert claim.sides[side] == levels_of(*wanted)


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
        for side, wanted in (("b", ahead), ("a", behind)):
            assert claim.sides[side] == levels_of(*wanted)


def test_the_tables_of_la_tf_pp(plus):
    for name, values in LOSSES.items():
        for metric, value in zip(("rank1", "rank5", "mAP"), values, strict=True):
            claim = plus[f"table1-{name}-{metric.lower()}"]
            assert (claim.metric, claim.value, claim.variant) == (metric, value, "la_transformer")
            assert claim.levels == {"model": "la-tf", "loss": name, "batches": "shuffled"}
            losses = design(claim.experiment).cell(claim.levels, "paper", "code").recipe.to_dict()
            assert losses["losses"]["identity"]["label_smoothing"] == 0.1 * ("cels" in name)
            assert ("triplet" in losses["losses"]) == ("tl" in name)
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
