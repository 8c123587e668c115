"""The encoder of TransReID and GLTrans on its authors' key names, in plain arithmetic."""

import math
import re

import torch
import torch.nn.functional as F


def block_shapes(name, dim):
    """The twelve tensors of a transformer block."""
    shapes = {}
    for part, outputs, inputs in (
        ("attn.qkv", 3 * dim, dim),
        ("attn.proj", dim, dim),
        ("mlp.fc1", 4 * dim, dim),
        ("mlp.fc2", dim, 4 * dim),
    ):
        shapes |= {f"{name}.{part}.weight": (outputs, inputs), f"{name}.{part}.bias": (outputs,)}
    return shapes | pair(f"{name}.norm1", dim) | pair(f"{name}.norm2", dim)


def pair(name, dim):
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def batch_norm_shapes(name, dim):
    running = {f"{name}.running_{part}": (dim,) for part in ("mean", "var")}
    return pair(name, dim) | running | {f"{name}.num_batches_tracked": ()}


def vit_shapes(prefix, dim, grid, cameras):
    shapes = {
        f"{prefix}cls_token": (1, 1, dim),
        f"{prefix}pos_embed": (1, 1 + grid[0] * grid[1], dim),
        f"{prefix}patch_embed.proj.weight": (dim, 3, 16, 16),
        f"{prefix}patch_embed.proj.bias": (dim,),
        f"{prefix}fc.weight": (1000, dim),
        f"{prefix}fc.bias": (1000,),
    } | pair(f"{prefix}norm", dim)
    if cameras:
        shapes[f"{prefix}sie_embed"] = (cameras, 1, dim)
    for b in range(12):
        shapes |= block_shapes(f"{prefix}blocks.{b}", dim)
    return shapes


def filled(shapes, seed=0):
    """A state dict of these shapes, seeded, its numbers of the size that trained weights have."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        if not shape:
            state[key] = torch.tensor(7)
        elif key.endswith("running_var"):
            state[key] = torch.rand(shape, generator=generator) + 0.5
        else:
            state[key] = torch.randn(shape, generator=generator) * 0.05
            if re.search(r"(norm|bn|bottleneck)[^.]*(\.\d)?\.weight$", key):
                state[key] += 1
    return state


def linear(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def layer_norm(state, name, x, eps):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def batch_norm(state, name, x):
    """As in evaluation; channels are the last dimension."""
    x = (x - state[f"{name}.running_mean"]) / (state[f"{name}.running_var"] + 1e-5).sqrt()
    return x * state[f"{name}.weight"] + state[f"{name}.bias"]


def block(state, name, x, heads, eps):
    """One image's tokens (N, D), one head after the other."""
    normed = layer_norm(state, f"{name}.norm1", x, eps)
    q, k, v = linear(state, f"{name}.attn.qkv", normed).chunk(3, dim=-1)
    d = x.shape[-1] // heads
    mixed = []
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)
        mixed.append((q[:, own] @ k[:, own].T / math.sqrt(d)).softmax(-1) @ v[:, own])
    x = x + linear(state, f"{name}.attn.proj", torch.cat(mixed, dim=-1))
    hidden = gelu(linear(state, f"{name}.mlp.fc1", layer_norm(state, f"{name}.norm2", x, eps)))
    return x + linear(state, f"{name}.mlp.fc2", hidden)


def embedded(state, prefix, image, camera, stride):
    """One image (3, H, W) as class token and patches before the first block, (1 + N, D)."""
    weight, bias = (state[f"{prefix}patch_embed.proj.{part}"] for part in ("weight", "bias"))
    maps = F.conv2d(image[None], weight, bias, stride=stride)[0]  # (D, h, w)
    patches = [maps[:, y, x] for y in range(maps.shape[1]) for x in range(maps.shape[2])]
    x = torch.stack([state[f"{prefix}cls_token"][0, 0], *patches])
    x = x + state[f"{prefix}pos_embed"][0]
    return x if camera is None else x + 3.0 * state[f"{prefix}sie_embed"][camera]
