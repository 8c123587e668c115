"""Several seeds of the networks that chapters train live, for `python -m reidlab compare`.

    python -m workflow.page_seeds                        # every chapter that trains: half an hour
    python -m workflow.page_seeds 03_baseline --seeds 5

Each chapter runs whole, as in the book, once for each seed; an interrupted run goes on where it
stopped. book/results/pages/<chapter>.jsonl gets the run records, one line a network and seed, so
that a reader's numbers have an interval to lie in.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from reidlab.files import write_text
from reidlab.report import read_page
from workflow.run_notebook import run_notebook

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = (
    "03_baseline", "04_la_transformer", "05_la_tf_pp", "06_gltrans", "07_tvtr", "08_transmatcher",
)  # fmt: skip


def publish(chapter: str, seeds: Iterable[int], root: Path = ROOT) -> Path:
    """Run a chapter with several seeds, and write the records of what it trains.

    Args:
        chapter: stem of its notebook.
        seeds: of the page, and so of all that it trains.
        root: folder of the project.

    Returns:
        The file of the records.
    """
    lines: list[str] = []
    for seed in seeds:
        folder = root / "runs" / "page_seeds" / f"{chapter}-{seed}"
        notebook = root / "notebooks" / f"{chapter}.ipynb"
        run_notebook(notebook, folder / notebook.name, {"seed": str(seed)}, run_dir=folder)
        lines += map(json.dumps, read_page(folder / f"{chapter}.json")["records"])
    path = root / "book" / "results" / "pages" / f"{chapter}.jsonl"
    write_text(path, "\n".join(lines) + "\n")
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chapters", nargs="*", default=CHAPTERS)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for chapter in given.chapters:
        print(publish(chapter, range(given.seeds)), flush=True)


if __name__ == "__main__":
    main()
