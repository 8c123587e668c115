"""Trials of claimed differences: hand-made runs, and Welch's test of scipy as the oracle."""

import copy

import pytest
from scipy import stats

from reidlab.report.claims import ClaimError, load_claims
from reidlab.report.differences import trials

GOOD = """
common: {dataset: market1501, protocol: "la-official: all", table: "Table 2", how: run it,
         status: not yet, ap: top10}
counts: {market1501: {query_images: 8}}
claims:
  - {id: heads, text: more, metric: rank1, value: 1.5,
     sides: {a: {experiment.heads: one}, b: {experiment.heads: rows}}}
"""
A, B = (0.50, 0.52, 0.51), (0.60, 0.63, 0.61)


@pytest.fixture
def claims_file(tmp_path):
    path = tmp_path / "la.yml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def runs(record):
    """Three seeds with one head, three with a head per row."""

    def make(heads, values, **experiment):
        made = []
        for seed, value in enumerate(values):
            run = copy.deepcopy(record)
            run["seed"] = seed
            run["experiment"] = {
                "model": "la", "profile": "laptop", "heads": heads, "parameters": 100, **experiment
            }  # fmt: skip
            run["data"]["protocol"] = "la-official"
            run["metrics"] = {"rank1": value, "mAP": value / 2, "ap": "top10"}
            run["environment"] |= {"processes": 1}
            made.append(run)
        return made

    return make


def only(claims_file, records, **options):
    table = trials(load_claims(claims_file), records, **options)
    assert len(table) == 1
    return table.iloc[0]


def change(claims_file, old, new):
    assert old in claims_file.read_text()
    claims_file.write_text(claims_file.read_text().replace(old, new))


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_the_difference_is_of_the_means_with_welchs_interval(claims_file, runs, level):
    row = only(claims_file, runs("one", A) + runs("rows", B), level=level)
    test = stats.ttest_ind([100 * x for x in B], [100 * x for x in A], equal_var=False)
    interval = test.confidence_interval(level)
    assert row["ours"] == pytest.approx(100 * (sum(B) - sum(A)) / 3, abs=0.0051)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=0.0051)
    assert (row["paper"], row["runs a"], row["runs b"]) == (1.5, 3, 3)
    assert row["verdict"] == "same direction"
    value = 100 * (sum(B) - sum(A)) / 3
    assert row["found"] == f"{value:+.1f} ({interval.low:+.1f} to {interval.high:+.1f})"


def test_without_an_interval_the_text_says_so(claims_file, runs):
    row = only(claims_file, runs("one", (0.5, 0.5)) + runs("rows", (0.75, 0.75)))
    assert (row["found"], row["smallest"]) == ("+25.0 (no interval)", None)


def test_the_columns(claims_file, runs):
    names = [
        "id",
        "claim",
        "metric",
        "paper",
        "ours",
        "low",
        "high",
        "runs_a",
        "runs_b",
        "verdict",
        "scale",
        "smallest",
        "found",
    ]
    expected = [name.replace("_", " ") for name in names]
    assert list(trials(load_claims(claims_file), []).columns) == expected
    assert list(trials([], []).columns) == expected


@pytest.mark.parametrize(
    ("value", "a", "b", "verdict"),
    [
        ("1.5", A, B, "same direction"),
        ("1.5", B, A, "opposite direction"),
        ("-1.5", A, B, "opposite direction"),
        ("-1.5", B, A, "same direction"),
        ("1.5", (0.5, 0.6, 0.7), (0.55, 0.65, 0.75), "no clear difference"),
        ("1.5", A[:1], B, "no clear difference"),  # one run has no interval
        ("1.5", (0.5, 0.5), (0.5, 0.5), "no clear difference"),
        ("1.5", A, (), "no runs"),
        ("1.5", (), B, "no runs"),
    ],
)
def test_verdicts(claims_file, runs, value, a, b, verdict):
    change(claims_file, "value: 1.5", f"value: {value}")
    row = only(claims_file, runs("one", a) + runs("rows", b))
    assert row["verdict"] == verdict
    assert (row["runs a"], row["runs b"]) == (len(a), len(b))
    if verdict == "no runs":
        assert row["ours"] is None
        assert row["scale"] == ""


