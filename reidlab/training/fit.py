"""The training loop: P x K batches, identity and triplet loss, one checkpoint per epoch.

It reads from top to bottom. Accelerate moves tensors, scales fp16 losses and, under `accelerate
launch`, cuts each P x K batch into shares of whole people, one per process; `processes` holds what
makes several processes take the steps of one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.state import AcceleratorState, GradientState  # type: ignore[import-untyped]
from accelerate.tracking import GeneralTracker  # type: ignore[import-untyped]
from accelerate.utils import (  # type: ignore[import-untyped]
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader

from reidlab.data import IdentitySampler, ShuffleSampler, build_transform, make_loader
from reidlab.files import sweep
from reidlab.judging.closed_set import classify
from reidlab.judging.embedding import timed_evaluation
from reidlab.judging.validation import split_images, split_validation
from reidlab.losses import IdentityLoss, TripletLoss
from reidlab.models import Outputs, TokenBackbone
from reidlab.processes import (
    gather,
    largest,
    shared_batch_norm,
    together,
    together_through,
)
from reidlab.record import (
    RunRecord,
    describe_data,
    describe_environment,
    now,
    peak_memory_mb,
    reset_peak_memory,
)
from reidlab.seed import epoch_seed, seed_everything
from reidlab.training.averaging import Average
from reidlab.training.checkpoint import (
    Checkpoint,
    check_same,
    delete_checkpoints,
    load_checkpoint,
    load_into,
    load_optimizer,
    newest_checkpoint,
    read_weights,
    save_checkpoint,
    save_weights,
)
from reidlab.training.guards import (
    TrainingDiverged,
    advice,
    check_fits,
    check_gradient,
    check_weights,
)
from reidlab.training.launch import check_agreement, check_processes
from reidlab.training.optim import make_optimizer, schedule_time, set_learning_rate
from reidlab.training.progress import Progress
from reidlab.training.recipe import Recipe, build_model
from reidlab.training.tracking import check_tracker, scalars
from reidlab.training.unfreezing import Unfreezing, blocks_of, unfrozen_afterwards

if TYPE_CHECKING:
    from reidlab.data import ReIDDataset

FLOAT32 = 4  # bytes
RECORD, WEIGHTS, CHECKPOINTS = "record.json", "model.safetensors", "checkpoints"


class _Run(NamedTuple):
    """What `fit` was asked to do; `learn` is trained on, `validation` was left out of it."""

    model: nn.Module
    ds: ReIDDataset
    recipe: Recipe
    seed: int
    out: Path
    configuration: dict[str, Any]
    learn: ReIDDataset
    validation: ReIDDataset | None


@dataclass
class _State:
    """How far a run has come; `best` and `peak_memory_mb` as in `Checkpoint`."""

    started: str
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    peak_memory_mb: float = 0.0


def fit(
    model: nn.Module,
    ds: ReIDDataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    out: str | Path,
    resume: bool = True,
    tracker: str | GeneralTracker | None = None,
) -> RunRecord:
    """Train a model, evaluate it, and write `out/record.json` and `out/model.safetensors`.

    Nothing runs twice: a finished run of the same configuration is read back, an interrupted one
    goes on after its last epoch, and on a CPU ends with the very bits of an uninterrupted one.
    Either way `model` holds the trained weights afterwards: the average of them if the recipe has
    an `ema_decay`, those of the best epoch if it keeps the best. Query and gallery of `ds` are
    embedded once, when all is decided.

    Args:
        model: From `build_model` or `create_model`; trained in place.
        ds: Trains on `ds.train`, without those of its people that `recipe.validate_every` sets
            aside; evaluates on `ds.query` and `ds.gallery` without junk.
        recipe: All settings.
        seed: Of the batches, the augmentation, stochastic depth and the people set aside. The
            model's random weights were drawn before; `build_model(recipe, ds, seed=seed)` draws
            them by the same seed.
        out: Folder of the run.
        resume: False forgets what is in `out` and starts again.
        tracker: "tensorboard" writes each epoch's row of the history to `out/tensorboard` as well;
            or any tracker of Accelerate, started. No result depends on it.

    Returns:
        The run record.

    Raises:
        RecipeError: If recipe, model and data set do not fit each other or the machine.
        CheckpointError: If `out` holds another run.
        TrainingDiverged: If a loss, a gradient or a weight stops being a number.
        ProcessError: If another process fails, or was not started like this one.
        ModuleNotFoundError: If TensorBoard is asked for and not installed.
    """
    check_tracker(tracker)
    learn, validation = ds, None
    if recipe.validate_every is not None:
        if recipe.validate_on == "images":
            learn, validation = split_images(ds)
        else:
            learn, validation = split_validation(ds, recipe.validation_identities, seed)
    check_fits(model, ds, recipe, learn.num_classes)
    configuration = _configuration(ds, recipe, seed)
    run = _Run(model, ds, recipe, seed, Path(out), configuration, learn, validation)
    accelerator = _accelerator(recipe, run.out, tracker)
    check_processes(recipe, accelerator)
    with together():
        if not resume and accelerator.is_main_process:
            (run.out / RECORD).unlink(missing_ok=True)
            delete_checkpoints(run.out / CHECKPOINTS)
    check_agreement(configuration | {"found in `out`": _found(run.out)}, run.out)
    if (run.out / RECORD).is_file():
        return _finished(run)

    state = _train(accelerator, run)
    result, seconds = timed_evaluation(model, ds, recipe)
    state.peak_memory_mb = largest(max(state.peak_memory_mb, peak_memory_mb(accelerator.device)))
    with together():
        if accelerator.is_main_process:
            record = _record(run, state, result.as_dict(), seconds, accelerator)
            save_weights(run.out / WEIGHTS, model)
            record.save(run.out / RECORD)  # last but one: a run that has a record is finished
            delete_checkpoints(run.out / CHECKPOINTS)
            sweep(run.out)
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
    load_into(model, _trained(out), out)
    return model.eval(), record


def _train(accelerator: Accelerator, run: _Run) -> _State:
    """Train to the last epoch; afterwards the model holds the weights that are kept."""
    model, recipe = run.model, run.recipe
    optimizer = make_optimizer(model.to(accelerator.device), recipe)
    average = None if recipe.ema_decay is None else Average(model, recipe.ema_decay)
    state = _restore(accelerator, run, optimizer, average)
    if len(state.history) < recipe.epochs:
        recomputing = _recomputing(model, recipe.gradient_checkpointing)
        with recomputing, unfrozen_afterwards(model), _tracking(accelerator):
            _train_epochs(accelerator, run, optimizer, average, state)
    if state.best:
        model.load_state_dict(state.best["weights"])
    elif average is not None:
        model.load_state_dict(average.model.state_dict())
    return state


def _train_epochs(
    accelerator: Accelerator,
    run: _Run,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    state: _State,
) -> None:
    """Train the epochs that are left, with a checkpoint after each."""
    model, recipe, progress = run.model, run.recipe, Progress()
    if not accelerator.is_main_process:
        progress.style = "none"
    plan = None
    if recipe.unfreezing is not None:
        plan = Unfreezing.of(recipe, depth=len(blocks_of(model)))
    batches = _batches(run, accelerator.num_processes)
    prepared, steps, loader = accelerator.prepare(model, optimizer, batches)
    try:
        for epoch in range(len(state.history) + 1, recipe.epochs + 1):
            seed_everything(epoch_seed(run.seed, epoch, accelerator.process_index))
            if plan is not None:
                plan.apply(model, epoch - 1)
            loader.set_epoch(epoch)  # other people, another order, other augmentation
            with shared_batch_norm(model) if recipe.gather else contextlib.nullcontext():
                row = _train_epoch(
                    accelerator, prepared, steps, loader, recipe, epoch, progress, average
                )
            with together():
                check_weights(model, row)
            state.history.append(row)
            _validate(run, state, model if average is None else average.model)
            with together():
                if accelerator.is_main_process:
                    accelerator.log(scalars(row), step=epoch)
                    _save(accelerator, run, optimizer, average, state)
                    progress.line(_epoch_line(row, recipe))
    finally:
        accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
        model.__dict__.pop("forward", None)  # the model's own forward again, without autocast
        accelerator.free_memory()


def _train_epoch(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    loader: Any,
    recipe: Recipe,
    epoch: int,
    progress: Progress,
    average: Average | None = None,
) -> dict[str, Any]:
    """One pass over the sampler's batches; returns the epoch's row of the history."""
    identity_loss = IdentityLoss(label_smoothing=recipe.label_smoothing)
    triplet_loss = TripletLoss(margin=recipe.triplet_margin)
    over_heads = _sum if recipe.over_heads == "sum" else _mean
    sums, images, lr = torch.zeros(3, device=accelerator.device), 0, 0.0
    steps, began = len(loader), time.perf_counter()
    model.train()
    optimizer.zero_grad()
    whole = gather if recipe.gather else _unchanged  # the batch of all processes, or a share of it
    batches = progress.steps(together_through(loader), steps, f"epoch {epoch}")
    for step, batch in enumerate(_in_groups(accelerator, model, batches)):
        time_now = schedule_time(recipe, epoch, step, steps)
        lr = set_learning_rate(optimizer, recipe, time_now)
        out: Outputs = model(batch["image"], batch["camid"])  # logits and features, float32
        identity = over_heads([identity_loss(logits, batch["label"]) for logits in out.logits])
        triplet = torch.zeros_like(identity)
        if recipe.triplet_weight:
            compared = out.logits if recipe.triplet_on == "logits" else out.features
            labels = whole(batch["label"])
            triplet = over_heads([triplet_loss(whole(each), labels) for each in compared])
        loss = identity + recipe.triplet_weight * triplet
        value = accelerator.reduce(loss.detach(), "mean").item()  # all processes stop or none
        if not math.isfinite(value):
            raise TrainingDiverged(advice(f"loss {value} at step {step}, lr {lr:.2e}", epoch))
        # Accelerate divides by the size of a whole group; the last one of an epoch may be smaller
        accelerator.backward(loss * _group_share(recipe.accumulation_steps, step, steps))
        if accelerator.sync_gradients:
            check_gradient(accelerator, model, recipe, epoch, step)
        optimizer.step()  # both do nothing within a group
        optimizer.zero_grad()
        stepped = accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped
        if average is not None and stepped:
            average.update()

        right = (out.vote().argmax(1) == batch["label"]).float().mean()
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


def _in_groups(accelerator: Accelerator, model: nn.Module, batches: Iterable[Any]) -> Iterator[Any]:
    """The batches, each inside `accumulate`, which several processes need from the forward pass on.

    `accelerator.sync_gradients` is True at the last batch of a group and of the epoch.
    """
    for batch in batches:
        with accelerator.accumulate(model):
            yield batch


def _group_share(size: int, step: int, steps: int) -> float:
    """Size of a whole group over the size of the one that batch `step` belongs to, 1 or more."""
    return size / min(size, steps - step // size * size)


def _validate(run: _Run, state: _State, model: nn.Module) -> None:
    """Judge what was left out, when its epoch has come, and keep the best weights."""
    row, recipe = state.history[-1], run.recipe
    if run.validation is None or recipe.validate_every is None:
        return
    if row["epoch"] % recipe.validate_every and row["epoch"] < recipe.epochs:
        return
    clock = time.perf_counter()
    if recipe.validate_on == "images":
        row["validation"], decides = (
            classify(model, run.validation.train, recipe, recipe.over_heads),
            "accuracy",
        )
    else:
        row["validation"] = timed_evaluation(model, run.validation, recipe)[0].as_dict()
        decides = "mAP"
    row["validation_seconds"] = time.perf_counter() - clock
    if recipe.keep == "best":
        judged = [past for past in state.history[:-1] if "validation" in past]
        if all(past["validation"][decides] < row["validation"][decides] for past in judged):
            weights = {name: value.clone() for name, value in model.state_dict().items()}
            state.best = {"epoch": row["epoch"], "weights": weights}


def _save(
    accelerator: Accelerator,
    run: _Run,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    state: _State,
) -> None:
    """Write the checkpoint of the epoch that ended."""
    state.peak_memory_mb = max(state.peak_memory_mb, peak_memory_mb(accelerator.device))
    checkpoint = Checkpoint(
        epoch=state.history[-1]["epoch"],
        weights={},  # those of the model
        optimizer=optimizer.state_dict(),
        scaler=accelerator.scaler.state_dict() if accelerator.scaler else {},
        history=state.history,
        configuration=_with_processes(run, accelerator),
        started=state.started,
        average={} if average is None else average.state_dict(),
        best=state.best,
        peak_memory_mb=state.peak_memory_mb,
    )
    save_checkpoint(run.out / CHECKPOINTS, checkpoint, run.model)


def _restore(
    accelerator: Accelerator,
    run: _Run,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
) -> _State:
    """Go back to the last checkpoint, if there is one."""
    checkpoint = load_checkpoint(run.out / CHECKPOINTS)
    if checkpoint is None:
        return _State(started=now())
    check_same(checkpoint.configuration, _with_processes(run, accelerator), run.out)
    load_into(run.model, checkpoint.weights, run.out)
    load_optimizer(optimizer, checkpoint.optimizer, run.out)
    if accelerator.scaler is not None and checkpoint.scaler:
        accelerator.scaler.load_state_dict(checkpoint.scaler)
    if average is not None:
        average.load_state_dict(checkpoint.average)
    return _State(
        checkpoint.started, checkpoint.history, checkpoint.best, checkpoint.peak_memory_mb
    )


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
        "recipe": {k: value for k, value in record.experiment.items() if k in settings}
        | {"switches": record.experiment.get("changed_switches", {})},
        "seed": record.seed,
        "data": record.data.get("fingerprint"),
        "classes": record.data.get("train_identities"),
    }
    check_same(found, run.configuration, run.out)
    load_into(run.model, _trained(run.out), run.out)
    return record


def _trained(out: Path) -> dict[str, Tensor]:
    """The weights of a finished run."""
    again = f"Delete {out / RECORD} to train again."
    return read_weights(out / WEIGHTS, f"the finished run in {out}", again)


def _batches(run: _Run, processes: int) -> DataLoader[Any]:
    recipe = run.recipe
    sampler: IdentitySampler | ShuffleSampler
    if recipe.sampler == "shuffle":
        images, size = len(run.learn.train), recipe.batch_size
        # the last batch is smaller; batch norm can't take a single image, nor processes a share
        drop = processes > 1 or images % size == 1
        sampler = ShuffleSampler(images, size, seed=run.seed, drop_last=drop)
    else:
        sampler = IdentitySampler(
            run.learn.train["label"].to_numpy(),
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
        run.learn.train, transform, batch_sampler=sampler, workers=recipe.workers, seed=run.seed
    )


def _accelerator(
    recipe: Recipe, out: Path, tracker: str | GeneralTracker | None = None
) -> Accelerator:
    """An Accelerator of this recipe's precision, whatever ran before in this process.

    It cuts each batch of the sampler into shares, one per process.
    """
    AcceleratorState._reset_state()  # a singleton that would keep the first run's precision
    GradientState._reset_state()  # and one that remembers the loader of an interrupted run
    accelerator = Accelerator(
        mixed_precision=recipe.precision,
        # frozen blocks get no gradient, which DistributedDataParallel would wait for
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=recipe.unfreezing is not None)
        ],
        # as a number, `accelerate launch` would overrule it and the record would not say so
        gradient_accumulation_plugin=GradientAccumulationPlugin(recipe.accumulation_steps),
        log_with=tracker,
        project_dir=out,
    )
    # one process takes the batches of any sampler as they come
    accelerator.dataloader_config.split_batches = accelerator.num_processes > 1
    reset_peak_memory(accelerator.device)
    return accelerator


@contextlib.contextmanager
def _tracking(accelerator: Accelerator) -> Iterator[None]:
    """Inside, `accelerator.log` reaches the tracker; without one it does nothing."""
    accelerator.init_trackers("tensorboard")
    try:
        yield
    finally:
        for tracker in accelerator.trackers:  # end_training() would end the other processes, too
            tracker.finish()


@contextlib.contextmanager
def _recomputing(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, the backbone computes its blocks again in the backward pass, if that is wanted."""
    backbones = [part for part in model.modules() if isinstance(part, TokenBackbone)]
    before = [backbone.gradient_checkpointing for backbone in backbones]
    for backbone in backbones:
        backbone.gradient_checkpointing |= wanted
    try:
        yield
    finally:
        for backbone, value in zip(backbones, before, strict=True):
            backbone.gradient_checkpointing = value


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


