"""What does TVTR's choice of patches cost in training and in memory?

    python benchmarks/bench_tvtr.py              # ViT-Tiny, and on a GPU ViT-B at the paper's size
    python benchmarks/bench_tvtr.py --quick      # seconds: does it run?
    python benchmarks/bench_tvtr.py --paper      # ViT-B at the paper's size on any machine: minutes
    python benchmarks/bench_tvtr.py --out FILE   # and a record

Three networks train by the loop of `fit` on the same batch, which lies ready on the device, with
the same losses: a ViT whose last layer sees all patches, TVTR, and TVTR with the product of all
attentions formed whole. They take turns, so that a machine that grows busy slows all; a ratio is
that of two blocks of one round, and printed are the median and the range over the rounds. TVTR's
last layer sees fewer tokens than the ViT's, which the choice has to pay for. Both choices are
checked for equality first; their work is counted as well (torch.utils.flop_counter).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from bench_training import Step, measure, training_steps
from machine import machine, write_record
from timm.models.vision_transformer import Attention
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from reidlab import recipes
from reidlab.models import TVTR, TopK, create_backbone
from reidlab.record import describe_environment
from reidlab.training import Recipe

CLASSES = 395  # of SYSU-MM01


@dataclass(frozen=True)
class Size:
    """A transformer, its images, and what a block of the benchmark is."""

    backbone: str
    image_size: tuple[int, int]
    stride: int
    precision: str
    people: int = 8  # with 4 + 4 images each
    k: int = 16
    steps: int = 2
    depth: int | None = None


TINY, BASE = "vit_tiny_patch16_224", "vit_base_patch16_224"
CPU_SIZES = {
    "ViT-Tiny, 192x96, float32": Size(TINY, (192, 96), 16, "no", people=4),
    "ViT-Tiny, 192x96, stride 12, float32": Size(TINY, (192, 96), 12, "no", people=4),
    "ViT-Tiny, 192x96, bf16": Size(TINY, (192, 96), 16, "bf16", people=4),
}
GPU_SIZES = {
    "ViT-B, 288x144, stride 12, bf16": Size(BASE, (288, 144), 12, "bf16", steps=10),
    "ViT-B, 288x144, stride 12, float32": Size(BASE, (288, 144), 12, "no", steps=10),
}
PAPER_SIZES = {  # 16 images, so that a processor with 16 GB can do it
    "ViT-B, 288x144, stride 12, float32": Size(BASE, (288, 144), 12, "no", people=2, steps=1)
}
QUICK_SIZES = {
    "ViT-Tiny, 3 blocks, 64x32": Size(TINY, (64, 32), 16, "no", people=2, k=3, steps=1, depth=3)
}


class WholeProduct(TVTR):
    """TVTR with a product of N x N attentions, as TransFG has it."""

    @torch.no_grad()
    def _scores(self, layers: Sequence[Attention], found: Sequence[Tensor]) -> Tensor:
        product = None
        with torch.autocast(found[0].device.type, enabled=False):
            for layer, qkv in zip(layers, found, strict=True):
                heads = qkv.unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4).float()
                attention = (heads[0] * layer.scale @ heads[1].mT).softmax(-1)
                product = attention if product is None else attention @ product
        assert product is not None
        return product[:, :, 0]


NETWORKS: dict[str, tuple[type[TVTR], bool]] = {
    "ViT": (TVTR, False), "TVTR": (TVTR, True), "whole product": (WholeProduct, True),
}  # fmt: skip


def network(name: str, size: Size) -> TVTR:
    """One of the three with random weights, the same each time."""
    torch.manual_seed(0)
    kind, selection = NETWORKS[name]
    backbone: Any = create_backbone(
        size.backbone, size.image_size, stride=size.stride, depth=size.depth
    )
    return kind(backbone, CLASSES, TopK(k=size.k, selection=selection))


def recipe_of(size: Size) -> Recipe:
    """The paper's losses."""
    own = recipes.get("tvtr", "paper")
    return own.replace(precision=size.precision, image_size=size.image_size, weights=None)


def ready_batch(size: Size, device: torch.device) -> dict[str, Tensor]:
    """People with 4 visible and 4 infrared images each, on the device."""
    count, generator = 8 * size.people, torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, *size.image_size, generator=generator)
    rows = torch.arange(count)
    batch = {"image": images, "label": rows // 8, "modality": rows % 8 // 4, "camid": 0 * rows}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def bench(title: str, size: Size, rounds: int, device: torch.device) -> dict[str, Any]:
    """Train all three at one size; prints a line for each."""
    batch = ready_batch(size, device)
    loops: dict[str, Step] = {}
    flops, chosen = {}, []
    for name in NETWORKS:
        model = network(name, size).to(device)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            patches = model.choose(batch["image"][:2]).patches
        flops[name] = counter.get_total_flops() / 2
        chosen += [] if patches is None else [patches.sort(-1).values]
        loops[name] = training_steps(model, recipe_of(size), batch)
    same = float((chosen[0] == chosen[1]).float().mean())
    rows = measure(loops, len(batch["image"]), size.steps, rounds, device)
    for name, row in rows.items():
        low, high = row["ratio_range"]
        memory = f", {row['step_memory_mb']:.0f} MB a step" if "step_memory_mb" in row else ""
        print(
            f"{title}, {name}: {row['images_per_second']:.1f} images/s, {row['ratio']:.3f} of the "
            f"ViT ({low:.3f} to {high:.3f}), {flops[name] / 1e9:.2f} GFLOP forward{memory}",
            flush=True,
        )
    print(f"{title}: both choices agree in {same:.1%} of the patches", flush=True)
    return {"size": asdict(size), "networks": rows, "forward_flops": flops, "agree": same}


def sizes_for(*, quick: bool, paper: bool, cuda: bool) -> dict[str, Size]:
    """What is measured, by the options of the command line."""
    own = GPU_SIZES if cuda else CPU_SIZES
    return QUICK_SIZES if quick else PAPER_SIZES if paper else own


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small network, two rounds")
    parser.add_argument("--paper", action="store_true", help="ViT-B, few images, three rounds")
    parser.add_argument("--rounds", type=int, help="turns of each network; 7, --quick 2, --paper 3")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone")
    parser.add_argument("--out", type=Path, help="write the record here")
    given = parser.parse_args()
    os.environ["REIDLAB_PROGRESS"] = "none"
    cuda = torch.cuda.is_available() and not given.cpu
    if not cuda:
        os.environ["ACCELERATE_USE_CPU"] = "true"
    device = torch.device("cuda" if cuda else "cpu")
    sizes = sizes_for(quick=given.quick, paper=given.paper, cuda=cuda)
    rounds = given.rounds or (2 if given.quick else 3 if given.paper else 7)
    print(machine(), flush=True)
    results = {title: bench(title, size, rounds, device) for title, size in sizes.items()}
    if given.out:
        where = {"environment": describe_environment(device), "machine": machine()}
        write_record(given.out, where, rounds=rounds, results=results)


if __name__ == "__main__":
    main()