@pytest.mark.parametrize(
    ("part", "values", "reason"),
    [
        (
            "data",
            {"fingerprint": "cd" * 32},
            "fingerprint of the images: abababababab / cdcdcdcdcd",
        ),
        ("data", {"protocol": "standard"}, "protocol: la-official / standard"),
        ("metrics", {"ap": "mean_precision"}, "average precision: top10 / mean_precision"),
        ("experiment", {"epochs": 30}, "epochs: absent / 30"),
        ("experiment", {"switches": {"dropout": 0.5}}, "switches.dropout: absent / 0.5"),
    ],
)
def test_sides_that_were_not_made_alike_say_nothing(claims_file, runs, part, values, reason):
    a, b = runs("one", A), runs("rows", B)
    for run in b:
        run[part] |= values
    row = only(claims_file, a + b)
    assert row["verdict"].startswith(f"not comparable: {reason}")
    assert [row["ours"], row["low"], row["high"]] == [None] * 3


def test_settings_that_follow_from_others_are_no_difference(claims_file, runs):
    a, b = runs("one", A), runs("rows", B)
    for run in b:
        run["experiment"] |= {
            "parameters": 200, "embedding_bytes": 9, "paper": "x", "variant": "x",
            "changed_switches": {"heads": "rows"}, "workers": 7, "gather": True,
        }  # fmt: skip
    assert only(claims_file, a + b)["verdict"] == "same direction"
    b[0]["experiment"]["gather"] = False  # runs without this setting gathered
    assert only(claims_file, a + b)["verdict"] == "not comparable: gather: True / False"


def test_a_side_is_one_thing(claims_file, runs):
    change(claims_file, "b: {experiment.heads: rows}", "b: {experiment.heads: rows, "
           "experiment.triplet_on: logits}")  # fmt: skip
    a = runs("one", A, triplet_on="features")
    b = runs("rows", B, triplet_on="logits")
    assert only(claims_file, a + b)["verdict"] == "same direction"
    a[0]["experiment"]["triplet_on"] = "logits"
    row = only(claims_file, a + b)
    assert row["verdict"] == "not comparable: side a mixes triplet_on: logits / features"


def test_a_seed_counts_once(claims_file, runs):
    a, b = runs("one", A), runs("rows", B)
    row = only(claims_file, a + b + b[1:2])
    assert row["verdict"] == "not comparable: side b holds seed 1 more than once"


def test_a_run_without_the_metric_is_no_run(claims_file, runs):
    a, b = runs("one", A), runs("rows", B)
    del b[0]["metrics"]["rank1"]
    assert only(claims_file, a + b)["runs b"] == 2


def test_the_scale_is_said(claims_file, runs):
    a, b = runs("one", A), runs("rows", B)
    row = only(claims_file, a + b)
    assert row["scale"] == "another: profile laptop, only `paper` is the paper's own recipe"
    for run in a + b:
        run["experiment"]["profile"] = "paper"
    assert only(claims_file, a + b)["scale"] == "the paper's"
    for run in a + b:
        run["data"]["query_images"] = 9
    row = only(claims_file, a + b)
    assert row["scale"] == "another: query_images 9, published 8: other images"
    assert row["verdict"] == "same direction"


OVER = "over: [{experiment.tokens: local}, {experiment.tokens: global}],"


