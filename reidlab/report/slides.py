"""Slides of an executed chapter: `python -m reidlab slides EXECUTED.ipynb OUT.html`.

One file that loads nothing: pictures and formulas are inside, a page break stands between slides,
and a browser prints it as a PDF of 16:9. On slides stand the claim, the sections *In one minute*,
*What we found* and *Recap*, the objectives, each figure with its caption, each computed sentence,
whatever cell is tagged `slide`, and the record of the run.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reidlab.errors import ReidlabError
from reidlab.files import write_text

SECTIONS = ("In one minute", "What we found", "Recap")
_BOX = re.compile(r"^:::\{admonition\} (.*?)\n(.*?)^:::$", re.M | re.S)
_PARAGRAPH = "\n\n"
_STYLE = """
@page {size: 1280px 720px; margin: 0}
html {scroll-snap-type: y proximity; font: 26px/1.45 system-ui, sans-serif; color: #222}
body {margin: 0}
section {box-sizing: border-box; height: 100vh; padding: 5vh 6vw; overflow: hidden;
  display: flex; flex-direction: column; justify-content: center; gap: 2vh;
  scroll-snap-align: start; break-after: page; border-bottom: 1px solid #ddd}
section > h2 {font-size: 1.1em; color: #555; margin: 0}
h1 {font-size: 2em; margin: 0} p, ul, ol, blockquote {margin: .3em 0}
figure {margin: 0; min-height: 0; display: flex; flex-direction: column; gap: 2vh}
figure img {max-width: 100%; min-height: 0; object-fit: contain}
figcaption {font-size: .75em; flex: none}
table {border-collapse: collapse; font-size: .8em} td, th {padding: .2em .8em; text-align: left}
.long {font-size: .75em} .run-record {font-size: .7em} dl > div {display: flex; gap: 1em}
dt {min-width: 6em; font-weight: bold} dd {margin: 0}
"""


class SlidesError(ReidlabError):
    """A notebook of which no slides can be made."""


def write_slides(executed: str | Path, out: str | Path) -> int:
    """Write the slides of an executed notebook, and return how many there are.

    Raises:
        SlidesError: The file is no notebook, was not executed, or has no title.
    """
    try:
        notebook = json.loads(Path(executed).read_text(encoding="utf-8"))
        cells = notebook["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SlidesError(f"{executed} is no notebook ({error}): name an .ipynb file") from None
    if not any(cell.get("outputs") for cell in cells):
        raise SlidesError(
            f"{executed} was not executed, so it has no figures. Run it first: "
            f"python workflow/run_notebook.py {executed} executed.ipynb"
        )
    head = re.match(r"# (.*)\n+((?:.+\n?)*)", _source(cells[0]))
    if head is None:
        raise SlidesError(f"{executed}: the first cell has no title; it begins with '# '")
    title, claim = head.groups()
    slides = [f"<h1>{_inline(title)}</h1>{_html(claim)}"]
    for slide in _slides(cells):
        if slides[-1].endswith(":</p>\n</div>") and "</h2>" in slide:  # announces what follows
            slides[-1] += slide.split("</h2>", 1)[1]
        else:
            slides.append(slide)
    body = "\n".join(f'<section id="s{n}">{each}</section>' for n, each in enumerate(slides, 1))
    page = f'<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    write_text(out, f"<!doctype html>{page}<style>{_STYLE}</style>{body}</html>\n")
    return len(slides)


def _slides(cells: list[dict[str, Any]]) -> Iterator[str]:
    """The slides after the first, in the order of the chapter."""
    section = ""
    for cell in cells:
        tagged = "slide" in cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code":
            for shown in _outputs(cell, tagged):
                yield shown if "run-record" in shown else f"<h2>{_inline(section)}</h2>{shown}"
            continue
        for part in re.split(r"^(?=## )", _source(cell), flags=re.M):
            if found := re.match(r"## (.*)\n?", part):
                section, part = found[1], part[found.end() :]
            elif part.startswith("# "):
                continue
            text = re.split(r"^\*\*Further reading", _BOX.sub("", part), flags=re.M)[0].strip()
            if text and (section in SECTIONS or tagged):
                long = " class=long" if len(text) > 700 else ""
                yield f"<h2>{_inline(section)}</h2><div{long}>{_html(text)}</div>"
            for name, text in _BOX.findall(part):
                if "page-box" in text:
                    told = [p for p in text.split("\n\n") if p.startswith("**")]
                    yield f"<h2>{_inline(name)}</h2>{_html(_PARAGRAPH.join(told))}"


def _outputs(cell: dict[str, Any], tagged: bool) -> Iterator[str]:
    """Figures, computed sentences, the run record; of a tagged cell also its table."""
    shown = cell["metadata"].get("mystnb", {})
    caption = shown.get("figure", {}).get("caption", "")
    alt = html.escape(shown.get("image", {}).get("alt", caption), quote=True)
    for output in cell.get("outputs", []):
        data = {kind: "".join(text) for kind, text in output.get("data", {}).items()}
        if "image/png" in data:
            source = f"data:image/png;base64,{data['image/png'].replace(chr(10), '')}"
            picture = f'<img src="{source}" alt="{alt}">'
            yield f"<figure>{picture}<figcaption>{_inline(caption)}</figcaption></figure>"
        elif "text/markdown" in data:
            yield _html(data["text/markdown"])
        elif "text/html" in data and (tagged or "run-record" in data["text/html"]):
            yield data["text/html"]


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _inline(text: str) -> str:
    return re.sub(r"^<p>|</p>\s*$", "", _html(text))


def _html(text: str) -> str:
    """MyST as HTML: roles and links as their words, formulas as pictures of their own."""
    from markdown_it import MarkdownIt

    formulas: list[str] = []

    def formula(found: re.Match[str]) -> str:
        formulas.append(_formula(found[1] or found[2]))
        return f"FORMULA{len(formulas) - 1};"

    text = re.sub(
        r"\{cite:[tp]\}`([a-z]+)(\d{4})\w*`", lambda c: f"{c[1].capitalize()} ({c[2]})", text
    )
    text = re.sub(r"\{[\w:-]+\}`(?:([^`<]*?) *<[^`]*>|([^`]*))`", r"\1\2", text)
    text = re.sub(r"(?<!!)\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\$\$(.+?)\$\$(?: *\([\w-]+\))?|\$([^$\n]+)\$", formula, text, flags=re.S)
    shown = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return re.sub(r"FORMULA(\d+);", lambda found: formulas[int(found[1])], shown)


def _formula(tex: str) -> str:
    """A formula as SVG by matplotlib; as its source where that has no such command."""
    from matplotlib.mathtext import math_to_image

    drawn, tex = io.BytesIO(), " ".join(tex.split())
    try:
        depth = math_to_image(f"${tex}$", drawn, dpi=72, format="svg")  # letters of 10 points
    except ValueError:
        return f"<code>{html.escape(tex)}</code>"
    svg = re.sub(r"<(metadata|style).*?</\1>", "", drawn.getvalue().decode(), flags=re.S)
    place = f'<svg role="img" aria-label="{html.escape(tex)}" style="vertical-align: '
    svg = svg[svg.index("<svg") :].replace("<svg", f'{place}{-depth / 10:.2f}em"', 1)
    return re.sub(r'="([\d.]+)pt"', lambda size: f'="{float(size[1]) / 10:.2f}em"', svg, count=2)
