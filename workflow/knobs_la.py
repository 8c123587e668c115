"""Where do rows help? Chapter 04's experiment on worlds that nobody was trained on.

    python -m workflow.knobs_la --runs runs/table2 --out book/results/la_transformer/knobs.json

Trained networks of `reference_la table2` are judged on people of a new seed, in the training set's
world with one knob turned at a time. Compared are LA-Transformer with the network of one classifier
on the class token ("two networks"), and its rows with its own class token ("one network"). Worlds,
measures and predictions were fixed before the first run. What is measured is not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reidlab.data import open_dataset
from reidlab.evaluation import evaluate, paired_test
from reidlab.files import atomic
from reidlab.record import describe_environment, git_commit
from reidlab.report.course import course_world, open_course
from reidlab.synth import World, write_dataset
from reidlab.training import Recipe, embed, load_run

SEED, PEOPLE = 4021, 60  # (ours) of no other world of the book; people stand in pairs
KNOBS: dict[str, tuple[Any, ...]] = {
    "palette": (3, 6, 12, 32),
    "detail": (0.5, 1.0, 2.0),
    "occlusion": (0.0, 0.3, 0.6, 0.9),
    "differ": ("", "shoes", "logo", "bag"),
}
ROWS, GLOBAL = "rows_both_blockwise", "one_global_blockwise"  # names of the runs
COMPARISONS = {"two networks": "global", "one network": "own class token"}  # rows against which
PREDICTIONS = (  # sentence, knob, where the gain of rows should be larger, where smaller
    ("the gain of rows grows as the palette shrinks", "palette", 3, 32),
    ("the gain of rows grows with the size of details", "detail", 2.0, 0.5),
    ("the gain of rows shrinks with occlusion", "occlusion", 0.0, 0.9),
    ("of doubles the gain is larger for shoes than for a logo", "differ", "shoes", "logo"),
    ("of doubles the gain is larger for shoes than for a bag", "differ", "shoes", "bag"),
)


@dataclass(frozen=True)
class Shares:
    """Values of queries, or means of people, in the form that the statistics read."""

    ap: NDArray[np.float64]

    @property
    def inp(self) -> NDArray[np.float64]:
        """The same values: there is one measure."""
        return self.ap

    def hits(self, k: int) -> NDArray[np.float64]:
        """The same values, whatever the rank."""
        return self.ap


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trained networks")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/knobs"), help="worlds, what is done"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trainings")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--people", type=int, default=PEOPLE)
    given = parser.parse_args()
    worlds = knob_worlds(given.profile, given.people)
    found = {
        name: [measure(world, given, name, seed) for seed in given.seeds]
        for name, world in worlds.items()
    }
    commit, dirty = git_commit()
    record = {
        "settings": {"runs": [ROWS, GLOBAL], "seeds": given.seeds, "people": given.people},
        "worlds": {name: world.config() for name, world in worlds.items()},
        "environment": describe_environment(), "commit": commit, "dirty": dirty,
        "results": table(found), "predictions": judge_predictions(found),
    }  # fmt: skip
    with atomic(given.out) as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def knob_worlds(profile: str, people: int = PEOPLE, seed: int = SEED) -> dict[str, World]:
    """The worlds by "knob=value"; a value that is the training world's own gives the same world."""
    start = dataclasses.replace(
        course_world(profile, "alike-market1501"), seed=seed, identities=people
    )
    return {
        f"{knob}={value}": dataclasses.replace(start, **{knob: value})
        for knob, values in KNOBS.items()
        for value in values
    }


def measure(world: World, given: argparse.Namespace, name: str, seed: int) -> pd.DataFrame:
    """One row a query, see `judged`; read back where it was measured before."""
    kept = given.work / f"{world.fingerprint()[:12]}_seed{seed}.csv"
    if kept.is_file():
        return pd.read_csv(kept)
    print(f"{name}, networks of seed {seed}", flush=True)
    frame = everybody(write_dataset("market1501", given.work / kept.stem[:12], world))
    trained = open_course(given.profile, world="alike-market1501")
    networks = [load_run(given.runs / f"{run}_seed{seed}", trained) for run in (ROWS, GLOBAL)]
    (local, record), (plain, _) = networks
    names = {field.name for field in dataclasses.fields(Recipe)}
    recipe = Recipe.from_dict({k: v for k, v in record.experiment.items() if k in names})
    result = judged(views(local, plain, frame, recipe), frame, doubles=bool(world.differ))
    with atomic(kept) as beside:
        result.to_csv(beside, index=False)
    return result


def everybody(folder: Path) -> pd.DataFrame:
    """All images of all people of a world in Market-1501's layout: nobody was trained on."""
    ds = open_dataset("market1501", folder)
    frame = pd.concat([ds.train.drop(columns="label"), ds.query, ds.gallery], ignore_index=True)
    return frame[frame["pid"] > 0].drop_duplicates("path").reset_index(drop=True)


def views(local: Any, plain: nn.Module, frame: pd.DataFrame, recipe: Recipe) -> dict[str, Tensor]:
    """Embeddings by the rows, by the same network's class token, and by the global network."""
    found = {"rows": embed(local, frame, recipe), "global": embed(plain, frame, recipe)}
    with local.described_by("mean", local_weight=0.0):
        found["own class token"] = embed(local, frame, recipe)
    return found


