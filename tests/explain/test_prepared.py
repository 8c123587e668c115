"""What holds for every map and every model: what is checked, and what is left as it was."""

import copy
import functools

import pytest
import torch
from torch import nn

from reidlab.explain import (
    IdentityTarget,
    SimilarityTarget,
    deletion_insertion,
    gradcam,
    occlusion,
    randomized,
    raw_attention,
    rollout,
)
from reidlab.models import ConvBackbone

SIZE = (64, 32)
CAMERAS = torch.tensor([0, 1])
NAMES = ["vit_baseline", "la_transformer", "la_tf_pp", "gltrans", "transreid", "pcb"]
PAIR = IdentityTarget([0, 1])


def of_layers(explain, model, images, camids=CAMERAS, layers=(2, 1)):
    return explain(model, images, layers=layers, camids=camids)


def of_target(explain, model, images, camids=CAMERAS, **options):
    return explain(model, images, PAIR, camids=camids, **options)


def deleted(model, images, camids=CAMERAS):
    heat = torch.rand(len(images), 2, *SIZE, generator=torch.Generator().manual_seed(0))
    return deletion_insertion(model, images, PAIR, heat, camids=camids).deletion


def sane(model, images, camids=CAMERAS):
    def score(network):
        return network(images, camids).logits[0][:, 0]

    explain = functools.partial(raw_attention, images=images, layers=(2,), camids=camids)
    return randomized(model, explain, score).correlation


MAPS = {
    "raw_attention": functools.partial(of_layers, raw_attention),
    "rollout": functools.partial(of_layers, rollout),
    "gradcam": functools.partial(of_target, gradcam, layers=(2, 1)),
    "occlusion": functools.partial(of_target, occlusion),
    "deletion_insertion": deleted,
    "randomized": sane,
}
every_map = pytest.mark.parametrize("explain", MAPS.values(), ids=MAPS)


@pytest.fixture
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def state(model):
    """All that a map could leave changed."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": [module.training for module in model.modules()],
        "hooks": [len(getattr(module, kind)) for module in model.modules() for kind in hooks],
        "fused": [getattr(module, "fused_attn", None) for module in model.modules()],
        "needs": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [id(parameter.grad) for parameter in model.parameters()],
        "weights": [id(parameter) for parameter in model.parameters()],
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_left_bit_identical(name, images, build):
    model = build(name, num_cameras=2).train()
    model.backbone.norm.eval()
    model.backbone.cls_token.requires_grad_(False)
    model.backbone.blocks[0].attn.fused_attn = False
    model.backbone.norm.weight.grad = torch.full((192,), 7.0)
    before, values = state(model), copy.deepcopy(model.state_dict())
    for title, explain in MAPS.items():
        with torch.inference_mode():
            found = explain(model, images * 1.0)
            assert torch.is_inference_mode_enabled(), title
        assert found.device.type == "cpu", title
        assert found.isfinite().all(), title
        assert state(model) == before, title
        assert all(v.equal(values[k]) for k, v in model.state_dict().items()), title
        torch.testing.assert_close(found, explain(model, images), msg=title)
    assert model.backbone.norm.weight.grad.eq(7.0).all()


@pytest.mark.parametrize("title", ["raw_attention", "rollout", "gradcam", "occlusion"])
def test_heat_is_the_same_for_an_image_alone(title, images, build):
    model = build("transreid", num_cameras=2)
    target = SimilarityTarget(torch.ones(model.embed_dim))
    options = {} if title in ("raw_attention", "rollout") else {"target": target}
    if title != "occlusion":
        options["layers"] = (1,)
    explain = MAPS[title].args[0]
    both, alone = (explain(model, images[:n], camids=CAMERAS[:n], **options) for n in (2, 1))
    torch.testing.assert_close(both[:1], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("title", ["raw_attention", "rollout", "gradcam", "occlusion"])
def test_heat_is_from_0_to_1(title, images, build):
    heat = MAPS[title](build(num_cameras=2), images)
    assert heat.shape == (2, 1 if title == "occlusion" else 2, *SIZE)
    assert heat.dtype == torch.float32
    assert heat.min() >= 0
    assert heat.max() <= 1


@pytest.mark.parametrize("title", ["raw_attention", "rollout", "gradcam"])
def test_overlapping_patches_lie_where_the_network_saw_them(title, images, build):
    """Between the centres, 8, 20, 32, ..., a map is a straight line: it bends nowhere else."""
    model = build(num_cameras=2, stride=12)
    assert model.backbone.grid == (5, 2)
    heat = MAPS[title](model, images).double()
    for line, last in ((heat, 56), (heat.transpose(2, 3), 20)):
        bends = line.diff(n=2, dim=2).abs().amax((0, 1, 3))  # number y is around pixel y + 1
        at = (bends > 1e-4).nonzero()[:, 0] + 1
        assert {y + side for y in range(8, last + 1, 12) for side in (-1, 0)} == {*at.tolist()}


@every_map
def test_a_model_that_another_wraps(explain, images, build):
    model = build(num_cameras=2)
    wrapped = torch.compile(nn.DataParallel(model), backend="eager")
    torch.testing.assert_close(explain(wrapped, images), explain(model, images))


@every_map
def test_what_every_map_refuses(explain, images, build):
    model = build(num_cameras=2)
    with pytest.raises(ValueError, match=r"of shape \(3, 64, 32\); .*images\[None\]"):
        explain(model, images[0])
    broken = images.clone()
    broken[1, 0, 3, 3] = torch.nan
    with pytest.raises(ValueError, match="image 1 of 2 has pixels that are no numbers"):
        explain(model, broken)
    with pytest.raises(ValueError, match=r"has weights in torch.bfloat16; .*model.float\(\)"):
        explain(copy.deepcopy(model).bfloat16(), images)
    with pytest.raises(ValueError, match="needs `camids`"):
        explain(model, images, camids=None)
    with torch.no_grad():
        model.backbone.blocks[0].mlp.fc1.bias[0] = torch.nan
    with pytest.raises(ValueError, match=r"numbers.*do the weights hold NaN"):
        explain(model, images)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("explain", [raw_attention, rollout])
def test_layers_that_do_not_exist(explain, images, build):
    with pytest.raises(ValueError, match="layer 12 does not exist: this model has layers 1 to 2"):
        explain(build(num_cameras=2), images, layers=(12,), camids=CAMERAS)
    with pytest.raises(ValueError, match="layers is empty; expected one at least"):
        explain(build(num_cameras=2), images, layers=(), camids=CAMERAS)


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = ConvBackbone("resnet50", SIZE, depth=1)

    def embed(self, images, camids=None):
        return self.backbone(images).last.mean((2, 3))


@pytest.mark.parametrize("title", ["raw_attention", "rollout", "gradcam", "randomized"])
def test_a_resnet_has_no_tokens(title, images):
    with pytest.raises(ValueError, match=r"ConvBackbone as backbone.*occlusion\(window=...\)"):
        MAPS[title](Convolutions(), images)


def test_a_resnet_has_pixels(images):
    model = Convolutions()
    with torch.no_grad():
        target = SimilarityTarget(model.eval().embed(images))  # each image with itself: 1
    heat = occlusion(model, images, target, window=16)
    assert heat.shape == (2, 1, *SIZE)
    assert heat.amax() == 1
    removal = deletion_insertion(model, images, target, heat, window=16)
    assert removal.deletion.shape == (2, 1, 9)
    with pytest.raises(ValueError, match="window is None; expected the side of a cell"):
        occlusion(model, images, target)
