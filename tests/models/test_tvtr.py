"""TVTR against the whole product, and against a slow network of one image, head by head."""

import math

import pytest
import torch
import torch.nn.functional as F

from reidlab.models import TVTR, TopK, create_model, select_tokens
from reidlab.models.tvtr import AT_ONCE, CosineClassifier


def attentions(layers, batch=2, heads=3, patches=9, sharp=2.0, seed=0, dtype=torch.float64):
    shape = (batch, heads, patches + 1, patches + 1)
    g = torch.Generator().manual_seed(seed)
    logits = [sharp * torch.randn(shape, generator=g, dtype=dtype) for _ in range(layers)]
    return [each.softmax(-1) for each in logits]


def tvtr(**options):
    """Of random weights, moved, so that it attends."""
    torch.manual_seed(0)
    given = {"image_size": (64, 48), "depth": 4, "weights": None, **options}
    switches = {"k": 3, **given.pop("switches", {})}
    model = create_model("tvtr", num_classes=5, switches=switches, **given)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 48, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------ the selection


@pytest.mark.parametrize("layers", [1, 2, 11])
@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize("seed", range(3))
def test_the_selection_is_that_of_the_whole_product(layers, k, seed):
    given = attentions(layers, seed=seed)
    product = given[0]
    for later in given[1:]:
        product = later @ product
    found = select_tokens(given, k)
    assert found.shape == (2, 3, k)
    for b in range(2):
        for h in range(3):
            scores = product[b, h, 0, 1:].tolist()
            assert found[b, h].tolist() == sorted(range(9), key=lambda n: -scores[n])[:k]


def test_later_layers_stand_on_the_left():
    """Two layers that move all attention: the class token looks at 2, which had looked at 1."""
    first, second = torch.eye(4).repeat(2, 1, 1, 1, 1)
    first[0, 0, 2] = torch.tensor([0.0, 0.75, 0.0, 0.25])
    second[0, 0, 0] = torch.tensor([0.0, 0.0, 1.0, 0.0])
    assert select_tokens([first, second], 3).tolist() == [[[0, 2, 1]]]
    assert select_tokens([second, first], 1).tolist() == [[[1]]]  # the other order is another


def test_of_equal_scores_the_lower_patch():
    uniform = torch.full((1, 2, 6, 6), 1 / 6)
    assert select_tokens([uniform] * 3, 4).tolist() == [[[0, 1, 2, 3]] * 2]
    one = torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2]).expand(1, 1, 5, 5)
    assert select_tokens([one], 3).tolist() == [[[1, 0, 2]]]


def test_it_has_no_gradient_and_is_in_float32_inside_autocast():
    given = [each.float().requires_grad_() for each in attentions(11)]
    with torch.autocast("cpu", torch.bfloat16):
        found = select_tokens(given, 4)
    assert torch.equal(found, select_tokens([each.double() for each in given], 4))
    assert not found.requires_grad
    assert select_tokens([each.bfloat16() for each in given], 2).shape == (2, 3, 2)


@pytest.mark.parametrize("k", [0, 10])
def test_more_than_there_are(k):
    with pytest.raises(ValueError, match=f"k is {k} and there are 9 patches; expected 1 to 9"):
        select_tokens(attentions(2), k)


@pytest.mark.parametrize("shapes", [[], [(2, 4, 4)], [(2, 3, 4, 5)], [(2, 3, 4, 4), (2, 3, 5, 5)]])
def test_what_is_no_attention(shapes):
    with pytest.raises(
        ValueError, match=r"attentions are .*; expected one or more of the same sha"
    ):
        select_tokens([torch.zeros(shape) for shape in shapes], 1)


# ------------------------------------------------------------------ the network


def linear(layer, x):
    return x @ layer.weight.T + layer.bias


def norm(layer, x):
    x = x - x.mean(-1, keepdim=True)
    return x / (x.square().mean(-1, keepdim=True) + layer.eps).sqrt() * layer.weight + layer.bias


