"""Several processes that train as one: on the GPUs of a machine, or of several machines.

`accelerate launch` starts N of them. A batch of P people is cut into N shares of P / N whole people
(Accelerate cuts it, `IdentitySampler` lays it out person by person), each process computes the
gradient of its share, and DistributedDataParallel averages them. Two things look at a whole batch
and would see a share only: losses that compare its images, and batch norm. `gather` and
`shared_batch_norm` show them the batch of all processes, so that N processes take the step that one
would take. What still differs: sums are added in another order, and dropout and stochastic depth
draw other numbers on each process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm

from reidlab.errors import ReidlabError

T = TypeVar("T")
ROWS_AT_ONCE = 8192  # of embeddings on their way to the main process: a GPU holds few at a time


class ProcessError(ReidlabError, RuntimeError):
    """Another process failed, or the processes were not started alike."""


def process_count() -> int:
    """N, processes that train together; 1 where none were launched."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_index() -> int:
    """Which of them this one is, from 0; 0 is the main one, which judges and writes."""
    return dist.get_rank() if process_count() > 1 else 0


def is_main_process() -> bool:
    """Whether this process prints and writes: the first that was launched, or the only one."""
    if process_count() > 1:
        return process_index() == 0
    return os.environ.get("RANK", "0") == "0"  # launched, and not yet in touch with the others


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, in their order, with gradients; with one process, `rows` itself.

    For a loss that compares the images of a batch: `loss(gather(features), gather(labels))` is, on
    every process, the loss of the whole batch. The gradient that reaches `rows` is that of the sum
    of the losses of all processes, so that after DistributedDataParallel's mean over the processes
    it is the gradient of the mean of their losses.

    Args:
        rows: (B, ...), of the same shape on each process.

    Returns:
        (N * B, ...).
    """
    if process_count() == 1:
        return rows
    return _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    """All-gather; backward, the gradients of all processes are added and cut up again.

    torch.distributed.nn.functional.all_gather does the same and is deprecated.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(process_count())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return _own(total)


@contextmanager
def shared_batch_norm(model: nn.Module) -> Iterator[None]:
    """Inside, batch norms in training mode use the statistics of the batch of all processes.

    Their running statistics stay the same on each process. Names, parameters and, outside, the
    modules themselves are as before. The norm of a vector per image is computed over the gathered
    vectors; that of maps by torch's SyncBatchNorm, which exchanges moments instead and exists on
    GPUs only.
    """
    if process_count() == 1:
        yield
        return
    with ExitStack() as stack:
        for parent in list(model.modules()):
            for name, norm in list(parent.named_children()):
                if not isinstance(norm, _BatchNorm):
                    continue
                on_gpu = any(tensor.is_cuda for tensor in norm.state_dict().values())
                if on_gpu and not isinstance(norm, nn.BatchNorm1d):
                    stack.callback(_put_back, parent, name, norm)
                    setattr(parent, name, convert_sync_batchnorm(norm))  # the same tensors
                else:
                    stack.enter_context(norm.register_forward_pre_hook(_gather_input))
                    stack.enter_context(norm.register_forward_hook(_keep_own))
        yield


def _put_back(parent: nn.Module, name: str, norm: nn.Module) -> None:
    setattr(parent, name, norm.train(parent.training))


def _gather_input(norm: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    return (gather(inputs[0]),) if norm.training else None


def _keep_own(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    return _own(output) if norm.training else None


def _own(rows: Tensor) -> Tensor:
    """This process's part of gathered rows."""
    return rows.chunk(process_count())[process_index()]


def own_batches(rows: int, batch_size: int) -> slice:
    """The rows of a table that this process embeds: every process the same number of batches, or
    one fewer.

    Whole batches, cut where one process cuts them: an embedding then has the same bits whatever the
    number of processes, since the last bits depend on the size of the batch an image is in.
    """
    batches, count = -(-rows // batch_size), process_count()
    first, last = (batches * index // count for index in (process_index(), process_index() + 1))
    return slice(first * batch_size, min(last * batch_size, rows))


def collect(part: Tensor) -> Tensor:
    """The rows of all processes on the main one, in their order; on the others none, (0, ...).

    Args:
        part: (n, ...) on the CPU; n differs between processes and may be 0, and then the other
            sizes are not asked for.

    Returns:
        (sum of n, ...) on the CPU.
    """
    if process_count() == 1:
        return part
    shapes = of_all(tuple(part.shape))
    row = next((shape[1:] for shape in shapes if shape[0]), ())
    main = process_index() == 0
    whole = torch.empty(sum(shape[0] for shape in shapes) if main else 0, *row, dtype=part.dtype)
    begin = 0
    for sender, shape in enumerate(shapes):
        for start in range(0, shape[0], ROWS_AT_ONCE):
            rows = slice(start, min(start + ROWS_AT_ONCE, shape[0]))
            here = slice(begin + rows.start, begin + rows.stop)
            if main and sender == 0:
                whole[here] = part[rows]
            elif main:
                received = torch.empty_like(whole[here], device=_device())
                dist.recv(received, src=sender)
                whole[here] = received.cpu()
            elif process_index() == sender:
                dist.send(part[rows].to(_device()), dst=0)
        begin += shape[0]
    return whole


@contextmanager
def barrier() -> Iterator[None]:
    """What fails inside on one process ends all of them, instead of leaving the others waiting.

    It is also a barrier: no process leaves the block before all have come to its end. Inside, no
    process may wait for another.

    Raises:
        ProcessError: On the processes that did not fail; it quotes those that did.
    """
    if process_count() == 1:
        yield
        return
    error: Exception | None = None
    try:
        yield
    except Exception as caught:
        error = caught
    failures = torch.tensor(float(error is not None), device=_device())
    dist.all_reduce(failures)
    if failures.item() == 0:
        return
    words = of_all(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    failed = "; ".join(
        f"process {index} failed: {word}" for index, word in enumerate(words) if word
    )
    raise ProcessError(f"{failed}. This process, {process_index()}, stops with it.")


def synchronized(batches: Iterable[T]) -> Iterator[T]:
    """Iterate; a batch that one process cannot get ends the loop on all of them."""
    iterator, end = iter(batches), object()
    while True:
        with barrier():
            batch: Any = next(iterator, end)
        if batch is end:
            return
        yield batch


def broadcast(value: T) -> T:
    """What the main process has, on every process."""
    if process_count() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def of_all(value: T) -> list[T]:
    """What each process has, in their order, on every process."""
    values = [value] * process_count()
    if len(values) > 1:
        dist.all_gather_object(values, value)
    return values


def largest(value: float) -> float:
    """The largest of a number over the processes."""
    return max(of_all(value))


def _device() -> torch.device:
    """Where tensors must be for the processes to exchange them."""
    return torch.device("cuda" if "nccl" in dist.get_backend() else "cpu")


def progress_style() -> str:
    """One of "bar", "plain" or "none", for the place this process runs in."""
    wish = os.environ.get("REIDLAB_PROGRESS", "")
    if wish in ("bar", "plain", "none"):
        return wish
    if "ipykernel" in sys.modules:
        return "bar" if find_spec("ipywidgets") is not None else "plain"
    return "bar" if sys.stderr.isatty() else "plain"
