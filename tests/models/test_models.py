"""What every model must do, whatever its paper; a new one joins as soon as it is registered."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from reidlab.models import (
    Authors,
    ConvBackbone,
    Model,
    Outputs,
    TokenBackbone,
    WeightsError,
    create_backbone,
    create_model,
    list_models,
    load_authors_checkpoint,
    register,
    unregister,
)
from reidlab.models.registry import get_model

FEW = {"tvtr": {"switches": {"k": 3}}}  # of the 8 patches here
READ = {TokenBackbone: "vit_tiny_patch16_224", ConvBackbone: "resnet50_ibn_b"}


def kinds(name):
    """The kinds of backbone that a model reads."""
    reads = get_model(name).reads
    return reads if isinstance(reads, tuple) else (reads,)


VARIANTS = [(name, preset) for name in list_models() for preset in [None, *get_model(name).presets]]
every_model = pytest.mark.parametrize("name", list_models())
every_variant = pytest.mark.parametrize(("name", "preset"), VARIANTS)


def small(name, **options):
    torch.manual_seed(0)
    options = {"image_size": (64, 32), "weights": None, "depth": 3, **FEW.get(name, {}), **options}
    options = {"backbone": READ[kinds(name)[-1]], **options}
    return create_model(name, num_classes=5, **options)


@pytest.fixture
def images():
    return torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(1))


@every_variant
def test_all_trainable_parameters_get_a_gradient(name, preset, images):
    cameras = 3 if kinds(name)[-1] is TokenBackbone else 0
    model = small(name, preset=preset, num_cameras=cameras).train()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):  # branches of a ResNet start from nothing
            nn.init.ones_(part.weight)
    out = model(images, torch.tensor([0, 1, 2, 0]))
    loss = sum(t.square().mean() for t in (*out.logits, *out.features))
    if out.scores is not None:  # after a batch norm, whose sum and sum of squares never change
        loss = (out.scores * torch.randn(4, 4, generator=torch.Generator().manual_seed(2))).sum()
    loss.backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad
        and (p.grad is None or not p.grad.abs().sum() > 0)
        and not name.endswith("fc3.bias")  # a batch norm follows: nothing but rounding
    ]
    assert without == []


@every_variant
def test_shapes(name, preset, images):
    model = small(name, preset=preset)
    out = model(images)
    if out.scores is not None:
        assert (out.logits, out.features, out.scores.shape) == ((), (), (4, 4))
        emb = model.embed(images)
        assert emb.flatten(1).shape == (4, model.embed_dim)
        assert model.eval().match(emb[:3], emb).shape == (3, 4)
        return
    assert len(out.logits) >= 1
    assert all(t.shape == (4, 5) for t in out.logits)
    assert all(t.ndim == 2 and len(t) == 4 for t in out.features)
    assert model.embed(images).shape == (4, model.embed_dim)


@every_variant
def test_batch_of_one_and_determinism_in_eval(name, preset, images):
    model = small(name, preset=preset, drop_path=0.5).eval()
    with torch.no_grad():
        one, again, all_of_them = (
            model.embed(images[:1]),
            model.embed(images[:1]),
            model.embed(images),
        )
    assert torch.equal(one, again)
    torch.testing.assert_close(one, all_of_them[:1], rtol=1e-4, atol=1e-5)


@every_model
def test_state_dict_round_trip(name, images, tmp_path):
    model, other = small(name), small(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    torch.save(model.state_dict(), tmp_path / "m.pth")
    other.load_state_dict(torch.load(tmp_path / "m.pth", weights_only=True))
    with torch.no_grad():
        assert torch.equal(model.eval().embed(images), other.eval().embed(images))


@every_model
def test_a_preset_or_a_switch_that_a_model_does_not_have(name):
    with pytest.raises(ValueError, match=f"{name} has no preset 'authors'; it has "):
        small(name, preset="authors")
    with pytest.raises(ValueError, match=f"{name} has no (switches; got|setting 'alpha')"):
        small(name, switches={"alpha": 1.0})


@pytest.mark.parametrize("name", [name for name in list_models() if len(kinds(name)) == 1])
def test_the_kind_of_backbone_that_a_model_does_not_read(name):
    (other,) = set(READ) - set(kinds(name))
    with pytest.raises(ValueError, match=f"{name} reads the .*; backbone='{READ[other]}' is no "):
        small(name, backbone=READ[other])


def test_unknown_names():
    with pytest.raises(
        ValueError, match=r"no model 'vit_basline'.*Known: agw, gltrans, la_tf_pp, la_transformer, "
    ):
        create_model("vit_basline", num_classes=2)


def test_a_model_with_a_backbone_of_registers_and_rotary_positions(images):
    model = small("vit_baseline", backbone="vit_tiny_patch16_dinov3_qkvb")
    assert model.embed(images).shape == (4, 192)


@dataclass(frozen=True)
class Pooling:
    largest: bool = False


class Pooled(nn.Module):
    """As TransMatcher will be, the smallest model that reads maps."""

    def __init__(self, backbone, num_classes, switches):
        super().__init__()
        self.backbone, self.switches = backbone, switches
        self.embed_dim = backbone.embed_dim
        self.classifier = nn.Linear(backbone.embed_dim, num_classes)

    def forward(self, images, camids=None):
        feature = self.embed(images, camids)
        return Outputs(logits=(self.classifier(feature),), features=(feature,))

    def embed(self, images, camids=None):
        maps = self.backbone(images).last
        return maps.amax((2, 3)) if self.switches.largest else maps.mean((2, 3))


@pytest.fixture
def pooled():
    """A model registered from outside the library, and forgotten again."""
    register(
        Model(
            name="pooled",
            build=Pooled,
            reads=ConvBackbone,
            presets={"mean": Pooling(), "largest": Pooling(largest=True)},
            authors=Authors(
                rename=lambda key: {"fc.weight": "classifier.weight"}.get(key, key), entries=321
            ),
        )
    )
    yield {"num_classes": 5, "image_size": (64, 32), "weights": None, "depth": 2}
    unregister("pooled")


def test_a_model_from_outside(pooled, images):
    assert "pooled" in list_models()
    model = create_model("pooled", backbone="resnet50_ibn_b", **pooled)
    assert model.switches == Pooling(largest=False)  # the first preset
    assert model(images).logits[0].shape == (4, 5)
    assert model.embed(images).shape == (4, 512)
    model = create_model("pooled", backbone="resnet50", preset="largest", **pooled)
    assert model.switches == Pooling(largest=True)
    model = create_model("pooled", backbone="resnet50", switches={"largest": True}, **pooled)
    assert model.switches == Pooling(largest=True)
    message = r"pooled reads the maps of a ResNet, such as 'resnet50_ibn_b'; backbone='vit_tiny"
    with pytest.raises(ValueError, match=message):
        create_model("pooled", **pooled)


def test_the_authors_file_of_a_model_from_outside(pooled):
    model = create_model("pooled", backbone="resnet50", **pooled)
    state = {key: torch.rand_like(value.float()) for key, value in model.state_dict().items()}
    theirs = {key.replace("classifier.weight", "fc.weight"): v for key, v in state.items()}
    assert load_authors_checkpoint(model, theirs) is model
    assert torch.equal(model.classifier.weight, theirs["fc.weight"])
    theirs["fc.scale"] = theirs.pop("fc.weight")
    message = (
        r"^the state dict does not fit this Pooled: unknown keys fc.scale; missing keys "
        r"classifier.weight; other sizes none\. .*resnet50 for images of 64x32 \(321 entries"
    )
    with pytest.raises(WeightsError, match=message):
        load_authors_checkpoint(model, theirs)


def test_names_are_taken_once_and_can_be_given_back(pooled):
    with pytest.raises(ValueError, match=r"'pooled' is taken by Pooled; .*unregister\('pooled'\)"):
        register(Model(name="pooled", build=Pooled))
    unregister("pooled")
    assert "pooled" not in list_models()
    for forgotten in (lambda: create_model("pooled", **pooled), lambda: unregister("pooled")):
        with pytest.raises(ValueError, match="there is no model 'pooled'"):
            forgotten()
    register(Model(name="pooled", build=Pooled))  # so that the fixture has something to forget


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
