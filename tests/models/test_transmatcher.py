"""TransMatcher against golden numbers of the authors' modules, and against loops over places."""

import math

import pytest
import torch
from torch import nn

from reidlab.models import (
    Matching,
    TransMatcher,
    WeightsError,
    create_backbone,
    create_model,
    load_authors_checkpoint,
    resize_matcher,
)
from reidlab.models.transmatcher import Decoder, encoder
from tests.models.golden import fill, wave

F64 = torch.float64
SMALL = Matching(dim=3, hidden=5, layers=2)
EVAL = [
    [6.873434045581, 6.934464191727, 7.015259204228],
    [6.874761791004, 6.925089020816, 7.108017827892],
]
LAYERS = [
    [
        [3.431610448809, 3.462736433826, 3.104286820565],
        [3.456142461945, 3.442623433013, 3.051062700413],
    ],
    [
        [2.525101094729, 2.547295903762, 2.976334471726],
        [2.501729105690, 2.559218008945, 3.110599909670],
    ],
]
TRAIN = [
    [-0.131857705461, -0.258015249835, 1.538806033708],
    [-0.010272880486, -0.753865602368, 2.506591563295],
]
ENCODED = [
    "-0.060561517132 -0.197095790015 0.326607852618 -1.074187587244 "
    "1.178839920064 -0.912203630992 -0.322756106835 -0.595006827251",
    "0.634158931676 -0.871758248289 -0.519013074981 0.401697592349 "
    "1.145418754272 -1.264553253315 -0.569917719595 0.000679839120",
    "0.414786385915 -0.013661942956 -0.591653004710 -0.535558775692 "
    "1.282833739573 -0.862314561648 -0.734419738500 -0.233059984757",
]


def golden_maps():
    """(2, 4, 6) and (3, 4, 6): 2 x 2 places, two layers of three channels."""
    return wave(torch.sin, 0.3, 2, 4, 6), wave(torch.cos, 0.5, 3, 4, 6)


def golden_decoder():
    return fill(Decoder(4, SMALL).double())


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-9), (torch.float32, 1e-5)])
def test_the_golden_scores(dtype, tolerance):
    decoder = golden_decoder().to(dtype).eval()
    query, gallery = (x.to(dtype) for x in golden_maps())
    near = dict(rtol=0, atol=tolerance)
    torch.testing.assert_close(decoder(query, gallery), torch.tensor(EVAL, dtype=dtype), **near)
    for n, (layer, expected) in enumerate(zip(decoder.layers, LAYERS, strict=True)):
        own = slice(3 * n, 3 * n + 3)
        found = layer(query[..., own], gallery[..., own])
        torch.testing.assert_close(found, torch.tensor(expected, dtype=dtype), **near)


def test_the_golden_scores_of_a_training_step():
    decoder = golden_decoder().train()
    near = dict(rtol=0, atol=1e-9)
    found = decoder(*golden_maps())
    torch.testing.assert_close(found, torch.tensor(TRAIN, dtype=F64), **near)
    for norm, mean, var in (
        (decoder.norm, 0.299496622908, 1.646226313626),
        (decoder.layers[0].bn1, -0.345967107532, 0.940331172504),
    ):
        assert norm.running_mean.item() == pytest.approx(mean, abs=1e-9)
        assert norm.running_var.item() == pytest.approx(var, abs=1e-9)


