"""Weights by a rule, so that whoever knows it can compute the same numbers."""

import torch


def fill(module):
    """Tensor c, in the order of the state dict, gets f(i, c) = 0.5 sin(0.7 i + c) at place i.

    Weights of norms get 1 + f, running variances 1 + f^2.
    """
    norms = {name for name, part in module.named_modules() if "Norm" in type(part).__name__}
    names = [name for name in module.state_dict() if not name.endswith("num_batches_tracked")]
    state = module.state_dict()
    for c, name in enumerate(names):
        f = 0.5 * torch.sin(0.7 * torch.arange(state[name].numel(), dtype=torch.float64) + c)
        if name.endswith("running_var"):
            f = 1 + f.square()
        elif name.rpartition(".")[0] in norms and name.endswith("weight"):
            f = 1 + f
        state[name].copy_(f.view_as(state[name]))
    return module


def wave(function, factor, *shape, power=1.0):
    """function(factor * i^power) at place i, (shape)."""
    count = torch.Size(shape).numel()
    return function(factor * torch.arange(count, dtype=torch.float64) ** power).view(shape)
