"""From a model, a data set and a recipe to a trained model and the record of how it was made."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.tracking import GeneralTracker  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import DataLoader

from reidlab.data import build_transform, make_loader, make_sampler
from reidlab.files import sweep
from reidlab.judging import (
    classify,
    has_test_part,
    split_images,
    split_validation,
    timed_evaluation,
)
from reidlab.losses import Identity
from reidlab.processes import barrier, largest
from reidlab.record import (
    RecordError,
    RunRecord,
    describe_data,
    describe_environment,
    now,
    peak_memory_mb,
)
from reidlab.training.checkpoint import (
    check_same,
    delete_checkpoints,
    load_into,
    newest_checkpoint,
    read_weights,
    save_weights,
)
from reidlab.training.guards import check_fits
from reidlab.training.launch import check_agreement, check_processes, one_at_a_time
from reidlab.training.objectives import Objective
from reidlab.training.optim import make_optimizer, set_rate_of_step
from reidlab.training.recipe import Recipe, build_model, model_of_size
from reidlab.training.session import CHECKPOINTS, Session, State, make_accelerator
from reidlab.training.tracking import check_tracker
from reidlab.training.unfreezing import Unfreezing, blocks_of

if TYPE_CHECKING:
    from reidlab.data import ReIDDataset

FLOAT32 = 4  # bytes
RECORD, WEIGHTS = "record.json", "model.safetensors"


@dataclass(frozen=True)
class _Run:
    """What `fit` was asked to do; `learn` is trained on, `validation` was left out of it."""

    model: nn.Module
    ds: ReIDDataset
    recipe: Recipe
    seed: int
    out: Path
    learn: ReIDDataset
    validation: ReIDDataset | None

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What decides the result, as it began; two runs in one folder must agree in it."""
        return {
            "recipe": self.recipe.to_dict(),
            "seed": self.seed,
            "data": self.ds.fingerprint(),
            "classes": self.ds.num_classes,
            "weights_sha256": self.recipe.weights_sha256,
        }


@one_at_a_time
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
            aside; evaluates on `ds.query` and `ds.gallery` without junk. Without those the
            record has no metrics; judge the model on another set by `evaluate_on`.
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
    learn, validation = _parts(ds, recipe, seed)
    check_fits(model, ds, recipe, learn.num_classes)
    run = _Run(model, ds, recipe, seed, Path(out), learn, validation)
    configuration = run.configuration
    accelerator = make_accelerator(recipe, run.out, tracker)
    with barrier():  # whoever leaves while another still connects would break its connection
        check_processes(recipe, accelerator)
        if not resume and accelerator.is_main_process:
            (run.out / RECORD).unlink(missing_ok=True)
            delete_checkpoints(run.out / CHECKPOINTS)
    check_agreement(configuration | {"found in `out`": _found(run.out)}, run.out)
    if (run.out / RECORD).is_file():
        return _finished(run, configuration)

    session = _session(run, accelerator, configuration)
    session.run()
    metrics: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    if has_test_part(ds):
        result, seconds = timed_evaluation(model, ds, recipe, shared=True)
        metrics = result.as_dict()
    else:
        session.progress.line(f"{ds.name} has no test part, so nothing was tested")
    state = session.state
    state.peak_memory_mb = largest(max(state.peak_memory_mb, peak_memory_mb(accelerator.device)))
    with barrier():
        if accelerator.is_main_process:
            record = _record(run, state, metrics, seconds, accelerator)
            save_weights(run.out / WEIGHTS, model)
            record.save(run.out / RECORD)  # last but one: a run that has a record is finished
            delete_checkpoints(run.out / CHECKPOINTS)
            sweep(run.out)
    return RunRecord.load(run.out / RECORD)


def load_run(out: str | Path, ds: ReIDDataset | None = None) -> tuple[nn.Module, RunRecord]:
    """The trained model of a finished run, in evaluation mode, and its record.

    Args:
        out: Folder that `fit` wrote.
        ds: The data set it was trained on, to be sure that it is; runs of older versions, whose
            record does not say how many classes and cameras the model has, need it.

    Raises:
        RecordError: If the run has not finished, or its record does not say enough.
        CheckpointError: If the data set is not the one it was trained on.
    """
    out = Path(out)
    record = RunRecord.load(out / RECORD)
    recipe = Recipe.from_record(record.experiment).replace(weights=None)
    if ds is not None:
        check_same({"data": record.data["fingerprint"]}, {"data": ds.fingerprint()}, out)
        model = build_model(recipe, ds)
    elif "num_classes" in record.experiment:
        sizes = {name: record.experiment[name] for name in ("num_classes", "num_cameras")}
        model = model_of_size(recipe, **sizes)
    else:
        raise RecordError(
            f"{out / RECORD} is of an older version and does not say how many people its model "
            "knows; pass the data set it was trained on: load_run(out, ds)."
        )
    load_into(model, _trained(out), out)
    return model.eval(), record


