"""Optimizer, parameter groups and the learning rate as a function of time."""

from __future__ import annotations

import math
import re

from torch import nn, optim

from reidlab.training.recipe import Recipe
from reidlab.training.unfreezing import Unfreezing

BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")
EMBEDDINGS = re.compile(
    r"backbone\.(cls_token|reg_token|pos_embed|sie_embed|patch_embed\b|norm_pre\b)"
)


def learning_rate(recipe: Recipe, time: float, multiplier: float = 1.0) -> float:
    """Linear warm-up, then half a cosine wave that does not wait for the warm-up to end.

    TransReID's: with base rate b, peak p = multiplier * b, floor f, T epochs, W of warm-up

        time < W:  s + time * (p - s) / W           s = warmup_start * b
        else:      f + (p - f) * (1 + cos(pi * time / T)) / 2

    Start and floor are the same for all groups, whatever their multiplier.

    Args:
        recipe: Gives b, W, T, s and f.
        time: In epochs, 0 to T. TransReID sets it to 1 for the whole of the first epoch.
        multiplier: Of the parameter group.
    """
    peak, start, floor = (recipe.lr * m for m in (multiplier, recipe.warmup_start, recipe.lr_floor))
    if time < recipe.warmup_epochs:
        return start + time * (peak - start) / recipe.warmup_epochs
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * time / recipe.epochs))


def schedule_time(recipe: Recipe, epoch: int, step: int, steps: int) -> float:
    """Time in epochs at which step `step` (from 0) of epoch `epoch` (from 1) is taken.

    Per epoch the time is the number of the epoch, as in TransReID: the last epoch runs at the
    floor. Per step it moves on in each step; a run of three epochs needs that.
    """
    if recipe.schedule != "step":
        return float(epoch)
    return epoch - 1 + (step + 1) / steps


def make_optimizer(model: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """SGD, AdamW or Adam with one group of parameters per learning rate.

    A parameter belongs to the head if it lies outside `model.backbone`, and is a bias if its name
    says so. Frozen parameters are left out. On a CUDA device the fused kernels do the step; on a
    CPU, where they would change the last bits, the plain ones.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depth = len(getattr(getattr(model, "backbone", None), "blocks", ()))
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        multiplier = 1.0 if name.startswith("backbone.") else recipe.head_lr_multiplier
        multiplier *= recipe.bias_lr_multiplier if "bias" in name else 1.0
        scale = recipe.layer_decay ** layers_above(name, depth)
        groups.setdefault((scale, multiplier), []).append(parameter)
    settings = [
        {"params": parameters, "scale": s, "multiplier": m, "lr": recipe.lr * m * s, "depth": depth}
        for (s, m), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    fused = next(model.parameters()).is_cuda or None  # None: torch's own choice
    decay = recipe.weight_decay
    if recipe.optimizer in ("sgd", "nesterov"):
        nesterov = recipe.optimizer == "nesterov"
        return optim.SGD(
            settings, momentum=recipe.momentum, weight_decay=decay, fused=fused, nesterov=nesterov
        )
    kind = optim.Adam if recipe.optimizer == "adam" else optim.AdamW
    return kind(settings, weight_decay=decay, fused=fused)


def layers_above(name: str, depth: int) -> int:
    """How many layers a parameter lies below the head: the exponent of `layer_decay`.

    The layers of BEiT's and MAE's fine-tuning: the embeddings (the camera's too), each block, and
    on top the final norm together with the head. timm's `param_groups_layer_decay` counts the final
    norm to the last block, knows no rate of biases and takes their weight decay away.

    Args:
        name: Of the parameter in the model.
        depth: L, blocks of the backbone.

    Returns:
        L + 1 for the embeddings, L + 1 - l for block l, counted from 1, else 0.
    """
    block = BLOCK.match(name)
    if block:
        return depth - int(block[1])  # names count from 0
    return depth + 1 if EMBEDDINGS.match(name) else 0


def set_learning_rate(optimizer: optim.Optimizer, recipe: Recipe, time: float) -> float:
    """Set the rate of each group for a time in epochs; returns that of the base group.

    The schedule "decay" follows `reidlab.training.unfreezing`, the others `learning_rate`.
    """

    def rate(multiplier: float) -> float:
        if recipe.schedule == "decay":
            plan = Unfreezing.of(recipe, depth=optimizer.param_groups[0]["depth"])
            return multiplier * plan.rate(recipe.lr, int(time) - 1)
        return learning_rate(recipe, time, multiplier)

    for group in optimizer.param_groups:
        scale = group.get("scale", 1.0)  # old ones: no scale
        group["lr"] = scale * rate(group["multiplier"])
    return rate(1.0)


def set_rate_of_step(
    recipe: Recipe, optimizer: optim.Optimizer, epoch: int, step: int, steps: int
) -> float:
    """`set_learning_rate` for a step of an epoch, see `schedule_time`."""
    return set_learning_rate(optimizer, recipe, schedule_time(recipe, epoch, step, steps))
