"""Run the code cells of a chapter in this process, as a kernel would, without starting one."""

import ast
import json
from pathlib import Path
from typing import Any

FORMATS = ("_repr_html_", "_repr_markdown_", "_repr_png_", "_repr_svg_")


def run_chapter(path: Path, **parameters: Any) -> str:
    """Execute all code cells of a notebook.

    Args:
        path: of the notebook.
        parameters: set after the cell tagged "parameters", as papermill does.

    Returns:
        What the cells show beside what they print: one representation of each value.

    Raises:
        Exception: what a cell raised, with the number of the cell in its notes.
    """
    shown: list[str] = []

    def display(*values: object) -> None:
        shown.extend(_seen(value) for value in values)

    names = {"__name__": "__main__", "display": display}
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        try:
            _execute("".join(cell["source"]), f"{path.stem}[{number}]", names, display)
        except Exception as error:
            error.add_note(f"cell {number} of {path.name}")
            raise
        if "parameters" in cell["metadata"].get("tags", []):
            names.update(parameters)
    return "\n".join(shown)


def _execute(source: str, name: str, names: dict[str, Any], display: Any) -> None:
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), name, "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), name, "eval"), names)
        if value is not None:
            display(value)


def _seen(value: object) -> str:
    """As a page shows it: the first rich form that it has, else its `repr`."""
    for name in FORMATS:
        method = getattr(value, name, None)
        found = method() if callable(method) else None
        if found is not None:
            return found if isinstance(found, str) else f"<{name} of {len(found)} bytes>"
    return repr(value)