@pytest.mark.parametrize("learning", [False, True])
def test_the_golden_encoder(learning):
    """With gradients torch computes step by step, without them by one kernel."""
    layers = fill(encoder(4, 1, 6, 2).double()).eval().layers
    with torch.set_grad_enabled(learning):
        first = layers[0](wave(torch.sin, 0.9, 1, 3, 4))
        found = torch.cat((first, layers[1](first)), dim=2)[0]
    expected = torch.tensor([[float(x) for x in row.split()] for row in ENCODED], dtype=F64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def norm_loop(norm, x):
    return (x - norm.running_mean.item()) / math.sqrt(norm.running_var.item() + 1e-5) * (
        norm.weight.item()
    ) + norm.bias.item()


def layer_loop(layer, query, gallery, switches):
    """Score of one pair of maps (S, d), place by place, by the formulas of the paper."""
    places, heads, total = len(query), switches.heads, 0.0
    q, g = ((x @ layer.fc1.weight.T + layer.fc1.bias).tolist() for x in (query, gallery))
    width = len(q[0]) // heads
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        products = [[sum(map(float.__mul__, k[own], x[own])) for x in q] for k in g]
        if switches.gate == "prior":
            prior = layer.score_embed[0, head].tolist()
            for s in range(places):
                for t in range(places):
                    products[s][t] /= 1 + math.exp(-prior[s][t])
        lines = [[row[t] for row in products] for t in range(places)], products
        for direction in lines:  # of each query place, of each gallery place
            pooled = []
            for line in direction:
                if switches.gate == "softmax":
                    e = [math.exp(x / math.sqrt(width)) for x in line]
                    line = [x * a / sum(e) for x, a in zip(line, e, strict=True)]
                value = max(line) if switches.pooling == "max" else sum(line) / places
                pooled.append(norm_loop(layer.bn1, value))
            hidden = 0.0
            for j in range(switches.hidden):
                x = sum(w * v for w, v in zip(layer.fc2.weight[j].tolist(), pooled, strict=True))
                x += layer.fc2.bias[j].item()
                x = (x - layer.bn2.running_mean[j].item()) / math.sqrt(
                    layer.bn2.running_var[j].item() + 1e-5
                ) * layer.bn2.weight[j].item() + layer.bn2.bias[j].item()
                hidden += layer.fc3.weight[0, j].item() * max(0.0, x)
            total += hidden + layer.fc3.bias.item()
    return norm_loop(layer.bn3, total)


def matcher(switches=None, image_size=(64, 32), **options):
    """A small network whose norms and priors are not what they start as, in evaluation."""
    torch.manual_seed(0)
    switches = {"dim": 8, "hidden": 16, "layers": 2, **(switches or {})}
    options = {"backbone": "vit_tiny_patch16_224", "weights": None, "depth": 1, **options}
    model = create_model(
        "transmatcher", num_classes=5, image_size=image_size, switches=switches, **options
    )
    for name, value in model.decoder.state_dict().items():
        if value.ndim == 4:
            nn.init.normal_(value)
        elif value.ndim == 1 and "fc" not in name:
            value.copy_(torch.rand_like(value) + 0.5)
    return model.eval()


VARIANTS = [
    {},
    {"gate": "none"},
    {"gate": "softmax"},
    {"pooling": "mean"},
    {"gate": "softmax", "pooling": "mean"},
    {"heads": 2},
    {"heads": 2, "gate": "none", "layers": 1},
    {"layers": 3, "positions": True},
]


@pytest.mark.parametrize("switches", VARIANTS)
def test_each_switch_against_loops(switches):
    model = matcher(switches).double()
    torch.manual_seed(1)
    q_emb, g_emb = (torch.randn(n, *model.grid, model.channels, dtype=F64) for n in (2, 3))
    found = model.match(q_emb, g_emb)
    d = model.switches.dim
    for i, q in enumerate(q_emb.flatten(1, 2)):
        for j, g in enumerate(g_emb.flatten(1, 2)):
            total = sum(
                layer_loop(layer, *(x[:, n * d : (n + 1) * d] for x in (q, g)), model.switches)
                for n, layer in enumerate(model.decoder.layers)
            )
            assert found[i, j].item() == pytest.approx(norm_loop(model.decoder.norm, total))


@pytest.mark.parametrize("switches", VARIANTS)
def test_block_sizes_never_change_scores(switches):
    """And are those of the whole network, norms and all, in one piece."""
    model = matcher(switches)
    torch.manual_seed(2)
    q_emb, g_emb = (torch.randn(n, *model.grid, model.channels) for n in (5, 7))
    with torch.no_grad():
        whole = model.score(q_emb, g_emb)
    pair = model.pair_bytes()
    for pairs in (1, 3, 7, 16, 1000):
        found = model.match(q_emb, g_emb, block_bytes=pairs * pair)
        torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)
    assert not found.requires_grad
    assert model.match(q_emb[:0], g_emb).shape == (0, 7)


