"""The record of a run: one JSON object from which every number in the book is read."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from reidlab.errors import ReidlabError
from reidlab.files import alone, write_json

if TYPE_CHECKING:
    from reidlab.data import ReIDDataset

SCHEMA = 1
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
YOUNGER = ("weights_grid", "grey", "channel_exchange", "jitter", "blur", "augmentation")
"""Settings of recipes younger than many records, which had their defaults without naming them."""
_SHARE = re.compile(r"rank\d*|cmc\d*|mAP|mINP|accuracy|learned")
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class RecordError(ReidlabError):
    """A file that is no run record, or one of another version."""


@dataclass(kw_only=True)
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

    schema: int = SCHEMA
    experiment: dict[str, Any]
    seed: int
    commit: str | None = field(default_factory=lambda: git_commit()[0])
    dirty: bool | None = field(default_factory=lambda: git_commit()[1])
    data: dict[str, Any]
    environment: dict[str, Any] = field(default_factory=lambda: describe_environment())
    metrics: dict[str, Any]
    seconds: dict[str, float]
    images_per_second: float
    peak_memory_mb: float
    started: str
    finished: str
    history: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of the design: what was run first, what came out last."""
        return dataclasses.asdict(self)

    def save(self, path: str | Path) -> None:
        """Write JSON; an interrupted write leaves the old file as it was.

        Raises:
            RecordError: The file holds the record of another run, see `check_free`.
            WriteError: It cannot be written.
        """
        path = Path(path)
        with alone(path.parent, path.name):
            check_free(path, self.to_dict())
            write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> RunRecord:
        """Read a record.

        Raises:
            RecordError: As `read_record`; or if it has a field too many or is of another schema
                version.
        """
        values = read_record(path)
        unknown = sorted(set(values) - {f.name for f in dataclasses.fields(cls)})
        if unknown or values["schema"] != SCHEMA:
            raise RecordError(
                f"{path} has the fields {unknown or 'of a record'} and schema {values['schema']}; "
                f"this version of reidlab takes up a run of schema {SCHEMA} without other fields."
            )
        return cls(**values)


def check_free(path: Path, record: Record) -> None:
    """Raise if writing a record to `path` would replace that of another run, or no record at all.

    Raises:
        RecordError: It names what differs: settings, seed, or data.
    """
    if path.is_file() and (other := different_run(read_record(path), record)):
        raise RecordError(
            f"{path} holds the record of another run: {'; '.join(other[:5])}. Name another file, "
            "or move that one away"
        )


def different_run(one: Record, other: Record) -> list[str]:
    """In what two runs differ: settings, seed, data; none for the same run at another time.

    A setting that only one of them has says nothing, for the other may be of an older version; but
    records leave losses and their settings, and `YOUNGER` ones, out on purpose: that is a value.
    """
    sides = [
        flatten({"experiment": run["experiment"], "seed": run["seed"]})
        | {f"data.{name}": run["data"].get(name) for name in ("name", "fingerprint")}
        for run in json.loads(json.dumps([dict(one), dict(other)]))
    ]
    for side in sides:  # older runs know no digest of shipped weights
        if side.get("experiment.weights_sha256") is None:
            side.pop("experiment.weights_sha256", None)
    there, now = sides
    told = tuple(f"experiment.{name}" for name in YOUNGER)
    if "losses" in one["experiment"] and "losses" in other["experiment"]:
        told += ("experiment.losses.",)
    return [
        f"{name} is {value!r:.60} there and {new!r:.60} now"
        for name in sorted(there.keys() | now.keys())
        if (name in there and name in now) or name.startswith(told)
        if (value := there.get(name, "not set")) != (new := now.get(name, "not set"))
    ]


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
    for name, kinds in FIELDS.items():
        if name not in record:
            problems.append(f"`{name}` is missing")
        elif not isinstance(record[name], kinds) or (
            isinstance(record[name], bool) and bool not in kinds
        ):
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            problems.append(f"`{name}` is {record[name]!r:.60}, expected {wanted}")
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
    """Return the record in a JSON file, of this version or an older one, with what stands beside.

    Raises:
        RecordError: If the file is missing, is not JSON, or is not a run record.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        why = "the run that writes it has not finished"
        if not path.parent.is_dir():
            why = f"there is no folder {path.parent}"
        raise RecordError(f"there is no run record at {path}: {why}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{path} is not JSON ({error}), so no run record: name the record.json of a run"
        ) from None
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
    """Whether a metric is a share of 1, which is shown in percent: mAP, class_mAP_low, rows.rank1.

    Args:
        metric: Its dotted name; a part of it, between dots and underscores, says what it is.
    """
    return any(_SHARE.fullmatch(part) for part in re.split(r"[._]", metric))


def total_seconds(record: Record) -> float:
    """Return the seconds of a run: its parts (train, embed, rank) summed where it has parts."""
    seconds = record["seconds"]
    return float(sum(seconds.values()) if isinstance(seconds, Mapping) else seconds)


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
            ["git", "--no-optional-locks", *arguments],  # a commit may be under way
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
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
