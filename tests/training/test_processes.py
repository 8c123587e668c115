"""Two processes take the step of one: the oracle is one process, or autograd over the batch."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from accelerate.utils import DistributedType
from safetensors.torch import save_file
from torch import nn

from reidlab.data import DatasetError, IdentitySampler, ShuffleSampler
from reidlab.data.loader import EpochBatches
from reidlab.losses import Pairwise
from reidlab.processes import own_batches, synchronized
from reidlab.training import (
    CheckpointError,
    ProcessError,
    RecipeError,
    RunRecord,
    TrainingDiverged,
    gather,
    shared_batch_norm,
    training_batches,
)
from reidlab.training.launch import check_processes
from tests.training import ranks
from tests.training.ranks import launch


@pytest.fixture
def small(recipe):
    """Without stochastic depth, whose draws differ between processes; with all augmentation."""
    return recipe.replace(
        epochs=2, image_size=(32, 16), depth=1, drop_path=0.0, optimizer="sgd", lr=0.01,
        weight_decay=1e-4, embed_batch_size=3, **{"losses.triplet.margin": 0.3},
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of one run by one process and one by two, made once."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def alone(noise_root, small, runs):
    return ranks.train(noise_root, small, runs / "one")


@pytest.fixture
def both(noise_root, small, runs):
    return launch(ranks.train, noise_root, small, runs / "two")


def largest_difference(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_two_processes_train_as_one(noise_root, small, alone, runs):
    record, embeddings, ap, weights, _ = alone
    shutil.rmtree(runs / "two", ignore_errors=True)
    both = launch(ranks.train, noise_root, small, runs / "two")
    for _, _, other_ap, other, _ in both:
        assert largest_difference(weights, other) < 1e-5
        np.testing.assert_array_equal(other_ap, ap)
    assert largest_difference(both[0][3], both[1][3]) == 0.0  # running statistics too
    found = both[0][0]
    assert found == both[1][0] == RunRecord.load(runs / "two" / "record.json")
    assert found.metrics == record.metrics
    assert found.environment["processes"] == 2
    for row, expected in zip(found.history, record.history, strict=True):
        assert row["images"] == expected["images"]
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert row["losses"] == pytest.approx(expected["losses"], rel=1e-5)
        assert row["accuracy"] == pytest.approx(expected["accuracy"])
    assert sorted(p.name for p in (runs / "two").iterdir()) == ["model.safetensors", "record.json"]
    assert [[line.split()[1] for line in end[4]] for end in both] == [["1/2", "2/2"], []]
    assert [len(e) for e in both[1][1]] == [0, 0, 0]  # the main process has all rows
    for rows, expected in zip(both[0][1], embeddings, strict=True):
        assert rows.shape == expected.shape
        torch.testing.assert_close(rows, expected, rtol=1e-4, atol=1e-4)


def test_every_option_of_a_recipe_on_two_processes(noise_root, small, tmp_path):
    """Batches in groups, averaged weights, people left out who choose the epoch, recomputing."""
    recipe = small.replace(
        accumulation_steps=2, clip_grad=1.0, layer_decay=0.8, gradient_checkpointing=True,
        ema_decay=0.5, validate_every=1, validation_identities=0.25, keep="best",
    )  # fmt: skip
    record, _, ap, weights, _ = ranks.train(noise_root, recipe, tmp_path / "one")
    for other_record, _, other_ap, other, _ in launch(
        ranks.train, noise_root, recipe, tmp_path / "two"
    ):
        assert largest_difference(weights, other) < 1e-5
        np.testing.assert_array_equal(other_ap, ap)
        for row, expected in zip(other_record.history, record.history, strict=True):
            assert row["validation"] == expected["validation"]
            assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_shares_by_themselves_train_otherwise(noise_root, small, alone, tmp_path):
    """What the comparison above would find if losses and norms saw a share of the batch."""
    expected = alone[3]
    shares = launch(ranks.train, noise_root, small.replace(gather=False), tmp_path)
    assert largest_difference(expected, shares[0][3]) > 1e-3


def test_a_share_of_one_person_has_no_triplet_loss_and_trains(ds, noise_root, small, tmp_path):
    """Two images each, of any people, without gathering."""
    recipe = small.replace(sampler="shuffle", images_per_identity=1, gather=False)
    batches = training_batches(ds, recipe, seed=1, processes=2).batch_sampler
    batches.set_epoch(1)
    labels = ds.train["label"].to_numpy()
    shares = [labels[[i for _, i in b[part]]] for b in batches for part in (slice(2), slice(2, 4))]
    assert any(len(set(share)) == 1 for share in shares)
    for record, _, _, weights, _ in launch(ranks.train, noise_root, recipe, tmp_path):
        assert [row["images"] for row in record.history] == [32, 32]
        assert all(np.isfinite(row["losses"]["triplet"]) for row in record.history)
        assert all(torch.isfinite(value).all() for value in weights.values())


def test_embeddings_have_the_same_bits_on_any_number_of_processes(noise_root, small, alone, runs):
    """One image, five, sixteen, in batches of three, by the weights of the finished run."""
    record, embeddings, ap, _, _ = alone
    for processes in (1, 2, 4):
        each = launch(ranks.train, noise_root, small, runs / "one", processes=processes)
        assert all(torch.equal(a, b) for a, b in zip(each[0][1], embeddings, strict=True))
        assert all(np.array_equal(found[2], ap) for found in each)
        assert all(found[0] == record for found in each)


def test_interrupted_and_resumed_on_two_processes(noise_root, small, both, tmp_path):
    ends = launch(ranks.train, noise_root, small, tmp_path, ranks.interrupted)
    assert [type(end) for end in ends] == [KeyboardInterrupt] * 2
    with pytest.raises(CheckpointError, match=r"processes is 2 there and 1 now"):
        ranks.train(noise_root, small, tmp_path)
    resumed = launch(ranks.train, noise_root, small, tmp_path)
    assert largest_difference(resumed[0][3], both[0][3]) == 0.0
    assert [row["loss"] for row in resumed[0][0].history] == [
        row["loss"] for row in both[0][0].history
    ]


def test_an_image_that_cannot_be_read_stops_both(noise_root, small, tmp_path):
    root = shutil.copytree(noise_root, tmp_path / "copy")
    image = min((root / "bounding_box_train").iterdir())
    image.write_bytes(image.read_bytes()[:100])
    ends = sorted(
        launch(ranks.train, root, small, tmp_path / "run"), key=lambda e: type(e).__name__
    )
    assert [type(end) for end in ends] == [DatasetError, ProcessError]
    assert image.name in str(ends[0])
    assert re.fullmatch(
        rf"process \d failed: DatasetError: .*{image.name}.* This process, \d, stops with it\.",
        str(ends[1]),
        re.DOTALL,
    )


def test_a_loss_that_is_no_number_on_one_process_stops_both_alike(noise_root, small, tmp_path):
    ends = launch(ranks.train, noise_root, small, tmp_path, ranks.no_number)
    assert [type(end) for end in ends] == [TrainingDiverged] * 2
    assert str(ends[0]) == str(ends[1])
    assert "loss nan at step 0" in str(ends[0])


def test_a_main_process_that_cannot_write_stops_both(noise_root, small, tmp_path):
    main, other = launch(ranks.train, noise_root, small, tmp_path, ranks.full_disk)
    assert isinstance(main, OSError)
    assert isinstance(other, ProcessError)
    assert "process 0 failed: OSError: no space left on device. This process, 1, s" in str(other)
    assert not list(tmp_path.iterdir())


def test_one_process_looks_beforehand_and_all_hear_of_it(noise_root, small, tmp_path):
    out = tmp_path / "run"
    out.write_text("a file")
    main, other = launch(ranks.train, noise_root, small, out)
    assert isinstance(main, CheckpointError)
    assert "cannot be written to" in str(main)
    assert isinstance(other, ProcessError)
    assert f"process 0 failed: CheckpointError: {main}" in str(other)


def test_nobody_waits_for_a_process_that_was_killed(noise_root, small, tmp_path):
    main, other = launch(ranks.train, noise_root, small, tmp_path, ranks.killed)
    assert isinstance(other, EOFError)
    assert isinstance(main, RuntimeError)  # of torch: the connection is closed
    assert not isinstance(main, ProcessError)


def test_machines_that_do_not_share_the_folder(noise_root, small, alone, runs, tmp_path):
    outs = (runs / "one", tmp_path)
    for end in launch(ranks.train_apart, noise_root, small, outs):
        assert isinstance(end, ProcessError)
        assert "found in `out` is 'a finished run' for process 0 and 'nothing' for" in str(end)


def test_people_that_cannot_be_shared_out(noise_root, small, tmp_path):
    ends = launch(ranks.train, noise_root, small, tmp_path, processes=3)
    assert [type(end) for end in ends] == [RecipeError] * 3
    assert "identities_per_batch is 4 and there are 3 processes" in str(ends[0])


class Launched:
    def __init__(self, processes, kind=DistributedType.MULTI_GPU):
        self.num_processes, self.distributed_type = processes, kind


@pytest.mark.parametrize(
    ("people", "processes", "gathered", "message"),
    [
        (4, 3, True, r"whole people\. Launch 1, 2 or 4 processes, or .*identities_per_batch=3"),
        (16, 6, True, r"Launch 1, 2, 4, 8 or 16 processes, or .*identities_per_batch=18"),
        (4, 8, True, r"identities_per_batch=8"),
        (
            4,
            4,
            False,
            r"two or more without gather or with pairs\. Launch 1 or 2 processes, .*per_batch=8",
        ),
        (3, 2, False, r"Launch 1 processes, or .*identities_per_batch=4"),
    ],
)
def test_numbers_that_do_not_divide(recipe, monkeypatch, people, processes, gathered, message):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    recipe = recipe.replace(identities_per_batch=people, gather=gathered)
    with pytest.raises(RecipeError, match=message) as caught:
        check_processes(recipe, Launched(processes))
    nearest = int(str(caught.value).rsplit("=", 1)[1].rstrip(")."))
    check_processes(recipe.replace(identities_per_batch=nearest), Launched(processes))


def test_pairs_need_two_people_in_each_share(recipe, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    pairs = recipe.replace(identities_per_batch=4, losses=(Pairwise(),))
    with pytest.raises(RecipeError, match="two or more without gather or with pairs"):
        check_processes(pairs, Launched(4))


def test_launchers_that_would_not_work(recipe, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="configured for FSDP, which cuts up the model"):
        check_processes(recipe, Launched(2, DistributedType.FSDP))
    for end in launch(ranks.disconnected, ACCELERATE_USE_CPU="false"):
        if torch.cuda.is_available():
            break  # then Accelerate connects them
        assert isinstance(end, ProcessError)
        assert "2 processes were launched and Accelerate uses 1; each would train" in str(end)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_shares_of_a_batch_are_whole_people(processes):
    labels = np.random.default_rng(0).integers(0, 11, 90)
    whole = EpochBatches(IdentitySampler(labels, 4, 3, seed=5))
    for epoch in (1, 2):
        whole.set_epoch(epoch)
        shares = [list(shard) for shard in shards(whole, processes)]
        assert len(whole) == len(shares[0]) > 3
        for batch, *parts in zip(whole, *shares, strict=True):
            assert [key for part in parts for key in part] == batch
            for part in parts:
                people, counts = np.unique(labels[[i for _, i in part]], return_counts=True)
                assert len(people) == 4 // processes
                assert set(counts) == {3}
                assert {key[0] for key in part} == {epoch}


def test_shares_of_a_shuffled_batch():
    whole = ShuffleSampler(50, batch_size=12, seed=3)
    shares = [list(shard) for shard in shards(whole, 3)]
    assert [sum(parts, ()) for parts in zip(*map(totuple, shares), strict=True)] == totuple(whole)
    assert {len(part) for share in shares for part in share} == {4}


def shards(sampler, processes):
    """As Accelerate cuts batches under `fit`."""
    return [
        BatchSamplerShard(sampler, processes, index, split_batches=True)
        for index in range(processes)
    ]


def totuple(batches):
    return [tuple(batch) for batch in batches]


def spread(features, labels):
    """A loss in which every image meets every other."""
    distances = (features[:, None] - features[None]).pow(2).sum(-1)
    same = labels[:, None] == labels[None]
    return (distances * same).sum() / 10 + torch.exp(-distances[~same]).sum()


def test_gathered_gradient_is_that_of_the_whole_batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 5, dtype=torch.float64, generator=generator)
    weight = torch.randn(5, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    value = spread(images @ weight, labels)
    value.backward()
    for found, gradient, gathered in launch(
        ranks.gathered_gradient, images, labels, weight.detach(), spread
    ):
        assert found == pytest.approx(value.item(), rel=1e-14)
        torch.testing.assert_close(gradient, weight.grad, rtol=1e-12, atol=1e-12)
        assert gathered.tolist() == labels.tolist()


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 3, 2)])
def test_norm_over_the_batch_of_all_processes(shape):
    generator = torch.Generator().manual_seed(0)
    inputs, target = (
        torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2)
    )
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    norm, whole = (kind(5).double() for _ in range(2))
    for n in (norm, whole):
        n.weight.data.copy_(torch.arange(5) + 1)
    x = inputs.clone().requires_grad_()
    output = whole(x)
    (output - target).pow(3).mean().backward()
    expected = [p.grad for p in whole.parameters()]
    later = whole.eval()(inputs)
    found = launch(ranks.normed, norm, inputs, target)
    assert torch.equal(torch.cat([f[0] for f in found]), output)
    torch.testing.assert_close(torch.cat([f[1] for f in found]), x.grad, rtol=1e-12, atol=1e-12)
    for rank, (_, _, gradients, state, alone, after) in enumerate(found):
        torch.testing.assert_close(gradients, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(alone, later.chunk(2)[rank], rtol=1e-12, atol=1e-12)
        assert state.keys() == whole.state_dict().keys()
        mean = after.transpose(0, 1).flatten(1).mean(1)  # a share normed by itself has no mean
        torch.testing.assert_close(mean, torch.zeros_like(mean))


def test_one_process_needs_none_of_it():
    rows, norm = torch.ones(2, 3), nn.BatchNorm1d(3)
    assert gather(rows) is rows
    with shared_batch_norm(nn.Sequential(norm)):
        assert not norm._forward_pre_hooks
    assert list(synchronized([1, 2])) == [1, 2]


@pytest.mark.parametrize(("sizes", "tail"), [((3, 0), (4,)), ((0, 2), (2, 3)), ((2, 5), (1,))])
def test_rows_are_collected_in_order(sizes, tail):
    (whole, right), (other, _) = launch(ranks.collected, sizes, tail)
    assert right
    assert whole.shape == (sum(sizes), *tail)
    assert other.shape == (0, *tail)


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 65])
@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_each_row_is_embedded_once_and_in_whole_batches(monkeypatch, rows, processes):
    module = "reidlab.processes."
    monkeypatch.setattr(module + "process_count", lambda: processes)
    parts = []
    for index in range(processes):
        monkeypatch.setattr(module + "process_index", lambda index=index: index)
        parts.append(list(range(rows))[own_batches(rows, 4)])
    assert [row for part in parts for row in part] == list(range(rows))
    assert all(part[0] % 4 == 0 for part in parts if part)
    batches = [-(-len(part) // 4) for part in parts]
    assert max(batches) - min(batches) <= 1


@pytest.mark.parametrize("failing", [(0,), (1,), (0, 1), ()])
def test_all_go_on_or_none(failing):
    for rank, end in enumerate(launch(ranks.one_fails, failing)):
        if not failing:
            assert end == "went on"
        elif rank in failing:
            assert isinstance(end, OSError)
        else:
            assert isinstance(end, ProcessError)
            assert f"process {failing[0]} failed: OSError: no space left" in str(end)


def test_what_the_main_process_has_and_the_largest():
    assert launch(ranks.told, "x") == [("process 0 has x", 1.0)] * 2


def test_processes_that_were_not_started_alike():
    same = {"recipe": {"lr": 0.1, "workers": 1}, "data": "ab"}
    other = {"recipe": {"lr": 0.2, "workers": 3}, "data": "ab"}
    assert launch(ranks.agreeing, [same, same | {"recipe": {"lr": 0.1}}]) == ["agreed"] * 2
    for end in launch(ranks.agreeing, [same, other]):
        assert isinstance(end, ProcessError)
        assert "not agree: recipe.lr is 0.1 for process 0 and 0.2 for process 1. Start" in str(end)
        assert "runs/x" in str(end)


def test_a_run_from_before_gathering_is_this_run(noise_root, small, alone, tmp_path):
    older = dataclasses.replace(alone[0], experiment=dict(alone[0].experiment))
    del older.experiment["gather"]
    older.save(tmp_path / "record.json")
    save_file(alone[3], tmp_path / "model.safetensors")
    assert ranks.train(noise_root, small, tmp_path)[0] == older
    with pytest.raises(CheckpointError, match=r"recipe.gather is True there and False now"):
        ranks.train(noise_root, small.replace(gather=False), tmp_path)


def test_accelerate_launch_trains_from_the_command_line(noise_root, tmp_path):
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
        *("--num_machines", "1", "--num_processes", "2", "--main_process_port", "0"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "-m", "reidlab", "train"),
        *("--paper", "vit_baseline", "--profile", "smoke", "--dataset", "market1501"),
        *("--root", str(noise_root), "--out", str(tmp_path)),
        *("--set", "image_size=[32,16]", "--set", "depth=1", "--set", "precision=no"),
    ]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    epoch, result = done.stdout.splitlines()  # of the main process alone
    assert epoch.startswith("epoch 1/1  loss ")
    assert result.startswith("Rank-1 ")
    assert RunRecord.load(tmp_path / "record.json").environment["processes"] == 2
