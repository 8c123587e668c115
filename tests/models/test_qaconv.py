"""QAConv against golden numbers of the authors' layer, and against loops over places."""

import math

import pytest
import torch
import torch.nn.functional as F

from reidlab.models import WeightsError, create_backbone, create_model, load_authors_checkpoint
from reidlab.models.qaconv import QAConvLayer
from tests.models.golden import fill, wave

EVAL = [
    [-0.639322166281, -0.886836249404, -1.215662741195],
    [-1.886669068578, -1.640977698567, -1.329479097528],
]
TRAIN = [
    [1.606810568836, 1.102318916844, 0.432093538274],
    [-0.935574459953, -0.434797924037, 0.200109156192],
]


def golden_maps():
    """(2, 4, 3) and (3, 4, 3), each place of length 1; the waves run channel by channel."""
    maps = wave(torch.sin, 0.3, 2, 3, 2, 2), wave(torch.cos, 0.5, 3, 3, 2, 2)
    return [F.normalize(x, dim=1).flatten(2).mT for x in maps]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_the_golden_scores(training, dtype, tolerance):
    layer = fill(QAConvLayer(4).double()).to(dtype).train(training)
    probe, gallery = (x.to(dtype) for x in golden_maps())
    expected = torch.tensor(TRAIN if training else EVAL, dtype=dtype)
    torch.testing.assert_close(layer(probe, gallery), expected, rtol=0, atol=tolerance)


def norm_loop(norm, x):
    return (x - norm.running_mean.item()) / math.sqrt(norm.running_var.item() + 1e-5) * (
        norm.weight.item()
    ) + norm.bias.item()


def score_loop(layer, probe, gallery):
    """One pair of maps (S, C)."""
    products = [[sum(map(float.__mul__, a, b)) for b in gallery.tolist()] for a in probe.tolist()]
    of_probe = [max(row) for row in products]
    of_gallery = [max(column) for column in zip(*products, strict=True)]
    weights = layer.fc.weight[0].tolist()
    rows = [of_probe, of_gallery] if layer.shared else [of_gallery + of_probe]
    total = 0.0
    for row in rows:
        pooled = [norm_loop(layer.bn, x) for x in row]
        total += sum(map(float.__mul__, weights, pooled)) + layer.fc.bias.item()
    return norm_loop(layer.logit_bn, total)


def matcher(version="2.1", image_size=(64, 32), **switches):
    torch.manual_seed(0)
    model = create_model(
        "qaconv", num_classes=5, image_size=image_size, weights=None, depth=1,
        switches={"version": version, "dim": 6, **switches},
    )  # fmt: skip
    for value in model.layer.state_dict().values():
        if value.ndim:
            value.copy_(torch.rand_like(value) + 0.2)
    return model.eval()


@pytest.mark.parametrize("version", ["2.1", "2.0"])
def test_both_layers_against_loops_in_any_blocks(version):
    model = matcher(version)
    images = torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        emb = model.embed(images)
    torch.testing.assert_close(emb.norm(dim=3), torch.ones(8, *model.grid))
    q_emb, g_emb = emb[:3], emb[3:]
    expected = [
        [score_loop(model.layer, q, g) for g in g_emb.flatten(1, 2).double()]
        for q in q_emb.flatten(1, 2).double()
    ]
    for pairs in (1, 2, 6, 100):
        found = model.match(q_emb, g_emb, block_bytes=pairs * model.pair_bytes())
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_version_2_1_does_not_care_who_asks(training):
    layer = fill(QAConvLayer(4).double()).train(training)
    probe, gallery = golden_maps()
    torch.testing.assert_close(layer(probe, gallery), layer(gallery, probe).T)


def test_weights_at_the_start():
    assert torch.equal(QAConvLayer(192).fc.weight, torch.full((1, 192), 1 / 192))
    old = QAConvLayer(192, "2.0")
    assert old.fc.weight.shape == (1, 384)
    assert old.fc.weight.std() > 0


def test_a_version_that_is_none():
    with pytest.raises(ValueError, match=r"switches: version is '1.0'; expected one of '2.1', '2"):
        matcher("1.0")


def test_the_authors_checkpoint(tmp_path):
    """321 + 2 tensors of the network, 12 of the layer."""
    size = (64, 32)
    whole = create_backbone("resnet50_ibn_b", size, depth=4).state_dict()
    network = {f"base.{name}": value.clone() for name, value in whole.items()}
    network |= {"base.fc.weight": torch.ones(1000, 2048), "base.fc.bias": torch.ones(1000)}
    network |= {"neck_conv.weight": torch.rand(128, 1024, 3, 3), "neck_conv.bias": torch.rand(128)}
    layer = QAConvLayer(8).state_dict()
    theirs = {f"matcher.{name}": torch.rand_like(v.float()) for name, v in layer.items()}
    assert (len(network), len(theirs)) == (323, 12)
    torch.save({"model": network, "criterion": theirs, "epoch": 15}, tmp_path / "checkpoint.tar")

    def model(image_size):
        return create_model(
            "qaconv", num_classes=751, backbone="resnet50_ibn_b", image_size=image_size, depth=3,
            weights=None,
        )  # fmt: skip

    filled = load_authors_checkpoint(model(size), tmp_path / "checkpoint.tar")
    assert torch.equal(filled.layer.fc.weight, theirs["matcher.fc.weight"])
    assert torch.equal(filled.neck.weight, network["neck_conv.weight"])
    with pytest.raises(WeightsError, match=r"compares maps of 8 places and the model maps of 6x2;"):
        load_authors_checkpoint(model((96, 32)), tmp_path / "checkpoint.tar")
