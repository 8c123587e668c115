"""Tables from run records: the only source of a measured number on a page.

A record is the JSON file that `reidlab.training.fit` leaves beside its checkpoint. This module
reads the file and not the class, so that a record from an older version, or one that a reader
contributes, is checked by the same rules. Metrics are stored as shares in 0..1 and shown in
percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reidlab.record import Record, RecordError, flatten, is_share, read_record, total_seconds


def results_table(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return one row a run, in the order given.

    Args:
        paths: record files, or folders that are searched for `*.json` at any depth.

    Returns:
        Columns variant, preset, profile, data, seed, rank-1 (%), mAP (%), mINP (%), seconds,
        device, commit (short, with + where the tree was dirty) and record (the file).

    Raises:
        RecordError: if a file is not a record, or nothing is found.
    """
    asked = [Path(path) for path in paths]
    files = [
        file
        for path in asked
        for file in (sorted(path.rglob("*.json")) if path.is_dir() else [path])
    ]
    if not files:
        raise RecordError(
            f"no run record in {', '.join(map(str, asked)) or 'an empty list of paths'}: "
            "run the notebook or the script that trains first"
        )
    return pd.DataFrame([_row(read_record(file), file) for file in files])


def _row(record: Record, file: Path) -> dict[str, Any]:
    experiment, metrics = record["experiment"], record["metrics"]
    commit = (record["commit"] or "unknown")[:7] + ("+" if record["dirty"] else "")
    return {
        "variant": experiment.get("variant") or experiment.get("paper") or "unnamed",
        "preset": experiment.get("preset"),
        "profile": experiment.get("profile"),
        "data": record["data"]["name"],
        "seed": record["seed"],
        "rank-1 (%)": _percent(metrics.get("rank1")),
        "mAP (%)": _percent(metrics.get("mAP")),
        "mINP (%)": _percent(metrics.get("mINP")),
        "seconds": round(total_seconds(record), 1),
        "device": record["environment"].get("device"),
        "commit": commit,
        "record": file.name,
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def compare(a: Record, b: Record) -> pd.DataFrame:
    """Return what differs between two runs, and by how much their metrics do.

    Args:
        a: a record as `read_record` returns it.
        b: another one.

    Returns:
        Rows of (kind, name, a, b, difference): first every setting, seed, data and environment
        entry that differs, then every metric, in percent, with b - a.
    """
    rows: list[dict[str, Any]] = []
    for kind in ("experiment", "seed", "data", "environment", "commit"):
        left, right = (
            {"": r[kind]} if not isinstance(r[kind], Mapping) else r[kind] for r in (a, b)
        )
        flat_a, flat_b = flatten(left), flatten(right)
        for name in [*flat_a, *(n for n in flat_b if n not in flat_a)]:
            values = flat_a.get(name, "absent"), flat_b.get(name, "absent")
            if values[0] != values[1]:
                rows.append(dict(kind=kind, name=name or kind, a=values[0], b=values[1]))
    flat_a, flat_b = flatten(a["metrics"]), flatten(b["metrics"])
    for name in (n for n in flat_a if n in flat_b):
        scale = 100 if is_share(name) else 1
        pair = flat_a[name], flat_b[name]
        if all(isinstance(value, int | float) for value in pair):
            x, y = (round(scale * value, 2) for value in pair)
            rows.append(dict(kind="metric", name=name, a=x, b=y, difference=round(y - x, 2)))
    return pd.DataFrame(rows, columns=["kind", "name", "a", "b", "difference"])
