"""What flip test and re-ranking do to the trained networks of LA-TF++'s chapter, on real PKU-Reid.

    python -m workflow.ranking_la --runs runs/losses --pku-root FOLDER --out FILE.json

Reads the networks that `workflow.reference_la losses` left in `--runs`. A network that stands in
the file with the same weights is not judged again. The sizes of k1 were fixed before anything was
measured; k2 = min(6, k1) and lambda 0.3 are as in Zhong et al., CVPR 2017, for k1 >= 6.

Re-ranking asks for the neighbours of an image among queries and gallery together. Where each image
is query and gallery, as in the 192 images under the standard rule, its nearest neighbour would be
itself and all others come twice. So one orientation asks and the other seven answer, eight times:
then each image is there once, 16 of a person.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from reidlab.data import ReIDDataset, open_dataset
from reidlab.evaluation import RankResult, average, evaluate, paired_test, rank, rerank
from reidlab.files import atomic
from reidlab.models import load_weights
from reidlab.record import RunRecord, describe_data, describe_environment, git_commit
from reidlab.training import Recipe, build_model, embed
from workflow.reference_la import losses

NAMES = ("la-tf_ce", "la-tf-pp")
K1 = (4, 6, 8, 12, 16, 20, 30)
LAMBDA = 0.3
SAME = 0.002  # mAP: what bf16 on another processor may change


def main() -> None:
    """Judge what is missing, network by network, and write after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trained networks")
    parser.add_argument("--pku-root", type=Path, required=True, help="folder of PKU-Reid")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--profile", default="laptop")
    given = parser.parse_args()
    standard = open_dataset("pku-reid", given.pku_root)
    official = open_dataset("pku-reid", given.pku_root, split="la-tf-pp")
    plan = dict(losses(given.profile))
    results = finished(given.out)
    for seed in given.seeds:
        for name in NAMES:
            run, key = given.runs / f"{name}_seed{seed}", f"{name}_seed{seed}"
            weights = digest(run / "model.safetensors")
            if results.get(key, {}).get("weights") == weights:
                continue
            print(key, flush=True)
            found = judge_network(run, plan[name].replace(workers=0), standard, official)
            results[key] = {"weights": weights, **found}
            write(given.out, results, {"standard": standard, "official": official})


def finished(path: Path) -> dict[str, Any]:
    """Results of an earlier call under the same settings; none if there are others."""
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    return dict(stored["results"]) if stored["settings"] == settings() else {}


def settings() -> dict[str, Any]:
    """What was varied."""
    return {"k1": list(K1), "lambda": LAMBDA, "k2": [k2_of(k1) for k1 in K1]}


def k2_of(k1: int) -> int:
    """The published 6, and no more than k1."""
    return min(6, k1)


def judge_network(
    run: Path, recipe: Recipe, standard: ReIDDataset, official: ReIDDataset
) -> dict[str, Any]:
    """One trained network under both evaluations, with and without the additions."""
    model: Any = build_model(recipe.replace(weights=None), standard)
    load_weights(model.backbone, run / "model.safetensors")
    looks = {
        name: [embed(model, frame, recipe, flip_test=flip) for frame in frames(standard, official)]
        for name, flip in (("plain", False), ("flip test", True))
    }
    check_same_network(run, standard, looks["plain"][0])
    everybody, query, gallery = frames(standard, official)
    q, g = looks["plain"][1:]
    return {
        "standard": compare(
            {name: whole(emb[0], everybody) for name, emb in looks.items()}, everybody.pid
        ),
        "standard, in folds": in_folds({n: emb[0] for n, emb in looks.items()}, everybody),
        "official": compare(
            {
                **{n: official_rule(e[1], e[2], query, gallery) for n, e in looks.items()},
                **reranked(q, g, query, gallery, "la-official"),
            },
            query.pid,
        ),
    }


def frames(standard: ReIDDataset, official: ReIDDataset) -> list[pd.DataFrame]:
    """All 192 images, the 28 queries and the gallery of 181."""
    return [standard.query, official.query, official.gallery]


