"""Checkpoints that are damaged, foreign, or of another size: said by name, and no code is run."""

import dataclasses
import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reidlab.models import pretrained
from reidlab.training import CheckpointError, RunRecord, build_model, fit, load_run, session
from reidlab.training import recipe as recipe_module


@pytest.fixture
def tiny(recipe):
    return recipe.replace(image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("unfinished") / "run"


@pytest.fixture
def unfinished(ds, tiny, made, tmp_path, stopped_in):
    """Folder of a run after its first epoch, a copy for each test."""
    if not made.exists():
        with stopped_in(2):
            fit(build_model(tiny, ds), ds, tiny, out=made)
    (tmp_path / "checkpoints").mkdir()
    for path in (made / "checkpoints").iterdir():
        (tmp_path / "checkpoints" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def state_of(out):
    return out / "checkpoints" / "epoch-0001.pt"


def weights_of(out):
    return out / "checkpoints" / "epoch-0001.safetensors"


def refused(ds, recipe, out, message):
    model = build_model(recipe, ds)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        fit(model, ds, recipe, out=out)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Code:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o, protocol=2))]
)
def test_a_pickle_with_code_is_not_unpickled(ds, tiny, unfinished, write):
    trace = unfinished / "it ran"
    write({"epoch": 1, "history": Code(trace)}, state_of(unfinished))
    refused(
        ds, tiny, unfinished,
        r"epoch-0001.pt cannot be read: .*objects whose code would have to run .*UnpicklingError",
    )  # fmt: skip
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("file", [state_of, weights_of])
def test_half_a_file(ds, tiny, unfinished, file, share):
    path = file(unfinished)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(ds, tiny, unfinished, rf"{path.name}.* cannot be read.*Delete the folder .*checkpoints")


def test_weights_gone(ds, tiny, unfinished):
    weights_of(unfinished).unlink()
    refused(
        ds,
        tiny,
        unfinished,
        r"epoch-0001.safetensors: there is no such file. .*the weights of the checkpoint .*start",
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1, 2], "missing configuration, epoch, history, optimizer, scaler, unknown nothing"),
        (
            {"model": {}, "epoch": 3},
            "missing configuration, history, optimizer, scaler, started, unknown model",
        ),
    ],
)
def test_a_checkpoint_from_somewhere_else(ds, tiny, unfinished, state, message):
    torch.save(state, state_of(unfinished))
    refused(ds, tiny, unfinished, rf"is no checkpoint of this library: {message}\. Delete the fold")


def test_another_size_and_another_seed(ds, tiny, unfinished):
    refused(
        ds, tiny.replace(image_size=(64, 32)), unfinished,
        r"another run: recipe.image_size is \[32, 16\] there and \[64, 32\] now",
    )  # fmt: skip
    refused(ds, tiny.replace(depth=2), unfinished, r"recipe.depth is 1 there and 2 now")
    with pytest.raises(CheckpointError, match="seed is 0 there and 1 now"):
        fit(build_model(tiny, ds), ds, tiny, seed=1, out=unfinished)


def test_another_number_of_classes(ds, tiny, unfinished):
    fewer = dataclasses.replace(ds, train=ds.train[ds.train["label"] < 7])
    refused(fewer, tiny, unfinished, r"classes is 8 there and 7 now; trained_on is '\w+' there")


def test_weights_of_another_model_under_the_same_settings(ds, tiny, unfinished):
    weights = load_file(weights_of(unfinished))
    classifier = weights["neck.classifier.weight"]
    save_file(weights | {"neck.classifier.weight": classifier[:5].clone()}, weights_of(unfinished))
    refused(
        ds, tiny, unfinished,
        r"unknown keys none; missing keys none; other sizes neck.classifier.weight \(5, 192\) "
        r"instead of \(8, 192\)",
    )  # fmt: skip
    weights["head.weight"] = weights.pop("neck.classifier.weight")
    save_file(weights, weights_of(unfinished))
    refused(
        ds, tiny, unfinished, "unknown keys head.weight; missing keys neck.classifier.weight; other"
    )


def test_an_optimizer_of_another_model(ds, tiny, unfinished):
    state = torch.load(state_of(unfinished), weights_only=True)
    state["optimizer"]["param_groups"][0]["params"].pop()
    torch.save(state, state_of(unfinished))
    model = build_model(tiny, ds)
    with pytest.raises(CheckpointError, match=r"the optimizer in .* is of another model .*another"):
        fit(model, ds, tiny, out=unfinished)


def test_the_weights_of_a_finished_run(ds, tiny, unfinished):
    record = fit(build_model(tiny, ds), ds, tiny, out=unfinished)
    path = unfinished / "model.safetensors"
    whole = path.read_bytes()
    message = r"model.safetensors.* (cannot be read|no such file).* the finished run .*Delete .*rec"
    for broken in (whole[:1000], b"", None):
        path.unlink(missing_ok=True) if broken is None else path.write_bytes(broken)
        refused(ds, tiny, unfinished, message)
        with pytest.raises(CheckpointError, match=message):
            load_run(unfinished, ds)
    path.write_bytes(whole)
    assert fit(build_model(tiny, ds), ds, tiny, out=unfinished) == record


# ------------------------------------------------------------------ what a run began with


