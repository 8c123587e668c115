"""No training is lost to its evaluation or to a disk: once mended, it is judged and finished."""

import dataclasses
import errno
import os
import resource
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file

from reidlab.data import DatasetError, open_dataset
from reidlab.training import (
    CheckpointError,
    RunRecord,
    build_model,
    evaluate_on,
    fit,
    fitting,
    load_run,
    loop,
)
from tests.conftest import write_noise
from tests.training.test_killed import comparable


@pytest.fixture
def tiny(recipe):
    return recipe.replace(image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2)


@pytest.fixture
def root(tmp_path):
    """A set that a test may spoil."""
    return write_noise(tmp_path / "set")


def opened(root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset("market1501", root)


def run(ds, recipe, out, **options):
    return fit(build_model(recipe, ds), ds, recipe, out=out, **options)


@pytest.fixture
def never_trains(monkeypatch):
    """Call it, and from then on no step may be made."""

    def never(*_):
        raise AssertionError("it trained again")

    return lambda: monkeypatch.setattr(loop, "train_epoch", never)


def same_weights(one, two):
    a, b = (load_file(folder / "model.safetensors") for folder in (one, two))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ------------------------------------------------------------------ the evaluation fails


def fewer_queries(root):
    (root / "query" / "0009_c1s1_000010_01.jpg").unlink()


def more_images(root):
    source = root / "bounding_box_test" / "0009_c3s1_000003_01.jpg"
    shutil.copy(source, source.with_name("0009_c4s1_000099_01.jpg"))


@pytest.mark.parametrize(
    ("fault", "mend"),
    [
        (KeyboardInterrupt(), None),
        (MemoryError(), None),
        (OSError(errno.ENOSPC, "full"), fewer_queries),
        (DatasetError("x"), more_images),
    ],
)
def test_any_failure_and_any_mending(root, tiny, tmp_path, fault, mend, never_trains, capsys):
    whole = run(opened(root), tiny, tmp_path / "whole")
    out = tmp_path / "run"

    def fails(*_, **__):
        raise fault

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "timed_evaluation", fails)
        with pytest.raises(type(fault)):
            run(opened(root), tiny, out)
    assert same_weights(out, tmp_path / "whole"), "they are there before anything is judged"
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == f"{out / 'model.safetensors'} is trained; the same call goes on with judging it"

    if mend is not None:
        mend(root)
    never_trains()
    ds = opened(root)
    model = build_model(tiny, ds, seed=8)
    record = fit(model, ds, tiny, out=out)
    assert record.history == RunRecord.load(out / "record.json").history
    assert [row["loss"] for row in record.history] == [row["loss"] for row in whole.history]
    assert record.metrics == evaluate_on(load_run(out)[0], ds, tiny).as_dict()
    assert record.data["fingerprint"] == ds.fingerprint()
    assert record.data["trained_on"] == whole.data["trained_on"]
    assert same_weights(out, tmp_path / "whole")
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "record.json"]
    if mend is None:
        assert comparable(record) == comparable(whole)


def test_an_image_that_breaks_while_it_trains(root, tiny, tmp_path, monkeypatch, never_trains):
    broken = next((root / "query").iterdir())
    whole, before = broken.read_bytes(), loop.train_epoch

    def train_epoch(session, epoch):
        broken.write_bytes(whole[:100])
        return before(session, epoch)

    monkeypatch.setattr(loop, "train_epoch", train_epoch)
    with pytest.raises(DatasetError, match=broken.name):
        run(opened(root), tiny, tmp_path / "run")
    broken.write_bytes(whole)
    never_trains()
    assert run(opened(root), tiny, tmp_path / "run").metrics["num_valid"] == 4


def test_in_the_middle_of_the_training_too(root, tiny, tmp_path, stopped_in):
    whole = run(opened(root), tiny, tmp_path / "whole")
    with stopped_in(2):
        run(opened(root), tiny, tmp_path / "run")
    more_images(root)
    record = run(opened(root), tiny, tmp_path / "run")
    assert [row["loss"] for row in record.history] == [row["loss"] for row in whole.history]
    assert record.data["gallery_images"] == 17


