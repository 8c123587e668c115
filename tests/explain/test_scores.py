import pytest
import torch

from reidlab.explain import heat_share, number_of_parts, patch_share, pointing_game
from reidlab.models import create_backbone
from reidlab.synth import PARTS


def test_on_paper():
    heat = torch.tensor([[[[1.0, 3.0], [0.0, 4.0]]]])
    masks = torch.tensor([[[0, 1], [7, 4]]], dtype=torch.uint8)
    share = heat_share(heat, masks)
    assert share.person.tolist() == [[pytest.approx(7 / 8)]]
    named = dict(zip(PARTS, share.parts[0, 0].tolist(), strict=True))
    assert named["background"] == pytest.approx(1 / 8)
    assert named["head"] == pytest.approx(3 / 8)
    assert named["legs"] == pytest.approx(4 / 8)
    assert named["occluder"] == named["torso"] == 0
    assert share.area.tolist() == [0.5]  # two of four pixels; the occluder is not the person


def test_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    heat = torch.rand(2, 3, 6, 4, generator=generator)
    masks = torch.randint(0, 8, (2, 6, 4), generator=generator)
    share = heat_share(heat, masks)
    for b in range(2):
        for layer in range(3):
            on_person = sum(
                float(heat[b, layer, y, x])
                for y in range(6)
                for x in range(4)
                if 1 <= masks[b, y, x] <= 6
            )
            expected = on_person / float(heat[b, layer].sum())
            assert share.person[b, layer].item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(share.parts.sum(-1), torch.ones(2, 3))


def test_a_uniform_map_scores_the_area():
    masks = torch.randint(0, 8, (1, 8, 4), generator=torch.Generator().manual_seed(0))
    share = heat_share(torch.ones(1, 1, 8, 4), masks)
    assert share.person[0, 0].item() == pytest.approx(share.area[0].item())


def test_a_mask_of_another_size_is_enlarged():
    masks = torch.tensor([[[1, 0]]])
    heat = torch.tensor([[[[1.0, 1.0, 2.0, 0.0]]]])
    assert heat_share(heat, masks).person.item() == pytest.approx(0.5)


def test_a_blank_map_has_no_share():
    assert heat_share(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2)).person.isnan().all()


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.uint16, torch.int32, torch.float32, torch.bool]
)
def test_masks_of_any_type(dtype):
    masks = torch.tensor([[[1, 0]]]).to(dtype)
    assert heat_share(torch.tensor([[[[3.0, 1.0]]]]), masks).person.item() == pytest.approx(0.75)


def test_nobody_in_the_image_and_no_image():
    share = heat_share(torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2))
    assert (share.person.item(), share.area.item()) == (0, 0)
    assert heat_share(torch.ones(0, 2, 4, 4), torch.zeros(0, 2, 2)).parts.shape == (0, 2, 8)


def test_pointing_on_paper():
    masks = torch.tensor([[[0, 1], [7, 4]]], dtype=torch.uint8)
    hit, miss, half, blank = (
        [[1.0, 3.0], [0.0, 2.0]],
        [[1.0, 3.0], [5.0, 2.0]],  # on the occluder, which is not the person
        [[3.0, 3.0], [0.0, 1.0]],
        [[0.0, 0.0], [0.0, 0.0]],
    )
    found = pointing_game(torch.tensor([[hit, miss, half, blank]]), masks)
    assert found.person[0, :3].tolist() == [1.0, 0.0, 0.5]
    assert found.person[0, 3].isnan()
    assert found.parts[0, 0].tolist() == [float(part == "head") for part in PARTS]
    assert found.parts[0, 1].tolist() == [float(part == "occluder") for part in PARTS]
    assert found.area.tolist() == [0.5]


def test_a_uniform_map_points_by_chance():
    masks = torch.randint(0, 8, (1, 8, 4), generator=torch.Generator().manual_seed(0))
    found = pointing_game(torch.full((1, 1, 8, 4), 0.3), masks)
    assert found.person[0, 0].item() == pytest.approx(found.area[0].item())


@pytest.mark.parametrize("score", [heat_share, pointing_game])
@pytest.mark.parametrize(
    ("heat", "masks", "message"),
    [
        (torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), r"expected \(B, L, H, W\)"),
        (torch.zeros(2, 1, 2, 2), torch.zeros(1, 2, 2), "maps of 2 images and 1 masks"),
        (-torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2), "expected none below 0"),
        (torch.ones(1, 1, 2, 2), torch.full((1, 2, 2), 255), "labels 255 to 255"),
        (torch.ones(1, 1, 2, 2), torch.full((1, 2, 2), -1), "labels -1 to -1"),
        (torch.ones(1, 1, 2, 2), torch.full((1, 2, 2), 0.5), "no whole numbers.*nearest pixel"),
        (torch.ones(1, 1, 2, 2), torch.full((1, 2, 2), torch.nan), "masks have values that are no"),
        (torch.full((1, 1, 2, 2), torch.nan), torch.zeros(1, 2, 2), "heat has values that are no"),
        (torch.full((1, 1, 2, 2), torch.inf), torch.zeros(1, 2, 2), "heat has values that are no"),
        (torch.ones(1, 1, 2, 2), torch.zeros(1, 0, 0), r"masks have shape \(1, 0, 0\)"),
        (torch.ones(1, 1, 0, 2), torch.zeros(1, 2, 2), "of one pixel at least"),
    ],
)
def test_bad_arguments(score, heat, masks, message):
    with pytest.raises(ValueError, match=message):
        score(heat, masks)


def test_the_number_of_parts_by_hand():
    masks = torch.tensor([[[1, 2, 3], [4, 0, 7]]])  # four parts, background, occluder
    heat = torch.tensor([[
        [[5.0, 0.0, 0.0], [0.0, 9.0, 9.0]],  # one part
        [[1.0, 0.0, 1.0], [0.0, 9.0, 0.0]],  # two alike
        [[2.0, 2.0, 2.0], [2.0, 0.0, 0.0]],  # four alike
        [[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]],  # 3/4 and 1/4: 4 / 3^(3/4)
        [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]],  # nothing on the person
    ]])  # fmt: skip
    found = number_of_parts(heat_share(heat, masks))[0].tolist()
    assert found[:4] == [pytest.approx(x, rel=1e-5) for x in (1, 2, 4, 4 / 3**0.75)]
    assert found[4] != found[4]


def test_the_share_of_a_patch_by_loops_also_where_patches_overlap():
    masks = torch.randint(0, 8, (2, 64, 32), generator=torch.Generator().manual_seed(0))
    for stride, grid in ((16, (4, 2)), (12, (5, 2))):
        options = {"image_size": (64, 32), "weights": None, "depth": 1, "stride": stride}
        backbone = create_backbone("vit_tiny_patch16_224", **options)
        found = patch_share(masks, backbone)
        assert found.shape == (2, grid[0] * grid[1])
        for b in range(2):
            for n in range(found.shape[1]):
                top, left = stride * (n // grid[1]), stride * (n % grid[1])
                patch = masks[b, top : top + 16, left : left + 16]
                shown = sum(1 <= label <= 6 for label in patch.flatten().tolist()) / 256
                assert found[b, n].item() == pytest.approx(shown)
    with pytest.raises(ValueError, match=r"masks have shape \(64, 32\)"):
        patch_share(masks[0], backbone)
