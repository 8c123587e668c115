"""Records as a table: the only source of a measured number on a page."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from reidlab.experiments import Runs
from reidlab.files import find, is_litter
from reidlab.record import Record, RecordError, total_seconds
from reidlab.report.page import read_page

SHOWN = {"rank1": "rank-1 (%)", "mAP": "mAP (%)", "mINP": "mINP (%)"}


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
        levels = dict(part.split("=") for part in choice.split(",") if part)
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


def results_table(records: Iterable[Record | str | Path]) -> pd.DataFrame:
    """Return one row a run, in the order given.

    Args:
        records: runs, or what `records_at` takes.

    Returns:
        Columns variant, preset, profile, data, seed, rank-1 (%), mAP (%), mINP (%), seconds,
        device, commit (short, with + where the tree was dirty), and a column for each factor of
        runs of an experiment.

    Raises:
        RecordError: if a file is not a record, or nothing is found.
    """
    runs = [
        run
        for each in records
        for run in (records_at(each) if isinstance(each, str | Path) else [each])
    ]
    if not runs:
        raise RecordError("no run record: run the notebook or the experiment that trains first")
    return pd.DataFrame([_row(run) for run in runs])


def _row(record: Record) -> dict[str, Any]:
    experiment = record["experiment"]
    shares = {title: record["metrics"].get(name) for name, title in SHOWN.items()}
    return {
        "variant": experiment.get("variant") or experiment.get("paper") or "unnamed",
        "preset": experiment.get("preset"),
        "profile": experiment.get("profile"),
        "data": record["data"]["name"],
        "seed": record["seed"],
        **{title: None if x is None else round(100 * x, 2) for title, x in shares.items()},
        "seconds": round(total_seconds(record), 1),
        "device": record["environment"].get("device"),
        "commit": (record["commit"] or "unknown")[:7] + ("+" if record["dirty"] else ""),
        **record.get("levels", {}),
    }
