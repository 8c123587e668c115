"""TransReID and its baseline against a second network, on the authors' key names."""

import math

import pytest
import torch

from reidlab.models import (
    Jigsaw,
    TransReID,
    WeightsError,
    create_model,
    load_authors_checkpoint,
)
from tests.models.authors_vit import (
    batch_norm,
    batch_norm_shapes,
    block,
    block_shapes,
    embedded,
    filled,
    layer_norm,
    pair,
    vit_shapes,
)


def authors_shapes(dim=768, grid=(21, 10), cameras=6, classes=751, full=True):
    shapes = vit_shapes("base.", dim, grid, cameras)
    for b in (1, 2) if full else ():
        shapes |= block_shapes(f"b{b}.0", dim) | pair(f"b{b}.1", dim)
    for end in ("", "_1", "_2", "_3", "_4") if full else ("",):
        shapes |= batch_norm_shapes(f"bottleneck{end}", dim)
        shapes[f"classifier{end}.weight"] = (classes, dim)
    return shapes


@pytest.mark.parametrize(
    ("name", "stride", "grid", "cameras", "entries", "whole", "trained", "dead"),
    [
        ("vit_baseline", 16, (16, 8), 0, 158, 87_093_736, 86_323_968, 769_000),
        ("transreid", 12, (21, 10), 6, 211, 103_653_352, 95_791_104, 769_000 + 1536 + 7_087_872),
    ],
)
def test_counts(name, stride, grid, cameras, entries, whole, trained, dead):
    shapes = authors_shapes(grid=grid, cameras=cameras, full=name == "transreid")
    assert len(shapes) == entries
    learned = sum(math.prod(s) for key, s in shapes.items() if "running" not in key and s)
    assert learned == whole
    with torch.device("meta"):
        model = create_model(
            name, num_classes=751, backbone="vit_base_patch16_224", weights=None,
            image_size=(256, 128), stride=stride, num_cameras=cameras,
        )  # fmt: skip
    assert sum(p.numel() for p in model.parameters()) == whole - dead
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


TINY = {"dim": 192, "grid": (5, 3), "cameras": 3, "classes": 5}  # 15 patches: an odd number


def tiny(name="transreid", **options):
    torch.manual_seed(0)
    given = {"image_size": (64, 40), "stride": 12, "num_cameras": 3, "weights": None}
    return create_model(name, num_classes=5, **given | options)


def authors_groups(patches, shift=5, groups=4):
    """Lists of patches, as the description numbers its steps."""
    size = len(patches) // groups
    moved = patches[shift - 1 :] + patches[: shift - 1]
    if len(moved) % 2:
        moved.append(moved[-2])
    half = len(moved) // 2
    laid = [each for both in zip(moved[:half], moved[half:], strict=True) for each in both]
    return [laid[g * size : (g + 1) * size] for g in range(groups)]


@torch.no_grad()
def test_the_authors_networks_in_numbers():
    images = torch.randn(2, 3, 64, 40, generator=torch.Generator().manual_seed(1))
    camids = [2, 0]
    for full in (True, False):
        state = filled(authors_shapes(**TINY, full=full))
        model = load_authors_checkpoint(tiny("transreid" if full else "vit_baseline"), state).eval()
        found, out = (f(images, torch.tensor(camids)) for f in (model.embed, model))
        for n, camera in enumerate(camids):
            x = embedded(state, "base.", images[n], camera, 12)
            for b in range(11):
                x = block(state, f"base.blocks.{b}", x, 3, 1e-6)
            last = ("b1.0", "b1.1") if full else ("base.blocks.11", "base.norm")
            features = [layer_norm(state, last[1], block(state, last[0], x, 3, 1e-6), 1e-6)[0]]
            for group in authors_groups(list(x[1:])) if full else ():
                z = block(state, "b2.0", torch.stack([x[0], *group]), 3, 1e-6)
                features.append(layer_norm(state, "b2.1", z, 1e-6)[0])
            expected = torch.cat([features[0], *(f / 4 for f in features[1:])])
            torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-4)
            for i, feature in enumerate(features):
                end = f"_{i}" if i else ""
                logits = batch_norm(state, f"bottleneck{end}", feature)
                logits = logits @ state[f"classifier{end}.weight"].T
                torch.testing.assert_close(out.logits[i][n], logits, rtol=0, atol=1e-4)
                torch.testing.assert_close(out.features[i][n], feature, rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [8, 15, 21])
@pytest.mark.parametrize(("shift", "groups"), [(5, 4), (8, 4), (1, 2)])
def test_the_groups_by_hand(count, shift, groups):
    model = tiny(depth=2)
    model.switches = Jigsaw(shift=shift, groups=groups)
    patches = torch.arange(1.0, count + 1)[None, :, None]
    expected = authors_groups(list(range(1, count + 1)), shift, groups)
    assert model.groups(patches)[0, :, :, 0].tolist() == expected
    model.switches = Jigsaw(rearrange=False)
    size = count // 4
    runs = [list(range(1 + g * size, 1 + (g + 1) * size)) for g in range(4)]
    assert model.groups(patches)[0, :, :, 0].tolist() == runs


@pytest.mark.parametrize(("count", "size"), [(210, 52), (441, 110), (242, 60), (128, 32)])
def test_the_size_of_a_group(count, size):
    assert tiny(depth=2).groups(torch.zeros(1, count, 1)).shape == (1, 4, size, 1)


def test_both_copies_start_from_the_pre_trained_block():
    model = tiny(depth=2)
    last = model.backbone.blocks[-1]
    for one, other in ((model.local_block, last), (model.local_norm, model.backbone.norm)):
        assert one is not other
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert a is not b
            assert torch.equal(a, b)
    assert all(not neck.norm.bias.requires_grad for neck in model.necks)


def test_the_files_of_the_other_network():
    full, plain = (filled(authors_shapes(**TINY, full=full)) for full in (True, False))
    with pytest.raises(WeightsError, match=r"is TransReID's baseline, .*vit_baseline"):
        load_authors_checkpoint(tiny(), plain)
    with pytest.raises(WeightsError, match=r"unknown keys bottleneck_1\.weight, .* and 47 more"):
        load_authors_checkpoint(tiny("vit_baseline"), full)
    wrapped = {f"module.{key}": value for key, value in full.items()}
    load_authors_checkpoint(tiny(), wrapped)
    del full["b2.1.bias"]
    with pytest.raises(WeightsError, match=r"missing keys local_norm\.bias"):
        load_authors_checkpoint(tiny(), full)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "the backbone has one block; TransReID has its last one twice"),
        ({"switches": {"shift": 16}}, "shift 16, and the grid of 5x3 has 15 patches; expected 16"),
        ({"switches": {"groups": 16}}, "groups is 16 and shift 5, and the grid of 5x3 has 15"),
        ({"switches": {"groups": 0}}, "groups is 0; expected a number of 1 or more"),
        ({"switches": {"shift": 0}}, "shift is 0; expected a patch counted from 1"),
        ({"backbone": "vit_tiny_patch16_dinov3_qkvb"}, "turns queries and keys by their positions"),
    ],
)
def test_what_cannot_be_built(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**{"depth": 2} | options)
    with pytest.raises(ValueError, match="num_classes is 0"):
        TransReID(tiny(depth=2).backbone, 0)
