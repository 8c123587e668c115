"""People set aside: who they are, and that nothing but them decides."""

import dataclasses

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from reidlab.judging import judge
from reidlab.training import (
    CheckpointError,
    RecipeError,
    build_model,
    evaluate_on,
    fit,
    fitting,
    load_run,
    split_validation,
)


@pytest.fixture
def tiny(recipe):
    return recipe.replace(
        image_size=(32, 16),
        depth=1,
        epochs=3,
        identities_per_batch=2,
        validate_every=2,
        validation_identities=2,
    )


def table(*rows):
    """(pid, camid) or (pid, camid, modality); paths fall while rows rise."""
    images = [(*row, "visible")[:3] for row in rows]
    frame = pd.DataFrame(images, columns=["pid", "camid", "modality"])
    frame["path"] = [f"/{100 - i:03d}.jpg" for i in range(len(frame))]
    frame["view"], frame["junk"], frame["distractor"] = -1, False, False
    labels = {pid: i for i, pid in enumerate(sorted(set(frame["pid"])))}
    return frame.assign(label=frame["pid"].map(labels))


def with_train(ds, *rows, **changes):
    return dataclasses.replace(ds, train=table(*rows), **changes)


def test_people_are_split_and_not_images(ds):
    learn, validation = split_validation(ds, 3, seed=0)
    left, kept = set(validation.query["pid"]), set(learn.train["pid"])
    assert len(left) == 3
    assert left == set(validation.gallery["pid"])
    assert left | kept == set(ds.train["pid"])
    assert not left & kept
    assert (learn.num_classes, validation.num_classes) == (5, 0)
    assert dict(zip(learn.train["pid"], learn.train["label"], strict=True)) == {
        pid: label for label, pid in enumerate(sorted(kept))
    }
    assert set(learn.train["path"]) == set(ds.train.loc[ds.train["pid"].isin(kept), "path"])
    for split in ("query", "gallery"):
        assert getattr(learn, split) is getattr(ds, split)


def test_one_query_per_person_and_camera_and_the_rest(ds):
    rows = ((7, 0), (7, 0), (7, 1), (7, 1), (9, 2), (9, 0), (9, 2), (9, 2), (3, 0), (3, 1))
    _, validation = split_validation(with_train(ds, *rows), 2, seed=0)
    assert list(validation.query["path"]) == ["/099.jpg", "/097.jpg", "/095.jpg", "/093.jpg"]
    assert list(zip(validation.query["pid"], validation.query["camid"], strict=True)) == [
        (7, 0), (7, 1), (9, 0), (9, 2),
    ]  # fmt: skip
    assert sorted(validation.gallery["path"]) == ["/094.jpg", "/096.jpg", "/098.jpg", "/100.jpg"]


def test_the_seed_draws(ds):
    drawn = [frozenset(split_validation(ds, 2, seed)[1].query["pid"]) for seed in range(20)]
    assert drawn == [frozenset(split_validation(ds, 2, s)[1].query["pid"]) for s in range(20)]
    assert len(set(drawn)) > 5
    assert set().union(*drawn) == set(ds.train["pid"])


@pytest.mark.parametrize("seed", range(5))
def test_only_people_who_can_be_judged_are_drawn(ds, seed):
    """1 and 2 were seen by one camera, 3 once by each: a query without a match left."""
    rows = [(1, 0)] * 5 + [(2, 1)] * 3 + [(3, 0), (3, 1)]
    rows += [(pid, camera) for pid in (4, 5) for camera in (0, 0, 1)]
    both = with_train(ds, *rows)
    _, validation = split_validation(both, 2, seed)
    assert set(validation.query["pid"]) == {4, 5}
    embedding = torch.eye(10)
    result = judge(
        validation, embedding[: len(validation.query)], embedding[: len(validation.gallery)]
    )
    assert result.num_valid == 2  # of camera 1; the queries of camera 0 have no other in the rest
    with pytest.raises(
        RecipeError, match=r"asks for 3 people and the protocol 'standard' can judge 2 of the 5"
    ):
        split_validation(both, 3, seed)


