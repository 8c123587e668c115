"""Train every arm of the pretraining's ablation and judge it on people who are in no test.

    python -m workflow.ablate_pretraining --start FILE --pku-root FOLDER --out FILE.json

Real people are the 62 training people of PKU-Reid; synthetic ones are those of two worlds of the
course. An arm that is finished is not trained again, one that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from reidlab import recipes
from reidlab.data import ReIDDataset, open_dataset
from reidlab.evaluation import RankResult, bootstrap, paired_test
from reidlab.files import atomic
from reidlab.judging.zero_shot import of_training_people, zero_shot
from reidlab.models import TokenBackbone, load_weights
from reidlab.record import describe_data, describe_environment, git_commit
from reidlab.report.course import open_course
from reidlab.training.pretrain import ABLATION, ablation_arm, pretrain

VIEWS = ("class", "pooled", "rows")


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--start", type=Path, required=True, help="weights that all arms start from"
    )
    parser.add_argument("--pku-root", type=Path, required=True, help="folder of PKU-Reid")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arms", nargs="*", default=list(ABLATION), help="only some of them")
    given = parser.parse_args()
    commit, dirty = git_commit()
    sets = judging_sets(given.pku_root)
    weights = {"start": given.start}
    for arm in given.arms:
        folder = given.runs / arm.replace(" ", "_").replace("+", "and")
        config = ablation_arm(arm, given.seed, str(given.start))
        weights[arm] = pretrain(folder, config, pictures=given.runs / "pictures")
    found = {name: judge_arm(path, sets) for name, path in weights.items()}
    record = {
        "settings": ablation_arm("whole", given.seed, str(given.start)).to_dict(),
        "arms": {name: dict(ABLATION[name]) for name in given.arms},
        "data": {name: describe_data(ds) for name, ds in sets.items()},
        "environment": describe_environment(), "commit": commit, "dirty": dirty,
        "results": {name: numbers(found[name], found["whole"], sets) for name in found},
    }  # fmt: skip
    with atomic(given.out) as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def judging_sets(pku_root: Path) -> dict[str, ReIDDataset]:
    """Real people, synthetic people, and synthetic people from infrared to visible."""
    return {
        "real": of_training_people(open_dataset("pku-reid", pku_root)),
        "synthetic": open_course("laptop", "market1501"),
        "infrared": of_training_people(open_course("laptop", "sysu-mm01")),
    }


def judge_arm(weights: Path, sets: dict[str, ReIDDataset]) -> dict[str, dict[str, RankResult]]:
    """Results by set and view, of 128 x 64 images, as the arms were trained."""
    recipe = recipes.get("vit_baseline", "laptop").replace(weights=str(weights), workers=0)
    backbone = TokenBackbone(recipe.backbone, (128, 64))
    load_weights(backbone, weights)
    with torch.inference_mode():
        return {name: zero_shot(backbone, ds, recipe) for name, ds in sets.items()}


def numbers(
    found: dict[str, dict[str, RankResult]],
    whole: dict[str, dict[str, RankResult]],
    sets: dict[str, ReIDDataset],
) -> dict[str, Any]:
    """Rank-1, mAP, its interval over people, and the paired difference to the whole recipe."""
    rows: dict[str, Any] = {}
    for name, ds in sets.items():
        people = ds.query.loc[~ds.query["junk"], "pid"].to_numpy()
        for view in VIEWS:
            result, reference = found[name][view], whole[name][view]
            interval, paired = bootstrap(result, people), paired_test(result, reference, people)
            rows[f"{name}, {view}"] = {
                "rank1": result.rank1, "mAP": result.mAP, "interval": [interval.low, interval.high],
                "difference": paired.difference, "difference_interval": [paired.low, paired.high],
                "p": paired.p_value, "people": interval.people,
            }  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