def check_same_network(run: Path, ds: ReIDDataset, embedded: Tensor) -> None:
    """Stop if these weights do not give what the record of their training says.

    Raises:
        SystemExit: naming both numbers.
    """
    recorded = RunRecord.load(run / "record.json").metrics["mAP"]
    found = whole(embedded, ds.query).mAP
    if abs(found - recorded) > SAME:
        raise SystemExit(
            f"{run}: the weights give mAP {found:.4f} and record.json says {recorded:.4f}; "
            "expected the weights of that very run. Train it again with workflow.reference_la"
        )


def whole(emb: Tensor, frame: pd.DataFrame) -> RankResult:
    """Every image asks among all, by the standard rule."""
    return evaluate(emb, emb, frame.pid, frame.pid, frame.camid, frame.camid)


def official_rule(q: Tensor, g: Tensor, query: pd.DataFrame, gallery: pd.DataFrame) -> RankResult:
    """The evaluation of the authors' program: no camera rule, AP over the first ten."""
    return evaluate(
        q, g, query.pid, gallery.pid, query.camid, gallery.camid, protocol="la-official"
    )


def reranked(
    q: Tensor, g: Tensor, query: pd.DataFrame, gallery: pd.DataFrame, protocol: str = "standard"
) -> dict[str, RankResult]:
    """k-reciprocal re-ranking with every k1."""
    who = (query.pid, gallery.pid, query.camid, gallery.camid)
    return {
        f"k1 = {k1}": rank(
            rerank(q, g, k1=k1, k2=k2_of(k1), lambda_value=LAMBDA, metric="cosine"),
            *who, protocol=protocol,
        )
        for k1 in K1
    }  # fmt: skip


def in_folds(looks: Mapping[str, Tensor], frame: pd.DataFrame) -> dict[str, Any]:
    """One orientation asks and the others answer, for each orientation; then all together."""
    parts: dict[str, list[RankResult]] = {}
    pids = []
    for view in sorted(frame["view"].unique()):
        asks = frame["view"].to_numpy(copy=True) == view
        query, gallery = frame[asks], frame[~asks]
        who = (query.pid, gallery.pid, query.camid, gallery.camid)
        results = {name: evaluate(emb[asks], emb[~asks], *who) for name, emb in looks.items()}
        plain = looks["plain"]
        results |= reranked(plain[asks], plain[~asks], query, gallery)
        for name, result in results.items():
            parts.setdefault(name, []).append(result)
        pids.append(query.pid.to_numpy())
    return compare({n: average(found) for n, found in parts.items()}, np.concatenate(pids))


def compare(results: Mapping[str, RankResult], pids: Any) -> dict[str, Any]:
    """Numbers of each result, and its paired difference to "plain" over people."""
    rows: dict[str, Any] = {}
    for name, result in results.items():
        hits = result.hits(1)
        rows[name] = {
            "rank1": result.cmc(1), "mAP": result.mAP,
            "found first": int(np.nansum(hits)), "queries": int(np.isfinite(hits).sum()),
        }  # fmt: skip
        if name != "plain":
            paired = paired_test(result, results["plain"], pids)
            rows[name] |= {
                "difference": paired.difference, "interval": [paired.low, paired.high],
                "p": paired.p_value, "people": paired.people,
            }  # fmt: skip
    return rows


def digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        SystemExit: if it is not there.
    """
    if not path.is_file():
        raise SystemExit(
            f"{path} does not exist; expected the weights of a finished run: first "
            "python -m workflow.reference_la losses --pku-root FOLDER --out RUNS"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, results: Mapping[str, Any], sets: Mapping[str, ReIDDataset]) -> None:
    """The file, whole or not at all."""
    commit, dirty = git_commit()
    record = {
        "settings": settings(),
        "data": {name: describe_data(ds) for name, ds in sets.items()},
        "environment": describe_environment(torch.device("cpu")),
        "commit": commit, "dirty": dirty, "results": dict(results),
    }  # fmt: skip
    with atomic(path) as beside:
        beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
