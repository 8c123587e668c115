"""What a paper claims, as data, and what our own runs say about it.

`book/claims/<paper>.yml` lists the claims; `verdicts` puts our records beside them. A claim that
no run of ours can test keeps its reason, and the page prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from reidlab.report.page import project_root
from reidlab.report.records import Record

METRICS = ("rank1", "mAP", "mINP")


class ClaimError(ValueError):
    """A file of claims does not follow the schema; the message says where."""


@dataclass(frozen=True)
class Claim:
    """One claim of one paper.

    Attributes:
        id: short and unique in its file, such as `market1501-map`.
        text: the claim in a sentence of ours.
        dataset: name of the layout it is measured on, as in `open_dataset`.
        metric: rank1, mAP or mINP.
        value: as the paper prints it, in percent.
        table: table or figure, and where it is found.
        protocol: how it was measured.
        how: what run of ours would test it.
        status: what stands today, in a sentence.
        variant: the model of the claim, as a record names it.
        counts: images of the published set, as a record's `data` counts them (train_images,
            query_images, gallery_images); a synthetic set in the same layout has others.
        tolerance: percentage points within which we call it reproduced.
    """

    id: str
    text: str
    dataset: str
    metric: str
    value: float
    table: str
    protocol: str
    how: str
    status: str
    variant: str
    counts: Mapping[str, int] = field(hash=False)
    tolerance: float = 1.0


def load_claims(paper: str | Path) -> list[Claim]:
    """Return the claims of a paper.

    Args:
        paper: its stem, such as "vit_baseline", found in `book/claims` of the project, or a path.

    Raises:
        ClaimError: if the file is missing or a claim does not follow the schema.
    """
    path = Path(paper)
    if path.suffix != ".yml":
        path = project_root() / "book" / "claims" / f"{paper}.yml"
    if not path.is_file():
        raise ClaimError(f"{path} does not exist: claims are listed in book/claims/<paper>.yml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, Mapping) or not isinstance(content.get("claims"), list):
        raise ClaimError(f"{path}: expected a mapping with a list under `claims`")
    common = {"variant": path.stem} | dict(content.get("common") or {})
    counts = content.get("counts") or {}
    claims = []
    for i, entry in enumerate(content["claims"], start=1):
        merged = {**common, **entry}
        if merged.get("dataset") in counts:
            merged["counts"] = counts[merged["dataset"]]
        claims.append(_claim(merged, f"{path.name}, claim {i}"))
    repeated = sorted({c.id for c in claims if sum(d.id == c.id for d in claims) > 1})
    if repeated:
        raise ClaimError(f"{path.name}: the id {repeated[0]!r} stands more than once")
    return claims


def _claim(entry: Mapping[str, Any], where: str) -> Claim:
    names = {each.name for each in fields(Claim)}
    missing = sorted(names - {"tolerance"} - set(entry))
    unknown = sorted(set(entry) - names)
    if missing or unknown:
        raise ClaimError(f"{where}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}")
    if entry["metric"] not in METRICS:
        raise ClaimError(f"{where}: metric {entry['metric']!r} is not one of {', '.join(METRICS)}")
    if not isinstance(entry["value"], int | float) or not 0 <= entry["value"] <= 100:
        raise ClaimError(f"{where}: value {entry['value']!r} is not a percentage in 0..100")
    return Claim(**entry)


def verdicts(claims: Iterable[Claim], records: Iterable[Record]) -> pd.DataFrame:
    """Return the table "paper / ours / verdict".

    A record tests a claim if it has the claim's variant, its data set with the published counts,
    the profile `paper`, and the metric. Of several such records the mean is taken.

    Returns:
        Rows of (id, claim, metric, paper (%), ours (%), runs, verdict), one a claim.
    """
    runs = list(records)
    return pd.DataFrame([_verdict(claim, runs) for claim in claims])


def _verdict(claim: Claim, runs: list[Record]) -> dict[str, Any]:
    ours = [100 * run["metrics"][claim.metric] for run in runs if _tests(run, claim)]
    row = {"id": claim.id, "claim": claim.text, "metric": claim.metric, "paper (%)": claim.value}
    if not ours:
        return row | {"ours (%)": None, "runs": 0, "verdict": claim.status}
    mean = sum(ours) / len(ours)
    gap = mean - claim.value
    verdict = "reproduced" if abs(gap) <= claim.tolerance else f"differs by {gap:+.1f} points"
    return row | {"ours (%)": round(mean, 2), "runs": len(ours), "verdict": verdict}


def _tests(run: Record, claim: Claim) -> bool:
    experiment, data = run["experiment"], run["data"]
    return (
        data["name"] == claim.dataset
        and all(data.get(name) == count for name, count in claim.counts.items())
        and experiment.get("profile") == "paper"
        and claim.variant in (experiment.get("variant"), experiment.get("paper"))
        and claim.metric in run["metrics"]
    )
