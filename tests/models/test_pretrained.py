import pytest
import timm
import torch
from safetensors.torch import save_file

from reidlab.models import pretrained
from reidlab.models.pretrained import WeightsError, grid_metadata, load_weights
from reidlab.models.vit import TokenBackbone, resize_pos_embed

NAME = "vit_tiny_patch16_224"


def tiny(image_size=(64, 32), seed=0, **options):
    torch.manual_seed(seed)
    return TokenBackbone(NAME, image_size, **{"depth": 2, **options})


@pytest.fixture
def imagenet_like():
    """A whole timm ViT of two blocks at 224x224, classifier included."""
    torch.manual_seed(1)
    return timm.create_model(NAME, num_classes=10, depth=2).state_dict()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_timm_file_fills_the_backbone(tmp_path, imagenet_like, suffix):
    path = tmp_path / f"vit{suffix}"
    torch.save(imagenet_like, path) if suffix == ".pth" else save_file(imagenet_like, path)
    backbone = tiny()
    load_weights(backbone, path)
    for key, value in backbone.state_dict().items():
        expected = imagenet_like[key]
        if key == "pos_embed":
            expected = resize_pos_embed(expected, (14, 14), (4, 2))
        assert torch.equal(value, expected), key


def test_metadata_says_the_grid(tmp_path):
    small, path = tiny((96, 64), seed=3), tmp_path / "small.safetensors"  # 6 x 4 patches, no square
    save_file(small.state_dict(), path, metadata=grid_metadata(small))
    backbone = tiny()
    load_weights(backbone, path)
    assert torch.equal(backbone.pos_embed, resize_pos_embed(small.pos_embed, (6, 4), (4, 2)))


def test_a_grid_nobody_can_guess(tmp_path):
    path = tmp_path / "small.safetensors"
    save_file(tiny((96, 64)).state_dict(), path)
    with pytest.raises(WeightsError, match="neither a square nor the 4x2 grid"):
        load_weights(tiny(), path)


def test_half_precision_becomes_float(tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({k: v.half() for k, v in tiny(seed=5).state_dict().items()}, path)
    backbone = tiny()
    load_weights(backbone, path)
    assert all(p.dtype == torch.float32 for p in backbone.parameters())
    torch.testing.assert_close(backbone.cls_token, tiny(seed=5).cls_token, rtol=1e-3, atol=1e-6)


def test_backbone_of_a_whole_model_of_ours(tmp_path):
    trained = tiny(seed=7, num_cameras=2)
    state = {f"backbone.{k}": v for k, v in trained.state_dict().items()}
    save_file({**state, "neck.classifier.weight": torch.zeros(3, 192)}, tmp_path / "m.safetensors")
    backbone = tiny(num_cameras=2)
    load_weights(backbone, tmp_path / "m.safetensors")
    assert torch.equal(backbone.sie_embed, trained.sie_embed)


def test_camera_table_may_be_new(tmp_path, imagenet_like):
    torch.save(imagenet_like, tmp_path / "vit.pth")
    backbone = tiny(num_cameras=2)
    before = backbone.sie_embed.clone()
    load_weights(backbone, tmp_path / "vit.pth")
    assert torch.equal(backbone.sie_embed, before)


def test_a_shorter_backbone_takes_the_first_blocks(tmp_path, imagenet_like):
    torch.save(imagenet_like, tmp_path / "vit.pth")
    backbone = tiny(depth=1)
    load_weights(backbone, tmp_path / "vit.pth")
    assert torch.equal(backbone.blocks[0].mlp.fc1.weight, imagenet_like["blocks.0.mlp.fc1.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.1.norm1.bias"), "missing keys blocks.1.norm1.bias"),
        (lambda s: s.update(surprise=torch.zeros(1)), "unknown keys surprise"),
        (lambda s: s.update(cls_token=torch.zeros(1, 1, 7)), r"cls_token \(1, 1, 7\) instead of"),
        (lambda s: s.update(epoch=3), "holds no state dict"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, imagenet_like, change, message):
    change(imagenet_like)
    torch.save(imagenet_like, tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match=message):
        load_weights(tiny(), tmp_path / "vit.pth")


def test_nothing_is_loaded_from_a_file_that_does_not_fit(tmp_path, imagenet_like):
    imagenet_like.pop("blocks.1.norm1.bias")
    torch.save(imagenet_like, tmp_path / "vit.pth")
    backbone = tiny()
    with pytest.raises(WeightsError):
        load_weights(backbone, tmp_path / "vit.pth")
    assert all(
        torch.equal(a, b) for a, b in zip(backbone.parameters(), tiny().parameters(), strict=True)
    )


def test_no_such_file(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(tiny(), tmp_path / "nothing.pth")


def test_synth_is_for_vit_tiny_only():
    with torch.device("meta"):
        backbone = TokenBackbone("vit_base_patch16_224", (64, 32), depth=1)
    with pytest.raises(WeightsError, match="exist for vit_tiny_patch16_224 only"):
        load_weights(backbone, "synth")


def test_synth_file_absent(monkeypatch):
    monkeypatch.setattr(pretrained, "SYNTH_FILE", "not_shipped.safetensors")
    with pytest.raises(WeightsError, match="not in this installation"):
        load_weights(tiny(), "synth")


def test_timm_offline(monkeypatch):
    def offline(*_, **__):
        raise FileNotFoundError("no connection")

    backbone = tiny()
    monkeypatch.setattr(pretrained.timm, "create_model", offline)
    with pytest.raises(
        WeightsError, match=r"model.safetensors of timm/vit_tiny_patch16_224.augreg"
    ):
        load_weights(backbone, "timm")


def test_timm_online(monkeypatch, imagenet_like):
    whole = timm.create_model(NAME, num_classes=0, depth=2)
    whole.load_state_dict({k: v for k, v in imagenet_like.items() if not k.startswith("head.")})
    backbone = tiny()
    monkeypatch.setattr(pretrained.timm, "create_model", lambda *_, **__: whole)
    load_weights(backbone, "timm")
    assert torch.equal(
        backbone.pos_embed, resize_pos_embed(imagenet_like["pos_embed"], (14, 14), (4, 2))
    )
