"""The browser's check finds each planted fault, and nothing on a right page. Needs a Chromium."""

import shutil

import pytest

from workflow import check_browser

pytestmark = pytest.mark.skipif(
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


def test_a_right_page(tab, tmp_path):
    assert look(tab, tmp_path, '<div class="highlight"><pre>short</pre></div>') == []


@pytest.mark.parametrize(("body", "message"), PLANTED.items())
def test_a_planted_fault(tab, tmp_path, body, message):
    assert any(message in fault for fault in look(tab, tmp_path, body))
