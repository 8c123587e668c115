"""Build the HTML book out of the pages and the executed notebooks.

The pages are staged into a throw-away tree with the same relative paths as the sources, so that the
edit and Colab links, which Sphinx computes from a page's path, point at the clean source notebook.

    python -m workflow.build_book --executed _build/executed/laptop --out _build/built
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from reidlab.files import alone, check_writable, is_litter, write_text
from reidlab.report.slides import write_slides
from reidlab.report.teaching import fill, lesson
from workflow.check_book import toc_pages

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
SLIDES = Path("book", "_static", "slides")


def stage(executed: Path, tree: Path) -> None:
    """Copy config, table of contents, pages and executed notebooks into an empty ``tree``.

    Slides of each notebook, and the tables of the page for teachers, are made on the way.

    Raises:
        FileNotFoundError: a notebook of the table of contents was not executed.
    """
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(ROOT / name, tree / name)
    shutil.copytree(ROOT / "book", tree / "book", ignore=_litter)
    (tree / "notebooks").mkdir()
    for source in notebooks_of_toc():
        ran = executed / f"{source.stem}.ipynb"
        if not ran.is_file():
            raise FileNotFoundError(
                f"{ran}: _toc.yml lists {source.name}, and it was not executed. "
                "Add it to `notebooks:` in workflow/config.yaml."
            )
        shutil.copy2(ran, tree / "notebooks" / ran.name)
        write_slides(ran, tree / SLIDES / f"{source.stem}.html")
    teaching = tree / "book" / "teaching.md"
    lessons = map(lesson, notebooks_of_toc())
    write_text(teaching, fill(teaching.read_text(encoding="utf-8"), lessons))


def _litter(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if is_litter(name) or name.endswith(".tmp")]


def notebooks_of_toc() -> list[Path]:
    """Source notebooks that _toc.yml lists, in its order."""
    pages = [ROOT / page for page in toc_pages(ROOT / "_toc.yml")]
    return [page.with_suffix(".ipynb") for page in pages if page.parent.name == "notebooks"]


def build(tree: Path, output: Path) -> int:
    """Run Jupyter Book on the staged tree; return its exit status.

    Warnings are errors. Sphinx does not repeat them over old doctrees, so each build is new.
    """
    shutil.rmtree(output, ignore_errors=True)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        *("build", str(tree), "--path-output", str(output), "-W", "-n", "--keep-going", "-q"),
    ]
    # The API page imports reidlab from the working tree, also where it is not installed.
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(command, env=environment).returncode


def main() -> int:
    """Stage, build, and give the HTML its name only if no warning was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--executed", type=Path, required=True, help="folder of executed notebooks")
    parser.add_argument("--out", type=Path, required=True, help="folder of the HTML, replaced")
    arguments = parser.parse_args()
    try:
        with alone(BUILD):
            return build_into(arguments.executed, arguments.out)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def build_into(executed: Path, out: Path) -> int:
    """Build from executed notebooks; ``out`` is replaced by a book without warnings alone."""
    tree, output = BUILD / "stage", BUILD / "jupyter-book"
    check_writable(out / "index.html")
    stage(executed, tree)
    status = build(tree, output)
    built = output / "_build" / "html"
    if status != 0 or not (built / "index.html").is_file():
        check_writable(built / "index.html")  # was the disk full, say that
        print(f"error: the book has warnings (above); what was built: {built}", file=sys.stderr)
        return status or 1
    shutil.rmtree(out)
    built.rename(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
