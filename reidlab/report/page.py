"""The box at the end of every notebook page: which run made its figures and numbers.

Two calls, one in the first cell after the parameters and one in the last::

    page = page_start("03_baseline", profile=profile, dataset=dataset, seed=seed)
    profile, dataset, data_root, seed = page.given
    ...
    page.finish(records=[record], dataset=ds)

The second measures the seconds since the first, writes `runs/pages/03_baseline.json` and returns
an object that the notebook shows as a box, from which the record can be downloaded. A reader's
record stands beside the book's by `python -m reidlab compare`, see `reidlab.report.reproduction`.
"""

from __future__ import annotations

import base64
import html
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from reidlab import __version__
from reidlab.data import list_datasets
from reidlab.files import alone, project_root, write_text
from reidlab.parameters import as_folder, as_number, as_text
from reidlab.record import (
    FIELDS,
    RecordError,
    RunRecord,
    check_schema,
    describe_environment,
    git_commit,
    now,
    read_record,
    total_seconds,
)

SCHEMA = 2  # of a page's record; its runs are run records without their history
VERSIONS = ("python", "torch", "timm", "reidlab")  # the ones shown; all are recorded
METRICS = {"rank1": "Rank-1", "mAP": "mAP", "mINP": "mINP"}
PAGES = "REIDLAB_PAGES"  # a folder for page records; the default is runs/pages of the project


class Fingerprinted(Protocol):
    """What a page asks of a data set; `reidlab.data.ReIDDataset` has it."""

    @property
    def name(self) -> str:
        """Name of the layout, such as market1501."""

    def fingerprint(self) -> str:
        """Return a hash of the files."""


@dataclass(frozen=True)
class RunRecordBox:
    """A page record, shown in a notebook as a compact definition list."""

    record: Mapping[str, Any]

    def _rows(self) -> list[tuple[str, str]]:
        r, e = self.record, self.record["environment"]
        commit = (r["commit"] or "unknown")[:10] + (" + uncommitted changes" if r["dirty"] else "")
        rows = [
            ("profile", r["profile"]),
            ("data", f"{r['data']['name']} {(r['data']['fingerprint'] or '')[:12]}".strip()),
            ("seed", str(r["seed"])),
            ("commit", commit),
            ("time", f"{r['seconds']:.0f} s on {e['device']}, {e['cores']} cores"),
            ("versions", ", ".join(f"{k} {e[k]}" for k in VERSIONS)),
        ]
        for run in r["records"]:
            found = run["metrics"]
            shares = [f"{METRICS[k]} {100 * found[k]:.1f} %" for k in METRICS if k in found]
            name = run["experiment"].get("variant") or run["experiment"].get("paper") or "unnamed"
            rows.append((f"run {name}", ", ".join([*shares, f"{total_seconds(run):.0f} s"])))
        return rows

    def _repr_html_(self) -> str:
        r = self.record
        facts = {
            "profile": r["profile"],
            "dataset": r["data"]["name"],
            "seed": r["seed"],
            "commit": r["commit"] or "unknown",
            "seconds": f"{r['seconds']:.1f}",
        }
        attributes = " ".join(f'data-{k}="{html.escape(str(v))}"' for k, v in facts.items())
        body = "".join(
            f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>"
            for k, v in self._rows()
        )
        file = html.escape(f"{r['notebook']}.json")
        whole = base64.b64encode(json.dumps(r).encode()).decode()
        link = f'<a download="{file}" href="data:application/json;base64,{whole}">{file}</a>'
        return (
            f'<div class="run-record" role="note" aria-label="Run record" {attributes}>'
            f'<p class="run-record-title">Run record</p><dl>{body}'
            f"<div><dt>download</dt><dd>{link}</dd></div></dl></div>"
        )

    def __repr__(self) -> str:
        return "\n".join(["Run record", *(f"  {k:<9} {v}" for k, v in self._rows())])


