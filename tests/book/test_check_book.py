"""The checker finds each fault, planted alone in a small book that is otherwise right."""

import json
import re
from pathlib import Path

import pytest

from workflow import check_book
from workflow.colab import with_cell

TOC = """\
format: jb-book
root: book/intro
parts:
  - caption: One
    chapters:
      - file: notebooks/00_a
        sections:
          - file: book/more.md
"""
TRACKED = {"book/intro.md", "book/more.md", "notebooks/00_a.ipynb"}
SOURCES = {
    "book/intro": "book/intro.md",
    "book/more": "book/more.md",
    "notebooks/00_a": "notebooks/00_a.ipynb",
}
RECORD = (
    '<div class="run-record" data-profile="laptop" data-commit="0123abcd" data-seconds="12.5">'
    "<dt>profile</dt><dd>laptop</dd></div>"
)


def page(name: str, body: str) -> str:
    return f"""<html><head><link rel="stylesheet" href="../_static/book.css"/>
    <script src="../_static/book.js"></script></head><body><article>
    <h1 id="top">Title</h1>
    <a href="https://github.com/reidlab/reidlab/edit/main/{SOURCES[name]}">edit</a>
    <a href="../book/intro.html#top">home</a> <a href="#top">up</a>
    <a href="https://arxiv.org/abs/2106.03720">a paper</a>
    <img alt="Two people from behind" src="../_images/a.png"/>{body}</article></body></html>"""


@pytest.fixture
def html(tmp_path) -> Path:
    """A right book of three pages."""
    (tmp_path / "_toc.yml").write_text(TOC)
    root = tmp_path / "html"
    for folder in ("book", "notebooks", "_static", "_images"):
        (root / folder).mkdir(parents=True)
    for file in ("_static/book.css", "_static/book.js", "_images/a.png"):
        (root / file).write_text("x")
    (root / "index.html").write_text(
        '<meta http-equiv="Refresh" content="0; url=book/intro.html"/>'
    )
    for name in SOURCES:
        body = RECORD if name.startswith("notebooks/") else ""
        (root / f"{name}.html").write_text(page(name, body))
    return root


def faults(html: Path, profile: str | None = "laptop") -> list[str]:
    return check_book.check_html(html, html.parent / "_toc.yml", TRACKED, profile)


def test_toc_pages(html):
    pages = check_book.toc_pages(html.parent / "_toc.yml")
    assert pages == ["book/intro", "notebooks/00_a", "book/more"]


def test_a_right_book_has_no_faults(html):
    assert faults(html) == []


PLANTED = {
    "traceback by class": ('<div class="output traceback">x</div>', "shows a traceback"),
    "traceback by text": (
        '<div class="cell_output"><pre>Traceback (most recent call last)</pre></div>',
        "shows a traceback",
    ),
    "glue role": ("<p>{glue:text}`rank1`</p>", "glue"),
    "blank glue": ('<span class="pasted-text"></span>', "glue"),
    "problematic": ('<span class="problematic">|x|</span>', "could not resolve"),
    "no alt": ('<img src="../_images/a.png"/>', "has no alt text"),
    "empty alt": ('<img alt=" " src="../_images/a.png"/>', "has no alt text"),
    "file name as alt": ('<img alt="../_images/a.png" src="../_images/a.png"/>', "file name"),
    "stem as alt": ('<img alt="a" src="../_images/a.png"/>', "file name"),
    "image gone": ('<img alt="A street" src="../_images/gone.png"/>', "is not there"),
    "image from elsewhere": ('<img alt="A street" src="https://x.org/a.png"/>', "offline"),
    "link to nowhere": ('<a href="gone.html">x</a>', "leads nowhere"),
    "anchor gone": ('<a href="../book/intro.html#gone">x</a>', "anchor"),
    "own anchor gone": ('<a href="#gone">x</a>', "anchor"),
    "script from elsewhere": ('<script src="https://cdn.org/x.js"></script>', "from elsewhere"),
    "style from elsewhere": ('<link rel="stylesheet" href="//cdn.org/x.css"/>', "from elsewhere"),
    "script gone": ('<script src="../_static/gone.js?v=1"></script>', "which is not there"),
    "edit link to an untracked file": (
        '<a href="https://github.com/reidlab/reidlab/edit/main/_build/stage/book/more.md">x</a>',
        "git does not track",
    ),
    "colab link to another branch": (
        '<a href="https://colab.research.google.com/github/reidlab/reidlab/blob/master/'
        'notebooks/00_a.ipynb">x</a>',
        "branch master",
    ),
    "the cell for Colab": ("<pre>google.colab in sys.modules</pre>", "the hidden cell for Colab"),
    "a folder of the machine": (f"<pre>{check_book.ROOT}/data</pre>", "of the machine that built"),
    "too heavy": ("<p>" + "x" * 2_100_000 + "</p>", "2.1 MB"),
}


