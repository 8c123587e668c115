"""LA-Transformer and LA-TF++ against a second network, written here on the authors' key names."""

import dataclasses
import math
import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from reidlab.models import (
    LATFpp,
    LATransformer,
    LocallyAware,
    Outputs,
    Tokens,
    WeightsError,
    create_model,
    load_authors_checkpoint,
)
from reidlab.models.la_transformer import PRESETS, RowClassifier

IDLE_HEAD = 577_519  # timm's classifier in the authors' network, never called


def authors_shapes(dim=768, depth=12, grid=(14, 14), patch=16, classes=751, heads=14, width=256):
    """The entries of the authors' files, in their order; the idle classifier is of ImageNet's
    network built for 751 classes, whatever the data set."""
    positions = (1, 1 + grid[0] * grid[1], dim)
    shapes = {"cls_token": (1, 1, dim), "pos_embed": positions}
    shapes |= {"model.cls_token": (1, 1, dim), "model.pos_embed": positions}
    shapes["model.patch_embed.proj.weight"] = (dim, 3, patch, patch)
    shapes["model.patch_embed.proj.bias"] = (dim,)
    for b in range(depth):
        block = f"model.blocks.{b}."
        for name, outputs, inputs in (
            ("attn.qkv", 3 * dim, dim),
            ("attn.proj", dim, dim),
            ("mlp.fc1", 4 * dim, dim),
            ("mlp.fc2", dim, 4 * dim),
        ):
            shapes[f"{block}{name}.weight"] = (outputs, inputs)
            shapes[f"{block}{name}.bias"] = (outputs,)
        for name in ("norm1", "norm2"):
            shapes |= {f"{block}{name}.{part}": (dim,) for part in ("weight", "bias")}
    shapes |= {"model.norm.weight": (dim,), "model.norm.bias": (dim,)}
    shapes |= {"model.head.weight": (751, dim), "model.head.bias": (751,)}
    for i in range(heads):
        head = f"classifier{i}."
        shapes[f"{head}add_block.0.weight"] = (width, dim)
        shapes[f"{head}add_block.0.bias"] = (width,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{head}add_block.1.{part}"] = (width,)
        shapes[f"{head}add_block.1.num_batches_tracked"] = ()
        shapes[f"{head}classifier.0.weight"] = (classes, width)
        shapes[f"{head}classifier.0.bias"] = (classes,)
    return shapes


def authors_state(seed=0, **sizes):
    """A state dict of that layout with seeded numbers of a size that trained weights have."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in authors_shapes(**sizes).items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif key.endswith("running_var"):
            state[key] = torch.rand(shape, generator=generator) + 0.5
        else:
            state[key] = torch.randn(shape, generator=generator).mul_(0.03)
            if re.search(r"(norm\d?|add_block\.1)\.weight", key):
                state[key] += 1
    for twin in ("cls_token", "pos_embed"):
        state[twin] = state[f"model.{twin}"]  # one parameter of two modules
    return state


def authors_tokens(state, images, heads, depth):
    """Normed class and patch tokens, (B, 1 + N, D)."""
    proj = state["model.patch_embed.proj.weight"]
    dim = len(proj)
    x = F.conv2d(images, proj, state["model.patch_embed.proj.bias"], stride=proj.shape[-1])
    x = x.flatten(2).transpose(1, 2)
    cls = state["model.cls_token"].expand(len(x), -1, -1)
    x = torch.cat((cls, x), dim=1) + state["model.pos_embed"]

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    for b in range(depth):
        block = f"model.blocks.{b}"
        qkv = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv")
        q, k, v = qkv.reshape(*x.shape[:2], 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-1, -2) / math.sqrt(dim // heads)).softmax(-1)
        mixed = (attention @ v).transpose(1, 2).reshape(x.shape)
        x = x + linear(mixed, f"{block}.attn.proj")
        hidden = linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + linear(hidden, f"{block}.mlp.fc2")
    return norm(x, "model.norm")


def authors_rows(tokens, rows):
    """The authors' way to the means of the rows: pooling the tokens as if they were an image."""
    return nn.AdaptiveAvgPool2d((rows, tokens.shape[-1]))(tokens[:, 1:])


def authors_head(state, i, feature):
    head = f"classifier{i}."
    x = feature @ state[f"{head}add_block.0.weight"].T + state[f"{head}add_block.0.bias"]
    norm = {k: state[f"{head}add_block.1.{k}"] for k in ("running_mean", "running_var")}
    x = (x - norm["running_mean"]) / (norm["running_var"] + 1e-5).sqrt()
    x = x * state[f"{head}add_block.1.weight"] + state[f"{head}add_block.1.bias"]
    return x @ state[f"{head}classifier.0.weight"].T + state[f"{head}classifier.0.bias"]


def authors_vector(rows):
    """Their retrieval vector, image by image and row by row."""
    count = rows.shape[1]
    return torch.stack(
        [torch.cat([r / (r.norm() * math.sqrt(count)) for r in image]) for image in rows]
    )


# ------------------------------------------------------------------ their networks, at full size


@pytest.fixture(scope="module")
def published():
    """A file's worth of numbers at the real size, an image, and what the oracle makes of it."""
    state = authors_state()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    return state, image, authors_tokens(state, image, heads=12, depth=12)


@pytest.fixture(scope="module")
def vit_base(published):
    model = create_model(
        "la_transformer", num_classes=751, backbone="vit_base_patch16_224",
        image_size=(224, 224), weights=None, preset="code",
    )  # fmt: skip
    return load_authors_checkpoint(model, published[0]).eval()


@torch.no_grad()
def test_the_authors_la_transformer_in_numbers(published, vit_base):
    state, image, tokens = published
    assert len(state) == 280
    out, rows = vit_base(image), authors_rows(tokens, 14)
    assert len(out.logits) == len(out.features) == 14
    for i in range(14):
        expected = (tokens[:, 0] + 8 * rows[:, i]) / 9
        torch.testing.assert_close(out.features[i], expected, rtol=0, atol=1e-4)
        logits = authors_head(state, i, expected)
        assert logits.std() > 0.1  # else the tolerance would hide an error
        torch.testing.assert_close(out.logits[i], logits, rtol=0, atol=1e-4)
    vector = vit_base.embed(image)
    assert vector.shape == (1, 10_752)
    torch.testing.assert_close(vector, authors_vector(rows), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_authors_la_tf_pp_in_numbers(published, vit_base):
    state, image, tokens = published
    own = authors_shapes(classes=62, heads=1)
    assert len(own) == 163
    generator = torch.Generator().manual_seed(2)
    plus = {key: state.get(key) for key in own}
    for part in ("weight", "bias"):
        shape = own[f"classifier0.classifier.0.{part}"]
        plus[f"classifier0.classifier.0.{part}"] = torch.randn(shape, generator=generator) * 0.03
    model = load_authors_checkpoint(LATFpp(vit_base.backbone, 62), plus).eval()
    rows = authors_rows(tokens, 14)
    gelt = (tokens[:, :1] + 8 * rows) / 9
    (logits,) = model(image).logits
    torch.testing.assert_close(logits, authors_head(plus, 0, gelt.mean(1)), rtol=0, atol=1e-4)
    torch.testing.assert_close(model.embed(image), authors_vector(rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("la_transformer", 751, 91_841_537),
        ("la_transformer", 62, 89_362_515),
        ("la_tf_pp", 62, 86_589_485),
    ],
)
def test_parameter_counts(name, classes, count):
    with torch.device("meta"):
        model = create_model(
            name, num_classes=classes, backbone="vit_base_patch16_224", image_size=(224, 224),
            weights=None,
        )  # fmt: skip
    assert sum(p.numel() for p in model.parameters()) == count - IDLE_HEAD


# ------------------------------------------------------------------ their files

TINY = {"dim": 192, "depth": 1, "grid": (4, 2), "classes": 5, "heads": 4}


def tiny(name="la_transformer", **options):
    torch.manual_seed(0)
    given = {"num_classes": 5, "image_size": (64, 32), "depth": 1, "weights": None}
    return create_model(name, **given | options)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@torch.no_grad()
def test_a_file_loads_as_the_state_dict_does(tmp_path, suffix):
    state = authors_state(**TINY)
    path = tmp_path / f"net_best{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file({key: value.clone() for key, value in state.items()}, path)
    model = tiny()
    assert load_authors_checkpoint(model, path) is model
    images = torch.randn(3, 3, 64, 32)
    tokens = authors_tokens(state, images, heads=3, depth=1)
    expected = authors_vector(authors_rows(tokens, 4))
    torch.testing.assert_close(model.eval().embed(images), expected, rtol=0, atol=1e-5)
    loaded = model.state_dict()
    assert loaded["heads.3.norm.num_batches_tracked"] == 7
    for key, value in state.items():  # each entry has exactly one place
        if not key.startswith("model.head."):
            assert any(v.shape == value.shape and v.equal(value) for v in loaded.values()), key


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {f"model.{k}": v for k, v in s.items()},
        lambda s: {"model_state_dict": {f"_orig_mod.{k}": v for k, v in s.items()}, "epoch": 3},
        lambda s: s | {"epoch": 3},
    ],
)
def test_a_file_of_theirs_that_was_wrapped(tmp_path, wrap):
    state = authors_state(**TINY)
    expected = load_authors_checkpoint(tiny(), state).state_dict()
    torch.save(wrap(state), tmp_path / "net.pth")
    for given in (tmp_path / "net.pth", wrap(state)):
        found = load_authors_checkpoint(tiny(), given).state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in found.items())


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: without(s, "model.norm.bias"),
            r"unknown keys none; missing keys backbone.norm.bias; other sizes none\. .*of a vit_t",
        ),
        (
            lambda s: without(s, "classifier2.add_block.1.running_var"),
            r"unknown keys none; missing keys heads.2.norm.running_var;",
        ),
        (
            lambda s: s | {"neck.weight": torch.zeros(2)},
            r"unknown keys neck.weight; missing keys none;",
        ),
        (
            lambda s: s | {"model.blocks.1.norm1.bias": torch.zeros(192)},
            r"unknown keys backbone.blocks.1.norm1.bias; missing keys none;",
        ),
        (lambda s: s | {"classifier0.add_block.2.weight": torch.zeros(2)}, r"add_block.2.weight;"),
        (
            lambda s: s | {"model.norm.weight": torch.ones(384)},
            r"other sizes backbone.norm.weight \(384,\) instead of \(192,\)\. Expected the auth",
        ),
    ],
)
def test_keys_that_do_not_fit(change, message):
    model, state = tiny(), authors_state(**TINY)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=rf"the state dict does not fit .*{message}"):
        load_authors_checkpoint(model, change(state))
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


