"""Two sides of runs: what forbids the comparison, what differs, and by how much."""

import copy
import json

import pytest

from reidlab.record import RecordError
from reidlab.report import records_at, side_by_side


def changed(record, seed=0, **parts):
    """A copy with another seed, and with some entries of its parts replaced."""
    other = copy.deepcopy(record) | {"seed": seed}
    for part, entries in parts.items():
        other[part] |= entries
    return other


def test_one_unit_for_every_kind_of_share(record):
    metrics = {"class_mAP": 0.5, "class_mAP_low": 0.4, "rows.rank1": 0.25, "num_queries": 3}
    record["metrics"] |= metrics
    other = changed(record, metrics={"class_mAP": 0.6, "num_queries": 4})
    row = side_by_side([record], [other]).results.set_index("name")["A"]
    assert row[list(metrics)].tolist() == pytest.approx([50, 40, 25, 3])


def test_one_against_one(record):
    other = changed(record, metrics={"mAP": 0.3}, experiment={"recipe": {"epochs": 3, "lr": 0.1}})
    found = side_by_side([record], [other])
    assert found.obstacles == found.cautions == ()
    assert found.settings.to_numpy().tolist() == [["experiment.recipe.lr", "0.008", "0.1"]]
    row = found.results.set_index("name").loc["mAP"]
    assert row[["A", "B", "B - A"]].tolist() == pytest.approx([25, 30, 5])
    assert row[["spread A", "spread B", "low", "high"]].isna().all()
    assert list(found.results["name"])[:3] == ["rank1", "mAP", "seconds.train"]
    text = str(found)
    assert "Measured alike: data set market1501" in text
    assert "NOT COMPARABLE" not in text


def test_seeds_against_seeds(record):
    a = [changed(record, seed, metrics={"mAP": x}) for seed, x in enumerate((0.20, 0.22, 0.24))]
    b = [changed(record, seed, metrics={"mAP": x}) for seed, x in enumerate((0.30, 0.34))]
    row = side_by_side(a, b).results.set_index("name").loc["mAP"]
    numbers = row[["A", "spread A", "B", "spread B", "B - A"]].tolist()
    assert numbers == pytest.approx([22, 2, 32, 8**0.5, 10])
    assert row["low"] < 10 < row["high"]
    wider = side_by_side(a, b, level=0.99).results.set_index("name").loc["mAP"]
    assert wider["low"] < row["low"]


def test_other_images_are_said_before_any_number(record):
    found = side_by_side([record], [changed(record, data={"fingerprint": "cd" * 32})])
    assert found.obstacles == ("fingerprint of the images: abababababab / cdcdcdcdcdcd",)
    text = str(found)
    assert text.index("NOT COMPARABLE") < text.index("rank1")


def test_a_side_that_is_no_group_of_seeds(record):
    mixed = [record, changed(record, 1, experiment={"preset": "code"})]
    assert side_by_side(mixed, [record]).cautions == (
        "side A mixes runs of different preset: code / paper",
    )
    twice = side_by_side([record], [record, record])
    assert "side B holds seed 0 more than once" in str(twice)
    workers = [record, changed(record, 1, experiment={"workers": 8})]  # no result depends on it
    assert side_by_side(workers, [record]).cautions == ()


def test_counts_are_shown_where_they_differ(record):
    a, b, c = (changed(record, metrics={"num_queries": n}) for n in (8, 8, 9))
    assert "num_queries" not in str(side_by_side([a], [b]))
    assert "num_queries" in str(side_by_side([a], [c]))


def test_an_empty_side(record):
    with pytest.raises(ValueError, match="side B has no record"):
        side_by_side([record], [])


def test_records_are_found_by_file_folder_and_pattern(tmp_path, record):
    for i, name in enumerate(
        ("s/seed0/record.json", "s/seed1/record.json", "s/n.json", "m/x.json")
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(record | {"seed": i}))

    def seeds(where):
        return [found["seed"] for found in records_at(where)]

    assert seeds(tmp_path / "s/n.json") == [2]
    assert seeds(tmp_path / "s/seed1") == [1]
    assert seeds(tmp_path / "s") == [0, 1]  # and not what lies beside them
    assert seeds(tmp_path / "m") == [3]
    assert seeds(str(tmp_path / "s/seed*")) == seeds(str(tmp_path / "**/record.json")) == [0, 1]
    for nothing in ("gone", "s/*/gone.json", "gone.jsonl"):
        with pytest.raises(RecordError, match="there is no run record at"):
            records_at(tmp_path / nothing)


def test_records_of_an_experiment_by_their_levels(tmp_path, record):
    path = tmp_path / "table.jsonl"
    lines = [record | {"seed": i, "levels": {"heads": h}, "after": {}} for i, h in enumerate("aab")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [found["seed"] for found in records_at(path)] == [0, 1, 2]
    assert [found["seed"] for found in records_at(f"{path}:heads=b")] == [2]
    with pytest.raises(ValueError, match="heads is 'c'; expected one of a, b"):
        records_at(f"{path}:heads=c")
