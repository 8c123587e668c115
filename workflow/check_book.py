"""Assert what a built book must be. A green build of a broken book is what this is for.

Checks look at artefacts, never at exit codes: the pages are those of _toc.yml; no traceback, no
unresolved glue; every image has an alt text and a file; links inside the book lead somewhere; edit
and Colab links name tracked files; each notebook's page shows its run record; a page stays small;
and the source notebooks have text between cells and no outputs (`workflow.grammar`).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup

from reidlab.files import WriteError, find, write_json
from workflow.grammar import check_notebook

ROOT = Path(__file__).resolve().parents[1]
MAX_PAGE_BYTES = 2_000_000
RECORD_FIELDS = ("profile", "commit", "seconds")
OWN_PAGES = {"index", "genindex", "search", "py-modindex", "prf-prf"}
"""Pages that Sphinx adds to those of the table of contents."""
SOURCE_LINK = re.compile(
    r"https://(?:github\.com/[^/]+/[^/]+/(?:edit|blob|raw)"
    r"|colab\.research\.google\.com/github/[^/]+/[^/]+/blob)/(?P<branch>[^/]+)/(?P<path>[^?#]+)"
)
FILE_NAME = re.compile(r"\S+\.(png|jpe?g|svg|gif|webp)|[0-9a-f]{16,}|(\.\./)*_images/\S+", re.I)


def toc_pages(toc: Path) -> list[str]:
    """Page names (no suffix) of a jb-book table of contents, the root first."""
    return list(_files(yaml.safe_load(toc.read_text())))


def _files(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _files(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("root", "file"):
                yield str(value).removesuffix(".md").removesuffix(".ipynb")
            else:
                yield from _files(value)


def check_html(html: Path, toc: Path, tracked: set[str], profile: str | None = None) -> list[str]:
    """All faults of a built book, each as "page: what is wrong".

    Args:
        html: folder of the built HTML.
        toc: the _toc.yml it was built from.
        tracked: files of the repository, as POSIX paths relative to its root.
        profile: the profile the book was asked for, if it is known.
    """
    expected = set(toc_pages(toc))
    pages = {
        page.relative_to(html).with_suffix("").as_posix(): page
        for page in find(html, "**/*.html")
        if not {"_static", "_sources"} & set(page.relative_to(html).parts)
    }
    faults = [f"{name}: in _toc.yml but not built" for name in sorted(expected - set(pages))]
    extra = sorted(set(pages) - expected - OWN_PAGES)
    faults += [f"{name}: built but not in _toc.yml" for name in extra if "_modules/" not in name]
    anchors: dict[Path, set[str]] = {}
    for name in sorted(expected & set(pages)):
        soup = _parsed(pages[name])
        found = [*check_page(pages[name], soup, html, anchors), *check_source_links(soup, tracked)]
        if name.startswith("notebooks/"):
            found += check_run_record(soup, profile)
        faults += [f"{name}: {fault}" for fault in found]
    return faults


def _parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def check_page(
    page: Path, soup: BeautifulSoup, html: Path, anchors: dict[Path, set[str]]
) -> Iterator[str]:
    """Faults of one page that need nothing but the built tree.

    Args:
        page: the page.
        soup: what its file holds.
        html: folder of the built HTML.
        anchors: cache of the ids of pages already read.
    """
    text = page.read_text(encoding="utf-8")
    if (size := page.stat().st_size) > MAX_PAGE_BYTES:
        yield f"weighs {size / 1e6:.1f} MB, more than {MAX_PAGE_BYTES / 1e6:.0f} MB"
    said = "".join(output.get_text() for output in soup.select(".cell_output"))
    marked = soup.select(".output.traceback, .cell_output .traceback")
    if marked or "Traceback (most recent call last)" in said:
        yield "shows a traceback"
    if str(ROOT) in text:
        yield f"shows {ROOT}, a folder of the machine that built it"
    if "google.colab" in soup.get_text():
        yield "shows the hidden cell for Colab"
    if "{glue" in text or "glue:" in _prose(soup) or soup.select(".pasted-text:empty"):
        yield "has glue that did not resolve"
    if soup.select(".problematic, .system-message"):
        yield "has markup that Sphinx could not resolve"
    for image in soup.find_all("img"):
        yield from _check_image(image, page, html)
    for link in soup.find_all("a", href=True):
        yield from _check_link(str(link["href"]), page, html, anchors)
    for element in soup.select("script[src], link[rel~=stylesheet][href]"):
        target = str(element.get("src", element.get("href")))
        if urlsplit(target).scheme or target.startswith("//"):
            yield f"loads {target} from elsewhere: it would not read well offline"
        elif not _resolve(target, page, html).exists():
            yield f"loads {target}, which is not there"


def _prose(soup: BeautifulSoup) -> str:
    """Text of a page's article without code, where glue roles may be talked about."""
    article = BeautifulSoup(str(soup.find("article") or soup), "html.parser")
    for code in article.find_all(["pre", "code", "script", "style"]):
        code.decompose()
    return article.get_text()


