"""A set to train on alone, such as RandPerson: trained, not judged, and judged on another."""

import dataclasses

import pytest
import torch

from reidlab.data import open_dataset
from reidlab.judging import timed_evaluation
from reidlab.record import read_record
from reidlab.report import side_by_side
from reidlab.synth import suggested_world, write_dataset
from reidlab.training import RunRecord, build_model, evaluate_on, evaluate_run, fit, load_run

pytestmark = pytest.mark.filterwarnings("ignore::reidlab.data.DatasetWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    world = suggested_world("randperson", seed=2, identities=8, cameras=2, resolution=(32, 16))
    return write_dataset("randperson", tmp_path_factory.mktemp("randperson") / "set", world)


@pytest.fixture
def learned(root):
    ds = open_dataset("randperson", root)
    assert (len(ds.query), len(ds.gallery)) == (0, 0)
    return ds


@pytest.fixture
def tiny(recipe):
    return recipe.replace(image_size=(32, 16), depth=1, epochs=2, identities_per_batch=2)


def test_it_trains_and_is_judged_on_another_set(learned, ds, tiny, tmp_path, capsys):
    model = build_model(tiny, learned)
    record = fit(model, learned, tiny, out=tmp_path)
    first, *epochs = capsys.readouterr().out.splitlines()
    assert first == "randperson has no test part, so nothing will be tested"
    assert [line.split()[1] for line in epochs] == ["1/2", "2/2"]
    assert record.metrics == {}
    assert set(record.seconds) == {"train"}
    assert len(record.history) == 2
    assert (record.data["query_images"], record.data["gallery_images"]) == (0, 0)
    assert fit(build_model(tiny, learned, seed=4), learned, tiny, out=tmp_path) == record
    loaded, again = load_run(tmp_path, learned)
    assert again == record == RunRecord.load(tmp_path / "record.json")
    found = evaluate_on(model, ds, tiny)
    assert found.num_valid == 4
    assert evaluate_run(tmp_path, ds).mAP == found.mAP
    assert evaluate_on(loaded, ds, tiny).mAP == found.mAP


def test_interrupted_after_the_last_epoch(learned, tiny, tmp_path, stopped_in):
    with stopped_in(2):
        fit(build_model(tiny, learned), learned, tiny, out=tmp_path)
    assert fit(build_model(tiny, learned), learned, tiny, out=tmp_path).metrics == {}


def test_people_of_it_may_be_left_out_to_choose_an_epoch(learned, tiny, tmp_path):
    recipe = tiny.replace(validate_every=1, validation_identities=2, keep="best")
    record = fit(build_model(recipe, learned), learned, recipe, out=tmp_path)
    assert record.metrics == {}
    assert all(0 < row["validation"]["mAP"] <= 1 for row in record.history)


def test_the_report_reads_its_record(learned, tiny, tmp_path):
    fit(build_model(tiny, learned), learned, tiny, out=tmp_path)
    path = tmp_path / "record.json"
    said = read_record(path)
    assert not side_by_side([said], [said]).obstacles


@pytest.mark.parametrize("evaluate", [evaluate_on, timed_evaluation])
def test_there_is_nothing_to_judge_on(learned, ds, tiny, evaluate):
    model = torch.nn.Identity()  # it is not asked
    with pytest.raises(
        ValueError,
        match=r"randperson has 0 query and 0 gallery images; .* on another one: evaluate_on",
    ):
        evaluate(model, learned, tiny)
    for part in ("query", "gallery"):
        frame = getattr(ds, part)
        for rest in (frame.iloc[:0], frame.assign(junk=True)):
            with pytest.raises(
                ValueError, match=r"market1501 has \d+ query and \d+ gallery images"
            ):
                evaluate(model, dataclasses.replace(ds, **{part: rest}), tiny)
