"""From a model, a data set and a recipe to a trained model and the record of how it was made."""

from __future__ import annotations

import dataclasses
import time
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.tracking import GeneralTracker  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from reidlab.data import (
    GraphSampler,
    ReIDDataset,
    build_transform,
    colour_changes,
    make_loader,
    make_sampler,
)
from reidlab.errors import RecipeError
from reidlab.evaluation import RankResult
from reidlab.evaluation.checks import whole_number
from reidlab.files import sweep, write_json
from reidlab.judging import (
    alike,
    classify,
    embed,
    evaluate_on,
    has_test_part,
    sides_of,
    split_images,
    split_validation,
    timed_evaluation,
    with_rows,
)
from reidlab.judging.matching import forget_scores
from reidlab.judging.validation import check_people
from reidlab.losses import Identity
from reidlab.processes import barrier, broadcast, is_main_process, largest
from reidlab.record import (
    RecordError,
    RunRecord,
    describe_data,
    describe_environment,
    now,
    peak_memory_mb,
)
from reidlab.training.beforehand import SCORES, check_beforehand
from reidlab.training.checkpoint import (
    CHECKPOINTS,
    CheckpointError,
    check_same,
    delete_checkpoints,
    load_into,
    newest_checkpoint,
    read_weights,
    save_weights,
    writing,
)
from reidlab.training.guards import check_fits
from reidlab.training.launch import check_agreement, check_processes, one_at_a_time
from reidlab.training.objectives import Objective
from reidlab.training.optim import make_optimizer, set_rate_of_step
from reidlab.training.progress import Progress
from reidlab.training.recipe import CAMERAS, Recipe, build_model, model_of_size
from reidlab.training.session import Session, State, make_accelerator
from reidlab.training.tracking import check_tracker
from reidlab.training.unfreezing import Unfreezing, blocks_of

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
    accelerator: Accelerator

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What decides the result, as it began; two runs in one folder must agree in it."""
        return {
            "recipe": self.recipe.to_dict(),
            "seed": self.seed,
            "data": self.ds.fingerprint(),
            "trained_on": _trained_on(self.ds, self.recipe, self.learn, self.validation),
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

    What would stop it after the training is found before the first step: a test part of which
    nothing can be judged, an image that cannot be read, an `out` that cannot be written to.

    Nothing runs twice: a finished run of the same configuration is read back, an interrupted one
    goes on after its last epoch, and on a CPU ends with the very bits of an uninterrupted one.
    `out/model.safetensors` is written before anything is judged; if that fails, the same call, once
    the fault is mended, judges without training again. What was trained on decides whether it is
    the same run, not the test part: a finished run whose test part has changed since, or came
    later, is judged anew, and the record of before is kept as `out/record-FINGERPRINT.json`.
    Either way `model` holds the trained weights afterwards: the average of them if the recipe has
    an `ema_decay`, those of the best epoch if it keeps the best. Query and gallery of `ds` are
    embedded once, when all is decided.

    Args:
        model: From `build_model` or `create_model`; trained in place.
        ds: Trains on `ds.train`, without those of its people that `recipe.validate_every` sets
            aside; evaluates on `ds.query` and `ds.gallery` without junk. Without those the
            record has no metrics, and `evaluate_run` judges the model on another set;
            `ds.train_only()` leaves them out.
        recipe: All settings.
        seed: Of the batches, the augmentation, stochastic depth and the people set aside. The
            model's random weights were drawn before; `build_model(recipe, ds, seed=seed)` draws
            them by the same seed.
        out: Folder of the run.
        resume: False forgets what is in `out` and starts again, once nothing refuses to.
        tracker: "tensorboard" writes each epoch's row of the history to `out/tensorboard` as well;
            or any tracker of Accelerate, started. No result depends on it.

    Returns:
        The run record.

    Raises:
        RecipeError: If recipe, model and data set do not fit each other or the machine, or none of
            the queries has a match.
        TypeError, ValueError: If the seed is no whole number from 0, or the training people fill no
            batch of the recipe's sampler.
        DatasetError: If an image cannot be read.
        CheckpointError: If `out` holds another run, cannot be written to or has no room.
        TrainingDiverged: If a loss, a gradient or a weight stops being a number.
        ProcessError: If another process fails, or was not started like this one.
        ModuleNotFoundError: If TensorBoard is asked for and not installed.
    """
    seed = whole_number("seed", seed, 0)
    check_tracker(tracker)
    learn, validation = _parts(ds, recipe, seed)
    check_fits(model, ds, recipe, learn)
    accelerator = make_accelerator(recipe, Path(out), tracker)
    run = _Run(model, ds, recipe, seed, Path(out), learn, validation, accelerator)
    with barrier():  # whoever leaves while another still connects would break its connection
        check_processes(recipe, accelerator)
    finished = resume and (run.out / RECORD).is_file()
    check_agreement(run.configuration | {"found in `out`": _found(run.out)}, run.out)
    record = _finished(run) if finished else None
    if record is not None and (
        record.data.get("fingerprint") == ds.fingerprint() or not has_test_part(ds)
    ):
        return record  # judged on this very test part, or there is none

    session = _session(run)
    with barrier():
        if accelerator.is_main_process:
            check_beforehand(model, ds, recipe, validation, run.out)
            if not resume:  # nothing refuses any more
                (run.out / RECORD).unlink(missing_ok=True)
                (run.out / WEIGHTS).unlink(missing_ok=True)
                forget_scores(run.out / SCORES)
                delete_checkpoints(run.out / CHECKPOINTS)
    if record is not None:
        _say(f"{run.out} is trained; its test part has changed since, so it is judged anew")
        metrics, seconds = _judge(run)
        times = record.seconds | seconds
        anew = dataclasses.replace(
            record, data=_data(run), metrics=metrics, seconds=times, finished=now()
        )
        return _write(run, anew)
    if not has_test_part(ds):
        _say(f"{ds.name} has no test part, so nothing will be tested")
    session.run()
    with barrier():
        if accelerator.is_main_process:
            with writing(run.out / WEIGHTS, run.out / CHECKPOINTS):
                save_weights(run.out / WEIGHTS, model)
    metrics, seconds = _judge(run)
    state = session.state
    state.peak_memory_mb = largest(max(state.peak_memory_mb, peak_memory_mb(accelerator.device)))
    return _write(run, _record(run, state, metrics, seconds))