def _resolve(target: str, page: Path, html: Path) -> Path:
    path = unquote(urlsplit(target).path)
    return html / path.lstrip("/") if path.startswith("/") else page.parent / path


def _check_image(image: Any, page: Path, html: Path) -> Iterator[str]:
    source = str(image.get("src", ""))
    shown = source if len(source) < 80 else source[:60] + "..."
    alt = str(image.get("alt") or "").strip()
    if not alt:
        yield f"image {shown} has no alt text (cell metadata mystnb.image.alt, or :alt:)"
    elif FILE_NAME.fullmatch(alt) or alt == Path(urlsplit(source).path).stem:
        yield f"image {shown} has a file name as alt text: {alt!r}"
    scheme = urlsplit(source).scheme
    if scheme not in ("", "data"):
        yield f"image {shown} is loaded from elsewhere: it would not show offline"
    elif not scheme and not _resolve(source, page, html).is_file():
        yield f"image {shown} is not there"


def _check_link(href: str, page: Path, html: Path, anchors: dict[Path, set[str]]) -> Iterator[str]:
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return
    target = _resolve(href, page, html) if parts.path else page
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file():
        yield f"link {href} leads nowhere"
    elif parts.fragment and target.suffix == ".html":
        if target not in anchors:
            anchors[target] = {str(tag["id"]) for tag in _parsed(target).find_all(id=True)}
        if unquote(parts.fragment) not in anchors[target]:
            yield f"link {href} names an anchor that is not there"


def check_source_links(soup: BeautifulSoup, tracked: set[str]) -> Iterator[str]:
    """Edit and Colab links that name a file or a branch this repository does not have."""
    for link in soup.find_all("a", href=True):
        found = SOURCE_LINK.match(str(link["href"]))
        if found and found["branch"] != "main":
            yield f"link {link['href']} points at branch {found['branch']}, not main"
        elif found and unquote(found["path"]) not in tracked:
            yield f"link {link['href']} names a file that git does not track"


def check_run_record(soup: BeautifulSoup, profile: str | None) -> Iterator[str]:
    """Whether a notebook's page ends with the record of a run of this profile, if it is known."""
    boxes = soup.select("div.run-record")
    if not boxes:
        yield 'has no run record (<div class="run-record">, made by reidlab.report.page)'
    for box in boxes:
        for field in RECORD_FIELDS:
            if not str(box.get(f"data-{field}") or "").strip():
                yield f"its run record does not name the {field} (attribute data-{field})"
        seconds = str(box.get("data-seconds") or "0")
        if not re.fullmatch(r"\d+(\.\d+)?", seconds):
            yield f"its run record's seconds are no number: {seconds!r}"
        shown = box.get("data-profile")
        if profile and shown and shown != profile:
            yield f"its run record is of profile {shown!r}, the book of {profile!r}"
        if shown and str(shown) not in box.get_text():
            yield "its run record does not show the profile to the reader"


def tracked_files(root: Path) -> set[str]:
    """Files that git tracks; outside a repository (an unpacked archive) all files there are."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return set(listed.split("\0"))


def main(argv: list[str] | None = None) -> int:
    """Print every fault; exit status 1 if there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("html", type=Path)
    parser.add_argument("--report", type=Path, help="JSON written only if nothing is wrong")
    parser.add_argument("--profile", help="profile that the pages must name")
    arguments = parser.parse_args(argv)
    toc = ROOT / "_toc.yml"
    faults = check_html(arguments.html, toc, tracked_files(ROOT), arguments.profile)
    notebooks = find(ROOT / "notebooks", "*.ipynb")
    faults += [f"{nb.name}: {fault}" for nb in notebooks for fault in check_notebook(nb)]
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    pages = toc_pages(toc)
    if faults:
        print(f"{len(faults)} faults in {len(pages)} pages of {arguments.html}", file=sys.stderr)
        return 1
    print(f"checked {len(pages)} pages and {len(notebooks)} notebooks: nothing wrong")
    try:
        if arguments.report:
            write_json(arguments.report, {"pages": pages})
    except WriteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
