"""What a paper claims, as data, and what our own runs say about it.

`book/claims/<paper>.yml` lists the claims, and tables of claims, whose rows and columns name levels
of an experiment's factors; `verdicts` puts our records beside the numbers, and
`reidlab.report.differences.trials` beside the differences. A claim that no run of ours can test
keeps its reason, and the page prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from reidlab import recipes
from reidlab.experiments import design
from reidlab.experiments.runs import METRICS as SHOWN
from reidlab.files import project_root
from reidlab.record import Record, flatten
from reidlab.training import Recipe
from reidlab.training.recipe import model_of_size

METRICS = ("rank1", "rank5", "rank10", "mAP", "mINP")
COSTS = {  # where a record has what a run cost
    "parameters": "experiment.parameters",
    "embedding_bytes": "experiment.embedding_bytes",
    "train_seconds": "seconds.train",
    "embed_seconds": "seconds.embed",
}
_ALL = {"id", "text", "dataset", "table", "protocol", "how", "status", "variant", "counts"}
NEEDED = {  # kind -> what a claim must say
    "value": _ALL | {"metric", "value"},
    "difference": _ALL | {"metric", "sides"},
    "statement": _ALL,
}
# What stands under `common` for the numbers of a file stands there for its other claims, too.
ALLOWED = {"kind", "tolerance", "ap", "experiment"}
OPTIONAL = {  # kind -> what it may say beside that
    "value": ALLOWED | {"interval", "levels", "changes", "trained_on"},
    "difference": ALLOWED | {"value", "direction", "recomputed"},
    "statement": ALLOWED,
}
DIRECTIONS = ("higher", "lower")
ROUNDING = 1e-9  # of a mean of percentages; the ends of an interval belong to it
JUDGED = ("profile", "preset", "ap", *Recipe.FREE)  # looked at apart, or without effect

Levels = Mapping[str, str]  # factor -> level, of the experiment that the file names


class ClaimError(ValueError):
    """A file of claims does not follow the schema; the message says where."""


@dataclass(frozen=True)
class Claim:
    """One claim of one paper: a number, a difference of two, or a statement without either.

    Attributes:
        id: short and unique in its file, such as `market1501-map`.
        text: the claim in a sentence of ours.
        dataset: name of the layout it is measured on, as in `open_dataset`.
        table: table or figure, and where it is found.
        protocol: how it was measured: the protocol's name as a record has it, then, after a colon,
            in words.
        how: what run of ours would test it.
        status: what stands today, in a sentence.
        variant: the model of the claim, as a record names it.
        counts: images of the published set, as a record's `data` counts them (train_images,
            query_images, gallery_images); a synthetic set in the same layout has others.
        kind: "value"; "difference", which is what a claim with `sides` is; or "statement".
        metric: one of `METRICS`; of a difference also one of `COSTS`; empty for a statement.
        value: as the paper prints it, in percent; of a difference b minus a, in percentage points
            or, of a cost, in its unit. None where it prints none.
        tolerance: percentage points within which we call it reproduced.
        interval: what the paper itself publishes around its value, (low, high) in percent; it then
            takes the place of the tolerance.
        ap: the average precision it is counted by, as a record names it.
        experiment: whose factors `levels` and `sides` name; empty where there are none.
        levels: of a number, those of the run that tests it.
        trained_on: the set of its training where that is another one.
        changes: what else its recipe has in place of the paper's, as `Recipe.replace` takes it.
        sides: of a difference: levels `a` and `b`; what neither names is averaged over.
        direction: "higher" or "lower", how b lies to a where the paper prints no number.
        recomputed: what the paper's own table gives where its text prints another value.
    """

    id: str
    text: str
    dataset: str
    table: str
    protocol: str
    how: str
    status: str
    variant: str
    counts: Mapping[str, int] = field(hash=False)
    kind: str = "value"
    metric: str = ""
    value: float | None = None
    tolerance: float = 1.0
    interval: tuple[float, float] | None = None
    ap: str = "mean_precision"
    experiment: str = ""
    levels: Levels = field(default_factory=dict, hash=False)
    trained_on: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sides: Mapping[str, Levels] = field(default_factory=dict, hash=False)
    direction: str = ""
    recomputed: float | None = None

    @property
    def published(self) -> tuple[float, float]:
        """The interval, in percent, within which a result agrees with the claim.

        Raises:
            ClaimError: there is none, as the claim is no number.
        """
        if self.value is None:
            raise ClaimError(f"the claim {self.id!r} is a {self.kind} and prints no number")
        return self.interval or (self.value - self.tolerance, self.value + self.tolerance)


def printed(paper: str, *tables: str) -> pd.Series[str]:
    """The numbers that a paper prints for networks trained on one set and tested on another.

    Args:
        paper: a stem, as in `load_claims`.
        tables: how the ids of the claims begin, such as "table1".

    Returns:
        "Rank-1 / mAP" in percent, by the levels "trained on", "who" and "tested on".
    """
    values: dict[tuple[str, str, str], list[str]] = {}
    for claim in load_claims(paper):
        if claim.trained_on and claim.id.startswith(tables):
            who, _, rest = claim.text.partition(", trained")
            end = rest.partition("tested on ")[2].partition(",")[0]
            values.setdefault((claim.trained_on, who, end), []).append(f"{claim.value:.1f}")
    found = pd.Series({key: " / ".join(pair) for key, pair in values.items()})
    return found.rename_axis(["trained on", "who", "tested on"])


def claims_file(paper: str | Path, suffix: str = "") -> Path:
    """The file of a paper's stem in `book/claims` of the project; a path is its own."""
    path = Path(paper)
    if path.suffix == ".yml":
        return path
    return project_root() / "book" / "claims" / f"{paper}{suffix}.yml"