@dataclass
class Page:
    """A notebook page that is running; made by `page_start`.

    Attributes:
        given: profile, dataset, data_root, seed and what else the page was given, in this order:
            the parameters as they were meant, see `reidlab.parameters`.
    """

    notebook: str
    profile: str
    dataset: str
    seed: int
    out: Path
    given: tuple[Any, ...] = field(repr=False)
    run: str = field(repr=False)
    started: str = field(default_factory=now)
    _clock: float = field(default_factory=time.perf_counter, repr=False)

    def run_folder(self, name: str, ds: Fingerprinted) -> Path:
        """Where the page's trainings go: the parameter `run`, or else a folder of their own.

        Args:
            name: of the folder below `runs/lab` of the project.
            ds: what is trained on; of a reader's own data each set has a folder of its own.
        """
        if self.run:
            return Path(self.run)
        own = f"-{ds.fingerprint()[:8]}" if self.given[2] else ""
        return project_root() / "runs" / "lab" / f"{name}{own}"

    def quote(self, **values: Any) -> None:
        """Keep values of this page for other pages of the book, and show nothing.

        Args:
            values: name -> a text, or what shows itself as HTML. Another page has it by
                ``{glue:text}`../notebooks/NOTEBOOK.ipynb::NAME:s` ``, or by the directive `glue`
                with `:doc:`.
        """
        from IPython.core.getipython import get_ipython

        if get_ipython() is not None:
            from myst_nb import glue

            for name, value in values.items():
                glue(name, value, display=False)

    def finish(
        self,
        records: Sequence[Any] = (),
        dataset: Fingerprinted | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> RunRecordBox:
        """Write the page record and return the box to show; safe to call again.

        Args:
            records: runs made or read on this page: RunRecord objects, mappings or paths.
            dataset: the opened data set, for its fingerprint; without it the fingerprint of the
                first record stands in.
            values: tables and numbers of this page that another page, or this one on another day,
                quotes: plain values, ready for JSON. They are kept in the record and not shown.

        Returns:
            The box; as the last expression of a cell it shows itself.
        """
        runs = [_as_record(record) for record in records]
        name, fingerprint = self.dataset, runs[0]["data"].get("fingerprint") if runs else None
        if dataset is not None:
            name, fingerprint = dataset.name, dataset.fingerprint()
        commit, dirty = git_commit()
        record = {
            "schema": SCHEMA,
            "notebook": self.notebook,
            "profile": self.profile,
            "data": {"name": name, "fingerprint": fingerprint},
            "seed": self.seed,
            "commit": commit,
            "dirty": dirty,
            "started": self.started,
            "finished": now(),
            "seconds": round(time.perf_counter() - self._clock, 2),
            "environment": describe_environment() | {"reidlab": __version__},
            "records": [{name: run[name] for name in FIELDS} | {"history": []} for run in runs],
        }
        if values is not None:
            record["values"] = dict(values)
        file = self.out / f"{self.notebook}.json"
        with alone(self.out, file.name):
            if other := _other_run(file, record):
                print(f"{file.name} was the record of another run of this page: {other}")
            write_text(file, json.dumps(record, indent=1) + "\n")
        return RunRecordBox(record)


def page_start(
    notebook: str,
    *,
    profile: object,
    dataset: object,
    data_root: object = None,
    seed: object = 0,
    out: str | Path | None = None,
    **others: object,
) -> Page:
    """Start the clock of a notebook page, and read its parameters as they were meant.

    Args:
        notebook: its stem, such as "03_baseline"; names the page record.
        profile: smoke, laptop or paper.
        dataset: name of the layout that the page reads.
        data_root: folder of the data; only checked for existence where it is given, never
            written down, because it may carry a person's name.
        seed: the page's seed.
        out: folder of the page records; by default the folder in the environment variable
            REIDLAB_PAGES, else `runs/pages` of the project.
        others: further parameters of the page: `run`, a folder, and texts such as `settings`.

    Raises:
        ValueError: if the profile or the data set is unknown, the notebook's name is not a plain
            stem, or a parameter is not of its kind.
    """
    profile, dataset = as_text("profile", profile), as_text("dataset", dataset)
    if profile not in ("smoke", "laptop", "paper"):
        raise ValueError(f"profile {profile!r} is unknown: choose smoke, laptop or paper")
    if dataset not in list_datasets():
        raise ValueError(f"dataset {dataset!r} is unknown: choose {', '.join(list_datasets())}")
    if not notebook or Path(notebook).name != notebook or notebook.endswith(".ipynb"):
        raise ValueError(f"{notebook!r} is not a notebook's stem: write it as '03_baseline'")
    root, number = as_folder("data_root", data_root), as_number("seed", seed)
    if root and not Path(root).exists():
        note = "it is written on first use" if dataset == "market1501" else "see data_scripts/"
        print(f"data_root {data_root} does not exist yet ({note})")
    more = {k: (as_folder if k == "run" else as_text)(k, value) for k, value in others.items()}
    folder = Path(out or os.environ.get(PAGES) or project_root() / "runs" / "pages")
    given = (profile, dataset, root, number, *more.values())
    return Page(notebook, profile, dataset, number, folder, given, more.get("run", ""))


def _other_run(file: Path, record: Mapping[str, Any]) -> str:
    """In what the page's last run differs from this one; "" if in nothing, or there is none."""
    try:
        last = json.loads(file.read_text(encoding="utf-8"))
        named = {name: (last[name], record[name]) for name in ("profile", "data", "seed")}
    except (FileNotFoundError, ValueError, KeyError):
        return ""
    differ = [f"{name} {a} then, {b} now" for name, (a, b) in named.items() if a != b]
    return "; ".join(differ)


def read_page(path: str | Path) -> dict[str, Any]:
    """Return the record of a page; a run record is taken as that of a page with one run.

    Raises:
        RecordError: The file is missing, is neither, or was written by another version.
    """
    path = Path(path)
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        page = None
    if not isinstance(page, Mapping) or "notebook" not in page:
        run = read_record(path)  # it says what is wrong with the file
        same = {name: run[name] for name in ("data", "seed", "commit", "environment")}
        profile = run["experiment"].get("profile")
        return {"notebook": "", "profile": profile, "records": [run], **same}
    if page.get("schema") != SCHEMA:
        raise RecordError(
            f"{path} is the record of a page of schema {page.get('schema')}; this version of "
            f"reidlab reads {SCHEMA}. Run the chapter again, or take the version that wrote it"
        )
    try:
        for run in page["records"]:
            check_schema(run, f"{path}, records")
        _ = page["profile"], page["seed"], page["commit"], page["environment"].get("torch")
        _ = page["data"]["name"], page["data"]["fingerprint"]
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{path} is no whole record of a page ({type(error).__name__}: {error}): run the "
            "chapter again"
        ) from None
    return dict(page)


def _as_record(record: Any) -> Mapping[str, Any]:
    if isinstance(record, str | Path):
        return read_record(record)
    if isinstance(record, RunRecord):
        return record.to_dict()
    if isinstance(record, Mapping):
        check_schema(record)
        return record
    raise RecordError(
        f"{type(record).__name__} is not a run record: pass what fit() returned, or a path"
    )
