"""Contributed records: what is there passes, and a record with a fault does not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reidlab.cli import app
from reidlab.record import RecordError
from reidlab.report import check_contribution

RESULTS = Path(__file__).parents[2] / "book" / "results"


def test_all_that_was_contributed_can_be():
    for path in (RESULTS / "contributed").iterdir():
        assert path.name == "README.md" or check_contribution(path) == 1


def test_runs_that_the_book_published_could_have_been():
    assert check_contribution(RESULTS / "vit_baseline" / "pku_reid.jsonl") > 1


@pytest.fixture
def good(record):
    record["data"]["protocol"] = "standard"
    record["metrics"]["num_valid"] = 8
    return record


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("", {"schema": 0}, "schema is 0, this version of reidlab takes 1"),
        ("", {"dirty": True}, "the code was changed"),
        ("", {"dirty": None, "commit": None}, "is no git checkout"),
        ("experiment", {"profile": "smoke"}, "profile smoke only says that a page runs"),
        ("data", {"name": "my-people"}, "data set 'my-people' is unknown"),
        ("data", {"fingerprint": "12"}, "fingerprint '12' is none"),
        ("data", {"protocol": "mine"}, "protocol 'mine' is unknown, expected one of standard"),
        ("metrics", {"mAP": 85.0}, "expected a share in 0..1"),
        ("experiment", {"weights": "/home/jane/net.pth"}, "experiment.weights is '/home/jane"),
        ("experiment", {"weights": "D:\\net.pth"}, "may be a folder of yours"),
    ],
)
def test_a_fault_is_named(tmp_path, good, part, change, message):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(good))
    assert check_contribution(path) == 1
    (good[part] if part else good).update(change)
    path.write_text(json.dumps(good))
    with pytest.raises(RecordError) as caught:
        check_contribution(path)
    assert message in str(caught.value)


def test_a_run_that_was_not_evaluated(tmp_path, good):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(good | {"metrics": {}}))
    with pytest.raises(RecordError, match="metrics without rank1, mAP, num_valid: evaluate"):
        check_contribution(path)


@pytest.mark.parametrize("text", ["", '{"arm": "start", "mAP": 0.1}\n'])
def test_a_file_without_a_run(tmp_path, text):
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(RecordError, match="holds no run; expected the record"):
        check_contribution(path)


def test_the_command(tmp_path, good):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(good))
    found = CliRunner().invoke(app, ["record", "check", str(path)])
    assert (found.exit_code, found.output) == (0, f"{path}: 1 run(s), can be contributed\n")
    path.write_text("[]")
    found = CliRunner().invoke(app, ["record", "check", str(path)])
    assert found.exit_code == 1
    assert "a run record is one JSON object, not list" in found.stderr
