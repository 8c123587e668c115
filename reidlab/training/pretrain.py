"""Train the shipped backbone: ViT-Tiny/16 on a randomised world of people who do not exist.

The world has a seed of its own range (`synth.PRETRAINING_SEEDS`), so no person, camera or scene of it
appears anywhere else in the book. Three descriptions of an image are supervised together, because the
papers of this book read different tokens: the class token, the mean of all patch tokens, and the means of
the rows of the patch grid. A study of ours trained the class token alone, and its patch tokens stayed
useless for retrieval.

The first part of the training sees small images (a third of the tokens, twice the speed), the second
the full size. Every step draws its batch and its augmentation from (seed, step) alone, so an interrupted
run continues as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from reidlab.losses import IdentityLoss, TripletLoss
from reidlab.models.vit import TokenBackbone, resize_pos_embed
from reidlab.models.vit_baseline import BNNeck
from reidlab.synth import PRETRAINING_SEEDS, World
from reidlab.training.seed import seed_everything

_LOG_EVERY = 50
_RENDER_AT_ONCE = 96


@dataclass(frozen=True)
class PretrainConfig:
    """Every number of the pretraining; all are ours, chosen before the run and not tuned after it."""

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
    small_steps: int = 7000
    steps: int = 10000  # in all
    lr: float = 7e-4
    final_lr: float = 2e-5
    warmup_steps: int = 500
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
    """Class token, pooled patches and rows of patches, each with its own necks.

    Args:
        backbone: what is trained.
        num_classes: people of the world.
        rows: rows of the patch grid at the full image size; a smaller grid is resampled to as many.
    """

    def __init__(self, backbone: TokenBackbone, num_classes: int, rows: int) -> None:
        super().__init__()
        self.backbone, self.rows, dim = backbone, rows, backbone.embed_dim
        self.necks = nn.ModuleList(BNNeck(dim, num_classes) for _ in range(2 + rows))

    def forward(self, images: Tensor, grid: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits of every neck, and the three features for the triplet loss."""
        views = token_views(_at_grid(self.backbone, images, grid), grid, self.rows)
        rows = views["rows"].unflatten(1, (self.rows, -1))
        inputs = [views["class"], views["pooled"], *rows.unbind(1)]
        logits = [neck(x) for neck, x in zip(self.necks, inputs, strict=True)]
        return logits, [views["class"], views["pooled"], views["rows"] / math.sqrt(self.rows)]


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


# --- data -------------------------------------------------------------------------------------------


