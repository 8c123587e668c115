"""Files that are no weights: each kind of damage is one clear error and runs no code."""

import argparse
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from reidlab.models.weights_file import WeightsError, compare_state, read_weights

STATE = {"a.weight": torch.arange(600.0).reshape(20, 30), "a.bias": torch.zeros(20)}


class Code:
    """What a pickle can do when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_a_whole_file(tmp_path, suffix, wrapper):
    path = tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        save_file(STATE, path, metadata={"image_size": "64,32"})
    else:
        torch.save(STATE if wrapper is None else {wrapper: STATE, "epoch": 3}, path)
    read = read_weights(path)
    assert read.name == path.name
    assert read.metadata == ({"image_size": "64,32"} if suffix == ".safetensors" else {})
    assert read.state.keys() == STATE.keys()
    assert all(torch.equal(read.state[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("new_format", [True, False])
def test_a_file_with_code_is_refused_and_the_code_does_not_run(tmp_path, new_format):
    path, victim = tmp_path / "evil.pth", tmp_path / "made"
    content = {**STATE, "extra": Code(victim)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(WeightsError, match=r"evil.pth holds Python objects.*it was refused"):
        read_weights(path)
    assert not victim.exists()
    torch.load(path, weights_only=False)
    assert victim.exists()  # so that the test can fail


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("bare", [False, True])
def test_a_checkpoint_with_settings_says_how_to_save_its_weights_alone(tmp_path, bare):
    path, content = tmp_path / "c.pth", {"state_dict": STATE, "args": argparse.Namespace(lr=0.1)}
    if bare:  # written by pickle itself, not by torch.save
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=r"save its weights alone: torch.save\(torch.load"):
        read_weights(tmp_path / "c.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 60, 1000, -1])
def test_a_truncated_file(tmp_path, suffix, kept):
    path = tmp_path / f"net{suffix}"
    torch.save(STATE, path) if suffix == ".pth" else save_file(STATE, path)
    path.write_bytes(path.read_bytes()[:kept])
    size = path.stat().st_size
    message = rf"net{suffix} cannot be read \({size} bytes; .+\). Expected a whole .safetensors"
    with pytest.raises(WeightsError, match=message):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of git LFS"),
        (b"\n<!DOCTYPE html><title>Drive</title>", "net.* is a web page, not weights"),
        (b"<html lang='en'>", "is a web page"),
        (b'{"a": 1}', "cannot be read"),
        (b"hello", "cannot be read"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
    ],
)
def test_something_else_under_the_name(tmp_path, suffix, content, message):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_weights(path)


@pytest.mark.parametrize("content", [[STATE], {"epoch": 3}, {"state_dict": [1]}, torch.zeros(3)])
def test_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="holds no state dict; expected names with one tensor"):
        read_weights(tmp_path / "net.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers(tmp_path, value):
    broken = STATE["a.bias"].clone()
    broken[3] = value
    save_file({**STATE, "a.bias": broken}, tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=r"net.safetensors: a.bias has values that are no num"):
        read_weights(tmp_path / "net.safetensors")


def test_a_folder_and_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.pth"):
        with pytest.raises(WeightsError, match="there is no such file"):
            read_weights(path)


@pytest.mark.parametrize("content", [None, b"hello", b"<html>"])
def test_a_hint_ends_every_message(tmp_path, content):
    path, hint = tmp_path / "net.safetensors", "It is of the run in out. Delete out to start again."
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"net\.safetensors.* {hint}$") as raised:
        read_weights(path, hint)
    assert "'synth'" not in str(raised.value)


def test_state_dicts_that_are_alike():
    assert not compare_state(STATE, {key: torch.ones_like(value) for key, value in STATE.items()})


def test_what_differs_between_state_dicts():
    found = {"b": torch.zeros(1), "a.bias": torch.zeros(20, 1), "A": torch.zeros(())}
    difference = compare_state(STATE, found)
    assert difference
    assert difference == (["A", "b"], ["a.weight"], ["a.bias (20, 1) instead of (20,)"])
    assert str(difference) == (
        "unknown keys A, b; missing keys a.weight; other sizes a.bias (20, 1) instead of (20,)"
    )
    many = compare_state({}, {str(i): torch.zeros(1) for i in range(7)})
    assert str(many) == "unknown keys 0, 1, 2, 3, 4 and 2 more; missing keys none; other sizes none"
