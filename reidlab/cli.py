"""Command line: `python -m reidlab data describe market1501 data/plaza-market1501`.

Each command is a thin wrapper around a function of the library. Heavy imports stay inside the
commands, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from reidlab.errors import ReidlabError
from reidlab.settings import parse_settings

if TYPE_CHECKING:
    from reidlab.data import ReIDDataset
    from reidlab.experiments import Experiment
    from reidlab.record import Record

app = typer.Typer(
    help="Person re-identification with transformers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Look at a data set on disk.", no_args_is_help=True)
record = typer.Typer(help="Look at the records that runs leave behind.", no_args_is_help=True)
app.add_typer(data, name="data")
experiments = typer.Typer(help="What papers compare: run it, look at it.", no_args_is_help=True)
app.add_typer(record, name="record")
app.add_typer(experiments, name="experiment")

Name = Annotated[str, typer.Argument(help="Layout, such as market1501; see `data list`.")]
Root = Annotated[Path, typer.Argument(help="Folder of the data set.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="key=value, as open_dataset takes it; may be given repeatedly."),
]
Backbone = Annotated[str, typer.Option(help="A ViT of timm, with a tag for timm's weights.")]
Grid = Annotated[
    tuple[int, int] | None,
    typer.Option(help="Rows and columns of patches of a file that does not say its grid."),
]
Which = Annotated[
    str, typer.Argument(help="An experiment, see `list`; or a paper, whose recipe is run then.")
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="How many runs of a cell; they are 0, 1, ...")
]
Dataset = Annotated[
    str | None, typer.Option(help="Of a paper's recipe: layout, market1501 if none is named.")
]
Varied = Annotated[str, typer.Option("--set", help='Of it: settings, as "lr=1e-4,3e-4 epochs=5".')]
Profile = Annotated[str, typer.Option(help="smoke, laptop or paper.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of your copy of the data.")]
RecordFile = Annotated[Path, typer.Argument(help="A record.json, or the run folder it is in.")]


F = TypeVar("F", bound=Callable[..., None])


def _command(group: typer.Typer, name: str | None = None) -> Callable[[F], F]:
    """A command of a group, which ends with the library's own message, without a traceback; what it
    warns of is a sentence, too, without file and line."""

    def register(function: F) -> F:
        @functools.wraps(function)
        def speaking(*arguments: Any, **options: Any) -> None:
            for stream in (sys.stdout, sys.stderr):  # names that a terminal's code page lacks
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(errors="backslashreplace")
            try:
                with warnings.catch_warnings():
                    warnings.showwarning = _say
                    function(*arguments, **options)
            except (ReidlabError, ValueError, TypeError, OSError, ModuleNotFoundError) as error:
                text = str(error)
                if isinstance(error, OSError) and error.filename:  # without the number
                    text = f"{error.filename}: {error.strerror}"
                typer.echo(f"error: {text}", err=True)
                raise typer.Exit(1) from None

        group.command(name)(speaking)
        return function

    return register


def _say(message: Warning | str, *_where: Any, **_at: Any) -> None:
    """Print a warning, once where several processes train together."""
    from reidlab.processes import is_main_process

    if is_main_process():
        typer.echo(f"warning: {message}", err=True)


@_command(data, "describe")
def describe(name: Name, root: Root, option: Options = None) -> None:
    """Count images, people and cameras of each part of a data set."""
    ds = _open(name, root, option)
    table = ds.describe()
    words = ["licence", "status", "camera rule"]
    typer.echo(table.drop(columns=words).to_string())
    if table["turned"].isna().any():
        typer.echo("turned: known once all images were decoded, as they are before a training")
    for word in words:
        typer.echo(f"{word}: {table[word].iloc[0]}")
    typer.echo(f"options: {', '.join(f'{k}={v}' for k, v in ds.options.items()) or 'none'}")
    typer.echo(f"fingerprint {ds.fingerprint()}")


@_command(data, "check")
def check(name: Name, root: Root, option: Options = None) -> None:
    """Open a data set and decode every image; exit status 1 if anything is not as published.

    Images of the layout that the options do not use are decoded as well. All foreign names are
    listed. Files that are no images (Thumbs.db) are no problem.
    """
    import pandas as pd

    from reidlab.data import unreadable
    from reidlab.data.spelling import copies

    with warnings.catch_warnings(action="ignore"):  # they are the problems below
        ds = _open(name, root, option)
    whole = pd.concat([ds.train, ds.query, ds.gallery])
    who = dict(zip(whole["path"], zip(whole["pid"], whole["camid"], strict=True), strict=True))
    used = set(who)
    paths = used.union(ds.spare)
    problems = [*ds.warnings, *unreadable(paths, progress=sys.stderr.isatty()).values()]
    tested = {*ds.query["path"], *ds.gallery["path"]}
    for same in copies(filter(os.path.isfile, sorted(paths))):
        leak = ""
        if tested.intersection(same) and not used.intersection(same) <= tested:
            leak = f"one picture is in training and in test: {', '.join(same)}"
        elif len({who[path] for path in used.intersection(same)}) > 1:
            leak = f"one picture is of two people or in two cameras: {', '.join(same)}"
        if leak and ds.name == "folder":
            problems.append(leak)
        elif leak:  # as published, then: nobody's copying is to blame
            typer.echo(f"note: {leak}")
    for foreign in ds.foreign:
        typer.echo(f"left out: {foreign}", err=True)
    for note in ds.notes:
        typer.echo(f"note: {note}")
    for problem in problems:
        typer.echo(f"problem: {problem}", err=True)
    typer.echo(ds.describe().loc[:, :"turned"].to_string())
    if problems:
        raise typer.Exit(1)
    expected = "as published" if ds.published else "all whole (nothing is published to compare)"
    chosen = ", ".join(f"{key}={value}" for key, value in ds.options.items()) or "none"
    typer.echo(f"{len(paths)} images of {name}: {expected}")
    typer.echo(f"options: {chosen}; {len(ds.spare)} of the images are not used by these")


@_command(data, "list")
def list_all() -> None:
    """Print all data sets that can be opened, with their size, licence and status."""
    from reidlab.data import data_catalogue

    typer.echo(data_catalogue().to_string(na_rep="-"))


def _open(name: str, root: Path, options: list[str] | None) -> ReIDDataset:
    from reidlab.data import open_dataset

    return open_dataset(name, root, **parse_settings(options or [], "--option trial=3"))


@_command(record, "show")
def show(path: RecordFile) -> None:
    """Print a run record, one setting or result a line."""
    from reidlab.record import flatten, read_record

    loaded = read_record(path / "record.json" if path.is_dir() else path)
    del loaded["history"]  # a table of its own
    for key, value in flatten(loaded).items():
        typer.echo(f"{key} = {json.dumps(value, default=str)}")


@_command(record, "check")
def check_records(
    paths: Annotated[list[Path], typer.Argument(help="Records, as readers contribute them.")],
) -> None:
    """Say whether records can enter book/results/contributed; exit status 1 if one cannot."""
    from reidlab.report import check_contribution

    for path in paths:
        typer.echo(f"{path}: {check_contribution(path)} run(s), can be contributed")


@_command(app)
def compare(
    a: Annotated[str, typer.Argument(help='A record, a folder of records, or a "pattern".')],
    b: Annotated[
        str | None, typer.Argument(help="Likewise; several records are the seeds of a side.")
    ] = None,
    book: Annotated[
        str | None, typer.Option("--with", help="Without B: the book's record of A's chapter.")
    ] = None,
    claims: Annotated[
        str | None, typer.Option(help="Paper or .yml file of claims; by default the runs' own.")
    ] = None,
    level: Annotated[float, typer.Option(help="Of the intervals over the seeds.")] = 0.95,
) -> None:
    """Compare two runs, or two groups of seeds, with each other and with what was published.

    A alone, the record that a chapter leaves in runs/pages, is compared with the book's: --with a
    record from the last box of its page in the built book, else the one of your own `make book`,
    and with published runs of the same settings on the same images.

    Exit status: 0; 1 if a record or the claims cannot be read; 3 if the two sides were not measured
    on the same images by the same protocol, so that their difference says nothing of the methods.
    """
    from reidlab.report import records_at, side_by_side

    if b is None:
        if claims is not None:
            raise ValueError(f"--claims {claims} is for two sides: name B, or leave it out")
        return _compare_page(Path(a), book, level)
    if book is not None:
        raise ValueError("--with is for one record alone; two sides are compared without it")
    sides = [records_at(where) for where in (a, b)]
    found = side_by_side(*sides, level=level)
    typer.echo(found)
    for name, side in zip("AB", sides, strict=True):
        typer.echo(f"\n{name} and the published numbers: {_published(side, claims)}")
    if found.obstacles:
        raise typer.Exit(3)


def _compare_page(path: Path, book: str | None, level: float) -> None:
    from reidlab.files import project_root, same_place
    from reidlab.report import published_runs, read_page, records_at, reproduction

    mine = read_page(path / "record.json" if path.is_dir() else path)
    built = project_root() / "runs" / "book" / str(mine["profile"]) / mine["notebook"]
    own = built / f"{mine['notebook']}.json"
    place = Path(book) if book else own
    known = [*(records_at(book) if book else []), *published_runs()]
    beside = place.is_file() and place.suffix == ".json" and not same_place(place, path)
    found = reproduction(mine, read_page(place) if beside else None, known, level=level)
    typer.echo(found)
    if found.obstacles:
        raise typer.Exit(3)


def _published(side: list[Record], claims: str | None) -> str:
    """What the claims of a paper say of the runs of one side."""
    from reidlab.report.claims import claims_file, load_claims, published_intervals

    paper = claims or str(side[0]["experiment"].get("paper"))
    if claims is None and not claims_file(paper).is_file():
        return f"book/claims/{paper}.yml does not exist, so there are none to compare with"
    table = published_intervals(load_claims(paper), side)
    if not len(table):
        return f"no claim of {paper} is about {side[0]['data']['name']}"
    return "\n" + table.to_string(index=False, na_rep="-")


@_command(app, "cards")
def cards_of_what_is_shipped(
    out: Annotated[Path, typer.Argument(help="Folder of the cards, such as book/cards.")],
) -> None:
    """Write the model cards of the shipped weights and the data card of the synthetic world."""
    from reidlab.report.cards import write_cards

    for path in write_cards(out):
        typer.echo(str(path))


@_command(app)
def slides(
    executed: Annotated[Path, typer.Argument(help="An executed notebook.")],
    out: Annotated[Path, typer.Argument(help="The .html file to write.")],
) -> None:
    """Make slides of an executed chapter: one file, without a network, to print as PDF."""
    from reidlab.report.slides import write_slides

    typer.echo(f"{write_slides(executed, out)} slides -> {out}")


@_command(app)
def train(  # each parameter is an option of the command
    paper: Annotated[str, typer.Option(help="Whose recipe, such as vit_baseline.")],
    dataset: Annotated[str, typer.Option(help="Layout, such as market1501; see `data list`.")],
    root: Annotated[Path, typer.Option(help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; an interrupted run goes on there.")],
    profile: Profile = "laptop",
    preset: Annotated[
        str | None, typer.Option(help='"code" or "paper", where the two differ.')
    ] = None,
    of: Annotated[
        str, typer.Option(help="people or vehicles, where the paper has both.")
    ] = "people",
    seed: Annotated[int, typer.Option(help="Of weights, batches and augmentation.")] = 0,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="key=value of the recipe, as image_size=192x96; may be repeated."
        ),
    ] = None,
    tracker: Annotated[
        str | None, typer.Option(help='"tensorboard" writes the curves to OUT/tensorboard, too.')
    ] = None,
    train_only: Annotated[
        bool, typer.Option(help="Leave the test part out; `evaluate` judges the run elsewhere.")
    ] = False,
    option: Options = None,
) -> None:
    """Train by a paper's recipe, evaluate, and leave model and record in a folder.

    The same command runs on several processes: `accelerate launch -m reidlab train ...`.
    """
    from reidlab import recipes
    from reidlab.training import build_model, fit, is_main_process

    ds = _open(dataset, root, option)
    ds = ds.train_only() if train_only else ds
    changes = parse_settings(change or [], "--set epochs=5")
    recipe = recipes.get(paper, profile, preset, of=of)  # type: ignore[arg-type]  # it looks
    recipe = recipe.replace(**changes)
    model = build_model(recipe, ds, seed=seed)
    found = fit(model, ds, recipe, seed=seed, out=out, tracker=tracker)
    if is_main_process():
        tested = _in_percent(found.metrics) if found.metrics else "nothing was tested"
        typer.echo(f"{tested}  {out / 'record.json'}")


def _in_percent(metrics: dict[str, Any]) -> str:
    return f"Rank-1 {100 * metrics['rank1']:.1f} %  mAP {100 * metrics['mAP']:.1f} %"


@_command(app, "evaluate")
def evaluate_run(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    name: Name,
    root: Root,
    mean_camera: Annotated[
        bool, typer.Option(help="Use the mean of the camera embedding: for other cameras.")
    ] = False,
    scores: Annotated[
        Path | None, typer.Option(help="Of a matcher: keep its scores in this .npy file.")
    ] = None,
    option: Options = None,
) -> None:
    """Judge the trained model of a run on a data set, its own or another.

    A matcher's scores take long. If they were interrupted, the same command goes on with them.
    """
    from reidlab.training import evaluate_run as judge_run

    ds = _open(name, root, option)
    found = judge_run(run, ds, mean_camera=mean_camera, scores=scores)
    typer.echo(f"{_in_percent(found.as_dict())}  {found.num_valid} queries, {found.protocol}")


@_command(app, "zero-shot")
def zero_shot(
    name: Name,
    root: Root,
    weights: Annotated[str, typer.Option(help='"synth", "plain", "timm" or a file.')] = "synth",
    backbone: Backbone = "vit_tiny_patch16_224",
    save: Annotated[Path | None, typer.Option(help="Write the run record here.")] = None,
    image_size: Annotated[
        tuple[int, int], typer.Option(help="Height and width the images are resized to.")
    ] = (192, 96),
    weights_grid: Grid = None,
    training_people: Annotated[
        bool, typer.Option(help="Judge on the training people: for choices between weights.")
    ] = False,
    option: Options = None,
) -> None:
    """Judge weights on a data set they were not trained on, by three views of the tokens."""
    from reidlab import recipes
    from reidlab.data import normalization_for
    from reidlab.files import check_writable
    from reidlab.judging.zero_shot import of_training_people, zero_shot_record
    from reidlab.models import TokenBackbone, load_weights
    from reidlab.record import check_free, describe_data

    if save is not None:
        check_writable(save)
    recipe = recipes.get("vit_baseline", "laptop").replace(
        weights=weights, weights_grid=weights_grid, backbone=backbone
    )
    vit = TokenBackbone(recipe.backbone, image_size)
    if "." in backbone:  # a checkpoint of timm: images as it was trained on them
        recipe = recipe.replace(normalization=normalization_for(backbone))
    load_weights(vit, weights, weights_grid)
    ds = _open(name, root, option)
    ds = of_training_people(ds) if training_people else ds
    if save is not None:
        asked = recipe.replace(image_size=image_size).to_dict()
        check_free(save, {"experiment": asked, "seed": 0, "data": describe_data(ds)})
    found = zero_shot_record(vit, ds, recipe)
    for view in ("class", "pooled", "rows"):
        ends = [f"{100 * found.metrics[k]:.1f}" for k in (f"{view}_mAP_low", f"{view}_mAP_high")
                if k in found.metrics]  # fmt: skip
        rank1, mean = (100 * found.metrics[f"{view}_{key}"] for key in ("rank1", "mAP"))
        told = f" ({' to '.join(ends)})" if ends else ""
        typer.echo(f"{view:6}  Rank-1 {rank1:5.1f} %  mAP {mean:5.1f} %{told}")
    if save is not None:
        found.save(save)


@_command(app, "app")
def search_folder(
    folder: Annotated[Path, typer.Argument(help="Crops of people, in any folders below it.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this machine; 0: any that is free.")
    ] = 8765,
    weights: Annotated[str, typer.Option(help='"synth", "plain" or a file.')] = "synth",
) -> None:
    """Search a folder of your own in the browser, on this machine alone."""
    from reidlab.app import serve

    serve(folder, port, weights)


@_command(app, "weights")
def export_weights(
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    weights: Annotated[str, typer.Option(help='"synth" or a file, such as a run\'s.')] = "synth",
    backbone: Backbone = "vit_tiny_patch16_224",
    image_size: Annotated[tuple[int, int], typer.Option(help="Height and width.")] = (224, 224),
    weights_grid: Grid = None,
) -> None:
    """Write weights as timm's model of that name takes them, positions resized to the images."""
    from reidlab.files import check_writable
    from reidlab.models import export_timm

    check_writable(out)
    export_timm(
        out, weights=weights, weights_grid=weights_grid, backbone=backbone, image_size=image_size
    )
    typer.echo(
        f"timm.create_model({backbone!r}, num_classes=0, img_size={image_size}, "
        f"checkpoint_path={str(out)!r})"
    )