def test_half_precision_is_near():
    """Products in bfloat16, scores in float32."""
    model = matcher({"dim": 64})
    torch.manual_seed(3)
    emb = torch.randn(12, *model.grid, model.channels)
    exact = model.match(emb, emb)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.match(emb, emb)
    assert half.dtype == torch.float32
    assert not torch.equal(half, exact)
    assert (half - exact).abs().max() < 0.1 * exact.std()


def test_scores_turned_round_only_with_a_symmetric_prior():
    model = matcher().double()
    torch.manual_seed(4)
    a, b = (torch.randn(n, *model.grid, model.channels, dtype=F64) for n in (3, 4))
    assert not torch.allclose(model.match(a, b), model.match(b, a).T)
    for layer in model.decoder.layers:
        layer.score_embed.data.add_(layer.score_embed.data.mT.clone())
    torch.testing.assert_close(model.match(a, b), model.match(b, a).T)


def test_the_gradient_goes_to_one_winner():
    """Two equal maxima: amax would give each a half."""
    layer = Decoder(2, Matching(dim=1, hidden=2, layers=1, gate="none")).layers[0]
    query = torch.tensor([[[1.0], [0.0]]])
    gallery = torch.tensor([[[2.0], [2.0]]], requires_grad=True)
    layer.pooled(query, gallery, None)[0, 0, 0, 0].backward()
    assert sorted(gallery.grad.flatten().tolist()) == [0.0, 1.0]


def test_the_paper_network():
    """Parameters that are used, and the map: 24 x 8 places of 3 x 512 channels."""
    with torch.device("meta"):
        model = create_model(
            "transmatcher", num_classes=751, backbone="resnet50_ibn_b", image_size=(384, 128),
            depth=3, weights=None,
        )  # fmt: skip
        images = torch.empty(2, 3, 384, 128)
        assert model.eval().embed(images).shape == (2, 24, 8, 1536)
    counts = [sum(p.numel() for p in part.parameters()) for part in model.children()]
    assert counts == [8_544_832, 4_719_104, 6_304_768, 2_102_799 + 2]
    network, pairs = model.clip_groups()
    assert sum(p.numel() for p in pairs) == 2_102_801
    assert len(network) + len(pairs) == len(list(model.parameters()))


def test_weights_at_the_start():
    torch.manual_seed(0)
    decoder = Decoder(192, Matching())
    for layer in decoder.layers:
        found = [layer.score_embed, layer.fc1.weight, layer.fc2.weight, layer.fc3.weight]
        for weight, bound in zip(found, (0.009021, 0.07655, 0.05175, 0.05411), strict=True):
            assert weight.abs().max().item() == pytest.approx(bound, rel=1e-2)
        gate = layer.gate()
        assert 0.4977 <= gate.min() <= gate.max() <= 0.5023
        assert torch.equal(layer.fc2.bias, decoder.layers[0].fc2.bias)
    assert not torch.equal(decoder.layers[0].fc1.weight, decoder.layers[1].fc1.weight)
    first, second = encoder(8, 1, 16, 2).layers
    assert torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize(
    ("backbone", "frozen"),
    [("vit_tiny_patch16_224", True), ("resnet50_ibn_b", True), ("resnet50_ibn_b", False)],
)
def test_what_stays_in_evaluation_during_training(backbone, frozen):
    model = matcher({"frozen": frozen}, backbone=backbone).train()
    assert model.decoder.training
    parts = (model.backbone, model.neck, model.encoder)
    assert [part.training for part in parts] == [not frozen] * 3
    images = torch.randn(4, 3, 64, 32)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model(images).scores.sum().backward()
    moved = [n for n, v in model.backbone.state_dict().items() if not torch.equal(v, before[n])]
    assert bool(moved) == (not frozen)
    assert model.neck.weight.grad.abs().sum() > 0