def test_sizes_that_do_not_fit():
    with pytest.raises(
        WeightsError, match=r"classifies 7 identities and the model 5; .*num_classes"
    ):
        load_authors_checkpoint(tiny(), authors_state(**TINY | {"classes": 7}))
    plus = authors_state(**TINY | {"heads": 1})
    with pytest.raises(
        WeightsError, match=r"has 1 classifiers and the model 4: LA-Transformer has"
    ):
        load_authors_checkpoint(tiny(), plus)
    with pytest.raises(WeightsError, match=r"has 4 classifiers and the model 1"):
        load_authors_checkpoint(tiny("la_tf_pp"), authors_state(**TINY))
    load_authors_checkpoint(tiny("la_tf_pp"), plus)
    with pytest.raises(
        WeightsError, match=r"pos_embed \(1, 13, 192\) instead of \(1, 9, 192\).*images of 64x32"
    ):
        load_authors_checkpoint(tiny(), authors_state(**TINY | {"grid": (4, 3)}))


def test_a_file_that_is_none(tmp_path):
    path = tmp_path / "net_best.pth"
    with pytest.raises(WeightsError, match="no such file"):
        load_authors_checkpoint(tiny(), path)
    torch.save(authors_state(**TINY), path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match=r"net_best.pth cannot be read"):
        load_authors_checkpoint(tiny(), str(path))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("other", [torch.zeros(1, 1, 192), torch.zeros(1, 3, 192)])
