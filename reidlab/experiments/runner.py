"""Run the cells of an experiment; what went in decides what need not be computed again.

Each result lies in a folder whose name is the digest of what it was made of: recipe, start weights,
data, seed, or for what is measured on trained networks their weights. Two experiments that share a
cell share its training. The result names what it was made of as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from reidlab.data import ReIDDataset
from reidlab.experiments.course import course_data, course_layouts
from reidlab.experiments.design import Cell, Experiment
from reidlab.experiments.runs import Runs
from reidlab.files import alone, check_writable, project_root, sha256, write_json, write_text
from reidlab.processes import is_main_process
from reidlab.record import (
    Record,
    describe_environment,
    different_run,
    git_commit,
    read_record,
)
from reidlab.training import Recipe, build_model, fit, load_run

WEIGHTS, RESULT, ROWS = "model.safetensors", "result.json", "rows.jsonl"
MACHINE = ("environment", "commit", "dirty")  # where and by which code a table was made


@dataclass
class Workspace:
    """Where experiments are run, by which profile, and on whose data.

    Attributes:
        profile: size of everything: smoke, laptop or paper.
        data_root: the caller's copy of the experiment's data; None: the synthetic set.
        folder: of all results; by default runs/experiments of the project.
        options: what a single experiment asks for beyond that, by name.
    """

    profile: str = "laptop"
    data_root: Path | None = None
    folder: Path = field(default_factory=lambda: project_root() / "runs" / "experiments")
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, data: str, **options: Any) -> ReIDDataset:
        """A synthetic set of the course by its name, or the caller's copy of a layout.

        Raises:
            ValueError: A layout without a folder; the profile smoke takes a synthetic one.
        """
        layout = course_layouts().get(data)
        if layout is not None:
            return course_data(self.profile, layout, world=data, **options)
        if self.data_root is None and self.profile != "smoke":
            raise ValueError(
                f"this experiment is about {data}: --data-root FOLDER says where your copy is; "
                f"data_scripts/ has a script that prepares one"
            )
        return course_data(self.profile, data, self.data_root or "", **options)

    def place(self, inputs: Mapping[str, Any]) -> Path:
        """The folder of what is computed from these inputs."""
        text = json.dumps(inputs, sort_keys=True)
        return self.folder / "made" / hashlib.sha256(text.encode()).hexdigest()[:16]

    def once(self, inputs: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """What `compute` returns for these inputs; read back if it was computed before.

        Args:
            inputs: all that decides the result, as plain values.
            compute: gives plain values; what it leaves in `place(inputs)` an interrupted attempt
                finds again.
        """
        folder = self.place(inputs)
        if (kept := _kept(folder, inputs)) is not None:
            return kept["value"]
        if not is_main_process():  # of several of one training; the first one keeps the result
            return compute()
        with alone(folder):
            if (kept := _kept(folder, inputs)) is None:
                write_json(folder / RESULT, {"inputs": inputs, "value": compute()})
                kept = _kept(folder, inputs)
        assert kept is not None
        return kept["value"]

    def header(self, **facts: Any) -> dict[str, Any]:
        """The first line of a table: settings, and where and by which code it was made."""
        machine = dict(zip(MACHINE, (describe_environment(), *git_commit()), strict=True))
        return {"header": {"profile": self.profile, **facts, **machine}}

    def trained(self, experiment: Experiment, cell: Cell, seed: int) -> Trained:
        """The run of a cell with a seed; trains what is missing, an interrupted one goes on."""
        ds = self.open(experiment.data, **cell.options)
        inputs = {
            "recipe": {k: v for k, v in cell.recipe.to_dict().items() if k not in Recipe.FREE},
            "start weights": start_weights(cell.recipe),
            "data": [ds.name, ds.fingerprint(), ds.protocol],
            "seed": seed,
            **_asked(cell.options),
        }
        folder = self.place(inputs)

        def compute() -> dict[str, Any]:
            model = build_model(cell.recipe, ds, seed=seed)
            return fit(model, ds, cell.recipe, seed=seed, out=folder).to_dict()

        return Trained(self, ds, cell.recipe, folder, self.once(inputs, compute))

    def line(self, experiment: Experiment, cell: Cell, seed: int) -> dict[str, Any]:
        """A run as one line of the results: its record, its levels, and what the steps found."""
        run = self.trained(experiment, cell, seed)
        after = {}
        for step in experiment.after if is_main_process() else ():
            inputs = {"step": step.name, "network": run.weights, "data": run.ds.fingerprint()}
            sets = {name: self.open(name).fingerprint() for name in step.sets}
            inputs |= _asked(cell.options) | ({"sets": sets} if sets else {})
            after[step.name] = self.once(inputs, partial(step.find, run, run.ds))
        told = {"levels": dict(cell.levels), **_asked(cell.options), "after": after}
        return {**run.record, **told}

    def results(self, experiment: Experiment) -> Path:
        """The folder in which an experiment's runs are listed, CELL/seedN.json, or its rows."""
        return self.folder / experiment.name / f"{self.profile}-{experiment.data or 'all'}"

    def files(self, experiment: Experiment) -> dict[Path, tuple[Cell, int]]:
        """The file of each run, seed by seed, so that all cells have as many."""
        folder, cells = self.results(experiment), experiment.cells(self.profile)
        return {
            folder / name / f"seed{seed}.json": (cell, seed)
            for seed in range(experiment.seeds)
            for name, cell in cells.items()
        }

    def run(
        self, experiment: Experiment, only: Collection[str] = (), made: Path | None = None
    ) -> Iterator[Path]:
        """Make what is missing, run by run.

        Args:
            experiment: which.
            only: names of cells, or of runs, as "rows_both_blockwise/seed0"; empty: all.
            made: a file of runs that were made elsewhere. Those of today's recipes and of the data
                that are here are listed, and not made again.

        Yields:
            The file of each run that was made, or found made, here.

        Raises:
            ValueError: There is no such cell or run, the experiment is not made by a run, or it has
                no use for the caller's data or for an option.
            WriteError: The folder of the results cannot be written.
        """
        self._check_asked(experiment)
        files = self.files(experiment)
        if not files and experiment.rows is None:
            raise ValueError(f"{experiment.name} is not made by a run: {experiment.question}")
        known = {path: {path.parent.name, f"{path.parent.name}/{path.stem}"} for path in files}
        if unknown := set(only) - set().union(*known.values()):
            cells = ", ".join(experiment.cells(self.profile)) or "no cells, its result is a table"
            raise ValueError(f"{experiment.name} has no {unknown.pop()!r}; it has {cells}")
        table = self.results(experiment) / ROWS
        check_writable(table)
        if experiment.rows is not None:
            # one process waits for no other that trains with it
            with alone(table.parent, table.name) if is_main_process() else nullcontext():
                rows, before = list(experiment.rows(self)), Runs.read(table).header
                lines = [json.dumps(row) for row in rows]
                there = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
                if is_main_process() and [*map(_unsigned, there)] != [*map(_unsigned, lines)]:
                    _say_other_data(table, before, next(iter(rows), {}).get("header", {}))
                    write_text(table, "".join(f"{line}\n" for line in lines))
            yield table
        sets = [name for step in experiment.after for name in step.sets]
        for name in sorted(sets, key=lambda name: name in course_layouts()):
            self.open(name)  # the caller's data first: it takes a while to write the others
        elsewhere = {run_key(run): run for run in Runs.read(made).records} if made else {}
        for path, (cell, seed) in files.items():
            line = elsewhere.get((*cell.levels.items(), ("seed", seed)))
            if line is not None and self._would_make(experiment, cell, line):
                self._list(path, line)
            elif not only or known[path] & set(only):
                line = self.line(experiment, cell, seed)
                if is_main_process():
                    self._list(path, line)
                yield path

    def _check_asked(self, experiment: Experiment) -> None:
        """Raise if the caller gives what an experiment does not read, before hours are spent."""
        known = takes(experiment)
        if self.data_root is not None and "data_root" not in known:
            raise ValueError(
                f"{experiment.name} runs on synthetic sets of the course alone, not on "
                f"{self.data_root}: leave --data-root out"
            )
        if unread := self.options.keys() - known:
            raise ValueError(
                f"{experiment.name} reads no option {unread.pop()!r}, expected "
                f"{', '.join(known - {'data_root'}) or 'none'}: leave it out"
            )

    def _would_make(self, experiment: Experiment, cell: Cell, line: Record) -> bool:
        """Whether a run of a cell here would be this one."""
        if not of_cell(line, experiment, cell):
            return False
        ds = self.open(experiment.data, **cell.options)
        return bool(line["data"]["fingerprint"] == ds.fingerprint())

    def _list(self, path: Path, line: Record) -> None:
        """List a run where another one may be listed, whose own folder stays."""
        with alone(path.parent, path.name):
            if path.is_file() and (other := different_run(read_record(path), line)):
                was = "; ".join(other[:5])
                print(f"{path}: another run is listed now ({was}); that one stays in {self.folder}")
            write_json(path, line)

    def runs(self, experiment: Experiment) -> Runs:
        """What is there of an experiment, as far as it is of the design that it has today."""
        rows = self.results(experiment) / ROWS
        if experiment.rows is not None:
            return Runs.read(rows, experiment)
        found = [
            run
            for path, (cell, _) in self.files(experiment).items()
            if path.is_file() and of_cell(run := read_record(path), experiment, cell)
        ]
        return Runs(experiment.name, tuple(found), design=experiment)

    def publish(self, experiment: Experiment, file: Path) -> Runs:
        """Write what is there to a file of results; what it replaces there is said.

        Raises:
            ValueError: Nothing is there, less than the file holds, runs of another profile than
                the file's, or runs that were not judged alike.
        """
        found = self.runs(experiment)
        if not len(found):
            raise ValueError(
                f"{self.results(experiment)} holds nothing of {experiment.name}: first "
                f"python -m reidlab experiment run {experiment.name}"
            )
        if reasons := found.judged_unlike(found.records):
            raise ValueError(
                f"{self.results(experiment)} holds runs that were not judged alike: "
                f"{'; '.join(reasons)}. Run all of them on one copy of the data: python -m reidlab "
                f"experiment run {experiment.name}"
            )
        header = [{"header": found.header}] if found.header else []
        lines = [*header, *found.records, *found.lines]
        with alone(file.parent, file.name):
            _say_what_changes(file, Runs.read(file, experiment), found)
            write_text(file, "".join(f"{json.dumps(line)}\n" for line in lines))
        return found


