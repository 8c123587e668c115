"""The loader: the same batches whoever reads them, and nobody else disturbed."""

import os
import random
import re
import signal
import time

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from reidlab.data import (
    DatasetError,
    IdentitySampler,
    ShuffleSampler,
    build_transform,
    make_loader,
    open_dataset,
    watched_workers,
)
from reidlab.processes import ProcessError

SIZE = (32, 16)


@pytest.fixture
def frame(market_root):
    return open_dataset("market1501", market_root).train


def batches(frame, epoch=0, workers=0, seed=3, sampler=None):
    sampler = sampler or IdentitySampler(frame["label"], 2, 2, seed)
    sampler.set_epoch(epoch)
    transform = build_transform(SIZE, train=True)
    return list(make_loader(frame, transform, batch_sampler=sampler, workers=workers, seed=seed))


def same(one, other):
    assert len(one) == len(other)
    return all(torch.equal(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in a)


def test_batches_hold_what_the_contract_says(frame):
    transform = build_transform(SIZE, train=False)
    loaded = list(make_loader(frame, transform, batch_size=2))
    assert [len(batch["pid"]) for batch in loaded] == [2, 2, 1]
    for key in ("label", "pid", "camid"):
        values = torch.cat([batch[key] for batch in loaded])
        assert values.dtype == torch.int64
        assert values.tolist() == frame[key].tolist()
    assert torch.cat([batch["index"] for batch in loaded]).tolist() == list(range(5))
    assert loaded[0]["image"].shape == (2, 3, *SIZE)
    assert loaded[0]["image"].dtype == torch.float32


def test_index_is_the_position_not_the_pandas_index(frame):
    transform = build_transform(SIZE, train=False)
    (batch,) = make_loader(frame.iloc[3:], transform, batch_size=9)
    assert batch["index"].tolist() == [0, 1]
    assert batch["pid"].tolist() == [11, 11]


def test_without_labels(frame):
    transform = build_transform(SIZE, train=False)
    (batch,) = make_loader(frame.drop(columns="label"), transform, batch_size=9)
    assert batch["label"].tolist() == [-1] * 5


def test_workers_change_nothing(frame):
    assert same(batches(frame, workers=0), batches(frame, workers=2))


def test_persistent_workers_see_the_new_epoch(frame):
    transform = build_transform(SIZE, train=True)
    sampler = IdentitySampler(frame["label"], 2, 2, seed=3)
    loader = make_loader(frame, transform, batch_sampler=sampler, workers=2, seed=3)
    assert loader.persistent_workers
    for epoch in (0, 1, 5):
        sampler.set_epoch(epoch)
        assert same(list(loader), batches(frame, epoch=epoch))


def test_epoch_seed_and_index_change_the_augmentation(frame):
    transform = build_transform(SIZE, train=True)
    one = frame.iloc[[0, 0]]  # the same image under two indices

    def images(epoch, seed):
        sampler = ShuffleSampler(2, 2)
        sampler.set_epoch(epoch)
        (batch,) = make_loader(one, transform, batch_sampler=sampler, seed=seed)
        return list(batch["image"][batch["index"].argsort()])

    versions = [*images(0, 0), *images(1, 0), *images(0, 1)]
    for i, a in enumerate(versions):
        assert all(not torch.equal(a, b) for b in versions[:i])


def test_the_order_of_batches_does_not_change_an_image(frame):
    by_index = {}
    for sampler in (ShuffleSampler(5, 5, seed=0), ShuffleSampler(5, 1, seed=9)):
        for batch in batches(frame, sampler=sampler):
            for index, image in zip(batch["index"].tolist(), batch["image"], strict=True):
                assert torch.equal(by_index.setdefault(index, image), image)
    assert len(by_index) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_random_numbers_are_left_alone(frame, workers):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    batches(frame, workers=workers)
    list(make_loader(frame, build_transform(SIZE, train=False), batch_size=2, workers=workers))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002


def test_accelerate_passes_the_epoch_on(frame):
    transform = build_transform(SIZE, train=True)
    sampler = IdentitySampler(frame["label"], 2, 2, seed=3)
    loader = make_loader(frame, transform, batch_sampler=sampler, seed=3)
    prepared = Accelerator(cpu=True).prepare(loader)
    prepared.set_epoch(4)
    assert same(list(prepared), batches(frame, epoch=4))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_image(frame, workers):
    path = frame["path"].iloc[2]
    with open(path, "r+b") as file:
        file.truncate(700)
    loader = make_loader(frame, build_transform(SIZE, train=False), batch_size=5, workers=workers)
    kind, text = error_of(loader)
    assert kind is DatasetError
    assert re.search(r"cannot read the image .*0007_c1s2.*truncated", text)
    assert "Copy or unpack this file again" in text


class Failing:
    """A transform that fails, by an exception of the library or of somebody else."""

    def __init__(self, error):
        self.error = error

    def __call__(self, image):
        raise self.error


class Killed:
    """A transform that ends the process it runs in."""

    def __init__(self, signal):
        self.signal = signal

    def __call__(self, image):
        os.kill(os.getpid(), self.signal)
        time.sleep(60)


def error_of(loader):
    """Kind and text. Of an error that is kept, torch takes 5 s to end the worker."""
    try:
        list(loader)
    except Exception as error:
        return type(error), str(error)
    raise AssertionError("there was no error")


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_worker_says_what_the_process_itself_would(frame, sampled, prepared):
    """Alone, as it was raised; also through Accelerate, which builds loaders of its own."""
    with open(frame["path"].iloc[2], "wb") as file:
        file.write(b"<html>")
    told = []
    for workers in (0, 1):
        how = {"batch_sampler": ShuffleSampler(5, 5)} if sampled else {"batch_size": 5}
        loader = make_loader(frame, build_transform(SIZE, train=False), workers=workers, **how)
        told.append(error_of(Accelerator(cpu=True).prepare(loader) if prepared else loader))
    assert told[0] == told[1]
    assert told[0][0] is DatasetError
    assert "\n" not in told[0][1]


def test_a_worker_that_was_spawned(frame):
    with open(frame["path"].iloc[2], "wb") as file:
        file.write(b"<html>")
    loader = make_loader(frame, build_transform(SIZE, train=False), batch_size=5, workers=1)
    expected = error_of(make_loader(frame, build_transform(SIZE, train=False), batch_size=5))
    loader.multiprocessing_context = "spawn"
    assert error_of(loader) == expected


def test_errors_of_others_keep_their_kind_and_where_they_come_from(frame):
    failing = Failing(ZeroDivisionError("z"))
    kind, text = error_of(make_loader(frame, failing, batch_size=5, workers=1))
    assert kind is ZeroDivisionError
    assert "test_loader.py" in text


@pytest.mark.parametrize(("end", "prepared"), [(signal.SIGKILL, False), (signal.SIGBUS, True)])
def test_a_worker_that_is_killed(frame, end, prepared):
    loader = make_loader(frame, Killed(end), batch_size=5, workers=1)
    if prepared:
        loader = Accelerator(cpu=True).prepare(loader)
    kind, text = error_of(_watched(loader))
    assert kind is ProcessError
    assert re.fullmatch(r"a process that reads images ended .*\(DataLoader .*workers=0.*", text)


def _watched(loader):
    with watched_workers():
        yield from loader


@pytest.mark.parametrize(
    "text",
    [
        "unable to allocate shared memory(shm) for file </torch_1_2>: No space left on device (28)",
        "unable to mmap 1024 bytes from file </torch_1_2>: Cannot allocate memory (12)",
        "received 0 items of ancdata",
        "Too many open files. Communication with the workers is no longer possible.",
    ],
)
def test_a_batch_that_cannot_be_handed_over(text):
    wrapped = f"Caught RuntimeError in DataLoader worker process 0.\nOriginal Trace\n{text}"
    with pytest.raises(ProcessError) as caught, watched_workers():
        raise RuntimeError(wrapped)
    assert f"({text})" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_errors_pass_the_watch():
    for error in (
        RuntimeError("CUDA out of memory"),
        ConnectionResetError("a tracker's"),
        EOFError(),
    ):
        with pytest.raises(type(error)) as caught, watched_workers():
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("content", "what"), [(b"", "is empty"), (b"not an image", "a text that begins with 'not an")]
)
def test_no_image_at_all(frame, content, what):
    with open(frame["path"].iloc[0], "wb") as file:
        file.write(content)
    with pytest.raises(DatasetError, match=rf"cannot read the image .*{what}"):
        list(make_loader(frame, build_transform(SIZE, train=False), batch_size=5))


def test_an_image_that_vanished(frame, market_root):
    (market_root / "bounding_box_train" / "0002_c1s1_000451_03.jpg").unlink()
    with pytest.raises(DatasetError, match=r"0002_c1s1_000451_03.jpg is gone"):
        list(make_loader(frame, build_transform(SIZE, train=False), batch_size=5))


def test_bad_arguments(frame):
    transform = build_transform(SIZE, train=False)
    with pytest.raises(ValueError, match=r"either batch_size .* or batch_sampler"):
        make_loader(frame, transform)
    with pytest.raises(ValueError, match=r"either batch_size .* or batch_sampler"):
        make_loader(frame, transform, batch_size=2, batch_sampler=ShuffleSampler(5, 2))
    with pytest.raises(ValueError, match="no rows"):
        make_loader(frame.iloc[:0], transform, batch_size=2)
