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
ROUNDING = 1e-9  # of a mean of percentages; the ends of an interval belong to it


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
        protocol: how it was measured: the protocol's name as a record has it, then, after a colon,
            in words.
        how: what run of ours would test it.
        status: what stands today, in a sentence.
        variant: the model of the claim, as a record names it.
        counts: images of the published set, as a record's `data` counts them (train_images,
            query_images, gallery_images); a synthetic set in the same layout has others.
        tolerance: percentage points within which we call it reproduced.
        interval: what the paper itself publishes around its value, (low, high) in percent; it then
            takes the place of the tolerance.
        ap: the average precision it is counted by, as a record names it.
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
    interval: tuple[float, float] | None = None
    ap: str = "mean_precision"

    @property
    def published(self) -> tuple[float, float]:
        """The interval, in percent, within which a result agrees with the claim."""
        return self.interval or (self.value - self.tolerance, self.value + self.tolerance)


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
    missing = sorted(names - {"tolerance", "interval", "ap"} - set(entry))
    unknown = sorted(set(entry) - names)
    if missing or unknown:
        raise ClaimError(f"{where}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}")
    if entry["metric"] not in METRICS:
        raise ClaimError(f"{where}: metric {entry['metric']!r} is not one of {', '.join(METRICS)}")
    if not isinstance(entry["value"], int | float) or not 0 <= entry["value"] <= 100:
        raise ClaimError(f"{where}: value {entry['value']!r} is not a percentage in 0..100")
    if "interval" not in entry:
        return Claim(**entry)
    ends = entry["interval"]
    if (
        not isinstance(ends, list)
        or len(ends) != 2
        or not all(isinstance(end, int | float) for end in ends)
        or not ends[0] <= entry["value"] <= ends[1]
    ):
        raise ClaimError(
            f"{where}: interval {ends!r} is not [low, high] around the value {entry['value']}"
        )
    return Claim(**{**entry, "interval": tuple(ends)})


def verdicts(claims: Iterable[Claim], records: Iterable[Record]) -> pd.DataFrame:
    """Return the table "paper / ours / verdict".

    A record tests a claim if nothing speaks against it, see `obstacle`. Of several such records
    the mean is taken.

    Returns:
        Rows of (id, claim, metric, paper (%), ours (%), runs, verdict), one a claim.
    """
    runs = list(records)
    return pd.DataFrame([_verdict(claim, runs) for claim in claims])


def _verdict(claim: Claim, runs: list[Record]) -> dict[str, Any]:
    ours = [100 * run["metrics"][claim.metric] for run in runs if not obstacle(claim, run)]
    row = {"id": claim.id, "claim": claim.text, "metric": claim.metric, "paper (%)": claim.value}
    if not ours:
        return row | {"ours (%)": None, "runs": 0, "verdict": claim.status}
    mean = sum(ours) / len(ours)
    verdict = (
        "reproduced" if _inside(claim, mean) else f"differs by {mean - claim.value:+.1f} points"
    )
    return row | {"ours (%)": round(mean, 2), "runs": len(ours), "verdict": verdict}


def published_intervals(claims: Iterable[Claim], records: Iterable[Record]) -> pd.DataFrame:
    """Say of each claim about the records' data set whether their mean lies in its interval.

    Unlike `verdicts`, which is for a page, this shows the number of a run that tests nothing, and
    the reason why it does not.

    Args:
        claims: those of the paper.
        records: of one side of a comparison: runs that differ in their seeds.

    Returns:
        Rows of (id, metric, published (%), ours (%), runs, verdict). The verdict is "inside",
        "outside by ... points" or "not comparable: " with the first reason; empty, with these
        columns, where no claim is about the data set.
    """
    runs = list(records)
    rows = []
    for claim in claims:
        about = [run for run in runs if run["data"]["name"] == claim.dataset]
        if about:
            rows.append(_published(claim, about))
    return pd.DataFrame(
        rows, columns=["id", "metric", "published (%)", "ours (%)", "runs", "verdict"]
    )


def _published(claim: Claim, runs: list[Record]) -> dict[str, Any]:
    low, high = claim.published
    ours = [100 * run["metrics"][claim.metric] for run in runs if claim.metric in run["metrics"]]
    mean = sum(ours) / len(ours) if ours else None
    reasons = [reason for run in runs if (reason := obstacle(claim, run))]
    if reasons or mean is None:
        verdict = f"not comparable: {reasons[0]}"
    elif _inside(claim, mean):
        verdict = "inside"
    else:
        verdict = f"outside by {mean - (high if mean > high else low):+.1f} points"
    return {
        "id": claim.id,
        "metric": claim.metric,
        "published (%)": f"{low:.1f} to {high:.1f}",
        "ours (%)": None if mean is None else round(mean, 2),
        "runs": len(runs),
        "verdict": verdict,
    }


def obstacle(claim: Claim, run: Record) -> str:
    """Why a run does not test a claim; empty if it does.

    It must be of the claim's model and of the profile `paper`, on the claim's data set with the
    published counts, and judged by its protocol, where the run says by which.
    """
    experiment, data, metrics = run["experiment"], run["data"], run["metrics"]
    protocol = claim.protocol.partition(":")[0].strip()
    if data["name"] != claim.dataset:
        return f"data set {data['name']}, the claim's is {claim.dataset}"
    for name, count in claim.counts.items():
        if data.get(name) != count:
            return f"{name} {data.get(name, 'not recorded')}, published {count}: other images"
    if claim.variant not in (experiment.get("variant"), experiment.get("paper")):
        return f"model {experiment.get('variant')}, the claim's is {claim.variant}"
    if experiment.get("profile") != "paper":
        return f"profile {experiment.get('profile')}, only `paper` is the paper's own recipe"
    if data.get("protocol", protocol) != protocol:
        return f"protocol {data['protocol']}, the claim's is {protocol}"
    if metrics.get("ap", claim.ap) != claim.ap:
        return f"average precision {metrics['ap']}, the claim's is {claim.ap}"
    if claim.metric not in metrics:
        return f"the run has no {claim.metric}"
    return ""


def _inside(claim: Claim, percent: float) -> bool:
    low, high = claim.published
    return low - ROUNDING <= percent <= high + ROUNDING