def test_of_two_copies_that_differ_the_one_below_model_is_taken(reverse, other):
    state = authors_state(**TINY) | {"cls_token": other}
    if reverse:
        state = dict(reversed(state.items()))
    with pytest.warns(UserWarning, match=r"holds two copies of backbone.cls_token that differ"):
        model = load_authors_checkpoint(tiny(), state)
    assert model.backbone.cls_token.equal(state["model.cls_token"])


@pytest.mark.filterwarnings("error")
def test_equal_copies_need_no_warning():
    load_authors_checkpoint(tiny(), authors_state(**TINY))


def test_a_model_that_no_authors_published():
    with pytest.raises(TypeError, match=r"PCB has no authors' checkpoint; expected .*la_tf"):
        load_authors_checkpoint(tiny("pcb"), {})


# ------------------------------------------------------------------ rows, mixture, retrieval


class HandMade(nn.Module):
    """A backbone that has seen a 4 x 2 grid; the patch of row r, column c is (1, r, 10 c)."""

    grid, embed_dim, patch_size = (4, 2), 3, 16
    name, image_size = "hand_made", (64, 32)

    def forward(self, images, camids=None):
        patches = torch.tensor([[1.0, r, 10.0 * c] for r in range(4) for c in range(2)])
        return Tokens(torch.tensor([[5.0, 6.0, 7.0]]), patches[None], {})


