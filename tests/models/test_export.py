import errno
import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from reidlab.models import TokenBackbone, WeightsError, export_timm, load_weights
from reidlab.models.pretrained import grid_metadata

NAME = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return export_timm(tmp_path_factory.mktemp("weights") / "people.safetensors")


def loaded_by(path, way, **options):
    """timm's model, strictly filled in each of the ways its users know."""
    if way == "checkpoint_path":
        return timm.create_model(NAME, num_classes=0, checkpoint_path=str(path), **options)
    if way == "overlay":
        overlay = {"file": str(path), "num_classes": 0}  # the same number: timm stays strict
        return timm.create_model(
            NAME, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **options
        )
    model = timm.create_model(NAME, num_classes=0, **options)
    model.load_state_dict(load_file(path))
    return model


@pytest.mark.parametrize("way", ["checkpoint_path", "overlay", "state dict"])
def test_timm_gives_the_features_of_our_backbone(shipped, way):
    ours = TokenBackbone(NAME, (224, 224)).eval()
    load_weights(ours, "synth")
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        tokens = ours(images)
        expected = loaded_by(shipped, way).eval().forward_features(images)
    assert torch.equal(tokens.cls, expected[:, 0])
    assert torch.equal(tokens.patches, expected[:, 1:])


def test_the_file(shipped):
    state = load_file(shipped)
    names = timm.create_model(NAME, num_classes=0).state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in names.items()}
    assert {v.dtype for v in state.values()} == {torch.float32}
    with safe_open(shipped, framework="pt") as file:
        assert file.metadata()["format"] == "pt"
        assert file.metadata()["image_size"] == "224,224"
    assert [p.name for p in shipped.parent.iterdir()] == [shipped.name]


def test_back_again(shipped, tmp_path):
    """From 12x6 to 14x14 and to 12x6: positions a little smoother, all else the same bits."""
    ours, again = TokenBackbone(NAME, (192, 96)), TokenBackbone(NAME, (192, 96))
    load_weights(ours, "synth")
    load_weights(again, shipped)
    for key, value in ours.state_dict().items():
        if key != "pos_embed":
            assert torch.equal(again.state_dict()[key], value), key
    same = torch.nn.functional.cosine_similarity(ours.pos_embed[0], again.pos_embed[0])
    assert same.min() > 0.9


def test_other_weights_of_another_size(tmp_path):
    torch.manual_seed(0)
    run = TokenBackbone("test_vit", (64, 32))
    state = {f"backbone.{k}": v for k, v in run.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors", metadata=grid_metadata(run))
    out = export_timm(
        tmp_path / "new" / "vit.safetensors",
        weights=tmp_path / "model.safetensors",
        backbone="test_vit",
        image_size=(64, 32),
    )
    vit = timm.create_model("test_vit", num_classes=0, img_size=(64, 32), checkpoint_path=str(out))
    images = torch.randn(1, 3, 64, 32)
    with torch.no_grad():
        assert torch.equal(vit.eval()(images), run.eval()(images).cls)


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"vit.pth is to be a .safetensors file"):
        export_timm(tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match="exist for vit_tiny_patch16_224 only"):
        export_timm(tmp_path / "vit.safetensors", backbone="test_vit", image_size=(32, 32))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(path, content):
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"vit\.safetensors cannot be written: No space left"):
        export_timm(tmp_path / "vit.safetensors")
    assert list(tmp_path.iterdir()) == []
