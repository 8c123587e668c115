"""Chapters keep the grammar of the house, and each way of breaking it is found."""

import json
from pathlib import Path

import pytest

from workflow import grammar
from workflow.colab import with_cell

NOTEBOOKS = sorted((grammar.ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter(path):
    assert list(grammar.check_chapter(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_pages_import_is_there(path):
    assert list(grammar.missing_imports(path)) == []


def test_ceilings_are_for_chapters_that_need_one():
    assert {*grammar.CEILINGS, *grammar.LACKING} <= {path.stem for path in NOTEBOOKS}
    for chapter, own in grammar.CEILINGS.items():
        assert all(number > grammar.LIMITS[what] for what, number in own.items()), chapter


RIGHT = """\
# A title

## In one minute

:::{admonition} On this page
:class: page-box

**You will** learn.

| you need | how much | where |
|---|---|---|

**Minutes** 5 to read. **Hardware** any. **Status** live.
:::
=== x = 1
The paper {cite:p}`a` has an mAP of 98.27.

## Exercises

## Recap

**Further reading.** A paper.
=== page.finish()
"""
FIGURE = {"mystnb": {"figure": {"caption": "a"}, "image": {"alt": "b"}}}


def write(folder: Path, text: str, metadata: dict = {}) -> Path:  # noqa: B006
    """A notebook of a text in which `=== ` begins a line that is a code cell."""
    cells, prose = [], []
    for line in [*text.splitlines(keepends=True), "=== "]:
        if not line.startswith("=== "):
            prose.append(line)
            continue
        cells.append({"cell_type": "markdown", "metadata": {}, "source": prose})
        code = line.removeprefix("=== ").strip().replace("\\n", "\n")
        cells.append({"cell_type": "code", "metadata": metadata, "source": [code]})
        prose = []
    path = folder / "10_new.ipynb"
    path.write_text(json.dumps({"cells": with_cell(cells[:-1])}))
    return path


def test_a_right_chapter(tmp_path):
    assert list(grammar.check_chapter(write(tmp_path, RIGHT))) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# A title", "A title", "has no title"),
        ("## In one minute", "## In two", 'has no "In one minute"'),
        (":class: page-box", "", "has no box of the page"),
        ("**You will**", "You", "has no objectives"),
        ("| you need |", "| need |", "has no prerequisites"),
        ("**Minutes** 5", "**Minutes** few", "has no minutes"),
        ("**Hardware**", "", "has no hardware"),
        ("**Status**", "", "has no status of reproduction"),
        ("## Exercises\n\n## Recap", "## Recap", "has no exercises"),
        ("## Exercises\n\n## Recap", "## Recap\n\n## Exercises", "recap: out of order"),
        ("**Further reading.**", "", "has no further reading"),
        ("page.finish()", "page", "has no run record"),
        ("x = 1", "x = 1\\n" * 16, "cell 2: 16 lines of code, at most 15"),
        ("x = 1", "x = " + "1" * 85, "1 wide lines, at most 0; the last: x = 1111"),
        ("x = 1", "figures.forest(x)", "cell 2: a figure without caption and alt text"),
        ("=== x = 1\n", "so\n=== style.table(x)\n" * 7, "7 tables, at most 6; the last: style.tab"),
        ("=== x = 1\n", "so\n=== " + "x = 1\\n" * 13 + "\n" * 20, None),
        ("=== x = 1\n", ("so\n=== " + "x = 1\\n" * 13 + "\n") * 20, "260 lines of code, at most"),
        ("=== x = 1\n", "$$ x\n$$ (eq-x)\n\n$$ y $$\n=== x\n", "1 formulas without a number"),
        ("The paper", "See [below](#rest). The paper", "1 links to headings, at most 0"),
        ("The paper {cite:p}`a` has an mAP of", "We have an mAP of", "1 typed metrics, at most 0"),
        ("The paper {cite:p}`a` has an mAP of 98.27", "71.5 % mAP", "1 typed metrics, at most 0"),
    ],
)  # fmt: skip
def test_a_fault(tmp_path, old, new, message):
    assert old in RIGHT
    found = list(grammar.check_chapter(write(tmp_path, RIGHT.replace(old, new))))
    assert [fault[: len(message)] for fault in found] == [message] if message else found == []


def test_figures_are_counted(tmp_path):
    text = RIGHT.replace("=== x = 1\n", "so\n=== figures.forest(x)\n" * 7)
    (fault,) = grammar.check_chapter(write(tmp_path, text, FIGURE))
    assert fault.startswith("7 figures, at most 6; the last: figures.forest")


def test_a_name_that_is_not_there(tmp_path):
    text = RIGHT.replace("x = 1", "from reidlab.report import check, tabel")
    assert list(grammar.missing_imports(write(tmp_path, text))) == ["reidlab.report has no tabel"]