@pytest.fixture
def begun(tiny, tmp_path):
    """Recipes by three files of one name: two are equal."""

    def of(folder, content):
        path = tmp_path / folder / "vit.pth"
        path.parent.mkdir()
        path.write_bytes(content)
        return tiny.replace(weights=path)

    return of("a", b"one"), of("b", b"other"), of("c", b"one")


@pytest.mark.parametrize("place", [2, "evaluation", None])
def test_weight_files_of_one_name_are_told_by_their_content(
    ds, tiny, begun, tmp_path, stopped_in, place
):
    one, other, copy = begun
    out = tmp_path / "run"
    if place is None:
        fit(build_model(tiny, ds), ds, one, out=out)
    else:
        with stopped_in(place):
            fit(build_model(tiny, ds), ds, one, out=out)
    sums = [hashlib.sha256(content).hexdigest() for content in (b"one", b"other")]
    with pytest.raises(
        CheckpointError, match=rf"weights_sha256 is '{sums[0]}' there and '{sums[1]}' now"
    ):
        fit(build_model(tiny, ds), ds, other, out=out)
    record = fit(build_model(tiny, ds), ds, copy, out=out)
    assert record.experiment["weights_sha256"] == sums[0]
    assert record.experiment["weights"] == "vit.pth"
    assert load_run(out, ds)[1] == record


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_notices_other_shipped_weights(ds, tiny, tmp_path, monkeypatch, stopped_in, finished):
    synth, out = tiny.replace(weights="synth"), tmp_path / "run"
    if finished:
        record = fit(build_model(synth, ds), ds, synth, out=out)
        shipped = record.experiment["weights_sha256"]
        assert shipped == hashlib.sha256(pretrained.shipped_weights().read_bytes()).hexdigest()
    else:
        with stopped_in(2):
            fit(build_model(synth, ds), ds, synth, out=out)
    model = build_model(synth, ds)
    (tmp_path / "other").write_bytes(b"of a later version")
    monkeypatch.setattr(recipe_module, "shipped_weights", lambda name: tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"weights_sha256 is '.{64}' there and '.{64}' now"):
        fit(model, ds, synth, out=out)


def test_a_run_from_before_the_sum_of_the_shipped_weights_goes_on(ds, tiny, tmp_path, stopped_in):
    synth = tiny.replace(weights="synth")
    with stopped_in(2):
        fit(build_model(synth, ds), ds, synth, out=tmp_path)
    state = torch.load(state_of(tmp_path), weights_only=True)
    state["configuration"]["weights_sha256"] = None  # as it was written then
    torch.save(state, state_of(tmp_path))
    fit(build_model(synth, ds), ds, synth, out=tmp_path)
    record = RunRecord.load(tmp_path / "record.json")
    record.experiment["weights_sha256"] = None
    (tmp_path / "record.json").unlink()
    record.save(tmp_path / "record.json")
    assert fit(build_model(synth, ds), ds, synth, out=tmp_path) == record


@pytest.mark.parametrize("weights", [None, "timm"])
def test_weights_that_are_no_file_have_no_sum(tiny, weights):
    assert tiny.replace(weights=weights).weights_sha256 is None


def test_the_file_may_go_while_the_run_goes_on(ds, tiny, begun, tmp_path, monkeypatch):
    one, _, copy = begun
    check = session.check_weights
    monkeypatch.setattr(
        session, "check_weights", lambda *a: (Path(one.weights).unlink(missing_ok=True), check(*a))
    )
    record = fit(build_model(tiny, ds), ds, one, out=tmp_path / "run")
    assert record.experiment["weights_sha256"] == hashlib.sha256(b"one").hexdigest()
    assert fit(build_model(tiny, ds), ds, copy, out=tmp_path / "run") == record


def test_a_run_from_before_the_sums_goes_on(ds, tiny, begun, tmp_path, stopped_in):
    one, other, _ = begun
    out = tmp_path / "run"
    with stopped_in(2):
        fit(build_model(tiny, ds), ds, one, out=out)
    state = torch.load(state_of(out), weights_only=True)
    del state["configuration"]["weights_sha256"]
    torch.save(state, state_of(out))
    fit(build_model(tiny, ds), ds, other, out=out)
    record = RunRecord.load(out / "record.json")
    del record.experiment["weights_sha256"]
    record.save(out / "record.json")
    assert fit(build_model(tiny, ds), ds, one, out=out) == record


def test_the_commit_is_that_of_the_start(ds, tiny, tmp_path, monkeypatch, stopped_in):
    first, later = ("a" * 40, False), ("b" * 40, True)
    monkeypatch.setattr(session, "git_commit", lambda: first)
    with stopped_in(2):
        fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
    assert tuple(torch.load(state_of(tmp_path), weights_only=True)["commit"]) == first
    monkeypatch.setattr(session, "git_commit", lambda: later)
    record = fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
    assert (record.commit, record.dirty) == first
    again = fit(build_model(tiny, ds), ds, tiny, out=tmp_path, resume=False)
    assert (again.commit, again.dirty) == later


def test_a_commit_made_while_it_trains_is_not_that_of_the_run(ds, tiny, tmp_path, monkeypatch):
    told = iter([("a" * 40, False), ("b" * 40, True), ("c" * 40, True)])
    monkeypatch.setattr(session, "git_commit", lambda: next(told))
    record = fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
    assert (record.commit, record.dirty) == ("a" * 40, False)
