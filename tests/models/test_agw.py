"""AGW: its parts by hand, the stems, and how the modality reaches them."""

import pandas as pd
import pytest
import torch
from torch import nn

from reidlab.judging import with_rows
from reidlab.models import create_model
from reidlab.models.agw import NonLocal


def agw(**options):
    torch.manual_seed(0)
    given = {"backbone": "resnet50", "image_size": (64, 32), "stride": 16, "weights": None}
    return create_model("agw", num_classes=5, **given | options)


@torch.no_grad()
def test_a_non_local_block_by_hand():
    block, maps = NonLocal(4).eval(), torch.randn(2, 4, 3, 2)
    assert torch.equal(block(maps), maps)  # at the start
    nn.init.ones_(block.norm.weight)
    found, rows = block(maps), maps.flatten(2).mT  # (B, 6, 4)
    q, k, v = (
        rows @ part.weight[:, :, 0, 0].T + part.bias
        for part in (block.query, block.key, block.value)
    )
    for i in range(6):
        gathered = sum((q[:, i] * k[:, j]).sum(1, keepdim=True) * v[:, j] for j in range(6)) / 6
        added = gathered @ block.out.weight[:, :, 0, 0].T + block.out.bias
        expected = rows[:, i] + added / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(found.flatten(2).mT[:, i], expected)


def test_five_non_local_blocks():
    model = agw(depth=None)
    names = [name for name, part in model.named_modules() if isinstance(part, NonLocal)]
    places = ("layer2.2", "layer2.3", "layer3.3", "layer3.4", "layer3.5")
    assert names == [f"backbone.{place}.1" for place in places]
    assert (model.embed_dim, model.backbone.grid) == (2048, (4, 2))
    small = agw(backbone="resnet18", depth=None)  # of blocks without a third convolution, two each
    names = [name for name, part in small.named_modules() if isinstance(part, NonLocal)]
    assert names == [f"backbone.layer{place}.1" for place in ("2.0", "2.1", "3.0", "3.1")]


@torch.no_grad()
def test_the_generalised_mean_and_what_retrieval_takes():
    model, images = agw(depth=1, stride=4).eval(), torch.randn(2, 3, 64, 32)
    last = model.backbone(images).last.double()
    expected = (last.pow(3).mean((2, 3)) + 1e-12).pow(1 / 3).float()
    torch.testing.assert_close(model.embed(images, retrieval="pool"), expected)
    model.neck.norm.running_mean.fill_(0.5)
    torch.testing.assert_close(model.embed(images), (expected - 0.5) / (1 + 1e-5) ** 0.5)
    with pytest.raises(ValueError, match="retrieval is 'all'; expected 'neck' or 'pool'"):
        model.embed(images, retrieval="all")


@torch.no_grad()
def test_each_modality_has_its_stem():
    model, images = agw(depth=1, stride=4).eval(), torch.randn(4, 3, 64, 32)
    same = model.embed(images, torch.tensor([0, 1, 1, 0]))
    torch.testing.assert_close(same, model.embed(images))  # both start alike
    model.backbone.infrared_stem[0].weight.mul_(-1)
    mixed = model.embed(images, torch.tensor([0, 1, 1, 0]))
    changed = (mixed - same).abs().amax(1) > 1e-3
    assert changed.tolist() == [False, True, True, False]
    for camids in ([0] * 4, [1] * 4):
        alone = model.embed(images, torch.tensor(camids))
        rows = torch.tensor([0, 3] if camids[0] == 0 else [1, 2])
        torch.testing.assert_close(alone[rows], mixed[rows])


def test_the_modality_of_a_table():
    frame = pd.DataFrame({"camid": [2, 5, 1], "modality": ["infrared", "visible", "infrared"]})
    assert with_rows(agw(depth=1, stride=4), frame)["camid"].tolist() == [1, 0, 1]
    plain = with_rows(agw(depth=1, stride=4), frame[["camid"]])["camid"]
    assert plain.tolist() == [0, 0, 0]
