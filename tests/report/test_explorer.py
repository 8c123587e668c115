"""The explorer's data against loops over distances of its own; its page in a browser."""

import base64
import io
import json
import math
import subprocess
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image

from reidlab import recipes
from reidlab.data import open_dataset
from reidlab.models import create_model
from reidlab.report.explorer import SETTINGS, explore, searchers
from reidlab.synth import World, write_dataset
from reidlab.training import build_model, fit
from workflow.check_browser import chromium

CHROMIUM = chromium()
TOP = 8
RUNS = {
    "la_transformer": "04_la_transformer",
    "transmatcher": "08_transmatcher/TransMatcher",
}


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    """Runs of the two chapters, as small as they can be."""
    folder = tmp_path_factory.mktemp("runs")
    world = World(seed=5, identities=8, cameras=2, resolution=(64, 32))
    write_dataset("market1501", folder / "data", world)
    ds = open_dataset("market1501", folder / "data")
    for paper, run in RUNS.items():
        recipe = recipes.get(paper, "smoke").replace(epochs=1, workers=0, identities_per_batch=4)
        fit(build_model(recipe, ds), ds, recipe, out=folder / run)
    return folder


@pytest.fixture(scope="module")
def searching(chapters):
    found, missing = searchers(chapters)
    assert not missing
    return found


@pytest.fixture(scope="module")
def explorer(searching):
    return explore(searching, "smoke")


@pytest.fixture(scope="module")
def rendered(explorer):
    """Id of a setting -> the pictures that its numbers must come from, queries first."""
    queries, gallery = explorer.data["queries"], explorer.data["gallery"]
    keys = [(*key, 1) for key in queries] + [(*key, 0) for key in gallery]
    worlds = {name: replace(explorer.world, **knobs) for name, (*_, knobs) in SETTINGS.items()}
    return {name: world.render(keys).images for name, world in worlds.items()}


