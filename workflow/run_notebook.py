"""Run one notebook with papermill, so that a run either is whole or leaves nothing.

papermill alone exits 0 for a misspelt parameter, for a notebook that calls ``sys.exit(0)`` halfway,
and leaves half a notebook behind when it is killed. This runner checks the parameters first, checks
that every code cell ran, and gives the result its name only then.

    python workflow/run_notebook.py notebooks/03_baseline.ipynb out.ipynb -p profile smoke

The kernel works in ``notebooks/``, as it does in JupyterLab: paths inside a notebook are relative
to that folder. ``-p data_root ...`` here is relative to where you stand, as in any shell.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from reidlab.files import alone, atomic, check_writable, find, same_place, write_text

ROOT = Path(__file__).resolve().parents[1]
KERNEL_CWD = (ROOT / "notebooks").resolve()
KERNEL = "python3"
PATH_PARAMETERS = ("data_root", "out")
"""Parameters that name folders: made relative to the kernel's folder, whoever the caller is."""
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "REIDLAB_PROGRESS": "plain",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
"""The kernel's: reproducible hashes, inline figures, plain progress lines."""
RUN_MARK = "inputs.sha256"
"""File in a run folder that says which code and parameters it belongs to."""


class NotebookError(Exception):
    """A notebook that cannot be run as asked, or did not run to its end."""


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Read the parameters of the cell tagged ``parameters``, in its order: name -> default.

    Raises:
        NotebookError: the file is missing, or no cell is tagged ``parameters``.
    """
    import papermill

    if not notebook.is_file():
        there = ", ".join(p.name for p in find(notebook.parent, "*.ipynb")) or "none"
        raise NotebookError(f"{notebook}: no such notebook. Notebooks in that folder: {there}.")
    found = papermill.inspect_notebook(str(notebook))
    if not found:
        raise NotebookError(
            f"{notebook}: no cell tagged 'parameters', so nothing can be set from outside. "
            "Tag the cell that assigns profile, dataset, data_root and seed."
        )
    return {name: _literal(str(entry["default"])) for name, entry in found.items()}


def _literal(text: str) -> Any:
    """A Python value from its source text; text that is no literal stays text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def resolve(notebook: Path, given: dict[str, str]) -> dict[str, Any]:
    """Turn command-line text into typed values, each of the type of the notebook's default.

    Args:
        notebook: the source notebook.
        given: name -> text as typed.

    Raises:
        NotebookError: a name the notebook does not have, or text of another type.
    """
    known = parameters_of(notebook)
    unknown = [name for name in given if name not in known]
    if unknown:
        valid = ", ".join(f"{name}={default!r}" for name, default in known.items())
        raise NotebookError(
            f"{notebook.name} has no parameter {', '.join(map(repr, unknown))}. It has: {valid}."
        )
    return {name: _typed(name, known[name], text) for name, text in given.items()}


def _typed(name: str, default: Any, text: str) -> Any:
    if default is None:
        return _literal(text)
    if isinstance(default, str):
        if name in PATH_PARAMETERS and text:
            return os.path.relpath(Path(text).expanduser().resolve(), KERNEL_CWD)
        return text
    value = {"true": True, "false": False}.get(text.lower(), _literal(text))
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise NotebookError(
            f"parameter {name}: {text!r} is not of type {type(default).__name__} "
            f"(the notebook's default is {default!r})."
        )
    return value


def inputs_digest(notebook: Path, parameters: dict[str, Any]) -> str:
    """sha256 over what decides a run: the notebook, all that a page reads, the parameters."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode())
    for path in (notebook, *page_inputs()):
        digest.update(os.path.relpath(path, ROOT).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def page_inputs(root: Path = ROOT) -> list[Path]:
    """The files that a notebook's result can depend on beside its own and its data, sorted.

    Whole folders, so that nothing is forgotten when a file is added: the library, the claims,
    results and quizzes of the book, its contents, and this runner.
    """
    folders = ("reidlab", "book/claims", "book/results", "book/quizzes")
    found = [path for name in folders for path in find(root / name, "**/*") if path.is_file()]
    unread = {"__pycache__", "unfinished"}  # of an experiment under way, which no page reads
    kept = [path for path in found if unread.isdisjoint(path.relative_to(root).parts)]
    return sorted([*kept, root / "_toc.yml", root / "workflow" / Path(__file__).name])


def prepare_run_dir(run_dir: Path, digest: str) -> None:
    """Keep an interrupted run of the same inputs; move one of other inputs to ``<name>.previous``.

    Without this, a notebook that resumes from its checkpoint would show yesterday's result after
    today's change of the library.

    Raises:
        NotebookError: the folder holds files and was not made here; it is left alone.
    """
    mark = run_dir / RUN_MARK
    if find(run_dir, "*"):
        if not mark.is_file():
            raise NotebookError(
                f"{run_dir} holds files that no notebook run left there. Move them, or name "
                "another folder with --run-dir."
            )
        if mark.read_text().strip() != digest:
            previous = run_dir.with_name(run_dir.name + ".previous")
            shutil.rmtree(previous, ignore_errors=True)
            run_dir.rename(previous)
    write_text(mark, digest + "\n")


def check_kernel() -> None:
    """Make sure that the kernel is this interpreter, not one that a user installed elsewhere.

    Raises:
        NotebookError: no kernel, or one of another environment.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec(KERNEL)
    except NoSuchKernel:
        raise NotebookError(
            f"no Jupyter kernel {KERNEL!r} in {sys.prefix}; pip install ipykernel"
        ) from None
    command = spec.argv[0]
    # A bare "python" is replaced by the running interpreter when the kernel starts.
    if os.path.dirname(command) and not _is_here(Path(command)):
        raise NotebookError(
            f"the kernel {KERNEL!r} at {spec.resource_dir} starts {command}, not {sys.executable}. "
            f"Remove it (jupyter kernelspec remove {KERNEL}) or unset JUPYTER_PATH."
        )