@_command(app)
def edition(
    kind: Annotated[str, typer.Argument(help="learner (no solutions) or teacher (all of them).")],
    out: Annotated[Path, typer.Argument(help="Folder for the notebooks.")],
) -> None:
    """Write the notebooks for a class, for learners without the solutions of the exercises."""
    from reidlab.report import write_edition

    for path in write_edition(kind, out):
        typer.echo(str(path))


@_command(app, "judge")
def judge_file(
    file: Annotated[Path, typer.Argument(help="An .npz file of embeddings.")],
    protocol: Annotated[
        list[str] | None, typer.Option(help="May be given repeatedly; all of them by default.")
    ] = None,
    ap: Annotated[str | None, typer.Option(help="mean_precision, trapezoid or top10.")] = None,
    metric: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
) -> None:
    """Judge embeddings of any program by the protocols of the field, side by side.

    Write them with numpy.savez(FILE, q_emb=..., g_emb=..., q_pids=..., g_pids=..., q_camids=...,
    g_camids=...): embeddings (N, D), whole numbers (N,), cameras from 0, junk with the id -1.
    """
    from reidlab.evaluation import audit, read_embeddings

    if file.is_dir():
        raise ValueError(
            f"{file} is a folder; expected an .npz file of embeddings. The model of a run, "
            f"a matcher too, is judged by: python -m reidlab evaluate {file} NAME ROOT"
        )
    options: dict[str, Any] = {"protocols": protocol, "ap": ap, "metric": metric}
    table = audit(**read_embeddings(file), **options)
    shares = table.columns.drop(["counted", "AP"])
    table[shares] = (100 * table[shares]).round(1)
    typer.echo(table.to_string())
    typer.echo("in percent; low and high: 95 % interval of the mAP over people")
    for name, reason in table.attrs["left out"].items():
        typer.echo(f"left out: {name}: {reason}", err=True)


