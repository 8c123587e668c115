"""Elementary functions with the same bits with and without AVX-512, and no others in the world."""

import ast
from pathlib import Path

import numpy as np
import pytest

import reidlab.synth
from reidlab.synth import vectors

# NumPy computes these by other code where a processor knows AVX-512
TWO_VERSIONS = {
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "exp",
    "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "power", "float_power", "einsum",
    "dot", "matmul", "inner", "tensordot",
}  # fmt: skip


@pytest.mark.parametrize(("name", "theirs"), [("sin", np.sin), ("cos", np.cos)])
def test_angles_are_numpys_to_the_last_bits(name, theirs):
    angles = np.random.default_rng(0).uniform(-10, 10, (40, 5))
    np.testing.assert_allclose(getattr(vectors, name)(angles), theirs(angles), rtol=1e-14)


def test_two_arguments_broadcast_and_nothing_stays_nothing():
    x, y = np.array([[0.5], [2.0]]), np.array([1.0, -2.0, 0.3])
    np.testing.assert_allclose(vectors.power(x, y), x**y, rtol=1e-14)
    np.testing.assert_allclose(vectors.atan2(y, x), np.arctan2(y, x), rtol=1e-14)
    assert vectors.sin(np.zeros((0, 3))).shape == (0, 3)


def _other_bits(file):
    """Uses in a file of what differs between processors, as line numbers with names."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in TWO_VERSIONS:
            if isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"):
                yield f"{file.name}:{node.lineno} np.{node.attr}"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield f"{file.name}:{node.lineno} @"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            numbers = isinstance(node.left, ast.Constant) and not isinstance(node.right, ast.Name)
            if not numbers and getattr(node.right, "value", None) != 2:
                yield f"{file.name}:{node.lineno} **"


def test_pictures_use_nothing_that_differs_between_processors():
    files = [*Path(reidlab.synth.__file__).parent.rglob("*.py")]
    assert len(files) > 30
    assert [use for file in files for use in _other_bits(file)] == []


def test_such_a_use_is_found(tmp_path):
    (tmp_path / "bad.py").write_text("a = np.sin(x)\nb = x**2.4\nc = x @ y\nd = x**2 + 2.0**20\n")
    found = [*_other_bits(tmp_path / "bad.py")]
    assert sorted(found) == ["bad.py:1 np.sin", "bad.py:2 **", "bad.py:3 @"]
