"""Is LA-TF++ smaller and faster than LA-TF? One classifier against one for each row.

    python benchmarks/bench_la.py              # ViT-Tiny, and ViT-B at the paper's 224 x 224
    python benchmarks/bench_la.py --quick      # seconds: does it run?
    python benchmarks/bench_la.py --out FILE   # and a record

Both networks train by the loop of `fit`, `reidlab.training.train_epoch`, LA-TF by cross-entropies
alone, LA-TF++ by smoothed cross-entropy and triplet loss, on the same batch, which lies ready on
the device; and both embed the same images. Block-wise fine-tuning opens few blocks at first, where
the classifiers weigh most, so training is timed with two blocks open and with all. The two take
turns, so that a machine that grows busy slows both; a ratio is that of two blocks of one round, and
printed are the median and the range over the rounds. Parameters and bytes are counted, not timed.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from bench_training import Step, autocast, measure, training_steps
from machine import machine, write_record
from torch import Tensor, nn

from reidlab import recipes
from reidlab.models import create_model
from reidlab.record import describe_environment
from reidlab.training import Recipe
from reidlab.training.unfreezing import blocks_of

NETWORKS = {"LA-TF": "la_transformer", "LA-TF++": "la_tf_pp"}
CLASSES = 62  # of PKU-Reid's training part
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Size:
    """A transformer, its images, and what a block of the benchmark is."""

    backbone: str
    image_size: tuple[int, int]
    precision: str
    batch: int = 32  # images of a training step; the paper's
    embedded: int = 64  # images of a batch when embedding
    steps: int = 3
    depth: int | None = None


TINY, BASE = "vit_tiny_patch16_224", "vit_base_patch16_224"
SIZES = {
    "ViT-Tiny, 192x96": Size(TINY, (192, 96), "bf16"),
    "ViT-B, 224x224": Size(BASE, (224, 224), "no", batch=16, embedded=16, steps=1),
}
QUICK_SIZES = {
    "ViT-Tiny, 3 blocks, 64x32": Size(TINY, (64, 32), "no", batch=8, embedded=8, steps=2, depth=3)
}


def network(name: str, size: Size, retrieval: str | None = None) -> nn.Module:
    """One of the two with random weights, the same each time; the code's preset."""
    torch.manual_seed(0)
    return create_model(
        NETWORKS[name],
        num_classes=CLASSES,
        backbone=size.backbone,
        image_size=size.image_size,
        weights=None,
        preset="code",
        switches=None if retrieval is None else {"retrieval": retrieval},
        depth=size.depth,
    )


def recipe_of(name: str, size: Size) -> Recipe:
    """The code's losses: LA-TF's cross-entropies, or LA-TF++'s two."""
    own = recipes.get(NETWORKS[name], "paper", "code")
    return own.replace(precision=size.precision, image_size=size.image_size, weights=None)


def counts(size: Size) -> dict[str, dict[str, int]]:
    """Parameters of each network, and bytes that an image takes by each retrieval feature."""
    parameters = {
        name: sum(p.numel() for p in network(name, size).parameters()) for name in NETWORKS
    }
    kept: dict[str, int] = {}
    for retrieval in ("rows", "mean"):
        model: Any = network("LA-TF++", size, retrieval)
        kept[retrieval] = FLOAT * model.embed_dim
    return {"parameters": parameters, "embedding_bytes": kept}


def ready_batch(size: Size, device: torch.device) -> dict[str, Tensor]:
    """Images of a few people, two of each, on the device."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size.batch, 3, *size.image_size, generator=generator)
    labels = torch.arange(size.batch) // 2
    batch = {"image": images, "label": labels, "camid": torch.zeros_like(labels)}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def open_last(model: nn.Module, blocks: int) -> None:
    """Freeze all blocks of the transformer but the last ones."""
    found = blocks_of(model)
    for index, block in enumerate(found):
        block.requires_grad_(index >= len(found) - blocks)


def training_loop(name: str, size: Size, batch: dict[str, Tensor], open_blocks: int | None) -> Step:
    """A function that takes some training steps by the loop of `fit`."""
    model = network(name, size).to(batch["image"].device)
    if open_blocks is not None:
        open_last(model, open_blocks)
    return training_steps(model, recipe_of(name, size), batch)


def embedding_loop(name: str, size: Size, device: torch.device) -> Step:
    """A function that embeds some batches, as the code retrieves: by all rows."""
    model: Any = network(name, size).to(device).eval()
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(size.embedded, 3, *size.image_size, generator=generator).to(device)

    def run(steps: int) -> None:
        with torch.inference_mode(), autocast(device, size.precision):
            for _ in range(steps):
                model.embed(images).float().cpu()

    return run


def bench(title: str, size: Size, rounds: int, device: torch.device) -> dict[str, Any]:
    """Train and embed with both networks at one size; prints a line for each task."""
    batch = ready_batch(size, device)
    tasks: dict[str, tuple[int, dict[str, Step]]] = {
        "training, two blocks open": (
            size.batch, {name: training_loop(name, size, batch, 2) for name in NETWORKS}
        ),
        "training, all blocks open": (
            size.batch, {name: training_loop(name, size, batch, None) for name in NETWORKS}
        ),
        "embedding": (
            size.embedded, {name: embedding_loop(name, size, device) for name in NETWORKS}
        ),
    }  # fmt: skip
    rows: dict[str, Any] = {}
    for task, (images, loops) in tasks.items():
        measured = measure(loops, images, size.steps, rounds, device)
        rows[task] = summary(measured)
        low, high = rows[task]["ratio_range"]
        rates = ", ".join(f"{name} {rows[task][name]:.1f} images/s" for name in NETWORKS)
        print(
            f"{title}, {task}: {rates}, ratio {rows[task]['ratio']:.2f} ({low:.2f} to {high:.2f})",
            flush=True,
        )
    return {"size": asdict(size), **counts(size), "tasks": rows}


def summary(measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Images a second of both, and how many times LA-TF's rate LA-TF++ reaches."""
    rates = {name: row["images_per_second"] for name, row in measured.items()}
    plus = measured["LA-TF++"]
    return {**rates, "ratio": plus["ratio"], "ratio_range": plus["ratio_range"]}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small network, two rounds")
    parser.add_argument("--rounds", type=int, help="turns of each network; 7, with --quick 2")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone")
    parser.add_argument("--out", type=Path, help="write the record here")
    given = parser.parse_args()
    os.environ["REIDLAB_PROGRESS"] = "none"
    cuda = torch.cuda.is_available() and not given.cpu
    device = torch.device("cuda" if cuda else "cpu")
    os.environ["ACCELERATE_USE_CPU"] = str(not cuda).lower()
    rounds = given.rounds or (2 if given.quick else 7)
    where = {"machine": machine(), "device": describe_environment(device)["device"]}
    print(f"{where['device']}; {where['machine']}")
    sizes = QUICK_SIZES if given.quick else SIZES
    rows = {title: bench(title, size, rounds, device) for title, size in sizes.items()}
    if given.out:
        write_record(
            given.out, {**where, "threads": torch.get_num_threads()}, rounds=rounds, rows=rows
        )


if __name__ == "__main__":
    main()
