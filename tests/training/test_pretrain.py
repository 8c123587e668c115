"""The road to the shipped weights, on a handful of people and steps."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from reidlab.models import create_model
from reidlab.models.vit import TokenBackbone
from reidlab.training import pretrain as module
from reidlab.training.pretrain import (
    Attribute,
    PretrainConfig,
    attribute_loss,
    attributes,
    augment,
    pretrain,
    small_config,
    token_views,
)
from reidlab.training.record import RunRecord

CONFIG = replace(small_config(), image_size=(64, 32), small_size=(32, 16))


@pytest.fixture(autouse=True)
def _one_process(monkeypatch):
    """Render in a thread: starting processes takes longer than all the rest."""
    monkeypatch.setattr(
        module, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(workers)
    )
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run without interruption."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ProcessPoolExecutor", lambda n, mp_context: ThreadPoolExecutor(n))
        torch.set_num_threads(1)
        return pretrain(tmp_path_factory.mktemp("whole"), CONFIG, workers=1, save_every=2)


# --- the run ------------------------------------------------------------------------------------


def test_a_run_leaves_weights_and_a_record(finished):
    record = RunRecord.load(finished.parent / "record.json")
    assert [row["epoch"] for row in record.history] == [2, 4]
    assert all(np.isfinite(row["loss"]) for row in record.history)
    assert record.data["train_images_seen"] == 4 * 3 * 2
    assert record.experiment["steps"] == CONFIG.steps
    assert not list(finished.parent.glob("*.tmp"))


def test_the_weights_are_half_precision_under_the_names_of_timm(finished):
    weights = load_file(finished)
    assert {v.dtype for v in weights.values()} == {torch.float16}
    assert {"patch_embed.proj.weight", "cls_token", "pos_embed", "norm.bias"} <= set(weights)
    assert "blocks.11.mlp.fc2.weight" in weights
    assert weights["pos_embed"].shape == (1, 1 + 4 * 2, 192)
    with safe_open(finished, "pt") as file:
        meta = file.metadata()
    assert meta == {"image_size": "64,32", "patch_size": "16", "normalization": "half"}


def test_the_weights_load_into_a_backbone_and_a_model(finished):
    weights = {k: v.float() for k, v in load_file(finished).items()}
    backbone = TokenBackbone(CONFIG.backbone, CONFIG.image_size)
    backbone.load_state_dict(weights)
    model = create_model("vit_baseline", num_classes=5, weights=finished, image_size=(64, 32))
    loaded = dict(model.backbone.named_parameters())
    assert torch.equal(loaded["blocks.0.attn.qkv.weight"], weights["blocks.0.attn.qkv.weight"])
    images = torch.rand(2, 3, 64, 32)
    with torch.no_grad():
        expected = backbone.eval()(images).cls
        assert torch.allclose(model.eval().backbone(images).cls, expected, atol=1e-5)


def assert_same_weights(one, other):
    """Bit for bit; the order of the metadata in the file is not ours to decide."""
    one, other = load_file(one), load_file(other)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("last", [2, 3])
def test_an_interrupted_run_ends_in_the_same_bits(finished, tmp_path, monkeypatch, last):
    """Stopped in the middle of a size, and at the change of sizes; then started again."""
    steps = module._steps

    def interrupted(*args):
        for result in steps(*args):
            if result[0] > last:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(module, "_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path, CONFIG, workers=1, save_every=2)
    assert not (tmp_path / "backbone.safetensors").exists()
    again = pretrain(tmp_path, CONFIG, workers=1, save_every=2)
    assert_same_weights(again, finished)
    one, other = (RunRecord.load(p.parent / "record.json").history for p in (finished, again))
    for row, same in zip(one, other, strict=True):
        assert (row["epoch"], row["loss"]) == (same["epoch"], same["loss"])


def test_a_finished_run_trains_no_further(finished):
    checkpoint = (finished.parent / "checkpoint.pt").stat().st_mtime_ns
    before = load_file(finished)
    again = load_file(pretrain(finished.parent, CONFIG, workers=1))
    assert all(torch.equal(again[name], before[name]) for name in before)
    assert (finished.parent / "checkpoint.pt").stat().st_mtime_ns == checkpoint


def test_another_configuration_in_the_folder_is_refused(finished):
    with pytest.raises(ValueError, match="another configuration: choose another folder"):
        pretrain(finished.parent, replace(CONFIG, lr=1.0), workers=1)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "augment", lambda x, size, generator: x * float("nan"))
    with pytest.raises(FloatingPointError, match=r"at step 0: lower `lr`"):
        pretrain(tmp_path, replace(CONFIG, small_steps=0), workers=1)


# --- data ---------------------------------------------------------------------------------------


def test_images_are_the_worlds(finished):
    path = next(finished.parent.glob("images-*.npy"))
    images, keys = np.load(path, mmap_mode="r"), module._keys(CONFIG)
    assert images.shape == (24, 64, 32, 3)
    np.testing.assert_array_equal(images[5:9], CONFIG.world().render(keys[5:9]).images)


def test_a_person_is_seen_by_different_cameras():
    keys = module._keys(PretrainConfig())
    assert len(keys) == len(set(keys)) == 36_000
    for start in range(0, 1200, 12):
        mine = keys[start : start + 12]
        assert {pid for pid, _, _ in mine} == {start // 12 + 1}
        assert len({camid for _, camid, _ in mine}) == 12


def test_a_batch_is_p_people_of_k_images_and_depends_on_the_step_alone():
    images = np.random.default_rng(0).integers(0, 256, (24, 64, 32, 3), dtype=np.uint8)
    x, picks = module._batch(CONFIG, images, 7, (32, 16))
    again, same = module._batch(CONFIG, images, 7, (32, 16))
    other, _ = module._batch(CONFIG, images, 8, (32, 16))
    assert x.shape == (6, 3, 32, 16)
    assert len(set(picks)) == 6
    people, counts = np.unique(picks // 4, return_counts=True)
    assert len(people) == 3
    assert set(counts) == {2}
    assert torch.equal(x, again)
    np.testing.assert_array_equal(picks, same)
    assert not torch.equal(x, other)


@pytest.mark.parametrize("size", [(64, 32), (32, 16)])
def test_augmented_images_are_images(size):
    x = torch.rand(40, 3, 64, 32)
    before = x.clone()
    y = augment(x, size, torch.Generator().manual_seed(1))
    assert y.shape == (40, 3, *size)
    assert 0.0 <= y.min() < y.max() <= 1.0
    assert torch.equal(x, before), "the input is left as it was"
    assert torch.equal(y, augment(x, size, torch.Generator().manual_seed(1)))
    assert not torch.equal(y, augment(x, size, torch.Generator().manual_seed(2)))


def test_erasing_covers_a_share_of_half_of_the_images():
    x = torch.full((600, 3, 64, 32), -1.0)  # noise is never negative: what is erased shows
    erased = module._erase(x, torch.Generator().manual_seed(0))[:, 0] >= 0.0
    share = erased.float().mean(dim=(1, 2))
    touched = share > 0
    assert 0.43 < touched.float().mean() < 0.57
    assert 0.02 < share[touched].min() < share[touched].max() < 0.30
    for mask in erased[touched][:20]:  # a rectangle fills its bounding box
        rows, columns = (mask.any(dim=d).sum() for d in (1, 0))
        assert mask.sum() == rows * columns


# --- views and losses ---------------------------------------------------------------------------


def test_views_are_means_of_tokens():
    cls, patches = torch.randn(3, 5), torch.randn(3, 4 * 2, 5)
    views = token_views((cls, patches), (4, 2))
    assert torch.equal(views["class"], cls)
    for i in range(3):
        grid = [[patches[i, row * 2 + column] for column in range(2)] for row in range(4)]
        rows = [(left + right) / 2 for left, right in grid]
        assert torch.allclose(views["rows"][i], torch.cat(rows), atol=1e-6)
        assert torch.allclose(views["pooled"][i], sum(rows) / 4, atol=1e-6)


def test_fewer_rows_are_interpolated_to_as_many():
    patches = torch.randn(2, 4 * 2, 5)
    rows = token_views((torch.zeros(2, 5), patches), (4, 2), 6)["rows"].reshape(2, 6, 5)
    means = patches.reshape(2, 4, 2, 5).mean(dim=2).numpy()
    centres = (np.arange(6) + 0.5) * 4 / 6 - 0.5  # of the new rows, in old ones
    for i in range(2):
        for d in range(5):
            expected = np.interp(centres, np.arange(4), means[i, :, d])
            np.testing.assert_allclose(rows[i, :, d], expected, atol=1e-5)


def test_questions_are_about_what_people_wear():
    questions, truth = attributes(CONFIG), CONFIG.world().render([(p, 0, 0) for p in range(1, 7)])
    assert len(questions) == 13
    for question in questions:
        assert question.labels.shape == (6,)
        assert 0 <= question.labels.min() <= question.labels.max() < question.choices
    np.testing.assert_array_equal(questions[4].labels, truth.truth["backpack"])
    assert [question.needs_colour for question in questions] == [False] * 9 + [True] * 4


def test_attribute_loss_is_the_loop():
    generator = torch.Generator().manual_seed(0)
    questions = [
        Attribute(torch.tensor([0, 2, 1]), 3, needs_colour=False),
        Attribute(torch.tensor([1, 0, 1]), 2, needs_colour=True),
    ]
    answers = [torch.randn(4, 5, generator=generator) for _ in range(3)]
    people, visible = torch.tensor([2, 0, 1, 2]), torch.tensor([True, False, True, True])
    expected = 0.0
    for columns, question in ((slice(0, 3), questions[0]), (slice(3, 5), questions[1])):
        terms = []
        for i in range(4):
            if question.needs_colour and not visible[i]:
                continue
            right = int(question.labels[people[i]])
            logs = [torch.log_softmax(a[i, columns], dim=0)[right] for a in answers]
            terms.append(-sum(logs) / 3)
        expected += sum(terms) / len(terms)
    assert attribute_loss(questions, answers, people, visible) == pytest.approx(float(expected))


def test_nobody_visible_costs_nothing():
    question = Attribute(torch.tensor([1, 0]), 2, needs_colour=True)
    loss = attribute_loss(
        [question], [torch.randn(2, 2)], torch.tensor([0, 1]), torch.zeros(2).bool()
    )
    assert loss == 0.0


def test_the_configuration_is_plain_data():
    assert json.loads(json.dumps(PretrainConfig().__dict__))["identities"] == 3000


def test_the_rate_warms_up_and_falls():
    config = PretrainConfig()
    rates = [module._lr(config, step) for step in range(config.steps)]
    top = int(np.argmax(rates))
    assert top in (config.warmup_steps - 1, config.warmup_steps)
    assert max(rates) == config.lr
    assert np.all(np.diff(rates[:top]) > 0)
    assert np.all(np.diff(rates[top + 1 :]) < 0)
    assert rates[-1] == pytest.approx(config.final_lr, rel=0.01)
