"""MATLAB files of version 5: whatever is whole reads as SciPy reads it, whatever is not is refused.

SciPy by itself ends the process on some of the damaged ones, so that nothing here could catch it.
"""

import math
import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from reidlab.data import DatasetError
from reidlab.data.matlab import load_matlab5, whole_numbers
from tests.data.layouts import cell, config

HEADER = 128  # bytes before the first variable

VALUES = {
    "nothing": np.zeros((0, 0)),
    "number": np.array([[7.0]]),
    "doubles": np.array([[1.5], [2.5]]),
    "bytes": np.array([[1, 2, 3]], np.uint8),
    "complex": np.array([[1 + 2j, 3]]),
    "cube": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "text": "abc",
    "empty text": "",
    "not ascii": "é数",
    "lines": np.array(["ab", "cd"]),
    "cell": cell("a", "bcd", np.zeros((0, 0))),
    "cells in cells": cell(cell(1.0, "x"), np.ones((10, 3))),
    "logical": np.array([[True, False]]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", sorted(VALUES))
def test_what_is_whole_reads_as_scipy_reads_it(kind, packed, tmp_path):
    variables = {"v": VALUES[kind], "a_long_name": VALUES[kind]}
    savemat(tmp_path / "a.mat", variables, do_compression=packed)
    expected = loadmat(tmp_path / "a.mat")
    for name, found in zip(variables, load_matlab5(tmp_path / "a.mat", *variables), strict=True):
        assert found.dtype == expected[name].dtype
        assert found.shape == expected[name].shape
        assert repr(found) == repr(expected[name])


def test_big_endian(tmp_path):
    """As MATLAB wrote it on other machines: one 1 x 2 array of doubles, typed by hand."""
    flags = struct.pack(">4I", 6, 8, 6, 0)
    shape = struct.pack(">2I2i", 5, 8, 1, 2)
    name = struct.pack(">HH4s", 1, 1, b"v")  # four bytes fit into the tag: size, then type
    values = struct.pack(">2I2d", 9, 16, 0.25, -8.0)
    body = flags + shape + name + values
    packed = zlib.compress(struct.pack(">2I", 14, len(body)) + body)
    content = (
        b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + struct.pack(">2I", 15, len(packed)) + packed
    )
    (tmp_path / "a.mat").write_bytes(content)
    (found,) = load_matlab5(tmp_path / "a.mat", "v")
    assert found.tolist() == [[0.25, -8.0]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("mat") / "config.mat"
    savemat(path, config())
    return path


@pytest.mark.parametrize("tail", ["cut", "zeros"])
def test_half_a_file(tail, whole, tmp_path):
    """Cut anywhere, or the rest zeros, as an interrupted download leaves a file of full size."""
    content, half = whole.read_bytes(), tmp_path / "config.mat"
    for end in range(HEADER, len(content) - 24, 8):  # the last value could be zero by itself
        half.write_bytes(content[:end] + bytes(len(content) - end) * (tail == "zeros"))
        with pytest.raises(DatasetError, match=r"config\.mat"):
            load_matlab5(half, *config())


def test_wrong_bytes(whole, tmp_path):
    """A wrong byte changes a value at most; no error of another kind, no crash."""
    content, wrong = whole.read_bytes(), tmp_path / "config.mat"
    refused = 0
    for place in range(HEADER, len(content), 3):
        for value in (0, 1, 14, 255):
            wrong.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            try:
                load_matlab5(wrong, *config())
            except DatasetError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("values", [[[1.0, 2.0]], np.array([[3], [4]], np.uint16), [[0.0]]])
def test_whole_numbers(values, tmp_path):
    found = whole_numbers(tmp_path, "id", values)
    assert found.dtype == np.int64
    assert found.tolist() == np.asarray(values).tolist()


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([[1.5, 2]], "1.5"), ([[1, math.nan]], "nan"), ([[math.inf]], "inf"), ([[-1.0]], "-1.0"),
        (np.zeros((0, 0)), "nothing"), (np.array(["abc"]), "abc"), (cell(1, 2), "1"),
        ([[1 + 1j]], r"\(1\+1j\)"), ([[1e300]], r"1e\+300"),
    ],
)  # fmt: skip
def test_what_is_no_whole_number(values, shown, tmp_path):
    with pytest.raises(DatasetError, match=f"a.mat: id holds {shown}, expected whole numbers"):
        whole_numbers(tmp_path / "a.mat", "id", values)
