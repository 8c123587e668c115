"""The training loop: P x K batches, identity and triplet loss, one checkpoint per epoch.

It reads from top to bottom. Accelerate moves tensors, scales fp16 losses and, under `accelerate
launch`, cuts each P x K batch into shares of whole people, one per process; `processes` holds what
makes several processes take the steps of one.
"""

from __future__ import annotations

import dataclasses
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.state import AcceleratorState, GradientState  # type: ignore[import-untyped]
from accelerate.utils import DataLoaderConfiguration  # type: ignore[import-untyped]
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from reidlab.data import IdentitySampler, build_transform, make_loader
from reidlab.losses import IdentityLoss, TripletLoss
from reidlab.models import Outputs
from reidlab.training.checkpoint import (
    Checkpoint,
    check_same,
    delete_checkpoints,
    load_checkpoint,
    load_into,
    newest_checkpoint,
    save_checkpoint,
    save_weights,
)
from reidlab.training.embedding import embed, timed_evaluation
from reidlab.training.optim import make_optimizer, schedule_time, set_learning_rate
from reidlab.training.processes import (
    check_agreement,
    check_processes,
    gather,
    largest,
    shared_batch_norm,
    together,
    together_through,
)
from reidlab.training.progress import Progress
from reidlab.training.recipe import Recipe, RecipeError, build_model
from reidlab.training.record import (
    RunRecord,
    describe_data,
    describe_environment,
    now,
    peak_memory_mb,
)
from reidlab.training.seed import epoch_seed, seed_everything

if TYPE_CHECKING:
    from reidlab.data import ReIDDataset

RECORD, WEIGHTS, CHECKPOINTS = "record.json", "model.safetensors", "checkpoints"


class TrainingDiverged(RuntimeError):
    """The loss or a weight is no longer a number; the last good checkpoint is kept."""


class _Run(NamedTuple):
    """What `fit` was asked to do."""

    model: nn.Module
    ds: ReIDDataset
    recipe: Recipe
    seed: int
    out: Path
    configuration: dict[str, Any]


def fit(
    model: nn.Module,
    ds: ReIDDataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    out: str | Path,
    resume: bool = True,
) -> RunRecord:
    """Train a model, evaluate it, and write `out/record.json` and `out/model.safetensors`.

    Nothing runs twice: a finished run of the same configuration is read back, an interrupted one
    goes on after its last epoch, and on a CPU ends with the very bits of an uninterrupted one.
    Either way `model` holds the trained weights afterwards.

    Args:
        model: From `build_model` or `create_model`; trained in place.
        ds: Trains on `ds.train`, evaluates on `ds.query` and `ds.gallery` without junk.
        recipe: All settings.
        seed: Of the batches, the augmentation and stochastic depth. The model's random weights
            were drawn before; `build_model(recipe, ds, seed=seed)` draws them by the same seed.
        out: Folder of the run.
        resume: False forgets what is in `out` and starts again.

    Returns:
        The run record.

    Raises:
        RecipeError: If recipe, model and data set do not fit each other or the machine.
        CheckpointError: If `out` holds another run.
        TrainingDiverged: If the loss stops being a number.
        ProcessError: If another process fails, or was not started like this one.
    """
    _check_fits(model, ds, recipe)
    run = _Run(model, ds, recipe, seed, Path(out), _configuration(ds, recipe, seed))
    accelerator = _accelerator(recipe)
    check_processes(recipe, accelerator)
    with together():
        if not resume and accelerator.is_main_process:
            (run.out / RECORD).unlink(missing_ok=True)
            delete_checkpoints(run.out / CHECKPOINTS)
    check_agreement(run.configuration | {"found in `out`": _found(run.out)}, run.out)
    if (run.out / RECORD).is_file():
        return _finished(run)

    history, started = _train(accelerator, run)
    result, seconds = timed_evaluation(model, ds, recipe)
    peak_memory = largest(peak_memory_mb(accelerator.device))
    with together():
        if accelerator.is_main_process:
            record = _record(run, history, started, result.as_dict(), seconds, accelerator)
            record.peak_memory_mb = peak_memory
            save_weights(run.out / WEIGHTS, model)
            record.save(run.out / RECORD)  # last but one: a run that has a record is finished
            delete_checkpoints(run.out / CHECKPOINTS)
    return RunRecord.load(run.out / RECORD)


