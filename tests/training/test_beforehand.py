"""What would stop a run after its training stops it before: no step is made, nothing is lost."""

import csv
import dataclasses
import os
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from reidlab.data import DatasetError, open_dataset
from reidlab.evaluation import PROTOCOLS
from reidlab.judging import embedding
from reidlab.losses import MatchTriplet, Triplet
from reidlab.models.outputs import Outputs
from reidlab.training import (
    CheckpointError,
    RecipeError,
    RunRecord,
    build_model,
    evaluate_run,
    fit,
    load_run,
    loop,
)
from reidlab.training.pretrain import pretrain, small_config


@pytest.fixture
def tiny(recipe):
    return recipe.replace(image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2)


@pytest.fixture
def refused(monkeypatch, tmp_path):
    """`refused(ds, recipe, error, match)`: fit ends so before its first step."""

    def never(*_):
        raise AssertionError("it trained")

    def check(ds, recipe, error, match, model=None, out=tmp_path / "run"):
        with monkeypatch.context() as patch:
            patch.setattr(loop, "train_epoch", never)
            with pytest.raises(error, match=match) as caught:
                fit(model or build_model(recipe, ds), ds, recipe, out=out)
        return str(caught.value)

    return check


def own_images(root, people=6, cameras=("door",), images=3):
    """Folders of a user's own images, and their paths."""
    rng, paths = np.random.default_rng(0), []
    for person in range(people):
        for camera in cameras:
            for shot in range(images):
                path = root / f"p{person}" / camera / f"{shot}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 99, (32, 16, 3)) + 25 * person
                Image.fromarray(pixels.astype(np.uint8)).save(path)
                paths.append(path)
    return paths


# ------------------------------------------------------------------ a test part without a match


def test_one_camera_is_refused_and_each_way_out_works(ds, tiny, refused, tmp_path):
    images = own_images(tmp_path / "own")
    alone = open_dataset("folder", tmp_path / "own")
    told = refused(alone, tiny, RecipeError, r"none of the 9 queries of folder has a match")
    assert "of 1 camera and the protocol is 'standard'" in told
    for way in ("camid of its own", "ds.train_only()", "--train-only", "evaluate_run(out, other)"):
        assert way in told
    assert not (tmp_path / "run").exists()

    learned = alone.train_only()
    assert fit(build_model(tiny, learned), learned, tiny, out=tmp_path / "run").metrics == {}
    assert evaluate_run(tmp_path / "run", ds).num_valid == 4

    with (tmp_path / "own.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "pid", "camid"])
        rows = [[path, path.parts[-3], number] for number, path in enumerate(images)]
        table.writerows(rows)
    numbered = open_dataset("folder", tmp_path / "own.csv")
    found = fit(build_model(tiny, numbered), numbered, tiny, out=tmp_path / "numbered")
    assert found.metrics["num_valid"] == 9

    trained_on = RunRecord.load(tmp_path / "run" / "record.json").data["trained_on"]
    assert found.data["trained_on"] == trained_on, "the cameras of a training decide nothing"


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_is_asked(ds, tiny, refused, protocol):
    """Nobody in the gallery: the same people under other numbers, or none but junk left."""
    strangers = ds.gallery.assign(pid=ds.gallery["pid"] + 100)
    lost = dataclasses.replace(ds, gallery=strangers, protocol=protocol)
    refused(lost, tiny, RecipeError, rf"none of the 4 queries.*protocol is '{protocol}'")
    sees_all = not PROTOCOLS[protocol].uses_cameras
    same = dataclasses.replace(ds, gallery=ds.gallery.assign(camid=0), protocol=protocol)
    if not sees_all and protocol != "sysu":
        refused(same, tiny, RecipeError, "none of the 4 queries")


def test_what_junk_leaves(ds, tiny, refused):
    match = ds.gallery["pid"].isin(ds.query["pid"]) & (ds.gallery["camid"] != 0)
    junk = dataclasses.replace(ds, gallery=ds.gallery.assign(junk=match))
    refused(junk, tiny, RecipeError, "none of the 4 queries of market1501")


def test_an_unknown_protocol_and_a_camera_it_does_not_know(ds, tiny, refused):
    unknown = dataclasses.replace(ds, protocol="strict")
    refused(unknown, tiny, ValueError, "unknown protocol 'strict': choose one of cuhk03")
    far = dataclasses.replace(ds, protocol="sysu", gallery=ds.gallery.assign(camid=6))
    refused(far, tiny, ValueError, "g_camids holds 6, expected camera numbers of 0 to 5")


def test_validation_people_of_one_camera(ds, tiny, refused):
    train = ds.train.assign(camid=0)
    chosen = tiny.replace(validate_every=1, validation_identities=2, keep="best")
    refused(dataclasses.replace(ds, train=train), chosen, RecipeError, "can judge 0 of the 8")


@pytest.mark.parametrize("change", [{}, {"validate_every": 1, "validation_identities": 2}])
def test_a_set_for_tests_alone(ds, tiny, refused, tmp_path, change):
    tests = dataclasses.replace(ds, train=ds.train.iloc[:0])
    recipe = tiny.replace(**change)
    with pytest.raises(RecipeError, match=r"market1501 has no training images.*evaluate_run"):
        build_model(recipe, tests)
    model = build_model(tiny, ds)
    refused(tests, recipe, RecipeError, r"no training images, only 4 query and 16", model=model)
    fit(model, ds, tiny, out=tmp_path / "run")
    assert evaluate_run(tmp_path / "run", tests).num_valid == 4


# ------------------------------------------------------------------ the model that is judged


class NoEmbedding(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.num_classes = torch.nn.Linear(3, 4), 8

    def forward(self, images, camids=None):
        return Outputs(logits=(), features=(self.layer(images.mean((2, 3))),))


def test_a_model_that_cannot_be_judged(ds, tiny, refused):
    plain = tiny.replace(losses=(Triplet(),))
    refused(ds, plain, RecipeError, r"NoEmbedding has no embed\(images, camids\)", NoEmbedding())
    by_images = plain.replace(validate_every=1, validate_on="images")
    refused(ds.train_only(), by_images, ValueError, "NoEmbedding has no class", NoEmbedding())


def test_embeddings_that_no_memory_holds(ds, tiny, refused, monkeypatch):
    model = build_model(tiny, ds)
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}.get)
    refused(ds, tiny, RecipeError, r"embeddings of the 20 images.*\(192,\) numbers", model)