def slow_block(block, x, heads):
    """A block on tokens (T, D), and its attention, head by head."""
    d, found, seen = x.shape[1] // heads, [], []
    q, k, v = linear(block.attn.qkv, norm(block.norm1, x)).split(x.shape[1], dim=1)
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)
        seen.append(torch.softmax(q[:, own] @ k[:, own].T / math.sqrt(d), dim=1))
        found.append(seen[-1] @ v[:, own])
    x = x + linear(block.attn.proj, torch.cat(found, dim=1))
    return x + linear(block.mlp.fc2, F.gelu(linear(block.mlp.fc1, norm(block.norm2, x)))), seen


def slow(model, image, k, removed):
    """Class token, mean visual token and patches of an image, of one head after another."""
    net, heads = model.backbone, model.backbone.blocks[0].attn.num_heads
    patches = net.patch_embed.proj(image[None]).flatten(2)[0].T
    x = torch.cat((net.cls_token[0], patches)) + net.pos_embed[0]
    products = None
    for block in net.blocks[:-1]:
        x, seen = slow_block(block, x, heads)
        products = (
            seen if products is None else [a @ p for a, p in zip(seen, products, strict=True)]
        )
    chosen = [sorted(range(len(x) - 1), key=lambda n: -float(p[0, 1 + n]))[:k] for p in products]
    flat = [n for head in chosen for n in head]
    flat = sorted(set(flat)) if removed else flat
    x = torch.stack([x[0], *(x[1 + n] for n in flat)])
    x = norm(net.norm, slow_block(net.blocks[-1], x, heads)[0])
    return x[0], x[1:].mean(0), chosen


@torch.no_grad()
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("duplicates", ["kept", "removed"])
@pytest.mark.parametrize("k", [1, 3, 12])
def test_it_is_the_slow_network(k, duplicates, fused, images):
    model = tvtr(switches={"k": k, "duplicates": duplicates}).double()
    for block in model.backbone.blocks:
        block.attn._forward_pre_hooks.clear()  # it would choose
        block.attn.fused_attn = fused
    found, both = model.choose(images.double()), model.embed(images.double())
    for n, image in enumerate(images.double()):
        cls, visual, patches = slow(model, image, k, duplicates == "removed")
        torch.testing.assert_close(found.cls[n], cls)
        torch.testing.assert_close(found.visual[n], visual)
        assert found.patches[n].tolist() == patches
        torch.testing.assert_close(both[n], torch.cat((cls, visual)))
    counts = found.patches.flatten(1)
    assert k == 1 or any(len(set(row)) < len(row) for row in counts.tolist())  # there are some


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 400, 2**25])
def test_however_many_images_at_a_time(at_once, images, monkeypatch):
    model = tvtr()
    expected = model.choose(images).patches
    monkeypatch.setitem(AT_ONCE, "cpu", at_once)
    assert torch.equal(model.choose(images).patches, expected)


@torch.no_grad()
def test_registers_are_not_patches():
    model = tvtr(backbone="vit_small_patch14_reg4_dinov2", image_size=(56, 42), depth=3)
    found = model.choose(torch.randn(2, 3, 56, 42))
    assert found.patches.shape == (2, 6, 3)
    assert found.patches.max() < 12


def test_autocast_chooses_by_float32_and_leaves_no_hook(images):
    model = tvtr().train()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(images)
    assert out.logits[0].dtype == torch.float32
    sum(x.float().square().mean() for x in (*out.logits, *out.features)).backward()
    assert all(not block.attn.qkv._forward_hooks for block in model.backbone.blocks)
    with pytest.raises(ValueError, match="images have shape"):
        model(images[:, :, :32])
    assert all(not block.attn.qkv._forward_hooks for block in model.backbone.blocks)


