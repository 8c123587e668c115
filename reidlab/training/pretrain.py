"""Train the shipped backbone: ViT-Tiny/16 on a randomised world of people who do not exist.

The world has a seed of its own range (`synth.PRETRAINING_SEEDS`), so no person, camera or scene of
it appears anywhere else in the book. Three descriptions of an image are supervised together,
because the papers of this book read different tokens: the class token, the mean of all patch
tokens, and the means of the rows of the patch grid. Trained on the class token alone, the patch
tokens stay useless for retrieval.

Each description answers two questions. *Who is it?* (identity loss, one classifier shared by all
views, and triplet loss) and *what do they wear?*: garments, patterns, colours, things carried. Only
a synthetic world knows the second answer for every picture. In short tries from random weights it
got the learning going: naming one of 3,000 people is a hard first lesson, naming a colour is not.
(A recorded ablation of this is still to be made.)

The first part of the training sees small images (less than half of the tokens, twice the speed),
the second the full size. Every step draws its batch and its augmentation from (seed, step) alone,
so an interrupted training continues as if nothing had happened (rendering starts again).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from reidlab.losses import IdentityLoss, TripletLoss
from reidlab.models.vit import TokenBackbone, resize_pos_embed
from reidlab.synth import PRETRAINING_SEEDS, World
from reidlab.synth.people import BOTTOM, SHOES, SLEEVE, TOP
from reidlab.synth.styles import BOTTOMS, COLOURS, HAIR, HATS, PATTERNS, TOPS
from reidlab.training.files import atomic
from reidlab.training.record import RunRecord, describe_environment, now, peak_memory_mb
from reidlab.training.seed import seed_everything

_LOG_EVERY = 50
_RENDER_AT_ONCE = 96


@dataclass(frozen=True)
class PretrainConfig:
    """Every number of the pretraining; all are ours, chosen before the run, not tuned after."""

    backbone: str = "vit_tiny_patch16_224"
    image_size: tuple[int, int] = (192, 96)
    small_size: tuple[int, int] = (128, 64)
    seed: int = 0
    identities: int = 3000
    images_per_identity: int = 12
    cameras: int = 60
    infrared_cameras: int = 12
    identities_per_batch: int = 16  # P
    images_per_batch: int = 4  # K
    small_steps: int = 4500
    steps: int = 6200  # in all
    lr: float = 1e-3
    final_lr: float = 2e-5
    warmup_steps: int = 200
    weight_decay: float = 0.05
    clip_grad: float = 1.0
    drop_path: float = 0.05
    label_smoothing: float = 0.1

    def world(self) -> World:
        """The randomised world of this run."""
        return World(
            seed=PRETRAINING_SEEDS + self.seed, identities=self.identities, cameras=self.cameras,
            infrared_cameras=self.infrared_cameras, images_per_camera=1, palette=40, occlusion=0.15,
            jitter=1.3, resolution=self.image_size, style="random",
        )  # fmt: skip


class ThreeViews(nn.Module):
    """Class token, pooled patches and rows of patches: who is it, and what do they wear?

    Args:
        backbone: what is trained.
        num_classes: people of the world.
        rows: R, rows of the patch grid at full size; a smaller grid is resampled to as many.
        answers: all possible answers to all attribute questions, see `attributes`.
    """

    def __init__(self, backbone: TokenBackbone, num_classes: int, rows: int, answers: int) -> None:
        super().__init__()
        self.backbone, self.rows, dim = backbone, rows, backbone.embed_dim
        self.norms = nn.ModuleList(nn.BatchNorm1d(dim, affine=False) for _ in range(2 + rows))
        self.classifier = nn.Linear(dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.01)
        self.answers = nn.ModuleList(nn.Linear(size, answers) for size in (dim, dim, rows * dim))

    def forward(
        self, images: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits (2 + R, B, C), three features for the triplet loss, three times (B, answers)."""
        views = token_views(_at_grid(self.backbone, images, grid), grid, self.rows)
        rows = views["rows"].unflatten(1, (self.rows, -1)).unbind(1)
        inputs = [views["class"], views["pooled"], *rows]
        z = torch.stack([norm(x.float()) for norm, x in zip(self.norms, inputs, strict=True)])
        features = [views["class"], views["pooled"], views["rows"] / self.rows**0.5]
        worn = (z[0], z[1], z[2:].transpose(0, 1).flatten(1))
        answers = [head(x) for head, x in zip(self.answers, worn, strict=True)]
        return self.classifier(z), features, answers


class Attribute(NamedTuple):
    """One question about a person."""

    labels: Tensor  # (people,) the right answer
    choices: int
    needs_colour: bool  # an infrared picture can't tell