def test_statistics_of_an_overflowing_batch_are_not_kept():
    model = matcher().train()
    images = torch.randn(4, 3, 64, 32)
    before = {name: value.clone() for name, value in model.decoder.state_dict().items()}
    images[0, 0, 0, 0] = float("inf")
    assert not model(images).scores.isfinite().all()
    for name, value in model.decoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    images[0, 0, 0, 0] = 0.0
    model(images).scores.sum().backward()
    assert not torch.equal(model.decoder.norm.running_mean, before["norm.running_mean"])


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "resnet50_ibn_b"])
def test_maps_of_another_size(backbone):
    model = matcher(backbone=backbone, depth=3)
    tall = matcher(image_size=(96, 32), backbone=backbone, depth=3)
    emb = model.embed(torch.randn(1, 3, 64, 32))
    other = tall.embed(torch.randn(1, 3, 96, 32))
    message = (
        r"g_emb has shape \(1, 6, 2, 16\); expected maps \('n', 4, 2, 16\) of this TransMatcher "
        r"for images of \(64, 32\)\. Embed both sides with this model, or build"
    )
    with pytest.raises(ValueError, match=message):
        model.match(emb, other)
    with pytest.raises(ValueError, match=r"q_emb has shape \(1, 128\)"):
        model.match(emb.flatten(1), emb)


@pytest.mark.parametrize("changed", [{"heads": 3}, {"gate": "relu"}, {"layers": 0}, {"dim": 2.5}])
def test_switches_that_cannot_be(changed):
    with pytest.raises(ValueError, match=f"switches: {next(iter(changed))} is "):
        matcher(changed)


def authors_shapes(classes=1000):
    """What their program saves: names and sizes of network and matcher."""
    backbone = create_backbone("resnet50_ibn_b", (384, 128), depth=4)
    network = {f"base.{name}": tuple(v.shape) for name, v in backbone.state_dict().items()}
    network |= {"base.fc.weight": (classes, 2048), "base.fc.bias": (classes,)}
    network |= {"neck_conv.weight": (512, 1024, 3, 3), "neck_conv.bias": (512,)}
    for i in range(2):
        for name, shape in (
            ("self_attn.in_proj_weight", (1536, 512)),
            ("self_attn.in_proj_bias", (1536,)),
            ("self_attn.out_proj.weight", (512, 512)),
            ("self_attn.out_proj.bias", (512,)),
            ("linear1.weight", (2048, 512)),
            ("linear1.bias", (2048,)),
            ("linear2.weight", (512, 2048)),
            ("linear2.bias", (512,)),
            *((f"norm{n}.{kind}", (512,)) for n in (1, 2) for kind in ("weight", "bias")),
        ):
            network[f"encoder.layers.{i}.{name}"] = shape
    pairs = {}
    statistics = ("weight", "bias", "running_mean", "running_var")
    for prefix in ("decoder_layer", *(f"decoder.layers.{n}" for n in range(3))):
        pairs[f"{prefix}.score_embed"] = (1, 1, 192, 192)
        linear = (("fc1", (512, 512)), ("fc2", (2048, 192)), ("fc3", (1, 2048)))
        for (name, shape), (norm, width) in zip(
            linear, (("bn1", 1), ("bn2", 2048), ("bn3", 1)), strict=True
        ):
            pairs |= {f"{prefix}.{name}.weight": shape, f"{prefix}.{name}.bias": shape[:1]}
            pairs |= {f"{prefix}.{norm}.{kind}": (width,) for kind in statistics}
            pairs[f"{prefix}.{norm}.num_batches_tracked"] = ()
    pairs |= {f"decoder.norm.{kind}": (1,) for kind in statistics}
    pairs["decoder.norm.num_batches_tracked"] = ()
    return network, pairs


