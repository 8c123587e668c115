import dataclasses

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from reidlab.models import pretrained
from reidlab.models.pretrained import WeightsError, grid_metadata, load_weights
from reidlab.models.resnet import ConvBackbone
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


@pytest.mark.parametrize("kind", ["resnet", "vit"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {"net": {f"module._orig_mod.{k}": v for k, v in s.items()}, "epoch": 3},
        lambda s: {"state_dict": {f"module.encoder_{n}.{k}": v + (n == "k") for n in "kq"
                                  for k, v in s.items()}},
        lambda s: {"student": {k: v + 1 for k, v in s.items()}, "teacher": s},
        lambda s: {f"base.{k}": v for k, v in s.items()} | {"classifier.weight": torch.zeros(9, 4)},
        lambda s: s | {"classifier.weight": torch.zeros(9, 4), "epoch": 3},
        lambda s: {"model": s | {"decoder_embed.bias": torch.ones(2), "mask_token": torch.ones(2)}},
    ],
)  # fmt: skip
def test_a_backbone_in_what_other_programs_saved(tmp_path, kind, wrap):
    def build(seed):
        torch.manual_seed(seed)
        return tiny(seed=seed) if kind == "vit" else ConvBackbone("resnet50", (64, 32), depth=1)

    trained, backbone = build(3).state_dict(), build(4)
    torch.save(wrap(trained), tmp_path / "net.pth")
    load_weights(backbone, tmp_path / "net.pth")
    assert all(torch.equal(value, trained[key]) for key, value in backbone.state_dict().items())


def test_an_error_says_where_in_the_file(tmp_path, imagenet_like):
    del imagenet_like["norm.weight"]
    torch.save({"model": {f"module.{k}": v for k, v in imagenet_like.items()}}, tmp_path / "v.pth")
    message = r"v\.pth \(model\.module\.\*\) does not fit .* missing keys norm.weight"
    with pytest.raises(WeightsError, match=message):
        load_weights(tiny(), tmp_path / "v.pth")


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
    monkeypatch.setitem(pretrained.SHIPPED, "synth", "not_shipped.safetensors")
    with pytest.raises(WeightsError, match="not in this installation"):
        load_weights(tiny(), "synth")


TAGGED = f"{NAME}.augreg_in21k_ft_in1k"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that has what a test puts there, in place of the network."""
    held = {}

    def download(repo_id, filename, **_):
        save_file(held[repo_id], tmp_path / filename)
        return str(tmp_path / filename)

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", download)
    return held


def whole_vit(seed=1):
    """timm's model as the hub has it, classifier included."""
    torch.manual_seed(seed)
    return timm.create_model(NAME).state_dict()


def test_timm_online(hub):
    hub[f"timm/{TAGGED}"] = state = whole_vit()
    backbone = TokenBackbone(TAGGED, (64, 32), depth=2)
    load_weights(backbone, "timm")
    for key, value in backbone.state_dict().items():
        expected = resize_pos_embed(state[key], (14, 14), (4, 2)) if "pos" in key else state[key]
        assert torch.equal(value, expected), key


def test_a_checkpoint_of_timm_that_lacks_a_key(hub):
    """With another number of classes than the file's, timm would leave that key random."""
    hub[f"timm/{TAGGED}"] = whole_vit()
    del hub[f"timm/{TAGGED}"]["blocks.1.norm1.bias"]
    with pytest.raises(WeightsError, match=r"could not be loaded \(RuntimeError: Error"):
        load_weights(TokenBackbone(TAGGED, (64, 32), depth=2), "timm")


def test_a_resnet_of_timm(hub):
    torch.manual_seed(2)
    hub["timm/resnet50.tv_in1k"] = state = timm.create_model("resnet50").state_dict()
    backbone = ConvBackbone("resnet50.tv_in1k", (64, 32), depth=2)
    load_weights(backbone, "timm")
    assert all(torch.equal(value, state[key]) for key, value in backbone.state_dict().items())


