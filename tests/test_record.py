import dataclasses
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from reidlab import record
from reidlab.files import atomic, sweep
from reidlab.record import RecordError, RunRecord
from reidlab.training import Recipe


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


def test_a_record_of_another_run_stays(made, tmp_path):
    made.save(tmp_path / "a.json")
    before = (tmp_path / "a.json").read_bytes()
    for change in (
        {"seed": made.seed + 1},
        {"experiment": {"paper": "la_transformer"}},
        {"data": made.data | {"fingerprint": "another"}},
    ):
        with pytest.raises(RecordError, match=r"a\.json holds the record of another run: "):
            dataclasses.replace(made, **change).save(tmp_path / "a.json")
        assert (tmp_path / "a.json").read_bytes() == before
    later = dataclasses.replace(
        made, finished="later", experiment=made.experiment | {"added by a newer version": 1}
    )
    later.save(tmp_path / "a.json")
    assert RunRecord.load(tmp_path / "a.json").finished == "later"


def test_what_a_record_leaves_out_on_purpose_is_a_difference(made):
    def run(recipe):
        return dataclasses.replace(made, experiment=recipe.to_dict()).to_dict()

    one = run(Recipe())
    for changes, said in (
        ({"losses.triplet": None}, "experiment.losses.triplet.margin is None there and 'not set'"),
        ({"losses.contrastive.weight": 2.0}, "contrastive.weight is 'not set' there and 2.0 now"),
        ({"losses.triplet.mining": "all"}, "triplet.mining is 'not set' there and 'all' now"),
        ({"grey": 0.1}, "experiment.grey is 'not set' there and 0.1 now"),
    ):
        found = record.different_run(one, run(Recipe().replace(**changes)))
        assert any(said in text for text in found), (changes, found)
        assert record.different_run(run(Recipe().replace(**changes)), one), "the other way round"
    assert record.different_run(one, run(Recipe())) == []
    older = {k: v for k, v in one["experiment"].items() if k not in ("losses", "flip_test")}
    assert record.different_run({**one, "experiment": older}, one) == [], "of an older version"


def test_what_is_no_record_is_not_replaced_by_one(made, tmp_path):
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    with pytest.raises(RecordError, match=r"notes\.json is not a run record"):
        made.save(tmp_path / "notes.json")
    assert (tmp_path / "notes.json").read_text() == '{"mine": 1}'


def test_order_and_environment(made):
    assert list(made.to_dict())[:4] == ["schema", "experiment", "seed", "commit"]
    assert set(made.environment) == {
        "python", "torch", "timm", "accelerate", "system", "device", "cores",
    }  # fmt: skip
    assert made.started.endswith("+00:00")


def test_the_report_accepts_it(made):
    record.check_schema(json.loads(json.dumps(made.to_dict())))


def test_commit(monkeypatch, tmp_path):
    commit, dirty = record.git_commit()
    here = Path(__file__).resolve().parents[1]
    if (here / ".git").exists() and here in Path(record.__file__).parents:
        said = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True
        )
        assert (commit, dirty in (True, False)) == (said.stdout.strip(), True)
    else:
        assert (commit, dirty) == (None, None)
    package = tmp_path / "site-packages" / "reidlab"
    package.mkdir(parents=True)
    monkeypatch.setattr(record, "__file__", str(package / "record.py"))
    assert record.git_commit() == (None, None)


def test_installed_inside_somebody_elses_repository(monkeypatch, tmp_path):
    package = tmp_path / "reidlab"
    package.mkdir(parents=True)
    (tmp_path / "theirs.txt").touch()
    commit = ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "theirs"]
    for command in (["init", "-q"], ["add", "theirs.txt"], commit, ["rev-parse", "HEAD"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(record, "__file__", str(package / "record.py"))
    assert record.git_commit() == (None, None)


def test_nan_is_no_metric(made, tmp_path):
    made.metrics["rank1"] = float("nan")
    with pytest.raises(ValueError, match="JSON compliant"):
        made.save(tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "a run record is one JSON object, not list"),
        ('{"schema": 1}', "`seed` is missing"),
        (None, r"there is no run record at .*has not finished"),
        ("no folder", r"there is no run record at .*there is no folder .*nowhere"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / ("nowhere/record.json" if text == "no folder" else "record.json")
    if text is not None and path.parent == tmp_path:
        path.write_text(text)
    with pytest.raises(RecordError, match=message):
        RunRecord.load(path)


def test_another_schema(made, tmp_path):
    made.schema = 99
    made.save(tmp_path / "record.json")
    with pytest.raises(RecordError, match=r"and schema 99; this version .* schema 1"):
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


def test_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)

        def watched(*arguments, name=name, function=function):
            done.append(name)
            function(*arguments)

        monkeypatch.setattr(os, name, watched)
    with atomic(tmp_path / "file.txt") as beside:
        beside.write_text("new")
    assert done == ["fsync", "replace"]
    assert (tmp_path / "file.txt").read_text() == "new"


def test_sweeping(tmp_path):
    with atomic(tmp_path / "file.a.txt") as beside:
        beside.write_text("half")
        left = tmp_path / beside.name.replace(str(os.getpid()), str(10**9))
        left.write_text("of a killed process")
        own = beside.name
    (tmp_path / "part.txt").touch()
    (tmp_path / ".mine.part.txt").touch()
    sweep(tmp_path)
    assert own != left.name
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".mine.part.txt",
        "file.a.txt",
        "part.txt",
    ]


CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing can reset it")
def test_peak_memory_is_that_since_the_reset():
    def filled():
        """Memory of its own, which goes back to the system when it is closed."""
        block = mmap.mmap(-1, 96 << 20)
        block.write(b"1" * len(block))
        return block

    filled().close()
    before = record.peak_memory_mb(CPU)
    record.reset_peak_memory(CPU)
    after = record.peak_memory_mb(CPU)
    assert 0 < after < before - 64
    with filled():
        assert record.peak_memory_mb(CPU) > after + 64


def test_peak_memory_where_it_cannot_be_reset(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(record, "CLEAR_REFS", Path("/nowhere/clear_refs"))
    monkeypatch.setattr(record, "STATUS", Path("/nowhere/status"))
    record.reset_peak_memory(CPU)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    assert record.peak_memory_mb(CPU) == pytest.approx(peak, rel=0.1)