def hand_made(**switches):
    torch.manual_seed(0)
    return LATransformer(HandMade(), 2, LocallyAware(**switches)).eval()


def test_rows_are_rows_and_not_columns():
    rows, cls = hand_made().local_and_global(None)
    assert rows.tolist() == [[[1, 0, 5], [1, 1, 5], [1, 2, 5], [1, 3, 5]]]
    assert cls.tolist() == [[5, 6, 7]]


@pytest.mark.parametrize(
    ("stripes", "expected"),
    [(2, [[1, 0.5, 5], [1, 2.5, 5]]), (1, [[1, 1.5, 5]]), (4, [[1, r, 5] for r in range(4)])],
)
def test_a_stripe_is_the_mean_of_neighbouring_rows(stripes, expected):
    model = hand_made(stripes=stripes)
    assert model.local_and_global(None)[0].tolist() == [expected]
    assert len(model.heads) == len(model(None).logits) == stripes
    assert model.embed_dim == 3 * stripes


@pytest.mark.parametrize(
    ("weight", "row_2"),
    [(1.0, [1, 2, 5]), (0.0, [5, 6, 7]), (0.5, [3, 4, 6]), (8 / 9, [13 / 9, 22 / 9, 47 / 9])],
)
def test_the_weight_is_that_of_the_local_part(weight, row_2):
    features = hand_made(local_weight=weight)(None).features
    assert features[2][0].tolist() == pytest.approx(row_2)


def test_mixing_before_or_after_the_mean_over_a_row():
    model = hand_made(local_weight=0.3)
    tokens = HandMade()(None)
    for i, feature in enumerate(model(None).features):
        mixed = [0.3 * tokens.patches[0, t] + 0.7 * tokens.cls[0] for t in (2 * i, 2 * i + 1)]
        torch.testing.assert_close(feature[0], sum(mixed) / 2)


def test_one_head_reads_the_mean_of_all_rows():
    model = hand_made(heads="one", local_weight=0.5)
    out = model(None)
    assert len(model.heads) == len(out.logits) == 1
    assert out.features[0].tolist() == [[3.0, 3.75, 6.0]]
    torch.testing.assert_close(out.logits[0], model.heads[0](torch.tensor([[3.0, 3.75, 6.0]])))


@pytest.mark.parametrize("retrieval", ["rows", "gelt"])
def test_the_inner_product_is_the_mean_cosine_of_the_rows(retrieval):
    model = tiny(switches={"retrieval": retrieval}).eval()
    images = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        rows, cls = model.local_and_global(images)
        vectors = model.embed(images)
    for a in range(3):
        for b in range(3):
            cosines = []
            for i in range(4):
                one, two = rows[a, i].double(), rows[b, i].double()
                if retrieval == "gelt":
                    one, two = (8 * one + cls[a]) / 9, (8 * two + cls[b]) / 9
                cosines.append(float(one @ two / (one.norm() * two.norm())))
            assert float(vectors[a] @ vectors[b]) == pytest.approx(sum(cosines) / 4, abs=1e-5)