@pytest.mark.parametrize("change", [{}, {"validate_every": 1, "validation_identities": 2}])
def test_other_training_images_are_another_run(root, tiny, tmp_path, stopped_in, change):
    recipe = tiny.replace(**change)
    with stopped_in(2):
        run(opened(root), recipe, tmp_path / "run")
    path = next((root / "bounding_box_train").glob("0001*"))
    path.rename(path.with_name(path.name.replace("0001", "0002").replace("_01.", "_09.")))
    with pytest.raises(CheckpointError, match=r"another run: trained_on is"):
        run(opened(root), recipe, tmp_path / "run")


def test_lists_and_names_of_the_test_part_are_not_read(tmp_path, tiny, noise_root, never_trains):
    """In a table of one's own people are numbered by name, and the table is one file for all."""
    lines = ["path,pid,camid,split"]
    for folder, split in (("bounding_box_train", "train"), ("query", "query"),
                          ("bounding_box_test", "gallery")):  # fmt: skip
        for path in sorted((noise_root / folder).iterdir()):
            lines.append(f"{path},p{path.name[:4]},{path.name[6]},{split}")
    table = tmp_path / "images.csv"
    table.write_text("\n".join(lines))
    before = open_dataset("folder", table)
    run(before, tiny, tmp_path / "run")
    table.write_text("\n".join(lines).replace("p0009", "another"))  # sorted before all others
    after = open_dataset("folder", table)
    assert set(after.train["pid"]) != set(before.train["pid"])
    never_trains()
    record = run(after, tiny, tmp_path / "run")
    assert record.data["fingerprint"] == after.fingerprint()


# ------------------------------------------------------------------ a finished run


def test_a_finished_run_is_judged_anew_on_another_test_part(
    root, tiny, tmp_path, never_trains, capsys
):
    out = tmp_path / "run"
    before = run(opened(root), tiny, out)
    more_images(root)
    never_trains()
    ds = opened(root)
    record = run(ds, tiny, out)
    assert capsys.readouterr().out.splitlines()[-1].endswith("so it is judged anew")
    assert record.metrics == evaluate_on(load_run(out)[0], ds, tiny).as_dict()
    assert record.data["gallery_images"] == 17
    assert record.history == before.history
    assert record.seconds["train"] == before.seconds["train"]
    kept = RunRecord.load(out / f"record-{before.data['fingerprint'][:8]}.json")
    assert kept == before
    assert run(ds, tiny, out) == record, "and then read back"
    assert run(ds.train_only(), tiny, out) == record


def test_a_run_without_a_test_gets_one(root, tiny, tmp_path, never_trains):
    ds, out = opened(root), tmp_path / "run"
    assert run(ds.train_only(), tiny, out).metrics == {}
    never_trains()
    assert run(ds, tiny, out).metrics == evaluate_on(load_run(out)[0], ds, tiny).as_dict()
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "record.json"]


def test_people_left_out_stay_the_same(root, tiny, tmp_path, never_trains):
    recipe = tiny.replace(validate_every=1, validation_identities=2, keep="best")
    before = run(opened(root), recipe, tmp_path / "run")
    more_images(root)
    never_trains()
    after = run(opened(root), recipe, tmp_path / "run")
    names = [name for name in after.data if name.startswith("validation")]
    assert {name: after.data[name] for name in names} == {name: before.data[name] for name in names}
    assert len(names) == 3


