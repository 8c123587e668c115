"""How long do ranking, re-ranking and search take, and how much memory, beside the plain ways?

    python benchmarks/bench_evaluation.py                      # Market-1501's size
    python benchmarks/bench_evaluation.py --large --out FILE   # MSMT17's size as well, and a record

Person and camera numbers are those of Market-1501 (3,368 queries, 15,913 gallery images without
junk; numbers only, in market1501_ids.npz), for MSMT17's size they are drawn with its counts. The
embeddings are noise around a centre for each person: what they show does not change the work much.
Every row runs in a process of its own, so that its peak memory is its own; ways of doing the same
are checked for equality before a number is printed. Seconds are the least of some repetitions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, peak_memory, write_record
from numpy.typing import NDArray

from reidlab.evaluation import evaluate, pairwise_distances, rank, rerank
from reidlab.evaluation.search import build_index, recall

IDS = Path(__file__).with_name("market1501_ids.npz")
DIM = 768  # of a ViT-B
MSMT17 = {"queries": 11_659, "gallery": 82_161, "people": 3_060, "cameras": 15}
SEARCHED: dict[str, Any] = {
    "gallery": 100_000,
    "large gallery": 1_000_000,
    "images of a person": 20,
    "queries": 1_000,
    "dim": 256,
    "noise": 1.5,
}
Labels = tuple[NDArray[np.int64], ...]
Row = Callable[[int], dict[str, Any]]


def market_labels() -> Labels:
    """q_pids, g_pids, q_camids, g_camids of Market-1501."""
    with np.load(IDS) as ids:
        names = ("query_pids", "gallery_pids", "query_camids", "gallery_camids")
        return tuple(ids[name].astype(np.int64) for name in names)


def msmt17_labels() -> Labels:
    """The same, drawn with MSMT17's counts."""
    rng = np.random.default_rng(17)
    sizes = MSMT17["queries"], MSMT17["gallery"]
    pids = [rng.integers(MSMT17["people"], size=size) for size in sizes]
    return (*pids, *(rng.integers(MSMT17["cameras"], size=size) for size in sizes))