@pytest.mark.parametrize(("asked", "searched"), [("infrared", "visible"), ("visible", "infrared")])
def test_across_modalities(ds, asked, searched):
    camera = {"visible": 0, "infrared": 1}
    rows = [(pid, camera[m], m) for pid in (1, 2, 3) for m in ("visible", "infrared", "visible")]
    rows += [(4, 0, "visible"), (4, 0, "visible")]
    sides = {
        "query": ds.query.assign(modality=asked),
        "gallery": ds.gallery.assign(modality=searched),
    }
    _, validation = split_validation(with_train(ds, *rows, protocol="regdb", **sides), 3, seed=1)
    assert set(validation.query["pid"]) == {1, 2, 3}
    assert list(validation.query["modality"]) == [asked] * 3
    images = {"visible": 2, "infrared": 1}
    assert list(validation.gallery["modality"]) == [searched] * 3 * images[searched]


def test_sysu_draws_galleries_of_these_people(ds):
    rows = [(p, c, "infrared" if c in (2, 5) else "visible") for p in range(6) for c in range(6)]
    rows += [(7, 1, "visible"), (7, 2, "infrared")]  # one room: a query of 3 does not see camera 2
    pool = with_train(
        ds,
        *rows,
        protocol="sysu",
        name="sysu-mm01",
        query=ds.query.assign(modality="infrared"),
        options={"trial": None},
    )
    _, validation = split_validation(pool, 6, seed=0)
    assert set(validation.query["pid"]) == set(range(6))
    vectors = torch.eye(6)
    result = judge(
        validation,
        vectors[validation.query["pid"].tolist()],
        vectors[validation.gallery["pid"].tolist()],
    )
    assert result.mAP == result.rank1 == 1.0


@pytest.mark.parametrize(
    ("identities", "message"),
    [
        (0.1, r"validation_identities 0.1 is 1 of the 8 training people of market1501; expected"),
        (2.7, "validation_identities 2.7 is 2.7 of the 8 .*at least 2 people, whole"),
        (float("nan"), "validation_identities nan is nan of the 8 .*at least 2 people, whole"),
        (8, r"8 is 8 of the 8 training people"),
        (0.99, r"0.99 is 8 of the 8"),
    ],
)
def test_too_few_or_too_many(ds, identities, message):
    with pytest.raises(RecipeError, match=message):
        split_validation(ds, identities, seed=0)


def test_rows_and_record(ds, tiny, tmp_path, monkeypatch):
    embedded, evaluation = [], fitting.timed_evaluation

    def watched(model, data, recipe, **options):
        embedded.append(data.name)
        return evaluation(model, data, recipe, **options)

    monkeypatch.setattr(fitting, "timed_evaluation", watched)
    model = build_model(tiny, ds)
    record = fit(model, ds, tiny, out=tmp_path)
    assert embedded == ["market1501 validation"] * 2 + ["market1501"], "the test set once, at last"
    assert ["validation" in row for row in record.history] == [False, True, True]  # 2, and the last
    _, validation = split_validation(ds, 2, seed=0)
    assert record.history[-1]["validation"] == evaluate_on(model, validation, tiny).as_dict()
    assert record.seconds["validate"] == sum(
        row.get("validation_seconds", 0) for row in record.history
    )
    counts = {name: record.data[name] for name in record.data if name.startswith("validation")}
    assert counts == {
        "validation_identities": 2,
        "validation_query_images": 6,
        "validation_gallery_images": 2,
    }
    assert record.data["train_identities"] == 8
    assert record.experiment["kept_epoch"] == 3
    assert fit(build_model(tiny, ds), ds, tiny, out=tmp_path) == record
    assert load_run(tmp_path, ds)[1] == record


def test_training_sees_nobody_of_them(ds, tiny, tmp_path, monkeypatch):
    loaders, make = [], fitting.make_loader

    def watched(frame, *arguments, **options):
        loaders.append(frame)
        return make(frame, *arguments, **options)

    monkeypatch.setattr(fitting, "make_loader", watched)
    fit(build_model(tiny, ds, seed=3), ds, tiny, seed=3, out=tmp_path)
    (frame,) = loaders
    left = set(split_validation(ds, 2, seed=3)[1].query["pid"])
    assert set(frame["pid"]) == set(ds.train["pid"]) - left


