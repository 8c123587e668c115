"""Trials of claimed differences: hand-made runs, and Welch's test of scipy as the oracle."""

import copy

import pytest
from scipy import stats

from reidlab.evaluation import people_and_seeds
from reidlab.experiments import Runs, design
from reidlab.report.claims import ClaimError, load_claims
from reidlab.report.differences import trials

GOOD = """
common: {dataset: market1501, protocol: "la-official: all", table: "Table 2", how: run it,
         status: not yet, ap: top10, experiment: la_transformer.table2}
counts: {market1501: {query_images: 8}}
claims:
  - {id: heads, text: more, metric: rank1, value: 1.5,
     sides: {a: {heads: one}, b: {heads: rows}}}
"""
A, B = (0.50, 0.52, 0.51), (0.60, 0.63, 0.61)
TABLE2 = design("la_transformer.table2")
ONE, ROWS = (
    {"heads": heads, "tokens": "both", "blocks": "blockwise"} for heads in ("one", "rows")
)  # fmt: skip


@pytest.fixture
def claims_file(tmp_path):
    path = tmp_path / "la.yml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def cell(record):
    """Seeds of one cell of an experiment, with these shares at rank 1."""

    def make(levels, values, experiment=TABLE2, **costs):
        made = []
        for seed, value in enumerate(values):
            run = copy.deepcopy(record) | {"seed": seed, "levels": levels, "after": {}}
            run["experiment"] = experiment.cell(levels).recipe.to_dict()
            run["experiment"] |= {"parameters": 100, "variant": "la_transformer", **costs}
            run["data"]["protocol"] = "la-official"
            run["metrics"] = {"rank1": value, "mAP": value / 2, "ap": "top10"}
            run["environment"] |= {"processes": 1}
            made.append(run)
        return made

    return make


@pytest.fixture
def runs(cell):
    """Three seeds with one head, three with a head per row."""
    return lambda a, b: cell(ONE, a) + cell(ROWS, b)


def only(claims_file, records, **options):
    runs = Runs("la_transformer.table2", tuple(records), design=TABLE2)
    table = trials(load_claims(claims_file), runs, **options)
    assert len(table) == 1
    return table.iloc[0]


def change(claims_file, old, new):
    assert old in claims_file.read_text()
    claims_file.write_text(claims_file.read_text().replace(old, new))


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_the_difference_is_of_the_means_with_welchs_interval(claims_file, runs, level):
    row = only(claims_file, runs(A, B), level=level)
    test = stats.ttest_ind([100 * x for x in B], [100 * x for x in A], equal_var=False)
    interval = test.confidence_interval(level)
    assert row["ours"] == pytest.approx(100 * (sum(B) - sum(A)) / 3, abs=0.0051)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=0.0051)
    assert (row["paper"], row["runs a"], row["runs b"]) == (1.5, 3, 3)
    assert row["verdict"] == "holds"


@pytest.mark.parametrize(
    ("value", "a", "b", "verdict"),
    [
        ("1.5", A, B, "holds"),
        ("1.5", B, A, "contradicted"),
        ("-1.5", A, B, "contradicted"),
        ("-1.5", B, A, "holds"),
        ("1.5", (0.5, 0.6, 0.7), (0.55, 0.65, 0.75), "no clear difference"),
        ("1.5", A[:1], B, "no clear difference"),  # one run has no interval
        ("1.5", (0.5, 0.5), (0.5, 0.5), "no clear difference"),
        ("1.5", (0.5, 0.5), (0.6, 0.6), "no clear difference"),  # nothing varies
        ("1.5", A, (), "no runs"),
        ("1.5", (), B, "no runs"),
    ],
)
def test_verdicts(claims_file, runs, value, a, b, verdict):
    change(claims_file, "value: 1.5", f"value: {value}")
    row = only(claims_file, runs(a, b))
    assert row["verdict"] == verdict
    assert (row["runs a"], row["runs b"]) == (len(a), len(b))
    if verdict == "no runs":
        assert row["ours"] is None
        assert row["scale"] == ""


