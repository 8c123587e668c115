import pytest
import torch

from reidlab.models import TokenBackbone, ViTBaseline


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ViTBaseline(TokenBackbone("vit_tiny_patch16_224", (64, 32), depth=2), num_classes=5)


def test_bias_of_the_neck_is_frozen_at_zero_and_the_classifier_has_none(model):
    assert not model.neck.norm.bias.requires_grad
    assert torch.equal(model.neck.norm.bias, torch.zeros(192))
    assert model.neck.classifier.bias is None
    assert model.neck.classifier.weight.std().item() == pytest.approx(0.001, rel=0.1)


def test_logits_by_hand(model):
    images = torch.randn(6, 3, 64, 32)
    out = model.train()(images)
    (feature,) = out.features
    mean, var = feature.mean(0), feature.var(0, unbiased=False)
    expected = (feature - mean) / (var + 1e-5).sqrt() @ model.neck.classifier.weight.T
    torch.testing.assert_close(out.logits[0], expected, rtol=1e-3, atol=1e-5)


def test_retrieval_feature_is_the_class_token_before_the_neck(model):
    images = torch.randn(2, 3, 64, 32)
    model.eval()
    with torch.no_grad():
        expected = model.backbone(images).cls
        assert torch.equal(model.embed(images), expected)
        model.neck.norm.running_mean.fill_(3.0)  # the neck plays no part in retrieval
        assert torch.equal(model.embed(images), expected)


def test_no_identity_to_learn():
    with pytest.raises(ValueError, match="num_classes is 0"):
        ViTBaseline(TokenBackbone("vit_tiny_patch16_224", (64, 32), depth=1), num_classes=0)
