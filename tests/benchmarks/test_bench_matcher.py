"""The benchmark of TransMatcher: both sides score the same, and what it counts of a pair."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import bench_matcher

CPU = torch.device("cpu")


def test_the_rebuilt_form_gives_the_same_scores():
    model = bench_matcher.network(bench_matcher.QUICK, CPU)
    torch.manual_seed(3)
    q_emb, g_emb = (torch.randn(n, *model.grid, model.channels) for n in (5, 6))
    with torch.no_grad():
        theirs = bench_matcher.official(model, q_emb, g_emb)
    torch.testing.assert_close(model.match(q_emb, g_emb), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "gflop"),
    [
        (bench_matcher.Size(), 0.118),
        (bench_matcher.Size(dim=128, hidden=512, layers=2), 0.0197),
    ],
)
def test_work_of_a_pair(size, gflop):
    assert bench_matcher.flops_of_a_pair(size, 192) / 1e9 == pytest.approx(gflop, rel=5e-3)


def test_it_runs(capsys):
    rows = bench_matcher.bench(bench_matcher.QUICK, 2, CPU)
    assert rows["largest_difference"] < 1e-4
    assert rows["correlation_bf16"] > 0.99
    assert "pairs/s" in capsys.readouterr().out
