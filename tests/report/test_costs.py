"""Parameters and bytes of the papers' networks against sums by hand."""

import pytest

from reidlab.report.costs import costs


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