def judged(embeddings: dict[str, Tensor], frame: pd.DataFrame, *, doubles: bool) -> pd.DataFrame:
    """Every image asks for those of its person in other cameras: one row a query.

    Args:
        embeddings: By view, (N, D) each.
        frame: N rows with pid and camid.
        doubles: Whether people 1 and 2, 3 and 4, ... are doubles: the forced choice then.

    Returns:
        Columns pid, and for each view "VIEW ap" and, of doubles, "VIEW choice", shares of 1; NaN
        where a query has no match, or nothing to choose from.
    """
    pids, camids = (frame[name].to_numpy() for name in ("pid", "camid"))
    columns: dict[str, Any] = {"pid": pids}
    for view, emb in embeddings.items():
        columns[f"{view} ap"] = evaluate(emb, emb, pids, pids, camids, camids).ap
        if doubles:
            columns[f"{view} choice"] = forced_choice(emb, pids, camids)
    return pd.DataFrame(columns)


def forced_choice(emb: Tensor, pids: NDArray[Any], camids: NDArray[Any]) -> NDArray[np.float64]:
    """How often the person is nearer than the double, (N,); chance is 0.5.

    For each query all pairs of an image of its person and one of the double (1 and 2, 3 and 4, ...)
    that another camera took, both by the same one: so neither place nor light can decide. A tie is
    half a success; NaN where there is no such pair.
    """
    unit = torch.nn.functional.normalize(emb.double(), dim=1)
    alike = (unit @ unit.T).numpy()
    pair = (pids - 1) // 2
    share = np.full(len(pids), np.nan)
    for query in range(len(pids)):
        outcomes: list[float] = []
        for camid in np.unique(camids[camids != camids[query]]):
            there = (camids == camid) & (pair == pair[query])
            own = alike[query, there & (pids == pids[query])]
            other = alike[query, there & (pids != pids[query])]
            outcomes.extend(np.sign(own[:, None] - other[None]).ravel())
        if outcomes:
            share[query] = (np.mean(outcomes) + 1) / 2
    return share


def table(found: dict[str, list[pd.DataFrame]]) -> list[dict[str, Any]]:
    """One row for each world, measure and comparison; shares of 1, intervals over people."""
    rows = []
    for name, runs in found.items():
        knob, _, value = name.partition("=")
        for measured in ("ap", "choice"):
            if f"rows {measured}" not in runs[0]:
                continue
            for comparison, against in COMPARISONS.items():
                a, b = (mean_over_runs(runs, f"{view} {measured}") for view in ("rows", against))
                # doubles stand or fall together: the pair is drawn, not the person
                drawn = runs[0]["pid"] if measured == "ap" else (runs[0]["pid"] - 1) // 2
                tested = paired_test(Shares(a), Shares(b), drawn.to_numpy())
                rows.append(
                    {
                        "knob": knob, "value": value, "measure": measured,
                        "comparison": comparison, "rows": float(np.nanmean(a)),
                        "against": float(np.nanmean(b)), "difference": tested.difference,
                        "low": tested.low, "high": tested.high, "p": tested.p_value,
                        "by_seed": [gain(run, measured, against) for run in runs],
                        "drawn": tested.people, "queries": tested.queries,
                    }
                )  # fmt: skip
    return rows


def judge_predictions(found: dict[str, list[pd.DataFrame]]) -> list[dict[str, Any]]:
    """For each prediction the gain where it should be larger, minus that where it should not."""
    rows = []
    for sentence, knob, larger, smaller in PREDICTIONS:
        sides = [found[f"{knob}={value}"] for value in (larger, smaller)]
        measured = "choice" if knob == "differ" else "ap"
        for comparison, against in COMPARISONS.items():
            gains = [gain_of_people(runs, measured, against) for runs in sides]
            both = gains[0].index.intersection(gains[1].index)
            a, b = (Shares(each.loc[both].to_numpy()) for each in gains)
            tested = paired_test(a, b, both.to_numpy())
            rows.append(
                {
                    "prediction": sentence, "comparison": comparison, "larger": str(larger),
                    "smaller": str(smaller), "contrast": tested.difference, "low": tested.low,
                    "high": tested.high, "p": tested.p_value,
                    "verdict": verdict(tested.low, tested.high, tested.p_value),
                }
            )  # fmt: skip
    return rows


def mean_over_runs(runs: list[pd.DataFrame], column: str) -> NDArray[np.float64]:
    """(Q,) means over the trainings, query by query."""
    return np.mean([run[column].to_numpy(np.float64) for run in runs], axis=0)


def gain(run: pd.DataFrame, measured: str, against: str) -> float:
    """Mean over the queries of one training: rows minus what they are compared with."""
    return float((run[f"rows {measured}"] - run[f"{against} {measured}"]).mean())


def gain_of_people(runs: list[pd.DataFrame], measured: str, against: str) -> pd.Series:
    """The gain by person, or by pair of doubles: the mean over queries and trainings."""
    gains = mean_over_runs(runs, f"rows {measured}") - mean_over_runs(runs, f"{against} {measured}")
    pids = runs[0]["pid"]
    groups = pids if measured == "ap" else (pids - 1) // 2
    return pd.Series(gains).groupby(groups.to_numpy()).mean().dropna()


def verdict(low: float, high: float, p: float) -> str:
    """What interval and test say of a prediction that a contrast is positive; both must agree."""
    if p >= 0.05 or low <= 0 <= high:
        return "not decided"
    return "holds" if low > 0 else "contradicted"


if __name__ == "__main__":
    main()
