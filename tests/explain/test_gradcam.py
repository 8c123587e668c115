import copy
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel

from reidlab.explain import IdentityTarget, SimilarityTarget, gradcam
from reidlab.models import ConvBackbone, Outputs, create_model

SIZE = (96, 48)  # 6 x 3 patches: neither square nor 14 x 14


@pytest.fixture
def model(build):
    return build(num_classes=5, image_size=SIZE, depth=3)


@pytest.fixture
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def by_hand(model, image, score, layer):
    """Grad-CAM of one image with autograd alone: loops over patches, no library."""
    kept = []
    block = model.backbone.blocks[layer - 1]
    handle = block.norm1.register_forward_hook(lambda _m, _i, output: kept.append(output))
    value = score(model.eval(), image[None])
    handle.remove()
    (gradient,) = torch.autograd.grad(value, kept[0])
    activation, gradient = kept[0][0, 1:].detach(), gradient[0, 1:]  # (18, D)
    weights = sum(gradient) / len(gradient)
    heat = torch.stack([F.relu(patch @ weights) for patch in activation])
    heat = (heat - heat.min()) / (heat.max() - heat.min())
    grid = torch.stack([heat[3 * row : 3 * row + 3] for row in range(6)])
    return F.interpolate(grid[None, None], size=SIZE, mode="bilinear", align_corners=False)[0, 0]


def test_identity_equals_grad_cam_by_hand(model, images):
    heat = gradcam(model, images, IdentityTarget([3, 1]), layers=(1, 2, 3))
    assert heat.shape == (2, 3, *SIZE)
    for i, label in enumerate((3, 1)):
        for j, layer in enumerate((1, 2, 3)):
            expected = by_hand(
                model, images[i], lambda m, x, label=label: m(x).logits[0][0, label], layer
            )
            torch.testing.assert_close(heat[i, j], expected, rtol=1e-3, atol=1e-4)


def test_similarity_equals_grad_cam_by_hand(model, images):
    reference = model.eval().embed(images.flip(0)).detach()

    def score(m, x):
        embedding = m.embed(x)[0]
        return embedding @ reference[0] / embedding.norm() / reference[0].norm()

    heat = gradcam(model, images, SimilarityTarget(reference), layers=(2,))
    torch.testing.assert_close(
        heat[0, 0], by_hand(model, images[0], score, 2), rtol=1e-3, atol=1e-4
    )


def test_the_last_layer_is_not_blank(model, images):
    """Tapping the block's output would be: no gradient reaches its patch tokens."""
    tokens = model.eval().backbone(images, layers=(3,))
    (gradient,) = torch.autograd.grad(tokens.cls.sum(), tokens.layers[3])
    assert gradient[:, 1:].abs().max() == 0
    heat = gradcam(model, images, IdentityTarget([0, 0]), layers=(3,))
    assert heat.amax((1, 2, 3)).tolist() == pytest.approx([1.0, 1.0], abs=0.2)


def test_layers_in_the_order_asked_for(model, images):
    heat = gradcam(model, images, IdentityTarget([0, 1]), layers=(3, 1, 3))
    single = [gradcam(model, images, IdentityTarget([0, 1]), layers=(n,))[:, 0] for n in (3, 1)]
    torch.testing.assert_close(heat, torch.stack([single[0], single[1], single[0]], dim=1))


def test_most_likely_identity(model, images):
    with torch.no_grad():
        labels = model.eval()(images).logits[0].argmax(1)
    found = gradcam(model, images, IdentityTarget(), layers=(2,))
    assert torch.equal(found, gradcam(model, images, IdentityTarget(labels), layers=(2,)))


