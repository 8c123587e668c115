"""How many pairs of images TransMatcher scores a second, beside the authors' form of the scores.

    python benchmarks/bench_matcher.py              # the paper's size: 192 places, d 512, N 3
    python benchmarks/bench_matcher.py --quick      # seconds: does it run?
    python benchmarks/bench_matcher.py --out FILE   # and a record

Their form, rebuilt here from its description: for each block of pairs FC1 of both sides again, all
products in one tensor, times the gate, the largest of both directions with their places, norms as
they are. Ours is `model.match`: FC1 once per image, small blocks, gate once, norms folded; in
float32 with equal scores, and with products in bfloat16. They take turns, so that a machine that
grows busy slows all; a ratio is that of two blocks of one round, printed are the median and the
range. The share of the peak is of what this machine's own matrix product of 2048 x 2048 numbers
reaches in the same round: 0.118 GFLOP a pair, nearly all of it products.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine import machine, write_record
from torch import Tensor

from reidlab.models import Matching, create_backbone
from reidlab.models.transmatcher import TransMatcher
from reidlab.record import describe_environment

FLOAT32, BFLOAT16 = "no", "bf16"


@dataclass(frozen=True)
class Size:
    """Maps, network, and images of a block of the benchmark."""

    image_size: tuple[int, int] = (384, 128)
    dim: int = 512
    hidden: int = 2048
    layers: int = 3
    queries: int = 32  # 0.3 GB of products a layer, beyond any cache, as in their 128 x 256
    images: int = 64
    matrix: int = 2048  # of the product that gives the peak


QUICK = Size(image_size=(64, 32), dim=32, hidden=64, layers=2, matrix=256)
PAPER_ON_GPU = Size(queries=256, images=512, matrix=8192)


def network(size: Size, device: torch.device) -> TransMatcher:
    """A TransMatcher whose norms have seen something; its backbone is not used."""
    torch.manual_seed(0)
    backbone = create_backbone("resnet50_ibn_b", size.image_size, depth=3)
    switches = Matching(dim=size.dim, hidden=size.hidden, layers=size.layers)
    model = TransMatcher(backbone, 2, switches).to(device)  # type: ignore[arg-type]
    maps = torch.randn(4, *model.grid, model.channels, device=device)
    model.decoder.train()
    with torch.no_grad():
        for _ in range(3):
            model.score(maps, maps)
    return model.eval()


def official(model: Any, q_emb: Tensor, g_emb: Tensor) -> Tensor:
    """One block in the authors' form, from the description of their network."""
    total = torch.zeros(())
    count = len(model.decoder.layers)
    maps = (emb.flatten(1, 2).chunk(count, 2) for emb in (q_emb, g_emb))
    for layer, query, gallery in zip(model.decoder.layers, *maps, strict=True):
        places = layer.fc1(query), layer.fc1(gallery)
        products = torch.einsum("qtd,ksd->qkst", *places)
        products = products * layer.score_embed.sigmoid()
        rows = torch.cat((products.max(2, keepdim=True)[0].flatten(2)[:, :, None],
                          products.max(3, keepdim=True)[0].flatten(2)[:, :, None]), 2)  # fmt: skip
        x = rows.reshape(-1, 1, rows.shape[-1])
        x = layer.bn1(x).flatten(1)
        x = layer.fc3(torch.relu(layer.bn2(layer.fc2(x)))).view(-1, 2).sum(1, keepdim=True)
        total = total.to(x.device) + layer.bn3(x)
    return model.decoder.norm(total).view(len(q_emb), len(g_emb))


