"""A question has one right option and a reason for each; it needs neither mouse nor script."""

import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from reidlab.files import project_root
from reidlab.report import Quiz, quiz

FILES = sorted((project_root(Path(__file__)) / "book/quizzes").glob("*.json"))
QUESTIONS = [asked for file in FILES for asked in json.loads(file.read_text(encoding="utf-8"))]
LINE = 200  # letters that a reader takes in at once


def test_each_chapter_has_three_questions():
    assert {f"0{chapter}" for chapter in range(9)} <= {file.stem for file in FILES}
    assert {len(json.loads(file.read_text())) for file in FILES} == {3}
    assert len({asked["question"] for asked in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: asked["question"][:40])
def test_a_question_is_well_formed(asked):
    options = asked["options"]
    assert set(asked) == {"question", "options"}
    assert all(set(option) - {"right"} == {"text", "feedback"} for option in options)
    assert [option["right"] for option in options if "right" in option] == [True]
    for part in ("text", "feedback"):
        assert len({option[part].strip().lower() for option in options}) == len(options) >= 3
    assert all(option["feedback"].endswith(".") for option in options)
    assert all(0 < len(text) <= LINE for option in options for text in option.values()
               if isinstance(text, str))  # fmt: skip


def test_neither_place_nor_length_gives_the_right_one_away():
    ranks = []
    for asked in QUESTIONS:
        by_length = sorted(asked["options"], key=lambda option: len(option["text"]))
        right = next(option for option in asked["options"] if "right" in option)
        ranks.append((asked["options"].index(right), by_length.index(right)))
    for seen in zip(*ranks, strict=True):
        assert max(map(seen.count, seen)) < 0.6 * len(QUESTIONS)


def test_html():
    options = [
        {"text": "a < b", "feedback": "No <b>."},
        {"text": "b", "feedback": "So.", "right": True},
    ]
    text = Quiz("02", [{"question": "Is a & b?", "options": options}] * 2)._repr_html_()
    soup = BeautifulSoup(text, "html.parser")
    assert [legend.get_text() for legend in soup.find_all("legend")] == ["Is a & b?"] * 2
    assert len({radio["name"] for radio in soup.select("label > input[type=radio]")}) == 2
    for asked in soup.find_all("fieldset"):
        assert [label.get_text() for label in asked.find_all("label")] == ["a < b", "b"]
        assert [radio["value"] for radio in asked.find_all("input")] == ["0", "1"]
        assert asked.select_one("p[role=status]").get_text() == ""
        told = [item.get_text() for item in asked.select("details li")]
        assert told == ["a < b ✗ Not this one. No <b>.", "b ✓ Right. So."]
    (script,) = soup.find_all("script")
    assert f'"#{soup.div["id"]} fieldset"' in script.get_text(), "of this quiz alone"
    assert not soup.find_all(src=True)
    assert not soup.find_all(href=True)


def test_a_chapter_without_a_quiz(monkeypatch, tmp_path):
    assert len(quiz("08").questions) == 3
    assert repr(quiz("00")).startswith("Why not train a classifier")
    with pytest.raises(ValueError, match=r"'99' has no quiz in .*; there are 00, 01"):
        quiz("99")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="there are none"):
        quiz("00")
