import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from reidlab.models.vit import TokenBackbone, patch_grid, resize_pos_embed


def tiny(**options):
    torch.manual_seed(0)
    return TokenBackbone("vit_tiny_patch16_224", (64, 32), depth=2, **options)


def test_tokens_equal_timms_own_forward():
    backbone = TokenBackbone("vit_tiny_patch16_224", (224, 224), depth=3).eval()
    reference = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=3).eval()
    reference.load_state_dict(backbone.state_dict())  # strict: the names are timm's
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        tokens = backbone(images, layers=(1, 3))
        expected = reference.forward_features(images)
        raw = reference.forward_intermediates(
            images, indices=[0, 2], output_fmt="NLC", return_prefix_tokens=True, norm=False
        )[1]
    assert torch.equal(tokens.cls, expected[:, 0])
    assert torch.equal(tokens.patches, expected[:, 1:])
    for layer, (patches, prefix) in zip((1, 3), raw, strict=True):
        assert torch.equal(tokens.layers[layer], torch.cat([prefix, patches], dim=1))


# class token alone; with registers; patches of 14 and of 32; LayerScale; a norm before the blocks;
# positions for patches only; rotary positions; rotary and learned ones
KINDS = {
    "deit_tiny_patch16_224": (1, 1),  # tokens before the patches, positions before theirs
    "vit_small_patch14_dinov2": (1, 1),
    "vit_small_patch14_reg4_dinov2": (5, 0),
    "deit3_small_patch16_224": (1, 0),
    "vit_base_patch32_clip_224": (1, 1),
    "vit_tiny_patch16_dinov3_qkvb": (5, 0),
    "vit_small_patch16_dinov3": (5, 0),
    "vit_pe_core_tiny_patch16_384": (1, 1),
    "test_vit": (1, 1),  # takes images of any size if it is let
}


