"""Attention by hand, from the weights of qkv, and rollout as a product of matrices."""

import math

import pytest
import torch
import torch.nn.functional as F

from reidlab.explain import head_attention, raw_attention, rollout

SIZE = (64, 32)  # 4 x 2 patches


def pictures(count=2, size=SIZE):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


def attention_by_hand(model, image, camids=None):
    """Of each block for one image: (T, T), from what goes into the block and its weights."""
    inputs, found = [], []
    hooks = [
        block.register_forward_pre_hook(lambda _m, args: inputs.append(args[0][0]))
        for block in model.backbone.blocks
    ]
    with torch.no_grad():
        model.eval().backbone(image[None], camids)
        for block, x in zip(model.backbone.blocks, inputs, strict=True):
            block.attn.fused_attn = True
            y = F.layer_norm(x, x.shape[-1:], block.norm1.weight, block.norm1.bias, block.norm1.eps)
            numbers = y @ block.attn.qkv.weight.T + block.attn.qkv.bias  # (T, 3 D)
            dim, heads = y.shape[1], block.attn.num_heads
            each, size = [], dim // heads
            for head in range(heads):
                query = numbers[:, head * size : (head + 1) * size]
                key = numbers[:, dim + head * size : dim + (head + 1) * size]
                each.append((query @ key.T / math.sqrt(size)).softmax(1))
            found.append(sum(each) / heads)
    for hook in hooks:
        hook.remove()
    return found


def drawn_by_hand(row, grid=(4, 2), size=SIZE):
    """A class token's row, without its prefix, as heat."""
    patches = (row / row.max()).view(1, 1, *grid)
    return F.interpolate(patches, size=size, mode="bilinear", align_corners=False)[0, 0]


@pytest.mark.parametrize(
    "name", ["vit_baseline", "la_transformer", "la_tf_pp", "gltrans", "transreid", "pcb"]
)
def test_raw_attention_and_rollout_of_every_model(name, build):
    model, images = build(name), pictures()
    raw, rolled = (explain(model, images, layers=(2, 1)) for explain in (raw_attention, rollout))
    assert raw.shape == rolled.shape == (2, 2, *SIZE)
    for i, image in enumerate(images):
        first, second = attention_by_hand(model, image)
        one = torch.eye(9)
        both = ((second + one) / 2) @ ((first + one) / 2)
        torch.testing.assert_close(both.sum(1), torch.ones(9))  # no need to normalise
        expected = {
            (raw, 0): second,
            (raw, 1): first,
            (rolled, 0): both,
            (rolled, 1): (first + one) / 2,
        }
        for (heat, place), matrix in expected.items():
            torch.testing.assert_close(
                heat[i, place], drawn_by_hand(matrix[0, 1:]), rtol=0, atol=1e-4
            )


@pytest.mark.parametrize(
    ("backbone", "size"),
    [("vit_small_patch14_reg4_dinov2", (56, 28)), ("vit_small_patch16_dinov3", SIZE)],
)
def test_registers_and_rotary_positions(backbone, size, build):
    """Four registers stand between the class token and the patches, and are not drawn."""
    model = build(backbone=backbone, image_size=size)
    heat, kept = raw_attention(model, pictures(size=size), layers=(2,)), []
    attention = model.eval().backbone.blocks[1].attn
    attention.register_forward_pre_hook(lambda module, _: setattr(module, "fused_attn", False))
    attention.attn_drop.register_forward_hook(lambda _m, _i, output: kept.append(output))
    with torch.no_grad():
        model.backbone(pictures(size=size))
    row = kept[0][0, :, 0, 5:].mean(0)
    torch.testing.assert_close(heat[0, 0], drawn_by_hand(row, size=size), rtol=0, atol=1e-4)


def test_patches_that_overlap_lie_where_the_network_saw_them(build):
    model = build(stride=12)
    rows, columns = model.backbone.grid
    assert (rows, columns) == (5, 2)
    image = pictures(1)
    row = attention_by_hand(model, image[0])[1][0, 1:]
    patches = (row / row.max()).view(rows, columns)
    heat = raw_attention(model, image, layers=(2,))[0, 0]
    for r in range(rows):
        for c in range(columns):
            top, left = 12 * r + 7, 12 * c + 7  # the patch begins at 12 r: its middle is + 7.5
            middle = heat[top : top + 2, left : left + 2]
            # half a pixel off the middle, so slightly blended with the neighbours
            assert middle.mean().item() == pytest.approx(patches[r, c].item(), abs=0.09)
    half_way = heat[13, :8].mean().item() + heat[14, :8].mean().item()  # between 8 and 20
    assert half_way / 2 == pytest.approx((patches[0, 0] + patches[1, 0]).item() / 2, abs=1e-4)
    assert heat[60:, :8].std() < 1e-6  # beyond the last centre, 56, nothing changes


def test_cameras_reach_the_model(build):
    model = build(num_cameras=2)
    with torch.no_grad():
        model.backbone.sie_embed.mul_(100)
    for explain in (raw_attention, rollout):
        maps = [
            explain(model, pictures(), layers=(1,), camids=torch.tensor(camids))
            for camids in ([0, 0], [1, 1])
        ]
        assert not torch.equal(*maps)
        with pytest.raises(ValueError, match="needs `camids`"):
            explain(model, pictures(), layers=(1,))


def test_the_attention_of_every_head_sums_to_what_the_heads_share(build):
    model, images = build("tvtr", switches={"k": 2}), pictures()
    found = head_attention(model, images, layers=(2, 1))
    assert found.shape == (2, 2, 3, 9, 9)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 2, 3, 9))
    for i, image in enumerate(images):
        first, second = attention_by_hand(model, image)
        torch.testing.assert_close(found[:, i].mean(1), torch.stack((second, first)))
