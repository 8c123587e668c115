"""Notebooks on Colab: the same hidden cell before the first code of each, which calls `prepare`.

`python -m workflow.colab` writes the cell into every notebook; nothing changes where it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from reidlab.files import find, write_text

ROOT = Path(__file__).resolve().parents[1]
CELL = """\
import os
import sys

if "google.colab" in sys.modules and not os.path.exists("../reidlab"):  # a bare machine
    os.system("git clone -q --depth 1 https://github.com/reidlab/reidlab")
    sys.path.insert(0, os.path.abspath("reidlab"))
    from workflow.colab import prepare

    prepare()"""
HIDDEN = {"jupyter": {"source_hidden": True}, "tags": ["remove-cell"]}
"""Metadata of the cell: pages leave it out, JupyterLab shows a bar in its place."""


def prepare() -> None:
    """Install what the notebooks need into this interpreter, and go to their folder.

    Raises:
        CalledProcessError: pip failed; what it printed stands above.
    """
    wanted = f"{ROOT}[explain,search,data,export]"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", wanted], check=True)
    os.chdir(ROOT / "notebooks")


def is_ours(cell: dict[str, Any]) -> bool:
    """Whether a cell is the hidden one, up to date or not."""
    return "google.colab" in "".join(cell["source"])


def with_cell(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells of a notebook with ours, up to date, before the first code, numbered anew."""
    others = [cell for cell in cells if not is_ours(cell)]
    first = next((i for i, c in enumerate(others) if c["cell_type"] == "code"), len(others))
    ours = {
        "cell_type": "code",
        "execution_count": None,
        "metadata": HIDDEN,
        "outputs": [],
        "source": CELL.splitlines(keepends=True),
    }
    both = [*others[:first], ours, *others[first:]]
    return [dict(sorted((cell | {"id": str(i)}).items())) for i, cell in enumerate(both)]


def main() -> None:
    """Write the cell into the notebooks that lack it."""
    for path in find(ROOT / "notebooks", "*.ipynb"):
        content = json.loads(path.read_text())
        content["cells"] = with_cell(content["cells"])
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
