"""Functions that the tests run on several processes; a process must be able to import them."""

import contextlib
import io
import multiprocessing
import os
import pickle
import socket
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import nn

from reidlab.data import open_dataset
from reidlab.losses import identity
from reidlab.processes import barrier, broadcast, collect, largest, process_index
from reidlab.training import (
    Recipe,
    build_model,
    embed,
    evaluate_on,
    fit,
    gather,
    loop,
    session,
    shared_batch_norm,
)
from reidlab.training.launch import check_agreement, check_processes

SERVER = multiprocessing.get_context("forkserver")  # imports once, then every process is a fork
SERVER.set_forkserver_preload(["tests.training.ranks"])
SECONDS = 300  # far beyond what any of them takes: a process that waits for ever is a failure


def launch(function, *arguments, processes=2, **environment):
    """What the function returned on each process, or the exception it ended with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    common |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **environment}
    task = pickle.dumps((function, arguments))  # torch's own way of sending tensors shares memory
    started, receivers = [], []
    for rank in range(processes):
        receiver, sender = SERVER.Pipe(duplex=False)
        receivers.append(receiver)
        started.append(SERVER.Process(target=_start, args=(sender, rank, common, task)))
        started[-1].start()
        sender.close()
    try:
        return [_end(receiver) for receiver in receivers]
    finally:
        for process in started:
            process.kill()
            process.join()


def _end(receiver):
    if not receiver.poll(SECONDS):
        return TimeoutError("it waits for ever")
    try:
        return pickle.loads(receiver.recv_bytes())
    except EOFError as error:
        return error  # it was killed


def _start(sender, rank, environment, task):
    os.environ.update(environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
    torch.set_num_threads(1)
    function, arguments = pickle.loads(task)
    try:
        end = function(*arguments)
    except BaseException as error:
        end = error
    sender.send_bytes(pickle.dumps(end))


def _connect():
    return Accelerator(cpu=True)


def gathered_gradient(images, labels, weight, loss):
    """Loss and gradient of a linear model, as DistributedDataParallel would average them."""
    _connect()
    rank, count = dist.get_rank(), dist.get_world_size()
    share = slice(rank * len(images) // count, (rank + 1) * len(images) // count)
    weight = weight.clone().requires_grad_()
    features = images[share] @ weight
    value = loss(gather(features), gather(labels[share]))
    value.backward()
    dist.all_reduce(weight.grad)
    return value.item(), weight.grad / count, gather(labels[share])


def normed(norm, inputs, target):
    """Outputs, gradients and statistics of a norm that sees a share of the inputs."""
    _connect()
    rank, count = dist.get_rank(), dist.get_world_size()
    model = nn.Sequential(norm.train())
    own = inputs.chunk(count)[rank].clone().requires_grad_()
    with shared_batch_norm(model):
        output = model(own)
        loss = (output - target.chunk(count)[rank]).pow(3).mean()
        loss.backward()
        model.eval()
        alone = model(own)  # as one process would: by the running statistics
    after = model.train()(own.detach())  # outside, the share alone
    for parameter in norm.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= count
    gradients = [parameter.grad for parameter in norm.parameters()]
    return output.detach(), own.grad / count, gradients, norm.state_dict(), alone.detach(), after


def collected(sizes, tail):
    _connect()
    rank = dist.get_rank()
    rows = torch.arange(sum(sizes) * int(torch.tensor(tail).prod())).reshape(-1, *tail).float()
    begin = sum(sizes[:rank])
    part = rows[begin : begin + sizes[rank]] if sizes[rank] else torch.empty(0)
    whole = collect(part)
    return whole, torch.equal(whole, rows)


def one_fails(failing):
    _connect()
    with barrier():
        if dist.get_rank() in failing:
            raise OSError("no space left on device")
    return "went on"


def told(value):
    _connect()
    return broadcast(f"process {process_index()} has {value}"), largest(float(process_index()))


def agreeing(values):
    _connect()
    check_agreement(values[dist.get_rank()], Path("runs/x"))
    return "agreed"


def disconnected():
    check_processes(Recipe(), Accelerator())


def train(root, recipe, out, fault=None):
    """`fit`; returns the record, embeddings of one, of five and of all images, the average
    precisions, the weights, and the lines that were printed."""
    warnings.simplefilter("ignore")
    ds = open_dataset("market1501", root)
    model = build_model(recipe, ds, seed=1)
    if fault is not None:
        fault(int(os.environ["RANK"]))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        record = fit(model, ds, recipe, seed=1, out=out)
    tables = (ds.gallery.iloc[:1], ds.gallery.iloc[:5], ds.gallery)
    embeddings = [embed(model, table, recipe, shared=True) for table in tables]
    result = evaluate_on(model, ds, recipe, shared=True)
    return record, embeddings, result.ap, model.state_dict(), printed.getvalue().splitlines()


def no_number(rank):
    """The second process meets a loss that is no number."""

    class Nan(identity.IdentityLoss):
        def forward(self, logits, labels):
            return super().forward(logits, labels) * (float("nan") if rank == 1 else 1.0)

    identity.IdentityLoss = Nan


def full_disk(rank):
    """The main process cannot write."""

    def save_checkpoint(*_):
        raise OSError("no space left on device")

    session.save_checkpoint = save_checkpoint


def interrupted(rank):
    """Both stop in the second epoch, as the queue of a cluster makes them."""
    whole_epoch = loop.train_epoch

    def train_epoch(session, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return whole_epoch(session, epoch)

    loop.train_epoch = train_epoch


def killed(rank):
    """The second process ends without a word, as by the kernel when memory is short."""
    if rank == 1:
        session.check_weights = lambda *_: os._exit(9)


def train_apart(root, recipe, outs):
    """Each process in a folder of its own."""
    return train(root, recipe, outs[int(os.environ["RANK"])])
