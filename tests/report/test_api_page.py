"""The API page of the book and the packages name the same things."""

import ast
import importlib
import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "book" / "api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(reidlab\.\w+)`.*?$(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
PACKAGES = sorted(
    f"reidlab.{path.parent.name}"
    for path in (Path(__file__).parents[2] / "reidlab").glob("*/__init__.py")
)


def test_every_package_has_a_section():
    assert sorted(SECTIONS) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_of_a_package_is_its_all(package):
    listed = re.findall(r"^\| `(\w+)` \|", SECTIONS[package], re.M)
    assert sorted(listed) == sorted(importlib.import_module(package).__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_examples_import_what_exists(package):
    examples = re.findall(r"```python\n(.*?)```", SECTIONS[package], re.S)
    assert len(examples) == 1
    imports = [node for node in ast.parse(examples[0]).body if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = importlib.import_module(node.module)
        for alias in node.names:
            if not hasattr(module, alias.name):
                importlib.import_module(f"{node.module}.{alias.name}")
