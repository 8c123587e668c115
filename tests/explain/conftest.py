"""What the tests of maps share: small random networks that attend."""

import pytest
import torch

from reidlab.models import create_model


@pytest.fixture
def build():
    """A network of random weights, moved: as they come they hardly attend."""

    def made(name="vit_baseline", **options):
        torch.manual_seed(0)
        if name == "gltrans":
            options = {"switches": {"layers": 2}, **options}
        options = {"num_classes": 3, "image_size": (64, 32), "depth": 2, "weights": None, **options}
        model = create_model(name, **options)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return made
