"""The benchmark of training: its loop is that of `fit`, and its plain loop takes the same steps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import bench_training

from reidlab.training.optim import learning_rate

FOLDER = Path(bench_training.__file__).parent
SIZE = bench_training.Size(bench_training.TINY, (32, 16), 4, 2, embedded=2, steps=1, depth=1)
CPU = torch.device("cpu")


def test_the_librarys_loop_takes_the_steps_of_a_plain_one(monkeypatch):
    """Three steps of epoch 1, by SGD with momentum on a network of our own."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("REIDLAB_PROGRESS", "none")
    recipe, batch = (
        bench_training.RECIPE.replace(precision="no"),
        bench_training.ready_batch(SIZE, CPU),
    )
    ours, plain = (bench_training.network(SIZE, fused_attention=True, device=CPU) for _ in range(2))
    bench_training.training_steps(ours, recipe, batch)(3)
    velocity = {}
    plain.train()
    for _ in range(3):
        out = plain(batch["image"], batch["camid"])
        plain.zero_grad()
        bench_training.plain_loss(out.logits[0], out.features[0], batch["label"]).backward()
        for name, parameter in plain.named_parameters():
            if not parameter.requires_grad:
                continue
            gradient = parameter.grad + recipe.weight_decay * parameter.detach()
            velocity[name] = recipe.momentum * velocity.get(name, 0.0) + gradient
            rate = learning_rate(recipe, 1.0, 2.0 if "bias" in name else 1.0)
            parameter.data -= rate * velocity[name]
    start = bench_training.network(SIZE, fused_attention=True, device=CPU).state_dict()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(start["backbone.cls_token"], plain.backbone.cls_token, atol=1e-4)


def test_the_two_loops_agree_and_others_do_not(monkeypatch):
    batch = bench_training.ready_batch(SIZE, CPU)
    bench_training.agree(SIZE, batch)
    monkeypatch.setattr(bench_training, "plain_loss", lambda *_: torch.tensor(1.0))
    with pytest.raises(SystemExit, match="the loops differ"):
        bench_training.agree(SIZE, batch)


@pytest.mark.parametrize("script", ["bench_la.py", "bench_training.py"])
def test_from_the_command_line(script, tmp_path):
    """--quick on a CPU: a row for each way, and a record."""
    command = [sys.executable, str(FOLDER / script), "--quick", "--cpu", "--rounds", "1"]
    out = tmp_path / "record.json"
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    (row,) = record["rows"].values()
    tasks = row["tasks"] if script == "bench_la.py" else row["training"]
    assert all(found["ratio"] > 0 for found in tasks.values())
    assert not [path for path in tmp_path.iterdir() if path != out]
