"""ResNet-50 with instance norms, against plain functions that walk the state dict."""

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision

from reidlab.models import ConvBackbone
from reidlab.models.pretrained import WeightsError, load_weights
from reidlab.models.resnet import RESNETS

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet18": (2, 2, 2, 2)}


def randomised(name, image_size=(64, 32), **options):
    """A backbone whose norms and running statistics are not 0 and 1, in evaluation."""
    torch.manual_seed(0)
    backbone = ConvBackbone(name, image_size, **options).eval()
    for key, value in backbone.state_dict().items():
        if value.ndim == 1:
            value.copy_(
                0.5 + torch.rand_like(value) if "bias" not in key else torch.rand_like(value)
            )
    return backbone


def norm_by_hand(state, name, x):
    """Whatever norm the file has under this name: batch, instance, or half and half."""
    if f"{name}.IN.weight" in state:
        half = len(state[f"{name}.IN.weight"])
        parts = (
            norm_by_hand(state, f"{name}.IN", x[:, :half]),
            norm_by_hand(state, f"{name}.BN", x[:, half:]),
        )
        return torch.cat(parts, dim=1)
    weight, bias = (state[f"{name}.{k}"].reshape(1, -1, 1, 1) for k in ("weight", "bias"))
    if f"{name}.running_mean" in state:
        mean, var = (
            state[f"{name}.{k}"].reshape(1, -1, 1, 1) for k in ("running_mean", "running_var")
        )
    else:  # of this image alone
        mean = x.mean(dim=(2, 3), keepdim=True)
        var = (x - mean).square().mean(dim=(2, 3), keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def resnet_by_hand(state, x, last_stride=2):
    """Maps of the four stages."""
    x = F.conv2d(x, state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm_by_hand(state, "bn1", x)), 3, stride=2, padding=1)
    maps = []
    basic = "layer1.0.conv3.weight" not in state
    for stage, count in enumerate(BLOCKS["resnet18" if basic else "resnet50"], start=1):
        for index in range(count):
            block = f"layer{stage}.{index}"
            stride = 1 if stage == 1 or index > 0 else (last_stride if stage == 4 else 2)
            if basic:
                y = F.conv2d(x, state[f"{block}.conv1.weight"], stride=stride, padding=1)
                y = F.relu(norm_by_hand(state, f"{block}.bn1", y))
                y = F.conv2d(y, state[f"{block}.conv2.weight"], padding=1)
                y = norm_by_hand(state, f"{block}.bn2", y)
            else:
                y = F.conv2d(x, state[f"{block}.conv1.weight"])
                y = F.relu(norm_by_hand(state, f"{block}.bn1", y))
                y = F.conv2d(y, state[f"{block}.conv2.weight"], stride=stride, padding=1)
                y = F.relu(norm_by_hand(state, f"{block}.bn2", y))
                y = norm_by_hand(state, f"{block}.bn3", F.conv2d(y, state[f"{block}.conv3.weight"]))
            if f"{block}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{block}.downsample.0.weight"], stride=stride)
                x = norm_by_hand(state, f"{block}.downsample.1", x)
            y = y + x
            if f"{block}.IN.weight" in state:
                y = norm_by_hand({f"n.{k}": state[f"{block}.IN.{k}"] for k in ("weight", "bias")},
                                 "n", y)  # fmt: skip
            x = F.relu(y)
        maps.append(x)
    return maps


@pytest.mark.parametrize(
    ("name", "last_stride"),
    [
        *(("resnet50", 1), ("resnet50", 2), ("resnet50_ibn_a", 2), ("resnet50_ibn_b", 1)),
        *(("resnet18", 1), ("resnet18_ibn_a", 2), ("resnet18_ibn_b", 2)),
    ],
)
def test_maps_by_hand(name, last_stride):
    backbone = randomised(name, stride=16 * last_stride).double()  # else norms of 8 values add up
    images = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    with torch.no_grad():
        maps = backbone(images, layers=(1, 2, 3, 4))
        expected = resnet_by_hand(backbone.state_dict(), images, last_stride)
    assert torch.equal(maps.last, maps.layers[4])
    for layer in range(1, 5):
        scale = expected[layer - 1].abs().max()
        error = (maps.layers[layer] - expected[layer - 1]).abs().max() / scale
        assert error < 1e-9, layer