def _say_what_changes(file: Path, before: Runs, now: Runs) -> None:
    """Name the runs of a file of results that others take the place of.

    Raises:
        ValueError: Runs, or rows of a table, would be lost or give way to another profile's.
    """
    sizes = [
        {run["experiment"].get("profile") for run in runs.records} | {runs.header.get("profile")}
        for runs in (before, now)
    ]
    there, here = (" and ".join(sorted(map(str, size - {None}))) for size in sizes)
    if there and there != here:
        raise ValueError(
            f"{file} holds results of the profile {there}, here are those of {here or 'none'}: "
            "delete that file first if these shall take its place"
        )
    old, new = ({run_key(run): run for run in runs.records} for runs in (before, now))
    lost = [" ".join(f"{k}={v}" for k, v in key) for key in old.keys() - new.keys()]
    lost += [f"{len(before.lines)} rows, here are {len(now.lines)}"] * (
        len(now.lines) < len(before.lines)
    )
    if lost:
        raise ValueError(
            f"{file} holds {len(lost)} results that are not here: {'; '.join(sorted(lost)[:3])}. "
            f"Run them first (python -m reidlab experiment run {now.name}), or delete that file"
        )
    for key in old.keys() & new.keys():
        if other := different_run(old[key], new[key]):
            print(f"{file}: seed {old[key]['seed']} is another run now: {'; '.join(other[:5])}")
    _say_other_data(file, before.header, now.header)


