"""What every model must do; a new model joins by its name in `list_models()`."""

import pytest
import torch

from reidlab.models import (
    ConvBackbone,
    TokenBackbone,
    create_backbone,
    create_model,
    list_models,
)


def small(name, **options):
    torch.manual_seed(0)
    options = {"image_size": (64, 32), "weights": None, "depth": 2, **options}
    return create_model(name, num_classes=5, **options)


@pytest.fixture
def images():
    return torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", list_models())
def test_all_trainable_parameters_get_a_gradient(name, images):
    model = small(name, num_cameras=3).train()
    out = model(images, torch.tensor([0, 1, 2, 0]))
    loss = sum(t.square().mean() for t in out.logits) + sum(t.square().mean() for t in out.features)
    loss.backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    ]
    assert without == []


@pytest.mark.parametrize("name", list_models())
def test_shapes(name, images):
    model = small(name)
    out = model(images)
    assert len(out.logits) >= 1
    assert all(t.shape == (4, 5) for t in out.logits)
    assert all(t.ndim == 2 and len(t) == 4 for t in out.features)
    assert model.embed(images).shape == (4, model.embed_dim)


@pytest.mark.parametrize("name", list_models())
def test_batch_of_one_and_determinism_in_eval(name, images):
    model = small(name, drop_path=0.5).eval()
    with torch.no_grad():
        one, again, all_of_them = (
            model.embed(images[:1]),
            model.embed(images[:1]),
            model.embed(images),
        )
    assert torch.equal(one, again)
    torch.testing.assert_close(one, all_of_them[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list_models())
def test_state_dict_round_trip(name, images, tmp_path):
    model, other = (
        small(name),
        create_model(name, num_classes=5, image_size=(64, 32), weights=None, depth=2),
    )
    torch.save(model.state_dict(), tmp_path / "m.pth")
    other.load_state_dict(torch.load(tmp_path / "m.pth", weights_only=True))
    with torch.no_grad():
        assert torch.equal(model.eval().embed(images), other.eval().embed(images))


def test_unknown_names():
    with pytest.raises(
        ValueError, match=r"no model 'vit_basline'.*Known: la_tf_pp, la_transformer, vit_"
    ):
        create_model("vit_basline", num_classes=2)
    with pytest.raises(ValueError, match="planned and not written yet"):
        create_model("tvtr", num_classes=2)
    with pytest.raises(ValueError, match="no preset 'code'"):
        create_model("vit_baseline", num_classes=2, preset="code")


def test_a_model_with_a_backbone_of_registers_and_rotary_positions(images):
    model = small("vit_baseline", backbone="vit_tiny_patch16_dinov3_qkvb")
    assert model.embed(images).shape == (4, 192)


def test_a_backbone_of_the_wrong_kind():
    message = r"vit_baseline reads the tokens of a ViT, such as .*backbone='resnet50' is no such"
    with pytest.raises(ValueError, match=message):
        create_model("vit_baseline", num_classes=2, backbone="resnet50", weights=None)


def test_a_model_that_reads_maps(monkeypatch, images):
    """As TransMatcher will be: the registry gives it a ResNet and refuses a ViT."""
    from reidlab import models

    class Pooled(torch.nn.Module):
        def __init__(self, backbone, num_classes):
            super().__init__()
            self.backbone = backbone

    monkeypatch.setitem(models._MODELS, "pooled", Pooled)
    monkeypatch.setitem(models._PRESETS, "pooled", ())
    monkeypatch.setitem(models._READS, "pooled", ConvBackbone)
    given = {"num_classes": 2, "image_size": (64, 32), "weights": None}
    model = create_model("pooled", backbone="resnet50_ibn_b", depth=3, **given)
    assert model.backbone(images).last.shape == (4, 1024, 4, 2)
    with pytest.raises(ValueError, match=r"reads the maps of a ResNet, such as 'resnet50_ibn_b'"):
        create_model("pooled", **given)


def test_a_backbone_by_its_name():
    vit = create_backbone("vit_tiny_patch16_224", (64, 32), stride=12, num_cameras=2, depth=1)
    assert isinstance(vit, TokenBackbone)
    assert (vit.grid, vit.num_cameras, vit.depth) == ((5, 2), 2, 1)


@pytest.mark.parametrize(
    ("options", "grid"),
    [({}, (2, 1)), ({"stride": 16}, (4, 2)), ({"stride": 16, "depth": 3}, (4, 2))],
)
def test_the_stride_of_a_resnet(options, grid):
    assert create_backbone("resnet50", (64, 32), **options).grid == grid


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 8}, r"stride is 8; expected 32 for resnet50 up to stage 4, or 16"),
        ({"stride": 32, "depth": 3}, r"stride is 32; expected 16 for resnet50 up to stage 3\.$"),
        ({"num_cameras": 3}, "num_cameras is 3 and resnet50 has no tokens"),
    ],
)
def test_options_that_a_resnet_does_not_have(options, message):
    with pytest.raises(ValueError, match=message):
        create_backbone("resnet50", (64, 32), **options)
