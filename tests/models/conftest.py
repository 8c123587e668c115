import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: a second thread costs more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
