"""From a table to batches.

The augmentation of an image depends on (seed, epoch, index) and on nothing else: not on the number
of workers, the order of the batches, an interruption, or what else draws random numbers. The epoch
travels to the workers with each index, so workers that outlive an epoch cannot hold an old one.

An error of the library in a worker arrives as it was raised, whoever iterates, also Accelerate,
which takes a loader apart and builds its own.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch._utils import ExceptionWrapper
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler
from torch.utils.data._utils import worker as torch_worker

from reidlab.data.images import read_image
from reidlab.errors import ReidlabError
from reidlab.processes import ProcessError

Key = tuple[int, int]  # (epoch, index)
DEATH = re.compile(r"DataLoader worker \(pid|</torch_\d|items of ancdata|Too many open files")
"""In what torch says of a worker that was killed, or that could not hand its batch over."""


class ImageTable(Dataset[dict[str, Any]]):
    """The images of a table by (epoch, row position).

    Args:
        frame: with columns path, pid, camid and, for training, label.
        transform: PIL image -> (3, H, W) float tensor.
        seed: of the augmentation.
    """

    def __init__(
        self, frame: pd.DataFrame, transform: Callable[[Any], Tensor], seed: int = 0
    ) -> None:
        self.paths = frame["path"].tolist()
        self.pids = frame["pid"].to_numpy(np.int64)
        self.camids = frame["camid"].to_numpy(np.int64)
        self.infrared = _column(frame, "modality", "visible") == "infrared"
        self.views = _column(frame, "view", -1)
        self.labels = _column(frame, "label", -1)
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key
        image = read_image(self.paths[index])
        with _own_random_numbers(self.seed, epoch, index):
            pixels = self.transform(image)
        return {
            "image": pixels,
            "label": int(self.labels[index]),
            "pid": int(self.pids[index]),
            "camid": int(self.camids[index]),
            "modality": int(self.infrared[index]),
            "view": int(self.views[index]),
            "index": index,
        }


class EpochBatches(Sampler[list[Key]]):
    """Adds the epoch to each index of a batch sampler.

    The attribute `sampler` is where Accelerate looks for `set_epoch` when it shares out batches.
    """

    def __init__(self, sampler: Sampler[list[int]]) -> None:
        self.sampler = sampler
        self.batch_size = getattr(sampler, "batch_size", None)
        self.drop_last = getattr(sampler, "drop_last", False)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation of the next pass."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = getattr(self.sampler, "epoch", 0)
        for batch in self.sampler:
            yield [(epoch, index) for index in batch]

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]  # batch samplers have a length


class Loader(DataLoader[dict[str, Any]]):
    """A `DataLoader` whose workers are watched."""

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        with watched_workers():
            yield from super().__iter__()


@contextmanager
def watched_workers() -> Iterator[None]:
    """Inside, the end of a process that reads images is one sentence with the way out.

    Whoever computes between two batches is inside as well: torch notices by a signal, and raises
    wherever the program is.

    Raises:
        ProcessError: a worker was killed, or could not hand its batch over.
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        cut_off = any("multiprocessing" in frame.filename for frame in frames)  # it was fetching
        told = isinstance(error, RuntimeError)
        if not (DEATH.search(str(error)) if told else cut_off):
            raise
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ProcessError(
            f"a process that reads images ended or could not hand them over ({reason[0]}): the "
            "memory is full, or the shared memory too small (a container's --shm-size). Read them "
            "without such processes, workers=0, or with fewer workers or smaller batches"
        ) from error


class _FromWorker(ExceptionWrapper):
    """An error on its way from a worker. Torch's own puts "Caught ... in DataLoader worker" and a
    traceback around each; here the library's own, which are for the user, stay as they are."""

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        super().__init__(exc_info, where)
        error = (exc_info or sys.exc_info())[1]
        self.text = str(error) if isinstance(error, ReidlabError) else None

    def reraise(self) -> None:
        if self.text is not None and self.exc_type is not None:
            raise self.exc_type(self.text)
        super().reraise()


def _start_worker(number: int) -> None:
    torch_worker.ExceptionWrapper = _FromWorker  # type: ignore[misc]  # in this process alone


def make_loader(
    frame: pd.DataFrame,
    transform: Callable[[Any], Tensor],
    *,
    batch_size: int | None = None,
    batch_sampler: Sampler[list[int]] | None = None,
    workers: int = 0,
    seed: int = 0,
) -> DataLoader[dict[str, Any]]:
    """Batches of a table, in order (`batch_size`) or as a sampler says (`batch_sampler`).

    Args:
        frame: a table of a `ReIDDataset`, or any rows of one.
        transform: see `build_transform`.
        batch_size: images per batch, in the order of the table, the last batch may be smaller.
        batch_sampler: `IdentitySampler` or `ShuffleSampler`. Before each epoch call its
            `set_epoch`, or, once Accelerate has prepared the loader, the loader's.
        workers: processes that read images; 0 reads in this one. With a sampler they live on from
            epoch to epoch.
        seed: of the augmentation.

    Returns:
        A loader of dictionaries: image (B, 3, H, W) float32; label (-1 where the table has none),
        pid, camid, modality (0 visible, 1 infrared), view and index (position in the table), each
        (B,) int64. It leaves torch's global random numbers alone.

    Raises:
        ValueError: both or none of batch_size and batch_sampler, or an empty table.
        DatasetError: while iterating, for an image that cannot be read.
        ProcessError: while iterating, when a worker is killed.
    """
    if (batch_size is None) == (batch_sampler is None):
        raise ValueError(
            "pass either batch_size (the table's order) or batch_sampler (training), not both; got "
            f"batch_size={batch_size}, batch_sampler={batch_sampler}"
        )
    if len(frame) == 0:
        raise ValueError("the table has no rows: did a filter on it keep nothing?")
    if batch_size is not None:
        in_order = SequentialSampler(range(len(frame)))
        batch_sampler = BatchSampler(in_order, batch_size, drop_last=False)
    assert batch_sampler is not None  # one of the two was given
    return Loader(
        ImageTable(frame, transform, seed),
        batch_sampler=EpochBatches(batch_sampler),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0 and batch_size is None,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # or the loader would draw from the global one
    )


def _column(frame: pd.DataFrame, name: str, absent: object) -> np.ndarray:
    """A column of a table, or the same value for each row where the table has no such column."""
    return frame[name].to_numpy() if name in frame else np.full(len(frame), absent)


@contextmanager
def _own_random_numbers(seed: int, epoch: int, index: int) -> Iterator[None]:
    """Inside, torch's CPU generator is seeded by these three; outside, it goes on undisturbed."""
    generator = torch.default_generator  # not torch.manual_seed, which would seed the GPUs too
    before = generator.get_state()
    generator.manual_seed(int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0]))
    try:
        yield
    finally:
        generator.set_state(before)
