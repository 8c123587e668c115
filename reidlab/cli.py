"""Command line: `python -m reidlab data describe market1501 data/plaza-market1501`.

Each command is a thin wrapper around a function of the library. Heavy imports stay inside the
commands, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(
    help="Person re-identification with transformers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Look at a data set on disk.", no_args_is_help=True)
record = typer.Typer(help="Look at the records that runs leave behind.", no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(record, name="record")

Name = Annotated[str, typer.Argument(help="Layout, such as market1501 or pku-reid.")]
Root = Annotated[Path, typer.Argument(help="Folder of the data set.")]
RecordFile = Annotated[Path, typer.Argument(help="A record.json, or the run folder it is in.")]


def _fail(error: Exception) -> NoReturn:
    """End a command with the library's own message, without a traceback."""
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)


@data.command("describe")
def describe(name: Name, root: Root) -> None:
    """Count images, people and cameras of each part of a data set."""
    from reidlab.data import DatasetError, open_dataset

    try:
        ds = open_dataset(name, root)
    except DatasetError as error:
        _fail(error)
    typer.echo(ds.describe().to_string())
    typer.echo(f"fingerprint {ds.fingerprint()}")
    for warning in ds.warnings:
        typer.echo(f"warning: {warning}", err=True)


@data.command("check")
def check(name: Name, root: Root) -> None:
    """Open a data set and decode every image; exit status 1 if anything is not as published."""
    from PIL import Image

    from reidlab.data import DatasetError, open_dataset

    try:
        ds = open_dataset(name, root)
    except DatasetError as error:
        _fail(error)
    problems = list(ds.warnings)
    paths = sorted({path for part in (ds.train, ds.query, ds.gallery) for path in part["path"]})
    with typer.progressbar(paths, label="decoding") as progress:
        for path in progress:
            try:
                with Image.open(path) as image:
                    image.load()
            except OSError as error:
                problems.append(f"{path}: {error}; copy this file from the original again")
    for problem in problems:
        typer.echo(f"problem: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{len(paths)} images of {name}: as published")


@record.command("show")
def show(path: RecordFile) -> None:
    """Print a run record, one setting or result a line."""
    for key, value in _load(path).items():
        typer.echo(f"{key} = {value}")


@record.command("compare")
def compare(one: RecordFile, other: RecordFile) -> None:
    """Print what two run records do not share: settings, data, versions, results."""
    left, right = _load(one), _load(other)
    keys = [key for key in (left | right) if left.get(key) != right.get(key)]
    for key in keys:
        typer.echo(f"{key}: {left.get(key, '(absent)')} -> {right.get(key, '(absent)')}")
    if not keys:
        typer.echo("The two records are equal.")


def _load(path: Path) -> dict[str, Any]:
    """A record as flat "a.b.c" -> value; the history, a table of its own, is left out."""
    from reidlab.report.records import RecordError, flatten, read_record

    try:
        loaded = read_record(path / "record.json" if path.is_dir() else path)
    except (RecordError, OSError) as error:
        _fail(error)
    flat = flatten({key: value for key, value in loaded.items() if key != "history"})
    return {key: json.dumps(value, default=str) for key, value in flat.items()}


@app.command("zero-shot")
def zero_shot(
    name: Name,
    root: Root,
    weights: Annotated[str, typer.Option(help='"synth", "timm" or a file.')] = "synth",
    save: Annotated[Path | None, typer.Option(help="Write the run record here.")] = None,
) -> None:
    """Judge weights on a data set they were not trained on, by three views of the tokens."""
    from reidlab import recipes
    from reidlab.data import DatasetError, open_dataset
    from reidlab.models import TokenBackbone, WeightsError, load_weights
    from reidlab.training.zero_shot import zero_shot_record

    recipe = recipes.get("vit_baseline", "laptop").replace(weights=weights)
    backbone = TokenBackbone(recipe.backbone, recipe.image_size)
    try:
        load_weights(backbone, weights)
        found = zero_shot_record(backbone, open_dataset(name, root), recipe)
    except (DatasetError, WeightsError) as error:
        _fail(error)
    for view in ("class", "pooled", "rows"):
        rank1, mean = (100 * found.metrics[f"{view}_{key}"] for key in ("rank1", "mAP"))
        typer.echo(f"{view:6}  Rank-1 {rank1:5.1f} %  mAP {mean:5.1f} %")
    if save is not None:
        found.save(save)


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for images, checkpoints and weights.")],
    seed: Annotated[int, typer.Option(help="Seed of the world and of the training.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render images.")] = 2,
    small: Annotated[bool, typer.Option(help="A run of seconds, to try the road.")] = False,
) -> None:
    """Train the shipped ViT-Tiny weights again, on a large synthetic world."""
    from reidlab.training.pretrain import PretrainConfig, small_config
    from reidlab.training.pretrain import pretrain as run

    config = dataclasses.replace(small_config() if small else PretrainConfig(), seed=seed)
    typer.echo(f"{run(out, config, workers=workers)}")
