"""Files that are no weights: each kind of damage is one clear error and runs no code."""

import argparse
import os
import pathlib
import pickle
import types
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reidlab.models.weights_file import WeightsError, compare_state, pick_weights, read_weights

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
    path, content = tmp_path / "c.pth", {"state_dict": STATE, "args": types.SimpleNamespace(lr=0.1)}
    if bare:  # written by pickle itself, not by torch.save
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(
        WeightsError, match=r"save its weights alone: torch.save\(torch.load"
    ) as raised:
        read_weights(tmp_path / "c.pth")
    assert bare or "Python objects (types.SimpleNamespace)" in str(raised.value)


def assert_same(found, expected=STATE):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "beside",
    [
        {"epoch": 3, "best": None, "name": "net", "done": True, "history": [{"loss": 1.0}]},
        {"args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs"), r=range(3).stop)},
        {"mAP": np.float64(0.8), "rank1": np.float32(0.9), "step": np.int64(7)},
        {"cmc": np.linspace(0, 1, 5), "names": np.array(["a", "b"])},
        {"optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}},
    ],
)
def test_values_beside_the_weights_that_are_no_tensors(tmp_path, beside, zipped):
    for content in ({**STATE, **beside}, {"state_dict": STATE, **beside}):
        torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
        assert_same(read_weights(tmp_path / "c.pth").state)


def test_paths_of_this_system_and_names_of_older_numpy(tmp_path):
    content = {**STATE, "args": argparse.Namespace(out=tmp_path)}
    torch.save(content, tmp_path / "c.pth")
    assert_same(read_weights(tmp_path / "c.pth").state)
    content = {**STATE, "mAP": np.float64(0.5)}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    written = (tmp_path / "c.pth").read_bytes()
    assert b"numpy._core." in written
    (tmp_path / "c.pth").write_bytes(written.replace(b"numpy._core.", b"numpy.core."))  # NumPy 1's
    assert_same(read_weights(tmp_path / "c.pth").state)


NAMES = {"cls_token", "blocks.0.attn.weight", "blocks.0.attn.bias", "norm.weight"}
NET = {key: torch.full((2,), float(i)) for i, key in enumerate(sorted(NAMES))}
OLD = {key: value - 100 for key, value in NET.items()}


def below(prefix, state=NET):
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    ("held", "place"),
    [
        (NET, ""),
        (below("module."), "module."),
        (below("_orig_mod."), ""),
        (below("module._orig_mod."), "module."),
        (below("_orig_mod.module."), "module."),
        (below("model.") | {"neck.weight": torch.zeros(3)}, "model."),
        (
            below("module.backbone.") | below("module.neck.", {"w": torch.zeros(3)}),
            "module.backbone.",
        ),
        (below("net.0."), "net.0."),
        ({k.replace("attn", "_checkpoint_wrapped_module.attn"): v for k, v in NET.items()}, ""),
        ({"state_dict": below("module."), "epoch": 3}, "state_dict.module."),
        ({"model_state_dict": NET}, "model_state_dict."),
        ({"params": {"net": NET}, "center": {"centers": torch.zeros(9, 9)}}, "params.net."),
        ({"model": {"state_dict": below("base.")}}, "model.state_dict.base."),
        (
            {"state_dict": NET, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}},
            "state_dict.",
        ),
        # of several the average, the teacher, and what MoCo and BYOL are judged by
        ({"model": OLD, "model_ema": OLD, "ema": NET}, "ema."),
        ({"state_dict": OLD, "state_dict_ema": NET}, "state_dict_ema."),
        ({"model": below("module.", OLD), "ema": below("module.")}, "ema.module."),
        (OLD | {"ema": NET}, "ema."),
        ({"student": OLD, "teacher": below("backbone.")}, "teacher.backbone."),
        (below("student.", OLD) | below("teacher."), "teacher."),
        (below("module.encoder_k.", OLD) | below("module.encoder_q."), "module.encoder_q."),
        (below("momentum_encoder.", OLD) | below("base_encoder."), "base_encoder."),
        (below("target_network.", OLD) | below("online_network."), "online_network."),
        # an average that lacks weights is no network
        ({"model": NET, "ema": {"cls_token": OLD["cls_token"]}}, "model."),
    ],
)
def test_a_network_is_found_by_its_names(held, place, capsys):
    if "model_ema" in held:
        del held["model_ema"]
    read = pick_weights(held, "net.pth", NAMES.__contains__)
    assert read.place == place
    assert_same({key: read.state[key] for key in NAMES}, NET)
    told = capsys.readouterr().out
    assert told.startswith(f"net.pth: the weights are taken from {place}*" if place else "")
    assert bool(told) == bool(place)
    assert read.source == (f"net.pth ({place}*)" if place else "net.pth")


