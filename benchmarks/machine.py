"""What a benchmark says of the machine it ran on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import torch


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
