"""What all papers claim, and how far each claim was tried: the matrix of chapter 09.

The block `report` of `book/claims/<paper>.yml` names the test of equality with the authors'
network, "" where none was published, and the experiments that try the differences, by ground.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from reidlab.experiments import Experiment, Runs, experiment, published
from reidlab.files import find, project_root
from reidlab.report.claims import METRICS, Claim, ClaimError, claims_file, load_claims, verdicts
from reidlab.report.differences import trials
from reidlab.report.ideas import IDEAS, REAL, RENDERED

REPOSITORY = "https://github.com/reidlab/reidlab/blob/main"
GROUNDS = {"synthetic": RENDERED, "real": REAL}  # in the block `report` -> in `IDEAS`
COLUMNS = {
    "equal": "equals the authors' network",
    "synthetic": "synthetic people",
    "real": "real people",
    "scale": "the paper's scale",
}
NOT_RUN, ABSENT, NOT_ASKED = "designed and not run", "not available to us", "–"
WORDS = ("holds", "contradicted", "smaller", "no clear difference", NOT_RUN, ABSENT, NOT_ASKED)
KEYS = {"title", "equal", *GROUNDS}


class Cell(NamedTuple):
    """A word, the file of the repository that it rests on, the command that makes it anew, and how
    the two sides had learned if not alike (see `reidlab.report.findings.unlike`)."""

    word: str
    path: str = ""
    command: str = ""
    learned: str = ""


@dataclass(frozen=True)
class Row:
    """A claim, or several that share their answers.

    Attributes:
        paper: its title.
        stem: of its files.
        kind: "difference", "value" or "statement".
        claim: in a sentence.
        source: table or section, and what is printed there.
        cells: a key of `COLUMNS` -> what became of it.
    """

    paper: str
    stem: str
    kind: str
    claim: str
    source: str
    cells: Mapping[str, Cell] = field(hash=False)


@dataclass(frozen=True)
class Matrix:
    """Rows of claims; shows itself as a table whose words lead to records, tests and designs."""

    rows: tuple[Row, ...]

    def frame(self) -> pd.DataFrame:
        """One row for each of `rows`: paper, kind, claim, source, and a word for each column."""
        rows = [
            {"paper": row.paper, "kind": row.kind, "claim": row.claim, "source": row.source}
            | {name: cell.word for name, cell in row.cells.items()}
            for row in self.rows
        ]
        return pd.DataFrame(rows)

    def small(self) -> Matrix:
        """One row a paper: how often each word stands beside its differences."""
        papers: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.kind == "difference":
                papers.setdefault(row.paper, []).append(row)
        found = []
        for paper, rows in papers.items():
            words = {name: Cell(_counted(row.cells[name].word for row in rows)) for name in COLUMNS}
            found.append(Row("", "", "paper", paper, f"{len(rows)} differences", words))
        return Matrix(tuple(found))

    def _repr_html_(self) -> str:
        body, paper = [], ""
        for row in self.rows:
            if row.paper != paper:
                paper = row.paper
                body.append(
                    f'<tr class="paper"><th colspan="5">{_chapter(row.stem, row.paper)}</th></tr>'
                )
            cells = "".join(_td(name, row.cells[name]) for name in COLUMNS)
            claim = f"{html.escape(row.claim)} <small>{html.escape(row.source)}</small>"
            body.append(f'<tr><th scope="row">{claim}</th>{cells}</tr>')
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in COLUMNS.values())
        first = "paper" if self.rows and self.rows[0].kind == "paper" else "claim"
        return (
            f'<table class="dataframe claims"><thead><tr><th scope="col">{first}</th>'
            f"{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        )

    def __repr__(self) -> str:
        return self.frame().to_string(index=False)


def claims_matrix(papers: Iterable[str | Path] | None = None) -> Matrix:
    """The matrix of all claims.

    Metrics of one comparison share a row, whose words are those of mAP; so do a paper's numbers,
    and its claims in words. Words are those of `reidlab.report.differences.trials`, where the
    claims of a paper that one experiment tries count as several; "designed and not run", "not
    available to us", and "–" where no experiment asks.

    Args:
        papers: stems, found in `book/claims` of the project, or paths; None: all that have a
            chapter and a block `report`, in the order of the book.

    Raises:
        ClaimError: A file has no block `report` of these keys, or is no file of claims.
    """
    chosen = reported() if papers is None else papers
    return Matrix(tuple(row for paper in chosen for row in _rows(paper)))


def reported() -> list[str]:
    """Stems of the papers that have a chapter and a block `report`, in the order of the book."""
    return [
        stem for stem in _chapters() if claims_file(stem).is_file() and _block(stem) is not None
    ]


def _chapters() -> dict[str, str]:
    """Stem -> name of the chapter's page, in the order of the book."""
    pages = re.findall(r"notebooks/(\d\d_\w+)", (project_root() / "_toc.yml").read_text())
    return {page[3:]: page for page in pages}