def test_a_model_with_classes_for_all_is_refused(ds, tiny, tmp_path):
    model = build_model(tiny.replace(validate_every=None), ds)
    with pytest.raises(
        RecipeError, match=r"classifies 8 identities and market1501 trains on 6, 2 left out; build"
    ):
        fit(model, ds, tiny, out=tmp_path)


@pytest.fixture
def judged_as(monkeypatch):
    """Gives the validations of a run these mAPs, one after the other; returns who was judged."""

    def give(*values):
        left, seen, evaluation = list(values), [], fitting.timed_evaluation

        def judged(model, data, recipe, **options):
            result, seconds = evaluation(model, data, recipe, **options)
            if data.name.endswith("validation"):
                seen.append((model, {k: v.clone() for k, v in model.state_dict().items()}))
                numbers = result.as_dict() | {"mAP": left.pop(0)}
                result = type("Result", (), {"mAP": numbers["mAP"], "as_dict": lambda _: numbers})()
            return result, seconds

        monkeypatch.setattr(fitting, "timed_evaluation", judged)
        return seen

    return give


@pytest.mark.parametrize(
    ("values", "best"), [((0.2, 0.9, 0.5), 2), ((0.4, 0.4, 0.3), 1), ((0.0, 0.1, 0.2), 3)]
)
@pytest.mark.parametrize("ema", [None, 0.5])
def test_the_best_epoch_is_kept(ds, tiny, tmp_path, judged_as, values, best, ema):
    seen = judged_as(*values)
    recipe = tiny.replace(validate_every=1, keep="best", ema_decay=ema)
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, out=tmp_path)
    assert record.experiment["kept_epoch"] == best
    assert all((judged is model) == (ema is None) for judged, _ in seen), "the average is judged"
    saved = load_file(tmp_path / "model.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(saved[name], seen[best - 1][1][name])
        assert torch.equal(saved[name], value)
    assert record.metrics["mAP"] == evaluate_on(model, ds, recipe).mAP


def test_the_best_survives_an_interruption(ds, tiny, tmp_path, stopped_in, judged_as):
    judged_as(0.9, 0.5, 0.4)
    recipe = tiny.replace(validate_every=1, keep="best")
    with stopped_in(2):
        fit(build_model(recipe, ds), ds, recipe, out=tmp_path)
    kept = load_file(tmp_path / "checkpoints" / "epoch-0001.safetensors")
    with stopped_in(3):
        fit(build_model(recipe, ds), ds, recipe, out=tmp_path)
    assert (tmp_path / "checkpoints" / "epoch-0002.pt").is_file()
    record = fit(build_model(recipe, ds, seed=2), ds, recipe, out=tmp_path)
    assert record.experiment["kept_epoch"] == 1
    weights = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in weights.items())


def test_the_test_set_changes_nothing_that_is_kept(ds, tiny, tmp_path):
    """Another query and gallery: other metrics, the very same weights."""
    recipe = tiny.replace(validate_every=1, keep="best")
    swapped = dataclasses.replace(ds, gallery=ds.gallery.iloc[::2].reset_index(drop=True))
    runs = [fit(build_model(recipe, d), d, recipe, out=tmp_path / d.fingerprint())
            for d in (ds, swapped)]  # fmt: skip
    one, two = (load_file(tmp_path / d.fingerprint() / "model.safetensors") for d in (ds, swapped))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert runs[0].history[-1]["validation"] == runs[1].history[-1]["validation"]
    assert runs[0].data["gallery_images"] != runs[1].data["gallery_images"]


def test_other_people_are_another_run(ds, tiny, tmp_path):
    recipe = tiny.replace(epochs=1)
    fit(build_model(recipe, ds), ds, recipe, out=tmp_path)
    other = recipe.replace(validation_identities=3)
    with pytest.raises(CheckpointError, match=r"recipe.validation_identities is 2 there and 3 no"):
        fit(build_model(other, ds), ds, other, out=tmp_path)