@pytest.mark.parametrize(
    ("part", "values", "reason"),
    [
        ("data", {"fingerprint": "cd" * 32}, "fingerprint of the images: abababababab / cdcdcdcd"),
        ("data", {"protocol": "standard"}, "protocol: la-official / standard"),
        ("metrics", {"ap": "mean_precision"}, "average precision: mean_precision / top10"),
        ("experiment", {"epochs": 30}, "epochs: 20 / 30"),
        ("experiment", {"gather": False}, "gather: False / True"),
    ],
)
def test_sides_that_were_not_made_alike_say_nothing(claims_file, runs, part, values, reason):
    records = runs(A, B)
    for run in records[3:]:
        run[part] |= values
    row = only(claims_file, records)
    assert row["verdict"].startswith(f"not comparable: {reason}")
    assert [row["ours"], row["low"], row["high"]] == [None] * 3


def test_what_no_result_depends_on_is_no_difference(claims_file, runs):
    records = runs(A, B)
    for run in records[3:]:
        run["experiment"] |= {"parameters": 200, "embedding_bytes": 9, "workers": 7}
    assert only(claims_file, records)["verdict"] == "holds"


def test_it_is_said_where_the_sides_did_not_learn_alike(claims_file, runs):
    records = runs(A, B)
    for run, learned in zip(records, (0.99, 0.98, 0.97, 0.96, 0.95, 0.94), strict=True):
        run["history"] = [{"accuracy": 0.5}, {"accuracy": learned}]
    assert only(claims_file, records)["learned"] == "learned 95 % against 98 %"
    for run in records:
        run["history"][-1]["accuracy"] = 0.99
    assert only(claims_file, records)["learned"] == ""


def with_people(records, values):
    """The same runs with four people, whose mean is the value of the run."""
    for run, value in zip(records, values, strict=True):
        rank1 = [value + shift for shift in (-0.2, 0.1, 0.2, -0.1)]
        run["after"] = {"people": {"pid": [1, 2, 3, 4], "queries": [1] * 4, "rank1": rank1}}
    return records


def test_runs_with_people_have_them_in_the_interval(claims_file, runs):
    records = with_people(runs(A, B), A + B)
    row = only(claims_file, records)
    sums = [[r["after"]["people"]["rank1"] for r in side] for side in (records[:3], records[3:])]
    found = people_and_seeds(*sums, [1] * 4)
    assert (row["low"], row["high"]) == pytest.approx((found.low, found.high), abs=0.0051)
    assert (row["people"], row["verdict"]) == (4, "holds")
    assert only(claims_file, runs(A, B))["people"] is None
    records[4]["after"]["people"]["pid"] = [1, 2, 3, 5]
    found = only(claims_file, records)["verdict"]
    assert found.startswith("not comparable: people cannot be pooled: seed 1 has no person 4")
    for run in records[3:]:
        run["after"]["people"]["pid"] = [1, 2, 3, 5]
    assert only(claims_file, records)["verdict"] == "not comparable: the sides judged other people"


def test_another_evaluation_does_not_take_the_people_of_the_first(claims_file, runs):
    records = with_people(runs(A, B), A + B)
    for run in records:
        run["after"]["other"] = {"metrics": run["metrics"]}
    judged = Runs("la_transformer.table2", tuple(records), design=TABLE2).judged("other")
    row = trials(load_claims(claims_file), judged).iloc[0]
    assert row["people"] is None
    assert row["verdict"] == "holds"


def test_a_small_difference_is_shown_to_be_small(claims_file, runs):
    a, b = (0.500, 0.502, 0.501), (0.501, 0.503, 0.500)
    row = only(claims_file, runs(a, b))
    assert row["verdict"] == "smaller than 2 points"
    assert only(claims_file, runs(a, b), bound=0.05)["verdict"] == "no clear difference"


