"""Whether the processes of a training were started alike and can share its batches and folder."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from accelerate import Accelerator  # type: ignore[import-untyped]
from accelerate.utils import DistributedType  # type: ignore[import-untyped]

from reidlab.errors import RecipeError
from reidlab.files import alone
from reidlab.processes import ProcessError, of_all
from reidlab.training.checkpoint import values_that_differ
from reidlab.training.recipe import Recipe

Given = ParamSpec("Given")
Result = TypeVar("Result")
SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def one_at_a_time(train: Callable[Given, Result]) -> Callable[Given, Result]:
    """Of several calls with one `out`, in whatever processes, one works and the others wait.

    Of processes that train together each waits for the one of its number, before they connect.
    """
    signature = inspect.signature(train)

    @functools.wraps(train)
    def waiting(*given: Given.args, **named: Given.kwargs) -> Result:
        out, rank = signature.bind(*given, **named).arguments["out"], os.environ.get("RANK", "0")
        with alone(Path(out), "" if rank == "0" else f"rank{rank}"):
            return train(*given, **named)

    return waiting


def check_processes(recipe: Recipe, accelerator: Accelerator) -> None:
    """Check that a batch can be cut into one share of whole people per process.

    Raises:
        RecipeError: If it cannot, or the launcher was asked to cut up the model as well.
        ProcessError: If processes were launched that Accelerate does not connect.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise ProcessError(
            f"{launched} processes were launched and Accelerate uses {accelerator.num_processes}; "
            "each would train alone, all in one folder. On CPUs set the environment variable "
            "ACCELERATE_USE_CPU=true; on GPUs check that torch.cuda.is_available()."
        )
    if accelerator.distributed_type in SHARDED:
        raise RecipeError(
            f"accelerate was configured for {accelerator.distributed_type.value}, which cuts up "
            "the model; fit keeps a whole model on each GPU. Pass --multi_gpu to accelerate "
            "launch, or run accelerate config again."
        )
    people, count = recipe.identities_per_batch, accelerator.num_processes
    alone = not recipe.gather or any(loss.reads == "scores" for loss in recipe.losses)
    least = 2 if alone else 1  # a share by itself needs a negative
    if people % count == 0 and (count == 1 or people // count >= least):
        return
    fitting = [n for n in range(1, people + 1) if people % n == 0 and people // n >= least]
    *fewer, most = map(str, fitting)
    some = f"{', '.join(fewer)} or {most}" if fewer else most
    nearest = max(least * count, round(people / count) * count)
    raise RecipeError(
        f"identities_per_batch is {people} and there are {count} processes; each takes as many "
        f"whole people{', two or more without gather or with pairs' if alone else ''}. Launch "
        f"{some} processes, or pass recipe.replace(identities_per_batch={nearest})."
    )


def check_agreement(mine: Mapping[str, Any], out: Path) -> None:
    """Check that all processes have the same of everything in `mine`.

    Raises:
        ProcessError: On every process, naming what differs.
    """
    first, *others = of_all(mine)
    for index, other in enumerate(others, start=1):
        found = [
            f"{name} is {before!r} for process 0 and {after!r} for process {index}"
            for name, before, after in values_that_differ(first, other)
        ]
        if found:
            raise ProcessError(
                f"the processes do not agree: {'; '.join(found)}. Start all of them by the same "
                f"command, on equal copies of the data, with an `out` that all machines share "
                f"(here {out})."
            )
