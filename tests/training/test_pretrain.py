"""The road to the shipped weights, on a handful of people and steps."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from typer.testing import CliRunner

from reidlab.cli import app
from reidlab.experiments import experiment
from reidlab.losses import Contrastive, Identity, Triplet
from reidlab.models import WeightsError, create_model, load_weights
from reidlab.models.vit import TokenBackbone, token_views
from reidlab.processes import ProcessError
from reidlab.record import RunRecord
from reidlab.synth import PARTS
from reidlab.synth.people import BOTTOM, SHOES, SLEEVE, TOP
from reidlab.synth.styles import COLOURS
from reidlab.training import CheckpointError, Objective, RecipeError, TrainingDiverged, loop
from reidlab.training.pretrain import (
    ABLATION,
    PLAIN,
    PretrainConfig,
    ablation_arm,
    pictures,
    pretrain,
    pretraining,
    small_config,
)
from reidlab.training.pretrain.augment import augment, erase, recolour, replace_background
from reidlab.training.pretrain.heads import (
    Attributes,
    Patches,
    PretrainingModel,
    SelfSupervised,
    ViewIdentity,
)
from reidlab.training.pretrain.pictures import EpochLoader, Pictures, draw_people, image_keys
from reidlab.training.pretrain.truth import CHOICES, FIRST_COLOUR, attributes, garments

ROOT = Path(__file__).parents[2]
# the sizes change within the second epoch, the third is shorter
CONFIG = replace(small_config(), image_size=(64, 32), small_size=(32, 16), small_steps=3, steps=5)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run without interruption."""
    torch.set_num_threads(1)
    return pretrain(tmp_path_factory.mktemp("whole"), CONFIG)


# --- the run ------------------------------------------------------------------------------------


def test_a_run_leaves_weights_and_a_record(finished):
    record = RunRecord.load(finished.parent / "record.json")
    assert [row["epoch"] for row in record.history] == [1, 2, 3]
    assert [row["images"] for row in record.history] == [12, 12, 6]
    for row in record.history:
        assert np.isfinite(row["loss"])
        assert row["loss"] == pytest.approx(sum(row["losses"].values()))
        assert set(row["losses"]) == {"identity", "contrastive", "attributes", "patches"}
    assert record.history[-1]["lr"] == CONFIG.lr_of(4)
    assert record.data["train_images_seen"] == 5 * 3 * 2
    assert record.experiment["steps"] == CONFIG.steps
    assert record.experiment["losses"]["identity"]["label_smoothing"] == 0.1
    left = {path.name.split("-")[0] for path in finished.parent.iterdir()}
    assert left == {"images", "masks", "backbone.safetensors", "record.json"}