def _record(
    run: _Run,
    state: _State,
    metrics: dict[str, Any],
    seconds: dict[str, float],
    accelerator: Accelerator,
) -> RunRecord:
    history, validated = state.history, run.validation is not None
    train_seconds = sum(row["seconds"] for row in history)
    experiment = {
        "paper": run.recipe.model,
        "variant": run.recipe.model,
        **run.recipe.to_dict(),
        "parameters": sum(p.numel() for p in run.model.parameters()),
    }
    switches: Any = getattr(run.model, "switches", None)
    if switches is not None:
        # all of them, the preset's too; beside them what the recipe changed
        experiment |= {
            "switches": dataclasses.asdict(switches),
            "changed_switches": dict(run.recipe.switches),
        }
    if embedding_dim := getattr(run.model, "embed_dim", None):
        experiment["embedding_bytes"] = FLOAT32 * embedding_dim  # that a gallery image takes
    times = {"train": train_seconds, **seconds}
    if validated:
        experiment["kept_epoch"] = state.best.get("epoch", len(history))
        times["validate"] = sum(row.get("validation_seconds", 0.0) for row in history)
    return RunRecord(
        experiment=experiment,
        seed=run.seed,
        data=describe_data(run.ds) | (_left_out(run) if validated else {}),
        metrics=metrics,
        seconds=times,
        images_per_second=sum(row["images"] for row in history) / train_seconds,
        peak_memory_mb=max(state.peak_memory_mb, peak_memory_mb(accelerator.device)),
        started=state.started,
        finished=now(),
        history=history,
        environment=describe_environment(accelerator.device)
        | {"processes": accelerator.num_processes},
    )


def _left_out(run: _Run) -> dict[str, Any]:
    """Counts of what was set aside; the `train` counts hold it, too."""
    assert run.validation is not None
    if run.recipe.validate_on == "images":
        return {"validation_images": len(run.validation.train)}
    return {
        "validation_identities": run.ds.num_classes - run.learn.num_classes,
        "validation_query_images": len(run.validation.query),
        "validation_gallery_images": len(run.validation.gallery),
    }


def _epoch_line(row: dict[str, Any], recipe: Recipe) -> str:
    losses = ", ".join(f"{name} {value:.3f}" for name, value in row["losses"].items())
    judged = ""
    if "validation" in row:
        decides = "accuracy" if recipe.validate_on == "images" else "mAP"
        judged = f"  validation {decides} {row['validation'][decides]:.3f}"
    return (
        f"epoch {row['epoch']}/{recipe.epochs}  loss {row['loss']:.3f} ({losses})  "
        f"accuracy {row['accuracy']:.3f}  lr {row['lr']:.2e}  "
        f"{row['images'] / row['seconds']:.0f} images/s{judged}"
    )


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def _sum(values: list[Tensor]) -> Tensor:
    return torch.stack(values).sum()


def _unchanged(rows: Tensor) -> Tensor:
    return rows
