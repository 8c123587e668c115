"""The matrix of claims: hand-made claims and runs, and what the book's files say of themselves."""

import ast
import copy
import json
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest

from reidlab.experiments import design, experiment
from reidlab.files import project_root
from reidlab.models.registry import get_model
from reidlab.report import ClaimError, claims_matrix
from reidlab.report.matrix import COLUMNS, REPOSITORY, Cell, Matrix, Row, reported, reporting

LEVELS = {"tokens": "both", "blocks": "blockwise"}
CLAIMS = """
report: {title: LA & more, equal: "tests/x.py::test_x", synthetic: [la_transformer.table2],
         real: REAL}
common: {dataset: market1501, protocol: "la-official: all", table: "Table 2, a row", how: run it,
         status: not yet, ap: top10, experiment: la_transformer.table2}
counts: {market1501: {query_images: 8}}
claims:
  - {id: r, text: "rows < one", metric: rank1, value: 1.5, sides: &heads {a: ONE, b: ROWS}}
  - {id: m, text: rows are ahead, metric: mAP, value: -1.5, sides: *heads}
  - {id: l, text: local, metric: mAP, direction: higher, sides: {a: ROWS, b: LOCAL}}
  - {id: v, text: number, metric: mAP, value: 90, levels: ROWS}
  - {id: w, text: number, metric: rank1, value: 50, levels: ROWS}
  - {id: s, text: in words, kind: statement}
"""
SIDES = {"ONE": {"heads": "one"} | LEVELS, "ROWS": {"heads": "rows"} | LEVELS}
SIDES["LOCAL"] = SIDES["ROWS"] | {"tokens": "local"}


class Links(HTMLParser):
    """Words of the cells with where they lead."""

    def __init__(self, text):
        super().__init__()
        self.found, self.href = {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.href = dict(attrs).get("href", "") if tag == "a" else ""

    def handle_data(self, data):
        if self.href:
            self.found.setdefault(data, self.href)


@pytest.fixture
def matrix(tmp_path, monkeypatch, record):
    """`matrix(real="[]", one=..., rows=...)`: the matrix of CLAIMS and runs of these shares."""
    for where in ("experiments", "report.matrix"):
        monkeypatch.setattr(f"reidlab.{where}.project_root", lambda: tmp_path)
    (tmp_path / "_toc.yml").write_text("- file: notebooks/04_la_transformer\n")

    def make(real="[]", profile="laptop", **shares):
        text = CLAIMS.replace("REAL", real)
        for name, levels in SIDES.items():
            text = text.replace(name, json.dumps(levels))
        path = tmp_path / "la_transformer.yml"
        path.write_text(text)
        table2, lines = design("la_transformer.table2"), []
        for side, values in shares.items():
            for seed, value in enumerate(values):
                run = copy.deepcopy(record)
                run |= {"seed": seed, "levels": SIDES[side.upper()], "after": {}}
                recipe = table2.cell(run["levels"], profile).recipe
                run["experiment"] = recipe.to_dict() | {"variant": "la_transformer"}
                (own,) = get_model("la_transformer").switches(recipe.preset, recipe.switches)
                run["experiment"]["switches"] = asdict(own)
                run["data"]["protocol"] = "la-official"
                run["metrics"] = {"rank1": 1 - value, "mAP": value, "ap": "top10"}
                lines.append(json.dumps(run))
        out = tmp_path / "book/results/la_transformer/table2.jsonl"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(lines))
        return claims_matrix([path])

    return make


LOW, HIGH = (0.30, 0.31, 0.32), (0.50, 0.51, 0.52)


@pytest.mark.parametrize(
    ("one", "rows", "word"),
    [
        (HIGH, LOW, "holds"),  # the paper has rows behind in mAP
        (LOW, HIGH, "contradicted"),
        ((0.2, 0.5, 0.8), (0.1, 0.5, 0.7), "no clear difference"),
        ((0.300, 0.301, 0.302), (0.301, 0.302, 0.303), "smaller than 2 points"),
    ],
)
def test_a_comparison_has_one_row_and_the_word_of_its_map(matrix, one, rows, word):
    frame = matrix(one=one, rows=rows).frame().set_index("claim")
    assert [*frame.kind] == ["difference"] * 2 + ["value", "statement"]
    row = frame.loc["rows are ahead"]
    assert (row.equal, row.synthetic, row.real) == ("yes", word, "not available to us")
    assert row["scale"] == "not available to us"
    assert row.source == "Table 2, a row, −1.5"
    assert frame.loc["local"].synthetic == "designed and not run"
    assert (frame.loc["2 numbers"].synthetic, frame.loc["2 numbers"].source) == ("–", "Table 2")


