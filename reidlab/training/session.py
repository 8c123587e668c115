"""A training under way: devices, batches, state, checkpoints.

`fit` and `pretrain` make a `Session` and call its `run`; `loop.train_epoch` trains one epoch of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.state import (  # type: ignore[import-untyped]
    AcceleratorState,
    GradientState,
    PartialState,
)
from accelerate.tracking import GeneralTracker  # type: ignore[import-untyped]
from accelerate.utils import (  # type: ignore[import-untyped]
    DistributedDataParallelKwargs,
    GradientAccumulationPlugin,
    parse_flag_from_env,
)
from torch import nn

from reidlab.data import watched_workers
from reidlab.judging.embedding import precision_on
from reidlab.models import TokenBackbone
from reidlab.processes import barrier, shared_batch_norm, synchronized
from reidlab.record import git_commit, now, peak_memory_mb, reset_peak_memory
from reidlab.seed import epoch_seed, seed_everything
from reidlab.training import loop
from reidlab.training.averaging import Average
from reidlab.training.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    check_same,
    load_checkpoint,
    load_into,
    load_optimizer,
    save_checkpoint,
)
from reidlab.training.guards import check_weights
from reidlab.training.objectives import Objective
from reidlab.training.progress import Progress
from reidlab.training.recipe import Recipe
from reidlab.training.tracking import scalars
from reidlab.training.unfreezing import unfrozen_afterwards

SetRate = Callable[[torch.optim.Optimizer, int, int, int], float]


@dataclass
class State:
    """How far a training has come.

    Attributes:
        started: When it began, ISO 8601.
        commit: Of the code it began with, and whether tracked files differed from it.
        history: A row for each finished epoch.
        best: Epoch and weights of the best epoch so far, {} if the last is kept.
        peak_memory_mb: The largest so far.
        drawn: Images that a graph sampler has drawn of each person.
    """

    started: str = field(default_factory=now)
    commit: tuple[str | None, bool | None] = field(default_factory=lambda: git_commit())
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    drawn: list[int] = field(default_factory=list)


@dataclass
class Session:
    """What a training is made of.

    Attributes:
        model: Trained in place.
        optimizer: Of its parameters.
        loader: Batches of an epoch, see `reidlab.losses.Batch`; it has `set_epoch` and a length.
        recipe: Gives epochs, precision, accumulation, clipping, averaging, gathering.
        accelerator: From `make_accelerator`.
        rate: Sets the learning rate for (optimizer, epoch, step, steps), returns that of the base.
        objective: What is trained.
        seed: Each epoch seeds everything from it.
        out: Folder of the checkpoints.
        configuration: What decides the result; a checkpoint of another one is refused.
        before_epoch: Called with the number of the epoch that begins.
        after_epoch: Called with state and the model to judge when an epoch's row is in the history.
        state: How far it is.
        average: Of the weights, None if the recipe wants none.
        progress: Bar or lines.
    """

    model: nn.Module
    optimizer: Any
    loader: Any
    recipe: Recipe
    accelerator: Accelerator
    rate: SetRate
    objective: Objective
    seed: int
    out: Path
    configuration: dict[str, Any]
    before_epoch: Callable[[int], None] = lambda epoch: None
    after_epoch: Callable[[State, nn.Module], None] = lambda state, model: None
    state: State = field(default_factory=State)
    average: Average | None = None
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        if self.recipe.ema_decay is not None:
            self.average = Average(self.model, self.recipe.ema_decay)
        if not self.accelerator.is_main_process:
            self.progress.style = "none"

    def run(self) -> None:
        """Train the epochs that are left, with a checkpoint after each.

        Afterwards the model holds the weights that are kept: the average, those of the best epoch,
        or the last.
        """
        self._restore()
        if len(self.state.history) < self.recipe.epochs:
            recomputing = _recomputing(self.model, self.recipe.gradient_checkpointing)
            with recomputing, unfrozen_afterwards(self.model), _tracking(self.accelerator):
                self._train_epochs()
        if self.state.best:
            self.model.load_state_dict(self.state.best["weights"])
        elif self.average is not None:
            self.model.load_state_dict(self.average.model.state_dict())

    def batches(self, epoch: int) -> Iterator[Any]:
        """The batches, each inside Accelerate's `accumulate`, which several processes need from the
        forward pass on; `accelerator.sync_gradients` is True at the last one of a group and of the
        epoch.
        """
        through = synchronized(self.loader)
        for batch in self.progress.steps(through, len(self.loader), f"epoch {epoch}"):
            with self.accelerator.accumulate(self.model):
                yield batch

    def group_share(self, step: int, steps: int) -> float:
        """Size of a whole group of accumulated batches over that of this step's, 1 or more.

        Accelerate divides by the size of a whole group; the last one of an epoch may be smaller.
        """
        size = self.recipe.accumulation_steps
        return size / min(size, steps - step // size * size)

    def update_average(self) -> None:
        """Take the weights into their average, if there is one and the optimizer made a step."""
        accelerator = self.accelerator
        stepped = accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped
        if self.average is not None and stepped:
            self.average.update()

    @watched_workers()
    def _train_epochs(self) -> None:
        own, optimizer = self.model, self.optimizer
        accelerator, recipe = self.accelerator, self.recipe
        self.model, self.optimizer, self.loader = accelerator.prepare(own, optimizer, self.loader)
        try:
            for epoch in range(len(self.state.history) + 1, recipe.epochs + 1):
                seed_everything(epoch_seed(self.seed, epoch, accelerator.process_index))
                self.before_epoch(epoch)
                self.loader.set_epoch(epoch)  # other people, another order, other augmentation
                with shared_batch_norm(own) if recipe.gather else contextlib.nullcontext():
                    row = loop.train_epoch(self, epoch)
                with barrier():
                    check_weights(own, row)
                self.state.history.append(row)
                self.after_epoch(self.state, own if self.average is None else self.average.model)
                with barrier():
                    if accelerator.is_main_process:
                        self._save(own, optimizer)
                        accelerator.log(scalars(row), step=epoch)  # if it fails, the epoch is kept
                        self.progress.line(epoch_line(row, recipe))
        finally:
            accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            own.__dict__.pop("forward", None)  # the model's own forward again, without autocast
            accelerator.free_memory()
            self.model, self.optimizer = own, optimizer

    def _save(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the checkpoint of the epoch that ended."""
        state, scaler = self.state, self.accelerator.scaler
        state.peak_memory_mb = max(state.peak_memory_mb, peak_memory_mb(self.accelerator.device))
        checkpoint = Checkpoint(
            epoch=state.history[-1]["epoch"],
            weights={},  # those of the model
            optimizer=optimizer.state_dict(),
            scaler=scaler.state_dict() if scaler else {},
            configuration=self._as_it_runs(),
            average={} if self.average is None else self.average.state_dict(),
            **vars(state),
        )
        save_checkpoint(self.out / CHECKPOINTS, checkpoint, model)

    def _restore(self) -> None:
        """Go back to the last checkpoint, if there is one."""
        checkpoint = load_checkpoint(self.out / CHECKPOINTS)
        if checkpoint is None:
            return
        here = self._as_it_runs()
        older = {"precision": here["precision"]}  # those do not say
        check_same(older | checkpoint.configuration, here, self.out)
        load_into(self.model, checkpoint.weights, self.out)
        load_optimizer(self.optimizer, checkpoint.optimizer, self.out)
        if self.accelerator.scaler is not None and checkpoint.scaler:
            self.accelerator.scaler.load_state_dict(checkpoint.scaler)
        if self.average is not None:
            self.average.load_state_dict(checkpoint.average)
        self.state = State(**{name: getattr(checkpoint, name) for name in vars(self.state)})

    def _as_it_runs(self) -> dict[str, Any]:
        """A record names one number of processes and one precision: half a run on each is neither.

        With other processes sums are added in another order and stochastic depth draws other
        numbers; a device without bf16 trains in float32, see `precision_on`.
        """
        return self.configuration | {
            "processes": self.accelerator.num_processes,
            "precision": self.accelerator.mixed_precision,
        }


