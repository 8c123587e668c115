"""Records are read strictly and compared completely."""

import json

import pytest

from reidlab.record import RecordError, RunRecord, check_schema, flatten, is_share, read_record
from reidlab.report import records_at


def save(folder, name, record):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def test_runs_below_a_link_are_found(tmp_path, record):
    save(tmp_path, "disk/one/record.json", record)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "moved").symlink_to(tmp_path / "disk")
    assert len(records_at(tmp_path / "runs")) == 1


LITTER = ("._b.json", ".b.json.swp", "b.json~", ".git/record.json")


def test_litter_beside_records(tmp_path, record):
    save(tmp_path, "runs/a/record.json", record)
    save(tmp_path, "flat/b.json", record)
    for folder in ("runs", "flat"):
        for name in LITTER:
            (tmp_path / folder / name).parent.mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(b"\x00\x05\x16\x07")
    for where in ("runs", "flat", "flat/*"):
        assert len(records_at(tmp_path / where)) == 1


def test_levels_that_are_none_are_named():
    stored = "book/results/vit_baseline/pku_reid.jsonl"
    assert len(records_at(f"{stored}:start=shipped")) == 3
    with pytest.raises(ValueError, match="start is ''; expected one of"):
        records_at(f"{stored}:start")


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(RecordError, match="there is no run record at"):
        records_at(tmp_path)


def test_every_missing_field_is_named(record):
    check_schema(record)
    del record["seed"], record["metrics"]
    del record["data"]["fingerprint"]
    with pytest.raises(RecordError) as error:
        check_schema(record, "x.json")
    for text in ("x.json", "`seed` is missing", "`metrics` is missing", "`data.fingerprint`"):
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", "0", "`seed` is '0', expected int"),
        ("seed", True, "`seed` is True, expected int"),
        ("history", None, "`history` is None, expected list"),
        ("metrics", {"mAP": 25.0}, "not percent"),
        ("metrics", {"rows": {"rank1": float("nan")}}, "`metrics.rows.rank1`"),
    ],
)
def test_wrong_types_are_named(record, field, value, message):
    record[field] = value
    with pytest.raises(RecordError, match=message):
        check_schema(record)


def test_a_list_is_not_a_record():
    with pytest.raises(RecordError, match="one JSON object, not list"):
        check_schema([])


def test_unreadable_files_say_what_to_do(tmp_path):
    with pytest.raises(RecordError, match="has not finished"):
        read_record(tmp_path / "none.json")
    half = tmp_path / "half.json"
    half.write_text('{"schema": 1,')
    with pytest.raises(RecordError, match="so no run record: name the"):
        read_record(half)


def test_flatten():
    assert flatten({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("mAP", True), ("rank1", True), ("rank20", True), ("cmc5", True), ("mINP", True),
        ("class_mAP", True), ("class_mAP_low", True), ("rows_rank1", True), ("accuracy", True),
        ("by_retrieval.rows.mAP", True), ("validation.accuracy", True),
        ("num_queries", False), ("parameters", False), ("seconds", False), ("ranking", False),
    ],
)  # fmt: skip
def test_what_is_shown_in_percent(name, share):
    assert is_share(name) is share


def test_a_record_of_the_training_package_follows_the_schema(tmp_path):
    run = RunRecord(
        experiment={"paper": "x"},
        seed=0,
        data={"name": "market1501", "fingerprint": "ab"},
        metrics={"rank1": 0.5, "num_queries": 3},
        seconds={"train": 1.0},
        images_per_second=1.0,
        peak_memory_mb=1.0,
        started="2030-01-01T00:00:00",
        finished="2030-01-01T00:00:01",
    )
    run.save(tmp_path / "record.json")
    assert read_record(tmp_path / "record.json")["metrics"]["num_queries"] == 3