def load_run(out: str | Path, ds: ReIDDataset) -> tuple[nn.Module, RunRecord]:
    """The trained model of a finished run, in evaluation mode, and its record.

    Args:
        out: Folder that `fit` wrote.
        ds: The data set it was trained on (it gives the number of classes and cameras).

    Raises:
        RecordError: If the run has not finished.
        CheckpointError: If the data set is not the one it was trained on.
    """
    out = Path(out)
    record = RunRecord.load(out / RECORD)
    check_same({"data": record.data["fingerprint"]}, {"data": ds.fingerprint()}, out)
    names = {field.name for field in dataclasses.fields(Recipe)}
    settings = {name: value for name, value in record.experiment.items() if name in names}
    model = build_model(Recipe.from_dict(settings | {"weights": None}), ds)
    load_into(model, load_file(out / WEIGHTS), out)
    return model.eval(), record


def _train(accelerator: Accelerator, run: _Run) -> tuple[list[dict[str, Any]], str]:
    """Train to the last epoch; returns the history and when the run first began."""
    model, recipe, folder = run.model, run.recipe, run.out / CHECKPOINTS
    optimizer = make_optimizer(model.to(accelerator.device), recipe)
    history, started = _restore(accelerator, run, optimizer)
    if len(history) == recipe.epochs:
        return history, started

    progress, configuration = Progress(), _with_processes(run, accelerator)
    if not accelerator.is_main_process:
        progress.style = "none"
    prepared, steps, loader = accelerator.prepare(model, optimizer, _batches(run))
    try:
        for epoch in range(len(history) + 1, recipe.epochs + 1):
            seed_everything(epoch_seed(run.seed, epoch, accelerator.process_index))
            loader.set_epoch(epoch)  # other people, another order, other augmentation
            with shared_batch_norm(model) if recipe.gather else nullcontext():
                row = _train_epoch(accelerator, prepared, steps, loader, recipe, epoch, progress)
            _check_weights(model, row)
            history.append(row)
            with together():
                if accelerator.is_main_process:
                    scaler = accelerator.scaler.state_dict() if accelerator.scaler else {}
                    state = (optimizer.state_dict(), scaler, history, configuration, started)
                    save_checkpoint(folder, Checkpoint(epoch, {}, *state), model)
                    progress.line(_epoch_line(row, recipe))
    finally:
        accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
        model.__dict__.pop("forward", None)  # the model's own forward again, without autocast
        accelerator.free_memory()
    return history, started


def _train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    loader: Any,
    recipe: Recipe,
    epoch: int,
    progress: Progress,
) -> dict[str, Any]:
    """One pass over the sampler's batches; returns the epoch's row of the history."""
    identity_loss = IdentityLoss(label_smoothing=recipe.label_smoothing)
    triplet_loss = TripletLoss(margin=recipe.triplet_margin)
    sums, images, lr = torch.zeros(3, device=accelerator.device), 0, 0.0
    steps, began = len(loader), time.perf_counter()
    model.train()
    whole = gather if recipe.gather else _unchanged  # the batch of all processes, or a share of it
    batches = together_through(loader)
    for step, batch in enumerate(progress.steps(batches, steps, f"epoch {epoch}")):
        time_now = schedule_time(recipe, epoch, step, steps)
        lr = set_learning_rate(optimizer, recipe, time_now)
        out: Outputs = model(batch["image"], batch["camid"])  # logits and features, float32
        identity = _mean([identity_loss(logits, batch["label"]) for logits in out.logits])
        labels = whole(batch["label"])
        triplet = _mean([triplet_loss(whole(feature), labels) for feature in out.features])
        loss = identity + recipe.triplet_weight * triplet
        value = accelerator.reduce(loss.detach(), "mean").item()  # all processes stop or none
        if not math.isfinite(value):
            raise TrainingDiverged(_advice(f"loss {value} at step {step}, lr {lr:.2e}", epoch))
        optimizer.zero_grad()
        accelerator.backward(loss)
        if recipe.clip_grad is not None:
            accelerator.clip_grad_norm_(model.parameters(), recipe.clip_grad)
        optimizer.step()

        right = _mean([(x.argmax(1) == batch["label"]).float().mean() for x in out.logits])
        sums += torch.stack([identity, triplet, right]).detach()
        images += len(batch["image"]) * accelerator.num_processes
        progress.note(f"loss {value:.3f}")
    identity_mean, triplet_mean, accuracy = accelerator.reduce(sums / steps, "mean").tolist()
    return {
        "epoch": epoch,
        "loss": identity_mean + recipe.triplet_weight * triplet_mean,
        "losses": {"identity": identity_mean, "triplet": triplet_mean},
        "lr": lr,  # of the base group, at the last step
        "accuracy": accuracy,
        "images": images,
        "seconds": time.perf_counter() - began,
    }