@_command(app)
def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for images, checkpoints and weights.")],
    seed: Annotated[int, typer.Option(help="Seed of the world and of the training.")] = 0,
    start: Annotated[str | None, typer.Option(help='Go on from "synth" or a file.')] = None,
    arm: Annotated[
        str | None, typer.Option(help='An arm of the ablation, such as "whole".')
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for the images, if several runs share them.")
    ] = None,
    small: Annotated[bool, typer.Option(help="A run of seconds, to try the road.")] = False,
    plain: Annotated[bool, typer.Option(help="The plain start: nobody is named.")] = False,
) -> None:
    """Train the shipped ViT-Tiny weights again, on a large synthetic world.

    A run that was interrupted goes on when the same command is given again.
    """
    from reidlab.training import pretrain as pretraining

    if arm is not None and plain:
        raise ValueError("--plain is a start of its own, --arm changes another: leave one out")
    config = pretraining.PLAIN if plain else pretraining.PretrainConfig()
    config = pretraining.ablation_arm(arm, seed, start) if arm is not None else config
    config = pretraining.small_config(config) if small else config
    config = dataclasses.replace(config, seed=seed, start=start)
    typer.echo(f"{pretraining.pretrain(out, config, pictures=pictures)}")


@_command(experiments, "list")
def list_experiments() -> None:
    """Print all experiments, each with its question and the number of published results."""
    from reidlab.experiments import design, experiment, names

    for name in names():
        typer.echo(f"{name} ({len(experiment(name))} published)\n    {design(name).question}")


