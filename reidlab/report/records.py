"""Tables from run records: the only source of a measured number on a page.

A record is the JSON file that `reidlab.training.fit` leaves beside its checkpoint. This module
reads the file and not the class, so that a record from an older version, or one that a reader
contributes, is checked by the same rules. Metrics are stored as shares in 0..1 and shown in
percent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reidlab.record import RecordError

Record = Mapping[str, Any]

_NUMBER = (int, float)
FIELDS: dict[str, tuple[type, ...]] = {
    "schema": (int, str),
    "experiment": (dict,),
    "seed": (int,),
    "commit": (str, type(None)),
    "dirty": (bool, type(None)),
    "data": (dict,),
    "environment": (dict,),
    "metrics": (dict,),
    "seconds": (dict, *_NUMBER),
    "images_per_second": (dict, *_NUMBER, type(None)),
    "peak_memory_mb": (*_NUMBER, type(None)),
    "started": (str,),
    "finished": (str, type(None)),
    "history": (list,),
}
_SHARES = ("rank", "mAP", "mINP", "cmc")


def check_schema(record: object, source: str = "record") -> None:
    """Raise unless `record` has every field of a run record, with the right type.

    Args:
        record: the parsed JSON.
        source: how the message names it, such as the path.

    Raises:
        RecordError: naming each missing or malformed field.
    """
    if not isinstance(record, Mapping):
        raise RecordError(f"{source}: a run record is one JSON object, not {type(record).__name__}")
    problems = []
    for field, kinds in FIELDS.items():
        if field not in record:
            problems.append(f"`{field}` is missing")
        elif not isinstance(record[field], kinds) or (
            isinstance(record[field], bool) and bool not in kinds
        ):
            names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            problems.append(f"`{field}` is {record[field]!r:.60}, expected {names}")
    if isinstance(record.get("data"), Mapping):
        problems += [
            f"`data.{name}` is missing"
            for name in ("name", "fingerprint")
            if name not in record["data"]
        ]
    if isinstance(record.get("metrics"), Mapping):
        problems += [
            f"`metrics.{name}` is {value}, expected a share in 0..1 (not percent)"
            for name, value in flatten(record["metrics"]).items()
            if is_share(name) and not (isinstance(value, _NUMBER) and 0 <= value <= 1)
        ]
    if problems:
        raise RecordError(
            f"{source} is not a run record: " + "; ".join(problems) + ". Write records with "
            "reidlab.training.fit and do not edit them by hand."
        )


def read_record(path: str | Path) -> dict[str, Any]:
    """Return the record in a JSON file.

    Raises:
        RecordError: if the file is missing, is not JSON, or is not a run record.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(
            f"{path} does not exist: the run that writes it has not finished"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is not JSON ({error}): delete it and run again") from None
    check_schema(record, str(path))
    return dict(record)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names: {"a": {"b": 1}} gives {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def is_share(metric: str) -> bool:
    """Whether a metric, by its dotted name, is a share of 1, which is shown in percent."""
    return metric.rsplit(".", 1)[-1].startswith(_SHARES)


def total_seconds(record: Record) -> float:
    """Return the seconds of a run: its parts (train, embed, rank) summed where it has parts."""
    seconds = record["seconds"]
    return float(sum(seconds.values()) if isinstance(seconds, Mapping) else seconds)


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
        if all(isinstance(value, _NUMBER) for value in pair):
            x, y = (round(scale * value, 2) for value in pair)
            rows.append(dict(kind="metric", name=name, a=x, b=y, difference=round(y - x, 2)))
    return pd.DataFrame(rows, columns=["kind", "name", "a", "b", "difference"])