def test_timm_offline(monkeypatch, tmp_path):
    """The real failure of a machine without a network and with an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WeightsError) as raised:
        load_weights(TokenBackbone(TAGGED, (64, 32), depth=1), "timm")
    for part in (
        f"the weights of {TAGGED} could not be loaded (LocalEntryNotFoundError",
        f"get the file model.safetensors of timm/{TAGGED} from the Hugging Face hub",
        f"hf download timm/{TAGGED} model.safetensors",
        "pass weights='path/to/model.safetensors'",
        f"models--timm--{TAGGED}",
        f"{tmp_path / 'cache'} (the environment variable HF_HUB_CACHE",
    ):
        assert part in str(raised.value)


def test_a_checkpoint_that_is_not_on_the_hub():
    config = timm.get_pretrained_cfg(TAGGED)
    config = dataclasses.replace(config, hf_hub_id=None, url="https://example.org/vit.pth")
    assert "get https://example.org/vit.pth, copy it here" in pretrained._how_to_fetch(config)


def test_the_file_that_the_offline_message_names_is_taken(tmp_path):
    save_file(whole_vit(), tmp_path / "model.safetensors")
    backbone = TokenBackbone(TAGGED, (64, 32), depth=2)
    load_weights(backbone, tmp_path / "model.safetensors")
    assert torch.equal(backbone.norm.weight, whole_vit()["norm.weight"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vit_base_patch16_224",
            r"does not say which checkpoint.*timm has "
            r"'vit_base_patch16_224.augreg_in21k_ft_in1k' \(used by la_tf_pp\), "
            r"'vit_base_patch16_224.orig_in21k_ft_in1k' \(used by vit_baseline.*gltrans, tvtr\), "
            r"'vit_base_patch16_224.augreg2_in21k_ft_in1k'",
        ),
        ("vit_tiny_patch16_224", r"timm has 'vit_tiny_patch16_224.augreg_in21k', '.*'\.$"),
        ("vit_tiny_patch16_384", r"timm has 'vit_tiny_patch16_384.augreg_in21k_ft_in1k'\.$"),
        ("vit_small_patch8_224", r"does not say which"),
        ("vit_base_patch32_plus_256", r"timm has no weights of vit_base_patch32_plus_256\.$"),
    ],
)
def test_timm_without_a_tag(name, message):
    with torch.device("meta"):
        backbone = TokenBackbone(name, (64, 32), depth=1)
    with pytest.raises(WeightsError, match=message):
        load_weights(backbone, "timm")


def test_timm_has_no_instance_norms():
    with torch.device("meta"):
        backbone = ConvBackbone("resnet50_ibn_b", (64, 32), depth=1)
    message = r"timm has no resnet50_ibn_b. Get resnet50_ibn_b-9ca61e85.pth.*IBN-Net"
    with pytest.raises(WeightsError, match=message):
        load_weights(backbone, "timm")
    with pytest.raises(WeightsError, match="the backbone is resnet50_ibn_b"):
        load_weights(backbone, "synth")


@pytest.mark.parametrize(
    "name", ["vit_small_patch14_reg4_dinov2", "vit_tiny_patch16_dinov3_qkvb", NAME]
)
def test_a_saved_backbone_is_read_again_on_another_grid(tmp_path, name):
    torch.manual_seed(0)
    patch = 14 if "patch14" in name else 16
    saved = TokenBackbone(name, (6 * patch, 4 * patch), depth=1)
    path = tmp_path / "saved.safetensors"
    save_file(saved.state_dict(), path, metadata=grid_metadata(saved))
    read = TokenBackbone(name, (4 * patch, 2 * patch), depth=1)
    load_weights(read, path)
    for key, value in read.state_dict().items():
        expected = saved.state_dict()[key]
        if key == "pos_embed":
            prefix = saved.prefix_positions
            expected = resize_pos_embed(expected, (6, 4), (4, 2), prefix=prefix)
            assert expected.shape[1] == prefix + 8
        assert torch.equal(value, expected), key


def test_positions_of_another_kind_of_vit(tmp_path):
    saved, path = tiny((96, 64)), tmp_path / "saved.safetensors"
    save_file(saved.state_dict(), path, metadata={**grid_metadata(saved), "prefix_positions": "0"})
    message = r"holds positions of 0 tokens before the patches, and vit_tiny_patch16_224 has 1"
    with pytest.raises(WeightsError, match=message):
        load_weights(tiny(), path)


def test_a_grid_that_is_not_what_the_file_says(tmp_path):
    saved, path = tiny((96, 64)), tmp_path / "saved.safetensors"
    save_file(saved.state_dict(), path, metadata={**grid_metadata(saved), "image_size": "64,64"})
    with pytest.raises(WeightsError, match="says its grid is 4x4 but holds positions for 24"):
        load_weights(tiny(), path)


def test_a_square_number_of_patches_that_is_also_our_grid(tmp_path):
    """16 positions: 4x4 of somebody's square images, or 8x2 of ours? Nothing in the file says."""
    path = tmp_path / "vit.pth"
    torch.save(tiny((128, 32)).state_dict(), path)
    with pytest.raises(WeightsError, match="which is a 4x4 square or the 8x2 grid"):
        load_weights(tiny((128, 32)), path)


def positions_of(grid, **options):
    """A backbone whose images have that grid, and a file of it that does not say so."""
    return tiny((16 * grid[0], 16 * grid[1]), seed=3, **options)


