"""Gains of additions, by hand, from sums of people in folds."""

import numpy as np
import pandas as pd
import pytest

from reidlab.experiments import Runs
from reidlab.experiments.additions import addition_gains, in_words

# addition -> gain of each of two seeds in AP, and in hits at rank 1, at each query
ADDED = {"plain": ((0, 0), 0), "flip test": ((-0.1, -0.1), -1), "k1 = 20": ((0.05, 0.0501), 0)}


def lines(rule="authors", model="la-tf-pp"):
    """Two folds of 20 people with two queries each, and of 21 with one, in two seeds."""
    rng = np.random.default_rng(0)
    for fold, first, n, queries in (("1", 1, 20, 2), ("2", 21, 21, 1)):
        hard = rng.uniform(0.3, 0.6, n)
        for seed in (0, 1):
            for addition, (gains, hits) in ADDED.items():
                noise = rng.normal(0, 1e-4, n)
                people = {
                    "pid": [*range(first, first + n)], "queries": [queries] * n,
                    "ap": (queries * (hard + 0.1 * seed + gains[seed] + noise)).tolist(),
                    "rank1": [1 + hits] * n,
                }  # fmt: skip
                yield {"model": model, "fold": fold, "seed": seed, "rule": rule,
                       "addition": addition, "people": people}  # fmt: skip


def test_each_network_is_compared_with_itself_over_the_people_of_all_folds():
    table = addition_gains(Runs("test", lines=(*lines(), *lines("standard"))))
    assert table["addition"].tolist() == ["flip test", "k1 = 20"] * 2
    assert set(table["network"]) == {"LA-TF++"}
    assert table["rule"].unique().tolist() == [
        "AP@10, one orientation asks", "mAP, standard protocol",
    ]  # fmt: skip
    assert table["k1"].isna().tolist() == [True, False] * 2
    assert table["gain"].tolist() == pytest.approx([-10, 5] * 2, abs=0.05)
    assert (table["high"] - table["low"] < 1).all(), "that seeds differ by 10 points is no spread"
    assert table["word"].tolist() == ["contradicted", "holds"] * 2
    assert table["rank1"].tolist() == pytest.approx([-100 * 41 / 61, 0] * 2)
    assert table["drop"].tolist() == [True, False] * 2


def test_a_missing_network_is_named():
    rows = [row for row in lines() if (row["fold"], row["seed"]) != ("2", 1)]
    with pytest.raises(ValueError, match="seed 1 has no run of fold 2"):
        addition_gains(Runs("test", lines=tuple(rows)))


def test_the_words_are_counted():
    table = addition_gains(Runs("test", lines=tuple(lines())))
    found = in_words(table)
    assert found.startswith("-10.0 to +5.0")
    assert found.endswith("that it helps: contradicted in 1, holds in 1 of 2 cases")
    tiny = pd.DataFrame({"gain": [-0.01], "word": ["no clear difference"]})
    assert in_words(tiny).startswith("+0.0 to +0.0 points; that it helps: no clear difference in 1")