def load_claims(paper: str | Path) -> list[Claim]:
    """Return the claims of a paper.

    Args:
        paper: its stem, such as "vit_baseline", found in `book/claims` of the project, or a path.

    Raises:
        ClaimError: if the file is missing or a claim does not follow the schema.
    """
    path = claims_file(paper)
    if not path.is_file():
        raise ClaimError(f"{path} does not exist: claims are listed in book/claims/<paper>.yml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, Mapping) or not isinstance(content.get("claims"), list):
        raise ClaimError(f"{path}: expected a mapping with a list under `claims`")
    common = {"variant": path.stem} | dict(content.get("common") or {})
    counts = content.get("counts") or {}
    claims = []
    for i, entry in enumerate(content["claims"], start=1):
        for part in _cells(entry) if "rows" in entry else [entry]:
            merged = {**common, **part}
            if merged.get("dataset") in counts:
                merged["counts"] = counts[merged["dataset"]]
            claims.append(_claim(merged, f"{path.name}, claim {i}"))
    repeated = sorted({c.id for c in claims if sum(d.id == c.id for d in claims) > 1})
    if repeated:
        raise ClaimError(f"{path.name}: the id {repeated[0]!r} stands more than once")
    return claims


def _cells(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The claims of a table, row by row.

    Rows and columns are mappings by name, columns may be left out. A cell has what its table, row
    and column say, their levels put together; of a list of numbers of its row the one of its
    column. Its id is "TABLE-ROW-COLUMN", as far as they have names. In its text and table {name}
    stands for an entry of `words`, and {metric} for the metric.
    """
    columns = table.get("columns", {"": {}})
    own = {name: value for name, value in table.items() if name not in ("rows", "columns")}
    for row_name, row in table["rows"].items():
        for i, (column_name, column) in enumerate(columns.items()):
            cell = {**own, **row, **column}
            for k in {"value", "recomputed"} & {*row} if "columns" in table else ():
                if not isinstance(row[k], list) or len(row[k]) != len(columns):
                    raise ClaimError(
                        f"{own.get('id', '')} {row_name}: {k} is {row[k]!r}, expected a list "
                        f"of {len(columns)}, one for each column"
                    )
                cell[k] = row[k][i]
            for name in ("levels", "words"):
                if both := [part[name] for part in (own, row, column) if name in part]:
                    cell[name] = {k: v for part in both for k, v in part.items()}
            words = {
                "metric": SHOWN.get(cell.get("metric", ""), cell.get("metric")),
                **cell.pop("words", {}),
            }
            cell |= {k: cell[k].format(**words) for k in ("text", "table") if k in cell}
            yield cell | {"id": "-".join(filter(None, (own.get("id"), row_name, column_name)))}


def _claim(entry: dict[str, Any], where: str) -> Claim:
    entry = {"kind": "difference" if "sides" in entry else "value", **entry}
    for fault in _faults(entry):
        raise ClaimError(f"{where}: {fault}")
    if "interval" in entry:
        entry["interval"] = tuple(entry["interval"])
    return Claim(**entry)


def _faults(entry: Mapping[str, Any]) -> Iterator[str]:
    """In what a claim does not follow the schema; what is said after the first may not hold."""
    kind = entry["kind"]
    if kind not in NEEDED:
        yield f"kind {kind!r} is not one of {', '.join(NEEDED)}"
    missing = sorted(NEEDED[kind] - set(entry))
    unknown = sorted(set(entry) - NEEDED[kind] - OPTIONAL[kind])
    if missing or unknown:
        yield f"missing {missing or 'nothing'}, unknown {unknown or 'nothing'}"
    if kind == "value":
        yield from _faults_of_number(entry)
    elif kind == "difference":
        yield from _faults_of_difference(entry)
    yield from _faults_of_levels(entry)


def _faults_of_number(entry: Mapping[str, Any]) -> Iterator[str]:
    metric, value, ends = entry["metric"], entry["value"], entry.get("interval", [0, 100])
    if metric not in METRICS:
        yield f"metric {metric!r} is not one of {', '.join(METRICS)}"
    if not _is_number(value) or not 0 <= value <= 100:
        yield f"value {value!r} is not a percentage in 0..100"
    pair = isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends))
    if not pair or not ends[0] <= value <= ends[1]:
        yield f"interval {ends!r} is not [low, high] around the value {value}"


def _faults_of_difference(entry: Mapping[str, Any]) -> Iterator[str]:
    metric, sides = entry["metric"], entry["sides"]
    if metric not in (*METRICS, *COSTS):
        yield f"metric {metric!r} is not one of {', '.join((*METRICS, *COSTS))}"
    if not isinstance(sides, Mapping) or set(sides) != {"a", "b"}:
        yield f"sides {sides!r:.60} are not a mapping with a and b"
    for name, side in sides.items():
        if not side:
            yield f"side {name} is empty, so that every run would be of it"
    if ("value" in entry) == ("direction" in entry):
        yield "expected either a value or a direction of the difference"
    value, direction = entry.get("value", 1), entry.get("direction", "higher")
    if not _is_number(value) or value == 0:
        yield f"value {value!r} is no difference, expected b minus a, not zero"
    if direction not in DIRECTIONS:
        yield f"direction {direction!r} is not one of {', '.join(DIRECTIONS)}"


def _faults_of_levels(entry: Mapping[str, Any]) -> Iterator[str]:
    """Whether the levels of a claim are those of its experiment."""
    sides = entry.get("sides", {"levels": entry.get("levels", {})})
    try:
        factors = design(entry["experiment"]).factors if "experiment" in entry else {}
    except ValueError as error:
        yield str(error)
        return
    for name, levels in sides.items():
        if not isinstance(levels, Mapping):
            yield f"{name} {levels!r:.60} is not a mapping of factors"
            return
        for factor, level in levels.items():
            if level not in factors.get(factor, {}):
                known = "; ".join(f"{k}: {', '.join(v)}" for k, v in factors.items()) or "none"
                yield f"{name} has {factor}: {level}; there are {known}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def verdicts(claims: Iterable[Claim], records: Iterable[Record]) -> pd.DataFrame:
    """Return the table "paper / ours / verdict".

    A record tests a claim if nothing speaks against it, see `obstacle`. Of several such records
    the mean is taken. A statement has a row, whose verdict is its status; a difference has none
    here, `reidlab.report.differences.trials` is for those.

    Returns:
        Rows of (id, claim, metric, paper (%), ours (%), runs, verdict), one a claim.
    """
    runs = list(records)
    rows = [_verdict(claim, runs) for claim in claims if claim.kind != "difference"]
    return pd.DataFrame(
        rows, columns=["id", "claim", "metric", "paper (%)", "ours (%)", "runs", "verdict"]
    )


def _verdict(claim: Claim, runs: list[Record]) -> dict[str, Any]:
    if claim.kind == "statement":
        runs = []
    ours = [100 * run["metrics"][claim.metric] for run in runs if not obstacle(claim, run)]
    row: dict[str, Any] = {"id": claim.id, "claim": claim.text, "metric": claim.metric}
    row["paper (%)"] = claim.value
    if not ours:
        return row | {"ours (%)": None, "runs": 0, "verdict": claim.status}
    mean = sum(ours) / len(ours)
    apart = f"differs by {mean - row['paper (%)']:+.1f} points"
    verdict = "reproduced" if _inside(claim, mean) else apart
    return row | {"ours (%)": round(mean, 2), "runs": len(ours), "verdict": verdict}


def published_intervals(claims: Iterable[Claim], records: Iterable[Record]) -> pd.DataFrame:
    """Say of each claim about the records' data set whether their mean lies in its interval.

    Unlike `verdicts`, which is for a page, this shows the number of a run that tests nothing, and
    the reason why it does not.

    Args:
        claims: those of the paper.
        records: of one side of a comparison: runs that differ in their seeds.

    Returns:
        Rows of (id, metric, published (%), ours (%), runs, verdict), one for each claim that is a
        number. The verdict is "inside",
        "outside by ... points" or "not comparable: " with the first reason; empty, with these
        columns, where no claim is about the data set.
    """
    runs = list(records)
    rows = []
    for claim in claims:
        about = [run for run in runs if run["data"]["name"] == claim.dataset]
        if about and claim.kind == "value":
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
        verdict = f"outside by {mean - (high if mean > high else low):+.2f} points"
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

    It must be on the claim's data set with the published counts, judged by its protocol, where the
    run says by which, and of the recipe of the paper's own size, with the levels of the claim:
    backbone, weights, epochs, image size and all that a result depends on.
    """
    model, paper = (run["experiment"].get(name) for name in ("variant", "paper"))
    if reason := _other_images(claim, run):
        return reason
    if claim.variant not in (model, paper):
        return f"model {model}, the claim's is {claim.variant}"
    if reason := _other_rule(claim, run) or _other_recipe(claim, run):
        return reason
    return "" if claim.metric in run["metrics"] else f"the run has no {claim.metric}"


def other_scale(claim: Claim, run: Record) -> str:
    """What keeps a run from the scale of the paper, be its model as it may; empty if nothing."""
    return _other_images(claim, run) or _other_rule(claim, run)


def _other_images(claim: Claim, run: Record) -> str:
    data = run["data"]
    if data["name"] != claim.dataset:
        return f"data set {data['name']}, the claim's is {claim.dataset}"
    if claim.trained_on:  # a record is of a network that was trained on its own set
        return f"trained on {data['name']}, the claim's on {claim.trained_on}"
    for name, count in claim.counts.items():
        if data.get(name) != count:
            return f"{name} {data.get(name, 'not recorded')}, published {count}: other images"
    return ""


def _other_rule(claim: Claim, run: Record) -> str:
    experiment, data, metrics = run["experiment"], run["data"], run["metrics"]
    protocol = claim.protocol.partition(":")[0].strip()
    if experiment.get("profile") != "paper":
        return f"profile {experiment.get('profile')}, only `paper` is the paper's own recipe"
    if data.get("protocol", protocol) != protocol:
        return f"protocol {data['protocol']}, the claim's is {protocol}"
    if metrics.get("ap", claim.ap) != claim.ap:
        return f"average precision {metrics['ap']}, the claim's is {claim.ap}"
    return ""


def _other_recipe(claim: Claim, run: Record) -> str:
    """The first setting in which a run is not of the recipe that the paper's claim is about."""
    preset = run["experiment"].get("preset")
    try:
        if claim.levels:
            paper = design(claim.experiment).cell(claim.levels, "paper", preset).recipe
        else:
            paper = recipes.get(claim.variant, "paper", preset)
        paper = paper.replace(**claim.changes)
        own = Recipe.from_record(run["experiment"]).to_dict()
    except ValueError as error:  # a preset, a paper or settings that there are not
        return str(error)
    wanted = flatten(paper.to_dict() | {"switches": _switches(paper)})
    found = flatten(own | {"switches": run["experiment"].get("switches", {})})
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        ours, theirs = found.get(name, "absent"), wanted.get(name, "absent")
        if ours != theirs and name not in JUDGED:
            return f"{name} {ours}, the claim's is {theirs}"
    return ""


def _switches(recipe: Recipe) -> dict[str, Any]:
    """All switches of a recipe's network, the preset's too, as a record has them."""
    with torch.device("meta"):  # no memory for weights
        model = model_of_size(recipe.replace(weights=None), num_classes=2, num_cameras=0)
    switches: Any = getattr(model, "switches", None)
    return {} if switches is None else asdict(switches)


def _inside(claim: Claim, percent: float) -> bool:
    low, high = claim.published
    return low - ROUNDING <= percent <= high + ROUNDING