def _keys(config: PretrainConfig) -> list[tuple[int, int, int]]:
    """(pid, camid, index) of every image, person by person: each in other cameras, some of them infrared."""
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
    """All training images, (N, H, W, 3) uint8, from `out/images.npy`; rendered once, chunk by chunk."""
    path, keys = out / "images.npy", _keys(config)
    if path.exists():
        return np.load(path, mmap_mode="r")
    beside = out / "images.npy.tmp"
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
) -> tuple[Tensor, Tensor]:
    """P x K augmented images of a step, (B, 3, H, W) in 0..1, and their labels."""
    draw = np.random.default_rng([config.seed, step, 3])
    people = draw.choice(config.identities, config.identities_per_batch, replace=False)
    k = config.images_per_identity
    picks = np.concatenate(
        [p * k + draw.choice(k, config.images_per_batch, replace=False) for p in people]
    )
    batch = torch.from_numpy(images[np.sort(picks)]).permute(0, 3, 1, 2).float() / 255.0
    generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
    labels = torch.from_numpy(np.sort(picks) // k)
    return augment(batch, size, generator), labels


def augment(x: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Flip, zoom and shift, low resolution, colour, grey, erase. (B, 3, H, W) in 0..1 to (B, 3, *size)."""
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
    t, l, b, r = (v[:, None, None] for v in (top, left, top + h, left + w))
    inside = (
        (row >= t) & (row < b) & (column >= l) & (column < r) & (draws[:, 4] < 0.5)[:, None, None]
    )
    noise = torch.rand(x.shape, generator=generator)
    return torch.where(inside[:, None], noise, x)


# --- the run ----------------------------------------------------------------------------------------


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
        out: folder for the rendered images, the checkpoint and the result.
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
    model = ThreeViews(backbone, config.identities, backbone.grid[0]).to(device)
    decay = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decay, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr)
    step, seconds = _resume(out, config, model, optimizer)
    for step, loss, accuracy in _steps(config, images, model, optimizer, device, step):
        if step % _LOG_EVERY == 0:
            rate = config.identities_per_batch * config.images_per_batch / max(1e-9, loss.seconds)
            print(
                f"step {step}/{config.steps} loss {loss.value:.3f} top-1 {accuracy:.3f} {rate:.0f} images/s",
                flush=True,
            )
        seconds += loss.seconds
        if step % save_every == 0 or step == config.steps:
            _save(out, config, model, optimizer, step, seconds)
    weights = {k: v.half().contiguous().cpu() for k, v in backbone.state_dict().items()}
    height, width = config.image_size
    meta = {
        "image_size": f"{height},{width}",
        "patch_size": str(backbone.patch_size),
        "normalization": "half",
    }
    save_file(weights, out / "backbone.safetensors.tmp", metadata=meta)
    os.replace(out / "backbone.safetensors.tmp", out / "backbone.safetensors")
    (out / "config.json").write_text(
        json.dumps(asdict(config) | {"seconds": round(seconds, 1)}, indent=1)
    )
    return out / "backbone.safetensors"


@dataclass
class _Loss:
    value: float
    seconds: float


def _steps(
    config: PretrainConfig, images: NDArray[np.uint8], model: ThreeViews, optimizer: torch.optim.Optimizer,
    device: torch.device, step: int,
) -> Iterator[tuple[int, _Loss, float]]:  # fmt: skip
    identity, triplet = IdentityLoss(config.label_smoothing), TripletLoss(margin=None)
    model.train()
    while step < config.steps:
        started = time.time()
        size = config.small_size if step < config.small_steps else config.image_size
        x, labels = _batch(config, images, step, size)
        x, labels = (2.0 * x - 1.0).to(device), labels.to(device)
        torch.manual_seed(config.seed * 1_000_003 + step)  # stochastic depth
        for group in optimizer.param_groups:
            group["lr"] = _lr(config, step)
        with torch.autocast(device.type, torch.bfloat16):
            logits, features = model(
                x, (size[0] // model.backbone.patch_size, size[1] // model.backbone.patch_size)
            )
        parts = [identity(z.float(), labels) for z in logits]
        rows = torch.stack(parts[2:]).mean()
        loss = (
            parts[0]
            + parts[1]
            + rows
            + torch.stack([triplet(f.float(), labels) for f in features]).sum()
        )
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
    step: int,
    seconds: float,
) -> None:
    beside = out / "checkpoint.pt.tmp"
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds,
             "config": json.dumps(asdict(config), sort_keys=True)}  # fmt: skip
    torch.save(state, beside)
    os.replace(beside, out / "checkpoint.pt")


def _resume(
    out: Path, config: PretrainConfig, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    path = out / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["config"] != json.dumps(asdict(config), sort_keys=True):
        raise ValueError(
            f"{path} belongs to another configuration: choose another folder, or delete this one"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])


def small_config() -> PretrainConfig:
    """A few steps on a handful of people: for tests and for looking at the code run."""
    return replace(
        PretrainConfig(), identities=6, images_per_identity=4, cameras=4, infrared_cameras=1, small_steps=2,
        steps=4, warmup_steps=1, identities_per_batch=3, images_per_batch=2,
    )  # fmt: skip


__all__ = [
    "PretrainConfig",
    "ThreeViews",
    "augment",
    "load_file",
    "pretrain",
    "small_config",
    "token_views",
]