@pytest.mark.parametrize("part", ["query", "gallery"])
def test_embeddings_that_the_temporary_folder_does_not_hold(
    ds, tiny, refused, tmp_path, monkeypatch, part
):
    """Of 4 queries and 16 images, 768 bytes each, the ones that go to a file."""
    folder, needed, usage = tmp_path / "temporary", 16 * 768, shutil.disk_usage(tmp_path)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(embedding, "IN_MEMORY", 10_000 if part == "gallery" else 1000)
    needed += 4 * 768 if part == "query" else 0
    free = {str(folder): needed - 1}
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: usage._replace(free=free.get(str(path), usage.free))
    )
    told = refused(ds, tiny, RecipeError, r"embeddings of the 20 images .* set the .* TMPDIR")
    assert f"0 MiB of {folder} and its disk has 0 MiB free" in told
    free[str(folder)] = needed
    assert fit(build_model(tiny, ds), ds, tiny.replace(epochs=1), out=tmp_path / "run").metrics


# ------------------------------------------------------------------ images


@pytest.mark.parametrize("part", ["bounding_box_train", "query", "bounding_box_test"])
def test_an_image_that_cannot_be_read(noise_root, tiny, refused, tmp_path, part):
    root = shutil.copytree(noise_root, tmp_path / "set")
    broken = sorted((root / part).iterdir())[-1]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = open_dataset("market1501", root)
    assert broken.name in refused(ds, tiny, DatasetError, "1 ")
    broken.write_bytes(whole)
    assert fit(build_model(tiny, ds), ds, tiny, out=tmp_path / "run").metrics


def test_junk_is_not_read(noise_root, tiny, tmp_path):
    root = shutil.copytree(noise_root, tmp_path / "set")
    (root / "bounding_box_test" / "-1_c1s1_000000_01.jpg").write_bytes(b"no image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = open_dataset("market1501", root)
    assert ds.gallery["junk"].sum() == 1
    assert fit(build_model(tiny, ds), ds, tiny, out=tmp_path / "run").metrics


# ------------------------------------------------------------------ the folder of the run


def a_file(out):
    out.write_text("mine")


def below_a_file(out):
    out.parent.rmdir()
    out.parent.write_text("mine")


def checkpoints_a_file(out):
    out.mkdir()
    (out / "checkpoints").write_text("mine")


FOLDERS = [
    (a_file, r"run cannot be written to \(File exists: \S+run is a file\)"),
    (below_a_file, r"run cannot be written to \(Not a directory: \S+above is a file\)"),
    (checkpoints_a_file, r"checkpoints cannot be written to \(File exists: \S+ is a file\)"),
]


@pytest.mark.parametrize(("spoil", "message"), FOLDERS)
def test_a_folder_that_is_none(ds, tiny, refused, tmp_path, spoil, message):
    out = tmp_path / "above" / "run"
    out.parent.mkdir()
    spoil(out)
    refused(ds, tiny, CheckpointError, message, out=out)


@pytest.fixture
def read_only(monkeypatch):
    """A disk that takes nothing; permissions alone do not stop root, who may run the tests."""

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)


def test_a_folder_that_takes_nothing(ds, tiny, refused, tmp_path, read_only):
    refused(ds, tiny, CheckpointError, r"run cannot be written to \(Read-only file system\)")