def colours(image):
    """Counts of 64 colours in the middle half, one pixel after another."""
    middle = image[:, 16:48].reshape(-1, 3).tolist()
    return Counter(tuple(value // 64 for value in pixel) for pixel in middle)


def colour_likeness(images, queries):
    counts = [colours(image) for image in images]
    pixels = 128 * 32
    return [
        [sum(math.sqrt(q[c] * g[c]) for c in q) / pixels for g in counts[queries:]]
        for q in counts[:queries]
    ]


def vit_likeness(images, queries):
    model = create_model("vit_baseline", num_classes=3, image_size=(128, 64), weights="synth")
    pixels = torch.tensor(images.transpose(0, 3, 1, 2) / 127.5 - 1, dtype=torch.float32)
    with torch.no_grad():
        tokens = model.eval().backbone(pixels).patches.double().numpy()
    means = [sum(image) / len(image) for image in tokens]
    unit = [mean / math.sqrt(sum(mean * mean)) for mean in means]
    return [[float(sum(q * g)) for g in unit[queries:]] for q in unit[:queries]]


@pytest.mark.parametrize(("number", "likeness"), [(0, colour_likeness), (1, vit_likeness)])
def test_the_lists_are_those_of_loops(explorer, rendered, number, likeness):
    queries, gallery = explorer.data["queries"], explorer.data["gallery"]
    for setting in explorer.data["settings"]:
        result = setting["results"][number]
        firsts, precisions, before_it = [], [], 0
        for i, row in enumerate(likeness(rendered[setting["id"]], len(queries))):
            pid, camid = queries[i]
            seen = [j for j, (p, c) in enumerate(gallery) if not (p == pid and c == camid)]
            assert len(seen) == len(gallery) - 1, "one picture is of the same person and camera"
            order = sorted(seen, key=lambda j: (-row[j], j))
            shown = result["lists"][i]
            assert shown == order[:TOP] or np.allclose(
                [row[j] for j in shown], [row[j] for j in order[:TOP]], atol=1e-5
            )  # a swap of equals
            places = [r for r, j in enumerate(order, start=1) if gallery[j][0] == pid]
            firsts.append(places[0])
            before_it += gallery[order[0]][1] == camid
            precisions.append(sum(n / r for n, r in enumerate(places, start=1)) / len(places))
        assert result["first"] == firsts
        assert result["own_camera"] == pytest.approx(before_it / len(queries), abs=1e-4)
        assert result["rank1"] == pytest.approx(firsts.count(1) / len(firsts), abs=1e-4)
        assert result["mAP"] == pytest.approx(sum(precisions) / len(precisions), abs=1e-4)


def test_own_camera_is_left_out_everywhere(explorer):
    queries, gallery = explorer.data["queries"], explorer.data["gallery"]
    for setting in explorer.data["settings"]:
        assert len(setting["results"]) == len(RUNS) + 2
        for result in setting["results"]:
            assert len(result["lists"]) == len(queries)
            for (pid, camid), shown in zip(queries, result["lists"], strict=True):
                assert len(shown) == len(set(shown)) == TOP
                assert [pid, camid] not in [[*gallery[j]] for j in shown]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_parts_add_up_to_the_score(searching, rendered, number):
    searcher = searching[number]
    described = searcher.embed(rendered["as-it-is"])
    scores = searcher.score(described[:1], described[1:])[0]
    parts = searcher.parts(described[0], described[1:])
    assert parts.shape[1:] in ((8, 4), (4, 1)), "places of the picture, or rows"
    assert torch.allclose(parts.sum((1, 2)).double(), scores.double(), atol=1e-5)
    assert parts.std() > 0


def test_heat_has_a_digit_for_each_part(explorer):
    for setting in explorer.data["settings"]:
        for result in setting["results"]:
            cells = math.prod(result["grid"])
            for line in result["heat"]:
                maps = [line[i : i + cells] for i in range(0, len(line), cells)]
                assert len(maps) == TOP
                assert all({"0", "f"} <= set(one) for one in maps)
                assert set(line) <= set("0123456789abcdef")


def test_the_sheet_holds_every_picture(explorer, rendered):
    width, height = explorer.data["size"]
    columns = explorer.data["columns"]
    for setting in explorer.data["settings"]:
        kind, packed = setting["sheet"].split(",")
        assert kind == "data:image/webp;base64"
        sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))).convert("RGB"))
        for index, image in enumerate(rendered[setting["id"]]):
            x, y = width * (index % columns), height * (index // columns)
            cell = sheet[y : y + height, x : x + width].astype(float)
            assert cell.shape == image.shape
            assert np.abs(cell - image).mean() < 12, "packed, and the same picture"
        assert set(setting["clothes"]) == {pid for pid, _ in explorer.data["gallery"]}


def test_the_page_is_small_and_needs_nothing_else(explorer):
    page = explorer._repr_html_()
    assert len(page.encode()) < 2_000_000 / 5, "40 people must fit into 2 MB"
    text = page.replace("data:image/webp;base64,", "")
    assert not [word for word in ("http:", "https:", "fetch(", "import(", "src=") if word in text]
    soup = BeautifulSoup(page, "html.parser")
    assert json.loads(soup.select_one(".explorer script").string)["size"] == [64, 128]


def test_the_same_bytes_twice(searching, explorer):
    again = explore(searching[:1], "smoke")
    for one, other in zip(explorer.data["settings"], again.data["settings"], strict=True):
        assert one["sheet"] == other["sheet"]
        assert one["results"][0] == other["results"][0]
    assert again.fingerprint() == explorer.fingerprint()
    assert explore([], "smoke", seed=1).fingerprint() != explorer.fingerprint()


def test_chapters_that_did_not_run_are_named(tmp_path):
    found, missing = searchers(tmp_path)
    assert [one.name for one in found] == ["Colours", "ViT"]
    assert missing == ["LA-Transformer", "TransMatcher"]


def opened(explorer, folder, address, *keys):
    """The page in a browser, at an address, after some keys on the picked match."""
    press = "".join(
        "document.querySelector('[aria-pressed=true]').dispatchEvent("
        f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}));"
        for key in keys
    )
    page = folder / "page.html"
    head = "<!doctype html><meta charset='utf-8'>"
    page.write_text(f"{head}{explorer._repr_html_()}<script>{press}</script>", encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={folder / 'browser'}", page.as_uri() + address],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return BeautifulSoup(done.stdout, "html.parser")


browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt install chromium")


@browser
def test_an_address_opens_its_state(explorer, tmp_path):
    page = opened(explorer, tmp_path, "#query=3&knob=night&match=2.1")
    setting = {one["id"]: one for one in explorer.data["settings"]}["night"]
    said = page.select_one("[role=status]").text
    assert said.startswith("Query 3, night.")
    for searcher, result in zip(explorer.data["searchers"], setting["results"], strict=True):
        assert f"{searcher['name']}: first right match at rank {result['first'][2]}" in said
    sections = page.select(".ex-lists section")
    gallery, pid = explorer.data["gallery"], explorer.data["queries"][2][0]
    for section, result in zip(sections, setting["results"], strict=True):
        right = [gallery[j][0] == pid for j in result["lists"][2]]
        marks = [button.select_one(".ex-mark").text for button in section.select("button")]
        assert marks == ["✓" if one else "✗" for one in right]
        labels = [button["aria-label"] for button in section.select("button")]
        assert [": right;" in label for label in labels] == right
        assert f"Rank-1 {100 * result['rank1']:.0f} %" in section.text
    assert len(page.select("canvas")) == TOP * len(sections) + 1


@browser
def test_keys_and_labels(explorer, tmp_path):
    page = opened(explorer, tmp_path, "#query=2&match=1.1", "ArrowDown", "ArrowRight", "ArrowRight")
    (picked,) = page.select("[aria-pressed=true]")
    assert picked["aria-label"].startswith("ViT, rank 3: ")
    groups = page.select("fieldset")
    assert [group.legend.text for group in groups] == ["The world", "Pick a query"]
    assert [len(group.select("input[type=radio]")) for group in groups] == [5, 3]
    for control in page.select("input"):
        assert (control.get("aria-label") or control.find_parent("label").text).strip()
    for image in page.select("[role=img]"):
        assert image["aria-label"].split(": ")[1]


@browser
def test_nonsense_in_the_address_is_left_out(explorer, tmp_path):
    page = opened(explorer, tmp_path, "#query=99&knob=snow&match=7.x&heat=0")
    assert page.select_one("[role=status]").text.startswith("Query 1, as it is.")
    assert not page.select("canvas")
