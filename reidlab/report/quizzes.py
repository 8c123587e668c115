"""The quiz at the end of a chapter: what is easily confused, and a reason for each answer.

`book/quizzes/02.json` is a list of questions; an option has a text, the feedback for who chose it,
and `"right": true` if it is the right one. A page shows radio buttons; without JavaScript the same
reasons stand behind a click.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from typing import Any

from reidlab.files import project_root

STYLE = """
.exercise-quiz fieldset { border: 1px solid var(--pst-color-border, #8884); border-radius: 4px;
  margin: 0 0 1rem; min-width: 0; padding: 0.4rem 0.9rem 0.6rem; }
.exercise-quiz legend { float: left; font-size: 1rem; font-weight: 600; margin: 0 0 0.4rem;
  padding: 0; width: 100%; }
.exercise-quiz label { clear: both; cursor: pointer; display: flex; gap: 0.6rem;
  padding: 0.3rem 0; }
.exercise-quiz input { accent-color: var(--pst-color-primary, currentColor); flex: none;
  height: 1.1rem; margin: 0.2rem 0 0; width: 1.1rem; }
.exercise-quiz [role="status"] { border-left: 4px solid var(--pst-color-border, #888);
  margin: 0.4rem 0 0; padding: 0.1rem 0 0.1rem 0.8rem; }
.exercise-quiz [role="status"]:empty { display: none; }
.exercise-quiz [data-right="true"] { border-color: var(--pst-color-success, #0fa45c); }
.exercise-quiz [data-right="false"] { border-color: var(--pst-color-warning, #dc6512); }
"""
SCRIPT = """
for (const asked of document.querySelectorAll("#ID fieldset")) {
  const [answers, told] = [asked.querySelector("details"), asked.querySelector("[role=status]")];
  answers.hidden = true;
  asked.onchange = ({target}) => {
    const answer = answers.querySelectorAll("li")[target.value];
    told.textContent = answer.dataset.sign + answer.lastChild.textContent;
    told.dataset.right = answer.dataset.sign.startsWith("\u2713");
  };
}
"""
RIGHT, WRONG = "✓ Right. ", "✗ Not this one. "


@dataclass(frozen=True)
class Quiz:
    """Questions that show themselves as HTML; made by `quiz`."""

    chapter: str
    questions: list[dict[str, Any]]

    def __repr__(self) -> str:
        return "\n\n".join(
            "\n".join(
                [asked["question"], *(f"  - {option['text']}" for option in asked["options"])]
            )
            for asked in self.questions
        )

    def _repr_html_(self) -> str:
        name = f"quiz-{self.chapter}"
        asked = "".join(_fieldset(f"{name}-{i}", each) for i, each in enumerate(self.questions, 1))
        return (
            f'<div class="exercise-quiz" id="{name}"><style>{STYLE}</style>{asked}</div>'
            f"<script>{SCRIPT.replace('ID', name)}</script>"
        )


def quiz(chapter: str) -> Quiz:
    """Return the quiz of a chapter, which shows itself as the last expression of a cell.

    Args:
        chapter: its number, "02".

    Raises:
        ValueError: the chapter has no quiz.
    """
    folder = project_root() / "book" / "quizzes"
    file = folder / f"{chapter}.json"
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
        raise ValueError(f"chapter {chapter!r} has no quiz in {folder}; there are {there}")
    return Quiz(chapter, json.loads(file.read_text(encoding="utf-8")))


def _fieldset(name: str, asked: dict[str, Any]) -> str:
    """One question: a radio button for each option, and the reasons behind a click."""
    buttons, reasons = [], []
    for i, option in enumerate(asked["options"]):
        text, why = escape(option["text"]), escape(option["feedback"])
        sign = RIGHT if option.get("right") else WRONG
        buttons.append(
            f'<label><input type="radio" name="{name}" value="{i}"><span>{text}</span></label>'
        )
        reasons.append(
            f'<li data-sign="{sign}"><strong>{text}</strong> {sign}<span>{why}</span></li>'
        )
    return (
        f"<fieldset><legend>{escape(asked['question'])}</legend>{''.join(buttons)}"
        f'<p role="status"></p><details><summary>The answers</summary><ul>{"".join(reasons)}</ul>'
        "</details></fieldset>"
    )