def _block(paper: str | Path) -> Any:
    return yaml.safe_load(claims_file(paper).read_text(encoding="utf-8")).get("report")


def reporting(paper: str | Path) -> dict[str, Any]:
    """The block `report` of a file of claims: title, equal, synthetic, real.

    Raises:
        ClaimError: There is none, or it has other keys.
    """
    found = _block(paper)
    if not isinstance(found, dict) or set(found) != KEYS:
        name, keys = claims_file(paper).name, ", ".join(sorted(KEYS))
        raise ClaimError(f"{name}: report is {found!r:.60}; expected {keys}")
    return found


def _rows(paper: str | Path) -> list[Row]:
    claims, about, stem = load_claims(paper), reporting(paper), Path(paper).stem
    test = str(about["equal"])
    equal = Cell("yes", test.partition("::")[0]) if test else Cell(ABSENT)
    tried = {name: _tried(claims, about[name], stem, ground) for name, ground in GROUNDS.items()}
    tried["scale"] = _at_scale(claims, stem)
    rows = []
    for group in _groups(claims):
        first = next((c for c in group if c.metric == "mAP"), group[0])
        missing = {"scale": ABSENT, "real": NOT_ASKED if about["real"] else ABSENT}
        cells = {name: Cell(missing.get(name, NOT_ASKED)) for name in tried}
        cells |= {name: found[first.id] for name, found in tried.items() if first.id in found}
        if first.kind == "value":
            words = [tried["scale"].get(claim.id, Cell(ABSENT)).word for claim in group]
            cells["scale"] = Cell(_counted(words), cells["scale"].path)
        if first.kind != "difference":
            cells["real"] = Cell(NOT_ASKED)
        claim, source = _told(group, first)
        rows.append(Row(about["title"], stem, first.kind, claim, source, {"equal": equal, **cells}))
    return rows


def _groups(claims: Iterable[Claim]) -> list[list[Claim]]:
    """Claims that share a row: metrics of one comparison, all numbers, all claims in words."""
    found: dict[Any, list[Claim]] = {}
    for claim in claims:
        if claim.kind == "difference":
            about = repr(claim.sides) if claim.metric in METRICS else claim.id
        else:
            about = ""
        found.setdefault((claim.kind, about), []).append(claim)
    order = ("difference", "value", "statement")
    return [group for kind in order for (own, _), group in found.items() if own == kind]


def _place(claim: Claim) -> str:
    named = re.search(r"Table \d+", claim.table)
    return named[0] if named else re.split("[,;]| of ", claim.table)[0]


def _told(group: list[Claim], first: Claim) -> tuple[str, str]:
    if first.kind == "value":
        return f"{len(group)} numbers", ", ".join(dict.fromkeys(map(_place, group)))
    if first.kind == "statement":
        return f"{len(group)} claims in words", "each in the paper's chapter"
    printed = "" if first.value is None else f", {first.value:+g}".replace("-", "−")
    return first.text, f"{first.table}{printed}"