@_command(experiments, "show")
def show_experiment(
    name: Which,
    seeds: Seeds = None,
    profile: Profile = "laptop",
    dataset: Dataset = None,
    change: Varied = "",
) -> None:
    """Print what an experiment compares, and the table of the runs that are here.

    The table is written beside them, too: summary.csv.
    """
    from reidlab.experiments.runner import Workspace
    from reidlab.files import write_text

    asked, workspace = _experiment(name, profile, seeds, dataset, change), Workspace(profile)
    found = workspace.runs(asked)
    typer.echo(asked.question)
    for factor, levels in asked.factors.items():
        typer.echo(f"{factor}: {', '.join(levels)}")
    asks = len(workspace.files(asked)) or len(found)
    typer.echo(f"{len(found)} of {asks} results in {workspace.folder}")
    if len(found.records):
        table = found.summary("rank1", "mAP", "mINP")
        typer.echo(table.round(2).to_string(index=False, na_rep="-"))
        typer.echo("in percent; low, high: 95 % interval of the mean over the seeds")
        write_text(workspace.results(asked) / "summary.csv", table.to_csv(index=False))


@_command(experiments, "run")
def run_experiment(
    name: Which,
    only: Annotated[
        list[str] | None, typer.Option(help="A cell, or a run as CELL/seed0; may be repeated.")
    ] = None,
    seeds: Seeds = None,
    data_root: DataRoot = None,
    profile: Profile = "laptop",
    dataset: Dataset = None,
    change: Varied = "",
    option: Annotated[
        list[str] | None, typer.Option(help="key=value that an experiment asks for.")
    ] = None,
) -> None:
    """Train and measure what is missing of an experiment; an interrupted run goes on.

    Runs that somebody else made of it, in book/results/unfinished, are not made again.
    """
    from reidlab.experiments import published
    from reidlab.experiments.runner import Workspace

    options = parse_settings(option or [], "--option start=FILE")
    workspace = Workspace(profile, data_root, options=options)
    asked = _experiment(name, profile, seeds, dataset, change)
    for path in workspace.run(asked, only or [], published(asked.name, whole=False)):
        typer.echo(str(path))