def _is_here(python: Path) -> bool:
    """Whether an interpreter is of this environment: by its folder, whatever it is called.

    What the interpreter itself leads to would say nothing, environments share it.
    """
    own = (Path(sys.executable).parent, Path(sys.prefix) / "bin")
    return python.exists() and any(same_place(folder, python.parent) for folder in own)


def check_whole(notebook: Path) -> None:
    """Assert that every code cell of an executed notebook ran to its end without an error.

    Raises:
        NotebookError: names the first cell that did not.
    """
    content = json.loads(notebook.read_text())
    if content["metadata"].get("papermill", {}).get("exception"):
        raise NotebookError(f"{notebook.name}: papermill recorded an exception")
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, start=1):
        source = "".join(cell["source"]).strip()
        if source and cell.get("execution_count") is None:
            raise NotebookError(
                f"{notebook.name}: code cell {number} of {len(code)} never ran "
                f"(does a cell above it call sys.exit?). It begins: {source.splitlines()[0]!r}"
            )
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            raise NotebookError(f"{notebook.name}: code cell {number} of {len(code)} raised")


def drop_path_injection(notebook: Path, declared: dict[str, Any]) -> None:
    """Remove papermill's injected cell where it says nothing new to a reader.

    The cell stays when a value differs from the default shown above it; folders do not count. The
    machine's paths that papermill keeps in the metadata are dropped.
    """
    content = json.loads(notebook.read_text())
    run = content["metadata"].get("papermill", {})
    passed = run.get("parameters", {})
    if not any(n not in PATH_PARAMETERS and declared.get(n) != v for n, v in passed.items()):
        content["cells"] = [
            cell
            for cell in content["cells"]
            if "injected-parameters" not in cell["metadata"].get("tags", [])
        ]
    for key in ("input_path", "output_path"):
        run.pop(key, None)
    write_text(notebook, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def run_notebook(
    notebook: Path,
    output: Path,
    given: dict[str, str] | None = None,
    *,
    run_dir: Path | None = None,
) -> float:
    """Execute a notebook; ``output`` appears only when all of it ran.

    Who wants to write the same file, or in the same ``run_dir``, waits.

    Args:
        notebook: source notebook, never written to.
        output: where the executed notebook goes. A failing one is kept beside it as
            ``<stem>.failed.ipynb``, to look at.
        given: parameters as text.
        run_dir: folder for what the run leaves behind: the page's record, and checkpoints where
            the notebook declares a parameter ``out``. An interrupted run of the same inputs
            resumes.

    Returns:
        Wall seconds of the execution.

    Raises:
        NotebookError: see the guards above; a cell that raised, with its traceback.
        WriteError: the disk is full, or ``output`` or ``run_dir`` cannot be written.
    """
    parameters = resolve(notebook, given or {})
    declared = parameters_of(notebook)
    check_kernel()
    with ExitStack() as stack:
        for place in (output, run_dir):
            if place is not None:
                stack.enter_context(alone(place.parent, place.name))
                check_writable(place if place is output else place / RUN_MARK)
        if run_dir is not None and "out" in declared and "out" not in parameters:
            prepare_run_dir(run_dir, inputs_digest(notebook, parameters))
            parameters["out"] = os.path.relpath(run_dir.resolve(), KERNEL_CWD)
        return _execute(notebook, output, parameters, run_dir)


def _execute(
    notebook: Path, output: Path, parameters: dict[str, Any], run_dir: Path | None
) -> float:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    failed = output.with_name(f"{output.stem}.failed.ipynb")
    output.unlink(missing_ok=True)
    started = time.time()
    pages = {"REIDLAB_PAGES": str(run_dir.resolve())} if run_dir is not None else {}
    with patch.dict(os.environ, ENVIRONMENT | pages), atomic(output) as partial:
        try:
            papermill.execute_notebook(
                str(notebook),
                str(partial),
                parameters,
                kernel_name=KERNEL,
                cwd=str(KERNEL_CWD),
                progress_bar=False,
                log_output=True,
                start_timeout=180,
                extra_arguments=["--IPKernelApp.log_level=ERROR"],
            )
            check_whole(partial)
        except (PapermillExecutionError, NotebookError, DeadKernelError) as error:
            partial.replace(failed)
            if isinstance(error, DeadKernelError):
                error = NotebookError(
                    f"{notebook.name}: the kernel died, as it does when memory is short. "
                    "Try a smaller profile, or close what else runs."
                )
            raise NotebookError(f"{error}\nAs far as it came: {failed}") from None
        seconds = time.time() - started
        drop_path_injection(partial, parameters_of(notebook))
        failed.unlink(missing_ok=True)
    return seconds


def main(argv: list[str] | None = None) -> int:
    """Command line; exit status 0 only for a whole run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--run-dir", type=Path, help="where the run's record and checkpoints go")
    arguments = parser.parse_args(argv)
    # Snakemake and CI stop jobs with SIGTERM: leave by the same door as Ctrl-C, closing the kernel.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        seconds = run_notebook(
            arguments.notebook, arguments.output, dict(arguments.p), run_dir=arguments.run_dir
        )
    except (NotebookError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.notebook.name}: {seconds:.1f} s -> {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
