"""Break one thing at a time in a copy of the project, and see that a check turns red.

    python -m workflow.sabotage

What a small planted file can show is shown where the check has its tests (`PLANTED`); those are run
as they are. The faults in `FAULTS` are planted into the project itself, each alone.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN = ("reidlab", "tests", "workflow", "data_scripts")
COPIED = (*OWN, "notebooks", "book", "pyproject.toml", "requirements.lock", "environment.yml")
PAGE = "notebooks/00_start_here.ipynb"


@dataclass(frozen=True)
class Fault:
    """Text of one file that becomes another, and the narrowest test that must see it."""

    file: str
    old: str
    new: str
    check: str


FAULTS = {
    "a name that a page imports is renamed": Fault(
        "reidlab/report/__init__.py",
        "metrics_table",
        "table_of_metrics",
        "tests/book/test_grammar.py::test_what_pages_import_is_there[00_start_here]",
    ),
    "a shell command in a cell, which may fail": Fault(
        PAGE,
        '"seed_everything(seed)\\n",',
        '"!false\\n",',
        "tests/notebooks/test_notebooks.py::test_keeps_the_house_rules[00_start_here]",
    ),
    "a figure loses its alt text": Fault(
        PAGE,
        '"alt": "Three rows',
        '"title": "Three rows',
        "tests/notebooks/test_notebooks.py::"
        "test_every_figure_has_an_alt_text_and_a_caption[00_start_here]",
    ),
    "a metric is typed into prose": Fault(
        PAGE,
        "How many did it find?",
        "It finds a Rank-1 of 49.3.",
        "tests/book/test_grammar.py::test_a_chapter[00_start_here]",
    ),
    "another Jupyter Book": Fault(
        "requirements.lock",
        "jupyter-book==1.",
        "jupyter-book==2.",
        "tests/test_project.py::test_lock_satisfies_pyproject",
    ),
    "the evaluation forgets the camera rule": Fault(
        "reidlab/evaluation/protocols.py",
        "Special(rows, indices, gallery.camids[indices] == camids[rows])",
        "Special(rows, indices, gallery.camids[indices] < 0)",
        "tests/evaluation/test_ranking.py::TestKnownFaults::test_only_own_camera_matches_do_not_count",
    ),
    "re-ranking swaps lambda": Fault(
        "reidlab/evaluation/reranking.py",
        "part += (1 - lambda_value) *",
        "part += lambda_value *",
        "tests/evaluation/test_reranking.py::test_on_paper",
    ),
    "a query of SYSU-MM01 is averaged over trials that do not count it": Fault(
        "reidlab/evaluation/results.py",
        "total, counted.sum(0), out",
        "total, len(values), out",
        "tests/evaluation/test_protocols.py::test_queries_that_some_trials_do_not_count",
    ),
    "mAP of SYSU-MM01 is taken over queries, not over trials": Fault(
        "reidlab/evaluation/results.py",
        "np.mean([trial.mAP for trial in self.trials])",
        "np.nanmean(self.ap)",
        "tests/evaluation/test_protocols.py::test_queries_that_some_trials_do_not_count",
    ),
}
PLANTED = {
    "a misspelt parameter": "tests/notebooks/test_run_notebook.py::"
    "test_a_misspelt_parameter_is_refused_and_the_valid_ones_are_named",
    "sys.exit(0) in a cell": "tests/notebooks/test_run_notebook.py::"
    "test_sys_exit_halfway_is_not_a_whole_run",
    "a kernel is killed": "tests/workflow/test_killed_kernel.py",
    "an image without alt text on a built page, and 20 more": "tests/book/test_check_book.py",
    "a page that is older than a record it reads": "tests/workflow/test_page_inputs.py",
}


@contextmanager
def broken(fault: Fault) -> Iterator[Path]:
    """A copy of the project with the fault in it; all other files are links to the same data.

    Raises:
        ValueError: the text to replace is not in the file.
    """
    (ROOT / "_build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "_build", prefix="sabotage-") as name:
        copy = Path(name)
        for part in COPIED:
            copy_whole = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy_whole(ROOT / part, copy / part)
        text = (copy / fault.file).read_text()
        if fault.old not in text:
            raise ValueError(f"{fault.file} has no {fault.old!r}: mend the fault in {__file__}")
        (copy / fault.file).write_text(text.replace(fault.old, fault.new))
        yield copy


def turns_red(fault: Fault) -> bool:
    """Whether its check fails where the fault is, run in a fork that has imported PyTorch already.

    Raises:
        RuntimeError: the check did not run.
    """
    with broken(fault) as copy:
        if not (child := os.fork()):
            try:
                os._exit(_run(copy, fault.check))
            finally:  # whatever happens, this process is not the tests' own
                os._exit(pytest.ExitCode.INTERNAL_ERROR)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"{fault.check} did not run, status {status}")
    return status == pytest.ExitCode.TESTS_FAILED


def _run(copy: Path, check: str) -> int:
    """Run one test of the copy in this process, silently."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for module in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[module]
    os.chdir(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", str(ROOT)))]
    quick = ("--assert=plain", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist")
    return int(pytest.main(["--rootdir", str(copy), *quick, check]))


def main() -> int:
    """Print what each fault meets; exit status 1 if one meets nothing, or a plant does not grow."""
    escaped = 0
    for name, fault in FAULTS.items():
        red = turns_red(fault)
        escaped += not red
        print(f"{'caught ' if red else 'ESCAPED'}  {name}: {fault.check}", flush=True)
    for name, check in PLANTED.items():
        print(f"planted  {name}: {check}", flush=True)
    return escaped or int(pytest.main(["-p", "no:cacheprovider", *PLANTED.values()]))


if __name__ == "__main__":
    sys.exit(main())
