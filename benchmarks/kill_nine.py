"""Does what was killed at any moment end with the same result when it is started again?

    python benchmarks/kill_nine.py --times 20 --only train prepare

Each command runs once undisturbed. Then, each time in a new folder, it is killed by SIGKILL at a
random moment (after the first fifth, in which Python imports) and given again: every second time
with all that it had started, as when the machine goes down, else alone, so that its children live
on. In the end there must be the same files, with the same bits of images and weights, the same
outputs of a notebook, the same records but for times. "train" is a run of the smoke recipe, "book"
the way of `make book` from nothing to the first notebook, "prepare" the unpacking of an archive
like Market-1501's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from safetensors import safe_open

from reidlab.experiments.course import course_world
from reidlab.synth import World, write_dataset

ROOT = Path(__file__).resolve().parents[1]
CASES = ("train", "book", "prepare")
PROJECT = ("reidlab", "workflow", "book", "notebooks", "data_scripts", "profiles",
           "Snakefile", "_config.yml", "_toc.yml")  # fmt: skip
TIMES = {"seconds", "images_per_second", "peak_memory_mb", "started", "finished"}
ARCHIVED = World(seed=3, identities=300, cameras=6, resolution=(32, 16))


def command(case: str, data: Path, folder: Path) -> list[str]:
    """What is run in a new folder, which is made ready for it."""
    folder.mkdir()
    python, out = sys.executable, str(folder / "out")
    if case == "train":
        what = ["--paper", "vit_baseline", "--profile", "smoke", "--set", "epochs=10"]
        what += ["--dataset", "market1501"]
        return [python, "-m", "reidlab", "train", *what, "--root", str(data / "set"), "--out", out]
    if case == "prepare":
        script = str(ROOT / "data_scripts" / "prepare_market1501.py")
        return [python, script, str(data / "set.zip"), "--out", out]
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    page = "_build/executed/smoke/00_start_here.ipynb"
    return [python, "-m", "snakemake", "--cores", "2", page, "--config", "profile=smoke"]


def write_data(case: str, data: Path) -> None:
    """What the command reads."""
    if case != "book":
        world = ARCHIVED if case == "prepare" else course_world("smoke")
        write_dataset("market1501", data / "set", world)
    if case == "prepare":
        with zipfile.ZipFile(data / "set.zip", "w") as archive:
            for path in sorted((data / "set").rglob("*.jpg")):
                archive.write(path, f"Market/{path.relative_to(data / 'set')}")


def result(folder: Path) -> dict[str, Any]:
    """Every file that is there, hidden ones too, with what of it must not differ."""
    places = [folder / name for name in ("out", "data", "runs", "_build")]
    paths = sorted(path for place in places for path in place.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): content(path, folder) for path in paths}


def content(path: Path, folder: Path) -> Any:
    """What of a file must not differ."""
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
    if path.suffix == ".ipynb":
        text = path.read_text().replace(str(folder), "")
        text = re.sub(r"T_[0-9a-f]{5}|at 0x[0-9a-f]+", "", text)  # drawn anew for each table
        shown = [[cell["source"], cell.get("outputs")] for cell in json.loads(text)["cells"]]
        return [cell for cell in shown if "run-record" not in json.dumps(cell)]
    if path.suffix == ".json":
        timeless = lambda pairs: {k: v for k, v in pairs if k not in TIMES}  # noqa: E731
        return json.loads(path.read_text(), object_pairs_hook=timeless)
    return path.read_bytes()


def survives(case: str, times: int, work: Path) -> int:
    """How many of the killed runs end like the undisturbed one."""
    write_data(case, work)
    draw, good = random.Random(9), 0
    started = time.monotonic()
    subprocess.run(command(case, work, whole := work / "whole"), **options(whole), check=True)
    seconds, expected = time.monotonic() - started, result(whole)
    killed = 0
    while killed < times:
        moment, folder = draw.uniform(0.2, 1) * seconds, Path(tempfile.mkdtemp(dir=work)) / case
        asked = command(case, work, folder)
        process = subprocess.Popen(asked, **options(folder))
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            (os.killpg if killed % 2 else os.kill)(process.pid, signal.SIGKILL)
        if process.wait() >= 0:
            continue  # it was quicker than the undisturbed one
        again = subprocess.run(asked, **options(folder))
        found = result(folder)
        differ = sorted(x for x in {*found, *expected} if found.get(x) != expected.get(x))
        killed, good = killed + 1, good + (again.returncode == 0 and not differ)
        print(f"{case}: killed at {moment:.1f} s, then {again.returncode}", *differ, flush=True)
    print(f"{case}: {good} of {times} ({seconds:.1f} s undisturbed)", flush=True)
    return good


def options(folder: Path) -> dict[str, Any]:
    """Of a process: a group of its own, the library of its project, its words in a file."""
    library = folder if (folder / "reidlab").is_dir() else ROOT
    environment = {**os.environ, "PYTHONPATH": str(library), "PYTHONWARNINGS": "ignore"}
    log = (folder / "log").open("a")
    return {"cwd": folder, "env": environment, "start_new_session": True,
            "stdout": log, "stderr": log}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Exit status 1 if one run did not end as it should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        for case in arguments.only:
            (Path(work) / case).mkdir()
        found = [survives(case, arguments.times, Path(work) / case) for case in arguments.only]
    return 0 if found == [arguments.times] * len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