def test_model_and_caller_are_left_as_they_were(model, images):
    model.train()
    model.backbone.norm.eval()
    model.backbone.cls_token.requires_grad_(False)
    model.neck.classifier.weight.grad = torch.full((5, 192), 7.0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        gradcam(model, images, IdentityTarget([0, 1]), layers=(1,))
        assert not torch.is_grad_enabled()
    assert model.training
    assert not model.backbone.norm.training
    assert not model.backbone.cls_token.requires_grad
    assert model.backbone.pos_embed.requires_grad
    assert not model.neck.norm.bias.requires_grad
    assert model.neck.classifier.weight.grad.eq(7.0).all()
    assert model.backbone.pos_embed.grad is None
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_under_inference_mode_and_frozen(model, images):
    expected = gradcam(model, images, IdentityTarget([0, 1]), layers=(2,))
    model.requires_grad_(False)
    with torch.inference_mode():
        heat = gradcam(model, images * 1.0, IdentityTarget([0, 1]), layers=(2,))
    assert torch.equal(heat, expected)


def test_cameras_reach_the_model(images):
    torch.manual_seed(0)
    model = create_model(
        "vit_baseline", num_classes=5, image_size=SIZE, weights=None, depth=2, num_cameras=2
    )
    with torch.no_grad():
        model.backbone.sie_embed.mul_(100)
    maps = [
        gradcam(model, images, IdentityTarget([0, 1]), layers=(1,), camids=torch.tensor(camids))
        for camids in ([0, 0], [1, 1])
    ]
    assert not torch.equal(*maps)
    with pytest.raises(ValueError, match="needs `camids`"):
        gradcam(model, images, IdentityTarget([0, 1]), layers=(1,))


class OnePatch(nn.Module):
    """Reads the brightness of patches; its logit is that of patch (4, 1) alone."""

    def __init__(self):
        super().__init__()
        block = nn.Module()
        block.norm1 = nn.Linear(1, 1, bias=False)
        block.norm1.weight.data.fill_(1.0)
        self.block = block
        self.backbone = SimpleNamespace(
            grid=(6, 3),
            image_size=SIZE,
            patch_size=16,
            stride=16,
            num_prefix_tokens=1,
            blocks=[block],
        )

    def forward(self, images, camids=None):
        patches = F.avg_pool2d(images.mean(1, keepdim=True), 16).flatten(2).transpose(1, 2)
        tokens = torch.cat([torch.zeros(len(images), 1, 1), patches], dim=1)
        score = self.block.norm1(tokens)[:, 1 + 4 * 3 + 1]  # (B, 1)
        return Outputs(logits=(score,), features=())


def test_heat_lies_where_the_evidence_is():
    images = torch.zeros(1, 3, *SIZE)
    images[:, :, 64:80, 16:32] = 1.0  # patch (4, 1)
    heat = gradcam(OnePatch(), images, IdentityTarget([0]), layers=(1,))[0, 0]
    rows, columns = torch.nonzero(heat == heat.max(), as_tuple=True)
    assert (rows >= 64).all()
    assert (rows < 80).all()
    assert (columns >= 16).all()
    assert (columns < 32).all()
    far = heat.clone()
    far[48:96, 0:48] = 0.0  # the patch and the neighbours that interpolation blends it with
    assert far.max() == 0


def test_limit_of_grad_cam_a_patch_that_looks_alike_is_hot_too():
    images = torch.zeros(1, 3, *SIZE)
    images[:, :, 64:80, 16:32] = 1.0
    images[:, :, 0:16, 0:16] = 1.0  # the score does not depend on it
    heat = gradcam(OnePatch(), images, IdentityTarget([0]), layers=(1,))[0, 0]
    assert heat[4, 4] == heat.max()


@pytest.mark.parametrize(
    ("target", "layers", "message"),
    [
        (IdentityTarget([0, 1]), (0,), "layer 0 does not exist: this model has layers 1 to 3"),
        (IdentityTarget([0, 1]), (12,), "layer 12 does not exist"),
        (IdentityTarget([0]), (1,), "one label per image"),
        (IdentityTarget([0, 5]), (1,), "the model knows 0 to 4"),
        (SimilarityTarget(torch.zeros(3, 192)), (1,), r"expected \(2, 192\)"),
    ],
)
def test_bad_arguments(model, images, target, layers, message):
    with pytest.raises(ValueError, match=message):
        gradcam(model, images, target, layers=layers)
    assert not any(m._forward_hooks for m in model.modules())


PAIR = IdentityTarget([0, 1])


@pytest.mark.parametrize(
    "layers", [(), [], torch.tensor([]), "blocks.1", ("norm1",), 2, None, (1.5,), (-1,), (True, 0)]
)
def test_layers_that_are_none(model, images, layers):
    with pytest.raises(ValueError, match=r"this model has layers 1 to 3\.$"):
        gradcam(model, images, PAIR, layers=layers)


@pytest.mark.parametrize("layers", [range(1, 3), [np.int64(1), np.int64(2)], torch.tensor([1, 2])])
def test_layers_of_other_types(model, images, layers):
    expected = gradcam(model, images, PAIR, layers=(1, 2))
    assert torch.equal(gradcam(model, images, PAIR, layers=layers), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_of_half_precision(model, images, dtype):
    half = copy.deepcopy(model).to(dtype)
    with pytest.raises(ValueError, match=rf"has weights in {dtype}; .*model.float\(\)"):
        gradcam(half, images.to(dtype), PAIR, layers=(1,))
    half = copy.deepcopy(model)
    half.backbone.blocks[1].to(dtype)
    with pytest.raises(ValueError, match=rf"has weights in {dtype}"):
        gradcam(half, images, PAIR, layers=(1,))


def at(images, value):
    images = images.clone()
    images[1, 0, 3, 3] = value
    return images


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.bfloat16(), r"images are in torch.bfloat16 and the model is in torch.float32"),
        (lambda x: x.half(), r"images are in torch.float16 .*images.to\(torch.float32\)"),
        (lambda x: x.double(), r"images are in torch.float64"),
        (lambda x: x.byte(), r"images are in torch.uint8"),
        (lambda x: at(x, float("nan")), "image 1 of 2 has pixels that are no numbers"),
        (lambda x: at(x, float("-inf")), "image 1 of 2 has pixels that are no numbers"),
        (lambda x: x[:0], r"of shape \(0, 3, 96, 48\); .* of one image at least"),
        (lambda x: x[0], r"of shape \(3, 96, 48\); .*images\[None\]"),
        (lambda x: x.numpy(), "images are a ndarray"),
        (lambda x: x[:, :1], r"images have shape \(2, 1, 96, 48\)"),
        (lambda x: x[..., :32], r"images have shape \(2, 3, 96, 32\)"),
    ],
)
def test_images_that_do_not_fit(model, images, change, message):
    with pytest.raises(ValueError, match=message):
        gradcam(model, change(images), PAIR, layers=(1,))
    assert not any(m._forward_hooks for m in model.modules())


