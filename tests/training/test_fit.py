import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reidlab.evaluation import evaluate
from reidlab.judging import embedding
from reidlab.losses import Contrastive, GlobalCircle, Identity, PairwiseCircle, Triplet, triplet
from reidlab.models import Outputs
from reidlab.training import (
    CheckpointError,
    RecipeError,
    RunRecord,
    TrainingDiverged,
    build_model,
    embed,
    evaluate_on,
    evaluate_run,
    fit,
    fitting,
    load_run,
    loop,
    session,
)

MEASURED = ("seconds", "images_per_second", "peak_memory_mb", "started", "finished")
ALONE = {"images_per_identity": 1}
COSINES = {"model": "tvtr", "switches": {"k": 2}}
CODE = ("commit", "dirty")  # somebody may commit while the tests run


def run(ds, recipe, out, seed=0, **options):
    model = build_model(recipe, ds, seed=seed)
    return model, fit(model, ds, recipe, seed=seed, out=out, **options)


def without_times(record):
    values = {k: v for k, v in dataclasses.asdict(record).items() if k not in MEASURED + CODE}
    values["history"] = [{k: v for k, v in r.items() if k != "seconds"} for r in record.history]
    return values


def same_weights(one, two):
    a, b = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Features(torch.nn.Module):
    """No classifiers."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, images, camids):
        return Outputs((), (self.layer(images.mean((2, 3))),))


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """Folder of one uninterrupted run, made once."""
    return tmp_path_factory.mktemp("reference")


@pytest.fixture
def finished(ds, recipe, reference):
    out = reference / "run"
    if not (out / "record.json").exists():
        run(ds, recipe, out)
    return out


def test_loss_falls_and_the_people_are_found(ds, recipe, tmp_path):
    recipe = recipe.replace(epochs=12, erasing=0.0, drop_path=0.0)
    _, record = run(ds, recipe, tmp_path)
    losses = [row["loss"] for row in record.history]
    assert sum(losses[-3:]) < 0.75 * sum(losses[:3]), losses
    assert record.metrics["rank1"] >= 0.75  # people are colours; chance is a quarter


def test_what_a_record_holds(finished, ds, recipe):
    record = RunRecord.load(finished / "record.json")
    assert {"rank1", "rank5", "rank10", "mAP", "mINP", "num_valid"} <= set(record.metrics)
    assert set(record.seconds) == {"train", "embed", "rank"}
    assert record.data == {
        "name": "market1501",
        "options": {},
        "fingerprint": ds.fingerprint(),
        "trained_on": ds.rows_fingerprint(ds.train),
        "protocol": "standard",
        "train_images": 32,
        "train_identities": 8,
        "query_images": 4,
        "query_identities": 4,
        "gallery_images": 16,
        "gallery_identities": 4,
    }
    assert [row["epoch"] for row in record.history] == [1, 2, 3]
    row = record.history[0]
    assert row["loss"] == pytest.approx(row["losses"]["identity"] + row["losses"]["triplet"])
    assert 0 <= row["accuracy"] <= 1
    assert row["images"] in (8, 16, 24, 32)  # whole batches; a few images may be left out
    assert record.history[-1]["lr"] == pytest.approx(recipe.lr * recipe.lr_floor)
    assert record.images_per_second > 0
    assert record.peak_memory_mb > 0
    assert str(ds.root) not in json.dumps(record.to_dict())
    assert sorted(p.name for p in finished.iterdir()) == ["model.safetensors", "record.json"]


def test_same_seed_same_run_whatever_the_workers(finished, ds, recipe, tmp_path):
    _, record = run(ds, recipe.replace(workers=2), tmp_path)
    expected = without_times(RunRecord.load(finished / "record.json"))
    expected["experiment"]["workers"] = 2
    assert without_times(record) == expected
    assert same_weights(tmp_path, finished)


def test_a_seed_of_numpy_is_the_number_and_what_is_none_is_refused(finished, ds, recipe):
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, seed=np.int64(0), out=finished)
    assert record == RunRecord.load(finished / "record.json")
    for wrong in (True, "3", 3.0, None):
        with pytest.raises(TypeError, match=rf"seed is {wrong!r}, expected a whole number"):
            fit(model, ds, recipe, seed=wrong, out=finished)
    with pytest.raises(ValueError, match="seed is -1, expected at least 0"):
        fit(model, ds, recipe, seed=-1, out=finished)


def test_another_seed_another_run(finished, ds, recipe, tmp_path):
    _, record = run(ds, recipe, tmp_path, seed=1)
    assert record.history[0]["loss"] != RunRecord.load(finished / "record.json").history[0]["loss"]


@pytest.mark.parametrize("place", [1, 3, "evaluation"])
def test_interrupted_and_resumed(finished, ds, recipe, tmp_path, stopped_in, place):
    """Ctrl-C in the middle of an epoch, or, after the last, in the evaluation."""
    with stopped_in(place):
        run(ds, recipe, tmp_path)
    assert not (tmp_path / "record.json").exists()
    model = build_model(recipe, ds, seed=0 if place == 1 else 5)  # weights are in the folder
    record = fit(model, ds, recipe, seed=0, out=tmp_path)
    assert without_times(record) == without_times(RunRecord.load(finished / "record.json"))
    assert same_weights(tmp_path, finished)


def test_a_finished_run_is_read_back_with_its_weights(finished, ds, recipe, monkeypatch):
    def never(*_):
        raise AssertionError("it trained again")

    monkeypatch.setattr(loop, "train_epoch", never)
    model = build_model(recipe, ds, seed=9)
    record = fit(model, ds, recipe.replace(workers=1, embed_batch_size=3), seed=0, out=finished)
    assert record == RunRecord.load(finished / "record.json")
    assert evaluate_on(model, ds, recipe).mAP == pytest.approx(record.metrics["mAP"])


def test_load_run(finished, ds, recipe, noise_root):
    model, record = load_run(finished, ds)
    assert evaluate_on(model, ds, recipe).mAP == pytest.approx(record.metrics["mAP"])
    tested = dataclasses.replace(ds, query=ds.query.iloc[:1], gallery=ds.gallery.iloc[:4])
    assert load_run(finished, tested)[1] == record, "only the training people decide"


@pytest.mark.parametrize("rows", [slice(0, 28), slice(0, 8), slice(0, 0)])
def test_load_run_with_another_set_says_how_to_judge_on_it(finished, ds, rows):
    other = dataclasses.replace(ds, train=ds.train.iloc[rows])
    with pytest.raises(CheckpointError, match=r"takes the set of the training.*evaluate_run") as e:
        load_run(finished, other)
    assert "elete" not in str(e.value)
    record = RunRecord.load(finished / "record.json")
    found = evaluate_run(finished, other)
    assert found.mAP == pytest.approx(record.metrics["mAP"])


def test_a_setting_makes_another_run(finished, ds, recipe):
    """The switches, which this run's model has none of, are in test_locally_aware.py."""
    for setting, value in {
        "flip_test": True,
        "accumulation_steps": 2,
        "layer_decay": 0.9,
        "ema_decay": 0.9,
        "validation_identities": 0.5,
        "gather": False,
        "sampler": "shuffle",
        "lr_decay": 0.9,
        "decay_every": 3,
        "interpolation": "bicubic",
        "validate_on": "images",
        "losses.identity.over_heads": "sum",
        "losses.identity.label_smoothing": 0.1,
        "losses.triplet.on": "logits",
        "losses.triplet.margin": 0.3,
        "losses.triplet.weight": 2.0,
        "losses.contrastive.weight": 1.0,
    }.items():
        name = setting.removesuffix(".weight") if "contrastive" in setting else setting
        with pytest.raises(CheckpointError, match=rf"recipe.{name} is .* there and .* now"):
            run(ds, recipe.replace(**{setting: value}), finished)
    with pytest.raises(CheckpointError, match=r"recipe.losses.triplet is .* there and 'absent' n"):
        run(ds, recipe.replace(**{"losses.triplet": None}), finished)
    chosen = recipe.replace(validate_every=1, validation_identities=0.25, keep="best")
    with pytest.raises(CheckpointError, match=r"recipe.keep is .*; recipe.validate_every is None"):
        run(ds, chosen, finished)
    frozen = recipe.replace(schedule="decay", unfreezing="code")
    with pytest.raises(CheckpointError, match=r"recipe.unfreezing is None there and 'code' now"):
        run(ds, frozen, finished)


