"""Every exercise of every notebook has its key elsewhere, and an edition without its solution."""

import ast
import builtins
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reidlab.cli import app
from reidlab.files import project_root
from reidlab.report import write_edition
from reidlab.report.answers import KEYS

FOLDER = project_root(Path(__file__)) / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WITH = [path for path in NOTEBOOKS if any(name[:2] == path.stem[:2] for name in KEYS)]


def cells(path):
    """(is it code?, source) of each cell."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"] == "code", "".join(cell["source"])) for cell in found]


def checks(source):
    """The calls of `check` with the number of an exercise, and the number."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
            name = getattr(node.args[0], "value", None)
            if isinstance(name, str) and re.fullmatch(r"\d\d-\d+", name):
                yield node, name


def exercises(path):
    """Label, cells of the question, cells of the solution, in the order of the page."""
    found, inside = [], False
    for code, source in cells(path):
        if asked := re.search(r"```\{exercise\}\n:label: (\S+)", source):
            found.append((asked[1], [], []))
        inside = inside or source.startswith("```{solution-start} ")
        if found and (inside or not found[-1][2]):
            found[-1][1 + inside].append((code, source))
        inside = inside and "```{solution-end}" not in source
    return found


def test_every_key_is_asked_for():
    names = [
        {name for code, source in cells(path) if code for _, name in checks(source)}
        for path in NOTEBOOKS
    ]
    assert sorted(set().union(*names)) == sorted(KEYS)
    for path, own in zip(NOTEBOOKS, names, strict=True):
        numbers = range(1, len(own) + 1)
        assert own == {f"{path.stem[:2]}-{number}" for number in numbers}


@pytest.mark.parametrize("path", WITH, ids=lambda path: path.stem)
def test_an_exercise_asks_and_its_solution_passes(path):
    found = exercises(path)
    for number, (label, question, solution) in enumerate(found, start=1):
        name = f"{path.stem[:2]}-{number}"
        (asked,) = [source for code, source in question if code and list(checks(source))]
        ((call, its),) = checks(asked)
        assert (its, len(call.args)) == (name, 2), "the key does not stand beside the question"
        assert not {k.arg for k in call.keywords} & {"expected", "tolerance", "strict"}
        assert ast.unparse(ast.parse(asked).body[-1]) == ast.unparse(call), "it shows what it says"
        names = {n.id for n in ast.walk(call.args[1]) if isinstance(n, ast.Name)}
        open_ones = re.findall(r"^(\w+) = .*\.\.\.", asked, re.M)
        assert names & set(open_ones), "the answer is left open"
        assert solution[0][1].startswith(f"```{{solution-start}} {label}\n")
        assert solution[-1][1].endswith("```{solution-end}\n```"), (
            "nothing else follows in its cell"
        )
        passed = [c for code, source in solution if code for c in checks(source)]
        assert [its for _, its in passed] == [name]
        assert any(k.arg == "strict" and k.value.value is True for k in passed[0][0].keywords)
    assert len(found) == sum(key.startswith(path.stem[:2]) for key in KEYS)


@pytest.fixture(scope="module")
def learner(tmp_path_factory):
    """The folder of the learner's edition."""
    folder = tmp_path_factory.mktemp("learner")
    result = CliRunner().invoke(app, ["edition", "learner", str(folder)])
    assert result.exit_code == 0, result.output
    assert len(result.output.split()) == len(NOTEBOOKS)
    return folder


def test_a_learner_has_no_solutions_and_a_teacher_all(learner, tmp_path):
    write_edition("teacher", tmp_path)
    for path in NOTEBOOKS:
        whole = json.loads(path.read_text(encoding="utf-8"))
        assert json.loads((tmp_path / path.name).read_text(encoding="utf-8")) == whole
        text = (learner / path.name).read_text(encoding="utf-8")
        assert "{solution-" not in text
        left = json.loads(text)
        assert [cell["id"] for cell in left["cells"]] == [*map(str, range(len(left["cells"])))]
        assert left["metadata"] == whole["metadata"]
        gone = sum(len(solution) for _, _, solution in exercises(path))
        assert len(left["cells"]) == len(whole["cells"]) - gone
        kept = ["".join(cell["source"]) for cell in left["cells"]]
        originals = iter(source for _, source in cells(path))
        assert all(source in originals for source in kept), "in their order"
        for _, question, _ in exercises(path):
            assert all(source in kept for _, source in question)


def bound_and_read(source):
    """Names that a cell binds anywhere, and those that it reads without."""
    tree, bound, read = ast.parse(source), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
    return bound, read - bound


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_learner_runs_needs_no_solution(path, learner):
    known = {*dir(builtins), "display"}
    for code, source in cells(learner / path.name):
        if code:
            bound, read = bound_and_read(source)
            assert not read - known, source
            known |= bound


@pytest.mark.parametrize("path", WITH, ids=lambda path: path.stem)
def test_the_quiz_stands_between_recap_and_further_reading(path):
    text = "\n".join(source for _, source in cells(path))
    assert "Quiz:" not in text, "it is a question with options now"
    if (FOLDER.parent / "book/quizzes" / f"{path.stem[:2]}.json").exists():
        assert text.count("quiz(") == 1
        quiz = text.index(f'quiz("{path.stem[:2]}")')
        assert text.index("## Recap") < quiz < text.index("**Further reading.**")


def test_what_is_no_edition(tmp_path, monkeypatch):
    result = CliRunner().invoke(app, ["edition", "student", str(tmp_path)])
    assert result.exit_code == 1
    assert "error: edition 'student' is unknown: choose learner or teacher" in result.output
    with pytest.raises(ValueError, match="holds the originals: name another folder"):
        write_edition("teacher", FOLDER)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="holds no notebooks: run this in a checkout"):
        write_edition("teacher", tmp_path / "out")
