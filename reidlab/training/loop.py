"""One epoch of training, in a straight line.

Accelerate moves the batches to their device and scales fp16 losses; `session` says what else a
training needs. Under `accelerate launch` this runs in each process, on its share of every batch.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch

from reidlab.training.guards import TrainingDiverged, advice, check_gradient

if TYPE_CHECKING:
    from reidlab.training.session import Session


def train_epoch(session: Session, epoch: int) -> dict[str, Any]:
    """One pass over the batches of an epoch, counted from 1; returns its row of the history."""
    model, optimizer, accelerator = session.model, session.optimizer, session.accelerator
    steps, began, images, lr = len(session.loader), time.perf_counter(), 0, 0.0
    sums: dict[str, torch.Tensor] = {}
    model.train()
    optimizer.zero_grad()
    for step, batch in enumerate(session.batches(epoch)):
        lr = session.rate(optimizer, epoch, step, steps)
        out = model(batch["image"], batch["camid"])  # (B, 3, H, W) -> heads x (B, C), (B, D)
        losses = session.objective(out, batch)  # name -> scalar
        loss = session.objective.total(losses)
        value = accelerator.reduce(loss.detach(), "mean").item()  # all processes stop or none
        if not math.isfinite(value):
            raise TrainingDiverged(advice(f"loss {value} at step {step}, lr {lr:.2e}", epoch))
        accelerator.backward(loss * session.group_share(step, steps))
        if accelerator.sync_gradients:
            check_gradient(accelerator, model, session.recipe, epoch, step)
        optimizer.step()  # both do nothing within a group of batches whose gradients are averaged
        optimizer.zero_grad()
        session.update_average()

        if len(out.logits):  # a network without classifiers has nobody to name
            losses["accuracy"] = (out.vote().argmax(1) == batch["label"]).float().mean()
        losses |= session.objective.watch(out, batch)
        for name, each in losses.items():
            sums[name] = sums.get(name, 0.0) + each.detach()
        images += len(batch["image"]) * accelerator.num_processes
        session.progress.note(f"loss {value:.3f}")
    means = torch.stack(list(sums.values())) / steps
    numbers = dict(zip(sums, accelerator.reduce(means, "mean").tolist(), strict=True))
    accuracy, skipped = numbers.pop("accuracy", None), numbers.pop("skipped", None)
    left_out = {} if skipped is None else {"skipped": round(skipped * steps)}  # per process
    return {
        "epoch": epoch,
        "loss": session.objective.total(numbers),
        "losses": numbers,
        "lr": lr,  # of the base group, at the last step
        "accuracy": accuracy,
        **left_out,
        "images": images,
        "seconds": time.perf_counter() - began,
    }