def test_flip_test_of_a_recipe_is_in_the_evaluation_and_the_record(finished, ds, recipe):
    model, _ = load_run(finished, ds)
    both = evaluate_on(model, ds, recipe.replace(flip_test=True))
    q_emb, g_emb = (embed(model, frame, recipe, flip_test=True) for frame in (ds.query, ds.gallery))
    who = (ds.query["pid"], ds.gallery["pid"], ds.query["camid"], ds.gallery["camid"])
    assert both.ap.tolist() == evaluate(q_emb, g_emb, *who).ap.tolist()
    assert recipe.replace(flip_test=True).to_dict()["flip_test"] is True


def test_flip_test_of_maps_is_refused_before_training(ds, recipe, tmp_path):
    model, recipe = Features(), recipe.replace(flip_test=True, losses=(Triplet(),))
    model.embed = lambda images, camids: images.permute(0, 2, 3, 1)  # (B, h, w, D), as matchers do
    with pytest.raises(ValueError, match=r"flip_test needs one vector per image and Features"):
        fit(model, ds, recipe, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_configuration_in_the_same_folder(finished, ds, recipe):
    with pytest.raises(CheckpointError, match=r"another run: recipe.lr is 0.0005 there and 0.1 no"):
        run(ds, recipe.replace(lr=0.1), finished)
    with pytest.raises(CheckpointError, match=r"seed is 0 there and 1 now.*Pass another `out`"):
        run(ds, recipe, finished, seed=1)


def test_another_configuration_in_an_unfinished_run(ds, recipe, tmp_path, stopped_in):
    with stopped_in("evaluation"):
        run(ds, recipe.replace(epochs=1), tmp_path)
    with pytest.raises(CheckpointError, match=r"recipe.epochs is 1 there and 2 now"):
        run(ds, recipe.replace(epochs=2), tmp_path)
    run(ds, recipe.replace(epochs=1), tmp_path, seed=3, resume=False)  # replaces it
    assert RunRecord.load(tmp_path / "record.json").seed == 3


def test_damaged_checkpoint(ds, recipe, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "epoch-0001.pt").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match=r"cannot be read.*start from the beginning"):
        run(ds, recipe, tmp_path)


