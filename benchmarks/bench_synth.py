"""How many images a second does the synthetic world render, and does the work scale with cores?

    python benchmarks/bench_synth.py --images 200

One table: ways to cut the same work, images per second of the clock and per second of a busy core
(the fairer number when others use the machine, too), how many times the plain loop that is, and the
most memory that the process has held so far. The plain loop is the same mathematics without its two
ideas: tiles that know which primitives they may show, and several images at once. All rows of one
device give the same bytes; the script checks it. Where there is a CUDA device, its rows follow.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from machine import machine, peak_memory
from torch import Tensor

from reidlab.synth import World, raycast, write_dataset

WORLD = World(seed=1, cameras=5, infrared_cameras=1, resolution=(192, 96))
CHUNK = 48
Key = tuple[int, int, int]


def keys(count: int) -> list[Key]:
    """`count` people, the cameras taking turns."""
    total = WORLD.cameras + WORLD.infrared_cameras
    return [(pid, pid % total, 0) for pid in range(1, count + 1)]


def one_thread(todo: list[Key]) -> np.ndarray:
    """Everything on one core."""
    torch.set_num_threads(1)
    return WORLD.render(todo).images


def threads(todo: list[Key]) -> np.ndarray:
    """A thread for each core, as `World.render` and `write_dataset` do it."""
    torch.set_num_threads(os.cpu_count() or 1)
    return WORLD.render(todo).images


def torch_threads(todo: list[Key]) -> np.ndarray:
    """One caller; torch splits each operation over the cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    return WORLD._render_chunk(todo, jitter=1.0, device="cpu").images


def plain_loop(todo: list[Key], device: str = "cpu") -> np.ndarray:
    """Image by image, every primitive against every ray."""
    torch.set_num_threads(1)
    images = []
    with (
        patch.object(raycast, "_candidates", all_tiles),
        patch.object(raycast, "_grazed", lambda square, x, y: torch.ones_like(x, dtype=torch.bool)),
    ):
        for key in todo:
            images.append(WORLD._render_chunk([key], jitter=1.0, device=device).images)
    return np.concatenate(images)


def all_tiles(
    bounds: Tensor, segment: Tensor, across: int, down: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Every tile for every primitive, in place of those that it may cover."""
    rows, tiles = torch.arange(len(bounds)), torch.arange(across * down)
    row, tile = (v.flatten().to(bounds.device) for v in torch.meshgrid(rows, tiles, indexing="ij"))
    return row, tile % across, tile // across


def on_cuda(todo: list[Key]) -> np.ndarray:
    """All of it on the graphics card; the images come back to the processor."""
    return WORLD.render(todo, device="cuda").images


class Processes:
    """A process for each core, started and warmed up before the clock runs."""

    def __init__(self) -> None:
        cores = os.cpu_count() or 1
        self.pool = ProcessPoolExecutor(cores, mp_context=get_context("spawn"))
        list(self.pool.map(one_thread, [keys(8)] * cores))

    def __call__(self, todo: list[Key]) -> np.ndarray:
        """Chunks of the work to whoever is free."""
        chunks = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
        return np.concatenate(list(self.pool.map(one_thread, chunks)))


class Written:
    """A thread for each core, and all of it on disk: JPEG, masks, table."""

    def __call__(self, todo: list[Key]) -> None:
        """About as many images as `todo` has keys."""
        torch.set_num_threads(os.cpu_count() or 1)
        world = World(seed=1, identities=max(4, len(todo) // 12), resolution=WORLD.resolution)
        with tempfile.TemporaryDirectory() as folder:
            write_dataset("market1501", Path(folder) / "set", world)
            self.images = len(list(Path(folder).glob("set/*/*.jpg")))


Way = tuple[str, Callable[[list[Key]], np.ndarray | None], list[Key]]


def table(ways: list[Way], reference: np.ndarray) -> None:
    """Print a row for each way; the first is the plain loop that the others are compared with."""
    plain = 0.0
    for name, way, work in ways:
        started, busy = time.perf_counter(), time.process_time()
        images = way(work)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        if images is not None and not np.array_equal(images, reference[: len(work)]):
            raise SystemExit(f"{name}: other bytes than the first way on this device")
        count = way.images if isinstance(way, Written) else len(work)
        plain = plain or count / seconds
        core = "" if isinstance(way, Processes) else f"{count / busy:.0f}"
        memory = f"{peak_memory():.2f}"
        if "CUDA" in name:
            memory += f" + {torch.cuda.max_memory_allocated() / 1e9:.2f} there"
        rate, times = f"{count / seconds:.0f}", f"{count / seconds / plain:.1f}"
        print(f"| {name} | {count} | {rate} | {core} | {times} | {memory} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="images per row of the table")
    todo = keys(parser.parse_args().images)
    few = todo[: max(4, len(todo) // 10)]
    print(f"{machine()}\n{WORLD.resolution[0]}x{WORLD.resolution[1]} pixels, 2x2 samples each\n")
    print("| way | images | images/s | images/core second | clock, times plain | peak GB |")
    print("|---|---:|---:|---:|---:|---:|")
    reference = one_thread(todo)  # also makes the cameras and the noise bank
    table(
        [
            ("plain loop, one thread", plain_loop, few),
            ("torch's own threads", torch_threads, few),
            ("one thread", one_thread, todo),
            ("a process for each core", Processes(), todo),
            ("a thread for each core", threads, todo),
            ("the same, written to disk", Written(), todo),
        ],
        reference,
    )
    if torch.cuda.is_available():
        many = keys(10 * len(todo))
        reference = on_cuda(many)
        table(
            [
                ("plain loop, CUDA", partial(plain_loop, device="cuda"), few),
                ("CUDA", on_cuda, todo),
                ("CUDA, ten times as many", on_cuda, many),
            ],
            reference,
        )


if __name__ == "__main__":
    main()