def test_of_an_older_version_only_the_whole_is_known(root, tiny, tmp_path):
    out = tmp_path / "run"
    run(opened(root), tiny, out)
    older = RunRecord.load(out / "record.json")
    del older.data["trained_on"]
    older.save(out / "record.json")
    assert run(opened(root), tiny, out) == older
    assert load_run(out, opened(root))[1] == older
    more_images(root)
    with pytest.raises(CheckpointError, match=r"another run: data is"):
        run(opened(root), tiny, out)
    with pytest.raises(CheckpointError, match=r"evaluate_run\(out, ds\)"):
        load_run(out, opened(root))


# ------------------------------------------------------------------ the disk


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Folder of a run without any failure, made once."""
    return tmp_path_factory.mktemp("straight") / "run"


@pytest.mark.parametrize(
    ("file", "number", "kept"),
    [
        ("epoch-0001.safetensors", errno.ENOSPC, "Nothing was there to lose"),
        ("epoch-0002.safetensors", errno.EDQUOT, "epoch-0001.pt is kept"),
        ("epoch-0002.pt", errno.ENOSPC, "epoch-0001.pt is kept"),
        ("epoch-0002.pt", errno.EROFS, "epoch-0001.pt is kept"),
        ("model.safetensors", errno.ENOSPC, "epoch-0002.pt is kept"),
        ("record.json", errno.ENOSPC, "epoch-0002.pt is kept"),
        ("record.json", errno.EACCES, "epoch-0002.pt is kept"),
    ],
)
def test_a_disk_that_refuses_a_file(ds, tiny, tmp_path, straight, file, number, kept):
    replace = os.replace

    def refuses(source, target):
        if os.path.basename(target) == file:
            raise OSError(number, os.strerror(number))
        return replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", refuses)
        with pytest.raises(CheckpointError) as stopped:
            run(ds, tiny, tmp_path / "run")
    told = str(stopped.value)
    assert os.strerror(number) in told
    assert kept in told
    assert str(tmp_path / "run") in told
    assert not [path for path in (tmp_path / "run").rglob("*") if ".part" in path.name]
    record = run(ds, tiny, tmp_path / "run")
    assert comparable(record) == comparable(run(ds, tiny, straight))
    assert same_weights(tmp_path / "run", straight)


@pytest.mark.parametrize(("share", "file"), [(0.5, "safetensors"), (1.5, "pt")])
def test_bytes_that_do_not_fit(ds, tiny, tmp_path, share, file):
    """As torch and safetensors tell it themselves, which is not by an OSError."""
    model = build_model(tiny, ds)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * weights), limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written: .*File too large"):
            fit(model, ds, tiny, out=tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "run" / "checkpoints").glob("*.pt"))
    assert run(ds, tiny, tmp_path / "run").metrics


def test_an_error_of_the_program_is_not_taken_for_the_disk(ds, tiny, tmp_path, monkeypatch):
    def wrong(*_, **__):
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(torch, "save", wrong)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        run(ds, tiny, tmp_path / "run")


def test_a_tracker_that_fails_costs_no_epoch(ds, tiny, tmp_path, monkeypatch):
    from accelerate import Accelerator

    def fails(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Accelerator, "log", fails)
        with pytest.raises(OSError, match="No space left"):
            run(ds, tiny, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "epoch-0001.pt").is_file()


def test_the_digest_of_what_is_trained_on(ds):
    """A part of a set is the same part wherever it lies and whatever stands beside it."""
    other = dataclasses.replace(ds, query=ds.query.iloc[:1], lists=())
    assert other.rows_fingerprint(ds.train) == ds.rows_fingerprint(ds.train)
    with pytest.raises(DatasetError, match=r"no rows of .* were given"):
        ds.rows_fingerprint(ds.train.iloc[:0])
    assert ds.rows_fingerprint(ds.train.iloc[1:]) != ds.rows_fingerprint(ds.train)
    moved = ds.train.assign(camid=ds.train["camid"] + 1)
    assert ds.rows_fingerprint(moved) == ds.rows_fingerprint(ds.train)
    assert ds.rows_fingerprint(moved, cameras=True) != ds.rows_fingerprint(ds.train, cameras=True)