def test_a_ground_whose_cells_do_not_have_the_sides(matrix):
    rows = matrix(real="[la_transformer.corners_pku-folds]").frame().set_index("claim")
    assert rows.loc["rows are ahead", "real"] == "–"  # its ViT has the class token alone
    assert rows.loc["rows are ahead", "synthetic"] == "designed and not run"


def test_what_one_experiment_has_not_run_the_next_one_answers(matrix, monkeypatch):
    def ask(name):
        runs = experiment("la_transformer.table2")
        return replace(runs, records=()) if name == "la_transformer.longer" else runs

    monkeypatch.setattr("reidlab.report.matrix.experiment", ask)
    names = "[la_transformer.longer, la_transformer.table2]"
    for runs, word in (({}, "designed and not run"), ({"one": HIGH, "rows": LOW}, "holds")):
        frame = matrix(real=names, **runs).frame().set_index("claim")
        assert frame.loc["rows are ahead", "real"] == word


def test_runs_of_the_papers_size_answer_in_the_last_column(matrix):
    frame = matrix(profile="paper", one=HIGH, rows=LOW).frame().set_index("claim")
    assert frame.loc["rows are ahead", "scale"] == "holds"
    assert frame.loc["local", "scale"] == "not available to us"
    assert (
        frame.loc["2 numbers", "scale"] == "differs by -59.0 points: 1, differs by +19.0 points: 1"
    )


def test_words_lead_to_records_tests_and_designs(matrix):
    page = matrix(one=HIGH, rows=LOW)._repr_html_()
    assert '<a href="04_la_transformer.html">LA &amp; more</a>' in page
    links = Links(page).found
    assert links["yes"] == f"{REPOSITORY}/tests/x.py"
    assert links["holds"] == f"{REPOSITORY}/book/results/la_transformer/table2.jsonl"
    assert links["designed and not run"] == f"{REPOSITORY}/reidlab/experiments/la_transformer.py"
    made = 'table2.jsonl" title="python -m reidlab experiment run la_transformer.table2">holds'
    assert made in page


def test_a_mark_says_that_the_sides_did_not_learn_alike():
    apart = Cell("holds", "a.jsonl", learned="learned 91 % against 100 %")
    cells = {name: Cell("holds") for name in COLUMNS} | {"real": apart}
    shown = Matrix((Row("Paper", "paper", "difference", "rows", "Table 2", cells),))._repr_html_()
    assert shown.count("†") == 1
    assert '<sup title="learned 91 % against 100 %">†</sup></td>' in shown


def test_in_small_the_words_of_the_differences_are_counted(matrix):
    (row,) = matrix(one=HIGH, rows=LOW).small().rows
    assert (row.claim, row.source) == ("LA & more", "2 differences")
    assert row.cells["synthetic"].word == "holds: 1, designed and not run: 1"
    assert row.cells["real"].word == "not available to us"


@pytest.mark.parametrize("block", ["", "report: {title: x, equal: ''}\n"])
def test_a_file_that_does_not_say_where_its_claims_are_tried(tmp_path, block):
    path = tmp_path / "x.yml"
    path.write_text(block + "claims: []\n")
    with pytest.raises(ClaimError, match=r"x\.yml: report is .*; expected equal, real, synthetic"):
        claims_matrix([path])


def test_the_papers_in_the_order_of_the_book():
    assert reported() == ["la_transformer", "la_tf_pp", "gltrans", "tvtr", "transmatcher"]


@pytest.mark.parametrize("paper", reported())
def test_equality_is_claimed_where_authors_published_and_a_test_exists(paper):
    about = reporting(paper)
    assert bool(about["equal"]) == (get_model(paper).authors is not None)
    if about["equal"]:
        file, _, name = about["equal"].partition("::")
        tree = ast.parse((project_root() / file).read_text())
        (test,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
        assert "assert_close" in ast.unparse(test) or "approx" in ast.unparse(test)
    for name in about["synthetic"] + about["real"]:
        name, _, step = name.partition(":")
        assert not step or step in {each.name for each in design(name).after}


def test_the_repository_is_that_of_the_package():
    assert (
        f'Repository = "{REPOSITORY.removesuffix("/blob/main")}"'
        in (project_root() / "pyproject.toml").read_text()
    )