def make_accelerator(
    recipe: Recipe, out: Path, tracker: str | GeneralTracker | None = None
) -> Accelerator:
    """An Accelerator of this recipe's precision, if the device has it; whatever ran before here.

    It cuts each batch of the sampler into shares, one per process.
    """
    AcceleratorState._reset_state()  # a singleton that would keep the first run's precision
    GradientState._reset_state()  # and one that remembers the loader of an interrupted run
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))  # as Accelerator makes it
    # DistributedDataParallel would wait for a gradient of frozen blocks, unread classifiers
    unread = all(loss.reads == "features" for loss in recipe.losses)
    unused = recipe.unfreezing is not None or unread
    accelerator = Accelerator(
        mixed_precision=precision_on(state.device, recipe.precision),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=unused)],
        # as a number, `accelerate launch` would overrule it and the record would not say so
        gradient_accumulation_plugin=GradientAccumulationPlugin(recipe.accumulation_steps),
        log_with=tracker,
        project_dir=out,
    )
    # one process takes the batches of any sampler as they come
    accelerator.dataloader_config.split_batches = accelerator.num_processes > 1
    reset_peak_memory(accelerator.device)
    return accelerator


def epoch_line(row: dict[str, Any], recipe: Recipe) -> str:
    """A row of the history as one line of the log."""
    losses = ", ".join(f"{name} {value:.3f}" for name, value in row["losses"].items())
    validated = "".join(
        f"  validation {name} {row['validation'][name]:.3f}"
        for name in ("accuracy", "mAP")
        if name in row.get("validation", {})
    )
    parts = f" ({losses})" if len(row["losses"]) > 1 else ""
    accuracy = "" if row["accuracy"] is None else f"accuracy {row['accuracy']:.3f}  "
    skipped = f"  {row['skipped']} anchors without a loss" if row.get("skipped") else ""
    return (
        f"epoch {row['epoch']}/{recipe.epochs}  loss {row['loss']:.3f}{parts}  {accuracy}"
        f"lr {row['lr']:.2e}  {row['images'] / row['seconds']:.0f} images/s{validated}{skipped}"
    )


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