def attributes(config: PretrainConfig) -> list[Attribute]:
    """Every question the world can answer about its people."""
    people = config.world().people(list(range(1, config.identities + 1)))
    asked: list[tuple[NDArray[Any], int, bool]] = [
        (people.top, len(TOPS), False), (people.bottom, len(BOTTOMS), False),
        (people.hair, len(HAIR), False), (people.hat, len(HATS), False),
        (people.backpack, 2, False), (people.bag, 2, False), (people.scarf, 2, False),
        (people.pattern[:, TOP], len(PATTERNS), False),
        (people.pattern[:, BOTTOM], len(PATTERNS), False),
    ]  # fmt: skip
    asked += [
        (people.colour_name[:, material], len(COLOURS), True)
        for material in (TOP, BOTTOM, SHOES, SLEEVE)
    ]
    return [Attribute(torch.as_tensor(np.asarray(a), dtype=torch.int64), n, c) for a, n, c in asked]


def attribute_loss(
    questions: list[Attribute], answers: list[Tensor], people: Tensor, visible: Tensor
) -> Tensor:
    """Sum over the questions of the mean cross-entropy over views and pictures.

    Args:
        questions: see `attributes`.
        answers: logits (B, all choices) of each view.
        people: (B,) who it is, from 0.
        visible: (B,) False where the picture is infrared and colours can't be told.
    """
    total, first = torch.zeros((), device=people.device), 0
    for question in questions:
        right = question.labels.to(people.device)[people]
        counted = visible if question.needs_colour else torch.ones_like(visible)
        for logits in answers:
            chosen = logits[:, first : first + question.choices].float()
            each = F.cross_entropy(chosen, right, reduction="none") * counted
            total = total + each.sum() / counted.sum().clamp(min=1) / len(answers)
        first += question.choices
    return total


def token_views(
    tokens: tuple[Tensor, Tensor], grid: tuple[int, int], rows: int | None = None
) -> dict[str, Tensor]:
    """Three descriptions of an image from its tokens after the final norm.

    Args:
        tokens: class token (B, D) and patch tokens (B, h*w, D).
        grid: (h, w).
        rows: R, how many row means to take; default h, and others are interpolated between rows.

    Returns:
        "class" (B, D), "pooled" (B, D), "rows" (B, R*D).
    """
    cls, patches = tokens
    means = patches.unflatten(1, grid).mean(dim=2)  # (B, h, D)
    if rows is not None and rows != grid[0]:
        means = F.interpolate(means.transpose(1, 2), size=rows, mode="linear").transpose(1, 2)
    return {"class": cls, "pooled": patches.mean(dim=1), "rows": means.flatten(1)}