@pytest.mark.parametrize(("body", "message"), PLANTED.values(), ids=list(PLANTED))
def test_a_planted_fault_is_the_one_found(html, body, message):
    (html / "book/more.html").write_text(page("book/more", body))
    (fault,) = faults(html)
    assert fault.startswith("book/more: ")
    assert message in fault


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("", "has no run record"),
        (RECORD.replace("0123abcd", ""), "does not name the commit"),
        (RECORD.replace('data-profile="laptop"', ""), "does not name the profile"),
        (RECORD.replace("12.5", "soon"), "seconds are no number"),
        (RECORD.replace("laptop", "smoke"), "is of profile 'smoke', the book of 'laptop'"),
        (RECORD.replace("<dd>laptop</dd>", ""), "does not show the profile"),
    ],
)
def test_run_records(html, box, message):
    (html / "notebooks/00_a.html").write_text(page("notebooks/00_a", box))
    (fault,) = faults(html)
    assert message in fault


def test_pages_are_those_of_the_toc(html):
    (html / "book/more.html").rename(html / "book/other.html")
    assert faults(html) == [
        "book/more: in _toc.yml but not built",
        "book/other: built but not in _toc.yml",
    ]


def test_glue_may_be_talked_about_in_code(html):
    body = "<code>glue:text</code>"
    (html / "book/more.html").write_text(page("book/more", body))
    assert faults(html) == []


class TestNotebook:
    def write(self, path: Path, *cells: tuple[str, str], **code) -> Path:
        content = [
            {"cell_type": kind, "source": [source], "metadata": {}}
            | (code if kind == "code" else {})
            for kind, source in cells
        ]
        path.write_text(json.dumps({"cells": with_cell(content)}))
        return path

    def test_a_right_one(self, tmp_path):
        cells = [("markdown", "# A"), ("code", "x != 1"), ("markdown", "so"), ("code", "x")]
        assert not list(check_book.check_notebook(self.write(tmp_path / "a.ipynb", *cells)))

    @pytest.mark.parametrize(
        ("cells", "code", "message"),
        [
            ([("code", "a"), ("code", "b")], {}, r"cell 3: code follows code"),
            ([("code", "a"), ("markdown", " "), ("code", "b")], {}, r"cell 4: code follows code"),
            ([("code", "x = 1\n !pip install y")], {}, r"cell 2: a ! line"),
            ([("code", "files = !ls")], {}, r"cell 2: a ! line"),
            ([("code", "import os\nos.system('false')")], {}, r"cell 2: a ! line"),
            ([("code", "x")], {"execution_count": 3}, r"cell 2: has outputs"),
            ([("code", "x")], {"outputs": [{"output_type": "stream"}]}, r"cell 2: has outputs"),
        ],
    )
    def test_a_fault(self, tmp_path, cells, code, message):
        (fault,) = check_book.check_notebook(self.write(tmp_path / "a.ipynb", *cells, **code))
        assert re.match(message, fault)

    def test_without_the_cell_for_colab(self, tmp_path):
        (tmp_path / "a.ipynb").write_text(
            json.dumps({"cells": [{"cell_type": "code", "source": ["x"], "metadata": {}}]})
        )
        (fault,) = check_book.check_notebook(tmp_path / "a.ipynb")
        assert fault.startswith("lacks the hidden cell for Colab")


def test_command_line_writes_its_report_only_if_all_is_well(html, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check_book, "ROOT", tmp_path)
    for source in TRACKED:
        (tmp_path / source).parent.mkdir(exist_ok=True)
        (tmp_path / source).write_text(json.dumps({"cells": with_cell([])}))
    report = tmp_path / "report.json"
    assert check_book.main([str(html), "--report", str(report), "--profile", "smoke"]) == 1
    assert "1 faults in 3 pages" in capsys.readouterr().err
    assert not report.exists()
    assert check_book.main([str(html), "--report", str(report), "--profile", "laptop"]) == 0
    assert json.loads(report.read_text())["pages"] == list(
        check_book.toc_pages(tmp_path / "_toc.yml")
    )
