"""House rules of a chapter: which parts it has, and how much of each it may hold.

`check_notebook` and `check_chapter` read the source notebook, the first in every build.
`python -m workflow.grammar` prints how much each chapter holds now: whoever shortens one lowers its
ceiling here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reidlab.files import find
from workflow.colab import is_ours, with_cell

ROOT = Path(__file__).resolve().parents[1]
PARTS = {  # what a page has, in this order -> how it is recognised
    "title": r"\A# ",
    '"In one minute"': r"^## In one minute",
    "box of the page": r"^:class: page-box",
    "objectives": r"^\*\*You will\*\*",
    "prerequisites": r"^\| you need \|",
    "minutes": r"\*\*Minutes\*\* \d",
    "hardware": r"\*\*Hardware\*\*",
    "status of reproduction": r"\*\*Status\*\*",
    "exercises": r"^## Exercises",
    "recap": r"^## Recap",
    "further reading": r"^\*\*Further reading",
    "run record": r"^page\.finish\(",
}
LACKING = {  # chapters from before the rule: what they may still lack
    "13_explorer": {'"In one minute"', "prerequisites", "exercises", "recap", "further reading"},
}
CELL_LINES, COLUMNS = 15, 88
LIMITS = {"lines of code": 250, "tables": 6, "figures": 6, "wide lines": 0}
LIMITS |= {"typed metrics": 0, "formulas without a number": 0, "links to headings": 0}
CEILINGS = {  # chapters from before the rule hold more; these numbers only shrink
    "04_la_transformer": {"tables": 7},
}
UNNUMBERED = re.compile(r"^\$\$.*?\$\$(?! \(eq-)", re.M | re.S)
SHOWS_TABLE = re.compile(r"\b(?:table|metrics_table|decisions)\(")
METRIC = re.compile(
    r"(?:mAP|mINP|Rank-\d+|[Aa]ccuracy)\b[^.\d]{0,12}\d+\.\d|\d\.\d+ ?%? ?(?:mAP|mINP|Rank-\d)"
)
SOURCE = re.compile(r"\{cite|[Pp]aper|[Tt]ext says|[Tt]able \d|comment|^> ")
"""What says that a number is quoted, and from where."""
NO_LINK = re.compile(r"\]\(#[^)]+\)")
"""A link to a heading: the book follows labels, `(name)=`, and takes this one for a broken one."""
SILENT = re.compile(r"^\s*(?:\w+\s*=\s*)?[!]|%sx|%system|\bos\.system\(|\bos\.popen\(", re.M)
"""Ways to call a program whose failure nobody would see."""
Cell = dict[str, Any]


def check_notebook(notebook: Path) -> Iterator[str]:
    """House rules of a source notebook: text between code, no outputs, no silent failures."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    if [cell["source"] for cell in cells] != [cell["source"] for cell in with_cell(cells)]:
        yield "lacks the hidden cell for Colab, or has an old one: python -m workflow.colab"
    before = "markdown"
    for number, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        if is_ours(cell):
            continue
        if cell["cell_type"] == "code":
            if before == "code":
                yield f"cell {number}: code follows code; say in a sentence what comes"
            if SILENT.search(source):
                yield f"cell {number}: a ! line or os.system, whose failure nobody would see"
            if cell.get("outputs") or cell.get("execution_count"):
                yield f"cell {number}: has outputs; `make strip` before a commit"
        before = cell["cell_type"] if source.strip() else before


def check_chapter(notebook: Path) -> Iterator[str]:
    """Faults of a source notebook's parts, sizes, figures and prose."""
    cells = read(notebook)
    whole = "\n\n".join(source(cell) for cell in cells)
    lacking, at = LACKING.get(notebook.stem, set()), 0
    for part, pattern in PARTS.items():
        found = re.compile(pattern, re.M).search(whole, at)
        if found:
            at = found.start()
        elif part not in lacking:
            yield (
                f"has no {part}" if not re.search(pattern, whole, re.M) else f"{part}: out of order"
            )
    for number, cell in enumerate(cells, start=1):
        if (lines := len(code_lines(cell))) > CELL_LINES:
            yield f"cell {number}: {lines} lines of code, at most {CELL_LINES}"
        if draws(cell) and "figure" not in cell["metadata"].get("mystnb", {}):
            yield f"cell {number}: a figure without caption and alt text (mystnb in its metadata)"
    ceilings = LIMITS | CEILINGS.get(notebook.stem, {})
    for what, found_ in holds(cells).items():
        if len(found_) > ceilings[what]:
            yield f"{len(found_)} {what}, at most {ceilings[what]}; the last: {found_[-1]}"


def holds(cells: list[Cell]) -> dict[str, list[str]]:
    """What a chapter has of each kind that is limited; exercises and what follows do not count."""
    story = list(cells[: next((i for i, c in enumerate(cells) if is_exercises(c)), len(cells))])
    prose = [p for c in cells if c["cell_type"] == "markdown" for p in source(c).split("\n\n")]
    return {
        "lines of code": [line for cell in story for line in code_lines(cell)],
        "tables": [
            code_lines(c)[-1] for c in story if SHOWS_TABLE.search("\n".join(code_lines(c)))
        ],
        "figures": [source(c) for c in story if "figure" in c["metadata"].get("mystnb", {})],
        "wide lines": [x for c in cells for x in code_lines(c) if len(x) > COLUMNS],
        "typed metrics": [
            hit[0] for p in prose if not SOURCE.search(p) for hit in METRIC.finditer(p)
        ],
        "formulas without a number": [hit for p in prose for hit in UNNUMBERED.findall(p)],
        "links to headings": [hit for p in prose for hit in NO_LINK.findall(p)],
    }


def missing_imports(notebook: Path) -> Iterator[str]:
    """Names that a page imports from reidlab and that are not there."""
    import importlib

    code = [source(cell) for cell in read(notebook) if cell["cell_type"] == "code"]
    for node in (node for text in code for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("reidlab"):
            module = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                if not hasattr(module, name):
                    try:
                        importlib.import_module(f"{node.module}.{name}")
                    except ModuleNotFoundError:
                        yield f"{node.module} has no {name}"


def read(notebook: Path) -> list[Cell]:
    """The cells of a notebook but for the hidden one of Colab."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if not is_ours(cell)]


def source(cell: Cell) -> str:
    """A cell's text."""
    return "".join(cell["source"])


def code_lines(cell: Cell) -> list[str]:
    """The lines of a code cell that are not empty; none of a cell of prose."""
    return [x for x in source(cell).splitlines() if x.strip() and cell["cell_type"] == "code"]


def is_exercises(cell: Cell) -> bool:
    """Whether the exercises begin here."""
    return cell["cell_type"] == "markdown" and bool(re.search("^## Exercises", source(cell), re.M))


def draws(cell: Cell) -> bool:
    """Whether a cell ends with one of the book's figures."""
    return bool(code_lines(cell)) and code_lines(cell)[-1].startswith("figures.")


def main() -> None:
    """Print what each chapter holds, and how much it may."""
    for notebook in find(ROOT / "notebooks", "*.ipynb"):
        limits = LIMITS | CEILINGS.get(notebook.stem, {})
        found = holds(read(notebook))
        shown = ", ".join(f"{what} {len(found[what])} of {most}" for what, most in limits.items())
        print(f"{notebook.stem}: {shown}")


if __name__ == "__main__":
    main()
