"""Model cards and a data card, in the form of model hubs: `python -m reidlab cards book/cards`.

Every number is read: from the records beside the weights, from `book/results`, from the files of
weights, from `World` and the sets of the course. Authors, version and licence are CITATION.cff's.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from reidlab.experiments import Runs, published
from reidlab.experiments.course import course_layouts, course_world
from reidlab.files import project_root, sha256, write_text
from reidlab.models.pretrained import shipped_weights
from reidlab.record import Record, read_record
from reidlab.report.findings import markdown_table
from reidlab.synth import PARTS, PRETRAINING_SEEDS, STYLES, VEHICLE_PARTS, World, layouts

_GROUNDS = {
    "arenas.plaza": "synthetic, people unlike (plaza)",
    "arenas.alike": "synthetic, people alike (alike)",
    "arenas.pku-folds": "real, PKU-Reid in folds (pku-folds)",
}
_PLACES = {
    "plaza": "synthetic, plaza",
    "mall": "synthetic, mall",
    "night-street": "synthetic, night street",
    "plaza-infrared": "synthetic, infrared asks visible",
    "pku-reid": "real, PKU-Reid",
}
_LINES = "\n".join
_HEADINGS = {"class_rank1": "Rank-1, class token", "class_mAP": "mAP", "rows_mAP": "mAP, rows"}
_ASKED = {
    "synth": "who a person is, what they wear, and what each patch shows; the strong start, which "
    "the chapters and users take",
    "plain": "what a person wears and carries, by its class token alone; nobody in its training "
    "has an identity. The plain start, from which methods are compared",
}
_PEOPLE = """## People in pictures

Nobody. All training pictures are rendered, of people who do not exist; no photograph, no scan of a
body and no generative model trained on photographs took part. Real people were only asked for in
evaluations, on PKU-Reid, and none of their pictures is shipped. Whom a system that finds people can
harm is the subject of the book's page *People in pictures*: read it before any use outside a class.
"""


def write_cards(out: str | Path) -> list[Path]:
    """Write the cards of the shipped weights and of the synthetic world into a folder.

    Raises:
        RecordError: A record is missing or malformed.
        OSError: CITATION.cff is missing, as where the project's folder is not at hand.
    """
    citation = yaml.safe_load((project_root() / "CITATION.cff").read_text(encoding="utf-8"))
    cards = {f"vit_tiny_{name}.md": model_card(name, citation) for name in _ASKED}
    cards["synthetic_world.md"] = data_card(citation)
    return [write_text(Path(out) / name, text) for name, text in cards.items()]


def model_card(name: str, citation: dict[str, Any]) -> str:
    """The card of shipped weights, "synth" or "plain", as Markdown with a YAML header."""
    file = shipped_weights(name)
    record = read_record(file.with_suffix(".json"))
    asked, data, where = record["experiment"], record["data"], record["environment"]
    tags = ["person-re-identification", "vision-transformer", "image-retrieval", "synthetic-data"]
    header = {"library_name": "timm", "pipeline_tag": "image-feature-extraction", "tags": tags}
    hours = sum(record["seconds"].values()) / 3600
    earlier = (
        f"It went on from an earlier file (`{asked['start']}`), whose cost is not in the record.\n"
        if asked.get("start")
        else ""
    )
    height, width = asked["image_size"]
    return f"""{_header(citation, header)}
# Weights: {file.stem}

A small vision transformer (`{asked["backbone"]}` of timm) for pictures of {height} x {width}
pixels, trained on rendered people only. It was asked {_ASKED[name]}.

## Model details

| what | of this file |
|---|---|
| file | `{file.name}`, {file.stat().st_size / 1e6:.1f} MB, SHA-256 `{sha256(file)[:16]}` |
| record | `{file.stem}.json`, commit `{(record["commit"] or "unknown")[:10]}` |
| input | RGB in [0, 1], normalised by a mean of 0.5 and a deviation of 0.5 |
| output | class token and patch tokens; descriptions are compared by cosine |
| versions | torch {where["torch"]}, timm {where["timm"]}, Python {where["python"]} |
| authors, licence | {_authors(citation)}; {citation["license"]} |

## Intended use

To teach and to study re-identification: as the start of the book's small networks, in this library
(`weights="{name}"`) or, after `python -m reidlab weights FILE`, in any program on timm.

## Out of scope

No search for real people, no surveillance, no decision about anybody. The network is far too weak
for it, as the tables below show, and nobody tested on whom its errors fall.

## Training data

{data["train_identities"]:,} rendered people, {data["train_images"]:,} pictures ({data["name"]}),
{asked["cameras"]:,} visible and {asked["infrared_cameras"]:,} infrared cameras;
{data["train_images_seen"]:,} pictures seen in {asked["steps"]:,} steps. Worlds of the weights have
seeds of their own, so nobody in an evaluation was trained on. Fingerprint
`{data["fingerprint"][:16]}`. The world has a card of its own.

## Evaluation

{_zero_shot() if name == "synth" else ""}**As a start.** The baseline's recipe,
trained from these weights on each ground: before is the class token without training, after the
mean over the seeds with its 95 % interval, in percent. Runs: `book/results/arenas`, those with the
SHA-256 of this file.

{_grounds(sha256(file))}

## Limits

Rendered people are simpler than real ones, and the gap shows in the rows of PKU-Reid, a small set
from one place. One training, one seed: what another training would give is not known. No
evaluation by groups of people was made. Laptop numbers compare methods, they are no benchmark.