@pytest.mark.parametrize(
    ("plain", "last", "half"), [("resnet50", ("1.2", "2.3"), 64), ("resnet18", ("1.1", "2.1"), 64)]
)
def test_where_the_instance_norms_are(plain, last, half):
    names = [plain, f"{plain}_ibn_a", f"{plain}_ibn_b"]
    with torch.device("meta"):
        without, of_a, of_b = (ConvBackbone(name, (64, 32)) for name in names)
    keys, keys_a, keys_b = (set(backbone.state_dict()) for backbone in (without, of_a, of_b))
    assert keys_b - keys == {f"layer{s}.IN.{k}" for s in last for k in ("weight", "bias")}
    gone = {f"bn1.{k}" for k in ("running_mean", "running_var", "num_batches_tracked")}
    assert keys - keys_b == gone
    split = {k.split(".bn1.IN")[0] for k in keys_a if ".bn1.IN.weight" in k}
    assert split == {f"layer{s}.{i}" for s in (1, 2, 3) for i in range(BLOCKS[plain][s - 1])}
    halves = of_a.layer2[1].bn1
    assert (halves.IN.num_features, halves.BN.num_features) == (half, half)


@pytest.mark.parametrize(
    ("name", "depth", "parameters", "tensors"),
    [
        ("resnet50", None, 23_508_032, 318),
        ("resnet50_ibn_a", None, 23_508_032, 344),  # affine IN replaces affine BN
        ("resnet50_ibn_b", None, 23_509_568, 319),  # two more norms; 321 with the classifier
        ("resnet50_ibn_b", 3, 8_544_832, 259),  # what TransMatcher runs
    ],
)
def test_golden_counts(name, depth, parameters, tensors):
    with torch.device("meta"):
        backbone = ConvBackbone(name, (64, 32), depth=depth)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    assert len(backbone.state_dict()) == tensors


@pytest.mark.parametrize("name", BLOCKS)
def test_the_names_are_torchvisions_and_timms(name):
    with torch.device("meta"):
        ours = ConvBackbone(name, (64, 32)).state_dict()
        others = [
            getattr(torchvision.models, name)().state_dict(),
            timm.create_model(name).state_dict(),
        ]
    for other in others:
        shapes = {k: v.shape for k, v in other.items() if not k.startswith("fc.")}
        assert {k: v.shape for k, v in ours.items()} == shapes


@pytest.mark.parametrize(
    ("size", "options", "channels", "grid", "stride"),
    [
        ((384, 128), {"depth": 3}, 1024, (24, 8), 16),  # TransMatcher
        ((256, 128), {}, 2048, (8, 4), 32),
        ((256, 128), {"stride": 16}, 2048, (16, 8), 16),
        ((256, 128), {"depth": 2}, 512, (32, 16), 8),
        ((70, 45), {}, 2048, (3, 2), 32),  # no multiple of 32
        ((70, 45), {"stride": 16}, 2048, (5, 3), 16),
        ((65, 33), {"depth": 1}, 256, (17, 9), 4),
        ((192, 96), {"name": "resnet18_ibn_b", "depth": 3}, 256, (12, 6), 16),  # a laptop's
    ],
)
def test_shapes(size, options, channels, grid, stride):
    with torch.device("meta"):
        backbone = ConvBackbone(**{"name": "resnet50_ibn_b", **options}, image_size=size).eval()
        last = backbone(torch.zeros(1, 3, *size)).last
    assert last.shape == (1, channels, *grid)
    assert (backbone.embed_dim, backbone.grid, backbone.stride) == (channels, grid, stride)