def test_what_was_not_taken_is_told(capsys):
    pick_weights({"model": OLD, "ema": NET}, "net.pth", NAMES.__contains__)
    assert capsys.readouterr().out == ("net.pth: the weights are taken from ema.*, not model.*\n")


def test_two_networks_to_choose_from():
    for knows in (NAMES.__contains__, None):
        with pytest.raises(WeightsError, match=r"holds 2 networks: a\.\*, b\.\*\. Save the one"):
            pick_weights({"a": NET, "b": OLD}, "net.pth", knows)


def test_one_network_that_was_saved_twice():
    held = {"best_model": {**NET}, "model": NET}
    assert pick_weights(held, "net.pth", NAMES.__contains__).place == "model."


def test_a_file_without_any_of_the_names_is_read_as_it_is():
    read = pick_weights({"epoch": 3, "model": STATE}, "net.pth", NAMES.__contains__)
    assert read.place == "model."
    assert_same(read.state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(tmp_path, dtype):
    state = {key: value.to(dtype) for key, value in STATE.items()}
    torch.save(state, tmp_path / "net.pth")
    save_file(state, tmp_path / "net.safetensors")
    for suffix in (".pth", ".safetensors"):
        assert_same(read_weights(tmp_path / f"net{suffix}").state, state)


def test_the_content_decides_and_not_the_suffix(tmp_path):
    for suffix in (".pth", ".bin", ".ckpt", ""):
        save_file(STATE, tmp_path / f"a{suffix}", metadata={"image_size": "64,32"})
        read = read_weights(tmp_path / f"a{suffix}")
        assert_same(read.state)
        assert read.metadata == {"image_size": "64,32"}
    for zipped in (True, False):
        path = tmp_path / "b.safetensors"
        torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
        assert_same(read_weights(path).state)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_network_is_refused(tmp_path, zipped):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "n.pth", _use_new_zipfile_serialization=zipped)
    message = r"objects \(torch.nn.modules.linear.Linear\).* of a whole network \.state_dict\(\)"
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "n.pth")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_archives_that_torch_save_did_not_write(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 3), torch.zeros(1, 2)).save(tmp_path / "script.pt")
    with (tmp_path / "google.pth").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "packed.pth", "w") as archive:
        archive.writestr("weights/net.pth", b"1")
    for name, message in {
        "script.pt": r"is a TorchScript program.*torch.jit.load\('old.pt'\).state_dict\(\)",
        "google.pth": r"is an archive of NumPy; .*weights='timm'",
        "packed.pth": r"is an archive: unpack it, .*: weights/net.pth",
    }.items():
        with pytest.raises(WeightsError, match=message):
            read_weights(tmp_path / name)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    save_file(STATE, tmp_path / "net.safetensors")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(WeightsError, match=r"cannot be opened \(Permission denied\): allow"):
        read_weights(tmp_path / "net.safetensors")


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
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error>", "is a web page"),
        (b"<!-- saved from -->", "is a web page"),
        (b"/annex/objects/SHA256E-s1--0.pth", "a pointer of git-annex"),
        (b'{"a": 1}', "cannot be read"),
        (b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}', "is JSON text and cannot"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\x1f\x8b\x08", "is an archive: unpack it"),
        (b"\0" * 257 + b"ustar", "is an archive: unpack it"),
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


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.to("meta"),
        lambda x: x.to_sparse(),
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    ],
)
def test_tensors_of_another_kind(tmp_path, change):
    torch.save({**STATE, "a.weight": change(STATE["a.weight"])}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"net.pth: a.weight is no plain tensor \(torch\."):
        read_weights(tmp_path / "net.pth")


def test_whole_numbers_in_place_of_weights():
    found = {**STATE, "a.bias": torch.zeros(20, dtype=torch.int8)}
    assert compare_state(STATE, found).sizes == ["a.bias torch.int8 instead of torch.float32"]
    count = {"n": torch.tensor(3)}
    assert not compare_state(count, {"n": torch.tensor(3.0)})  # of batches, counted as it pleases


def test_a_mapping_that_holds_itself(tmp_path):
    held = {"net": STATE}
    held["again"] = held
    torch.save(held, tmp_path / "net.pth")
    read = read_weights(tmp_path / "net.pth")
    assert read.place == "net."
    assert_same(read.state)


def test_arrays_in_place_of_tensors(tmp_path):
    torch.save({key: value.numpy() for key, value in STATE.items()}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"holds no state dict.*It holds a.weight \(ndarray\)"):
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
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(WeightsError, match=r"but a folder.* it holds model.safetensors"):
        read_weights(tmp_path)


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
