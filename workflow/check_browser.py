"""Open every page of a built book in Chromium and report what a reader would see go wrong.

Script errors, anything that is fetched from elsewhere, code that is cut at 1280 pixels, pages that
scroll sideways at 390, and letters with less contrast than WCAG AA asks, in both themes.

    python -m workflow.check_browser _build/html
    python -m workflow.check_browser _build/html --print _build/print
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urldefrag, urljoin
from urllib.request import urlopen

from bs4 import BeautifulSoup

from reidlab.files import find, write_bytes, write_text

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE, NARROW = 1280, 390
OPTIONS = "--headless --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-port=0"
PATIENCE = 60.0  # seconds for one page
SETTLE = 0.3  # seconds after which a page's scripts have run
SCRIPT = Path(__file__).with_suffix(".js")
"""What is measured on the page: `cut()` and `pale()`, lists of what to say."""


class Tab:
    """One tab of a running browser, spoken to over its debugging socket."""

    def __init__(self, address: str) -> None:
        from websocket import create_connection

        self.socket = create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self.numbers = itertools.count()
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method of the protocol; events that arrive meanwhile are kept."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": given}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            self.events.append(answer)
        return dict(answer["result"])

    def value(self, script: str) -> Any:
        """What a JavaScript expression is worth on the page."""
        given = {"expression": script, "returnByValue": True}
        return self.send("Runtime.evaluate", **given)["result"].get("value")

    def open(self, page: Path, width: int, theme: str) -> None:
        """Load a page at a width in CSS pixels, for a reader who prefers light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        prefers = [{"name": "prefers-color-scheme", "value": theme}]
        self.send("Emulation.setEmulatedMedia", features=prefers)
        self.events.clear()
        self.send("Page.navigate", url=page.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv()))
        time.sleep(SETTLE)
        self.value(SCRIPT.read_text())  # and collects what arrived


def chromium() -> str | None:
    """The path of a Chromium or Chrome on this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Tab]:
    """A tab of a browser of its own, closed afterwards.

    Raises:
        FileNotFoundError: no Chromium and no Chrome on this machine.
    """
    program = chromium()
    if program is None:
        raise FileNotFoundError(f"no browser: install one of {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *OPTIONS.split(), f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told, until = Path(profile, "DevToolsActivePort"), time.monotonic() + PATIENCE
            while not (told.is_file() and told.read_text().count("\n")):
                if process.poll() is not None or time.monotonic() > until:
                    raise OSError(f"{program} did not start")
                time.sleep(0.05)
            port = told.read_text().splitlines()[0]
            with urlopen(f"http://127.0.0.1:{port}/json") as answer:
                pages = [tab for tab in json.load(answer) if tab["type"] == "page"]
            yield Tab(pages[0]["webSocketDebuggerUrl"])
        finally:
            process.terminate()
            process.wait()


def check_page(tab: Tab, page: Path) -> Iterator[str]:
    """What a reader of one page would see go wrong."""
    tab.open(page, WIDE, "light")
    for event in tab.events:
        given = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            thrown = given["exceptionDetails"]
            yield "script error: " + thrown.get("exception", thrown).get(
                "description", thrown["text"]
            )
        elif event["method"] == "Log.entryAdded" and given["entry"]["level"] == "error":
            yield f"error: {given['entry']['text']}"
        elif event["method"] == "Network.requestWillBeSent":
            address = given["request"]["url"]
            if address.startswith(("http:", "https:")):
                yield f"fetches {address}"
    yield from (f"code is cut at {WIDE} px: {line}" for line in tab.value("cut()"))
    yield from (f"light theme, contrast {pale}" for pale in tab.value("pale()"))
    tab.open(page, WIDE, "dark")
    yield from (f"dark theme, contrast {pale}" for pale in tab.value("pale()"))
    tab.open(page, NARROW, "light")
    if (width := tab.value("document.documentElement.scrollWidth")) > NARROW:
        yield f"scrolls sideways at {NARROW} px: {width} px wide"


def whole(first: Path, out: Path) -> Path:
    """Write a built book as one page of HTML, and return its path.

    Pages follow one another by their links to the next. An id gets the name of its page in front,
    so that links lead inside; pictures, styles and scripts stay where they are.

    Args:
        first: the page that the others are put behind.
        out: the file.
    """
    pages: dict[str, Any] = {}
    at = first.resolve().as_uri()
    while at and at not in pages:
        with urlopen(at) as file:
            pages[at] = page = BeautifulSoup(file.read(), "html.parser")
        onward = page.select_one('link[rel="next"]')
        at = urljoin(at, str(onward["href"])) if onward else ""
    book, *others = pages.values()
    articles = {at: page.article for at, page in pages.items()}
    for at, article in articles.items():
        name = PurePosixPath(at).stem
        for tag in pages[at].select("[src], link[href]"):
            source = "src" if tag.has_attr("src") else "href"
            tag[source] = urljoin(at, tag[source])
        for tag in article.select("[id]"):
            tag["id"] = f"{name}-{tag['id']}"
        for tag in article.select("a[href]"):
            target, part = urldefrag(urljoin(at, tag["href"]))
            if target in pages:
                tag["href"] = "#" + "-".join(filter(None, (PurePosixPath(target).stem, part)))
        article.attrs |= {"id": name, "style": "break-before: page"}
    for page in others:  # MathJax is loaded by pages with formulas alone
        book.head.extend(tag for tag in page.head.select("script") if tag not in book.head)
    book.article.insert_after(*[*articles.values()][1:])
    return write_text(out, str(book))


def print_pdf(tab: Tab, page: Path, out: Path) -> Path:
    """Print a page to a PDF with bookmarks, its formulas set, and return the file."""
    tab.open(page, WIDE, "light")
    tab.socket.settimeout(10 * PATIENCE)  # a book of some hundred pages
    formulas = "window.MathJax?.startup?.promise"
    tab.send("Runtime.evaluate", expression=formulas, awaitPromise=True)
    looks = {"printBackground": True, "generateTaggedPDF": True, "generateDocumentOutline": True}
    return write_bytes(out, base64.b64decode(tab.send("Page.printToPDF", **looks)["data"]))


def main(argv: list[str] | None = None) -> int:
    """Tell every fault, or print the pages to PDF; exit status 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("html", type=Path)
    parser.add_argument(
        "--print", type=Path, help="folder for a PDF of each page and book.pdf, all in one"
    )
    given = parser.parse_args(argv)
    html = given.html
    pages = [page for part in ("book", "notebooks") for page in find(html / part, "*.html")]
    try:
        with browser() as tab:
            if given.print:
                pages.append(whole(html / "book/intro.html", given.print / "book.html"))
                for page in pages:
                    print(print_pdf(tab, page, given.print / f"{page.stem}.pdf"))
                return 0
            faults = [f"{page.stem}: {fault}" for page in pages for fault in check_page(tab, page)]
    except OSError as error:  # no browser, or no such pages
        print(f"error: {error}", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    print(f"looked at {len(pages)} pages: {len(faults)} faults")
    return 1 if faults or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