def test_an_instance_norm_sees_each_image_alone_in_training_too():
    backbone = randomised("resnet50_ibn_b", depth=1).train()
    for module in backbone.modules():  # let the batch norms alone depend on nothing but the image
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    images = torch.randn(3, 3, 64, 32)
    torch.testing.assert_close(
        backbone(images).last[:1], backbone(images[:1]).last, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", RESNETS)
def test_gradients(name):
    backbone = randomised(name, drop_path=0.0).train()
    backbone(torch.randn(2, 3, 64, 64)[..., :32]).last.square().mean().backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_stochastic_depth_reaches_the_last_block():
    with torch.device("meta"):
        backbone = ConvBackbone("resnet50_ibn_b", (64, 32), drop_path=0.3)
    rates = [
        block.drop_path.drop_prob if block.drop_path is not None else 0.0
        for stage in (1, 2, 3, 4)
        for block in backbone.get_submodule(f"layer{stage}")
    ]
    assert rates[-1] == pytest.approx(0.3)
    assert rates == pytest.approx([0.3 * i / 15 for i in range(16)])
    with torch.device("meta"):
        short = ConvBackbone("resnet50_ibn_b", (64, 32), depth=2, drop_path=0.3)
    assert short.layer2[-1].drop_path.drop_prob == pytest.approx(0.3)


@pytest.mark.parametrize("name", RESNETS)
def test_a_file_of_the_authors_loads(tmp_path, name):
    """Their key names, the classifier of ImageNet, and no counters, as old files have none."""
    source = randomised(name, depth=2)
    state = {k: v for k, v in source.state_dict().items() if "num_batches_tracked" not in k}
    state |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "net.pth")
    whole, part = (ConvBackbone(name, (64, 32), depth=depth).eval() for depth in (2, 1))
    load_weights(whole, tmp_path / "net.pth")
    load_weights(part, tmp_path / "net.pth")
    images = torch.randn(1, 3, 64, 32)
    with torch.no_grad():
        expected = source(images, layers=(1,))
        assert torch.equal(whole(images).last, expected.last)
        assert torch.equal(part(images).last, expected.layers[1])


@pytest.mark.parametrize(
    ("held", "asked", "message"),
    [
        ("resnet50", "resnet50_ibn_a", r"unknown keys layer1.0.bn1.bias.*layer1.0.bn1.BN.bias"),
        ("resnet50_ibn_a", "resnet50", r"unknown keys layer1.0.bn1.BN.bias"),
        (
            "resnet50",
            "resnet50_ibn_b",
            r"unknown keys bn1.num_batches_tracked, bn1.running_mean.*layer1.2.IN.bias",
        ),
    ],
)
def test_a_file_of_another_kind_of_norm(tmp_path, held, asked, message):
    state = ConvBackbone(held, (64, 32), depth=1).state_dict()
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=message + r".*Expected torchvision's names"):
        load_weights(ConvBackbone(asked, (64, 32), depth=1), tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet34"}, "expected one of resnet50, resnet50_ibn_a, resnet50_ibn_b"),
        ({"name": "resnet50_ibn_c"}, "'resnet50_ibn_c' is no ResNet of this library"),
        ({"name": "resnet50_ibn_a.tv_in1k"}, "is no ResNet of this library"),
        ({"name": "resnet50.nonsense"}, r"no checkpoint 'resnet50.nonsense'; it has: .*tv_in1k"),
        ({"image_size": (256, 16)}, "image_size is 256x16.*at least 32 pixels"),
        ({"depth": 5}, "depth is 5; a ResNet has stages 1 to 4"),
        ({"depth": 0}, "depth is 0; a ResNet has stages 1 to 4"),
        ({"stride": 8}, r"stride is 8; expected 32 for resnet50 up to stage 4, or 16"),
        ({"stride": 8, "depth": 3}, r"stride is 8; expected 16 for resnet50 up to stage 3\.$"),
        ({"num_cameras": 3}, "num_cameras is 3 and resnet50 has no tokens"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvBackbone(**arguments)


def test_wrong_image_size_and_layer():
    backbone = ConvBackbone("resnet50", (64, 32), depth=2)
    with pytest.raises(ValueError, match=r"built for \(B, 3, 64, 32\)"):
        backbone(torch.zeros(1, 3, 32, 64))
    for layer in (0, 3):
        with pytest.raises(ValueError, match="from 1 to 2"):
            backbone(torch.zeros(1, 3, 64, 32), layers=(layer,))


def test_random_weights_are_those_that_timm_draws_for_the_plain_one():
    states = []
    for name in ("resnet50", "resnet50_ibn_b"):
        torch.manual_seed(0)
        states.append(ConvBackbone(name, (64, 32), depth=2).state_dict())
    plain, other = states
    shared = plain.keys() & other.keys()
    assert "layer1.2.conv1.weight" in shared
    assert all(torch.equal(plain[key], other[key]) for key in shared)