@pytest.mark.parametrize("grid", [(4, 4), (5, 3)])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_vit_equals_timms_own_forward(name, grid):
    torch.manual_seed(0)
    size = tuple(side * int(name.split("patch")[1][:2] if "patch" in name else 16) for side in grid)
    backbone = TokenBackbone(name, size, depth=2).eval()
    with torch.no_grad():  # away from LayerScale's 0.00001 and registers of nearly 0
        for parameter in backbone.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    reference = timm.create_model(name, num_classes=0, img_size=size, depth=2).eval()
    heads = {key for key in reference.state_dict() if key.startswith("attn_pool.")}
    loaded = reference.load_state_dict(backbone.state_dict(), strict=False)
    assert (set(loaded.missing_keys), loaded.unexpected_keys) == (heads, [])
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        tokens = backbone(images, layers=(1, 2))
        expected = reference.forward_features(images)
        raw = reference.forward_intermediates(
            images, indices=[0, 1], output_fmt="NLC", return_prefix_tokens=True, norm=False
        )[1]
    prefix = backbone.num_prefix_tokens
    assert (prefix, backbone.prefix_positions) == KINDS[name]
    torch.testing.assert_close(tokens.cls, expected[:, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(tokens.patches, expected[:, prefix:], rtol=0, atol=1e-5)
    for layer, (patches, before) in zip((1, 2), raw, strict=True):
        whole = torch.cat([before, patches], dim=1)
        torch.testing.assert_close(tokens.layers[layer], whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "stride"),
    [
        ("vit_tiny_patch16_224", (256, 128), 12),
        ("vit_tiny_patch16_224", (100, 50), 10),
        ("vit_small_patch14_dinov2", (126, 70), 10),
        ("vit_tiny_patch16_dinov3_qkvb", (70, 40), 12),
    ],
)
def test_overlap_is_timms_network_on_the_patches_cut_out_and_laid_side_by_side(name, size, stride):
    """Overlapping patches laid out as an image without overlap are the same patches to timm."""
    torch.manual_seed(0)
    backbone = TokenBackbone(name, size, stride=stride, depth=1).eval()
    rows, columns = backbone.grid
    patch = backbone.patch_size
    images = torch.randn(1, 3, *size)
    laid_out = torch.empty(1, 3, rows * patch, columns * patch)
    for r in range(rows):
        for c in range(columns):
            laid_out[..., r * patch : (r + 1) * patch, c * patch : (c + 1) * patch] = images[
                ..., r * stride : r * stride + patch, c * stride : c * stride + patch
            ]
    reference = timm.create_model(name, num_classes=0, img_size=laid_out.shape[2:], depth=1).eval()
    reference.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        tokens, expected = backbone(images), reference.forward_features(laid_out)
    torch.testing.assert_close(tokens.cls, expected[:, 0], rtol=0, atol=1e-5)
    whole = expected[:, backbone.num_prefix_tokens :]
    torch.testing.assert_close(tokens.patches, whole, rtol=0, atol=1e-5)


def test_all_parameters_of_a_rotary_backbone_with_registers_get_a_gradient():
    backbone = TokenBackbone("vit_tiny_patch16_dinov3_qkvb", (64, 32), depth=2, num_cameras=2)
    tokens = backbone(torch.randn(2, 3, 64, 32), torch.tensor([0, 1]))
    (tokens.cls.square().sum() + tokens.patches.square().sum()).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_camera_moves_class_token_registers_and_patches():
    backbone = TokenBackbone("vit_small_patch14_reg4_dinov2", (56, 28), depth=1, num_cameras=2)
    backbone.blocks = nn.Sequential(nn.Identity())
    images = torch.randn(2, 3, 56, 28)[:1].expand(2, -1, -1, -1)
    one, other = backbone(images, torch.tensor([0, 1]), layers=(1,)).layers[1]
    expected = 3.0 * (backbone.sie_embed[0] - backbone.sie_embed[1])
    torch.testing.assert_close(one - other, expected.expand(5 + 8, -1), rtol=1e-4, atol=1e-5)


def test_grid_of_overlapping_patches_in_the_paper():
    assert patch_grid((256, 128), 16, 12) == (21, 10)  # TransReID*: 210 patches
    assert patch_grid((384, 128), 16, 12) == (31, 10)
    assert patch_grid((256, 128), 16, 16) == (16, 8)
    backbone = TokenBackbone("vit_tiny_patch16_224", (256, 128), stride=12, depth=1).eval()
    assert backbone.grid == (21, 10)
    assert backbone(torch.zeros(1, 3, 256, 128)).patches.shape == (1, 210, 192)


def test_overlapping_patch_tokens_are_patches_at_every_stride():
    backbone = tiny(stride=12)
    images = torch.randn(1, 3, 64, 32)
    tokens = backbone.patch_embed(images)[0]  # (h*w, D)
    proj = backbone.patch_embed.proj
    for row in range(backbone.grid[0]):
        for column in range(backbone.grid[1]):
            patch = images[0, :, 12 * row : 12 * row + 16, 12 * column : 12 * column + 16]
            by_hand = proj.weight.flatten(1) @ patch.flatten() + proj.bias
            index = row * backbone.grid[1] + column
            torch.testing.assert_close(tokens[index], by_hand, rtol=1e-4, atol=1e-5)


def test_an_image_size_that_is_no_multiple_of_the_patch():
    backbone = TokenBackbone("vit_tiny_patch16_224", (70, 40), depth=1)
    assert backbone.grid == (4, 2)
    assert backbone(torch.zeros(1, 3, 70, 40)).patches.shape == (1, 8, 192)


def test_parameter_count_of_vit_b_at_stride_12():
    with torch.device("meta"):
        backbone = TokenBackbone("vit_base_patch16_224", (256, 128), stride=12)
    assert sum(p.numel() for p in backbone.parameters()) == 85_809_408


def test_positions_resized_as_interpolate_does():
    pos = torch.randn(1, 1 + 6, 5)
    new = resize_pos_embed(pos, (3, 2), (4, 6))
    image = pos[0, 1:].T.reshape(1, 5, 3, 2)
    expected = F.interpolate(image, size=(4, 6), mode="bilinear", align_corners=False)
    assert torch.equal(new[:, 0], pos[:, 0])
    for row in range(4):
        for column in range(6):
            assert torch.equal(new[0, 1 + row * 6 + column], expected[0, :, row, column])


def test_positions_on_paper():
    pos = torch.tensor([9.0, 0.0, 4.0]).reshape(1, 3, 1)  # class position 9, a column of 0 and 4
    new = resize_pos_embed(pos, (2, 1), (4, 1))
    assert new.flatten().tolist() == [9.0, 0.0, 1.0, 3.0, 4.0]


@pytest.mark.parametrize("prefix", [0, 5])
def test_positions_of_other_prefixes(prefix):
    pos = torch.randn(1, prefix + 6, 5)
    new = resize_pos_embed(pos, (3, 2), (4, 6), prefix=prefix)
    plain = resize_pos_embed(torch.cat([pos[:, :1], pos[:, prefix:]], dim=1), (3, 2), (4, 6))
    assert new.shape == (1, prefix + 24, 5)
    assert torch.equal(new[:, :prefix], pos[:, :prefix])
    assert torch.equal(new[:, prefix:], plain[:, 1:])


def test_camera_vector_is_added_three_times_to_every_token():
    backbone = tiny(num_cameras=3).eval()
    backbone.blocks, backbone.norm = nn.Sequential(nn.Identity()), nn.Identity()
    images, camids = torch.randn(3, 3, 64, 32), torch.tensor([2, 0, 2])
    with_cameras = backbone(images, camids)
    table = backbone.sie_embed
    backbone.sie_embed = None
    without = backbone(images)
    for i, camera in enumerate(camids):
        torch.testing.assert_close(with_cameras.cls[i] - without.cls[i], 3.0 * table[camera, 0])
        difference = with_cameras.patches[i] - without.patches[i]
        torch.testing.assert_close(difference, (3.0 * table[camera]).expand_as(difference))


def test_one_camera_is_a_table_too():
    backbone = tiny(num_cameras=1)
    assert backbone.sie_embed.shape == (1, 1, 192)
    backbone(torch.zeros(2, 3, 64, 32), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize("camids", [[0, 3], [-1, 0]])
def test_unseen_camera_is_an_error(camids):
    with pytest.raises(ValueError, match="learned cameras 0 to 2"):
        tiny(num_cameras=3)(torch.zeros(2, 3, 64, 32), torch.tensor(camids))


def test_cameras_forgotten():
    with pytest.raises(ValueError, match="needs `camids`"):
        tiny(num_cameras=3)(torch.zeros(2, 3, 64, 32))


def test_cameras_ignored_without_a_table():
    images = torch.randn(1, 3, 64, 32)
    backbone = tiny().eval()
    assert torch.equal(backbone(images).cls, backbone(images, torch.tensor([77])).cls)


def test_layer_norm_is_1e_6():
    assert {m.eps for m in tiny().modules() if isinstance(m, nn.LayerNorm)} == {1e-6}


def test_stochastic_depth_grows_linearly():
    with torch.device("meta"):
        backbone = TokenBackbone("vit_base_patch16_224", (256, 128), drop_path=0.1)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in backbone.blocks]
    assert rates == pytest.approx([0.1 * i / 11 for i in range(12)])


def test_layers_before_the_last_reach_the_gradient():
    backbone = tiny()
    tokens = backbone(torch.randn(1, 3, 64, 32), layers=(1,))
    (gradient,) = torch.autograd.grad(tokens.cls.square().sum(), tokens.layers[1])
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vit_giant_of_mine"}, "timm has no model"),
        ({"name": "resnet18"}, "expected a plain ViT"),
        ({"name": "vit_base_patch16_siglip_224"}, "has no class token"),
        ({"name": "eva02_tiny_patch14_224"}, "no final norm over its tokens"),
        ({"name": "vit_small_patch16_rope_mixed_224"}, "differ from block to block"),
        ({"name": "vit_tiny_r_s16_p8_224"}, "no patches of one convolution"),
        ({"name": "deit_tiny_distilled_patch16_224"}, "is a VisionTransformerDistilled"),
        ({"name": "vit_tiny_patch16_224.nonsense"}, r"no checkpoint.*it has: .*augreg_in21k,"),
        ({"image_size": (64, 8)}, "at least one patch"),
        ({"stride": 0}, "stride is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"num_cameras": -1}, "num_cameras is -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenBackbone(**arguments)


def test_wrong_image_size_and_layer():
    with pytest.raises(ValueError, match=r"built for \(B, 3, 64, 32\)"):
        tiny()(torch.zeros(1, 3, 32, 64))
    for layer in (0, 3):
        with pytest.raises(ValueError, match="from 1 to 2"):
            tiny()(torch.zeros(1, 3, 64, 32), layers=(layer,))


def kept_for_the_backward_pass(backbone, images):
    """Bytes that the forward pass keeps, parameters aside."""
    own, kept = {p.data_ptr() for p in backbone.parameters()}, {}

    def keep(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        backbone(images).cls.sum()
    return sum(kept.values())


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_blocks_computed_again_give_the_same_bits_and_keep_less(precision):
    """Stochastic depth included: half of the images skip the last block."""
    images = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    gradients, kept = [], []
    for again in (False, True):
        backbone = tiny(drop_path=0.5).train()
        backbone.gradient_checkpointing = again
        torch.manual_seed(5)
        with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
            tokens = backbone(images, layers=(1,))
        (tokens.cls.square().sum() + tokens.layers[1].square().sum()).backward()
        gradients.append({name: p.grad for name, p in backbone.named_parameters()})
        kept.append(kept_for_the_backward_pass(backbone, images))
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name
    assert kept[1] < 0.2 * kept[0], kept


def test_blocks_are_not_wrapped_where_nothing_is_learned(monkeypatch):
    import reidlab.models.vit as module

    monkeypatch.setattr(module, "checkpoint", lambda *_, **__: 1 / 0)
    backbone = tiny()
    backbone.gradient_checkpointing = True
    with torch.no_grad():
        backbone(torch.zeros(1, 3, 64, 32))
    with pytest.raises(ZeroDivisionError):
        backbone(torch.zeros(1, 3, 64, 32))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_half_precision_on_a_cpu_attends_by_plain_products_with_the_same_result(precision):
    backbone = TokenBackbone("vit_tiny_patch16_224", (64, 32), depth=2).eval()
    images = torch.rand(3, 3, 64, 32)
    fused = [block.attn.fused_attn for block in backbone.blocks]
    with torch.no_grad():
        expected = backbone(images).cls
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            found = backbone(images).cls
    assert [block.attn.fused_attn for block in backbone.blocks] == (
        fused if precision == torch.float32 else [False, False]
    )
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
