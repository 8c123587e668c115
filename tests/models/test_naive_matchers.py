"""The naive ways: each pair computed alone, what may and what can't look at the other image."""

import pytest
import torch

from reidlab.models import create_model

NAMES = ("vit_matcher", "transformer", "transmatcher_cat", "transmatcher_cross")
every = pytest.mark.parametrize("name", NAMES)


def matcher(name, **switches):
    torch.manual_seed(0)
    model = create_model(
        name, num_classes=5, image_size=(64, 32), weights=None, depth=1,
        switches={"dim": 8, "hidden": 16, **switches},
    ).eval()  # fmt: skip
    model.norm.running_mean.fill_(0.3)
    return model


def maps(model, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *model.grid, model.channels, generator=generator)


def alone(model, q, g):
    """One pair of maps through the layers that the drawing has, token by token."""
    q, g, d = q.flatten(0, 1), g.flatten(0, 1), model.switches.dim
    if model.grid == (1, 1):
        raw = float(q[0] @ g[0])
    elif hasattr(model, "decoder"):
        x, memory = q[None, :, :d], g[None, :, d:]
        for layer in model.decoder.layers:
            x = layer(x, memory)
        raw = float(model.fc(x[0].mean(0)))
    else:
        x = torch.cat((model.token[0], q, g))[None]
        for layer in model.encoder.layers:
            x = layer(x)
        raw = float(model.fc(x[0, 0]))
    norm = model.norm
    return (raw - 0.3) / float((norm.running_var + norm.eps).sqrt())


@every
def test_each_pair_alone_in_any_blocks(name):
    model = matcher(name)
    q_emb, g_emb = maps(model, 3), maps(model, 4, seed=1)
    with torch.no_grad():
        expected = torch.tensor([[alone(model, q, g) for g in g_emb] for q in q_emb])
        torch.testing.assert_close(model.score(q_emb, g_emb), expected, rtol=1e-4, atol=1e-5)
    for pairs in (1, 2, 5, 100):
        found = model.match(q_emb, g_emb, block_bytes=pairs * model.pair_bytes())
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@every
def test_who_looks_at_the_other_image(name):
    """Products of vectors have rank d at most; attention over pairs is no product of vectors."""
    model = matcher(name, dim=4)
    q_emb, g_emb = maps(model, 12).double(), maps(model, 12, seed=1).double()
    model.double()
    norm = model.norm
    scores = model.match(q_emb, g_emb) * (norm.running_var + norm.eps).sqrt() + norm.running_mean
    rank = int(torch.linalg.matrix_rank(scores, rtol=1e-9))
    assert (rank <= 4) == (name in ("vit_matcher", "transformer"))


@every
@pytest.mark.parametrize("positions", [False, True])
def test_the_order_of_the_places_counts_only_with_positions(name, positions):
    """Neither a class token nor a mean knows places that nobody told it."""
    model = matcher(name, positions=positions)
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(2))
    tokens = model.neck_map
    model.neck_map = lambda images, camids=None: tokens(images, camids).flip(2, 3)
    with torch.no_grad():
        turned = model.embed(images)
        del model.neck_map
        straight = model.embed(images)
        same = torch.allclose(
            model.match(turned, turned), model.match(straight, straight), atol=1e-5
        )
    assert same == (not positions)


@every
def test_what_is_trained_apart(name):
    model = matcher(name).train()
    assert model.norm.training
    assert not model.backbone.training
    network, pairs = model.clip_groups()
    assert len(network) + len(pairs) == len(list(model.parameters()))
    with pytest.raises(ValueError, match=r"switches: heads is 3; expected a divisor of dim \(8\)"):
        matcher(name, heads=3)