def _say(text: str) -> None:
    if is_main_process():
        Progress().line(text)


def _judge(run: _Run) -> tuple[dict[str, Any], dict[str, float]]:
    """Metrics of the test part, and seconds; nothing without one."""
    if not has_test_part(run.ds):
        return {}, {}
    try:
        model = run.model.to(run.accelerator.device)
        kept = run.out / SCORES if hasattr(model, "match") else None
        result, seconds = timed_evaluation(model, run.ds, run.recipe, shared=True, scores=kept)
    except BaseException:  # Ctrl-C, too
        _say(f"{run.out / WEIGHTS} is trained; the same call goes on with judging it")
        raise
    return result.as_dict(), seconds


def _write(run: _Run, record: RunRecord) -> RunRecord:
    """Write the record of a run that is trained and judged, and clear away the rest."""
    path, checkpoints = run.out / RECORD, run.out / CHECKPOINTS
    with barrier():
        if run.accelerator.is_main_process:
            with writing(path, checkpoints):
                if path.is_file() and (before := RunRecord.load(path)).metrics:
                    before.save(run.out / f"record-{before.data['fingerprint'][:8]}.json")
                write_json(path, record.to_dict())  # last but one: with it a run is finished
            delete_checkpoints(checkpoints)
            forget_scores(run.out / SCORES)
            sweep(run.out)
    return RunRecord.load(path)


def load_run(out: str | Path, ds: ReIDDataset | None = None) -> tuple[nn.Module, RunRecord]:
    """The trained model of a finished run, in evaluation mode, and its record.

    Args:
        out: Folder that `fit` wrote.
        ds: The data set it was trained on, to be sure that it is; runs of older versions, whose
            record does not say how many classes and cameras the model has, need it. To judge the
            model on another set there is `evaluate_run`.

    Raises:
        RecordError: If the run has not finished, or its record does not say enough.
        CheckpointError: If the data set is not the one it was trained on.
    """
    out = Path(out)
    record = RunRecord.load(out / RECORD)
    recipe = Recipe.from_record(record.experiment).replace(weights=None)
    if ds is not None and not _was_trained_on(record, recipe, ds):
        raise CheckpointError(
            f"{out} was trained on {record.data['name']} of {record.data['train_images']} training "
            f"images, and this is another {ds.name} of {len(ds.train)}; load_run takes the set of "
            "the training, to be sure that it is, or none. To judge the trained model on another "
            "set: evaluate_run(out, ds), or python -m reidlab evaluate OUT NAME ROOT."
        )
    if "num_classes" in record.experiment:
        sizes = {name: record.experiment[name] for name in ("num_classes", "num_cameras")}
        model = model_of_size(recipe, **sizes)
    elif ds is not None:
        model = build_model(recipe, ds)
    else:
        raise RecordError(
            f"{out / RECORD} is of an older version and does not say how many people its model "
            "knows; pass the data set it was trained on: load_run(out, ds)."
        )
    load_into(model, _trained(out), out)
    return model.eval(), record


