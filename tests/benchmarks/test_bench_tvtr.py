"""The benchmark of the choice of patches, at a size of seconds."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import bench_tvtr

SIZE = bench_tvtr.QUICK_SIZES["ViT-Tiny, 3 blocks, 64x32"]


@pytest.fixture(autouse=True)
def on_the_processor(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("REIDLAB_PROGRESS", "none")


def test_three_networks_of_the_same_weights():
    states = [bench_tvtr.network(name, SIZE).state_dict() for name in bench_tvtr.NETWORKS]
    for state in states[1:]:
        assert all(torch.equal(state[key], value) for key, value in states[0].items())


def test_a_measurement(capsys):
    found = bench_tvtr.bench("tiny", SIZE, 1, torch.device("cpu"))
    assert found["agree"] == 1
    assert found["networks"].keys() == bench_tvtr.NETWORKS.keys()
    assert found["forward_flops"]["TVTR"] < found["forward_flops"]["whole product"]
    assert all(row["images_per_second"] > 0 for row in found["networks"].values())
    assert "both choices agree in 100.0% of the patches" in capsys.readouterr().out
