"""Covering pixels against loops, and against detectors whose evidence is known."""

import pytest
import torch
from torch import nn

from reidlab.explain import (
    IdentityTarget,
    SimilarityTarget,
    deletion_insertion,
    heat_share,
    occlusion,
    pointing_game,
)
from reidlab.models import Outputs, create_model

SIZE = (64, 32)
ONE = IdentityTarget([0])


class Detector(nn.Module):
    """Logit 0: the pixels weighed by a plan (H, W); logit 1: a constant."""

    def __init__(self, plan, constant=0.0):
        super().__init__()
        self.plan, self.constant = plan, constant

    def forward(self, images, camids=None):
        score = (images.mean(1) * self.plan).sum((1, 2))
        return Outputs(logits=(torch.stack((score, score * 0 + self.constant), 1),), features=())

    def embed(self, images, camids=None):
        return torch.stack(
            ((images.mean(1) * self.plan).sum((1, 2)), images.new_ones(len(images))), 1
        )


@pytest.fixture
def shoes():
    """Labels of a standing person, and a detector that looks at the shoes (6) alone."""
    masks = torch.zeros(1, *SIZE, dtype=torch.uint8)
    masks[:, 4:14, 12:20], masks[:, 14:34, 8:24], masks[:, 34:54, 10:22] = 1, 2, 4
    masks[:, 54:62, 8:24] = 6
    return masks, Detector((masks[0] == 6).float())


@pytest.fixture
def images():
    return torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0)) + 0.5


def test_a_detector_of_shoes_is_hot_on_the_shoes(shoes, images):
    masks, detector = shoes
    heat = occlusion(detector, images, ONE, window=8)
    rows, columns = heat[0, 0].nonzero(as_tuple=True)
    assert (rows.min(), rows.max()) == (48, 63)  # cells of 8 that touch rows 54 to 61
    assert (columns.min(), columns.max()) == (8, 23)
    assert heat_share(heat, masks).parts[0, 0, 6] > 0.6
    removal = deletion_insertion(detector, images, ONE, heat, window=8)
    assert removal.deletion_area[0, 0] < 0.3 * removal.random_area[0]
    assert removal.insertion_area[0, 0] > 1.5 * removal.random_area[0]
    wrong = 1 - heat  # a planted wrong map
    removal = deletion_insertion(detector, images, ONE, wrong, window=8)
    assert removal.deletion_area[0, 0] > 1.5 * removal.random_area[0]
    assert removal.insertion_area[0, 0] < 0.3 * removal.random_area[0]
    assert pointing_game(wrong, masks).parts[0, 0, 6] == 0


@pytest.mark.parametrize("window", [16, 12, 32, 5])
def test_occlusion_by_a_loop(window, build):
    model = build(image_size=SIZE, depth=1)
    images = torch.randn(2, 3, *SIZE)
    reference = model.eval().embed(images.flip(0)).detach()
    heat = occlusion(model, images, SimilarityTarget(reference), window=window)
    assert heat.shape == (2, 1, *SIZE)

    def score(image, i):
        with torch.no_grad():
            found = model.embed(image[None])[0]
        return (found @ reference[i] / found.norm() / reference[i].norm()).item()

    for i in range(2):
        expected = torch.zeros(SIZE)
        for top in range(0, SIZE[0], window):
            for left in range(0, SIZE[1], window):
                covered = images[i].clone()
                covered[:, top : top + window, left : left + window] = 0.0
                fall = score(images[i], i) - score(covered, i)
                expected[top : top + window, left : left + window] = max(0.0, fall)
        torch.testing.assert_close(heat[i, 0], expected / expected.max(), rtol=0, atol=1e-3)


def test_the_window_is_the_patch_of_the_model():
    model = create_model("pcb", num_classes=2, image_size=SIZE, weights=None, depth=1, stride=12)
    images, target = torch.randn(1, 3, *SIZE), IdentityTarget([1])
    expected = occlusion(model, images, target, window=16)
    assert torch.equal(occlusion(model, images, target), expected)


def test_without_a_label_the_identity_is_that_of_the_whole_image(images):
    plan = torch.zeros(SIZE)
    plan[:16, :16] = 1.0
    detector = Detector(plan, constant=100.0)  # 0 is likely until the cell is covered: sum > 128
    heat = occlusion(detector, images, IdentityTarget(), window=16)
    assert heat[0, 0, :16, :16].eq(1).all()
    assert heat.sum() == 16 * 16
    assert torch.equal(heat, occlusion(detector, images, ONE, window=16))


def test_a_score_that_never_falls_has_a_blank_map(images):
    detector = Detector(-torch.ones(SIZE))
    assert occlusion(detector, images, ONE, window=16).eq(0).all()


