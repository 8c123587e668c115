"""Models become one graph for batches of any size, as chapter 10 exports the baseline."""

import pytest
import torch
from torch import nn
from torch.export import Dim, export

from reidlab.models import create_model


class Embedding(nn.Module):
    """What an export has: pictures in, and cameras where they are asked for; vectors out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, camids=None):
        return self.model.embed(images, camids)


def exported(name, **cameras):
    torch.manual_seed(0)
    size = {"image_size": (80, 64), "depth": 3}
    net = Embedding(create_model(name, num_classes=3, weights=None, **size, **cameras).eval())
    inputs = [torch.randn(2, 3, 80, 64), *([torch.tensor([0, 3])] if cameras else [])]
    sizes = tuple({0: Dim.DYNAMIC} for _ in inputs)
    return net, export(net, tuple(inputs), dynamic_shapes=sizes).module()


@pytest.mark.parametrize("name", ["gltrans", "tvtr"])
def test_a_graph_takes_batches_of_another_size(name):
    net, graph = exported(name)
    five = torch.randn(5, 3, 80, 64)
    with torch.no_grad():
        torch.testing.assert_close(graph(five), net(five), rtol=0, atol=1e-5)


def test_a_graph_takes_cameras():
    net, graph = exported("gltrans", num_cameras=4)
    five, camids = torch.randn(5, 3, 80, 64), torch.tensor([3, 0, 1, 2, 3])
    with torch.no_grad():
        torch.testing.assert_close(graph(five, camids), net(five, camids), rtol=0, atol=1e-5)
        assert not torch.equal(net(five, camids), net(five, camids.flip(0)))