@_command(experiments, "power")
def power_of_experiment(
    name: Which,
    only: Annotated[list[str] | None, typer.Option(help="A cell; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(help="How many runs of a cell, at most.")] = 5,
    unlike: Annotated[
        float, typer.Option(help="1 - correlation, over people, of two methods: a guess.")
    ] = 0.1,
    profile: Profile = "laptop",
) -> None:
    """Print the smallest difference of mAP that the seeds and people of each cell tell from none.

    It takes the runs that are here, else those of the book, and looks at one cell at a time: what
    can be decided is known before two methods are compared.
    """
    import numpy as np

    from reidlab.evaluation import decidable
    from reidlab.experiments import Runs, published
    from reidlab.experiments.runner import Workspace

    asked, workspace = _experiment(name, profile, None), Workspace(profile)
    found = workspace.runs(asked)
    if not found.records:
        found = Runs.read(published(asked.name), asked)
    if not found.records:
        raise ValueError(
            f"{name} has no runs, neither in {workspace.folder} nor in the book: first "
            f"python -m reidlab experiment run {name} --seeds {seeds}"
        )
    there = {"_".join(run["levels"].values()): run["levels"] for run in found.records}
    for cell in only or there:
        if cell not in there:
            raise ValueError(f"{name} has no runs of {cell!r}; it has {', '.join(there)}")
        parts = found.components("mAP", **there[cell])
        typer.echo(f"{cell}: mAP {parts}")
        table = decidable(parts, seeds, unlike=unlike, rng=np.random.default_rng(0))
        typer.echo(f"{table.round(2).to_string(na_rep='-')}\n")
    typer.echo(
        "smallest: in points, (t of 0.975 + t of 0.8) * SE, with SE^2 = 2 s / n + 2 b / (n P) + "
        "2 unlike m / P; s, b, m: variances over seeds, of person x seed, over people; n seeds a "
        "side, P people. unlike: 1 - correlation, over people, of what two methods reach; one "
        "method cannot tell, 0 is the best case. clear, none: share of 2,000 simulated comparisons "
        "that are clear at this difference, and at none"
    )


@_command(experiments, "publish")
def publish_experiment(name: Which, seeds: Seeds = None, profile: Profile = "laptop") -> None:
    """Write the results that are here into the book: book/results/PAPER/EXPERIMENT.jsonl.

    Where runs are missing, those that are here go to book/results/unfinished, which no page reads:
    another session or machine makes the rest.
    """
    from reidlab.experiments import Runs, published
    from reidlab.experiments.runner import Workspace, run_key

    if "." not in name:
        raise ValueError(
            f"{name!r} is no experiment of the book: expected PAPER.EXPERIMENT, see `python -m "
            "reidlab experiment list`. What `run` makes of a paper's recipe alone, `show` prints"
        )
    asked, workspace = _experiment(name, profile, seeds), Workspace(profile)
    asks = len(workspace.files(asked))
    whole = asked.rows is not None or len(workspace.runs(asked)) == asks
    file, rest = published(asked.name, whole=whole), published(asked.name, whole=False)
    found = workspace.publish(asked, file)
    if whole and {*map(run_key, Runs.read(rest).records)} <= {*map(run_key, found.records)}:
        rest.unlink(missing_ok=True)
    typer.echo(f"{len(found)} of {asks or len(found)} results -> {file}")


def _experiment(
    name: str, profile: str, seeds: int | None, dataset: str | None = None, change: str = ""
) -> Experiment:
    """The experiment of a name, or of a paper's recipe with some settings varied."""
    from reidlab.experiments import design, sweep

    if "." not in name:
        return sweep(name, profile, dataset or "market1501", seeds or 3, change)
    if dataset or change:
        raise ValueError(
            f"{name} has data and settings of its own: leave --dataset and --set out, or name a "
            f"paper alone, as {name.partition('.')[0]}, whose recipe they change"
        )
    asked = design(name)
    return asked if seeds is None else dataclasses.replace(asked, seeds=seeds)