def _restore(
    accelerator: Accelerator, run: _Run, optimizer: torch.optim.Optimizer
) -> tuple[list[dict[str, Any]], str]:
    """Go back to the last checkpoint, if there is one; returns its history and starting time."""
    checkpoint = load_checkpoint(run.out / CHECKPOINTS)
    if checkpoint is None:
        return [], now()
    check_same(checkpoint.configuration, _with_processes(run, accelerator), run.out)
    load_into(run.model, checkpoint.weights, run.out)
    optimizer.load_state_dict(checkpoint.optimizer)
    if accelerator.scaler is not None and checkpoint.scaler:
        accelerator.scaler.load_state_dict(checkpoint.scaler)
    return checkpoint.history, checkpoint.started


def _found(out: Path) -> str:
    """What a folder holds of a run: processes that do not see the same would wait for ever."""
    if (out / RECORD).is_file():
        return "a finished run"
    checkpoint = newest_checkpoint(out / CHECKPOINTS)
    return "nothing" if checkpoint is None else checkpoint.stem


def _finished(run: _Run) -> RunRecord:
    """Read back a finished run, after checking that it is this one."""
    record = RunRecord.load(run.out / RECORD)
    settings = run.configuration["recipe"]
    found = {
        "recipe": {k: value for k, value in record.experiment.items() if k in settings},
        "seed": record.seed,
        "data": record.data.get("fingerprint"),
        "classes": record.data.get("train_identities"),
    }
    check_same(found, run.configuration, run.out)
    load_into(run.model, load_file(run.out / WEIGHTS), run.out)
    return record


def _batches(run: _Run) -> DataLoader[Any]:
    recipe = run.recipe
    sampler = IdentitySampler(
        run.ds.train["label"].to_numpy(),
        identities_per_batch=recipe.identities_per_batch,
        images_per_identity=recipe.images_per_identity,
        seed=run.seed,
    )
    transform = build_transform(
        recipe.image_size,
        train=True,
        normalization=recipe.normalization,
        pad=recipe.pad,
        flip=recipe.flip,
        erasing=recipe.erasing,
    )
    return make_loader(
        run.ds.train, transform, batch_sampler=sampler, workers=recipe.workers, seed=run.seed
    )


def _accelerator(recipe: Recipe) -> Accelerator:
    """An Accelerator of this recipe's precision, whatever ran before in this process.

    It cuts each batch of the sampler into shares, one per process.
    """
    AcceleratorState._reset_state()  # a singleton that would keep the first run's precision
    GradientState._reset_state()  # and one that remembers the loader of an interrupted run
    shares = DataLoaderConfiguration(split_batches=True)
    accelerator = Accelerator(mixed_precision=recipe.precision, dataloader_config=shares)
    if accelerator.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(accelerator.device)
    return accelerator