def training_batches(
    ds: ReIDDataset, recipe: Recipe, *, seed: int = 0, processes: int = 1
) -> DataLoader[Any]:
    """The batches that `fit` trains on: those of the recipe's sampler, augmented.

    Call `loader.batch_sampler.set_epoch(epoch)` before each pass; see `reidlab.data.make_loader`.

    Args:
        ds: Its `train` is read.
        recipe: Gives sampler, batch size, transform, workers.
        seed: Of order and augmentation.
        processes: That share a batch.
    """
    sampler = make_sampler(
        recipe.sampler,
        ds.train["label"].to_numpy(),
        identities_per_batch=recipe.identities_per_batch,
        images_per_identity=recipe.images_per_identity,
        seed=seed,
        processes=processes,
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
        ds.train, transform, batch_sampler=sampler, workers=recipe.workers, seed=seed
    )


def _parts(ds: ReIDDataset, recipe: Recipe, seed: int) -> tuple[ReIDDataset, ReIDDataset | None]:
    """What is trained on, and what is left out of it to judge the epochs by."""
    if recipe.validate_every is None:
        return ds, None
    if recipe.validate_on == "images":
        return split_images(ds)
    return split_validation(ds, recipe.validation_identities, seed)


def _session(run: _Run, accelerator: Accelerator, configuration: dict[str, Any]) -> Session:
    """Everything that the loop needs."""
    model, recipe = run.model.to(accelerator.device), run.recipe
    blocks = blocks_of(model)
    plan = Unfreezing.of(recipe, len(blocks)) if recipe.unfreezing is not None else None

    def open_blocks(epoch: int) -> None:
        if plan is not None:
            plan.apply(model, epoch - 1)

    return Session(
        model=model,
        optimizer=make_optimizer(model, recipe),
        loader=training_batches(
            run.learn, recipe, seed=run.seed, processes=accelerator.num_processes
        ),
        recipe=recipe,
        accelerator=accelerator,
        rate=partial(set_rate_of_step, recipe),
        objective=Objective(recipe.losses, gathered=recipe.gather),
        seed=run.seed,
        out=run.out,
        configuration=configuration,
        before_epoch=open_blocks,
        after_epoch=partial(_validate, run),
    )


def _validate(run: _Run, state: State, model: nn.Module) -> None:
    """Judge what was left out, when its epoch has come, and keep the best weights."""
    row, recipe = state.history[-1], run.recipe
    if run.validation is None or recipe.validate_every is None:
        return
    if row["epoch"] % recipe.validate_every and row["epoch"] < recipe.epochs:
        return
    clock = time.perf_counter()
    if recipe.validate_on == "images":
        identity = next((x for x in recipe.losses if isinstance(x, Identity)), Identity())
        found = classify(model, run.validation.train, recipe, identity.over_heads)
        decides = "accuracy"
    else:
        found = timed_evaluation(model, run.validation, recipe, shared=True)[0].as_dict()
        decides = "mAP"
    row["validation"] = found
    row["validation_seconds"] = time.perf_counter() - clock
    if recipe.keep == "best":
        judged = [past for past in state.history[:-1] if "validation" in past]
        if all(past["validation"][decides] < row["validation"][decides] for past in judged):
            weights = {name: value.clone() for name, value in model.state_dict().items()}
            state.best = {"epoch": row["epoch"], "weights": weights}


def _found(out: Path) -> str:
    """What a folder holds of a run: processes that do not see the same would wait for ever."""
    if (out / RECORD).is_file():
        return "a finished run"
    checkpoint = newest_checkpoint(out / CHECKPOINTS)
    return "nothing" if checkpoint is None else checkpoint.stem


def _finished(run: _Run, configuration: dict[str, Any]) -> RunRecord:
    """Read back a finished run, after checking that it is this one."""
    record = RunRecord.load(run.out / RECORD)
    found = {
        "recipe": record.experiment,
        "seed": record.seed,
        "data": record.data.get("fingerprint"),
        "classes": record.data.get("train_identities"),
    }
    if "weights_sha256" in record.experiment:
        found["weights_sha256"] = record.experiment["weights_sha256"]
    check_same(found, configuration, run.out)
    load_into(run.model, _trained(run.out), run.out)
    return record


def _trained(out: Path) -> dict[str, Tensor]:
    """The weights of a finished run."""
    again = f"Delete {out / RECORD} to train again."
    return read_weights(out / WEIGHTS, f"the finished run in {out}", again)


def _record(
    run: _Run,
    state: State,
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
        "weights_sha256": run.configuration["weights_sha256"],
        "num_classes": run.learn.num_classes,
        "num_cameras": run.ds.num_cameras if run.recipe.camera_embedding else 0,
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
        commit=state.commit[0],
        dirty=state.commit[1],
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