@pytest.mark.parametrize(
    ("second", "times"),
    [("metric: mAP, value: 1.5", 2), ("metric: rank1, direction: lower", 1)],
)
def test_several_questions_count_as_several(claims_file, runs, second, times):
    a, b = (0.50, 0.52, 0.51), (0.525, 0.535, 0.545)
    alone = only(claims_file, runs(a, b))
    assert (alone["verdict"], 0.025 < alone["p"] < 0.05) == ("holds", True)
    more = GOOD[GOOD.index("  - {id") :].replace("heads, text", "again, text")
    more = more.replace("metric: rank1, value: 1.5", second)
    claims_file.write_text(GOOD + more)
    table = trials(load_claims(claims_file), Runs("x", tuple(runs(a, b)), design=TABLE2))
    assert table.p.tolist() == pytest.approx([times * alone["p"]] * 2)
    unclear = ["no clear difference"] * 2  # the same question, claimed both ways, has one answer
    assert table.verdict.tolist() == (unclear if times == 2 else ["holds", "contradicted"])


def test_a_seed_counts_once(claims_file, runs):
    records = runs(A, B)
    row = only(claims_file, [*records, records[4]])
    assert row["verdict"] == "not comparable: side b holds seed 1 more than once"


def test_an_average_takes_the_same_cells_on_both_sides(claims_file, cell, runs):
    alone = cell(ROWS | {"tokens": "local"}, B)
    row = only(claims_file, [*runs(A, B), *alone])
    assert row["verdict"].startswith("not comparable: side a, seed 0: 1 of 2 cells")
    both = [*alone, *cell(ONE | {"tokens": "local"}, (0.40, 0.42, 0.41))]
    row = only(claims_file, [*runs(A, B), *both])
    assert row["ours"] == pytest.approx(100 * ((0.6133 - 0.51) + (0.6133 - 0.41)) / 2, abs=0.01)
    assert (row["runs a"], row["runs b"]) == (6, 6)


def test_a_run_without_the_metric_is_no_run(claims_file, runs):
    records = runs(A, B)
    del records[3]["metrics"]["rank1"]
    assert only(claims_file, records)["runs b"] == 2


def test_sizes_have_no_chance_in_them(claims_file, cell):
    change(claims_file, "metric: rank1, value: 1.5", "metric: parameters, direction: lower")
    for size, verdict in (
        (60, "holds"), (140, "contradicted"), (100, "contradicted")
    ):  # fmt: skip
        row = only(claims_file, cell(ONE, A[:1]) + cell(ROWS, B[:1], parameters=size))
        assert (row["ours"], row["paper"], row["verdict"]) == (size - 100, "lower", verdict)


def test_seconds_are_compared_on_one_machine(claims_file, runs):
    change(claims_file, "metric: rank1, value: 1.5", "metric: train_seconds, direction: lower")
    records = runs(A, B)
    for i, run in enumerate(records):
        run["seconds"] = {"train": (60.0, 61.0, 62.0, 30.0, 31.0, 32.0)[i]}
    assert only(claims_file, records)["verdict"] == "holds"
    records[4]["environment"]["device"] = "GPU"
    assert only(claims_file, records)["verdict"] == "not comparable: device: CPU / GPU"
    records[4]["environment"]["device"] = "CPU"
    records[4]["experiment"]["workers"] = 4  # no result depends on it, but seconds do
    assert only(claims_file, records)["verdict"] == "not comparable: workers: 2 / 4"


def test_the_scale_is_said(claims_file, runs):
    assert only(claims_file, runs(A, B))["scale"].startswith("another: profile laptop")
    records = runs(A, B)
    for run in records:
        run["experiment"]["profile"] = "paper"
    assert only(claims_file, records)["scale"] == "the paper's"
    for run in records:
        run["data"]["query_images"] = 9
    assert only(claims_file, records)["scale"].startswith("another: query_images 9, published 8")