def test_loss_that_is_no_number_and_the_fault_mended(finished, ds, recipe, tmp_path, monkeypatch):
    class Nan(torch.nn.Module):
        calls = 0

        def __init__(self, margin, mining):
            super().__init__()

        def forward(self, features, labels):
            Nan.calls += 1
            good = triplet_loss(features, labels)
            return good if Nan.calls < 7 else good * float("nan")

    steps, triplet_loss = [], triplet.TripletLoss(margin=None)
    with monkeypatch.context() as patch:
        patch.setattr(triplet, "TripletLoss", Nan)
        patch.setattr(torch.optim.AdamW, "step", counted(torch.optim.AdamW.step, steps))
        with pytest.raises(TrainingDiverged) as stopped:
            run(ds, recipe, tmp_path)
    told = str(stopped.value)
    assert re.search(r"epoch 2: loss nan at step \d, lr .*The checkpoint of epoch 1 is kept", told)
    assert re.search(r"Look at lr .*warmup_epochs.*clip_grad.*precision.*images of the last", told)
    assert len(steps) == Nan.calls - 1, "no step with it"
    assert (tmp_path / "checkpoints" / "epoch-0001.pt").exists()
    assert not (tmp_path / "record.json").exists()
    record = run(ds, recipe, tmp_path)[1]
    assert without_times(record) == without_times(RunRecord.load(finished / "record.json"))
    assert same_weights(tmp_path, finished)


def counted(function, calls):
    def counts(*arguments, **options):
        calls.append(1)
        return function(*arguments, **options)

    return counts


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("backbone.cls_token", lambda model: model.backbone.cls_token.data),
        ("neck.norm.running_var", lambda model: model.neck.norm.running_var),
    ],
)
def test_a_weight_or_statistic_that_is_no_number(ds, recipe, tmp_path, monkeypatch, name, tensor):
    whole_epoch = loop.train_epoch

    def last_step_overflows(session, epoch):
        row = whole_epoch(session, epoch)
        tensor(session.model)[..., 0] = float("inf")
        return row

    monkeypatch.setattr(loop, "train_epoch", last_step_overflows)
    with pytest.raises(TrainingDiverged, match=rf"{name} has values.*Nothing is kept"):
        run(ds, recipe, tmp_path)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("options", [{}, {"accumulation_steps": 2, "precision": "bf16"}])