def test_no_room(ds, tiny, refused, tmp_path, monkeypatch):
    free = {"bytes": 0}
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=free["bytes"]))
    refused(ds, tiny, CheckpointError, r"run needs [\d,]+ MiB .* has 0 MiB free")

    model = build_model(tiny, ds)  # twice a checkpoint of weights and moments, and the weights
    weights = sum(t.nbytes for t in model.state_dict().values())
    trained = sum(p.nbytes for p in model.parameters())
    free["bytes"] = 2 * (weights + 2 * trained) + weights - 1
    refused(ds, tiny, CheckpointError, "Make room")
    free["bytes"] += 1
    assert fit(model, ds, tiny, out=tmp_path / "run").metrics
    for more in ({"ema_decay": 0.9}, {"keep": "best", "validate_every": 2}):
        changed = tiny.replace(validation_identities=2, **more)
        refused(ds, changed, CheckpointError, "Make room", out=tmp_path / "more")
    free["bytes"] = 2 * (weights + trained) + weights
    sgd = tiny.replace(optimizer="sgd")
    assert fit(build_model(sgd, ds), ds, sgd, out=tmp_path / "sgd").metrics


def test_no_place_for_the_scores_of_a_matcher(ds, tiny, refused, tmp_path, monkeypatch):
    """Four bytes for each pair of 4 queries and 16 images."""
    recipe = tiny.replace(
        model="qaconv", switches={"dim": 8}, losses=(MatchTriplet(),), optimizer="sgd", epochs=1
    )
    model, usage = build_model(recipe, ds), shutil.disk_usage(tmp_path)
    weights = sum(t.nbytes for t in model.state_dict().values())
    trained = sum(p.nbytes for p in model.parameters())
    free = {"bytes": 2 * (weights + trained) + weights + 4 * 4 * 16 - 1}
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=free["bytes"]))
    refused(ds, recipe, CheckpointError, "Make room", model)
    free["bytes"] += 1
    mine = tmp_path / "other" / "scores.npy"
    mine.parent.mkdir()
    mine.write_text("mine")
    refused(ds, recipe, ValueError, "scores.npy exists and was not wr", model, out=mine.parent)
    assert mine.read_text() == "mine"
    assert fit(model, ds, recipe, out=tmp_path / "run").metrics


def test_a_finished_run_needs_no_room(ds, tiny, tmp_path, monkeypatch):
    record = fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: (0, 0, 0))
    assert fit(build_model(tiny, ds), ds, tiny, out=tmp_path) == record
    assert load_run(tmp_path)[1] == record == RunRecord.load(tmp_path / "record.json")


def test_what_is_refused_loses_nothing(ds, tiny, refused, tmp_path):
    """With resume=False what was there goes only once all is well."""
    record = fit(build_model(tiny, ds), ds, tiny, out=tmp_path)
    lost = dataclasses.replace(ds, gallery=ds.gallery.assign(pid=999))
    with pytest.raises(RecipeError, match="none of the 4 queries"):
        fit(build_model(tiny, lost), lost, tiny, out=tmp_path, resume=False)
    for change, message in (
        ({"identities_per_batch": 64}, "has 8 people, but a batch needs identities_per_batch=64"),
        ({"sampler": "cross-modal"}, "none of the 8 people .* has visible and infrared images"),
    ):
        other = tiny.replace(**change)
        with pytest.raises(ValueError, match=message):
            fit(build_model(other, ds), ds, other, out=tmp_path, resume=False)
    assert load_run(tmp_path)[1] == record


def test_what_is_forgotten_leaves_no_scores(ds, tiny, tmp_path, stopped_in):
    """Of a matcher that was stopped in its judgement, and starts again with resume=False."""
    for name in ("scores.npy", "scores.npy.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"of before")
    with stopped_in(1):
        fit(build_model(tiny, ds), ds, tiny, out=tmp_path, resume=False)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ pretraining


@pytest.mark.parametrize(("spoil", "message"), FOLDERS)
def test_pretraining_in_a_folder_that_is_none(tmp_path, spoil, message):
    out = tmp_path / "above" / "run"
    out.parent.mkdir()
    spoil(out)
    with pytest.raises(CheckpointError, match=message):
        pretrain(out, small_config(), pictures=tmp_path / "pictures")
    assert not list((tmp_path / "pictures").glob("*"))


def test_pretraining_whose_weights_find_no_room_at_the_end(tmp_path, monkeypatch):
    replace, config = os.replace, dataclasses.replace(small_config(), image_size=(32, 16))
    config = dataclasses.replace(config, small_size=(32, 16))

    def refuses(source, target):
        if os.path.basename(target) == "backbone.safetensors":
            raise OSError(28, "No space left on device")
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuses)
        with pytest.raises(CheckpointError, match=r"backbone.*No space left.*epoch-0002.pt is k"):
            pretrain(tmp_path, config)
    monkeypatch.setattr(loop, "train_epoch", None)
    assert pretrain(tmp_path, config).is_file()


def test_pretraining_without_room(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=10**6))
    with pytest.raises(CheckpointError, match=r"run needs [\d,]+ MiB .* has 1 MiB free"):
        pretrain(tmp_path / "run", small_config())
    assert not list((tmp_path / "run").glob("*"))
