"""The browser's check finds each planted fault, and nothing on a right page. Needs a Chromium."""

import shutil

import pytest
from bs4 import BeautifulSoup

from workflow import check_browser

BROWSER = pytest.mark.skipif(
    not any(map(shutil.which, check_browser.NAMES)), reason="no Chromium on this machine"
)
PLANTED = {
    "<script>const a = 1</script><script>const a = 2</script>": "has already been declared",
    "<script>undefined.x</script>": "script error: TypeError",
    '<img src="gone.png"/>': "error: Failed to load resource",
    '<img src="http://127.0.0.1:9/a.png"/>': "fetches http://127.0.0.1:9/a.png",
    f'<div class="highlight"><pre style="overflow: auto">{"x" * 999}</pre></div>': "code is cut",
    '<p style="color: #999">pale</p>': "light theme, contrast 2.8:1: pale",
    '<div style="background: #0008"><p>on grey</p></div>': "light theme, contrast 4.",
    '<p style="color: #555">so</p>': "dark theme, contrast 2.5:1: so",
    '<div style="width: 600px">wide</div>': "scrolls sideways at 390 px: 6",
}


@pytest.fixture(scope="module")
def tab():
    with check_browser.browser() as opened:
        yield opened


def look(tab, folder, body):
    page = folder / "page.html"
    page.write_text(f"""<html><head><link rel="icon" href="data:,"><style>body {{ color: #111 }}
      @media (prefers-color-scheme: dark) {{ body {{ color: #eee; background: #111 }} }}
      </style></head><body><p>Right.</p>{body}</body></html>""")
    return list(check_browser.check_page(tab, page))


@BROWSER
def test_a_right_page(tab, tmp_path):
    assert look(tab, tmp_path, '<div class="highlight"><pre>short</pre></div>') == []


@BROWSER
@pytest.mark.parametrize(("body", "message"), PLANTED.items())
def test_a_planted_fault(tab, tmp_path, body, message):
    assert any(message in fault for fault in look(tab, tmp_path, body))


PAGES = {  # in the order of the links, which is not that of the names
    "book/intro": (
        '<link rel="next" href="../notebooks/01_b.html"><script src="../a.js"></script>',
        '<h1 id="top">Intro</h1><a href="../notebooks/01_b.html#top">b</a><a href="#top">up</a>'
        '<a href="https://example.org/#x">away</a><a href="../notebooks/00_a.html">a</a>',
    ),
    "notebooks/01_b": (
        '<link rel="next" href="00_a.html"><script src="../a.js"></script><script>m = 1</script>',
        '<h1 id="top">B</h1><img alt="" src="../_images/b.png"><img alt="" src="data:,">',
    ),
    "notebooks/00_a": ("", '<h1 id="top">A</h1><a href="../book/intro.html">first</a>'),
}


@pytest.fixture
def html(tmp_path):
    for name, (head, article) in PAGES.items():
        page = tmp_path / "html" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        body = f"<body><nav id='top'></nav><article>{article}</article></body>"
        page.write_text(f"<html><head>{head}</head>{body}</html>")
    return tmp_path / "html"


def test_all_pages_become_one(html, tmp_path):
    book = check_browser.whole(html / "book/intro.html", tmp_path / "out/book.html")
    page = BeautifulSoup(book.read_text(), "html.parser")
    assert [title.text for title in page.select("article h1")] == ["Intro", "B", "A"]
    ids = [tag["id"] for tag in page.select("[id]")]
    assert len(ids) == len({*ids})
    ends = {tag.text: page.find(id=tag["href"][1:]) for tag in page.select('a[href^="#"]')}
    assert {text: (end.name, end.select_one("h1") or end) for text, end in ends.items()} == {
        "b": ("h1", page.select("h1")[1]),
        "up": ("h1", page.select("h1")[0]),
        "a": ("article", page.select("h1")[2]),
        "first": ("article", page.select("h1")[0]),
    }
    assert page.select_one('a[href="https://example.org/#x"]')
    root = html.resolve().as_uri()
    sources = [tag["src"] for tag in page.select("[src]")]
    assert sources == [f"{root}/a.js", f"{root}/_images/b.png", "data:,"]
    assert [tag.text for tag in page.head.select("script")] == ["", "m = 1"]


@BROWSER
def test_printing(html, tmp_path):
    assert check_browser.main([str(html), "--print", str(tmp_path / "out")]) == 0
    made = {file.stem: file.read_bytes() for file in (tmp_path / "out").glob("*.pdf")}
    assert set(made) == {"intro", "00_a", "01_b", "book"}
    assert all(content.startswith(b"%PDF") for content in made.values())
    assert len(made["book"]) > max(len(made[name]) for name in ("intro", "00_a", "01_b"))


def test_without_a_browser(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check_browser, "NAMES", ())
    assert check_browser.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: no browser: install one of")
