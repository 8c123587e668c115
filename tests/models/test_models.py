"""What every model must do; a new model joins by its name in `list_models()`."""

import pytest
import torch

from reidlab.models import create_model, list_models


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
    with pytest.raises(ValueError, match=r"no model 'vit_basline'.*Known: vit_baseline"):
        create_model("vit_basline", num_classes=2)
    with pytest.raises(ValueError, match="planned and not written yet"):
        create_model("tvtr", num_classes=2)
    with pytest.raises(ValueError, match="no preset 'code'"):
        create_model("vit_baseline", num_classes=2, preset="code")