def evaluate_run(
    out: str | Path,
    ds: ReIDDataset,
    *,
    mean_camera: bool = False,
    scores: str | Path | None = None,
    **description: Any,
) -> RankResult:
    """Judge the trained model of a finished run on a data set, its own or another.

    Args:
        out: Folder that `fit` wrote.
        ds: Any set with a test part.
        mean_camera: Give every image the mean of the camera embedding, if the model has one: for
            cameras that it was not trained on.
        scores: Of a matcher: a file that keeps its scores, as in `evaluate_on`; None: they are kept
            in `out` until all are there, so that an interrupted evaluation goes on all the same.
        description: As in `evaluate_on`.

    Raises:
        RecordError: As `load_run`.
        RecipeError: If the set cannot be judged, see `evaluate_on`.
        ValueError, WriteError: If the scores cannot be kept.
    """
    model, record = load_run(out)
    if any(sides_of(model)):
        if mean_camera:
            model.backbone.forget_cameras()  # type: ignore[operator, union-attr]
        elif ds.name != record.data["name"]:
            warnings.warn(
                f"the model learned the cameras of {record.data['name']}, and those of {ds.name} "
                "are others of the same numbers: pass mean_camera=True.",
                stacklevel=2,
            )
    kept = None if scores is None else Path(scores)
    if kept is None and hasattr(model, "match"):
        kept = Path(out) / f"scores-{ds.fingerprint()[:8]}.npy"
    recipe = Recipe.from_record(record.experiment)
    found = evaluate_on(model, ds, recipe, scores=kept, **description)
    if kept is not None and scores is None:
        forget_scores(kept)
    return found


def training_batches(
    ds: ReIDDataset, recipe: Recipe, *, seed: int = 0, processes: int = 1
) -> DataLoader[Any]:
    """The batches that `fit` trains on: those of the recipe's sampler, augmented.

    Call `loader.batch_sampler.set_epoch(epoch)` before each pass; see `reidlab.data.make_loader`.
    A `GraphSampler`, `loader.batch_sampler.sampler`, must look at a model then.

    Args:
        ds: Its `train` is read; for a model with viewpoints in the form of `with_rows`.
        recipe: Gives sampler, batch size, transform, workers.
        seed: Of order and augmentation.
        processes: That share a batch.
    """
    sampler = make_sampler(
        recipe.sampler,
        ds.train["pid"].to_numpy(),  # in the order of the labels
        identities_per_batch=recipe.identities_per_batch,
        images_per_identity=recipe.images_per_identity,
        infrared=ds.train["modality"] == "infrared" if "modality" in ds.train else None,
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
        augmentation=recipe.augmentation,
    )
    changes = colour_changes(
        grey=recipe.grey,
        channel_exchange=recipe.channel_exchange,
        jitter=recipe.jitter,
        blur=recipe.blur,
    )
    if changes:
        transform = v2.Compose([*changes, transform])
    return make_loader(
        ds.train, transform, batch_sampler=sampler, workers=recipe.workers, seed=seed
    )


def _parts(ds: ReIDDataset, recipe: Recipe, seed: int) -> tuple[ReIDDataset, ReIDDataset | None]:
    """What is trained on, and what is left out of it to judge the epochs by."""
    check_people(ds)
    if recipe.validate_every is None:
        return ds, None
    if recipe.validate_on == "images":
        return split_images(ds)
    return split_validation(ds, recipe.validation_identities, seed)


def _trained_on(
    ds: ReIDDataset, recipe: Recipe, learn: ReIDDataset, validation: ReIDDataset | None
) -> str:
    """A digest of all that training reads of a set: nothing of its test part is in it."""
    if validation is None:
        return ds.rows_fingerprint(learn.train, cameras=recipe.camera_embedding in CAMERAS)
    aside = validation.train, validation.query, validation.gallery
    return ds.rows_fingerprint(learn.train, *aside, cameras=True)  # the protocol looks at them


def _was_trained_on(record: RunRecord, recipe: Recipe, ds: ReIDDataset) -> bool:
    """Whether a run was trained on this set; one of an older version tells the whole set alone."""
    if "trained_on" not in record.data:
        return bool(record.data.get("fingerprint") == ds.fingerprint())
    try:
        found = _trained_on(ds, recipe, *_parts(ds, recipe, record.seed))
    except RecipeError:  # nobody to train on, or too few
        return False
    return bool(record.data["trained_on"] == found)