@pytest.fixture(scope="module")
def checkpoint():
    """As their program writes it, small random numbers."""
    network, pairs = authors_shapes()
    assert (len(network), len(pairs)) == (347, 93)
    generator = torch.Generator().manual_seed(0)

    def tensors(shapes):
        return {
            name: torch.tensor(7) if shape == () else torch.rand(shape, generator=generator) * 0.02
            for name, shape in shapes.items()
        }

    criterion = {f"matcher.{name}": value for name, value in tensors(pairs).items()}
    optim = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.005}]}
    return {"model": tensors(network), "criterion": criterion, "optim": optim, "epoch": 15}


def paper_model(image_size=(384, 128)):
    return create_model(
        "transmatcher", num_classes=751, backbone="resnet50_ibn_b", image_size=image_size,
        depth=3, weights=None,
    )  # fmt: skip


def test_the_authors_checkpoint(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / "checkpoint.tar")
    model = load_authors_checkpoint(paper_model(), tmp_path / "checkpoint.tar")
    network, pairs = checkpoint["model"], checkpoint["criterion"]
    for ours, theirs in (
        (model.backbone.layer2[3].IN.weight, network["base.layer2.3.IN.weight"]),
        (model.neck.bias, network["neck_conv.bias"]),
        (model.encoder.layers[1].norm2.bias, network["encoder.layers.1.norm2.bias"]),
        (model.decoder.layers[2].score_embed, pairs["matcher.decoder.layers.2.score_embed"]),
        (model.decoder.norm.running_var, pairs["matcher.decoder.norm.running_var"]),
    ):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_without_its_matcher_or_of_another_grid(checkpoint):
    with pytest.raises(WeightsError, match=r"missing keys decoder\.layers\.0\.bn1\.bias"):
        load_authors_checkpoint(paper_model(), {"model": checkpoint["model"]})
    message = r"compares maps of 192 places and the model maps of 16x8; .*resize_matcher\(state"
    with pytest.raises(WeightsError, match=message):
        load_authors_checkpoint(paper_model((256, 128)), checkpoint)


def test_a_prior_for_another_grid():
    """A constant prior and constant weights say the same on any grid."""
    small, large = matcher({"positions": True}), matcher({"positions": True}, image_size=(128, 64))
    state = small.state_dict()
    for name, value in state.items():
        if name.endswith("score_embed"):
            value.fill_(0.3)
        elif name.endswith((".fc2.weight", "pos_embed")) or name == "positions":
            value.copy_(value[:, :1].clone().expand_as(value))
    large.load_state_dict(resize_matcher(state, small.grid, large.grid))
    backbones = small.backbone.state_dict(), large.backbone.state_dict()
    for name, value in backbones[0].items():
        expected = value[:, :1] if name == "pos_embed" else value
        torch.testing.assert_close(backbones[1][name], expected.expand_as(backbones[1][name]))
    emb = torch.randn(2, 1, 1, small.channels)  # the same everywhere
    maps = [emb.expand(2, *model.grid, -1).contiguous() for model in (small, large)]
    torch.testing.assert_close(small.match(maps[0], maps[0]), large.match(maps[1], maps[1]))
    same = resize_matcher(state, small.grid, small.grid)
    assert all(torch.allclose(same[name], value) for name, value in state.items())
    message = (
        r"fc2.weight has shape \(16, 8\) and old_grid is \(8, 8\); expected weights of 64 places"
    )
    with pytest.raises(ValueError, match=message):
        resize_matcher(state, (8, 8), large.grid)
    with pytest.raises(ValueError, match="expected weights of 4 places"):  # half of its 8
        resize_matcher(state, (2, 2), large.grid)


def test_a_resnet_to_its_third_stage_and_a_vit():
    for backbone in (create_backbone("resnet50_ibn_b", (64, 32), depth=3),
                     create_backbone("vit_tiny_patch16_224", (64, 32), depth=1)):  # fmt: skip
        model = TransMatcher(backbone, 5, Matching(dim=8, hidden=16, layers=2)).eval()
        emb = model.embed(torch.randn(2, 3, 64, 32))
        assert emb.shape == (2, 4, 2, 16)
        assert model.match(emb, emb).shape == (2, 2)
