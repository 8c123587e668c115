"""How many images a second do training and embedding take in, beside a plain loop?

    python benchmarks/bench_training.py              # both sizes; minutes on a GPU, longer without
    python benchmarks/bench_training.py --quick      # seconds on a CPU: does it run?
    python benchmarks/bench_training.py --out FILE   # and a record

The plain loop is in the style of TransReID (He et al., ICCV 2021): attention in plain matrix
products, float32 on a CPU and fp16 autocast with a gradient scaler on a GPU, SGD with a group for
every parameter, the textbook's distance matrix, one `.item()` a step. The library's is the loop of
`fit`, `reidlab.training.train_epoch`. Both train the same network on the same P x K batches, which
lie ready on the device: reading images is another matter. Their losses are checked for equality
before anything is timed.

Ways take turns, a block of steps each, round after round, so that a machine that grows busy or hot
slows all of them. A ratio is that of two blocks of one round; printed are the median and the range
over the rounds. The share of the peak is the network's own work (torch.utils.flop_counter, eager,
nothing counted twice for recomputation) over what a large matrix product in the same number format
reached in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from machine import machine, write_record
from timm.layers import set_fused_attn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from reidlab import recipes
from reidlab.losses import IdentityLoss, TripletLoss
from reidlab.models import create_model
from reidlab.record import describe_environment
from reidlab.training import Objective, Recipe, Session, train_epoch
from reidlab.training.optim import make_optimizer, set_rate_of_step
from reidlab.training.session import make_accelerator

RECIPE = recipes.get("vit_baseline", "paper")  # TransReID's: SGD, soft margin, no smoothing
CLASSES = 751  # of Market-1501
DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Step = Callable[[int], None]


@dataclass(frozen=True)
class Size:
    """A network, its images, and the batch of a step."""

    backbone: str
    image_size: tuple[int, int]
    identities: int
    images_of_each: int
    embedded: int  # images of a batch when embedding
    steps: int  # of a block
    depth: int | None = None

    @property
    def batch(self) -> int:
        """Images of a training step."""
        return self.identities * self.images_of_each


TINY, BASE = "vit_tiny_patch16_224", "vit_base_patch16_224"
GPU_SIZES = {
    "ViT-Tiny, 192x96": Size(TINY, (192, 96), 16, 4, 256, 40),
    "ViT-B, 256x128": Size(BASE, (256, 128), 16, 4, 256, 20),
}
CPU_SIZES = {  # ViT-B with fewer people than TransReID's 16: a step of 64 takes a minute on 2 cores
    "ViT-Tiny, 192x96": Size(TINY, (192, 96), 8, 4, 64, 3),
    "ViT-B, 256x128": Size(BASE, (256, 128), 4, 4, 16, 1),
}
QUICK_SIZES = {"ViT-Tiny, 2 blocks, 64x32": Size(TINY, (64, 32), 4, 2, 8, 2, depth=2)}


@dataclass(frozen=True)
class Way:
    """One way to train: the library's loop, or the plain one with some of its parts replaced."""

    precision: str = "no"
    library: bool = False
    fused_attention: bool = False
    group_per_rate: bool = False
    fused_optimizer: bool = False
    compiled: bool = False


def training_ways(cuda: bool) -> dict[str, Way]:
    """The plain loop first; then one change at a time; then the library."""
    if not cuda:
        return {
            "plain loop": Way(),
            "fused attention alone": Way(fused_attention=True),
            "fit, float32": Way(library=True),
            "fit, bf16, attention fused": Way("bf16", library=True, fused_attention=True),
            "fit, bf16": Way("bf16", library=True),
        }
    return {
        "plain loop": Way("fp16"),
        "fused attention alone": Way("fp16", fused_attention=True),
        "bf16 alone": Way("bf16"),
        "a group per rate alone": Way("fp16", group_per_rate=True),
        "and a fused optimizer": Way("fp16", group_per_rate=True, fused_optimizer=True),
        "fit, fp16": Way("fp16", library=True),
        "fit, bf16": Way("bf16", library=True),
        "fit, bf16, compiled": Way("bf16", library=True, compiled=True),
    }


def embedding_ways(cuda: bool) -> dict[str, Way]:
    """As TransReID tests, in float32 with plain attention; then as `embed` does."""
    ways = {
        "plain loop": Way(),
        "embed, float32": Way(library=True),
        "embed, bf16": Way("bf16", library=True),
    }
    if cuda:
        ways["embed, bf16, compiled"] = Way("bf16", library=True, compiled=True)
    return ways


def network(
    size: Size, *, fused_attention: bool, always: bool = False, device: torch.device
) -> nn.Module:
    """The ViT baseline with random weights, the same each time."""
    torch.manual_seed(0)
    set_fused_attn(fused_attention, experimental=always)
    try:
        return create_model(
            "vit_baseline",
            num_classes=CLASSES,
            backbone=size.backbone,
            image_size=size.image_size,
            weights=None,
            depth=size.depth,
        ).to(device)
    finally:
        set_fused_attn(True)