def flops_of_a_pair(size: Size, places: int) -> float:
    """Two for each multiplication with its addition: products, then the head of both directions."""
    head = 2 * places * size.hidden + 2 * size.hidden
    return size.layers * 2.0 * (places**2 * size.dim + head)


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """One call."""
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def bench(size: Size, rounds: int, device: torch.device) -> dict[str, Any]:
    """Pairs a second of each form, ratios to theirs, shares of the peak; prints them."""
    model = network(size, device)
    generator = torch.Generator().manual_seed(1)
    q_emb, g_emb = (
        torch.randn(n, *model.grid, model.channels, generator=generator).to(device)
        for n in (size.queries, size.images)
    )
    square = torch.randn(size.matrix, size.matrix, device=device)

    def ours(precision: str) -> Tensor:
        half = torch.autocast(device.type, torch.bfloat16) if precision == BFLOAT16 else None
        with half or nullcontext():
            return model.match(q_emb, g_emb)

    def product(dtype: torch.dtype) -> Callable[[], Tensor]:
        matrix = square.to(dtype)
        return lambda: matrix @ matrix

    tasks: dict[str, Callable[[], Tensor]] = {
        "official": lambda: official(model, q_emb, g_emb),
        FLOAT32: lambda: ours(FLOAT32),
        BFLOAT16: lambda: ours(BFLOAT16),
        "peak no": product(torch.float32),
        "peak bf16": product(torch.bfloat16),
    }
    with torch.no_grad():
        found = {name: work() for name, work in tasks.items()}  # warm
        difference = (found[FLOAT32] - found["official"]).abs().max().item()
        half = torch.corrcoef(torch.stack((found[BFLOAT16], found["official"])).flatten(1))
        times = [
            {name: seconds(work, device) for name, work in tasks.items()} for _ in range(rounds)
        ]
    pairs, flop = size.queries * size.images, flops_of_a_pair(size, model.places)
    rows: dict[str, Any] = {
        "largest_difference": difference,
        "spread": found["official"].std().item(),
        "correlation_bf16": half[0, 1].item(),
        "gflop_a_pair": flop / 1e9,
    }
    for name in ("official", FLOAT32, BFLOAT16):
        rate = [pairs / each[name] for each in times]
        ratio = [each["official"] / each[name] for each in times]
        precision = FLOAT32 if name == "official" else name
        peak = [2 * size.matrix**3 / each[f"peak {precision}"] for each in times]
        share = [flop * r / p for r, p in zip(rate, peak, strict=True)]
        rows[name] = {
            "pairs_per_second": max(rate),
            "ratio": statistics.median(ratio),
            "ratio_range": [min(ratio), max(ratio)],
            "share_of_peak": statistics.median(share),
            "best_share": flop * max(rate) / max(peak),
        }
        print(
            f"{name}: {max(rate):.0f} pairs/s at best, ratio {rows[name]['ratio']:.2f} "
            f"({min(ratio):.2f} to {max(ratio):.2f}), share of the peak "
            f"{rows[name]['share_of_peak']:.2f}, of the best seen {rows[name]['best_share']:.2f}",
            flush=True,
        )
    print(
        f"float32 differs by {difference:.1e} at most, scores spread by {rows['spread']:.2f}; "
        f"bfloat16 correlates by {rows['correlation_bf16']:.5f}"
    )
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small maps, two rounds")
    parser.add_argument("--rounds", type=int, help="turns of each form; 7, with --quick 2")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone")
    parser.add_argument("--out", type=Path, help="write the record here")
    given = parser.parse_args()
    cuda = torch.cuda.is_available() and not given.cpu
    device = torch.device("cuda" if cuda else "cpu")
    size = QUICK if given.quick else PAPER_ON_GPU if cuda else Size()
    rounds = given.rounds or (2 if given.quick else 7)
    where = {"machine": machine(), "device": describe_environment(device)["device"]}
    print(f"{where['device']}; {where['machine']}; {torch.get_num_threads()} threads")
    rows = bench(size, rounds, device)
    if given.out:
        where |= {"threads": torch.get_num_threads()}
        write_record(given.out, where, size=asdict(size), rounds=rounds, rows=rows)


if __name__ == "__main__":
    main()
