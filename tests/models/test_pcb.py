import pytest
import torch

from reidlab.models import PCB, create_model


def tiny(**options):
    torch.manual_seed(0)
    given = {"image_size": (64, 32), "depth": 2, "weights": None}
    return create_model("pcb", num_classes=5, **given | options)


@pytest.mark.parametrize(
    ("stripes", "rows"), [(3, [(0, 1), (2,), (3,)]), (2, [(0, 1), (2, 3)]), (1, [(0, 1, 2, 3)])]
)
@torch.no_grad()
def test_a_stripe_is_the_mean_of_its_patches(stripes, rows):
    model, images = tiny(switches={"stripes": stripes}).eval(), torch.randn(2, 3, 64, 32)
    patches = model.backbone(images).patches.tolist()  # four rows of two
    out = model(images)
    assert len(out.logits) == stripes
    assert torch.equal(torch.cat(out.features, dim=1), model.embed(images))
    for i, own in enumerate(rows):
        for n in range(2):
            members = [patches[n][2 * row + column] for row in own for column in (0, 1)]
            mean = [sum(values) / len(members) for values in zip(*members, strict=True)]
            assert out.features[i][n].tolist() == pytest.approx(mean, abs=1e-5)
        logits = model.heads[i](out.features[i])
        torch.testing.assert_close(out.logits[i], logits)


def test_the_classifier_is_pcbs():
    head = tiny().heads[0]
    assert head.bottleneck.weight.shape == (256, 192)
    assert isinstance(head.activation, torch.nn.ReLU)
    assert head.dropout.p == 0.0


def test_what_cannot_be_built():
    message = "stripes is 6 and the grid of 4x2 patches has 4 rows, which can't be cut"
    with pytest.raises(ValueError, match=message):
        tiny(switches={"stripes": 6})
    with pytest.raises(ValueError, match="stripes is 0; expected a number of 1 or more"):
        tiny(switches={"stripes": 0})
    with pytest.raises(ValueError, match="num_classes is 0"):
        PCB(tiny().backbone, 0)
