"""Parameters and bytes of the papers' networks against sums by hand."""

import pytest
import torch
from torch import nn

from reidlab.models.outputs import Outputs
from reidlab.report.costs import batch_cost, costs, pairs_a_second


def test_sizes_by_hand_and_times_of_all():
    table = costs(pictures=2, rounds=1)
    block = 4 * 768**2 + 4 * 768 + 8 * 768**2 + 5 * 768 + 4 * 768  # attention, MLP, two norms
    patches, tokens = 16 * 16 * 3 * 768 + 768, 768 * (1 + 1 + 16 * 8)
    vit = 12 * block + patches + tokens + 2 * 768
    neck = 2 * 768 + 751 * 768  # a norm, and a classifier without a bias
    assert table["parameters (M)"]["ViT baseline"] == pytest.approx((vit + neck) / 1e6)
    assert table["kB an image"]["ViT baseline"] == 4 * 768 / 1e3
    assert table["kB an image"]["LA-Transformer"] == 14 * 4 * 768 / 1e3
    assert table["kB an image"]["TransMatcher"] == 3 * 24 * 8 * 4 * 512 / 1e3
    assert len(table) == 6
    assert (table["ms a picture"] > 0).all()


def test_pairs_are_counted_not_pictures(monkeypatch):
    ticks = iter([0.0, 2.0, 10.0, 14.0])  # two seconds for the maps, four for the vectors
    monkeypatch.setattr("reidlab.report.costs.time.perf_counter", lambda: next(ticks))
    assert pairs_a_second(maps=2, vectors=8) == (2 * 2 / 2, 8 * 8 / 4)


def test_what_is_kept_for_the_way_back_by_hand():
    class Curve(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(24))

        def forward(self, images, camids):
            x = images.flatten(1) * self.factor  # keeps the images, which need no gradient
            return Outputs(logits=(x.exp(),), features=(x.exp(),))  # each keeps its result

    seconds, megabytes = batch_cost(Curve(), torch.rand(5, 3, 4, 2))
    assert megabytes == pytest.approx(3 * 5 * 24 * 4 / 1e6)
    assert seconds > 0
