"""The gain of re-ranking against k1 and the images of a person."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from reidlab import recipes
from reidlab.evaluation import evaluate, rank, rerank
from reidlab.experiments.reranking import embed_world, rerank_gains
from reidlab.judging import test_transform as transform_of
from reidlab.synth import World


@pytest.fixture
def crowd():
    """Six people, two cameras, four images in each, and embeddings that are noisy."""
    frame = pd.DataFrame(
        [(p, c, i) for p in range(6) for c in range(2) for i in range(4)],
        columns=["pid", "camid", "index"],
    )
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 5, generator=generator)[torch.tensor(frame.pid.to_numpy())]
    return frame, centres + 0.9 * torch.randn(len(frame), 5, generator=generator)


def test_one_draw_by_hand(crowd):
    frame, emb = crowd
    table = rerank_gains(frame, emb, [2, 4], [3], draws=1, seed=5)
    rng = np.random.default_rng(5)
    asks, others = [], []
    for person in range(6):
        own = frame[frame.pid == person]
        asks.append(rng.choice(own.index))
        there = own.index[own.camid != frame.camid[asks[-1]]]
        others.append(rng.permutation(there))
    for m in (2, 4):
        g = [i for row in others for i in row[:m]]
        who = frame.pid[asks], frame.pid[g], frame.camid[asks], frame.camid[g]
        plain = evaluate(emb[asks], emb[g], *who).ap
        gains = rank(rerank(emb[asks], emb[g], k1=3, k2=3), *who).ap - plain
        row = table[table.m == m].iloc[0]
        assert row.gain == pytest.approx(100 * gains.mean())
        swapped = [abs(gains @ signs) for signs in product((-1, 1), repeat=6)]
        assert row.p == np.mean([value >= abs(gains.sum()) - 1e-9 for value in swapped])
        assert row.low <= row.gain <= row.high


@pytest.mark.parametrize(("seed", "noise", "clear", "alone"), [(9, 0.5, 2, 2), (0, 0.7, 0, 4)])
def test_clear_is_what_stays_when_all_cells_count_as_several(seed, noise, clear, alone):
    generator = torch.Generator().manual_seed(seed)
    rows = [(p, c) for p in range(12) for c in range(2) for _ in range(6)]
    frame = pd.DataFrame(rows, columns=["pid", "camid"])
    centres = torch.randn(12, 4, generator=generator)[torch.tensor(frame.pid.to_numpy())]
    emb = centres + noise * torch.randn(len(frame), 4, generator=generator)
    table = rerank_gains(frame, emb, [1, 6], [3, 6, 24], draws=1, seed=seed)
    left, kept = sorted(table.p), 0
    while left and left[0] * len(left) <= 0.05:  # Holm's rule, step by step
        left, kept = left[1:], kept + 1
    assert table.clear.tolist() == [p not in left for p in table.p]
    assert (kept, ((table.low > 0) | (table.high < 0)).sum()) == (clear, alone)


def test_one_row_for_each_cell_and_the_same_again(crowd):
    table = rerank_gains(*crowd, [1, 4], [2, 4, 8], draws=2, seed=1)
    expected = [(m, k1) for m in (1, 4) for k1 in (2, 4, 8)]
    assert list(zip(table.m, table.k1, strict=True)) == expected
    pd.testing.assert_frame_equal(table, rerank_gains(*crowd, [1, 4], [2, 4, 8], draws=2, seed=1))


def test_more_images_than_there_are(crowd):
    with pytest.raises(ValueError, match="person 0 has 4 images in other cameras, expected 5"):
        rerank_gains(*crowd, [5], [2])


class Mean(torch.nn.Module):
    """An image is described by its mean colour."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def embed(self, images):
        return self.scale * images.mean((2, 3))


def test_a_world_is_embedded_image_by_image():
    world = World(seed=3, identities=2, cameras=2, resolution=(32, 16))
    frame, emb = embed_world(
        Mean(), world, recipes.get("la_tf_pp", "smoke"), images_per_camera=2, batch_size=3
    )
    assert emb.shape == (8, 3)
    keys = [tuple(row) for row in frame[["pid", "camid", "index"]].to_numpy().tolist()]
    assert keys == [(p, c, i) for p in (1, 2) for c in (0, 1) for i in (0, 1)]
    transform = transform_of(recipes.get("la_tf_pp", "smoke"))
    for number, key in enumerate(keys):
        image = Image.fromarray(world.render([key]).images[0])
        assert torch.allclose(emb[number], transform(image).mean((1, 2)), atol=1e-5)
