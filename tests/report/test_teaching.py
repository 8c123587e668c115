"""The teachers' page: read from every chapter, filled in where it asks for it."""

import json
import re
from pathlib import Path

import pytest

from reidlab.report.teaching import fill, lesson

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BOX = "**You will** see\none thing.\n\n**Minutes** {} **Hardware** any."
ASKED = """```{exercise}
:label: ex-toy-sum
Two and two {cite:p}`doe2020toys`. What is
their sum? Say it | loud.
```"""


def chapter(folder, *cells):
    path = folder / "03_toy.ipynb"
    cells = [{"cell_type": "markdown", "source": text} for text in cells]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_a_chapter_as_its_box_says_it(tmp_path):
    minutes = "20 to read, 15 for the exercises, 5 to 10 to run."
    found = lesson(chapter(tmp_path, "# Toy", BOX.format(minutes), ASKED))
    assert found[:6] == ("03_toy", "Toy", "see one thing.", 20, 15, 10)
    assert found.exercises == (("ex-toy-sum", "What is their sum?"),)
    bare = lesson(chapter(tmp_path, "# Toy", BOX.format("7 to read, 1 to run.")))
    assert bare[3:] == (7, 0, 1, ())


def test_a_chapter_without_a_box(tmp_path):
    with pytest.raises(ValueError, match=r"03_toy.ipynb: expected a title, '\*\*You will"):
        lesson(chapter(tmp_path, "# Toy", "**You will** wait.\n\n**Minutes** many"))


def test_tables_stand_where_the_page_asks_for_them(tmp_path):
    minutes = "20 to read, 15 for the exercises, 2 to run."
    toy = lesson(chapter(tmp_path, "# Toy", BOX.format(minutes), ASKED))
    other = toy._replace(stem="04_y", title="Y", read=5, exercise=0, exercises=())
    page = "a\n<!-- plan: 03_toy 04_y -->\nb\n<!-- goals -->\n"
    text = fill(page, [toy, other])
    assert "| together | 25 | 15 | 4 |" in text
    link = "[Toy](../notebooks/03_toy.ipynb)"
    asked = "What is their sum? {ref}`↗ <ex-toy-sum>`"
    slides = '<a href="../_static/slides/{}.html">slides</a>'
    assert f"| {link} | see one thing. | {asked} | {slides.format('03_toy')} |" in text
    assert f"| none | {slides.format('04_y')} |" in text
    assert "<!--" not in text
    with pytest.raises(ValueError, match="a plan names '05_z'; expected one of 03_toy, 04_y"):
        fill("<!-- plan: 05_z -->", [toy, other])


def test_every_chapter_and_exercise_is_on_the_page():
    page = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    text = fill(page, map(lesson, NOTEBOOKS))
    for path in NOTEBOOKS:
        assert f"(../notebooks/{path.name})" in text
        for label in re.findall(r":label: (ex-[\w-]+)", path.read_text(encoding="utf-8")):
            assert text.count(f"<{label}>") == 1
    assert page.count("<!-- plan:") == 2
