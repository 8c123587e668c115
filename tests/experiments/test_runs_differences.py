"""Several comparisons of one experiment in a table."""

import pytest

from reidlab.experiments import Runs


def run(heads, seed, mean_ap):
    return {
        "seed": seed, "levels": {"heads": heads}, "after": {}, "metrics": {"mAP": mean_ap},
        "data": {"name": "x", "fingerprint": "f", "protocol": "standard"}, "experiment": {},
        "seconds": {}, "history": [],
    }  # fmt: skip


def test_each_comparison_is_a_row_as_compare_finds_it():
    values = {"one": (0.50, 0.52, 0.54), "rows": (0.60, 0.61, 0.65)}
    records = [run(heads, seed, v) for heads, vs in values.items() for seed, v in enumerate(vs)]
    runs = Runs("test", tuple(records))
    one, rows = {"heads": "one"}, {"heads": "rows"}
    table = runs.differences({"rows over one": (one, rows), "one over rows": (rows, one)})
    assert list(table.index) == ["rows over one", "one over rows"]
    assert table.value.tolist() == pytest.approx([10.0, -10.0])
    found = runs.compare(one, rows)
    first = table.loc["rows over one"]
    assert (first.low, first.high, first.smallest) == (found.low, found.high, found.smallest)
    assert first.found == found.text()
    assert -table.loc["one over rows"].high == pytest.approx(found.low)
