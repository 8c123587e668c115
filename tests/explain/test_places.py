"""The winners of max pooling by loops, and parts of places by counting pixels."""

from collections import Counter

import pytest
import torch

from reidlab.explain import matched_places, place_parts
from reidlab.models import create_model

SMALL = {
    "num_classes": 3, "backbone": "vit_tiny_patch16_224", "weights": None, "depth": 1,
    "image_size": (48, 32),
}  # fmt: skip


def matcher(**switches):
    torch.manual_seed(0)
    chosen = {"dim": 8, "hidden": 16, "layers": 2, **switches}
    return create_model("transmatcher", **SMALL, switches=chosen).eval()


@pytest.mark.parametrize("gate", ["prior", "none"])
def test_winners_by_loops(gate):
    model = matcher(gate=gate)
    query, image = torch.randn(2, 3, 2, 16)
    found = matched_places(model, query, image)
    assert found.best.shape == found.value.shape == (2, 6)
    with torch.no_grad():
        for n, layer in enumerate(model.decoder.layers):
            places = [layer.fc1(x.reshape(6, 16)[:, 8 * n : 8 * n + 8]) for x in (query, image)]
            for t in range(6):
                values = []
                for s in range(6):
                    weight = 1.0
                    if gate == "prior":
                        weight = float(layer.score_embed[0, 0, s, t].sigmoid())
                    values.append(float(places[1][s] @ places[0][t]) * weight)
                assert found.best[n, t] == max(range(6), key=values.__getitem__)
                assert found.value[n, t] == pytest.approx(max(values), rel=1e-4)


@pytest.mark.parametrize("switches", [{"pooling": "mean"}, {"gate": "softmax"}, {"heads": 2}])
def test_other_poolings_have_no_single_winner(switches):
    with pytest.raises(ValueError, match="expected a TransMatcher of one head with max pooling"):
        matched_places(matcher(**switches), *torch.randn(2, 3, 2, 16))
    with pytest.raises(ValueError, match="Linear with None"):
        matched_places(torch.nn.Linear(1, 1), *torch.randn(2, 3, 2, 16))


def test_maps_of_another_grid_and_a_grid_of_none():
    with pytest.raises(ValueError, match=r"image has shape \(2, 2, 16\), expected \(3, 2, 16\)"):
        matched_places(matcher(), torch.randn(3, 2, 16), torch.randn(2, 2, 16))
    with pytest.raises(ValueError, match="the grid is 0x2"):
        place_parts(torch.zeros(1, 4, 4), (0, 2))


def test_a_place_shows_the_part_with_most_pixels():
    masks = torch.randint(0, 8, (2, 12, 8), generator=torch.Generator().manual_seed(0))
    found = place_parts(masks, (3, 2))
    for b in range(2):
        for y in range(3):
            for x in range(2):
                tile = masks[b, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4].flatten().tolist()
                counts = Counter(tile)
                most = min(part for part in counts if counts[part] == max(counts.values()))
                assert found[b, 2 * y + x] == most
    with pytest.raises(ValueError, match=r"\(2, 12, 8\) and the grid is 5x2"):
        place_parts(masks, (5, 2))
