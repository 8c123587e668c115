"""Train the reference runs of chapters 04 and 05 and leave a record of each.

    python -m workflow.reference_la table2 --out runs/table2
    python -m workflow.reference_la corners --pku-root FOLDER --out runs/corners
    python -m workflow.reference_la losses --pku-root FOLDER --out runs/losses

`table2` is Table 2 of LA-Transformer on the synthetic set of chapter 04: which tokens the
classifiers read, how many there are, and with or without block-wise fine-tuning. `corners` are four
of its cells on real PKU-Reid, where the shipped weights have more to learn. `losses` is Tables
1 and 2 of LA-TF++ on real PKU-Reid, and its triplet loss in the two ways that paper and code
differ. What is compared is fixed here; a run that is finished is not trained again.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reidlab import recipes
from reidlab.data import ReIDDataset, open_dataset
from reidlab.judging.embedding import timed_evaluation
from reidlab.record import RunRecord, describe_data
from reidlab.report.course import open_course
from reidlab.training import Recipe, build_model, evaluate_on, fit

TOKENS = {"global": 0.0, "local": 1.0, "both": 8 / 9}  # local_weight; both: the code's
RETRIEVALS = ("rows", "gelt", "mean")


def main() -> None:
    """Train what is missing, seed by seed, so that all cells have as many runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=("table2", "corners", "losses"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--pku-root", type=Path, help="folder of PKU-Reid, for the last two")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", help="some of the names")
    parser.add_argument("--profile", default="laptop")
    given = parser.parse_args()
    if given.table != "table2" and given.pku_root is None:
        parser.error(f"{given.table} needs --pku-root, the folder of PKU-Reid")
    plan = dict(
        {"table2": table2, "corners": corners, "losses": losses}[given.table](given.profile)
    )
    if given.table == "table2":
        ds, official = open_course(given.profile, world="alike-market1501"), None
    else:
        ds = open_dataset("pku-reid", given.pku_root)
        official = open_dataset("pku-reid", given.pku_root, split="la-tf-pp")
    for seed in given.seeds:
        for name in given.only or plan:
            run(plan[name], ds, seed, given.out / f"{name}_seed{seed}", official)


def table2(profile: str) -> Iterator[tuple[str, Recipe]]:
    """The twelve cells; each retrieves by what its classifiers read."""
    start = recipes.get("la_transformer", profile)
    for heads, retrieval in (("one", "mean"), ("rows", "gelt")):
        for tokens, weight in TOKENS.items():
            for unfreezing in ("code", None):
                switches = {"heads": heads, "retrieval": retrieval, "local_weight": weight}
                name = f"{heads}_{tokens}_{'blockwise' if unfreezing else 'at-once'}"
                yield name, start.replace(switches=switches, unfreezing=unfreezing)


def corners(profile: str) -> Iterator[tuple[str, Recipe]]:
    """ViT on the class token and LA-Transformer on both, each block by block and all at once."""
    epochs = recipes.get("la_tf_pp", profile).epochs  # as many steps as `losses` takes
    for name, recipe in table2(profile):
        if name.startswith(("one_global", "rows_both")):
            yield name, recipe.replace(epochs=epochs)


def losses(profile: str) -> Iterator[tuple[str, Recipe]]:
    """LA-TF with four losses, LA-TF++, and LA-TF++ with the triplet loss as the paper has it."""
    plus = recipes.get("la_tf_pp", profile)
    for smoothing in (0.0, 0.1):
        for weight in (0.0, 1.0):
            name = f"la-tf_ce{'ls' if smoothing else ''}{'-tl' if weight else ''}"
            options = {"label_smoothing": smoothing, "triplet_weight": weight}
            yield name, plus.replace(model="la_transformer", **options)
    yield "la-tf-pp", plus
    yield "la-tf-pp_identities", plus.replace(sampler="identity")
    yield "la-tf-pp_identities_features", plus.replace(sampler="identity", triplet_on="features")


def run(
    recipe: Recipe, ds: ReIDDataset, seed: int, out: Path, official: ReIDDataset | None
) -> None:
    """One training; then the same weights by each retrieval feature, and under the code's rule."""
    model: Any = build_model(recipe, ds, seed=seed)
    record = fit(model, ds, recipe, seed=seed, out=out)
    if "by_retrieval" in record.metrics:
        return
    found: dict[str, Any] = {}
    for retrieval in RETRIEVALS:
        with model.described_by(retrieval):
            result = evaluate_on(model, ds, recipe)
        found[retrieval] = {"rank1": result.rank1, "mAP": result.mAP}
    if official is not None:
        judge_officially(model, official, recipe, record).save(out / "official.json")
    metrics = {**record.metrics, "by_retrieval": found}
    dataclasses.replace(record, metrics=metrics).save(out / "record.json")


def judge_officially(
    model: Any, official: ReIDDataset, recipe: Recipe, record: RunRecord
) -> RunRecord:
    """The record of the same run under the evaluation that the authors' program does."""
    judged = dataclasses.replace(official, protocol="la-official")
    result, seconds = timed_evaluation(model, judged, recipe.replace(ap="top10"))
    return dataclasses.replace(
        record,
        data=describe_data(judged),
        metrics=result.as_dict(),
        seconds={**record.seconds, **seconds},
    )


if __name__ == "__main__":
    main()
