"""What a benchmark says of the machine it ran on, and how it leaves that behind."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from reidlab.files import atomic
from reidlab.record import git_commit


def machine() -> str:
    """Name of the processor, cores, versions, and how busy the machine is."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        name = found[0].split(":")[1].strip() if found else name
    load = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}, load {load:.1f}"


def peak_memory() -> float:
    """GB that this process has held at most so far; not known on Windows."""
    if sys.platform == "win32":
        return float("nan")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def write_record(path: Path, where: dict[str, Any], **results: Any) -> None:
    """Leave a benchmark's results in a JSON file: where, commit, date, then the rest in order."""
    record = {
        **where,
        "commit": git_commit()[0],
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **results,
    }
    with atomic(path) as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