def _at_grid(
    backbone: TokenBackbone, images: Tensor, grid: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Run the backbone on images of another size, with its positions resized on the fly."""
    if grid == backbone.grid:
        tokens = backbone(images)
        return tokens.cls, tokens.patches
    x = backbone.patch_embed.proj(images).flatten(2).transpose(1, 2)
    x = torch.cat([backbone.cls_token.expand(len(x), -1, -1), x], dim=1)
    x = x + resize_pos_embed(backbone.pos_embed, backbone.grid, grid)
    x = backbone.norm(backbone.blocks(x))
    return x[:, 0], x[:, 1:]


def _keys(config: PretrainConfig) -> list[tuple[int, int, int]]:
    """(pid, camid, index) of every image, person by person, each in cameras drawn for them."""
    draw = np.random.default_rng([config.seed, 77])
    total = config.cameras + config.infrared_cameras
    keys = []
    for pid in range(1, config.identities + 1):
        repeat = config.images_per_identity > total
        camids = draw.choice(total, config.images_per_identity, replace=repeat)
        keys += [(pid, int(camid), i) for i, camid in enumerate(camids)]
    return keys


def _render_chunk(config: PretrainConfig, keys: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    torch.set_num_threads(1)
    return config.world().render(keys).images


def render_images(config: PretrainConfig, out: Path, workers: int) -> NDArray[np.uint8]:
    """All training images, (N, H, W, 3) uint8, in `out`; rendered once, chunk by chunk."""
    keys = _keys(config)
    path = out / f"images-{config.world().fingerprint()[:12]}-{len(keys)}.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    beside = path.with_suffix(".tmp")
    shape = (len(keys), *config.image_size, 3)
    images = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
    chunks = [keys[i : i + _RENDER_AT_ONCE] for i in range(0, len(keys), _RENDER_AT_ONCE)]
    started = time.time()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for i, block in enumerate(pool.map(_render_chunk, [config] * len(chunks), chunks)):
            images[i * _RENDER_AT_ONCE : i * _RENDER_AT_ONCE + len(block)] = block
            if i % 50 == 0:
                done = i * _RENDER_AT_ONCE + len(block)
                print(
                    f"rendered {done}/{len(keys)} images, {done / (time.time() - started):.0f}/s",
                    flush=True,
                )
    images.flush()
    os.replace(beside, path)
    return np.load(path, mmap_mode="r")


def _batch(
    config: PretrainConfig, images: NDArray[np.uint8], step: int, size: tuple[int, int]
) -> tuple[Tensor, NDArray[np.int64]]:
    """P x K augmented images of a step, (B, 3, H, W) in 0..1, and their rows in `images`."""
    draw = np.random.default_rng([config.seed, step, 3])
    people = draw.choice(config.identities, config.identities_per_batch, replace=False)
    k = config.images_per_identity
    chosen = [p * k + draw.choice(k, config.images_per_batch, replace=False) for p in people]
    picks = np.sort(np.concatenate(chosen))
    batch = torch.from_numpy(images[picks]).permute(0, 3, 1, 2).float() / 255.0
    generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
    return augment(batch, size, generator), picks


def augment(x: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Flip, zoom, shift, low resolution, colour, grey, erase: (B, 3, H, W) in 0..1 to *size*."""
    n = len(x)

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    flip = torch.where(uniform(n) < 0.5, -1.0, 1.0)
    zoom = uniform(n, low=0.85, high=1.12)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = flip * zoom * uniform(n, low=0.68, high=1.08), zoom
    matrix[:, :, 2] = uniform(n, 2, low=-0.08, high=0.08)
    grid = F.affine_grid(matrix, [n, 3, *size], align_corners=False)
    coarse = uniform(n) < 0.35  # far people are a few pixels: blur away what a sensor would not see
    small = F.interpolate(
        x[coarse], scale_factor=float(uniform(1, low=0.25, high=0.6)), mode="area"
    )
    x = x.clone()
    x[coarse] = F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    x = x * uniform(n, 3, 1, 1, low=0.82, high=1.18) * uniform(n, 1, 1, 1, low=0.75, high=1.25)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (x - mean) * uniform(n, 1, 1, 1, low=0.7, high=1.35)
    grey = (uniform(n) < 0.1)[:, None, None, None]
    x = torch.where(grey, x.mean(dim=1, keepdim=True), x).clamp(0.0, 1.0)
    return _erase(x, generator)


def _erase(x: Tensor, generator: torch.Generator) -> Tensor:
    """Noise over one rectangle of 4 to 25 % of the area, in half of the images."""
    n, _, height, width = x.shape
    draws = torch.rand(n, 5, generator=generator)
    area = (0.04 + 0.21 * draws[:, 0]) * height * width
    ratio = 0.4 + 1.8 * draws[:, 1]
    h, w = (
        (area * ratio).sqrt().clamp(max=height * 0.8),
        (area / ratio).sqrt().clamp(max=width * 0.8),
    )
    top, left = draws[:, 2] * (height - h), draws[:, 3] * (width - w)
    row, column = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    t, b, first, last = (v[:, None, None] for v in (top, top + h, left, left + w))
    covered = (row >= t) & (row < b) & (column >= first) & (column < last)
    inside = covered & (draws[:, 4] < 0.5)[:, None, None]
    noise = torch.rand(x.shape, generator=generator)
    return torch.where(inside[:, None], noise, x)


def _lr(config: PretrainConfig, step: int) -> float:
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.final_lr + 0.5 * (config.lr - config.final_lr) * (1.0 + math.cos(math.pi * share))


def pretrain(
    out: str | Path,
    config: PretrainConfig | None = None,
    *,
    workers: int = 2,
    save_every: int = 250,
) -> Path:
    """Train the backbone; resumes from `out` if it was interrupted.

    Args:
        out: folder for the rendered images, the checkpoint, the weights and `record.json`.
        config: every number; default the shipped weights' own.
        workers: processes that render.
        save_every: steps between two checkpoints.

    Returns:
        `out/backbone.safetensors`: half-precision weights under timm's own names.
    """
    config, out = config or PretrainConfig(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    images = render_images(config, out, workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seed_everything(config.seed)
    backbone = TokenBackbone(config.backbone, config.image_size, drop_path=config.drop_path)
    questions = attributes(config)
    choices = sum(question.choices for question in questions)
    model = ThreeViews(backbone, config.identities, backbone.grid[0], choices).to(device)
    decay = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decay, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr)
    progress = _resume(out, config, model, optimizer)
    for step, loss, accuracy in _steps(config, images, questions, model, optimizer, progress.step):
        progress.seconds += loss.seconds
        if step % _LOG_EVERY == 0:
            rate = config.identities_per_batch * config.images_per_batch / max(1e-9, loss.seconds)
            told = f"loss {loss.value:.3f} top-1 {accuracy:.3f} {rate:.0f} images/s"
            print(f"step {step}/{config.steps} {told}", flush=True)
        if step % save_every == 0 or step == config.steps:
            row = {"epoch": step, "loss": loss.value, "accuracy": accuracy}
            progress.history.append(row | {"seconds": progress.seconds})
            progress.step = step
            _save(out, config, model, optimizer, progress)
    height, width = config.image_size
    meta = {
        "image_size": f"{height},{width}",
        "patch_size": str(backbone.patch_size),
        "normalization": "half",
    }
    weights = {k: v.half().contiguous().cpu() for k, v in backbone.state_dict().items()}
    with atomic(out / "backbone.safetensors") as beside:
        save_file(weights, beside, metadata=meta)
    _record(config, progress, device).save(out / "record.json")
    return out / "backbone.safetensors"


@dataclass
class _Progress:
    """How far a run is; `history` has a row per checkpoint, "epoch" being the step."""

    started: str = field(default_factory=now)
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def _record(config: PretrainConfig, progress: _Progress, device: torch.device) -> RunRecord:
    world = config.world()
    images = config.identities * config.images_per_identity
    seen = progress.step * config.identities_per_batch * config.images_per_batch
    return RunRecord(
        experiment={"paper": "pretraining", "variant": "vit_tiny_synth", **asdict(config)},
        seed=config.seed,
        data={
            "name": f"synthetic, style {world.style}",
            "fingerprint": world.fingerprint(),
            "protocol": "none: these people are in no test",
            "train_images": images,
            "train_identities": config.identities,
            "train_images_seen": seen,
        },
        metrics={"train_accuracy": progress.history[-1]["accuracy"]},
        seconds={"train": progress.seconds},
        images_per_second=seen / max(progress.seconds, 1e-9),
        peak_memory_mb=peak_memory_mb(device),
        started=progress.started,
        finished=now(),
        history=progress.history,
        environment=describe_environment(device),
    )


@dataclass
class _Loss:
    value: float
    seconds: float


def _steps(
    config: PretrainConfig,
    images: NDArray[np.uint8],
    questions: list[Attribute],
    model: ThreeViews,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> Iterator[tuple[int, _Loss, float]]:
    """Train from `step` on; yields each step's number, loss and top-1 of the class token."""
    identity, triplet = IdentityLoss(config.label_smoothing), TripletLoss(margin=None)
    device, patch = next(model.parameters()).device, model.backbone.patch_size
    infrared = np.array([camid >= config.cameras for _, camid, _ in _keys(config)])
    model.train()
    while step < config.steps:
        started = time.time()
        size = config.small_size if step < config.small_steps else config.image_size
        x, picks = _batch(config, images, step, size)
        labels = torch.from_numpy(picks // config.images_per_identity).to(device)
        visible = torch.from_numpy(~infrared[picks]).to(device)
        torch.manual_seed(config.seed * 1_000_003 + step)  # stochastic depth
        for group in optimizer.param_groups:
            group["lr"] = _lr(config, step)
        with torch.autocast(device.type, torch.bfloat16):
            grid = (size[0] // patch, size[1] // patch)
            logits, features, answers = model((2.0 * x - 1.0).to(device), grid)
        named = torch.stack([identity(z.float(), labels) for z in logits])
        who = named[0] + named[1] + named[2:].mean()
        apart = torch.stack([triplet(f.float(), labels) for f in features]).sum()
        loss = who + apart + attribute_loss(questions, answers, labels, visible)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {step}: lower `lr`; the last checkpoint is kept"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad)
        optimizer.step()
        step += 1
        accuracy = (logits[0].argmax(dim=1) == labels).float().mean().item()
        yield step, _Loss(loss.item(), time.time() - started), accuracy


def _save(
    out: Path,
    config: PretrainConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: _Progress,
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "config": json.dumps(asdict(config), sort_keys=True),
        **vars(progress),
    }
    with atomic(out / "checkpoint.pt") as beside:
        torch.save(state, beside)


def _resume(
    out: Path, config: PretrainConfig, model: nn.Module, optimizer: torch.optim.Optimizer
) -> _Progress:
    path = out / "checkpoint.pt"
    if not path.exists():
        return _Progress()
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["config"] != json.dumps(asdict(config), sort_keys=True):
        raise ValueError(
            f"{path} belongs to another configuration: choose another folder, or delete this one"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return _Progress(**{f.name: state[f.name] for f in fields(_Progress)})


def small_config() -> PretrainConfig:
    """A few steps on a handful of people: for tests and for looking at the code run."""
    return replace(
        PretrainConfig(),
        identities=6,
        images_per_identity=4,
        cameras=4,
        infrared_cameras=1,
        small_steps=2,
        steps=4,
        warmup_steps=1,
        identities_per_batch=3,
        images_per_batch=2,
    )
