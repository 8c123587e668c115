"""Slides of a small chapter that the test writes: what is on them; they load nothing."""

import json
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from reidlab.cli import app
from reidlab.report.slides import SlidesError, write_slides

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
FIRST = """# Toys: a <title>

*{cite:t}`doe2020toys` claim: toys help.*

## In one minute

The weight is $\\lambda_2$; see [the baseline](03_baseline.ipynb) and {ref}`a table <tab-x>`.

:::{admonition} On this page
:class: page-box

**You will** play.

| you need | where |
|---|---|
| a toy | anywhere |

**Minutes** 5 to read, 1 to run.
:::
"""


def markdown(text, tags=()):
    return {"cell_type": "markdown", "source": text, "metadata": {"tags": [*tags]}}


def code(data, *, tags=(), caption="", alt=""):
    shown = {"figure": {"caption": caption}, "image": {"alt": alt}} if caption else {}
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    metadata = {"mystnb": shown, "tags": [*tags]}
    return {"cell_type": "code", "source": "1", "metadata": metadata, "outputs": [output]}


CELLS = [
    markdown(FIRST),
    markdown("## Long story\n\nNot on a slide."),
    code({"image/png": PIXEL}, caption="Look at $x$.", alt='A "dot".'),
    code({"text/markdown": "**It helps by +2.0 points.**"}),
    code({"text/html": "<table><tr><td>left out</td></tr></table>"}),
    code({"text/html": "<table><tr><td>kept</td></tr></table>"}, tags=["slide"]),
    markdown("A sentence of the teacher.", ["slide"]),
    markdown("## Recap\n\n- One thing.\n\n**Further reading.** A book."),
    code({"text/html": '<div class="run-record">record</div>'}),
]


class Deck(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.slides, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self.slides.append("")
        self.attributes += [(tag, *attr) for attr in attrs]

    def handle_data(self, data):
        if self.slides:
            self.slides[-1] += data


def deck(tmp_path, cells=CELLS):
    path = tmp_path / "toys.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    count = write_slides(path, tmp_path / "toys.html")
    found = Deck((tmp_path / "toys.html").read_text())
    assert len(found.slides) == count
    return found


def test_what_stands_on_the_slides(tmp_path):
    slides = [" ".join(slide.split()) for slide in deck(tmp_path).slides]
    wanted = [
        ("Toys: a <title>", "Doe (2020) claim: toys help."),
        ("In one minute", "see the baseline and a table."),
        ("On this page", "You will play.", "Minutes 5 to read"),
        ("Long story", "Look at"),
        ("Long story", "It helps by +2.0 points."),
        ("Long story", "kept"),
        ("Long story", "A sentence of the teacher."),
        ("Recap", "One thing."),
        ("record",),
    ]
    assert len(slides) == len(wanted)
    for slide, texts in zip(slides, wanted, strict=True):
        assert all(text in slide for text in texts), slide
    whole = " ".join(slides)
    assert not any(text in whole for text in ("left out", "Not on a", "Further", "a toy", "{", "$"))


def test_pictures_have_their_text_and_nothing_is_loaded(tmp_path):
    attributes = deck(tmp_path).attributes
    assert ("img", "alt", 'A "dot".') in attributes
    assert ("svg", "aria-label", "\\lambda_2") in attributes
    sources = [
        value for _, name, value in attributes if name in ("src", "href") and value[0] != "#"
    ]
    assert sources == [f"data:image/png;base64,{PIXEL}"]
    assert "http" not in (tmp_path / "toys.html").read_text().replace("http://www.w3.org/", "")


def test_a_formula_that_cannot_be_drawn_stays_text(tmp_path):
    cells = [markdown("# T\n\nThe $\\oddcommand{x}$."), *CELLS[2:]]
    assert "\\oddcommand{x}" in deck(tmp_path, cells).slides[0]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([markdown("# T")], "was not executed"),
        ([markdown("no title"), CELLS[2]], "the first cell has no title"),
        (None, "is no notebook"),
    ],
)
def test_notebooks_without_slides(tmp_path, cells, message):
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": cells} if cells else []))
    with pytest.raises(SlidesError, match=message):
        write_slides(tmp_path / "x.ipynb", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_the_command(tmp_path):
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": CELLS}))
    found = CliRunner().invoke(app, ["slides", f"{tmp_path}/x.ipynb", f"{tmp_path}/x.html"])
    assert found.exit_code == 0, found.output
    assert found.output.startswith("9 slides")
    assert CliRunner().invoke(app, ["slides", "gone.ipynb", "x.html"]).exit_code == 1