@pytest.mark.parametrize("grid", [(16, 4), (18, 8), (9, 4), (24, 6)])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_square_number_of_tall_positions(tmp_path, grid, suffix):
    tall, path = positions_of(grid), tmp_path / f"tall{suffix}"
    state = tall.state_dict()
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    side = round((grid[0] * grid[1]) ** 0.5)
    for options, taken in (({}, (side, side)), ({"grid": grid}, grid)):
        backbone = tiny()
        if options:
            load_weights(backbone, path, **options)
        else:
            with pytest.warns(UserWarning, match=rf"does not say on .* {side}x{side} is taken"):
                load_weights(backbone, path)
        expected = resize_pos_embed(tall.pos_embed, taken, (4, 2))
        assert torch.equal(backbone.pos_embed, expected)
    kept = positions_of(grid)  # as an own grid of the same number it could be either
    with pytest.raises(WeightsError, match=r"a \d+x\d+ square or .*Pass the rows and columns"):
        load_weights(kept, path)
    load_weights(kept, path, grid=grid)
    assert torch.equal(kept.pos_embed, tall.pos_embed)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("grid", [(14, 14), (4, 2), (8, 4)])
def test_no_warning_where_there_is_one_choice(tmp_path, grid):
    """The grid of the backbone's name, its own, and one that is passed."""
    torch.save(positions_of(grid).state_dict(), tmp_path / "vit.pth")
    load_weights(tiny(), tmp_path / "vit.pth", grid=grid if grid == (8, 4) else None)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ((16, 5), r"holds positions for 64 patches, and grid=16x5 has 80\. Pass rows and col"),
        ((4, 4), r"and grid=4x4 has 16"),
    ],
)
def test_a_grid_of_another_number(tmp_path, grid, message):
    torch.save(positions_of((16, 4)).state_dict(), tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match=message):
        load_weights(tiny(), tmp_path / "vit.pth", grid=grid)


def test_a_grid_that_has_no_place(tmp_path):
    saved, path = tiny((96, 64)), tmp_path / "saved.safetensors"
    save_file(saved.state_dict(), path, metadata=grid_metadata(saved))
    with pytest.raises(WeightsError, match=r"says its grid is 6x4, and grid=8x3 was passed"):
        load_weights(tiny(), path, grid=(8, 3))
    load_weights(tiny(), path, grid=(6, 4))
    resnet = ConvBackbone("resnet50", (64, 32), depth=1)
    torch.save(resnet.state_dict(), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="holds no learned positions"):
        load_weights(resnet, tmp_path / "net.pth", grid=(4, 2))


def test_positions_of_patches_that_overlap(tmp_path):
    """TransReID's stride of 12: 21 x 10 at 256 x 128, which no file says."""
    trained = tiny((256, 128), seed=3, stride=12)
    assert trained.grid == (21, 10)
    torch.save(trained.state_dict(), tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match=r"for 210 patches, which is neither a square nor"):
        load_weights(tiny(), tmp_path / "vit.pth")
    backbone = tiny()
    load_weights(backbone, tmp_path / "vit.pth", grid=(21, 10))
    assert torch.equal(backbone.pos_embed, resize_pos_embed(trained.pos_embed, (21, 10), (4, 2)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(dist_token=torch.zeros(1, 1, 192)), "unknown keys dist_token"),
        (lambda s: s.update(reg_token=torch.zeros(1, 4, 192)), "unknown keys reg_token"),
        (lambda s: s.update({"patch_embed.proj.weight": torch.zeros(192, 1, 16, 16)}), "channels"),
        (lambda s: s.update({"patch_embed.proj.weight": torch.zeros(192, 3, 8, 8)}), "of patches"),
        (lambda s: s.update(pos_embed=torch.zeros(65, 192)), r"pos_embed \(65, 192\) instead"),
        (lambda s: s.update(pos_embed=torch.zeros(1, 65, 384)), r"pos_embed \(1, 65, 384\) inst"),
        (lambda s: s.update(pos_embed=torch.zeros(1, 64, 192)), "for 63 patches, which is neither"),
    ],
)
def test_what_else_keeps_positions_from_fitting(tmp_path, change, message):
    state = positions_of((8, 8)).state_dict()
    change(state)
    torch.save(state, tmp_path / "vit.pth")
    with pytest.raises(WeightsError, match=message):
        load_weights(tiny(), tmp_path / "vit.pth")


def test_a_file_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(tiny(seed=3).state_dict(), tmp_path / "vit.pth")
    backbone = tiny()
    load_weights(backbone, "~/vit.pth")
    assert torch.equal(backbone.cls_token, tiny(seed=3).cls_token)