def test_the_weights_are_half_precision_under_the_names_of_timm(finished):
    weights = load_file(finished)
    assert {v.dtype for v in weights.values()} == {torch.float16}
    assert {"patch_embed.proj.weight", "cls_token", "pos_embed", "norm.bias"} <= set(weights)
    assert "blocks.11.mlp.fc2.weight" in weights
    assert weights["pos_embed"].shape == (1, 1 + 4 * 2, 192)
    with safe_open(finished, "pt") as file:
        meta = file.metadata()
    assert meta == {
        "backbone": "vit_tiny_patch16_224", "image_size": "64,32", "patch_size": "16",
        "stride": "16", "prefix_positions": "1", "normalization": "half",
    }  # fmt: skip


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


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("works", [False, True], ids=["as it begins", "as it ends"])
def test_an_interrupted_run_ends_in_the_same_bits(finished, tmp_path, monkeypatch, last, works):
    """Stopped in the epoch of two sizes, and in the last one; then started again."""
    train_epoch = loop.train_epoch

    def interrupted(session, epoch):
        if epoch <= last:
            return train_epoch(session, epoch)
        if works:
            train_epoch(session, epoch)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("reidlab.training.loop.train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path, CONFIG)
    assert not (tmp_path / "backbone.safetensors").exists()
    again = pretrain(tmp_path, CONFIG)
    assert_same_weights(again, finished)
    one, other = (RunRecord.load(p.parent / "record.json").history for p in (finished, again))
    for row, same in zip(one, other, strict=True):
        assert {**row, "seconds": 0} == {**same, "seconds": 0}


def test_a_finished_run_trains_no_further(finished, monkeypatch):
    monkeypatch.setattr("reidlab.training.loop.train_epoch", None)
    before = finished.read_bytes()
    assert pretrain(finished.parent, CONFIG) == finished
    assert finished.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"losses": ()}, RecipeError, r"losses is \(\); expected one or more"),
        ({"start": "nowhere.safetensors"}, WeightsError, "nowhere.safetensors"),
        ({"small_size": (8, 64)}, RecipeError, r"small_size is \(8, 64\); expected .* 16 pixels"),
    ],
)
def test_what_is_refused_renders_nothing_and_loses_nothing(
    finished, tmp_path, monkeypatch, change, error, message
):
    record = (finished.parent / "record.json").read_bytes()
    (tmp_path / "record.json").write_bytes(record)
    monkeypatch.setattr("reidlab.synth.World.render", lambda world, keys: 1 / 0)
    with pytest.raises(error, match=message):
        pretrain(tmp_path, replace(CONFIG, **change), resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    assert (tmp_path / "record.json").read_bytes() == record


def test_several_processes_are_refused(finished, monkeypatch):
    """On CPUs, too, where Accelerate would not connect them: both would train in one folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    record = (finished.parent / "record.json").read_bytes()
    with pytest.raises(ProcessError, match="runs in one process and 2 were launched; start it wi"):
        pretrain(finished.parent, CONFIG, resume=False)
    assert (finished.parent / "record.json").read_bytes() == record


def test_another_configuration_in_the_folder_is_refused(finished):
    other = replace(CONFIG, lr=1.0, losses=(*CONFIG.losses[:3], Patches(weight=2.0)))
    with pytest.raises(
        CheckpointError,
        match=r"another run: losses.patches.weight is 1.0 there and 2.0 now; lr is 0.0008 there "
        r"and 1.0 now",
    ):
        pretrain(finished.parent, other)


def stopped(folder, monkeypatch):
    """A run of which the first epoch is there."""

    def one_epoch(session, epoch, train_epoch=loop.train_epoch):
        if epoch > 1:
            raise KeyboardInterrupt
        return train_epoch(session, epoch)

    with monkeypatch.context() as patch:
        patch.setattr("reidlab.training.loop.train_epoch", one_epoch)
        with pytest.raises(KeyboardInterrupt):
            pretrain(folder, CONFIG)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch)
    with pytest.raises(CheckpointError, match=r"another run: save_every is 2 there and 1 now"):
        pretrain(tmp_path, replace(CONFIG, save_every=1))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_checkpoint_is_refused(tmp_path, finished, monkeypatch, suffix):
    stopped(tmp_path, monkeypatch)
    (path,) = (tmp_path / "checkpoints").glob(f"*{suffix}")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cannot be read.* Delete the folder .* to start"):
        pretrain(tmp_path, CONFIG)
    assert_same_weights(pretrain(tmp_path, CONFIG, resume=False), finished)


def test_damaged_weights_of_a_finished_run_are_refused(finished, tmp_path):
    (tmp_path / "record.json").write_bytes((finished.parent / "record.json").read_bytes())
    (tmp_path / finished.name).write_bytes(finished.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"cannot be read .* Delete .* to train again"):
        pretrain(tmp_path, CONFIG)


def test_a_loss_that_is_no_number_stops_the_run(finished, tmp_path, monkeypatch):
    """In the second epoch: the first is kept, and once the fault is mended the run goes on."""

    def no_number(x, masks, size, generator, **options):
        faulty = generator.initial_seed() == CONFIG.seed * 1_000_003 + 3
        x, masks = augment(x, masks, size, generator, **options)
        return x * (float("nan") if faulty else 1.0), masks

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "augment", no_number)
        with pytest.raises(
            TrainingDiverged, match=r"epoch 2: loss nan at step 1.*checkpoint of epoch 1 is kept"
        ):
            pretrain(tmp_path, CONFIG)
    assert_same_weights(pretrain(tmp_path, CONFIG), finished)


# --- pictures and batches -----------------------------------------------------------------------


def test_images_and_masks_are_the_worlds(finished):
    stored = Pictures(CONFIG, finished.parent)
    assert stored.images.shape == (24, 64, 32, 3)
    drawn = CONFIG.world().render(stored.keys[5:9])
    np.testing.assert_array_equal(stored.images[5:9], drawn.images)
    np.testing.assert_array_equal(stored.masks[5:9], drawn.masks)


def test_runs_may_share_the_images(finished, tmp_path):
    before = (next(finished.parent.glob("images-*.npy"))).stat().st_mtime_ns
    shared = pretrain(tmp_path, replace(CONFIG, steps=1), pictures=finished.parent)
    assert not list(tmp_path.glob("*.npy"))
    assert shared.exists()
    assert (next(finished.parent.glob("images-*.npy"))).stat().st_mtime_ns == before


def test_rendering_that_fails_leaves_no_images(tmp_path, monkeypatch):
    monkeypatch.setattr("reidlab.synth.World.render", lambda world, keys: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Pictures(CONFIG, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_person_is_seen_by_different_cameras():
    keys = image_keys(PretrainConfig())
    assert len(keys) == len(set(keys)) == 48_000
    for start in range(0, 1200, 12):
        mine = keys[start : start + 12]
        assert {pid for pid, _, _ in mine} == {start // 12 + 1}
        assert len({camid for _, camid, _ in mine}) == 12


def test_a_batch_is_p_people_of_k_images_and_depends_on_the_step_alone(finished):
    stored = Pictures(CONFIG, finished.parent)
    batch, again, other = (stored.batch(step) for step in (7, 7, 8))
    assert batch["image"].shape == (6, 3, 64, 32)
    assert batch["masks"].shape == (6, 64, 32)
    people, counts = np.unique(batch["label"], return_counts=True)
    assert len(people) == 3
    assert set(counts) == {2}
    assert batch.keys() == again.keys()
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["image"], other["image"])
    assert len({image.numpy().tobytes() for image in batch["image"]}) == 6


def test_a_batch_knows_its_images(finished):
    stored, people = Pictures(CONFIG, finished.parent), CONFIG.world().people(list(range(1, 7)))
    batches = [stored.batch(step) for step in range(6)]
    batch = {name: torch.cat([each[name] for each in batches]) for name in batches[0]}
    assert set(batch["modality"].tolist()) == {0, 1}
    for i in range(len(batch["label"])):
        (row,) = (j for j in range(24) if np.array_equal(stored.masks[j], batch["masks"][i]))
        pixels = (batch["image"][i] * 255).round().byte()
        assert np.array_equal(stored.images[row].transpose(2, 0, 1), pixels)
        pid, camid, _ = stored.keys[row]
        infrared = camid >= CONFIG.cameras
        found = [int(batch[name][i]) for name in ("label", "camid", "modality", "view")]
        assert found == [pid - 1, camid, infrared, -1]
        assert batch["attributes"][i, 0] == people.top[pid - 1]
        colours = people.colour_name[pid - 1]
        shown = [colours[garment] for garment in (TOP, BOTTOM, SHOES, SLEEVE)]
        assert batch["attributes"][i, 9:].tolist() == ([-1] * 4 if infrared else shown)
        worn = {"torso": TOP, "arms": SLEEVE, "legs": BOTTOM, "feet": SHOES}
        for part, name in zip(PARTS, batch["garments"][i].tolist(), strict=True):
            assert name == (colours[worn[part]] if part in worn and not infrared else -1)


def test_an_epoch_is_its_steps_changed_and_normalised(finished):
    loader = EpochLoader(Pictures(CONFIG, finished.parent), torch.device("cpu"))
    step, seen = 0, []
    for epoch in (1, 2, 3):
        loader.set_epoch(epoch)
        seen.append(len(loader))
        for batch in loader:
            raw = loader.pictures.batch(step)
            image, masks = augment(
                raw["image"], raw["masks"], (32, 16) if step < 3 else (64, 32),
                torch.Generator().manual_seed(step), colour=CONFIG.colour, swap_background=0.5,
            )  # fmt: skip
            assert torch.equal(batch["image"], image * 2 - 1)
            assert torch.equal(batch["masks"], masks)
            assert torch.equal(batch["label"], raw["label"])
            step += 1
    assert seen == [2, 2, 1]
    assert step == 5


def test_self_supervision_shows_each_image_twice(finished):
    config = replace(CONFIG, losses=(SelfSupervised(),), images_per_batch=4)
    batch = Pictures(config, finished.parent).batch(0)
    assert batch["image"].shape[0] == 12
    assert all(torch.equal(x[:6], x[6:]) for x in batch.values())
    assert len({image.numpy().tobytes() for image in batch["image"]}) == 6


def test_lookalikes_dress_alike():
    config = replace(PretrainConfig(), identities=400, identities_per_batch=8)
    people = config.world().people(list(range(1, 401)))
    clothes = np.column_stack([people.top, people.colour_name[:, [TOP, BOTTOM, SHOES, SLEEVE]]])
    worn, alike, strangers = attributes(config.world()).numpy(), [], []
    for share, kept in ((1.0, alike), (0.0, strangers)):
        for step in range(30):
            draw = np.random.default_rng(step)
            chosen = draw_people(replace(config, lookalikes=share), worn, draw)
            assert len(set(chosen)) == 8
            kept.append((clothes[chosen[1:]] == clothes[chosen[:1]]).mean())
    assert np.mean(alike) > 2 * np.mean(strangers)


# --- changes ------------------------------------------------------------------------------------


def _people(n, height=64, width=32):
    """Random images with a person-shaped block in the middle."""
    masks = torch.zeros(n, height, width, dtype=torch.uint8)
    masks[:, height // 8 : -height // 8, width // 3 : -width // 3] = 2
    return torch.rand(n, 3, height, width), masks


@pytest.mark.parametrize("size", [(64, 32), (32, 16)])
def test_augmented_images_are_images(size):
    x, masks = _people(40)
    before = x.clone()
    kept = {"colour": 1.4, "swap_background": 0.5}
    y, moved = augment(x, masks, size, torch.Generator().manual_seed(1), **kept)
    assert y.shape == (40, 3, *size)
    assert moved.shape == (40, *size)
    assert set(moved.unique().tolist()) == {0, 2}
    assert 0.0 <= y.min() < y.max() <= 1.0
    assert torch.equal(x, before), "the input is left as it was"
    again, _ = augment(x, masks, size, torch.Generator().manual_seed(1), **kept)
    assert torch.equal(y, again)
    other, _ = augment(x, masks, size, torch.Generator().manual_seed(2), **kept)
    assert not torch.equal(y, other)


def test_masks_move_with_the_images():
    _, masks = _people(60)
    x = (masks == 2).float()[:, None].expand(-1, 3, -1, -1)
    y, moved = augment(x, masks, (64, 32), torch.Generator().manual_seed(0), colour=0.0)
    agree = ((y.mean(dim=1) > 0.5) == (moved == 2)).float().mean(dim=(1, 2))
    assert agree.median() > 0.95  # half of the images have a gap of noise
    assert not torch.equal(moved, masks)


def test_another_background_leaves_the_person_alone():
    x, masks = _people(50)
    person = masks == 2
    generator = torch.Generator().manual_seed(3)

    def uniform(*shape, low=0.0, high=1.0):
        return low + (high - low) * torch.rand(*shape, generator=generator)

    y = replace_background(x, masks, 0.5, uniform, generator)
    assert torch.equal(y.permute(0, 2, 3, 1)[person], x.permute(0, 2, 3, 1)[person])
    changed = ((y != x).any(dim=1) & ~person).float().sum(dim=(1, 2)) / (~person).sum(dim=(1, 2))
    swapped = changed > 0.5
    assert 0.3 < swapped.float().mean() < 0.7
    assert (changed[~swapped] == 0).all()


def test_no_strength_changes_no_colour_but_to_grey():
    x = torch.rand(200, 3, 8, 4)
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape, low=0.0, high=1.0):
        return low + (high - low) * torch.rand(*shape, generator=generator)

    y = recolour(x, 0.0, uniform)
    grey = (y[:, 0] == y[:, 1]).all(dim=(1, 2))
    assert torch.allclose(y[~grey], x[~grey], atol=1e-3)
    assert 0.04 < grey.float().mean() < 0.17
    strong = recolour(x, 1.4, uniform)
    assert (strong - x).abs().mean() > 0.05


def test_erasing_covers_a_share_of_half_of_the_images():
    x = torch.full((600, 3, 64, 32), -1.0)  # noise is never negative: what is erased shows
    erased = erase(x, torch.Generator().manual_seed(0))[:, 0] >= 0.0
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


def test_attributes_are_what_people_wear():
    worn, truth = (
        attributes(CONFIG.world()),
        CONFIG.world().render([(p, 0, 0) for p in range(1, 7)]),
    )
    assert worn.shape == (6, 13) == (6, len(CHOICES))
    for column, choices in zip(worn.T, CHOICES, strict=True):
        assert 0 <= column.min() <= column.max() < choices
    np.testing.assert_array_equal(worn[:, 4], truth.truth["backpack"])
    assert CHOICES[FIRST_COLOUR:] == (len(COLOURS),) * 4


def test_attribute_loss_is_the_loop():
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(3, 4, choices, generator=generator) for choices in (3, 2)]
    right = torch.tensor([[1, 1], [0, -1], [2, 0], [1, 1]])  # the second image is infrared
    expected = 0.0
    for question in range(2):
        terms = []
        for i in range(4):
            answer = int(right[i, question])
            if answer >= 0:
                logs = [torch.log_softmax(view[i], dim=0)[answer] for view in logits[question]]
                terms.append(-sum(logs) / 3)
        expected += sum(terms) / len(terms)
    loss = Attributes().build()(SimpleNamespace(attributes=logits), {"attributes": right})
    assert float(loss) == pytest.approx(float(expected))


def test_nobody_visible_costs_nothing():
    outputs, nobody = SimpleNamespace(attributes=[torch.randn(1, 2, 2)]), torch.full((2, 1), -1)
    assert Attributes().build()(outputs, {"attributes": nobody}) == 0.0


def test_garments_have_the_colour_of_the_world():
    people = CONFIG.world().people(list(range(1, 7)))
    names = garments(attributes(CONFIG.world()))
    assert names.shape == (6, len(PARTS))
    assert names[:, PARTS.index("torso")].tolist() == people.colour_name[:, TOP].tolist()
    for part in ("background", "head", "accessory", "occluder"):
        assert (names[:, PARTS.index(part)] == -1).all()


def test_patch_loss_is_the_loop():
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, len(PARTS), (3, 8, 4), dtype=torch.uint8, generator=generator)
    masks[0, :2, :2] = torch.tensor([[2, 2], [2, 5]])  # three pixels of four: its colour counts
    masks[0, 2:4, 2:] = 4
    masks[1, 4:6, :2] = torch.tensor([[3, 3], [4, 4]])  # half is not more than half
    masks[1, 6:, 2:] = 1  # a head has no colour
    masks[2, :2, 2:] = 5
    colours = torch.tensor([[-1, -1, 3, 1, 0, 2, -1, -1]] * 2 + [[-1, -1, 0, 39, 4, 7, -1, -1]])
    logits = torch.randn(3, 4, 2, len(PARTS) + len(COLOURS), generator=generator)
    where, what, dark = [], [], []
    for i in range(3):
        for row in range(4):
            for column in range(2):
                patch = masks[i, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten()
                said = torch.log_softmax(logits[i, row, column, :8], dim=0)
                named = torch.log_softmax(logits[i, row, column, 8:], dim=0)
                shares = [sum(int(pixel) == part for pixel in patch) / 4 for part in range(8)]
                where.append(-sum(share * float(x) for share, x in zip(shares, said, strict=True)))
                for part, share in enumerate(shares):
                    if share > 0.5 and colours[i, part] >= 0:
                        what.append(-float(named[colours[i, part]]))
                        dark += [what[-1]] if i < 2 else []
    assert len(what) >= 3
    term = Patches().build()
    outputs, batch = SimpleNamespace(patches=logits), {"masks": masks, "garments": colours}
    expected = np.mean(where) + np.mean(what)
    assert float(term(outputs, batch)) == pytest.approx(expected, rel=1e-5)
    colours[2] = -1  # the last image is infrared
    expected = np.mean(where) + np.mean(dark)
    assert float(term(outputs, batch)) == pytest.approx(expected, rel=1e-5)
    colours[:] = -1
    assert float(term(outputs, batch)) == pytest.approx(np.mean(where), rel=1e-5)


@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_identity_loss_takes_the_rows_as_one_view(kind):
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 3, generator=generator) for _ in range(6)]
    label, losses = torch.tensor([2, 0]), []
    for head in logits:
        smooth = torch.full((2, 3), 0.1 / 3)
        smooth[[0, 1], label] += 0.9
        losses.append(float(-(smooth * head.log_softmax(1)).sum() / 2))
    expected = losses[0] + losses[1] + sum(losses[2:]) / 4
    loss = ViewIdentity(label_smoothing=0.1, over_heads=kind)
    found = loss.build()(SimpleNamespace(logits=logits), {"label": label})
    assert float(found) == pytest.approx(expected / (3 if kind == "mean" else 1), rel=1e-5)


def test_the_identity_of_recipes_is_still_the_plain_one():
    assert type(Identity()) is Identity
    assert PretrainConfig().to_dict()["losses"].keys() == {
        "identity", "contrastive", "attributes", "patches"
    }  # fmt: skip


def test_a_start_is_spread_out(finished, tmp_path):
    backbone = TokenBackbone(CONFIG.backbone, CONFIG.image_size)
    stored = Pictures(CONFIG, finished.parent)
    backbone.norm.weight.data.fill_(0.01)  # all images around one direction
    backbone.norm.bias.data.fill_(1.0)
    pretraining.spread(backbone, stored)
    x = torch.from_numpy(stored.images.transpose(0, 3, 1, 2) / 127.5 - 1.0).float()
    with torch.no_grad():
        cls = backbone.eval()(x).cls
    assert torch.allclose(cls.mean(dim=0), torch.zeros(192), atol=1e-3)
    assert torch.allclose(cls.std(dim=0), torch.ones(192), atol=1e-2)


def test_a_run_may_go_on_from_weights(finished, tmp_path):
    start = replace(CONFIG, start=str(finished), steps=1, lr=1e-9, warmup_steps=0)
    again = pretrain(tmp_path, start, pictures=finished.parent)
    one, other = load_file(finished), load_file(again)
    assert torch.allclose(one["blocks.3.mlp.fc1.weight"], other["blocks.3.mlp.fc1.weight"])
    assert not torch.allclose(one["norm.weight"], other["norm.weight"])
    experiment = RunRecord.load(tmp_path / "record.json").experiment
    assert experiment["start"] == finished.name
    assert experiment["start_sha256"] == hashlib.sha256(finished.read_bytes()).hexdigest()


def test_self_supervised_loss_is_the_loop():
    vectors = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    terms = []
    for i in range(6):
        similarity = [float(F.cosine_similarity(vectors[i], vectors[j], dim=0)) for j in range(6)]
        others = sum(np.exp(similarity[j] / 0.1) for j in range(6) if j != i)
        terms.append(-np.log(np.exp(similarity[(i + 3) % 6] / 0.1) / others))
    loss = SelfSupervised().build()(SimpleNamespace(projections=vectors), {})
    assert float(loss) == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("size", [(64, 32), (32, 16)])
def test_outputs_have_the_grid_of_the_images(size):
    backbone = TokenBackbone(CONFIG.backbone, (64, 32), depth=1)
    model = PretrainingModel(backbone, 6)
    outputs = model(torch.rand(3, 3, *size), torch.zeros(3, dtype=torch.int64))
    assert len(outputs.logits) == 2 + 4
    assert {logits.shape for logits in outputs.logits} == {(3, 6)}
    assert [feature.shape for feature in outputs.features] == [(3, 192), (3, 192), (3, 4 * 192)]
    assert [logits.shape for logits in outputs.attributes] == [(3, 3, n) for n in CHOICES]
    assert outputs.patches.shape == (3, size[0] // 16, size[1] // 16, len(PARTS) + len(COLOURS))
    assert outputs.projections.shape == (3, 64)
    assert torch.equal(outputs.vote(), outputs.logits[0])


ASKED = {
    "patches not asked": {"identity", "contrastive", "attributes"},
    "triplet, not contrast": {"identity", "triplet", "attributes", "patches"},
    "identity and triplet alone": {"identity", "triplet"},
    "self-supervised alone": {"self_supervised"},
    "self-supervised too": {"identity", "contrastive", "attributes", "patches", "self_supervised"},
}


@pytest.mark.parametrize("arm", ABLATION)
def test_every_arm_gives_every_loss_it_asks_for(arm, finished):
    config = replace(CONFIG, images_per_batch=4, losses=ablation_arm(arm).losses)
    stored = Pictures(config, finished.parent)
    backbone = TokenBackbone(config.backbone, config.image_size, depth=1)
    model, objective = PretrainingModel(backbone, config.identities), Objective(config.losses)
    for batch in EpochLoader(stored, torch.device("cpu")):
        losses = objective(model(batch["image"], batch["camid"]), batch)
        assert set(losses) == ASKED.get(arm, {"identity", "contrastive", "attributes", "patches"})
        assert all(torch.isfinite(value) for value in losses.values())


def test_the_arms_change_what_they_say():
    whole = ablation_arm("whole").to_dict()
    for name, changes in ABLATION.items():
        arm = ablation_arm(name).to_dict()
        expected = {**whole, "losses": dict(whole["losses"])}
        for key, value in changes.items():
            _, _, loss = key.partition(".")
            if not loss:
                expected[key] = value
            elif value is None:
                del expected["losses"][loss]
            else:
                loss, _, setting = loss.partition(".")
                fresh = {"triplet": Triplet(), "self_supervised": SelfSupervised()}[loss]
                expected["losses"][loss] = {**fresh.to_dict(), setting: value}
        assert arm == expected
    with pytest.raises(ValueError, match="there is no arm 'hole'; there are: whole"):
        ablation_arm("hole")


WORDS_BEFORE = {  # of the published records, which name the losses otherwise
    "named": {"losses.identity": None},
    "apart": {"losses.contrastive": None},
    "apart_by": {"losses.contrastive": None, "losses.triplet.over_heads": "sum"},
    "worn": {"losses.attributes": None},
    "here": {"losses.patches": None},
    "itself": {"losses.self_supervised.weight": 1.0},
}


def test_the_arms_are_those_that_were_published():
    published = experiment("pretraining.ablation").header
    assert published["arms"].keys() == ABLATION.keys()
    for name, changes in published["arms"].items():
        expected = {}
        for key, value in changes.items():
            expected |= WORDS_BEFORE.get(key, {key: value})
        assert ABLATION[name] == expected
    assert_same_settings(published["settings"], ablation_arm("whole"))


def test_the_shipped_weights_have_the_default_settings():
    record = RunRecord.load(ROOT / "reidlab/weights/vit_tiny_synth.json")
    assert_same_settings(record.experiment, PretrainConfig())


def assert_same_settings(published, config):
    """All but the start, and the epochs, which seeded nothing then."""
    values = config.to_dict()
    shared = values.keys() - {"losses", "start", "save_every"}
    assert {name: published[name] for name in shared} == {name: values[name] for name in shared}
    losses = values["losses"]
    assert losses["identity"]["label_smoothing"] == published["label_smoothing"]
    for name, weight in {"identity": "named", "contrastive": "apart", "attributes": "worn"}.items():
        assert losses[name]["weight"] == published[weight]
    assert (published["apart_by"], published["itself"]) == ("contrast", 0.0)


def test_the_configuration_is_plain_data():
    values = PretrainConfig().to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["identities"] == 4000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps is 0; expected a whole number from 1"),
        ({"swap_background": 1.5}, "swap_background is 1.5; expected a number from 0 to 1"),
        ({"image_size": (64,)}, "image_size is .* expected height and width"),
        ({"losses": (Contrastive(), Contrastive())}, "expected one of each name"),
        ({"images_per_batch": 99}, "images_per_batch is 99; expected at most the images_per_ident"),
        ({"identities_per_batch": 7}, r"identities_per_batch is 7; .* most the identities \(6\)"),
        ({"warmup_steps": 6}, r"warmup_steps is 6; expected at most steps \(5\)"),
        ({"losses": (SelfSupervised(),), "images_per_batch": 1}, "each shown twice with SelfSuper"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, message):
    with pytest.raises(RecipeError, match=message):
        replace(CONFIG, **wrong)


def test_the_rate_warms_up_and_falls():
    config = PretrainConfig()
    rates = [config.lr_of(step) for step in range(config.steps)]
    top = int(np.argmax(rates))
    assert top in (config.warmup_steps - 1, config.warmup_steps)
    assert max(rates) == config.lr
    assert np.all(np.diff(rates[:top]) > 0)
    assert np.all(np.diff(rates[top + 1 :]) < 0)
    assert rates[-1] == pytest.approx(config.final_lr, rel=0.01)


# --- the plain start ------------------------------------------------------------------------------


def test_the_plain_start_names_nobody_and_asks_the_class_token_alone(finished):
    config = replace(CONFIG, losses=PLAIN.losses)
    assert config.named == PLAIN.named == 0
    assert (PLAIN.variant, PretrainConfig().variant) == ("vit_tiny_plain", "vit_tiny_synth")
    backbone = TokenBackbone(config.backbone, config.image_size, depth=1)
    model, objective = PretrainingModel(backbone, config.named), Objective(config.losses)
    batch = next(iter(EpochLoader(Pictures(config, finished.parent), torch.device("cpu"))))
    outputs = model(batch["image"])
    outputs.features[1].retain_grad()
    losses = objective(outputs, batch)
    sum(losses.values()).backward()
    assert set(losses) == {"attributes"}
    assert outputs.logits == ()
    assert not outputs.features[1].grad.any(), "the patch tokens are asked nothing"
    assert not [name for name, _ in model.named_parameters() if "classifier" in name]


def test_views_of_the_attributes_that_are_asked():
    logits = (torch.randn(3, 4, 5), torch.randn(3, 4, 2))
    right = torch.tensor([[0, 1], [4, 0], [2, -1], [1, 1]])
    outputs, batch = SimpleNamespace(attributes=logits), {"attributes": right}
    cross = torch.nn.functional.cross_entropy
    for views in (1, 2, 3):
        expected = sum(
            cross(each[:views].flatten(0, 1), column.repeat(views), ignore_index=-1)
            for each, column in zip(logits, right.T, strict=True)
        )
        found = Attributes(views=views).build()(outputs, batch)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_small_plain_start_by_its_command(tmp_path):
    out = tmp_path / "plain"
    result = CliRunner().invoke(app, ["pretrain", "--out", str(out), "--plain", "--small"])
    assert result.exit_code == 0, result.output
    record = RunRecord.load(out / "record.json")
    assert record.experiment["variant"] == "vit_tiny_plain"
    assert set(record.experiment["losses"]) == {"attributes"}
    assert record.metrics == {}
    backbone = TokenBackbone(PLAIN.backbone, (64, 32))
    load_weights(backbone, out / "backbone.safetensors")


def test_the_shipped_plain_start_has_its_settings():
    record = RunRecord.load(ROOT / "reidlab/weights/vit_tiny_plain.json")
    assert {k: v for k, v in PLAIN.to_dict().items() if record.experiment[k] != v} == {}