def test_retrieval_by_the_mean():
    model = hand_made(retrieval="mean", local_weight=0.5)
    g = torch.tensor([3.0, 3.75, 6.0])
    assert model.embed_dim == 3
    assert model.embed(None)[0].tolist() == pytest.approx((g / g.norm()).tolist())


def test_the_vote_adds_probabilities_and_not_logits():
    """Two heads are nearly sure of class 0; a third one shouts 1, and counts once."""
    logits = [torch.tensor([[5.0, 0.0]]), torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 90.0]])]
    vote = Outputs(tuple(logits), ()).vote()
    sure = 1 / (1 + math.exp(-5))
    assert vote[0].tolist() == pytest.approx([2 * sure, 2 * (1 - sure) + 1])
    assert vote.argmax() == 0
    half = Outputs(tuple(each.bfloat16() for each in logits), ()).vote()
    assert half.dtype == torch.float32


# ------------------------------------------------------------------ heads and switches


def test_what_the_heads_start_from():
    torch.manual_seed(0)
    head = RowClassifier(768, 751, PRESETS["code"])
    assert head.bottleneck.weight.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.01)
    assert head.norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert head.norm.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert head.classifier.weight.std().item() == pytest.approx(0.001, rel=0.01)
    for bias in (head.bottleneck.bias, head.norm.bias, head.classifier.bias):
        assert not bias.any()
    assert (head.norm.eps, head.norm.momentum) == (1e-5, 0.1)


@pytest.mark.parametrize(
    ("activation", "slope"), [("none", 1.0), ("relu", 0.0), ("leaky_relu", 0.1)]
)
def test_the_activation_is_between_norm_and_classifier(activation, slope):
    torch.manual_seed(0)
    head = RowClassifier(
        6, 3, LocallyAware(activation=activation, bottleneck=8, dropout=0.9)
    ).eval()
    x = torch.randn(4, 6)
    hidden = head.bottleneck(x) / math.sqrt(1 + 1e-5) * head.norm.weight
    hidden = torch.where(hidden > 0, hidden, slope * hidden)
    torch.testing.assert_close(head(x), hidden @ head.classifier.weight.T)


def test_dropout_acts_on_what_the_classifier_reads():
    torch.manual_seed(0)
    head = RowClassifier(6, 3, LocallyAware(dropout=0.5)).train()
    x, read = torch.randn(4, 6), []
    head.classifier.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    head(x)
    assert 0.4 < (read[0] == 0).float().mean() < 0.6


def test_the_presets():
    assert LocallyAware() == PRESETS["code"]
    assert dataclasses.asdict(PRESETS["code"]) == {
        "local_weight": 8 / 9, "stripes": None, "heads": "rows", "activation": "none",
        "retrieval": "rows", "bottleneck": 256, "dropout": 0.5,
    }  # fmt: skip
    changes = {"local_weight": 1 / 1.8, "activation": "relu", "retrieval": "gelt", "dropout": 0.0}
    assert PRESETS["paper"] == dataclasses.replace(PRESETS["code"], **changes)
    assert tiny().switches == PRESETS["code"]
    assert tiny(preset="paper").switches == PRESETS["paper"]
    one = {preset: tiny("la_tf_pp", preset=preset).switches for preset in ("code", "paper")}
    assert one["code"] == dataclasses.replace(PRESETS["code"], heads="one")
    assert one["paper"] == dataclasses.replace(PRESETS["paper"], heads="one", retrieval="mean")
    assert tiny("la_tf_pp").switches == one["code"]


