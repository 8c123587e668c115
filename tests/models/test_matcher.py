"""What `match` takes of every matcher, and what it refuses."""

import pytest
import torch

from reidlab.models import create_model

SMALL = {"dim": 8, "hidden": 16, "layers": 2}
MATCHERS = {
    "transmatcher": SMALL, "qaconv": {"dim": 8}, "vit_matcher": SMALL, "transformer": SMALL,
    "transmatcher_cat": SMALL, "transmatcher_cross": SMALL,
}  # fmt: skip
pytestmark = pytest.mark.parametrize("name", MATCHERS)


def made(name):
    """A small matcher in evaluation, and maps of four images."""
    torch.manual_seed(0)
    model = create_model(
        name, num_classes=5, image_size=(64, 32), weights=None, depth=1, switches=MATCHERS[name]
    ).eval()
    with torch.no_grad():
        return model, model.embed(torch.randn(4, 3, 64, 32))


def test_maps_may_be_kept_in_another_precision(name):
    model, emb = made(name)
    half = emb.half()
    assert torch.equal(model.match(half, half), model.match(half.float(), half.float()))
    assert torch.equal(model.match(emb.double(), emb), model.match(emb, emb))
    found = model.double().match(emb, emb)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), made(name)[0].match(emb, emb), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision(name, dtype):
    model, emb = made(name)
    message = rf"weights of this \w+ are {dtype}; expected float32 or float64, .* Load the weights"
    with pytest.raises(ValueError, match=message):
        model.to(dtype).match(emb, emb)


def test_blocks_of_any_size_and_of_none(name):
    model, emb = made(name)
    expected = model.match(emb, emb)
    for size in (1, 2**50):
        found = model.match(emb, emb, block_bytes=size)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"block_bytes is {size}; expected 1 or more, or None"):
            model.match(emb, emb, block_bytes=size)


def test_one_image_and_none(name):
    model, emb = made(name)
    whole = model.match(emb, emb)
    torch.testing.assert_close(model.match(emb, emb[:1]), whole[:, :1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.match(emb[:1], emb), whole[:1], rtol=1e-4, atol=1e-4)
    assert model.match(emb, emb[:0]).shape == (4, 0)


def test_what_is_no_number_spoils_its_own_pairs_alone(name):
    model, emb = made(name)
    whole = model.match(emb, emb)
    emb[2] = torch.nan
    found = model.match(emb, emb)
    rest = torch.tensor([0, 1, 3])
    assert found[2].isnan().all()
    assert found[:, 2].isnan().all()
    rows = found[rest][:, rest], whole[rest][:, rest]
    torch.testing.assert_close(*rows, rtol=1e-4, atol=1e-4)