def _session(run: _Run) -> Session:
    """Everything that the loop needs."""
    accelerator, recipe = run.accelerator, run.recipe
    model = run.model.to(accelerator.device)
    learn = dataclasses.replace(run.learn, train=with_rows(model, run.learn.train))
    blocks = blocks_of(model)
    plan = Unfreezing.of(recipe, len(blocks)) if recipe.unfreezing is not None else None

    loader = training_batches(learn, recipe, seed=run.seed, processes=accelerator.num_processes)
    sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)

    def before_epoch(epoch: int) -> None:
        if plan is not None:
            plan.apply(model, epoch - 1)
        if isinstance(sampler, GraphSampler):
            sampler.set_epoch(epoch)
            sampler.drawn[:] = session.state.drawn or 0
            sampler.look(lambda rows: _distances(model, learn.train.iloc[rows], recipe))
            session.state.drawn = sampler.drawn.tolist()

    session = Session(
        model=model,
        optimizer=make_optimizer(model, recipe),
        loader=loader,
        recipe=recipe,
        accelerator=accelerator,
        rate=partial(set_rate_of_step, recipe),
        objective=Objective(recipe.losses, gathered=recipe.gather),
        seed=run.seed,
        out=run.out,
        configuration=run.configuration,
        before_epoch=before_epoch,
        after_epoch=partial(_validate, run),
    )
    return session


def _distances(model: nn.Module, frame: pd.DataFrame, recipe: Recipe) -> Any:
    """How little alike the images of a table are to the model, the same on all processes."""
    found = alike(model, embed(model, frame, recipe))
    saturating = recipe.sampler == "graph-sigmoid"
    return broadcast((1 - (found / 10).sigmoid() if saturating else -found).numpy())


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


def _finished(run: _Run) -> RunRecord:
    """Read back a finished run, after checking that it is this one."""
    record = RunRecord.load(run.out / RECORD)
    found = {
        "recipe": record.experiment,
        "seed": record.seed,
        "data": record.data.get("fingerprint"),
        **{name: record.data[name] for name in ("trained_on",) if name in record.data},
        "classes": record.data.get("train_identities"),
        "weights_sha256": record.experiment.get("weights_sha256"),
    }
    check_same(found, run.configuration, run.out)
    load_into(run.model, _trained(run.out), run.out)
    return record


def _trained(out: Path) -> dict[str, Tensor]:
    """The weights of a finished run."""
    again = f"Delete {out / RECORD} to train again."
    return read_weights(out / WEIGHTS, f"the finished run in {out}", again)


def _record(
    run: _Run, state: State, metrics: dict[str, Any], seconds: dict[str, float]
) -> RunRecord:
    accelerator, history = run.accelerator, state.history
    train_seconds = sum(row["seconds"] for row in history)
    cameras, views = sides_of(run.model)
    experiment = {
        "paper": run.recipe.model,
        "variant": run.recipe.model,
        **run.recipe.to_dict(),
        "weights_sha256": run.configuration["weights_sha256"],
        "num_classes": run.learn.num_classes,
        "num_cameras": [cameras, views] if views else cameras,
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
    if run.validation is not None:
        experiment["kept_epoch"] = state.best.get("epoch", len(history))
        times["validate"] = sum(row.get("validation_seconds", 0.0) for row in history)
    return RunRecord(
        experiment=experiment,
        seed=run.seed,
        data=_data(run),
        metrics=metrics,
        seconds=times,
        images_per_second=sum(row["images"] for row in history) / train_seconds,
        peak_memory_mb=state.peak_memory_mb,
        started=state.started,
        commit=state.commit[0],
        dirty=state.commit[1],
        finished=now(),
        history=history,
        environment=describe_environment(accelerator.device)
        | {"processes": accelerator.num_processes, "precision": accelerator.mixed_precision},
    )


def _data(run: _Run) -> dict[str, Any]:
    """The whole set, what was trained on, and counts of what was set aside; the `train` counts hold
    that, too."""
    found = describe_data(run.ds) | {"trained_on": run.configuration["trained_on"]}
    if run.validation is None:
        return found
    if run.recipe.validate_on == "images":
        return found | {"validation_images": len(run.validation.train)}
    return found | {
        "validation_identities": run.ds.num_classes - run.learn.num_classes,
        "validation_query_images": len(run.validation.query),
        "validation_gallery_images": len(run.validation.gallery),
    }
