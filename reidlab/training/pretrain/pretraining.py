"""From the settings of a pretraining to weights and a record, by the loop that `fit` has."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from timm.optim import param_groups_weight_decay
from torch import nn

from reidlab.errors import RecipeError
from reidlab.files import write_bytes
from reidlab.judging.embedding import evaluating
from reidlab.models.pretrained import grid_metadata, load_weights
from reidlab.models.vit import TokenBackbone
from reidlab.processes import ProcessError
from reidlab.record import RunRecord, now
from reidlab.seed import seed_everything
from reidlab.training.beforehand import check_folder, room_of_run
from reidlab.training.checkpoint import (
    CHECKPOINTS,
    check_same,
    delete_checkpoints,
    read_weights,
    writing,
)
from reidlab.training.fitting import RECORD
from reidlab.training.launch import one_at_a_time
from reidlab.training.objectives import Objective
from reidlab.training.pretrain.config import PretrainConfig
from reidlab.training.pretrain.heads import PretrainingModel
from reidlab.training.pretrain.pictures import (
    EpochLoader,
    Pictures,
    picture_bytes,
    picture_files,
)
from reidlab.training.recipe import Recipe
from reidlab.training.session import Session, make_accelerator

WEIGHTS = "backbone.safetensors"


@one_at_a_time
def pretrain(
    out: str | Path,
    config: PretrainConfig | None = None,
    *,
    pictures: str | Path | None = None,
    resume: bool = True,
) -> Path:
    """Train the backbone, and write `out/record.json` and `out/backbone.safetensors`.

    Nothing runs twice, as with `fit`: a finished run of the same configuration is read back, an
    interrupted one goes on after its last epoch and on a CPU ends with the very bits.

    Args:
        out: Folder of the run.
        config: Every number; default the shipped weights' own.
        pictures: Folder for the rendered images, if several runs share a world; default `out`.
        resume: False forgets what is in `out`, but for the images, and starts again, once nothing
            refuses to.

    Returns:
        `out/backbone.safetensors`: half-precision weights under timm's own names.

    Raises:
        RecipeError, WeightsError: If losses, sizes or the weights to go on from cannot work.
        CheckpointError: If `out` holds another run, or is damaged, or a folder cannot be written to
            or has no room. All this before anything is deleted or rendered.
        TrainingDiverged: If a loss, a gradient or a weight stops being a number.
        ProcessError: If several processes were launched.
    """
    if (launched := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise ProcessError(
            f"pretraining runs in one process and {launched} were launched; start it without "
            "accelerate launch."
        )
    config, out = config or PretrainConfig(), Path(out)
    configuration = {"paper": "pretraining", "variant": config.variant, **config.to_dict()}
    if resume and (out / RECORD).is_file():
        check_same(RunRecord.load(out / RECORD).experiment, configuration, out)
        again = f"Delete {out / RECORD} to train again."
        read_weights(out / WEIGHTS, f"the finished run in {out}", again)
        return out / WEIGHTS
    recipe = Recipe(  # what a session reads
        epochs=math.ceil(config.steps / config.save_every),
        precision="bf16",
        clip_grad=config.clip_grad,
        losses=config.losses,
    )
    accelerator = make_accelerator(recipe, out)
    _check_room(config, out, Path(pictures or out), recipe)
    seed_everything(config.seed)
    backbone = TokenBackbone(config.backbone, config.image_size, drop_path=config.drop_path)
    if config.small_steps and min(config.small_size) < backbone.patch_size:
        raise RecipeError(
            f"pretraining: small_size is {config.small_size}; expected sides of a patch or more, "
            f"{backbone.patch_size} pixels, or small_steps=0."
        )
    if config.start is not None:
        load_weights(backbone, config.start)
    model = PretrainingModel(backbone, config.named)
    if not resume:  # nothing refuses any more
        (out / RECORD).unlink(missing_ok=True)
        delete_checkpoints(out / CHECKPOINTS)
    drawn = Pictures(config, Path(pictures or out))
    if config.start is not None:
        spread(backbone, drawn)
    model = model.to(accelerator.device)
    session = Session(
        model=model,
        optimizer=torch.optim.AdamW(
            param_groups_weight_decay(model, config.weight_decay), fused=True
        ),
        loader=EpochLoader(drawn, accelerator.device),
        recipe=recipe,
        accelerator=accelerator,
        rate=partial(_set_rate, config),
        objective=Objective(recipe.losses),
        seed=config.seed,
        out=out,
        configuration=configuration,
    )
    session.run()
    meta = {**grid_metadata(backbone), "normalization": "half"}
    weights = {k: v.half().contiguous().cpu() for k, v in backbone.state_dict().items()}
    with writing(out / WEIGHTS, out / CHECKPOINTS):
        write_bytes(out / WEIGHTS, save(weights, metadata=meta))
        _record(config, session).save(out / RECORD)  # last but one: with a record it is finished
    delete_checkpoints(out / CHECKPOINTS)
    return out / WEIGHTS


def _check_room(config: PretrainConfig, out: Path, pictures: Path, recipe: Recipe) -> None:
    """Find out now whether the images and, beside them, the checkpoints have room."""
    with torch.device("meta"):  # sizes alone
        backbone = TokenBackbone(config.backbone, config.image_size)
        run = room_of_run(PretrainingModel(backbone, config.named), recipe, out)
    files = picture_files(config, pictures)
    images = 0 if all(path.exists() for path in files) else picture_bytes(config)
    check_folder(pictures, images + run if pictures == out else images)
    check_folder(out, run)


def spread(backbone: TokenBackbone, pictures: Pictures) -> None:
    """Give the class token mean 0 and deviation 1 in each dimension, by the final norm's scale.

    Weights that were trained with a triplet loss without a margin tend to gather all images around
    one direction; a contrast by cosine would first have to undo that.

    Args:
        backbone: Changed in place: weight and bias of its final norm.
        pictures: The world, about 512 of whose images are looked at.
    """
    step = max(1, len(pictures.images) // 512)
    x = torch.from_numpy(pictures.images[::step].transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1.0
    norm = backbone.norm
    assert isinstance(norm, nn.LayerNorm)
    with evaluating(backbone) as device, torch.no_grad():
        tokens = torch.cat([backbone(part.to(device)).cls for part in x.split(64)])
        mean, deviation = tokens.mean(dim=0), tokens.std(dim=0).clamp(min=1e-6)
        norm.weight.div_(deviation)
        norm.bias.sub_(mean).div_(deviation)


def _set_rate(
    config: PretrainConfig, optimizer: torch.optim.Optimizer, epoch: int, step: int, steps: int
) -> float:
    lr = config.lr_of((epoch - 1) * config.save_every + step)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def _record(config: PretrainConfig, session: Session) -> RunRecord:
    world, state, history = config.world(), session.state, session.state.history
    seconds: float = sum(row["seconds"] for row in history)
    seen: int = sum(row["images"] for row in history)
    data: dict[str, Any] = {
        "name": f"synthetic, style {world.style}",
        "fingerprint": world.fingerprint(),
        "protocol": "none: these people are in no test",
        "train_images": config.identities * config.images_per_identity,
        "train_identities": config.identities,
        "train_images_seen": seen,
    }
    return RunRecord(
        experiment=session.configuration,
        seed=config.seed,
        data=data,
        metrics={"train_accuracy": history[-1]["accuracy"]} if config.named else {},
        seconds={"train": seconds},
        images_per_second=seen / seconds,
        peak_memory_mb=state.peak_memory_mb,
        started=state.started,
        commit=state.commit[0],
        dirty=state.commit[1],
        finished=now(),
        history=history,
    )
