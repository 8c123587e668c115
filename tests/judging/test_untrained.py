"""Features nobody trained, and backbones nobody fine-tuned, on a small world."""

import json
import os
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from reidlab.data import build_transform, mask_path, open_dataset, read_image
from reidlab.evaluation import bootstrap, evaluate
from reidlab.judging.untrained import untrained_records
from reidlab.judging.zero_shot import of_training_people, zero_shot, zero_shot_record
from reidlab.models import TokenBackbone
from reidlab.record import RunRecord
from reidlab.synth import World, write_dataset
from reidlab.training import Recipe


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    world = World(seed=31, identities=10, cameras=3, resolution=(64, 32))
    root = write_dataset("market1501", tmp_path_factory.mktemp("world") / "w", world)
    return open_dataset("market1501", root)


def test_untrained_records_are_saved_and_repeat(ds, tmp_path):
    first = untrained_records(ds, out=tmp_path / "a", seed=4)
    again = untrained_records(ds, out=tmp_path / "b", seed=4)
    assert list(first) == ["coin", "background", "mean colour", "small pixels"]
    for name, record in first.items():
        assert record.metrics == again[name].metrics
        stored = RunRecord.load(tmp_path / "a" / f"{name.replace(' ', '_')}.json")
        assert stored.metrics == record.metrics
        assert stored.data["fingerprint"] == ds.fingerprint()
    assert str(tmp_path) not in json.dumps(first["coin"].to_dict())


def test_another_seed_is_another_coin_and_nothing_else(ds, tmp_path):
    one, two = (untrained_records(ds, out=tmp_path / str(s), seed=s) for s in (1, 2))
    assert one["coin"].metrics["mAP"] != two["coin"].metrics["mAP"]
    assert one["mean colour"].metrics == two["mean colour"].metrics


def test_without_masks_there_is_no_background(ds, tmp_path):
    (ds.root / "masks").rename(ds.root / "hidden")
    try:
        assert "background" not in untrained_records(ds, out=tmp_path)
    finally:
        (ds.root / "hidden").rename(ds.root / "masks")


@pytest.mark.parametrize("junk", [False, True])
def test_with_a_mask_of_the_gallery_missing_there_is_no_background(ds, tmp_path, junk):
    gallery = ds.gallery.assign(junk=ds.gallery.index == 1 if junk else ds.gallery["junk"])
    hidden = mask_path(gallery["path"][1])
    hidden.rename(tmp_path / "hidden")
    try:
        found = untrained_records(replace(ds, gallery=gallery), out=tmp_path)
    finally:
        (tmp_path / "hidden").rename(hidden)
    assert ("background" in found) == junk
    assert {path.stem.replace("_", " ") for path in tmp_path.glob("*.json")} == set(found)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peak to reset")
def test_a_record_says_what_was_done(ds, tmp_path, monkeypatch):
    """The peak of the records alone, the rule they were judged by, and the seconds of each part."""
    backbone = TokenBackbone("vit_tiny_patch16_224", (64, 32), depth=1).eval()
    asked = Recipe(weights=None, workers=0, metric="euclidean", ap="trapezoid", lr=1.0)
    zero_shot_record(backbone, ds, asked)  # what is loaded once is there
    large = torch.ones(2**27)  # 512 MiB
    here = large.nbytes / 2**20
    del large
    record = zero_shot_record(backbone, ds, asked)
    untrained = untrained_records(ds, out=tmp_path)["coin"]
    with Path("/proc/self/statm").open() as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    for each in (record, untrained):
        assert each.peak_memory_mb < resident + here / 2
    assert record.experiment["metric"] == "cosine"
    assert record.experiment["ap"] == "mean_precision"
    assert record.experiment["lr"] == 1.0
    plain = zero_shot(backbone, ds, asked.replace(metric="cosine", ap="mean_precision"))
    assert record.metrics["mAP"] == plain["class"].mAP

    def slow(*arguments, **options):
        time.sleep(0.3)
        return bootstrap(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(import_module("reidlab.judging.zero_shot"), "bootstrap", slow)
        clock = time.perf_counter()
        seconds = zero_shot_record(backbone, ds, asked).seconds
        whole = time.perf_counter() - clock
    assert set(seconds) == {"train", "embed", "rank"}
    assert sum(seconds.values()) < whole - 3 * 0.3


def test_zero_shot_views_equal_an_image_by_image_loop(ds):
    torch.manual_seed(0)
    backbone = TokenBackbone("vit_tiny_patch16_224", (64, 32), depth=2).eval()
    found = zero_shot(backbone, ds, Recipe(weights=None, workers=0))
    gallery = ds.gallery[~ds.gallery["junk"]]
    transform = build_transform((64, 32), train=False)

    def described(frame):
        views = {"class": [], "pooled": [], "rows": []}
        for path in frame["path"]:
            with torch.inference_mode():
                cls, patches, _ = backbone(transform(read_image(path))[None])
            views["class"].append(cls[0])
            views["pooled"].append(sum(patches[0]) / 8)
            rows = [(patches[0, 2 * r] + patches[0, 2 * r + 1]) / 2 for r in range(4)]
            views["rows"].append(torch.cat(rows))
        return {name: torch.stack(values) for name, values in views.items()}

    queries, answers = described(ds.query), described(gallery)
    who = (ds.query["pid"], gallery["pid"], ds.query["camid"], gallery["camid"])
    for name, result in found.items():
        expected = evaluate(queries[name], answers[name], *who)
        np.testing.assert_allclose(result.ap, expected.ap, atol=1e-9)


def test_training_people_take_the_place_of_the_test(ds):
    swapped = of_training_people(ds)
    assert swapped.protocol == "standard"
    assert swapped.name == "market1501, training people"
    assert swapped.query is swapped.gallery is ds.train
    dark = ds.train["path"].index % 3 == 0
    mixed = replace(ds, train=ds.train.assign(modality=np.where(dark, "infrared", "visible")))
    swapped = of_training_people(mixed)
    assert len(swapped.query) == dark.sum()
    assert set(swapped.query["modality"]) == {"infrared"}
    assert set(swapped.gallery["modality"]) == {"visible"}