def test_switches_in_place_of_the_presets():
    model = tiny(preset="paper", switches={"stripes": 2, "local_weight": 1.0})
    assert model.switches == dataclasses.replace(PRESETS["paper"], stripes=2, local_weight=1.0)
    assert len(model.heads) == 2


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"heads": "two"}, "heads is 'two'; expected one of 'rows', 'one'"),
        ({"activation": "gelu"}, "activation is 'gelu'; expected one of 'none', 'relu', 'leaky_"),
        ({"retrieval": "cls"}, "retrieval is 'cls'; expected one of 'rows', 'gelt', 'mean'"),
        ({"local_weight": 8}, "local_weight is 8; expected a share from 0 to 1: 8 / 9 in the code"),
        ({"local_weight": -0.1}, "local_weight is -0.1"),
        ({"local_weight": float("nan")}, "local_weight is nan"),
        ({"dropout": 1.0}, "dropout is 1.0; expected a probability below 1"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"bottleneck": 0}, "bottleneck is 0; expected a width of 1 or more"),
        ({"stripes": 0}, "stripes is 0; expected 1 or more, or None: one per row of patches"),
    ],
)
def test_a_switch_that_cannot_work(switches, message):
    with pytest.raises(ValueError, match=message):
        LocallyAware(**switches)


def test_switches_and_presets_that_do_not_exist():
    with pytest.raises(
        ValueError, match=r"la_transformer has no setting 'alpha'\. It has: local_weig"
    ):
        tiny(switches={"alpha": 1.0})
    with pytest.raises(ValueError, match=r"la_tf_pp has no preset 'authors'; it has code, paper"):
        tiny("la_tf_pp", preset="authors")
    with pytest.raises(ValueError, match=r"vit_baseline has no switches; got local_weight"):
        tiny("vit_baseline", switches={"local_weight": 1.0})
    with pytest.raises(
        ValueError, match=r"vit_baseline has no preset 'code'; it has none: its pap"
    ):
        tiny("vit_baseline", preset="code")


def test_stripes_that_the_grid_does_not_have():
    with pytest.raises(
        ValueError,
        match=r"stripes is 14 and the grid of 4x2 patches has 4 rows, which 14 stripes do not div",
    ):
        hand_made(stripes=14)
    with pytest.raises(
        ValueError, match=r"has 4 rows, which 3 stripes do not divide. .*one of 1, 2, 4, or images"
    ):
        hand_made(stripes=3)
    with pytest.raises(ValueError, match="num_classes is 0; expected at least one identity"):
        LATransformer(HandMade(), 0)


@torch.no_grad()
def test_another_description_by_the_same_weights():
    model, images = tiny(switches={"local_weight": 0.75}).eval(), torch.randn(2, 3, 64, 32)
    rows, cls = model.local_and_global(images)
    own = model.embed(images)
    gelt = 0.75 * rows + 0.25 * cls[:, None]
    by_hand = {"rows": authors_vector(rows), "gelt": authors_vector(gelt)}
    by_hand["mean"] = authors_vector(gelt.mean(1, keepdim=True))
    for retrieval, expected in by_hand.items():
        found = model.embed(images, retrieval=retrieval)
        assert found.shape == (2, model.embed_dim_of(retrieval))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        as_built = tiny(switches={"local_weight": 0.75, "retrieval": retrieval}).eval()
        assert as_built.embed_dim == model.embed_dim_of(retrieval)
        assert torch.equal(found, as_built.embed(images))
    found = model.embed(images, retrieval="mean", local_weight=0.0)
    torch.testing.assert_close(found, cls / cls.norm(dim=1, keepdim=True))
    assert torch.equal(model.embed(images), own)  # the model is as it was
    assert model.embed_dim == model.embed_dim_of("rows") == 4 * 192
    with pytest.raises(ValueError, match="retrieval is 'all'; expected one of 'rows', 'gelt'"):
        model.embed(images, retrieval="all")
    with pytest.raises(ValueError, match="local_weight is 8; expected a share from 0 to 1"):
        model.embed(images, local_weight=8)


def test_our_own_layout_is_not_the_authors():
    model = create_model("la_tf_pp", num_classes=5, weights=None, depth=1)
    with pytest.raises(WeightsError, match=r"unknown keys .*backbone\.blocks"):
        load_authors_checkpoint(model, model.state_dict())
