"""What the shipped weights keep of a camera."""

import numpy as np
import pytest
import torch

from reidlab.experiments.pretraining import without_means


def test_each_embedding_is_less_the_mean_of_its_group():
    rng = np.random.default_rng(0)
    queries, gallery = (torch.from_numpy(rng.normal(size=(n, 3))) for n in (4, 6))
    groups = np.array([0, 1, 0, 1, 0, 0, 1, 2, 1, 0])
    found = torch.cat(without_means([queries, gallery], groups))
    both = torch.cat([queries, gallery])
    for row, group in enumerate(groups):
        own = [both[k] for k in range(10) if groups[k] == group]
        assert found[row].numpy() == pytest.approx((both[row] - sum(own) / len(own)).numpy())


def test_a_shift_by_camera_is_taken_out_whole():
    people = torch.randn(5, 8)
    queries, gallery = people + 3.0, people - 2.0
    left = without_means([queries, gallery], np.repeat([0, 1], 5))
    assert left[0].numpy() == pytest.approx(left[1].numpy(), abs=1e-6)
