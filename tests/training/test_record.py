import json

import pytest

from reidlab.training import RecordError, RunRecord, record
from reidlab.training.files import atomic


@pytest.fixture
def made():
    return RunRecord(
        experiment={"paper": "vit_baseline"},
        seed=3,
        data={"name": "market1501", "fingerprint": "00"},
        metrics={"rank1": 0.5},
        seconds={"train": 1.0},
        images_per_second=10.0,
        peak_memory_mb=1.0,
        started=record.now(),
        finished=record.now(),
    )


def test_save_and_load(made, tmp_path):
    made.save(tmp_path / "a" / "record.json")
    assert RunRecord.load(tmp_path / "a" / "record.json") == made
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["record.json"]  # nothing left beside it


def test_order_and_environment(made):
    assert list(made.to_dict())[:4] == ["schema", "experiment", "seed", "commit"]
    assert set(made.environment) == {
        "python", "torch", "timm", "accelerate", "system", "device", "cores",
    }  # fmt: skip
    assert made.started.endswith("+00:00")


def test_the_report_accepts_it(made):
    from reidlab.report.records import check_schema

    check_schema(json.loads(json.dumps(made.to_dict())))


def test_commit(monkeypatch, tmp_path):
    commit, dirty = record.git_commit()
    assert commit is None or (len(commit) == 40 and dirty in (True, False))
    package = tmp_path / "site-packages" / "reidlab" / "training"
    package.mkdir(parents=True)
    monkeypatch.setattr(record, "__file__", str(package / "record.py"))
    assert record.git_commit() == (None, None)


def test_installed_inside_somebody_elses_repository(monkeypatch, tmp_path):
    package = tmp_path / "reidlab" / "training"
    package.mkdir(parents=True)
    (tmp_path / "theirs.txt").touch()
    for command in (["init", "-q"], ["add", "theirs.txt"]):
        record._git(tmp_path, *command)
    record._git(tmp_path, "-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "theirs")
    monkeypatch.setattr(record, "__file__", str(package / "record.py"))
    assert record._git(tmp_path, "rev-parse", "HEAD")
    assert record.git_commit() == (None, None)


def test_nan_is_no_metric(made, tmp_path):
    made.metrics["rank1"] = float("nan")
    with pytest.raises(ValueError, match="JSON compliant"):
        made.save(tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no run record"),
        ('{"schema": 1}', "missing .*'experiment'"),
        (None, "has the run finished"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "record.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecordError, match=message):
        RunRecord.load(path)


def test_another_schema(made, tmp_path):
    made.schema = 99
    made.save(tmp_path / "record.json")
    with pytest.raises(RecordError, match="has schema 99"):
        RunRecord.load(tmp_path / "record.json")


def test_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with atomic(path) as beside:
            beside.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