{_PEOPLE}
## Environmental cost

{hours:.1f} hours on {where["cores"]} cores ({where["device"]}), {record["images_per_second"]:.0f}
pictures a second. Energy was not measured. {earlier}
{_cite(citation)}"""


def data_card(citation: dict[str, Any]) -> str:
    """The card of the synthetic world, as Markdown with a YAML header."""
    header = {
        "pretty_name": "The synthetic world of reidlab",
        "task_categories": ["image-feature-extraction"],
        "tags": ["person-re-identification", "synthetic-data", "vehicles", "infrared"],
    }
    told = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", inspect.getdoc(World) or "", re.M)
    texts = {name: " ".join(text.split()) for name, text in told}
    knobs = [f"| `{f.name}` | `{f.default}` | {texts[f.name]} |" for f in dataclasses.fields(World)]
    sets = [f"| {name} | {way} | {_turned(name)} |" for name, way in course_layouts().items()]
    records = [read_record(shipped_weights(name).with_suffix(".json")) for name in _ASKED]
    worlds = [
        f"| `{r['experiment']['variant']}` | {r['data']['train_identities']:,} | "
        f"{r['data']['train_images']:,} | `{r['data']['fingerprint'][:16]}` |"
        for r in records
    ]
    return f"""{_header(citation, header)}
# Data: the synthetic world

People and vehicles that do not exist, built of simple shapes, rendered by ray casting before
cameras with light, colour cast and lens of their own, in near infrared or thermal too. The data are
a program: a seed and some knobs give the same bytes on every machine of one kind.

## Contents

Pictures in the folders and names of a benchmark ({", ".join(layouts())}), with masks of
parts, `attributes.csv` (one row a picture: who, where, pose, garments, occlusion) and `world.json`
(every knob). Parts of people: {", ".join(PARTS)}. Of vehicles:
{", ".join(VEHICLE_PARTS)}. Styles: {", ".join(STYLES)}.

| knob | default | meaning |
|---|---|---|
{_LINES(knobs)}

## The sets of the book

Written on first use, by notebooks or `data_scripts/make_synthetic.py`; sizes of the laptop profile.

| set | layout | knobs that are set |
|---|---|---|
{_LINES(sets)}

Worlds behind the shipped weights have seeds from {PRETRAINING_SEEDS:,}, which no set of the book
uses:

| weights | people | pictures | fingerprint |
|---|---|---|---|
{_LINES(worlds)}

## Intended use

Controlled experiments: turn one knob, watch one effect; scores of heat maps against true masks;
teaching and tests without a download.

## Out of scope

A number on this world says how methods compare in it. It replaces no benchmark, and a method that
finds rendered people is not shown to find real ones.

## Limits

Few shapes of body, no faces, no crowds, no video, walls in place of streets. Garments and builds
are drawn at random and stand for no population: the world says nothing about groups of people.

{_PEOPLE}
## Environmental cost

A processor renders a chapter's set on first use. Energy was not measured.

{_cite(citation)}"""


def _turned(name: str) -> str:
    """The knobs of a set that differ from the world's own."""
    world = dataclasses.asdict(course_world("laptop", name))
    own = {f.name: f.default for f in dataclasses.fields(World)}
    return ", ".join(f"{knob} {value}" for knob, value in world.items() if value != own[knob])


def _header(citation: dict[str, Any], more: dict[str, Any]) -> str:
    values = {"license": citation["license"].lower(), "version": str(citation["version"])} | more
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def _authors(citation: dict[str, Any]) -> str:
    return ", ".join(author["name"] for author in citation["authors"])


def _cite(citation: dict[str, Any]) -> str:
    return f"""## How to cite

```bibtex
@software{{reidlab,
  title = {{{citation["title"]}}},
  author = {{{_authors(citation)}}},
  version = {{{citation["version"]}}},
  url = {{{citation["repository-code"]}}}
}}
```
"""


def _zero_shot() -> str:
    runs = Runs.read(published("pretraining.zero_shot")).records
    rows = [(_PLACES[run["levels"]["place"]], *_row(run)) for run in runs]
    head = ("people asked for", "queries", *_HEADINGS.values())
    return f"""**Without training**, on people the weights never saw, in percent, mAP with its 95 %
interval over people. Runs: `book/results/pretraining/zero_shot.jsonl`.

{markdown_table(head, rows, numbers=True)}

"""


def _row(run: Record) -> Iterator[str]:
    found = run["metrics"]
    yield str(found["num_valid"])
    for name in _HEADINGS:
        ends = [100 * found[f"{name}_{end}"] for end in ("low", "high") if f"{name}_{end}" in found]
        interval = " ({:.1f} to {:.1f})".format(*ends) if ends else ""
        yield f"{100 * found[name]:.1f}{interval}"


def _grounds(digest: str) -> str:
    rows = []
    for name, words in _GROUNDS.items():
        read = Runs.read(published(name))
        own = [r for r in read.records if r["experiment"].get("weights_sha256") == digest]
        runs = dataclasses.replace(read, records=tuple(own))
        before = runs.means({"": {}}, "before.class").iloc[0]
        after = runs.means({"": {}}).iloc[0]
        interval = f"{after['value']:.1f} ({after['low']:.1f} to {after['high']:.1f})"
        rows.append((words, f"{100 * before['value']:.1f}", interval, len(after["runs"])))
    return markdown_table(("ground", "before, mAP", "after, mAP", "seeds"), rows, numbers=True)
