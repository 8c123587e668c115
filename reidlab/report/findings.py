"""What a page found, said in a sentence and in a table, both computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reidlab.experiments import experiment
from reidlab.experiments.design import BOUND
from reidlab.experiments.runs import METRICS, Runs

NO_MASKS = (
    "This set has no true masks, as only synthetic pictures have: how much of the heat lies on the "
    "person is left out here."
)

NAN = float("nan")
POWER = "asked alone, a difference of {} points would show in four of five such experiments"


@dataclass(frozen=True)
class Finding:
    """Computed sentences as a page shows them.

    Attributes:
        text: as a terminal shows it.
        markdown: as a page does.
    """

    text: str
    markdown: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown


def finding(*sentences: str) -> Finding:
    """The answer to a question of the page: plain sentences, their numbers computed.

    Args:
        sentences: joined by spaces; the last expression of a cell shows them.
    """
    text = " ".join(sentences)
    literal = text.replace("*", r"\*")  # as in PCB*
    return Finding(text, f"**{literal}**")


def markdown_table(
    head: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: bool = False
) -> str:
    """A table in Markdown; with `numbers` all columns but the first are aligned to the right."""
    line = ["---"] + ["---:" if numbers else "---"] * (len(head) - 1)
    cells = ([str(cell).replace("|", r"\|") for cell in row] for row in (head, line, *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def summary(**points: str) -> Finding:
    """What a page says in one minute: a list, its first words in bold.

    Args:
        points: first word (`how_sure` for two) -> computed sentences, such as `claimed`, `found`.
    """
    named = {name.replace("_", " ").capitalize(): text for name, text in points.items()}
    plain, bold = (
        "\n".join(f"- {mark}{name}.{mark} {text}" for name, text in named.items())
        for mark in ("", "**")
    )
    return Finding(plain, bold)


def in_points(value: float, low: float | None, high: float | None) -> str:
    """A difference with its interval, such as "+1.2 (-0.3 to +2.7)", or "(no interval)"."""
    known = low is not None and high is not None and low == low  # no NaN
    ends = f"{low:+.1f} to {high:+.1f}" if known else "no interval"
    return f"{round(value, 1) + 0.0:+.1f} ({ends})"  # no minus before a zero


def unlike(a: float, b: float) -> str:
    """That two sides did not learn alike, such as "learned 91 % against 100 %", b against a.

    Args:
        a: share of its training pictures that one side named rightly at the end, in percent.
        b: that of the other. Where less than 2 points lie between them, or one is not known (NaN),
            there is nothing to say.
    """
    return f"learned {b:.0f} % against {a:.0f} %" if abs(b - a) >= BOUND else ""


def between(values: Iterable[float], digits: int = 1) -> str:
    """The lowest and the highest of some numbers, such as "0.7 to 2.0"; one if they print alike.

    Raises:
        ValueError: there are none.
    """
    found = [*map(float, values)]
    ends = (f"{end:.{digits}f}" for end in (min(found), max(found)))
    return " to ".join(dict.fromkeys(ends))


def tally(words: pd.Series) -> str:
    """How often each word occurs, such as "5 no clear difference, 1 holds"."""
    return ", ".join(f"{n} {word}" for word, n in words.value_counts().items())


def decisions(grounds: Mapping[str, pd.DataFrame]) -> Finding:
    """Differences as a list, each with its interval and its word, and what such runs would show.

    Args:
        grounds: in words -> a table of `reidlab.experiments.runs.Runs.decide`. Where the sides had
            not learned alike, that is said: what is behind may only be slower.
    """
    plain, bold = [], []
    for ground, table in grounds.items():
        seen = [*table["smallest"].dropna()] if "smallest" in table else []
        power = f" ({POWER.format(between(seen))})" if seen else ""
        plain += [f"{ground}{power}:"]
        bold += [f"**{ground}**{power}", ""]
        for name, row in table.iterrows():
            told = f"- {name}: {in_points(row.value, row.low, row.high)}"
            apart = unlike(row.get("learned_a", NAN), row.get("learned_b", NAN))
            rest = f"; {apart}" if apart else ""
            plain += [f"{told}, {row.verdict}{rest}"]
            bold += [f"{told}, *{row.verdict}*{rest}"]
        plain += [""]
        bold += [""]
    return Finding("\n".join(plain), "\n".join(bold))


def planned(runs: Runs) -> Finding:
    """That an experiment is designed and has no runs yet, in the place of what it found.

    Raises:
        ValueError: it has runs, or no design.
    """
    if len(runs) or runs.design is None:
        raise ValueError(f"{runs.name} has {len(runs)} runs; expected none, and a design")
    count = len(runs.design.predictions)
    return finding(f"{runs.name} is designed, with {count} predictions, and not run yet.")


def outcomes(runs: Runs) -> Finding:
    """What became of the predictions of an experiment with a table; or that it was not run yet."""
    if not len(runs):
        return planned(runs)
    rows = runs.rows(table="predictions").itertuples()
    return finding("; ".join(f"{row.prediction}: {row.verdict}" for row in rows) + ".")


def decided(grounds: Mapping[str, str]) -> Finding:
    """As `decisions`, of what experiments predicted; where nothing was run yet, that is said.

    Args:
        grounds: in words -> an experiment, or "NAME:STEP", as judged by that step.
    """
    found: dict[str, pd.DataFrame] = {}
    missing: dict[str, list[str]] = {}
    for ground, name in grounds.items():
        name, _, step = name.partition(":")
        if len(runs := experiment(name)):
            found[ground] = runs.judged(step).decide()
        else:
            missing.setdefault(planned(runs).text, []).append(ground)
    told = decisions(found)
    rest = [finding(f"{', '.join(where)}: {said}") for said, where in missing.items()]
    return Finding(
        "\n".join((told.text, *(each.text for each in rest))),
        "\n".join((told.markdown, *(f"{each.markdown}\n" for each in rest))),
    )


def metrics_table(
    results: Mapping[Any, Any], metrics: Sequence[str] = ("rank1", "mAP")
) -> pd.DataFrame:
    """Several results beside each other, in percent.

    Args:
        results: what is said of them -> a result of `evaluate`, a run record, or its metrics.
        metrics: such as rank1, rank5, mAP and mINP; the columns.

    Raises:
        KeyError: a result does not hold one of the metrics.
    """
    found = {name: _metrics(result) for name, result in results.items()}
    return pd.DataFrame(
        {
            f"{METRICS.get(metric, metric)} (%)": {
                name: 100 * float(values[metric]) for name, values in found.items()
            }
            for metric in metrics
        }
    )


def _metrics(result: Any) -> Mapping[str, Any]:
    if isinstance(result, Mapping):
        return result
    values: Mapping[str, Any] = getattr(result, "metrics", None) or result.as_dict()
    return values
