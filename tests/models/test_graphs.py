"""Models become one graph for batches of any size, as chapter 10 exports the baseline."""

import pytest
import torch
from torch import nn
from torch.export import Dim, export

from reidlab.models import create_model


class Embedding(nn.Module):
    """What an export has: pictures in, vectors out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model.embed(images)


@pytest.mark.parametrize("name", ["gltrans", "tvtr"])
def test_a_graph_takes_batches_of_another_size(name):
    torch.manual_seed(0)
    size = {"image_size": (80, 64), "depth": 3}
    net = Embedding(create_model(name, num_classes=3, weights=None, **size).eval())
    two, five = torch.randn(2, 3, 80, 64), torch.randn(5, 3, 80, 64)
    graph = export(net, (two,), dynamic_shapes={"images": {0: Dim.DYNAMIC}}).module()
    with torch.no_grad():
        torch.testing.assert_close(graph(five), net(five), rtol=0, atol=1e-5)
