"""The shipped weights: what each part of their training is worth, and how far they carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab import recipes
from reidlab.data import ReIDDataset
from reidlab.evaluation import RankResult, bootstrap, paired_test
from reidlab.experiments.design import Experiment
from reidlab.experiments.runner import Workspace
from reidlab.files import sha256
from reidlab.judging import embed, judge, of_training_people, zero_shot
from reidlab.models import TokenBackbone, create_model, load_weights
from reidlab.record import describe_data
from reidlab.training.pretrain import ABLATION, ablation_arm, pretrain

PLACES = ("plaza", "mall", "night-street", "plaza-infrared", "pku-reid")
VIEWS = ("class", "pooled", "rows")
Results = dict[str, dict[str, RankResult]]


def ablation_rows(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Every arm, trained and judged on people who are in no test; a row a set and view.

    Raises:
        ValueError: It is not said which weights all arms start from.
    """
    if "start" not in workspace.options:
        raise ValueError(
            "the ablation needs --option start=FILE, the weights that all arms go on from: "
            "reidlab/weights/vit_tiny_synth.safetensors of commit 397d968"
        )
    start, folder = Path(workspace.options["start"]), workspace.folder / "ablation"
    sets = judging_sets(workspace)
    yield workspace.header(
        settings=ablation_arm("whole").to_dict() | {"start": start.name},
        arms={name: dict(arm) for name, arm in ABLATION.items()},
        data={name: describe_data(ds) for name, ds in sets.items()},
    )
    weights, origin = {"start": start}, sha256(start)[:16]
    for arm in ABLATION:
        own = folder / f"{arm.replace(' ', '_').replace('+', 'and')}-{origin}"
        config = ablation_arm(arm, start=str(start))
        weights[arm] = pretrain(own, config, pictures=folder / "pictures")
    found = {name: judge_arm(path, sets) for name, path in weights.items()}
    for name in found:
        for row in numbers(found[name], found["whole"], sets):
            yield {"arm": name, **row}


def judging_sets(workspace: Workspace) -> dict[str, ReIDDataset]:
    """Real people, synthetic people, and synthetic people from infrared to visible."""
    return {
        "real": of_training_people(workspace.open("pku-reid")),
        "synthetic": workspace.open("plaza-market1501"),
        "infrared": of_training_people(workspace.open("plaza-sysu-mm01")),
    }


def judge_arm(weights: Path, sets: Mapping[str, ReIDDataset]) -> Results:
    """Results by set and view, of 128 x 64 images, as the arms were trained."""
    recipe = recipes.get("vit_baseline", "laptop").replace(weights=str(weights), workers=0)
    backbone = TokenBackbone(recipe.backbone, (128, 64))
    load_weights(backbone, weights)
    with torch.inference_mode():
        return {name: zero_shot(backbone, ds, recipe) for name, ds in sets.items()}


def numbers(
    found: Results, whole: Results, sets: Mapping[str, ReIDDataset]
) -> Iterator[dict[str, Any]]:
    """Rank-1, mAP, its interval over people, and the paired difference to the whole recipe."""
    for name, ds in sets.items():
        people = ds.query.loc[~ds.query["junk"], "pid"].to_numpy()
        for view in VIEWS:
            result, reference = found[name][view], whole[name][view]
            interval, paired = bootstrap(result, people), paired_test(result, reference, people)
            yield {
                "set": name, "view": view, "rank1": result.rank1, "mAP": result.mAP,
                "interval": [interval.low, interval.high], "difference": paired.difference,
                "difference_interval": [paired.low, paired.high], "p": paired.p_value,
                "people": interval.people,
            }  # fmt: skip


def camera_rows(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """The shipped weights with and without what all pictures of a camera share; a row a set."""
    real = workspace.open("pku-reid")
    sets = {
        "rendered": workspace.open("plaza-market1501"),
        "real, test": real,
        "real, training": of_training_people(real),
    }
    recipe = recipes.get("vit_baseline", "laptop").replace(weights="synth", workers=0)
    yield workspace.header(
        settings=recipe.to_dict(), data={name: describe_data(ds) for name, ds in sets.items()}
    )
    model = create_model("vit_baseline", num_classes=2, weights="synth").eval()
    for name, ds in sets.items():
        frames = ds.query, ds.gallery[~ds.gallery["junk"]]
        both = [embed(model, frame, recipe) for frame in frames]
        cameras = pd.concat(frames)["camid"].to_numpy()
        lots = np.random.default_rng(0).permutation(cameras)  # groups as large, of all cameras
        plain, without, control = (
            judge(ds, *each)
            for each in (both, without_means(both, cameras), without_means(both, lots))
        )
        gain = paired_test(without, plain, ds.query["pid"])
        yield {
            "set": name, "people": gain.people, "mAP": plain.mAP, "without": without.mAP,
            "control": control.mAP, "gain": gain.difference, "low": gain.low, "high": gain.high,
            "p": gain.p_value,
        }  # fmt: skip


def without_means(embeddings: Sequence[Tensor], groups: NDArray[Any]) -> list[Tensor]:
    """Embeddings less the mean of their group.

    Args:
        embeddings: (N, D) each, such as those of queries and of the gallery.
        groups: of all of them, one behind the other, such as the camera.
    """
    all_of_them = pd.DataFrame(torch.cat([*embeddings]).numpy())
    left = all_of_them - all_of_them.groupby(groups).transform("mean")
    return [*torch.tensor(left.to_numpy()).split([len(each) for each in embeddings])]


ABLATED = Experiment(
    name="pretraining.ablation",
    question="What is each part of the pretraining worth, on people who are in no test?",
    rows=ablation_rows,
    asks=("data_root", "start"),
)
ZERO_SHOT = Experiment(
    name="pretraining.zero_shot",
    question="How well do the shipped weights find people in places they have never seen? Its "
    "records are those of `python -m reidlab zero-shot LAYOUT FOLDER --save FILE`, one a place.",
    factors={"place": {name: {} for name in PLACES}},
)
CAMERAS = Experiment(
    name="pretraining.cameras",
    question="How much mAP does a constant shift by camera cost the shipped weights?",
    rows=camera_rows,
    asks=("data_root",),
)
EXPERIMENTS = (ABLATED, ZERO_SHOT, CAMERAS)