def _tried(claims: list[Claim], names: Iterable[str], stem: str, ground: str) -> dict[str, Cell]:
    """id -> its word on a ground, of the differences that an experiment there asks about."""
    own = {claim.id: repr(claim.sides) for claim in claims}
    elsewhere = {}  # sides of a claim -> those that stand for them on this ground
    for idea in IDEAS:
        paper, claimed = idea.claim or ("", "")
        if paper == stem and ground in idea.grounds and claimed in own:
            a, b = idea.grounds[ground][1]
            elsewhere[own[claimed]] = {"a": a, "b": b}
    left = [
        replace(claim, sides=elsewhere.get(repr(claim.sides), claim.sides))
        for claim in claims
        if claim.kind == "difference"
    ]
    found: dict[str, Cell] = {}
    for name in names:
        runs = experiment(name)
        told = {name for name, cell in found.items() if cell.word != NOT_RUN}
        asked = [c for c in left if c.id not in told and _knows(runs.design, c)]
        for row in trials(asked, runs).itertuples():
            word = _word(str(row.verdict))
            command = f"python -m reidlab experiment run {name.partition(':')[0]}"
            found[str(row.id)] = Cell(word, _file(name, word), command, str(row.learned or ""))
    return found


def _knows(design: Experiment | None, claim: Claim) -> bool:
    """Whether an experiment has cells on both sides of a claim."""
    if design is None:
        return False
    cells = [dict(zip(design.factors, levels, strict=True)) for levels in design.crossed]
    return all(any(cell.items() >= side.items() for cell in cells) for side in claim.sides.values())


def _file(name: str, word: str) -> str:
    """Of the runs, or of the design where there are none."""
    name = name.partition(":")[0]
    if word == NOT_RUN:
        return f"reidlab/experiments/{name.partition('.')[0]}.py"
    return published(name).relative_to(project_root()).as_posix()


def _word(verdict: str) -> str:
    if verdict == "no runs":
        return NOT_RUN
    return NOT_ASKED if verdict.startswith("not comparable") else verdict


def _at_scale(claims: list[Claim], stem: str) -> dict[str, Cell]:
    """id -> its word, of the claims that runs of the paper's size on the paper's images test."""
    found: dict[str, Cell] = {}
    for path in find(project_root() / "book" / "results" / stem, "*.jsonl"):
        runs = Runs.read(path)
        large = [run for run in runs.records if run["experiment"].get("profile") == "paper"]
        if not large:
            continue
        shown = path.relative_to(project_root()).as_posix()
        values, tried = verdicts(claims, large), trials(claims, replace(runs, records=(*large,)))
        words = dict(zip(values.id, values.verdict, strict=True))
        ran = {str(name): n for name, n in zip(values.id, values.runs, strict=True) if n}
        found |= {name: Cell(words[name], shown) for name in ran}
        for row in tried[tried["scale"] == "the paper's"].itertuples():
            found[str(row.id)] = Cell(_word(str(row.verdict)), shown)
    return found


def _counted(words: Iterable[str]) -> str:
    """Words with their numbers, the decided ones first; one word alone where all are alike."""
    counts = Counter(words)
    if len(counts) == 1:
        return next(iter(counts))
    order = [word for start in WORDS for word in counts if word.startswith(start)]
    known = [word for word in dict.fromkeys([*order, *counts]) if word != NOT_ASKED]
    return ", ".join(f"{word}: {counts[word]}" for word in known)


def _chapter(stem: str, title: str) -> str:
    page = _chapters().get(stem)
    name = html.escape(title)
    return f'<a href="{page}.html">{name}</a>' if page else name


def _td(name: str, cell: Cell) -> str:
    """A cell, each of its words with a mark by which it is found at a glance."""
    shown = ""
    for word in cell.word.split(", "):
        kind = next((start for start in WORDS[:3] if word.startswith(start)), "open")
        text = html.escape(word)
        if cell.path:
            title = f' title="{html.escape(cell.command)}"' if cell.command else ""
            text = f'<a href="{REPOSITORY}/{cell.path}"{title}>{text}</a>'
        shown += f'<span class="{kind}">{text}</span>'
    if cell.learned:
        shown += f'<sup title="{html.escape(cell.learned)}">†</sup>'
    return f'<td data-column="{html.escape(COLUMNS[name])}">{shown}</td>'
