"""Records of a place: the only source of a measured number on a page."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from reidlab.data import list_datasets
from reidlab.evaluation import PROTOCOLS
from reidlab.experiments import Runs
from reidlab.files import find, is_litter
from reidlab.record import SCHEMA, Record, RecordError, flatten
from reidlab.report.page import read_page


def records_at(where: str | Path) -> list[Record]:
    """The run records of a place.

    Args:
        where: a record; that of a page, for those of its runs; an experiment's results, of which
            levels may be chosen, as "book/results/vit_baseline/pku_reid.jsonl:start=shipped"; a
            folder (its record.json, else every record.json below it, else its *.json); or a
            pattern, "runs/*/record.json".

    Raises:
        RecordError: Nothing is there, or something that is no record.
        ValueError: No run has such a level.
    """
    name, _, choice = str(where).partition(".jsonl:")
    path = Path(f"{name}.jsonl" if choice else where)
    if path.suffix == ".jsonl" and path.is_file():
        levels = dict(part.partition("=")[::2] for part in choice.split(",") if part)
        return list(Runs.read(path).where(**levels).records)
    if path.is_file():
        return list(read_page(path)["records"])
    if path.is_dir():
        own = path / "record.json"
        found = [own] if own.is_file() else find(path, "**/record.json") or find(path, "*.json")
    else:
        names = sorted(glob.glob(str(where), recursive=True))
        found = [path for path in map(Path, names) if not is_litter(path.name)]
    if not found:
        raise RecordError(
            f"there is no run record at {where}; expected a record, a file of results (.jsonl), a "
            'folder with records below it, or a pattern in quotes, as "runs/*/record.json"'
        )
    return [record for each in found for record in records_at(each)]


def check_contribution(path: str | Path) -> int:
    """Assert that a file can enter `book/results/contributed`, and return how many runs it has.

    Raises:
        RecordError: It names all that is in the way.
    """
    runs = records_at(path)
    if not runs:
        raise RecordError(f"{path} holds no run; expected the record.json of a training")
    problems = [f"run {n}: {each}" for n, run in enumerate(runs, 1) for each in _problems(run)]
    if problems:
        raise RecordError(f"{path} cannot be contributed: {'; '.join(problems)}")
    return len(runs)


def _problems(run: Record) -> Iterator[str]:
    data, metrics = run["data"], run["metrics"]
    if run["schema"] != SCHEMA:
        yield f"schema is {run['schema']}, this version of reidlab takes {SCHEMA}"
    if not run["commit"] or run["dirty"] is not False:
        yield "the code was changed or is no git checkout; commit first, then run again"
    if run["experiment"].get("profile") == "smoke":
        yield "profile smoke only says that a page runs: take laptop or paper"
    if data["name"] not in list_datasets():
        yield f"data set {data['name']!r} is unknown, expected a layout of `data list`"
    if not re.fullmatch(r"[0-9a-f]{64}", str(data["fingerprint"])):
        yield f"fingerprint {data['fingerprint']!r} is none of this library's"
    if (protocol := data.get("protocol")) not in PROTOCOLS:
        yield f"protocol {protocol!r} is unknown, expected one of {', '.join(PROTOCOLS)}"
    if missing := [name for name in ("rank1", "mAP", "num_valid") if name not in metrics]:
        yield f"metrics without {', '.join(missing)}: evaluate the run"
    for name, value in flatten({part: run[part] for part in ("experiment", "data")}).items():
        if isinstance(value, str) and re.search(r"[/\\]", value):
            yield f"{name} is {value!r:.60}, which may be a folder of yours: run with a plain name"