def ready_batch(size: Size, device: torch.device) -> dict[str, Tensor]:
    """A P x K batch on the device."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size.batch, 3, *size.image_size, generator=generator)
    labels = torch.arange(size.identities).repeat_interleave(size.images_of_each)
    batch = {"image": images, "label": labels, "camid": torch.zeros_like(labels)}
    return {name: tensor.to(device) for name, tensor in batch.items()}


# ------------------------------------------------------------------------------ the plain loop


def plain_loss(logits: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, and the soft-margin triplet loss with distances by |a|^2 + |b|^2 - 2ab."""
    features = features.float()
    squares = features.square().sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * features @ features.T
    distances = distances.clamp(min=1e-12).sqrt()
    same = labels[:, None] == labels[None, :]
    farthest = torch.stack([row[mask].max() for row, mask in zip(distances, same, strict=True)])
    nearest = torch.stack([row[~mask].min() for row, mask in zip(distances, same, strict=True)])
    triplet = F.soft_margin_loss(nearest - farthest, torch.ones_like(nearest))
    return F.cross_entropy(logits.float(), labels) + triplet


def plain_loop(way: Way, size: Size, batch: dict[str, Tensor]) -> Step:
    """A function that takes some training steps the plain way."""
    device = batch["image"].device
    model = network(size, fused_attention=way.fused_attention, device=device).train()
    groups: dict[Any, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = "bias" in name if way.group_per_rate else name
            groups.setdefault(key, []).append(parameter)
    settings = [{"params": parameters, "lr": RECIPE.lr} for parameters in groups.values()]
    optimizer = torch.optim.SGD(
        settings,
        momentum=RECIPE.momentum,
        weight_decay=RECIPE.weight_decay,
        fused=way.fused_optimizer or None,
    )
    scaler = torch.amp.GradScaler(device.type, enabled=way.precision == "fp16")

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            with autocast(device, way.precision):
                out = model(batch["image"], batch["camid"])
                loss = plain_loss(out.logits[0], out.features[0], batch["label"])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            (out.logits[0].argmax(1) == batch["label"]).float().mean().item()
            loss.item()

    return run


# ---------------------------------------------------------------------------- the library's loop


def library_loop(way: Way, size: Size, batch: dict[str, Tensor]) -> Step:
    """A function that takes some training steps by the loop of `fit`."""
    device = batch["image"].device
    recipe = RECIPE.replace(precision=way.precision, image_size=size.image_size)
    always = way.fused_attention  # where the library would not
    model = network(size, fused_attention=True, always=always, device=device)
    if way.compiled:
        model.compile()
    return training_steps(model, recipe, batch)


def training_steps(model: nn.Module, recipe: Recipe, batch: dict[str, Tensor]) -> Step:
    """A function that takes some training steps of a model on one batch by the loop of `fit`."""
    accelerator = make_accelerator(recipe, Path())
    prepared, optimizer = accelerator.prepare(model, make_optimizer(model, recipe))
    session = Session(
        model=prepared,
        optimizer=optimizer,
        loader=[],
        recipe=recipe,
        accelerator=accelerator,
        rate=partial(set_rate_of_step, recipe),
        objective=Objective(recipe.losses),
        seed=0,
        out=Path(),
        configuration={},
    )

    def run(steps: int) -> None:
        session.loader = [batch] * steps
        train_epoch(session, 1)

    return run


def embedding_loop(way: Way, size: Size, device: torch.device) -> Step:
    """A function that embeds some batches."""
    model = network(size, fused_attention=way.library, device=device).eval()
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(size.embedded, 3, *size.image_size, generator=generator).to(device)
    camids = torch.zeros(size.embedded, dtype=torch.long, device=device)
    embed = torch.compile(model.embed) if way.compiled else model.embed
    no_gradient = torch.inference_mode if way.library else torch.no_grad

    def run(steps: int) -> None:
        with no_gradient(), autocast(device, way.precision):
            for _ in range(steps):
                embed(images, camids).float().cpu()

    return run


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Autocast of a recipe's precision."""
    if precision == "no":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


# --------------------------------------------------------------------------------- measurements


def agree(size: Size, batch: dict[str, Tensor]) -> None:
    """Stop if the two loops do not compute the same loss in float32."""
    device = batch["image"].device
    losses = []
    for fused in (False, True):
        out = network(size, fused_attention=fused, device=device)(batch["image"], batch["camid"])
        labels = batch["label"]
        ours = IdentityLoss(0.0)(out.logits[0], labels) + TripletLoss()(out.features[0], labels)
        losses += [ours.item(), plain_loss(out.logits[0], out.features[0], labels).item()]
    if max(losses) - min(losses) > 1e-3:
        raise SystemExit(f"the loops differ: losses {losses}, library and plain in turn")


def flops_per_image(size: Size) -> dict[str, float]:
    """Operations of the network for one image: forward ("embedding"), and with backward."""
    model = network(size, fused_attention=False, device=torch.device("cpu"))
    images = torch.randn(2, 3, *size.image_size)  # batch norm cannot train on one
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model.eval().embed(images)
    model.train()
    with FlopCounterMode(display=False) as both:
        out = model(images)
        (out.logits[0].sum() + out.features[0].sum()).backward()
    return {
        "embedding": forward.get_total_flops() / 2,
        "training": both.get_total_flops() / 2,
    }


def matrix_peak(precision: str, device: torch.device, n: int) -> float:
    """FLOP/s of an n x n matrix product: the best of some, after warming up."""
    a, b = (torch.randn(n, n, device=device, dtype=DTYPES[precision]) for _ in range(2))
    times = [seconds(lambda _: torch.mm(a, b), 1, device) for _ in range(20)]
    return 2 * n**3 / min(times)


def seconds(run: Step, steps: int, device: torch.device) -> float:
    """Wall-clock seconds of a block, to the end of what the device has been given."""
    wait(device)
    began = time.perf_counter()
    run(steps)
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    """Until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    loops: dict[str, Step], images: int, steps: int, rounds: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Blocks of every loop in turn; images a second, and the ratio to the first loop."""
    rates: dict[str, list[float]] = {name: [] for name in loops}
    memory = {}
    for name, run in loops.items():  # warm up: compile, choose kernels, fill the allocator
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        run(steps)
        if device.type == "cuda":
            memory[name] = (torch.cuda.max_memory_allocated(device) - before) / 2**20
    for turn in range(rounds):
        order = list(loops) if turn % 2 == 0 else list(reversed(loops))
        for name in order:
            rates[name].append(images * steps / seconds(loops[name], steps, device))
    plain = next(iter(rates.values()))
    rows = {}
    for name, found in rates.items():
        ratios = [rate / other for rate, other in zip(found, plain, strict=True)]
        rows[name] = {
            "images_per_second": statistics.median(found),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            **({"step_memory_mb": memory[name]} if name in memory else {}),
        }
    return rows


def bench(
    name: str, size: Size, peaks: dict[str, float], rounds: int, device: torch.device
) -> dict[str, Any]:
    """Train and embed at one size; prints a table each."""
    batch = ready_batch(size, device)
    agree(size, batch)
    flops = flops_per_image(size)
    rows: dict[str, Any] = {}
    for task, ways, images in (
        ("training", training_ways(device.type == "cuda"), size.batch),
        ("embedding", embedding_ways(device.type == "cuda"), size.embedded),
    ):
        loops: dict[str, Step] = {}
        for title, way in ways.items():
            if task == "embedding":
                loops[title] = embedding_loop(way, size, device)
            else:
                loops[title] = (library_loop if way.library else plain_loop)(way, size, batch)
        rows[task] = measure(loops, images, size.steps, rounds, device)
        print(f"\n{name}, {task}, batch {images}, {flops[task] / 1e9:.2f} GFLOP an image\n")
        print("| way | images/s | times the plain loop | share of the peak |\n|---|---:|---:|---:|")
        for title, row in rows[task].items():
            precision = ways[title].precision
            row["precision"] = precision
            row["share_of_peak"] = row["images_per_second"] * flops[task] / peaks[precision]
            low, high = row["ratio_range"]
            print(
                f"| {title} | {row['images_per_second']:.1f} | {row['ratio']:.2f} "
                f"({low:.2f} to {high:.2f}) | {100 * row['share_of_peak']:.0f} % {precision} |",
                flush=True,
            )
    return {"size": asdict(size), "flops_per_image": flops, **rows}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small network, two rounds")
    parser.add_argument("--rounds", type=int, help="turns of each way; 7, with --quick 2")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone")
    parser.add_argument("--out", type=Path, help="write the record here")
    given = parser.parse_args()
    os.environ["REIDLAB_PROGRESS"] = "none"
    cuda = torch.cuda.is_available() and not given.cpu
    device = torch.device("cuda" if cuda else "cpu")
    os.environ["ACCELERATE_USE_CPU"] = str(not cuda).lower()
    rounds = given.rounds or (2 if given.quick else 7)
    sizes = QUICK_SIZES if given.quick else GPU_SIZES if cuda else CPU_SIZES
    side = 512 if given.quick else 8192 if cuda else 2048
    where = {"machine": machine(), "device": describe_environment(device)["device"]}
    print(f"{where['device']}; {where['machine']}")
    precisions = ["no", "fp16", "bf16"] if cuda else ["no", "bf16"]
    peaks = {precision: matrix_peak(precision, device, side) for precision in precisions}
    for precision, peak in peaks.items():
        print(f"matrix product of {side} x {side}, {precision}: {peak / 1e12:.2f} TFLOP/s")
    rows = {name: bench(name, size, peaks, rounds, device) for name, size in sizes.items()}
    if given.out:
        write_record(
            given.out,
            {**where, "threads": torch.get_num_threads()},
            rounds=rounds,
            matrix_side=side,
            matrix_peaks=peaks,
            rows=rows,
        )


if __name__ == "__main__":
    main()