def test_an_average_over_rows_of_a_table_is_one_value_a_seed(claims_file, runs):
    change(claims_file, "value: 1.5,", f"value: 1.5, {OVER}")
    shift = 0.2  # between the rows; no part of the spread over seeds
    a = runs("one", A, tokens="local") + runs("one", [x + shift for x in A], tokens="global")
    b = runs("rows", B, tokens="local") + runs("rows", [x + shift for x in B], tokens="global")
    others = runs("rows", (0.9,), tokens="both")  # a row that the average does not have
    row = only(claims_file, a + b + others)
    test = stats.ttest_ind([100 * x for x in B], [100 * x for x in A], equal_var=False)
    interval = test.confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=0.0051)
    assert (row["runs a"], row["runs b"], row["verdict"]) == (6, 6, "same direction")
    row = only(claims_file, a + b[:-1])
    assert row["verdict"] == (
        "not comparable: side b, seed 2: 1 of 2 rows of the table, "
        "without {'experiment.tokens': 'global'}"
    )
    row = only(claims_file, a + b + b[:1])
    assert row["verdict"] == "not comparable: side b holds seed 0 more than once"


def cost(claims_file, metric):
    change(claims_file, "metric: rank1, value: 1.5", f"metric: {metric}, direction: lower")


def test_sizes_need_one_run(claims_file, runs):
    cost(claims_file, "parameters")
    a, b = runs("one", A[:1]), runs("rows", B[:1])
    row = only(claims_file, a + b)
    assert row[["paper", "ours", "low", "high"]].tolist() == ["lower", 0, 0, 0]
    assert row["verdict"] == "no difference"
    b[0]["experiment"]["parameters"] = 90
    row = only(claims_file, a + b)
    assert row[["ours", "low", "high", "verdict"]].tolist() == [-10, -10, -10, "same direction"]
    b[0]["experiment"]["parameters"] = 110
    assert only(claims_file, a + b)["verdict"] == "opposite direction"
    del b[0]["experiment"]["parameters"]
    assert only(claims_file, a + b)["verdict"] == "no runs"


@pytest.mark.parametrize(
    ("metric", "part"), [("train_seconds", "train"), ("embed_seconds", "embed")]
)
def test_seconds_compare_on_one_machine(claims_file, runs, metric, part):
    cost(claims_file, metric)
    a, b = runs("one", A), runs("rows", B)
    for i, run in enumerate(a + b):
        run["seconds"] = {part: 100.0 - 10 * i}
    row = only(claims_file, a + b)
    assert (row["ours"], row["verdict"]) == (-30, "same direction")
    b[0]["environment"]["device"] = "GPU"
    assert only(claims_file, a + b)["verdict"] == "not comparable: device: CPU / GPU"
    b[0]["environment"]["device"] = "CPU"
    b[0]["experiment"]["workers"] = 4  # no result depends on it, but seconds do
    assert only(claims_file, a + b)["verdict"] == "not comparable: workers: absent / 4"


def test_claims_without_sides_are_passed_over(claims_file, runs):
    change(claims_file, "claims:", "claims:\n  - {id: own, text: x, metric: mAP, value: 5}")
    assert only(claims_file, runs("one", A) + runs("rows", B))["id"] == "heads"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metric: rank1", "metric: joy", "metric 'joy' is not one of rank1, .*embed_seconds"),
        (
            "b: {experiment.heads: rows}",
            "c: {experiment.heads: rows}",
            "not a mapping with a and b",
        ),
        ("b: {experiment.heads: rows}", "b: {}", "side b is empty"),
        ("b: {experiment.heads: rows}", "b: {heads: rows}", "side b: 'heads' is no dotted field"),
        ("value: 1.5", "value: 0", "value 0 is no difference"),
        ("value: 1.5", "value: much", "value 'much' is no difference"),
        ("value: 1.5", "value: 1.5, direction: lower", "either a value or a direction"),
        ("value: 1.5", "table: t", "either a value or a direction"),
        ("value: 1.5", "direction: down", "direction 'down' is not one of higher, lower"),
        ("value: 1.5", "value: 1.5, over: {a: 1}", "is not a list of the rows of a table"),
        ("value: 1.5", "value: 1.5, over: [lr]", "row 1 of over: 'lr' is not a mapping"),
        ("value: 1.5", "value: 1.5, over: [{}]", r"row 1 of over is \{\}, expected fields"),
        (
            "value: 1.5",
            "value: 1.5, over: [{experiment.heads: one}]",
            "expected fields that no side names",
        ),
        ("value: 1.5", "value: 1.5, interval: [1, 2]", r"unknown \['interval'\]"),
        ("value: 1.5", "value: 1.5, kind: value", r"unknown \['sides'\]"),
        ("value: 1.5", "value: 1.5, kind: statement", r"unknown \['metric', 'sides', 'value'\]"),
    ],
)
def test_wrong_differences_are_refused(claims_file, old, new, message):
    change(claims_file, old, new)
    with pytest.raises(ClaimError, match=message):
        load_claims(claims_file)