def embeddings(
    pids: NDArray[np.int64], seed: int, dim: int = DIM, noise: float = 2.5
) -> NDArray[np.float32]:
    """(N, dim) of unit length: a centre for each person, and `noise` times as much noise."""
    people = int(pids.max()) + 1
    centres = np.random.default_rng(0).standard_normal((people, dim), np.float32)
    found = np.random.default_rng(seed).standard_normal((len(pids), dim), np.float32)
    found *= noise
    found += centres[pids]
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def clocked(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least seconds of some repetitions, and the last result."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
    return min(seconds), result


def plain_evaluator(
    distances: NDArray[np.float32], labels: Labels, *, stable: bool = False
) -> tuple[float, float]:
    """Rank-1 and mAP the usual way: sort all images, then look at each query in turn.

    The usual way breaks ties as the sort pleases, which moves the mAP by some millionths;
    `stable` orders them by gallery index, as the library does.
    """
    q_pids, g_pids, q_camids, g_camids = labels
    order = np.argsort(distances, axis=1, kind="stable" if stable else None)
    matches = g_pids[order] == q_pids[:, None]
    first, precisions = [], []
    for query, row in enumerate(order):
        same = matches[query] & (g_camids[row] == q_camids[query])
        relevant = matches[query][~same]
        if not relevant.any():
            continue
        first.append(relevant[0])
        precision = relevant.cumsum() / np.arange(1, len(relevant) + 1)
        precisions.append((precision * relevant).sum() / relevant.sum())
    return float(np.mean(first)), float(np.mean(precisions))


def agree(ours: tuple[float, float], plain: tuple[float, float]) -> None:
    """Stop if two evaluators do not say the same."""
    if not np.allclose(ours, plain, atol=1e-6, rtol=0):
        raise SystemExit(f"the evaluators differ: ours {ours}, plain {plain}")


def from_distances(repeats: int) -> dict[str, Any]:
    """The library, NumPy's argsort of the same matrix, and the plain evaluator, in turn."""
    labels = market_labels()
    q_emb, g_emb = embeddings(labels[0], 1), embeddings(labels[1], 2)
    distances = pairwise_distances(q_emb, g_emb).numpy()
    ours, result = clocked(lambda: rank(distances, *labels), repeats)
    memory = peak_memory()
    sorting, _ = clocked(lambda: np.argsort(distances, axis=1), repeats)
    plain, _ = clocked(lambda: plain_evaluator(distances, labels), 1)
    agree((result.rank1, result.mAP), plain_evaluator(distances, labels, stable=True))
    return {"seconds": ours, "argsort": sorting, "plain": plain, "memory": memory}


def from_embeddings(labels: Labels, repeats: int) -> dict[str, Any]:
    """`evaluate`."""
    q_emb, g_emb = embeddings(labels[0], 1), embeddings(labels[1], 2)
    seconds, _ = clocked(lambda: evaluate(q_emb, g_emb, *labels), repeats)
    return {"seconds": seconds}


def reranked(labels: Labels, repeats: int) -> dict[str, Any]:
    """`rerank`."""
    q_emb, g_emb = (torch.from_numpy(embeddings(labels[i], 1 + i)) for i in (0, 1))
    seconds, distances = clocked(lambda: rerank(q_emb, g_emb), repeats)
    result = rank(distances, *labels)
    return {"seconds": seconds, "rank1": result.rank1, "mAP": result.mAP}


def densely_reranked(repeats: int) -> dict[str, Any]:
    """The textbook, with its N x N matrices."""
    from dense_reranking import dense_rerank

    labels = market_labels()
    q_emb, g_emb = embeddings(labels[0], 1), embeddings(labels[1], 2)
    seconds, distances = clocked(lambda: dense_rerank(q_emb, g_emb, 20, 6, 0.3), repeats)
    result = rank(distances, *labels)
    return {"seconds": seconds, "rank1": result.rank1, "mAP": result.mAP}


def searched(kind: Any, images: int, repeats: int) -> dict[str, Any]:
    """An index of a large gallery: build, save, search, recall of the ten nearest."""
    rng = np.random.default_rng(3)
    people = rng.integers(images // SEARCHED["images of a person"], size=images)
    dim, noise = SEARCHED["dim"], SEARCHED["noise"]
    gallery = embeddings(people, 4, dim, noise)
    queries = embeddings(people[: SEARCHED["queries"]], 5, dim, noise)
    building, index = clocked(lambda: build_index(gallery, kind=kind), 1)
    together, _ = clocked(lambda: index.search(queries, 10), repeats)
    alone, _ = clocked(lambda: [index.search(query, 10) for query in queries[:100]], repeats)
    memory = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.index"
        index.save(path)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {
        "seconds": building,
        "ms per query": 1000 * together / len(queries),
        "ms of one alone": 1000 * alone / 100,
        "MB on disk": size / 1e6,
        "recall at 10": recall(index, gallery, queries, k=10),
        "memory": memory,
    }


ROWS: dict[str, Row] = {
    "rank, from distances": from_distances,
    "evaluate, from embeddings": lambda n: from_embeddings(market_labels(), n),
    "rerank": lambda n: reranked(market_labels(), n),
    "dense re-ranking": lambda n: densely_reranked(1),
    "evaluate, MSMT17's size": lambda n: from_embeddings(msmt17_labels(), 1),
    "rerank, MSMT17's size": lambda n: reranked(msmt17_labels(), 1),
    "search, exact": lambda n: searched("exact", SEARCHED["gallery"], n),
    "search, ivf-pq": lambda n: searched("ivf-pq", SEARCHED["gallery"], n),
    "search, hnsw": lambda n: searched("hnsw", SEARCHED["gallery"], n),
    "search, exact, a million": lambda n: searched("exact", SEARCHED["large gallery"], 1),
    "search, ivf-pq, a million": lambda n: searched("ivf-pq", SEARCHED["large gallery"], 1),
    "search, hnsw, a million": lambda n: searched("hnsw", SEARCHED["large gallery"], 1),
}
LARGE = {name for name in ROWS if "MSMT17" in name or "million" in name}


def in_own_process(name: str, repeats: int) -> dict[str, Any]:
    """One row, measured by a fresh interpreter."""
    command = [sys.executable, __file__, "--row", name, "--repeats", str(repeats)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--large",
        action="store_true",
        help="also MSMT17's size and a million images (a quarter of an hour, 8 GB)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of each row")
    parser.add_argument("--out", type=Path, help="write the record here")
    parser.add_argument("--row", choices=ROWS, help="one row, as JSON (what the script calls)")
    given = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    if given.row:
        row = ROWS[given.row](given.repeats)
        print(json.dumps({"memory": peak_memory(), **row}))
        return
    where = machine()
    print(f"{where}\n\n| row | seconds | peak GB | more |\n|---|---:|---:|---|")
    rows = {}
    for name in ROWS:
        if name in LARGE and not given.large:
            continue
        rows[name] = row = in_own_process(name, given.repeats)
        more = ", ".join(
            f"{key} {value:.3g}" for key, value in row.items() if key not in ("seconds", "memory")
        )
        print(f"| {name} | {row['seconds']:.2f} | {row['memory']:.2f} | {more} |", flush=True)
    if given.out:
        write_record(given.out, {"machine": where}, dimensions=DIM, searched=SEARCHED, rows=rows)


if __name__ == "__main__":
    main()
