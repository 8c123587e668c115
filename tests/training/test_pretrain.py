"""The road to the shipped weights, on a handful of people and steps."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

from reidlab.models import create_model
from reidlab.models.vit import TokenBackbone, token_views
from reidlab.record import RunRecord
from reidlab.synth import PARTS
from reidlab.synth.people import TOP
from reidlab.training.pretrain import (
    ABLATION,
    PretrainConfig,
    ablation_arm,
    loop,
    pretrain,
    small_config,
)
from reidlab.training.pretrain.augment import _erase, augment, recolour
from reidlab.training.pretrain.heads import (
    Attribute,
    Questions,
    attribute_loss,
    attributes,
    garment_colours,
    part_shares,
    patch_loss,
    self_supervised_loss,
)
from reidlab.training.pretrain.pictures import Batch, Pictures

CONFIG = replace(small_config(), image_size=(64, 32), small_size=(32, 16))


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
    return pretrain(tmp_path_factory.mktemp("whole"), CONFIG, save_every=2)


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


@pytest.mark.parametrize("last", [2, 3])
def test_an_interrupted_run_ends_in_the_same_bits(finished, tmp_path, monkeypatch, last):
    """Stopped in the middle of a size, and at the change of sizes; then started again."""
    steps = loop._steps

    def interrupted(*args):
        for result in steps(*args):
            if result[0] > last:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path, CONFIG, save_every=2)
    assert not (tmp_path / "backbone.safetensors").exists()
    again = pretrain(tmp_path, CONFIG, save_every=2)
    assert_same_weights(again, finished)
    one, other = (RunRecord.load(p.parent / "record.json").history for p in (finished, again))
    for row, same in zip(one, other, strict=True):
        assert (row["epoch"], row["loss"]) == (same["epoch"], same["loss"])


def test_a_finished_run_trains_no_further(finished):
    checkpoint = (finished.parent / "checkpoint.pt").stat().st_mtime_ns
    before = load_file(finished)
    again = load_file(pretrain(finished.parent, CONFIG))
    assert all(torch.equal(again[name], before[name]) for name in before)
    assert (finished.parent / "checkpoint.pt").stat().st_mtime_ns == checkpoint


def test_another_configuration_in_the_folder_is_refused(finished):
    with pytest.raises(ValueError, match=r"another configuration: lr is 0.0008 there and 1.0 now"):
        pretrain(finished.parent, replace(CONFIG, lr=1.0))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    pretrain(tmp_path, replace(CONFIG, steps=1))
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cannot be read .* Delete it to start"):
        pretrain(tmp_path, replace(CONFIG, steps=1))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "augment", lambda x, m, *args, **kwargs: (x * float("nan"), m))
    with pytest.raises(FloatingPointError, match=r"at step 0: lower `lr`"):
        pretrain(tmp_path, replace(CONFIG, small_steps=0))


# --- pictures and batches -----------------------------------------------------------------------


def test_images_and_masks_are_the_worlds(finished):
    pictures = Pictures(CONFIG, finished.parent)
    assert pictures.images.shape == (24, 64, 32, 3)
    drawn = CONFIG.world().render(pictures.keys[5:9])
    np.testing.assert_array_equal(pictures.images[5:9], drawn.images)
    np.testing.assert_array_equal(pictures.masks[5:9], drawn.masks)


def test_runs_may_share_the_images(finished, tmp_path):
    before = (next(finished.parent.glob("images-*.npy"))).stat().st_mtime_ns
    shared = pretrain(tmp_path, replace(CONFIG, steps=1), pictures=finished.parent)
    assert not list(tmp_path.glob("*.npy"))
    assert shared.exists()
    assert (next(finished.parent.glob("images-*.npy"))).stat().st_mtime_ns == before


def test_a_person_is_seen_by_different_cameras(finished):
    pictures = Pictures(CONFIG, finished.parent)
    pictures.config = PretrainConfig()
    keys = pictures.keys
    assert len(keys) == len(set(keys)) == 48_000
    for start in range(0, 1200, 12):
        mine = keys[start : start + 12]
        assert {pid for pid, _, _ in mine} == {start // 12 + 1}
        assert len({camid for _, camid, _ in mine}) == 12


def test_a_batch_is_p_people_of_k_images_and_depends_on_the_step_alone(finished):
    pictures = Pictures(CONFIG, finished.parent)
    batch, again, other = (pictures.batch(step) for step in (7, 7, 8))
    assert batch.images.shape == (6, 3, 64, 32)
    assert batch.masks.shape == (6, 64, 32)
    people, counts = np.unique(batch.people, return_counts=True)
    assert len(people) == 3
    assert set(counts) == {2}
    assert all(torch.equal(one, same) for one, same in zip(batch, again, strict=True))
    assert not torch.equal(batch.images, other.images)
    assert len({image.numpy().tobytes() for image in batch.images}) == 6


def test_a_batch_knows_its_images(finished):
    pictures = Pictures(CONFIG, finished.parent)
    batch = pictures.batch(0)
    for image, mask, person, visible in zip(*batch, strict=True):
        rows = [i for i in range(24) if np.array_equal(pictures.masks[i], mask)]
        assert any(
            np.array_equal(pictures.images[i].transpose(2, 0, 1), (image * 255).round().byte())
            for i in rows
        )
        (row,) = rows
        pid, camid, _ = pictures.keys[row]
        assert (pid - 1, camid < CONFIG.cameras) == (int(person), bool(visible))


def test_self_supervision_shows_each_image_twice(finished):
    pictures = Pictures(replace(CONFIG, itself=1.0, images_per_batch=4), finished.parent)
    batch = pictures.batch(0)
    assert batch.images.shape[0] == 12
    assert all(torch.equal(x[:6], x[6:]) for x in batch)
    assert len({image.numpy().tobytes() for image in batch.images}) == 6


def test_lookalikes_dress_alike(tmp_path, finished):
    config = replace(PretrainConfig(), identities=400, identities_per_batch=8)
    pictures = Pictures(CONFIG, finished.parent)
    pictures.config = config
    alike, strangers = [], []
    for share, kept in ((1.0, alike), (0.0, strangers)):
        pictures.config = replace(config, lookalikes=share)
        for step in range(30):
            chosen = pictures._people(np.random.default_rng(step))
            assert len(set(chosen)) == 8
            clothes = pictures.clothes[chosen]
            kept.append((clothes[1:] == clothes[:1]).mean())
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

    from reidlab.training.pretrain.augment import _other_background

    y = _other_background(x, masks, 0.5, uniform, generator)
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
    erased = _erase(x, torch.Generator().manual_seed(0))[:, 0] >= 0.0
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


def test_shares_of_parts_are_counts():
    masks = torch.randint(0, len(PARTS), (3, 8, 4), dtype=torch.uint8)
    shares = part_shares(masks, (4, 2))
    assert shares.shape == (3, 8, len(PARTS))
    for i in range(3):
        for row in range(4):
            for column in range(2):
                patch = masks[i, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten()
                for part in range(len(PARTS)):
                    expected = sum(int(value) == part for value in patch) / 4
                    assert shares[i, row * 2 + column, part] == expected


def test_garments_have_the_colour_of_the_world():
    names, people = garment_colours(CONFIG), CONFIG.world().people(list(range(1, 7)))
    assert names.shape == (6, len(PARTS))
    assert names[:, PARTS.index("torso")].tolist() == people.colour_name[:, TOP].tolist()
    for part in ("background", "head", "accessory", "occluder"):
        assert (names[:, PARTS.index(part)] == -1).all()


def test_patch_loss_is_the_loop():
    generator = torch.Generator().manual_seed(0)
    parts = torch.tensor([[[0.0, 0.75, 0.25], [1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]])
    colours = torch.tensor([[-1, 3, 1], [-1, 0, 2]])  # of two people, on three parts
    answers = torch.randn(2, 2, 3 + 4, generator=generator)
    people, visible = torch.tensor([1, 0]), torch.tensor([True, True])
    batch = Batch(torch.empty(0), torch.empty(0), people, visible)
    where, what = [], []
    for i in range(2):
        for patch in range(2):
            logs = torch.log_softmax(answers[i, patch, :3], dim=0)
            where.append(-float((parts[i, patch] * logs).sum()))
            for part in range(3):
                name = int(colours[people[i], part])
                if parts[i, patch, part] > 0.5 and name >= 0:
                    what.append(-float(torch.log_softmax(answers[i, patch, 3:], dim=0)[name]))
    assert len(what) == 2
    expected = sum(where) / 4 + sum(what) / 2
    assert float(patch_loss(answers, parts, colours, batch)) == pytest.approx(expected, rel=1e-5)
    dark = batch._replace(visible=torch.tensor([False, False]))
    assert float(patch_loss(answers, parts, colours, dark)) == pytest.approx(sum(where) / 4)


def test_a_start_is_spread_out(finished, tmp_path):
    backbone = TokenBackbone(CONFIG.backbone, CONFIG.image_size)
    pictures = Pictures(CONFIG, finished.parent)
    backbone.norm.weight.data.fill_(0.01)  # all images around one direction
    backbone.norm.bias.data.fill_(1.0)
    loop.spread(backbone, pictures)
    x = torch.from_numpy(pictures.images.transpose(0, 3, 1, 2) / 127.5 - 1.0).float()
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
    assert RunRecord.load(tmp_path / "record.json").experiment["start"] == finished.name


def test_self_supervised_loss_is_the_loop():
    vectors = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    terms = []
    for i in range(6):
        similarity = [float(F.cosine_similarity(vectors[i], vectors[j], dim=0)) for j in range(6)]
        others = sum(np.exp(similarity[j] / 0.1) for j in range(6) if j != i)
        terms.append(-np.log(np.exp(similarity[(i + 3) % 6] / 0.1) / others))
    assert float(self_supervised_loss(vectors)) == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("arm", ABLATION)
def test_every_arm_gives_every_loss_it_asks_for(arm, finished):
    whole = ablation_arm(arm)
    config = replace(
        CONFIG, images_per_batch=4,
        **{name: getattr(whole, name) for name in ("named", "apart", "worn", "here", "itself")},
    )  # fmt: skip
    pictures = Pictures(config, finished.parent)
    backbone = TokenBackbone(config.backbone, config.image_size, depth=1)
    model = Questions(backbone, config.identities, 4, sum(q.choices for q in attributes(config)))
    judge = loop._Judge(config, torch.device("cpu"))
    batch = pictures.batch(0)
    losses = judge(model(2 * batch.images - 1, (4, 2)), batch, (4, 2))
    asked = {name for name in ("named", "apart", "worn", "here", "itself") if getattr(config, name)}
    assert set(losses) == asked
    assert all(torch.isfinite(value) for value in losses.values())


def test_the_arms_change_what_they_say():
    whole = asdict(ablation_arm("whole"))
    for name, changes in ABLATION.items():
        arm = asdict(ablation_arm(name))
        assert {k: v for k, v in arm.items() if whole[k] != v} == changes
    with pytest.raises(ValueError, match="there is no arm 'hole'; there are: whole"):
        ablation_arm("hole")


def test_the_configuration_is_plain_data():
    assert json.loads(json.dumps(asdict(PretrainConfig())))["identities"] == 4000


def test_the_rate_warms_up_and_falls():
    config = PretrainConfig()
    rates = [loop._lr(config, step) for step in range(config.steps)]
    top = int(np.argmax(rates))
    assert top in (config.warmup_steps - 1, config.warmup_steps)
    assert max(rates) == config.lr
    assert np.all(np.diff(rates[:top]) > 0)
    assert np.all(np.diff(rates[top + 1 :]) < 0)
    assert rates[-1] == pytest.approx(config.final_lr, rel=0.01)