def test_blocks_computed_again_give_the_same_bits(ds, recipe, tmp_path, options):
    recipe = recipe.replace(
        image_size=(32, 16), epochs=1, drop_path=0.5, identities_per_batch=2, **options
    )
    kept, again = recipe, recipe.replace(gradient_checkpointing=True)
    first = run(ds, kept, tmp_path / "kept")[1]
    model, record = run(ds, again, tmp_path / "again")
    assert record.history[0]["loss"] == first.history[0]["loss"]
    assert same_weights(tmp_path / "kept", tmp_path / "again")
    assert not model.backbone.gradient_checkpointing, "only for the training"
    assert (
        fit(model, ds, again, out=tmp_path / "kept").experiment["gradient_checkpointing"] is False
    )


def test_blocks_are_computed_again_in_training(ds, recipe, tmp_path, monkeypatch):
    seen, whole_epoch = [], loop.train_epoch

    def watched(session, epoch):
        seen.append(session.model.backbone.gradient_checkpointing)
        return whole_epoch(session, epoch)

    monkeypatch.setattr(loop, "train_epoch", watched)
    tiny = recipe.replace(image_size=(32, 16), depth=1, epochs=1, identities_per_batch=2)
    run(ds, tiny, tmp_path / "a")
    run(ds, tiny.replace(gradient_checkpointing=True), tmp_path / "b")
    assert seen == [False, True]


def test_throughput_is_of_training_alone_in_all_sessions(
    ds, recipe, tmp_path, monkeypatch, stopped_in
):
    """By a clock that ticks a second whenever it is read, and a thousand in an evaluation."""
    tiny = recipe.replace(
        image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2,
        validate_every=1, validation_identities=2,
    )  # fmt: skip
    clock, evaluation = [0.0], fitting.timed_evaluation

    def read():
        clock[0] += 1.0
        return clock[0]

    def slow(*arguments, **options):
        clock[0] += 1000.0
        return evaluation(*arguments, **options)

    for module in (loop, fitting):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=read))
    monkeypatch.setattr(fitting, "timed_evaluation", slow)
    with stopped_in(2):
        run(ds, tiny, tmp_path)
    _, record = run(ds, tiny, tmp_path)
    assert [row["seconds"] for row in record.history] == [1.0, 1.0]
    assert record.seconds["train"] == 2.0
    assert record.seconds["validate"] == 2 * 1001.0
    assert record.images_per_second == sum(row["images"] for row in record.history) / 2