def test_double_precision(model, images):
    heat = gradcam(copy.deepcopy(model).double(), images.double(), PAIR, layers=(2,))
    expected = gradcam(model, images, PAIR, layers=(2,))
    torch.testing.assert_close(heat, expected, rtol=0, atol=1e-4)


def compiled_within(model):
    model = copy.deepcopy(model)
    model.backbone = torch.compile(model.backbone, backend="eager")
    return model


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        AveragedModel,
        lambda m: torch.compile(m, backend="eager"),
        lambda m: nn.DataParallel(torch.compile(m, backend="eager")),
        lambda m: torch.compile(nn.DataParallel(m), backend="eager"),
        compiled_within,
    ],
)
def test_a_wrapped_model(model, images, wrap):
    expected = gradcam(model, images, PAIR, layers=(1, 3))
    wrapped = wrap(model).train()
    torch.testing.assert_close(gradcam(wrapped, images, PAIR, layers=(1, 3)), expected)
    assert wrapped.training
    assert all(module.training for module in wrapped.modules())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Linear(2, 3), "Linear has no backbone; expected a model of create_model"),
        (lambda: SimpleModel(ConvBackbone("resnet50", SIZE, depth=1)), "has a ConvBackbone as"),
    ],
)
def test_a_model_without_the_blocks_of_a_vit(images, build, message):
    with pytest.raises(ValueError, match=message):
        gradcam(build(), images, PAIR, layers=(1,))


class SimpleModel(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def test_a_model_built_without_gradients(images):
    with torch.inference_mode():
        model = create_model("vit_baseline", num_classes=5, image_size=SIZE, weights=None, depth=1)
    with pytest.raises(ValueError, match=r"was built under torch.inference_mode\(\)"):
        gradcam(model, images, PAIR, layers=(1,))


def test_weights_that_are_no_numbers(model, images):
    with torch.no_grad():
        model.backbone.blocks[0].mlp.fc1.bias[0] = float("nan")
    with pytest.raises(ValueError, match=r"the scores are \[nan, nan\], which are not all numbers"):
        gradcam(model, images, PAIR, layers=(1,))
    assert not any(m._forward_hooks for m in model.modules())


def test_a_target_that_is_none(model, images):
    with pytest.raises(ValueError, match="target is 3; expected IdentityTarget"):
        gradcam(model, images, 3, layers=(1,))
    with pytest.raises(ValueError, match=r"labels of torch.float32; expected whole numbers"):
        IdentityTarget([0.5])
    with pytest.raises(ValueError, match="reference with values that are no numbers"):
        SimilarityTarget(torch.full((192,), float("nan")))


def test_models_without_identities_or_vectors(model, images, monkeypatch):
    monkeypatch.setattr(type(model), "forward", lambda *_: Outputs(logits=(), features=()))
    with pytest.raises(ValueError, match=r"has no classifier.*SimilarityTarget"):
        gradcam(model, images, PAIR, layers=(1,))
    monkeypatch.setattr(
        type(model), "embed", lambda self, x, c: self.backbone(x, c).patches.unflatten(1, (6, 3))
    )
    with pytest.raises(ValueError, match=r"describes an image by \(6, 3, 192\)"):
        gradcam(model, images, SimilarityTarget(torch.ones(192)), layers=(1,))


@pytest.mark.parametrize("camids", [torch.tensor([0]), torch.tensor(0), [0, 1]])
def test_cameras_of_another_number(model, images, camids):
    with pytest.raises(ValueError, match=r"expected a tensor \(2,\), the camera of each image"):
        gradcam(model, images, PAIR, layers=(1,), camids=camids)


def test_gradient_checkpointing_changes_nothing(model, images):
    expected = gradcam(model, images, PAIR, layers=(1, 3))
    model.backbone.gradient_checkpointing = True
    assert torch.equal(gradcam(model, images, PAIR, layers=(1, 3)), expected)


def test_package_missing(model, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(ImportError, match="pip install grad-cam"):
        gradcam(model, images, IdentityTarget([0, 1]), layers=(1,))


def test_a_layer_of_chosen_patches_has_no_map(build, images):
    model = build("tvtr", num_classes=5, image_size=SIZE, depth=3, switches={"k": 2})
    heat = gradcam(model, images, SimilarityTarget(torch.ones(model.embed_dim)), layers=(1, 2))
    assert (heat.amax((2, 3)) > 0).all()
    with pytest.raises(ValueError, match="reads 6 patches and the grid of 6x3 has 18"):
        gradcam(model, images, SimilarityTarget(torch.ones(model.embed_dim)), layers=(3,))
    assert not any(module._forward_hooks for module in model.modules())
