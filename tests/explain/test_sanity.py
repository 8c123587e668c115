"""Networks that forget: one that has learned where to look, and one that never knew."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

from reidlab.explain import IdentityTarget, gradcam, randomized
from reidlab.models import create_model

SIZE = (64, 32)
STEPS = ("nothing", "head", "block 2", "block 1", "embedding")


def pictures(count, seed):
    """Noise; people of class 1 have bright shoes."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, *SIZE, generator=generator)
    labels = torch.arange(count) % 2
    images[labels == 1, :, 48:] += 2.0
    return images, labels


def build(name="vit_baseline", people=2):
    torch.manual_seed(0)
    switches = {"layers": 2} if name == "gltrans" else None
    return create_model(
        name, num_classes=people, image_size=SIZE, weights=None, depth=2, switches=switches
    )


@pytest.fixture(scope="module")
def trained():
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(25):
        images, labels = pictures(16, step)
        loss = F.cross_entropy(model(images).logits[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def margin(network):
    """How far the right logit lies above the other one."""
    images, labels = pictures(8, 999)
    logits = network(images).logits[0]
    return logits.gather(1, labels[:, None])[:, 0] - logits.gather(1, 1 - labels[:, None])[:, 0]


def explain(network):
    images, labels = pictures(8, 999)
    return gradcam(network, images, IdentityTarget(labels), layers=(1, 2))


def forgot(found):
    """The premise: the score falls, by more than two standard errors."""
    fall = found.score[0] - found.score[-1]
    return bool(fall.mean() > 2 * fall.std() / len(fall) ** 0.5)


def test_a_trained_network_forgets_and_its_map_changes(trained):
    values = copy.deepcopy(trained.state_dict())
    found = randomized(trained, explain, margin)
    assert found.steps == STEPS
    assert found.correlation.shape == (5, 8, 2)
    assert found.score.shape == (5, 8)
    assert forgot(found)
    torch.testing.assert_close(found.correlation[0], torch.ones(8, 2))
    assert found.correlation[-1].nanmean() < 0.7
    assert trained.training
    assert all(v.equal(values[k]) for k, v in trained.state_dict().items())


def test_chosen_steps_are_those_of_all(trained):
    whole = randomized(trained, explain, margin)
    found = randomized(trained, explain, margin, steps=("block 1",))
    assert found.steps == ("nothing", "block 1")
    rows = [STEPS.index(step) for step in found.steps]
    torch.testing.assert_close(found.correlation, whole.correlation[rows], equal_nan=True)
    torch.testing.assert_close(found.score, whole.score[rows])
    with pytest.raises(ValueError, match="no step 'block 3'; expected of nothing, head, block 2"):
        randomized(trained, explain, margin, steps=("block 3",))


def test_a_random_network_fails_the_premise():
    """It has nothing to forget, so correlations say nothing of its map."""
    found = randomized(build(), explain, margin)
    assert not forgot(found)


def test_a_map_that_does_not_ask_the_network_keeps_its_correlation(trained):
    """A planted wrong map: edges of the image."""
    found = randomized(trained, lambda _: pictures(8, 999)[0].abs().mean(1, keepdim=True), margin)
    torch.testing.assert_close(found.correlation, torch.ones(5, 8, 1))


def test_correlation_is_spearmans_with_ties():
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randint(0, 4, (3, 2, 6, 4), generator=generator).float() for _ in range(5)]
    maps[3][1, 1] = 2.0  # the same everywhere: no rank
    given = iter(maps)
    found = randomized(build(), lambda _: next(given), lambda _: torch.zeros(3))
    for step, heat in enumerate(maps):
        for b in range(3):
            for layer in range(2):
                value = found.correlation[step, b, layer].item()
                if (step, b, layer) == (3, 1, 1):
                    assert value != value
                    continue
                expected = spearmanr(maps[0][b, layer].flatten(), heat[b, layer].flatten())
                assert value == pytest.approx(expected.statistic, abs=1e-5)


@pytest.mark.parametrize(
    "name", ["vit_baseline", "la_transformer", "la_tf_pp", "gltrans", "transreid", "pcb"]
)
def test_weights_are_shuffled_one_step_after_the_other(name):
    model, seen = build(name, people=20), []  # a bias of two numbers often stays as it is
    with torch.no_grad():  # none stays what it is by being constant
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))

    def watch(network):
        assert not network.training
        seen.append({k: v.clone() for k, v in network.named_parameters()})
        return torch.ones(1, 1, 2, 2)

    randomized(model, watch, lambda _: torch.zeros(1), seed=3)
    changed = [
        {k for k in before if not before[k].equal(after[k])}
        for before, after in itertools.pairwise(seen)
    ]
    head, second, first, embedding = changed
    assert second == {k for k in seen[0] if k.startswith("backbone.blocks.1.")}
    assert first == {k for k in seen[0] if k.startswith("backbone.blocks.0.")}
    assert {"backbone.pos_embed", "backbone.patch_embed.proj.weight"} <= embedding
    assert {"backbone.norm.weight", "backbone.norm.bias"} <= head
    assert head | second | first | embedding == set(seen[0])
    for key, weight in seen[0].items():
        assert weight.flatten().sort().values.equal(seen[-1][key].flatten().sort().values)


@pytest.mark.parametrize(
    ("heat", "score", "message"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2), "all 2 maps are 0 everywhere"),
        (torch.ones(2, 4, 4), torch.zeros(2), r"heat has shape \(2, 4, 4\)"),
        (torch.full((2, 1, 4, 4), torch.nan), torch.zeros(2), "values that are no numbers"),
        (torch.ones(2, 1, 4, 4), torch.zeros(3), r"score gives \(3,\) for 2 maps; expected \(2,\)"),
        (torch.ones(2, 1, 4, 4), torch.zeros(()), r"one number for each image"),
        (torch.ones(2, 1, 4, 4), torch.full((2,), torch.nan), "do the weights hold NaN"),
    ],
)
def test_refuses(heat, score, message):
    with pytest.raises(ValueError, match=message):
        randomized(build(), lambda _: heat, lambda _: score)
