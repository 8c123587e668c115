"""The benchmark of LA-TF against LA-TF++: what it counts, and that both sides are what they say."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import bench_la

from reidlab.losses import Identity, Triplet

SIZE = bench_la.Size(bench_la.TINY, (64, 32), "no", batch=4, embedded=2, steps=1, depth=2)
HEAD = 192 * 256 + 256 + 2 * 256 + 256 * 62 + 62  # linear, batch norm, linear


def test_the_difference_is_the_classifiers_of_all_rows_but_one():
    counts = bench_la.counts(SIZE)
    fewer = counts["parameters"]["LA-TF"] - counts["parameters"]["LA-TF++"]
    assert fewer == 3 * HEAD  # four rows of patches
    assert counts["embedding_bytes"] == {"rows": 4 * 192 * 4, "mean": 192 * 4}


def test_each_side_has_its_own_losses():
    plain, plus = (bench_la.recipe_of(name, SIZE) for name in bench_la.NETWORKS)
    assert plain.losses == (Identity(over_heads="sum"),)
    assert plus.losses == (
        Identity(label_smoothing=0.1, over_heads="sum"),
        Triplet(margin=0.3, on="logits", over_heads="sum"),
    )


def test_only_the_last_blocks_are_open():
    model = bench_la.network("LA-TF", SIZE)
    bench_la.open_last(model, 1)
    open_now = [next(b.parameters()).requires_grad for b in bench_la.blocks_of(model)]
    assert open_now == [False, True]
    assert all(p.requires_grad for p in model.heads.parameters())


def test_a_round_gives_rates_of_both_and_the_ratio_of_the_second(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    rows = bench_la.bench("tiny", SIZE, 1, torch.device("cpu"))["tasks"]
    assert list(rows) == ["training, two blocks open", "training, all blocks open", "embedding"]
    for row in rows.values():
        low, high = row["ratio_range"]
        assert low <= row["ratio"] <= high
        assert row["ratio"] == pytest.approx(row["LA-TF++"] / row["LA-TF"])  # of a single round