def test_peak_memory_is_the_largest_of_all_sessions(ds, recipe, tmp_path, monkeypatch, stopped_in):
    tiny = recipe.replace(image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2)
    with monkeypatch.context() as patch:
        patch.setattr(session, "peak_memory_mb", lambda device: 1e6)
        with stopped_in(2):
            run(ds, tiny, tmp_path)
    resets = []
    monkeypatch.setattr(session, "reset_peak_memory", lambda device: resets.append(device.type))
    assert run(ds, tiny, tmp_path)[1].peak_memory_mb == 1e6
    assert resets == ["cpu"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_bf16_clipping_and_cameras(ds, recipe, tmp_path, optimizer):
    recipe = recipe.replace(
        precision="bf16", clip_grad=0.5, optimizer=optimizer, camera_embedding=True, epochs=1
    )
    model, record = run(ds, recipe, tmp_path)
    assert record.metrics["num_valid"] == 4
    assert "forward" not in model.__dict__  # Accelerate's wrapper is off again
    images = torch.zeros(2, 3, 64, 32)
    assert model(images, torch.tensor([0, 1])).features[0].dtype == torch.float32


@pytest.mark.parametrize("available", [True, False])
def test_precision_is_that_of_each_run_where_the_device_has_it(
    ds, recipe, tmp_path, monkeypatch, available
):
    monkeypatch.setattr(embedding, "has_bf16", lambda device: available)
    records = [
        run(ds, recipe.replace(precision=p, epochs=1), tmp_path / str(i))[1]
        for i, p in enumerate(("no", "bf16", "no"))
    ]
    first, half, again = (record.history[0]["loss"] for record in records)
    assert first == again
    assert (first != half) is available
    used = [record.environment["precision"] for record in records]
    assert used == ["no", "bf16" if available else "no", "no"]
    assert records[1].experiment["precision"] == "bf16", "the recipe is as it was asked for"


def test_a_run_does_not_go_on_in_another_precision(ds, recipe, tmp_path, monkeypatch, stopped_in):
    half = recipe.replace(precision="bf16", epochs=2)
    monkeypatch.setattr(embedding, "has_bf16", lambda device: True)
    with stopped_in(2):
        run(ds, half, tmp_path)
    monkeypatch.setattr(embedding, "has_bf16", lambda device: False)
    with pytest.raises(CheckpointError, match="another run: precision is 'bf16' there and 'no' no"):
        run(ds, half, tmp_path)
    path = tmp_path / "checkpoints" / "epoch-0001.pt"  # as older versions wrote it
    state = torch.load(path, weights_only=True)
    del state["configuration"]["precision"]
    torch.save(state, path)
    assert len(run(ds, half, tmp_path)[1].history) == 2


def test_what_does_not_fit(ds, recipe, tmp_path):
    model = build_model(recipe, ds)
    with pytest.raises(RecipeError, match="takes images of 64x32 and the recipe says 96x32"):
        fit(model, ds, recipe.replace(image_size=(96, 32)), out=tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(RecipeError, match="no GPU; on a CPU use"):
            fit(model, ds, recipe.replace(precision="fp16"), out=tmp_path)
    plain = torch.nn.Linear(2, 2)
    with pytest.raises(RecipeError, match="gradient_checkpointing is True and Linear has no Token"):
        fit(plain, ds, recipe.replace(gradient_checkpointing=True), out=tmp_path)
    with pytest.raises(
        RecipeError, match=r"layer_decay is 0\.75 and the backbone of Linear has no"
    ):
        fit(plain, ds, recipe.replace(layer_decay=0.75), out=tmp_path)
    model.num_classes = 7
    with pytest.raises(RecipeError, match="classifies 7 identities and market1501 trains on 8"):
        fit(model, ds, recipe, out=tmp_path)


LOGITS = "does not fit the logits of"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": (Identity(), GlobalCircle())}, f"global_circle {LOGITS} ViTBaseline.* no cos"),
        ({**COSINES, "losses": (Identity(),)}, rf"identity {LOGITS} TVTR.*; use GlobalCircle\(\)"),
        (
            {"losses": (PairwiseCircle(),)},
            "visible with infrared .*'identity'.* use 'cross-",
        ),
        (
            {**ALONE, "losses": (Contrastive(),)},
            "contrastive compares images of one .* use 2",
        ),
        ({**ALONE, "losses": (Triplet(mining="all"),)}, "triplet compares images of one person"),
    ],
)
def test_a_loss_that_the_rest_does_not_fit(ds, recipe, tmp_path, change, message):
    recipe = recipe.replace(**change)
    with pytest.raises(RecipeError, match=message):
        fit(build_model(recipe, ds), ds, recipe, out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {**COSINES, "losses": (GlobalCircle(), Triplet(on="logits"))},
        {**ALONE, "losses": (Triplet(),)},  # an anchor may be its own positive
        {**ALONE, "losses": (Contrastive(),), "sampler": "shuffle"},  # pairs by chance
    ],
)
def test_a_loss_that_just_fits(ds, recipe, tmp_path, change):
    recipe = recipe.replace(epochs=1, **change)
    model = build_model(recipe, ds).train()
    assert fit(model, ds, recipe, out=tmp_path).history[0]["loss"] > 0


def test_a_loss_of_classifiers_and_a_model_without(ds, recipe, tmp_path):
    for losses in ((Identity(),), (Triplet(on="logits"),)):
        message = rf"{losses[0].name} reads logits and Features gives none; .*\(Triplet\(\),\)"
        with pytest.raises(RecipeError, match=message):
            fit(Features(), ds, recipe.replace(losses=losses), out=tmp_path)


def test_a_camera_without_embedding_is_found_before_training(ds, recipe, tmp_path):
    model = build_model(recipe.replace(camera_embedding=True), ds)
    gallery = ds.gallery.assign(camid=ds.gallery["camid"] + 1)
    with pytest.raises(RecipeError, match="cameras 0 to 2 and market1501 has camera 3"):
        fit(model, dataclasses.replace(ds, gallery=gallery), recipe, out=tmp_path)


def test_embed_in_order_and_mode(ds, recipe):
    model = build_model(recipe, ds).train()
    embeddings = embed(model, ds.gallery, recipe)
    assert model.training
    assert embeddings.shape == (16, 192)
    assert embeddings.dtype == torch.float32
    one = embed(model, ds.gallery.iloc[[5]], recipe)
    torch.testing.assert_close(one[0], embeddings[5], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="no rows"):
        embed(model, ds.gallery.iloc[:0], recipe)


def test_lines_of_a_run(ds, recipe, tmp_path, capsys):
    run(ds, recipe.replace(epochs=1), tmp_path)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1
    assert out[0].startswith("epoch 1/1  loss ")