# --- the book's own claims find the runs that chapter 04 and 05 make ------------------------------

TOKENS = {"global": 0.0, "local": 1.0, "both": 8 / 9}


def test_table_2_whole_answers_every_difference_of_la_transformer(runs):
    records = []
    for heads, retrieval in (("one", "mean"), ("rows", "gelt")):
        for i, weight in enumerate(TOKENS.values()):
            for unfreezing in ("code", None):
                switches = {"heads": heads, "retrieval": retrieval, "local_weight": weight}
                better = 0.1 * (heads == "rows") + 0.05 * (unfreezing == "code") + 0.01 * i
                records += runs(
                    "-", [x + better for x in A], model="la_transformer",
                    switches=switches, unfreezing=unfreezing,
                )  # fmt: skip
    table = trials(load_claims("la_transformer"), records).set_index("id")
    assert len(table) == 16
    expected = {
        "la-over-vit": (10.0, 18),
        "gelt-over-local": (1.0, 6),
        "gelt-over-global": (2.0, 6),
        "blockwise": (5.0, 18),
        "table2-heads": (10.0, 3),
        "table2-gelt-local": (1.0, 3),
        "table2-gelt-global": (2.0, 3),
        "table2-blockwise": (5.0, 3),
    }
    for name, (gain, count) in expected.items():
        for metric, share in (("rank1", 1), ("map", 0.5)):  # mAP is half of it in these runs
            row = table.loc[f"{name}-{metric}"]
            assert not row["verdict"].startswith(("no runs", "not comparable")), row["verdict"]
            assert row["ours"] == pytest.approx(gain * share)
            assert (row["runs a"], row["runs b"]) == (count, count)


def test_the_runs_of_table_1_and_2_answer_every_difference_of_la_tf_pp(runs):
    own = {"sampler": "shuffle", "triplet_on": "logits"}
    records = []
    for smoothing in (0.0, 0.1):
        for weight in (0.0, 1.0):
            records += runs(
                "-", A, model="la_transformer", switches={"heads": "rows", "retrieval": "rows"},
                label_smoothing=smoothing, triplet_weight=weight, embedding_bytes=48, **own,
            )  # fmt: skip
    for how in (own, {"sampler": "identity", "triplet_on": "features"}):
        records += runs(
            "-", B, model="la_tf_pp", switches={"heads": "one", "retrieval": "rows"},
            label_smoothing=0.1, triplet_weight=1.0, embedding_bytes=48, **how,
        )  # fmt: skip
    for run in records:
        run["metrics"]["rank5"] = run["metrics"]["rank1"]
        run["seconds"] = {"train": 5.0, "embed": 1.0}
    table = trials(load_claims("la_tf_pp"), records).set_index("id")
    assert len(table) == 14
    assert list(table["runs a"]) == list(table["runs b"]) == [3] * 14
    assert not any(verdict.startswith("not comparable") for verdict in table["verdict"])
    assert table.loc["gain-map", "verdict"] == "same direction"
    assert table.loc["smoothing-map", "verdict"] == "no clear difference"
    assert table.loc["less-storage", "verdict"] == "no difference"
