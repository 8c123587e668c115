"""The page that searches a folder: the search itself, over HTTP, and in a browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reidlab.app import KEPT, PictureFolder, serve
from reidlab.data import DatasetError
from reidlab.errors import ReidlabError
from workflow.check_browser import chromium

CHROMIUM = chromium()


def person(path, colour, seed):
    """A crop: a person-coloured box on grey, with some noise."""
    pixels = np.full((48, 24, 3), 120.0)
    pixels[8:40, 6:18] = colour
    pixels += np.random.default_rng(seed).normal(0, 4, pixels.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Two people in red and in blue, two pictures each, and a file that is no picture."""
    root = tmp_path_factory.mktemp("crops")
    for number, (who, colour) in enumerate({"red": (220, 30, 30), "blue": (30, 30, 220)}.items()):
        for shot in range(2):
            person(root / who / f"shot {shot} & <b>.png", colour, 2 * number + shot)
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def test_the_nearest_are_found_by_hand(crops):
    folder = PictureFolder(crops)
    assert folder.names == [f"{who}/shot {n} & <b>.png" for who in ("blue", "red") for n in (0, 1)]
    assert list(folder.left_out) == ["broken.jpg"]
    rows = [folder.vector(name).double().numpy() for name in folder.names]
    for name, row in zip(folder.names, rows, strict=True):
        cosine = [row @ x / np.sqrt(row @ row * (x @ x)) for x in rows]
        expected = sorted(zip(cosine, folder.names, strict=True), reverse=True)
        expected = [(score, other) for score, other in expected if other != name]
        found = folder.search(folder.vector(name), 3, without=name)
        assert [answer.name for answer in found] == [other for _, other in expected]
        np.testing.assert_allclose([a.score for a in found], [s for s, _ in expected], atol=1e-5)
        assert found[0].name.split("/")[0] == name.split("/")[0], "the same colours"
    name = folder.names[0]
    of_file = folder.vector(crops / name)
    torch.testing.assert_close(of_file, folder.vector(name), atol=1e-4, rtol=0)
    heats = folder.heat([crops / name, crops / folder.names[1]])
    assert [heat.size for heat in heats] == [(96, 192)] * 2


def test_embeddings_are_kept_and_a_changed_folder_is_noticed(crops, tmp_path, capsys, monkeypatch):
    root = shutil.copytree(crops, tmp_path / "mine")
    (root / KEPT).unlink(missing_ok=True)
    first = PictureFolder(root)
    assert "embedding 4 pictures" in capsys.readouterr().out
    again = PictureFolder(root)
    assert capsys.readouterr().out == ""
    assert torch.equal(again.vector(first.names[2]), first.vector(first.names[2]))
    person(root / "green" / "0.png", (30, 200, 30), 9)
    (root / first.names[0]).unlink()
    again.refresh()
    assert "embedding 1 pictures" in capsys.readouterr().out
    assert again.names == [*first.names[1:2], "green/0.png", *first.names[2:]]
    (root / KEPT).write_bytes(b"cut short")
    assert PictureFolder(root).names == again.names
    assert "embedding 4 pictures" in capsys.readouterr().out
    PictureFolder(root, "plain")
    assert "embedding 4 pictures" in capsys.readouterr().out, "other weights"
    assert [path.name for path in root.iterdir() if ".part" in path.name] == []