def _say_other_data(file: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say that a table is replaced by one of other data, by the headers of both."""
    if (data := before.get("data")) not in (None, now.get("data")):
        print(f"{file} is replaced: its rows were of other data: {data}")


def _unsigned(line: str) -> str:
    """A line of a table, whose header does not say where and by which code it was made."""
    values = json.loads(line)
    for name in MACHINE if "header" in values else ():
        values["header"].pop(name, None)
    return json.dumps(values)


def run_key(run: Record) -> tuple[tuple[str, Any], ...]:
    """What a run is called among those of its experiment: its levels and its seed."""
    return (*run.get("levels", {}).items(), ("seed", run["seed"]))


def _kept(folder: Path, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was computed from just these inputs; the name of the folder alone is not trusted."""
    if not (folder / RESULT).is_file():
        return None
    kept: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return kept if kept.get("inputs") == json.loads(json.dumps(inputs)) else None


def _asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a run and its inputs tell of the options of a cell, which may divide the same files in
    several ways; nothing without any."""
    return {"options": dict(options)} if options else {}


def made_by(record: Record, recipe: Recipe, options: Mapping[str, Any] | None = None) -> bool:
    """Whether a run is of a recipe, but for settings without effect on the result, and on data
    opened with a cell's options."""
    if record.get("options", {}) != json.loads(json.dumps({**(options or {})})):
        return False
    settings = [
        {k: v for k, v in each.to_dict().items() if k not in Recipe.FREE}
        for each in (Recipe.from_record(record["experiment"]), recipe)
    ]
    return settings[0] == json.loads(json.dumps(settings[1]))


def takes(experiment: Experiment) -> set[str]:
    """What an experiment reads of the caller: "data_root", where not all of its sets are synthetic
    ones of the course, and the names of options."""
    opened = {experiment.data, *(name for step in experiment.after for name in step.sets)}
    return {*experiment.asks, *(["data_root"] if opened - {"", *course_layouts()} else [])}


def of_cell(run: Record, experiment: Experiment, cell: Cell) -> bool:
    """Whether a run is of a cell as it is designed today: by its recipe, from its start weights,
    on data opened with its options, and with all steps after the training."""
    start = run["experiment"].get("weights_sha256")  # older runs do not say
    return (
        {step.name for step in experiment.after} <= run.get("after", {}).keys()
        and made_by(run, cell.recipe, cell.options)
        and start in (None, cell.recipe.weights_sha256)
    )


@dataclass
class Trained:
    """A finished run: what it was trained on and by, and where it lies."""

    workspace: Workspace
    ds: ReIDDataset
    recipe: Recipe
    folder: Path
    record: Mapping[str, Any]

    @cached_property
    def model(self) -> Any:
        """The trained network, in evaluation mode."""
        return load_run(self.folder, self.ds)[0]

    @cached_property
    def weights(self) -> str:
        """Digest of the trained weights."""
        return sha256(self.folder / WEIGHTS)


def start_weights(recipe: Recipe) -> str | None:
    """What a training starts from, by content where it is a file; of the hub's weights the name."""
    return f"timm {recipe.backbone}" if recipe.weights == "timm" else recipe.weights_sha256