def test_computing_blocks_again_changes_nothing(images):
    plain, again = tvtr().train(), tvtr().train()
    again.backbone.gradient_checkpointing = True
    for model in (plain, again):
        model(images).features[0].square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_the_gradient_reaches_what_was_chosen_alone(images):
    model = tvtr(switches={"k": 1, "feature": "visual"})
    seen = {}
    model.backbone.blocks[-2].register_forward_hook(
        lambda _module, _inputs, out: (out.retain_grad(), seen.update(x=out))[0]
    )
    model.embed(images).square().sum().backward()
    touched = seen["x"].grad.abs().sum(2) > 0  # (B, 1 + N)
    for row, patches in zip(touched, model.choose(images).patches, strict=True):
        assert set(row.nonzero()[:, 0].tolist()) == {0, *(1 + patches.flatten()).tolist()}


# ------------------------------------------------------------------ switches


@torch.no_grad()
def test_all_switched_off_is_the_baseline(images):
    off = {"selection": False, "feature": "class", "classifier": "linear"}
    model, plain = tvtr(switches=off), create_model(
        "vit_baseline", num_classes=5, image_size=(64, 48), depth=4, weights=None
    )  # fmt: skip
    plain.load_state_dict(model.state_dict())
    plain.eval()
    assert torch.equal(model.embed(images), plain.embed(images))
    assert torch.equal(model(images).logits[0], plain(images).logits[0])


@torch.no_grad()
@pytest.mark.parametrize("selection", [True, False])
@pytest.mark.parametrize(("feature", "width"), [("joined", 384), ("class", 192), ("visual", 192)])
def test_the_feature_and_its_parts(selection, feature, width, images):
    model = tvtr(switches={"selection": selection, "feature": feature})
    found = model.choose(images)
    assert (found.patches is None) != selection
    whole = {"joined": torch.cat((found.cls, found.visual), 1), "class": found.cls}
    expected = whole.get(feature, found.visual)
    assert torch.equal(model.embed(images), expected)
    assert model.embed_dim == width == expected.shape[1]
    assert torch.equal(model.embed(images, retrieval="class"), found.cls)
    assert torch.equal(model.embed(images, retrieval="visual"), found.visual)
    after = model.embed(images, retrieval="neck")
    torch.testing.assert_close(after, model.neck.norm(expected))
    with pytest.raises(ValueError, match="retrieval is 'all'; expected 'feature', 'neck', 'class'"):
        model.embed(images, retrieval="all")


@torch.no_grad()
@pytest.mark.parametrize("neck", [True, False])
@pytest.mark.parametrize("classifier", ["cosine", "linear"])
def test_neck_and_classifier(neck, classifier, images):
    model = tvtr(switches={"neck": neck, "classifier": classifier})
    feature = model.neck.norm(model.embed(images)) if neck else model.embed(images)
    logits, weight = model(images).logits[0], model.neck.classifier.weight
    if classifier == "cosine":
        feature, weight = (x / x.norm(dim=1, keepdim=True) for x in (feature, weight))
    torch.testing.assert_close(logits, feature @ weight.T)
    assert not neck or not model.neck.norm.bias.requires_grad


def test_cosines_start_from_transreids_numbers():
    weight = CosineClassifier(300, 500).weight
    assert weight.abs().max().item() == pytest.approx(1 / math.sqrt(300), rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"switches": {"k": 13}}, "k is 13 and the grid of 4x3 has 12 patches. Choose fewer"),
        ({"switches": {"k": 0}}, "switches: k is 0; expected a number of 1 or more"),
        ({"switches": {"duplicates": "both"}}, "duplicates is 'both'; expected one of 'kept', 'r"),
        ({"depth": 1}, "the backbone has one block; TVTR chooses by those before"),
        ({"backbone": "vit_tiny_patch16_dinov3_qkvb"}, "turns its queries and keys by their posit"),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        tvtr(**options)
    if "depth" in options or "backbone" in options:
        assert isinstance(tvtr(**options, switches={"selection": False}), TVTR)


def test_at_the_papers_size():
    with torch.device("meta"):
        model = create_model(
            "tvtr", num_classes=395, backbone="vit_base_patch16_224", image_size=(288, 144),
            stride=12, weights=None,
        )  # fmt: skip
    assert model.switches == TopK(k=16)
    assert model.backbone.grid == (23, 11)
    assert (model.embed_dim, model.neck.classifier.weight.shape) == (1536, (395, 1536))