def test_what_cannot_be_searched(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="is no folder"):
        PictureFolder(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="holds no picture that can be read"):
        PictureFolder(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"holds no picture that can be read \(.*broken"):
        PictureFolder(tmp_path)
    with pytest.raises(ReidlabError, match="weights"):
        PictureFolder(tmp_path, tmp_path / "none.safetensors")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} is in use; .* --port {port + 1}"):
            serve(tmp_path, port)
    monkeypatch.setitem(sys.modules, "tornado.httpserver", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'reidlab\[app\]'"):
        serve(tmp_path)


@contextmanager
def served(folder):
    """The page of a folder, served by the command on a free port."""
    command = [sys.executable, "-m", "reidlab", "app", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    limit = threading.Timer(300, server.kill)
    limit.start()
    found = next((m[0] for line in server.stdout if (m := re.search(r"http://\S+", line))), None)
    yield found
    limit.cancel()
    server.kill()
    server.wait()


@pytest.fixture(scope="module")
def address(crops):
    with served(crops) as found:
        yield found


def fetch(url, **options):
    request = urllib.request.Request(url, **options)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read(), answer.headers


def uploaded(content):
    head = b'--x\r\nContent-Disposition: form-data; name="crop"; filename="a.png"\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    return {"data": head + content + b"\r\n--x--\r\n", "headers": form}


def test_the_page_over_http(address, crops):
    home, headers = fetch(address)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    links = re.findall(r'(?:href|src|action)="([^"]*)"', home.decode())
    assert all(link.startswith(("/", "#", "data:")) and link[:2] != "//" for link in links)
    assert "<script" not in home.decode()
    assert "<b>" not in home.decode(), "names are text"
    query = next(link for link in links if link.startswith("/?name=red"))
    result = fetch(address.rstrip("/") + query)[0].decode()
    ranked = re.findall(r"<span class=\"text\">\d\. (\w+)/", result)
    assert ranked[0] == "red"
    assert ranked[1:] == ["blue", "blue"]
    sent = fetch(address, **uploaded((crops / "blue/shot 1 & <b>.png").read_bytes()))[0].decode()
    assert re.findall(r"<span class=\"text\">\d\. (\w+)/", sent)[:2] == ["blue", "blue"]
    for wrong, code in (("?name=../secret", 404), ("picture?name=broken.jpg", 404)):
        with pytest.raises(urllib.error.HTTPError, match=str(code)):
            fetch(address + wrong)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        fetch(address, **uploaded(b"no picture"))
    for host in ("somewhere.example", "127.0.0.1.somewhere.example"):  # which leads here (DNS)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(address, headers={"Host": host})


def test_a_picture_that_went_is_not_found(crops, tmp_path):
    root = shutil.copytree(crops, tmp_path / "mine")
    with served(root) as page:
        name = re.findall(r"/picture\?name=[^\"&]+", fetch(page)[0].decode())[0]
        fetch(page.rstrip("/") + name)
        for picture in root.rglob("*.png"):
            picture.unlink()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(page.rstrip("/") + name)


def test_a_folder_that_was_emptied_is_said(crops, tmp_path):
    root = shutil.copytree(crops, tmp_path / "mine")
    with served(root) as page:
        fetch(page)
        picture = (root / "red/shot 0 & <b>.png").read_bytes()
        shutil.rmtree(root / "red")
        shutil.rmtree(root / "blue")
        for given in ({}, uploaded(picture)):
            with pytest.raises(urllib.error.HTTPError, match="404") as refused:
                fetch(page, **given)
            assert "mine holds no picture that can be read" in refused.value.read().decode()
        person(root / "green.png", (30, 200, 30), 9)
        assert "green.png" in fetch(page)[0].decode()


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="only Linux lists its sockets so")
def test_it_listens_on_this_machine_alone(address):
    port = f"{urllib.parse.urlsplit(address).port:04X}"
    tables = [Path(table) for table in ("/proc/net/tcp", "/proc/net/tcp6")]
    rows = [r.split() for table in tables if table.exists() for r in table.read_text().splitlines()]
    listening = [r[1] for r in rows if r[3] == "0A" and r[1].endswith(f":{port}")]
    assert listening == [f"0100007F:{port}"]


@pytest.mark.skipif(not CHROMIUM, reason="no chromium is installed")
def test_the_page_in_a_browser(address, tmp_path):
    query = urllib.parse.urlencode({"name": "red/shot 0 & <b>.png"})
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
               f"--user-data-dir={tmp_path}", f"{address}?{query}"]  # fmt: skip
    seen = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", seen, flags=re.S))
    assert "Answers for red/shot 0 &amp; &lt;b&gt;.png" in text
    assert "1. red/shot 1 &amp; &lt;b&gt;.png similarity 0." in text