def test_curves_on_paper():
    """Four cells worth 4, 3, 2, 1: what is left of their sum can be added up by eye."""
    images = torch.ones(1, 3, 4, 4)
    worth = torch.tensor([[4.0, 3.0], [2.0, 1.0]])
    detector = Detector(worth.repeat_interleave(2, 0).repeat_interleave(2, 1) / 4)
    heat = torch.stack((worth, 5 - worth))[None].repeat_interleave(2, 2).repeat_interleave(2, 3)
    removal = deletion_insertion(detector, images, ONE, heat, window=2)
    assert removal.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert removal.deletion[0].tolist() == [[10, 6, 3, 1, 0], [10, 9, 7, 4, 0]]
    assert removal.insertion[0].tolist() == [[0, 4, 7, 9, 10], [0, 1, 3, 6, 10]]
    assert removal.deletion_area[0].tolist() == [(5 + 6 + 3 + 1) / 4, (5 + 9 + 7 + 4) / 4]
    assert removal.insertion_area[0].tolist() == [(4 + 7 + 9 + 5) / 4, (1 + 3 + 6 + 5) / 4]
    assert removal.random[0, [0, -1]].tolist() == [10, 0]
    assert removal.deletion_area[0, 0] < removal.random_area[0] < removal.deletion_area[0, 1]


def test_ten_steps_and_cells_at_the_edge():
    images = torch.ones(2, 3, 9, 5)  # cells of 2: 5 x 3, the last row and column are thin
    heat = torch.rand(2, 3, 9, 5, generator=torch.Generator().manual_seed(0))
    heat[1, 2] = 0  # a blank map
    plan = torch.rand(9, 5, generator=torch.Generator().manual_seed(1))
    removal = deletion_insertion(Detector(plan), images, IdentityTarget([0, 0]), heat, window=2)
    assert removal.random.shape == (2, 11)
    for b in range(2):
        for layer in range(3):
            if (b, layer) == (1, 2):
                assert removal.deletion[b, layer].isnan().all()
                assert removal.insertion_area[b, layer].isnan()
                continue
            cells = [
                (heat[b, layer, y : y + 2, x : x + 2].mean().item(), y, x)
                for y in range(0, 9, 2)
                for x in range(0, 5, 2)
            ]
            cells.sort(reverse=True)
            for step, fraction in enumerate(removal.fractions.tolist()):
                gone = plan.clone()
                for _, y, x in cells[: round(15 * fraction)]:
                    gone[y : y + 2, x : x + 2] = 0
                left = gone.sum().item()
                assert removal.deletion[b, layer, step].item() == pytest.approx(left, abs=1e-4)
                rest = plan.sum().item() - left
                assert removal.insertion[b, layer, step].item() == pytest.approx(rest, abs=1e-4)


def test_ties_are_drawn_by_chance_and_again_alike():
    """Maps that are the same everywhere delete like random orders, not from the top down."""
    images, plan = torch.ones(1, 3, 32, 4), torch.zeros(32, 4)
    plan[0] = 1.0  # all evidence in the first row
    flat = torch.ones(1, 1, 32, 4)

    def areas(seeds):
        return [
            deletion_insertion(Detector(plan), images, ONE, flat, window=4, seed=seed)
            for seed in seeds
        ]

    found = areas(range(12))
    assert len({round(r.deletion_area.item(), 4) for r in found}) > 3
    assert sum(r.deletion_area.item() for r in found) / 12 > 1.0  # from the top down: 0.25
    again = areas([3, 3])
    assert all(torch.equal(a, b) for a, b in zip(*again, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window is 0; expected the side of a cell in whole pixels, 1 to 32"),
        ({"window": 33}, "window is 33; .* 1 to 32 for images of 64x32"),
        ({"window": 2.5}, "window is 2.5"),
        ({"window": None}, r"window is None; .*Pass window=16, say"),
        ({"window": 16, "target": 3}, "target is 3; expected IdentityTarget"),
        ({"window": 16, "target": IdentityTarget([0, 1])}, "one label per image"),
    ],
)
def test_both_refuse(images, options, message):
    detector = Detector(torch.ones(SIZE))
    options = {"target": ONE, **options}
    with pytest.raises(ValueError, match=message):
        occlusion(detector, images, **options)
    with pytest.raises(ValueError, match=message):
        deletion_insertion(detector, images, heat=torch.ones(1, 1, *SIZE), **options)


@pytest.mark.parametrize(
    ("heat", "message"),
    [
        (torch.ones(1, *SIZE), r"heat has shape \(1, 64, 32\); expected \(B, L, H, W\)"),
        (torch.ones(2, 1, *SIZE), r"heat has shape \(2, 1, 64, 32\) and images \(1, 3, 64, 32\)"),
        (torch.ones(1, 1, 8, 4), r"expected maps of these images"),
        (torch.zeros(1, 2, *SIZE), "all 2 maps are 0 everywhere; .*take other layers"),
        (torch.full((1, 1, *SIZE), torch.nan), "heat has values that are no numbers"),
        (-torch.ones(1, 1, *SIZE), "heat has the value -1"),
    ],
)
def test_maps_that_do_not_fit(images, heat, message):
    with pytest.raises(ValueError, match=message):
        deletion_insertion(Detector(torch.ones(SIZE)), images, ONE, heat, window=16)