def _configuration(ds: ReIDDataset, recipe: Recipe, seed: int) -> dict[str, Any]:
    """What decides the result of a run; two runs in one folder must agree in it."""
    return {
        "recipe": recipe.to_dict(),
        "seed": seed,
        "data": ds.fingerprint(),
        "classes": ds.num_classes,
    }


def _with_processes(run: _Run, accelerator: Accelerator) -> dict[str, Any]:
    """A record names one number of processes: half a run on one and half on two would be neither.

    Sums are added in another order and stochastic depth draws other numbers.
    """
    return run.configuration | {"processes": accelerator.num_processes}


def _check_fits(model: nn.Module, ds: ReIDDataset, recipe: Recipe) -> None:
    """Find now what would otherwise fail after hours, or in a GPU kernel without a message."""
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise RecipeError(
            "precision is 'fp16' and this machine has no GPU; on a CPU use "
            "recipe.replace(precision='bf16') or 'no'."
        )
    classes = getattr(model, "num_classes", ds.num_classes)
    if classes != ds.num_classes:
        raise RecipeError(
            f"the model classifies {classes} identities and {ds.name} trains on {ds.num_classes}; "
            "build the model with build_model(recipe, ds)."
        )
    backbone = getattr(model, "backbone", None)
    size = getattr(backbone, "image_size", recipe.image_size)
    if tuple(size) != recipe.image_size:
        raise RecipeError(
            f"the model takes images of {size[0]}x{size[1]} and the recipe says "
            f"{recipe.image_size[0]}x{recipe.image_size[1]}; build one for the other."
        )
    cameras = getattr(backbone, "num_cameras", 0)
    highest = max(int(frame["camid"].max()) for frame in (ds.train, ds.query, ds.gallery))
    if 0 < cameras <= highest:
        raise RecipeError(
            f"the model embeds cameras 0 to {cameras - 1} and {ds.name} has camera {highest}; "
            "build the model with a larger num_cameras, or with camera_embedding=False."
        )
    if recipe.flip_test:
        embed(model, ds.query.iloc[:1], recipe)  # refuses a model without one vector per image


def _check_weights(model: nn.Module, row: dict[str, Any]) -> None:
    """The last loss can be finite and the last step not; such weights are no checkpoint."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TrainingDiverged(_advice(f"{name} has values that are no numbers", row["epoch"]))


def _advice(what: str, epoch: int) -> str:
    kept = f"The checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "Nothing is kept"
    return (
        f"training stopped in epoch {epoch}: {what}. {kept}. Look at lr (halve it), "
        "warmup_epochs (lengthen it), clip_grad (set 1.0), precision ('fp16' overflows where "
        "'bf16' does not), and at the images of the last batch; then start again in another `out`."
    )


def _record(
    run: _Run,
    history: list[dict[str, Any]],
    started: str,
    metrics: dict[str, Any],
    seconds: dict[str, float],
    accelerator: Accelerator,
) -> RunRecord:
    train_seconds = sum(row["seconds"] for row in history)
    return RunRecord(
        experiment={
            "paper": run.recipe.model,
            "variant": run.recipe.model,
            **run.recipe.to_dict(),
            "parameters": sum(p.numel() for p in run.model.parameters()),
        },
        seed=run.seed,
        data=describe_data(run.ds),
        metrics=metrics,
        seconds={"train": train_seconds, **seconds},
        images_per_second=sum(row["images"] for row in history) / train_seconds,
        peak_memory_mb=peak_memory_mb(accelerator.device),
        started=started,
        finished=now(),
        history=history,
        environment=describe_environment(accelerator.device)
        | {"processes": accelerator.num_processes},
    )


def _epoch_line(row: dict[str, Any], recipe: Recipe) -> str:
    losses = ", ".join(f"{name} {value:.3f}" for name, value in row["losses"].items())
    return (
        f"epoch {row['epoch']}/{recipe.epochs}  loss {row['loss']:.3f} ({losses})  "
        f"accuracy {row['accuracy']:.3f}  lr {row['lr']:.2e}  "
        f"{row['images'] / row['seconds']:.0f} images/s"
    )


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def _unchanged(rows: Tensor) -> Tensor:
    return rows
