"""The loop: batches by step number, one loss, checkpoints, weights and a record."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reidlab.files import atomic
from reidlab.losses import ContrastiveLoss, IdentityLoss, TripletLoss
from reidlab.models.pretrained import grid_metadata, load_weights
from reidlab.models.vit import TokenBackbone
from reidlab.record import RunRecord, describe_environment, now, peak_memory_mb
from reidlab.seed import seed_everything
from reidlab.training.pretrain.augment import augment
from reidlab.training.pretrain.config import PretrainConfig
from reidlab.training.pretrain.heads import (
    Answers,
    Questions,
    attribute_loss,
    attributes,
    garment_colours,
    part_shares,
    patch_loss,
    self_supervised_loss,
)
from reidlab.training.pretrain.pictures import Batch, Pictures

_LOG_EVERY = 50


def _lr(config: PretrainConfig, step: int) -> float:
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.final_lr + 0.5 * (config.lr - config.final_lr) * (1.0 + math.cos(math.pi * share))


def pretrain(
    out: str | Path,
    config: PretrainConfig | None = None,
    *,
    pictures: str | Path | None = None,
    save_every: int = 250,
) -> Path:
    """Train the backbone; resumes from `out` if it was interrupted.

    Args:
        out: Folder for the checkpoint, the weights and `record.json`.
        config: Every number; default the shipped weights' own.
        pictures: Folder for the rendered images, if several runs share a world; default `out`.
        save_every: Steps between two checkpoints.

    Returns:
        `out/backbone.safetensors`: half-precision weights under timm's own names.

    Raises:
        ValueError: If `out` holds another run, or its checkpoint cannot be read.
        FloatingPointError: If the loss stops being a number.
    """
    config, out = config or PretrainConfig(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    drawn = Pictures(config, Path(pictures or out))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seed_everything(config.seed)
    backbone = TokenBackbone(config.backbone, config.image_size, drop_path=config.drop_path)
    if config.start is not None:
        load_weights(backbone, config.start)
        spread(backbone, drawn)
    choices = sum(question.choices for question in attributes(config))
    model = Questions(backbone, config.identities, backbone.grid[0], choices).to(device)
    optimizer = _optimizer(config, model)
    progress = _resume(out, config, model, optimizer)
    for step, told in _steps(config, drawn, model, optimizer, progress.step):
        progress.seconds += told.seconds
        if step % _LOG_EVERY == 0:
            rate = config.identities_per_batch * config.images_per_batch / told.seconds
            losses = " ".join(f"{name} {value:.3f}" for name, value in told.losses.items())
            print(f"step {step}/{config.steps} {losses} {rate:.0f} images/s", flush=True)
        if step % save_every == 0 or step == config.steps:
            row = {"epoch": step, **told.losses, "accuracy": told.accuracy}
            progress.history.append(row | {"seconds": progress.seconds})
            progress.step = step
            _save(out, config, model, optimizer, progress)
    _save_backbone(out / "backbone.safetensors", backbone)
    _record(config, progress, device).save(out / "record.json")
    return out / "backbone.safetensors"


def spread(backbone: TokenBackbone, pictures: Pictures, images: int = 512) -> None:
    """Give the class token mean 0 and deviation 1 in each dimension, by the final norm's scale.

    Weights that were trained with a triplet loss without a margin tend to gather all images around
    one direction; a contrast by cosine would first have to undo that.

    Args:
        backbone: Changed in place: weight and bias of its final norm.
        pictures: The world whose first images are looked at.
        images: How many.
    """
    step = max(1, len(pictures.images) // images)
    x = torch.from_numpy(pictures.images[::step].transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1.0
    device, trained, norm = backbone.cls_token.device, backbone.training, backbone.norm
    assert isinstance(norm, nn.LayerNorm)
    backbone.eval()
    with torch.inference_mode():
        tokens = torch.cat([backbone(part.to(device)).cls for part in x.split(64)])
    with torch.no_grad():
        mean, deviation = tokens.mean(dim=0).clone(), tokens.std(dim=0).clamp(min=1e-6).clone()
        norm.weight.div_(deviation)
        norm.bias.sub_(mean).div_(deviation)
    backbone.train(trained)


def _optimizer(config: PretrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr)


def _save_backbone(path: Path, backbone: TokenBackbone) -> None:
    meta = {**grid_metadata(backbone), "normalization": "half"}
    weights = {k: v.half().contiguous().cpu() for k, v in backbone.state_dict().items()}
    with atomic(path) as beside:
        save_file(weights, beside, metadata=meta)


def _describe_start(config: PretrainConfig) -> dict[str, str]:
    """Name and SHA-256 of the weights it went on from; never their folder."""
    path = Path(config.start or "")
    if not path.is_file():
        return {}
    return {"start": path.name, "start_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


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
        experiment={
            "paper": "pretraining",
            "variant": "vit_tiny_synth",
            **asdict(config),
            **_describe_start(config),
        },
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


class _Told(NamedTuple):
    """What a step reports."""

    losses: dict[str, float]
    accuracy: float  # of naming the person by the class token
    seconds: float


def _steps(
    config: PretrainConfig,
    pictures: Pictures,
    model: Questions,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> Iterator[tuple[int, _Told]]:
    """Train from `step` on; yields the number of finished steps and what the last one told."""
    device, patch = next(model.parameters()).device, model.backbone.patch_size
    judge = _Judge(config, device)
    model.train()
    while step < config.steps:
        started = time.time()
        size = config.small_size if step < config.small_steps else config.image_size
        grid = (size[0] // patch, size[1] // patch)
        batch = pictures.batch(step)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        x, masks = augment(
            batch.images, batch.masks, size, generator,
            colour=config.colour, swap_background=config.swap_background,
        )  # fmt: skip
        batch = Batch(x.to(device), masks.to(device), *(y.to(device) for y in batch[2:]))
        torch.manual_seed(config.seed * 1_000_003 + step)  # stochastic depth
        for group in optimizer.param_groups:
            group["lr"] = _lr(config, step)
        with torch.autocast(device.type, torch.bfloat16):
            answers = model(2.0 * batch.images - 1.0, grid)
        losses = judge(answers, batch, grid)
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {step}: lower `lr`; the last checkpoint is kept"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad)
        optimizer.step()
        step += 1
        accuracy = (answers.logits[0].argmax(dim=1) == batch.people).float().mean().item()
        told = {"loss": loss.item(), **{name: value.item() for name, value in losses.items()}}
        yield step, _Told(told, accuracy, time.time() - started)


class _Judge:
    """The losses that a configuration asks for, by name, each times its weight."""

    def __init__(self, config: PretrainConfig, device: torch.device) -> None:
        self.config = config
        self.identity = IdentityLoss(config.label_smoothing)
        by_triplet = config.apart_by == "triplet"
        self.apart = TripletLoss(margin=None) if by_triplet else ContrastiveLoss()
        self.worn = attributes(config)
        self.colours = garment_colours(config).to(device)

    def __call__(self, answers: Answers, batch: Batch, grid: tuple[int, int]) -> dict[str, Tensor]:
        config, losses = self.config, {}
        if config.named:
            named = torch.stack([self.identity(z.float(), batch.people) for z in answers.logits])
            losses["named"] = config.named * (named[0] + named[1] + named[2:].mean())
        if config.apart:
            apart = torch.stack([self.apart(f.float(), batch.people) for f in answers.features])
            losses["apart"] = config.apart * apart.sum()
        if config.worn:
            worn = attribute_loss(self.worn, answers.worn, batch.people, batch.visible)
            losses["worn"] = config.worn * worn
        if config.here:
            parts = part_shares(batch.masks, grid)
            losses["here"] = config.here * patch_loss(answers.here, parts, self.colours, batch)
        if config.itself:
            losses["itself"] = config.itself * self_supervised_loss(answers.itself)
        return losses


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
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = json.loads(state["config"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ValueError(
            f"the checkpoint {path} cannot be read ({error}). Delete it to start from the "
            "beginning."
        ) from error
    wanted = json.loads(json.dumps(asdict(config)))
    different = sorted(k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k))
    if different:
        named = "; ".join(f"{k} is {found.get(k)} there and {wanted.get(k)} now" for k in different)
        raise ValueError(
            f"{path} belongs to another configuration: {named}. Choose another folder, or delete "
            "this one."
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return _Progress(**{f.name: state[f.name] for f in fields(_Progress)})
