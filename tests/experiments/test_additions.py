"""Gains of additions, against the lines of the table."""

import pandas as pd
import pytest

from reidlab.experiments import Runs
from reidlab.experiments.additions import addition_gains, in_words


def line(addition, rank1, mean_ap, first, difference=None, interval=None, seed=0):
    row = {
        "model": "la-tf-pp", "seed": seed, "rule": "official", "addition": addition,
        "rank1": rank1, "mAP": mean_ap, "found first": first, "queries": 10,
    }  # fmt: skip
    return row if difference is None else row | {"difference": difference, "interval": interval}


RUNS = Runs(
    "test",
    lines=(
        line("plain", 0.8, 0.6, 8),
        line("flip test", 0.7, 0.55, 7, -0.05, [-0.08, -0.02]),
        line("k1 = 20", 0.7, 0.64, 7, 0.04, [0.01, 0.07]),
        line("plain", 0.5, 0.4, 5, seed=1),
        line("k1 = 20", 0.6, 0.4, 6, 0.0, [-0.01, 0.02], seed=1),
    ),
)


def test_each_network_is_compared_with_itself():
    table = addition_gains(RUNS)
    assert table.addition.tolist() == ["flip test", "k1 = 20", "k1 = 20"]
    assert set(table.network) == {"LA-TF++"}
    assert set(table.rule) == {"AP@10, authors' evaluation"}
    assert table.k1.isna().tolist() == [True, False, False]
    assert table.k1.tolist()[1:] == [20, 20]
    assert table.gain.tolist() == pytest.approx([-5.0, 4.0, 0.0])
    assert table.low.tolist() == pytest.approx([-8.0, 1.0, -1.0])
    assert table.high.tolist() == pytest.approx([-2.0, 7.0, 2.0])
    assert table.found.tolist() == [-1, -1, 1]
    assert table["drop"].tolist() == [True, False, False], "one score fell, the other rose"


def test_the_words_count_what_is_clear():
    table = addition_gains(RUNS)
    assert in_words(table) == "-5.0 to +4.0 points, 1 clear gains and 1 clear losses in 3 cases"
    tiny = pd.DataFrame({"gain": [-0.01], "low": [-1.0], "high": [1.0]})
    assert in_words(tiny).startswith("+0.0 to +0.0 points, 0 clear gains")
