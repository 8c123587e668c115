"""The notebooks for a class: for learners without the solutions, for teachers with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reidlab.files import find, project_root, write_text

EDITIONS = ("learner", "teacher")


def write_edition(edition: str, out: str | Path) -> list[Path]:
    """Write all notebooks of the book as an edition.

    Links between pages and to the project hold where `out` lies beside `notebooks`.

    Args:
        edition: "learner", without solutions, or "teacher", with them.
        out: folder for the notebooks; those of the same name are written over.

    Returns:
        The files written.

    Raises:
        ValueError: there is no such edition, the folder is that of the originals, or there are no
            notebooks where the book is expected.
    """
    source, out = project_root() / "notebooks", Path(out)
    if edition not in EDITIONS:
        raise ValueError(f"edition {edition!r} is unknown: choose {' or '.join(EDITIONS)}")
    if out.resolve() == source.resolve():
        raise ValueError(f"{out} holds the originals: name another folder")
    found = find(source, "*.ipynb")
    if not found:
        raise ValueError(f"{source} holds no notebooks: run this in a checkout of the book")
    for path in found:
        content = json.loads(path.read_text(encoding="utf-8"))
        if edition == "learner":
            content["cells"] = _without_solutions(content["cells"])
        write_text(out / path.name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return [out / path.name for path in found]


def _without_solutions(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells that do not lie between a start and an end of a solution, numbered anew."""
    kept: list[dict[str, Any]] = []
    inside = False
    for cell in cells:
        source = "".join(cell["source"])
        inside = inside or source.startswith("```{solution-start}")
        if not inside:
            kept.append(cell | {"id": str(len(kept))})
        inside = inside and "```{solution-end}" not in source
    return kept
