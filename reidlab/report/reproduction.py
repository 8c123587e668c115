"""A reader's run beside the book's: `python -m reidlab compare runs/pages/03_baseline.json`.

The same settings on the same images give other digits on another machine, because sums are added
in another order and training amplifies the difference. How far two such runs may lie apart is
known where somebody published several seeds of the same settings on the same images, and only
there: a further run lies in the prediction interval of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, isnan
from typing import Any

from reidlab.evaluation import over_seeds
from reidlab.experiments import Runs
from reidlab.experiments.runs import differing, judgement, measured
from reidlab.files import find, project_root
from reidlab.record import Record, RecordError, different_run, flatten, read_record, total_seconds
from reidlab.report.page import METRICS, VERSIONS
from reidlab.training import Recipe

_MACHINE = (*VERSIONS, "device", "cores", "precision")
_CLOSE = 1e-3  # of a number that no training made: rounding, which may swap two equal neighbours


@dataclass(frozen=True)
class Reproduction:
    """What `reproduction` returns; prints as sentences.

    Attributes:
        obstacles: why numbers cannot be compared: other images, settings, profile or chapter.
        lines: what was found, obstacles included.
    """

    obstacles: tuple[str, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def published_runs() -> Iterator[Record]:
    """All runs of `book/results`; none where the project's book is not at hand."""
    results = project_root() / "book" / "results"
    for path in find(results, "*/*.jsonl"):
        yield from Runs.read(path).records
    yield from map(read_record, find(results / "contributed", "*.json"))


def reproduction(
    mine: Mapping[str, Any],
    book: Mapping[str, Any] | None,
    others: Iterable[Record] = (),
    *,
    level: float = 0.95,
) -> Reproduction:
    """Say line by line whether the numbers of a page are those of the book.

    Args:
        mine: the page record of a reader, see `read_page`.
        book: that of the book; None where it is not at hand.
        others: runs from which the spread over seeds is taken; those of other settings or other
            images are passed over.
        level: of the interval for one more run.

    Raises:
        RecordError: Nothing of the book's can be compared with it.
    """
    lines, obstacles = [_headline(mine)], []
    theirs: Sequence[Record] = book["records"] if book else ()
    if book:
        lines += [_headline(book, "The book: ")]
        obstacles = differing(
            {k: page[k] for k in ("notebook", "profile")} for page in (book, mine)
        )
        if (there := book["data"]["fingerprint"]) != (here := mine["data"]["fingerprint"]):
            obstacles += [f"images: fingerprint {str(there)[:12]} / {str(here)[:12]}"]
        machines = [{k: page["environment"].get(k) for k in _MACHINE} for page in (book, mine)]
        lines += [f"Differs (book / yours): {text}" for text in differing(machines)]
    lines += [f"NOT COMPARABLE (book / yours): {text}" for text in obstacles]
    known = [*theirs, *others]
    for position, run in enumerate(mine["records"]):
        alike = [other for other in known if not _unlike(other, run)]
        beside = theirs[position : position + 1]
        first = next(iter([*alike, *beside]), None)
        lines += ["", f"run {run['experiment'].get('variant') or 'unnamed'}, seed {run['seed']}"]
        if first is None:
            lines += ["  the book has no run of these settings on these images"]
        elif unlike := _unlike(first, run):
            obstacles += unlike
            lines += [f"  NOT COMPARABLE (there the book): {text}" for text in unlike[:5]]
        else:
            lines += [f"  {text}" for text in _results(run, first, alike, level)]
    if book and "values" in book and "values" in mine:
        lines += ["", *_values(mine["values"], book["values"])]
    elif not mine["records"]:
        lines += ["This chapter trains nothing: its record has no results to compare"]
    if not book and not any(not _unlike(other, run) for other in known for run in mine["records"]):
        raise RecordError(
            "nothing of the book's is at hand to compare with: no page record, and no published "
            "run of these settings on these images. The last box of the chapter in the built book "
            "has the record to download: python -m reidlab compare YOURS --with THAT"
        )
    return Reproduction(tuple(obstacles), tuple(lines))


def _headline(page: Mapping[str, Any], who: str = "") -> str:
    data, commit = page["data"], (page["commit"] or "unknown")[:10]
    what = f"{page['notebook'] or 'a run'}, profile {page['profile']}, seed {page['seed']}"
    return f"{who}{what}, on {data['name']} {str(data['fingerprint'])[:12]}, commit {commit}"


def _unlike(one: Record, other: Record) -> list[str]:
    """In what two runs differ that is more than their seeds and machines."""
    free = tuple(f"experiment.{name} " for name in Recipe.FREE)
    settings = different_run({**one, "seed": other["seed"]}, other)
    found = [text for text in settings if not text.startswith(("data.", *free))]
    return [*differing(map(judgement, (one, other))), *found]


def _results(run: Record, book: Record, alike: Sequence[Record], level: float) -> Iterator[str]:
    if run["seed"] != book["seed"]:
        yield f"another seed than the book's {book['seed']}"
    seeds = {other["seed"]: other for other in reversed(alike)}  # one run a seed, the first
    unknown = False
    for name in METRICS:
        if name not in run["metrics"] or name not in book["metrics"]:
            continue
        value, there = measured(run, name), measured(book, name)
        words = f"{METRICS[name]} {value:.1f} %, the book {there:.1f} %: "
        found = over_seeds([measured(other, name) for other in seeds.values()], level=level)
        count = run["metrics"].get("num_valid")
        if value == there:
            words += "the same to the last digit"
        elif found.high is not None:
            half = (found.high - found.value) * (len(seeds) + 1) ** 0.5  # one more, not the mean
            low, high = found.value - half, found.value + half
            words += "inside" if low <= value <= high else "OUTSIDE"
            words += f" {max(0, low):.1f} to {min(100, high):.1f}, where one more seed is expected"
            words += f" {100 * level:g} times of 100, after {len(seeds)} published ones"
        else:
            words += f"{value - there:+.1f} points"
            if name == "rank1" and count:
                words += f", {abs(value - there) / 100 * count:.0f} of {count} queries"
            if len(seeds) > 1:
                words += f"; the {len(seeds)} published seeds all gave this number"
            else:
                unknown = True
        yield words
    if unknown:
        yield "no interval is known: there are no published runs of other seeds with these settings"
    yield f"time {total_seconds(run):.0f} s, the book {total_seconds(book):.0f} s"


def _values(mine: Mapping[str, Any], book: Mapping[str, Any]) -> Iterator[str]:
    """Tables of a page that trains nothing: equal but for rounding."""
    here, there = _numbers(mine), _numbers(book)
    both = [name for name in there if name in here]
    off = [
        name
        for name in both
        if not isclose(here[name], there[name], rel_tol=_CLOSE, abs_tol=_CLOSE)
        and not (isnan(here[name]) and isnan(there[name]))
    ]
    yield f"values of the page: {len(both) - len(off)} of {len(both)} numbers as in the book"
    yield from (f"  {name}: {here[name]:.4g}, the book {there[name]:.4g}" for name in off[:10])
    if missing := len(there) + len(here) - 2 * len(both):
        yield f"  {missing} numbers stand in one of the two only"


def _numbers(values: Any) -> dict[str, float]:
    def named(tree: Any) -> Any:
        if isinstance(tree, list):
            return named({str(number): each for number, each in enumerate(tree)})
        return {k: named(v) for k, v in tree.items()} if isinstance(tree, Mapping) else tree

    flat = flatten(named(json.loads(json.dumps(values))))
    return {k: float(v) for k, v in flat.items() if type(v) in (int, float)}
