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


@pytest.mark.parametrize("cuda", [True, False])
def test_the_paper_s_size_on_any_machine(cuda):
    ((title, size),) = bench_tvtr.sizes_for(quick=False, paper=True, cuda=cuda).items()
    with torch.device("meta"):
        model = bench_tvtr.network("TVTR", size)
    assert (model.backbone.embed_dim, model.backbone.depth) == (768, 12)
    assert tuple(model.backbone.grid) == (23, 11), (
        "253 patches, as in the paper's text by stride 12"
    )
    assert model.switches.k == 16
    batch = bench_tvtr.ready_batch(size, torch.device("cpu"))
    assert len(batch["image"]) == 16
    assert title.startswith("ViT-B")
