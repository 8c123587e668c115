"""The record of a run: one JSON object from which every number in the book is read."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from reidlab.files import atomic

if TYPE_CHECKING:
    from reidlab.data import ReIDDataset

SCHEMA = 1
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class RecordError(Exception):
    """A file that is no run record, or one of another version."""


@dataclass
class RunRecord:
    """What was run, on what, and what came out.

    Attributes:
        schema: Version of this format.
        experiment: Paper, profile, preset and every setting of the recipe.
        seed: Of the run.
        commit: Of the code, None outside a git checkout.
        dirty: Whether tracked files differed from that commit; None outside a git checkout.
        data: Name, options, fingerprint, protocol and counts; never a path. With people left out
            for validation their counts as well; `train_identities` is of the whole split.
        environment: python, torch, timm, accelerate, system, device, cores.
        metrics: rank1, rank5, rank10, mAP, mINP as shares of 1, and counts.
        seconds: train (of all sessions of an interrupted run, without its evaluations and
            checkpoints), embed, rank, and validate if there was any.
        images_per_second: Training images over all processes, per second of training; the start of
            the workers is in it, what an interruption threw away is not.
        peak_memory_mb: The largest over all sessions of the run, its evaluation included, in MiB.
            On a GPU what torch had allocated, of the main process' device. Else the resident memory
            of the main process with all that is in it, a notebook too, and not that of its workers;
            since the start of the run on Linux, since the start of the process elsewhere.
        started: ISO 8601, UTC.
        finished: ISO 8601, UTC.
        history: Per epoch: epoch, loss, losses by name, lr, accuracy, images, seconds; of an epoch
            that was validated also validation (metrics) and validation_seconds.
    """

    experiment: dict[str, Any]
    seed: int
    data: dict[str, Any]
    metrics: dict[str, Any]
    seconds: dict[str, float]
    images_per_second: float
    peak_memory_mb: float
    started: str
    finished: str
    history: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=lambda: describe_environment())
    commit: str | None = field(default_factory=lambda: git_commit()[0])
    dirty: bool | None = field(default_factory=lambda: git_commit()[1])
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the design: what was run first, what came out last."""
        values = dataclasses.asdict(self)
        first = ("schema", "experiment", "seed", "commit", "dirty", "data", "environment")
        return {name: values.pop(name) for name in first} | values

    def save(self, path: str | Path) -> None:
        """Write JSON; an interrupted write leaves the old file as it was."""
        with atomic(Path(path)) as beside:
            text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
            beside.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> RunRecord:
        """Read a record.

        Raises:
            RecordError: If the file is not there, is no JSON, lacks a field, has one too many or is
                of another schema version.
        """
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecordError(f"there is no run record at {path}; has the run finished?") from None
        except json.JSONDecodeError as error:
            raise RecordError(f"{path} is no JSON ({error}); delete it and run again.") from None
        names = {f.name for f in dataclasses.fields(cls)}
        found = set(values) if isinstance(values, dict) else set()
        if found != names:
            raise RecordError(
                f"{path} is no run record: missing {sorted(names - found) or 'nothing'}, "
                f"unknown {sorted(found - names) or 'nothing'}."
            )
        if values["schema"] != SCHEMA:
            raise RecordError(
                f"{path} has schema {values['schema']}; this version of reidlab reads {SCHEMA}."
            )
        return cls(**values)


def describe_environment(device: torch.device | None = None) -> dict[str, Any]:
    """Versions and hardware; nothing that names a person, a host or a folder."""
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "timm", "accelerate")},
        "system": platform.system(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "cores": usable_cores(),
    }


def describe_data(ds: ReIDDataset) -> dict[str, Any]:
    """Name, options, fingerprint, protocol and counts: all but where it lies."""
    frames = {"train": ds.train, "query": ds.query, "gallery": ds.gallery}
    counts: dict[str, int] = {}
    for name, frame in frames.items():
        kept = frame[~frame["junk"]]
        counts[f"{name}_images"] = len(kept)
        counts[f"{name}_identities"] = int(kept.loc[~kept["distractor"], "pid"].nunique())
    return {
        "name": ds.name,
        "options": dict(ds.options),  # MSMT17 with or without its validation images is two sets
        "fingerprint": ds.fingerprint(),
        "protocol": ds.protocol,
        **counts,
    }


def usable_cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def git_commit() -> tuple[str | None, bool | None]:
    """Commit of this code and whether tracked files differ from it; (None, None) if not in git."""
    package = Path(__file__).resolve().parent
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")  # not a folder above us
    commit = _git(package, "rev-parse", "HEAD") if tracked else None
    if not commit:
        return None, None
    return commit, bool(_git(package, "status", "--porcelain", "--untracked-files=no"))


def reset_peak_memory(device: torch.device) -> None:
    """Begin anew with `peak_memory_mb`, on a GPU and on Linux; elsewhere nothing can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # no Linux, or a container without it
            CLEAR_REFS.write_text("5")  # proc(5): the peak becomes what is resident now


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory since the last reset in MiB: allocated on a GPU, else resident here."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10  # KiB
    try:
        import resource
    except ImportError:  # Windows has none
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB on Linux


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
