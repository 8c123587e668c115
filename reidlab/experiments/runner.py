"""Run the cells of an experiment; what went in decides what need not be computed again.

Each result lies in a folder whose name is the digest of what it was made of: recipe, start weights,
data, seed, or for what is measured on trained networks their weights. Two experiments that share a
cell share its training. The folder says in `inputs.json` what it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from reidlab.data import ReIDDataset
from reidlab.experiments.course import course_layouts, open_course
from reidlab.experiments.design import Cell, Experiment
from reidlab.files import alone, sha256, write_json
from reidlab.record import describe_environment, git_commit
from reidlab.training import Recipe, build_model, fit, load_run

WEIGHTS, INPUTS, VALUE = "model.safetensors", "inputs.json", "value.json"
SHIPPED = Path(__file__).parents[1] / "weights" / "vit_tiny_synth.safetensors"


@dataclass
class Workspace:
    """Where experiments are run, by which profile, and on whose data.

    Attributes:
        profile: size of everything: smoke, laptop or paper.
        data_root: the caller's copy of the experiment's data; None: the synthetic set.
        folder: of all results.
        options: what a single experiment asks for beyond that, by name.
    """

    profile: str = "laptop"
    data_root: Path | None = None
    folder: Path = Path("runs/experiments")
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, data: str, **options: Any) -> ReIDDataset:
        """A synthetic set of the course by its name, or the caller's copy of a layout.

        Raises:
            ValueError: A layout without a folder, for which there is no synthetic stand-in.
        """
        layout = course_layouts().get(data)
        if layout is not None:
            return open_course(self.profile, layout, world=data, **options)
        return open_course(self.profile, data, self.data_root or "", **options)

    def place(self, inputs: Mapping[str, Any]) -> Path:
        """The folder of what is computed from these inputs."""
        text = json.dumps(inputs, sort_keys=True)
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:16]

    def once(self, inputs: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """What `compute` returns for these inputs; read back if it was computed before.

        Args:
            inputs: all that decides the result, as plain values.
            compute: gives plain values; what it leaves in `place(inputs)` an interrupted attempt
                finds again.
        """
        if int(os.environ.get("RANK", 0)):  # the first process of a training keeps its result
            return compute()
        folder = self.place(inputs)
        with alone(folder):
            value, told = folder / VALUE, folder / INPUTS
            if value.is_file() and json.loads(told.read_text()) == json.loads(json.dumps(inputs)):
                return json.loads(value.read_text(encoding="utf-8"))
            write_json(told, inputs)
            write_json(value, compute())
            return json.loads(value.read_text(encoding="utf-8"))

    def header(self, **facts: Any) -> dict[str, Any]:
        """The first line of a table: settings, and where and by which code it was made."""
        commit, dirty = git_commit()
        machine = {"environment": describe_environment(), "commit": commit, "dirty": dirty}
        return {"header": {"profile": self.profile, **facts, **machine}}

    def trained(self, experiment: Experiment, cell: Cell, seed: int) -> Trained:
        """The run of a cell with a seed; trains what is missing, an interrupted one goes on."""
        ds = self.open(experiment.data)
        inputs = {
            "recipe": {k: v for k, v in cell.recipe.to_dict().items() if k not in Recipe.FREE},
            "start weights": start_weights(cell.recipe),
            "data": [ds.name, ds.fingerprint(), ds.protocol],
            "seed": seed,
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
        for step in experiment.after:
            ds = self.open(experiment.data, **step.options) if step.options else run.ds
            inputs = {"step": step.name, "network": run.weights, "data": ds.fingerprint()}
            after[step.name] = self.once(inputs, partial(step.find, run, ds))
        return {**run.record, "levels": dict(cell.levels), "after": after}


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
    if recipe.weights == "timm":
        return f"timm {recipe.backbone}"
    file = SHIPPED if recipe.weights == "synth" else recipe.weights
    return None if file is None else sha256(file)
