"""The cards say what records and files say, agree with CITATION.cff, and are up to date."""

import hashlib
import json
import re
import statistics

import pytest
import yaml

from reidlab.files import project_root
from reidlab.report.cards import write_cards

ROOT = project_root()
CARDS = ("vit_tiny_synth", "vit_tiny_plain", "synthetic_world")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    return {path.stem: path.read_text() for path in write_cards(tmp_path_factory.mktemp("cards"))}


def parts(card):
    _, header, text = card.split("---\n", 2)
    return yaml.safe_load(header), text


@pytest.mark.parametrize("name", CARDS)
def test_the_committed_cards_are_up_to_date(cards, name):
    committed = (ROOT / "book" / "cards" / f"{name}.md").read_text()
    assert committed == cards[name], "make them anew: python -m reidlab cards book/cards"


@pytest.mark.parametrize("name", CARDS)
def test_cards_and_citation_agree(cards, name):
    header, text = parts(cards[name])
    assert header["license"] == CITATION["license"].lower()
    assert header["version"] == CITATION["version"]
    for field in ("title", "version"):
        assert f"{field} = {{{CITATION[field]}}}" in text
    assert f"author = {{{CITATION['authors'][0]['name']}}}" in text
    for section in ("Intended use", "Out of scope", "Limits", "People in pictures", "How to cite"):
        assert f"\n## {section}\n" in text


def test_project_book_and_citation_agree():
    project = re.search(r"\[project\]\n(.*?)\n\[", (ROOT / "pyproject.toml").read_text(), re.S)[1]
    told = dict(re.findall(r'^(\w+) = "(.*)"$', project, re.M))
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    described = f"{told['name']} {told['description']} {config['title']}".lower()
    assert set(re.findall(r"\w+", CITATION["title"].lower())) == set(re.findall(r"\w+", described))
    assert (told["version"], told["license"]) == (CITATION["version"], CITATION["license"])
    author = CITATION["authors"][0]["name"]
    assert config["author"] == author
    assert f'authors = [{{ name = "{author}" }}]' in project
    assert config["repository"]["url"] == CITATION["repository-code"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:300]


@pytest.mark.parametrize(("name", "start"), [("synth", "strong"), ("plain", "plain")])
def test_numbers_are_those_of_the_records(cards, name, start):
    _, text = parts(cards[f"vit_tiny_{name}"])
    record = json.loads((ROOT / f"reidlab/weights/vit_tiny_{name}.json").read_text())
    weights = (ROOT / f"reidlab/weights/vit_tiny_{name}.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest()[:16] in text
    assert f"{record['data']['train_images']:,} pictures" in text
    assert (
        f"{record['seconds']['train'] / 3600:.1f} hours on {record['environment']['cores']}" in text
    )
    lines = (ROOT / "book/results/arenas/plaza.jsonl").read_text().splitlines()
    runs = [run for run in map(json.loads, lines) if run["levels"]["start"] == start]
    after = 100 * statistics.mean(run["metrics"]["mAP"] for run in runs)
    (row,) = re.findall(r"\| synthetic, people unlike \(plaza\) \|(.*)\|", text)
    before, found, seeds = row.split("|")
    assert float(before) == round(100 * runs[0]["after"]["before"]["class"], 1)
    assert float(found.split("(")[0]) == round(after, 1)
    assert int(seeds) == len(runs)


def test_the_data_card_has_every_knob(cards):
    from reidlab.synth import World

    rows = re.findall(r"^\| `(\w+)` \| `(.*)` \| (.+) \|$", cards["synthetic_world"], re.M)
    assert [name for name, *_ in rows] == list(World.__dataclass_fields__)
    assert ("identities", str(World().identities)) in [row[:2] for row in rows]