def test_claims_without_sides_are_passed_over(claims_file, runs):
    change(claims_file, "claims:", "claims:\n  - {id: own, text: x, metric: mAP, value: 5}")
    assert only(claims_file, runs(A, B))["id"] == "heads"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metric: rank1", "metric: joy", "metric 'joy' is not one of rank1, .*embed_seconds"),
        ("b: {heads: rows}", "c: {heads: rows}", "not a mapping with a and b"),
        ("b: {heads: rows}", "b: {}", "side b is empty"),
        ("b: {heads: rows}", "b: {heads: two}", "b has heads: two; there are heads: one, rows; to"),
        ("b: {heads: rows}", "b: {legs: rows}", "b has legs: rows; there are heads: one, rows; to"),
        ("b: {heads: rows}", "b: [heads]", r"b \['heads'\] is not a mapping of factors"),
        ("la_transformer.table2", "la_transformer.table9", "there is no experiment"),
        ("value: 1.5", "value: 0", "value 0 is no difference"),
        ("value: 1.5", "value: much", "value 'much' is no difference"),
        ("value: 1.5", "value: 1.5, direction: lower", "either a value or a direction"),
        ("value: 1.5", "table: t", "either a value or a direction"),
        ("value: 1.5", "direction: down", "direction 'down' is not one of higher, lower"),
        ("value: 1.5", "value: 1.5, interval: [1, 2]", r"unknown \['interval'\]"),
        ("value: 1.5", "value: 1.5, kind: value", r"unknown \['sides'\]"),
        ("value: 1.5", "value: 1.5, kind: statement", r"unknown \['metric', 'sides', 'value'\]"),
    ],
)
def test_wrong_differences_are_refused(claims_file, old, new, message):
    change(claims_file, old, new)
    with pytest.raises(ClaimError, match=message):
        load_claims(claims_file)


# --- the book's own claims find the published runs ------------------------------------------------


def test_table_2_whole_answers_every_difference_of_la_transformer(cell):
    records = []
    for levels in (each.levels for each in TABLE2.cells().values()):
        better = 0.1 * (levels["heads"] == "rows") + 0.05 * (levels["blocks"] == "blockwise")
        better += {"global": 0, "local": 0.01, "both": 0.02}[levels["tokens"]]
        records += cell(levels, [x + better for x in A])
    runs = Runs("x", tuple(records), design=TABLE2)
    table = trials(load_claims("la_transformer"), runs).set_index("id")
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


def test_the_runs_of_table_1_and_2_answer_every_difference_of_la_tf_pp(cell):
    losses, records = design("la_tf_pp.losses_pku-folds"), []
    for each in losses.cells().values():
        values = B if each.levels["model"] == "la-tf-pp" else A
        records += cell(each.levels, values, losses, embedding_bytes=48)
    for run in records:
        run["metrics"]["rank5"] = run["metrics"]["rank1"]
        run["seconds"] = {"train": 5.0, "embed": 1.0}
    table = trials(load_claims("la_tf_pp"), Runs("x", tuple(records), design=losses))
    table = table.set_index("id")
    assert len(table) == 14
    assert list(table["runs a"]) == list(table["runs b"]) == [9] * 14
    assert not any(verdict.startswith("not comparable") for verdict in table["verdict"])
    assert table.loc["gain-map", "verdict"] == "holds"
    assert table.loc["smoothing-map", "verdict"] == "smaller than 2 points"
    assert table.loc["less-storage", "verdict"] == "contradicted"


def test_the_difference_as_text(claims_file, runs):
    found = only(claims_file, runs((0.5, 0.5, 0.6), (0.7, 0.7, 0.8)))
    test = stats.ttest_ind([70, 70, 80], [50, 50, 60], equal_var=False).confidence_interval()
    assert found["found"] == f"+20.0 ({test.low:+.1f} to {test.high:+.1f})"
    assert only(claims_file, runs((0.5, 0.5), (0.6, 0.6)))["found"] == "+10.0 (no interval)"
