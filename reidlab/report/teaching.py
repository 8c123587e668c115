"""Goals, minutes and exercises of the chapters, for `book/teaching.md`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from reidlab.report.findings import markdown_table


class Lesson(NamedTuple):
    """What the box and the exercises of a chapter say.

    Attributes:
        stem: of the notebook.
        title: of the chapter.
        goals: what the reader will do there, one sentence.
        read: minutes to read.
        exercise: minutes for the exercises, 0 without them.
        run: minutes to run, the most of a range.
        exercises: (label, its first question, else its first sentence) of each.
    """

    stem: str
    title: str
    goals: str
    read: int
    exercise: int
    run: int
    exercises: tuple[tuple[str, str], ...]


def lesson(notebook: str | Path) -> Lesson:
    """Read a chapter.

    Raises:
        ValueError: It has no title, or no box with goals and minutes.
    """
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    told = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    title = re.search(r"^# (.+)", told, re.M)
    goals = re.search(r"^\*\*You will\*\* (.+?)\n\n", told, re.M | re.S)
    minutes = re.search(
        r"\*\*Minutes\*\* (\d+) to read,(?: (\d+) for the exercises,)? (?:\d+ to )?(\d+) to run",
        told,
    )
    if not (title and goals and minutes):
        raise ValueError(
            f"{notebook}: expected a title, '**You will** ...' and '**Minutes** N to read, N for "
            "the exercises, N to run' in the box at the start"
        )
    asked = re.findall(r"\{exercise\}.*\n((?::.*\n)*)([\s\S]+?)(?=```|\n\n)", told)
    exercises = [
        (label[1], _question(text))
        for options, text in asked
        if (label := re.search(r":label: (\S+)", options))
    ]
    read, exercise, run = (int(number or 0) for number in minutes.groups())
    sentence = " ".join(goals[1].split())
    return Lesson(Path(notebook).stem, title[1], sentence, read, exercise, run, tuple(exercises))


def _question(text: str) -> str:
    plain = re.sub(r" ?\{cite:[tp]\}`\w+`", "", " ".join(text.split()))
    sentences = re.split(r"(?<=[.?])\s", plain)
    return next((each for each in sentences if each.endswith("?")), sentences[0])


def fill(page: str, lessons: Iterable[Lesson]) -> str:
    """Put the tables of the lessons where a page has `<!-- plan: STEMS -->` and `<!-- goals -->`.

    Args:
        page: Markdown.
        lessons: in the order of the book.

    Raises:
        ValueError: A plan names a chapter that is not among the lessons.
    """
    known = {each.stem: each for each in lessons}

    def plan(found: re.Match[str]) -> str:
        if unknown := [stem for stem in found[1].split() if stem not in known]:
            raise ValueError(f"a plan names {unknown[0]!r}; expected one of {', '.join(known)}")
        chosen = [known[stem] for stem in found[1].split()]
        rows = [(_link(c), c.read, c.exercise, c.run) for c in chosen]
        rows.append(("together", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
        return markdown_table(("Chapter", "minutes to read", "for the exercises", "to run"), rows)

    def goal(each: Lesson) -> tuple[object, ...]:
        asked = "<br>".join(f"{text} {{ref}}`↗ <{label}>`" for label, text in each.exercises)
        slides = f'<a href="../_static/slides/{each.stem}.html">slides</a>'
        return _link(each), each.goals, asked or "none", slides

    page = re.sub(r"<!-- plan: (.+?) -->", plan, page)
    table = markdown_table(
        ("Chapter", "You will", "Exercises", "Slides"), map(goal, known.values())
    )
    return page.replace("<!-- goals -->", table)


def _link(each: Lesson) -> str:
    return f"[{each.title}](../notebooks/{each.stem}.ipynb)"
